//! The data path. Read [`session`](crate::run) first: it holds every promise in order.

mod bounds;
mod meter;
mod operate;
mod session;
mod usage;

pub use meter::Counts;
pub use session::{Boundary, Door, Ended, Notify, Opened, Told, run};
pub use usage::Usages;
