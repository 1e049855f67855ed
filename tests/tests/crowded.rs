//! Strangers who hold connections open on the agents' listener do not keep agents out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{AgentPlace, Boundary, Cluster, Fsync, Layout, private_folder};

/// Opens connections from as many addresses as this machine has on loopback and says nothing on them; told to, counts those that
/// are still there.
const HOARD: &str = "\
import socket, sys
port, sources, each = map(int, sys.argv[1:])
held = []
for source in range(1, sources + 1):
    for _ in range(each):
        held.append(socket.create_connection(('127.0.0.1', port), source_address=('127.0.2.%d' % source, 0)))
print(len(held), flush=True)
sys.stdin.readline()
def there(one):
    one.setblocking(False)
    try:
        return bool(one.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False
print(sum(map(there, held)), flush=True)
sys.stdin.readline()
";
/// Addresses, and connections of each: together more than the listener keeps of those who have not shown who they are.
const SOURCES: usize = 32;
const EACH: usize = 8;

#[test]
fn strangers_who_hold_connections_open_keep_no_agent_out() {
    let home = private_folder("test").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    let layout = Layout::new(AgentPlace::Separate);
    let mut boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    boundary.agent().unwrap().stop().unwrap();

    let mut python = Command::new("python3");
    python
        .args(["-c", HOARD])
        .args([usize::from(boundary.agents_port()), SOURCES, EACH].map(|n| n.to_string()));
    let mut hoard = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut tell, mut lines) =
        (hoard.stdin.take().unwrap(), BufReader::new(hoard.stdout.take().unwrap()).lines());
    assert_eq!(lines.next().unwrap().unwrap(), (SOURCES * EACH).to_string());

    boundary.start_agent().unwrap();
    let begun = Instant::now();
    while boundary.cli_json(&["agent", "list"]).unwrap()[0]["linked"] != true {
        assert!(begun.elapsed() < Duration::from_secs(20), "the agent is kept out");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Not because they had to leave for their silence: most of those that the listener keeps are there still.
    tell.write_all(b"\n").unwrap();
    let there: usize = lines.next().unwrap().unwrap().parse().unwrap();
    assert!((32..=64).contains(&there), "{there}");
    drop(tell);
    hoard.wait().unwrap();
}
