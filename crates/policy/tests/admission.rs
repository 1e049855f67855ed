//! Admissions follow what is true now: policies, locks, the holder's standing.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::{digest, hmac, pbkdf2};
use chaperone_access::{
    Analysis, ChannelBinding, Claim, Confined, Effect, Member, NameRule, Refusal, RefusalCode, RelationName,
    Rewrite, Scope, ScramClaim, SessionEffect, Since, Source, SubjectKind, TargetName, Touch, Verb, Verbs,
};
use chaperone_identity::{
    Caveat, Facts, Grant, Holders, Identity, NoRevocations, People, Principal, RootKey, RootKeys, Who, narrow,
};
use chaperone_policy::{Admission, Decision, Known, LIMITS_FILE, Lock, LockOn, Policies, PolicySet};

const NOW: u64 = 1_795_000_000;
const NOW_US: u64 = NOW * 1_000_000;

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// A nurse who proved who she is, as a client does (RFC 5802, section 3).
async fn ana(people: &Arc<People>, rows: Option<u64>) -> Principal {
    let keys = || RootKeys::new(RootKey::new(1, [7; 32]), Vec::new());
    let identity =
        Identity::new(keys(), Arc::new(NoRevocations)).holding(Arc::new(Holders::default()), people.clone());
    let grant = Grant {
        who: Who::Named {
            issuer: "dev".into(),
            kind: SubjectKind::Person,
            sub: "ana".into(),
            groups: BTreeSet::from(["nurses".to_owned()]),
        },
        client: Some("claude".into()),
        target: ehr(),
        purpose: None,
        not_before: NOW - 10,
        not_after: NOW + 3600,
    };
    let made = keys().issue(&grant).unwrap();
    let (user, password) = match rows {
        Some(rows) => narrow(&made.user, &made.password, &Caveat::Rows(rows)).unwrap(),
        None => (made.user, made.password),
    };
    let (salt, iterations) = identity.challenge(&user);
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let message = b"n=,r=a,r=ab,s=,i=4096,c=biws,r=ab".to_vec();
    let mut proof = [0; 32];
    for (out, (key, signature)) in proof.iter_mut().zip(client_key.iter().zip(mac(stored.as_ref(), &message)))
    {
        *out = key ^ signature;
    }
    let claim = Claim::Scram(ScramClaim {
        user: user.as_str().into(),
        target: "ehr".into(),
        channel_binding: ChannelBinding::None,
        auth_message: message,
        proof,
        salt,
        iterations,
        source: Source::Local,
        application: None,
    });
    identity.authenticate(claim, NOW_US).await.unwrap().0
}

fn ehr() -> TargetName {
    TargetName::new("ehr").unwrap()
}

fn load(text: &str, limits: &str) -> PolicySet {
    let known = Known { targets: BTreeSet::from([ehr()]), relations: BTreeMap::new(), ..Known::default() };
    let files = [("a.cedar".to_owned(), text.to_owned()), (LIMITS_FILE.to_owned(), limits.to_owned())];
    PolicySet::load(&files, &known).unwrap().0
}

fn read_patients() -> Arc<Analysis> {
    let touch = Touch {
        relation: RelationName::new("public", "patients"),
        rule: NameRule::Named,
        verbs: Verbs::NONE.with(Verb::Read),
        within: Vec::new(),
        facts: None,
    };
    let member = Member {
        tag: "SELECT",
        template: [0; 32],
        touches: vec![touch],
        whole: Verbs::NONE,
        effect: Effect::ReadOnly,
        session: SessionEffect::None,
        uses: Arc::from([]),
        subjects: chaperone_access::Subjects::None,
        free_text: chaperone_access::FreeText::None,
        results: None,
        names_unknown: false,
    };
    Arc::new(Analysis {
        text: "select 1".into(),
        members: Arc::from([member]),
        confined: Confined::made(Ok("SELECT 1".into())),
        replaced: None,
        forbidden: None,
        catalog_version: 1,
        classified: false,
        describes: None,
        invokes: None,
    })
}

const NURSES: &str = r#"
permit (principal in Group::"dev/nurses", action in [Action::"connect", Action::"read"], resource in Target::"ehr");
"#;

struct Open {
    policies: Policies,
    admission: Admission,
    people: Arc<People>,
    analysis: Arc<Analysis>,
}

async fn open(text: &str, limits: &str) -> Open {
    let policies = Policies::new(load(text, limits));
    let people = Arc::new(People::default());
    let admission = policies.admit(ana(&people, None).await, true, NOW_US).unwrap();
    Open { policies, admission, people, analysis: read_patients() }
}

impl Open {
    /// What a statement comes to, and whether a sweep says the same of the session: `None` is allowed.
    fn refused(&self, now_us: u64) -> Option<RefusalCode> {
        let swept = self.policies.still_admits(self.admission.facts(), now_us);
        match self.policies.decide(&self.admission, &self.analysis, now_us) {
            Decision::Allow(_) => {
                assert!(swept.is_ok(), "{swept:?}");
                None
            }
            Decision::Hold(question) => Some(question.denied().refusal.code),
            Decision::Refuse(denied) => Some(denied.refusal.code),
        }
    }

    fn swept(&self, now_us: u64) -> Option<RefusalCode> {
        self.policies.still_admits(self.admission.facts(), now_us).err().map(|refusal| refusal.code)
    }
}

/// Words of a statement that may be deep: counts how often they are made.
struct Deep(Arc<AtomicUsize>);

impl Rewrite for Deep {
    fn rewrite(&self, _scope: &Scope) -> Result<Arc<str>, Refusal> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok("SELECT 1".into())
    }

    fn is_deep(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn what_is_written_out_beforehand_is_not_written_out_by_a_decision() {
    let open = open(NURSES, "").await;
    assert!(open.policies.unwritten(&open.admission, &open.analysis, NOW_US).is_none(), "made at once");
    let made = Arc::new(AtomicUsize::new(0));
    let deep = |change: fn(&mut Analysis)| {
        let mut analysis = Analysis::clone(&open.analysis);
        analysis.confined = Confined::by(Deep(made.clone()));
        change(&mut analysis);
        Arc::new(analysis)
    };
    let analysis = deep(|_| {});
    let unwritten = open.policies.unwritten(&open.admission, &analysis, NOW_US).unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 0, "asking makes nothing");
    unwritten.write();
    assert_eq!(made.load(Ordering::Relaxed), 1);
    assert!(open.policies.unwritten(&open.admission, &analysis, NOW_US).is_none(), "it is known");
    assert!(matches!(open.policies.decide(&open.admission, &analysis, NOW_US), Decision::Allow(_)));
    assert_eq!(made.load(Ordering::Relaxed), 1, "it was found");
    // Nothing is made for whoever is refused anyway.
    let refused = deep(|analysis| {
        Arc::make_mut(&mut analysis.members)[0].touches[0].verbs = Verbs::NONE.with(Verb::Delete)
    });
    assert!(open.policies.unwritten(&open.admission, &refused, NOW_US).is_none());
    let forbidden = deep(|analysis| analysis.forbidden = Some(Refusal::new(RefusalCode::NotPermitted, "no")));
    assert!(open.policies.unwritten(&open.admission, &forbidden, NOW_US).is_none());
}

#[tokio::test]
async fn what_means_the_same_is_decided_once_and_sent_in_words_of_its_own() {
    let open = open(NURSES, "").await;
    let said = |words: Result<&str, RefusalCode>| {
        let words = words.map(Arc::from).map_err(|code| Refusal::new(code, "no"));
        let confined = Confined::made(words);
        Arc::new(Analysis { confined, ..Analysis::clone(&open.analysis) })
    };
    let permit = |analysis: &Arc<Analysis>| match open.policies.decide(&open.admission, analysis, NOW_US) {
        Decision::Allow(permit) => {
            assert!(Arc::ptr_eq(permit.analysis(), analysis));
            Ok((permit.scope().cloned().unwrap(), permit.text().map(ToString::to_string)))
        }
        Decision::Hold(_) => panic!("nobody is asked"),
        Decision::Refuse(denied) => Err(denied.refusal.code),
    };
    let (one, other) = (said(Ok("SELECT 1")), said(Ok("SELECT 2")));
    let (scope, words) = permit(&one).unwrap();
    assert_eq!(words.as_deref(), Some("SELECT 1"));
    for _ in 0..2 {
        let (same, words) = permit(&other).unwrap();
        assert!(Arc::ptr_eq(&same, &scope), "it was not decided again");
        assert_eq!(words.as_deref(), Some("SELECT 2"));
    }
    assert_eq!(permit(&said(Err(RefusalCode::NotUnderstood))), Err(RefusalCode::NotUnderstood));
    // What is refused says so of each by itself.
    let delete = |words| {
        let mut analysis = Analysis::clone(&said(Ok(words)));
        Arc::make_mut(&mut analysis.members)[0].touches[0].verbs = Verbs::NONE.with(Verb::Delete);
        assert!(!analysis.means_what(&one));
        Arc::new(analysis)
    };
    assert_eq!(permit(&delete("DELETE 1")), Err(RefusalCode::NotPermitted));
    // Words that have to be waited for are made beforehand, also where the decision is known.
    let made = Arc::new(AtomicUsize::new(0));
    let deep = Analysis { confined: Confined::by(Deep(made.clone())), ..Analysis::clone(&one) };
    let deep = Arc::new(deep);
    permit(&one).unwrap();
    open.policies.unwritten(&open.admission, &deep, NOW_US).unwrap().write();
    assert!(open.policies.unwritten(&open.admission, &deep, NOW_US).is_none());
    assert!(Arc::ptr_eq(&permit(&deep).unwrap().0, &scope));
    assert_eq!(made.load(Ordering::Relaxed), 1);
    // With everything permitted, nobody's words are another's.
    open.policies.replace(load("permit (principal, action, resource);", ""));
    let seeming = Arc::new(Analysis { replaced: Some("SHOW x".into()), ..Analysis::clone(&one) });
    let sent = |analysis| match open.policies.decide(&open.admission, analysis, NOW_US) {
        Decision::Allow(permit) => permit.text().map(ToString::to_string),
        Decision::Hold(_) | Decision::Refuse(_) => panic!("it is permitted"),
    };
    assert_eq!([sent(&one), sent(&seeming), sent(&other)], [None, Some("SHOW x".to_owned()), None]);
}

#[tokio::test]
async fn whoever_sends_his_own_words_waits_for_no_others() {
    let everything = "permit (principal in Group::\"dev/nurses\", action, resource in Target::\"ehr\");";
    let open = open(everything, "").await;
    let mut analysis = Analysis::clone(&open.analysis);
    analysis.confined = Confined::by(Deep(Arc::default()));
    assert!(open.policies.unwritten(&open.admission, &Arc::new(analysis), NOW_US).is_none());
}

#[tokio::test]
async fn an_open_session_shrinks_with_its_groups() {
    let open = open(
        "permit (principal in Group::\"dev/nurses\", action == Action::\"read\", resource in Target::\"ehr\");\n\
         permit (principal == Person::\"dev/ana\", action == Action::\"connect\", resource == Target::\"ehr\");",
        "[[limit]]\ngroup = \"dev/temps\"\nidle_s = 5\n",
    )
    .await;
    assert_eq!(open.refused(NOW_US), None);
    let standing = open.admission.facts().standing().clone();
    let facts = Facts::clone(&standing.facts());
    standing.learn(Facts { groups: BTreeSet::from(["temps".to_owned()]), ..facts.clone() });
    assert_eq!(open.refused(NOW_US), Some(RefusalCode::NotPermitted));
    assert_eq!(open.swept(NOW_US), None, "she may still be there");
    assert_eq!(open.policies.limits(&open.admission, NOW_US).idle_s, Some(5));
    standing.learn(facts);
    assert_eq!(open.refused(NOW_US), None);
    assert_eq!(open.policies.limits(&open.admission, NOW_US).idle_s, None);
}

#[tokio::test]
async fn a_session_that_may_not_connect_any_more_is_refused_everything_and_swept() {
    let open = open(NURSES, "").await;
    let version = open.policies.version();
    assert_eq!(open.refused(NOW_US), None);
    open.policies.replace(load(&NURSES.replace("Action::\"connect\", ", ""), ""));
    assert!(open.policies.version() > version);
    assert_eq!(open.refused(NOW_US), Some(RefusalCode::NotPermitted));
    assert_eq!(open.swept(NOW_US), Some(RefusalCode::NotPermitted));
    open.policies.replace(load(NURSES, ""));
    assert_eq!(open.refused(NOW_US), None);
}

#[tokio::test]
async fn a_lock_closes_open_sessions_and_new_ones_until_it_is_lifted() {
    let open = open(NURSES, "").await;
    let places = [LockOn::Subject("dev/ana".into()), LockOn::Target(ehr()), LockOn::Client("claude".into())];
    for on in places {
        assert_eq!(open.refused(NOW_US), None, "{on:?}");
        let lock =
            Lock { at: NOW_US, by: "ops".into(), id: "l1".into(), on: on.clone(), reason: "why".into() };
        open.policies.place_lock(lock).unwrap();
        assert_eq!(open.refused(NOW_US), Some(RefusalCode::Locked), "{on:?}");
        assert_eq!(open.swept(NOW_US), Some(RefusalCode::Locked), "{on:?}");
        let denial = open.policies.admit(ana(&open.people, None).await, true, NOW_US).err().unwrap();
        assert_eq!(denial.refusal.code, RefusalCode::Locked);
        assert!(
            !denial.refusal.to_string().contains("why"),
            "the reason is not for the one who is locked out"
        );
        assert_eq!(open.policies.lift_lock("l1").unwrap().on, on);
    }
    assert_eq!(open.refused(NOW_US), None);
}

#[tokio::test]
async fn a_lock_tells_nothing_to_whoever_may_not_connect() {
    let policies = Policies::new(load("", ""));
    let lock =
        Lock { at: 1, by: "ops".into(), id: "l1".into(), on: LockOn::Target(ehr()), reason: "x".into() };
    policies.place_lock(lock).unwrap();
    let people = Arc::new(People::default());
    let locked = policies.admit(ana(&people, None).await, true, NOW_US).err().unwrap();
    policies.lift_lock("l1");
    let missing = policies.admit(ana(&people, None).await, false, NOW_US).err().unwrap();
    assert_eq!(locked.refusal, missing.refusal);
    assert_eq!(locked.refusal.code, RefusalCode::UndefinedTarget);
}

#[tokio::test]
async fn a_lapsed_standing_ends_everything() {
    let open = open(NURSES, "").await;
    assert_eq!(open.refused((NOW + 3599) * 1_000_000), None);
    assert_eq!(open.refused((NOW + 3600) * 1_000_000), Some(RefusalCode::LoginEnded));
    assert_eq!(open.swept((NOW + 3600) * 1_000_000), Some(RefusalCode::LoginEnded));
    let subject = open.admission.delegation().subject.clone();
    open.people.meet(&subject, None, NOW).unwrap();
    let disabled = open.people.weigh_disable(&subject, "left", "ops", NOW_US).unwrap();
    open.people.keep(disabled).unwrap();
    assert_eq!(open.refused(NOW_US), Some(RefusalCode::LoginEnded));
    assert_eq!(open.swept(NOW_US), Some(RefusalCode::LoginEnded));
}

#[tokio::test]
async fn a_connect_that_depends_on_the_time_is_asked_again() {
    let hour = 3600 * 1_000_000;
    let midnight = NOW_US - NOW_US % (24 * hour);
    let limit = (NOW_US - midnight) / hour + 1;
    let text = NURSES.replace(");", &format!(") when {{ context.time.toTime() < duration(\"{limit}h\") }};"));
    let open = open(&text, "").await;
    assert!(open.policies.now().connect_reads_time());
    assert_eq!(open.refused(NOW_US), None);
    let late = midnight + limit * hour;
    assert!(late < NOW_US + hour + 1, "within the credential's life");
    assert_eq!(open.refused(late), Some(RefusalCode::NotPermitted));
    assert_eq!(open.swept(late), Some(RefusalCode::NotPermitted));
}

#[tokio::test]
async fn a_narrowed_credential_has_the_tighter_of_both_limits() {
    let limits = "[[limit]]\nrows_per_statement = 100\n";
    let policies = Policies::new(load(NURSES, limits));
    let people = Arc::new(People::default());
    for (narrowed, expected) in [(None, 100), (Some(7), 7), (Some(1000), 100)] {
        let admission = policies.admit(ana(&people, narrowed).await, true, NOW_US).unwrap();
        assert_eq!(policies.limits(&admission, NOW_US).rows_per_statement, Some(expected), "{narrowed:?}");
    }
}

#[tokio::test]
async fn what_runs_goes_on_while_it_is_permitted_and_shows_no_less() {
    let everything = "permit (principal in Group::\"dev/nurses\", action, resource in Target::\"ehr\");";
    let open = open(NURSES, "").await;
    let sent = || match open.policies.decide(&open.admission, &open.analysis, NOW_US) {
        Decision::Allow(permit) => permit.scope().cloned(),
        Decision::Hold(_) | Decision::Refuse(_) => None,
    };
    let still = |analysis: &Arc<Analysis>, then: &Option<Arc<Scope>>| {
        let since = Since::unchanged(analysis);
        let still = open.policies.still_permits(&open.admission, &since, then.as_ref(), NOW_US);
        still.map_err(|denied| denied.refusal.code)
    };
    let restricted = sent();
    assert!(restricted.is_some());
    open.policies.replace(load(everything, ""));
    let own = sent();
    assert_eq!(
        (&own, still(&open.analysis, &restricted), still(&open.analysis, &own)),
        (&None, Ok(()), Ok(()))
    );
    // His own words go on where nothing else would be sent now than what shows the same.
    open.policies.replace(load(NURSES, ""));
    assert_eq!((still(&open.analysis, &restricted), still(&open.analysis, &own)), (Ok(()), Ok(())));
    let change = |change: fn(&mut Analysis)| {
        let mut analysis = Analysis::clone(&open.analysis);
        change(&mut analysis);
        Arc::new(analysis)
    };
    let gone = Err(RefusalCode::NotPermitted);
    let texts = change(|analysis| {
        let free = chaperone_access::FreeText::At { at: [0].into(), of: 1 };
        Arc::make_mut(&mut analysis.members)[0].free_text = free;
    });
    assert_eq!((still(&texts, &restricted), still(&texts, &own)), (Ok(()), gone));
    let unwritable = change(|analysis| {
        analysis.confined = Confined::made(Err(Refusal::new(RefusalCode::NotUnderstood, "no")));
    });
    assert_eq!(still(&unwritable, &own), gone);
    // What the classification says of the relation hides it from somebody who does not have everything.
    let classified = change(|analysis| {
        let column = chaperone_access::Column {
            name: "ssn".into(),
            class: chaperone_access::Class::Tagged(["phi.ssn".into()].into()),
            mask: None,
            subject: false,
            scan: false,
        };
        let facts = chaperone_access::RelationFacts { columns: vec![column], filtered: false };
        analysis.classified = true;
        Arc::make_mut(&mut analysis.members)[0].touches[0].facts = Some(Arc::new(facts));
    });
    assert_eq!(still(&classified, &own), gone);
    // Another mask, another filter, and what is to be looked through now: each is shown otherwise to whoever sees a part.
    let masks = NURSES.replace("\"read\"", "\"read\", Action::\"useMasked\"");
    open.policies.replace(load(&masks, ""));
    let by = |mask, scan, filtered| {
        let mut analysis = Analysis::clone(&classified);
        let facts = Arc::make_mut(&mut analysis.members)[0].touches[0].facts.as_mut().unwrap();
        let facts = Arc::make_mut(facts);
        (facts.columns[0].mask, facts.columns[0].scan, facts.filtered) = (mask, scan, filtered);
        Arc::new(analysis)
    };
    let (four, year) =
        (Some(chaperone_access::MaskOperator::LastFour), Some(chaperone_access::MaskOperator::Year));
    let goes_on = |then: &Arc<Analysis>, now: &Arc<Analysis>, filtered: bool| {
        let seen = match open.policies.decide(&open.admission, then, NOW_US) {
            Decision::Allow(permit) => permit.scope().cloned(),
            Decision::Hold(_) | Decision::Refuse(_) => None,
        };
        assert!(seen.is_some());
        let relation = now.members[0].touches[0].relation.clone();
        let filtered = filtered.then_some(relation).into_iter().collect();
        let since = Since { then: then.clone(), now: now.clone(), filtered };
        let still = open.policies.still_permits(&open.admission, &since, seen.as_ref(), NOW_US);
        still.map_err(|denied| denied.refusal.message)
    };
    let otherwise = Err("what it reads is to be shown otherwise now".to_owned());
    let masked = by(four.clone(), false, false);
    assert_eq!(goes_on(&masked, &masked, false), Ok(()));
    assert_eq!(goes_on(&masked, &by(year, false, false), false), otherwise);
    let picked = by(four, false, true);
    assert_eq!(
        (goes_on(&picked, &picked, false), goes_on(&picked, &picked, true)),
        (Ok(()), otherwise.clone())
    );
    open.policies.replace(load(&masks.replace("useMasked", "reveal"), ""));
    assert_eq!(goes_on(&masked, &by(None, true, false), false), otherwise);
    for fewer in [NURSES.replace("\"read\"", "\"insert\""), NURSES.replace("Action::\"connect\", ", "")] {
        open.policies.replace(load(&fewer, ""));
        assert_eq!((still(&open.analysis, &restricted), still(&open.analysis, &own)), (gone, gone));
    }
}
