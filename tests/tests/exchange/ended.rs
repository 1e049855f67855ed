//! What ends a server's sessions, and how soon.

use std::process::Command;
use std::time::{Duration, Instant};

use chaperone_tests::Talk;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::place::{Place, psycopg};

/// What the design grants between learning of an end and the end of a session.
const END_MAX: Duration = Duration::from_secs(5);

/// A session through the server that stays open.
fn open(url: &str) -> Talk {
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", "-d", url]);
    let mut session = Talk::start(&psql).unwrap();
    assert_eq!(session.ask("select 1").unwrap(), "1");
    session
}

/// The only session that has ended since `known`, which took no longer than the design grants.
fn ended(place: &Place, known: usize) -> Value {
    let begun = Instant::now();
    loop {
        let mut closed = place.entries("session.closed");
        if closed.len() > known {
            let last = closed.remove(known);
            let after = Duration::from_micros(last["ended_after_us"].as_u64().unwrap());
            assert!(after < END_MAX, "{last}");
            return last;
        }
        assert!(begun.elapsed() < END_MAX * 2, "it is still open");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_lock_on_the_caller_or_the_server_ends_its_sessions_and_lets_none_in() {
    let place = Place::new();
    let url = place.url("ana");
    for name in ["org/ana", "server/notes"] {
        let known = place.entries("session.closed").len();
        let _session = open(&url);
        let lock = place.boundary.cli_json(&["lock", "subject", name, "--reason", "leaver"]).unwrap();
        assert_eq!(ended(&place, known)["reason"], "locked");
        let told = psycopg(&url, "select 1").unwrap_err();
        assert!(told.contains("locked"), "{told}");
        place.boundary.cli(&["lock", "lift", lock["lock"].as_str().unwrap()]).unwrap();
        assert_eq!(psycopg(&url, "select 1").unwrap(), json!([[1]]));
    }
}

#[test]
fn a_server_that_is_no_longer_registered_ends_with_its_sessions() {
    let mut place = Place::new();
    let url = place.url("ana");
    let _session = open(&url);
    let file = place.boundary.config();
    let text = std::fs::read_to_string(&file).unwrap();
    let at = text.find("[exchange.servers.notes]").unwrap();
    let to = text.find("[exchange.servers.other]").unwrap();
    std::fs::write(&file, format!("{}{}", &text[..at], &text[to..])).unwrap();
    place.boundary.gateway().signal(Signal::HUP).unwrap();
    assert_eq!(ended(&place, 0)["reason"], "no_longer_admitted");
    let told = psycopg(&url, "select 1").unwrap_err();
    assert!(told.contains("authentication failed"), "{told}");
    let failed = place.entries("authentication.failed");
    assert_eq!(failed.last().unwrap()["reason"], "other_server", "{failed:?}");
    let came = place.exchange(&place.token("ana"), &json!({"audience": "clinic"}));
    assert_eq!(came["error"], "invalid_client", "{came}");
    // It comes back as it went: no restart is needed.
    std::fs::write(&file, text).unwrap();
    place.boundary.gateway().signal(Signal::HUP).unwrap();
    let begun = Instant::now();
    while psycopg(&url, "select 1").is_err() {
        assert!(begun.elapsed() < END_MAX, "{}", place.boundary.gateway().log());
    }
}
