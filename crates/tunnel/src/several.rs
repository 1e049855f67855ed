//! Several ways to agents behind one [`Dialer`]: the agent inside the process, and those that dialled in.

use std::sync::Arc;

use chaperone_access::{AgentName, TargetName};

use crate::dial::{AgentStatus, BoxFuture, Dial, DialError, Dialer, Dialled, StreamHandle};
use crate::host::{Host, Hosted};
use crate::tally::{SignedTally, SignedTotals};

/// Dialers in the order in which they are asked. An agent's name occurs in one of them only.
pub struct Several(Vec<Arc<dyn Dialer>>);

impl Several {
    /// Of these.
    #[must_use]
    pub fn new(dialers: Vec<Arc<dyn Dialer>>) -> Self {
        Self(dialers)
    }

    fn of(&self, agent: &AgentName) -> Result<&Arc<dyn Dialer>, DialError> {
        let knows = |dialer: &&Arc<dyn Dialer>| dialer.agents().iter().any(|status| status.agent == *agent);
        self.0.iter().find(knows).ok_or_else(|| DialError::NotLinked(agent.clone()))
    }
}

impl Dialer for Several {
    fn dial(&self, request: Dial) -> BoxFuture<'_, Result<Dialled, DialError>> {
        let serving = self.0.iter().find(|dialer| dialer.targets().contains(&request.target));
        match serving {
            Some(dialer) => dialer.dial(request),
            None => Box::pin(async move { Err(DialError::NoAgent(request.target)) }),
        }
    }

    fn cancel<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move { self.of(&stream.agent)?.cancel(stream).await })
    }

    fn tally<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<SignedTally, DialError>> {
        Box::pin(async move { self.of(&stream.agent)?.tally(stream).await })
    }

    fn acknowledge<'a>(&'a self, stream: &'a StreamHandle) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move { self.of(&stream.agent)?.acknowledge(stream).await })
    }

    fn totals<'a>(&'a self, agent: &'a AgentName) -> BoxFuture<'a, Result<SignedTotals, DialError>> {
        Box::pin(async move { self.of(agent)?.totals(agent).await })
    }

    fn host(&self, request: Host) -> BoxFuture<'_, Result<Hosted, DialError>> {
        let serving = self.0.iter().find(|dialer| dialer.targets().contains(request.server()));
        match serving {
            Some(dialer) => dialer.host(request),
            None => Box::pin(async move { Err(DialError::NoAgent(request.server().clone())) }),
        }
    }

    fn agents(&self) -> Vec<AgentStatus> {
        self.0.iter().flat_map(|dialer| dialer.agents()).collect()
    }

    fn targets(&self) -> Vec<TargetName> {
        let mut names: Vec<TargetName> = self.0.iter().flat_map(|dialer| dialer.targets()).collect();
        names.sort();
        names.dedup();
        names
    }
}
