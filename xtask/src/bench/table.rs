//! Figures for people: each beside what is to be reached.

use serde_json::Value;

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn rows<'a>(figures: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    figures.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// One figure of the `pgbench` part.
fn load(figures: &Value, endpoint: &str, mode: &str, clients: u64, field: &str) -> f64 {
    let row = rows(figures, "/pgbench").find(|row| {
        text(row, "endpoint") == endpoint
            && text(row, "mode") == mode
            && row.get("clients").and_then(Value::as_u64) == Some(clients)
    });
    row.map_or(f64::NAN, |row| number(row, &format!("/{field}")))
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}

/// Prints one part.
type Print = fn(&Value);

/// Print everything that was measured.
pub(crate) fn print(figures: &Value) {
    println!("\nmachine: {}", figures.get("machine").unwrap_or(&Value::Null));
    let parts: [(&str, Print); 7] = [
        ("pgbench", ways),
        ("bulk", bulk),
        ("idle", idle),
        ("scoped", scoped),
        ("floor", floor),
        ("catalog", catalog),
        ("tools", tools),
    ];
    for (part, print) in parts {
        if figures.get(part).is_some() {
            print(figures);
        }
    }
    rooms(figures);
    println!("\nthe rooms' own: {:#}", figures.get("rooms").unwrap_or(&Value::Null));
}

fn ways(figures: &Value) {
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
}

fn bulk(figures: &Value) {
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
}

fn idle(figures: &Value) {
    let (each, sessions) = (number(figures, "/idle/kib_each"), number(figures, "/idle/sessions"));
    println!(
        "{sessions:.0} idle sessions: {each:.1} KiB each in the gateway; to reach: <= 100   {}",
        verdict(each <= 100.0)
    );
}

/// What it costs that a caller sees only a part.
fn scoped(figures: &Value) {
    println!("\na statement written out, executed by the database in times of the plain one:");
    for row in rows(figures, "/scoped/execution") {
        let (ratio, most) = (number(row, "/ratio_median"), number(row, "/most"));
        let planning = number(row, "/written_out_planning_us") - number(row, "/plain_planning_us");
        let goal = if most.is_nan() {
            "no target".to_owned()
        } else {
            format!("to reach: <= {most:.2}   {}", verdict(ratio <= most))
        };
        println!(
            "{:<36} {ratio:>7.2} x {:.1} us; planning it {planning:+.1} us; {goal}",
            text(row, "name"),
            number(row, "/plain_us"),
        );
    }
    println!("\na restricted caller beside an unrestricted one, through the same gateway, 1 client:");
    for row in rows(figures, "/scoped/gateway") {
        let (added, most) = (number(row, "/added_us_median"), number(row, "/most_us"));
        let database = number(row, "/database_us_median");
        println!(
            "{:<36} adds {added:>5.0} us at p50 to {:.0} us, and the database {database:.0} for a longer text; to reach: <= {most:.0}   {}",
            text(row, "name"),
            number(row, "/unrestricted_us_median"),
            verdict(added <= most)
        );
    }
}

/// What a view of the floor costs at the database.
fn floor(figures: &Value) {
    println!(
        "\na point select by key through the floor's view, at the database, in times of the plain one, 1 client:"
    );
    for row in rows(figures, "/floor/modes") {
        let (ratio, most) = (number(row, "/ratio_median"), number(row, "/most"));
        println!(
            "{:<9} {ratio:>7.2} x {:.0} us; to reach: <= {most:.2}   {}",
            text(row, "mode"),
            number(row, "/plain_us_median"),
            verdict(ratio <= most)
        );
    }
    println!(
        "with the filter in the statement, prepared, it takes {:.0} us; no target",
        number(figures, "/floor/inline_us")
    );
}

/// What a large target costs.
fn catalog(figures: &Value) {
    let (tables, waits) =
        (number(figures, "/catalog/tables"), number(figures, "/catalog/first_session_s_median"));
    let more = number(figures, "/catalog/gateway_mib_more_median");
    let few = number(figures, "/catalog/tables_few");
    println!(
        "\n{tables:.0} classified tables: known to a first session after {waits:.2} s; to reach: <= 5   {}",
        verdict(waits <= 5.0)
    );
    println!(
        "their gateway has {more:.0} MiB more than one of {few:.0} tables after the same session; to reach: < 50   {}",
        verdict(more < 50.0)
    );
}

/// What a tool call costs, and how it holds for many.
fn tools(figures: &Value) {
    println!("\na tool's call through a gateway, warm, beside the same server directly:");
    for row in rows(figures, "/tools/echo") {
        let (added, most) = (number(row, "/added_us_median"), number(row, "/most_us"));
        println!(
            "{:<18} adds {added:>6.0} us at p50 to {:.0} us; to reach: <= {most:.0}   {}",
            text(row, "endpoint"),
            number(row, "/direct_us_median"),
            verdict(added <= most)
        );
    }
    println!(
        "the gateway's own `query`, beside a session of the same caller's through the same gateway that stays open:"
    );
    for row in rows(figures, "/tools/query") {
        let (added, most) = (number(row, "/added_to_session_us_median"), number(row, "/most_us"));
        println!(
            "{:<18} adds {added:>6.0} us at p50 to {:.0} us; to reach: <= {most:.0}   {}; a psql that is started for it takes {:.0} us",
            text(row, "endpoint"),
            number(row, "/session_us_median"),
            verdict(added <= most),
            number(row, "/psql_started_us_median"),
        );
    }
    let crowd = |field: &str| number(figures, &format!("/tools/crowd/{field}"));
    let (calls, attributed) = (crowd("calls"), crowd("attributed"));
    println!(
        "{:.0} subjects x {:.0} calls in flight: {attributed:.0} of {calls:.0} calls are on record with their statements, and nobody \
         else's; to reach: all   {}",
        crowd("subjects"),
        crowd("at_a_time"),
        verdict(attributed.total_cmp(&calls).is_eq())
    );
    println!(
        "their gateway has {:.0} KiB before, {:.0} KiB at its highest; a call takes {:.0} us at p50",
        crowd("gateway_kib_before"),
        crowd("gateway_kib_highest"),
        crowd("call_us_median")
    );
    let is_busy = figures.pointer("/tools/crowd/one_more_is_refused_busy").and_then(Value::as_bool);
    println!("one more than there are runs is refused as busy   {}", verdict(is_busy.unwrap_or(false)));
}

/// A bound of a figure.
#[derive(Clone, Copy)]
enum Goal {
    Most(f64),
    Least(f64),
}

/// What the rooms' own figures have to reach: the sum of the fields that are named.
const GOALS: &[(&str, &[&str], &str, Goal)] = &[
    ("trail", &["entries_per_s_16_waiting_writers"], "entries/s from 16 writers", Goal::Least(20_000.0)),
    ("trail", &["lone_entry_p50_us"], "us for a lone entry", Goal::Most(1_000.0)),
    ("trail", &["recovery_s"], "s to recover a million entries", Goal::Most(10.0)),
    ("trail", &["verify_s"], "s to verify a million entries", Goal::Most(20.0)),
    ("scope", &["catalog_5000_ms"], "ms to make a catalog of 5,000 tables", Goal::Most(5_000.0)),
    (
        "scope",
        &["catalog_5000_mib", "classification_5000_mib"],
        "MiB for it and its classification",
        Goal::Most(50.0),
    ),
    ("scope", &["point_select_written_out_us"], "us for a new point select", Goal::Most(2_000.0)),
    ("scope", &["join_written_out_us"], "us for a new join", Goal::Most(2_000.0)),
    ("scope", &["nested_written_out_us"], "us for a new nested statement", Goal::Most(2_000.0)),
    ("policy", &["load_ms"], "ms to load 2,000 policies", Goal::Most(1_000.0)),
    ("policy", &["admission_p99_us"], "us for an admission of 5,000 identities, p99", Goal::Most(5_000.0)),
    ("policy", &["cold_p99_us"], "us for the scope of 42 columns, cold, p99", Goal::Most(10_000.0)),
    ("policy", &["cached_us"], "us to decide about a known statement", Goal::Most(20.0)),
    ("policy", &["cached_p99_us"], "us for the same, p99", Goal::Most(20.0)),
    ("masking", &["prose_mib_per_s"], "MiB/s of prose", Goal::Least(50.0)),
    ("masking", &["prose_streamed_mib_per_s"], "MiB/s of prose in chunks", Goal::Least(50.0)),
    ("masking", &["dense_mib_per_s"], "MiB/s of notes full of identifiers", Goal::Least(50.0)),
    ("masking", &["digits_mib_per_s"], "MiB/s of digits", Goal::Least(50.0)),
];

fn rooms(figures: &Value) {
    println!();
    for (room, fields, what, goal) in GOALS {
        if figures.pointer(&format!("/rooms/{room}")).is_none() {
            continue;
        }
        let figure: f64 = fields.iter().map(|field| number(figures, &format!("/rooms/{room}/{field}"))).sum();
        let (sign, bound, reached) = match *goal {
            Goal::Most(most) => ("<=", most, figure <= most),
            Goal::Least(least) => (">=", least, figure >= least),
        };
        println!("{room:<9} {figure:>9.1} {what}; to reach: {sign} {bound:.0}   {}", verdict(reached));
    }
}
