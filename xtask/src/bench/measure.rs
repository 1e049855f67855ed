//! Measuring. Every figure is kept; medians are made at the end.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{Identity, Running, capture};
use serde_json::{Map, Value, json};

use super::Effort;
use super::endpoints::Endpoints;
use crate::failure::Failure;

/// What `pgbench` does.
pub(crate) struct Load<'a> {
    /// Its `-M`.
    pub(crate) mode: &'a str,
    pub(crate) clients: u32,
    /// The transaction; `pgbench -S`'s unless given.
    pub(crate) script: Option<&'a Path>,
    /// What its variables are at first, as in `told=0`.
    pub(crate) variables: &'a [&'a str],
}

const LOADS: &[Load<'_>] = &[
    Load { mode: "simple", clients: 1, script: None, variables: &[] },
    Load { mode: "prepared", clients: 1, script: None, variables: &[] },
    Load { mode: "simple", clients: 16, script: None, variables: &[] },
    Load { mode: "prepared", clients: 16, script: None, variables: &[] },
];
/// Rows of the bulk transfers: about 100 bytes each.
const BULK_ROWS: u32 = 2_000_000;
const IDLE_SESSIONS: u32 = 2_000;
/// Bytes of a batch of the trail with one lone read: intent and outcome.
const BATCH_BYTES: usize = 1200;
const SYNCS: usize = 500;

/// The middle of some figures, between the two middle ones where they are even in number; 0 of none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = sorted.get(half).copied().unwrap_or_default();
    let lower = if sorted.len().is_multiple_of(2) { half.checked_sub(1) } else { None };
    lower.and_then(|lower| sorted.get(lower)).map_or(upper, |lower| f64::midpoint(*lower, upper))
}

/// Alternated rounds of every load on every endpoint: `[{endpoint, mode, clients, tps: [..], p50_us: [..]}]`.
///
/// # Errors
/// `pgbench` fails.
pub(crate) fn pgbench(endpoints: &Endpoints, effort: &Effort, home: &Path) -> Result<Value, Failure> {
    let mut figures: Vec<Value> = Vec::new();
    for load in LOADS {
        let Load { mode, clients, .. } = load;
        let mut found: Vec<(Vec<f64>, Vec<f64>)> = endpoints.all.iter().map(|_| Default::default()).collect();
        for round in 0..effort.rounds {
            // Each round begins with another endpoint, so that none always follows the same neighbour.
            let mut order: Vec<_> = endpoints.all.iter().zip(&mut found).collect();
            let first = round % order.len();
            order.rotate_left(first);
            for (endpoint, (rates, latencies)) in order {
                let (rate, latency) = one_pgbench(&endpoint.url, load, effort.seconds, home)?;
                eprintln!(
                    "{mode:>9} {clients:>2} clients  {:<16} {rate:>8.0}/s  p50 {latency:>6.0} us",
                    endpoint.name
                );
                rates.push(rate);
                latencies.push(latency);
            }
        }
        for (endpoint, (rates, latencies)) in endpoints.all.iter().zip(found) {
            figures.push(json!({
                "endpoint": endpoint.name, "mode": mode, "clients": clients, "tps": rates, "p50_us": latencies,
                "tps_median": median(&rates), "p50_us_median": median(&latencies),
            }));
        }
    }
    Ok(Value::Array(figures))
}

/// One run: transactions a second, and the median latency of one in microseconds.
///
/// # Errors
/// `pgbench` fails.
pub(crate) fn one_pgbench(
    url: &str,
    load: &Load<'_>,
    seconds: u32,
    home: &Path,
) -> Result<(f64, f64), Failure> {
    let logs = home.join("pgbench");
    fs::create_dir_all(&logs)
        .map_err(|error| Failure::new(format!("cannot make `{}`: {error}", logs.display())))?;
    let mut command = Command::new("pgbench");
    command.current_dir(&logs).args(["--no-vacuum", "--log", "--protocol", load.mode]);
    match load.script {
        Some(script) => command.arg("--file").arg(script),
        None => command.arg("--select-only"),
    };
    for variable in load.variables {
        command.args(["--define", variable]);
    }
    let (clients, seconds) = (load.clients.to_string(), seconds.to_string());
    command.args(["--client", &clients, "--jobs", "1", "--time", &seconds, url]);
    let said = capture(&mut command)?;
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    let rate = rate.ok_or_else(|| Failure::new(format!("pgbench printed no rate:\n{said}")))?;
    let mut latencies = Vec::new();
    let entries = fs::read_dir(&logs)
        .map_err(|error| Failure::new(format!("cannot list `{}`: {error}", logs.display())))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::new(format!("cannot read `{}`: {error}", path.display())))?;
        // `client transaction latency script time ...`
        latencies.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
        fs::remove_file(&path)
            .map_err(|error| Failure::new(format!("cannot remove `{}`: {error}", path.display())))?;
    }
    Ok((rate, median(&latencies)))
}

/// The disk's own fdatasync of a batch as the trail writes it, into a file that is already allocated: median.
///
/// # Errors
/// The system's.
pub(crate) fn fdatasync(home: &Path) -> Result<Value, Failure> {
    let path = home.join("fdatasync");
    let cannot = |error: std::io::Error| Failure::new(format!("cannot write `{}`: {error}", path.display()));
    let mut file = File::create(&path).map_err(cannot)?;
    let batch = vec![0xa5_u8; BATCH_BYTES];
    for _ in 0..SYNCS {
        file.write_all(&batch).map_err(cannot)?;
    }
    file.sync_all().map_err(cannot)?;
    file.seek(SeekFrom::Start(0)).map_err(cannot)?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&batch).map_err(cannot)?;
        let begun = Instant::now();
        file.sync_data().map_err(cannot)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(json!(median(&times)))
}

/// Seconds of a COPY and of a cursor over many rows, and the gateway's resident memory before and at its highest.
///
/// # Errors
/// `psql` fails.
pub(crate) fn bulk(endpoints: &mut Endpoints, effort: &Effort) -> Result<Value, Failure> {
    let rows =
        format!("select n, md5(n::text) as a, repeat('x', 50) as b from generate_series(1, {BULK_ROWS}) n");
    let copy = format!("copy ({rows}) to stdout");
    let cursor = format!("\\set FETCH_COUNT 10000\n{rows};");
    let names: Vec<&str> = endpoints.all.iter().map(|endpoint| endpoint.name).collect();
    let mut times: Vec<[Vec<f64>; 2]> = names.iter().map(|_| Default::default()).collect();
    let before = memory(endpoints)?;
    for _ in 0..effort.rounds {
        for (endpoint, [copies, cursors]) in endpoints.all.iter().zip(&mut times) {
            copies.push(timed_psql(&endpoint.url, &format!("{copy};"))?);
            cursors.push(timed_psql(&endpoint.url, &cursor)?);
            eprintln!(
                "bulk  {:<16} copy {:.2} s  cursor {:.2} s",
                endpoint.name,
                copies.last().copied().unwrap_or_default(),
                cursors.last().copied().unwrap_or_default()
            );
        }
    }
    let after = memory(endpoints)?;
    let mut figures = Map::new();
    for (name, [copies, cursors]) in names.iter().zip(times) {
        figures.insert((*name).to_owned(), json!({
            "copy_s": copies, "cursor_s": cursors, "copy_s_median": median(&copies), "cursor_s_median": median(&cursors),
        }));
    }
    Ok(
        json!({ "rows": BULK_ROWS, "endpoints": figures, "gateway_kib_before": before, "gateway_kib_highest": after }),
    )
}

/// Feed `psql` a script, drop what it prints, and say how many seconds it took.
fn timed_psql(url: &str, script: &str) -> Result<f64, Failure> {
    let cannot = |error: std::io::Error| Failure::new(format!("cannot run `psql`: {error}"));
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]);
    let begun = Instant::now();
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(cannot)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes()).map_err(cannot)?;
    }
    let status = child.wait().map_err(cannot)?;
    if status.success() {
        Ok(begun.elapsed().as_secs_f64())
    } else {
        Err(Failure::new(format!("`psql` ended with {status}")))
    }
}

/// Highest resident memory so far of the gateway, in KiB.
fn memory(endpoints: &mut Endpoints) -> Result<u64, Failure> {
    status_kib(endpoints.in_process.gateway().id(), "VmHWM:")
}

/// A figure of a process, as the system tells it.
///
/// # Errors
/// There is no such process.
pub(crate) fn status_kib(process: u32, field: &str) -> Result<u64, Failure> {
    let path = format!("/proc/{process}/status");
    let text =
        fs::read_to_string(&path).map_err(|error| Failure::new(format!("cannot read `{path}`: {error}")))?;
    let value =
        text.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| Failure::new(format!("no `{field}` in `{path}`")))
}

/// Memory of the gateway for sessions that do nothing.
///
/// # Errors
/// The sessions cannot all be opened.
pub(crate) fn idle(endpoints: &mut Endpoints, home: &Path) -> Result<Value, Failure> {
    let url = endpoints
        .all
        .iter()
        .find(|endpoint| endpoint.name == "chaperone")
        .map(|endpoint| endpoint.url.clone());
    let url = url.ok_or_else(|| Failure::new("no endpoint with an agent inside"))?;
    let before = status_kib(endpoints.in_process.gateway().id(), "VmRSS:")?;
    // pgbench as the one program that opens thousands of sessions: each runs one statement and sleeps.
    let script = home.join("idle.sql");
    fs::write(&script, "select 1;\n\\sleep 600 s\n")
        .map_err(|error| Failure::new(format!("cannot write the script: {error}")))?;
    let mut command = Identity::Ours.command(Path::new("bash"), "TERM");
    let line = format!(
        "ulimit -n 65536; exec pgbench --no-vacuum --client {IDLE_SESSIONS} --jobs 1 --time 3600 --file \"$0\" \"$1\""
    );
    command.args(["-c", &line]).arg(&script).arg(&url);
    let mut clients = Running::start("pgbench", command, &home.join("idle.log"))?;
    let in_process = &endpoints.in_process;
    clients.until(Duration::from_secs(180), || {
        let open = in_process.cli_json(&["sessions", "--live", "--limit", "4096"]).ok();
        let open = open.as_ref().and_then(Value::as_array).map_or(0, Vec::len);
        u32::try_from(open).is_ok_and(|open| open >= IDLE_SESSIONS)
    })?;
    let with = status_kib(endpoints.in_process.gateway().id(), "VmRSS:")?;
    clients.kill()?;
    let each = with.saturating_sub(before) as f64 / f64::from(IDLE_SESSIONS);
    Ok(
        json!({ "sessions": IDLE_SESSIONS, "gateway_kib_before": before, "gateway_kib_with": with, "kib_each": each }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[5.0, 1.0, 100.0]) - 5.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 100.0, 1.0, 2.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
