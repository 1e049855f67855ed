//! The values that pass between this protocol and the data path.

use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{Analysis, Confined, Effect, Member, SessionEffect, Subjects, Verbs};
use chaperone_wire::{Parameter, Part, Prepared};

use super::names::Undo;

/// What the target will answer to something that is sent to it.
#[derive(Debug)]
pub(super) enum Expect {
    /// A Query: each statement's end, then readiness.
    Query { analysis: Arc<Analysis>, ended: usize },
    /// A failure that we asked for; the client gets `report` in its place.
    Refused { simple: bool, report: Bytes },
    /// ParseComplete.
    Parse { undo: Undo },
    /// BindComplete.
    Bind { undo: Undo },
    /// RowDescription or NoData, after ParameterDescription for a statement.
    Describe,
    /// CloseComplete.
    Close { undo: Undo },
    /// Rows and an end; `None` for an empty statement, which is no operation.
    Execute { analysis: Option<Arc<Analysis>> },
    /// ReadyForQuery.
    Sync,
}

/// Bytes for the target, with the answer to expect.
#[derive(Debug)]
pub struct Step {
    pub(super) bytes: Bytes,
    pub(super) expect: Option<Expect>,
    /// It ends the client's part of a COPY.
    pub(super) ends_copy: bool,
}

impl Step {
    pub(super) fn new(bytes: Bytes, expect: Expect) -> Self {
        Self { bytes, expect: Some(expect), ends_copy: false }
    }

    pub(super) fn bare(bytes: Bytes) -> Self {
        Self { bytes, expect: None, ends_copy: false }
    }
}

/// A permitted request: bytes for the target, with the answer to expect.
#[derive(Debug)]
pub struct Outgoing(pub(super) Step);

/// In which message a request came.
#[derive(Debug)]
pub(super) enum Kind {
    /// Query.
    Query { raw: Bytes },
    /// Parse.
    Parse { raw: Bytes, name: Arc<str>, types: Bytes },
    /// Execute of a portal.
    Execute { raw: Bytes, sent: Option<Arc<str>> },
    /// A message that was not read further, of the simple (`true`) or the extended protocol.
    Unread { simple: bool },
}

/// A request with operations.
#[derive(Debug)]
pub struct Request {
    pub(super) kind: Kind,
    pub(super) analysis: Arc<Analysis>,
    pub(super) parameters: Arc<[Parameter]>,
}

impl Request {
    /// A request that was not read: only its tag is known.
    pub(super) fn unread(tag: &'static str, simple: bool) -> Self {
        let member = Member {
            tag,
            span: 0..0,
            template: [0; 32],
            touches: Vec::new(),
            whole: Verbs::NONE,
            effect: Effect::MayWrite,
            session: SessionEffect::None,
            uses: Arc::from([]),
            subjects: Subjects::None,
        };
        let analysis = Analysis {
            text: Arc::from(""),
            members: vec![member],
            confined: Confined::made(Ok(Arc::from(""))),
            replaced: None,
            forbidden: None,
            catalog_version: 0,
            classified: false,
        };
        Self { kind: Kind::Unread { simple }, analysis: Arc::new(analysis), parameters: Arc::from([]) }
    }
}

impl chaperone_wire::Request for Request {
    fn analysis(&self) -> &Arc<Analysis> {
        &self.analysis
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn prepared_as(&self) -> Prepared<'_> {
        match &self.kind {
            Kind::Execute { sent, .. } => Prepared::As(sent.as_ref()),
            Kind::Query { .. } | Kind::Parse { .. } | Kind::Unread { .. } => Prepared::NotYet,
        }
    }

    fn size(&self) -> usize {
        self.analysis.text.len() + self.parameters.len() * size_of::<Parameter>()
    }
}

/// A piece of the target's reply.
#[derive(Debug)]
pub struct Reply {
    pub(super) bytes: Bytes,
    pub(super) part: Part,
}

impl chaperone_wire::Reply for Reply {
    fn part(&self) -> &Part {
        &self.part
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}
