//! `cargo xtask check`: everything about the text of the project that a machine can judge.

use crate::failure::Failure;
use crate::{run, tidy};

type Check = fn() -> Result<(), Failure>;

/// Run every check and report all that failed, not only the first: a person fixes them in one go.
///
/// # Errors
/// The names of the checks that failed.
pub(crate) fn check() -> Result<(), Failure> {
    let checks: [(&str, Check); 5] = [
        ("format", || run::show(run::command(&["cargo", "fmt", "--all", "--check"]))),
        ("tidy", tidy::tidy),
        ("clippy", clippy),
        ("deny", deny),
        ("documentation", documentation),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        if let Err(failure) = check() {
            eprintln!("error: {failure}");
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(format!("check failed: {}", failed.join(", ")))) }
}

fn clippy() -> Result<(), Failure> {
    run::show(run::command(&["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn deny() -> Result<(), Failure> {
    if !run::succeeds(&["cargo", "deny", "--version"]) {
        eprintln!(
            "note: cargo-deny is not installed: licences and bans not checked (`cargo install cargo-deny --locked`)"
        );
        return Ok(());
    }
    run::show(run::command(&["cargo", "deny", "check", "bans", "licenses", "sources"]))
}

/// A link in the documentation that leads nowhere is a promise not kept.
fn documentation() -> Result<(), Failure> {
    let mut command =
        run::command(&["cargo", "doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    command.env("RUSTDOCFLAGS", "-D rustdoc::broken_intra_doc_links");
    run::show(command)
}
