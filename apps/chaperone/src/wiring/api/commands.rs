//! Declared commands over the API: a list of those that the caller may run, and one of them as it runs, line by line.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::{Extension, Json};
use chaperone_access::{Blame, Refusal, RefusalCode, Source, TargetName, is_purpose};
use chaperone_api::{CommandView, Page, ProblemKind, RunCommand, RunEnd, RunLine, RunRefused};
use chaperone_wire::Printed;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery};
use super::refused::{Refused, failed};
use super::served::Peer;
use super::{Managed, Shared};
use crate::wiring::commands::{Asking, Finish, NotIn, Piece, Running, Unanswered};
use crate::wiring::gateway::COMMAND;
use crate::wiring::mcp::CLIENT_BYTES_MAX;

/// The media type of an answer that is a line of JSON at a time.
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// Lines that wait for a client to read them.
const LINES_MAX: usize = 4;
/// What a call by this API calls itself.
const APPLICATION: &str = "chaperone api";

fn unknown() -> Refused {
    // The same whether it does not exist or may not be known.
    Refused::not_found("there is no such target of commands for you").hint("`GET /targets` lists yours")
}

/// The target, where it is one of commands.
fn target(managed: &Managed, name: &str) -> Result<TargetName, Refused> {
    let found = managed.targets.iter().find(|(known, speaks)| known.as_str() == name && *speaks == COMMAND);
    found.map(|(known, _)| known.clone()).ok_or_else(unknown)
}

fn asking(caller: &Caller, peer: Option<Peer>, request: &RunCommand) -> Result<Asking, Refused> {
    let holder = caller.holder().ok_or_else(|| {
        Refused::unusable("the administrator's token is nobody at a target").hint("log in first")
    })?;
    if !request.purpose.as_deref().is_none_or(is_purpose) {
        return Err(Refused::unusable("`purpose` is no purpose").hint("give a code, as in `--purpose TREAT`"));
    }
    if request.client.as_ref().is_some_and(|client| client.len() > CLIENT_BYTES_MAX) {
        return Err(Refused::unusable(format!("`client` is longer than {CLIENT_BYTES_MAX} bytes")));
    }
    Ok(Asking {
        who: holder.who(),
        standing: holder.standing().clone(),
        not_after: holder.standing().not_after_s(),
        client: request.client.clone(),
        oauth_client: holder.standing().facts().oauth_client.clone(),
        purpose: request.purpose.clone(),
        application: Some(APPLICATION.to_owned()),
        source: peer.map_or(Source::Local, |peer| Source::Ip(peer.0.ip().to_canonical())),
    })
}

fn unanswered(why: Unanswered) -> Refused {
    match why {
        Unanswered::NotIn(NotIn::Unknown) => unknown(),
        Unanswered::NotIn(NotIn::OtherClient) => {
            Refused::new(ProblemKind::NotPermitted, "your login is another client's than is named")
                .hint("log in through that client, or leave `client` out")
        }
        Unanswered::Refused(refusal) => problem(refusal),
    }
}

/// Why nobody says which commands there are, or nothing of one is begun.
pub(crate) fn problem(refusal: Refusal) -> Refused {
    let kind = if refusal.code == RefusalCode::Busy {
        ProblemKind::TooMany
    } else if refusal.code == RefusalCode::RecordUnavailable {
        ProblemKind::Unrecorded
    } else if refusal.code.blame() == Blame::Target {
        ProblemKind::Conflict
    } else {
        return failed(refusal);
    };
    let refused = Refused::new(kind, refusal.message);
    match refusal.hint {
        Some(hint) => refused.hint(hint),
        None => refused,
    }
}

/// Declared commands that the caller may run at a target.
#[utoipa::path(
    get, path = "/targets/{name}/commands",
    params(("name" = String, Path, description = "The target's name"), PageQuery),
    responses((status = 200, body = Page<CommandView>))
)]
pub(super) async fn list(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<CommandView>>, Refused> {
    let target = target(&managed, &name)?;
    let asking = asking(&caller, None, &RunCommand::default())?;
    let permitted = managed.commands.permitted(&asking, &target).await.map_err(unanswered)?;
    let views = permitted.into_iter().map(|(name, command)| CommandView {
        name,
        parameters: command.schema(),
        description: command.description,
        reads_only: command.reads_only,
        time_s_max: command.time_s_max,
        output_bytes_max: command.output_bytes_max,
    });
    Ok(Json(asked.page(views, |view| view.name.clone())))
}

/// Run a declared command. The answer is a line of JSON for each piece of what it prints, as it prints it, and a last one that
/// says how it ended.
///
/// Whoever stops reading ends the command.
#[utoipa::path(
    post, path = "/targets/{name}/commands/{command}/run",
    params(
        ("name" = String, Path, description = "The target's name"),
        ("command" = String, Path, description = "The command's name")
    ),
    request_body = RunCommand,
    responses((status = 200, body = RunLine, content_type = "application/x-ndjson"))
)]
pub(super) async fn run(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    Path((name, command)): Path<(String, String)>,
    Given(request): Given<RunCommand>,
) -> Result<Response, Refused> {
    let target = target(&managed, &name)?;
    let asking = asking(&caller, Some(peer), &request)?;
    let running = managed.commands.begin(&asking, &target, &command, &request.parameters).await;
    let running = running.map_err(unanswered)?;
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    tokio::spawn(carried(running, sender));
    let mut response = Response::new(Body::new(Lines(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, LINES);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Lines on their way to the client.
struct Lines(mpsc::Receiver<Bytes>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

fn line(line: &RunLine) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

fn why(refusal: Refusal) -> RunRefused {
    RunRefused { code: refusal.code.as_str().to_owned(), detail: refusal.message, hint: refusal.hint }
}

/// Carry a command to its end. Where the client has gone it is dropped, which ends it.
async fn carried(mut running: Running, sender: mpsc::Sender<Bytes>) {
    if sender.send(line(&RunLine::Started(running.id().to_string()))).await.is_err() {
        return;
    }
    let finish = loop {
        let piece = tokio::select! {
            piece = running.hear() => piece,
            () = sender.closed() => return,
        };
        let told = match piece {
            Piece::Printed(Printed::Out, text) => RunLine::Out(text),
            Piece::Printed(Printed::Err, text) => RunLine::Err(text),
            Piece::Finish(finish) => break finish,
        };
        if sender.send(line(&told)).await.is_err() {
            return;
        }
    };
    let last = match running.end(finish).await {
        Finish::Refused(refusal) => RunLine::Refused(why(refusal)),
        Finish::Unknown(refusal) => RunLine::Unknown(why(refusal)),
        Finish::Ended(ended) => RunLine::Ended(RunEnd {
            exit_code: ended.code,
            signal: ended.signal,
            ended_by: ended.by,
            masked: ended.masked,
        }),
    };
    // Whoever has gone now has missed the last line only.
    sender.send(line(&last)).await.ok();
}
