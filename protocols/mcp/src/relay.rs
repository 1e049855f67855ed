//! Messages between a client and a server of others, carried as they are: what nobody here knows survives. Only what a
//! message is (its id, method and tool) is read, in one way, and what could be read in two is refused.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;
use thiserror::Error;

/// Longest message of a server's, in bytes.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Deepest nesting of a message.
pub const DEPTH_MAX: usize = 64;
/// Tools of one server; so many prompts, and so many templates of resources.
pub const TOOLS_MAX: usize = 256;
/// Longest name of a tool, in bytes.
pub const TOOL_BYTES_MAX: usize = 128;
/// Longest name of a prompt, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest URI of a resource, or template of one, in bytes.
pub const URI_BYTES_MAX: usize = 4096;
/// Resources in one page of a list.
pub const RESOURCES_MAX: usize = 4096;
/// Longest id of a client's request, in bytes of JSON.
const ID_BYTES_MAX: usize = 256;

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RelayError {
    /// Not UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// Several messages at once (removed from the protocol in 2025-06-18).
    #[error("a batch")]
    Batch,
    /// More levels than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Depth,
    /// Not one message of JSON-RPC 2.0.
    #[error("not one JSON-RPC 2.0 message: {0}")]
    Malformed(String),
    /// A list without end.
    #[error("more than {0} in one list")]
    TooMany(usize),
}

pub(crate) fn malformed(why: &str) -> RelayError {
    RelayError::Malformed(why.to_owned())
}

/// An object that can be read in two ways.
const TWICE: &str = "a member stands twice";
/// An object that nobody has looked through to its end.
const TOO_MANY: &str = "an object with too many members";

/// What is wrong with a text of others, and where, in no word of its own: what serde says of it quotes values and names,
/// and may be told to whoever may not see them, or stay in a log.
#[must_use]
pub fn unread(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Io => "it cannot be read",
        Category::Syntax => "no JSON",
        Category::Eof => "it ends before it is whole",
        Category::Data => {
            // Our own words stand first, and what serde begins with is never a value.
            let said = error.to_string();
            let ours = [TWICE, TOO_MANY].into_iter().find(|ours| said.starts_with(ours));
            ours.unwrap_or("a value of another kind than belongs there")
        }
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

impl From<serde_json::Error> for RelayError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(unread(&error))
    }
}

/// An object's members as they stand, each name once.
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    if members.len() >= Members::MAX {
                        return Err(A::Error::custom(TOO_MANY));
                    }
                    if members.iter().any(|(there, _)| *there == name.0) {
                        return Err(A::Error::custom(TWICE));
                    }
                    members.push((name.0, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Read)
    }
}

/// A member's name, borrowed where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// Few enough to compare each with all: of a message there are five.
    const MAX: usize = 256;

    pub(crate) fn of(text: &'a str) -> Result<Self, RelayError> {
        Ok(serde_json::from_str(text)?)
    }

    /// The object again, without some of its members and with others behind the rest; values stay as they stand.
    pub(crate) fn written(&self, without: &[&str], more: &[(&str, &str)]) -> String {
        let kept = self.0.iter().filter(|(name, _)| !without.contains(&name.as_ref()));
        let kept = kept.map(|(name, value)| (name.as_ref(), value.get()));
        let mut text = String::from("{");
        for (name, value) in kept.chain(more.iter().copied()) {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&format!("{}:{value}", Value::from(name)));
        }
        text.push('}');
        text
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    pub(crate) fn get(&self, wanted: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value)
    }

    pub(crate) fn text(&self, wanted: &str) -> Result<Option<String>, RelayError> {
        Ok(self.get(wanted).map(|raw| serde_json::from_str(raw.get())).transpose()?)
    }
}

/// Levels of nesting, and whether it stands in one line of plain bytes: looked at before anything is built.
fn sound(bytes: &[u8]) -> Result<&str, RelayError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RelayError::Encoding)?;
    if text.trim_start().starts_with('[') {
        return Err(RelayError::Batch);
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(RelayError::Depth);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(text)
}

fn message(bytes: &[u8]) -> Result<Members<'_>, RelayError> {
    let members = Members::of(sound(bytes)?)?;
    if members.text("jsonrpc")?.as_deref() != Some("2.0") {
        return Err(malformed("`jsonrpc` is not `2.0`"));
    }
    Ok(members)
}

/// What a client says.
#[derive(Debug, Clone)]
pub struct Said<'a> {
    /// The request's id, a text or a number; `None` is a notification.
    pub id: Option<&'a RawValue>,
    /// The method; `None` is an answer.
    pub method: Option<String>,
    /// Its parameters.
    pub params: Option<&'a RawValue>,
}

/// Read a client's message.
///
/// # Errors
/// See [`RelayError`].
pub fn said(bytes: &[u8]) -> Result<Said<'_>, RelayError> {
    let members = message(bytes)?;
    let id = members.get("id");
    if let Some(id) = id {
        let begins = id.get().bytes().next().unwrap_or_default();
        let plain = begins == b'"' || begins == b'-' || begins.is_ascii_digit();
        if !plain || id.get().len() > ID_BYTES_MAX {
            return Err(malformed("`id` is neither a short text nor a number"));
        }
    }
    Ok(Said { id, method: members.text("method")?, params: members.get("params") })
}

/// What a server says.
#[derive(Debug, Clone)]
pub enum Heard<'a> {
    /// An answer to a request of ours, by its number.
    Answer {
        /// Which request.
        id: u64,
        /// What it came to.
        came: Came<'a>,
    },
    /// A request of its own.
    Asks {
        /// Its id, to be answered with.
        id: &'a RawValue,
        /// What for.
        method: String,
        /// Its parameters.
        params: Option<&'a RawValue>,
    },
    /// A notification.
    Tells {
        /// Of what.
        method: String,
        /// Its parameters.
        params: Option<&'a RawValue>,
    },
}

/// What a request came to.
#[derive(Debug, Clone, Copy)]
pub enum Came<'a> {
    /// Its result.
    Result(&'a RawValue),
    /// An error of JSON-RPC.
    Error(&'a RawValue),
}

/// Read a server's message.
///
/// # Errors
/// See [`RelayError`]: an answer that is none of ours, or two at once, is malformed.
pub fn heard(bytes: &[u8]) -> Result<Heard<'_>, RelayError> {
    let members = message(bytes)?;
    let answer = (members.get("result"), members.get("error"));
    let params = members.get("params");
    match (members.text("method")?, members.get("id"), answer) {
        (Some(method), Some(id), (None, None)) => Ok(Heard::Asks { id, method, params }),
        (Some(method), None, (None, None)) => Ok(Heard::Tells { method, params }),
        (None, Some(id), (Some(result), None)) => {
            if !result.get().starts_with('{') {
                return Err(malformed("a result is an object"));
            }
            Ok(Heard::Answer { id: number(id)?, came: Came::Result(result) })
        }
        (None, Some(id), (None, Some(error))) => {
            if !error.get().starts_with('{') {
                return Err(malformed("an error is an object"));
            }
            Ok(Heard::Answer { id: number(id)?, came: Came::Error(error) })
        }
        (None, _, (Some(_), Some(_))) => Err(malformed("an answer that is a result and an error")),
        (_, _, _) => Err(malformed("neither a request, nor a notification, nor an answer")),
    }
}

/// What a client says to a question that it was asked, or we to a request.
///
/// # Errors
/// See [`RelayError`].
pub fn replied(bytes: &[u8]) -> Result<Came<'_>, RelayError> {
    let members = message(bytes)?;
    match (members.get("result"), members.get("error")) {
        (Some(result), None) if result.get().starts_with('{') => Ok(Came::Result(result)),
        (None, Some(error)) if error.get().starts_with('{') => Ok(Came::Error(error)),
        (_, _) => Err(malformed("neither a result nor an error")),
    }
}

/// A message with another id.
///
/// # Errors
/// See [`RelayError`].
pub fn renumbered(bytes: &[u8], id: &str) -> Result<String, RelayError> {
    Ok(message(bytes)?.written(&["id"], &[("id", id)]))
}

fn number(id: &RawValue) -> Result<u64, RelayError> {
    id.get().parse().map_err(|_| malformed("an answer with an id that was never given"))
}

/// What a server lists of itself, and what is held against what was accepted of it: a model does what it reads there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Its tools.
    Tools,
    /// Its prompts.
    Prompts,
    /// Its templates of resources.
    Templates,
}

impl Listing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Templates];

    /// The listing that a method asks for.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|listing| listing.method() == method)
    }

    /// The method that asks for it.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that it stands in.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The capability of a server that has it.
    #[must_use]
    pub fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Templates => "resources",
        }
    }

    /// What accepted manifests are known by: a tool's name, which has no colon, or another's behind what it is.
    #[must_use]
    pub fn known_as(self, name: &str) -> String {
        match self {
            Self::Tools => name.to_owned(),
            Self::Prompts => format!("prompt:{name}"),
            Self::Templates => format!("template:{name}"),
        }
    }

    fn name(self, manifest: &Members<'_>) -> Result<String, RelayError> {
        let (member, bytes_max) = match self {
            Self::Tools => ("name", TOOL_BYTES_MAX),
            Self::Prompts => ("name", NAME_BYTES_MAX),
            Self::Templates => ("uriTemplate", URI_BYTES_MAX),
        };
        let name = manifest.text(member)?;
        let name = name.ok_or_else(|| malformed("something in a list without a name"))?;
        let plain = match self {
            Self::Tools => name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte)),
            Self::Prompts | Self::Templates => !name.contains(char::is_control),
        };
        if name.is_empty() || name.len() > bytes_max || !plain {
            return Err(malformed("something in a list whose name is none"));
        }
        Ok(name)
    }
}

/// One of a server's list.
#[derive(Debug, Clone)]
pub struct Listed<'a> {
    /// Its name.
    pub name: String,
    /// All that is said of it.
    pub manifest: &'a RawValue,
}

/// What stands in the result of a listing, and where the list goes on.
///
/// # Errors
/// Not such a result, two of one name, or too many.
pub fn listed(listing: Listing, result: &RawValue) -> Result<(Vec<Listed<'_>>, Option<String>), RelayError> {
    let members = Members::of(result.get())?;
    let list = members.get(listing.member()).ok_or_else(|| malformed("a list that is not there"))?;
    let list: Vec<&RawValue> = serde_json::from_str(list.get())?;
    if list.len() > TOOLS_MAX {
        return Err(RelayError::TooMany(TOOLS_MAX));
    }
    let mut found: Vec<Listed<'_>> = Vec::with_capacity(list.len());
    for manifest in list {
        let name = listing.name(&Members::of(manifest.get())?)?;
        if found.iter().any(|known| known.name == name) {
            return Err(malformed("two of one name in a list"));
        }
        found.push(Listed { name, manifest });
    }
    let next = members.text("nextCursor")?.filter(|cursor| !cursor.is_empty());
    Ok((found, next))
}

/// The resources of a `resources/list` result, each with its URI.
///
/// # Errors
/// Not such a result, or too many.
pub fn resources(result: &RawValue) -> Result<Vec<(String, &RawValue)>, RelayError> {
    let members = Members::of(result.get())?;
    let list = members.get("resources").ok_or_else(|| malformed("a list that is not there"))?;
    let list: Vec<&RawValue> = serde_json::from_str(list.get())?;
    if list.len() > RESOURCES_MAX {
        return Err(RelayError::TooMany(RESOURCES_MAX));
    }
    let uri = |resource: &'_ RawValue| {
        let uri = Members::of(resource.get())?.text("uri")?;
        uri.ok_or_else(|| malformed("a resource without a URI"))
    };
    list.into_iter().map(|resource| Ok((uri(resource)?, resource))).collect()
}

/// The same result with these resources only.
///
/// # Errors
/// Not such a result.
pub fn with_resources(result: &RawValue, kept: &[&RawValue]) -> Result<String, RelayError> {
    let kept: Vec<&str> = kept.iter().map(|resource| resource.get()).collect();
    let kept = format!("[{}]", kept.join(","));
    Ok(Members::of(result.get())?.written(&["resources"], &[("resources", &kept)]))
}

/// Whether a result of a call says that it failed.
///
/// # Errors
/// Not such a result.
pub fn is_error(result: &RawValue) -> Result<bool, RelayError> {
    let flag = Members::of(result.get())?.get("isError");
    match flag {
        Some(flag) => Ok(serde_json::from_str(flag.get())?),
        None => Ok(false),
    }
}

/// Any JSON in which each name stands once in its object, at whatever depth; serde_json itself says how deep that may be.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;

        impl<'de> Visitor<'de> for Look {
            type Value = Once;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }

            fn visit_unit<E>(self) -> Result<Once, E> {
                Ok(Once)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
                Ok(Once)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
                Ok(Once)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
                Ok(Once)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
                Ok(Once)
            }

            fn visit_str<E>(self, _: &str) -> Result<Once, E> {
                Ok(Once)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Once, A::Error> {
                while seq.next_element::<Once>()?.is_some() {}
                Ok(Once)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
                let mut names: HashSet<Cow<'de, str>> = HashSet::new();
                while let Some((name, Once)) = map.next_entry::<Name<'de>, Once>()? {
                    if !names.insert(name.0) {
                        return Err(A::Error::custom(TWICE));
                    }
                }
                Ok(Once)
            }
        }

        deserializer.deserialize_any(Look)
    }
}

/// A value that whoever reads it reads as we do: of two members of one name some take the first, others the last.
///
/// # Errors
/// A name stands twice in one object, at whatever depth.
pub fn plain(raw: &RawValue) -> Result<Value, RelayError> {
    serde_json::from_str::<Once>(raw.get())?;
    Ok(serde_json::from_str(raw.get())?)
}

/// A member of an object as it stands.
///
/// # Errors
/// Not an object.
pub fn member<'a>(object: &'a RawValue, name: &str) -> Result<Option<&'a RawValue>, RelayError> {
    Ok(Members::of(object.get())?.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_clients_message_is_read_in_one_way() {
        let body =
            br#"{"jsonrpc":"2.0","id":"a\"1","method":"tools/call","params":{"name":"q","x":[1,2]},"y":7}"#;
        let read = said(body).unwrap();
        assert_eq!((read.id.unwrap().get(), read.method.as_deref()), (r#""a\"1""#, Some("tools/call")));
        assert!(said(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).unwrap().id.is_none());
        assert_eq!(said(b" [{}]").unwrap_err(), RelayError::Batch);
        assert_eq!(said(b"\xff{}").unwrap_err(), RelayError::Encoding);
        for bad in [
            r#"{"jsonrpc":"2.0","id":1,"method":"a","\u006dethod":"b"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"a"}"#,
            r#"{"jsonrpc":"2","id":1,"method":"a"}"#,
            r#"{"id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":3}"#,
            "{} {}",
            "",
        ] {
            assert!(matches!(said(bad.as_bytes()), Err(RelayError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn a_servers_message_is_one_thing() {
        let result = heard(br#"{"jsonrpc":"2.0","id":7,"result":{"x":1.50}}"#).unwrap();
        assert!(
            matches!(result, Heard::Answer { id: 7, came: Came::Result(raw) } if raw.get() == r#"{"x":1.50}"#)
        );
        let error = heard(br#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"m"}}"#).unwrap();
        assert!(matches!(error, Heard::Answer { id: 7, came: Came::Error(_) }));
        let asks = heard(br#"{"jsonrpc":"2.0","id":"s","method":"sampling/createMessage"}"#).unwrap();
        assert!(
            matches!(asks, Heard::Asks { id, method, .. } if id.get() == "\"s\"" && method.starts_with("sampling"))
        );
        let tells = heard(br#"{"jsonrpc":"2.0","method":"notifications/message"}"#).unwrap();
        assert!(matches!(tells, Heard::Tells { .. }));
        for bad in [
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"1","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":-1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":[]}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#,
            r#"{"jsonrpc":"2.0","result":{}}"#,
        ] {
            assert!(matches!(heard(bad.as_bytes()), Err(RelayError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn nesting_is_counted_before_anything_is_built() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":{open}{close}}}}}"#)
        };
        assert!(heard(nested(DEPTH_MAX - 2).as_bytes()).is_ok());
        assert_eq!(heard(nested(DEPTH_MAX).as_bytes()).unwrap_err(), RelayError::Depth);
        assert_eq!(heard(nested(1_000_000).as_bytes()).unwrap_err(), RelayError::Depth);
        // Brackets inside of texts do not count.
        let quoted = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":"\\\"{}"}}}}"#, "[".repeat(1000));
        assert!(heard(quoted.as_bytes()).is_ok());
    }

    #[test]
    fn a_list_names_each_tool_once_and_keeps_what_nobody_knows() {
        let list = r#"{"tools":[{"name":"query","inputSchema":{"a": 1.0},"future":[ ]}],"nextCursor":"n"}"#;
        let (found, next) = listed(Listing::Tools, raw(list)).unwrap();
        assert_eq!((found[0].name.as_str(), next.as_deref()), ("query", Some("n")));
        assert_eq!(found[0].manifest.get(), r#"{"name":"query","inputSchema":{"a": 1.0},"future":[ ]}"#);
        for bad in [
            r#"{"tools":[{"name":"a"},{"name":"a"}]}"#,
            r#"{"tools":[{"title":"a"}]}"#,
            r#"{"tools":[{"name":"a b"}]}"#,
            r#"{"tools":[{"name":""}]}"#,
            r#"{"tools":{}}"#,
            "{}",
        ] {
            assert!(listed(Listing::Tools, raw(bad)).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=TOOLS_MAX).map(|n| format!(r#"{{"name":"t{n}"}}"#)).collect();
        assert_eq!(
            listed(Listing::Tools, raw(&format!(r#"{{"tools":[{}]}}"#, many.join(",")))).unwrap_err(),
            RelayError::TooMany(TOOLS_MAX)
        );
        let prompts = raw(r#"{"prompts":[{"name":"two words"},{"name":"other"}]}"#);
        assert_eq!(listed(Listing::Prompts, prompts).unwrap().0[0].name, "two words");
        let templates = raw(r#"{"resourceTemplates":[{"uriTemplate":"a://{b}","name":"x"}]}"#);
        assert_eq!(listed(Listing::Templates, templates).unwrap().0[0].name, "a://{b}");
        assert!(listed(Listing::Prompts, raw(r#"{"prompts":[{"name":"a\nb"}]}"#)).is_err());
        assert_eq!(Listing::of("prompts/list"), Some(Listing::Prompts));
        assert!(is_error(raw(r#"{"content":[],"isError":true}"#)).unwrap());
        assert!(!is_error(raw(r#"{"content":[]}"#)).unwrap());
        assert!(is_error(raw(r#"{"isError":"yes"}"#)).is_err());
    }

    #[test]
    fn of_a_list_of_resources_some_are_left_out_and_all_else_stands() {
        let list =
            raw(r#"{"resources":[{"uri":"a://1","x": 1.0},{"uri":"a://2"}],"nextCursor":"n","y":[ ]}"#);
        let found = resources(list).unwrap();
        let kept: Vec<&RawValue> =
            found.iter().filter(|(uri, _)| uri == "a://1").map(|(_, resource)| *resource).collect();
        assert_eq!(
            with_resources(list, &kept).unwrap(),
            r#"{"nextCursor":"n","y":[ ],"resources":[{"uri":"a://1","x": 1.0}]}"#
        );
        assert!(resources(raw(r#"{"resources":[{"name":"a"}]}"#)).is_err());
        assert!(resources(raw("{}")).is_err());
        let many = vec![r#"{"uri":"a"}"#; RESOURCES_MAX + 1].join(",");
        assert_eq!(
            resources(raw(&format!(r#"{{"resources":[{many}]}}"#))).unwrap_err(),
            RelayError::TooMany(RESOURCES_MAX)
        );
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_told_without_a_word_of_it() {
        let told = |error: RelayError| error.to_string();
        let twice = r#"{"Ana Brandt":1,"Ana Brandt":2}"#;
        for (said, why) in [
            (told(is_error(raw(r#"{"isError":"Ana Brandt"}"#)).unwrap_err()), "of another kind"),
            (told(is_error(raw(r#"{"isError":"a member stands twice: Ana Brandt"}"#)).unwrap_err()), "kind"),
            (told(is_error(raw(twice)).unwrap_err()), "a member stands twice (line 1, column "),
            (told(heard(twice.as_bytes()).unwrap_err()), "a member stands twice (line 1, column "),
            (told(heard(br#"{"jsonrpc":"2.0","method":["Ana Brandt"]}"#).unwrap_err()), "of another kind"),
            (told(heard(br#"{"jsonrpc":"Ana Brandt"}"#).unwrap_err()), "is not `2.0`"),
            (told(heard(b"Ana Brandt").unwrap_err()), "no JSON (line 1, column "),
            (told(heard(br#"{"Ana Brandt":"#).unwrap_err()), "ends before it is whole"),
            (told(listed(Listing::Tools, raw(r#"{"tools":"Ana Brandt"}"#)).unwrap_err()), "of another kind"),
            (
                told(
                    listed(Listing::Tools, raw(r#"{"tools":[{"name":"AnaBrandt"},{"name":"AnaBrandt"}]}"#))
                        .unwrap_err(),
                ),
                "two of one name",
            ),
        ] {
            assert!(said.contains(why) && !said.contains("Ana") && !said.contains("Brandt"), "{said}");
        }
    }

    #[test]
    fn of_two_members_of_one_name_neither_is_taken_at_any_depth() {
        for bad in [
            r#"{"region":"us","region":"eu"}"#,
            r#"{"region":"us","\u0072egion":"us"}"#,
            r#"{"a":[1,{"b":{"c":null,"d":1.5,"c":true}}]}"#,
            r#"[[{"":1,"":2}]]"#,
        ] {
            let error = plain(raw(bad)).unwrap_err().to_string();
            assert!(error.contains("a member stands twice") && !error.contains("region"), "{bad}: {error}");
        }
        let good = r#"{"a":{"a":[{"a":-1},{"a":18446744073709551615},1.5e3,"a\n",true,null]},"b":{}}"#;
        assert_eq!(plain(raw(good)).unwrap(), serde_json::from_str::<Value>(good).unwrap());
    }
}
