//! Figures for people: each beside what is to be reached.

use serde_json::Value;

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// One figure of the `pgbench` part.
fn load(figures: &Value, endpoint: &str, mode: &str, clients: u64, field: &str) -> f64 {
    let rows = figures.get("pgbench").and_then(Value::as_array).into_iter().flatten();
    let row = rows.into_iter().find(|row| {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        text("endpoint") == endpoint
            && text("mode") == mode
            && row.get("clients").and_then(Value::as_u64) == Some(clients)
    });
    row.map_or(f64::NAN, |row| number(row, &format!("/{field}")))
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}

/// Print everything.
pub(crate) fn print(figures: &Value) {
    println!("\nmachine: {}", figures.get("machine").unwrap_or(&Value::Null));
    let sync = number(figures, "/fdatasync_us");
    println!("fdatasync of a batch, p50: {sync:.0} us\n");
    println!(
        "{:<18}{:>20}{:>20}{:>20}{:>20}",
        "pgbench -S", "simple 1", "prepared 1", "simple 16", "prepared 16"
    );
    for endpoint in ["direct", "haproxy", "pgbouncer", "chaperone", "chaperone+agent"] {
        print!("{endpoint:<18}");
        for (mode, clients) in [("simple", 1), ("prepared", 1), ("simple", 16), ("prepared", 16)] {
            let rate = load(figures, endpoint, mode, clients, "tps_median");
            let latency = load(figures, endpoint, mode, clients, "p50_us_median");
            print!("{:>20}", format!("{rate:.0}/s {latency:.0} us"));
        }
        println!();
    }
    println!();
    for mode in ["simple", "prepared"] {
        for (endpoint, allowed) in [("chaperone", 100.0), ("chaperone+agent", 250.0)] {
            let added = load(figures, endpoint, mode, 1, "p50_us_median")
                - load(figures, "direct", mode, 1, "p50_us_median");
            let most = sync + allowed;
            println!(
                "{mode:<9} {endpoint:<16} adds {added:>6.0} us at p50, 1 client; to reach: <= {most:.0}   {}",
                verdict(added <= most)
            );
        }
        let ratio = load(figures, "chaperone", mode, 16, "tps_median")
            / load(figures, "pgbouncer", mode, 16, "tps_median");
        println!(
            "{mode:<9} chaperone        {ratio:.2} x pgbouncer, 16 clients; to reach: >= 0.80, aim 1.00   {}",
            verdict(ratio >= 0.8)
        );
    }
    for (kind, field) in [("COPY", "copy_s_median"), ("cursor", "cursor_s_median")] {
        for endpoint in ["chaperone", "chaperone+agent"] {
            let direct = number(figures, &format!("/bulk/endpoints/direct/{field}"));
            let ratio = direct / number(figures, &format!("/bulk/endpoints/{endpoint}/{field}"));
            println!(
                "{kind:<9} {endpoint:<16} {ratio:.2} x direct; to reach: >= 0.70   {}",
                verdict(ratio >= 0.7)
            );
        }
    }
    let (before, highest) =
        (number(figures, "/bulk/gateway_kib_before"), number(figures, "/bulk/gateway_kib_highest"));
    println!("gateway's highest memory: {before:.0} KiB before the bulk transfers, {highest:.0} KiB after");
    let (each, sessions) = (number(figures, "/idle/kib_each"), number(figures, "/idle/sessions"));
    println!(
        "{sessions:.0} idle sessions: {each:.1} KiB each in the gateway; to reach: <= 100   {}",
        verdict(each <= 100.0)
    );
    println!("\nthe rooms' own: {:#}", figures.get("rooms").unwrap_or(&Value::Null));
}
