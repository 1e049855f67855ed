//! `cargo xtask worlds`: two databases that differ only in what a caller may not see, and the search for a statement
//! that tells them apart.

mod generated;
mod options;
mod report;
mod served;

use std::path::{Path, PathBuf};

use chaperone_tests::private_folder;
use chaperone_tests::worlds::{Row, Through, Trial, Worlds, folder};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::run;
use crate::setup::{self, For};

use options::{Against, Options};

/// The cases that run through everything, and those that only `psql` understands.
const CORPORA: &[&str] = &["adversarial.sql", "ordinary.sql", "more_adversarial.sql", "more_ordinary.sql"];
const FOR_PSQL: &str = "introspection.sql";

/// One trial's name and what came of it.
type Result = std::result::Result<(String, Vec<Row>), Failure>;

/// Set up, build, make both worlds; then run the corpora, or print how to reach them and stay up.
///
/// # Errors
/// Something does not start, or a case tells the worlds apart.
pub(crate) fn worlds(arguments: &[&str]) -> std::result::Result<(), Failure> {
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
    let mut worlds = Worlds::start(home.path(), &options.plan)?;
    if options.json {
        println!("{}", served::as_json(&mut worlds)?);
        return served::until_over(&mut worlds, &mut signals);
    }
    let all = all_trials(&worlds, &options, home.path())?;
    report::print(&all);
    if let Some(file) = &options.report {
        report::write(&all, file)?;
    }
    report::judge(&all)
}

/// Every trial that was asked for. Two run at a time: each waits for the database more than it works.
fn all_trials(
    worlds: &Worlds,
    options: &Options,
    scratch: &Path,
) -> std::result::Result<Vec<(String, Vec<Row>)>, Failure> {
    let pair = match options.against {
        Against::Restricted => worlds.restricted().clone(),
        Against::Unrestricted => worlds.unrestricted().clone(),
        Against::Direct => worlds.direct()?,
    };
    let mut trials = Vec::new();
    let corpora = corpora(options);
    if !corpora.is_empty() {
        let only = options.only.clone();
        let mut for_psql = corpora.clone();
        if options.corpora.is_empty() && options.generated.is_none_or(|number| number == 0) {
            for_psql.push(folder().join(FOR_PSQL));
        }
        let psql = Trial { pair: &pair, corpora: for_psql, only: only.clone(), through: Through::Psql };
        trials.push(("psql".to_owned(), psql));
        trials.push(("driver".to_owned(), Trial { pair: &pair, corpora, only, through: Through::Driver }));
    }
    if let Some(number) = options.generated.filter(|number| *number > 0) {
        eprintln!("generating {number} statements from seed {} ...", options.seed);
        let files = generated::write(worlds, number, options.seed, scratch)?;
        for (name, file) in files {
            let trial = Trial {
                pair: &pair,
                corpora: vec![file],
                only: options.only.clone(),
                through: Through::Generated,
            };
            trials.push((name, trial));
        }
    }
    let mut done = Vec::new();
    for two in trials.chunks(2) {
        let results: Vec<Result> = std::thread::scope(|scope| {
            let running: Vec<_> = two
                .iter()
                .map(|(name, trial)| scope.spawn(|| Ok((name.clone(), trial.run(scratch)?))))
                .collect();
            let ended = running.into_iter().map(|thread| thread.join());
            ended.map(|result| result.unwrap_or_else(|_| Err(Failure::new("a trial panicked")))).collect()
        });
        for result in results {
            let (name, rows) = result?;
            eprintln!("{name}: {}", report::summary(&rows));
            done.push((name, rows));
        }
    }
    Ok(done)
}

/// The corpora that were asked for: all of ours, unless only generated statements are meant.
fn corpora(options: &Options) -> Vec<PathBuf> {
    if !options.corpora.is_empty() {
        return options.corpora.clone();
    }
    if options.generated.is_some_and(|number| number > 0) {
        return Vec::new();
    }
    CORPORA.iter().map(|name| folder().join(name)).collect()
}
