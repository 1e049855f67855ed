//! Every key of both files, once: name, what it takes, what it means. Starter files and the reference come from here.

mod agent;
mod gateway;

use agent::AGENT;
use gateway::GATEWAY;

/// One key.
pub(crate) struct Key {
    /// The table that it stands in; empty for the top.
    table: &'static str,
    name: &'static str,
    /// A value as it may stand in the file.
    example: &'static str,
    /// Whether it has to be there, or what holds without it.
    default: Option<&'static str>,
    help: &'static str,
}

const fn required(table: &'static str, name: &'static str, example: &'static str, help: &'static str) -> Key {
    Key { table, name, example, default: None, help }
}

const fn optional(
    table: &'static str,
    name: &'static str,
    example: &'static str,
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { table, name, example, default: Some(default), help }
}

/// Keys whose line in the starter file is not a comment although they have a default.
const STARTED: &[&str] = &["plain_loopback", "local_agent", "password", "tls", "port"];

fn starter(head: &str, keys: &[Key]) -> String {
    let mut out = format!("{head}\n");
    let mut table = "";
    for key in keys {
        // A table that may be left out stands there as a comment, with everything in it.
        let all_optional =
            keys.iter().filter(|other| other.table == key.table).all(|other| other.default.is_some());
        if key.table != table {
            table = key.table;
            out.push_str(&format!("\n{}[{table}]\n", if all_optional { "#: " } else { "" }));
        }
        let started = key.default.is_none() || (STARTED.contains(&key.name) && !all_optional);
        let comment = if started { "" } else { "#: " };
        out.push_str(&format!("# {}\n{comment}{} = {}\n", key.help, key.name, key.example));
    }
    out
}

/// `gateway.toml` as `init` writes it.
pub(crate) fn gateway_starter() -> String {
    starter("# The gateway. Lines that begin with `#:` show what may be set.", GATEWAY)
}

/// `agent.toml` as `init` writes it.
pub(crate) fn agent_starter() -> String {
    starter(
        "# An agent: where targets are, and where their secrets come from. Lines that begin with `#:` show what may be set.",
        AGENT,
    )
}

/// A starter file with everything switched on, to check that every listed key exists.
#[cfg(test)]
pub(crate) fn uncommented(text: &str) -> String {
    text.replace("#: ", "")
}

/// `docs/reference/configuration.md`.
#[cfg(test)]
pub(crate) fn reference() -> String {
    let mut out = String::from(
        "# Configuration\n\nGenerated from the code. Unknown keys are errors; `chaperone config check` names file, line and column.\n\n\
         On SIGHUP a gateway reads `[issuers]`, `[clients]`, `[exchange.servers]`, and `owner`, `recipient` and `agreement` of `[servers]` again, with the policy folder and the \
         classifications. \
         Every other table that has changed, `[targets]` and `[attributes]` among them, waits for the next start: the log names each \
         such key as a warning, at every SIGHUP until then.\n",
    );
    for (file, keys) in [("gateway.toml", GATEWAY), ("agent.toml", AGENT)] {
        out.push_str(&format!(
            "\n## {file}\n\n| table | key | example | default | meaning |\n|---|---|---|---|---|\n"
        ));
        for key in keys {
            let table = if key.table.is_empty() { String::new() } else { format!("`[{}]`", key.table) };
            let default = key.default.map_or_else(|| "required".to_owned(), |default| format!("`{default}`"));
            out.push_str(&format!(
                "| {table} | `{}` | `{}` | {default} | {} |\n",
                key.name, key.example, key.help
            ));
        }
    }
    out
}
