//! Why something was not done: who is to blame, what the client is told and what it can do next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who has to change something before the same request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The caller: malformed, too large, not supported.
    Client,
    /// The rules: the caller may not.
    Policy,
    /// The database or the way to it.
    Target,
    /// Chaperone itself.
    Ours,
}

/// The closed list of reasons. Each protocol turns it into its native words in one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Nobody known by that proof. One text for every cause, so that it is no oracle.
    AuthenticationFailed,
    /// Too many failures from this source.
    Throttled,
    /// Policy has no permit for it.
    NotPermitted,
    /// Policy would allow it with an approval.
    ApprovalRequired,
    /// It holds identifiers, and nobody can say on whose behalf they were read.
    NotAttributable,
    /// A construct that Chaperone cannot vouch for under a restricted scope.
    NotUnderstood,
    /// A protocol feature that the boundary does not carry.
    Unsupported,
    /// PostgreSQL's own grammar does not accept the text.
    SyntaxError,
    /// No such relation for this caller.
    UndefinedRelation,
    /// No such prepared statement or portal.
    UndefinedStatement,
    /// Over a named limit of size.
    TooLarge,
    /// Over a named limit of depth or complexity.
    TooComplex,
    /// A message that the protocol does not allow here.
    ProtocolViolation,
    /// No target of that name for this caller.
    UndefinedTarget,
    /// No agent serves the target, or the target does not answer.
    TargetUnavailable,
    /// The target or its agent went away in the middle.
    TargetLost,
    /// The record cannot be written, so nothing passes.
    RecordUnavailable,
    /// Over a named limit of sessions or of work under way.
    Busy,
    /// Subject, target or client is locked.
    Locked,
    /// An administrator ended the session.
    Ended,
    /// The credential was taken back.
    CredentialRevoked,
    /// The login or key behind the session has ended, or was not checked again in time.
    LoginEnded,
    /// Nothing was asked for longer than a limit allows.
    Idle,
    /// Open for longer than a limit allows.
    OpenTooLong,
    /// As many sessions as a limit allows are open.
    TooManySessions,
    /// More statements, rows or bytes in a time than a limit allows.
    TooOften,
    /// More rows or bytes in one statement than a limit allows.
    TooMuch,
    /// More bytes than one session may have kept for it.
    SessionFull,
    /// The gateway is stopping.
    ShuttingDown,
    /// A fault of ours.
    Internal,
}

impl RefusalCode {
    /// The word in entries and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "authentication_failed",
            Self::Throttled => "throttled",
            Self::NotPermitted => "not_permitted",
            Self::ApprovalRequired => "approval_required",
            Self::NotAttributable => "not_attributable",
            Self::NotUnderstood => "not_understood",
            Self::Unsupported => "unsupported",
            Self::SyntaxError => "syntax_error",
            Self::UndefinedRelation => "undefined_relation",
            Self::UndefinedStatement => "undefined_statement",
            Self::TooLarge => "too_large",
            Self::TooComplex => "too_complex",
            Self::ProtocolViolation => "protocol_violation",
            Self::UndefinedTarget => "undefined_target",
            Self::TargetUnavailable => "target_unavailable",
            Self::TargetLost => "target_lost",
            Self::RecordUnavailable => "record_unavailable",
            Self::Busy => "busy",
            Self::Locked => "locked",
            Self::Ended => "ended",
            Self::CredentialRevoked => "credential_revoked",
            Self::LoginEnded => "login_ended",
            Self::Idle => "idle",
            Self::OpenTooLong => "open_too_long",
            Self::TooManySessions => "too_many_sessions",
            Self::TooOften => "too_often",
            Self::TooMuch => "too_much",
            Self::SessionFull => "session_full",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }

    /// Who has to change something.
    #[must_use]
    pub fn blame(self) -> Blame {
        match self {
            Self::AuthenticationFailed
            | Self::Throttled
            | Self::Unsupported
            | Self::SyntaxError
            | Self::UndefinedStatement
            | Self::TooLarge
            | Self::TooComplex
            | Self::ProtocolViolation
            | Self::SessionFull => Blame::Client,
            Self::NotPermitted
            | Self::ApprovalRequired
            | Self::NotAttributable
            | Self::NotUnderstood
            | Self::UndefinedRelation
            | Self::UndefinedTarget
            | Self::Locked
            | Self::Ended
            | Self::CredentialRevoked
            | Self::LoginEnded
            | Self::Idle
            | Self::OpenTooLong
            | Self::TooManySessions
            | Self::TooOften
            | Self::TooMuch => Blame::Policy,
            Self::TargetUnavailable | Self::TargetLost => Blame::Target,
            Self::RecordUnavailable | Self::Busy | Self::ShuttingDown | Self::Internal => Blame::Ours,
        }
    }
}

/// A refusal, as the client may read it. It names what is missing, never any data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub code: RefusalCode,
    /// What happened: lower case, no full stop, input in backticks.
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
    /// Where in the client's own statement, in characters from 1, where that is known.
    pub position: Option<u32>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, position: None }
    }

    /// Of a statement whose names may mean something else than when its string was read.
    #[must_use]
    pub fn moved_before() -> Self {
        let what = "a statement before this one in the same string changes what its names mean";
        Self::new(RefusalCode::NotUnderstood, what).hint("send them one by one")
    }

    /// The same with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a place in the client's statement, in characters from 1.
    #[must_use]
    pub fn at(mut self, position: u32) -> Self {
        self.position = Some(position);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_one_word_everywhere() {
        for code in [
            RefusalCode::AuthenticationFailed,
            RefusalCode::Throttled,
            RefusalCode::NotPermitted,
            RefusalCode::ApprovalRequired,
            RefusalCode::NotAttributable,
            RefusalCode::NotUnderstood,
            RefusalCode::Unsupported,
            RefusalCode::SyntaxError,
            RefusalCode::UndefinedRelation,
            RefusalCode::UndefinedStatement,
            RefusalCode::TooLarge,
            RefusalCode::TooComplex,
            RefusalCode::ProtocolViolation,
            RefusalCode::UndefinedTarget,
            RefusalCode::TargetUnavailable,
            RefusalCode::TargetLost,
            RefusalCode::RecordUnavailable,
            RefusalCode::Busy,
            RefusalCode::Locked,
            RefusalCode::Ended,
            RefusalCode::CredentialRevoked,
            RefusalCode::LoginEnded,
            RefusalCode::Idle,
            RefusalCode::OpenTooLong,
            RefusalCode::TooManySessions,
            RefusalCode::TooOften,
            RefusalCode::TooMuch,
            RefusalCode::SessionFull,
            RefusalCode::ShuttingDown,
            RefusalCode::Internal,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
