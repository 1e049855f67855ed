use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_access::{Attribute, AttributeKind};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::issuer::{ClaimNames, SignatureAlgorithm, Workload};
use crate::jwks::{KeyCache, KeySetError};
use crate::jws::TOKEN_BYTES_MAX;

const NOW: u64 = 1_795_000_000;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer's side: one key of each kind.
struct Signer {
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

impl Signer {
    fn new() -> Self {
        Self {
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref().to_vec();
        // RSAPublicKey of 2048 bits (RFC 8017, appendix A.1.1): the modulus stands behind nine bytes of heads.
        let n = self.rsa.public_key().as_ref()[9..265].to_vec();
        json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": b64(&point[1..33]), "y": b64(&point[33..])},
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(self.ed.public_key().as_ref())},
            {"kty": "RSA", "kid": "rsa", "n": b64(&n), "e": "AQAB"},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": b64(&n), "e": "AQAB"},
            {"kty": "oct", "kid": "shared", "k": b64([1; 32])},
            {"kty": "new", "kid": "unknown"}]})
    }

    fn keys(&self) -> KeySet {
        KeySet::parse(self.jwks().to_string().as_bytes()).unwrap()
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        let rsa = |encoding| {
            let mut out = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(encoding, &rng, message, &mut out).unwrap();
            out
        };
        match algorithm {
            "ES256" => self.ec.sign(&rng, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS256" => rsa(&RSA_PSS_SHA256),
            other => panic!("{other}"),
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let signature = self.sign(header["alg"].as_str().unwrap(), message.as_bytes());
        format!("{message}.{}", b64(signature))
    }

    fn plain(&self, claims: &Value) -> String {
        self.token(&json!({"alg": "ES256", "kid": "ec", "typ": "JWT"}), claims)
    }
}

fn issuer() -> Issuer {
    Issuer {
        alias: "acme".into(),
        identifier: "https://id.acme.example".into(),
        vouches: Vouches::People,
        audiences: BTreeSet::from(["chaperone-cli".into()]),
        access_audiences: BTreeSet::from(["https://chaperone.acme.example".into()]),
        resource_audiences: BTreeSet::from(["https://chaperone.acme.example/mcp".into()]),
        algorithms: BTreeSet::from([
            SignatureAlgorithm::ES256,
            SignatureAlgorithm::RS256,
            SignatureAlgorithm::PS256,
            SignatureAlgorithm::EdDSA,
        ]),
        claims: ClaimNames {
            groups: Some("groups".into()),
            display: Some("name".into()),
            client: None,
            attributes: BTreeMap::from([
                ("clinics".into(), "clinic_ids".into()),
                ("level".into(), "hr.level".into()),
            ]),
        },
        attributes: BTreeMap::from([
            ("clinics".into(), AttributeKind::Texts),
            ("level".into(), AttributeKind::Long),
        ]),
        acr: BTreeSet::new(),
        amr: BTreeSet::new(),
        authentication_s_max: None,
    }
}

fn claims() -> Value {
    json!({"iss": "https://id.acme.example", "aud": "chaperone-cli", "sub": "ana", "iat": NOW - 5, "exp": NOW + 300,
        "auth_time": NOW - 60, "acr": "mfa", "amr": ["pwd", "otp"], "groups": ["nurses"], "name": "Ana\u{7} Alba",
        "clinic_ids": ["north"], "hr": {"level": -3}, "sid": "s1", "nonce": "n1"})
}

/// The claims with some of them replaced; `null` takes one away.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// What a token of these facts would come to, for tests of what is done with it.
pub(crate) fn verified(facts: Facts, issued_at: u64, expires_at: u64) -> Verified {
    let heard = Heard {
        issued_at,
        expires_at,
        sid: Some("s1".into()),
        authenticated_at_is_told: facts.assurance.is_some(),
        scopes: BTreeSet::new(),
    };
    Verified { facts, heard }
}

const ID: Shown<'_> = Shown::Id { nonce: None };

#[test]
fn a_good_token_says_who_and_what() {
    let signer = Signer::new();
    for (alg, kid) in [("ES256", "ec"), ("EdDSA", "ed"), ("RS256", "rsa"), ("PS256", "rsa")] {
        let token = signer.token(&json!({"alg": alg, "kid": kid}), &claims());
        let verified =
            verify(&issuer(), &signer.keys(), &token, Shown::Id { nonce: Some("n1") }, true, NOW).unwrap();
        let facts = verified.facts();
        assert_eq!((facts.subject.issuer.as_str(), facts.subject.sub.as_str()), ("acme", "ana"));
        assert_eq!(facts.display.as_deref(), Some("Ana Alba"));
        assert_eq!(facts.groups, BTreeSet::from(["nurses".to_owned()]));
        assert_eq!(facts.attributes["level"], Attribute::Long(-3));
        assert_eq!(facts.attributes["clinics"], Attribute::Texts(BTreeSet::from(["north".into()])));
        assert_eq!(facts.assurance.as_ref().unwrap().at, NOW - 60);
        assert_eq!(facts.oauth_client.as_deref(), Some("chaperone-cli"));
    }
}

#[test]
fn every_claim_that_is_wrong_is_refused() {
    let signer = Signer::new();
    let claim = |name: &str| TokenError::Claim(name.to_owned());
    let level = TokenError::Attribute { attribute: "level".into(), claim: "hr.level".into() };
    let cases = [
        (json!({"iss": "https://id.acme.example/"}), TokenError::Issuer),
        (json!({"iss": null}), TokenError::Issuer),
        (json!({"aud": "somebody"}), TokenError::Audience),
        (json!({"aud": null}), TokenError::Audience),
        (json!({"aud": []}), TokenError::Audience),
        (json!({"aud": ["chaperone-cli", "other"]}), TokenError::Audience),
        (json!({"aud": ["chaperone-cli", "other"], "azp": "other"}), TokenError::Audience),
        (json!({"azp": "other"}), TokenError::Audience),
        (json!({"exp": NOW - SKEW_S}), TokenError::Expired),
        (json!({"exp": null}), claim("exp")),
        (json!({"exp": "tomorrow"}), claim("exp")),
        (json!({"exp": -1}), claim("exp")),
        (json!({"iat": NOW + SKEW_S + 1}), TokenError::NotYetValid),
        (json!({"iat": null}), claim("iat")),
        (json!({"nbf": NOW + SKEW_S + 1}), TokenError::NotYetValid),
        (json!({"auth_time": NOW + SKEW_S + 1}), TokenError::NotYetValid),
        (json!({"sub": null}), claim("sub")),
        (json!({"sub": ""}), claim("sub")),
        (json!({"sub": 7}), claim("sub")),
        (json!({"sub": "a\nb"}), claim("sub")),
        (json!({"sub": "x".repeat(256)}), claim("sub")),
        (json!({"groups": "nurses"}), claim("groups")),
        (json!({"groups": ["nurses", 7]}), claim("groups")),
        (json!({"groups": ["a\u{0}b"]}), TokenError::TooMany),
        (json!({"groups": (0..600).map(|n| n.to_string()).collect::<Vec<_>>()}), TokenError::TooMany),
        (
            json!({"groups": (0..200).map(|n| format!("{n}{}", "x".repeat(90))).collect::<Vec<_>>()}),
            TokenError::TooMany,
        ),
        (json!({"groups": null, "_claim_names": {"groups": "src1"}}), TokenError::LeftOut("groups".into())),
        (json!({"hr": {"level": "three"}}), level.clone()),
        (json!({"hr": {"level": 1.5}}), level),
        (json!({"name": 5}), claim("name")),
        (json!({"events": {}}), TokenError::Kind),
    ];
    for (changes, expected) in cases {
        let token = signer.plain(&with(changes.clone()));
        let refused = verify(&issuer(), &signer.keys(), &token, ID, true, NOW).unwrap_err();
        assert_eq!(refused, expected, "{changes:.200}");
    }
    for fine in [
        json!({"aud": ["chaperone-cli", "other"], "azp": "chaperone-cli"}),
        json!({"exp": NOW - SKEW_S + 1, "iat": NOW + SKEW_S}),
        json!({"iat": NOW as f64 - 0.5}),
        json!({"groups": null, "hr": null, "clinic_ids": null}),
    ] {
        assert!(
            verify(&issuer(), &signer.keys(), &signer.plain(&with(fine.clone())), ID, true, NOW).is_ok(),
            "{fine}"
        );
    }
    let token = signer.plain(&claims());
    let other = Shown::Id { nonce: Some("n2") };
    assert_eq!(verify(&issuer(), &signer.keys(), &token, other, true, NOW).unwrap_err(), TokenError::Nonce);
}

#[test]
fn every_way_of_forging_is_refused() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let keys = signer.keys();
    let body = b64(claims().to_string());
    let unsigned =
        |header: &Value, signature: &[u8]| format!("{}.{body}.{}", b64(header.to_string()), b64(signature));
    // Key confusion: HMAC with the public key, in every form in which a library may have kept it.
    let rsa_der = signer.rsa.public_key().as_ref().to_vec();
    let jwk = signer.jwks()["keys"][2].to_string().into_bytes();
    let confused = [rsa_der, jwk, signer.ec.public_key().as_ref().to_vec()].map(|secret| {
        let message = format!("{}.{body}", b64(json!({"alg": "HS256", "kid": "rsa"}).to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        (format!("{message}.{}", b64(tag)), TokenError::Algorithm)
    });
    let good = signer.plain(&claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let mut changed = URL_SAFE_NO_PAD.decode(signature).unwrap();
    changed[5] ^= 1;
    let other_body = signer.plain(&with(json!({"sub": "eva"})));
    let swapped = format!("{}.{signature}", other_body.rsplit_once('.').unwrap().0);
    let cases = [
        (unsigned(&json!({"alg": "none"}), b""), TokenError::Algorithm),
        (unsigned(&json!({"alg": "None", "kid": "ec"}), b""), TokenError::Algorithm),
        (unsigned(&json!({"alg": "ES256", "kid": "ec"}), b""), TokenError::Signature),
        (unsigned(&json!({"alg": "ES256", "kid": "ec"}), &[0; 64]), TokenError::Signature),
        (unsigned(&json!({"kid": "ec"}), &[0; 64]), TokenError::Malformed),
        (stranger.plain(&claims()), TokenError::Signature),
        // The token may not choose what kind of key it is verified with.
        (signer.token(&json!({"alg": "ES256", "kid": "rsa"}), &claims()), TokenError::UnknownKey),
        (signer.token(&json!({"alg": "RS256", "kid": "ec"}), &claims()), TokenError::UnknownKey),
        (signer.token(&json!({"alg": "RS256", "kid": "enc"}), &claims()), TokenError::UnknownKey),
        (signer.token(&json!({"alg": "ES256", "kid": "shared"}), &claims()), TokenError::UnknownKey),
        (signer.token(&json!({"alg": "ES256", "kid": "gone"}), &claims()), TokenError::UnknownKey),
        // Nor bring its own.
        (
            stranger.token(
                &json!({"alg": "ES256", "kid": "x", "jwk": stranger.jwks()["keys"][0], "jku": "https://evil.example"}),
                &claims(),
            ),
            TokenError::UnknownKey,
        ),
        (signer.token(&json!({"alg": "ES256", "kid": "ec", "crit": ["x"]}), &claims()), TokenError::Critical),
        (signer.token(&json!({"alg": "ES256", "kid": "ec", "b64": false}), &claims()), TokenError::Critical),
        (signer.token(&json!({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}), &claims()), TokenError::Kind),
        (signer.token(&json!({"alg": "ES256", "kid": "ec", "typ": "logout+jwt"}), &claims()), TokenError::Kind),
        (format!("{message}.{}", b64(changed)), TokenError::Signature),
        (swapped, TokenError::Signature),
        (format!("{good}="), TokenError::Malformed),
        (format!("{good}."), TokenError::Malformed),
        (format!("{good}.{good}"), TokenError::Malformed),
        (message.to_owned(), TokenError::Malformed),
        (String::new(), TokenError::Malformed),
        ("a".repeat(TOKEN_BYTES_MAX + 1), TokenError::TooLarge),
    ];
    for (token, expected) in cases.into_iter().chain(confused) {
        assert_eq!(verify(&issuer(), &keys, &token, ID, true, NOW).unwrap_err(), expected, "{token}");
    }
    let only_rsa = Issuer { algorithms: BTreeSet::from([SignatureAlgorithm::RS256]), ..issuer() };
    assert_eq!(verify(&only_rsa, &keys, &good, ID, true, NOW).unwrap_err(), TokenError::Algorithm);
    // Without a key id the only key of its kind is meant.
    assert!(
        verify(&issuer(), &keys, &signer.token(&json!({"alg": "ES256"}), &claims()), ID, true, NOW).is_ok()
    );
}

#[test]
fn strength_is_required_at_login_and_not_lost_at_refresh() {
    let signer = Signer::new();
    let strict = Issuer {
        acr: BTreeSet::from(["mfa".into(), "hwk".into()]),
        amr: BTreeSet::from(["otp".into()]),
        authentication_s_max: Some(600),
        ..issuer()
    };
    let answer = |changes: Value, fresh: bool| {
        verify(&strict, &signer.keys(), &signer.plain(&with(changes)), ID, fresh, NOW)
            .map(|verified| verified.facts().assurance.clone())
    };
    assert!(answer(json!({}), true).is_ok());
    for weak in [json!({"acr": "pwd"}), json!({"amr": ["pwd"]}), json!({"acr": null}), json!({"amr": null})] {
        assert_eq!(answer(weak, true).unwrap_err(), TokenError::Assurance);
    }
    for old in [json!({"auth_time": NOW - 700}), json!({"auth_time": null})] {
        assert_eq!(answer(old, true).unwrap_err(), TokenError::AuthenticationAge);
    }
    // Where no age is required an unknown time is taken, and never for that of the token.
    let any_age = Issuer { authentication_s_max: None, ..strict.clone() };
    let token = signer.plain(&with(json!({"auth_time": null})));
    let verified = verify(&any_age, &signer.keys(), &token, ID, true, NOW).unwrap();
    let strength = verified.facts().assurance.clone().unwrap();
    assert_eq!(strength.at, Assurance::AT_UNKNOWN);
    assert_eq!(any_age.satisfied_by(Some(&strength), NOW), Ok(()));
    assert_eq!(strict.satisfied_by(Some(&strength), NOW), Err(TokenError::AuthenticationAge));
    assert_eq!(strict.satisfied_by(None, NOW), Err(TokenError::Assurance));
    let silent = json!({"acr": null, "amr": null, "auth_time": null});
    assert_eq!(answer(silent, false), Ok(None));
    assert_eq!(answer(json!({"acr": "pwd"}), false).unwrap_err(), TokenError::Assurance);
    assert_eq!(answer(json!({"auth_time": NOW - 700}), false).unwrap_err(), TokenError::AuthenticationAge);
}

#[test]
fn an_access_token_is_for_us_and_adds_to_an_id_token() {
    let signer = Signer::new();
    let keys = signer.keys();
    let access = |changes: Value| {
        let mut claims = with(json!({"aud": "https://chaperone.acme.example", "client_id": "chaperone-cli",
            "groups": ["doctors"], "nonce": null}));
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let token = signer.token(&json!({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}), &claims);
        verify(&issuer(), &keys, &token, Shown::Access, true, NOW)
    };
    let id = || verify(&issuer(), &keys, &signer.plain(&claims()), ID, true, NOW).unwrap();
    let both = id().with(access(json!({})).unwrap()).unwrap();
    assert_eq!(both.facts().groups, BTreeSet::from(["doctors".to_owned(), "nurses".to_owned()]));
    assert!(id().with(access(json!({"sub": "eva"})).unwrap()).is_err());
    for aud in
        [json!("chaperone-cli"), json!("other"), json!(["https://chaperone.acme.example", "chaperone-cli"])]
    {
        assert_eq!(access(json!({"aud": aud})).unwrap_err(), TokenError::Audience);
    }
}

#[test]
fn a_workload_is_the_service_that_it_is_configured_as() {
    let signer = Signer::new();
    let cluster = Issuer {
        vouches: Vouches::Workloads(vec![Workload {
            subject: "system:serviceaccount:clinic:*".into(),
            service: "etl".into(),
            groups: BTreeSet::from(["loaders".into()]),
        }]),
        claims: ClaimNames::default(),
        ..issuer()
    };
    let answer = |sub: &str| {
        verify(&cluster, &signer.keys(), &signer.plain(&with(json!({"sub": sub}))), ID, true, NOW)
    };
    let verified = answer("system:serviceaccount:clinic:nightly").unwrap();
    let facts = verified.facts();
    assert_eq!((facts.subject.kind, facts.subject.sub.as_str()), (SubjectKind::Service, "etl"));
    assert_eq!(facts.groups, BTreeSet::from(["loaders".to_owned()]));
    assert_eq!(facts.display.as_deref(), Some("system:serviceaccount:clinic:nightly"));
    let other = "system:serviceaccount:other:nightly";
    assert_eq!(answer(other).unwrap_err(), TokenError::NoService(other.into()));
}

#[test]
fn a_logout_token_is_what_the_specification_says() {
    let signer = Signer::new();
    let logout = |changes: Value, typ: &str| {
        let mut claims = json!({"iss": "https://id.acme.example", "aud": "chaperone-cli", "iat": NOW - 1, "exp": NOW + 120,
            "jti": "j1", "sub": "ana", "sid": "s1", "events": {LOGOUT_EVENT: {}}});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let token = signer.token(&json!({"alg": "ES256", "kid": "ec", "typ": typ}), &claims);
        verify_logout(&issuer(), &signer.keys(), &token, NOW)
    };
    let said = LoggedOut { sub: Some("ana".into()), sid: Some("s1".into()), at: NOW - 1 };
    assert_eq!(logout(json!({}), "logout+jwt"), Ok(said));
    assert!(logout(json!({"sub": null}), "JWT").is_ok());
    let refused = [
        (json!({"nonce": "n"}), TokenError::Kind),
        (json!({"events": null}), TokenError::Kind),
        (json!({"events": {"other": {}}}), TokenError::Kind),
        (json!({"events": {LOGOUT_EVENT: true}}), TokenError::Kind),
        (json!({"sub": null, "sid": null}), TokenError::Claim("sub".into())),
        (json!({"jti": null}), TokenError::Claim("jti".into())),
        (json!({"iss": "https://evil.example"}), TokenError::Issuer),
        (json!({"aud": "other"}), TokenError::Audience),
        (json!({"iat": null}), TokenError::Claim("iat".into())),
        (json!({"iat": NOW + SKEW_S + 1}), TokenError::NotYetValid),
        (json!({"iat": NOW - LOGOUT_S_MAX - SKEW_S - 1}), TokenError::Expired),
        (json!({"exp": NOW - SKEW_S}), TokenError::Expired),
    ];
    for (changes, expected) in refused {
        assert_eq!(logout(changes.clone(), "logout+jwt").unwrap_err(), expected, "{changes}");
    }
    assert_eq!(logout(json!({}), "at+jwt").unwrap_err(), TokenError::Kind);
    // An ID token is no logout token.
    let id = signer.plain(&claims());
    assert_eq!(verify_logout(&issuer(), &signer.keys(), &id, NOW).unwrap_err(), TokenError::Kind);
}

#[test]
fn keys_that_are_weak_or_strange_are_no_keys() {
    let weak = json!({"keys": [
        {"kty": "RSA", "kid": "a", "n": b64([0xff; 2000]), "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "b", "x": b64([1; 31]), "y": b64([1; 32])},
        {"kty": "EC", "crv": "secp256k1", "kid": "c", "x": b64([1; 32]), "y": b64([1; 32])},
        {"kty": "RSA", "alg": "HS256", "kid": "d", "n": b64([0xff; 256]), "e": "AQAB"},
        {"kty": "RSA", "key_ops": ["sign"], "kid": "e", "n": b64([0xff; 256]), "e": "AQAB"},
        {"kty": "RSA", "kid": "f", "n": "", "e": "AQAB"}]});
    assert!(matches!(KeySet::parse(weak.to_string().as_bytes()), Err(KeySetError::Empty)));
    assert!(matches!(KeySet::parse(b"{}"), Err(KeySetError::Malformed(_))));
    let many = json!({"keys": vec![json!({}); 101]});
    assert!(matches!(KeySet::parse(many.to_string().as_bytes()), Err(KeySetError::TooLarge)));
    // 1024 bits parse, and verify nothing.
    let small = json!({"keys": [{"kty": "RSA", "kid": "rsa", "n": b64([0xff; 128]), "e": "AQAB"}]});
    let keys = KeySet::parse(small.to_string().as_bytes()).unwrap();
    let token = Signer::new().token(&json!({"alg": "RS256", "kid": "rsa"}), &claims());
    assert_eq!(verify(&issuer(), &keys, &token, ID, true, NOW).unwrap_err(), TokenError::Signature);
}

#[test]
fn keys_outlive_an_issuer_that_is_down_for_a_time() {
    let mut cache = KeyCache::new(100);
    assert!(cache.ask(NOW) && !cache.ask(NOW + 9) && cache.ask(NOW + 10));
    assert!(cache.keys(NOW).is_none());
    cache.learn(Signer::new().keys(), NOW);
    assert!(cache.keys(NOW + 99).is_some() && cache.keys(NOW + 100).is_none());
    assert_eq!(cache.age_s(NOW + 7), Some(7));
    // What is due is asked for whatever strangers have shown, and an unknown key whatever was due.
    assert!(!cache.look(NOW + 20, 50) && cache.look(NOW + 50, 50) && !cache.look(NOW + 59, 50));
    assert!(cache.ask(NOW + 51) && cache.look(NOW + 60, 50));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_it_panic_or_believe(text in "[A-Za-z0-9._-]{0,200}|\\PC{0,80}") {
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64([9; 32])}]});
        let keys = KeySet::parse(keys.to_string().as_bytes()).unwrap();
        prop_assert!(verify(&issuer(), &keys, &text, ID, true, NOW).is_err());
        prop_assert!(verify_logout(&issuer(), &keys, &text, NOW).is_err());
    }
}

/// An access token for the tools' endpoints, as RFC 9068 has it.
fn resource_claims(changes: Value) -> Value {
    let mut claims = with(json!({"aud": "https://chaperone.acme.example/mcp", "client_id": "claude",
        "scope": "ehr.read  ehr.write", "nonce": null}));
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn a_token_for_the_tools_is_made_for_them_alone_and_as_strong_as_a_login() {
    let (signer, mut issuer) = (Signer::new(), issuer());
    issuer.acr = BTreeSet::from(["mfa".into()]);
    let keys = signer.keys();
    let shown = |claims: &Value| {
        let token = signer.token(&json!({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}), claims);
        verify(&issuer, &keys, &token, Shown::Resource, true, NOW)
    };
    let verified = shown(&resource_claims(json!({}))).unwrap();
    assert_eq!(verified.facts().oauth_client.as_deref(), Some("claude"));
    assert_eq!(*verified.scopes(), BTreeSet::from(["ehr.read".to_owned(), "ehr.write".to_owned()]));
    let listed = shown(&resource_claims(json!({"scope": null, "scp": ["a"]}))).unwrap();
    assert_eq!(*listed.scopes(), BTreeSet::from(["a".to_owned()]), "as some issuers write it");
    for (changes, expected) in [
        (json!({"client_id": null}), TokenError::NoClient),
        (json!({"client_id": "", "azp": "claude"}), TokenError::NoClient),
        (json!({"client_id": null, "cid": "claude"}), TokenError::NoClient),
        (json!({"aud": "https://chaperone.acme.example"}), TokenError::Audience),
        (json!({"aud": "https://chaperone.acme.example/mcp/"}), TokenError::Audience),
        (json!({"aud": "https://other.example/mcp"}), TokenError::Audience),
        (json!({"aud": ["https://chaperone.acme.example/mcp", "chaperone-cli"]}), TokenError::Audience),
        (json!({"acr": "pwd"}), TokenError::Assurance),
        (json!({"exp": NOW - 61}), TokenError::Expired),
        (json!({"iss": "https://id.evil.example"}), TokenError::Issuer),
        (json!({"scope": 7}), TokenError::Claim("scope".to_owned())),
    ] {
        assert_eq!(shown(&resource_claims(changes.clone())).unwrap_err(), expected, "{changes}");
    }
    issuer.claims.client = Some("cid".into());
    let shown_by = |claims: Value| {
        let token = signer.token(&json!({"alg": "ES256", "kid": "ec"}), &resource_claims(claims));
        verify(&issuer, &keys, &token, Shown::Resource, true, NOW)
    };
    let named = shown_by(json!({"client_id": null, "cid": "claude"})).unwrap();
    assert_eq!(named.facts().oauth_client.as_deref(), Some("claude"), "as the issuer is said to name it");
    assert_eq!(shown_by(json!({})).unwrap_err(), TokenError::NoClient, "no other claim stands in for it");
    issuer.resource_audiences.clear();
    let token = signer.token(&json!({"alg": "ES256", "kid": "ec"}), &resource_claims(json!({})));
    let none = verify(&issuer, &keys, &token, Shown::Resource, true, NOW);
    assert_eq!(none.unwrap_err(), TokenError::Audience, "an issuer without audiences makes no such token");
}

#[test]
fn whose_keys_to_try_is_read_without_believing_it() {
    let body = b64(json!({"iss": "https://id.acme.example"}).to_string());
    assert_eq!(claimed_issuer(&format!("x.{body}.y")).as_deref(), Some("https://id.acme.example"));
    for bad in ["", "x", "x.y.z", &format!("x.{}.z", b64("{}")), &format!("x.{}.z", b64("[1]"))] {
        assert_eq!(claimed_issuer(bad), None, "{bad}");
    }
}
