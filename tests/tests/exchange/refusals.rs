//! What must not work: proofs and tokens of others, shown twice or made by hand, and what nobody understands.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::place::{ASSISTANT, Place, RESOURCE};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// One request by hand: its status, and what was answered.
fn post(place: &Place, kind: &str, body: &str) -> (u16, Value) {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-w", "\n%{http_code}", "--data-binary", "@-", "-H", &format!("content-type: {kind}")]);
    let mut child = curl
        .arg(format!("{}/token", place.server()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // What is refused by its length alone is not read.
    drop(child.stdin.take().unwrap().write_all(body.as_bytes()));
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect()
    };
    fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}

fn form(place: &Place, assertion: &str, token: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut fields = vec![
        ("grant_type", EXCHANGE),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", assertion),
        ("subject_token", token),
        ("subject_token_type", ACCESS_TOKEN),
        ("audience", "clinic"),
    ];
    for (name, value) in more {
        fields.retain(|(known, _)| known != name);
        fields.push((name, value));
    }
    fields.retain(|(_, value)| !value.is_empty());
    post(place, "application/x-www-form-urlencoded", &encoded(&fields))
}

/// An assertion of the server's, with some claims replaced; signed with its key unless another is given.
fn assertion(place: &Place, claims: &Value, kind: &str, key: Option<&Value>) -> String {
    let mut all = json!({"iss": "notes", "sub": "notes", "aud": format!("{}/token", place.server())});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let said = json!({"key": key.unwrap_or(&place.key), "claims": all, "kind": kind});
    place.issuer.server("assert", &said).unwrap()["assertion"].as_str().unwrap().to_owned()
}

fn good(place: &Place) -> String {
    assertion(place, &json!({}), "", None)
}

#[test]
fn a_server_proves_who_it_is_each_time_anew_and_only_to_this_gateway() {
    let place = Place::new();
    let token = place.forged(json!({}), &json!({}));
    let once = good(&place);
    assert_eq!(form(&place, &once, &token, &[]).0, 200);
    // By the identifier as well as by the endpoint (RFC 7523, section 3), and as a list of one.
    let by_name = assertion(&place, &json!({"aud": [place.server()]}), "", None);
    assert_eq!(form(&place, &by_name, &token, &[]).0, 200);
    let make = |claims: Value| assertion(&place, &claims, "", None);
    let both = json!([place.server(), "https://elsewhere.example"]);
    let bad = [
        ("shown before", once, "replayed"),
        ("for others", make(json!({"aud": "https://elsewhere.example"})), "other_audience"),
        ("for others too", make(json!({"aud": both})), "other_audience"),
        ("no algorithm", assertion(&place, &json!({}), "none", None), "algorithm"),
        ("key confusion", assertion(&place, &json!({}), "hs256", None), "algorithm"),
        ("expired", make(json!({"iat": 1, "exp": 2})), "expired"),
        ("for a day", make(json!({"exp": 99_999_999_999_u64})), "lasting"),
        ("from before the start", make(json!({"iat": 1})), "replayed"),
        ("without an id", make(json!({"jti": null})), "claim"),
        ("another's key", assertion(&place, &json!({}), "", Some(&place.other_key)), "wrong_signature"),
        ("another server", make(json!({"iss": "other", "sub": "other"})), "wrong_signature"),
        ("another subject", make(json!({"sub": "other"})), "other_issuer"),
        ("nobody", make(json!({"iss": "nobody", "sub": "nobody"})), "other_issuer"),
        ("no assertion", "x.y.z".to_owned(), "other_issuer"),
        ("none at all", String::new(), ""),
    ];
    let mut told = Vec::new();
    for (what, assertion, _) in &bad {
        let (status, answer) = form(&place, assertion, &token, &[]);
        assert_eq!((status, &answer["error"]), (401, &json!("invalid_client")), "{what}: {answer}");
        told.push(answer);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "one answer for every cause: {told:?}");
    let other_id = form(&place, &good(&place), &token, &[("client_id", "other")]);
    assert_eq!((other_id.0, &other_id.1), (401, &told[0]));
    // Each of the first ten is on record, the others are counted.
    let failed = place.entries("authentication.failed");
    let reasons: Vec<&str> = failed.iter().map(|entry| entry["reason"].as_str().unwrap()).collect();
    let wanted: Vec<&str> = bad.iter().map(|(_, _, word)| *word).take(10).collect();
    assert_eq!(reasons, wanted);
    assert!(failed.iter().all(|entry| entry["method"] == "client_assertion"), "{failed:?}");
    assert_eq!(place.entries("credential.exchanged").len(), 2);
    // A source that goes on is not listened to, and whoever is good is.
    let statuses = (0..200).map(|_| form(&place, "x.y.z", &token, &[]).0);
    assert!(statuses.into_iter().any(|status| status == 429));
    assert_eq!(form(&place, &good(&place), &token, &[]).0, 200);
}

#[test]
fn only_tokens_that_were_made_for_the_server_are_exchanged() {
    let place = Place::new();
    let sound = |claims: Value| place.forged(json!({}), &claims);
    let how = |kind: &str| place.forged(json!({"kind": kind}), &json!({}));
    let gateway = format!("{}/mcp", place.boundary.api_url());
    let bad = [
        ("for the gateway", sound(json!({"aud": gateway}))),
        ("for another server", sound(json!({"aud": "https://other.example/mcp"}))),
        ("longer", sound(json!({"aud": format!("{RESOURCE}/x")}))),
        ("for nobody", sound(json!({"aud": null}))),
        ("an ID token", sound(json!({"aud": [RESOURCE, "chaperone-cli"]}))),
        ("expired", sound(json!({"iat": 1, "exp": 2}))),
        ("another issuer's", sound(json!({"iss": "https://evil.example"}))),
        ("no algorithm", how("none")),
        ("key confusion", how("hs256")),
        ("a stranger's", how("stranger")),
        ("the server's own", sound(json!({"sub": "notes-mcp"}))),
        ("a client's own", sound(json!({"sub": ASSISTANT}))),
        ("of no client", sound(json!({"client_id": null}))),
        ("exchanged before", sound(json!({"act": {"sub": "first"}}))),
        ("bound to a key", sound(json!({"cnf": {"jkt": "x"}}))),
        ("for another to act", sound(json!({"may_act": {"sub": "other-mcp"}}))),
        ("no token", "x.y.z".to_owned()),
    ];
    let mut told = Vec::new();
    for (what, token) in &bad {
        let (status, answer) = form(&place, &good(&place), token, &[]);
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{what}: {answer}");
        told.push(answer);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "one answer for every cause: {told:?}");
    // Another server cannot show it either.
    let token = sound(json!({}));
    let claims = json!({"iss": "other", "sub": "other"});
    let others = assertion(&place, &claims, "", Some(&place.other_key));
    assert_eq!(form(&place, &others, &token, &[]).1, told[0]);
    let meant = sound(json!({"may_act": {"sub": "notes-mcp", "iss": place.issuer.url()}}));
    assert_eq!(form(&place, &good(&place), &meant, &[]).0, 200);
    // One of somebody who may not any more.
    place.boundary.cli(&["people", "disable", "org/ana", "--reason", "left"]).unwrap();
    assert_eq!(form(&place, &good(&place), &token, &[]).1, told[0]);
    let failed = place.entries("authentication.failed");
    assert_eq!(failed[0]["method"], "issuer_token");
}

#[test]
fn what_is_not_understood_is_refused() {
    let place = Place::new();
    let token = place.forged(json!({}), &json!({}));
    for (more, error) in [
        ([("grant_type", "client_credentials")], "unsupported_grant_type"),
        ([("grant_type", "")], "invalid_request"),
        ([("actor_token", "x")], "invalid_request"),
        ([("actor_token_type", ACCESS_TOKEN)], "invalid_request"),
        ([("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")], "invalid_request"),
        ([("subject_token", "")], "invalid_request"),
        ([("requested_token_type", ACCESS_TOKEN)], "invalid_request"),
        ([("audience", "")], "invalid_target"),
        ([("resource", "https://gateway.example")], "invalid_target"),
        ([("scope", "read")], "invalid_scope"),
        ([("authorization_details", "[{\"type\":\"other\"}]")], "invalid_authorization_details"),
        (
            [("authorization_details", "[{\"type\":\"database_credential\",\"relations\":[\"x\"]}]")],
            "invalid_request",
        ),
    ] {
        let (status, answer) = form(&place, &good(&place), &token, &more);
        assert_eq!((status, answer["error"].as_str()), (400, Some(error)), "{more:?}: {answer}");
    }
    let twice = encoded(&[("grant_type", EXCHANGE), ("grant_type", EXCHANGE)]);
    assert_eq!(post(&place, "application/x-www-form-urlencoded", &twice).1["error"], "invalid_request");
    assert_eq!(post(&place, "application/json", "{}").0, 400);
    let long = encoded(&[("grant_type", &"x".repeat(128 * 1024))]);
    let (status, answer) = post(&place, "application/x-www-form-urlencoded", &long);
    assert_eq!((status, &answer["error"]), (413, &json!("invalid_request")), "{answer}");
    let get = chaperone_tests::capture(
        Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"])
            .arg(format!("{}/token", place.server())),
    );
    assert_eq!(get.unwrap().trim(), "405");
    assert!(place.entries("credential.exchanged").is_empty());
}
