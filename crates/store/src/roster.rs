//! The roster of agents: one small file an agent, one a token.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chaperone_access::AgentName;
use chaperone_tunnel::link::{AgentRecord, Roster, TokenRecord};

use crate::file::{read, read_all, remove, sync, write};

/// A roster in a folder of its own.
#[derive(Debug)]
pub struct RosterFiles {
    agents: PathBuf,
    tokens: PathBuf,
}

impl RosterFiles {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let this = Self { agents: folder.join("enrolled"), tokens: folder.join("tokens") };
        fs::create_dir_all(&this.agents)?;
        fs::create_dir_all(&this.tokens)?;
        Ok(this)
    }
}

impl Roster for RosterFiles {
    fn agent(&self, name: &AgentName) -> io::Result<Option<AgentRecord>> {
        read(&self.agents.join(name.as_str()))
    }

    fn agents(&self) -> io::Result<Vec<AgentRecord>> {
        let mut records: Vec<AgentRecord> = read_all(&self.agents)?;
        records.sort_by(|one, other| one.agent.cmp(&other.agent));
        Ok(records)
    }

    fn put_agent(&self, record: &AgentRecord) -> io::Result<()> {
        write(&self.agents, record.agent.as_str(), record)
    }

    fn remove_agent(&self, name: &AgentName) -> io::Result<bool> {
        remove(&self.agents, name.as_str())
    }

    fn token(&self, id: &str) -> io::Result<Option<TokenRecord>> {
        read(&self.tokens.join(id))
    }

    fn put_token(&self, token: &TokenRecord) -> io::Result<()> {
        write(&self.tokens, &token.id, token)
    }

    fn remove_token(&self, id: &str) -> io::Result<bool> {
        remove(&self.tokens, id)
    }

    fn remove_tokens_of(&self, agent: &AgentName) -> io::Result<()> {
        for entry in fs::read_dir(&self.tokens)? {
            let path = entry?.path();
            if path.extension().is_none()
                && read::<TokenRecord>(&path)?.is_some_and(|token| token.agent == *agent)
            {
                fs::remove_file(&path)?;
            }
        }
        sync(&self.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_once_and_records_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let roster = RosterFiles::open(folder.path()).unwrap();
        let token = TokenRecord {
            id: "abcdefghijk".into(),
            secret: [1; 32],
            agent: "ward".parse().unwrap(),
            targets: vec!["ehr".parse().unwrap()],
            not_after_s: 9,
            by: "administrator".into(),
        };
        roster.put_token(&token).unwrap();
        assert_eq!(roster.token(&token.id).unwrap().as_ref(), Some(&token));
        assert!(roster.remove_token(&token.id).unwrap());
        assert!(!roster.remove_token(&token.id).unwrap());
        assert_eq!(roster.token(&token.id).unwrap(), None);
        let other =
            TokenRecord { id: "otherotherr".into(), agent: "other".parse().unwrap(), ..token.clone() };
        roster.put_token(&token).unwrap();
        roster.put_token(&other).unwrap();
        roster.remove_tokens_of(&token.agent).unwrap();
        assert_eq!((roster.token(&token.id).unwrap(), roster.token(&other.id).unwrap()), (None, Some(other)));

        let mut record = AgentRecord {
            agent: token.agent,
            targets: token.targets,
            public_key: vec![4; 65],
            generation: 1,
            renewal: None,
            locked: None,
        };
        roster.put_agent(&record).unwrap();
        record.generation = 2;
        roster.put_agent(&record).unwrap();
        fs::write(folder.path().join("enrolled/ward.half"), "{").unwrap();
        let again = RosterFiles::open(folder.path()).unwrap();
        assert_eq!(again.agents().unwrap(), vec![record.clone()]);
        assert_eq!(again.agent(&record.agent).unwrap(), Some(record.clone()));
        assert!(again.remove_agent(&record.agent).unwrap());
        assert!(!again.remove_agent(&record.agent).unwrap());
        assert_eq!(roster.agents().unwrap(), vec![]);
        assert_eq!(again.agent(&"other".parse().unwrap()).unwrap(), None);
    }
}
