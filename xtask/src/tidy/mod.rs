//! `cargo xtask tidy`: the house's own rules, checked on the text and on the graph of crates.
//!
//! Each rule is a pure function from text to findings, so that it can be tested without a tree to break.

mod graph;
mod pages;
mod source;

use std::fmt;

use crate::failure::Failure;
use crate::run;

/// One breach of one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 where it concerns the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// A rule set aside for one place: the beginning of the finding's `path: message`, and why.
struct Exception {
    path: &'static str,
    message: &'static str,
    #[allow(dead_code, reason = "read by people: an exception without a reason is not one")]
    reason: &'static str,
}

/// Everything that is allowed to break a rule. One that no longer breaks it is itself a finding.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        path: "crates/scope/src/rewrite/expression.rs",
        message: "function `children`",
        reason: "one match over every kind of expression: each has its line, and nothing else happens in it",
    },
    Exception {
        path: "protocols/postgres/src/plain/texts.rs",
        message: "function `by_code`",
        reason: "a table of SQLSTATE and text",
    },
];

/// Every file of the project: path from the root, and text. Files that are not UTF-8 are left out.
type Files = Vec<(String, String)>;

/// Check every rule.
///
/// # Errors
/// At least one finding (printed), or git and cargo cannot be asked.
pub(crate) fn tidy() -> Result<(), Failure> {
    eprintln!("$ tidy");
    let files = files()?;
    let metadata = run::capture(run::command(&["cargo", "metadata", "--format-version", "1"]))?;
    let metadata = serde_json::from_str(&metadata)
        .map_err(|error| Failure::new(format!("cannot read `cargo metadata`: {error}")))?;
    let mut findings = graph::findings(&metadata);
    findings.extend(source::findings(&files));
    findings.extend(pages::findings(&files));
    findings.sort();
    let findings = set_aside(findings, EXCEPTIONS);
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure::new(format!("tidy: {} findings", findings.len()))) }
}

/// Drop what an exception covers; add each exception that covers nothing.
fn set_aside(findings: Vec<Finding>, exceptions: &[Exception]) -> Vec<Finding> {
    let covers = |exception: &Exception, finding: &Finding| {
        finding.path == exception.path && finding.message.starts_with(exception.message)
    };
    let unused =
        exceptions.iter().filter(|exception| !findings.iter().any(|finding| covers(exception, finding)));
    let unused: Vec<Finding> = unused
        .map(|exception| {
            Finding::new(exception.path, 0, format!("exception not needed: `{}`", exception.message))
        })
        .collect();
    let kept =
        findings.into_iter().filter(|finding| !exceptions.iter().any(|exception| covers(exception, finding)));
    kept.chain(unused).collect()
}

/// What git knows or would take in: not what is ignored, and not what is deleted but not yet committed.
fn files() -> Result<Files, Failure> {
    let listed =
        run::capture(run::command(&["git", "ls-files", "--cached", "--others", "--exclude-standard"]))?;
    let texts = listed.lines().filter_map(|path| {
        let text = std::fs::read_to_string(run::root().join(path)).ok()?;
        Some((path.to_owned(), text))
    });
    Ok(texts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Exception = Exception { path: "a.rs", message: "function `f`", reason: "one argument" };

    #[test]
    fn an_exception_covers_its_finding_only() {
        let findings = vec![
            Finding::new("a.rs", 3, "function `f` has 80 lines"),
            Finding::new("a.rs", 90, "function `g` has 80 lines"),
            Finding::new("b.rs", 3, "function `f` has 80 lines"),
        ];
        let left = set_aside(findings.clone(), &[LONG]);
        assert_eq!(left, findings[1..]);
    }

    #[test]
    fn an_exception_that_is_not_needed_is_a_finding() {
        let left = set_aside(Vec::new(), &[LONG]);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].to_string(), "a.rs: exception not needed: `function `f``");
    }
}
