//! The listener against openings that no driver sends: what `drivers/opening.py` did is compared with what should come of
//! it.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, capture, private_folder, root};
use serde_json::{Value, json};

const ENGINEER: Caller = Caller { subject: "dora", groups: &["engineers"], client: None };

/// Connections that break the protocol at once.
const FLOOD: u64 = 200;

fn flood(port: u16) {
    for _ in 0..FLOOD {
        let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stranger.write_all(&[0, 0, 0, 3]).unwrap();
        let mut said = Vec::new();
        stranger.read_to_end(&mut said).unwrap();
        assert_eq!(said.first(), Some(&b'E'), "{said:?}");
    }
}

/// Everything on record.
fn tail(boundary: &Boundary) -> Vec<Value> {
    let lines = boundary.cli(&["trail", "tail", "--lines", "1000000", "--json"]).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn strange_openings_end_as_they_should() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let mut layout = Layout::new(AgentPlace::InProcess);
    layout.tls = true;
    let mut boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    let url = boundary.credential(&ENGINEER).unwrap();
    let mut script = Command::new("python3");
    script.arg(root().join("tests/drivers/opening.py")).arg(&url);
    let said: Value = serde_json::from_str(&capture(&mut script).unwrap()).unwrap();
    let wanted = json!({
        "gss_then_tls": ["N", "S", "R", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]],
        "tls_asked_for_twice": "FATAL 08P01",
        "plain_text_where_tls_is_wanted": "FATAL 0A000",
        "clear_bytes_behind_the_request": "E",
        "direct_tls_with_alpn": ["postgresql", "R"],
        "direct_tls_without_alpn": "closed",
        "direct_tls_for_another_protocol": "closed",
        "protocol_3_2_has_long_keys": [32, null],
        "protocol_3_0_has_short_keys": 4,
        "a_newer_minor_version_is_negotiated": [[196_610, 0], "TDCZ"],
        "an_unknown_protocol_option_is_negotiated": [196_608, 1],
        "protocol_2_is_refused": "FATAL 0A000",
        "lengths_that_cannot_be": ["FATAL 08P01", "FATAL 08P01", "FATAL 08P01", "FATAL 08P01", "FATAL 08P01"],
        "a_truncated_startup": "FATAL 08P01",
        "a_role_in_the_options": "RuntimeError: FATAL 0A000",
        "replication": "RuntimeError: FATAL 0A000",
        "a_replayed_exchange": "FATAL 28P01",
        "cancel_with_a_long_key": "ERROR 57014",
        "cancel_with_a_short_key": "ERROR 57014",
        "cancel_with_a_wrong_key": "ran to its end",
        "fetch_from_a_portal_of_the_extended_protocol": "T D C Z",
        "execute_of_a_name_whose_definition_is_not_answered": "1 ERROR 22012 Z ERROR 53300 Z",
        "a_suspended_call_leaves_the_session_usable": ["1 2 D s Z", "TDCZ"],
        "a_query_between_an_error_and_its_sync": ["1 ERROR 22012 Z", "2 D C Z"],
        "a_function_call_message": ["ERROR 0A000", "TDCZ"],
        "a_hoard_of_prepared_statements": [[33, "ERROR 53400 Z"], "1 Z"],
        "a_hoard_of_portals": [[33, "ERROR 53400 Z"], "1 2 Z"],
        "a_hoard_of_cursors": [33, "ERROR 53400 Z"],
        "a_hoard_of_temporary_tables": [33, "ERROR 53400 Z"],
        "a_pipeline_of_long_statements": 60,
        "names_that_stand_for_too_much": ["TDCTDCZ", "ERROR 54000Z"],
        "many_values_at_once": "1212000000CZ",
        "an_unknown_message": "FATAL 08P01",
        "a_length_below_itself": "FATAL 08P01",
        "a_truncated_message": "FATAL 08P01",
        "a_password_after_login": "FATAL 08P01",
        "others_notice_nothing": "TDCZ",
    });
    let cases = wanted.as_object().unwrap();
    let differing: Vec<String> = cases
        .iter()
        .filter(|(case, wanted)| said.get(*case) != Some(wanted))
        .map(|(case, wanted)| format!("{case}: {} instead of {wanted}", said.get(case).unwrap_or_default()))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(said.as_object().unwrap().len(), cases.len());
    boundary.cli(&["trail", "verify"]).unwrap();

    // Whoever broke the protocol before he said who he is left an entry, and no more than ten a minute.
    let kinds: Vec<Value> = tail(&boundary);
    let broken: Vec<&Value> = kinds
        .iter()
        .filter(|entry| entry["kind"] == "authentication.failed" && entry["method"] == "none")
        .collect();
    let reasons: BTreeSet<&str> = broken.iter().filter_map(|entry| entry["reason"].as_str()).collect();
    assert_eq!(reasons, BTreeSet::from(["protocol_violation", "unsupported"]), "{broken:?}");
    assert!(broken.iter().all(|entry| entry["source"] == "127.0.0.1" && entry.get("user").is_none()));

    // What the fetch stood for is on record with it.
    let key = boundary.reader_key();
    let sessions = boundary.cli_json(&["sessions", "--limit", "100"]).unwrap();
    let texts = sessions.as_array().unwrap().iter().map(|session| {
        let id = session["session"].as_str().unwrap();
        boundary.cli(&["session", "show", id, "--json", "--reader-key", &key.to_string_lossy()]).unwrap()
    });
    let texts: Vec<String> = texts.collect();
    // Of 200 values of 60,000 bytes 2 MiB are sealed whole, and the others as digests.
    let whole = texts.iter().map(|text| text.matches(&"v".repeat(60_000)).count()).max();
    assert_eq!(whole, Some(2 * 1024 * 1024 / 60_000));
    let fetch = "fetch all from p1\\n-- stands for:\\nselect 1 as secret";
    assert!(texts.iter().any(|text| text.contains(fetch)), "the fetch is on record without its query");

    let single = |entry: &Value| {
        entry["kind"] == "authentication.failed" && entry["method"] == "none" && entry.get("count").is_none()
    };
    let singles = || tail(&boundary).iter().filter(|entry| single(entry)).count() as u64;
    // Those above may have used up a minute's, or be in a minute of their own.
    let before = singles();
    flood(boundary.postgres_port());
    let after = singles();
    let of_flood = after - before;
    // The minute may turn once while this runs.
    assert!(after >= 10 && of_flood <= 20, "{before}, then {of_flood} entries of {FLOOD} strangers");
    // Before the stop what was only counted is written too.
    boundary.gateway().stop().unwrap();
    let counted: u64 = tail(&boundary)
        .iter()
        .filter(|entry| entry["method"] == "none")
        .filter_map(|entry| entry["count"].as_u64())
        .sum();
    assert!(counted >= FLOOD - of_flood, "{counted} of {FLOOD} strangers were counted");
    boundary.cli(&["trail", "verify"]).unwrap();
}
