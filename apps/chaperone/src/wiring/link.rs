//! The gateway's listener for agents, and what happens to them as entries of the trail.

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::{AgentName, Refusal, RefusalCode};
use chaperone_recording::{Recorder, key_id};
use chaperone_session::Told;
use chaperone_trail::{
    AgentConnected, AgentDisconnected, AgentEnrolled, AgentInvited, AgentLocked, AgentRemoved, Body,
    CumulativeTally, Digest, SignedCumulative, Tls,
};
use chaperone_tunnel::link::{AgentEvent, Links, Observer};
use chaperone_tunnel::{BoxFuture, Dialer, SignedTotals, limits};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wiring::door::Sessions;
use crate::wiring::strangers::{Cut, Strangers};

/// Connections of one source that have not shown a certificate yet.
const STRANGERS_PER_SOURCE: u32 = 8;
/// Those of all sources together: one more takes the place of the oldest of whoever has the most. Half of what the links serve, so
/// that those who have to leave may take a moment.
const STRANGERS_MAX: usize = limits::STRANGERS / 2;
/// How long agents' totals may hold up a heartbeat.
const TOTALS: Duration = Duration::from_secs(2);

/// Writes what happens to agents into the trail, and ends the sessions of one that is cut off.
pub(crate) struct OnRecord {
    recorder: Arc<Recorder>,
    /// Set once there are any: agents are there before them.
    sessions: OnceLock<Weak<Sessions>>,
}

impl OnRecord {
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Self { recorder, sessions: OnceLock::new() }
    }

    /// The sessions that open from here on. Once.
    pub(crate) fn watch(&self, sessions: &Arc<Sessions>) {
        // A second call would change nothing: there is one registry.
        drop(self.sessions.set(Arc::downgrade(sessions)));
    }

    /// End the sessions of an agent that is no longer trusted, as soon as that is on record.
    fn cut(&self, agent: &AgentName, learnt: Instant) {
        let Some(sessions) = self.sessions.get().and_then(Weak::upgrade) else { return };
        sessions.end_where(|open| {
            let refusal = || {
                Refusal::new(RefusalCode::TargetUnavailable, "the agent of your session was cut off")
                    .hint("ask an administrator; connect again when another agent serves the target")
            };
            (open.agent == *agent).then(|| Told { refusal: refusal(), learnt })
        });
    }
}

impl Observer for OnRecord {
    fn note(&self, event: AgentEvent) -> BoxFuture<'_, Result<(), Refusal>> {
        let learnt = Instant::now();
        let cut = match &event {
            AgentEvent::Locked { agent, .. } | AgentEvent::Removed { agent, .. } => Some(agent.clone()),
            AgentEvent::Invited { .. }
            | AgentEvent::Enrolled { .. }
            | AgentEvent::Connected { .. }
            | AgentEvent::Disconnected { .. } => None,
        };
        let body = match event {
            AgentEvent::Invited { agent, targets, not_after_s, by } => Body::AgentInvited(AgentInvited {
                agent: agent.to_string(),
                by,
                not_after: not_after_s,
                targets: targets.iter().map(ToString::to_string).collect(),
            }),
            AgentEvent::Enrolled { record, by } => enrolled(
                &record.agent,
                by,
                &record.public_key,
                record.targets.iter().map(ToString::to_string).collect(),
            ),
            AgentEvent::Connected { agent, public_key, source, tls } => {
                Body::AgentConnected(AgentConnected {
                    agent: agent.to_string(),
                    key: key_id(&public_key),
                    source: source.to_string(),
                    tls: Some(Tls {
                        cipher: tls.cipher,
                        peer: Some(Digest(tls.peer)),
                        version: "1.3".to_owned(),
                    }),
                })
            }
            AgentEvent::Disconnected { agent, reason } => {
                Body::AgentDisconnected(AgentDisconnected { agent: agent.to_string(), reason })
            }
            AgentEvent::Locked { agent, by, reason } => {
                Body::AgentLocked(AgentLocked { agent: agent.to_string(), by, reason })
            }
            AgentEvent::Removed { agent, by, reason } => {
                Body::AgentRemoved(AgentRemoved { agent: agent.to_string(), by, reason })
            }
        };
        Box::pin(async move {
            self.recorder.note(body).await?;
            if let Some(agent) = cut {
                self.cut(&agent, learnt);
            }
            Ok(())
        })
    }
}

/// The entry of an agent's identity.
pub(crate) fn enrolled(agent: &AgentName, by: String, public_key: &[u8], targets: Vec<String>) -> Body {
    Body::AgentEnrolled(AgentEnrolled {
        agent: agent.to_string(),
        by,
        key: key_id(public_key),
        public_key: hex::encode(public_key),
        targets,
    })
}

/// Take agents' connections until told to stop. Links outlive this: they are needed until the last session has ended.
pub(crate) async fn serve(links: Arc<Links>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let strangers = Strangers::new(STRANGERS_PER_SOURCE, STRANGERS_MAX);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let (stream, source) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an agent's connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%source, %error, "an agent's connection is gone already");
            continue;
        }
        let Some((stranger, displaced)) = strangers.admit(source.ip()) else { continue };
        // Whoever has to make room sees the end of his stream, in the middle of the handshake.
        let stream = Cut::new(stream, displaced);
        let links = Arc::clone(&links);
        tokio::spawn(async move {
            if let Err(error) = links.accept(stream, source, stranger).await {
                tracing::warn!(%source, %error, "an agent's connection came to nothing");
            }
        });
    }
}

/// What every linked agent counted, signed, for a heartbeat. One that does not answer is left out.
pub(crate) async fn totals(dialer: &Arc<dyn Dialer>) -> Vec<SignedCumulative> {
    let mut asked = JoinSet::new();
    for status in dialer.agents() {
        let dialer = dialer.clone();
        // All at once: a silent agent holds up the heartbeat no longer than any other.
        asked.spawn(async move {
            let answer = tokio::time::timeout(TOTALS, dialer.totals(&status.agent)).await;
            match answer {
                Ok(Ok(signed)) => return Some(signed),
                Ok(Err(error)) => {
                    tracing::warn!(agent = %status.agent, %error, "no totals for the heartbeat")
                }
                Err(_elapsed) => tracing::warn!(agent = %status.agent, "no totals for the heartbeat in time"),
            }
            None
        });
    }
    let mut all: Vec<SignedTotals> = asked.join_all().await.into_iter().flatten().collect();
    all.sort_by(|one, other| one.body.agent.cmp(&other.body.agent));
    let entry = |signed: SignedTotals| SignedCumulative {
        key: key_id(&signed.public_key),
        signature: STANDARD.encode(&signed.signature),
        tally: tally(&signed),
    };
    all.into_iter().map(entry).collect()
}

fn tally(signed: &SignedTotals) -> CumulativeTally {
    CumulativeTally {
        agent: signed.body.agent.to_string(),
        at: Some(signed.body.at),
        bytes_down: signed.body.bytes_down,
        bytes_up: signed.body.bytes_up,
        sessions: signed.body.sessions,
        since: Some(signed.body.since),
        streams: signed.body.streams,
    }
}
