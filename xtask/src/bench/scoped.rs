//! What it costs that a caller sees only a part: in the database, which executes his statements as they were written
//! out, and in the gateway, beside a caller who sees everything and sends his own words.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chaperone_tests::{AgentPlace, Boundary, Caller, Cluster, Fsync, Layout, Talk, capture, target_dir};
use serde_json::{Value, json};

use super::Effort;
use super::measure::{Load, median, one_pgbench};
use crate::failure::Failure;
use crate::run;

const WHOLE: Caller = Caller { subject: "vera", groups: &["whole"], client: None };
const PART: Caller = Caller { subject: "paul", groups: &["part"], client: None };

/// Stands for a key in statements that are compared, and is none that exists.
const KEY: &str = "4242424";
/// One that does.
const SOMEBODY: &str = "4242";
/// What PostgreSQL keeps of a statement that runs, in bytes, with the zero at its end (`track_activity_query_size`).
const ACTIVITY_BYTES: usize = 1024;

/// A statement as it was sent by the client, compared with itself as it was written out.
struct Compared {
    name: &'static str,
    statement: &'static str,
    /// How often a round executes each of the two.
    runs: u32,
    /// Whether both are executed by plans that were made before, as of a prepared statement.
    planned: bool,
    /// The most that it may take, in times of what the plain one takes; `None` for a fact.
    most: Option<f64>,
}

const COMPARED: &[Compared] = &[
    Compared {
        name: "point select by key",
        statement: "select family_name, birth_date, ssn, balance from measured.people where person_id = 4242424",
        runs: 4_000,
        planned: false,
        most: Some(1.05),
    },
    Compared {
        name: "point select by key, planned before",
        statement: "select family_name, birth_date, ssn, balance from measured.people where person_id = 4242424",
        runs: 4_000,
        planned: true,
        most: Some(1.05),
    },
    // PostgreSQL hands rows on as they are where all of their columns are asked for, in their order.
    Compared {
        name: "point select of whole rows",
        statement: "select * from measured.people where person_id = 4242424",
        runs: 4_000,
        planned: false,
        most: None,
    },
    Compared {
        name: "aggregate over a range",
        statement: "select clinic_id, count(*), sum(balance), max(birth_date) from measured.people \
                    where person_id between 4242424 and 4242424 + 19999 group by clinic_id",
        runs: 60,
        planned: false,
        most: Some(1.05),
    },
    Compared {
        name: "join",
        statement: "select p.clinic_id, count(*), sum(v.amount), max(p.birth_date) from measured.visits v \
                    join measured.people p on p.person_id = v.person_id \
                    where v.visit_id between 4242424 and 4242424 + 999 group by p.clinic_id",
        runs: 200,
        planned: false,
        most: Some(1.05),
    },
    Compared {
        name: "point select, rows filtered inline",
        statement: "select family_name, birth_date, ssn, balance from measured.members where person_id = 4242424",
        runs: 5,
        planned: false,
        most: None,
    },
];

/// The same text each time: it is written out once.
const AGAIN: &str = "select person_id, clinic_id, family_name, ssn, birth_date from measured.people where person_id = 4242424;\n";
/// The same text each time, with a parameter; another number each time where there are none.
const PREPARED: &str = "\\set id random(1, 1000000)\n\
    select person_id, clinic_id, family_name, ssn, birth_date from measured.people where person_id = :id;\n";
/// A text that nobody has sent before: another name for a column each time.
const NEW: &str = "\\set id random(1, 1000000)\n\\set n random(1, 1000000000)\n\
    select person_id as c:n, clinic_id, family_name, ssn, birth_date from measured.people where person_id = :id;\n";

/// A load of the restricted caller beside one of the unrestricted caller, through the same gateway.
struct Beside {
    name: &'static str,
    mode: &'static str,
    whole: &'static str,
    part: &'static str,
    /// Microseconds that the gateway may take more at the median.
    most_us: f64,
    /// Whether the unrestricted caller sends the words that were written out, too, and is what is compared with: what the
    /// database takes more for the longer text is not the gateway's.
    passed: bool,
}

const BESIDE: &[Beside] = &[
    Beside {
        name: "known, prepared",
        mode: "prepared",
        whole: PREPARED,
        part: PREPARED,
        most_us: 10.0,
        passed: false,
    },
    Beside { name: "known, simple", mode: "simple", whole: AGAIN, part: AGAIN, most_us: 10.0, passed: true },
    // What is written out has quotes in it, so that passed through it would be another text each time.
    Beside {
        name: "known but for its number, simple",
        mode: "simple",
        whole: PREPARED,
        part: PREPARED,
        most_us: 10.0,
        passed: false,
    },
    Beside {
        name: "new text, simple",
        mode: "simple",
        whole: AGAIN,
        part: NEW,
        most_us: 2_000.0,
        passed: false,
    },
];

/// A gateway before the measured tables. Fields end in order: what stands before the database ends first.
struct Scoped {
    whole: String,
    part: String,
    _boundary: Boundary,
    cluster: Cluster,
}

impl Scoped {
    fn start(home: &Path) -> Result<Self, Failure> {
        let cluster = Cluster::start(&home.join("postgres"), Fsync::On, None)?;
        let folder = run::root().join("xtask/src/bench/scoped");
        eprintln!("$ psql --file tables.sql");
        let mut load = Command::new("psql");
        load.args(["-X", "-q", "-d", &cluster.login_url()?, "-f"]).arg(folder.join("tables.sql"));
        capture(&mut load)?;
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.program = target_dir().join("release/chaperone");
        layout.policy = Some(folder.join("policy"));
        layout.classification = Some(folder.join("classification.toml"));
        let boundary = Boundary::start(&home.join("chaperone"), &cluster, layout)?;
        let (whole, part) = (boundary.credential(&WHOLE)?, boundary.credential(&PART)?);
        Ok(Self { whole, part, _boundary: boundary, cluster })
    }

    /// What the database gets for a statement of the restricted caller: it is asked what that session ran.
    fn sent(&self, statement: &str) -> Result<String, Failure> {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", &self.part]);
        let mut session = Talk::start(&psql)?;
        session.ask(statement)?;
        let sent = self.cluster.sql(&format!(
            "select query from pg_stat_activity where pid <> pg_backend_pid() and query like '%{KEY}%'"
        ))?;
        let sent = sent.trim();
        if sent.is_empty() || sent == statement || sent.len() + 1 >= ACTIVITY_BYTES {
            return Err(Failure::new(format!(
                "`{statement}` was not written out, or too long to see: `{sent}`"
            )));
        }
        Ok(sent.to_owned())
    }
}

/// Measure both.
///
/// # Errors
/// A program fails, or a statement is not written out as it should be.
pub(crate) fn measure(effort: &Effort, home: &Path) -> Result<Value, Failure> {
    let home = home.join("scoped");
    fs::create_dir(&home)
        .map_err(|error| Failure::new(format!("cannot make `{}`: {error}", home.display())))?;
    let scoped = Scoped::start(&home)?;
    let compared: Result<Vec<Value>, Failure> =
        COMPARED.iter().map(|compared| execution(&scoped, compared, effort)).collect();
    let beside: Result<Vec<Value>, Failure> =
        BESIDE.iter().map(|beside| gateway(&scoped, beside, effort, &home)).collect();
    Ok(json!({ "execution": compared?, "gateway": beside? }))
}

/// How long the database takes for a statement as the client sent it and as the gateway did, in alternation.
fn execution(scoped: &Scoped, compared: &Compared, effort: &Effort) -> Result<Value, Failure> {
    let Compared { name, statement, runs, planned, most } = compared;
    let sent = scoped.sent(statement)?;
    let call = format!(
        "select * from measured.compare($plain${statement}$plain$, $sent${sent}$sent$, {runs}, {planned})"
    );
    let (mut ratios, mut rounds) = (Vec::new(), [const { Vec::new() }; 4]);
    for _ in 0..effort.rounds {
        let said = scoped.cluster.sql(&call)?;
        let took: Vec<f64> = said.trim().split('|').filter_map(|ms| ms.parse().ok()).collect();
        let [plain, written, ..] = took[..] else {
            return Err(Failure::new(format!("not four times: `{said}`")));
        };
        eprintln!("execution  {name:<36} {:>9.1} us, written out {:>9.1} us", plain * 1e3, written * 1e3);
        ratios.push(written / plain);
        for (column, ms) in rounds.iter_mut().zip(took) {
            column.push(ms * 1e3);
        }
    }
    let [plain, written, plain_planning, written_planning] = rounds.map(|column| median(&column));
    Ok(json!({
        "name": name, "sent": sent, "ratios": ratios, "ratio_median": median(&ratios), "most": most,
        "plain_us": plain, "written_out_us": written,
        "plain_planning_us": plain_planning, "written_out_planning_us": written_planning,
    }))
}

/// What the restricted caller's median statement takes longer than the unrestricted caller's, one client each.
fn gateway(scoped: &Scoped, beside: &Beside, effort: &Effort, home: &Path) -> Result<Value, Failure> {
    let Beside { name, mode, whole, part, most_us, passed } = beside;
    let mut sides = vec![
        (scoped.whole.clone(), script(home, "whole", whole)?, Vec::new()),
        (scoped.part.clone(), script(home, "part", part)?, Vec::new()),
    ];
    if *passed {
        let sent = scoped.sent(part.trim_end().trim_end_matches(';'))?;
        let text = format!("{};\n", sent.trim_end_matches(';'));
        sides.push((scoped.whole.clone(), script(home, "sent", &text)?, Vec::new()));
    }
    // Many short turns: what else the machine does meanwhile is then the same for all.
    for round in 0..effort.rounds * usize::try_from(effort.seconds).unwrap_or(1) {
        let mut order: Vec<_> = sides.iter_mut().collect();
        let first = round % order.len();
        order.rotate_left(first);
        for (url, script, latencies) in order {
            let load = Load { mode, clients: 1, script: Some(script), variables: &[] };
            let (_, latency) = one_pgbench(url, &load, 1, home)?;
            latencies.push(latency);
        }
    }
    let latencies = |side: usize| sides.get(side).map_or(&[] as &[f64], |(_, _, latencies)| latencies);
    let more = |one: usize, than: usize| -> Vec<f64> {
        latencies(one).iter().zip(latencies(than)).map(|(one, other)| one - other).collect()
    };
    let (wholes, parts) = (latencies(0), latencies(1));
    let (added, database) = if *passed { (more(1, 2), more(2, 0)) } else { (more(1, 0), Vec::new()) };
    let database = if *passed { median(&database) } else { 0.0 };
    eprintln!(
        "gateway    {name:<36} {:>9.1} us, restricted {:>9.1} us, {database:.1} more are the database's: {added:?}",
        median(wholes),
        median(parts)
    );
    Ok(json!({
        "name": name, "unrestricted_us": wholes, "restricted_us": parts, "added_us": added,
        "unrestricted_us_median": median(wholes), "restricted_us_median": median(parts),
        "added_us_median": median(&added), "database_us_median": database, "most_us": most_us,
    }))
}

fn script(home: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = home.join(format!("{name}.sql"));
    fs::write(&path, text.replace(KEY, SOMEBODY))
        .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", path.display())))?;
    Ok(path)
}
