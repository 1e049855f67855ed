//! What is said with a server that is elsewhere, over Streamable HTTP: what goes with a message, what comes back piece by
//! piece, and the words in which an agent says that no more comes of it.

use bytes::{Buf, BytesMut};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::relay::{self, FRAME_BYTES_MAX, RelayError, said};
use crate::stateless::{encoded, named_by};

/// How long a server elsewhere may take for one answer, in seconds: less than a call may, so that the answer to the call says
/// who was late.
pub const ANSWER_S: u64 = 55;
/// Names the revision in a request's `_meta`, from 2026-07-28 on.
const META_REVISION: &str = "io.modelcontextprotocol/protocolVersion";
/// Before a fault: no message begins like that.
const MARK: u8 = b'!';

/// Why no more comes of a server elsewhere. A closed list: neither its address nor any word of its own crosses to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No connection to it.
    #[error("it cannot be reached")]
    Unreachable,
    /// It does not prove who it is.
    #[error("its certificate is not accepted")]
    Untrusted,
    /// The agent cannot get what it is to show there.
    #[error("its agent has no token to show there")]
    Unarmed,
    /// It does not let the agent in: 401 or 403.
    #[error("it does not let its agent in (HTTP status {0})")]
    Denied(u16),
    /// It names another address.
    #[error("it sends elsewhere (HTTP status {0}), which is not followed")]
    Redirected(u16),
    /// It does not know the session any more.
    #[error("it has ended the session")]
    Forgotten,
    /// It failed.
    #[error("it failed with HTTP status {0}")]
    Status(u16),
    /// What it answers with is of another kind.
    #[error("its answer is neither JSON nor an event stream")]
    Kind,
    /// A message without end.
    #[error("it sent a message of more than {FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// Messages without end.
    #[error("it sent too much that nobody asked for")]
    TooMuch,
    /// The connection went away.
    #[error("it broke off before its answer was whole")]
    Broke,
    /// The end of what it has to say, without an answer.
    #[error("it took the request and did not answer it")]
    Unanswered,
    /// Nothing in time.
    #[error("it did not answer within {ANSWER_S} s")]
    Late,
    /// Not UTF-8.
    #[error("it broke the protocol: not UTF-8")]
    Encoding,
    /// Several messages at once.
    #[error("it broke the protocol: a batch")]
    Batch,
    /// Too many levels.
    #[error("it broke the protocol: nested too deep")]
    Depth,
    /// No message of JSON-RPC, or one that can be read in two ways.
    #[error("it broke the protocol: not one JSON-RPC 2.0 message")]
    Malformed,
}

impl From<RelayError> for Fault {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Encoding => Self::Encoding,
            RelayError::Batch => Self::Batch,
            RelayError::Depth => Self::Depth,
            RelayError::Malformed(_) | RelayError::TooMany(_) => Self::Malformed,
        }
    }
}

impl Fault {
    /// Whether what was asked for was certainly not carried out: it was not sent, or not taken.
    #[must_use]
    pub fn is_undone(self) -> bool {
        match self {
            Self::Unreachable | Self::Untrusted | Self::Unarmed | Self::Denied(_) | Self::Forgotten => true,
            // To these alone the same is to be sent again (RFC 9110, 15.4): any other may come after the work.
            Self::Redirected(status) => matches!(status, 307 | 308),
            Self::Status(_)
            | Self::Kind
            | Self::TooLong
            | Self::TooMuch
            | Self::Broke
            | Self::Unanswered
            | Self::Late
            | Self::Encoding
            | Self::Batch
            | Self::Depth
            | Self::Malformed => false,
        }
    }

    /// The same, where it befell a message beside a request that is under way: of that one nothing is known.
    #[must_use]
    pub fn beside(self) -> Self {
        match self {
            Self::Unreachable | Self::Untrusted | Self::Unarmed => Self::Broke,
            Self::Denied(status) | Self::Redirected(status) => Self::Status(status),
            // Said with that status.
            Self::Forgotten => Self::Status(404),
            Self::Status(_)
            | Self::Kind
            | Self::TooLong
            | Self::TooMuch
            | Self::Broke
            | Self::Unanswered
            | Self::Late
            | Self::Encoding
            | Self::Batch
            | Self::Depth
            | Self::Malformed => self,
        }
    }

    /// What whom to tell.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Unreachable | Self::Untrusted => {
                "tell whoever runs the agent: its log says more; and whoever answers for the server"
            }
            Self::Unarmed => "tell whoever runs the agent: its log says more",
            Self::Denied(_) => "tell whoever runs the agent to look at its `token` for the server",
            Self::Redirected(_) => "tell whoever runs the agent: its `url` is not the server's own address",
            Self::Forgotten => "call again",
            Self::Status(_)
            | Self::Kind
            | Self::TooLong
            | Self::TooMuch
            | Self::Broke
            | Self::Unanswered
            | Self::Late
            | Self::Encoding
            | Self::Batch
            | Self::Depth
            | Self::Malformed => "if it happens again, tell whoever answers for the server",
        }
    }

    /// As the last line of a stream.
    #[must_use]
    pub fn line(self) -> Vec<u8> {
        let mut line = vec![MARK];
        line.extend(serde_json::to_vec(&self).unwrap_or_default());
        line.push(b'\n');
        line
    }

    /// Whether a line is one, and which; of one that nobody knows it is said that its server broke off.
    #[must_use]
    pub fn of_line(line: &[u8]) -> Option<Self> {
        let (mark, words) = line.split_first()?;
        (*mark == MARK).then(|| serde_json::from_slice(words).unwrap_or(Self::Broke))
    }
}

/// What goes with a message beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The request's id, as JSON; none where no answer comes.
    pub id: Option<String>,
    /// The method; none of an answer to the server's own request.
    pub method: Option<String>,
    /// What the method is about, where that goes into a header, as it stands there.
    pub name: Option<String>,
    /// The revision that the message itself names.
    pub revision: Option<String>,
}

impl Outgoing {
    /// Read a message of the gateway's.
    ///
    /// # Errors
    /// It is none.
    pub fn of(line: &[u8]) -> Result<Self, RelayError> {
        let said = said(line)?;
        let (mut name, mut revision) = (None, None);
        if let Some(params) = said.params.filter(|params| params.get().starts_with('{')) {
            if let Some(meta) = relay::member(params, "_meta")? {
                // Whoever wrote it may have written anything.
                let named = relay::member(meta, META_REVISION).ok().flatten();
                revision = named.and_then(|revision| serde_json::from_str(revision.get()).ok());
            }
            let member = said.method.as_deref().and_then(named_by);
            if let Some(of) = member.map(|member| relay::member(params, member)).transpose()?.flatten() {
                let text: String = serde_json::from_str(of.get())?;
                name = Some(encoded(&text).into_owned());
            }
        }
        let id = said.id.filter(|_| said.method.is_some()).map(|id| id.get().to_owned());
        Ok(Self { id, method: said.method, name, revision })
    }
}

/// The events of an event stream (WHATWG HTML, 9.2), from pieces as they come.
#[derive(Debug, Default)]
pub struct Events {
    input: BytesMut,
    /// How far `input` was looked through for the end of a line.
    seen: usize,
    data: Vec<u8>,
    /// The line before ended with a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// A byte order mark may stand before the first line only.
    begun: bool,
}

impl Events {
    /// More of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
    }

    /// The data of the next event that has any. What else an event says (its name, its id) is nothing to a message.
    ///
    /// # Errors
    /// It is longer than a message may be.
    pub fn next_data(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                let data = std::mem::take(&mut self.data);
                if !data.is_empty() {
                    return Ok(Some(data));
                }
                continue;
            }
            let Some(value) = line.strip_prefix(b"data") else { continue };
            let value = match value.split_first() {
                Some((b':', value)) => value.strip_prefix(b" ").unwrap_or(value),
                None => value,
                Some(_) => continue,
            };
            if self.data.len() + value.len() >= FRAME_BYTES_MAX {
                return Err(Fault::TooLong);
            }
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
        }
        Ok(None)
    }

    /// A whole line, without its end.
    fn line(&mut self) -> Result<Option<BytesMut>, Fault> {
        if self.after_cr && !self.input.is_empty() {
            self.after_cr = false;
            if self.input.first() == Some(&b'\n') {
                self.input.advance(1);
            }
        }
        let fresh = self.input.get(self.seen..).unwrap_or_default();
        let found = fresh.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(end) = found.map(|place| self.seen + place) else {
            self.seen = self.input.len();
            return if self.seen > FRAME_BYTES_MAX { Err(Fault::TooLong) } else { Ok(None) };
        };
        self.seen = 0;
        let mut line = self.input.split_to(end);
        self.after_cr = self.input.first() == Some(&b'\r');
        self.input.advance(1);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.advance(3);
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Result<Vec<String>, Fault> {
        let (mut events, mut found) = (Events::default(), Vec::new());
        for piece in pieces {
            events.push(piece);
            while let Some(data) = events.next_data()? {
                found.push(String::from_utf8(data).unwrap());
            }
        }
        Ok(found)
    }

    #[test]
    fn events_are_found_however_they_are_cut() {
        let text: &[u8] =
            b"\xef\xbb\xbf: hello\r\nevent: message\r\nid: 7\r\ndata: {\"a\":\r\ndata:1}\r\n\r\n\
            id: 8\ndata\n\ndata:\n\nretry: 5\n\ndatum: x\n\ndata: {}\r\rdata: unfinished";
        let all = ["{\"a\":\n1}", "{}"];
        assert_eq!(events(&[text]).unwrap(), all);
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(events(&single).unwrap(), all);
        for cut in 0..text.len() {
            let (before, after) = text.split_at(cut);
            assert_eq!(events(&[before, after]).unwrap(), all, "{cut}");
        }
    }

    #[test]
    fn no_event_grows_without_end() {
        let piece = vec![b'x'; 64 * 1024];
        let pieces = |first: &'static [u8], each: &[u8]| {
            let mut events = Events::default();
            events.push(first);
            let mut pushed = 0;
            loop {
                events.push(each);
                pushed += each.len();
                match events.next_data() {
                    Ok(None) => assert!(pushed < 2 * FRAME_BYTES_MAX),
                    Ok(Some(_)) => panic!("an event of nothing but its beginning"),
                    Err(fault) => return fault,
                }
            }
        };
        assert_eq!(pieces(b"data: ", &piece), Fault::TooLong);
        let line = [b"data: ", piece.as_slice(), b"\n"].concat();
        assert_eq!(pieces(b"", &line), Fault::TooLong);
    }

    #[test]
    fn a_fault_is_told_in_one_line_and_no_message_is_one() {
        for fault in [Fault::Late, Fault::Status(503), Fault::Denied(401)] {
            let line = fault.line();
            let (end, line) = line.split_last().unwrap();
            assert_eq!((*end, Fault::of_line(line)), (b'\n', Some(fault)));
            assert!(!line.contains(&b'\n'));
        }
        assert_eq!(Fault::of_line(b"!\"unheard of\""), Some(Fault::Broke));
        assert_eq!(Fault::of_line(b"{}"), None);
        assert_eq!(Fault::of_line(b""), None);
    }

    #[test]
    fn nothing_was_done_only_where_the_request_itself_was_not_taken() {
        for fault in
            [Fault::Unreachable, Fault::Untrusted, Fault::Unarmed, Fault::Denied(401), Fault::Forgotten]
        {
            assert!(fault.is_undone() && !fault.beside().is_undone(), "{fault}");
        }
        for status in [300, 301, 302, 303, 304, 307, 308] {
            let fault = Fault::Redirected(status);
            assert_eq!(fault.is_undone(), status == 307 || status == 308, "{status}");
            assert_eq!(fault.beside(), Fault::Status(status));
        }
        assert_eq!((Fault::Late.beside(), Fault::Forgotten.beside()), (Fault::Late, Fault::Status(404)));
    }

    #[test]
    fn what_goes_beside_a_message_is_what_it_says() {
        let of = |line: &str| Outgoing::of(line.as_bytes()).unwrap();
        let asked =
            of(r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{}}}"#);
        assert_eq!((asked.id.as_deref(), asked.method.as_deref()), (Some("7"), Some("tools/call")));
        assert_eq!((asked.name.as_deref(), asked.revision), (Some("echo"), None));
        let newer = of(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{"{META_REVISION}":"2026-07-28"}}}}}}"#
        ));
        assert_eq!((newer.revision.as_deref(), newer.name), (Some("2026-07-28"), None));
        assert_eq!(of(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).id, None);
        let answer = of(r#"{"jsonrpc":"2.0","id":"s1","result":{}}"#);
        assert_eq!((answer.id, answer.method), (None, None));
    }
}
