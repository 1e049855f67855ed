//! A call from its beginning to its end, also where that is nobody's plan.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::place::{PATIENTS, Place, bearer, call, python, run};

#[test]
fn a_session_that_is_not_opened_is_refused_under_its_call() {
    let place = Place::limited("[[limit]]\nsubject = \"org/ana\"\nsessions = 1\n");
    let token = bearer(&place.token(json!({})));
    let first = place.query(&[&token], json!({"sql": PATIENTS, "rows": 1}));
    assert!(first["structuredContent"]["continuation"].is_string(), "{first}");
    let second = place.query(&[&token], json!({"sql": PATIENTS}));
    let text = second["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("refused: ") && text.contains("code: too_many_sessions"), "{text}");
    let ended = &place.entries("toolcall.ended")[1];
    assert_eq!((&ended["outcome"], &ended["code"]), (&json!("refused"), &json!("too_many_sessions")));
    let refused = place.entries("operation.refused");
    assert_eq!((refused.len(), &refused[0]["call"]), (1, &ended["call"]), "{refused:?}");
    let tree = place.boundary.cli_json(&["toolcall", "show", ended["call"].as_str().unwrap()]).unwrap();
    assert_eq!(
        (&tree["operations"][0]["tag"], &tree["operations"][0]["code"]),
        (&json!("CONNECT"), &json!("too_many_sessions")),
        "{tree}"
    );
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_write_that_may_have_been_carried_out_is_never_called_refused() {
    let place = Place::new("");
    let token = bearer(&place.token(json!({})));
    // A server that waits for a standby commits first: whoever is cut off meanwhile cannot know.
    place.cluster.sql("alter system set synchronous_standby_names = 'nobody'").unwrap();
    place.cluster.sql("alter system set synchronous_commit = 'on'").unwrap();
    place.cluster.sql("select pg_reload_conf()").unwrap();
    let write = "update clinic.encounters set reason = 'carried out' where encounter_id = 1";
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| place.query(&[&token], json!({"sql": write})));
        let cut =
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'";
        let mut many = 0;
        for _ in 0..100 {
            many += place.cluster.sql(cut).unwrap().trim().parse::<u32>().unwrap();
            if many > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(many, 1, "no commit ever waited");
        answer.join().unwrap()
    });
    let done = place.cluster.sql("select reason from clinic.encounters where encounter_id = 1").unwrap();
    assert_eq!(done.trim(), "carried out");
    assert_eq!(answer["isError"], true, "{answer}");
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("outcome unknown: ") && text.contains("do not repeat it blindly"), "{text}");
    let ended = place.entries("toolcall.ended");
    assert_eq!((ended.len(), &ended[0]["outcome"]), (1, &json!("unknown")), "{ended:?}");
    let call = ended[0]["call"].as_str().unwrap();
    let shown = place.boundary.cli(&["toolcall", "show", call]).unwrap();
    assert!(shown.contains("unknown"), "{shown}");
    // What the target refuses is told as that, and what is refused before it is sent too.
    place.cluster.sql("alter system reset synchronous_standby_names").unwrap();
    place.cluster.sql("select pg_reload_conf()").unwrap();
    let text = |sql: &str| {
        let answer = place.query(&[&token], json!({"sql": sql}));
        answer["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let twice =
        text("update clinic.encounters set reason = (1 / (encounter_id - 1))::text where encounter_id = 1");
    assert!(twice.starts_with("the database answered with an error"), "{twice}");
    let denied = text("delete from clinic.encounters");
    assert!(denied.starts_with("refused: ") && denied.contains("code: not_permitted"), "{denied}");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_result_is_gone_on_with_once_and_by_nobody_else() {
    let place = Place::new("");
    let ana = place.token(json!({}));
    let two = format!("{PATIENTS} limit 2");
    let first = run(
        python(&["http", &place.url(), &ana]),
        &json!([{"tool": "query", "arguments": {"sql": two, "rows": 1}}]),
    );
    let first = first.unwrap();
    let token = first["results"][0]["structured"]["continuation"].as_str().unwrap().to_owned();
    let go_on = json!([{"tool": "query", "arguments": {"continuation": token}}]);
    // A colleague, and the same person through another client.
    let nora = place.token(json!({"sub": "nora"}));
    let elsewhere = place.token(json!({"client_id": "another"}));
    for other in [nora, elsewhere] {
        let came = run(python(&["http", &place.url(), &other]), &go_on).unwrap();
        assert!(came["results"][0]["text"].as_str().unwrap().contains("nothing to go on with"), "{came}");
    }
    let came = run(python(&["http", &place.url(), &ana]), &go_on).unwrap();
    assert_eq!(came["results"][0]["structured"]["rows"][0][0], "2", "{came}");
    let again = run(python(&["http", &place.url(), &ana]), &go_on).unwrap();
    assert!(again["results"][0]["text"].as_str().unwrap().contains("nothing to go on with"), "{again}");
    // Rows that came already wait too, and go nowhere once their session was ended.
    let long = "select patient_id, repeat('x', 100000) from clinic.patients order by 1 limit 3";
    let live = |many: usize| {
        for _ in 0..50 {
            let live = place.boundary.cli_json(&["sessions", "--live"]).unwrap();
            if live.as_array().unwrap().len() == many {
                return live;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("there are never {many} live sessions");
    };
    // The one that the result was in, which waits for another call.
    live(1);
    let cut =
        run(python(&["http", &place.url(), &ana]), &json!([{"tool": "query", "arguments": {"sql": long}}]));
    let cut = cut.unwrap()["results"][0]["structured"].clone();
    assert_eq!(cut["row_count"], 2, "{}", cut["note"]);
    let session = live(1)[0]["session"].as_str().unwrap().to_owned();
    place.boundary.cli(&["session", "kill", &session, "--reason", "a drill"]).unwrap();
    live(0);
    let go_on = json!([{"tool": "query", "arguments": {"continuation": cut["continuation"]}}]);
    let ended = run(python(&["http", &place.url(), &ana]), &go_on).unwrap();
    assert_eq!(ended["results"][0]["error"], true, "{ended}");
    assert!(!ended.to_string().contains("xxxx"), "rows of a session that was ended");
    // Ending somebody ends what waits for him.
    let waits = run(
        python(&["http", &place.url(), &ana]),
        &json!([{"tool": "query", "arguments": {"sql": PATIENTS, "rows": 1}}]),
    );
    assert!(waits.unwrap()["results"][0]["structured"]["continuation"].is_string());
    place.boundary.cli(&["people", "disable", "org/ana", "--reason", "left"]).unwrap();
    live(0);
}

/// A client whose call does not end by itself, once its statement runs.
fn slow_call(place: &Place) -> Child {
    let token = bearer(&place.token(json!({})));
    let slow = call("select count(*) from clinic.patients a, clinic.patients b, clinic.patients c");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-H", "content-type: application/json", "-H", &token]).stderr(Stdio::null());
    curl.args(["-H", "accept: application/json, text/event-stream", "-d", &slow]).arg(place.url());
    let waiting = curl.stdout(Stdio::null()).spawn().unwrap();
    let runs = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        !place.entries("operation.intent").is_empty()
    });
    assert!(runs, "its statement does not run");
    waiting
}

#[test]
fn whoever_hangs_up_takes_his_call_with_him() {
    let place = Place::new("");
    let mut waiting = slow_call(&place);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    for _ in 0..50 {
        let ended = place.entries("toolcall.ended");
        let live = place.boundary.cli_json(&["sessions", "--live"]).unwrap();
        if ended.len() == 1 && live.as_array().unwrap().is_empty() {
            assert_eq!(ended[0]["outcome"], "abandoned");
            let outcome = &place.entries("operation.outcome")[0];
            assert_eq!((&outcome["status"], &outcome["call"]), (&json!("client_gone"), &ended[0]["call"]));
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the call goes on without its client");
}

#[test]
fn a_gateway_that_dies_owes_the_end_of_a_call_and_pays_it() {
    let mut place = Place::new("");
    let mut waiting = slow_call(&place);
    place.boundary.gateway().kill().unwrap();
    waiting.wait().unwrap();
    place.boundary.restart_gateway().unwrap();
    let (started, ended) = (place.entries("toolcall.started"), place.entries("toolcall.ended"));
    assert_eq!((started.len(), ended.len()), (1, 1));
    assert_eq!((&ended[0]["outcome"], &ended[0]["call"]), (&json!("lost"), &started[0]["call"]));
    let tree = place.boundary.cli_json(&["toolcall", "show", started[0]["call"].as_str().unwrap()]).unwrap();
    assert_eq!(tree["operations"][0]["status"], "lost", "{tree}");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}
