//! Limits that every protocol keeps. Each is refused before anything is allocated.

/// Statement text, default; configurable as `statement_bytes_max`.
pub const STATEMENT_BYTES_MAX: usize = 1024 * 1024;
/// A bound value up to this size is sealed whole; above it only its length and keyed digest are kept.
pub const PARAMETER_SEALED_BYTES_MAX: usize = 64 * 1024;
/// Values of one request that are sealed whole, together, as they are written in the record, which has to take them with the
/// statement in one append; those beyond are kept as their length and keyed digest too.
pub const PARAMETERS_SEALED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Parameters of one request.
pub const PARAMETERS_MAX: usize = 65_535;
/// First message of a stranger.
pub const OPENING_BYTES_MAX: usize = 10_000;
/// A message of an authentication exchange.
pub const AUTHENTICATION_BYTES_MAX: usize = 4_096;
/// A user name: a credential's identifier and caveats.
pub const USER_BYTES_MAX: usize = 512;
/// What may wait to be written to one side before the other side is no longer read.
pub const BACKLOG_BYTES_MAX: usize = 1024 * 1024;
/// Prepared statements that one session may keep.
pub const STATEMENTS_MAX: usize = 10_000;
/// Portals that one session may keep.
pub const PORTALS_MAX: usize = 10_000;
/// What one session may have kept for it under its names, together: texts of prepared statements, portals, cursors and
/// temporary tables, what is sent in their place, and values.
pub const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What the names in one string of statements may stand for, together: it is recorded in their place.
pub const MEANT_BYTES_MAX: usize = 2 * 1024 * 1024;
