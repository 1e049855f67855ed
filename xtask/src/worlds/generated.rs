//! Statements that nobody thought of: SQLsmith's, and those of our own generator.

use std::path::{Path, PathBuf};
use std::process::Command;

use chaperone_tests::worlds::{Plan, apart, cases, folder};

use crate::failure::Failure;
use crate::run;

/// Statements in a part.
const PART_STATEMENTS: u32 = 2000;
const PART: usize = 2000;
/// A statement with one of these words may leave something behind.
const WRITES: &[&str] =
    &["INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "CREATE", "COPY", "TEMP", "TEMPORARY", "SHARE"];

/// Write corpora of `number` statements in all, the same ones for a seed. Half are SQLsmith's, which reads the schema from
/// a database that is made for it and only prints; half are mutations and compositions of our own.
///
/// # Errors
/// A generator fails.
pub(crate) fn write(
    plan: &Plan,
    number: u32,
    seed: u32,
    scratch: &Path,
) -> Result<Vec<(String, PathBuf)>, Failure> {
    let apart = apart(&scratch.join("apart"), plan)?;
    let shown = apart.superuser_url()?;
    let script = folder().join("generate.py");
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    // In parts, so that lanes share the work and a seed's first statements stay the same ones.
    for (part, begun) in (0..number).step_by(PART).enumerate() {
        let count = (number - begun).min(PART_STATEMENTS);
        let seed = u64::from(seed) * 1_000_000 + u64::try_from(part).unwrap_or_default();
        for (name, more, count) in
            [("generated", vec![], count - count / 2), ("sqlsmith", vec!["--sqlsmith", &shown], count / 2)]
        {
            let name = format!("{name} {}", part + 1);
            let file = scratch.join(format!("{}.sql", name.replace(' ', "-")));
            let mut command = Command::new("python3");
            command.arg(&script).args(["--seed", &seed.to_string(), "--count", &count.to_string()]);
            run::capture({
                command.args(more).arg("--output").arg(&file);
                command
            })?;
            let [reading, writing] = parted(&file)?;
            reads.extend(reading.map(|file| (name.clone(), file)));
            writes.extend(writing.map(|file| (format!("{name}, writes"), file)));
        }
    }
    reads.append(&mut writes);
    Ok(reads)
}

/// Two corpora from one, where there is something in them: what only reads, and what writes. What writes comes last,
/// because it leaves dead rows behind, as wide as what is hidden: whatever is read afterwards stands in another order and
/// is planned by other sizes.
fn parted(file: &Path) -> Result<[Option<PathBuf>; 2], Failure> {
    let (mut reads, mut writes) = (String::new(), String::new());
    for (id, class, sql) in cases(file)? {
        let words = sql.split(|c: char| !c.is_alphanumeric() && c != '_');
        let mut words = words.map(str::to_ascii_uppercase);
        let is_write = words.any(|word| WRITES.contains(&word.as_str()));
        let part = if is_write { &mut writes } else { &mut reads };
        part.push_str(&format!("-- @t {id} {class} mask\n{sql}"));
    }
    let written = |path: PathBuf, text: &str| -> Result<Option<PathBuf>, Failure> {
        std::fs::write(&path, text)
            .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", path.display())))?;
        Ok((!text.is_empty()).then_some(path))
    };
    Ok([written(file.to_owned(), &reads)?, written(file.with_extension("writes.sql"), &writes)?])
}
