//! The data path. Read [`session`](crate::run) first: it holds every promise in order.

mod meter;
mod operate;
mod session;

pub use meter::Counts;
pub use session::{Boundary, Door, Ended, Notify, Opened, run};
