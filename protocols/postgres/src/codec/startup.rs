//! The untagged packets at the beginning of a connection.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use chaperone_wire::limits::OPENING_BYTES_MAX;

use super::CodecError;
use super::reader::Reader;

/// `1234` in the upper 16 bits is no version but one of these requests.
const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;

/// Length of a cancel key in bytes: 4 in protocol 3.0, up to 256 in 3.2.
pub const CANCEL_KEY_BYTES: std::ops::RangeInclusive<usize> = 4..=256;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// 3 in everything since 2003.
    pub major: u16,
    /// 0, or 2 since PostgreSQL 18.
    pub minor: u16,
}

impl ProtocolVersion {
    /// What everybody speaks.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// Long cancel keys.
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// As it stands in messages.
    #[must_use]
    pub fn to_u32(self) -> u32 {
        (u32::from(self.major) << 16) | u32::from(self.minor)
    }

    fn from_u32(code: u32) -> Self {
        let [a, b, c, d] = code.to_be_bytes();
        Self { major: u16::from_be_bytes([a, b]), minor: u16::from_be_bytes([c, d]) }
    }
}

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Startup {
    /// The client would like TLS.
    Ssl,
    /// The client would like GSSAPI encryption.
    GssEnc,
    /// Cancel what another session is doing.
    Cancel {
        /// The process that the other session was told.
        pid: i32,
        /// The key that it was told, of [`CANCEL_KEY_BYTES`].
        key: Bytes,
    },
    /// Begin a session.
    Session(SessionRequest),
}

/// A StartupMessage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// The version that the client would like to speak.
    pub version: ProtocolVersion,
    /// Names and values in the client's order.
    pub parameters: Vec<(String, String)>,
}

impl SessionRequest {
    /// The value of a parameter; the last one counts, as in PostgreSQL.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// The next untagged packet, or `None` where more bytes are needed.
///
/// # Errors
/// A length outside 8 to [`OPENING_BYTES_MAX`] bytes, known from the first four bytes; fields that do not fit.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Startup>, CodecError> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    let size = length as usize;
    if !(8..=OPENING_BYTES_MAX).contains(&size) {
        return Err(CodecError::Length { tag: 0, length });
    }
    if buffer.len() < size {
        return Ok(None);
    }
    let mut packet = buffer.split_to(size).freeze();
    packet.advance(4);
    let code = packet.get_u32();
    match code {
        SSL_REQUEST | GSSENC_REQUEST if !packet.is_empty() => {
            Err(CodecError::Trailing { tag: 0, excess: packet.len() })
        }
        SSL_REQUEST => Ok(Some(Startup::Ssl)),
        GSSENC_REQUEST => Ok(Some(Startup::GssEnc)),
        CANCEL_REQUEST => cancel(packet).map(Some),
        version => {
            let parameters = parameters(&packet)?;
            let version = ProtocolVersion::from_u32(version);
            Ok(Some(Startup::Session(SessionRequest { version, parameters })))
        }
    }
}

fn cancel(mut packet: Bytes) -> Result<Startup, CodecError> {
    if packet.len() < 4 {
        return Err(CodecError::Truncated { tag: 0, field: "process" });
    }
    let pid = packet.get_i32();
    if !CANCEL_KEY_BYTES.contains(&packet.len()) {
        return Err(CodecError::Invalid { tag: 0, field: "key length" });
    }
    Ok(Startup::Cancel { pid, key: packet })
}

fn parameters(packet: &[u8]) -> Result<Vec<(String, String)>, CodecError> {
    let mut reader = Reader::new(0, packet);
    let mut parameters = Vec::new();
    // Bounded by the packet: each takes at least two bytes.
    loop {
        let name = reader.text("parameter name")?;
        if name.is_empty() {
            break;
        }
        parameters.push((name.to_owned(), reader.text("parameter value")?.to_owned()));
    }
    reader.finish()?;
    Ok(parameters)
}

/// Write a packet. A packet over [`OPENING_BYTES_MAX`] is what the other side refuses, not we.
pub fn encode(packet: &Startup, out: &mut BytesMut) {
    let start = out.len();
    out.put_u32(0);
    match packet {
        Startup::Ssl => out.put_u32(SSL_REQUEST),
        Startup::GssEnc => out.put_u32(GSSENC_REQUEST),
        Startup::Cancel { pid, key } => {
            out.put_u32(CANCEL_REQUEST);
            out.put_i32(*pid);
            out.put_slice(key);
        }
        Startup::Session(request) => {
            out.put_u32(request.version.to_u32());
            for (name, value) in &request.parameters {
                super::encode::text(name, out);
                super::encode::text(value, out);
            }
            out.put_u8(0);
        }
    }
    super::encode::close(start, start, out);
}
