//! What a request is, before anything is dispatched: whatever is decided about it is decided about the same method and tool
//! that are then carried out, so a member that stands twice is refused.

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::relay::TOOL_BYTES_MAX;

/// What is said at most of why a body is not taken, in characters: it repeats what a stranger sent.
const WHY_CHARS_MAX: usize = 200;

/// What a body asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    /// The method; empty for an answer.
    pub method: String,
    /// The tool of a `tools/call`.
    pub tool: Option<String>,
}

/// Why a body is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeekError {
    /// Several messages at once (removed from the protocol in 2025-06-18).
    #[error("a batch is not taken: send one message a request")]
    Batch,
    /// Not one message of JSON-RPC 2.0.
    #[error("not one JSON-RPC 2.0 message: {0}")]
    Malformed(String),
}

#[derive(Deserialize)]
struct Message<'a> {
    jsonrpc: &'a str,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow, rename = "id")]
    _id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Called {
    name: String,
    #[serde(rename = "arguments")]
    _arguments: Option<serde_json::Value>,
}

/// Look at a body.
///
/// # Errors
/// See [`PeekError`].
pub fn peek(body: &[u8]) -> Result<Peeked, PeekError> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'[') {
        return Err(PeekError::Batch);
    }
    let malformed = |error: serde_json::Error| {
        PeekError::Malformed(error.to_string().chars().take(WHY_CHARS_MAX).collect())
    };
    let message: Message<'_> = serde_json::from_slice(body).map_err(malformed)?;
    if message.jsonrpc != "2.0" {
        return Err(PeekError::Malformed("`jsonrpc` is not `2.0`".to_owned()));
    }
    let method = message.method.unwrap_or_default();
    let tool = match (method.as_str(), message.params) {
        ("tools/call", Some(params)) => {
            let called: Called = serde_json::from_str(params.get()).map_err(malformed)?;
            if called.name.len() > TOOL_BYTES_MAX {
                return Err(PeekError::Malformed(format!(
                    "a tool's name has {TOOL_BYTES_MAX} bytes at most"
                )));
            }
            Some(called.name)
        }
        ("tools/call", None) => return Err(PeekError::Malformed("`tools/call` without `params`".to_owned())),
        (_, _) => None,
    };
    Ok(Peeked { method, tool })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_can_be_read_in_one_way_only() {
        let call =
            br#" {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query","arguments":{}}}"#;
        assert_eq!(peek(call).unwrap(), Peeked { method: "tools/call".into(), tool: Some("query".into()) });
        let answer = br#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(peek(answer).unwrap(), Peeked { method: String::new(), tool: None });
        assert_eq!(peek(b" [1]"), Err(PeekError::Batch));
        for bad in [
            r#"{"jsonrpc":"2.0","method":"tools/list","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"explain_access","name":"query"}}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#,
            r#"{"jsonrpc":"1.0","method":"tools/list"}"#,
            r#"{"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":[]}"#,
            r#"{"jsonrpc":"2.0","method":7}"#,
            "",
            "{",
            "{}x",
        ] {
            assert!(matches!(peek(bad.as_bytes()), Err(PeekError::Malformed(_))), "{bad}");
        }
        let long = |many: usize| {
            let name = "q".repeat(many);
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#)
        };
        assert!(peek(long(TOOL_BYTES_MAX).as_bytes()).is_ok());
        assert!(peek(long(TOOL_BYTES_MAX + 1).as_bytes()).is_err());
        // What a stranger sent is not sent back whole.
        let echo = format!(r#"{{"jsonrpc":"2.0","method":{{"{}":1}}}}"#, "x".repeat(100_000));
        let unknown =
            format!(r#"{{"jsonrpc":"2.0","method":"tools/call","params":"{}"}}"#, "x".repeat(100_000));
        for body in [echo, unknown] {
            assert!(peek(body.as_bytes()).unwrap_err().to_string().len() < 300);
        }
        let deep = format!(
            r#"{{"jsonrpc":"2.0","method":"tools/call","params":{{"name":"q","arguments":{}1{}}}}}"#,
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        assert!(matches!(peek(deep.as_bytes()), Err(PeekError::Malformed(_))));
        assert!(peek(b"\xff").is_err());
    }
}
