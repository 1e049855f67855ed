//! What the management API takes and gives, as JSON. Paths are under `/api/v1`; `openapi.json` beside this crate
//! describes all of them and is written from these types.

mod agents;
mod commands;
mod credentials;
mod identities;
mod locks;
mod login;
mod page;
mod people;
mod policies;
mod problem;
mod recordings;
mod servers;
mod services;
mod sessions;
mod targets;
mod toolcalls;

pub use agents::{AgentView, LockRequest, RemoveAgent, TokenRequest, TokenView};
pub use commands::{CommandView, RunCommand, RunEnd, RunLine, RunRefused};
pub use credentials::{CredentialEntryView, RevocationView, RevokeCredential};
pub use identities::{ClientView, IdentityView};
pub use locks::{LockKind, LockView, PlaceLock};
pub use login::{
    AssuranceView, CredentialRequest, CredentialView, IssuerView, LoginRequest, LoginView, WhoView,
};
pub use page::{PAGE_DEFAULT, PAGE_MAX, Page};
pub use people::{DisableSubject, DisabledView, EnableSubject, LoginEntryView, PersonView};
pub use policies::{
    CatalogView, CheckView, DiffRequest, DiffView, ExplainRequest, ExplanationView, MatrixView,
    PolicySetView, PolicySource, PolicyTextView, ReloadView, TestView,
};
pub use problem::{Problem, ProblemKind};
pub use recordings::{ReadGrant, ReadRequest};
pub use servers::{AcceptTool, ServerToolView, ServerView};
pub use services::{CreateService, KeyView, RevokeService, RotateService, ServiceKeyView, ServiceView};
pub use sessions::{EndSession, LiveSession, SessionDetail, SessionView};
pub use targets::{AccessView, RelationAccess, TargetView};
pub use toolcalls::{
    ToolcallAsked, ToolcallEnd, ToolcallExchange, ToolcallOperation, ToolcallTold, ToolcallView,
};
