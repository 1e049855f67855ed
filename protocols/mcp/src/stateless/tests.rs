use super::*;
use crate::relay::said;

const SPOKEN: [&str; 3] = [REVISION, "2025-11-25", "2025-06-18"];
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap()
}

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, http::HeaderValue::from_static(value));
    }
    headers
}

/// The era, or the error's code.
fn judge(lines: &[(&'static str, &'static str)], method: &str, params: &str) -> Result<Era, i64> {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#);
    let error = |error: Value| error["code"].as_i64().unwrap();
    judged(&headers(lines), &said(body.as_bytes()).unwrap(), &SPOKEN).map_err(error)
}

const NEW: (&str, &str) = ("mcp-protocol-version", REVISION);
const LIST: (&str, &str) = ("mcp-method", "tools/list");

#[test]
fn a_request_says_the_same_in_its_headers_and_in_its_body() {
    assert_eq!(judge(&[NEW, LIST], "tools/list", META), Ok(Era::Stateless));
    assert_eq!(judge(&[NEW], "tools/list", META), Err(-32020));
    assert_eq!(judge(&[LIST], "tools/list", META), Err(-32020));
    assert_eq!(judge(&[NEW, LIST, LIST], "tools/list", META), Err(-32020));
    assert_eq!(judge(&[NEW, NEW, LIST], "tools/list", META), Err(-32020));
    assert_eq!(judge(&[NEW, ("mcp-method", "TOOLS/LIST")], "tools/list", META), Err(-32020));
    assert_eq!(judge(&[("mcp-protocol-version", "2025-11-25"), LIST], "tools/list", META), Err(-32020));
    // The words of a request that are not there, whether the header says that they are or its method does.
    for params in ["", r#""_meta":{}"#, r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#]
    {
        assert_eq!(judge(&[NEW, LIST], "tools/list", params), Err(-32602), "{params}");
    }
    assert_eq!(judge(&[], "server/discover", ""), Err(-32602));
    assert_eq!(judge(&[], "tools/list", r#""_meta":3"#), Err(-32602));
    let unknown = META.replace("2026-07-28", "1900-01-01");
    assert_eq!(judge(&[("mcp-protocol-version", "1900-01-01"), LIST], "tools/list", &unknown), Err(-32022));
    assert_eq!(judge(&[NEW, LIST], "tools/list", &unknown), Err(-32020));
    // Nothing of it is said: an older revision, where its header is one or is not there.
    assert_eq!(judge(&[], "tools/list", ""), Ok(Era::Handshake));
    assert_eq!(judge(&[("mcp-protocol-version", "2025-06-18")], "tools/list", ""), Ok(Era::Handshake));
    assert_eq!(judge(&[("mcp-protocol-version", "2024-11-05")], "tools/list", ""), Err(-32022));
    let begins = r#""protocolVersion":"2025-06-18""#;
    assert_eq!(judge(&[("mcp-protocol-version", "2025-06-18")], "initialize", begins), Ok(Era::Handshake));
    assert_eq!(judge(&[("mcp-protocol-version", "2025-11-25")], "initialize", begins), Err(-32020));
}

#[test]
fn what_is_named_beside_a_body_is_what_it_names() {
    let call = ("mcp-method", "tools/call");
    let named = |name: &'static str, params: &str| {
        judge(&[NEW, call, ("mcp-name", name)], "tools/call", &format!("{params},{META}"))
    };
    assert_eq!(named("a", r#""name":"a""#), Ok(Era::Stateless));
    assert_eq!(named("b", r#""name":"a""#), Err(-32020));
    assert_eq!(named("=?base64?SGVsbG8=?=", r#""name":"Hello""#), Ok(Era::Stateless));
    for name in ["=?base64?SGVsbG8?=", "=?base64?SGVs!!!bG8=?=", "SGVsbG8=", "=?base64?SGVsbG8="] {
        assert_eq!(named(name, r#""name":"Hello""#), Err(-32020), "{name}");
    }
    assert_eq!(named("a", r#""name":"a","name":"b""#), Err(-32602));
    assert_eq!(judge(&[NEW, call], "tools/call", &format!(r#""name":"a",{META}"#)), Err(-32020));
}

#[test]
fn an_older_request_need_not_repeat_anything_and_repeats_nothing_else() {
    let older = ("mcp-protocol-version", "2025-11-25");
    let call = ("mcp-method", "tools/call");
    let of = |lines: &[(&'static str, &'static str)]| judge(lines, "tools/call", r#""name":"a""#);
    for fine in [&[][..], &[older], &[older, call], &[older, ("mcp-name", "a")], &[call, ("mcp-name", "a")]] {
        assert_eq!(of(fine), Ok(Era::Handshake), "{fine:?}");
    }
    for (name, value) in
        [("mcp-method", "tools/list"), ("mcp-method", ""), ("mcp-name", "b"), ("mcp-name", "=?base64?!?=")]
    {
        assert_eq!(of(&[older, (name, value)]), Err(-32020), "{name}: {value}");
        assert_eq!(of(&[(name, value)]), Err(-32020), "{name}: {value}");
    }
    assert_eq!(of(&[older, call, call]), Err(-32020));
    assert_eq!(judge(&[older, ("mcp-name", "a")], "tools/list", ""), Err(-32020));
    assert_eq!(judge(&[older, ("mcp-name", "a")], "tools/call", r#""name":"a","name":"b""#), Err(-32602));
    // One that names its own older revision in its body is no other.
    let meta = META.replace("2026-07-28", "2025-11-25");
    let named =
        |lines: &[(&'static str, &'static str)]| judge(lines, "tools/call", &format!(r#""name":"a",{meta}"#));
    assert_eq!(named(&[older, call]), Ok(Era::Handshake));
    assert_eq!(named(&[older, ("mcp-method", "tools/list")]), Err(-32020));
}

#[test]
fn what_a_client_says_of_itself_ends_with_its_hop() {
    let said = format!(
        r#"{{"name":"q","arguments":{{"a": 1.50}},{}}}"#,
        META.replace("{}", r#"{"elicitation":{}},"traceparent":"00-1""#)
    );
    let nothing = Beside::default();
    let older = towards(Era::Handshake, Some(raw(&said)), nothing).unwrap();
    assert_eq!(older, r#"{"name":"q","arguments":{"a": 1.50},"_meta":{"traceparent":"00-1"}}"#);
    let newer = towards(Era::Stateless, Some(raw(&said)), nothing).unwrap();
    assert!(
        newer.contains(r#""arguments":{"a": 1.50}"#) && newer.contains(r#""traceparent":"00-1""#),
        "{newer}"
    );
    let meta = serde_json::from_str::<Value>(&newer).unwrap()["_meta"].clone();
    assert_eq!(meta[PROTOCOL_VERSION], REVISION);
    assert_eq!(meta[CLIENT_INFO]["name"], "chaperone");
    assert_eq!(meta[CLIENT_CAPABILITIES], json!({}));
    // Between two that speak alike nothing is touched.
    let plain = r#"{ "name":"q", "_meta":{"later": 1.0} }"#;
    assert!(
        matches!(towards(Era::Handshake, Some(raw(plain)), nothing), Ok(Cow::Borrowed(same)) if same == plain)
    );
    assert!(towards(Era::Stateless, None, nothing).unwrap().contains(REVISION));
    // A client's token is another hop's, whose numbers may be the same.
    let told = r#"{"name":"q","_meta":{"progressToken":7}}"#;
    assert_eq!(towards(Era::Handshake, Some(raw(told)), nothing).unwrap(), r#"{"name":"q","_meta":{}}"#);
    let able = Abilities { sampling: true, ..Abilities::default() };
    let beside = Beside { abilities: able, token: Some(3), level: Some(Level::Warning) };
    let older = towards(Era::Handshake, Some(raw(told)), beside).unwrap();
    assert_eq!(older, r#"{"name":"q","_meta":{"progressToken":3}}"#);
    let newer = towards(Era::Stateless, None, beside).unwrap();
    let meta = serde_json::from_str::<Value>(&newer).unwrap()["_meta"].clone();
    assert_eq!(meta[CLIENT_CAPABILITIES], json!({"sampling": {}}));
    assert_eq!((&meta[LOG_LEVEL], &meta["progressToken"]), (&json!("warning"), &json!(3)));
    let wanted = json!({"_meta": meta}).to_string();
    assert_eq!(wanted_level(Some(raw(&wanted))), Some(Level::Warning));
    let claims = r#"{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"a","version":"1"}}}"#;
    assert_eq!(application(Some(raw(claims))).as_deref(), Some("a 1"));
}

#[test]
fn an_older_client_gets_what_it_can_read_and_a_newer_one_what_it_needs() {
    let of = |client, server, text: &str| {
        result(client, server, Method::CallTool, raw(text)).unwrap().into_owned()
    };
    let newer = r#"{"resultType":"complete","content":[{"type":"text","text":"x"}],"structuredContent":[1.0],"later":[ ]}"#;
    assert_eq!(of(Era::Stateless, Era::Stateless, newer), newer);
    assert_eq!(
        of(Era::Handshake, Era::Stateless, newer),
        r#"{"later":[ ],"content":[{"type":"text","text":"[1.0]"},{"type":"text","text":"x"}]}"#
    );
    let said =
        r#"{"resultType":"complete","content":[{"type":"text","text":"[1.0]"}],"structuredContent":[1.0]}"#;
    assert_eq!(of(Era::Handshake, Era::Stateless, said), r#"{"content":[{"type":"text","text":"[1.0]"}]}"#);
    let object = r#"{"structuredContent":{"a": 1},"content":[]}"#;
    assert_eq!(of(Era::Handshake, Era::Stateless, object), r#"{"structuredContent":{"a": 1},"content":[]}"#);
    assert_eq!(of(Era::Handshake, Era::Handshake, newer), newer);
    assert_eq!(
        of(Era::Stateless, Era::Handshake, r#"{"content":[ ]}"#),
        r#"{"content":[ ],"resultType":"complete"}"#
    );
    let asks = r#"{"resultType":"input_required","requestState":"x"}"#;
    assert!(!is_complete(raw(asks)).unwrap() && is_complete(raw(object)).unwrap());

    let tool = r#"{"name":"a","outputSchema":{"type":"array"},"x": 1}"#;
    assert_eq!(manifest(Era::Handshake, Era::Stateless, raw(tool)), r#"{"name":"a","x":1}"#);
    assert_eq!(manifest(Era::Stateless, Era::Stateless, raw(tool)), tool);
    let list = listed(Era::Stateless, Listing::Tools, &[Cow::Borrowed(tool)]);
    assert_eq!(serde_json::from_str::<Value>(&list).unwrap()["cacheScope"], "private");
    assert_eq!(listed(Era::Handshake, Listing::Prompts, &[]), r#"{"prompts":[]}"#);
    let found = discovered(&SPOKEN, "{}", Some(raw(r#"{"name":"s","version":"1"}"#)), None);
    assert!(speaks(raw(&found)) && !speaks(raw(r#"{"supportedVersions":["2025-11-25"]}"#)));
    assert_eq!(server_information(raw(&found)).unwrap().get(), r#"{"name":"s","version":"1"}"#);
}

#[test]
fn what_may_be_kept_is_kept_by_one_caller() {
    let of =
        |client, server, method, text: &str| result(client, server, method, raw(text)).unwrap().into_owned();
    let (newer, older) = (Era::Stateless, Era::Handshake);
    let said = r#"{"contents":[ ],"resultType":"complete","ttlMs":60000,"cacheScope":"public"}"#;
    let kept = r#"{"contents":[ ],"resultType":"complete","ttlMs":60000,"cacheScope":"private"}"#;
    assert_eq!(of(newer, newer, Method::ReadResource, said), kept);
    assert_eq!(of(older, newer, Method::ReadResource, said), r#"{"contents":[ ]}"#);
    assert_eq!(
        of(newer, older, Method::ListResources, r#"{"resources":[ ]}"#),
        r#"{"resources":[ ],"resultType":"complete","cacheScope":"private","ttlMs":0}"#
    );
    let prompt = r#"{"messages":[ ],"structuredContent":1}"#;
    assert_eq!(of(older, newer, Method::GetPrompt, prompt), prompt);
    assert_eq!(of(older, older, Method::GetPrompt, prompt), prompt);
    assert_eq!(
        of(newer, newer, Method::Complete, r#"{"resultType":"complete"}"#),
        r#"{"resultType":"complete"}"#
    );
}

#[test]
fn what_a_server_can_is_told_as_far_as_it_is_shown_and_carried() {
    let said = raw(
        r#"{"capabilities":{"tools":{"listChanged":true,"later":[ ]},"resources":{"subscribe":true,"listChanged":true},"prompts":{},"logging":{}}}"#,
    );
    let all = |both_older| capabilities(said, both_older, |_| true);
    assert_eq!(
        all(true),
        r#"{"tools":{"later":[ ],"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{}}"#
    );
    assert_eq!(
        all(false),
        r#"{"tools":{"later":[ ],"listChanged":true},"resources":{"listChanged":true},"prompts":{}}"#
    );
    assert_eq!(capabilities(said, true, |part| part == "prompts"), r#"{"prompts":{}}"#);
    assert_eq!(capabilities(raw("{}"), true, |_| true), "{}");
    assert!(has(said, "prompts") && !has(said, "completions") && !has(raw("{}"), "tools"));
}

#[test]
fn what_a_client_can_is_all_that_is_needed_or_not() {
    let of = |able: &str| {
        let params = format!(r#"{{"_meta":{{"io.modelcontextprotocol/clientCapabilities":{able}}}}}"#);
        can(Some(raw(&params)), raw(r#"{"code":-32021,"data":{"requiredCapabilities":{"sampling":{}}}}"#))
    };
    assert!(of(r#"{"sampling":{},"roots":{}}"#) && !of(r#"{"roots":{}}"#) && !of("{}"));
    assert!(!can(Some(raw("{}")), raw("{}")));
    assert_eq!(code(raw(r#"{"code":-32021,"message":"m"}"#)), Some(-32021));
}

#[test]
fn a_header_repeats_the_argument_that_it_is_named_for() {
    let tool = json!({"name": "t", "inputSchema": {"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "within": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        "free": {"type": "string"},
        "list": {"type": "array", "items": {"type": "string", "x-mcp-header": "Item"}},
    }}});
    let found = repeats(&tool);
    assert_eq!(found.len(), 2, "{found:?}");
    let of = |lines: &[(&'static str, &'static str)], arguments: &str| {
        agree(&found, &headers(lines), Some(raw(arguments)))
    };
    let region = ("mcp-param-region", "eu");
    assert_eq!(of(&[region], r#"{"region":"eu","free":"x"}"#), Ok(()));
    assert_eq!(of(&[("mcp-param-region", "=?base64?ZXU=?=")], r#"{"region":"eu"}"#), Ok(()));
    assert_eq!(of(&[("mcp-param-n", "42.0")], r#"{"within":{"n":42}}"#), Ok(()));
    assert_eq!(of(&[], r#"{"region":null}"#), Ok(()));
    for (lines, arguments) in [
        (&[region][..], r#"{"region":"us"}"#),
        (&[region, region], r#"{"region":"eu"}"#),
        (&[region], "{}"),
        (&[region], r#"{"region":["eu"]}"#),
        (&[], r#"{"region":"eu"}"#),
        (&[("mcp-param-n", "43")], r#"{"within":{"n":42}}"#),
        (&[("mcp-param-n", "9007199254740993")], r#"{"within":{"n":9007199254740992}}"#),
    ] {
        assert!(of(lines, arguments).is_err(), "{lines:?} {arguments}");
    }
    // Whoever calls by this is taken at his word.
    for region in ["eu", " eu", "\u{e9}u", "=?base64?ZXU=?=", ""] {
        let arguments = json!({"region": region, "within": {"n": -7}, "free": "x"});
        let mut beside = HeaderMap::new();
        for (name, value) in written(&found, &arguments) {
            beside.append(name, value.parse().unwrap());
        }
        assert_eq!(beside.len(), 2);
        assert_eq!(agree(&found, &beside, Some(raw(&arguments.to_string()))), Ok(()), "{region}");
    }
}
