//! What servers tell and ask in the middle of a call, before clients and servers of both eras that others wrote.

use std::process::Command;

use chaperone_tests::root;
use serde_json::{Value, json};

use crate::place::{ASKS, EVERYTHING, NEWER, Place, beside, python, text};

/// One call of PyPI's client, which can be told and asked.
pub(crate) fn in_python(place: &Place, server: &str, mode: &str, tool: &str, arguments: &Value) -> Value {
    answering(place, server, mode, tool, arguments, "accept")
}

fn answering(place: &Place, server: &str, mode: &str, tool: &str, arguments: &Value, answer: &str) -> Value {
    let script = root().join("tests/mcp/asked.py");
    let mut command = Command::new(python());
    command.arg(script).args([
        &place.url(server),
        &place.token(),
        mode,
        tool,
        &arguments.to_string(),
        answer,
    ]);
    printed(command)
}

fn printed(mut command: Command) -> Value {
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    serde_json::from_slice(&out.stdout).map_err(|_| said).unwrap()
}

/// What a client heard of that kind, in order.
fn heard<'a>(came: &'a Value, kind: &str, what: &str) -> Vec<&'a Value> {
    came["heard"].as_array().unwrap().iter().filter(|one| one[kind] == what).collect()
}

/// The entries of the last call, with what stands between its beginning and its end.
fn last_call(place: &Place) -> (String, Vec<Value>) {
    let started = place.boundary.entries_of("toolcall.started").unwrap();
    let call = text(started.last().unwrap(), "call").to_owned();
    let entries = ["toolcall.told", "toolcall.asked", "toolcall.answered", "toolcall.ended"];
    let all = entries.iter().flat_map(|kind| place.boundary.entries_of(kind).unwrap());
    let mut of_call: Vec<Value> = all.filter(|entry| entry["call"] == call.as_str()).collect();
    of_call.sort_by_key(|entry| entry["seq"].as_u64());
    (call, of_call)
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| text(entry, "kind")).collect()
}

#[test]
fn what_a_server_tells_reaches_its_client_counted_and_looked_through() {
    let place = Place::new(&[]);
    for mode in ["legacy", "auto"] {
        let came = in_python(&place, ASKS, mode, "steps", &json!({"count": 300}));
        assert_eq!((&came["error"], text(&came, "text")), (&json!(false), "done"), "{came}");
        let steps = heard(&came, "told", "progress");
        let done: Vec<u64> = steps.iter().map(|step| step["progress"].as_f64().unwrap() as u64).collect();
        assert_eq!(done, (1..=300).collect::<Vec<_>>(), "{mode}");
        assert_eq!(steps[6]["message"], "step 7");
        assert_eq!(heard(&came, "told", "message")[0]["data"], "all steps", "{came}");
        let (call, entries) = last_call(&place);
        let told: Vec<&Value> = entries.iter().filter(|entry| entry["kind"] == "toolcall.told").collect();
        let sum = |kind: &str| told.iter().filter_map(|entry| entry["kinds"][kind].as_u64()).sum::<u64>();
        assert_eq!((sum("progress"), sum("message")), (300, 1), "{entries:?}");
        assert!(told.len() < 60, "an entry for each message: {}", told.len());
        assert_eq!(kinds(&entries).last(), Some(&"toolcall.ended"));
        let shown = place.boundary.cli(&["toolcall", "show", &call]).unwrap();
        assert!(shown.contains("told meanwhile: 1 x message, 300 x progress"), "{shown}");

        // An identifier of a patient's is replaced in whatever is told.
        let leak = json!({"count": 1, "message": "SSN 219-09-9999"});
        let came = in_python(&place, ASKS, mode, "steps", &leak);
        assert!(!came.to_string().contains("219-09-9999"), "{came}");
        assert_eq!(heard(&came, "told", "progress")[0]["message"], "SSN [phi.ssn]", "{came}");
        let (_, entries) = last_call(&place);
        let masked = entries.iter().filter_map(|entry| entry["masked"]["phi.ssn"].as_u64());
        assert_eq!(masked.sum::<u64>(), 2, "{entries:?}");
    }
    // A server that speaks the newest revision tells its client likewise.
    let came = in_python(&place, EVERYTHING, "auto", "test_tool_with_progress", &json!({}));
    assert_eq!(came["version"], "2026-07-28");
    assert_eq!(heard(&came, "told", "progress").len(), 3, "{came}");
    let came = in_python(&place, EVERYTHING, "auto", "test_logging_tool", &json!({}));
    assert_eq!(heard(&came, "told", "message").len(), 1, "{came}");
    // Only of the call that is under way.
    let came = in_python(&place, ASKS, "legacy", "others", &json!({}));
    assert_eq!(text(&came, "text"), "told of others", "{came}");
    assert_eq!(heard(&came, "told", "progress").len(), 0, "{came}");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn what_a_server_asks_is_answered_by_its_client_of_either_era_and_on_record() {
    let place = Place::new(&[]);
    let about = json!({"message": "Who is it for?"});
    for (mode, version) in [("legacy", "2025-11-25"), ("auto", "2026-07-28")] {
        let came = in_python(&place, ASKS, mode, "book", &about);
        assert_eq!(
            (&came["version"], text(&came, "text")),
            (&json!(version), "booked for turquoise: Hello from a model"),
            "{came}"
        );
        let asked = heard(&came, "asked", "elicitation");
        assert_eq!(asked[0]["params"]["message"], "Who is it for?");
        assert_eq!(asked[0]["params"]["requestedSchema"]["required"], json!(["name"]));
        let sampled = heard(&came, "asked", "sampling");
        assert_eq!(sampled[0]["params"]["messages"][0]["content"]["text"], "greet turquoise", "{came}");
        let (call, entries) = last_call(&place);
        let expected =
            ["toolcall.asked", "toolcall.answered", "toolcall.asked", "toolcall.answered", "toolcall.ended"];
        assert_eq!(kinds(&entries), expected);
        let of = |place: usize, name: &str| entries[place][name].clone();
        assert_eq!((of(0, "for_what"), of(0, "ask")), (json!("elicitation"), json!(1)));
        assert_eq!((of(1, "action"), of(1, "ask")), (json!("accept"), json!(1)));
        assert_eq!((of(2, "for_what"), of(3, "action")), (json!("sampling"), json!("given")));
        assert_eq!(of(4, "outcome"), "ok");
        // Neither question nor answer stands there in clear.
        let all = format!("{entries:?}");
        assert!(!all.contains("turquoise") && !all.contains("Who is it for"), "{all}");
        let shown = place.boundary.cli(&["toolcall", "show", &call]).unwrap();
        assert!(
            shown.contains("asked #1 elicitation  question ") && shown.contains(": accept  answer "),
            "{shown}"
        );
        assert!(shown.contains("asked #2 sampling"), "{shown}");

        let came = answering(&place, ASKS, mode, "book", &about, "decline");
        assert_eq!(text(&came, "text"), "not booked: decline", "{came}");
        assert_eq!(last_call(&place).1[1]["action"], "decline");
        let came = in_python(&place, ASKS, mode, "roots", &json!({}));
        assert!(text(&came, "text").contains("file:///srv/notes"), "{came}");
        // Identifiers in a question are replaced.
        let came = in_python(&place, ASKS, mode, "elicit", &json!({"message": "Is SSN 219-09-9999 hers?"}));
        assert_eq!(heard(&came, "asked", "elicitation")[0]["params"]["message"], "Is SSN [phi.ssn] hers?");
        assert_eq!(last_call(&place).1[0]["masked"]["phi.ssn"], 1);

        // A server that does without a handshake asks by an answer that ends nothing.
        let came = in_python(&place, NEWER, mode, "books", &json!({}));
        assert!(text(&came, "text").contains("turquoise"), "{mode}: {came}");
        assert_eq!(heard(&came, "asked", "elicitation").len(), 1, "{mode}: {came}");
        assert_eq!(kinds(&last_call(&place).1), ["toolcall.asked", "toolcall.answered", "toolcall.ended"]);
        if mode == "legacy" {
            // One that speaks all revisions is spoken to as its client speaks, so that its tools can ask.
            let about = json!({"prompt": "greet"});
            let came = in_python(&place, EVERYTHING, mode, "test_sampling", &about);
            assert_eq!(text(&came, "text"), "LLM response: Hello from a model", "{came}");
            continue;
        }
        for (tool, asked, says) in [
            ("test_input_required_result_sampling", "sampling", "Hello from a model"),
            ("test_input_required_result_elicitation", "elicitation", "Hello, turquoise!"),
            ("test_input_required_result_list_roots", "roots", "file:///srv/notes"),
        ] {
            let came = in_python(&place, EVERYTHING, mode, tool, &json!({}));
            assert_eq!(
                (text(&came, "text"), heard(&came, "asked", asked).len()),
                (says, 1),
                "{mode}: {came}"
            );
            assert_eq!(
                kinds(&last_call(&place).1),
                ["toolcall.asked", "toolcall.answered", "toolcall.ended"]
            );
        }
    }
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn npms_client_is_told_and_asked_in_its_session() {
    let place = Place::new(&[]);
    let script = beside(place.home.path(), "mcp", "asked.js");
    let call = |server: &str, tool: &str, arguments: Value| {
        let mut command = Command::new("node");
        command.args([&script, &place.url(server), &place.token(), tool, &arguments.to_string()]);
        printed(command)
    };
    let came = call(ASKS, "book", json!({"message": "Who?"}));
    assert_eq!(text(&came, "text"), "booked for turquoise: Hello from a model", "{came}");
    assert!(text(&came, "session").len() >= 32, "{came}");
    let came = call(ASKS, "steps", json!({"count": 3}));
    assert_eq!(heard(&came, "told", "progress").len(), 3, "{came}");
    let came = call(NEWER, "books", json!({}));
    assert!(text(&came, "text").contains("turquoise"), "{came}");
    // Where a person is sent stands on record, and only plain web addresses are one.
    let came = call(ASKS, "visit", json!({"url": "https://pay.example/forms/7"}));
    assert!(text(&came, "text").contains("accept"), "{came}");
    let (id, entries) = last_call(&place);
    assert_eq!(entries[0]["url"], "https://pay.example/forms/7");
    assert_eq!(entries[0]["for_what"], "elicitation_url");
    let shown = place.boundary.cli(&["toolcall", "show", &id]).unwrap();
    assert!(shown.contains("elicitation_url https://pay.example/forms/7"), "{shown}");
    let came = call(ASKS, "visit", json!({"url": "https://pay.example/219-09-9999?ssn=219-09-9999"}));
    assert_eq!((&came["error"], heard(&came, "asked", "elicitation").len()), (&json!(true), 0), "{came}");
    let came = call(ASKS, "visit", json!({"url": "javascript:alert(1)"}));
    assert_eq!((&came["error"], heard(&came, "asked", "elicitation").len()), (&json!(true), 0), "{came}");
}

#[test]
fn nobody_is_asked_without_a_policy_or_the_clients_word() {
    let place = Place::new(&[]);
    // A policy lets these tools ask, and this client cannot be asked.
    let came = place.in_python(
        ASKS,
        "legacy",
        &json!([{"tool": "capable"}, {"tool": "elicit", "arguments": {"message": "m"}}]),
    );
    assert_eq!(text(&came["results"][0], "text"), "{}", "{came}");
    assert_eq!(came["results"][1]["error"], true, "{came}");
    // This one can, of which its server hears.
    let came = in_python(&place, ASKS, "legacy", "capable", &json!({}));
    assert!(
        text(&came, "text").contains("elicitation") && text(&came, "text").contains("sampling"),
        "{came}"
    );
    // No policy lets this server's tools ask.
    for mode in ["legacy", "auto"] {
        let came = in_python(&place, NEWER, mode, "asks", &json!({}));
        assert_eq!((&came["error"], heard(&came, "asked", "elicitation").len()), (&json!(true), 0), "{came}");
        assert!(text(&came, "text").contains("asks for more before it ends the call"), "{came}");
        assert_eq!(last_call(&place).1[0]["code"], "unsupported");
        // Nor this tool of a server whose other tools may; the server hears why.
        let came = in_python(&place, ASKS, mode, "forbidden", &json!({}));
        assert_eq!((&came["error"], heard(&came, "asked", "elicitation").len()), (&json!(true), 0), "{came}");
        assert!(text(&came, "text").contains("no permission to `elicit`"), "{came}");
        let (id, entries) = last_call(&place);
        assert_eq!(kinds(&entries), ["toolcall.asked", "toolcall.ended"]);
        assert_eq!(entries[0]["code"], "not_permitted");
        let shown = place.boundary.cli(&["toolcall", "show", &id]).unwrap();
        assert!(shown.contains(": refused (not_permitted)"), "{shown}");
    }
    place.boundary.cli(&["trail", "verify"]).unwrap();
}
