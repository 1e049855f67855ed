//! Which revision of the protocol a request names beside its body.

use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};

/// Names the revision of a request.
pub const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// As 2026-07-28 numbers a revision that is not spoken.
const UNSPOKEN: i32 = -32022;

/// The error of JSON-RPC for a request whose revision is none of `spoken`; one that names none is taken.
#[must_use]
pub fn unspoken(headers: &HeaderMap, spoken: &[&str]) -> Option<Value> {
    let mut named = headers.get_all(VERSION).iter();
    let is_spoken = match (named.next(), named.next()) {
        (None, _) => true,
        (Some(one), None) => spoken.iter().any(|known| one.as_bytes() == known.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    if is_spoken {
        return None;
    }
    let message = format!("`MCP-Protocol-Version` is one of {}", spoken.join(", "));
    let named: Vec<_> =
        headers.get_all(VERSION).iter().map(|one| String::from_utf8_lossy(one.as_bytes())).collect();
    let data = json!({"supported": spoken, "requested": named.join(", ")});
    Some(json!({"code": UNSPOKEN, "message": message, "data": data}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_named_once_and_spoken_or_not_at_all() {
        let of = |named: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for one in named {
                headers.append(VERSION, http::HeaderValue::from_static(one));
            }
            unspoken(&headers, &["2025-11-25", "2025-06-18"])
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["2025-06-18"]), None);
        for named in [&["2024-11-05"][..], &["2025-06-18", "2025-06-18"], &[""]] {
            let error = of(named).unwrap();
            assert_eq!(
                (&error["code"], &error["data"]["supported"][0]),
                (&json!(-32022), &json!("2025-11-25"))
            );
            assert_eq!(error["data"]["requested"], named.join(", "));
        }
    }
}
