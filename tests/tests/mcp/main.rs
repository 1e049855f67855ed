//! AI clients that nobody here wrote call a real gateway's tools, with tokens of a real issuer (npm `oidc-provider`), and the
//! record knows who saw what. What must not work is tried as well.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

mod calls;
mod clients;
mod idle;
mod place;
mod refusals;
