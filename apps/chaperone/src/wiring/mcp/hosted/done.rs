//! What a call came to, and how its client is told.

use axum::http::StatusCode;
use chaperone_access::{Refusal, RefusalCode};
use chaperone_mcp::Answer;
use chaperone_mcp::request::Method;
use chaperone_mcp::stateless::{self, Era};
use chaperone_recording::Lease;
use chaperone_trail::CallOutcome;
use serde_json::json;
use serde_json::value::RawValue;

use crate::wiring::calls::outcome;
use crate::wiring::mcp::tools::told;

/// Whose words an answer is.
pub(super) enum Words {
    /// The server's: `result` or `error`, and its JSON.
    OfServer(&'static str, String),
    /// It was not done, or what it came to is withheld.
    Refused(Refusal),
    /// Nobody can say whether it was done.
    Unknown(Refusal),
    /// The request is none: an error of JSON-RPC.
    Wrong(i32, String),
}

/// What a call came to.
pub(super) struct Done {
    pub(super) words: Words,
    pub(super) outcome: CallOutcome,
    pub(super) code: Option<RefusalCode>,
    pub(super) status: StatusCode,
}

impl Done {
    fn ours(words: Words, outcome: CallOutcome, code: RefusalCode) -> Self {
        Self { words, outcome, code: Some(code), status: StatusCode::OK }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        let (outcome, code) = (outcome(refusal.code), refusal.code);
        Self::ours(Words::Refused(refusal), outcome, code)
    }

    /// It was carried out, and what it came to does not leave.
    pub(super) fn withheld(refusal: Refusal, outcome: CallOutcome) -> Self {
        let code = refusal.code;
        Self::ours(Words::Refused(refusal), outcome, code)
    }

    /// The call ended without an answer that may leave. Whether something was changed nobody can say where a statement of
    /// it was permitted that may change something: from here on no further one is.
    pub(super) fn unanswered(refusal: Refusal, lease: &Lease) -> Self {
        lease.end();
        if !lease.may_have_written() {
            return Self::refused(refusal);
        }
        let code = refusal.code;
        Self::ours(Words::Unknown(refusal), CallOutcome::Unknown, code)
    }

    pub(super) fn of_server(
        what: &'static str,
        raw: &str,
        outcome: CallOutcome,
        code: Option<RefusalCode>,
    ) -> Self {
        Self { words: Words::OfServer(what, raw.to_owned()), outcome, code, status: StatusCode::OK }
    }

    /// Headers and body of a call say two things.
    pub(super) fn mismatch(why: String) -> Self {
        let words = Words::Wrong(stateless::HEADER_MISMATCH, why);
        let status = StatusCode::BAD_REQUEST;
        Self { status, ..Self::ours(words, CallOutcome::Refused, RefusalCode::ProtocolViolation) }
    }

    /// As its client reads it: `result` or `error`, and its JSON. A refusal of a tool's call is a result, which a model can act
    /// on.
    pub(super) fn written(&self, method: Method, client: Era) -> (&'static str, String) {
        let answer = match &self.words {
            Words::OfServer(what, raw) => return (what, raw.clone()),
            Words::Wrong(code, message) => {
                return ("error", json!({"code": code, "message": message}).to_string());
            }
            Words::Refused(refusal) => told(refusal),
            Words::Unknown(refusal) => Answer::unknown(&refusal.message, Some(refusal.code.as_str())),
        };
        match method {
            Method::CallTool => {
                let raw = answer.to_value().to_string();
                let read = RawValue::from_string(raw.clone()).ok();
                let made = read.and_then(|read| {
                    Some(stateless::result(client, Era::Handshake, &read).ok()?.into_owned())
                });
                ("result", made.unwrap_or(raw))
            }
        }
    }
}
