//! A look at a target's catalog, in a session of the gateway's own: on record before it is dialled and after it, so that
//! an agent's counts can be held against the record without one unknown session.

use std::sync::Arc;

use chaperone_access::{AgentName, Refusal, SessionId, TargetName};
use chaperone_trail::{Body, CatalogAnswered, CatalogAsked, SignedTally};
use chaperone_tunnel::{Dialer, StreamHandle};

use crate::recorder::{Recorder, named, signed_tally};

/// A look under way. One that is dropped is over, and the record says so.
#[must_use = "it is under way until it is ended"]
pub struct Look {
    recorder: Arc<Recorder>,
    session: SessionId,
    stream: Option<StreamHandle>,
    tried: Vec<AgentName>,
    ended: bool,
}

impl Recorder {
    /// Begin a look: on durable record when this returns, and then it may be dialled.
    ///
    /// # Errors
    /// The trail cannot be written: no record, no look.
    pub async fn look(self: &Arc<Self>, session: SessionId, target: &TargetName) -> Result<Look, Refusal> {
        let body =
            Body::CatalogAsked(CatalogAsked { session: session.to_string(), target: target.to_string() });
        // From here on its end is owed, also where nobody waits for this any more.
        let appended = self.append(&body).map_err(|error| error.refusal())?;
        let look = Look { recorder: self.clone(), session, stream: None, tried: Vec::new(), ended: false };
        self.written(appended).await?;
        Ok(look)
    }
}

impl Look {
    /// It has a stream; these agents were asked before and gave no answer.
    pub fn reached(&mut self, stream: StreamHandle, tried: Vec<AgentName>) {
        self.stream = Some(stream);
        self.tried = tried;
    }

    /// It is over, and its stream was dropped: what its agent counted is put on record.
    pub async fn end(mut self, dialer: &dyn Dialer) {
        let Some(stream) = self.stream.clone() else { return };
        let tally = dialer.tally(&stream).await.ok();
        self.close(tally.as_ref().map(signed_tally));
        // An agent that cannot be told keeps the tally a while longer, in bounds.
        drop(dialer.acknowledge(&stream).await);
    }

    fn close(&mut self, agent: Option<SignedTally>) {
        self.ended = true;
        let through = self.stream.as_ref().map(|stream| stream.agent.to_string());
        let session = self.session.to_string();
        // Nobody waits for it. Where it cannot be written, the look stays without an end until the next start.
        let answered = CatalogAnswered { agent, session, through, tried: named(&self.tried) };
        drop(self.recorder.append(&Body::CatalogAnswered(answered)));
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        if !self.ended {
            self.close(None);
        }
    }
}
