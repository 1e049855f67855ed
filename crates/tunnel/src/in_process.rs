//! An agent inside the gateway's own process: the same path behind the same trait, without a network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chaperone_access::{AgentName, TargetName};

use crate::dial::{AgentStatus, BoxFuture, Dial, DialError, Dialer, Dialled, Opened, StreamHandle, Targets};
use crate::host::{Host, Hosted};
use crate::key::AgentKey;
use crate::limits;
use crate::served::Served;
use crate::tally::{Signed, SignedTally, SignedTotals};

/// Dials targets of its own process. Its tallies are signed by a key in the gateway's hands: they prove nothing
/// against the gateway, only that counting works.
pub struct InProcess {
    name: AgentName,
    served: Served,
    key: AgentKey,
    next: AtomicU64,
}

impl InProcess {
    /// An agent of that name for those targets.
    #[must_use]
    pub fn new(name: AgentName, targets: Arc<dyn Targets>, key: AgentKey) -> Self {
        let served = Served::new(name.clone(), targets);
        Self { name, served, key, next: AtomicU64::new(1) }
    }

    fn own(&self, agent: &AgentName) -> Result<(), DialError> {
        if *agent == self.name { Ok(()) } else { Err(DialError::NotLinked(agent.clone())) }
    }
}

impl Dialer for InProcess {
    fn dial(&self, request: Dial) -> BoxFuture<'_, Result<Dialled, DialError>> {
        Box::pin(async move {
            let (session, target) = (request.session, request.target.clone());
            if !self.served.names().contains(&target) {
                return Err(DialError::NoAgent(target));
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let opened = tokio::time::timeout(limits::DIAL, self.served.open(request, number)).await;
            let Opened { stream, greeting, facts, canceller: _ } = opened
                .map_err(|_elapsed| DialError::TimedOut(self.name.clone()))?
                .map_err(DialError::Refused)?;
            let handle = StreamHandle { agent: self.name.clone(), session, target, number };
            Ok(Dialled { stream, greeting, facts, handle, agent: self.name.clone(), tried: Vec::new() })
        })
    }

    fn cancel<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move {
            self.own(&stream.agent)?;
            self.served.cancel(stream.session, stream.number).await.map_err(DialError::Refused)
        })
    }

    fn tally<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<SignedTally, DialError>> {
        Box::pin(async move {
            self.own(&stream.agent)?;
            let tally =
                self.served.tally(stream.session, stream.target.clone()).await.map_err(DialError::Refused)?;
            Signed::make(tally, &self.key).map_err(|_key| self.unsigned())
        })
    }

    fn acknowledge<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move {
            self.own(&stream.agent)?;
            self.served.ledger.acknowledge(stream.session, stream.target.clone());
            Ok(())
        })
    }

    fn totals<'a>(&'a self, agent: &'a AgentName) -> BoxFuture<'a, Result<SignedTotals, DialError>> {
        Box::pin(async move {
            self.own(agent)?;
            Signed::make(self.served.ledger.totals(), &self.key).map_err(|_key| self.unsigned())
        })
    }

    fn host(&self, request: Host) -> BoxFuture<'_, Result<Hosted, DialError>> {
        Box::pin(async move {
            let opened = self.served.host(request).await.map_err(DialError::Refused)?;
            Ok(Hosted { stream: opened.stream, facts: opened.facts, agent: self.name.clone() })
        })
    }

    fn agents(&self) -> Vec<AgentStatus> {
        let streams = u32::try_from(self.served.ledger.outstanding().0).unwrap_or(u32::MAX);
        let targets = self.targets();
        vec![AgentStatus { agent: self.name.clone(), generation: 0, targets, streams, admits: true }]
    }

    fn targets(&self) -> Vec<TargetName> {
        let mut names = self.served.names();
        names.sort();
        names.dedup();
        names
    }
}

impl InProcess {
    fn unsigned(&self) -> DialError {
        DialError::Broken { agent: self.name.clone(), what: "its key cannot sign" }
    }
}
