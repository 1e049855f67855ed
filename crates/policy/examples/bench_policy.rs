//! What loading, admission and decisions cost under 2,000 policies and with thousands of identities: medians and the value that
//! 99 of 100 do not exceed, as one JSON object.
//! `cargo run --release --package chaperone-policy --example bench_policy`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program of the bench's own"
)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use aws_lc_rs::{digest, hmac, pbkdf2};
use chaperone_access::{
    Analysis, ChannelBinding, Claim, Class, Column, Confined, Effect, MaskOperator, Member, NameRule,
    RelationFacts, RelationName, ScramClaim, SessionEffect, Source, Subject, SubjectKind, TargetName, Touch,
    Verb, Verbs,
};
use chaperone_identity::{Grant, Holders, Identity, NoRevocations, People, RootKey, RootKeys, Who};
use chaperone_policy::{Admission, Decision, Known, LIMITS_FILE, Lock, LockOn, Policies, PolicySet};

const POLICIES: usize = 2_000;
const NOW: u64 = 1_795_000_000;
const ROUNDS: usize = 200;
const LOADS: usize = 9;
const IDENTITIES: usize = 5_000;
const LOCKS: usize = 1_000;

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn keys() -> RootKeys {
    RootKeys::new(RootKey::new(1, [7; 32]), Vec::new())
}

/// What a nurse's client sends to prove who she is (RFC 5802, section 3).
fn nurse(identity: &Identity, number: usize) -> Claim {
    let grant = Grant {
        who: Who::Named {
            issuer: "dev".into(),
            kind: SubjectKind::Person,
            sub: format!("nurse{number}"),
            groups: (0..5).map(|n| format!("group{}", (7 + number + 20 * n) % 100)).collect(),
        },
        client: None,
        target: TargetName::new("ehr").unwrap(),
        purpose: None,
        not_before: NOW - 10,
        not_after: NOW + 3600,
    };
    let made = keys().issue(&grant).unwrap();
    let (salt, iterations) = identity.challenge(&made.user);
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(iterations).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, made.password.as_bytes(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let message = b"n=,r=a,r=ab,s=,i=4096,c=biws,r=ab".to_vec();
    let mut proof = [0; 32];
    for (out, (key, signature)) in proof.iter_mut().zip(client_key.iter().zip(mac(stored.as_ref(), &message)))
    {
        *out = key ^ signature;
    }
    Claim::Scram(ScramClaim {
        user: made.user.as_str().into(),
        target: "ehr".into(),
        channel_binding: ChannelBinding::None,
        auth_message: message,
        proof,
        salt,
        iterations,
        source: Source::Local,
        application: None,
    })
}

/// What columns hold in the bench's target, each relation having another part of it.
const TAGS: [&str; 12] = [
    "phi.name",
    "phi.geo",
    "phi.date",
    "phi.phone",
    "phi.email",
    "phi.ssn",
    "phi.mrn",
    "phi.plan",
    "clinical.diagnosis",
    "clinical.medication",
    "clinical.lab",
    "financial.amount",
];

/// A relation of 14 columns: two of them clear, the others each of a tag, and one of two.
fn facts(number: usize) -> Arc<RelationFacts> {
    let column = |at: usize| {
        let tag = |at: usize| Arc::<str>::from(TAGS[(number + at) % TAGS.len()]);
        let class = match at {
            0 | 1 => Class::Clear,
            13 => Class::Tagged(Arc::from([tag(at), tag(at + 1)])),
            _ => Class::Tagged(Arc::from([tag(at)])),
        };
        let name = Arc::from(format!("column{at}"));
        Column { name, class, mask: Some(MaskOperator::LastFour), subject: at == 0, scan: false }
    };
    Arc::new(RelationFacts { columns: (0..14).map(column).collect(), filtered: true })
}

/// A hundred groups with twenty policies each, half of them about columns, and two for everybody.
fn set() -> PolicySet {
    let mut text = String::from(
        "permit (principal, action == Action::\"connect\", resource == Target::\"ehr\");\n\
         @id(\"ai\") forbid (principal, action, resource) when { context has client && !context.approved };\n",
    );
    for n in 0..POLICIES - 2 {
        let (group, number) = (n % 100, n / 100);
        let about = match number % 4 {
            0 | 1 => {
                let table = number / 4 * 2 + number % 4;
                format!("action == Action::\"read\", resource == Relation::\"ehr/public.table{table}\"")
            }
            2 => format!("action == Action::\"reveal\", resource in Tag::\"{}\"", TAGS[number % TAGS.len()]),
            _ => "action == Action::\"useMasked\", resource in Target::\"ehr\"".to_owned(),
        };
        text.push_str(&format!("permit (principal in Group::\"dev/group{group}\", {about});\n"));
    }
    let ehr = TargetName::new("ehr").unwrap();
    let relations: HashSet<String> = (0..20).map(|n| format!("public.table{n}")).collect();
    let known = Known {
        targets: BTreeSet::from([ehr.clone()]),
        relations: BTreeMap::from([(ehr, relations)]),
        ..Known::default()
    };
    let limits =
        (0..100).map(|n| format!("[[limit]]\ngroup = \"dev/group{n}\"\nrows_per_hour = {}\n", 1000 + n));
    let files = [("a.cedar".to_owned(), text), (LIMITS_FILE.to_owned(), limits.collect())];
    PolicySet::load(&files, &known).unwrap().0
}

/// What a classification says of three relations: of 42 columns in all.
static FACTS: LazyLock<[Arc<RelationFacts>; 3]> = LazyLock::new(|| [0, 1, 2].map(facts));

/// A statement that reads three relations.
fn analysis(round: usize) -> Arc<Analysis> {
    let touch = |n: usize, facts: &Arc<RelationFacts>| Touch {
        relation: RelationName::new("public", format!("table{n}")),
        rule: NameRule::Named,
        verbs: Verbs::NONE.with(Verb::Read),
        within: Vec::new(),
        facts: Some(facts.clone()),
    };
    let member = Member {
        tag: "SELECT",
        template: [0; 32],
        touches: FACTS.iter().enumerate().map(|(n, facts)| touch(n, facts)).collect(),
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
        text: format!("select {round}").into(),
        members: Arc::from([member]),
        confined: Confined::made(Ok("SELECT 1".into())),
        replaced: None,
        forbidden: None,
        catalog_version: 1,
        classified: true,
        describes: None,
        invokes: None,
    })
}

fn timed_us(act: impl FnOnce() -> Decision) -> f64 {
    let began = Instant::now();
    let decision = act();
    let took = began.elapsed().as_secs_f64() * 1e6;
    assert!(matches!(decision, Decision::Allow(_)));
    took
}

fn sorted(times: &[f64]) -> Vec<f64> {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times
}

fn median(times: &[f64]) -> f64 {
    sorted(times)[times.len() / 2]
}

/// The value that 99 of 100 do not exceed.
fn p99(times: &[f64]) -> f64 {
    sorted(times)[times.len() * 99 / 100]
}

/// Somebody's name is looked for among as many, and some of those are disabled.
fn people() -> Arc<People> {
    let people = People::default();
    for number in 0..IDENTITIES {
        let subject = |sub: String| Subject { issuer: "dev".to_owned(), kind: SubjectKind::Person, sub };
        people.meet(&subject(format!("nurse{number}")), None, NOW).unwrap();
        let gone = people.weigh_disable(&subject(format!("leaver{number}")), "left", "bench", NOW).unwrap();
        people.keep(gone).unwrap();
    }
    Arc::new(people)
}

fn identity(people: &Arc<People>) -> Identity {
    Identity::new(keys(), Arc::new(NoRevocations)).holding(Arc::new(Holders::default()), people.clone())
}

/// Every identity proves itself and is admitted: whole admissions, and the part that is policy's, in microseconds.
fn admissions(policies: &Policies, people: &Arc<People>, now: u64) -> (Vec<f64>, Vec<f64>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let identity = identity(people);
    let (mut whole, mut of_policy) = (Vec::new(), Vec::new());
    for number in 0..IDENTITIES {
        let claim = nurse(&identity, number);
        let began = Instant::now();
        let (principal, _) = runtime.block_on(identity.authenticate(claim, now)).unwrap();
        let proved = Instant::now();
        assert!(policies.admit(principal, true, now).is_ok());
        of_policy.push(proved.elapsed().as_secs_f64() * 1e6);
        whole.push(began.elapsed().as_secs_f64() * 1e6);
    }
    (whole, of_policy)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut loads, mut loaded) = (Vec::new(), None);
    for _ in 0..LOADS {
        let began = Instant::now();
        loaded = Some(set());
        loads.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let (policies, people) = (Policies::new(loaded.unwrap()), people());
    let now = NOW * 1_000_000;
    for n in 0..LOCKS {
        let on = LockOn::Subject(format!("dev/leaver{n}"));
        let lock = Lock { at: now, by: "bench".into(), id: n.to_string(), on, reason: "left".into() };
        policies.place_lock(lock).unwrap();
    }
    let (whole, of_policy) = admissions(&policies, &people, now);
    let identity = identity(&people);
    let admit = || -> Admission {
        let proved = runtime.block_on(identity.authenticate(nurse(&identity, 0), now)).unwrap();
        policies.admit(proved.0, true, now).unwrap()
    };
    let (mut cold, mut new, mut cached, mut swept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let admission = admit();
        let first = analysis(round);
        cold.push(timed_us(|| policies.decide(&admission, &first, now)));
        let second = analysis(round + ROUNDS);
        new.push(timed_us(|| policies.decide(&admission, &second, now)));
        cached.push(timed_us(|| policies.decide(&admission, &first, now)));
        let began = Instant::now();
        assert!(policies.still_admits(admission.facts(), now).is_ok());
        swept.push(began.elapsed().as_secs_f64() * 1e6);
    }
    println!(
        "{}",
        serde_json::json!({
            "policies": POLICIES,
            "identities": IDENTITIES,
            "locks": LOCKS,
            "load_ms": median(&loads),
            "load_worst_ms": sorted(&loads)[LOADS - 1],
            "admission_us": median(&whole),
            "admission_p99_us": p99(&whole),
            "admission_of_policy_p99_us": p99(&of_policy),
            "columns": FACTS.iter().map(|facts| facts.columns.len()).sum::<usize>(),
            "cold_us": median(&cold),
            "cold_p99_us": p99(&cold),
            "new_statement_same_relations_us": median(&new),
            "cached_us": median(&cached),
            "cached_p99_us": p99(&cached),
            "swept_us": median(&swept),
        })
    );
}
