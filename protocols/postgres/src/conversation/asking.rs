//! The client's side: frames become events. What is said here about order and skipping follows "Message Flow" in
//! PostgreSQL's protocol documentation.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chaperone_access::{Analysis, Refusal, RefusalCode};
use chaperone_wire::limits::{
    PARAMETER_SEALED_BYTES_MAX, PARAMETERS_SEALED_BYTES_MAX, PORTALS_MAX, STATEMENTS_MAX,
};
use chaperone_wire::{Digest, Event, Fault, Parameter};

use super::names::Statement;
use super::pieces::{Binding, Expect, Kind, Request, Step};
use super::{Bound, Conversation};
use crate::codec::frontend::{Bind, FrontendView, Object, Parse, view};
use crate::codec::{BindPart, BindReader, CodecError, Frame, FrontendTag, Message};

/// What to do with an analysis once it is there.
#[derive(Debug)]
pub(super) enum Then {
    Query { raw: Bytes },
    Parse { raw: Bytes, name: Arc<str>, types: Bytes },
    Bind { raw: Bytes, names: BindNames, formats: Option<Bytes>, parameters: Arc<[Parameter]> },
    BindHead { raw: Bytes, statement: Arc<str> },
    Describe { raw: Bytes, name: Arc<str> },
}

/// What a Bind binds to what.
#[derive(Debug, Clone)]
pub(super) struct BindNames {
    statement: Arc<str>,
    portal: Arc<str>,
}

/// A Bind that passes in pieces. Its values are on record with what it begins, so its end waits until all are here.
pub(super) struct LargeBind {
    /// Of the whole message, in bytes.
    length: u32,
    reader: BindReader,
    /// Pieces that came before the names were complete.
    early: BytesMut,
    names: Option<BindNames>,
    /// What its statement was understood as when its first pieces were sent.
    analysis: Option<Arc<Analysis>>,
    parameters: Vec<Parameter>,
    /// Bytes that its values take in the record, of those that are kept.
    kept: usize,
    large: Option<(i16, u64, Box<dyn Digest>)>,
}

impl LargeBind {
    /// A value that came whole: kept, unless too much of this request is.
    fn value(&mut self, format: i16, value: Bytes, digest: impl FnOnce() -> Box<dyn Digest>) {
        let kept = self.kept.saturating_add(written_bytes(format, &value));
        self.parameters.push(if kept <= PARAMETERS_SEALED_BYTES_MAX {
            self.kept = kept;
            Parameter::Whole { format, value }
        } else {
            let mut digest = digest();
            digest.update(&value);
            Parameter::Digest { format, length: value.len() as u64, digest: digest.finish() }
        });
    }
}

fn broken(error: &CodecError) -> Fault {
    Fault::Client(Refusal::new(RefusalCode::ProtocolViolation, error.to_string()))
}

/// The next thing for the data path, or nothing yet.
type Heard = Result<Option<Event<Conversation>>, Fault>;

impl Conversation {
    /// Whether a frame has to wait until the target has answered what it depends on.
    pub(super) fn must_wait(&mut self, frame: &Frame<FrontendTag>) -> Result<bool, Fault> {
        Ok(self.depends(frame)? || self.crowded(frame)?)
    }

    fn depends(&self, frame: &Frame<FrontendTag>) -> Result<bool, Fault> {
        let unsettled = self.unsettled > 0 || self.may_go_back();
        match frame {
            Frame::Whole(message) => Ok(match view(message).map_err(|error| broken(&error))? {
                FrontendView::Bind(bind) => {
                    unsettled
                        || !self.book.settled(Object::Statement, bind.statement)
                        || (!bind.portal.is_empty() && !self.book.settled(Object::Portal, bind.portal))
                }
                FrontendView::Parse(parse) => {
                    unsettled || !parse.name.is_empty() && !self.book.settled(Object::Statement, parse.name)
                }
                FrontendView::Query(_) => unsettled,
                FrontendView::Execute(execute) => {
                    unsettled || !self.book.settled(Object::Portal, execute.portal)
                }
                FrontendView::Close(object, name) => !self.book.settled(object, name),
                FrontendView::Describe(Object::Statement, name) => {
                    unsettled || !self.book.settled(Object::Statement, name)
                }
                FrontendView::CopyData(_)
                | FrontendView::CopyDone
                | FrontendView::CopyFail(_)
                | FrontendView::Describe(Object::Portal, _)
                | FrontendView::Flush
                | FrontendView::FunctionCall { .. }
                | FrontendView::Password(_)
                | FrontendView::Sync
                | FrontendView::Terminate => false,
            }),
            Frame::Head { tag: FrontendTag::Bind, .. } => Ok(self.book.answered < self.book.reading),
            Frame::Head { .. } | Frame::Chunk { .. } | Frame::Oversized { .. } => Ok(false),
        }
    }

    /// Whether something is under way that may take names back which have moved: the end of a transaction, or of a string or
    /// pipeline, which may be one. A COPY ends by what the client says after it.
    fn may_go_back(&self) -> bool {
        let ends = self.ending > 0 || self.book.answered < self.book.reading;
        ends && self.resolving.may_move() && !self.copying_in
    }

    /// Whether there is room for what a frame adds only once something is answered that is under way. A COPY ends by what
    /// the client says after it.
    fn crowded(&mut self, frame: &Frame<FrontendTag>) -> Result<bool, Fault> {
        if self.expected.is_empty() || self.copying_in {
            return Ok(false);
        }
        let more = match frame {
            Frame::Whole(message) => match view(message).map_err(|error| broken(&error))? {
                FrontendView::Parse(_) | FrontendView::Bind(_) => message.raw().len(),
                FrontendView::Close(..)
                | FrontendView::CopyData(_)
                | FrontendView::CopyDone
                | FrontendView::CopyFail(_)
                | FrontendView::Describe(..)
                | FrontendView::Execute(_)
                | FrontendView::Flush
                | FrontendView::FunctionCall { .. }
                | FrontendView::Password(_)
                | FrontendView::Query(_)
                | FrontendView::Sync
                | FrontendView::Terminate => return Ok(false),
            },
            Frame::Head { tag: FrontendTag::Bind, length, .. } => large_bind_bytes(*length),
            Frame::Head { .. } | Frame::Chunk { .. } | Frame::Oversized { .. } => return Ok(false),
        };
        Ok(self.full(more).is_some())
    }

    /// One frame of the client's.
    pub(super) fn hear(&mut self, frame: Frame<FrontendTag>) -> Heard {
        match frame {
            Frame::Whole(message) => self.hear_whole(message),
            Frame::Head { tag: FrontendTag::Bind, length, bytes } => self.begin_large_bind(length, bytes),
            Frame::Head { bytes, .. } if self.skipping => Ok(drop_piece(&bytes)),
            // What comes in pieces is a Bind or data of a COPY.
            Frame::Head { bytes, .. } => Ok(Some(Event::Step(Step::data(bytes)))),
            Frame::Chunk { bytes, .. } if self.skipping => Ok(drop_piece(&bytes)),
            Frame::Chunk { bytes, .. } if self.large_bind.is_some() => self.continue_large_bind(bytes),
            Frame::Chunk { bytes, .. } => Ok(Some(Event::Step(Step::data(bytes)))),
            Frame::Oversized { tag, length } => self.oversized(tag, length),
        }
    }

    fn oversized(&mut self, tag: FrontendTag, length: u32) -> Heard {
        let refusal = Refusal::new(
            RefusalCode::TooLarge,
            format!("message of {length} bytes is over the limit for its type"),
        )
        .hint("send large values as parameters or with COPY, not in the statement's text");
        let simple = match tag {
            FrontendTag::Query | FrontendTag::FunctionCall => true,
            FrontendTag::Bind
            | FrontendTag::Parse
            | FrontendTag::Describe
            | FrontendTag::Close
            | FrontendTag::Execute => false,
            FrontendTag::CopyData
            | FrontendTag::CopyDone
            | FrontendTag::CopyFail
            | FrontendTag::Flush
            | FrontendTag::Password
            | FrontendTag::Sync
            | FrontendTag::Terminate => return Err(Fault::Client(refusal)),
        };
        if self.skipping && !simple {
            return Ok(None);
        }
        Ok(Some(Event::Refused(Request::unread("(oversized)", simple), refusal)))
    }

    fn hear_whole(&mut self, message: Message<FrontendTag>) -> Heard {
        let seen = view(&message).map_err(|error| broken(&error))?;
        // After a refusal PostgreSQL would skip everything up to Sync; so do we. A Query is not part of a pipeline.
        if self.skipping {
            match seen {
                FrontendView::Sync | FrontendView::Terminate => {}
                FrontendView::Bind(_)
                | FrontendView::Close(..)
                | FrontendView::CopyData(_)
                | FrontendView::CopyDone
                | FrontendView::CopyFail(_)
                | FrontendView::Describe(..)
                | FrontendView::Execute(_)
                | FrontendView::Flush
                | FrontendView::FunctionCall { .. }
                | FrontendView::Parse(_)
                | FrontendView::Password(_)
                | FrontendView::Query(_) => return Ok(None),
            }
        }
        let raw = message.raw().clone();
        match seen {
            FrontendView::Query(sql) => {
                let sql = Arc::from(sql);
                self.understand(sql, Then::Query { raw })
            }
            FrontendView::Parse(parse) => self.hear_parse(&message, &parse),
            FrontendView::Bind(bind) => self.hear_bind(&message, &bind),
            FrontendView::Execute(execute) => self.hear_execute(raw, execute.portal),
            FrontendView::Describe(object, name) => self.hear_describe(raw, object, name),
            FrontendView::Close(object, name) => {
                let undo = self.book.close(object, Arc::from(name));
                Ok(Some(Event::Step(Step::new(raw, Expect::Close { undo, quiet: false }))))
            }
            FrontendView::Sync => {
                self.skipping = false;
                self.book.reading += 1;
                Ok(Some(Event::Step(Step::new(raw, Expect::Sync))))
            }
            FrontendView::Flush => Ok(Some(Event::Step(Step::bare(raw)))),
            FrontendView::CopyData(_) => Ok(Some(Event::Step(Step::data(raw)))),
            FrontendView::CopyDone | FrontendView::CopyFail(_) => {
                Ok(Some(Event::Step(Step { ends_copy: true, ..Step::data(raw) })))
            }
            FrontendView::FunctionCall { .. } => {
                let refusal =
                    Refusal::new(RefusalCode::Unsupported, "the function-call message is not carried")
                        .hint("call the function in a SELECT");
                Ok(Some(Event::Refused(Request::unread("(function call)", true), refusal)))
            }
            FrontendView::Password(_) => Err(Fault::Client(Refusal::new(
                RefusalCode::ProtocolViolation,
                "authentication message after the end of authentication",
            ))),
            FrontendView::Terminate => Ok(Some(Event::Left)),
        }
    }

    fn hear_parse(&mut self, message: &Message<FrontendTag>, parse: &Parse<'_>) -> Heard {
        if self.book.statements() >= STATEMENTS_MAX && self.book.statement(parse.name).is_none() {
            let refusal = Refusal::new(
                RefusalCode::Busy,
                format!("a session may keep {STATEMENTS_MAX} prepared statements"),
            )
            .hint("close or deallocate some");
            return Ok(Some(Event::Refused(Request::unread("(parse)", false), refusal)));
        }
        if let Some(refusal) = self.full(message.raw().len()) {
            return Ok(Some(Event::Refused(Request::unread("(parse)", false), refusal)));
        }
        let then = Then::Parse {
            raw: message.raw().clone(),
            name: Arc::from(parse.name),
            // Not shared: the types would keep the whole message, and the text with it a second time.
            types: Bytes::copy_from_slice(parse.types.as_bytes()),
        };
        self.understand(Arc::from(parse.sql), then)
    }

    fn hear_bind(&mut self, message: &Message<FrontendTag>, bind: &Bind<'_>) -> Heard {
        if self.book.statement(bind.statement).is_none() {
            return Ok(Some(unknown_statement(bind.statement)));
        }
        if let Some(full) = self.portals_full(bind.portal, message.raw().len()) {
            return Ok(Some(full));
        }
        let parameters = bind
            .values
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let format = bind.formats.of(index);
                match value {
                    None => Parameter::Null,
                    Some(value) if value.len() <= PARAMETER_SEALED_BYTES_MAX => {
                        Parameter::Whole { format, value: message.share(value) }
                    }
                    Some(value) => {
                        let mut digest = self.company.digester.begin();
                        digest.update(value);
                        Parameter::Digest { format, length: value.len() as u64, digest: digest.finish() }
                    }
                }
            })
            .collect();
        let names = BindNames { statement: Arc::from(bind.statement), portal: Arc::from(bind.portal) };
        let formats = Some(message.share(bind.result_formats.as_bytes()));
        let raw = message.raw().clone();
        self.bring(bind.statement, Then::Bind { raw, names, formats, parameters })
    }

    fn hear_describe(&mut self, raw: Bytes, object: Object, name: &str) -> Heard {
        let granted = match object {
            Object::Statement if self.book.statement(name).is_some() => {
                return self.bring(name, Then::Describe { raw, name: Arc::from(name) });
            }
            Object::Portal => self.book.portal(name).map(|portal| portal.granted.clone()),
            Object::Statement => None,
        };
        let bound = self.bound.as_ref().filter(|bound| object == Object::Portal && *bound.portal == *name);
        let runs = bound.map_or(0, |bound| bound.runs);
        Ok(Some(Event::Step(Step::new(raw, Expect::Describe { quiet: false, granted, runs }))))
    }

    /// Go on with a prepared statement that the book has, as it is understood today.
    fn bring(&mut self, name: &str, then: Then) -> Heard {
        let Some(statement) = self.book.statement(name) else { return Ok(None) };
        let analysis = statement.analysis.clone();
        let current = self.company.analyst.is_current(&analysis) && statement.names == *self.resolving.now();
        if current || !statement.renews() {
            return Ok(Some(self.understood(analysis, then)));
        }
        self.understand(analysis.text.clone(), then)
    }

    fn portals_full(&mut self, name: &str, more: usize) -> Option<Event<Self>> {
        let refusal = if self.book.portals() < PORTALS_MAX || self.book.portal(name).is_some() {
            self.full(more)?
        } else {
            Refusal::new(RefusalCode::Busy, format!("a session may keep {PORTALS_MAX} portals open"))
                .hint("close some, or end the transaction")
        };
        Some(Event::Refused(Request::unread("(bind)", false), refusal))
    }

    fn hear_execute(&mut self, raw: Bytes, portal: &str) -> Heard {
        let Some(known) = self.book.portal(portal) else {
            let refusal =
                Refusal::new(RefusalCode::UndefinedStatement, format!("portal `{portal}` does not exist"));
            return Ok(Some(Event::Refused(Request::unread("(execute)", false), refusal)));
        };
        let analysis = known.analysis.clone();
        if analysis.members.is_empty() && analysis.forbidden.is_none() {
            return Ok(Some(Event::Step(Step::new(raw, Expect::Execute { run: None }))));
        }
        let kind = Kind::Execute { raw, portal: Arc::from(portal) };
        let mut request = Request::new(kind, analysis.clone(), known.parameters.clone());
        request.earlier.push(known.earlier());
        Ok(Some(match self.run(request) {
            // Its Bind was the last thing said, and began it.
            Event::Run(request) if self.bound.is_some() => Event::Continue(request),
            event @ (Event::Step(_)
            | Event::Prepare(_)
            | Event::Run(_)
            | Event::Continue(_)
            | Event::Refused(..)
            | Event::Reply(_)
            | Event::Left) => event,
        }))
    }

    /// Have a text analysed; at once where it is known, else when the future is ready.
    fn understand(&mut self, text: Arc<str>, then: Then) -> Heard {
        if let Some(analysis) = self.company.analyst.cached(&text, self.resolving.now()) {
            return Ok(Some(self.understood(analysis, then)));
        }
        self.analysing = Some((self.company.analyst.analyse(text, self.resolving.now().clone()), then));
        Ok(None)
    }

    /// An analysis is there.
    pub(super) fn understood(&mut self, analysis: Arc<Analysis>, then: Then) -> Event<Self> {
        let nothing = analysis.members.is_empty() && analysis.forbidden.is_none();
        match then {
            Then::Query { raw } if nothing => {
                self.book.reading += 1;
                let undo = self.book.displace(false);
                Event::Step(Step::new(raw, Expect::Query { analysis, ended: 0, granted: None, undo }))
            }
            Then::Query { raw } => self.run(Request::new(Kind::Query { raw }, analysis, Arc::from([]))),
            Then::Parse { raw, name, types } => {
                Event::Prepare(Request::new(Kind::Parse { raw, name, types }, analysis, Arc::from([])))
            }
            Then::Bind { raw, names, formats, parameters } => {
                let name = names.statement.clone();
                let mut request = bind(raw, names, formats, analysis, parameters);
                self.bring_up(&name, &mut request);
                self.begin(request)
            }
            Then::BindHead { raw, statement } => {
                if let Some(bind) = &mut self.large_bind {
                    bind.analysis = Some(analysis.clone());
                }
                let kind = Kind::BindHead { raw, statement: statement.clone() };
                self.brought(&statement, Request::new(kind, analysis, Arc::from([])))
            }
            Then::Describe { raw, name } => {
                let kind = Kind::Describe { raw, name: name.clone() };
                self.brought(&name, Request::new(kind, analysis, Arc::from([])))
            }
        }
    }

    /// A Bind begins what its portal runs, where there is anything to run.
    fn begin(&mut self, request: Request) -> Event<Self> {
        let nothing = request.analysis.members.is_empty() && request.analysis.forbidden.is_none();
        if nothing { Event::Prepare(request) } else { self.run(request) }
    }

    /// Whether a message goes on with what the last Bind began. Anything else leaves it at that.
    pub(super) fn goes_on(&self, frame: &Frame<FrontendTag>) -> Result<bool, Fault> {
        let Some(bound) = &self.bound else { return Ok(true) };
        let Frame::Whole(message) = frame else { return Ok(false) };
        Ok(match view(message).map_err(|error| broken(&error))? {
            FrontendView::Describe(Object::Portal, name) => *name == *bound.portal,
            FrontendView::Execute(execute) => {
                *execute.portal == *bound.portal && self.book.portal(execute.portal).is_some()
            }
            FrontendView::Flush | FrontendView::Terminate => true,
            FrontendView::Bind(_)
            | FrontendView::Close(..)
            | FrontendView::CopyData(_)
            | FrontendView::CopyDone
            | FrontendView::CopyFail(_)
            | FrontendView::Describe(Object::Statement, _)
            | FrontendView::FunctionCall { .. }
            | FrontendView::Parse(_)
            | FrontendView::Password(_)
            | FrontendView::Query(_)
            | FrontendView::Sync => false,
        })
    }

    /// The end of what the last Bind began, where nothing went on with it.
    pub(super) fn lapse(&mut self) -> Option<Expect> {
        self.bound.take().map(|Bound { runs, .. }| Expect::Lapse { runs })
    }

    /// A request that goes on with a prepared statement.
    fn brought(&mut self, name: &str, mut request: Request) -> Event<Self> {
        self.bring_up(name, &mut request);
        Event::Prepare(request)
    }

    fn bring_up(&mut self, name: &str, request: &mut Request) {
        let names = self.resolving.now().clone();
        match self.book.statement(name) {
            Some(statement) if !statement.renews() => request.earlier.extend(statement.earlier()),
            Some(_) | None => self.book.renew(name, &request.analysis, &names),
        }
    }

    fn begin_large_bind(&mut self, length: u32, bytes: Bytes) -> Heard {
        if self.skipping {
            return Ok(None);
        }
        let mut reader =
            BindReader::new(length, u32::try_from(PARAMETER_SEALED_BYTES_MAX).unwrap_or(u32::MAX));
        reader.feed(&bytes.slice(5.min(bytes.len())..));
        self.large_bind = Some(LargeBind {
            length,
            reader,
            early: BytesMut::from(bytes.as_ref()),
            names: None,
            analysis: None,
            parameters: Vec::new(),
            kept: 0,
            large: None,
        });
        self.read_large_bind(None)
    }

    fn continue_large_bind(&mut self, bytes: Bytes) -> Heard {
        if let Some(bind) = &mut self.large_bind {
            bind.reader.feed(&bytes);
        }
        self.read_large_bind(Some(bytes))
    }

    /// Read what is there of a large Bind. Nothing of it is sent on before its statement is known.
    fn read_large_bind(&mut self, piece: Option<Bytes>) -> Heard {
        let Some(mut bind) = self.large_bind.take() else { return Ok(None) };
        let named_before = bind.names.is_some();
        let mut complete = false;
        while let Some(part) = bind.reader.poll().map_err(|error| broken(&error))? {
            match part {
                BindPart::Names { portal, statement: name, .. } => {
                    if self.book.statement(&name).is_none() {
                        return Ok(Some(unknown_statement(&name)));
                    }
                    if let Some(full) = self.portals_full(&portal, large_bind_bytes(bind.length)) {
                        return Ok(Some(full));
                    }
                    bind.names = Some(BindNames { statement: Arc::from(name), portal: Arc::from(portal) });
                }
                BindPart::Null { .. } => bind.parameters.push(Parameter::Null),
                BindPart::Whole { format, value } => {
                    bind.value(format, value, || self.company.digester.begin());
                }
                BindPart::Large { format, length } => {
                    bind.large = Some((format, u64::from(length), self.company.digester.begin()));
                }
                BindPart::Piece { bytes, last } => {
                    if let Some((_, _, digest)) = &mut bind.large {
                        digest.update(&bytes);
                    }
                    if last && let Some((format, length, digest)) = bind.large.take() {
                        let digest = digest.finish();
                        bind.parameters.push(Parameter::Digest { format, length, digest });
                    }
                }
                BindPart::End => complete = true,
            }
        }
        let Some(names) = bind.names.clone() else {
            bind.early.extend_from_slice(piece.as_deref().unwrap_or_default());
            self.large_bind = Some(bind);
            return Ok(None);
        };
        if !named_before {
            bind.early.extend_from_slice(piece.as_deref().unwrap_or_default());
            let (raw, statement) = (bind.early.split().freeze(), names.statement.clone());
            if complete {
                let parameters = Arc::from(bind.parameters);
                return self.bring(&statement, Then::Bind { raw, names, formats: None, parameters });
            }
            self.large_bind = Some(bind);
            return self.bring(&statement, Then::BindHead { raw, statement: statement.clone() });
        }
        let Some(piece) = piece else { return Ok(None) };
        if !complete {
            self.large_bind = Some(bind);
            return Ok(Some(Event::Step(Step::bare(piece))));
        }
        let Some(analysis) = bind.analysis else {
            // Nothing is heard while its statement is understood.
            return Err(Fault::Client(Refusal::new(
                RefusalCode::Internal,
                "a value came before its statement",
            )));
        };
        Ok(Some(self.end_large_bind(piece, names, analysis, bind.parameters)))
    }

    /// The end of a large Bind, whose beginning was sent: no other words can be sent for it now.
    fn end_large_bind(
        &mut self,
        raw: Bytes,
        names: BindNames,
        analysis: Arc<Analysis>,
        parameters: Vec<Parameter>,
    ) -> Event<Self> {
        let lies = self.book.statement(&names.statement).and_then(Statement::earlier);
        let mut request = bind(raw, names, None, analysis, Arc::from(parameters));
        if let Kind::Bind(binding) = &mut request.kind {
            binding.is_begun = true;
        }
        request.earlier.extend(lies);
        self.begin(request)
    }
}

/// A request to bind.
fn bind(
    raw: Bytes,
    names: BindNames,
    formats: Option<Bytes>,
    analysis: Arc<Analysis>,
    parameters: Arc<[Parameter]>,
) -> Request {
    let BindNames { statement, portal } = names;
    let (bound, values) = (analysis.clone(), parameters.clone());
    let is_begun = false;
    let binding = Binding { raw, is_begun, analysis: bound, parameters: values, statement, portal, formats };
    Request::new(Kind::Bind(binding), analysis, parameters)
}

/// What a value takes in the record: text with what has to be escaped, anything else in hexadecimal.
fn written_bytes(format: i16, value: &[u8]) -> usize {
    let written = value.iter().map(|byte| match byte {
        _ if format != 0 => 2,
        0..b' ' => 6,
        b'"' | b'\\' => 2,
        b' '.. => 1,
    });
    written.sum()
}

/// What is kept at most of a Bind of that length.
fn large_bind_bytes(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).min(PARAMETERS_SEALED_BYTES_MAX)
}

/// A piece of a message that PostgreSQL would skip.
fn drop_piece(_bytes: &Bytes) -> Option<Event<Conversation>> {
    None
}

pub(super) fn no_statement(name: &str) -> Refusal {
    Refusal::new(RefusalCode::UndefinedStatement, format!("prepared statement `{name}` does not exist"))
        .hint("prepare it in this session, with PREPARE or with the driver's own call")
}

fn unknown_statement(name: &str) -> Event<Conversation> {
    Event::Refused(Request::unread("(bind)", false), no_statement(name))
}
