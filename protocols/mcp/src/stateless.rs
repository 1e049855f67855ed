//! 2026-07-28, the revision without a handshake: each request says in its `_meta` which revision it is of and what its client
//! can do, and over HTTP its headers repeat parts of its body. What is said twice has to agree: whoever stands between reads
//! one of the two, and whoever carries the request out the other.
//!
//! Also what has to be changed of a message where one end speaks it and the other an older revision. All else stays.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::relay::{Members, RelayError, Said, unread};
use crate::revision::{VERSION, unspoken};

/// The revision.
pub const REVISION: &str = "2026-07-28";
/// A header and the body say two things, or a header is missing.
pub const HEADER_MISMATCH: i32 = -32020;
/// The client cannot do what the request needs.
pub const MISSING_CAPABILITY: i32 = -32021;
/// As JSON-RPC 2.0 numbers them.
const INVALID_PARAMS: i32 = -32602;

/// Members of a request's `_meta` that are the hop's own, and no other's.
const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const OF_THE_HOP: [&str; 4] = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL];
/// Longest name of a client's that is kept, in characters.
const APPLICATION_CHARS_MAX: usize = 128;
/// Who a server is, in the `_meta` of a result.
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What stands around a header's value in base64.
const ENCODED: (&str, &str) = ("=?base64?", "?=");
/// Below it each whole number has a floating-point number of its own.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// How two ends agree on a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Once, by `initialize` (until 2025-11-25).
    Handshake,
    /// With each request.
    Stateless,
}

fn wrong(code: i32, message: impl Into<String>) -> Value {
    json!({"code": code, "message": message.into()})
}

fn mismatch(message: impl Into<String>) -> Value {
    wrong(HEADER_MISMATCH, message)
}

/// A header's value, where it stands once.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| format!("`{name}` is no text")),
        (Some(_), Some(_)) => Err(format!("`{name}` stands once")),
    }
}

/// A value that may stand in base64, since a header holds no more than visible ASCII.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(ENCODED.0).and_then(|rest| rest.strip_suffix(ENCODED.1));
    let Some(inner) = inner else { return Some(Cow::Borrowed(value)) };
    STANDARD.decode(inner).ok().and_then(|bytes| String::from_utf8(bytes).ok()).map(Cow::Owned)
}

/// A text as a header holds it.
#[must_use]
pub fn encoded(text: &str) -> Cow<'_, str> {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim_matches(' ') == text;
    let is_marked = text.starts_with(ENCODED.0) && text.ends_with(ENCODED.1);
    if plain && !is_marked {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}{}{}", ENCODED.0, STANDARD.encode(text), ENCODED.1))
}

fn repeated(headers: &HeaderMap, name: &HeaderName, in_body: &str) -> Result<(), String> {
    let value = header(headers, name)?.ok_or_else(|| format!("`{name}` is missing"))?;
    match decoded(value) {
        Some(value) if value == in_body => Ok(()),
        Some(_) => Err(format!("`{name}` is not what stands in the body")),
        None => Err(format!("`{name}` is no base64")),
    }
}

/// The `_meta` of parameters; `None` where there is none.
fn meta(params: Option<&RawValue>) -> Result<Option<Members<'_>>, RelayError> {
    let Some(params) = params.filter(|params| params.get().starts_with('{')) else { return Ok(None) };
    Members::of(params.get())?.get("_meta").map(|meta| Members::of(meta.get())).transpose()
}

/// How a client speaks, by its request and the headers beside it, which agree.
///
/// # Errors
/// The error of JSON-RPC that it is answered with.
pub fn judged(headers: &HeaderMap, said: &Said<'_>, spoken: &[&str]) -> Result<Era, Value> {
    let method = said.method.as_deref().unwrap_or_default();
    let meta = meta(said.params).map_err(|error| wrong(INVALID_PARAMS, error.to_string()))?;
    let named = meta.as_ref().and_then(|meta| meta.get(PROTOCOL_VERSION));
    let named: Option<String> = named.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let beside = header(headers, &VERSION).map_err(mismatch)?;
    if named.is_none() && beside != Some(REVISION) && method != "server/discover" {
        return match unspoken(headers, spoken) {
            None => agreed(beside, said)
                .and_then(|()| follows(headers, said).map_err(mismatch))
                .map(|()| Era::Handshake),
            Some(error) => Err(error),
        };
    }
    let lacks = |what: &str| wrong(INVALID_PARAMS, format!("`_meta` of the request lacks `{what}`"));
    let named = named.ok_or_else(|| lacks(PROTOCOL_VERSION))?;
    let beside = beside.ok_or_else(|| mismatch(format!("`{VERSION}` is missing")))?;
    if beside != named {
        return Err(mismatch(format!("`{VERSION}` is not what stands in the body")));
    }
    if let Some(error) = unspoken(headers, spoken) {
        return Err(error);
    }
    if named != REVISION {
        // An older one, in which these words mean nothing.
        return follows(headers, said).map(|()| Era::Handshake).map_err(mismatch);
    }
    let capabilities = meta.as_ref().and_then(|meta| meta.get(CLIENT_CAPABILITIES));
    if !capabilities.is_some_and(|raw| raw.get().starts_with('{')) {
        return Err(lacks(CLIENT_CAPABILITIES));
    }
    repeated(headers, &METHOD, method).map_err(mismatch)?;
    let Some(source) = source(method) else { return Ok(Era::Stateless) };
    let name = said.params.and_then(|params| Members::of(params.get()).ok()?.text(source).ok()?);
    let name = name.ok_or_else(|| wrong(INVALID_PARAMS, format!("`{method}` without a `{source}`")))?;
    repeated(headers, &NAME, &name).map_err(mismatch)?;
    Ok(Era::Stateless)
}

/// The parameter that a request of a method repeats in its headers.
fn source(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        _ => None,
    }
}

/// Whether what an older request repeats in headers, which it need not, is what stands in its body: whoever stands between may
/// read it all the same.
fn follows(headers: &HeaderMap, said: &Said<'_>) -> Result<(), String> {
    let method = said.method.as_deref().unwrap_or_default();
    if headers.contains_key(&METHOD) {
        repeated(headers, &METHOD, method)?;
    }
    if !headers.contains_key(&NAME) {
        return Ok(());
    }
    let members = said.params.and_then(|params| Members::of(params.get()).ok());
    let name = members.zip(source(method)).and_then(|(members, source)| members.text(source).ok()?);
    match name {
        Some(name) => repeated(headers, &NAME, &name),
        None => Err(format!("`{NAME}` repeats what is not there")),
    }
}

/// Whether a handshake names the same revision in its header, where it has one, and in its body.
fn agreed(beside: Option<&str>, said: &Said<'_>) -> Result<(), Value> {
    let (Some(beside), Some("initialize")) = (beside, said.method.as_deref()) else { return Ok(()) };
    let wanted =
        said.params.and_then(|params| Members::of(params.get()).ok()?.text("protocolVersion").ok()?);
    if wanted.is_none_or(|wanted| wanted == beside) {
        return Ok(());
    }
    Err(mismatch(format!("`{VERSION}` is not what stands in the body")))
}

/// What the client calls itself in a request of its own: a claim.
#[must_use]
pub fn application(params: &RawValue) -> Option<String> {
    let meta = meta(Some(params)).ok()??;
    let client = Members::of(meta.get(CLIENT_INFO)?.get()).ok()?;
    let name = client.text("name").ok()?.filter(|name| !name.is_empty())?;
    let whole = format!("{name} {}", client.text("version").ok()?.unwrap_or_default());
    Some(whole.chars().take(APPLICATION_CHARS_MAX).collect())
}

/// Whether the client says that it can do all that an error of [`MISSING_CAPABILITY`] names.
#[must_use]
pub fn can(params: &RawValue, error: &RawValue) -> bool {
    let of_client = || -> Option<Value> {
        serde_json::from_str(meta(Some(params)).ok()??.get(CLIENT_CAPABILITIES)?.get()).ok()
    };
    let error: Value = serde_json::from_str(error.get()).unwrap_or_default();
    let needed = error.pointer("/data/requiredCapabilities").and_then(Value::as_object);
    let (Some(able), Some(needed)) = (of_client(), needed) else { return false };
    needed.keys().all(|name| able.get(name).is_some_and(|can| !can.is_null()))
}

/// The code of an error.
#[must_use]
pub fn code(error: &RawValue) -> Option<i64> {
    let code = Members::of(error.get()).ok()?.get("code")?;
    code.get().parse().ok()
}

/// Parameters as a server takes them that speaks so: what a client says of itself is between it and us, and to the server we
/// are the client, with nothing that it could ask of us.
///
/// # Errors
/// Not an object, or its `_meta` is none.
pub fn towards(server: Era, params: Option<&RawValue>) -> Result<Cow<'_, str>, RelayError> {
    let text = params.map_or("{}", RawValue::get);
    let carried = meta(params);
    match (server, carried) {
        (Era::Handshake, Ok(Some(carried))) if OF_THE_HOP.iter().any(|name| carried.get(name).is_some()) => {
            let rest = carried.written(&OF_THE_HOP, &[]);
            Ok(Cow::Owned(Members::of(text)?.written(&["_meta"], &[("_meta", &rest)])))
        }
        (Era::Handshake, Ok(_) | Err(_)) => Ok(Cow::Borrowed(text)),
        (Era::Stateless, carried) => {
            let client = json!({"name": "chaperone", "version": env!("CARGO_PKG_VERSION")}).to_string();
            let revision = Value::from(REVISION).to_string();
            let ours = [(PROTOCOL_VERSION, &*revision), (CLIENT_INFO, &*client), (CLIENT_CAPABILITIES, "{}")];
            let carried = match carried? {
                Some(carried) => carried.written(&OF_THE_HOP, &ours),
                None => Members::of("{}")?.written(&[], &ours),
            };
            Ok(Cow::Owned(Members::of(text)?.written(&["_meta"], &[("_meta", &carried)])))
        }
    }
}

/// Whether an answer to `server/discover` names this revision.
#[must_use]
pub fn speaks(discovered: &RawValue) -> bool {
    let versions = Members::of(discovered.get()).ok();
    let versions = versions.as_ref().and_then(|members| members.get("supportedVersions"));
    let versions: Option<Vec<String>> = versions.and_then(|raw| serde_json::from_str(raw.get()).ok());
    versions.is_some_and(|versions| versions.iter().any(|version| version == REVISION))
}

/// Who a server says that it is, in an answer to `initialize` or to `server/discover`.
#[must_use]
pub fn server_information(said: &RawValue) -> Option<&RawValue> {
    let members = Members::of(said.get()).ok()?;
    let within = || Members::of(members.get("_meta")?.get()).ok()?.get(SERVER_INFO);
    members.get("serverInfo").or_else(within)
}

/// The answer to `server/discover`: what is offered, and who the server says that it is.
#[must_use]
pub fn discovered(spoken: &[&str], server: Option<&RawValue>, instructions: Option<&RawValue>) -> String {
    let mut result = format!(
        r#"{{"resultType":"complete","supportedVersions":{},"capabilities":{{"tools":{{}}}}"#,
        json!(spoken)
    );
    if let Some(raw) = instructions {
        result.push_str(&format!(r#","instructions":{}"#, raw.get()));
    }
    if let Some(raw) = server {
        result.push_str(&format!(r#","_meta":{{"{SERVER_INFO}":{}}}"#, raw.get()));
    }
    result.push_str(&format!(",{CACHED}}}"));
    result
}

/// What may be kept of an answer that is one caller's: nothing.
const CACHED: &str = r#""ttlMs":0,"cacheScope":"private""#;

/// A list of tools for a client that speaks so.
#[must_use]
pub fn listed(client: Era, tools: &[Cow<'_, str>]) -> String {
    let more = match client {
        Era::Handshake => String::new(),
        Era::Stateless => format!(r#","resultType":"complete",{CACHED}"#),
    };
    format!(r#"{{"tools":[{}]{more}}}"#, tools.join(","))
}

/// A tool of a server's for a client. Older clients take schemas of objects only for what a tool gives.
#[must_use]
pub fn manifest(client: Era, server: Era, manifest: &RawValue) -> Cow<'_, str> {
    if (client, server) == (Era::Handshake, Era::Stateless)
        && let Ok(members) = Members::of(manifest.get())
        && let Some(schema) = members.get("outputSchema")
        && serde_json::from_str::<Value>(schema.get())
            .is_ok_and(|schema| schema.get("type").is_none_or(|of| of != "object"))
    {
        return Cow::Owned(members.written(&["outputSchema"], &[]));
    }
    Cow::Borrowed(manifest.get())
}

/// Whether a call has come to its end: otherwise the server asks for something first, or says where to ask again.
///
/// # Errors
/// Not a result.
pub fn is_complete(result: &RawValue) -> Result<bool, RelayError> {
    Ok(Members::of(result.get())?.text("resultType")?.is_none_or(|kind| kind == "complete"))
}

/// The result of a call for a client.
///
/// # Errors
/// Not a result.
pub fn result(client: Era, server: Era, result: &RawValue) -> Result<Cow<'_, str>, RelayError> {
    let members = Members::of(result.get())?;
    match (client, server) {
        (Era::Stateless, _) if members.get("resultType").is_none() => {
            Ok(Cow::Owned(members.written(&[], &[("resultType", r#""complete""#)])))
        }
        (Era::Handshake, Era::Stateless) => older(&members).map(Cow::Owned),
        (Era::Stateless, _) | (Era::Handshake, Era::Handshake) => Ok(Cow::Borrowed(result.get())),
    }
}

/// A result without what older clients do not take: structured content that is no object stands in a text instead.
fn older(members: &Members<'_>) -> Result<String, RelayError> {
    let structured = members.get("structuredContent").filter(|raw| !raw.get().starts_with('{'));
    let Some(structured) = structured else { return Ok(members.written(&["resultType"], &[])) };
    let content: Vec<&RawValue> = match members.get("content") {
        Some(raw) => serde_json::from_str(raw.get())?,
        None => Vec::new(),
    };
    let value: Value = serde_json::from_str(structured.get())?;
    let is_it = |block: &&RawValue| {
        let text = Members::of(block.get()).ok().and_then(|block| block.text("text").ok()?);
        text.and_then(|text| serde_json::from_str::<Value>(&text).ok()).is_some_and(|said| said == value)
    };
    let block = format!(r#"{{"type":"text","text":{}}}"#, Value::from(structured.get()));
    let first = (!content.iter().any(is_it)).then_some(block.as_str());
    let blocks: Vec<&str> = first.into_iter().chain(content.iter().map(|block| block.get())).collect();
    let content = format!("[{}]", blocks.join(","));
    let without = ["resultType", "structuredContent", "content"];
    Ok(members.written(&without, &[("content", &content)]))
}

/// An argument that a header repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    header: HeaderName,
    path: Vec<String>,
}

/// Those that a tool's description names (`x-mcp-header`).
#[must_use]
pub fn repeats(manifest: &Value) -> Vec<Repeated> {
    let mut found = Vec::new();
    let mut open: Vec<(Vec<String>, &Value)> =
        manifest.get("inputSchema").into_iter().map(|schema| (Vec::new(), schema)).collect();
    while let Some((path, schema)) = open.pop() {
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let path: Vec<String> = path.iter().chain([name]).cloned().collect();
            let header = property.get("x-mcp-header").and_then(Value::as_str);
            let header = header.map(|name| format!("mcp-param-{name}"));
            if let Some(header) = header.and_then(|name| HeaderName::try_from(name).ok()) {
                found.push(Repeated { header, path: path.clone() });
            }
            open.push((path, property));
        }
    }
    found
}

/// The headers that repeat these arguments, for whoever calls.
#[must_use]
pub fn written(repeated: &[Repeated], arguments: &Value) -> Vec<(HeaderName, String)> {
    let of = |Repeated { header, path }: &Repeated| {
        let text = match path.iter().try_fold(arguments, |value, name| value.get(name))? {
            Value::String(text) => text.clone(),
            Value::Bool(is) => is.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some((header.clone(), encoded(&text).into_owned()))
    };
    repeated.iter().filter_map(of).collect()
}

/// Whether headers and arguments agree.
///
/// # Errors
/// Which header does not.
pub fn agree(repeated: &[Repeated], headers: &HeaderMap, arguments: Option<&RawValue>) -> Result<(), String> {
    if repeated.is_empty() {
        return Ok(());
    }
    let arguments = arguments.map(|raw| serde_json::from_str::<Value>(raw.get()));
    let arguments = arguments.transpose().map_err(|error| unread(&error))?.unwrap_or_default();
    for Repeated { header: name, path } in repeated {
        let at = path.iter().try_fold(&arguments, |value, name| value.get(name));
        match (header(headers, name)?, at.filter(|value| !value.is_null())) {
            (None, None) => {}
            (None, Some(_)) => return Err(format!("`{name}` is missing")),
            (Some(_), None) => return Err(format!("`{name}` repeats an argument that is not there")),
            (Some(said), Some(value)) => {
                let said = decoded(said).ok_or_else(|| format!("`{name}` is no base64"))?;
                if !is_same(&said, value) {
                    return Err(format!("`{name}` is not what stands in the body"));
                }
            }
        }
    }
    Ok(())
}

fn is_same(said: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text == said,
        Value::Bool(is) => is.to_string() == said,
        Value::Number(number) => {
            let both = (number.as_f64(), said.parse::<f64>().ok());
            // `42.0` is 42; of larger ones nobody can say so, and they are the same where they are written so.
            number.to_string() == said
                || matches!(both, (Some(one), Some(other)) if one == other && one.abs() < WHOLE_MAX)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
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
        for params in
            ["", r#""_meta":{}"#, r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#]
        {
            assert_eq!(judge(&[NEW, LIST], "tools/list", params), Err(-32602), "{params}");
        }
        assert_eq!(judge(&[], "server/discover", ""), Err(-32602));
        assert_eq!(judge(&[], "tools/list", r#""_meta":3"#), Err(-32602));
        let unknown = META.replace("2026-07-28", "1900-01-01");
        assert_eq!(
            judge(&[("mcp-protocol-version", "1900-01-01"), LIST], "tools/list", &unknown),
            Err(-32022)
        );
        assert_eq!(judge(&[NEW, LIST], "tools/list", &unknown), Err(-32020));
        // Nothing of it is said: an older revision, where its header is one or is not there.
        assert_eq!(judge(&[], "tools/list", ""), Ok(Era::Handshake));
        assert_eq!(judge(&[("mcp-protocol-version", "2025-06-18")], "tools/list", ""), Ok(Era::Handshake));
        assert_eq!(judge(&[("mcp-protocol-version", "2024-11-05")], "tools/list", ""), Err(-32022));
        let begins = r#""protocolVersion":"2025-06-18""#;
        assert_eq!(
            judge(&[("mcp-protocol-version", "2025-06-18")], "initialize", begins),
            Ok(Era::Handshake)
        );
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
        for fine in
            [&[][..], &[older], &[older, call], &[older, ("mcp-name", "a")], &[call, ("mcp-name", "a")]]
        {
            assert_eq!(of(fine), Ok(Era::Handshake), "{fine:?}");
        }
        for (name, value) in [
            ("mcp-method", "tools/list"),
            ("mcp-method", ""),
            ("mcp-name", "b"),
            ("mcp-name", "=?base64?!?="),
        ] {
            assert_eq!(of(&[older, (name, value)]), Err(-32020), "{name}: {value}");
            assert_eq!(of(&[(name, value)]), Err(-32020), "{name}: {value}");
        }
        assert_eq!(of(&[older, call, call]), Err(-32020));
        assert_eq!(judge(&[older, ("mcp-name", "a")], "tools/list", ""), Err(-32020));
        assert_eq!(judge(&[older, ("mcp-name", "a")], "tools/call", r#""name":"a","name":"b""#), Err(-32020));
        // One that names its own older revision in its body is no other.
        let meta = META.replace("2026-07-28", "2025-11-25");
        let named = |lines: &[(&'static str, &'static str)]| {
            judge(lines, "tools/call", &format!(r#""name":"a",{meta}"#))
        };
        assert_eq!(named(&[older, call]), Ok(Era::Handshake));
        assert_eq!(named(&[older, ("mcp-method", "tools/list")]), Err(-32020));
    }

    #[test]
    fn what_a_client_says_of_itself_ends_with_its_hop() {
        let said = format!(
            r#"{{"name":"q","arguments":{{"a": 1.50}},{}}}"#,
            META.replace("{}", r#"{"elicitation":{}},"traceparent":"00-1""#)
        );
        let older = towards(Era::Handshake, Some(raw(&said))).unwrap();
        assert_eq!(older, r#"{"name":"q","arguments":{"a": 1.50},"_meta":{"traceparent":"00-1"}}"#);
        let newer = towards(Era::Stateless, Some(raw(&said))).unwrap();
        assert!(
            newer.contains(r#""arguments":{"a": 1.50}"#) && newer.contains(r#""traceparent":"00-1""#),
            "{newer}"
        );
        let meta = serde_json::from_str::<Value>(&newer).unwrap()["_meta"].clone();
        assert_eq!(meta[PROTOCOL_VERSION], REVISION);
        assert_eq!(meta[CLIENT_INFO]["name"], "chaperone");
        assert_eq!(meta[CLIENT_CAPABILITIES], json!({}));
        // Between two that speak alike nothing is touched.
        let plain = r#"{ "name":"q", "_meta":{"progressToken": 1.0} }"#;
        assert!(
            matches!(towards(Era::Handshake, Some(raw(plain))), Ok(Cow::Borrowed(same)) if same == plain)
        );
        assert!(towards(Era::Stateless, None).unwrap().contains(REVISION));
        let claims = r#"{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"a","version":"1"}}}"#;
        assert_eq!(application(raw(claims)).as_deref(), Some("a 1"));
    }

    #[test]
    fn an_older_client_gets_what_it_can_read_and_a_newer_one_what_it_needs() {
        let of = |client, server, text: &str| result(client, server, raw(text)).unwrap().into_owned();
        let newer = r#"{"resultType":"complete","content":[{"type":"text","text":"x"}],"structuredContent":[1.0],"later":[ ]}"#;
        assert_eq!(of(Era::Stateless, Era::Stateless, newer), newer);
        assert_eq!(
            of(Era::Handshake, Era::Stateless, newer),
            r#"{"later":[ ],"content":[{"type":"text","text":"[1.0]"},{"type":"text","text":"x"}]}"#
        );
        let said = r#"{"resultType":"complete","content":[{"type":"text","text":"[1.0]"}],"structuredContent":[1.0]}"#;
        assert_eq!(
            of(Era::Handshake, Era::Stateless, said),
            r#"{"content":[{"type":"text","text":"[1.0]"}]}"#
        );
        let object = r#"{"structuredContent":{"a": 1},"content":[]}"#;
        assert_eq!(
            of(Era::Handshake, Era::Stateless, object),
            r#"{"structuredContent":{"a": 1},"content":[]}"#
        );
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
        let list = listed(Era::Stateless, &[Cow::Borrowed(tool)]);
        assert_eq!(serde_json::from_str::<Value>(&list).unwrap()["cacheScope"], "private");
        assert_eq!(listed(Era::Handshake, &[]), r#"{"tools":[]}"#);
        let found = discovered(&SPOKEN, Some(raw(r#"{"name":"s","version":"1"}"#)), None);
        assert!(speaks(raw(&found)) && !speaks(raw(r#"{"supportedVersions":["2025-11-25"]}"#)));
        assert_eq!(server_information(raw(&found)).unwrap().get(), r#"{"name":"s","version":"1"}"#);
    }

    #[test]
    fn what_a_client_can_is_all_that_is_needed_or_not() {
        let of = |able: &str| {
            let params = format!(r#"{{"_meta":{{"io.modelcontextprotocol/clientCapabilities":{able}}}}}"#);
            can(raw(&params), raw(r#"{"code":-32021,"data":{"requiredCapabilities":{"sampling":{}}}}"#))
        };
        assert!(of(r#"{"sampling":{},"roots":{}}"#) && !of(r#"{"roots":{}}"#) && !of("{}"));
        assert!(!can(raw("{}"), raw("{}")));
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
}
