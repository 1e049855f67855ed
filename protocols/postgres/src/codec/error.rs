//! What can be wrong with bytes.

use chaperone_access::{Refusal, RefusalCode};
use thiserror::Error;

/// Who sent the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client.
    Frontend,
    /// A server.
    Backend,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Frontend => "client",
            Self::Backend => "server",
        })
    }
}

/// Bytes that are not the protocol, or are over one of its limits. Never holds content, only shapes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// A message type that the protocol does not have, or not in this direction.
    #[error("unknown {side} message type `{}`", tag.escape_ascii())]
    UnknownTag {
        /// Who sent it.
        side: Side,
        /// The type byte.
        tag: u8,
    },
    /// A length field outside what the protocol allows. The stream cannot be followed any more.
    #[error("message `{}` has invalid length {length}", tag.escape_ascii())]
    Length {
        /// The type byte; 0 for a startup packet.
        tag: u8,
        /// The length field as sent.
        length: u32,
    },
    /// The message ends before its fields do.
    #[error("message `{}` ends before its {field}", tag.escape_ascii())]
    Truncated {
        /// The type byte.
        tag: u8,
        /// The field that was being read.
        field: &'static str,
    },
    /// The message goes on after its fields.
    #[error("message `{}` has {excess} bytes too many", tag.escape_ascii())]
    Trailing {
        /// The type byte.
        tag: u8,
        /// How many.
        excess: usize,
    },
    /// A field holds a value that the protocol does not define.
    #[error("message `{}` has an invalid {field}", tag.escape_ascii())]
    Invalid {
        /// The type byte.
        tag: u8,
        /// The field.
        field: &'static str,
    },
    /// A text that is not UTF-8.
    #[error("the {field} of message `{}` is not valid UTF-8", tag.escape_ascii())]
    NotUtf8 {
        /// The type byte.
        tag: u8,
        /// The field.
        field: &'static str,
    },
    /// A field over its named limit.
    #[error("the {field} of message `{}` is longer than {max} bytes", tag.escape_ascii())]
    TooLong {
        /// The type byte.
        tag: u8,
        /// The field.
        field: &'static str,
        /// The limit.
        max: usize,
    },
}

impl CodecError {
    /// The same as a refusal, for whoever tells the sender or the record.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::UnknownTag { side: Side::Frontend, .. } => {
                Refusal::new(RefusalCode::ProtocolViolation, self.to_string())
                    .hint("this port speaks the PostgreSQL protocol, version 3")
            }
            Self::NotUtf8 { .. } => Refusal::new(RefusalCode::ProtocolViolation, self.to_string())
                .hint("set the client's encoding to UTF8"),
            Self::TooLong { field, max, .. } => Refusal::new(RefusalCode::TooLarge, self.to_string())
                .hint(format!("use a {field} of at most {max} bytes")),
            Self::UnknownTag { side: Side::Backend, .. }
            | Self::Length { .. }
            | Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Invalid { .. } => Refusal::new(RefusalCode::ProtocolViolation, self.to_string()),
        }
    }
}
