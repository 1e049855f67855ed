//! The plain form of sealed parameters: a JSON array, since it is read by people and by programs that are not ours.

use chaperone_wire::Parameter;
use serde_json::{Value, json};

/// One element a parameter: `null`; a string for text; `{"binary": hex}`; `{"digest": hex, "length": n}` for a value
/// over the limit for keeping.
pub(crate) fn encode(parameters: &[Parameter]) -> Vec<u8> {
    let values: Vec<Value> = parameters
        .iter()
        .map(|parameter| match parameter {
            Parameter::Null => Value::Null,
            Parameter::Whole { format: 0, value } => match std::str::from_utf8(value) {
                Ok(text) => Value::String(text.to_owned()),
                Err(_) => json!({ "binary": hex::encode(value) }),
            },
            Parameter::Whole { value, .. } => json!({ "binary": hex::encode(value) }),
            Parameter::Digest { length, digest, .. } => {
                json!({ "digest": hex::encode(digest), "length": length })
            }
        })
        .collect();
    Value::Array(values).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_told_apart() {
        let text =
            |value: &'static [u8]| Parameter::Whole { format: 0, value: bytes::Bytes::from_static(value) };
        let binary = Parameter::Whole { format: 1, value: bytes::Bytes::from_static(b"\x00\x01") };
        let large = Parameter::Digest { format: 1, length: 7, digest: [0xab; 32] };
        let plain = encode(&[Parameter::Null, text(b"null"), text(b"\xff"), binary, large]);
        let values: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(values[0], Value::Null);
        assert_eq!(values[1], "null");
        assert_eq!(values[2]["binary"], "ff");
        assert_eq!(values[3]["binary"], "0001");
        assert_eq!(values[4]["length"], 7);
    }
}
