//! Refusals in PostgreSQL's words: the one place where our reasons become its error codes.

use bytes::BytesMut;
use chaperone_access::{Refusal, RefusalCode};

use crate::codec::encode;

/// How much ends with the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement.
    Error,
    /// The session.
    Fatal,
}

/// SQLSTATE of a reason ("PostgreSQL Error Codes", appendix A of its documentation).
#[must_use]
pub fn sqlstate(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::AuthenticationFailed => "28P01",
        // Not 57P01: whoever connects again at once gets no further.
        RefusalCode::Throttled
        | RefusalCode::Locked
        | RefusalCode::LoginEnded
        | RefusalCode::CredentialRevoked => "28000",
        RefusalCode::NotPermitted | RefusalCode::ApprovalRequired | RefusalCode::NotAttributable => "42501",
        RefusalCode::NotUnderstood | RefusalCode::Unsupported => "0A000",
        RefusalCode::SyntaxError => "42601",
        RefusalCode::UndefinedRelation => "42P01",
        RefusalCode::UndefinedStatement => "26000",
        RefusalCode::TooLarge | RefusalCode::TooMuch => "54000",
        RefusalCode::TooComplex => "54001",
        RefusalCode::ProtocolViolation => "08P01",
        RefusalCode::UndefinedTarget => "3D000",
        RefusalCode::TargetUnavailable | RefusalCode::TargetLost => "08006",
        RefusalCode::RecordUnavailable => "58030",
        RefusalCode::Busy | RefusalCode::TooManySessions => "53300",
        RefusalCode::TooOften | RefusalCode::SessionFull => "53400",
        RefusalCode::Ended | RefusalCode::OpenTooLong => "57P01",
        RefusalCode::Idle => "57P05",
        RefusalCode::ShuttingDown => "57P03",
        RefusalCode::Internal => "XX000",
    }
}

/// The fields of ErrorResponse, in PostgreSQL's own order.
#[must_use]
pub fn refusal_fields(refusal: &Refusal, severity: Severity) -> Vec<(u8, String)> {
    let word = match severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    let mut fields = vec![
        (b'S', word.to_owned()),
        (b'V', word.to_owned()),
        (b'C', sqlstate(refusal.code).to_owned()),
        (b'M', refusal.message.clone()),
    ];
    fields.extend(refusal.hint.clone().map(|hint| (b'H', hint)));
    fields.extend(refusal.position.map(|position| (b'P', position.to_string())));
    fields
}

/// Write ErrorResponse.
pub fn error(refusal: &Refusal, severity: Severity, out: &mut BytesMut) {
    let fields = refusal_fields(refusal, severity);
    encode::error(fields.iter().map(|(kind, text)| (*kind, text.as_str())), out);
}
