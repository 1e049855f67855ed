//! Every part is built here once, from configuration.

pub(crate) mod agent;
pub(crate) mod analyst;
pub(crate) mod api;
pub(crate) mod ask;
mod callers;
pub(crate) mod classifications;
pub(crate) mod clock;
pub(crate) mod door;
pub(crate) mod gateway;
pub(crate) mod identity;
pub(crate) mod installation;
pub(crate) mod issuers;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod locks;
pub(crate) mod logins;
pub(crate) mod manifests;
pub(crate) mod mcp;
pub(crate) mod metrics;
pub(crate) mod policies;
pub(crate) mod reread;
mod servers;
pub(crate) mod strangers;
pub(crate) mod sweep;
pub(crate) mod targets;
pub(crate) mod tls;
pub(crate) mod usage;
