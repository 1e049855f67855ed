//! The gateway names a target; an agent opens it, logs in, counts and signs.
//!
//! [`Dialer`] is the gateway's side, [`Targets`] the agent's: where a target is and how to log in stands on the agent
//! only. [`InProcess`] joins the two inside one process, [`link`] over the network.

mod dial;
mod host;
mod in_process;
mod key;
pub mod limits;
pub mod link;
mod served;
mod several;
mod tally;

pub use dial::{
    AgentStatus, ApplicationName, As, BoxFuture, Caller, Canceller, Dial, DialError, Dialer, Dialled,
    InvalidDial, LoginFacts, LoginName, Opened, PARAMETER_NAMES, Parameters, RoleName, Stream, StreamHandle,
    Targets,
};
pub use host::{Accept, Access, Host, HostFacts, HostOpened, Hosted, Launch, Reach};
pub use in_process::InProcess;
pub use key::{AgentKey, KeyError, verify};
pub use several::Several;
pub use tally::{Signed, SignedTally, SignedTotals, Tally, Totals, tally_message, totals_message};
