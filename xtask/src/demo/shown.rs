//! What a person sees.

use std::path::Path;

use super::{CAST, Stage};

/// Lines of an answer that are shown.
const LINES_SHOWN: usize = 8;

/// One call and its answer.
pub(crate) fn call(who: &str, statement: &str, said: &str) {
    println!("\n--- {who}:\n    {statement}");
    let mut lines = said.trim_end().lines();
    for line in lines.by_ref().take(LINES_SHOWN) {
        println!("  | {line}");
    }
    let more = lines.count();
    if more > 0 {
        println!("  | ... {more} more lines");
    }
}

/// From a call of a tool to the fields that it showed.
pub(crate) fn tree(tree: &str) {
    println!("  from the call to the fields (`chaperone toolcall show`):");
    for line in tree.trim_end().lines() {
        println!("    {line}");
    }
}

/// What is on record.
pub(crate) fn recorded(sessions: &str, id: &str, read: &str, verified: &str) {
    println!("\n--- what was recorded (`chaperone sessions`)\n{}", sessions.trim_end());
    println!(
        "\n--- one session of the AI client, read by the privacy officer with her own key (`chaperone session show {id}`)"
    );
    println!("{}", read.trim_end());
    println!("\n--- and it verifies (`chaperone trail verify`)\n{}", verified.trim_end());
}

/// A line for each caller, and for looking at the record.
pub(crate) fn what_to_try(stage: &Stage, home: &Path) {
    println!("\n--- try it yourself (each credential lasts an hour)");
    for (name, who, _) in CAST {
        println!("\n{who}:\n  psql '{}'", stage.url(name));
    }
    let program = chaperone_tests::Layout::new(chaperone_tests::AgentPlace::InProcess).program;
    let config = stage.boundary.config();
    println!("\nand look at what you did:");
    println!("  export CHAPERONE_CONFIG={}", config.display());
    for verb in ["sessions", "trail tail", "trail verify"] {
        println!("  {} {verb}", program.display());
    }
    println!(
        "  {} session show ID --reader-key {}",
        program.display(),
        stage.boundary.reader_key().display()
    );
    if let Some(token) = stage.assistant.as_ref().and_then(|assistant| assistant.token(&stage.boundary).ok())
    {
        println!(
            "\nand with an MCP client (Streamable HTTP), for five minutes with `Authorization: Bearer {token}`:"
        );
        for url in super::assistant::urls(&stage.boundary) {
            println!("  {url}");
        }
    }
    println!("\nmanagement API: {}   state: {}", stage.boundary.api_url(), home.display());
}
