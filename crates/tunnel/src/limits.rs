//! Every size and time that a stranger can influence, by name.

use std::time::Duration;

/// Startup parameters of one dial.
pub const PARAMETERS: usize = 16;
/// Value of a startup parameter, in bytes.
pub const PARAMETER_BYTES: usize = 256;
/// `application_name`, in bytes (PostgreSQL's NAMEDATALEN less one).
pub const APPLICATION_BYTES: usize = 63;
/// Tallies that an agent keeps until they are acknowledged.
pub const TALLIES: usize = 10_000;
/// Opening a stream, login at the target included.
pub const DIAL: Duration = Duration::from_secs(20);
/// Wait for a stream's end to reach its tally.
pub const TALLY_WAIT: Duration = Duration::from_secs(2);
