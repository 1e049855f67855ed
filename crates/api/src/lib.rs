//! What the management API takes and gives, as JSON. Paths are under `/api/v1`; `openapi.json` beside this crate
//! describes all of them and is written from these types.

mod agents;
mod login;
mod page;
mod policies;
mod problem;
mod recordings;
mod sessions;
mod targets;

pub use agents::{AgentView, LockRequest, TokenRequest, TokenView};
pub use login::{
    AssuranceView, CredentialRequest, CredentialView, IssuerView, LoginRequest, LoginView, WhoView,
};
pub use page::{PAGE_DEFAULT, PAGE_MAX, Page};
pub use policies::{CatalogView, ExplainRequest, ExplanationView, PolicySetView, PolicyTextView, ReloadView};
pub use problem::{Problem, ProblemKind};
pub use recordings::{ReadGrant, ReadRequest};
pub use sessions::{LiveSession, SessionDetail, SessionView};
pub use targets::TargetView;
