//! Asking a logged-in target something ourselves: one query, text rows. For catalogs, not for clients' data.

use bytes::BytesMut;
use chaperone_access::{Refusal, RefusalCode, Rows};
use chaperone_wire::Stream;

use crate::codec::backend::{BackendView, view};
use crate::codec::{Backend, Limits, encode};
use crate::line::Line;

/// Most bytes of cells that one query may return.
const RESULT_BYTES_MAX: usize = 256 * 1024 * 1024;

fn lost(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        RefusalCode::TargetUnavailable,
        format!("the target cannot be asked for its catalog: {what}"),
    )
    .hint("ask whoever runs the agent to look at its log")
}

/// Run queries one after the other.
///
/// # Errors
/// The target refuses one, breaks the protocol, or answers with more than a bound.
pub async fn ask(stream: Box<dyn Stream>, queries: &[&str]) -> Result<Vec<Rows>, Refusal> {
    let mut asking = Asking::new(stream);
    let mut results = Vec::with_capacity(queries.len());
    for query in queries {
        results.push(asking.one(query).await?.map_err(lost)?);
    }
    Ok(results)
}

/// Run statements one after the other, whatever becomes of each: what the target says against it, or nothing.
///
/// # Errors
/// The target goes away or breaks the protocol.
pub async fn check(stream: Box<dyn Stream>, statements: &[&str]) -> Result<Vec<Option<String>>, Refusal> {
    let mut asking = Asking::new(stream);
    let mut results = Vec::with_capacity(statements.len());
    for statement in statements {
        results.push(asking.one(statement).await?.err());
    }
    Ok(results)
}

/// A logged-in session that is asked one thing after the other.
pub struct Asking {
    line: Line,
    decoder: Backend,
    bytes: usize,
}

impl Asking {
    /// Of a stream whose next bytes answer the first request.
    #[must_use]
    pub fn new(stream: Box<dyn Stream>) -> Self {
        let decoder = Backend::new(Limits::backend().whole_bytes_max(1024 * 1024));
        Self { line: Line::new(stream), decoder, bytes: 0 }
    }

    /// One string of statements: its rows, or the target's message.
    ///
    /// # Errors
    /// The target goes away, breaks the protocol, or answers with more than a bound, over all that was asked.
    pub async fn one(&mut self, query: &str) -> Result<Result<Rows, String>, Refusal> {
        let mut out = BytesMut::new();
        encode::query(query, &mut out);
        self.line.send(&out).await.map_err(|_| lost("it went away"))?;
        let (mut rows, mut failed) = (Rows::default(), None);
        loop {
            let message = self.line.message(&mut self.decoder).await.map_err(|_| lost("it went away"))?;
            match view(&message).map_err(lost)? {
                BackendView::DataRow(row) => {
                    self.bytes += message.body().len();
                    if self.bytes > RESULT_BYTES_MAX {
                        return Err(lost("its catalog is too large"));
                    }
                    rows.row();
                    for cell in row.iter() {
                        rows.cell(cell.map_err(lost)?.map(String::from_utf8_lossy).as_deref());
                    }
                }
                BackendView::Error(report) => {
                    failed = Some(String::from_utf8_lossy(report.message()).into_owned());
                }
                BackendView::ReadyForQuery(_) => break,
                BackendView::RowDescription(_)
                | BackendView::CommandComplete(_)
                | BackendView::Notice(_)
                | BackendView::ParameterStatus { .. } => {}
                BackendView::Authentication(_)
                | BackendView::BackendKeyData(_)
                | BackendView::BindComplete
                | BackendView::CloseComplete
                | BackendView::CopyBothResponse(_)
                | BackendView::CopyData(_)
                | BackendView::CopyDone
                | BackendView::CopyInResponse(_)
                | BackendView::CopyOutResponse(_)
                | BackendView::EmptyQuery
                | BackendView::FunctionCallResponse(_)
                | BackendView::NegotiateProtocolVersion { .. }
                | BackendView::NoData
                | BackendView::Notification(_)
                | BackendView::ParameterDescription(_)
                | BackendView::ParseComplete
                | BackendView::PortalSuspended => return Err(lost("it answered something else")),
            }
        }
        Ok(failed.map_or(Ok(rows), Err))
    }
}
