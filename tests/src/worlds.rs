//! Two databases that differ only in what a restricted caller may not see, and a gateway before both: whoever can tell
//! them apart through it has learnt something.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{AgentPlace, Boundary, Cluster, Failure, Floor, LOGIN, Layout, Result, UnderFloor};

/// What the gateway calls the two databases.
pub const WORLDS: [&str; 2] = ["world_a", "world_b"];
/// The targets' names are the one thing that may differ, by construction.
const ENDPOINT: &str = "world_[ab]";
/// Seconds that one case may take.
const CASE_S_MAX: u32 = 60;
/// Milliseconds that a generated statement may take: what takes longer says nothing and costs much.
const GENERATED_MS_MAX: u32 = 2000;
/// Cases that share a session, cleaned between them, where there are many: opening one costs more than a statement.
const KEPT_CASES: u32 = 50;

/// A subject and its groups, at the development issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The subject.
    pub subject: String,
    /// Its groups.
    pub groups: Vec<String>,
}

impl Who {
    /// Somebody in a group of the same name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { subject: name.to_owned(), groups: vec![name.to_owned()] }
    }
}

/// What the worlds are made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The schema: any script for `psql` and the superuser; it may make a database and connect to it.
    pub schema: PathBuf,
    /// What is loaded after it, for each world.
    pub worlds: [PathBuf; 2],
    /// The classification of both.
    pub classification: Option<PathBuf>,
    /// The policy folder.
    pub policy: PathBuf,
    /// Who must not be able to tell the worlds apart.
    pub restricted: Who,
    /// Who may do everything.
    pub unrestricted: Who,
    /// Whether the restricted caller's sessions run as a role of their own at the database, which can read nothing that is
    /// hidden from him.
    pub floor: bool,
    /// The gateway's program and whatever else of its layout is asked for.
    pub layout: Layout,
}

impl Plan {
    /// The project's own worlds.
    #[must_use]
    pub fn ours() -> Self {
        let folder = folder();
        Self {
            schema: folder.join("schema.sql"),
            worlds: [folder.join("world_a.sql"), folder.join("world_b.sql")],
            classification: Some(folder.join("classification.toml")),
            policy: folder.join("policy"),
            restricted: Who::named("restricted"),
            unrestricted: Who::named("unrestricted"),
            floor: false,
            layout: Layout::new(AgentPlace::InProcess),
        }
    }
}

/// Where the project's own worlds, corpora and runner are.
#[must_use]
pub fn folder() -> PathBuf {
    crate::root().join("tests/worlds")
}

/// Connection strings of one caller for the two worlds.
pub type Pair = [String; 2];

/// Both worlds and the gateway before them; they end with the value.
#[derive(Debug)]
pub struct Worlds {
    // The boundary first: fields are dropped in order.
    boundary: Boundary,
    clusters: [Cluster; 2],
    restricted: Pair,
    unrestricted: Pair,
}

impl Worlds {
    /// Make both databases by the same steps, and start a gateway with the agent in its process before them.
    ///
    /// # Errors
    /// A script fails, or something does not start.
    pub fn start(home: &Path, plan: &Plan) -> Result<Self> {
        let [a, b] = &plan.worlds;
        let clusters = [world(&home.join("a"), &plan.schema, a)?, world(&home.join("b"), &plan.schema, b)?];
        let mut layout = plan.layout.clone();
        layout.policy = Some(plan.policy.clone());
        layout.classification.clone_from(&plan.classification);
        let [name_a, name_b] = WORLDS;
        let [cluster_a, cluster_b] = &clusters;
        let destinations = [cluster_a.as_target(name_a), cluster_b.as_target(name_b)];
        let floor = if plan.floor { Some(floor_of(home, &plan.restricted)?) } else { None };
        for (floor, target) in floor.iter().flat_map(|floor| WORLDS.map(|target| (floor, target))) {
            floor.declare(target, &mut layout);
        }
        let boundary = Boundary::before(&home.join("chaperone"), &destinations, layout)?;
        for (target, cluster) in WORLDS.into_iter().zip(&clusters) {
            floor.iter().try_for_each(|floor| floor.apply(&boundary, target, cluster).map(drop))?;
        }
        let restricted = credentials(&boundary, &plan.restricted)?;
        let unrestricted = credentials(&boundary, &plan.unrestricted)?;
        Ok(Self { boundary, clusters, restricted, unrestricted })
    }

    /// Connection strings of the caller who must not be able to tell the worlds apart.
    #[must_use]
    pub fn restricted(&self) -> &Pair {
        &self.restricted
    }

    /// Connection strings of the caller who may do everything.
    #[must_use]
    pub fn unrestricted(&self) -> &Pair {
        &self.unrestricted
    }

    /// Connection strings of the superuser, past the gateway.
    ///
    /// # Errors
    /// A password file cannot be read.
    pub fn direct(&self) -> Result<Pair> {
        let [a, b] = &self.clusters;
        Ok([a.superuser_url()?, b.superuser_url()?])
    }

    /// Connection strings of the login that the agent uses, past the gateway.
    ///
    /// # Errors
    /// A password file cannot be read.
    pub fn login(&self) -> Result<Pair> {
        let [a, b] = &self.clusters;
        Ok([a.login_url()?, b.login_url()?])
    }

    /// Gateway and agent.
    pub fn boundary(&mut self) -> &mut Boundary {
        &mut self.boundary
    }

    /// Which part has ended by itself, if one has.
    ///
    /// # Errors
    /// The system's.
    pub fn ended(&mut self) -> Result<Option<String>> {
        let [a, b] = &mut self.clusters;
        let parts = [
            ("PostgreSQL of world A", a.server().ended()?),
            ("PostgreSQL of world B", b.server().ended()?),
            ("the gateway", self.boundary.gateway().ended()?),
        ];
        let ended = parts.into_iter().find_map(|(name, status)| status.map(|status| (name, status)));
        Ok(ended.map(|(name, status)| format!("{name} ended by itself with {status}")))
    }
}

/// A value that is stored apart takes a number from the counter that numbers objects, too: how many hidden ones are so long
/// would show in the number of whatever is made next. Both worlds go on from a round one.
const ALIKE_FROM_HERE: &str = "do 'declare made oid; begin loop made := lo_create(0); perform lo_unlink(made); \
                               exit when made::bigint % 4096 = 0; end loop; end'";

/// One world: a bare cluster, the schema, the data. The agent's login gets whatever the superuser has, by membership: the
/// harder case, since no privilege that it lacks hides a fault of ours.
fn world(home: &Path, schema: &Path, data: &Path) -> Result<Cluster> {
    let mut cluster = Cluster::bare(home)?;
    cluster.load(&[schema, data])?;
    cluster.sql(&format!("grant postgres to {LOGIN}"))?;
    cluster.sql(ALIKE_FROM_HERE)?;
    cluster.sql("vacuum")?;
    Ok(cluster)
}

/// A world by itself, for whoever changes it.
///
/// # Errors
/// A script fails, or it does not start.
pub fn apart(home: &Path, plan: &Plan) -> Result<Cluster> {
    let [a, _] = &plan.worlds;
    world(home, &plan.schema, a)
}

/// The floor under the restricted caller's groups.
fn floor_of(home: &Path, who: &Who) -> Result<Floor> {
    let groups = who.groups.iter().map(|group| format!("dev/{group}")).collect();
    Floor::new(home, vec![UnderFloor { login: "restricted", role: "under_the_floor", groups }])
}

fn credentials(boundary: &Boundary, who: &Who) -> Result<Pair> {
    let groups: Vec<&str> = who.groups.iter().map(String::as_str).collect();
    let [a, b] = WORLDS;
    Ok([
        boundary.credential_for(a, &who.subject, &groups, None)?,
        boundary.credential_for(b, &who.subject, &groups, None)?,
    ])
}

/// What the statements of a trial go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// `psql`, a process for each case: the simple protocol, values as text.
    Psql,
    /// `driver.py`: prepared statements, parameters, binary values.
    Driver,
    /// `driver.py` with a bound on how long a statement may take, for generated ones.
    Generated,
}

/// One run of the two-world runner.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    /// What is compared.
    pub pair: &'a Pair,
    /// The cases.
    pub corpora: Vec<PathBuf>,
    /// A regular expression on the cases' names, where not all are meant.
    pub only: Option<String>,
    /// How they are run.
    pub through: Through,
}

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub id: String,
    /// What kind of case it is.
    pub class: String,
    /// `SAME`, `LEAK`, `UNSTABLE` or `TIMEOUT`; of generated statements also `ORDER`: the same rows in another order, which
    /// the statement leaves open.
    pub verdict: String,
    /// `OK`, `ERROR`, `REFUSED` or `TIMEOUT`.
    pub status: String,
    /// Whether it should have worked and did not.
    pub over_refused: bool,
    /// The beginning of its errors.
    pub errors: String,
    /// Its statements, where the verdict is not `SAME`.
    pub sql: String,
    /// What world A answered, where the verdict is not `SAME`.
    pub a: String,
    /// What world B answered, likewise.
    pub b: String,
}

impl Row {
    /// Whether the worlds could not be told apart.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.verdict == "SAME"
    }

    /// The first error without what is the case's own: quoted input and places.
    #[must_use]
    pub fn reason(&self) -> String {
        reason(&self.errors)
    }
}

impl Trial<'_> {
    /// Run it with the runner. `scratch` is a folder of the caller's.
    ///
    /// # Errors
    /// The runner itself failed. A leak is a result.
    pub fn run(&self, scratch: &Path) -> Result<Vec<Row>> {
        let result = scratch.join(format!("two-world-{}.json", crate::secret()?));
        let mut command = Command::new("python3");
        command.arg(folder().join("two_world.py")).arg("--quiet");
        for (flag, url) in ["--a", "--b"].into_iter().zip(self.pair) {
            command.arg(flag).arg(self.target(url));
        }
        for corpus in &self.corpora {
            command.arg("--corpus").arg(corpus);
        }
        command.args(["--endpoint", ENDPOINT, "--timeout", &CASE_S_MAX.to_string()]);
        if let Some(only) = &self.only {
            command.args(["--only", only]);
        }
        if self.through == Through::Generated {
            command.arg("--unordered");
        }
        command.arg("--json").arg(&result).stdin(Stdio::null());
        let output = command
            .output()
            .map_err(|error| Failure::new(format!("cannot run the two-world runner: {error}")))?;
        // 0, 1 and 3 are verdicts; anything else, or no file, is the runner's own failure.
        let read = fs::read_to_string(&result);
        let (Some(0 | 1 | 3), Ok(text)) = (output.status.code(), read) else {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("the two-world runner ended with {}: {said}", output.status)));
        };
        fs::remove_file(&result).map_err(Failure::at("remove", &result))?;
        let whole: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("the two-world runner wrote no JSON: {error}")))?;
        let rows = whole.get("rows").and_then(Value::as_array);
        rows.map(|rows| rows.iter().map(row).collect()).ok_or_else(|| Failure::new("no rows"))
    }

    fn target(&self, url: &str) -> String {
        let python = crate::target_dir().join("drivers/python/bin/python");
        let driver = format!("{} {}", quoted(&python), quoted(&folder().join("driver.py")));
        match self.through {
            Through::Psql => url.to_owned(),
            Through::Driver => format!("jsonl:{driver} '{url}'"),
            Through::Generated => {
                format!("jsonl:{driver} '{url}' --timeout-ms {GENERATED_MS_MAX} --keep {KEPT_CASES}")
            }
        }
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

fn row(value: &Value) -> Row {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let side = |name: &str| {
        let part = |part: &str| value.pointer(&format!("/{name}/{part}")).and_then(Value::as_str);
        [part("out"), part("err")].into_iter().flatten().collect::<Vec<_>>().join("\n")
    };
    let of_a = value.pointer("/a/err").and_then(Value::as_str).map(str::to_owned);
    Row {
        id: text("id"),
        class: text("cls"),
        verdict: text("verdict"),
        status: text("status"),
        over_refused: value.get("over_refused").is_some(),
        errors: of_a.unwrap_or_else(|| text("err")),
        sql: text("sql"),
        a: side("a"),
        b: side("b"),
    }
}

/// The first error of what `psql` or the driver printed, with quoted input as `_`.
fn reason(errors: &str) -> String {
    let is_error = |line: &&str| line.contains("ERROR:") || line.contains("FATAL:");
    let line = errors.lines().find(is_error).unwrap_or_default();
    let from = line.find("ERROR:").or_else(|| line.find("FATAL:")).unwrap_or_default();
    let mut said = String::new();
    let mut quote = None;
    for character in line.chars().skip(line.get(..from).map_or(0, |before| before.chars().count())) {
        match quote {
            Some(end) if character == end => quote = None,
            Some(_) => {}
            None if character == '`' || character == '"' => {
                quote = Some(character);
                said.push('_');
            }
            None => said.push(character),
        }
    }
    said
}

/// The cases of a corpus file as (name, class, statements).
///
/// # Errors
/// The file cannot be read, or a head has not three words.
pub fn cases(path: &Path) -> Result<Vec<(String, String, String)>> {
    let text = fs::read_to_string(path).map_err(Failure::at("read", path))?;
    let mut found: Vec<(String, String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("-- @t ") {
            let mut words = head.split_whitespace();
            let (Some(id), Some(class), Some(_), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(Failure::new(format!("`{head}` is no head of a case")));
            };
            found.push((id.to_owned(), class.to_owned(), String::new()));
        } else if let Some((_, _, sql)) = found.last_mut() {
            sql.push_str(line);
            sql.push('\n');
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_what_cases_share() {
        let psql = "psql:<stdin>:1: ERROR:  0A000: cannot vouch for function `f_sql` here\nHINT:  x";
        assert_eq!(reason(psql), "ERROR:  0A000: cannot vouch for function _ here");
        let driver = "notice NOTICE\nERROR:  42P01: relation \"a\" does not exist";
        assert_eq!(reason(driver), "ERROR:  42P01: relation _ does not exist");
        assert_eq!(reason("WARNING: nothing"), "");
    }
}
