//! Who is it. The only room in which a [`Principal`] is made.

mod authenticate;
mod caveat;
mod credential;
mod failures;
mod keys;
mod principal;

pub use authenticate::{Failure, FailureReason, Identity, NoRevocations, Revocations};
pub use caveat::{Caveat, Restriction};
pub use credential::{
    Credential, CredentialId, Grant, IssueError, NarrowError, USER_BYTES_MAX, narrow, parse_user,
};
pub use failures::{FailureLedger, Noted};
pub use keys::{RootKey, RootKeys};
pub use principal::{CredentialFacts, Principal};
