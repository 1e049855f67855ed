//! The data path. Read [`session`](crate::run) first: it holds every promise in order.

mod away;
mod boundary;
mod bounds;
mod close;
mod ends;
mod meter;
mod operate;
mod session;
mod usage;

pub use boundary::{Boundary, Door, Ended, Notify, Opened, Told};
pub use meter::Counts;
pub use session::run;
pub use usage::{SubjectCounts, Usages};
