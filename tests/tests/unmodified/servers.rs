//! Each server by itself: what it lists, what it reads for a person, and what the record says of it.

use serde_json::{Value, json};

use crate::place::{ALCHEMY, HUB, POSTGRES, Place, SHELL, names, reads_the_clinic, text};

/// A statement of which a nurse sees one column masked, and who is told.
const SQL: &str = "select patient_id, given_name, ssn from clinic.patients where patient_id in (3, 4)";

/// Call one tool of a server as a nurse, and look at the record of it: from the call to the fields.
fn reads(place: &Place, server: &str, tools: &[&str], tool: &str, arguments: &Value) -> Value {
    let came = place.called("ana", server, &json!([{"tool": tool, "arguments": arguments}]));
    assert_eq!(names(&came["tools"]), tools, "{server}");
    let result = &came["results"][0];
    assert_eq!(result["error"], false, "{server}: {result}");
    let said = text(result, "text");
    assert!(said.contains("ssn") && said.contains("***"), "a mask is no value: {said}");

    let started = place.of_kind("toolcall.started");
    let started: Vec<&Value> = started.iter().filter(|entry| entry["target"] == server).collect();
    let id = text(started.last().unwrap(), "call");
    let tree = place.boundary.cli_json(&["toolcall", "show", id]).unwrap();
    assert_eq!((&tree["target"], &tree["tool"]), (&json!(server), &json!(tool)), "{tree}");
    assert_eq!(tree["delegation"]["subject"]["sub"], "ana", "{tree}");
    assert_eq!(tree["delegation"]["attribution"], "leased", "{tree}");
    assert_eq!(tree["oauth_client"], "assistant", "{tree}");
    assert_eq!(tree["end"]["outcome"], "ok", "{tree}");
    let touching: Vec<&Value> = tree["operations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|operation| reads_the_clinic(operation))
        .collect();
    assert!(matches!(touching[..], [one] if one["tag"] == "SELECT"), "{tree}");
    let select = touching[0];
    assert_eq!((&select["rows"], &select["subjects"]["counted"]), (&json!(2), &json!(2)), "{tree}");
    assert_eq!(select["columns"][0]["relation"], "clinic.patients", "{tree}");
    assert_eq!(select["columns"][0]["disclosed"], json!(["given_name", "patient_id"]), "{tree}");
    assert_eq!(select["columns"][0]["masked"], json!(["ssn"]), "{tree}");
    let shown = place.boundary.cli(&["toolcall", "show", id]).unwrap();
    let called = format!("{server}/{tool}");
    for part in ["org/ana", "OAuth client assistant", &called, "SELECT", "masked: ssn", "2 patients"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    came
}

#[test]
fn servers_of_others_read_what_their_caller_may_and_the_record_has_it() {
    let place = Place::new("idle_s = 1");
    reads(&place, POSTGRES, &["query"], "query", &json!({"sql": SQL}));
    reads(&place, HUB, &["execute_sql", "search_objects"], "execute_sql", &json!({"sql": SQL}));
    let tools = ["all_table_names", "filter_table_names", "schema_definitions", "execute_query"];
    let alchemy = || {
        let query =
            "select patient_id, given_name, ssn from clinic.patients where patient_id between :a and :b";
        let arguments = json!({"query": query, "params": {"a": 3, "b": 4}});
        reads(&place, ALCHEMY, &tools, "execute_query", &arguments)
    };
    let came = alchemy();
    // It tells in each description whom it is connected as: that is another in each run, and nobody's business.
    let described = text(&came["tools"][3], "description");
    assert!(described.contains("as user {user}."), "{described}");
    let mut runs = 1;
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_secs(2));
        alchemy();
        runs = place.of_kind("server.started").iter().filter(|entry| entry["server"] == ALCHEMY).count();
        if runs > 1 {
            break;
        }
    }
    assert!(runs > 1, "no second run");
    assert_eq!(place.of_kind("tool.held"), [] as [Value; 0]);
    // What each reads beside that, between calls, is no patient's.
    for entry in place.of_kind("operation.intent") {
        assert!(entry["call"].is_string() || !reads_the_clinic(&entry), "{entry}");
    }
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_shell_behind_the_gateway_runs_for_those_whom_policy_names() {
    let place = Place::new("");
    let mark = place.home.path().join("mark");
    let calls =
        json!([{"tool": "run_command", "arguments": {"command": format!("touch {}", mark.display())}}]);
    let came = place.called("ana", SHELL, &calls);
    assert_eq!(came["tools"], json!([]));
    let said = text(&came["results"][0], "text");
    assert!(said.contains("code: not_permitted"), "{said}");
    assert!(!mark.exists(), "it was run");
    let ended = place.of_kind("toolcall.ended");
    assert_eq!((ended.len(), &ended[0]["outcome"]), (1, &json!("refused")), "{ended:?}");
    let tree = place.boundary.cli_json(&["toolcall", "show", text(&ended[0], "call")]).unwrap();
    assert_eq!((&tree["tool"], &tree["end"]["code"]), (&json!("run_command"), &json!("not_permitted")));
    assert_eq!((&tree["delegation"]["subject"]["sub"], &tree["operations"]), (&json!("ana"), &json!([])));
    // Whom policy names may: it is the same server.
    let came = place.called("dora", SHELL, &calls);
    assert_eq!((names(&came["tools"]), &came["results"][0]["error"]), (vec!["run_command"], &json!(false)));
    assert!(mark.exists(), "{came}");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}
