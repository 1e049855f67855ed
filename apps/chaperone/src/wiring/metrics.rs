//! Prometheus metrics (text exposition format 0.0.4). Counts only; nothing about anybody.

use std::sync::atomic::{AtomicU64, Ordering};

use chaperone_access::RefusalCode;
use chaperone_recording::Subscriber;
use chaperone_trail::Snapshot;

/// Counters of the data path.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    allowed: AtomicU64,
    refused: AtomicU64,
    sessions: AtomicU64,
}

impl Subscriber for Counters {
    fn allowed(&self) {
        self.allowed.fetch_add(1, Ordering::Relaxed);
    }

    fn refused(&self, _code: RefusalCode) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(crate) fn session(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// The page.
    pub(crate) fn page(&self, live: usize, trail: Snapshot) -> String {
        let mut out = String::new();
        let lag = trail.appended.saturating_sub(trail.durable);
        let rows: [(&str, &str, &str, u64); 8] = [
            ("chaperone_sessions", "gauge", "sessions that are open", live as u64),
            (
                "chaperone_connections_total",
                "counter",
                "connections accepted",
                self.sessions.load(Ordering::Relaxed),
            ),
            (
                "chaperone_operations_allowed_total",
                "counter",
                "operations permitted",
                self.allowed.load(Ordering::Relaxed),
            ),
            (
                "chaperone_operations_refused_total",
                "counter",
                "operations refused",
                self.refused.load(Ordering::Relaxed),
            ),
            ("chaperone_trail_entries_durable", "counter", "entries that are durable", trail.durable),
            ("chaperone_trail_lag_entries", "gauge", "entries that wait for the disk", lag),
            ("chaperone_trail_syncs_total", "counter", "times the disk was synced", trail.syncs),
            ("chaperone_trail_sync_microseconds_total", "counter", "time spent syncing", trail.sync_total_us),
        ];
        for (name, kind, help, value) in rows {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        }
        out
    }
}
