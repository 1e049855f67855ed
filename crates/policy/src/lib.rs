//! May they. Cedar behind our own types; the only room in which an [`Admission`], a [`Permit`] or an [`Allowance`] is
//! made. Pure: no clock (time comes in), no files, no runtime.

mod admission;
mod ask;
mod asking;
mod change;
mod decide;
mod describe;
mod diff;
mod expect;
mod explain;
mod floor;
mod limits;
mod load;
mod locks;
mod manage;
mod matrix;
mod permit;
mod profile;
mod sight;
mod since;
mod slice;
mod starter;
mod view;
mod world;

pub use admission::{Admission, AdmissionFacts, Denial, Policies};
pub use ask::column_name;
pub use asking::Asking;
pub use diff::{Change, Difference, LimitChange, compare};
pub use expect::{Expectations, Outcome, TESTS_FILE, Unmet};
pub use explain::{
    Access, Explanation, Finding, OfStatement, Seen, WouldChange, access, columns_used, explain,
};
pub use floor::{Floor, Needs, callers, floor};
pub use limits::{LIMITS_FILE, Limits};
pub use load::{Diagnostic, Known, PolicySet, Warning};
pub use locks::{LOCKS_MAX, Lock, LockError, LockOn, Locks};
pub use manage::{Allowance, ManagementAction};
pub use matrix::matrix;
pub use permit::{Decided, Decision, Denied, Masked, Permit, Question, Unwritten};
pub use profile::{NotASubject, Profile, Said, through};
pub use starter::STARTER;
pub use view::{Because, NoMask, SeenColumn, SeenRows, UsedColumn};
pub use world::{Names, OfRelation, OfTarget, Ruling, World};

#[cfg(test)]
mod tests;
