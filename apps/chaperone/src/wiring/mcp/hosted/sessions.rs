//! Sessions of clients that begin with a handshake. One proves nobody: each request does that anew, and a session of another
//! caller is as one that is not there. It holds what its client can be asked, and what it was asked and has not answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderName;
use chaperone_access::TargetName;
use chaperone_mcp::beside::{Abilities, Level};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::Known;
use crate::wiring::installation::random;
use crate::wiring::mcp::Shower;

/// Names a session.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Sessions at a time; a client beyond them has none, and is asked nothing.
const SESSIONS_MAX: usize = 4096;
/// Sessions of one holder; for one more, that of his which was not used for longest ends.
const SESSIONS_OF_ONE_MAX: usize = 32;
/// How long a session lasts without a request.
const IDLE: Duration = Duration::from_secs(1800);
/// Questions that wait for an answer in one session.
const OPEN_MAX: usize = 64;

/// Whose something is that is kept between requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    holder: String,
    client: Option<String>,
    purpose: Option<String>,
    server: TargetName,
}

impl Owner {
    pub(super) fn of(shower: &Shower, server: &Known) -> Self {
        let holder = format!("{:?}", shower.bearer.who);
        let (client, purpose) = (shower.client.clone(), shower.purpose.clone());
        Self { holder, client, purpose, server: server.name.clone() }
    }
}

#[cfg(test)]
impl Owner {
    pub(super) fn named(holder: &str) -> Self {
        Self { holder: holder.to_owned(), client: None, purpose: None, server: "tools".parse().unwrap() }
    }
}

/// What came back to a question.
pub(super) enum Reply {
    /// Its result.
    Given(Box<RawValue>),
    /// The client's error.
    Error(Box<RawValue>),
    /// The client goes on without it.
    Missing,
    /// Nothing in time.
    Late,
}

/// One session.
pub(super) struct Session {
    pub(super) id: String,
    owner: Owner,
    pub(super) abilities: Abilities,
    state: Mutex<State>,
}

struct State {
    used: Instant,
    /// From which level on the server's log is wanted, where the client has said so.
    level: Option<Level>,
    /// By the ids that the questions were asked under.
    open: HashMap<String, oneshot::Sender<Reply>>,
    /// By the text of the client's own ids.
    under_way: HashMap<String, AbortHandle>,
}

/// A question that waits for its answer; nobody can answer it any more once this is dropped.
pub(super) struct Open {
    session: Arc<Session>,
    pub(super) id: String,
    pub(super) reply: oneshot::Receiver<Reply>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.session.state().open.remove(&self.id);
    }
}

/// A request of a session that is under way.
pub(super) struct UnderWay(Arc<Session>, String);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().under_way.remove(&self.1);
    }
}

/// Unguessable.
pub(super) fn token() -> String {
    hex::encode(random::<20>())
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn level(&self) -> Option<Level> {
        self.state().level
    }

    pub(super) fn set_level(&self, level: Level) {
        self.state().level = Some(level);
    }

    /// A place for one more answer; none where too many questions are open.
    pub(super) fn open(self: &Arc<Self>) -> Option<Open> {
        let (id, (answer, reply)) = (token(), oneshot::channel());
        let mut state = self.state();
        if state.open.len() >= OPEN_MAX {
            return None;
        }
        state.open.insert(id.clone(), answer);
        drop(state);
        Some(Open { session: self.clone(), id, reply })
    }

    /// Take an answer. Each question has one.
    pub(super) fn answer(&self, id: &str, reply: Reply) -> bool {
        let waits = self.state().open.remove(id);
        waits.is_some_and(|waits| waits.send(reply).is_ok())
    }

    /// Remember a request, so that its client can give it up.
    pub(super) fn begin(self: &Arc<Self>, id: &str, task: AbortHandle) -> UnderWay {
        self.state().under_way.insert(id.to_owned(), task);
        UnderWay(self.clone(), id.to_owned())
    }

    /// Its client gives a request up.
    pub(super) fn cancel(&self, id: &str) {
        if let Some(task) = self.state().under_way.remove(id) {
            task.abort();
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begin one; none where there are too many of others.
    pub(super) fn begin(&self, owner: &Owner, abilities: Abilities) -> Option<Arc<Session>> {
        let mut all = self.all();
        all.retain(|_, session| session.state().used.elapsed() < IDLE);
        let mut own: Vec<(Instant, String)> = all
            .values()
            .filter(|session| session.owner.holder == owner.holder)
            .map(|session| (session.state().used, session.id.clone()))
            .collect();
        own.sort();
        for (_, id) in own.iter().take((own.len() + 1).saturating_sub(SESSIONS_OF_ONE_MAX)) {
            all.remove(id);
        }
        if all.len() >= SESSIONS_MAX {
            return None;
        }
        let state =
            State { used: Instant::now(), level: None, open: HashMap::new(), under_way: HashMap::new() };
        let session =
            Arc::new(Session { id: token(), owner: owner.clone(), abilities, state: Mutex::new(state) });
        all.insert(session.id.clone(), session.clone());
        Some(session)
    }

    /// That of this owner; using it keeps it.
    pub(super) fn get(&self, owner: &Owner, id: &str) -> Option<Arc<Session>> {
        let session = self.all().get(id).filter(|session| session.owner == *owner)?.clone();
        let mut state = session.state();
        if state.used.elapsed() >= IDLE {
            drop(state);
            self.all().remove(id);
            return None;
        }
        state.used = Instant::now();
        drop(state);
        Some(session)
    }

    /// Its client leaves.
    pub(super) fn end(&self, session: &Session) {
        self.all().remove(&session.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_owners_and_the_oldest_of_his_makes_room() {
        let sessions = Sessions::default();
        let first = sessions.begin(&Owner::named("ana"), Abilities::default()).unwrap();
        assert!(sessions.get(&Owner::named("ana"), &first.id).is_some());
        assert!(sessions.get(&Owner::named("ben"), &first.id).is_none());
        let others = Owner { server: "other".parse().unwrap(), ..Owner::named("ana") };
        assert!(sessions.get(&others, &first.id).is_none());
        let bens = sessions.begin(&Owner::named("ben"), Abilities::default()).unwrap();
        for _ in 0..SESSIONS_OF_ONE_MAX {
            assert!(sessions.begin(&Owner::named("ana"), Abilities::default()).is_some());
        }
        assert!(sessions.get(&Owner::named("ana"), &first.id).is_none());
        assert_eq!(sessions.all().len(), SESSIONS_OF_ONE_MAX + 1);
        sessions.end(&bens);
        assert!(sessions.get(&Owner::named("ben"), &bens.id).is_none());
    }

    #[tokio::test]
    async fn a_question_has_one_answer_while_somebody_waits() {
        let sessions = Sessions::default();
        let session = sessions.begin(&Owner::named("ana"), Abilities::default()).unwrap();
        let mut open = session.open().unwrap();
        let id = open.id.clone();
        assert!(!session.answer("another", Reply::Missing));
        assert!(session.answer(&id, Reply::Missing) && !session.answer(&id, Reply::Missing));
        assert!(matches!((&mut open.reply).await, Ok(Reply::Missing)));
        let id = session.open().unwrap().id.clone();
        assert!(!session.answer(&id, Reply::Missing));
        let many: Vec<Open> = (0..OPEN_MAX).map(|_| session.open().unwrap()).collect();
        assert!(session.open().is_none());
        drop(many);
        assert!(session.open().is_some());
    }
}
