//! Why sessions end, and what is said of it: the reason in the record, and what becomes of operations under way.

use std::time::Instant;

use chaperone_access::{RefusalCode, SessionId};
use chaperone_trail::{Body, LimitHit, Status};
use chaperone_wire::Fault;

/// Bytes between the gateway and the agent, after login.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the target.
    pub from_target: u64,
    /// To the target.
    pub to_target: u64,
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Its word in `limits.toml`.
    pub limit: &'static str,
    /// What it allows, in the unit of its name.
    pub maximum: u64,
    /// What it would have come to.
    pub value: u64,
}

impl Hit {
    pub(crate) fn body(&self, session: SessionId, operation: Option<u64>) -> Body {
        Body::LimitHit(LimitHit {
            limit: self.limit.to_owned(),
            maximum: self.maximum,
            operation,
            session: session.to_string(),
            value: self.value,
        })
    }
}

/// Why a session ended.
#[derive(Debug)]
pub enum End {
    /// The client said good-bye.
    Left,
    /// The client's connection ended.
    ClientGone,
    /// The client broke the protocol or a limit.
    ClientBroke(RefusalCode),
    /// The target, its agent or the way there.
    Target(RefusalCode),
    /// Told to: expiry, a lock, a limit, an administrator, the gateway stopping.
    Told {
        /// What the client was told.
        code: RefusalCode,
        /// When the gateway learnt that the session has to end.
        learnt: Instant,
    },
    /// Something was refused of which the target had a part already.
    Halfway(RefusalCode),
    /// The record could not be written.
    Unrecorded,
}

impl End {
    /// From what ended the conversation.
    #[must_use]
    pub fn from_fault(fault: &Fault) -> Self {
        match fault {
            Fault::ClientGone => Self::ClientGone,
            Fault::Client(refusal) => Self::ClientBroke(refusal.code),
            Fault::Target(refusal) => Self::Target(refusal.code),
        }
    }

    /// The word in the record.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Left => "client_left",
            Self::ClientGone => "client_gone",
            Self::ClientBroke(_) => "client_fault",
            Self::Target(RefusalCode::TargetUnavailable) => "target_unavailable",
            Self::Target(_) => "target_lost",
            Self::Told { code, .. } => told(*code),
            Self::Halfway(_) => "refused_halfway",
            Self::Unrecorded => "record_unavailable",
        }
    }

    /// How long ago the gateway learnt of the reason, in microseconds, where somebody told it.
    pub(crate) fn learnt_us_ago(&self) -> Option<u64> {
        match self {
            Self::Told { learnt, .. } => {
                Some(u64::try_from(learnt.elapsed().as_micros()).unwrap_or(u64::MAX))
            }
            Self::Left
            | Self::ClientGone
            | Self::ClientBroke(_)
            | Self::Target(_)
            | Self::Halfway(_)
            | Self::Unrecorded => None,
        }
    }

    /// What becomes of operations that were under way.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Left | Self::ClientGone | Self::ClientBroke(_) => Status::ClientGone,
            Self::Told { .. } | Self::Halfway(_) => Status::Cancelled,
            Self::Target(_) | Self::Unrecorded => Status::Lost,
        }
    }
}

/// The word for a reason that the session was told.
fn told(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::AuthenticationFailed => "credential_expired",
        RefusalCode::ShuttingDown => "gateway_stopping",
        RefusalCode::Locked => "locked",
        RefusalCode::CredentialRevoked => "credential_revoked",
        RefusalCode::LoginEnded => "login_ended",
        RefusalCode::NotPermitted | RefusalCode::UndefinedTarget => "no_longer_admitted",
        RefusalCode::Idle => "idle",
        RefusalCode::OpenTooLong => "open_too_long",
        RefusalCode::TooMuch | RefusalCode::TooOften | RefusalCode::TooManySessions => "limit_reached",
        RefusalCode::TargetUnavailable => "agent_cut_off",
        RefusalCode::Ended
        | RefusalCode::Throttled
        | RefusalCode::ApprovalRequired
        | RefusalCode::NotAttributable
        | RefusalCode::NotUnderstood
        | RefusalCode::Unsupported
        | RefusalCode::SyntaxError
        | RefusalCode::UndefinedRelation
        | RefusalCode::UndefinedStatement
        | RefusalCode::TooLarge
        | RefusalCode::TooComplex
        | RefusalCode::SessionFull
        | RefusalCode::ProtocolViolation
        | RefusalCode::TargetLost
        | RefusalCode::RecordUnavailable
        | RefusalCode::Busy
        | RefusalCode::Internal => "ended_by_administrator",
    }
}
