//! Sessions that wait for another call of the same caller, and what becomes of them when it may not have them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chaperone_tests::{Cluster, Fsync};
use serde_json::{Value, json};

use crate::place::{PATIENTS, Place, bearer};

const COUNT: &str = "select count(*) from clinic.patients";

/// The process ids of what Chaperone has open at the database.
fn backends(place: &Place) -> BTreeSet<String> {
    let ask = "select pid from pg_stat_activity where application_name like 'cp:%' and state is not null";
    place.cluster.sql(ask).unwrap().lines().map(str::to_owned).collect()
}

/// Wait until so many sessions are open.
fn until(place: &Place, many: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let live = place.boundary.cli_json(&["sessions", "--live"]).unwrap();
        if live.as_array().unwrap().len() == many {
            return live.as_array().unwrap().clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "there are never {many} live sessions: {live}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn text(answer: &Value) -> &str {
    answer["content"][0]["text"].as_str().unwrap()
}

/// A statement's first value, where it was carried out.
fn first(answer: &Value) -> &Value {
    assert_eq!(answer["isError"], false, "{answer}");
    &answer["structuredContent"]["rows"][0][0]
}

/// Which session each operation was in, by the call whose it is.
fn sessions_of_calls(place: &Place) -> Vec<(String, String)> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    place
        .entries("operation.intent")
        .iter()
        .map(|entry| (text(entry, "call"), text(entry, "session")))
        .collect()
}

#[test]
fn calls_of_one_caller_use_one_session_and_each_has_its_own_statements() {
    let place = Place::new("");
    let token = bearer(&place.token(json!({})));
    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        first(&place.query(&[&token], json!({"sql": COUNT})));
        seen.extend(backends(&place));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((place.entries("session.opened").len(), place.entries("session.joined").len()), (1, 1));
    let operations = sessions_of_calls(&place);
    let calls: Vec<String> = place
        .entries("toolcall.ended")
        .iter()
        .map(|entry| entry["call"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(operations.iter().map(|(call, _)| call.clone()).collect::<Vec<_>>(), calls);
    // What is wrong in one call, and what policy refuses in it, is nothing to the next.
    for wrong in ["select no_such_column from clinic.patients", "select 1 / 0", "select * from clinic.claims"]
    {
        assert_eq!(place.query(&[&token], json!({"sql": wrong}))["isError"], true);
        first(&place.query(&[&token], json!({"sql": COUNT})));
    }
    // A result that is gone on with stays in its session, and gives it back at its end.
    let cut = place.query(&[&token], json!({"sql": format!("{PATIENTS} limit 3"), "rows": 2}));
    let more = place.query(&[&token], json!({"continuation": cut["structuredContent"]["continuation"]}));
    assert_eq!(first(&more), "3");
    first(&place.query(&[&token], json!({"sql": COUNT})));
    assert_eq!(place.entries("session.opened").len(), 1);
    // Nobody else's, and for nothing else: another person, client, purpose or token has another one.
    let mut others = vec![(bearer(&place.token(json!({"sub": "nora"}))), json!({"sql": COUNT}))];
    others.push((bearer(&place.token(json!({"client_id": "another"}))), json!({"sql": COUNT})));
    others.push((token.clone(), json!({"sql": COUNT, "purpose": "TREAT"})));
    let later = place.token(json!({"exp": now_s() + 7000}));
    others.push((bearer(&later), json!({"sql": COUNT})));
    for (n, (token, arguments)) in others.iter().enumerate() {
        first(&place.query(&[token], arguments.clone()));
        assert_eq!(place.entries("session.opened").len(), n + 2, "{arguments}");
    }
    let mut whose: Vec<Value> = Vec::new();
    for opened in place.entries("session.opened") {
        let chain = &opened["delegation"];
        whose.push(json!([chain["subject"]["sub"], chain["client"], chain["purpose"], chain["tool"]]));
    }
    assert_eq!(whose[1], json!(["nora", "claude", null, "query"]));
    assert_eq!(whose[2], json!(["ana", "another", null, "query"]));
    assert_eq!(whose[3], json!(["ana", "claude", "TREAT", "query"]));
    place.boundary.cli(&["trail", "verify"]).unwrap();
    // Last, since it takes its time, and a session waits for a while only.
    for call in &calls {
        let tree = place.boundary.cli_json(&["toolcall", "show", call]).unwrap();
        assert_eq!(tree["operations"].as_array().unwrap().len(), 1, "{tree}");
        assert_eq!(tree["operations"][0]["status"], "ok", "{tree}");
    }
}

/// In seconds since the Unix epoch.
fn now_s() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[test]
fn nothing_of_a_call_is_left_behind_for_the_next() {
    let place = Place::new("");
    let token = bearer(&place.token(json!({})));
    let asked = |sql: &str| place.query(&[&token], json!({"sql": sql}));
    for (leaves, looks) in [
        ("set work_mem = '7777kB'", "show work_mem"),
        ("create temp table kept as select patient_id from clinic.patients", "select count(*) from kept"),
        ("prepare kept as select 1", "execute kept"),
        ("declare kept cursor with hold for select patient_id from clinic.patients", "fetch kept"),
        ("begin", "savepoint kept"),
    ] {
        first(&asked(COUNT));
        let before = place.entries("session.opened").len();
        let left = asked(leaves);
        assert_eq!(left["isError"], false, "{leaves}: {left}");
        let looked = asked(looks);
        assert!(looked["isError"] == true || first(&looked) != "7777kB", "{leaves}: {looked}");
        assert!(place.entries("session.opened").len() > before, "the session of `{leaves}` was used again");
    }
    // A write takes a session that waits, and ends it.
    first(&asked(COUNT));
    let before = place.entries("session.opened").len();
    let write = asked("update clinic.encounters set reason = 'seen' where encounter_id = 1");
    assert_eq!(write["isError"], false, "{write}");
    assert_eq!(place.entries("session.opened").len(), before);
    until(&place, 0);
    first(&asked(COUNT));
    assert_eq!(place.entries("session.opened").len(), before + 1);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn whatever_ends_sessions_ends_those_that_wait_and_no_call_is_decided_by_them() {
    let place = Place::new("");
    let token = bearer(&place.token(json!({})));
    let asked = || place.query(&[&token], json!({"sql": format!("{PATIENTS} limit 3")}));
    let waits = || {
        assert_eq!(asked()["isError"], false);
        until(&place, 1)[0]["session"].as_str().unwrap().to_owned()
    };
    // An administrator ends it: the next call has another.
    let session = waits();
    place.boundary.cli(&["session", "kill", &session, "--reason", "a drill"]).unwrap();
    assert_ne!(waits(), session);
    // Policy shows less from now on: in the very session that waits.
    let ssn =
        |answer: &Value| answer["structuredContent"]["columns"][2]["shown"].as_str().unwrap().to_owned();
    assert_eq!(ssn(&asked()), "masked");
    let opened = place.entries("session.opened").len();
    let file = place.home.path().join("chaperone/policy/clinic.cedar");
    let policy = std::fs::read_to_string(&file).unwrap();
    let less = policy.replace("@id(\"nurses-masked\")\npermit", "@id(\"nurses-masked\")\nforbid");
    assert_ne!(less, policy);
    std::fs::write(&file, less).unwrap();
    place.boundary.cli(&["policy", "reload"]).unwrap();
    let now = asked();
    assert!(now["isError"] == true || ssn(&now) == "hidden", "{now}");
    assert_eq!(place.entries("session.opened").len(), opened);
    // He may not connect any more: the call is refused, and the session ends.
    std::fs::write(
        &file,
        policy.replace("@id(\"nurses-connect\")\npermit", "@id(\"nurses-connect\")\nforbid"),
    )
    .unwrap();
    place.boundary.cli(&["policy", "reload"]).unwrap();
    let (status, _, _) = place.raw(&[&token], &crate::place::call(COUNT));
    assert_eq!(status, 404);
    until(&place, 0);
    std::fs::write(&file, &policy).unwrap();
    place.boundary.cli(&["policy", "reload"]).unwrap();
    // His groups are others: he is judged by those.
    waits();
    let fewer = bearer(&place.token(json!({"groups": []})));
    let (status, _, _) = place.raw(&[&fewer], &crate::place::call(COUNT));
    assert_eq!(status, 404);
    until(&place, 0);
    let again = bearer(&place.token(json!({})));
    assert_eq!(place.query(&[&again], json!({"sql": COUNT}))["isError"], false);
    // A lock, and whoever is disabled.
    until(&place, 1);
    let lock = place.boundary.cli_json(&["lock", "subject", "org/ana", "--reason", "a drill"]).unwrap();
    let refused = place.query(&[&again], json!({"sql": COUNT}));
    assert!(text(&refused).contains("code: locked"), "{refused}");
    until(&place, 0);
    let path = format!("/locks/{}", lock["lock"].as_str().unwrap());
    assert_eq!(place.boundary.api("DELETE", &path, &Value::Null).unwrap().0, 200);
    assert_eq!(place.query(&[&again], json!({"sql": COUNT}))["isError"], false);
    until(&place, 1);
    place.boundary.cli(&["people", "disable", "org/ana", "--reason", "left"]).unwrap();
    until(&place, 0);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_target_that_has_started_again_fails_no_call() {
    let mut place = Place::new("");
    let token = bearer(&place.token(json!({})));
    let asked = |place: &Place| place.query(&[&token], json!({"sql": COUNT}));
    let many = first(&asked(&place)).clone();
    let before = backends(&place);
    let port = place.cluster.port();
    place.cluster.server().stop().unwrap();
    place.cluster = Cluster::start(&place.home.path().join("postgres"), Fsync::Off, Some(port)).unwrap();
    assert_eq!(*first(&asked(&place)), many);
    assert!(backends(&place).is_disjoint(&before));
    // Not even where the end of the session is news to the call.
    for _ in 0..5 {
        let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'cp:%'";
        assert_eq!(place.cluster.sql(cut).unwrap().trim(), "1");
        assert_eq!(*first(&asked(&place)), many);
    }
    let failed = |entry: &&Value| entry["outcome"] != "ok";
    assert_eq!(place.entries("toolcall.ended").iter().find(failed), None);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_session_that_waits_takes_no_place_of_its_subject() {
    let place = Place::limited("[[limit]]\nsubject = \"org/ana\"\nsessions = 1\n");
    let token = bearer(&place.token(json!({})));
    for purpose in ["TREAT", "HPAYMT"] {
        let answer = place.query(&[&token], json!({"sql": COUNT, "purpose": purpose}));
        assert_eq!(answer["isError"], false, "{answer}");
        until(&place, 0);
    }
}

#[test]
fn no_more_sessions_wait_than_are_said_and_none_for_long() {
    let place = Place::new("");
    let token = bearer(&place.token(json!({})));
    for n in 0..7 {
        first(&place.query(&[&token], json!({"sql": COUNT, "purpose": format!("P{n}")})));
    }
    let many = until(&place, 4).len();
    assert_eq!((many, backends(&place).len()), (4, 4));
    let closed = place.entries("session.closed");
    assert!(closed.iter().all(|entry| entry["reason"] == "client_left"), "{closed:?}");
    let begun = Instant::now();
    while !backends(&place).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(40), "sessions wait for ever");
        std::thread::sleep(Duration::from_millis(500));
    }
}
