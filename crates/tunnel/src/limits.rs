//! Every size and time that a stranger can influence, by name.

use std::time::Duration;

/// Startup parameters of one dial.
pub const PARAMETERS: usize = 16;
/// Value of a startup parameter, in bytes.
pub const PARAMETER_BYTES: usize = 256;
/// `application_name`, in bytes (PostgreSQL's NAMEDATALEN less one).
pub const APPLICATION_BYTES: usize = 63;
/// Name of one of a target's logins, in bytes.
pub const LOGIN_BYTES: usize = 63;
/// Name of a database role, in bytes (PostgreSQL's NAMEDATALEN less one).
pub const ROLE_BYTES: usize = 63;
/// Attributes of a caller.
pub const ATTRIBUTES: usize = 64;
/// Name of a caller's attribute, in bytes.
pub const ATTRIBUTE_BYTES: usize = 63;
/// All that is told of a caller, in bytes of JSON: with the rest of a dial it fits a link's headers, which are 16 KiB.
pub const CALLER_BYTES: usize = 8 * 1024;
/// User name and password of a hosted server's run, each in bytes.
pub const ACCESS_BYTES: usize = 512;
/// Tallies that an agent keeps until they are acknowledged.
pub const TALLIES: usize = 10_000;
/// Opening a stream, login at the target included.
pub const DIAL: Duration = Duration::from_secs(20);
/// Wait for a stream's end to reach its tally.
pub const TALLY_WAIT: Duration = Duration::from_secs(2);

/// Life of a link's certificates; an agent renews after two thirds of it.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Least time between two certificates of one agent.
pub const RENEWAL_PAUSE: Duration = Duration::from_secs(60);
/// How long an agent that failed to open a stream is asked last.
pub const FAILED: Duration = Duration::from_secs(30);
/// Longest life of an enrolment token.
pub const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// From a connection's first byte to the end of its handshake, and one exchange of words after it.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that have not shown a certificate of an agent yet, at a time: one more is not served. Whoever listens lets older ones
/// make room before there are as many.
pub const STRANGERS: usize = 128;
/// Any message on the link, and each part of a stream's prologue.
pub const WORDS_BYTES: usize = 64 * 1024;
/// Characters of another side's words that are shown on.
pub const WORDS_SHOWN: usize = 300;
/// Streams of one link at a time.
pub const STREAMS: u32 = 4096;
/// Bytes of one stream that may be under way, unread by its receiver.
pub const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of one link that may be under way: a window for each stream and one more, so that streams whose readers have
/// stopped never stop the others.
pub const LINK_WINDOW: u32 = STREAM_WINDOW * (STREAMS + 1);
/// Silence after which a link is asked whether it still stands.
pub const PING_AFTER: Duration = Duration::from_millis(1500);
/// How long it may take to answer. With [`PING_AFTER`] this bounds how late a lost agent is noticed: under 5 s.
pub const PING_PATIENCE: Duration = Duration::from_secs(3);
/// First and longest wait before a link is dialled again; each wait is a random share of a bound that doubles.
pub const REDIAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How long an agent that is asked to stop waits for its streams, and after them for its tallies to be fetched.
pub const DRAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3));
