//! Connections of the management API: bounded in number and in time, with TLS where the configuration has a certificate.
//! Not `axum::serve`: that waits for a request's head without end, which no listener for strangers may.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Answers;
use crate::wiring::strangers::{Cut, Displaced, Stranger, Strangers};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 1024;
/// Connections of one source.
const CONNECTIONS_PER_SOURCE: u32 = 128;
/// Those of all sources together on which nobody has shown a token that counts.
const STRANGERS_MAX: usize = 512;
/// Places beyond all of those, for this machine: its administrator and whoever watches over it get in when all others are
/// taken.
const OWN_MAX: usize = 16;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long one connection is served at most; a client connects again.
const LIFE: Duration = Duration::from_secs(600);
/// How long the answer that is under way then may take.
const LAST_ANSWER: Duration = Duration::from_secs(30);
/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);
/// Longest head of a request, in bytes: a bearer token and an idempotency key fit many times.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const MINUTE: Duration = Duration::from_secs(60);
/// How long answers that are under way may take when the gateway stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Goes with every request of a connection: whether anybody has shown on it who he is.
#[derive(Debug, Clone)]
pub(crate) struct Newcomer(Arc<Mutex<Option<Stranger>>>);

impl Newcomer {
    /// Somebody has: the connection is no stranger's any more.
    pub(crate) fn proved(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The places of a listener.
struct Places {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    /// All connections, by where they come from. Nobody makes room here.
    sources: Arc<Strangers>,
    strangers: Arc<Strangers>,
}

/// What a connection holds for as long as it is there.
type Held = (OwnedSemaphorePermit, Option<Stranger>);

impl Places {
    fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            own: Arc::new(Semaphore::new(OWN_MAX)),
            sources: Strangers::new(CONNECTIONS_PER_SOURCE, usize::MAX),
            strangers: Strangers::new(CONNECTIONS_PER_SOURCE, STRANGERS_MAX),
        }
    }

    /// A place for one more, who is a stranger and may have to make room; in a place of this machine's own, nobody has to.
    fn admit(&self, peer: IpAddr) -> Option<(Held, Newcomer, Option<Displaced>)> {
        let held = self.held(peer)?;
        let admitted = if held.1.is_some() { Some(self.strangers.admit(peer)?) } else { None };
        let (stranger, displaced) = admitted.unzip();
        Some((held, Newcomer(Arc::new(Mutex::new(stranger))), displaced))
    }

    fn held(&self, peer: IpAddr) -> Option<Held> {
        if let Some((source, _)) = self.sources.admit(peer)
            && let Ok(place) = self.all.clone().try_acquire_owned()
        {
            return Some((place, Some(source)));
        }
        if !peer.to_canonical().is_loopback() {
            return None;
        }
        Some((self.own.clone().try_acquire_owned().ok()?, None))
    }
}

/// Serve until told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    answers: Arc<Answers>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Places::new();
    let mut connections = JoinSet::new();
    let mut minute = tokio::time::interval(MINUTE);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = minute.tick() => {
                let answers = answers.clone();
                drop(tokio::task::spawn_blocking(move || answers.forget_old(Instant::now())));
                continue;
            }
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the management API");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Without it the end of an answer that is written in two pieces waits for the first to be acknowledged.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection to the management API is gone already");
            continue;
        }
        let Some((held, newcomer, displaced)) = places.admit(peer.ip()) else { continue };
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        connections.spawn(async move {
            connection(Cut::new(stream, displaced), (peer, newcomer), tls, router, stop).await;
            drop(held);
        });
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some requests to the management API did not end in time");
    }
}

async fn connection(
    stream: Cut<TcpStream>,
    (peer, newcomer): (SocketAddr, Newcomer),
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let from = (peer, newcomer);
    let Some(tls) = tls else { return requests(stream, from, router, stop, LIFE).await };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, from, router, stop, LIFE).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake came to nothing"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    (peer, newcomer): (SocketAddr, Newcomer),
    router: Router,
    mut stop: watch::Receiver<bool>,
    life: Duration,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(newcomer.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
        // Also for one that asks and never reads what is answered: its place is somebody else's after that.
        () = tokio::time::sleep(life) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_ANSWER, connection).await {
                Ok(ended) => ended,
                Err(_elapsed) => return tracing::debug!(%peer, "a last answer was not read in time"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection to the management API ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::routing::get;
    use http_body_util::{BodyExt, Empty};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_asks_again_and_again_is_closed_in_the_end() {
        const SHORT: Duration = Duration::from_millis(300);
        let (client, server) = tokio::io::duplex(64 * 1024);
        let router = Router::new().route("/", get(|| async { "here" }));
        let (_stop, stopped) = watch::channel(false);
        let peer = SocketAddr::from(([127, 0, 0, 1], 9));
        let known = Newcomer(Arc::default());
        let served = tokio::spawn(requests(server, (peer, known), router, stopped, SHORT));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        let (begun, mut answers) = (Instant::now(), 0);
        while sender.ready().await.is_ok() {
            let request = Request::get("/").header("host", "gateway").body(Empty::new()).unwrap();
            let Ok(answer) = sender.send_request(request).await else { break };
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "here");
            answers += 1;
        }
        served.await.unwrap();
        assert!(begun.elapsed() >= SHORT && answers > 1, "{answers}");
    }

    #[test]
    fn strangers_take_neither_the_places_of_the_known_nor_of_this_machine() {
        let places = Places::new();
        let far = |host: u32| IpAddr::V4((0xc000_0200 + host).into());
        let flood: Vec<_> = (0..8 * CONNECTIONS_PER_SOURCE).map(|n| places.admit(far(n / 128))).collect();
        assert!(flood.iter().all(Option::is_some));
        assert!(places.admit(far(9)).is_none(), "all places are taken while those who make room are leaving");
        let here = places.admit([127, 0, 0, 1].into());
        let ((_, source), _, displaced) = here.unwrap();
        assert!(source.is_none() && displaced.is_none(), "a place of this machine's own makes no room");
        let is_displaced = |displaced: Option<Displaced>| displaced.unwrap().try_recv().is_ok();
        let stayed = |admitted: Option<(Held, Newcomer, Option<Displaced>)>| {
            let (held, newcomer, displaced) = admitted.unwrap();
            (!is_displaced(displaced)).then_some((held, newcomer))
        };
        let left: Vec<_> = flood.into_iter().filter_map(stayed).collect();
        assert_eq!(left.len(), STRANGERS_MAX);
        left.iter().for_each(|(_, newcomer)| newcomer.proved());
        let more: Vec<_> = (10..).take(STRANGERS_MAX).map(|n| places.admit(far(n))).collect();
        assert!(more.into_iter().all(|one| !is_displaced(one.unwrap().2)), "the known count as strangers");
    }

    #[test]
    fn strangers_of_this_machine_leave_its_own_places() {
        let (places, here) = (Places::new(), IpAddr::from([127, 0, 0, 1]));
        let all = CONNECTIONS_PER_SOURCE as usize + OWN_MAX;
        let held: Vec<_> = (0..all).map_while(|_| places.admit(here)).collect();
        assert_eq!(held.len(), all);
        assert!(places.admit(here).is_none());
    }
}
