//! The end of a session that was open: why, on record, and the last words.

use std::future::poll_fn;
use std::time::Duration;

use chaperone_access::Refusal;
use chaperone_recording::{End, Hit, Record, Seq, Unrecorded};
use chaperone_wire::{Conversation, Fault};

use crate::boundary::Told;
use crate::bounds::{Bounds, Over};
use crate::ends::Ends;

/// How long the last words may take to reach a client that does not read.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same for a client that is put out: whoever is locked must not keep the session by not reading.
const PUT_OUT: Duration = Duration::from_millis(300);

/// Why the loop stopped.
pub(crate) enum Stop {
    Left,
    Fault(Fault),
    Told(Told),
    Halfway(Refusal),
    Over(Over),
    Unrecorded(Unrecorded),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Unrecorded> for Stop {
    fn from(unrecorded: Unrecorded) -> Self {
        Self::Unrecorded(unrecorded)
    }
}

/// The last words: what is open is closed on the record first, then the client is told.
pub(crate) async fn finish<C: Conversation>(
    mut ends: Ends<C>,
    record: &mut Record,
    bounds: &Bounds<'_>,
    stop: Stop,
) -> End {
    let (end, words, hit) = last(record, stop);
    let put_out = record.is_running() && matches!(end, End::Told { .. } | End::Halfway(_));
    let recorded = close(record, &end, hit.as_ref());
    // Whoever is put out leaves nothing running behind him: what he began is stopped at the target as well.
    let stopping = async {
        if put_out {
            bounds.stop_running().await;
        }
    };
    // Where an entry was refused, a later one does not speak in its place: what waits for it does not leave.
    let whole = !matches!(end, End::Unrecorded);
    let durable = async {
        if let Ok(recorded) = recorded {
            if whole {
                ends.back.cover(recorded);
            }
            let _durable = tokio::time::timeout(FAREWELL, record.durable(recorded)).await;
        }
    };
    tokio::join!(stopping, durable);
    // What is on record is told, however little it is: a client should know that its write was carried out.
    ends.settle_all(record.watermark());
    if let Some(words) = words {
        ends.conversation.farewell(&words);
    }
    let flushed = poll_fn(|cx| ends.conversation.poll_flush_client(cx));
    let patience = if matches!(end, End::Told { .. }) { PUT_OUT } else { FAREWELL };
    let _told = tokio::time::timeout(patience, flushed).await;
    end
}

/// Everything that is open gets its last entry.
fn close(record: &mut Record, end: &End, hit: Option<&Hit>) -> Result<Seq, Unrecorded> {
    if let Some(hit) = hit {
        record.limit_hit(hit, false)?;
    }
    record.close_running(end)
}

/// What a reason to stop comes to: for the record, for the client, and the limit that was reached.
fn last(record: &Record, stop: Stop) -> (End, Option<Refusal>, Option<Hit>) {
    let told = |told: Told, hit| {
        (End::Told { code: told.refusal.code, learnt: told.learnt }, Some(told.refusal), hit)
    };
    match stop {
        Stop::Left => (End::Left, None, None),
        Stop::Fault(fault) => {
            tracing::info!(session = %record.session(), %fault, "a session ends by a fault");
            let words = match &fault {
                Fault::Client(refusal) | Fault::Target(refusal) => Some(refusal.clone()),
                Fault::ClientGone => None,
            };
            (End::from_fault(&fault), words, None)
        }
        Stop::Told(why) => told(why, None),
        Stop::Halfway(refusal) => (End::Halfway(refusal.code), Some(refusal), None),
        Stop::Over(over) => told(over.told, over.hit),
        Stop::Unrecorded(unrecorded) => (End::Unrecorded, Some(unrecorded.refusal()), None),
    }
}
