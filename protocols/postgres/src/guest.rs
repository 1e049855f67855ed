//! A client inside this process: it speaks with our own listener's session path over a stream that leaves the process
//! nowhere, and so is judged, recorded and limited as everybody is. Values come as text; nothing of a result is kept
//! beyond the bounds that it is given.

use bytes::BytesMut;
use chaperone_wire::Stream;
use thiserror::Error;

use crate::codec::backend::{Authentication, BackendView, Report, TransactionStatus, view};
use crate::codec::startup::{self, ProtocolVersion, SessionRequest, Startup};
use crate::codec::{Backend, BackendTag, CodecError, Frame, Limits, Message, encode, frontend};
use crate::line::{Break, Line};
use crate::login::{LoginError, Session};

/// Longest row that is taken, in bytes.
pub const ROW_BYTES_MAX: u32 = 1024 * 1024;

/// What the session begins with.
pub struct Entrance<'a> {
    /// Goes where a user name goes.
    pub user: &'a str,
    /// Goes where a password goes.
    pub password: &'a [u8],
    /// The target.
    pub target: &'a str,
    /// What the client calls itself: a claim.
    pub application: &'a str,
    /// How long one statement may run at the target, in milliseconds.
    pub statement_ms: u64,
}

/// What somebody said against it: the gateway, or the target through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// SQLSTATE.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
    /// Whether the session ended with it.
    pub fatal: bool,
}

impl Objection {
    fn of(report: &Report<'_>) -> Self {
        let text = |field| report.field(field).map(|text| String::from_utf8_lossy(text).into_owned());
        Self {
            code: String::from_utf8_lossy(&report.code()).into_owned(),
            message: String::from_utf8_lossy(report.message()).into_owned(),
            hint: text(b'H'),
            position: text(b'P').and_then(|text| text.parse().ok()),
            fatal: report.is_fatal(),
        }
    }
}

/// Why there is no result.
#[derive(Debug, Error)]
pub enum GuestError {
    /// It was refused, or failed at the target.
    #[error("{} ({})", .0.message, .0.code)]
    Told(Objection),
    /// A row over [`ROW_BYTES_MAX`].
    #[error("a row is longer than {ROW_BYTES_MAX} bytes")]
    RowTooLong,
    /// More than the bound in one go.
    #[error("the rows are more than is kept of a result")]
    TooMuch,
    /// COPY, which is no result.
    #[error("COPY has no result here")]
    Copy,
    /// The session ended without a word.
    #[error("the session ended: {0}")]
    Gone(String),
}

impl GuestError {
    /// Whether the session has ended with it.
    #[must_use]
    pub fn ends(&self) -> bool {
        match self {
            Self::Told(told) => told.fatal,
            Self::Gone(_) => true,
            Self::RowTooLong | Self::TooMuch | Self::Copy => false,
        }
    }
}

impl From<Break> for GuestError {
    fn from(broken: Break) -> Self {
        match broken {
            Break::Gone(error) => Self::Gone(error.to_string()),
            Break::Codec(CodecError::Length { tag: b'D', .. }) => Self::RowTooLong,
            Break::Codec(error) => Self::Gone(error.to_string()),
        }
    }
}

impl From<CodecError> for GuestError {
    fn from(error: CodecError) -> Self {
        Break::Codec(error).into()
    }
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultShape {
    /// Its name.
    pub name: String,
    /// Its type, as PostgreSQL numbers it.
    pub type_oid: u32,
}

/// The name of a type that PostgreSQL itself has; its number for one of the target's own.
#[must_use]
pub fn type_name(oid: u32) -> String {
    postgres_types::Type::from_oid(oid).map_or_else(|| format!("oid {oid}"), |known| known.name().to_owned())
}

/// A row: text, or `None` for NULL.
pub type Row = Vec<Option<String>>;

/// What becomes of rows beyond the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// They are an error: what may be asked for again is asked for in smaller pieces.
    Refuse,
    /// They are counted and forgotten: what cannot be taken back has happened.
    Count,
}

/// Where a run stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// At the row limit: [`Guest::more`] goes on.
    Suspended,
    /// At its end; the command's name and, for some, a count.
    Done(String),
}

/// A piece of a result.
#[derive(Debug)]
pub struct Piece {
    /// The rows that were kept.
    pub rows: Vec<Row>,
    /// Rows that came and were not kept.
    pub forgotten: u64,
    /// Where it stopped.
    pub stopped: Stopped,
}

/// A session of this client's.
pub struct Guest {
    line: Line,
    decoder: Backend,
    /// Whether it was asked for the end of something, and has not said yet that this is over.
    ending: bool,
}

impl Guest {
    /// Log in.
    ///
    /// # Errors
    /// It is refused, in the gateway's words.
    pub async fn enter(stream: Box<dyn Stream>, entrance: &Entrance<'_>) -> Result<Self, GuestError> {
        let mut session = Session::new(Line::new(stream), false);
        match admitted(&mut session, entrance).await {
            Ok(()) => {}
            Err(LoginError::Refused { code, message }) => {
                let plain = Objection { code, message, hint: None, position: None, fatal: true };
                return Err(GuestError::Told(retold(&session.refusal).unwrap_or(plain)));
            }
            Err(error) => return Err(GuestError::Gone(error.to_string())),
        }
        let decoder = Backend::new(Limits::backend().whole_bytes_max(ROW_BYTES_MAX));
        let mut this = Self { line: session.line, decoder, ending: false };
        this.until_ready().await?;
        Ok(this)
    }

    /// Run one statement up to so many rows; 0 is all of them. Yields the columns of its result, none where it has none.
    ///
    /// # Errors
    /// It is refused or fails.
    pub async fn run(&mut self, sql: &str, rows: u32) -> Result<Vec<ResultShape>, GuestError> {
        let mut out = BytesMut::new();
        encode::parse("", sql, &[], &mut out);
        encode::bind_plain(&mut out);
        encode::describe(frontend::Object::Portal, "", &mut out);
        execute(rows, &mut out);
        self.line.send(&out).await?;
        loop {
            let message = self.message().await?;
            let seen = view(&message)?;
            if let BackendView::RowDescription(shape) = &seen {
                let columns = shape.iter().map(|column| ResultShape {
                    name: String::from_utf8_lossy(column.name).into_owned(),
                    type_oid: column.type_oid,
                });
                return Ok(columns.collect());
            } else if matches!(seen, BackendView::NoData) {
                return Ok(Vec::new());
            }
            aside(&seen)?;
        }
    }

    /// Hear what came meanwhile, without waiting: a session that was ended has said so.
    ///
    /// # Errors
    /// The session is gone.
    pub async fn still_there(&mut self) -> Result<(), GuestError> {
        loop {
            let message = tokio::select! {
                biased;
                message = self.message() => message?,
                () = std::future::ready(()) => return Ok(()),
            };
            aside(&view(&message)?)?;
        }
    }

    /// Go on with a run that was suspended, for so many rows.
    ///
    /// # Errors
    /// The session is gone.
    pub async fn more(&mut self, rows: u32) -> Result<(), GuestError> {
        let mut out = BytesMut::new();
        execute(rows, &mut out);
        Ok(self.line.send(&out).await?)
    }

    /// The rows of what was asked for last, `bytes_max` bytes of values at most.
    ///
    /// # Errors
    /// It fails, or is more than that and may not be.
    pub async fn piece(&mut self, bytes_max: usize, beyond: Beyond) -> Result<Piece, GuestError> {
        let (mut rows, mut bytes, mut forgotten) = (Vec::new(), 0, 0);
        loop {
            let message = self.message().await?;
            let seen = view(&message)?;
            let stopped = if let BackendView::DataRow(row) = &seen {
                bytes += message.body().len();
                match beyond {
                    Beyond::Refuse if bytes > bytes_max => return Err(GuestError::TooMuch),
                    Beyond::Count if bytes > bytes_max => forgotten += 1,
                    Beyond::Refuse | Beyond::Count => rows.push(values(row)?),
                }
                continue;
            } else if matches!(seen, BackendView::PortalSuspended) {
                Stopped::Suspended
            } else if let BackendView::CommandComplete(tag) = &seen {
                Stopped::Done(tag.0.to_owned())
            } else if matches!(seen, BackendView::EmptyQuery) {
                Stopped::Done(String::new())
            } else {
                aside(&seen)?;
                continue;
            };
            return Ok(Piece { rows, forgotten, stopped });
        }
    }

    /// Make what was done last: only now does the target commit it.
    ///
    /// # Errors
    /// It fails after all.
    pub async fn settle(&mut self) -> Result<(), GuestError> {
        self.finish().await?;
        self.until_ready().await.map(drop)
    }

    /// Ask for the end of what was done last, or has failed. Nobody waits for it here: [`Self::is_free`] hears of it.
    ///
    /// # Errors
    /// The session is gone.
    pub async fn finish(&mut self) -> Result<(), GuestError> {
        let mut out = BytesMut::new();
        encode::sync(&mut out);
        self.ending = true;
        Ok(self.line.send(&out).await?)
    }

    /// Whether the session is in no transaction, and can begin something else. What it was asked to finish is waited for.
    ///
    /// # Errors
    /// The session is gone, or what was done last fails after all.
    pub async fn is_free(&mut self) -> Result<bool, GuestError> {
        let free = !self.ending || self.until_ready().await? == TransactionStatus::Idle;
        self.still_there().await?;
        Ok(free)
    }

    /// Say good-bye.
    pub async fn leave(mut self) {
        let mut out = BytesMut::new();
        encode::terminate(&mut out);
        // Whoever has gone already need not be told.
        drop(self.line.send(&out).await);
    }

    async fn message(&mut self) -> Result<Message<BackendTag>, GuestError> {
        Ok(self.line.message(&mut self.decoder).await?)
    }

    async fn until_ready(&mut self) -> Result<TransactionStatus, GuestError> {
        loop {
            let message = self.message().await?;
            let seen = view(&message)?;
            if let BackendView::ReadyForQuery(status) = seen {
                self.ending = false;
                return Ok(status);
            } else if !matches!(seen, BackendView::BackendKeyData(_)) {
                aside(&seen)?;
            }
        }
    }
}

fn values(row: &crate::codec::backend::Row<'_>) -> Result<Row, CodecError> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    row.iter().map(|value| value.map(|value| value.map(text))).collect()
}

fn execute(rows: u32, out: &mut BytesMut) {
    encode::execute("", i32::try_from(rows).unwrap_or(i32::MAX), out);
    encode::flush(out);
}

/// What may come between two pieces of an answer; an error ends it.
fn aside(seen: &BackendView<'_>) -> Result<(), GuestError> {
    match seen {
        BackendView::Error(report) => Err(GuestError::Told(Objection::of(report))),
        BackendView::ParseComplete
        | BackendView::BindComplete
        | BackendView::Notice(_)
        | BackendView::Notification(_)
        | BackendView::ParameterStatus { .. } => Ok(()),
        BackendView::CopyInResponse(_)
        | BackendView::CopyOutResponse(_)
        | BackendView::CopyBothResponse(_)
        | BackendView::CopyData(_)
        | BackendView::CopyDone => Err(GuestError::Copy),
        BackendView::Authentication(_)
        | BackendView::BackendKeyData(_)
        | BackendView::CloseComplete
        | BackendView::CommandComplete(_)
        | BackendView::DataRow(_)
        | BackendView::EmptyQuery
        | BackendView::FunctionCallResponse(_)
        | BackendView::NegotiateProtocolVersion { .. }
        | BackendView::NoData
        | BackendView::ParameterDescription(_)
        | BackendView::PortalSuspended
        | BackendView::ReadyForQuery(_)
        | BackendView::RowDescription(_) => {
            Err(GuestError::Gone("it answered something that was not asked".to_owned()))
        }
    }
}

/// Up to AuthenticationOk.
async fn admitted(session: &mut Session, entrance: &Entrance<'_>) -> Result<(), LoginError> {
    let statement_ms = entrance.statement_ms.to_string();
    let parameters = [
        ("user", entrance.user),
        ("database", entrance.target),
        ("application_name", entrance.application),
        ("client_encoding", "UTF8"),
        ("statement_timeout", &statement_ms),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut out = BytesMut::new();
    startup::encode(
        &Startup::Session(SessionRequest { version: ProtocolVersion::V3_0, parameters }),
        &mut out,
    );
    session.line.send(&out).await?;
    loop {
        let message = session.hear().await?;
        let seen = view(&message)?;
        if let BackendView::Authentication(Authentication::Sasl(list)) = seen {
            session.scram(list, entrance.password, None).await?;
        } else if let BackendView::Authentication(Authentication::Ok) = seen {
            return Ok(());
        } else {
            return Err(LoginError::Unexpected);
        }
    }
}

/// The error of a raw message.
fn retold(raw: &[u8]) -> Option<Objection> {
    let mut decoder = Backend::new(Limits::backend());
    let Ok(Some(Frame::Whole(message))) = decoder.decode(&mut BytesMut::from(raw)) else { return None };
    let Ok(BackendView::Error(report)) = view(&message) else { return None };
    Some(Objection::of(&report))
}
