//! Servers of others that act for their callers: real access tokens of a real issuer (npm `oidc-provider`), exchanged by a client
//! that nobody here wrote (npm `openid-client`), and what comes of it used by psycopg and psql. What must not work is tried too.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

mod calls;
mod ended;
mod place;
mod refusals;
