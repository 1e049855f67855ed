//! Identifiers. Each prints as the text that stands in the trail and parses back from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Alphabet of Crockford's base 32: no `i`, `l`, `o`, `u`, so that a person can read an id aloud.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text that is not a name or identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidName {
    what: &'static str,
    rule: &'static str,
}

impl InvalidName {
    pub(crate) fn new(what: &'static str, rule: &'static str) -> Self {
        Self { what, rule }
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid {}: {}", self.what, self.rule)
    }
}

impl std::error::Error for InvalidName {}

/// One session: 48 bits of Unix milliseconds, then 80 random bits, as 26 characters of base 32. Sorts by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl SessionId {
    /// Length of the printed form in bytes.
    pub const TEXT_LEN: usize = 26;

    /// Build from the time (Unix milliseconds) and 80 bits that the caller drew from the system's generator.
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
        let mut wide = [0_u8; 16];
        let (_, tail) = wide.split_at_mut(6);
        tail.copy_from_slice(&random);
        Self((u128::from(unix_ms & 0xffff_ffff_ffff) << 80) | u128::from_be_bytes(wide))
    }

    /// The 128 bits, for use as a map key or as additional authenticated data.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..Self::TEXT_LEN).rev() {
            let digit = (self.0 >> (5 * place)) & 31;
            let letter =
                usize::try_from(digit).ok().and_then(|digit| BASE32.get(digit)).copied().unwrap_or(b'0');
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = InvalidName { what: "session id", rule: "26 characters of Crockford base 32" };
        if text.len() != Self::TEXT_LEN {
            return Err(invalid);
        }
        let mut value: u128 = 0;
        for (place, byte) in text.bytes().enumerate() {
            let Some(digit) = BASE32.iter().position(|letter| *letter == byte) else { return Err(invalid) };
            // 26 x 5 = 130 bits: the first character may only use three of its five.
            if place == 0 && digit > 7 {
                return Err(invalid);
            }
            value = (value << 5) | digit as u128;
        }
        Ok(Self(value))
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(SessionId);

        impl $name {
            /// Build from the time (Unix milliseconds) and 80 bits that the caller drew from the system's generator.
            #[must_use]
            pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
                Self(SessionId::from_parts(unix_ms, random))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let invalid = |_| InvalidName { what: $what, rule: "26 characters of Crockford base 32" };
                text.parse().map(Self).map_err(invalid)
            }
        }
    };
}

id! {
    /// One call of a tool: made and printed as a session's id is, and sorts by time likewise.
    CallId, "call id"
}

id! {
    /// One run of a server that an agent hosts: made and printed as a session's id is, and sorts by time likewise.
    ProcessId, "process id"
}

/// One operation of a session, counted from 1; printed as `<session>.<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperationId {
    /// The session that it belongs to.
    pub session: SessionId,
    /// Its number in that session, from 1.
    pub number: u64,
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.number)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Check and take a name.
            ///
            /// # Errors
            /// Anything but 1 to 63 characters of `a-z`, `0-9`, `-` and `_` that begin with a letter.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
                let rest = text.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
                });
                if starts && rest && text.len() <= 63 {
                    return Ok(Self(text.to_owned()));
                }
                Err(InvalidName {
                    what: $what,
                    rule: "1 to 63 characters of a-z, 0-9, `-` and `_`, beginning with a letter",
                })
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// What a client asks for and what policies name: a database, later a command or MCP server. Never a host.
    TargetName, "target name"
}
name! {
    /// One enrolled agent.
    AgentName, "agent name"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_prints_and_parses() {
        let id = SessionId::from_parts(1_795_000_000_000, [7, 0, 255, 3, 4, 5, 6, 7, 8, 9]);
        let text = id.to_string();
        assert_eq!(text.len(), SessionId::TEXT_LEN);
        assert_eq!(text.parse::<SessionId>().unwrap(), id);
        assert!(SessionId::from_parts(1_795_000_000_001, [0; 10]).to_string() > text);
        for bad in ["", "8zzzzzzzzzzzzzzzzzzzzzzzzz", &text[1..], &text.replace('0', "u")] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_name_is_plain() {
        assert!(TargetName::new("ehr").is_ok());
        for bad in ["", "Ehr", "1ehr", "ehr db", "ehr/../x", "ehr\n", &"e".repeat(64)] {
            assert!(TargetName::new(bad).is_err(), "{bad}");
        }
    }
}
