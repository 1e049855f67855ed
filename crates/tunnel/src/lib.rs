//! Agent and gateway: one mutually authenticated link, many streams, back-pressure.
//!
//! The agent dials out, proves itself with a short-lived certificate (TLS 1.3), and then serves HTTP/2 on that
//! connection; the gateway opens one CONNECT stream for each dial. The gateway names a target; where it is and how to
//! log in stands on the agent only.

mod dial;
mod in_process;
mod key;
pub mod limits;
mod served;
mod tally;

pub use dial::{
    AgentStatus, ApplicationName, BoxFuture, Canceller, Dial, DialError, Dialer, Dialled, InvalidDial,
    LoginFacts, Opened, PARAMETER_NAMES, Parameters, Stream, StreamHandle, Targets,
};
pub use in_process::InProcess;
pub use key::{AgentKey, KeyError, verify};
pub use tally::{Signed, SignedTally, SignedTotals, Tally, Totals, tally_message, totals_message};
