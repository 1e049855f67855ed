//! What the log costs, as one JSON object: entries a second under group commit, a lone entry's latency, recovery and
//! verification of a million entries. `cargo run --release --package chaperone-trail --example bench_trail [FOLDER]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a program of the bench's own"
)]

use std::path::{Path, PathBuf};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use chaperone_trail::{
    Body, Draft, OperationOutcome, Options, Seq, Signer, Status, Trail, TrailError, verify,
};

const ENTRIES: u64 = 1_000_000;
const WRITERS: u64 = 16;
const GROUP: Duration = Duration::from_secs(5);
const LONE: usize = 1_000;

fn draft(operation: u64) -> Draft {
    let outcome = OperationOutcome {
        bytes: 812,
        call: None,
        duration_us: 1234,
        ended_by: None,
        exit_code: None,
        free_text: None,
        operation,
        rows: 17,
        session: "01hv3k5wqe7xk2m9c4t8y6r0pz".to_owned(),
        signal: None,
        sqlstate: None,
        status: Status::Ok,
        subjects: None,
        transcript: None,
        withdrawn: None,
    };
    Draft::new(1_795_000_000_000_000 + operation, &Body::OperationOutcome(outcome)).unwrap()
}

fn wait(trail: &Trail, seq: Seq) {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    while trail.poll_durable(seq, &mut cx).is_pending() {
        std::thread::park();
    }
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Writers that each wait for their entry before the next: entries a second.
fn group(trail: &Trail) -> f64 {
    let began = Instant::now();
    let counted: u64 = std::thread::scope(|scope| {
        let writer = |first: u64| {
            scope.spawn(move || {
                let mut count = 0;
                while began.elapsed() < GROUP {
                    wait(trail, trail.append(draft(first + count), &[]).unwrap());
                    count += 1;
                }
                count
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    counted as f64 / began.elapsed().as_secs_f64()
}

fn lone_us(trail: &Trail) -> f64 {
    let mut times: Vec<f64> = (0..LONE)
        .map(|n| {
            let began = Instant::now();
            wait(trail, trail.append(draft(n as u64), &[]).unwrap());
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(LONE / 2).copied().unwrap_or_default()
}

/// As many entries as there are places for, without waiting for each: entries a second, all durable.
fn streamed(trail: &Trail, until: u64) -> f64 {
    let began = Instant::now();
    let mut last = Seq(0);
    let first = trail.metrics().appended;
    for n in first..until {
        last = loop {
            match trail.append(draft(n), &[]) {
                Ok(seq) => break seq,
                Err(TrailError::Busy) => std::thread::sleep(Duration::from_micros(200)),
                Err(error) => unreachable!("{error}"),
            }
        };
    }
    wait(trail, last);
    (until - first) as f64 / began.elapsed().as_secs_f64()
}

fn run(folder: &Path) -> serde_json::Value {
    let signer = || Signer::new("chaperone/bench", &[7; 32]).unwrap();
    let (trail, _) = Trail::open(Options::new(folder)).unwrap();
    let publisher = trail.publish(signer()).unwrap();
    let lone = lone_us(&trail);
    let grouped = group(&trail);
    eprintln!("trail: {grouped:.0} entries/s from {WRITERS} writers, a lone one takes {lone:.0} us");
    let streamed = streamed(&trail, ENTRIES);
    trail.close("bench").unwrap();
    publisher.join().unwrap();
    drop(trail);
    let writer_kib = memory_kib();
    eprintln!("trail: {streamed:.0} entries/s streamed; recovering {ENTRIES} entries");
    let began = Instant::now();
    let (trail, found) = Trail::open(Options::new(folder)).unwrap();
    let publisher = trail.publish(signer()).unwrap();
    let recovery_s = began.elapsed().as_secs_f64();
    trail.close("bench").unwrap();
    publisher.join().unwrap();
    let began = Instant::now();
    let report = verify(folder, &signer().verifier_key(), |_| {});
    let verify_s = began.elapsed().as_secs_f64();
    assert!(report.size > found.entries && report.unsigned == 0, "{report:?}");
    serde_json::json!({
        "entries": found.entries,
        "entries_per_s_16_waiting_writers": grouped,
        "entries_per_s_streamed": streamed,
        "lone_entry_p50_us": lone,
        "recovery_s": recovery_s,
        "verify_s": verify_s,
        "writer_kib_highest": writer_kib,
    })
}

fn main() {
    let chosen = std::env::args().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let folder = chosen.unwrap_or_else(|| temporary.path().to_owned());
    println!("{}", run(&folder));
}
