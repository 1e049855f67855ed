//! What a row filter costs a point select by key at the database itself: none, in a view of the floor, and in the
//! statement. One client, rounds in turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, DATABASE, Floor, Fsync, Layout, TARGET, UnderFloor, target_dir,
};
use serde_json::{Value, json};

use super::Effort;
use super::measure::{Load, median, one_pgbench};
use crate::failure::Failure;

const ROWS: u32 = 1_000_000;
/// The most that a select through the view may take, in times of the plain one.
const MOST: f64 = 2.0;
/// The role that has a floor, and whose sessions are measured.
const ROLE: &str = "nurses";
/// The word that those sessions are started with.
const WORD: &str = "00112233445566778899aabbccddeeff";
/// How long it may take until a session of that role is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked for.
const GLANCE: Duration = Duration::from_millis(20);

const CLASSIFICATION: &str = r#"
[relations."clinic.accounts"]
rows = "clinic_id = any(caller.clinics::integer[])"
[relations."clinic.accounts".columns]
id = { clear = true }
clinic_id = { clear = true }
name = { clear = true }
ssn = { tags = ["phi.ssn"], mask = "last_four" }
"#;
const POLICY: &str = r#"
permit (principal in Group::"dev/nurses", action in [Action::"connect", Action::"read", Action::"useMasked"],
  resource in Target::"clinic");
"#;

/// What the view selects, written into a statement.
const INLINE: &str = "(select t.id, t.clinic_id, t.name, case when length(t.ssn) > 4 then '***' || right(t.ssn, 4) \
    when t.ssn is not null then '***' end as ssn from clinic.accounts t \
    where t.clinic_id = any (array['1', '2', '3', '4', '5']::integer[]) offset 0) accounts";

/// Tells of a session of the role's that began after a moment, as the agent tells of one, and says which; of none until `pgbench`
/// asks in it: the first one that it opens it closes again.
fn telling(since: &str) -> String {
    format!(
        "insert into chaperone_floor.callers select pid, '{WORD}', jsonb_build_object('clinics', '{{1,2,3,4,5}}') \
         from pg_stat_activity \
         where usename = '{ROLE}' and backend_start > '{since}' and query like '%where id = %' \
         on conflict (pid) do update set session = excluded.session, said = excluded.said returning pid"
    )
}

/// Accounts with a floor over them. Fields end in order: what stands before the database ends first.
struct Accounts {
    /// Of the role's login at the database.
    url: String,
    view: String,
    _boundary: Boundary,
    cluster: Cluster,
    home: PathBuf,
}

impl Accounts {
    fn start(home: &Path) -> Result<Self, Failure> {
        let cluster = Cluster::start(&home.join("postgres"), Fsync::On, None)?;
        eprintln!("$ psql --command 'insert into clinic.accounts ...'  ({ROWS} rows)");
        cluster.sql(&format!(
            "create table clinic.accounts (id integer primary key, clinic_id integer not null, name text not null, \
             ssn text not null); \
             insert into clinic.accounts select n, n % 10, 'name ' || n, '900-00-' || n from generate_series(1, {ROWS}) n; \
             create index on clinic.accounts (clinic_id)"
        ))?;
        cluster.sql("vacuum analyze clinic.accounts")?;
        let policy = home.join("policy");
        fs::create_dir(&policy)
            .map_err(|error| Failure::new(format!("cannot make `{}`: {error}", policy.display())))?;
        written(&policy.join("clinic.cedar"), POLICY)?;
        let classification = written(&home.join("clinic.toml"), CLASSIFICATION)?;
        let login = UnderFloor { login: ROLE, role: ROLE, groups: vec!["dev/nurses".to_owned()] };
        let floor = Floor::new(home, vec![login])?;
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.program = target_dir().join("release/chaperone");
        layout.policy = Some(policy);
        layout.classification = Some(classification);
        floor.declare(TARGET, &mut layout);
        let boundary = Boundary::start(&home.join("chaperone"), &cluster, layout)?;
        floor.apply(&boundary, TARGET, &cluster)?;
        let view = cluster.sql(
            "select c.oid::regclass from pg_class c where relnamespace = 'chaperone_floor'::regnamespace \
             and relname like 'accounts%'",
        )?;
        // For the plain one and the one written out, which no floor would let the role read.
        cluster.sql(&format!(
            "grant usage on schema clinic to {ROLE}; grant select on clinic.accounts to {ROLE}"
        ))?;
        let url = format!(
            "postgresql://{ROLE}:{}@127.0.0.1:{}/{DATABASE}?options=-c%20chaperone_floor.session%3D{WORD}",
            floor.password()?,
            cluster.port()
        );
        Ok(Self { url, view: view.trim().to_owned(), _boundary: boundary, cluster, home: home.to_owned() })
    }

    /// Microseconds of the median select by key from a relation.
    fn latency(&self, mode: &str, from: &str, seconds: u32) -> Result<f64, Failure> {
        // A session that nobody has told of sees no row through the view, which is no figure: it asks until it sees one.
        let text = format!(
            "\\if :told = 0\nselect count(*) as told from {from} where id = 1 \\gset\n\
             \\if :told = 0\n\\sleep {} ms\n\\endif\n\
             \\else\n\\set id random(1, {ROWS})\nselect id, clinic_id, name, ssn from {from} where id = :id;\n\\endif\n",
            GLANCE.as_millis()
        );
        let script = written(&self.home.join("script.sql"), &text)?;
        let load = Load { mode, clients: 1, script: Some(&script), variables: &["told=0"] };
        let (url, home) = (&self.url, &self.home);
        let since = self.cluster.sql("select clock_timestamp()")?;
        let (told, measured) = thread::scope(|scope| {
            let running = scope.spawn(|| one_pgbench(url, &load, seconds, home));
            (self.tell(since.trim()), running.join())
        });
        let measured = measured.unwrap_or_else(|_| Err(Failure::new("a run of pgbench panicked")))?;
        told?;
        Ok(measured.1)
    }

    /// Tell of the role's session that began after a moment, as soon as it is there.
    fn tell(&self, since: &str) -> Result<(), Failure> {
        let (begun, telling) = (Instant::now(), telling(since));
        while begun.elapsed() < PATIENCE {
            if !self.cluster.sql(&telling)?.trim().is_empty() {
                return Ok(());
            }
            thread::sleep(GLANCE);
        }
        Err(Failure::new("pgbench opened no session"))
    }
}

/// Measure through the view and without it, as plain text and prepared; once with the filter in the statement.
///
/// # Errors
/// A program fails.
pub(crate) fn measure(effort: &Effort, home: &Path) -> Result<Value, Failure> {
    let home = home.join("floor");
    fs::create_dir(&home)
        .map_err(|error| Failure::new(format!("cannot make `{}`: {error}", home.display())))?;
    let accounts = Accounts::start(&home)?;
    let modes = ["simple", "prepared"].iter().map(|mode| through(&accounts, mode, effort));
    let modes = modes.collect::<Result<Vec<Value>, Failure>>()?;
    // It stops the planner, and is a fact: one run of it tells as much as many.
    let inline = accounts.latency("prepared", INLINE, effort.seconds)?;
    eprintln!("floor      with the filter in the statement {inline:>9.1} us");
    Ok(json!({ "rows": ROWS, "modes": modes, "inline_us": inline }))
}

/// A mode of `pgbench`, of the view beside the table.
fn through(accounts: &Accounts, mode: &str, effort: &Effort) -> Result<Value, Failure> {
    let (mut plains, mut views, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..effort.rounds {
        let latency = |from: &str| accounts.latency(mode, from, effort.seconds);
        // Each round begins with the other one, so that none always follows.
        let (plain, view) = if round.is_multiple_of(2) {
            let plain = latency("clinic.accounts")?;
            (plain, latency(&accounts.view)?)
        } else {
            let view = latency(&accounts.view)?;
            (latency("clinic.accounts")?, view)
        };
        eprintln!("floor      {mode:<9} {plain:>9.1} us, through the view {view:>9.1} us");
        plains.push(plain);
        views.push(view);
        ratios.push(view / plain);
    }
    Ok(json!({
        "mode": mode, "plain_us": plains, "view_us": views, "ratios": ratios, "most": MOST,
        "plain_us_median": median(&plains), "view_us_median": median(&views), "ratio_median": median(&ratios),
    }))
}

fn written(path: &Path, text: &str) -> Result<PathBuf, Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", path.display())))?;
    Ok(path.to_owned())
}
