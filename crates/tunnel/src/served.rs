//! The agent's heart, the same with a link and without: opens targets, counts, cancels.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use chaperone_access::{AgentName, Refusal, RefusalCode, SessionId, TargetName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::dial::{Canceller, Dial, Opened, Stream, Targets, not_hosted};
use crate::host::{Host, HostOpened};
use crate::limits;
use crate::tally::{Closing, Counted, Ledger, Tally};

type Key = (SessionId, u64);
type Cancellers = Arc<Mutex<HashMap<Key, Arc<dyn Canceller>>>>;

/// What one agent serves.
#[derive(Clone)]
pub(crate) struct Served {
    targets: Arc<dyn Targets>,
    pub(crate) ledger: Arc<Ledger>,
    cancellers: Cancellers,
}

/// A stream's place in the list of what can be cancelled: it leaves with the stream.
struct Listed {
    key: Key,
    cancellers: Cancellers,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.cancellers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Drops in order: the stream (its meter closes the count), then its place in the list.
struct Held {
    counted: Counted<Box<dyn Stream>>,
    _listed: Listed,
}

impl Served {
    pub(crate) fn new(agent: AgentName, targets: Arc<dyn Targets>) -> Self {
        Self { targets, ledger: Ledger::new(agent), cancellers: Arc::default() }
    }

    pub(crate) fn names(&self) -> Vec<TargetName> {
        self.targets.names()
    }

    /// Open a declared target; the stream that comes back is counted.
    pub(crate) async fn open(&self, request: Dial, number: u64) -> Result<Opened, Refusal> {
        let _opening = self.ledger.opening();
        let (session, target) = (request.session, request.target.clone());
        if !self.targets.names().contains(&target) {
            return Err(Refusal::new(
                RefusalCode::UndefinedTarget,
                format!("this agent does not serve `{target}`"),
            )
            .hint("declare it in `agent.toml`"));
        }
        let Opened { stream, greeting, facts, canceller } = self.targets.open(request).await?;
        let canceller: Arc<dyn Canceller> = Arc::from(canceller);
        let key = (session, number);
        self.cancellers.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&canceller));
        let listed = Listed { key, cancellers: Arc::clone(&self.cancellers) };
        let counted = Counted { stream, meter: self.ledger.open(session, target) };
        let stream = Box::new(Held { counted, _listed: listed });
        Ok(Opened { stream, greeting, facts, canceller: Box::new(Shared(canceller)) })
    }

    /// Run a declared server, or wait for its next connection. Neither is a target's stream, so it is in no tally: what
    /// such a connection asks a target for travels on a stream of its own, which is.
    pub(crate) async fn host(&self, request: Host) -> Result<HostOpened, Refusal> {
        let begun = async {
            if !self.targets.names().contains(request.server()) {
                return Err(not_hosted(request.server()));
            }
            self.targets.host(request.clone()).await
        };
        match &request {
            Host::Launch(_) | Host::Reach(_) => {
                tokio::time::timeout(limits::DIAL, begun).await.unwrap_or_else(|_elapsed| {
                    Err(Refusal::new(RefusalCode::TargetUnavailable, "the server did not start in time"))
                })
            }
            Host::Accept(_) => begun.await,
        }
    }

    pub(crate) async fn cancel(&self, session: SessionId, number: u64) -> Result<(), Refusal> {
        let found =
            self.cancellers.lock().unwrap_or_else(PoisonError::into_inner).get(&(session, number)).cloned();
        match found {
            Some(canceller) => canceller.cancel().await,
            // Its stream has just ended: there is nothing left to cancel, which is what was asked for.
            None => Ok(()),
        }
    }

    pub(crate) async fn tally(&self, session: SessionId, target: TargetName) -> Result<Tally, Refusal> {
        match self.ledger.tally(session, target).await {
            Closing::Closed(tally) => Ok(tally),
            Closing::Open => Err(Refusal::new(RefusalCode::Busy, "the session still has an open stream")
                .hint("ask again once it has ended")),
            Closing::Unknown => {
                Err(Refusal::new(RefusalCode::Internal, "this agent has no tally of that session"))
            }
        }
    }
}

struct Shared(Arc<dyn Canceller>);

impl Canceller for Shared {
    fn cancel(&self) -> crate::BoxFuture<'_, Result<(), Refusal>> {
        self.0.cancel()
    }
}

impl AsyncRead for Held {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().counted).poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().counted).poll_write(cx, bytes)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().counted).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().counted).poll_shutdown(cx)
    }
}
