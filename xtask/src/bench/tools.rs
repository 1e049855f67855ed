//! What a tool call costs more through a gateway, and how it holds where many people call at once.

mod asked;
mod crowd;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Issuer, Layout, TARGET, as_itself, capture, free_port,
    target_dir,
};
use serde_json::{Value, json};

use self::asked::{Asked, AtGateway, Direct};
use super::Effort;
use super::measure::{Load, median, one_pgbench};
use crate::failure::Failure;
use crate::run;

/// As the demonstration calls its own, so that its policies know it.
const SERVER: &str = "clinic-tools";
/// Calls of each way in a round.
const CALLS: usize = 300;
/// `psql` is started so often in a round.
const STARTS: usize = 20;
/// What is asked, by a clerk who sees a part of it.
const STATEMENT: &str = "select claim_id, billed_on, amount, status from clinic.claims where claim_id = 4711";
const CLERK: Caller = Caller { subject: "ben", groups: &["billing"], client: None };
/// Microseconds that a call may take longer.
const MOST_US: f64 = 2_000.0;

/// A gateway with tools, and who vouches for those who call them. Fields end in order.
struct Place {
    issuer: Issuer,
    boundary: Boundary,
    cluster: Cluster,
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(format!("cannot {what}: {error}"))
}

/// The server's launch line.
fn line() -> [PathBuf; 3] {
    let own = run::root().join("xtask/src/bench/tools/server.py");
    ["/usr/bin/python3".into(), own, run::root().join("tests/drivers")]
}

fn policies(home: &Path) -> Result<PathBuf, Failure> {
    let to = home.join("policy-of-tools");
    fs::create_dir(&to).map_err(failed("make the policies' folder"))?;
    let root = run::root();
    for (from, name) in [
        ("demo/policy/clinic.cedar", "clinic.cedar"),
        ("demo/tools/tools.cedar", "calls.cedar"),
        ("xtask/src/bench/tools/tools.cedar", "measured.cedar"),
    ] {
        fs::copy(root.join(from), to.join(name)).map_err(failed("copy the policies"))?;
    }
    Ok(to)
}

impl Place {
    fn start(home: &Path, agent: AgentPlace, processes: usize) -> Result<Self, Failure> {
        fs::create_dir_all(home).map_err(failed("make a folder"))?;
        let cluster = Cluster::start(&home.join("postgres"), Fsync::On, None)?;
        let issuer = Issuer::start(&home.join("issuer"), "http://127.0.0.1:9/logout")?;
        let api_port = free_port()?;
        let mut layout = Layout::new(agent);
        layout.program = target_dir().join("release/chaperone");
        layout.api_port = Some(api_port);
        layout.policy = Some(policies(home)?);
        layout.classification = Some(run::root().join("demo/classification/clinic.toml"));
        layout.more = format!(
            "[mcp]\n\n[servers.{SERVER}]\ntarget = \"{TARGET}\"\nowner = \"bench\"\nprocesses_max = {processes}\n\n\
             [issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n",
            issuer.url()
        );
        let line = line();
        layout.more_of_agent = format!(
            "\n[servers.{SERVER}]\n{}processes_max = {processes}\ncommand = {}\nread = {}\n\
             environment = {{ DSN = \"{{url}}\" }}\n",
            as_itself(),
            json!(line),
            json!([line[2]])
        );
        layout.servers = vec![SERVER.to_owned()];
        let boundary = Boundary::start(&home.join("chaperone"), &cluster, layout)?;
        Ok(Self { issuer, boundary, cluster })
    }

    fn token(&self, subject: &str) -> Result<String, Failure> {
        let audience = format!("{}/mcp", self.boundary.api_url());
        let claims = json!({"aud": audience, "client_id": "figures", "scope": "", "sub": subject, "groups": ["billing"]});
        Ok(self.issuer.token(&claims)?)
    }

    fn at(&self, name: &str, token: &str) -> Result<AtGateway, Failure> {
        AtGateway::new(&self.boundary.api_url(), name, token)
    }
}

/// Measure everything about tool calls.
///
/// # Errors
/// A program fails, or a call is not answered as it should be.
pub(crate) fn measure(effort: &Effort, home: &Path) -> Result<Value, Failure> {
    let home = home.join("tools");
    let (mut echo, mut query) = (Vec::new(), Vec::new());
    for (name, agent) in [("chaperone", AgentPlace::InProcess), ("chaperone+agent", AgentPlace::Separate)] {
        let folder = home.join(name);
        let place = Place::start(&folder, agent, 8)?;
        echo.push(echoes(&place, name, effort)?);
        query.push(queries(&place, name, effort, &folder)?);
    }
    Ok(json!({ "echo": echo, "query": query, "crowd": crowd::measure(&home.join("crowd"))? }))
}

fn us(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

/// The median time of a tool's calls, each of which has to be answered.
fn calls(asked: &mut dyn Asked, tool: &str, arguments: &Value, wanted: &str) -> Result<f64, Failure> {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let (text, time) = asked.answered(tool, arguments)?;
        if !text.contains(wanted) {
            return Err(Failure::new(format!("`{tool}` says `{text}`, without `{wanted}`")));
        }
        took.push(us(time));
    }
    Ok(median(&took))
}

/// An echo tool through the gateway, whose run is warm, and of the same server directly, in alternation.
fn echoes(place: &Place, name: &str, effort: &Effort) -> Result<Value, Failure> {
    let line = line();
    let words: Vec<&Path> = line.iter().map(PathBuf::as_path).collect();
    let (mut direct, mut gateway) = (Direct::new(&words)?, place.at(SERVER, &place.token("ben")?)?);
    let arguments = json!({"text": "the ward is quiet tonight"});
    gateway.answered("echo", &arguments)?;
    let (mut directly, mut through) = (Vec::new(), Vec::new());
    for round in 0..effort.rounds {
        let mut sides: [(&mut dyn Asked, &mut Vec<f64>); 2] =
            [(&mut direct, &mut directly), (&mut gateway, &mut through)];
        sides.rotate_left(round % 2);
        for (asked, found) in sides {
            found.push(calls(asked, "echo", &arguments, "quiet")?);
        }
    }
    let added: Vec<f64> = through.iter().zip(&directly).map(|(through, direct)| through - direct).collect();
    eprintln!("tools      echo  {name:<16} direct {directly:.0?} us, through it {through:.0?} us");
    Ok(json!({
        "endpoint": name, "direct_us": directly, "gateway_us": through, "added_us": added,
        "direct_us_median": median(&directly), "gateway_us_median": median(&through),
        "added_us_median": median(&added), "most_us": MOST_US,
    }))
}

/// The gateway's own tool for statements, beside a session of the same clerk's at the same gateway that stays open, and beside a
/// `psql` that is started for each.
fn queries(place: &Place, name: &str, effort: &Effort, home: &Path) -> Result<Value, Failure> {
    let url = place.boundary.credential(&CLERK)?;
    let script = home.join("statement.sql");
    fs::write(&script, format!("{STATEMENT};\n")).map_err(failed("write the statement"))?;
    let mut tool = place.at(TARGET, &place.token("ben")?)?;
    let arguments = json!({"sql": STATEMENT});
    tool.answered("query", &arguments)?;
    let (mut session, mut started, mut called) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..effort.rounds {
        let mut order = [0, 1, 2];
        order.rotate_left(round % 3);
        for side in order {
            match side {
                0 => {
                    let load = Load { mode: "simple", clients: 1, script: Some(&script), variables: &[] };
                    session.push(one_pgbench(&url, &load, effort.seconds.min(2), home)?.1);
                }
                1 => started.push(psql(&url)?),
                _ => called.push(calls(&mut tool, "query", &arguments, "4711")?),
            }
        }
    }
    let against = |others: &[f64]| {
        let added: Vec<f64> = called.iter().zip(others).map(|(called, other)| called - other).collect();
        median(&added)
    };
    eprintln!(
        "tools      query {name:<16} session {session:.0?} us, psql started {started:.0?} us, query {called:.0?} us"
    );
    Ok(json!({
        "endpoint": name, "session_us": session, "psql_started_us": started, "query_us": called,
        "session_us_median": median(&session), "psql_started_us_median": median(&started),
        "query_us_median": median(&called), "added_to_session_us_median": against(&session),
        "added_to_psql_started_us_median": against(&started), "most_us": MOST_US,
    }))
}

fn psql(url: &str) -> Result<f64, Failure> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        capture(Command::new("psql").args(["-XAtq", "-d", url, "-c", STATEMENT]))?;
        took.push(us(begun.elapsed()));
    }
    Ok(median(&took))
}
