//! `cargo xtask demo`: the whole product on one machine, with a clinic that does not exist.

mod assistant;
mod calls;
mod shown;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Floor, Fsync, Layout, TARGET, UnderFloor, capture, private_folder,
    root,
};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::assistant::Assistant;
use crate::failure::Failure;
use crate::run;
use crate::setup::{self, For};

/// Who appears in the demonstration. The names are what `--json` calls them.
pub(crate) const CAST: &[(&str, &str, Caller)] = &[
    ("nurse", "Ana, a nurse", Caller { subject: "ana", groups: &["nurses"], client: None }),
    ("billing_clerk", "Ben, a billing clerk", Caller { subject: "ben", groups: &["billing"], client: None }),
    (
        "billing_ai",
        "Ben's AI client",
        Caller { subject: "ben", groups: &["billing"], client: Some("claude") },
    ),
    (
        "engineer",
        "Dora, a database engineer",
        Caller { subject: "dora", groups: &["engineers"], client: None },
    ),
    (
        "privacy_officer",
        "Pia, a privacy officer",
        Caller { subject: "pia", groups: &["privacy"], client: None },
    ),
];

/// The database roles of nurses' and clerks' sessions.
const NURSES: &str = "nurses";
const CLERKS: &str = "billing_clerks";

/// How often the processes are looked at while the demonstration is up.
const GLANCE: Duration = Duration::from_millis(200);

/// What was asked for on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    once: bool,
    json: bool,
    data: Option<PathBuf>,
    postgres_port: Option<u16>,
    api_port: Option<u16>,
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self, Failure> {
        let mut this = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value =
                || rest.next().ok_or_else(|| Failure::usage(format!("`{argument}` needs a value")));
            match *argument {
                "--once" => this.once = true,
                "--json" => this.json = true,
                "--data" => this.data = Some(PathBuf::from(value()?)),
                "--port" => this.postgres_port = Some(port(value()?)?),
                "--api-port" => this.api_port = Some(port(value()?)?),
                other => {
                    let known = "--once, --json, --data DIR, --port N and --api-port N";
                    return Err(Failure::usage(format!(
                        "unknown option `{other}`\nhint: the demonstration knows {known}"
                    )));
                }
            }
        }
        Ok(this)
    }
}

fn port(text: &str) -> Result<u16, Failure> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Failure::usage(format!("`{text}` is not a port (1 to 65535)"))),
    }
}

/// Everything that runs. Fields end in order: the boundary before the database behind it.
struct Stage {
    boundary: Boundary,
    cluster: Cluster,
    /// Caller's name -> connection string.
    callers: Vec<(&'static str, String)>,
    floor: Floor,
    /// Not there where npm's packages for it are not.
    assistant: Option<Assistant>,
}

/// Set up, build, start, show, and stay up until interrupted (or not, with `--once`).
///
/// # Errors
/// Something is missing, does not start, or does not do what the demonstration says it does.
pub(crate) fn demo(arguments: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    setup::setup(For::Demonstration)?;
    run::show(run::command(&["cargo", "build", "--quiet", "--package", "chaperone"]))?;

    // From here on a signal ends the demonstration in order.
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(format!("no signal handler: {error}")))?;
    let temporary = match &options.data {
        Some(_) => None,
        None => Some(private_folder("demo")?),
    };
    let home = options.data.clone().or_else(|| temporary.as_ref().map(|folder| folder.path().to_owned()));
    let home = home.ok_or_else(|| Failure::new("no folder for the demonstration"))?;
    let mut stage = Stage::set(&home, &options)?;
    calls::make(&stage, options.json)?;
    if options.json {
        println!("{}", stage.as_json()?);
    } else {
        shown::what_to_try(&stage, &home);
    }
    if options.once {
        return Ok(());
    }
    eprintln!("{}", if options.json { "ready" } else { "\nUp until you press Ctrl-C." });
    stage.until_interrupted(&mut signals)
}

impl Stage {
    fn set(home: &Path, options: &Options) -> Result<Self, Failure> {
        eprintln!("starting a private PostgreSQL with a synthetic clinic ...");
        let cluster = Cluster::start(&home.join("postgres"), Fsync::On, None)?;
        eprintln!("starting the gateway, and an agent beside the database ...");
        let mut layout = Layout::new(AgentPlace::Separate);
        layout.postgres_port = options.postgres_port;
        layout.api_port = options.api_port;
        layout.classification = Some(root().join("demo/classification/clinic.toml"));
        let under = |login, role, group: &str| UnderFloor { login, role, groups: vec![group.to_owned()] };
        let logins = [under("nurses", NURSES, "dev/nurses"), under("billing", CLERKS, "dev/billing")];
        let floor = Floor::new(home, logins.into())?;
        floor.declare(TARGET, &mut layout);
        let assistant = Assistant::new(home, &mut layout)?;
        let boundary = Boundary::start(&home.join("chaperone"), &cluster, layout)?;
        eprintln!("putting a floor under nurses and clerks: roles, grants and views at the database ...");
        floor.apply(&boundary, TARGET, &cluster)?;
        let mut callers = Vec::new();
        for (name, _, caller) in CAST {
            callers.push((*name, boundary.credential(caller)?));
        }
        Ok(Self { boundary, cluster, callers, floor, assistant })
    }

    fn url(&self, caller: &str) -> &str {
        self.callers.iter().find(|(name, _)| *name == caller).map_or("", |(_, url)| url.as_str())
    }

    /// A connection string past the gateway, as one of the floor's roles.
    fn past(&self, role: &str) -> Result<String, Failure> {
        let password = self.floor.password()?;
        Ok(format!("postgresql://{role}:{password}@127.0.0.1:{}/{TARGET}", self.cluster.port()))
    }

    /// What `chaperone floor verify` says; it fails where something is not as planned.
    fn verified(&self) -> Result<String, Failure> {
        let mut verify = self.floor.verb(&self.boundary, &self.cluster, &["verify", TARGET])?;
        Ok(capture(&mut verify)?)
    }

    /// What scripts need, as one line.
    fn as_json(&self) -> Result<String, Failure> {
        let callers: serde_json::Map<String, _> =
            self.callers.iter().map(|(name, url)| ((*name).to_owned(), json!(url))).collect();
        let [mcp, mcp_server] =
            assistant::urls(&self.boundary).map(|url| self.assistant.as_ref().map(|_| url));
        let token = self.assistant.as_ref().map(|assistant| assistant.token(&self.boundary)).transpose()?;
        let object = json!({
            "mcp": mcp,
            "mcp_server": mcp_server,
            "mcp_token": token,
            "api": self.boundary.api_url(),
            "postgres": { "host": "127.0.0.1", "port": self.boundary.postgres_port() },
            "callers": callers,
            "database": self.cluster.superuser_url()?,
            "trail": self.boundary.trail(),
            "log_key": self.boundary.log_key()?,
        });
        Ok(object.to_string())
    }

    /// Wait for a signal; a part that ends by itself ends the demonstration.
    fn until_interrupted(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        while signals.pending().next().is_none() {
            let ended = [
                ("PostgreSQL", self.cluster.server().ended()?),
                ("the gateway", self.boundary.gateway().ended()?),
                ("the agent", self.boundary.agent().map_or(Ok(None), chaperone_tests::Running::ended)?),
            ];
            if let Some((name, Some(status))) = ended.into_iter().find(|(_, status)| status.is_some()) {
                return Err(Failure::new(format!("{name} ended by itself with {status}")));
            }
            std::thread::sleep(GLANCE);
        }
        eprintln!("ending ...");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_or_refused() {
        let all = Options::parse(&["--json", "--data", "x", "--port", "6432", "--once"]).unwrap();
        let wanted = Options {
            once: true,
            json: true,
            data: Some("x".into()),
            postgres_port: Some(6432),
            api_port: None,
        };
        assert_eq!(all, wanted);
        for bad in [&["--data"] as &[&str], &["--port", "0"], &["--port", "70000"], &["--twice"], &["x"]] {
            assert_eq!(Options::parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }

    #[test]
    fn every_call_has_a_caller() {
        for call in calls::CALLS {
            assert!(CAST.iter().any(|(name, ..)| *name == call.caller), "{}", call.caller);
        }
    }
}
