//! May they. Cedar behind our own types; the only room in which an [`Admission`], a [`Permit`] or an [`Allowance`] is
//! made. Pure: no clock (time comes in), no files, no runtime.

mod admission;
mod ask;
mod clients;
mod decide;
mod limits;
mod load;
mod locks;
mod manage;
mod permit;
mod slice;
mod starter;

pub use admission::{Admission, AdmissionFacts, Denial, Policies};
pub use clients::{Clients, Registered};
pub use limits::{LIMITS_FILE, Limits};
pub use load::{Diagnostic, Known, PolicySet, Warning};
pub use locks::{LOCKS_MAX, Lock, LockError, LockOn, Locks};
pub use manage::{Allowance, ManagementAction};
pub use permit::{Decided, Decision, Denied, Masked, Permit, Question};
pub use starter::STARTER;
