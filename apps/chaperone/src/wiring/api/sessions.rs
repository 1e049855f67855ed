//! Sessions, open and closed, as the trail has them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::extract::State;
use axum::{Extension, Json};
use chaperone_access::SessionId;
use chaperone_api::{EndSession, LiveSession, Page, SessionDetail, SessionView};
use chaperone_trail::{Course, Entry, Follower, SessionOpened, Trail};
use serde_json::Value;

use super::caller::Caller;
use super::given::{Asked, Given, Named, PageQuery};
use super::refused::{Refused, failed};
use super::{Managed, Shared};
use crate::wiring::locks::check_reason;

/// End a session that is open. What it runs is stopped at the target.
#[utoipa::path(
    delete, path = "/sessions/{id}", params(("id" = String, Path)), request_body = EndSession,
    responses((status = 200, body = LiveSession))
)]
pub(super) async fn end(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Given(request): Given<EndSession>,
) -> Result<Json<LiveSession>, Refused> {
    check_reason(&request.reason)?;
    let session = session_id(&id)?;
    let missing =
        || Refused::not_found("no such session is open").hint("`chaperone sessions --live` lists them");
    let view =
        managed.sessions.list().into_iter().find(|view| view.session == session).ok_or_else(missing)?;
    match managed.sessions.kill(&managed.recorder, session, &request.reason, &caller.name()).await? {
        true => Ok(Json(view)),
        false => Err(missing()),
    }
}

/// Sessions that are open now, oldest first.
#[utoipa::path(
    get, path = "/sessions/live", params(PageQuery), responses((status = 200, body = Page<LiveSession>))
)]
pub(super) async fn live(State(managed): Shared, Asked(asked): Asked<PageQuery>) -> Json<Page<LiveSession>> {
    Json(asked.page(managed.sessions.list(), |view| view.session.to_string()))
}

/// Sessions, open and closed, newest first.
#[utoipa::path(get, path = "/sessions", params(PageQuery), responses((status = 200, body = Page<SessionView>)))]
pub(super) async fn list(
    State(managed): Shared,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<SessionView>>, Refused> {
    let limit = asked.limit();
    let before = asked.after.as_deref().map(session_id).transpose()?;
    let found = tokio::task::spawn_blocking(move || match managed.recent.newest(limit + 1, before)? {
        Some(found) => Ok(found),
        None => newest(&managed, limit + 1, before),
    });
    let mut items: Vec<SessionView> = found.await.map_err(failed)??;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|view| view.session.to_string());
    Ok(Json(Page { items, next }))
}

/// Sessions of which a summary is at hand: a page within them costs only what has come since the last one.
const RECENT_MAX: usize = 10_000;

/// The newest sessions, as far as the trail has been read. Made from it alone, and made anew at each start.
pub(crate) struct RecentSessions(Mutex<Recent>);

struct Recent {
    follower: Follower,
    views: Views,
}

impl RecentSessions {
    pub(crate) fn new(trail: &Trail) -> Self {
        Self::keeping(trail, RECENT_MAX)
    }

    fn keeping(trail: &Trail, max: usize) -> Self {
        Self(Mutex::new(Recent { follower: trail.follow(), views: Views::new(max, None) }))
    }

    /// The newest of those before one; `None` where older ones than are at hand could be among them.
    fn newest(&self, max: usize, before: Option<SessionId>) -> Result<Option<Vec<SessionView>>, Refused> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Recent { follower, views } = &mut *recent;
        follower.read(|entry| summarise(views, &entry)).map_err(failed)?;
        let older = views.by_id.iter().rev().filter(|(id, _)| before.is_none_or(|before| **id < before));
        let found: Vec<SessionView> = older.take(max).map(|(_, view)| view.clone()).collect();
        Ok((found.len() == max || !views.forgot).then_some(found))
    }
}

/// Sessions under way in a scan: no more than are asked for, whatever the trail holds.
struct Views {
    by_id: BTreeMap<SessionId, SessionView>,
    max: usize,
    before: Option<SessionId>,
    /// There are older ones.
    forgot: bool,
}

impl Views {
    fn new(max: usize, before: Option<SessionId>) -> Self {
        Self { by_id: BTreeMap::new(), max, before, forgot: false }
    }

    fn open(&mut self, view: SessionView) {
        if self.before.is_none_or(|before| view.session < before) {
            self.by_id.insert(view.session, view);
            if self.by_id.len() > self.max {
                self.by_id.pop_first();
                self.forgot = true;
            }
        }
    }

    fn touch(&mut self, session: &str, change: impl FnOnce(&mut SessionView)) {
        if let Some(view) = session.parse().ok().and_then(|id: SessionId| self.by_id.get_mut(&id)) {
            change(view);
        }
    }
}

/// The newest sessions of the trail, read from its beginning.
fn newest(managed: &Managed, max: usize, before: Option<SessionId>) -> Result<Vec<SessionView>, Refused> {
    let mut views = Views::new(max, before);
    let scanned = managed.recorder.trail().scan(|entry| {
        summarise(&mut views, &entry);
        Ok(())
    });
    scanned.map_err(failed)?;
    Ok(views.by_id.into_values().rev().collect())
}

/// A session of which nothing but its beginning is known.
fn begun(entry: &Entry, opened: &SessionOpened) -> Option<SessionView> {
    Some(SessionView {
        session: opened.session.parse().ok()?,
        state: "open".to_owned(),
        opened_at: entry.at,
        closed_at: None,
        target: opened.target.clone(),
        delegation: serde_json::to_value(&opened.delegation).unwrap_or(Value::Null),
        operations: 0,
        refused: 0,
        rows: 0,
        first_entry: entry.seq,
    })
}

fn summarise(views: &mut Views, entry: &Entry) {
    match entry.body.course() {
        Some(Course::SessionOpened(opened)) => {
            if let Some(view) = begun(entry, opened) {
                views.open(view);
            }
        }
        Some(Course::OperationIntent(body)) => views.touch(&body.session, |view| view.operations += 1),
        Some(Course::OperationRefused(body)) => views.touch(&body.session, |view| view.refused += 1),
        Some(Course::OperationOutcome(body)) => views.touch(&body.session, |view| view.rows += body.rows),
        Some(Course::SessionClosed(body)) => views.touch(&body.session, |view| {
            view.state = body.reason.clone();
            view.closed_at = Some(entry.at);
        }),
        Some(Course::OperationsUndone(_) | Course::ToolcallStarted(_) | Course::ToolcallEnded(_)) | None => {}
    }
}

/// Hand each entry of one session to `take`, as JSON, in order; its summary.
pub(super) fn entries(
    managed: &Managed,
    session: SessionId,
    mut take: impl FnMut(u64, Value),
) -> Result<SessionView, Refused> {
    let wanted = session.to_string();
    let mut views = Views::new(1, None);
    let scanned = managed.recorder.trail().scan(|entry| {
        let bytes = entry.to_bytes()?;
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { return Ok(()) };
        if value.get("session").and_then(Value::as_str) == Some(&wanted) {
            summarise(&mut views, &entry);
            take(entry.seq, value);
        }
        Ok(())
    });
    scanned.map_err(failed)?;
    views.by_id.remove(&session).ok_or_else(|| {
        Refused::not_found(format!("there is no session `{session}`")).hint("`chaperone sessions` lists them")
    })
}

/// A page of a session's entries: those after a number, at most so many.
fn detail(
    managed: &Managed,
    session: SessionId,
    limit: usize,
    after: Option<u64>,
) -> Result<SessionDetail, Refused> {
    let (mut page, mut last, mut more) = (Vec::new(), 0, false);
    let summary = entries(managed, session, |seq, value| {
        if after.is_some_and(|after| seq <= after) {
            return;
        }
        if page.len() < limit {
            page.push(value);
            last = seq;
        } else {
            more = true;
        }
    })?;
    Ok(SessionDetail { summary, entries: page, next: more.then(|| last.to_string()) })
}

/// One session with its entries, a page of them at a time.
#[utoipa::path(
    get, path = "/sessions/{id}", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = SessionDetail))
)]
pub(super) async fn show(
    State(managed): Shared,
    Named(id): Named,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<SessionDetail>, Refused> {
    let (session, limit) = (session_id(&id)?, asked.limit());
    let after = asked.after.as_deref().map(str::parse::<u64>).transpose();
    let after = after.map_err(|_| Refused::malformed("`after` is no place"))?;
    let found = tokio::task::spawn_blocking(move || detail(&managed, session, limit, after));
    Ok(Json(found.await.map_err(failed)??))
}

pub(super) fn session_id(text: &str) -> Result<SessionId, Refused> {
    text.parse().map_err(|error: chaperone_access::InvalidName| Refused::malformed(error.to_string()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use chaperone_access::{Delegation, Subject, SubjectKind};
    use chaperone_trail::{Arm, Body, Decision, Digest, Draft, Options, SessionClosed};

    use super::*;

    fn id(number: u8) -> SessionId {
        SessionId::from_parts(u64::from(number), [number; 10])
    }

    /// The entry of a session's beginning.
    pub(in super::super) fn opened(session: SessionId) -> Body {
        let subject = Subject { issuer: "dev".into(), kind: SubjectKind::Person, sub: "ana".into() };
        let decision = Decision {
            arm: Arm::Allow,
            catalog: None,
            policies: Vec::new(),
            policy: Digest([0; 32]),
            unrestricted: false,
        };
        Body::SessionOpened(SessionOpened {
            application: None,
            channel_binding: None,
            credential: "c".to_owned(),
            decision,
            delegation: Delegation::of(subject, BTreeSet::new()),
            session: session.to_string(),
            source: "local".to_owned(),
            target: "ehr".to_owned(),
            tls: None,
        })
    }

    fn closed(number: u8) -> Body {
        Body::SessionClosed(SessionClosed {
            agent: None,
            bytes_from_target: 0,
            bytes_to_target: 0,
            duration_us: 1,
            ended_after_us: None,
            operations: 0,
            reason: "client_left".to_owned(),
            refusals: 0,
            rows: 0,
            session: id(number).to_string(),
        })
    }

    #[test]
    fn recent_sessions_are_those_of_the_trail_and_older_ones_are_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let (trail, _) = Trail::open(Options::new(folder.path())).unwrap();
        let recent = RecentSessions::keeping(&trail, 3);
        let append = |body: Body| {
            let seq = trail.append(Draft::new(1, &body).unwrap(), &[]).unwrap();
            while trail.durable() < Some(seq) {
                std::thread::yield_now();
            }
        };
        let ids = |max, before| {
            let found = recent.newest(max, before).unwrap();
            found.map(|views| views.iter().map(|view| view.session).collect::<Vec<_>>())
        };
        (1..=3).map(id).map(opened).for_each(append);
        assert_eq!(ids(2, None), Some(vec![id(3), id(2)]));
        assert_eq!(ids(9, Some(id(3))), Some(vec![id(2), id(1)]));
        (4..=5).map(id).map(opened).for_each(append);
        assert_eq!(ids(3, None), Some(vec![id(5), id(4), id(3)]));
        assert_eq!(ids(2, Some(id(4))), None, "the older one is not at hand any more");
        append(closed(5));
        assert_eq!(recent.newest(1, None).unwrap().unwrap()[0].state, "client_left");
        trail.close("done").unwrap();
    }
}
