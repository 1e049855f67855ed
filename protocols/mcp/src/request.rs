//! What a client asks a server of others to do, where it is more than to say what there is: each is a call.

use chaperone_access::Called;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::relay::{Members, RelayError, TOOL_BYTES_MAX, malformed, plain};

/// Methods whose requests are calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Let a tool do something.
    CallTool,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::CallTool];

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
        let members = params.map(|params| Members::of(params.get())).transpose()?;
        let lacks = |what: &str| malformed(&format!("`{}` without {what}", method.as_str()));
        let called = match method {
            Method::CallTool => {
                let members = members.ok_or_else(|| lacks("`params`"))?;
                let name = members.text("name")?.ok_or_else(|| lacks("a `name`"))?;
                if name.len() > TOOL_BYTES_MAX {
                    return Err(malformed("there is no such tool"));
                }
                Called::tool(&name)
            }
        };
        Ok(Self { method, called, params })
    }

    /// All that it says of what is to be done, in one way only; without any it is an empty object.
    ///
    /// # Errors
    /// A member stands twice in one object.
    pub fn arguments(&self) -> Result<Value, RelayError> {
        let Some(params) = self.params else { return Ok(Value::Object(Map::new())) };
        match self.method {
            Method::CallTool => {
                let arguments = Members::of(params.get())?.get("arguments");
                arguments.map_or_else(|| Ok(Value::Object(Map::new())), plain)
            }
        }
    }
}
