//! `chaperone credential narrow`: take rights away from a connection string, offline.

use std::io::Read as _;
use std::process::ExitCode;

use chaperone_access::{Verb, Verbs};
use chaperone_identity::{Caveat, Only, narrow, together};
use oauth2::url::Url;

use super::credential::{duration_s, verb};
use super::{Failure, say};
use crate::wiring::installation::now_us;

/// Longest input that is read, in bytes: a user name, a password and where they lead.
const INPUT_BYTES_MAX: u64 = 16 * 1024;

/// What is left of a credential.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Narrowing {
    /// Only this relation, as schema.name, or only these columns of it, as 'schema.name(column, column)'; may be given
    /// several times
    #[arg(long, value_name = "RELATION")]
    pub(super) only: Vec<Only>,
    /// Only this verb (read, insert, update, delete, define, call); may be given several times
    #[arg(long = "verb", value_name = "VERB", value_parser = verb)]
    pub(super) verbs: Vec<Verb>,
    /// At most this many rows a statement
    #[arg(long, value_name = "N")]
    pub(super) rows: Option<u64>,
    /// Only for calls of this tool
    #[arg(long, value_name = "NAME")]
    pub(super) tool: Option<String>,
}

/// `chaperone credential narrow`
#[derive(Debug, clap::Args)]
pub(crate) struct Narrow {
    #[command(flatten)]
    narrowing: Narrowing,
    /// A shorter life, from now: a number with s, m or h
    #[arg(long, value_parser = duration_s)]
    ttl: Option<u64>,
}

impl Narrowing {
    fn caveats(&self) -> Vec<Caveat> {
        let mut caveats = Vec::new();
        if !self.only.is_empty() {
            caveats.push(Caveat::Relations(together(self.only.iter().cloned())));
        }
        if !self.verbs.is_empty() {
            caveats.push(Caveat::Verbs(self.verbs.iter().fold(Verbs::NONE, |all, verb| all.with(*verb))));
        }
        caveats.extend(self.rows.map(Caveat::Rows));
        caveats.extend(self.tool.clone().map(Caveat::Tool));
        caveats
    }

    /// The part that a gateway is not asked for.
    pub(super) fn tool_only(&self) -> Option<Self> {
        self.tool.clone().map(|tool| Self { tool: Some(tool), ..Self::default() })
    }

    /// A narrower user name and password.
    pub(super) fn apply(&self, user: &str, password: &str) -> Result<(String, String), Failure> {
        narrowed(user, password, &self.caveats())
    }
}

fn narrowed(user: &str, password: &str, caveats: &[Caveat]) -> Result<(String, String), Failure> {
    let mut narrower = (user.to_owned(), zeroize::Zeroizing::new(password.to_owned()));
    for caveat in caveats {
        narrower =
            narrow(&narrower.0, &narrower.1, caveat).map_err(|error| Failure::Usage(error.to_string()))?;
    }
    Ok((narrower.0, narrower.1.to_string()))
}

impl Narrow {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut caveats = self.narrowing.caveats();
        caveats.extend(self.ttl.map(|ttl| Caveat::Until(now_us() / 1_000_000 + ttl)));
        if caveats.is_empty() {
            let text = "nothing to take away (hint: --only, --verb, --rows, --tool or --ttl)";
            return Err(Failure::Usage(text.to_owned()));
        }
        let mut text = String::new();
        std::io::stdin()
            .take(INPUT_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(Failure::io("cannot read standard input"))?;
        say(&connection(text.trim(), &caveats)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The same connection string with a narrower credential in it.
fn connection(text: &str, caveats: &[Caveat]) -> Result<String, Failure> {
    let unusable = || {
        let hint = "hint: `chaperone credential TARGET | chaperone credential narrow --rows 100`";
        Failure::Usage(format!("standard input is not a connection string of ours ({hint})"))
    };
    let mut url = Url::parse(text).map_err(|_| unusable())?;
    if !matches!(url.scheme(), "postgresql" | "postgres") {
        return Err(unusable());
    }
    let password = url.password().ok_or_else(unusable)?;
    let (user, password) = narrowed(url.username(), password, caveats)?;
    url.set_username(&user).map_err(|()| unusable())?;
    url.set_password(Some(&password)).map_err(|()| unusable())?;
    Ok(url.to_string())
}

#[cfg(test)]
mod tests {
    use chaperone_access::SubjectKind;
    use chaperone_identity::{Grant, RootKey, RootKeys, Who};

    use super::*;

    #[test]
    fn a_connection_string_stays_what_it_is_but_for_its_credential() {
        let keys = RootKeys::new(RootKey::new(1, [7; 32]), Vec::new());
        let who = Who::Named {
            issuer: "dev".to_owned(),
            kind: SubjectKind::Person,
            sub: "ana".to_owned(),
            groups: ["nurses".to_owned()].into(),
        };
        let grant = Grant {
            who,
            client: None,
            target: "ehr".parse().unwrap(),
            purpose: None,
            not_before: 1,
            not_after: 2,
        };
        let made = keys.issue(&grant).unwrap();
        let tail = "gateway.example:6432/ehr?sslmode=verify-full&sslrootcert=%2Fca.pem";
        let text = format!("postgresql://{}:{}@{tail}", made.user, &*made.password);
        let rows = connection(&text, &[Caveat::Rows(5)]).unwrap();
        let (user, password) = narrowed(&made.user, &made.password, &[Caveat::Rows(5)]).unwrap();
        assert_eq!(rows, format!("postgresql://{user}:{password}@{tail}"));
        let twice = connection(&rows, &[Caveat::Until(1)]).unwrap();
        let both = narrowed(&made.user, &made.password, &[Caveat::Rows(5), Caveat::Until(1)]).unwrap();
        assert_eq!(twice, format!("postgresql://{}:{}@{tail}", both.0, both.1));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for text in ["", "x", "postgresql://ana:word@h/d", "https://a:b@h/d", "postgresql://h/d"] {
            assert!(connection(text, &[Caveat::Rows(5)]).is_err(), "{text}");
        }
    }
}
