//! The course of sessions and tool calls: what most readers of a trail follow. Written out once, so that a new kind of entry asks
//! its question here and not of each of them.

use super::kinds::{
    Body, Kind, OperationIntent, OperationOutcome, OperationRefused, OperationsUndone, SessionClosed,
    SessionOpened, ToolcallEnded, ToolcallStarted,
};

/// What an entry says of the course of a session or tool call.
#[derive(Debug, Clone, Copy)]
pub enum Course<'a> {
    /// A session began.
    SessionOpened(&'a SessionOpened),
    /// It is about to run something.
    OperationIntent(&'a OperationIntent),
    /// It was refused something.
    OperationRefused(&'a OperationRefused),
    /// What came of what it ran.
    OperationOutcome(&'a OperationOutcome),
    /// What it ran since then was undone with it.
    OperationsUndone(&'a OperationsUndone),
    /// It is over.
    SessionClosed(&'a SessionClosed),
    /// A tool call began.
    ToolcallStarted(&'a ToolcallStarted),
    /// It is over.
    ToolcallEnded(&'a ToolcallEnded),
}

impl Body {
    /// What it says of the course of a session or tool call; `None` where it is about something else, or adds to what such an
    /// entry says.
    #[must_use]
    pub fn course(&self) -> Option<Course<'_>> {
        Some(match self {
            Self::SessionOpened(body) => Course::SessionOpened(body),
            Self::OperationIntent(body) => Course::OperationIntent(body),
            Self::OperationRefused(body) => Course::OperationRefused(body),
            Self::OperationOutcome(body) => Course::OperationOutcome(body),
            Self::OperationsUndone(body) => Course::OperationsUndone(body),
            Self::SessionClosed(body) => Course::SessionClosed(body),
            Self::ToolcallStarted(body) => Course::ToolcallStarted(body),
            Self::ToolcallEnded(body) => Course::ToolcallEnded(body),
            Self::GatewayStarted(_)
            | Self::GatewayStopped(_)
            | Self::GatewayRecovered(_)
            | Self::GatewayHeartbeat(_)
            | Self::Gap(_)
            | Self::ClockStepped(_)
            | Self::KeyCreated(_)
            | Self::KeyRotated(_)
            | Self::PolicyLoaded(_)
            | Self::PolicyRefused(_)
            | Self::CatalogAsked(_)
            | Self::CatalogAnswered(_)
            | Self::CatalogLoaded(_)
            | Self::ClassificationLoaded(_)
            | Self::ConfigurationChanged(_)
            | Self::AgentEnrolled(_)
            | Self::AgentConnected(_)
            | Self::AgentDisconnected(_)
            | Self::AgentInvited(_)
            | Self::AgentLocked(_)
            | Self::AuthenticationSucceeded(_)
            | Self::AuthenticationFailed(_)
            | Self::SessionJoined(_)
            | Self::OperationProgress(_)
            | Self::OperationHeld(_)
            | Self::LimitHit(_)
            | Self::LoginMade(_)
            | Self::LoginRefreshed(_)
            | Self::LoginEnded(_)
            | Self::ServiceCreated(_)
            | Self::ServiceRotated(_)
            | Self::ServiceRevoked(_)
            | Self::SubjectDisabled(_)
            | Self::SubjectEnabled(_)
            | Self::LockPlaced(_)
            | Self::LockLifted(_)
            | Self::CredentialExchanged(_)
            | Self::CredentialRevoked(_)
            | Self::SessionFollowed(_)
            | Self::SessionTold(_)
            | Self::ToolcallTold(_)
            | Self::ToolcallAsked(_)
            | Self::ToolcallAnswered(_)
            | Self::AgentRemoved(_)
            | Self::SessionKilled(_)
            | Self::ServerStarted(_)
            | Self::ServerEnded(_)
            | Self::ToolsAccepted(_)
            | Self::ToolHeld(_)
            | Self::RecordingRead(_) => return None,
        })
    }
}

impl Kind {
    /// Whether it closes or explains what is already on record: such an entry may use the room kept aside on a full
    /// disk.
    #[must_use]
    pub fn closes(self) -> bool {
        matches!(
            self,
            Self::OperationOutcome
                | Self::OperationProgress
                | Self::SessionClosed
                | Self::SessionTold
                | Self::ToolcallEnded
                | Self::CatalogAnswered
                | Self::ServerEnded
                | Self::GatewayStopped
                | Self::GatewayHeartbeat
                | Self::Gap
        )
    }
}
