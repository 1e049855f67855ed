use super::*;
use crate::holder::{Holders, TokenRefused};
use crate::standing::Lapse;

const NOW: u64 = 1_795_000_000;
const DAY: u64 = 24 * 3600;

#[derive(Default)]
struct Disk(Mutex<BTreeMap<String, Service>>);

impl ServiceStore for Disk {
    fn services(&self) -> io::Result<Vec<Service>> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }

    fn put_service(&self, service: &Service) -> io::Result<()> {
        self.0.lock().unwrap().insert(service.name.clone(), service.clone());
        Ok(())
    }
}

fn person(sub: &str) -> Subject {
    Subject { issuer: "acme".into(), kind: SubjectKind::Person, sub: sub.into() }
}

fn set() -> (Arc<Disk>, Arc<People>, Arc<Services>) {
    let (disk, people) = (Arc::new(Disk::default()), Arc::new(People::default()));
    people.meet(&person("ana"), None, NOW).unwrap();
    let services = Arc::new(Services::open(disk.clone(), people.clone()).unwrap());
    (disk, people, services)
}

fn create(services: &Services, name: &str, owner: &str, ttl_s: u64) -> Result<ServiceChange, ServiceError> {
    services.create(name, person(owner), BTreeSet::from(["loaders".into()]), NOW, ttl_s)
}

fn check(services: &Arc<Services>, key: &str, now_s: u64) -> Result<(), TokenRefused> {
    let holders = Holders { services: services.clone(), ..Holders::default() };
    holders.by_token(key, now_s).map(drop)
}

#[test]
fn a_key_has_an_owner_and_an_end_and_is_kept_hashed() {
    let (disk, people, services) = set();
    let told = |owner: &str| create(&services, "etl", owner, DAY).err().unwrap().to_string();
    assert!(
        told("eva").contains("`acme/eva`") && told("eva").contains("runs `chaperone login` once"),
        "{}",
        told("eva")
    );
    // Whether somebody is unknown or disabled is told to whoever may list people, and not here.
    people.keep(people.weigh_disable(&person("bea"), "left", "ops", NOW).unwrap()).unwrap();
    people.meet(&person("bea"), None, NOW).unwrap();
    assert_eq!(told("bea"), told("eva").replace("eva", "bea"));
    assert!(matches!(create(&services, "etl", "ana", KEY_S_MAX + 1), Err(ServiceError::Life)));
    assert!(matches!(create(&services, "etl", "ana", 0), Err(ServiceError::Life)));
    for name in ["", "Etl", "1etl", "a/b", "administrator", &"x".repeat(64)] {
        assert!(matches!(create(&services, name, "ana", DAY), Err(ServiceError::Name(_))), "{name}");
    }
    let (service, key) = services.keep(create(&services, "etl", "ana", DAY).unwrap()).unwrap();
    let key = key.unwrap();
    assert!(key.starts_with("cps1."));
    assert_eq!(service.subject().issuer, LOCAL_ISSUER);
    assert!(matches!(create(&services, "etl", "ana", DAY), Err(ServiceError::Exists(_))));
    assert_eq!(check(&services, &key, NOW + DAY - 1), Ok(()));
    assert_eq!(check(&services, &key, NOW + DAY), Err(TokenRefused::Lapsed(Lapse::Expired)));
    let kept = serde_json::to_string(&disk.0.lock().unwrap()["etl"]).unwrap();
    assert!(!kept.contains(key.rsplit_once('.').unwrap().1));
    let again = Arc::new(Services::open(disk, people.clone()).unwrap());
    assert_eq!(check(&again, &key, NOW), Ok(()));
    // It does nothing while its owner may not.
    people.keep(people.weigh_disable(&person("ana"), "left", "ops", NOW).unwrap()).unwrap();
    assert_eq!(check(&services, &key, NOW), Err(TokenRefused::Lapsed(Lapse::Disabled)));
    assert!(matches!(services.rotate("etl", NOW, DAY, 60), Err(ServiceError::Owner(_))));
    assert_eq!(services.owned_by(&person("ana")).len(), 1);
}

#[test]
fn a_rotated_key_overlaps_and_a_revoked_one_does_not() {
    let (disk, people, services) = set();
    let (_, old) = services.keep(create(&services, "etl", "ana", DAY).unwrap()).unwrap();
    let old = old.unwrap();
    let standing = services.by_key(services.get("etl").unwrap().keys[0].id).unwrap().1;
    assert!(matches!(services.rotate("etl", NOW, DAY, OVERLAP_S_MAX + 1), Err(ServiceError::Life)));
    assert!(matches!(services.rotate("other", NOW, DAY, 60), Err(ServiceError::Unknown(_))));
    let (_, new) = services.keep(services.rotate("etl", NOW, 2 * DAY, 60).unwrap()).unwrap();
    let new = new.unwrap();
    for services in [services.clone(), Arc::new(Services::open(disk.clone(), people.clone()).unwrap())] {
        assert_eq!((check(&services, &old, NOW + 59), check(&services, &new, NOW + 59)), (Ok(()), Ok(())));
        assert_eq!(check(&services, &old, NOW + 60), Err(TokenRefused::Lapsed(Lapse::Expired)));
        assert_eq!(check(&services, &new, NOW + DAY), Ok(()));
    }
    // Whoever has the old key open sees it end.
    assert_eq!(standing.check(NOW + 60), Err(Lapse::Expired));
    let slow = services.rotate("etl", NOW, DAY, 60).unwrap();
    let ending = Ending { cause: EndCause::Administrator, learned_at_us: 5 };
    let (revoked, none) = services.keep(services.revoke("etl", ending.clone()).unwrap()).unwrap();
    assert!(none.is_none() && revoked.revoked == Some(ending.clone()));
    assert_eq!(check(&services, &new, NOW), Err(TokenRefused::Lapsed(Lapse::Ended(ending.clone()))));
    assert!(matches!(services.keep(slow), Err(ServiceError::Raced)));
    assert!(matches!(services.revoke("etl", ending), Err(ServiceError::Unknown(_))));
    assert!(matches!(create(&services, "etl", "ana", DAY), Err(ServiceError::Exists(_))));
    let again = Arc::new(Services::open(disk, people).unwrap());
    assert!(check(&again, &new, NOW).is_err());
}

#[test]
fn many_rotations_forget_the_oldest_keys() {
    let (_, _, services) = set();
    let (_, first) = services.keep(create(&services, "etl", "ana", DAY).unwrap()).unwrap();
    let standing = services.by_key(services.get("etl").unwrap().keys[0].id).unwrap().1;
    for _ in 0..KEYS_MAX {
        let _service = services.keep(services.rotate("etl", NOW, DAY, 60).unwrap()).unwrap();
    }
    assert_eq!(services.get("etl").unwrap().keys.len(), KEYS_MAX);
    assert_eq!(check(&services, &first.unwrap(), NOW), Err(TokenRefused::Unknown));
    assert!(matches!(standing.check(NOW), Err(Lapse::Ended(_))));
    let names: Vec<String> = services.list(Some("a"), 5).into_iter().map(|service| service.name).collect();
    assert_eq!(names, ["etl"]);
}
