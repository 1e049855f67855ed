//! What a server may for its caller, and how the record tells it.

use std::process::Command;

use chaperone_tests::{Talk, capture};
use serde_json::{Value, json};

use crate::place::{ASSISTANT, PATIENTS, Place, RESOURCE, psycopg};

#[test]
fn a_server_acts_for_its_caller_and_the_record_names_both() {
    let place = Place::new();
    let token = place.token("ana");
    let came = place.exchange(&token, &json!({"audience": "clinic"}));
    assert_eq!(came["issued_token_type"], "urn:chaperone:token-type:database-credential", "{came}");
    assert_eq!(
        (came["token_type"].as_str().unwrap().to_lowercase(), &came["call"]),
        ("n_a".to_owned(), &Value::Null)
    );
    let life = came["expires_in"].as_u64().unwrap();
    assert!((1..=300).contains(&life), "{came}");
    let url = came["access_token"].as_str().unwrap();
    let parts = ["user", "password", "database", "host"].map(|part| came[part].as_str().unwrap());
    assert!(parts.iter().all(|part| url.contains(part)), "{came}");

    assert_eq!(psycopg(url, "select count(*) > 0 from clinic.patients").unwrap(), json!([[true]]));
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", "-d", url]);
    let mut session = Talk::start(&psql).unwrap();
    assert_eq!(session.ask("select 'by psql'").unwrap(), "by psql");
    let live = place.boundary.cli(&["sessions", "--live"]).unwrap();
    assert!(live.contains("org/ana via claude through notes (exchanged)"), "{live}");
    drop(session);

    let exchanged = place.entries("credential.exchanged");
    let [exchange] = exchanged.as_slice() else { unreachable!("{exchanged:?}") };
    let chain = &exchange["delegation"];
    assert_eq!((&chain["subject"]["sub"], &chain["client"]), (&json!("ana"), &json!("claude")), "{exchange}");
    assert_eq!(chain["recipient"], json!({"name": "Model Inc"}));
    let server = json!({"name": "notes", "recipient": {"agreement": "baa-7", "name": "Tool Inc"}});
    assert_eq!((&chain["server"], &chain["attribution"]), (&server, &json!("exchanged")));
    assert_eq!((&exchange["target"], &exchange["credential"]), (&json!("clinic"), &came["credential"]));
    let opened = place.entries("session.opened");
    assert_eq!(opened.len(), 2, "{opened:?}");
    for entry in &opened {
        assert_eq!((&entry["credential"], &entry["delegation"]), (&came["credential"], chain), "{entry}");
    }
    // Both were asked.
    let intent = place.entries("operation.intent").remove(0);
    let policies = intent["decision"]["policies"].to_string();
    assert!(policies.contains("nurses-read") && policies.contains("notes-reads"), "{intent}");
    let listed = place.boundary.cli(&["sessions"]).unwrap();
    assert!(listed.contains("through notes (exchanged)"), "{listed}");
    let all = place.boundary.cli(&["trail", "tail", "--json", "--lines", "100000"]).unwrap();
    assert!(!all.contains(came["password"].as_str().unwrap()) && !all.contains(&token), "{all}");
    place.boundary.cli(&["trail", "verify"]).unwrap();

    // Elsewhere a token that was made for the server is none.
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let refused = place.boundary.mcp("clinic", &token, &list).unwrap_err().to_string();
    assert!(refused.contains("HTTP/1.1 401 "), "{refused}");
    let login = json!({"issuer": "org", "access_token": token});
    assert_eq!(place.boundary.api("POST", "/login", &login).unwrap().0, 401);
    // And a login is not made of one that was exchanged: its holder is known to nobody but the server.
    assert_eq!(place.entries("login.made").len(), 1);
}

#[test]
fn rights_are_those_that_caller_and_server_both_have() {
    let place = Place::new();
    let url = place.url("ana");
    let rows = psycopg(&url, PATIENTS).unwrap();
    let real = place.cluster.sql(PATIENTS).unwrap();
    for (row, real) in rows.as_array().unwrap().iter().zip(real.lines()) {
        let real: Vec<&str> = real.split('|').collect();
        assert_eq!(
            (row[0].to_string().as_str(), row[1].as_str().unwrap()),
            (real[0], real[1]),
            "revealed to both"
        );
        for (at, what) in [(2, "masked by the server's rights"), (3, "masked by the caller's")] {
            let (seen, real) = (row[at].as_str().unwrap().trim(), real[at].trim());
            assert!(seen.contains('*') && seen.ends_with(&real[real.len() - 4..]), "{what}: {row}");
        }
        assert!(
            !row[4].as_str().unwrap_or_default().contains(&real[4][real[4].len() - 4..]),
            "hidden: {row}"
        );
    }
    // The caller may, and not the server; and the other way round.
    let told = psycopg(&url, "select count(*) from clinic.encounters").unwrap_err();
    assert!(told.contains("no permission to `read` on `clinic.encounters`"), "{told}");
    let told = psycopg(&url, "select count(*) from clinic.claims").unwrap_err();
    assert!(told.contains("no permission to `read` on `clinic.claims`"), "{told}");
    // Nobody at the clinic, and a target that is none: the exchange says nothing of either, and neither opens.
    let stranger = place.forged(json!({}), &json!({"sub": "eve", "groups": ["visitors"]}));
    let stranger = place.exchange(&stranger, &json!({"audience": "clinic"}));
    let elsewhere = place.exchange(&place.token("ana"), &json!({"audience": "no-such-target"}));
    let elsewhere = elsewhere["access_token"].as_str().unwrap();
    for (url, target) in
        [(stranger["access_token"].as_str().unwrap(), "clinic"), (elsewhere, "no-such-target")]
    {
        let told = psycopg(url, "select 1").unwrap_err();
        assert!(told.contains(&format!("there is no target `{target}` for you")), "{told}");
    }
}

#[test]
fn a_credential_for_one_call_joins_what_it_does_to_that_call() {
    let place = Place::new();
    let token = place.token("ana");
    let digest = "0f".repeat(32);
    let details = json!({"type": "database_credential", "relations": ["clinic.patients(patient_id, given_name)"],
        "verbs": ["read"], "rows": 2, "ttl_s": 60, "purpose": "TREAT",
        "call": {"tool": "find_patient", "id": "their-7", "arguments_sha256": digest}});
    let came = place.narrowed(&token, &details);
    let (url, id) = (came["access_token"].as_str().unwrap(), came["call"].as_str().unwrap());
    assert!(came["expires_in"].as_u64().unwrap() <= 60, "{came}");
    let rows = psycopg(url, "select patient_id, given_name from clinic.patients order by 1 limit 2").unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    let other = psycopg(url, "select claim_id from clinic.claims").unwrap_err();
    assert!(other.contains("no permission"), "{other}");
    assert!(psycopg(url, "select patient_id from clinic.patients").is_err(), "more rows than are left");

    let tree = place.boundary.cli_json(&["toolcall", "show", id]).unwrap();
    assert_eq!((&tree["tool"], &tree["target"]), (&json!("find_patient"), &json!("clinic")), "{tree}");
    assert_eq!(tree["exchanged"]["named"], "their-7", "{tree}");
    assert_eq!(tree["exchanged"]["credential"], came["credential"]);
    assert_eq!(tree["delegation"]["purpose"], "TREAT");
    let statuses: Vec<&str> =
        tree["operations"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses[..2], ["ok", "refused"], "{tree}");
    assert_eq!(
        tree["operations"][0]["columns"][0]["disclosed"],
        json!(["given_name", "patient_id"]),
        "{tree}"
    );
    assert_eq!(tree["operations"][0]["subjects"]["counted"], 2, "{tree}");
    assert_ne!(tree["arguments"], digest, "what may be guessed is kept as a commitment");
    let shown = place.boundary.cli(&["toolcall", "show", id]).unwrap();
    for part in [
        "org/ana via claude through notes (exchanged)",
        "clinic/find_patient",
        "carried out elsewhere, there `their-7`",
        "disclosed: given_name, patient_id",
        "2 patients",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let entry = place.entries("credential.exchanged").remove(0);
    assert_eq!(entry["only"], json!(["clinic.patients(given_name, patient_id)"]), "{entry}");
    assert_eq!((&entry["verbs"], &entry["rows"]), (&json!(["read"]), &json!(2)));
    assert_eq!((&entry["call"], &entry["tool"]), (&json!(id), &json!("find_patient")));
    for kind in ["operation.intent", "operation.refused", "operation.outcome"] {
        let of_it = place.entries(kind);
        assert!(
            !of_it.is_empty() && of_it.iter().all(|entry| entry["call"] == json!(id)),
            "{kind}: {of_it:?}"
        );
    }
    place.boundary.cli(&["trail", "verify"]).unwrap();
    // Its holder narrows it further, as every credential: offline.
    let narrow = format!("printf %s '{url}' | \"$0\" credential narrow --only 'clinic.patients(patient_id)'");
    let mut narrowed = Command::new("sh");
    narrowed.args(["-c", &narrow]).arg(place.boundary.program());
    let narrowed = capture(&mut narrowed).unwrap();
    let sql = "select given_name from clinic.patients limit 1";
    let (full, less) = (psycopg(url, sql).unwrap(), psycopg(narrowed.trim(), sql).unwrap());
    assert_ne!(full, less, "{full}");
    // For a moment only.
    let short = place.narrowed(&token, &json!({"type": "database_credential", "ttl_s": 1}));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(psycopg(short["access_token"].as_str().unwrap(), "select 1").is_err());
}

#[test]
fn a_server_finds_its_way_by_what_the_gateway_publishes() {
    let place = Place::new();
    let url = format!("{}/.well-known/oauth-authorization-server/oauth", place.boundary.api_url());
    let said = capture(Command::new("curl").args(["-sS", "--fail", &url])).unwrap();
    let metadata: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(metadata["issuer"], place.server());
    // Whoever writes policies reads of it what is registered.
    let (_, registered) = place.boundary.api("GET", "/clients", &Value::Null).unwrap();
    let names: Vec<&Value> =
        registered["items"].as_array().unwrap().iter().map(|client| &client["client"]).collect();
    assert_eq!(names, ["claude", "server/notes", "server/other"]);
    let notes = &registered["items"][1];
    assert_eq!(
        *notes,
        json!({"client": "server/notes", "owner": "it", "recipient": "Tool Inc", "agreement": "baa-7",
            "oauth_clients": ["notes-mcp"], "resource": RESOURCE})
    );
    let (_, next) = place.boundary.api("GET", "/clients?after=claude&limit=1", &Value::Null).unwrap();
    assert_eq!(next["items"], json!([notes]));
    assert_eq!(metadata["token_endpoint"], format!("{}/token", place.server()));
    assert_eq!(metadata["grant_types_supported"], json!(["urn:ietf:params:oauth:grant-type:token-exchange"]));
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(["private_key_jwt"]));
    // The tools are for other tokens: their metadata names the issuer, and not this.
    let url = format!("{}/.well-known/oauth-protected-resource/mcp", place.boundary.api_url());
    let said = capture(Command::new("curl").args(["-sS", "--fail", &url])).unwrap();
    assert!(said.contains(&place.issuer.url()) && !said.contains(&place.server()), "{said}");
    assert!(!said.contains(RESOURCE) && !said.contains(ASSISTANT), "{said}");
}
