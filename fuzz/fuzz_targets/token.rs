#![no_main]
//! Hostile tokens: texts that no key signed, and claims that a key of the issuer did sign.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_access::AttributeKind;
use chaperone_identity::{
    ClaimNames, Issuer, KeySet, Shown, SignatureAlgorithm, Vouches, Workload, verify, verify_logout,
};

const NOW: u64 = 1_795_000_000;

struct Set {
    pair: Ed25519KeyPair,
    keys: KeySet,
    issuers: [Issuer; 2],
}

static SET: LazyLock<Set> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed has 32 bytes");
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
    let keys = KeySet::parse(keys.as_bytes()).expect("it is one");
    let people = Issuer {
        alias: "acme".into(),
        identifier: "i".into(),
        vouches: Vouches::People,
        audiences: BTreeSet::from(["a".into()]),
        access_audiences: BTreeSet::from(["b".into()]),
        resource_audiences: BTreeSet::from(["c".into()]),
        algorithms: SignatureAlgorithm::ALL.into_iter().collect(),
        claims: ClaimNames {
            groups: Some("groups".into()),
            display: Some("name".into()),
            client: None,
            attributes: BTreeMap::from([("level".into(), "hr.level".into())]),
        },
        attributes: BTreeMap::from([("level".into(), AttributeKind::Long)]),
        acr: BTreeSet::new(),
        amr: BTreeSet::new(),
        authentication_s_max: Some(600),
    };
    let etl = Workload { subject: "a*:*b".into(), service: "etl".into(), groups: BTreeSet::new() };
    let programs = Issuer { vouches: Vouches::Workloads(vec![etl]), ..people.clone() };
    Set { pair, keys, issuers: [people, programs] }
});

/// Whatever is believed fits an entry of the trail.
fn look(token: &str) {
    for issuer in &SET.issuers {
        for shown in [Shown::Id { nonce: None }, Shown::Access, Shown::Resource] {
            if let Ok(verified) = verify(issuer, &SET.keys, token, shown, true, NOW) {
                let facts = verified.facts();
                assert!(!facts.subject.sub.is_empty() && facts.groups.len() <= 512);
                let text = format!("{facts:?}");
                assert!(text.len() < 256 * 1024 && !facts.subject.sub.chars().any(char::is_control));
            }
        }
        drop(verify_logout(issuer, &SET.keys, token, NOW));
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    drop(KeySet::parse(data));
    if let Ok(text) = std::str::from_utf8(data) {
        look(text);
    }
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"k"}"#),
        URL_SAFE_NO_PAD.encode(data)
    );
    let signature = SET.pair.sign(message.as_bytes());
    look(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)));
});
