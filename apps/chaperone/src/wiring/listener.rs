//! The PostgreSQL listener: accepts, bounds and hands over to the data path.

use std::sync::Arc;
use std::time::Duration;

use chaperone_access::Source;
use chaperone_postgres::opening::{First, ListenerOptions, accept};
use chaperone_recording::LinkFacts;
use chaperone_session::{Boundary, run};
use chaperone_trail::Tls;
use chaperone_wire::Fault;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::wiring::door::Sessions;
use crate::wiring::metrics::Counters;
use crate::wiring::strangers::{Cut, Displaced, Stranger, Strangers};

/// Connections of one source that have not logged in yet.
const STRANGERS_PER_SOURCE: u32 = 256;
/// Those of all sources together, and never more than half of all places: who is known keeps the other half.
const STRANGERS_MAX: usize = 1024;
/// How long a newcomer waits for the place of whoever made room for him.
const PLACE: Duration = Duration::from_secs(1);

/// Everything that a connection needs.
pub(crate) struct Listener {
    pub(crate) boundary: Arc<Boundary>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) options: ListenerOptions,
    pub(crate) counters: Arc<Counters>,
}

impl Listener {
    /// Accept until told to stop.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.sessions.max()));
        let strangers_max = (self.sessions.max() / 2).clamp(1, STRANGERS_MAX);
        let strangers = Strangers::new(STRANGERS_PER_SOURCE, strangers_max);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: give the open sessions time to end.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            // A stranger beyond the bound is not served at all: reading him would cost what the bound is there for.
            let Some((stranger, displaced)) = strangers.admit(peer.ip()) else { continue };
            let (this, places) = (self.clone(), places.clone());
            tokio::spawn(async move {
                let Ok(Ok(place)) = timeout(PLACE, places.acquire_owned()).await else { return };
                let source = Source::Ip(peer.ip().to_canonical());
                this.connection(stream, source, (stranger, displaced)).await;
                drop(place);
            });
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        source: Source,
        (stranger, displaced): (Stranger, Displaced),
    ) {
        self.counters.session();
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match accept(Box::new(Cut::new(stream, displaced)), source, &self.options).await {
            Ok(First::Session(arrival)) => {
                let tls = arrival.tls().map(|tls| Tls {
                    cipher: tls.cipher.clone(),
                    peer: None,
                    version: tls.version.to_owned(),
                });
                let ended =
                    run(arrival, &self.boundary, source, LinkFacts { tls, ..LinkFacts::default() }, stranger)
                        .await;
                tracing::info!(%source, ?ended, "session ended");
            }
            Ok(First::Cancel { pid, key }) => {
                self.sessions.cancel(u32::from_ne_bytes(pid.to_ne_bytes()), &key).await;
            }
            Ok(First::Nothing) => {}
            Err(fault) => {
                tracing::info!(%source, %fault, "a connection was refused before its claim");
                match &fault {
                    Fault::Client(refusal) => self.boundary.violated(source, refusal).await,
                    Fault::ClientGone | Fault::Target(_) => {}
                }
            }
        }
    }
}
