//! What a row filter costs a point select by key at the database itself: none, in a view of the floor, and in the statement.
//! A million rows, `pgbench` with prepared statements, one client, rounds in turn; medians in microseconds and their ratios
//! as one JSON object, plans on standard error. `cargo run --release --package chaperone-tests --example bench_floor`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program of the bench's own"
)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Floor, Fsync, Layout, UnderFloor, capture, private_folder,
};

const ROUNDS: usize = 5;
const SECONDS: u32 = 3;
const ROWS: u32 = 1_000_000;
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

/// The role's session is told of as the agent tells of one.
const TELL: &str = "insert into chaperone_floor.callers select pid, (extract(epoch from backend_start) * 1000000)::bigint, \
    'clinics', array['1', '2', '3', '4', '5'] from pg_stat_activity where usename = 'nurses' on conflict do nothing";

fn main() {
    let home = private_folder("bench").unwrap();
    let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
    cluster
        .sql(&format!(
            "create table clinic.accounts (id integer primary key, clinic_id integer not null, name text not null, ssn text not null);\
             insert into clinic.accounts select n, n % 10, 'name ' || n, '900-00-' || n from generate_series(1, {ROWS}) n;\
             create index on clinic.accounts (clinic_id)"
        ))
        .unwrap();
    cluster.sql("vacuum analyze clinic.accounts").unwrap();
    let (policy, classification) = (home.path().join("policy"), home.path().join("clinic.toml"));
    std::fs::create_dir(&policy).unwrap();
    std::fs::write(policy.join("clinic.cedar"), POLICY).unwrap();
    std::fs::write(&classification, CLASSIFICATION).unwrap();
    let login = UnderFloor { login: "nurses", role: "nurses", groups: vec!["dev/nurses".to_owned()] };
    let floor = Floor::new(home.path(), vec![login]).unwrap();
    let mut layout = Layout {
        policy: Some(policy),
        classification: Some(classification),
        ..Layout::new(AgentPlace::InProcess)
    };
    floor.declare("clinic", &mut layout);
    let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
    floor.apply(&boundary, "clinic", &cluster).unwrap();
    let view = cluster
        .sql("select c.oid::regclass from pg_class c where relnamespace = 'chaperone_floor'::regnamespace and relname like 'accounts%'")
        .unwrap();
    // For the plain and the inline one, which no floor would let the role read.
    cluster.sql("grant usage on schema clinic to nurses; grant select on clinic.accounts to nurses").unwrap();
    let select = |from: &str| format!("select id, clinic_id, name, ssn from {from} where id = ");
    let masked = "case when length(t.ssn) > 4 then '***' || right(t.ssn, 4) when t.ssn is not null then '***' end as ssn";
    let inline = format!(
        "(select t.id, t.clinic_id, t.name, {masked} from clinic.accounts t \
         where t.clinic_id = any (array['1', '2', '3', '4', '5']::integer[]) offset 0) accounts"
    );
    let ways =
        [("plain", select("clinic.accounts")), ("view", select(view.trim())), ("inline", select(&inline))];
    let password = floor.password().unwrap();
    let url = format!("postgresql://nurses:{password}@127.0.0.1:{}/clinic", cluster.port());
    let mut found = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for at in (0..ways.len()).map(|at| (at + round) % ways.len()) {
            // The slow one stops the planner: fewer rounds tell as much.
            if at == 2 && round > 0 {
                continue;
            }
            found[at].push(latency(home.path(), &cluster, &url, &ways[at].1));
        }
    }
    for (name, select) in &ways[..2] {
        let (planned, _) = plan(&cluster, &url, &format!("{select}4711"));
        eprintln!("{name}:\n{planned}");
    }
    let [plain, through, inline] = found.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    });
    println!(
        "{{\"plain_us\":{plain:.1},\"view_us\":{through:.1},\"inline_us\":{inline:.1},\"view_to_plain\":{:.2},\"inline_to_plain\":{:.0}}}",
        through / plain,
        inline / plain
    );
}

/// Mean latency of one statement, in microseconds.
fn latency(home: &Path, cluster: &Cluster, url: &str, select: &str) -> f64 {
    let script = home.join("script.sql");
    std::fs::write(&script, format!("\\set id random(1, {ROWS})\n{select}:id;\n")).unwrap();
    let mut bench = Command::new("pgbench");
    bench.args(["--no-vacuum", "--protocol", "prepared", "--time", &SECONDS.to_string(), "--file"]);
    bench.arg(&script).arg(url);
    let said = std::thread::scope(|scope| {
        let running = scope.spawn(|| capture(&mut bench).unwrap());
        std::thread::sleep(Duration::from_millis(200));
        cluster.sql(TELL).unwrap();
        running.join().unwrap()
    });
    let line = said.lines().find_map(|line| line.strip_prefix("latency average = ")).unwrap();
    line.split(' ').next().unwrap().parse::<f64>().unwrap() * 1000.0
}

/// How the database plans it for a session that was told of, and what it answered.
fn plan(cluster: &Cluster, url: &str, select: &str) -> (String, String) {
    let mut talk = chaperone_tests::Talk::start(Command::new("psql").args(["-XAtq", "-d", url])).unwrap();
    cluster.sql(TELL).unwrap();
    (talk.ask(&format!("explain analyze {select}")).unwrap(), talk.ask(select).unwrap())
}
