//! What a call came to, and how its client is told.

use axum::http::StatusCode;
use chaperone_access::{Refusal, RefusalCode};
use chaperone_mcp::Answer;
use chaperone_mcp::request::Method;
use chaperone_mcp::stateless::{self, Era};
use chaperone_recording::Lease;
use chaperone_trail::CallOutcome;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{NO_METHOD, REFUSED};
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

    /// There is no such method here: the server has it not, or nothing that this caller may have of it.
    pub(super) fn no_method(client: Era, code: RefusalCode) -> Self {
        let words = Words::Wrong(NO_METHOD, NOT_HERE.to_owned());
        Self { status: status_of_no_method(client), ..Self::ours(words, CallOutcome::Refused, code) }
    }

    /// As its client reads it: `result` or `error`, and its JSON. A refusal of a tool's call is a result, which a model can act
    /// on; of another call an error, since no other result can be one.
    pub(super) fn written(&self, method: Method, client: Era) -> (&'static str, String) {
        let answer = match &self.words {
            Words::OfServer(what, raw) => return (what, raw.clone()),
            Words::Wrong(code, message) => {
                return ("error", json!({"code": code, "message": message}).to_string());
            }
            Words::Refused(refusal) if method != Method::CallTool => {
                return ("error", as_error(refusal).to_string());
            }
            Words::Unknown(refusal) if method != Method::CallTool => {
                return ("error", as_unknown(refusal).to_string());
            }
            Words::Refused(refusal) => told(refusal),
            Words::Unknown(refusal) => Answer::unknown(&refusal.message, Some(refusal.code.as_str())),
        };
        let raw = answer.to_value().to_string();
        let read = RawValue::from_string(raw.clone()).ok();
        let made = read.and_then(|read| {
            Some(stateless::result(client, Era::Handshake, method, &read).ok()?.into_owned())
        });
        ("result", made.unwrap_or(raw))
    }
}

/// What is said of a method that is not there.
pub(super) const NOT_HERE: &str = "there is no such method here";

/// The newest revision says it by the status too, so that no intermediary takes it for an answer.
pub(super) fn status_of_no_method(client: Era) -> StatusCode {
    match client {
        Era::Stateless => StatusCode::NOT_FOUND,
        Era::Handshake => StatusCode::OK,
    }
}

/// A refusal as an error of JSON-RPC.
pub(super) fn as_error(refusal: &Refusal) -> Value {
    let mut data = json!({"code": refusal.code});
    if let (Some(hint), Some(members)) = (&refusal.hint, data.as_object_mut()) {
        members.insert("hint".to_owned(), Value::from(hint.as_str()));
    }
    json!({"code": REFUSED, "message": refusal.message, "data": data})
}

/// Neither that it was done nor that it was not.
fn as_unknown(refusal: &Refusal) -> Value {
    let hint = "it may have been carried out: look whether it was before you ask again";
    let data = json!({"code": refusal.code, "hint": hint, "outcome": "unknown"});
    json!({"code": REFUSED, "message": format!("outcome unknown: {}", refusal.message), "data": data})
}
