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

use crate::beside::{Abilities, Level};
use crate::relay::{Listing, Members, RelayError, Said, unread};
use crate::request::Method;
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
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const PROGRESS_TOKEN: &str = "progressToken";
const OF_THE_HOP: [&str; 5] = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL, PROGRESS_TOKEN];
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
pub(crate) fn meta(params: Option<&RawValue>) -> Result<Option<Members<'_>>, RelayError> {
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
    let Some(source) = named_by(method) else { return Ok(Era::Stateless) };
    let name = said.params.and_then(|params| Members::of(params.get()).ok()?.text(source).ok()?);
    let name = name.ok_or_else(|| wrong(INVALID_PARAMS, format!("`{method}` without a `{source}`")))?;
    repeated(headers, &NAME, &name).map_err(mismatch)?;
    Ok(Era::Stateless)
}

/// The parameter that a header repeats, of methods that have one.
#[must_use]
pub fn named_by(method: &str) -> Option<&'static str> {
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
    let name = members.zip(named_by(method)).and_then(|(members, source)| members.text(source).ok()?);
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
pub fn application(params: Option<&RawValue>) -> Option<String> {
    let meta = meta(params).ok()??;
    let client = Members::of(meta.get(CLIENT_INFO)?.get()).ok()?;
    let name = client.text("name").ok()?.filter(|name| !name.is_empty())?;
    let whole = format!("{name} {}", client.text("version").ok()?.unwrap_or_default());
    Some(whole.chars().take(APPLICATION_CHARS_MAX).collect())
}

/// Whether the client says that it can do all that an error of [`MISSING_CAPABILITY`] names.
#[must_use]
pub fn can(params: Option<&RawValue>, error: &RawValue) -> bool {
    let of_client = || -> Option<Value> {
        serde_json::from_str(meta(params).ok()??.get(CLIENT_CAPABILITIES)?.get()).ok()
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

/// What one request says to its server beside what it asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside {
    /// What the server may ask of its client.
    pub abilities: Abilities,
    /// The token for what is told of the request.
    pub token: Option<u64>,
    /// From which level on the server's log is wanted.
    pub level: Option<Level>,
}

/// Parameters as a server takes them that speaks so: what a client says of itself is between it and us, and to the server we
/// are the client, with what it may ask of us.
///
/// # Errors
/// Not an object, or its `_meta` is none.
pub fn towards(server: Era, params: Option<&RawValue>, beside: Beside) -> Result<Cow<'_, str>, RelayError> {
    let text = params.map_or("{}", RawValue::get);
    let carried = match (server, meta(params)) {
        (_, Ok(carried)) => carried,
        (Era::Handshake, Err(_)) => return Ok(Cow::Borrowed(text)),
        (Era::Stateless, Err(error)) => return Err(error),
    };
    let client = json!({"name": "chaperone", "version": env!("CARGO_PKG_VERSION")}).to_string();
    let (revision, capabilities) = (Value::from(REVISION).to_string(), beside.abilities.written());
    let token = beside.token.map(|token| token.to_string());
    let level = beside.level.map(|level| Value::from(level.as_str()).to_string());
    let mut ours: Vec<(&str, &str)> = token.iter().map(|token| (PROGRESS_TOKEN, token.as_str())).collect();
    if server == Era::Stateless {
        ours.extend([
            (PROTOCOL_VERSION, &*revision),
            (CLIENT_INFO, &*client),
            (CLIENT_CAPABILITIES, &*capabilities),
        ]);
        ours.extend(level.iter().map(|level| (LOG_LEVEL, level.as_str())));
    }
    let is_kept = |carried: &Members<'_>| OF_THE_HOP.iter().all(|name| carried.get(name).is_none());
    let carried = match carried {
        None if ours.is_empty() => return Ok(Cow::Borrowed(text)),
        Some(carried) if ours.is_empty() && is_kept(&carried) => return Ok(Cow::Borrowed(text)),
        Some(carried) => carried.written(&OF_THE_HOP, &ours),
        None => Members::of("{}")?.written(&[], &ours),
    };
    Ok(Cow::Owned(Members::of(text)?.written(&["_meta"], &[("_meta", &carried)])))
}

/// From which level on a client wants its server's log in the answer to one request.
#[must_use]
pub fn wanted_level(params: Option<&RawValue>) -> Option<Level> {
    let meta = meta(params).ok()??;
    Level::of(&meta.text(LOG_LEVEL).ok()??)
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

/// What a server says that it can, of the parts that are `shown`. That its list of tools is another is always told: which are
/// shown is not the server's alone. A subscription is carried where both ends know one by that name.
#[must_use]
pub fn capabilities(said: &RawValue, both_older: bool, shown: impl Fn(&str) -> bool) -> String {
    let all = Members::of(said.get()).ok().and_then(|said| said.get("capabilities"));
    let all = all.and_then(|all| Members::of(all.get()).ok());
    let mut parts = Vec::new();
    for part in PARTS.into_iter().filter(|part| shown(part)) {
        let Some(of) = all.as_ref().and_then(|all| Members::of(all.get(part)?.get()).ok()) else { continue };
        let mut left_out = Vec::from(if both_older { [].as_slice() } else { &["subscribe"] });
        let told: &[(&str, &str)] = if part == TOOLS { &[("listChanged", "true")] } else { &[] };
        left_out.extend(told.iter().map(|(name, _)| *name));
        parts.push(format!("\"{part}\":{}", of.written(&left_out, told)));
    }
    format!("{{{}}}", parts.join(","))
}

/// Whether a server says that it can that.
#[must_use]
pub fn has(said: &RawValue, part: &str) -> bool {
    let all = Members::of(said.get()).ok().and_then(|said| said.get("capabilities"));
    all.and_then(|all| Members::of(all.get()).ok()?.get(part)).is_some_and(|of| of.get().starts_with('{'))
}

/// Parts of what a server can that are carried.
const PARTS: [&str; 4] = [TOOLS, "resources", "prompts", "completions"];
const TOOLS: &str = "tools";

/// The answer to `server/discover`: what is offered, and who the server says that it is.
#[must_use]
pub fn discovered(
    spoken: &[&str],
    capabilities: &str,
    server: Option<&RawValue>,
    instructions: Option<&RawValue>,
) -> String {
    let mut result = format!(
        r#"{{"resultType":"complete","supportedVersions":{},"capabilities":{capabilities}"#,
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
/// How long, and by whom: of such an answer.
const TIME_TO_LIVE: &str = "ttlMs";
const CACHE_SCOPE: &str = "cacheScope";

/// A list for a client that speaks so.
#[must_use]
pub fn listed(client: Era, listing: Listing, manifests: &[Cow<'_, str>]) -> String {
    let more = match client {
        Era::Handshake => String::new(),
        Era::Stateless => format!(r#","resultType":"complete",{CACHED}"#),
    };
    format!(r#"{{"{}":[{}]{more}}}"#, listing.member(), manifests.join(","))
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
pub fn result(
    client: Era,
    server: Era,
    method: Method,
    result: &RawValue,
) -> Result<Cow<'_, str>, RelayError> {
    let members = Members::of(result.get())?;
    match (client, server) {
        (Era::Stateless, _) => {
            let mut more = Vec::new();
            if members.get("resultType").is_none() {
                more.push(("resultType", r#""complete""#));
            }
            // It is one caller's, whatever the server thinks of it, so that nobody keeps it for others.
            if method.is_kept() {
                more.push((CACHE_SCOPE, r#""private""#));
                if members.get(TIME_TO_LIVE).is_none() {
                    more.push((TIME_TO_LIVE, "0"));
                }
            }
            if more.is_empty() {
                return Ok(Cow::Borrowed(result.get()));
            }
            let without: &[&str] = if method.is_kept() { &[CACHE_SCOPE] } else { &[] };
            Ok(Cow::Owned(members.written(without, &more)))
        }
        (Era::Handshake, Era::Stateless) if method == Method::CallTool => older(&members).map(Cow::Owned),
        (Era::Handshake, Era::Stateless) => {
            Ok(Cow::Owned(members.written(&["resultType", TIME_TO_LIVE, CACHE_SCOPE], &[])))
        }
        (Era::Handshake, Era::Handshake) => Ok(Cow::Borrowed(result.get())),
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
mod tests;
