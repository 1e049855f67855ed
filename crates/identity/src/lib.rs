//! Who is it. The only room in which a [`Principal`] is made.

mod assertion;
mod authenticate;
mod caveat;
mod claims;
mod clients;
mod credential;
mod failures;
mod holder;
mod issuer;
mod jwks;
mod jws;
mod kept;
mod keys;
mod login;
mod only;
mod people;
mod principal;
mod revocation;
mod service;
mod standing;
mod token;

pub use assertion::{ASSERTION_S_MAX, Assertion, Assertions, verify_assertion};
pub use authenticate::{Failure, FailureReason, Identity, NoRevocations, Revocations};
pub use caveat::{Caveat, Restriction};
pub use claims::told_again;
pub use clients::{Client, Clients, Exchange, RegisteredServer};
pub use credential::{
    CREDENTIAL_S_MAX, Credential, CredentialId, Grant, InvalidCredentialId, IssueError, NarrowError,
    USER_BYTES_MAX, Who, narrow, parse_user,
};
pub use failures::{FailureLedger, Noted, Proof};
pub use holder::{Holder, Holders, InvalidId, SecretHash, TokenRefused};
pub use issuer::{ClaimNames, Issuer, SKEW_S, SignatureAlgorithm, Vouches, Workload};
pub use jwks::{KEY_SET_BYTES_MAX, KeyCache, KeySet, KeySetError};
pub use jws::TOKEN_BYTES_MAX;
pub use kept::{CaveatStore, KeepError, KeptCaveat, KeptCaveatId, KeptCaveats};
pub use keys::{RootKey, RootKeys};
pub use login::{
    LOGINS_MAX, LOGINS_OF_ONE_MAX, Login, LoginError, LoginId, LoginStore, Logins, NewLogin, Refreshed, Terms,
};
pub use only::{Only, OnlyError, Relations, together};
pub use people::{Disabling, PEOPLE_MAX, People, PeopleStore, Person, PersonChange, PersonError};
pub use principal::{CredentialFacts, Principal};
pub use revocation::{REVOCATIONS_MAX, Revocation, Revoked};
pub use service::{
    KEY_S_MAX, LOCAL_ISSUER, OVERLAP_S_MAX, SERVICES_MAX, Service, ServiceChange, ServiceError, ServiceKey,
    ServiceKeyId, ServiceStore, Services,
};
pub use standing::{EndCause, Ending, Facts, Lapse, Standing};
pub use token::{LoggedOut, Shown, TokenError, Verified, claimed_issuer, verify, verify_logout};
