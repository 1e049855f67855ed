#![no_main]
//! Hostile requests: what is decided about is what any reader of the same bytes finds in them, and no name gets in that is
//! not ours.

use std::sync::LazyLock;

use chaperone_mcp::guard::Guard;
use chaperone_mcp::peek::peek;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

static GUARD: LazyLock<Guard> = LazyLock::new(|| {
    let (hosts, origins) = (["gw.example:6480".to_owned()], ["https://app.example".to_owned()]);
    Guard::new(&hosts, &origins, false).expect("they are a host and an origin")
});

/// A body that is taken says the same to a reader that lets the last of two members win.
fn look(body: &[u8]) {
    let Ok(peeked) = peek(body) else { return };
    // What is nested too deep, or a number beyond every number, is refused a step later.
    let Ok(read) = serde_json::from_slice::<Value>(body) else { return };
    assert_eq!(read["method"].as_str().unwrap_or_default(), peeked.method);
    if peeked.method == "tools/call" {
        assert_eq!(read["params"]["name"].as_str(), peeked.tool.as_deref());
        assert!(peeked.tool.is_some());
    }
}

fn knock(host: &[u8], origin: &[u8]) {
    let (Ok(host), Ok(origin)) = (HeaderValue::from_bytes(host), HeaderValue::from_bytes(origin)) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, host.clone());
    headers.insert(header::ORIGIN, origin.clone());
    if GUARD.judge(&headers).is_ok() {
        assert!(host.as_bytes().eq_ignore_ascii_case(b"gw.example:6480"));
        assert!(origin.as_bytes().eq_ignore_ascii_case(b"https://app.example"));
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    look(data);
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (host, origin) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    knock(host, b"https://app.example");
    knock(b"gw.example:6480", host);
    knock(host, origin);
});
