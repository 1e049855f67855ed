//! Every size and time that a stranger can influence, by name.

use std::time::Duration;

/// Streams that one link carries at a time.
pub const STREAMS_PER_LINK: u32 = 512;
/// HTTP/2 window of a stream, in bytes: what a stalled reader can make the other side hold.
pub const STREAM_WINDOW: u32 = 512 * 1024;
/// HTTP/2 window of a link, in bytes: room for all streams at once and one more, so that no number of stalled streams can stall another.
pub const LINK_WINDOW: u32 = STREAM_WINDOW * (STREAMS_PER_LINK + 1);
/// HTTP/2 frame, in bytes.
pub const FRAME_BYTES: u32 = 64 * 1024;
/// Header list of a request or answer on a link, in bytes.
pub const HEADER_BYTES: u32 = 16 * 1024;
/// Facts and greeting together, in bytes.
pub const PROLOGUE_BYTES: usize = 64 * 1024;
/// Body of a plain request or answer (enrolment, tally, refusal), in bytes.
pub const BODY_BYTES: usize = 64 * 1024;
/// Certificate signing request, DER, in bytes.
pub const CSR_BYTES: usize = 4 * 1024;
/// Message or hint of a refusal, in bytes.
pub const REFUSAL_BYTES: usize = 1024;
/// Startup parameters of one dial.
pub const PARAMETERS: usize = 16;
/// Value of a startup parameter, in bytes.
pub const PARAMETER_BYTES: usize = 256;
/// `application_name`, in bytes (PostgreSQL's NAMEDATALEN less one).
pub const APPLICATION_BYTES: usize = 63;
/// Targets of one agent.
pub const TARGETS_PER_AGENT: usize = 256;
/// Tallies that an agent keeps until they are acknowledged.
pub const TALLIES: usize = 10_000;
/// Buffer for each direction of a stream on the agent, in bytes.
pub const COPY_BYTES: usize = 64 * 1024;
/// Connections without a proved identity at a time.
pub const STRANGERS: usize = 64;
/// Connections that one address may open in a burst; the allowance refills at one in [`STRANGER_REFILL`].
pub const STRANGER_BURST: u32 = 40;
/// See [`STRANGER_BURST`].
pub const STRANGER_REFILL: Duration = Duration::from_millis(250);
/// Addresses that the rate limit remembers.
pub const STRANGER_ADDRESSES: usize = 4096;
/// TCP connect, and TLS handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// A whole enrolment or renewal.
pub const ENROL: Duration = Duration::from_secs(30);
/// Opening a stream, login at the target included.
pub const DIAL: Duration = Duration::from_secs(20);
/// A plain request on a link.
pub const REQUEST: Duration = Duration::from_secs(5);
/// Pause between PINGs on a link.
pub const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Wait for the answer to a PING, after which the other side counts as lost.
pub const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Wait for a stream's end to reach its tally.
pub const TALLY_WAIT: Duration = Duration::from_secs(2);
/// Pause between two looks at an agent's record: a lock or removal reaches an open link in this time.
pub const RECHECK: Duration = Duration::from_secs(2);
/// Age of an enrolment token.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);
/// Life of an agent's certificate; renewed at half of it.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// First pause before a new attempt to reach the gateway; doubled each time, drawn evenly from 0 to the value.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// Largest pause before a new attempt.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
