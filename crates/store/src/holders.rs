//! Logins, people and services: one small file each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_access::Subject;
use chaperone_identity::{Login, LoginId, LoginStore, PeopleStore, Person, Service, ServiceStore};

use crate::file::{read_all, remove, write};

/// Everybody who can hold a credential, in a folder of their own.
#[derive(Debug)]
pub struct HolderFiles {
    logins: PathBuf,
    people: PathBuf,
    services: PathBuf,
}

impl HolderFiles {
    /// Open the folder, making it where it does not exist.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let this = Self {
            logins: folder.join("logins"),
            people: folder.join("people"),
            services: folder.join("services"),
        };
        for folder in [&this.logins, &this.people, &this.services] {
            fs::create_dir_all(folder)?;
        }
        Ok(this)
    }
}

/// A file's name for a subject, whatever its issuer calls it.
fn file_name(subject: &Subject) -> io::Result<String> {
    let text = serde_json::to_vec(subject)?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
    Ok(URL_SAFE_NO_PAD.encode(digest))
}

impl LoginStore for HolderFiles {
    fn logins(&self) -> io::Result<Vec<Login>> {
        read_all(&self.logins)
    }

    fn put_login(&self, login: &Login) -> io::Result<()> {
        write(&self.logins, &login.id.to_string(), login)
    }

    fn remove_login(&self, id: LoginId) -> io::Result<()> {
        remove(&self.logins, &id.to_string()).map(drop)
    }
}

impl PeopleStore for HolderFiles {
    fn people(&self) -> io::Result<Vec<Person>> {
        read_all(&self.people)
    }

    fn put_person(&self, person: &Person) -> io::Result<()> {
        write(&self.people, &file_name(&person.subject)?, person)
    }
}

impl ServiceStore for HolderFiles {
    fn services(&self) -> io::Result<Vec<Service>> {
        read_all(&self.services)
    }

    fn put_service(&self, service: &Service) -> io::Result<()> {
        write(&self.services, &service.name, service)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use chaperone_access::SubjectKind;
    use chaperone_identity::{EndCause, Ending, Holders, Logins, People, Services, Terms};

    use super::*;

    const NOW: u64 = 1_795_000_000;

    fn subject(sub: &str) -> Subject {
        Subject { issuer: "acme".into(), kind: SubjectKind::Person, sub: sub.into() }
    }

    fn open(folder: &Path) -> (Arc<HolderFiles>, Arc<People>, Holders) {
        let files = Arc::new(HolderFiles::open(folder).unwrap());
        let people = Arc::new(People::open(files.clone()).unwrap());
        let terms = Terms { recheck_s_max: Some(300), login_s_max: 3600 };
        let terms = BTreeMap::from([("acme".to_owned(), terms)]);
        let holders = Holders {
            logins: Arc::new(Logins::open(files.clone(), people.clone(), terms).unwrap()),
            services: Arc::new(Services::open(files.clone(), people.clone()).unwrap()),
        };
        (files, people, holders)
    }

    #[test]
    fn holders_outlive_a_restart_and_half_files_are_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (files, people, holders) = open(folder.path());
        // Whatever an issuer calls somebody, the file stays in its folder.
        for sub in ["ana", "../../etc/passwd", "a/b", "a.half", "\u{1F600}"] {
            people.meet(&subject(sub), Some("Somebody"), NOW).unwrap();
        }
        people.keep(people.weigh_disable(&subject("a/b"), "left", "ops", NOW).unwrap()).unwrap();
        let made = holders.services.create("etl", subject("ana"), BTreeSet::new(), NOW, 60).unwrap();
        let (_, key) = holders.services.keep(made).unwrap();
        fs::write(folder.path().join("services/bad.half"), "{").unwrap();
        let login: Login = serde_json::from_value(serde_json::json!({"id": "AAAAAAAAAAAA", "facts": {
            "subject": subject("ana"), "groups": ["nurses"], "attributes": {"level": {"long": "-3"}}},
            "made_at": NOW, "checked_at": NOW, "not_after": NOW + 60, "secret": "A".repeat(43)}))
        .unwrap();
        files.put_login(&login).unwrap();

        let (_, people, holders) = open(folder.path());
        assert_eq!(people.list(None, 10).len(), 5);
        assert!(people.is_disabled(&subject("a/b")) && !people.is_disabled(&subject("ana")));
        assert!(holders.by_token(&key.unwrap(), NOW).is_ok());
        let (again, standing) = holders.logins.get(login.id).unwrap();
        assert_eq!((&again.facts, standing.check(NOW)), (&login.facts, Ok(())));
        let ending = Ending { cause: EndCause::Logout, learned_at_us: 1 };
        let _login = holders.logins.end(login.id, ending).unwrap();

        let (files, _, holders) = open(folder.path());
        assert!(holders.logins.get(login.id).unwrap().1.check(NOW).is_err());
        files.remove_login(login.id).unwrap();
        assert_eq!(files.logins().unwrap().len(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
