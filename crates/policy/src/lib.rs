//! May they. Cedar behind our own types; the only room in which an [`Admission`] or a [`Permit`] is made. Pure: no
//! clock (time comes in), no files, no runtime.

mod admission;
mod decide;
mod load;
mod permit;
mod slice;
mod starter;

pub use admission::{Admission, Denial, Policies};
pub use load::{Diagnostic, Known, PolicySet, Warning};
pub use permit::{Decided, Decision, Denied, Masked, Permit, Question};
pub use starter::STARTER;
