//! The values that pass between this protocol and the data path.

use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{
    Analysis, Confined, Earlier, Effect, FreeText, Member, SessionEffect, Subjects, Verbs, Words,
};
use chaperone_wire::{LookedThrough, Parameter, Part};

use super::names::Undo;
use super::subjects::Look;
use super::weights::values_bytes;

/// How something was permitted: what the client said, what was decided on, and the words that are sent for it.
#[derive(Debug, Clone)]
pub(super) struct Granted {
    pub(super) asked: Arc<str>,
    pub(super) analysis: Arc<Analysis>,
    pub(super) words: Words,
    /// Whether rows of it come through a view of the floor.
    pub(super) floored: bool,
}

/// What the target will answer to something that is sent to it. Where it was permitted, how; else it is metadata.
#[derive(Debug)]
pub(super) enum Expect {
    /// A Query: each statement's end, then readiness.
    Query { analysis: Arc<Analysis>, ended: usize, granted: Option<Granted>, undo: Undo },
    /// A failure that we asked for; the client gets `report` in its place.
    Refused { simple: bool, report: Bytes, undo: Undo },
    /// ParseComplete. The client hears nothing of a quiet one: it was not he who asked.
    Parse { undo: Undo, quiet: bool, granted: Granted },
    /// BindComplete. `runs` operations began with it; none where there is nothing to run.
    Bind { undo: Undo, granted: Granted, runs: usize },
    /// RowDescription or NoData, after ParameterDescription for a statement. `runs` operations are under way.
    Describe { quiet: bool, granted: Option<Granted>, runs: usize },
    /// Nothing: here end `runs` operations that a Bind began and no Execute went on with.
    Lapse { runs: usize },
    /// CloseComplete.
    Close { undo: Undo, quiet: bool },
    /// Rows and an end; `None` for an empty statement, which is no operation.
    Execute { run: Option<Run> },
    /// ReadyForQuery.
    Sync,
}

/// An Execute that runs something.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) analysis: Arc<Analysis>,
    pub(super) granted: Granted,
    /// Format codes of the result, as they stand in the Bind; `None` where a Describe goes before that tells them.
    pub(super) formats: Option<Bytes>,
}

/// Bytes for the target, with the answers to expect.
#[derive(Debug)]
pub struct Step {
    pub(super) bytes: Bytes,
    /// Answers to what we say ourselves in the same bytes, before the client's own message.
    pub(super) before: Vec<Expect>,
    pub(super) expect: Option<Expect>,
    /// It is of the client's part of a COPY.
    pub(super) is_data: bool,
    /// It ends that.
    pub(super) ends_copy: bool,
}

impl Step {
    pub(super) fn new(bytes: Bytes, expect: Expect) -> Self {
        Self { bytes, before: Vec::new(), expect: Some(expect), is_data: false, ends_copy: false }
    }

    pub(super) fn bare(bytes: Bytes) -> Self {
        Self { bytes, before: Vec::new(), expect: None, is_data: false, ends_copy: false }
    }

    /// A piece of the client's part of a COPY.
    pub(super) fn data(bytes: Bytes) -> Self {
        Self { is_data: true, ..Self::bare(bytes) }
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
    /// Bind.
    Bind(Binding),
    /// As much of a large Bind as is here: not its end.
    BindHead { raw: Bytes, statement: Arc<str> },
    /// Describe of a prepared statement.
    Describe { raw: Bytes, name: Arc<str> },
    /// Execute of a portal.
    Execute { raw: Bytes, portal: Arc<str> },
    /// A message that was not read further, of the simple (`true`) or the extended protocol.
    Unread { simple: bool },
}

/// A Bind.
#[derive(Debug)]
pub(super) struct Binding {
    /// The message, or what is left of it where it `is_begun`.
    pub(super) raw: Bytes,
    /// The rest of it has been sent.
    pub(super) is_begun: bool,
    /// What is bound, and its values, without what names in it stand for.
    pub(super) analysis: Arc<Analysis>,
    pub(super) parameters: Arc<[Parameter]>,
    pub(super) statement: Arc<str>,
    pub(super) portal: Arc<str>,
    /// Format codes of the result as they stand in the message; `None` where they are not here yet.
    pub(super) formats: Option<Bytes>,
}

/// A request with operations.
#[derive(Debug)]
pub struct Request {
    pub(super) kind: Kind,
    pub(super) analysis: Arc<Analysis>,
    /// What the client said, without what its names stand for.
    pub(super) asked: Arc<str>,
    pub(super) parameters: Arc<[Parameter]>,
    pub(super) earlier: Vec<Earlier>,
}

impl Request {
    pub(super) fn new(kind: Kind, analysis: Arc<Analysis>, parameters: Arc<[Parameter]>) -> Self {
        Self { kind, asked: analysis.text.clone(), analysis, parameters, earlier: Vec::new() }
    }

    /// A request that was not read: only its tag is known.
    pub(super) fn unread(tag: &'static str, simple: bool) -> Self {
        let member = Member {
            tag,
            template: [0; 32],
            touches: Vec::new(),
            whole: Verbs::NONE,
            effect: Effect::MayWrite,
            session: SessionEffect::None,
            uses: Arc::from([]),
            subjects: Subjects::None,
            free_text: FreeText::None,
            results: None,
            names_unknown: false,
        };
        let analysis = Analysis {
            text: Arc::from(""),
            members: Arc::from([member]),
            confined: Confined::made(Ok(Arc::from(""))),
            replaced: None,
            forbidden: None,
            catalog_version: 0,
            classified: false,
            describes: None,
            invokes: None,
        };
        Self::new(Kind::Unread { simple }, Arc::new(analysis), Arc::from([]))
    }
}

impl chaperone_wire::Request for Request {
    fn analysis(&self) -> &Arc<Analysis> {
        &self.analysis
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn earlier(&self) -> &[Earlier] {
        &self.earlier
    }

    fn is_begun(&self) -> bool {
        matches!(&self.kind, Kind::Bind(binding) if binding.is_begun)
    }

    fn size(&self) -> usize {
        self.analysis.text.len() + values_bytes(&self.parameters)
    }
}

/// A piece of the target's reply.
#[derive(Debug)]
pub struct Reply {
    pub(super) bytes: Bytes,
    pub(super) part: Part,
    pub(super) look: Look,
    /// What came of looking through its free text.
    pub(super) looked_through: Option<Box<LookedThrough>>,
    /// The statement that words beside an operation are about.
    pub(super) about: Option<Arc<Analysis>>,
}

impl chaperone_wire::Reply for Reply {
    fn part(&self) -> &Part {
        &self.part
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn subjects(&self, see: &mut dyn FnMut(usize, &[u8])) -> bool {
        match &self.look {
            Look::Nothing => true,
            Look::Unreadable => false,
            Look::At(reading) => reading.read(&self.bytes, see),
        }
    }

    fn looked_through(&self) -> Option<&LookedThrough> {
        self.looked_through.as_deref()
    }

    fn printed(&self) -> Option<(chaperone_wire::Printed, &str)> {
        None
    }

    fn about(&self) -> Option<&Arc<Analysis>> {
        self.about.as_ref()
    }
}
