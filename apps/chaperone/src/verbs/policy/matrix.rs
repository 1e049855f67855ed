//! `chaperone policy matrix`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::setting::Place;
use crate::verbs::{Failure, remark, say};
use crate::wiring::installation::now_us;

/// Lines of a difference that are printed.
const LINES_MAX: usize = 40;

/// `chaperone policy matrix`
#[derive(Debug, clap::Args)]
pub(crate) struct Matrix {
    /// The policy folder; the configuration's where it is left out
    folder: Option<PathBuf>,
    /// Print nothing, but exit with 1 where this file holds another matrix
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

impl Matrix {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let (folder, setting) = self.place.folder(self.folder.as_deref())?;
        let (set, _) = setting.set(&folder.set)?;
        let matrix = chaperone_policy::matrix(&set, &setting.world(&[&set]), now_us());
        let Some(file) = &self.check else {
            say(matrix.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        };
        let kept = std::fs::read_to_string(file)
            .map_err(Failure::io(format!("cannot read `{}`", file.display())))?;
        if kept.trim_end() == matrix.trim_end() {
            return Ok(ExitCode::SUCCESS);
        }
        for line in changed(&kept, &matrix) {
            remark(&line);
        }
        remark(&format!(
            "the matrix is not the one in `{}` (hint: review the difference and write it again: \
             `chaperone policy matrix ... > {}`)",
            file.display(),
            file.display()
        ));
        Ok(ExitCode::from(1))
    }
}

/// The lines that only one of two texts has, each with the heading that it stands under, as far as people read.
fn changed(old: &str, new: &str) -> Vec<String> {
    let placed = |text: &str| -> Vec<(String, String)> {
        let (mut class, mut client) = (String::new(), String::new());
        let mut lines = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if !line.starts_with(' ') {
                (class, client) = (line.to_owned(), String::new());
            } else if line.starts_with("  via ") {
                client = format!(" {}", line.trim());
            }
            lines.push((format!("{class}{client}"), line.trim().to_owned()));
        }
        lines
    };
    let (old, new) = (placed(old), placed(new));
    let only = |sign: &'static str, these: &[(String, String)], others: &[(String, String)]| -> Vec<String> {
        let gone = these.iter().filter(|line| !others.contains(line));
        gone.map(|(place, line)| format!("{sign} {place}: {line}")).collect()
    };
    let mut lines = only("-", &old, &new);
    lines.extend(only("+", &new, &old));
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_name_their_class() {
        let old = "group a\n  ehr: connect  yes\n  ehr/public.t  read\n\ngroup b\n  ehr/public.t  read\n";
        let new = "group a\n  ehr: connect  yes\n  ehr/public.t  -\n\ngroup b\n  ehr/public.t  read\n";
        assert_eq!(changed(old, new), ["- group a: ehr/public.t  read", "+ group a: ehr/public.t  -"]);
        assert!(changed(old, old).is_empty());
        let many: String = (0..100).map(|n| format!("group {n}\n")).collect();
        assert_eq!(changed("", &many).len(), LINES_MAX + 1);
    }
}
