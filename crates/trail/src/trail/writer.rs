//! Writing: who takes the lock on the tail, how a batch becomes durable, and how room is made for the next ones.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Instant;

use super::{
    Finder, LEAD_US_MAX, RESERVE_BYTES, RETRY, SYNC_BOUNDS_US, Shared, TrailState, Writing, fill_up, hold,
    now,
};
use crate::entry::{Body, Draft, Gap, Refused};
use crate::recover::Tail;
use crate::segment;

/// The writer's thread: makes room, and writes what nobody else has written in time.
pub(super) fn keep_writing(shared: &Arc<Shared>) {
    loop {
        look(shared);
        let mut writing = hold(&shared.writing);
        // The last segment may be used up: there may be room for another by now.
        make_room(shared, &mut writing);
        let written = commit(shared, &mut writing);
        make_room(shared, &mut writing);
        let next = writing.tail.next;
        drop(writing);
        wake(shared, if written.is_err() { u64::MAX } else { next });
        let mut queue = hold(&shared.queue);
        if matches!(queue.state, TrailState::Failed(_)) {
            break;
        }
        // Under the lock that appends take: nothing can slip in between the last batch and the end.
        if queue.closing && queue.count == 0 {
            queue.state = TrailState::Closed;
            break;
        }
    }
    // Whoever still waits looks at how it ended: the publisher may have been the one that failed.
    wake(shared, u64::MAX);
    // It holds the log open until it is done.
    let preparing = hold(&shared.writing).preparing.take();
    if let Some(preparing) = preparing {
        drop(preparing.join());
    }
}

/// Wait until the writer's thread is needed. It is not woken by each append, which would cost more than the append: it
/// looks at an interval while there are any, and sleeps when there are none.
fn look(shared: &Shared) {
    let mut queue = hold(&shared.queue);
    loop {
        let now = Instant::now();
        let failed = matches!(queue.state, TrailState::Failed(_));
        if failed || queue.closing || queue.due.is_some_and(|due| due <= now) {
            return;
        }
        if std::mem::take(&mut queue.room_wanted) {
            return;
        }
        let full = queue.state == TrailState::Full;
        let until_due = queue.due.map(|due| due - now);
        let wait = until_due.or_else(|| std::mem::take(&mut queue.fresh).then_some(shared.linger_max));
        let Some(wait) = wait.or(full.then_some(RETRY)) else {
            queue.asleep = true;
            queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.asleep = false;
            continue;
        };
        let (after, timeout) = shared.work.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner);
        queue = after;
        if full && timeout.timed_out() {
            return;
        }
    }
}

/// Write what waits, if nobody is writing and the disk is a fast one.
pub(super) fn lead(shared: &Shared) {
    if shared.sync_last_us.load(Ordering::Relaxed) > LEAD_US_MAX {
        let mut queue = hold(&shared.queue);
        if queue.due.is_some() {
            queue.due = Some(Instant::now());
            shared.work.notify_one();
        }
        return;
    }
    // A poisoned lock is the writer's own end: its thread says so.
    let Ok(mut writing) = shared.writing.try_lock() else { return };
    let lacking = match writing.tail.room() {
        Room::Ample => false,
        Room::Half => writing.preparing.is_none(),
        Room::Scarce => true,
    };
    if lacking {
        hold(&shared.queue).room_wanted = true;
        shared.work.notify_one();
    }
    // From here on only the writer's thread writes, after it has tried to go over to another segment.
    if writing.tail.room() == Room::Scarce {
        return;
    }
    let written = commit(shared, &mut writing);
    let next = writing.tail.next;
    drop(writing);
    wake(shared, if written.is_err() { u64::MAX } else { next });
}

/// Take all that waits, write it, sync once, move the watermark. An error is the end of the log for this process.
///
/// A crash before the write leaves nothing: no byte has gone to the disk.
fn commit(shared: &Shared, writing: &mut Writing) -> Result<(), ()> {
    let Writing { tail, buffer, .. } = writing;
    let count = {
        let mut queue = hold(&shared.queue);
        if matches!(queue.state, TrailState::Failed(_) | TrailState::Closed) || queue.count == 0 {
            return Ok(());
        }
        std::mem::swap(&mut queue.buffer, buffer);
        queue.begins += segment::batch_bytes(buffer.len());
        queue.due = None;
        std::mem::take(&mut queue.count)
    };
    segment::finish_batch(buffer, tail.next, count);
    let written = write_batch(shared, tail, buffer, count);
    buffer.truncate(segment::HEADER);
    buffer.shrink_to(1 << 20);
    written.map_err(|error| {
        // Never tried again as if it had not happened: after a failed sync nobody knows what the disk holds.
        hold(&shared.queue).state = TrailState::Failed(error.to_string().into());
    })
}

fn write_batch(shared: &Shared, tail: &mut Tail, buffer: &[u8], count: u32) -> io::Result<()> {
    if tail.offset + buffer.len() as u64 > segment::SEGMENT_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            "more was taken than the segment has room for",
        ));
    }
    // A crash from here to the end of the sync leaves part of a batch, which nobody was told of: recovery cuts it off
    // by its checksum, or keeps it whole.
    let began = Instant::now();
    tail.segment.write(&*shared.disk, buffer, tail.offset)?;
    let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    shared.sync_last_us.store(took, Ordering::Relaxed);
    {
        let mut counts = hold(&shared.counts);
        counts.syncs += 1;
        counts.sync_last_us = took;
        counts.sync_total_us = counts.sync_total_us.saturating_add(took);
        for (within, bound) in counts.syncs_within.iter_mut().zip(SYNC_BOUNDS_US) {
            *within += u64::from(took <= bound);
        }
    }
    // From here on the batch survives any crash; only now is anybody told.
    tail.offset += buffer.len() as u64;
    tail.next += u64::from(count);
    shared.durable.store(tail.next, Ordering::Release);
    Ok(())
}

/// What the largest append takes in a segment.
const LARGEST: u64 = (super::APPEND_BYTES_MAX + segment::HEADER + segment::BLOCK) as u64;

/// What is left of the last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Ample,
    /// The next one should be made.
    Half,
    /// Not enough for the largest append beside [`RESERVE_BYTES`]: time to go over to the next one.
    Scarce,
}

impl Tail {
    fn room(&self) -> Room {
        let free = segment::SEGMENT_BYTES.saturating_sub(self.offset + RESERVE_BYTES);
        if free < LARGEST {
            Room::Scarce
        } else if free < segment::SEGMENT_BYTES / 2 {
            Room::Half
        } else {
            Room::Ample
        }
    }
}

/// The next segment, being made on a thread of its own: filling 32 MiB takes longer than anybody should wait.
pub(super) type Preparing = std::thread::JoinHandle<io::Result<segment::Segment>>;

/// Go over to the next segment while the last still has room beside the reserve; stop admission when that cannot be done.
pub(super) fn make_room(shared: &Arc<Shared>, writing: &mut Writing) {
    let Writing { tail, preparing, .. } = writing;
    let room = tail.room();
    if preparing.is_none() && room != Room::Ample {
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("segment".to_owned());
        // Without a thread it is made below, when it is needed.
        *preparing = thread.spawn(move || segment::prepare(&theirs.folder, &*theirs.disk)).ok();
    }
    if room != Room::Scarce {
        return;
    }
    let prepared = match preparing.take().map(std::thread::JoinHandle::join) {
        Some(Ok(prepared)) => prepared,
        Some(Err(_)) | None => segment::prepare(&shared.folder, &*shared.disk),
    };
    let installed = prepared.and_then(|segment| {
        segment::install(&shared.folder, tail.next, &*shared.disk)?;
        Ok(segment)
    });
    match installed {
        Ok(segment) => {
            tail.segment = segment;
            tail.offset = 0;
            hold(&shared.queue).begins = 0;
            reopen(shared, Finder::Writer);
        }
        Err(_) => fill_up(shared, Finder::Writer),
    }
}

/// Room again: the gap is on record before anything else is admitted.
pub(super) fn reopen(shared: &Shared, finder: Finder) {
    let mut queue = hold(&shared.queue);
    queue.full.set(finder, false);
    if queue.state != TrailState::Full || queue.full.writer || queue.full.publisher {
        return;
    }
    let refused = queue.refused.iter();
    let refused = refused.map(|(kind, count)| Refused { count: *count, kind: (*kind).to_owned() }).collect();
    let at = now();
    let gap = Gap { cause: "no room on the disk".to_owned(), from: queue.full_since, refused, until: at };
    // Where closing entries have used up the last segment, the next one takes it.
    if let Ok(draft) = Draft::new(at, &Body::Gap(gap))
        && queue.fits(draft.size_max() + segment::RECORD_HEADER, true)
    {
        queue.push(&draft, &[]);
        queue.refused.clear();
        queue.due = Some(Instant::now());
        queue.state = TrailState::Open;
        shared.work.notify_one();
    }
}

/// Wake whoever waits for an entry below `next`, and one of those who wait for a later one: it found somebody writing,
/// and now goes on in his place.
fn wake(shared: &Shared, next: u64) {
    let mut waiters = hold(&shared.waiters);
    let later = waiters.split_off(&next);
    let reached = std::mem::replace(&mut *waiters, later);
    let heir = waiters.first_key_value().and_then(|(_, waiting)| waiting.first().cloned());
    drop(waiters);
    reached.into_values().flatten().for_each(Waker::wake);
    if let Some(heir) = heir {
        heir.wake();
    }
}
