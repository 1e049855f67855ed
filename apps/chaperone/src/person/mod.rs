//! The person's side: logins kept on this machine, the issuer that confirms them, and local ports that need no password.
//! Knows the gateway only by its address and its API.

pub(crate) mod asker;
pub(crate) mod bridge;
pub(crate) mod fresh;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod issuer;
pub(crate) mod kept;
pub(crate) mod local;
pub(crate) mod redirect;
pub(crate) mod workload;
