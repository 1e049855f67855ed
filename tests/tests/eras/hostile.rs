//! Clients and servers that do in the middle of a call what nobody should.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::asked::in_python;
use crate::pairs::{CALLS, NEW, stateless};
use crate::place::{ASKS, EVERYTHING, Place, text};

/// One request as nobody's library would send it.
struct Raw {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Raw {
    fn new(url: &str, token: &str, method: &str, headers: &[&str], body: Option<&Value>) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["-sSN", "-i", "-m", "60", "-X", method]);
        let token = format!("authorization: Bearer {token}");
        let plain = ["content-type: application/json", "accept: application/json, text/event-stream"];
        for header in [token.as_str()].iter().chain(&plain).chain(headers) {
            curl.args(["-H", header]);
        }
        if body.is_some() {
            curl.args(["--data-binary", "@-"]);
        }
        let mut child = curl.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(body.map(Value::to_string).unwrap_or_default().as_bytes()).unwrap();
        drop(input);
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.out.read_line(&mut line).unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    /// Status and headers.
    fn head(&mut self) -> (u16, Vec<String>) {
        let status = self.line().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = std::iter::from_fn(|| self.line().filter(|line| !line.is_empty())).collect();
        (status, headers)
    }

    /// The next message of a stream, or the only one.
    fn message(&mut self) -> Option<Value> {
        loop {
            let line = self.line()?;
            let data = line.strip_prefix("data: ").unwrap_or(&line);
            if data.starts_with('{') {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    /// It goes away in the middle.
    fn leave(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A session of somebody's, whose client can be asked.
fn session(place: &Place, sub: &str, server: &str) -> String {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "a test", "version": "1"}});
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let mut raw = Raw::new(&place.url(server), &place.token_of(sub), "POST", &[], Some(&body));
    let (status, headers) = raw.head();
    assert_eq!(status, 200);
    let session = headers.iter().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap().to_owned();
    assert!(session.len() >= 32 && session.bytes().all(|byte| byte.is_ascii_graphic()), "{session}");
    session
}

fn call(tool: &str, arguments: Value, token: Option<&str>) -> Value {
    let mut params = json!({"name": tool, "arguments": arguments});
    if let Some(token) = token {
        params["_meta"] = json!({"progressToken": token});
    }
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
}

fn until<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it did not come to pass");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_question_is_answered_by_whoever_was_asked_and_by_nobody_else() {
    let place = Place::new(&[]);
    let (mine, others) = (session(&place, "ana", ASKS), session(&place, "ben", ASKS));
    let another = session(&place, "ana", ASKS);
    let elsewhere = session(&place, "ana", EVERYTHING);
    let of = |session: &str| format!("mcp-session-id: {session}");
    let asks = call("elicit", json!({"message": "m"}), None);
    let mut asked = Raw::new(&place.url(ASKS), &place.token(), "POST", &[&of(&mine)], Some(&asks));
    let (status, headers) = asked.head();
    assert!(
        status == 200 && headers.iter().any(|line| line == "content-type: text/event-stream"),
        "{headers:?}"
    );
    let question = asked.message().unwrap();
    assert_eq!(question["method"], "elicitation/create");
    let forged = |id: &Value, name: &str| json!({"jsonrpc": "2.0", "id": id, "result": {"action": "accept", "content": {"name": name}}});
    let id = &question["id"];
    let status = |server: &str, sub: &str, session: Option<&str>, body: &Value| {
        let header = session.map(of);
        let headers: Vec<&str> = header.iter().map(String::as_str).collect();
        Raw::new(&place.url(server), &place.token_of(sub), "POST", &headers, Some(body)).head().0
    };
    // Another person, with the session and the id; another session of hers; another server's; none; another id.
    assert_eq!(status(ASKS, "ben", Some(&mine), &forged(id, "Mallory")), 404);
    assert_eq!(status(ASKS, "ben", Some(&others), &forged(id, "Mallory")), 400);
    assert_eq!(status(ASKS, "ana", Some(&another), &forged(id, "Mallory")), 400);
    assert_eq!(status(EVERYTHING, "ana", Some(&elsewhere), &forged(id, "Mallory")), 400);
    assert_eq!(status(EVERYTHING, "ana", Some(&mine), &forged(id, "Mallory")), 404);
    assert_eq!(status(ASKS, "ana", None, &forged(id, "Mallory")), 400);
    for guess in [json!(1), json!("1"), json!("")] {
        assert_eq!(status(ASKS, "ana", Some(&mine), &forged(&guess, "Mallory")), 400);
    }
    // Whoever was asked; once.
    assert_eq!(status(ASKS, "ana", Some(&mine), &forged(id, "turquoise")), 202);
    assert_eq!(status(ASKS, "ana", Some(&mine), &forged(id, "Mallory")), 400);
    let came = asked.message().unwrap();
    assert!(came.to_string().contains("turquoise") && !came.to_string().contains("Mallory"), "{came}");
    assert_eq!(came["id"], 1);
    // What answers otherwise than it was asked answers nothing.
    let mut asked = Raw::new(&place.url(ASKS), &place.token(), "POST", &[&of(&mine)], Some(&asks));
    asked.head();
    let question = asked.message().unwrap();
    let odd = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "everything"}});
    assert_eq!(status(ASKS, "ana", Some(&mine), &odd), 202);
    assert_eq!(asked.message().unwrap()["result"]["isError"], true);

    // A session ends; afterwards there is none, and there never was one of another's.
    let delete = |sub: &str, session: &str| {
        Raw::new(&place.url(ASKS), &place.token_of(sub), "DELETE", &[&of(session)], None).head().0
    };
    assert_eq!((delete("ben", &mine), delete("ana", "x"), delete("ana", &mine)), (404, 404, 204));
    assert_eq!((delete("ana", &mine), status(ASKS, "ana", Some(&mine), &asks)), (404, 404));
    assert_eq!(
        status(ASKS, "ana", Some(&another), &json!({"jsonrpc": "2.0", "id": 2, "method": "ping"})),
        200
    );
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_state_is_taken_once_and_for_the_call_that_it_was_given_for() {
    let place = Place::new(&[]);
    let able = json!({"elicitation": {"form": {}}});
    let go = |sub: &str, server: &str, tool: &str, arguments: Value, more: Value| {
        let mut params = json!({"name": tool, "arguments": arguments});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = stateless("tools/call", params, &able);
        let name = format!("mcp-name: {tool}");
        let mut raw =
            Raw::new(&place.url(server), &place.token_of(sub), "POST", &[NEW, CALLS, &name], Some(&body));
        raw.head();
        raw.message().unwrap()
    };
    let answer = |key: &str, name: &str| json!({key: {"action": "accept", "content": {"name": name}}});
    for (server, tool, arguments) in [
        (EVERYTHING, "test_input_required_result_elicitation", json!({})),
        (ASKS, "elicit", json!({"message": "m"})),
    ] {
        let first = go("ana", server, tool, arguments.clone(), json!({}));
        assert_eq!(first["result"]["resultType"], "input_required", "{first}");
        let state = text(&first["result"], "requestState").to_owned();
        assert!(state.len() >= 32, "{first}");
        let key = first["result"]["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        let with =
            |state: &str, name: &str| json!({"requestState": state, "inputResponses": answer(&key, name)});
        // Another person; another call; a guess.
        for (sub, arguments, more) in [
            ("ben", arguments.clone(), with(&state, "Mallory")),
            ("ana", json!({"message": "another"}), with(&state, "Mallory")),
            ("ana", arguments.clone(), with("guess", "Mallory")),
        ] {
            let came = go(sub, server, tool, arguments, more);
            assert_eq!(came["error"]["code"], -32602, "{came}");
        }
        let came = go("ana", server, tool, arguments.clone(), with(&state, "turquoise"));
        assert!(came.to_string().contains("turquoise"), "{came}");
        assert_eq!(came["result"]["resultType"], "complete", "{came}");
        let again = go("ana", server, tool, arguments.clone(), with(&state, "Mallory"));
        assert_eq!(again["error"]["code"], -32602, "{again}");
        // An answer that comes with the first request is one to what is then asked by that name, and to nothing else.
        let early = json!({"inputResponses": {"another": {}, key.clone(): answer(&key, "scarlet")[&key]}});
        let came = go("ana", server, tool, arguments.clone(), early);
        assert!(came.to_string().contains("scarlet"), "{came}");
        // Whoever goes on without an answer is asked again, under another state.
        let first = go("ana", server, tool, arguments.clone(), json!({}));
        let state = text(&first["result"], "requestState").to_owned();
        let second = go(
            "ana",
            server,
            tool,
            arguments.clone(),
            json!({"requestState": state, "inputResponses": {"other": {}}}),
        );
        assert_eq!(second["result"]["resultType"], "input_required", "{second}");
        assert_ne!(second["result"]["requestState"], state.as_str());
        let key = second["result"]["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
        let state = text(&second["result"], "requestState").to_owned();
        let came = go(
            "ana",
            server,
            tool,
            arguments,
            json!({"requestState": state, "inputResponses": answer(&key, "magenta")}),
        );
        assert!(came.to_string().contains("magenta"), "{came}");
    }
    // One call is on record for each, however many requests it took.
    assert_eq!(place.boundary.entries_of("toolcall.started").unwrap().len(), 6);
    assert_eq!(place.boundary.entries_of("toolcall.ended").unwrap().len(), 6);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_server_that_never_stops_telling_ends_its_own_run_and_no_other() {
    let place = Place::new(&[]);
    for tool in ["endless", "huge"] {
        let came = in_python(&place, ASKS, "legacy", tool, &json!({}));
        assert_eq!(came["error"], true, "{came}");
        assert!(text(&came, "text").contains("it sent"), "{came}");
        assert!(came["heard"].as_array().unwrap().len() <= 1000);
        let came = in_python(&place, ASKS, "legacy", "steps", &json!({"count": 2}));
        assert_eq!(text(&came, "text"), "done", "{came}");
    }
    // What is told and asked after the end of a call reaches nobody.
    for mode in ["legacy", "auto"] {
        let came = in_python(&place, ASKS, mode, "late", &json!({}));
        assert_eq!((text(&came, "text"), came["heard"].as_array().unwrap().len()), ("ended", 0), "{came}");
        let came = in_python(&place, ASKS, mode, "steps", &json!({"count": 1}));
        assert_eq!(came["heard"].as_array().unwrap().len(), 2, "{came}");
    }
    assert_eq!(place.boundary.entries_of("toolcall.asked").unwrap().len(), 0);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_client_that_goes_away_or_gives_up_takes_its_call_with_it() {
    let place = Place::new(&[]);
    let mine = session(&place, "ana", ASKS);
    let of = format!("mcp-session-id: {mine}");
    let ended = |many: usize| {
        until(|| Some(place.boundary.entries_of("toolcall.ended").unwrap()).filter(|all| all.len() >= many))
            .pop()
            .unwrap()
    };
    let waits = call("waits", json!({}), Some("t"));
    // In the middle of a stream.
    let mut gone = Raw::new(&place.url(ASKS), &place.token(), "POST", &[&of], Some(&waits));
    gone.head();
    assert_eq!(gone.message().unwrap()["params"]["progressToken"], "t");
    gone.leave();
    assert_eq!(ended(1)["outcome"], "abandoned");
    // While it is asked.
    let asks = call("elicit", json!({"message": "m"}), None);
    let mut gone = Raw::new(&place.url(ASKS), &place.token(), "POST", &[&of], Some(&asks));
    gone.head();
    gone.message().unwrap();
    gone.leave();
    assert_eq!(ended(2)["outcome"], "abandoned");
    // It says that it gives up; of another's request it cannot.
    let mut given_up = Raw::new(&place.url(ASKS), &place.token(), "POST", &[&of], Some(&waits));
    given_up.head();
    given_up.message().unwrap();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let other = session(&place, "ben", ASKS);
    for (sub, session) in [("ben", &other), ("ana", &mine)] {
        assert_eq!(place.boundary.entries_of("toolcall.ended").unwrap().len(), 2);
        let of = format!("mcp-session-id: {session}");
        let mut raw = Raw::new(&place.url(ASKS), &place.token_of(sub), "POST", &[&of], Some(&cancel));
        assert_eq!(raw.head().0, 202);
    }
    assert_eq!(ended(3)["outcome"], "abandoned");
    // Nobody else is the worse for it.
    let came = in_python(&place, ASKS, "legacy", "steps", &json!({"count": 1}));
    assert_eq!(text(&came, "text"), "done", "{came}");
    place.boundary.cli(&["trail", "verify"]).unwrap();
}
