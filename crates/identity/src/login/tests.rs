use std::collections::BTreeSet;

use chaperone_access::SubjectKind;

use super::*;
use crate::holder::{Holders, TokenRefused};
use crate::service::Services;
use crate::token::tests::verified;

const NOW: u64 = 1_795_000_000;

/// What a disk would keep.
#[derive(Default)]
struct Disk {
    kept: Mutex<HashMap<LoginId, Login>>,
    broken: std::sync::atomic::AtomicBool,
}

impl LoginStore for Disk {
    fn logins(&self) -> io::Result<Vec<Login>> {
        Ok(self.kept.lock().unwrap().values().cloned().collect())
    }

    fn put_login(&self, login: &Login) -> io::Result<()> {
        if self.broken.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(io::Error::other("disk full"));
        }
        self.kept.lock().unwrap().insert(login.id, login.clone());
        Ok(())
    }

    fn remove_login(&self, id: LoginId) -> io::Result<()> {
        self.kept.lock().unwrap().remove(&id);
        Ok(())
    }
}

fn person(sub: &str) -> Subject {
    Subject { issuer: "acme".into(), kind: SubjectKind::Person, sub: sub.into() }
}

fn facts(groups: &[&str]) -> Facts {
    let mut facts = Facts::of(person("ana"), groups.iter().map(|group| (*group).to_owned()).collect());
    facts.assurance =
        Some(Assurance { acr: Some("mfa".into()), amr: BTreeSet::from(["otp".into()]), at: NOW - 60 });
    facts
}

fn terms() -> BTreeMap<String, Terms> {
    BTreeMap::from([
        ("acme".into(), Terms { recheck_s_max: Some(300), login_s_max: 3600 }),
        ("cluster".into(), Terms { recheck_s_max: None, login_s_max: 3600 }),
    ])
}

fn open(disk: &Arc<Disk>, people: &Arc<People>) -> Arc<Logins> {
    Arc::new(Logins::open(disk.clone(), people.clone(), terms()).unwrap())
}

struct Set {
    disk: Arc<Disk>,
    people: Arc<People>,
    logins: Arc<Logins>,
}

impl Set {
    fn new() -> Self {
        let (disk, people) = (Arc::new(Disk::default()), Arc::new(People::default()));
        let logins = open(&disk, &people);
        Self { disk, people, logins }
    }

    fn holders(&self) -> Holders {
        Holders { logins: self.logins.clone(), services: Arc::new(Services::default()) }
    }

    fn log_in(&self) -> (Login, Zeroizing<String>) {
        let new = self.logins.log_in(verified(facts(&["nurses"]), NOW, NOW + 60), NOW).unwrap();
        self.logins.keep(new).unwrap()
    }
}

#[test]
fn a_login_is_known_by_its_token_alone_and_outlives_a_restart() {
    let mut set = Set::new();
    let (login, token) = set.log_in();
    for restarted in [false, true] {
        if restarted {
            set.logins = open(&set.disk, &set.people);
        }
        let holder = set.holders().by_token(&token, NOW + 1).unwrap();
        assert_eq!(holder.who(), crate::Who::Login(login.id));
        assert!(holder.standing().facts().groups.contains("nurses"));
    }
    let kept = serde_json::to_string(&set.disk.kept.lock().unwrap()[&login.id]).unwrap();
    let secret = token.rsplit_once('.').unwrap().1;
    assert!(!kept.contains(secret), "{kept}");
    let last = if token.ends_with('A') { "B" } else { "A" };
    let other = format!("{}{last}AAA", &token[..token.len() - 4]);
    for wrong in
        [other.as_str(), &token[5..], "", "cpl1..", &token.replace("cpl1", "cps1"), &format!("{}.x", &*token)]
    {
        assert!(set.holders().by_token(wrong, NOW).is_err(), "{wrong}");
    }
}

#[test]
fn it_holds_only_as_long_as_its_issuer_was_heard() {
    let set = Set::new();
    let (login, token) = set.log_in();
    let (_, standing) = set.logins.get(login.id).unwrap();
    assert_eq!((standing.check(NOW + 299), standing.check(NOW + 300)), (Ok(()), Err(Lapse::Overdue)));
    let overdue = set.holders().by_token(&token, NOW + 400).unwrap_err();
    assert_eq!(overdue, TokenRefused::Lapsed(Lapse::Overdue));
    assert!(set.holders().by_token_or_overdue(&token, NOW + 400).is_ok());
    // The same old token proves nothing about now.
    let again = set.logins.refresh(login.id, verified(facts(&["nurses"]), NOW, NOW + 999), NOW + 400);
    assert!(matches!(again, Err(LoginError::Stale)));
    let older = set.logins.refresh(login.id, verified(facts(&["nurses"]), NOW - 1, NOW + 999), NOW + 1);
    assert!(matches!(older, Err(LoginError::Stale)));
    let fresh =
        set.logins.refresh(login.id, verified(facts(&["nurses"]), NOW + 400, NOW + 460), NOW + 400).unwrap();
    assert!(!fresh.changed());
    set.logins.keep_refreshed(fresh).unwrap();
    assert_eq!((standing.check(NOW + 400), standing.version()), (Ok(()), 0));
    // Its own end comes whatever the issuer says.
    let late = verified(facts(&["nurses"]), NOW + 3600, NOW + 3700);
    assert!(matches!(set.logins.refresh(login.id, late, NOW + 3600), Err(LoginError::Over(Lapse::Expired))));
    assert_eq!(set.logins.overripe(NOW + 3600), [(login.id, EndCause::Expired)]);
    assert!(matches!(
        set.logins.log_in(verified(facts(&[]), NOW - 300, NOW + 60), NOW),
        Err(LoginError::Stale)
    ));
}

#[test]
fn a_group_that_is_taken_away_is_gone_from_open_sessions() {
    let set = Set::new();
    let (login, _) = set.log_in();
    let (_, standing) = set.logins.get(login.id).unwrap();
    let without = set.logins.refresh(login.id, verified(facts(&[]), NOW + 10, NOW + 60), NOW + 10).unwrap();
    assert!(without.changed());
    set.disk.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(set.logins.keep_refreshed(without).is_err());
    assert!(standing.facts().groups.is_empty() && standing.version() == 1);
    set.disk.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    let eva = Facts { subject: person("eva"), ..facts(&["nurses"]) };
    let other = set.logins.refresh(login.id, verified(eva, NOW + 20, NOW + 60), NOW + 20);
    assert!(matches!(other, Err(LoginError::OtherSubject)));
    // What was weighed against an older state does not come into force.
    let slow =
        set.logins.refresh(login.id, verified(facts(&["nurses"]), NOW + 20, NOW + 90), NOW + 20).unwrap();
    let fast = set.logins.refresh(login.id, verified(facts(&[]), NOW + 21, NOW + 90), NOW + 21).unwrap();
    set.logins.keep_refreshed(fast).unwrap();
    assert!(matches!(set.logins.keep_refreshed(slow), Err(LoginError::Raced)));
    assert!(standing.facts().groups.is_empty());
}

#[test]
fn a_refresh_neither_loses_nor_renews_how_one_authenticated() {
    let set = Set::new();
    let (login, _) = set.log_in();
    let mut silent = facts(&["nurses"]);
    silent.assurance = None;
    let refreshed = set.logins.refresh(login.id, verified(silent, NOW + 9, NOW + 60), NOW + 9).unwrap();
    assert!(!refreshed.changed());
    let before = facts(&[]).assurance;
    assert_eq!(refreshed.login().facts.assurance, before);
    let told = Assurance { at: NOW + 9, ..before.clone().unwrap() };
    assert_eq!(carried(Some(told), false, &login), before);
    // Of the same time nothing is lost; of another one nothing is carried.
    for (at, expected) in [(NOW - 60, true), (NOW - 30, false)] {
        let told = Assurance { acr: None, amr: BTreeSet::new(), at };
        let expected = if expected { before.clone() } else { Some(told.clone()) };
        assert_eq!(carried(Some(told), true, &login), expected);
    }
}

#[test]
fn an_end_is_at_once_for_good_and_even_without_a_disk() {
    let mut set = Set::new();
    let (login, token) = set.log_in();
    let (_, standing) = set.logins.get(login.id).unwrap();
    let ending = Ending { cause: EndCause::BackChannel, learned_at_us: NOW * US };
    set.disk.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(set.logins.end(login.id, ending.clone()).is_err());
    assert_eq!(standing.check(NOW), Err(Lapse::Ended(ending.clone())));
    assert!(set.logins.keep_ends().is_err());
    set.disk.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    set.logins.keep_ends().unwrap();
    assert_eq!(set.disk.kept.lock().unwrap()[&login.id].ended, Some(ending.clone()));
    let second = Ending { cause: EndCause::Logout, learned_at_us: NOW * US + 9 };
    assert_eq!(set.logins.end(login.id, second).unwrap().ended, Some(ending));
    set.logins = open(&set.disk, &set.people);
    assert_eq!(set.logins.last_end_s(&person("ana")), Some(NOW));
    assert_eq!(set.logins.last_end_s(&person("eva")), None);
    assert!(set.holders().by_token_or_overdue(&token, NOW).is_err());
    let back = set.logins.refresh(login.id, verified(facts(&[]), NOW + 9, NOW + 60), NOW + 9);
    assert!(matches!(back, Err(LoginError::Over(Lapse::Ended(_)))));
    set.logins.forget(NOW + ENDED_KEPT_S - 1).unwrap();
    assert!(set.logins.get(login.id).is_some());
    set.logins.forget(NOW + ENDED_KEPT_S).unwrap();
    assert!(set.logins.get(login.id).is_none() && set.disk.kept.lock().unwrap().is_empty());
}

#[test]
fn a_back_channel_logout_means_its_issuer_subject_and_session() {
    let set = Set::new();
    let (login, _) = set.log_in();
    let count = |issuer, sub, sid| set.logins.of_issuer(issuer, sub, sid).len();
    assert_eq!(count("acme", Some("ana"), None), 1);
    assert_eq!(count("acme", None, Some("s1")), 1);
    assert_eq!(count("acme", Some("ana"), Some("s1")), 1);
    assert_eq!(count("acme", Some("ana"), Some("s2")), 0);
    assert_eq!(count("acme", Some("eva"), None), 0);
    assert_eq!(count("other", Some("ana"), None), 0);
    assert_eq!(count("acme", None, None), 0);
    set.logins.end(login.id, Ending { cause: EndCause::BackChannel, learned_at_us: 1 }).unwrap();
    assert_eq!(count("acme", Some("ana"), None), 0);
}

#[test]
fn who_is_disabled_or_whose_issuer_is_gone_has_no_login() {
    let mut set = Set::new();
    let (login, token) = set.log_in();
    set.people.keep(set.people.weigh_disable(&person("ana"), "left", "ops", NOW).unwrap()).unwrap();
    assert_eq!(set.holders().by_token(&token, NOW).unwrap_err(), TokenRefused::Lapsed(Lapse::Disabled));
    let again = set.logins.log_in(verified(facts(&[]), NOW, NOW + 60), NOW);
    assert!(matches!(again, Err(LoginError::Disabled(_))));
    // Meeting somebody does not enable him.
    set.people.meet(&person("ana"), None, NOW).unwrap();
    assert!(set.people.is_disabled(&person("ana")));
    set.people.keep(set.people.weigh_enable(&person("ana")).unwrap()).unwrap();
    assert!(set.holders().by_token(&token, NOW).is_ok());
    // Taken out of the configuration and put back, while the gateway runs.
    set.logins.change_terms(BTreeMap::new());
    assert_eq!(set.holders().by_token(&token, NOW).unwrap_err(), TokenRefused::Lapsed(Lapse::Overdue));
    assert_eq!(set.logins.overripe(NOW), [(login.id, EndCause::IssuerRemoved)]);
    set.logins.change_terms(terms());
    assert!(set.holders().by_token(&token, NOW).is_ok());
    let none = Logins::open(set.disk.clone(), set.people.clone(), BTreeMap::new()).unwrap();
    set.logins = Arc::new(none);
    assert!(set.holders().by_token(&token, NOW).is_err());
    assert_eq!(set.logins.overripe(NOW), [(login.id, EndCause::IssuerRemoved)]);
    let unknown = set.logins.log_in(verified(facts(&[]), NOW, NOW + 60), NOW);
    assert!(matches!(unknown, Err(LoginError::Issuer(_))));
}

#[test]
fn a_workload_holds_as_long_as_its_token() {
    let set = Set::new();
    let subject = Subject { issuer: "cluster".into(), kind: SubjectKind::Service, sub: "etl".into() };
    let token = |at: u64, life: u64| verified(Facts::of(subject.clone(), BTreeSet::new()), at, at + life);
    let (login, _) = set.logins.keep(set.logins.log_in(token(NOW - 900, 1800), NOW).unwrap()).unwrap();
    let (_, standing) = set.logins.get(login.id).unwrap();
    assert_eq!((standing.check(NOW + 899), standing.check(NOW + 900)), (Ok(()), Err(Lapse::Expired)));
    set.logins
        .keep_refreshed(set.logins.refresh(login.id, token(NOW + 800, 9999), NOW + 800).unwrap())
        .unwrap();
    assert_eq!(standing.not_after_s(), NOW + 800 + 3600);
}

#[test]
fn pages_and_limits() {
    let set = Set::new();
    for _ in 0..LOGINS_OF_ONE_MAX {
        let _login = set.log_in();
    }
    let one_more = set.logins.log_in(verified(facts(&[]), NOW, NOW + 60), NOW);
    assert!(matches!(one_more, Err(LoginError::TooMany(_))));
    let first = set.logins.list(None, 100);
    let second = set.logins.list(first.last().map(|login| login.id), 1000);
    assert_eq!((first.len(), second.len()), (100, LOGINS_OF_ONE_MAX - 100));
    assert!(first.last().unwrap().id < second[0].id);
}

#[test]
fn whoever_logs_in_and_out_again_and_again_takes_nobody_elses_place() {
    let set = Set::new();
    for n in 0..LOGINS_OF_ONE_MAX as u64 * 2 {
        let (login, _) = set.log_in();
        set.logins.end(login.id, Ending { cause: EndCause::Logout, learned_at_us: n }).unwrap();
    }
    assert_eq!(set.logins.list(None, usize::MAX).len(), LOGINS_OF_ONE_MAX);
    assert_eq!(set.disk.kept.lock().unwrap().len(), LOGINS_OF_ONE_MAX);
    let oldest = set
        .logins
        .list(None, usize::MAX)
        .iter()
        .map(|login| login.ended.as_ref().unwrap().learned_at_us)
        .min();
    assert_eq!(oldest, Some(LOGINS_OF_ONE_MAX as u64));
}
