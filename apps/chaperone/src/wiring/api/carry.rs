//! Requests that change something are carried through even if their caller hangs up, and one that is repeated with the
//! same `Idempotency-Key` gets the answer of the first instead of being carried out twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chaperone_api::ProblemKind;
use chaperone_store::{KeptRequest, RequestFiles, RequestName as Key};
use zeroize::Zeroizing;

use super::caller::Caller;
use super::given;
use super::refused::{Refused, failed};
use crate::wiring::installation::now_us;

/// The header that makes a request repeatable.
const KEY_HEADER: &str = "idempotency-key";
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 128;
/// Keys kept of one subject over all its logins, and of all. One more is refused: forgetting an older one would break its
/// promise.
const KEYS_PER_SUBJECT_MAX: usize = 256;
const KEYS_MAX: usize = 4096;
/// Of those, how many stay free for whoever manages the installation: he has to get in when everybody else has used up theirs.
const KEYS_FOR_MANAGING: usize = 1024;
/// How long a key stands for its request.
const KEY_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long an answer that holds a secret can be had again.
const SECRET_LIFE: Duration = Duration::from_secs(600);
/// What is asked anew each time, whatever key comes with it.
pub(super) const NEVER_AGAIN: &str = "/read";
/// Largest answer that is kept, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A kept answer.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    media_type: Option<HeaderValue>,
    secret: bool,
    /// Given while it was made, so that nobody here knows whether what was asked for is done.
    streamed: bool,
    body: Arc<Zeroizing<Vec<u8>>>,
}

enum State {
    UnderWay,
    Answered(Answer),
    /// It came before the gateway's last start, and had its answer or not.
    Before {
        done: bool,
    },
}

/// Whose request it is.
struct Whose {
    /// `issuer/subject`.
    subject: String,
    /// The administrator's, or one that policy permits as managing.
    manages: bool,
}

/// Goes with a request for which policy was asked about an action.
#[derive(Clone)]
pub(super) struct Manages;

struct Kept {
    subject: String,
    /// SHA-256 of its body; not known of what came before the gateway's last start.
    request: Option<[u8; 32]>,
    since: Instant,
    /// The same in seconds since the Unix epoch.
    since_s: u64,
    state: State,
}

/// What is kept of requests with keys. Owner: this type. Answers are in memory only, so that no secret reaches the disk;
/// which requests there were is on disk, so that none is carried out twice because the gateway was restarted.
#[derive(Default)]
pub(crate) struct Answers {
    kept: Mutex<HashMap<Key, Kept>>,
    files: Option<RequestFiles>,
}

/// What to do with a request that has a key.
enum Begun {
    Carry,
    Again(Answer),
}

impl Answers {
    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With what was kept before, at `now_s` seconds since the Unix epoch.
    pub(crate) fn open(files: RequestFiles, now_s: u64) -> std::io::Result<Self> {
        let (mut kept, now) = (HashMap::new(), Instant::now());
        for KeptRequest { name, subject, since_s, done } in files.all()? {
            let age = Duration::from_secs(now_s.saturating_sub(since_s));
            if age >= KEY_LIFE {
                files.remove(&name)?;
                continue;
            }
            // On a machine that has just started, time does not reach back so far: it is kept longer.
            let since = now.checked_sub(age).unwrap_or(now);
            let state = State::Before { done };
            kept.insert(name, Kept { subject, request: None, since, since_s, state });
        }
        Ok(Self { kept: Mutex::new(kept), files: Some(files) })
    }

    fn begin(&self, key: &Key, whose: Whose, request: [u8; 32], now: Instant) -> Result<Begun, Refused> {
        let in_use = |detail: &str| Refused::new(ProblemKind::KeyInUse, detail);
        let mut kept = self.kept();
        let young = |kept: &&Kept| now.duration_since(kept.since) < KEY_LIFE;
        if let Some(known) = kept.get(key).filter(young) {
            if known.request.is_some_and(|known| known != request) {
                return Err(in_use("this key came before with another body").hint("choose a new key"));
            }
            return match &known.state {
                State::UnderWay => Err(in_use("the first request with this key is still under way")
                    .hint("ask again in a second")),
                State::Answered(answer)
                    if answer.secret && now.duration_since(known.since) >= SECRET_LIFE =>
                {
                    Err(in_use("this was done before; its answer held a secret that is not kept any more"))
                }
                State::Answered(answer) => Ok(Begun::Again(answer.clone())),
                State::Before { done: true } => {
                    Err(in_use("this was done before the gateway's last start; its answer is not kept"))
                }
                State::Before { done: false } => {
                    Err(in_use("this was begun before the gateway's last start, and may have been done")
                        .hint("look whether it was; if not, send it with a new key"))
                }
            };
        }
        let Whose { subject, manages } = whose;
        let own = kept.values().filter(|other| other.subject == subject).count();
        let free = if manages { KEYS_MAX } else { KEYS_MAX - KEYS_FOR_MANAGING };
        if own >= KEYS_PER_SUBJECT_MAX || kept.len() >= free {
            return Err(Refused::new(ProblemKind::TooMany, "too many idempotency keys are kept")
                .hint("send the request without one, or use fewer in a day"));
        }
        let since_s = now_us() / 1_000_000;
        kept.insert(
            key.clone(),
            Kept { subject, request: Some(request), since: now, since_s, state: State::UnderWay },
        );
        Ok(Begun::Carry)
    }

    /// Durable, before it is carried out and after.
    fn put(&self, key: &Key, done: bool) -> std::io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        let known = self.kept().get(key).map(|kept| (kept.subject.clone(), kept.since_s));
        let Some((subject, since_s)) = known else { return Ok(()) };
        files.put(&KeptRequest { name: key.clone(), subject, since_s, done })
    }

    /// Keep an answer; without one the key is free again, since nothing was changed.
    fn end(&self, key: &Key, answer: Option<Answer>) {
        let (answered, streamed) = (answer.is_some(), answer.as_ref().is_some_and(|answer| answer.streamed));
        {
            let mut kept = self.kept();
            match answer {
                Some(answer) => {
                    if let Some(known) = kept.get_mut(key) {
                        known.state = State::Answered(answer);
                    }
                }
                None => drop(kept.remove(key)),
            }
        }
        let on_disk = match &self.files {
            Some(files) if !answered => files.remove(key),
            // On disk it stays begun.
            Some(_) if streamed => Ok(()),
            Some(_) => self.put(key, true),
            None => Ok(()),
        };
        if let Err(error) = on_disk {
            // After a restart it is said that it may have been done, which is true.
            tracing::warn!(%error, "what became of a request with a key could not be kept");
        }
    }

    /// Let go of keys and secrets whose time has passed. Called at an interval; may wait for the disk.
    pub(crate) fn forget_old(&self, now: Instant) {
        let mut old = Vec::new();
        self.kept().retain(|key, kept| {
            let age = now.duration_since(kept.since);
            if let State::Answered(answer) = &mut kept.state
                && answer.secret
                && age >= SECRET_LIFE
            {
                answer.body = Arc::default();
            }
            if age >= KEY_LIFE {
                old.push(key.clone());
            }
            age < KEY_LIFE
        });
        for key in old {
            if let Some(Err(error)) = self.files.as_ref().map(|files| files.remove(&key)) {
                tracing::warn!(%error, "an old request with a key could not be forgotten");
            }
        }
    }
}

/// Frees the key of a request whose task ends without an answer. On disk it stays begun: if that was the gateway's end,
/// nobody knows what was done.
struct Under {
    answers: Arc<Answers>,
    key: Option<Key>,
}

impl Under {
    /// On disk before anything is done.
    async fn begin(self) -> Result<Self, Refused> {
        let put = move || {
            let done = self.key.as_ref().map_or(Ok(()), |key| self.answers.put(key, false));
            (self, done)
        };
        let (this, done) = tokio::task::spawn_blocking(put).await.map_err(failed)?;
        done.map_err(failed)?;
        Ok(this)
    }

    fn end(mut self, answer: Option<Answer>) {
        if let Some(key) = self.key.take() {
            self.answers.end(&key, answer);
        }
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.answers.kept().remove(&key);
        }
    }
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(value) = headers.get(KEY_HEADER) else { return Ok(None) };
    let fits = |text: &&str| !text.is_empty() && text.len() <= KEY_BYTES_MAX;
    match value.to_str().ok().filter(fits) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(Refused::malformed(format!(
            "`Idempotency-Key` is 1 to {KEY_BYTES_MAX} visible ASCII characters"
        ))),
    }
}

fn response(answer: &Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body.to_vec()));
    *response.status_mut() = answer.status;
    if let Some(media_type) = &answer.media_type {
        response.headers_mut().insert(header::CONTENT_TYPE, media_type.clone());
    }
    if answer.secret {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Read an answer so that it can be kept; `None` where it is not one to keep.
async fn keep(answered: Response) -> Result<(Response, Option<Answer>), Refused> {
    if !answered.status().is_success() {
        return Ok((answered, None));
    }
    let refused = |detail| Refused::new(ProblemKind::KeyInUse, detail);
    let size = answered.body().size_hint().exact();
    // What was asked for is begun or done, so the key is not free again: only the answer cannot be given twice.
    let instead = match size {
        None => {
            let detail = "this was begun before; its answer was given as it was made, and is not kept";
            let hint = "look at the record whether it was done; if not, send it with a new key";
            Some(refused(detail).hint(hint))
        }
        Some(bytes) if bytes > ANSWER_BYTES_MAX as u64 => {
            Some(refused("this was carried out before; its answer was too large to keep"))
        }
        Some(_) => None,
    };
    if let Some(problem) = instead {
        let (parts, body) = problem.into_response().into_parts();
        let bytes = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await.map_err(failed)?;
        return Ok((answered, Some(Answer { streamed: size.is_none(), ..kept_of(&parts, &bytes) })));
    }
    let (parts, body) = answered.into_parts();
    let bytes = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await.map_err(failed)?;
    let answer = kept_of(&parts, &bytes);
    Ok((Response::from_parts(parts, Body::from(bytes)), Some(answer)))
}

fn kept_of(parts: &Parts, bytes: &Bytes) -> Answer {
    Answer {
        status: parts.status,
        media_type: parts.headers.get(header::CONTENT_TYPE).cloned(),
        secret: parts.headers.get(header::CACHE_CONTROL).is_some(),
        streamed: false,
        body: Arc::new(Zeroizing::new(bytes.to_vec())),
    }
}

fn fingerprint(body: &Bytes) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, body).as_ref());
    out
}

/// The middleware for requests without a caller: carried through, and that is all.
pub(super) async fn to_its_end(request: Request, next: Next) -> Result<Response, Refused> {
    if request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    tokio::spawn(next.run(request)).await.map_err(failed)
}

/// The middleware. It stands inside authentication and authorisation: whoever repeats a request has to be permitted to
/// make it now.
pub(super) async fn through(request: Request, next: Next) -> Result<Response, Refused> {
    if request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    let caller = request.extensions().get::<Caller>().ok_or_else(Refused::not_authenticated)?.clone();
    let Some(key) = key_of(request.headers())? else { return to_its_end(request, next).await };
    // A recording is handed out with an entry each time, and not at all once its key is destroyed.
    if request.uri().path().ends_with(NEVER_AGAIN) {
        return to_its_end(request, next).await;
    }
    let answers = caller.answers().clone();
    let asked_of = format!("{} {}", request.method(), request.uri());
    let key = Key { caller: caller.id(), asked_of, key };
    let manages = caller.holder().is_none() || request.extensions().get::<Manages>().is_some();
    let whose = Whose { subject: caller.name(), manages };
    let (parts, body) = request.into_parts();
    let bytes = given::body(Request::from_parts(parts.clone(), body)).await?;
    match answers.begin(&key, whose, fingerprint(&bytes), Instant::now())? {
        Begun::Again(answer) => Ok(response(&answer)),
        Begun::Carry => {
            let under = Under { answers, key: Some(key) };
            let carried = async move {
                let under = under.begin().await?;
                let answered = next.run(Request::from_parts(parts, Body::from(bytes))).await;
                let (answered, answer) = keep(answered).await?;
                tokio::task::spawn_blocking(move || under.end(answer)).await.map_err(failed)?;
                Ok(answered)
            };
            tokio::spawn(carried).await.map_err(failed)?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(caller: &str, key: &str) -> Key {
        Key { caller: caller.to_owned(), asked_of: "POST /locks".to_owned(), key: key.to_owned() }
    }

    fn answer(secret: bool) -> Answer {
        let body = Arc::new(Zeroizing::new(b"{}".to_vec()));
        Answer { status: StatusCode::OK, media_type: None, secret, streamed: false, body }
    }

    fn carries(answers: &Answers, key: &Key, request: u8, now: Instant) -> Option<bool> {
        carries_for(answers, &key.caller, false, key, request, now)
    }

    fn carries_for(
        answers: &Answers,
        subject: &str,
        manages: bool,
        key: &Key,
        request: u8,
        now: Instant,
    ) -> Option<bool> {
        let whose = Whose { subject: subject.to_owned(), manages };
        match answers.begin(key, whose, [request; 32], now) {
            Ok(Begun::Carry) => Some(true),
            Ok(Begun::Again(_)) => Some(false),
            Err(_) => None,
        }
    }

    #[test]
    fn a_key_stands_for_one_request_of_one_caller_for_a_day() {
        let (answers, now) = (Answers::default(), Instant::now());
        let (mine, theirs) = (key("ana", "1"), key("ben", "1"));
        assert_eq!(carries(&answers, &mine, 1, now), Some(true));
        assert_eq!(carries(&answers, &mine, 1, now), None, "the first is still under way");
        answers.end(&mine, Some(answer(false)));
        assert_eq!(carries(&answers, &mine, 1, now), Some(false));
        assert_eq!(carries(&answers, &mine, 2, now), None, "another body");
        assert_eq!(carries(&answers, &theirs, 2, now), Some(true));
        assert_eq!(carries(&answers, &mine, 2, now + KEY_LIFE), Some(true));
    }

    #[test]
    fn a_failure_frees_the_key() {
        let (answers, now) = (Arc::new(Answers::default()), Instant::now());
        assert_eq!(carries(&answers, &key("ana", "1"), 1, now), Some(true));
        drop(Under { answers: answers.clone(), key: Some(key("ana", "1")) });
        assert_eq!(carries(&answers, &key("ana", "1"), 2, now), Some(true));
    }

    #[tokio::test]
    async fn what_is_answered_as_it_is_made_is_begun_and_no_more() {
        struct Pieces;
        impl HttpBody for Pieces {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
                std::task::Poll::Ready(None)
            }
        }
        let (_, kept) = keep(Response::new(Body::new(Pieces))).await.unwrap();
        let kept = kept.unwrap();
        assert!(kept.streamed && kept.status == StatusCode::CONFLICT);
        let said = String::from_utf8(kept.body.to_vec()).unwrap();
        assert!(said.contains("this was begun before") && said.contains("new key"), "{said}");
        let folder = tempfile::tempdir().unwrap();
        let files = || RequestFiles::open(folder.path()).unwrap();
        let (answers, mine) = (Answers::open(files(), 0).unwrap(), key("ana", "1"));
        assert_eq!(carries(&answers, &mine, 1, Instant::now()), Some(true));
        answers.put(&mine, false).unwrap();
        answers.end(&mine, Some(kept));
        assert_eq!(carries(&answers, &mine, 1, Instant::now()), Some(false));
        assert!(!files().all().unwrap()[0].done, "after a restart it may have been done");
    }

    #[test]
    fn a_secret_is_kept_for_minutes_only() {
        let (answers, now) = (Answers::default(), Instant::now());
        let mine = key("ana", "1");
        assert_eq!(carries(&answers, &mine, 1, now), Some(true));
        answers.end(&mine, Some(answer(true)));
        assert_eq!(carries(&answers, &mine, 1, now), Some(false));
        answers.forget_old(now + SECRET_LIFE);
        assert_eq!(carries(&answers, &mine, 1, now + SECRET_LIFE), None);
        let kept = answers.kept();
        let State::Answered(kept) = &kept[&mine].state else { panic!("answered") };
        assert!(kept.body.is_empty());
    }

    #[test]
    fn nothing_is_carried_out_twice_because_of_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = |now_s: u64| {
            let files = RequestFiles::open(folder.path()).unwrap();
            Arc::new(Answers::open(files, now_s).unwrap())
        };
        let now_s = now_us() / 1_000_000;
        let (answers, now) = (open(now_s), Instant::now());
        let (done, begun, failed) = (key("ana", "done"), key("ana", "begun"), key("ana", "failed"));
        for key in [&done, &begun, &failed] {
            assert_eq!(carries(&answers, key, 1, now), Some(true));
            answers.put(key, false).unwrap();
        }
        answers.end(&done, Some(answer(true)));
        answers.end(&failed, None);
        let again = open(now_s);
        let now = Instant::now();
        for (key, word) in [(&done, "was done"), (&begun, "may have been")] {
            for request in [1, 2] {
                let whose = Whose { subject: "ana".to_owned(), manages: false };
                let Err(refused) = again.begin(key, whose, [request; 32], now) else { panic!("{word}") };
                assert!(format!("{refused:?}").contains(word), "{refused:?}");
            }
        }
        assert_eq!(carries(&again, &failed, 1, now), Some(true));
        // Neither what was asked nor what was answered is there.
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(!text.contains("{}"), "{text}");
        }
        let late = open(now_s + KEY_LIFE.as_secs());
        assert_eq!(carries(&late, &done, 1, Instant::now()), Some(true));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_old_key_is_forgotten_here_and_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let answers =
            Answers::open(RequestFiles::open(folder.path()).unwrap(), now_us() / 1_000_000).unwrap();
        let (mine, now) = (key("ana", "1"), Instant::now());
        assert_eq!(carries(&answers, &mine, 1, now), Some(true));
        answers.put(&mine, false).unwrap();
        answers.end(&mine, Some(answer(false)));
        answers.forget_old(now + KEY_LIFE / 2);
        assert_eq!(carries(&answers, &mine, 1, now), Some(false));
        answers.forget_old(now + KEY_LIFE);
        assert_eq!(carries(&answers, &mine, 1, now + KEY_LIFE), Some(true));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// What was asked for is done, so its key is not free again.
    #[tokio::test]
    async fn an_answer_that_is_too_large_to_keep_is_not_given_twice() {
        let large = Response::new(Body::from(vec![b'x'; ANSWER_BYTES_MAX + 1]));
        let (answered, kept) = keep(large).await.unwrap();
        let bytes = axum::body::to_bytes(answered.into_body(), usize::MAX).await.unwrap();
        assert_eq!(bytes.len(), ANSWER_BYTES_MAX + 1);
        let kept = kept.unwrap();
        assert_eq!(kept.status.as_u16(), ProblemKind::KeyInUse.status());
        assert!(std::str::from_utf8(&kept.body).unwrap().contains("too large to keep"));
        let (_, kept) = keep(Response::new(Body::from(vec![b'x'; ANSWER_BYTES_MAX]))).await.unwrap();
        assert_eq!(kept.unwrap().body.len(), ANSWER_BYTES_MAX);
        let mut failed = Response::new(Body::from("no"));
        *failed.status_mut() = StatusCode::CONFLICT;
        assert!(keep(failed).await.unwrap().1.is_none());
    }

    #[test]
    fn keys_are_bounded_for_one_subject_and_for_all() {
        let (answers, now) = (Answers::default(), Instant::now());
        let mut ana = (0..).map(|login| key(&format!("login {login}"), "1"));
        let anas = |key: &Key| carries_for(&answers, "org/ana", false, key, 1, now);
        for key in ana.by_ref().take(KEYS_PER_SUBJECT_MAX) {
            assert_eq!(anas(&key), Some(true));
        }
        assert_eq!(ana.next().and_then(|key| anas(&key)), None, "another login gave her more");
        assert_eq!(carries(&answers, &key("ben", "1"), 1, now), Some(true));
        for number in 0..KEYS_MAX - KEYS_FOR_MANAGING - KEYS_PER_SUBJECT_MAX - 1 {
            assert_eq!(carries(&answers, &key(&format!("c{number}"), "1"), 1, now), Some(true));
        }
        assert_eq!(carries(&answers, &key("dan", "1"), 1, now), None);
        let managing = |who: &str| carries_for(&answers, who, true, &key(who, "1"), 1, now);
        for number in 0..KEYS_FOR_MANAGING {
            assert_eq!(managing(&format!("m{number}")), Some(true));
        }
        assert_eq!(managing("one more"), None);
    }

    #[test]
    fn a_restart_gives_nobody_more_keys() {
        let folder = tempfile::tempdir().unwrap();
        let now_s = now_us() / 1_000_000;
        let open = || Answers::open(RequestFiles::open(folder.path()).unwrap(), now_s).unwrap();
        let (answers, now) = (open(), Instant::now());
        for number in 0..KEYS_PER_SUBJECT_MAX {
            let mine = key(&format!("login {number}"), "1");
            assert_eq!(carries_for(&answers, "org/ana", false, &mine, 1, now), Some(true));
            answers.put(&mine, true).unwrap();
        }
        let answers = open();
        assert_eq!(carries_for(&answers, "org/ana", false, &key("another login", "1"), 1, now), None);
        assert_eq!(carries_for(&answers, "org/ben", false, &key("another login", "1"), 1, now), Some(true));
    }
}
