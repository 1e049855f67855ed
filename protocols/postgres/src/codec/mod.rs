//! PostgreSQL's frontend/backend protocol, version 3, without IO ("Frontend/Backend Protocol" in PostgreSQL's
//! documentation). Bytes in, frames and views out.
//!
//! Three layers: [`Decoder`] cuts a byte stream into [`Frame`]s, with a named limit before anything is kept;
//! [`frontend`] and [`backend`] give typed views of whole messages, borrowed and bounds-checked; [`encode`] writes
//! the messages that we say ourselves. [`startup`] is the untagged beginning of a connection and [`BindReader`]
//! reads a Bind that is too large to hold.

#[macro_use]
mod tags;

pub mod backend;
mod bind;
pub mod encode;
mod error;
mod frame;
pub mod frontend;
pub(crate) mod reader;
pub mod startup;

pub use backend::BackendTag;
pub use bind::{BindPart, BindReader};
pub use error::{CodecError, Side};
pub use frame::{Decoder, Frame, Limits, Message, Run, Size, Tag};
pub use frontend::FrontendTag;

/// Cuts what a client sends.
pub type Frontend = Decoder<FrontendTag>;
/// Cuts what a server sends.
pub type Backend = Decoder<BackendTag>;

/// Longest message that the protocol allows, length field included (`PQ_LARGE_MESSAGE_LIMIT`, one byte below 1 GiB).
pub const MESSAGE_BYTES_MAX: u32 = 0x3fff_ffff;
/// A message of a bulk type above this size is handed on in pieces instead of being collected.
pub const BULK_WHOLE_BYTES_MAX: u32 = 64 * 1024;
/// Longest message without a limit of its own: names, codes, a reason (`PQ_SMALL_MESSAGE_LIMIT`).
pub const SMALL_BYTES_MAX: u32 = 10_000;
/// Room for a name and type identifiers that a Parse may have beside its text: 65,535 types of 4 bytes and a name.
pub const PARSE_EXTRA_BYTES_MAX: u32 = 4 * 65_535 + 1024 + 64;
/// Longest message of a server that is collected: row descriptions, errors, notices, notifications.
pub const BACKEND_BYTES_MAX: u32 = 1024 * 1024;
/// As much of the name of a prepared statement or portal as PostgreSQL keeps, in bytes.
///
/// It has both in hash tables with keys of `NAMEDATALEN` bytes: names that differ only after the 63rd byte are the same name
/// there. Whoever follows names must not tell apart what the server does not.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest name of a prepared statement or portal that is read.
pub const NAME_GIVEN_BYTES_MAX: usize = 1024;

/// A name as the server keeps it. One of which it would keep a part of a character is refused: it is none here.
fn kept_of_name<'t>(text: &'t str, tag: u8, field: &'static str) -> Result<&'t str, CodecError> {
    if text.len() > NAME_GIVEN_BYTES_MAX {
        return Err(CodecError::TooLong { tag, field, max: NAME_GIVEN_BYTES_MAX });
    }
    let kept = text.get(..text.len().min(NAME_BYTES_MAX));
    kept.ok_or(CodecError::TooLong { tag, field, max: NAME_BYTES_MAX })
}

/// Feeds arbitrary bytes to everything that reads a client.
#[doc(hidden)]
pub fn fuzz_frontend(data: &[u8]) {
    frame::drive::<FrontendTag>(data, Limits::frontend(4096), |message| {
        let _view = frontend::view(message);
    });
    let (length, rest) = data.split_at_checked(2).unwrap_or((&[], data));
    let length = length.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    let mut reader = BindReader::new(length, 16);
    for chunk in rest.chunks(7) {
        reader.feed(&bytes::Bytes::copy_from_slice(chunk));
        while let Ok(Some(_part)) = reader.poll() {}
    }
}

/// Feeds arbitrary bytes to everything that reads a server.
#[doc(hidden)]
pub fn fuzz_backend(data: &[u8]) {
    frame::drive::<BackendTag>(data, Limits::backend(), |message| {
        let _view = backend::view(message);
    });
}

/// Feeds arbitrary bytes to the reader of a connection's first packets.
#[doc(hidden)]
pub fn fuzz_startup(data: &[u8]) {
    let mut buffer = bytes::BytesMut::from(data);
    while let Ok(Some(_packet)) = startup::decode(&mut buffer) {}
}
