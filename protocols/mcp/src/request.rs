//! What a client asks a server of others to do, where it is more than to say what there is: each is a call.

use std::sync::Arc;

use chaperone_access::Called;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::relay::{Members, NAME_BYTES_MAX, RelayError, TOOL_BYTES_MAX, URI_BYTES_MAX, malformed, plain};

/// Methods whose requests are calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Let a tool do something.
    CallTool,
    /// Say what there is to read.
    ListResources,
    /// Read something.
    ReadResource,
    /// Be told when it is another.
    Subscribe,
    /// No longer.
    Unsubscribe,
    /// Words for a model.
    GetPrompt,
    /// How an argument of a prompt, or of a resource's template, may go on.
    Complete,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::CallTool,
        Self::ListResources,
        Self::ReadResource,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::GetPrompt,
        Self::Complete,
    ];

    /// The method of that name, where its requests are calls.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallTool => "tools/call",
            Self::ListResources => "resources/list",
            Self::ReadResource => "resources/read",
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
            Self::GetPrompt => "prompts/get",
            Self::Complete => "completion/complete",
        }
    }

    /// The capability of a server that has it.
    #[must_use]
    pub fn capability(self) -> &'static str {
        match self {
            Self::CallTool => "tools",
            Self::ListResources | Self::ReadResource | Self::Subscribe | Self::Unsubscribe => "resources",
            Self::GetPrompt => "prompts",
            Self::Complete => "completions",
        }
    }

    /// Whether 2026-07-28 does not have it any more.
    #[must_use]
    pub fn is_older(self) -> bool {
        match self {
            Self::Subscribe | Self::Unsubscribe => true,
            Self::CallTool | Self::ListResources | Self::ReadResource | Self::GetPrompt | Self::Complete => {
                false
            }
        }
    }

    /// Whether its answer says how long it may be kept (from 2026-07-28 on).
    #[must_use]
    pub fn is_kept(self) -> bool {
        match self {
            Self::ListResources | Self::ReadResource => true,
            Self::CallTool | Self::Subscribe | Self::Unsubscribe | Self::GetPrompt | Self::Complete => false,
        }
    }
}

/// One such request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// How.
    pub method: Method,
    /// Of what.
    pub called: Called,
    /// Its parameters as they stand.
    pub params: Option<&'a RawValue>,
}

impl<'a> Request<'a> {
    /// Read one.
    ///
    /// # Errors
    /// Its parameters do not say what is called.
    pub fn read(method: Method, params: Option<&'a RawValue>) -> Result<Self, RelayError> {
        let lacks = |what: &str| malformed(&format!("`{}` without {what}", method.as_str()));
        let members = params.map(|params| Members::of(params.get())).transpose()?;
        let needed = members.as_ref().ok_or_else(|| lacks("`params`"));
        let called = match method {
            Method::ListResources => Called::Resource(None),
            Method::CallTool => Called::Tool(text(needed?, "name", TOOL_BYTES_MAX, lacks)?),
            Method::GetPrompt => Called::Prompt(Some(text(needed?, "name", NAME_BYTES_MAX, lacks)?)),
            Method::ReadResource | Method::Subscribe | Method::Unsubscribe => {
                Called::Resource(Some(plain_word(&text(needed?, "uri", URI_BYTES_MAX, lacks)?)))
            }
            Method::Complete => {
                let of = needed?.get("ref").ok_or_else(|| lacks("a `ref`"))?;
                let of = Members::of(of.get())?;
                match of.text("type")?.as_deref() {
                    Some("ref/prompt") => Called::Prompt(Some(text(&of, "name", NAME_BYTES_MAX, lacks)?)),
                    Some("ref/resource") => Called::Resource(Some(text(&of, "uri", URI_BYTES_MAX, lacks)?)),
                    Some(_) | None => return Err(lacks("a `ref` to a prompt or a resource")),
                }
            }
        };
        Ok(Self { method, called, params })
    }

    /// All that it says of what is to be done, in one way only; without any it is an empty object.
    ///
    /// # Errors
    /// A member stands twice in one object.
    pub fn arguments(&self) -> Result<Value, RelayError> {
        let none = || Ok(Value::Object(Map::new()));
        let Some(params) = self.params else { return none() };
        let members = Members::of(params.get())?;
        match self.method {
            Method::CallTool => members.get("arguments").map_or_else(none, plain),
            Method::ListResources
            | Method::ReadResource
            | Method::Subscribe
            | Method::Unsubscribe
            | Method::GetPrompt
            | Method::Complete => plain(&RawValue::from_string(members.written(&["_meta"], &[]))?),
        }
    }

    /// Its parameters with another URI in the place of the one that is read, where it reads one.
    ///
    /// # Errors
    /// They are none.
    pub fn with_uri(&self, uri: &str) -> Result<Option<Box<RawValue>>, RelayError> {
        match (self.method, self.params) {
            (Method::ReadResource | Method::Subscribe | Method::Unsubscribe, Some(params)) => {
                let uri = Value::from(uri).to_string();
                let text = Members::of(params.get())?.written(&["uri"], &[("uri", &uri)]);
                Ok(Some(RawValue::from_string(text)?))
            }
            (_, _) => Ok(None),
        }
    }
}

/// What stands in a URI for the user that its server names there. Some clients encode it.
pub const USER: &str = "{user}";

fn plain_word(uri: &str) -> Arc<str> {
    Arc::from(uri.replace("%7Buser%7D", USER).replace("%7buser%7d", USER))
}

/// A member that names something, in one line.
fn text(
    members: &Members<'_>,
    name: &str,
    bytes_max: usize,
    lacks: impl Fn(&str) -> RelayError,
) -> Result<Arc<str>, RelayError> {
    let text = members.text(name)?.ok_or_else(|| lacks(&format!("a `{name}`")))?;
    if text.len() > bytes_max || text.contains(char::is_control) {
        return Err(malformed(&format!("a `{name}` is one line of {bytes_max} bytes at most")));
    }
    Ok(Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, params: &str) -> Result<(Called, Value), RelayError> {
        let raw: &RawValue = serde_json::from_str(params).unwrap();
        let request = Request::read(Method::of(method).unwrap(), Some(raw))?;
        Ok((request.called.clone(), request.arguments()?))
    }

    #[test]
    fn what_is_called_is_read_in_one_way() {
        let resource = |uri: &str| Called::Resource(Some(Arc::from(uri)));
        let prompt = |name: &str| Called::Prompt(Some(Arc::from(name)));
        for (method, params, called, arguments) in [
            ("tools/call", r#"{"name":"q","arguments":{"a":1},"x":2}"#, Called::tool("q"), r#"{"a":1}"#),
            ("tools/call", r#"{"name":"q"}"#, Called::tool("q"), "{}"),
            ("resources/list", r#"{"cursor":"n"}"#, Called::Resource(None), r#"{"cursor":"n"}"#),
            ("resources/read", r#"{"uri":"a://b","_meta":{"x":1}}"#, resource("a://b"), r#"{"uri":"a://b"}"#),
            (
                "resources/read",
                r#"{"uri":"a://%7Buser%7D@b"}"#,
                resource("a://{user}@b"),
                r#"{"uri":"a://%7Buser%7D@b"}"#,
            ),
            ("resources/subscribe", r#"{"uri":"a://b"}"#, resource("a://b"), r#"{"uri":"a://b"}"#),
            ("prompts/get", r#"{"name":"two words"}"#, prompt("two words"), r#"{"name":"two words"}"#),
            (
                "completion/complete",
                r#"{"ref":{"type":"ref/prompt","name":"p"}}"#,
                prompt("p"),
                r#"{"ref":{"type":"ref/prompt","name":"p"}}"#,
            ),
            (
                "completion/complete",
                r#"{"ref":{"type":"ref/resource","uri":"a://{b}"}}"#,
                resource("a://{b}"),
                r#"{"ref":{"type":"ref/resource","uri":"a://{b}"}}"#,
            ),
        ] {
            assert_eq!(read(method, params).unwrap(), (called, serde_json::from_str(arguments).unwrap()));
        }
        assert!(Request::read(Method::ListResources, None).is_ok());
        assert!(Request::read(Method::GetPrompt, None).is_err());
        let long = format!(r#"{{"uri":"a://{}"}}"#, "b".repeat(URI_BYTES_MAX));
        for (method, bad) in [
            ("resources/read", r#"{"uri":"a","uri":"b"}"#),
            ("resources/read", r#"{"uri":"a\nb"}"#),
            ("resources/read", r#"{"name":"a"}"#),
            ("resources/read", &long),
            ("resources/list", r#"{"cursor":{"a":1,"a":2}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/tool","name":"p"}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","uri":"p"}}"#),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","type":"ref/resource","name":"p"}}"#),
        ] {
            assert!(read(method, bad).is_err(), "{method} {bad}");
        }
    }

    #[test]
    fn only_the_uri_is_another() {
        let raw: &RawValue =
            serde_json::from_str(r#"{"x":[ ],"uri":"a://{user}/b","_meta":{"y": 1.0}}"#).unwrap();
        let request = Request::read(Method::ReadResource, Some(raw)).unwrap();
        let other = request.with_uri("a://c/b").unwrap().unwrap();
        assert_eq!(other.get(), r#"{"x":[ ],"_meta":{"y": 1.0},"uri":"a://c/b"}"#);
    }
}
