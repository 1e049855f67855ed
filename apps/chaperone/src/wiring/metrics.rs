//! Prometheus metrics (text exposition format 0.0.4). Counts only; nothing about anybody.

use std::sync::atomic::{AtomicU64, Ordering};

use chaperone_access::RefusalCode;
use chaperone_recording::Subscriber;
use chaperone_trail::{SYNC_BOUNDS_US, Snapshot};
use chaperone_tunnel::AgentStatus;

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
    pub(crate) fn page(
        &self,
        live: usize,
        (down, up): (u64, u64),
        trail: Snapshot,
        agents: &[AgentStatus],
    ) -> String {
        let mut out = String::new();
        let streams: u64 = agents.iter().map(|agent| u64::from(agent.streams)).sum();
        let lag = trail.appended.saturating_sub(trail.durable);
        let rows: [(&str, &str, &str, u64); 10] = [
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
            ("chaperone_agents_linked", "gauge", "agents that serve now", agents.len() as u64),
            ("chaperone_agent_streams", "gauge", "streams open to targets", streams),
            ("chaperone_target_bytes_received_total", "counter", "bytes from targets", down),
            ("chaperone_target_bytes_sent_total", "counter", "bytes to targets", up),
        ];
        for (name, kind, help, value) in rows {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        }
        let name = "chaperone_trail_sync_seconds";
        out.push_str(&format!("# HELP {name} time of one sync of the trail\n# TYPE {name} histogram\n"));
        for (bound, count) in SYNC_BOUNDS_US.iter().zip(trail.syncs_within) {
            out.push_str(&format!("{name}_bucket{{le=\"{}\"}} {count}\n", *bound as f64 / 1e6));
        }
        let total_s = trail.sync_total_us as f64 / 1e6;
        out.push_str(&format!(
            "{name}_bucket{{le=\"+Inf\"}} {0}\n{name}_sum {total_s}\n{name}_count {0}\n",
            trail.syncs
        ));
        out
    }
}
