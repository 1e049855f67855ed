//! What a decision costs under 2,000 policies: medians in microseconds, as one JSON object.
//! `cargo run --release --package chaperone-policy --example bench_policy`

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program of the bench's own"
)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::{digest, hmac, pbkdf2};
use chaperone_access::{
    Analysis, ChannelBinding, Claim, Confined, Effect, Member, NameRule, RelationName, ScramClaim,
    SessionEffect, Source, SubjectKind, TargetName, Touch, Verb, Verbs,
};
use chaperone_identity::{Grant, Identity, NoRevocations, Principal, RootKey, RootKeys, Who};
use chaperone_policy::{Admission, Decision, Known, Policies, PolicySet};

const POLICIES: usize = 2_000;
const NOW: u64 = 1_795_000_000;
const ROUNDS: usize = 200;

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// A nurse who proved who she is, as a client does (RFC 5802, section 3).
async fn nurse() -> Principal {
    let keys = || RootKeys::new(RootKey::new(1, [7; 32]), Vec::new());
    let identity = Identity::new(keys(), Arc::new(NoRevocations));
    let grant = Grant {
        who: Who::Named {
            issuer: "dev".into(),
            kind: SubjectKind::Person,
            sub: "ana".into(),
            groups: BTreeSet::from(["group7".to_owned()]),
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
    let claim = Claim::Scram(ScramClaim {
        user: made.user.as_str().into(),
        target: "ehr".into(),
        channel_binding: ChannelBinding::None,
        auth_message: message,
        proof,
        salt,
        iterations,
        source: Source::Local,
        application: None,
    });
    identity.authenticate(claim, NOW * 1_000_000).await.unwrap().0
}

/// A hundred groups with twenty policies each, and two for everybody.
fn set() -> PolicySet {
    let mut text = String::from(
        "permit (principal, action == Action::\"connect\", resource == Target::\"ehr\");\n\
         @id(\"ai\") forbid (principal, action, resource) when { context has client && !context.approved };\n",
    );
    for n in 0..POLICIES - 2 {
        text.push_str(&format!(
            "permit (principal in Group::\"dev/group{}\", action == Action::\"read\", resource == Relation::\"ehr/public.table{}\");\n",
            n % 100,
            n / 100
        ));
    }
    let ehr = TargetName::new("ehr").unwrap();
    let relations: HashSet<String> = (0..20).map(|n| format!("public.table{n}")).collect();
    let known = Known {
        targets: BTreeSet::from([ehr.clone()]),
        relations: BTreeMap::from([(ehr, relations)]),
        ..Known::default()
    };
    PolicySet::load(&[("a.cedar".to_owned(), text)], &known).unwrap().0
}

/// A statement that reads three relations.
fn analysis(round: usize) -> Arc<Analysis> {
    let touch = |n: usize| Touch {
        relation: RelationName::new("public", format!("table{n}")),
        rule: NameRule::Named,
        verbs: Verbs::NONE.with(Verb::Read),
        within: Vec::new(),
    };
    let member = Member {
        tag: "SELECT",
        span: 0..8,
        template: [0; 32],
        touches: vec![touch(1), touch(2), touch(3)],
        whole: Verbs::NONE,
        effect: Effect::ReadOnly,
        session: SessionEffect::None,
    };
    Arc::new(Analysis {
        text: format!("select {round}").into(),
        members: vec![member],
        confined: Confined::made(Ok("SELECT 1".into())),
        replaced: None,
        forbidden: None,
        catalog_version: 1,
    })
}

fn timed_us(act: impl FnOnce() -> Decision) -> f64 {
    let began = Instant::now();
    let decision = act();
    let took = began.elapsed().as_secs_f64() * 1e6;
    assert!(matches!(decision, Decision::Allow(_)));
    took
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let began = Instant::now();
    let policies = Policies::new(set());
    let load_ms = began.elapsed().as_secs_f64() * 1e3;
    let now = NOW * 1_000_000;
    let admit = || -> Admission { policies.admit(runtime.block_on(nurse()), true, now).unwrap() };
    let (mut cold, mut new, mut cached) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let admission = admit();
        let first = analysis(round);
        cold.push(timed_us(|| policies.decide(&admission, &first, now)));
        let second = analysis(round + ROUNDS);
        new.push(timed_us(|| policies.decide(&admission, &second, now)));
        cached.push(timed_us(|| policies.decide(&admission, &first, now)));
    }
    println!(
        "{}",
        serde_json::json!({
            "policies": POLICIES,
            "load_ms": load_ms,
            "cold_us": median(cold),
            "new_statement_same_relations_us": median(new),
            "cached_us": median(cached),
        })
    );
}
