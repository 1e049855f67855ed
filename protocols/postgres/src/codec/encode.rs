//! Messages that we say ourselves. Texts end at their first NUL: the protocol has no way to say one.

use std::ffi::CStr;

use bytes::{BufMut, Bytes, BytesMut};

use super::backend::TransactionStatus;
use super::frontend::Object;
use super::startup::ProtocolVersion;
use super::{BackendTag, FrontendTag};

/// A text with its terminator, cut at the first NUL of its own.
pub(crate) fn text(text: &str, out: &mut BytesMut) {
    terminated(text.as_bytes(), out);
}

fn terminated(bytes: &[u8], out: &mut BytesMut) {
    out.put_slice(CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes));
    out.put_u8(0);
}

/// Fill in the length field at `at` of what was written since `start`.
pub(crate) fn close(start: usize, at: usize, out: &mut BytesMut) {
    // Everything written here is bounded by limits far below 4 GiB; a length that did not fit would be refused by
    // its reader, so it is saturated rather than wrapped.
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

fn message(tag: u8, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let start = out.len();
    out.put_u32(0);
    body(out);
    close(start, start, out);
}

fn backend(tag: BackendTag, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    message(tag.byte(), out, body);
}

fn frontend(tag: FrontendTag, out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    message(tag.byte(), out, body);
}

/// A message without fields.
pub fn bare(tag: BackendTag, out: &mut BytesMut) {
    backend(tag, out, |_| {});
}

/// ErrorResponse: field types and texts, in order.
pub fn error<'a>(fields: impl IntoIterator<Item = (u8, &'a str)>, out: &mut BytesMut) {
    report(BackendTag::Error, fields, out);
}

/// NoticeResponse: field types and texts, in order.
pub fn notice<'a>(fields: impl IntoIterator<Item = (u8, &'a str)>, out: &mut BytesMut) {
    report(BackendTag::Notice, fields, out);
}

fn report<'a>(tag: BackendTag, fields: impl IntoIterator<Item = (u8, &'a str)>, out: &mut BytesMut) {
    backend(tag, out, |out| {
        for (kind, value) in fields {
            out.put_u8(kind);
            text(value, out);
        }
        out.put_u8(0);
    });
}

/// ReadyForQuery.
pub fn ready_for_query(status: TransactionStatus, out: &mut BytesMut) {
    backend(BackendTag::ReadyForQuery, out, |out| out.put_u8(status.byte()));
}

/// CommandComplete.
pub fn command_complete(tag: &str, out: &mut BytesMut) {
    backend(BackendTag::CommandComplete, out, |out| text(tag, out));
}

/// ParameterStatus.
pub fn parameter_status(name: &str, value: &str, out: &mut BytesMut) {
    backend(BackendTag::ParameterStatus, out, |out| {
        text(name, out);
        text(value, out);
    });
}

/// BackendKeyData with a key of [`super::startup::CANCEL_KEY_BYTES`].
pub fn backend_key(pid: i32, key: &[u8], out: &mut BytesMut) {
    backend(BackendTag::BackendKeyData, out, |out| {
        out.put_i32(pid);
        out.put_slice(key);
    });
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut BytesMut) {
    backend(BackendTag::Authentication, out, |out| out.put_u32(0));
}

/// AuthenticationSASL.
pub fn authentication_sasl(mechanisms: &[&str], out: &mut BytesMut) {
    backend(BackendTag::Authentication, out, |out| {
        out.put_u32(10);
        for mechanism in mechanisms {
            text(mechanism, out);
        }
        out.put_u8(0);
    });
}

/// AuthenticationSASLContinue.
pub fn authentication_sasl_continue(data: &[u8], out: &mut BytesMut) {
    backend(BackendTag::Authentication, out, |out| {
        out.put_u32(11);
        out.put_slice(data);
    });
}

/// AuthenticationSASLFinal.
pub fn authentication_sasl_final(data: &[u8], out: &mut BytesMut) {
    backend(BackendTag::Authentication, out, |out| {
        out.put_u32(12);
        out.put_slice(data);
    });
}

/// NegotiateProtocolVersion: the newest version that we speak, and the options that we do not know.
pub fn negotiate_protocol_version(version: ProtocolVersion, unknown: &[&str], out: &mut BytesMut) {
    backend(BackendTag::NegotiateProtocolVersion, out, |out| {
        out.put_u32(version.to_u32());
        out.put_u32(u32::try_from(unknown.len()).unwrap_or(u32::MAX));
        for name in unknown {
            text(name, out);
        }
    });
}

/// Query.
pub fn query(sql: &str, out: &mut BytesMut) {
    frontend(FrontendTag::Query, out, |out| text(sql, out));
}

/// Parse; `types` as they stand in a message, four bytes each ([`super::frontend::Oids::as_bytes`]).
pub fn parse(name: &str, sql: &str, types: &[u8], out: &mut BytesMut) {
    let (oids, _none_left) = types.as_chunks::<4>();
    let count = u16::try_from(oids.len()).unwrap_or(u16::MAX);
    frontend(FrontendTag::Parse, out, |out| {
        text(name, out);
        text(sql, out);
        out.put_u16(count);
        for oid in oids.iter().take(usize::from(count)) {
            out.put_slice(oid);
        }
    });
}

/// Bind of the unnamed statement to the unnamed portal: without values, all of the result as text.
pub fn bind_plain(out: &mut BytesMut) {
    frontend(FrontendTag::Bind, out, |out| {
        text("", out);
        text("", out);
        out.put_slice(&[0; 6]);
    });
}

/// Close or Describe of a statement or portal.
fn on_object(tag: FrontendTag, object: Object, name: &str, out: &mut BytesMut) {
    frontend(tag, out, |out| {
        out.put_u8(match object {
            Object::Statement => b'S',
            Object::Portal => b'P',
        });
        text(name, out);
    });
}

/// Close.
pub fn close_object(object: Object, name: &str, out: &mut BytesMut) {
    on_object(FrontendTag::Close, object, name, out);
}

/// Describe.
pub fn describe(object: Object, name: &str, out: &mut BytesMut) {
    on_object(FrontendTag::Describe, object, name, out);
}

/// Execute; zero rows is all of them.
pub fn execute(portal: &str, rows_max: i32, out: &mut BytesMut) {
    frontend(FrontendTag::Execute, out, |out| {
        text(portal, out);
        out.put_i32(rows_max);
    });
}

/// Sync.
pub fn sync(out: &mut BytesMut) {
    frontend(FrontendTag::Sync, out, |_| {});
}

/// Flush.
pub fn flush(out: &mut BytesMut) {
    frontend(FrontendTag::Flush, out, |_| {});
}

/// Terminate.
pub fn terminate(out: &mut BytesMut) {
    frontend(FrontendTag::Terminate, out, |_| {});
}

/// CopyFail.
pub fn copy_fail(reason: &str, out: &mut BytesMut) {
    frontend(FrontendTag::CopyFail, out, |out| text(reason, out));
}

/// PasswordMessage.
pub fn password(password: &[u8], out: &mut BytesMut) {
    frontend(FrontendTag::Password, out, |out| terminated(password, out));
}

/// SASLInitialResponse.
pub fn sasl_initial(mechanism: &str, data: &[u8], out: &mut BytesMut) {
    frontend(FrontendTag::Password, out, |out| {
        text(mechanism, out);
        out.put_i32(i32::try_from(data.len()).unwrap_or(i32::MAX));
        out.put_slice(data);
    });
}

/// SASLResponse.
pub fn sasl_response(data: &[u8], out: &mut BytesMut) {
    frontend(FrontendTag::Password, out, |out| out.put_slice(data));
}

/// A RowDescription that names no relation: for each column, as for one that is computed. `message` is a whole one that
/// was read before.
#[must_use]
pub fn without_origins(message: &[u8]) -> Bytes {
    let mut out = BytesMut::from(message);
    // Tag, length and the number of columns; then for each a name, the origin (6 bytes) and the rest (12).
    let mut at = 7;
    while let Some(end) = out.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) {
        let origin = at + end + 1;
        if let Some(bytes) = out.get_mut(origin..origin + 6) {
            bytes.fill(0);
        }
        at = origin + 18;
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_lose_their_origin_and_nothing_else() {
        let described = |origin: &[u8]| {
            let mut message = b"T\0\0\0\x36\0\x02".to_vec();
            for name in [b"id\0".as_slice(), b"n\0"] {
                message.extend_from_slice(name);
                message.extend_from_slice(origin);
                message.extend_from_slice(b"\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
            }
            message
        };
        let (named, nameless) = (described(b"\0\0\x43\x60\0\x01"), described(&[0; 6]));
        assert_eq!(&without_origins(&named)[..], nameless);
    }
}
