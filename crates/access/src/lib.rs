//! The words every other room uses: who asks, of what, to do what, and what is answered.
//!
//! Pure: no IO, no clock, no randomness, no async runtime. Nothing here grants anything; the types that stand
//! for a proof (`Principal`, `Admission`, `Permit`, `Receipt`, `Cleared`) live in the rooms that alone can make
//! them.

mod called;
mod claim;
mod column;
mod ids;
mod operation;
mod refusal;
mod rows;
mod subject;
mod tools;

pub use called::Called;
pub use claim::{ChannelBinding, Claim, ScramClaim, Source};
pub use column::{
    Class, Column, ColumnUse, CopyForm, Described, FLOOR_SCHEMA, FreeText, MaskOperator, OwnRelation,
    RelationFacts, RelationScope, Scope, Showing, Subjects, Under,
};
pub use ids::{AgentName, CallId, InvalidName, OperationId, ProcessId, SessionId, TargetName};
pub use operation::{
    Analysis, Confined, Earlier, Effect, Member, NameRule, RelationName, ResultColumn, Rewrite,
    SessionEffect, Since, Touch, TransactionStep, Verb, Verbs, WORDS_KEPT_BYTES_MAX, Words,
};
pub use refusal::{Blame, Refusal, RefusalCode};
pub use rows::{Row, Rows};
pub use subject::{
    Assurance, Attribute, AttributeKind, Attributes, Attribution, Delegation, PURPOSE_BYTES_MAX, Recipient,
    SERVER_ISSUER, Server, Subject, SubjectKind, is_purpose,
};
pub use tools::{DESCRIBE_SCHEMA, EXPLAIN_ACCESS, QUERY, SQL_TOOLS, no_command};
