//! Statements that nobody thought of: SQLsmith's, and those of our own generator.

use std::path::{Path, PathBuf};
use std::process::Command;

use chaperone_tests::worlds::{Worlds, folder};

use crate::failure::Failure;
use crate::run;

/// Statements in a part.
const PART_STATEMENTS: u32 = 2000;
const PART: usize = 2000;

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
    let script = folder().join("generate.py");
    let mut files = Vec::new();
    // In parts, so that lanes share the work and a seed's first statements stay the same ones.
    for (part, begun) in (0..number).step_by(PART).enumerate() {
        let count = (number - begun).min(PART_STATEMENTS);
        let seed = u64::from(seed) * 1_000_000 + u64::try_from(part).unwrap_or_default();
        for (name, more, count) in
            [("generated", vec![], count - count / 2), ("sqlsmith", vec!["--sqlsmith", &direct], count / 2)]
        {
            let name = format!("{name} {}", part + 1);
            let file = scratch.join(format!("{}.sql", name.replace(' ', "-")));
            let mut command = Command::new("python3");
            command.arg(&script).args(["--seed", &seed.to_string(), "--count", &count.to_string()]);
            run::capture({
                command.args(more).arg("--output").arg(&file);
                command
            })?;
            files.push((name, file));
        }
    }
    Ok(files)
}
