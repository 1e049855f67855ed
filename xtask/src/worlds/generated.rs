//! Statements that nobody thought of: SQLsmith's, and those of our own generator.

use std::path::{Path, PathBuf};
use std::process::Command;

use chaperone_tests::worlds::{Worlds, folder};

use crate::failure::Failure;
use crate::run;

/// Write corpora of `number` statements in all, the same ones for a seed. Half are SQLsmith's, which reads the schema from
/// the database itself and only prints; half are mutations and compositions of our own.
///
/// # Errors
/// A generator fails.
pub(crate) fn write(
    worlds: &Worlds,
    number: u32,
    seed: u32,
    scratch: &Path,
) -> Result<Vec<(String, PathBuf)>, Failure> {
    let [direct, _] = worlds.direct()?;
    let (ours, smiths) = (scratch.join("generated.sql"), scratch.join("sqlsmith.sql"));
    let script = folder().join("generate.py");
    let with = |more: &[&str], file: &Path| -> Result<(), Failure> {
        let mut command = Command::new("python3");
        command.arg(&script).args(["--seed", &seed.to_string()]).args(more).arg("--output").arg(file);
        run::capture(command).map(drop)
    };
    let half = (number / 2).to_string();
    with(&["--count", &(number - number / 2).to_string()], &ours)?;
    with(&["--count", &half, "--sqlsmith", &direct], &smiths)?;
    Ok(vec![("generated".to_owned(), ours), ("sqlsmith".to_owned(), smiths)])
}
