//! `cargo xtask worlds`: two databases that differ only in what a caller may not see, and the search for a statement
//! that tells them apart.

mod generated;
mod options;
mod report;
mod served;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use chaperone_tests::private_folder;
use chaperone_tests::worlds::{Pair, Row, Through, Trial, Worlds, folder};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::run;
use crate::setup::{self, For};

use options::{Against, Options};

/// The cases that run through everything, and those that only `psql` understands.
const CORPORA: &[&str] = &["adversarial.sql", "ordinary.sql", "more_adversarial.sql", "more_ordinary.sql"];
const FOR_PSQL: &str = "introspection.sql";

/// How many trials run at a time, each in worlds of its own: what one case locks, another would notice.
const LANES: usize = 2;

/// A trial's name and what came of it.
type Outcome = (String, Vec<Row>);

/// What a trial runs, once there are worlds for it.
struct Planned {
    name: String,
    corpora: Vec<PathBuf>,
    through: Through,
}

/// Set up, build, make both worlds; then run the corpora, or print how to reach them and stay up.
///
/// # Errors
/// Something does not start, or a case tells the worlds apart.
pub(crate) fn worlds(arguments: &[&str]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    setup::setup(if options.json { For::Demonstration } else { For::Worlds })?;
    if std::env::var_os("CHAPERONE_PROGRAM").is_none() {
        run::show(run::command(&["cargo", "build", "--quiet", "--package", "chaperone"]))?;
    }
    // From here on a signal ends the worlds in order.
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(format!("no signal handler: {error}")))?;
    let home = private_folder("worlds")?;
    eprintln!("making both worlds, and a gateway before them ...");
    let mut first = Worlds::start(&home.path().join("lane-0"), &options.plan)?;
    if options.json {
        println!("{}", served::as_json(&mut first)?);
        return served::until_over(&mut first, &mut signals);
    }
    let planned = planned(&options, home.path())?;
    // Started by this thread, with which they would end.
    let mut lanes = vec![first];
    while lanes.len() < LANES.min(planned.len()) {
        let lane = home.path().join(format!("lane-{}", lanes.len()));
        lanes.push(Worlds::start(&lane, &options.plan)?);
    }
    let all = all_trials(&lanes, planned, &options, home.path())?;
    report::print(&all);
    if let Some(file) = &options.report {
        report::write(&all, file)?;
    }
    report::judge(&all)
}

/// Everything that was asked for.
fn planned(options: &Options, scratch: &Path) -> Result<Vec<Planned>, Failure> {
    let mut planned = Vec::new();
    let mut plan = |name: &str, corpora: Vec<PathBuf>, through| {
        planned.push(Planned { name: name.to_owned(), corpora, through });
    };
    let ours = |names: &[&str]| names.iter().map(|name| folder().join(name)).collect::<Vec<_>>();
    if !options.corpora.is_empty() {
        plan("psql", options.corpora.clone(), Through::Psql);
        plan("driver", options.corpora.clone(), Through::Driver);
    } else if options.generated.is_none() {
        plan("psql", ours(&[CORPORA, &[FOR_PSQL]].concat()), Through::Psql);
        plan("driver", ours(CORPORA), Through::Driver);
    }
    if let Some(number) = options.generated {
        eprintln!("generating {number} statements from seed {} ...", options.seed);
        for (name, file) in generated::write(&options.plan, number, options.seed, scratch)? {
            plan(&name, vec![file], Through::Generated);
        }
    }
    Ok(planned)
}

/// Run them, a lane of worlds for each of two at a time.
fn all_trials(
    lanes: &[Worlds],
    planned: Vec<Planned>,
    options: &Options,
    scratch: &Path,
) -> Result<Vec<Outcome>, Failure> {
    let mut pairs = Vec::new();
    for worlds in lanes {
        pairs.push(match options.against {
            Against::Restricted => worlds.restricted().clone(),
            Against::Unrestricted => worlds.unrestricted().clone(),
            Against::Direct => worlds.direct()?,
        });
    }
    let waiting = Mutex::new(planned.into_iter().collect::<VecDeque<_>>());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
    let lane = |pair: &Pair| {
        let mut done = Vec::new();
        while let Some(Planned { name, corpora, through }) = next() {
            let trial = Trial { pair, corpora, only: options.only.clone(), through };
            let rows = trial.run(scratch)?;
            eprintln!("{name}: {}", report::summary(&rows));
            done.push((name, rows));
        }
        Ok(done)
    };
    let lane = &lane;
    let results: Vec<Result<Vec<Outcome>, Failure>> = std::thread::scope(|scope| {
        let running: Vec<_> = pairs.iter().map(|pair| scope.spawn(move || lane(pair))).collect();
        let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.map(|result| result.unwrap_or_else(|_| Err(Failure::new("a trial panicked")))).collect()
    });
    let mut all = Vec::new();
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}
