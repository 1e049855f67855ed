//! A writer that is killed with -9 at a hundred moments: everything that it acknowledged is in the log, once, in order.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::task::{Context, Waker};
use std::time::Duration;

use chaperone_trail::{Body, Draft, Entry, GatewayHeartbeat, Options, Signer, Trail, scan_folder, verify};

const KILLS: u64 = 100;
/// Names the folder to whoever is started to be killed.
const FOLDER: &str = "CHAPERONE_KILLED_FOLDER";
const FIRST: &str = "CHAPERONE_KILLED_FIRST";

fn signer() -> Signer {
    Signer::new("chaperone/test", &[7; 32]).unwrap()
}

/// Not a test of its own: what is killed. Prints each mark once it is durable.
#[test]
fn writer_to_be_killed() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else { return };
    let (trail, _) = Trail::open(Options::new(folder)).unwrap();
    let _publisher = trail.publish(signer()).unwrap();
    let frame = vec![0x5a; 3000];
    let mut out = std::io::stdout().lock();
    for mark in first.parse::<u64>().unwrap().. {
        let body = GatewayHeartbeat { agents: vec![], durable: mark, interval_s: 1, sessions: 0 };
        let draft = Draft::new(mark, &Body::GatewayHeartbeat(body)).unwrap();
        let seq = trail.append(draft, &[&frame]).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        while trail.poll_durable(seq, &mut cx).is_pending() {
            std::thread::yield_now();
        }
        writeln!(out, "mark {mark}").unwrap();
        out.flush().unwrap();
    }
}

/// Start a writer, kill it some milliseconds after its first acknowledgement, and hand back what it acknowledged.
fn killed(folder: &Path, first: u64, after: Duration) -> Vec<u64> {
    let mut writer = Command::new(std::env::current_exe().unwrap());
    writer.args(["--exact", "writer_to_be_killed", "--nocapture"]);
    writer.env(FOLDER, folder).env(FIRST, first.to_string());
    let mut writer = writer.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    // The test harness speaks too.
    let mut marks = lines.map_while(Result::ok).filter_map(|line| line.rsplit_once("mark ")?.1.parse().ok());
    let mut seen = vec![marks.next().unwrap()];
    let killer = std::thread::spawn(move || {
        std::thread::sleep(after);
        writer.kill().unwrap();
        writer.wait().unwrap();
    });
    seen.extend(marks);
    killer.join().unwrap();
    seen
}

#[test]
fn a_hundred_kills_lose_nothing_that_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    // Moments spread without a pattern (Weyl's sequence), from at once to 30 ms.
    let mut moment = 0_u64;
    for kill in 0..KILLS {
        moment = moment.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let after = Duration::from_micros(moment % 30_000);
        acknowledged.extend(killed(home.path(), kill * 1_000_000, after));
    }
    let (trail, found) = Trail::open(Options::new(home.path())).unwrap();
    assert!(found.unclean);
    let publisher = trail.publish(signer()).unwrap();
    trail.close("test").unwrap();
    publisher.join().unwrap();
    let mut written = Vec::new();
    let take = |entry: Entry| {
        if let Body::GatewayHeartbeat(body) = entry.body {
            written.push(body.durable);
        }
    };
    scan_folder(home.path(), take).unwrap();
    assert!(written.is_sorted_by(|one, other| one < other), "an entry is there twice or out of order");
    assert!(acknowledged.len() as u64 > KILLS * 2, "only {} acknowledgements", acknowledged.len());
    let lost: Vec<_> = acknowledged.iter().filter(|mark| written.binary_search(mark).is_err()).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    let report = verify(home.path(), &signer().verifier_key(), |_| {});
    assert!(report.is_clean(), "{:?}", report.findings);
}
