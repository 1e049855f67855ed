//! The AI client of the demonstration: it calls the gateway's own tool, and a tool of an MCP server that nobody here wrote
//! and nobody changed; and from each call the record leads to the fields that it showed.

use std::path::{Path, PathBuf};

use chaperone_tests::{Boundary, Issuer, Layout, TARGET, as_itself, free_port};
use serde_json::{Value, json};

use super::{Stage, shown};
use crate::failure::Failure;
use crate::run;

/// What the gateway calls npm's `@modelcontextprotocol/server-postgres`.
pub(crate) const SERVER: &str = "clinic-tools";
/// The person whom it acts for, at an issuer of the demonstration's own, and the software that it is, there and here.
const PERSON: &str = "ben";
const OAUTH_CLIENT: &str = "0oa1b2c3";
const CLIENT: &str = "claude";

/// What it asks, and through what.
const CALLS: &[(&str, &str, &str)] = &[
    (
        TARGET,
        "Ben's AI client, with a token of his for this gateway, through the gateway's own tool",
        "select claim_id, billed_on, amount, status from clinic.claims order by claim_id limit 2",
    ),
    (
        SERVER,
        "the same, through an MCP server that nobody here wrote or changed",
        "select c.claim_id, p.family_name, c.amount from clinic.claims c join clinic.patients p using (patient_id) \
         where c.status = 'denied' order by c.claim_id limit 2",
    ),
];

/// The AI client, and who vouches for its person.
pub(crate) struct Assistant {
    issuer: Issuer,
}

/// The server's program, and Node.js to run it; `None` where they, or the OpenID provider, are not installed.
fn installed() -> Option<(PathBuf, PathBuf)> {
    if !run::target_dir().join("oidc/node_modules/oidc-provider").exists() {
        return None;
    }
    let script =
        run::target_dir().join("demo/node/node_modules/@modelcontextprotocol/server-postgres/dist/index.js");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = std::env::split_paths(&path).map(|folder| folder.join("node"));
    let node = all.find(|file| file.is_file()).and_then(|file| file.canonicalize().ok())?;
    script.is_file().then_some((node, script))
}

/// The clinic's policies, and those of tools.
fn policies(home: &Path) -> Result<PathBuf, Failure> {
    let (demo, to) = (run::root().join("demo"), home.join("policy-of-the-demonstration"));
    let cannot = |error: std::io::Error| Failure::new(format!("cannot write `{}`: {error}", to.display()));
    std::fs::create_dir_all(&to).map_err(cannot)?;
    for from in ["policy/clinic.cedar", "tools/tools.cedar"] {
        let from = demo.join(from);
        std::fs::copy(&from, to.join(from.file_name().unwrap_or_default())).map_err(cannot)?;
    }
    Ok(to)
}

impl Assistant {
    /// Start what vouches for it, and turn the tools on before the gateway is started; `None` where npm's packages for it
    /// are not installed. Tables only: what stands in `layout.more` before is closed.
    ///
    /// # Errors
    /// The issuer does not start, or the policies cannot be written.
    pub(crate) fn new(home: &Path, layout: &mut Layout) -> Result<Option<Self>, Failure> {
        let Some((node, script)) = installed() else { return Ok(None) };
        let api_port = layout.api_port.map_or_else(free_port, Ok)?;
        layout.api_port = Some(api_port);
        // It keeps nothing: whatever an earlier demonstration left there is in the way.
        let folder = home.join("issuer");
        drop(std::fs::remove_dir_all(&folder));
        let issuer = Issuer::start(&folder, "http://127.0.0.1:9/logout")?;
        layout.policy = Some(policies(home)?);
        layout.more.push_str(&format!(
            "[mcp]\n\n[clients.{CLIENT}]\nowner = \"it@clinic.example\"\nrecipient = \"Model Provider Inc\"\n\
             oauth_clients = [\"{OAUTH_CLIENT}\"]\n\n[servers.{SERVER}]\ntarget = \"{TARGET}\"\n\
             owner = \"it@clinic.example\"\n\n\
             [issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n\n",
            issuer.url()
        ));
        let tree = run::target_dir().join("demo/node/node_modules");
        layout.more_of_agent.push_str(&format!(
            "\n[servers.{SERVER}]\n{}command = {}\ntree = {}\n",
            as_itself(),
            json!([node, script, "{url}"]),
            json!(tree)
        ));
        layout.servers = vec![SERVER.to_owned()];
        Ok(Some(Self { issuer }))
    }

    /// An access token of its person's, as the issuer gives the client one.
    pub(crate) fn token(&self, boundary: &Boundary) -> Result<String, Failure> {
        let claims = json!({
            "aud": format!("{}/mcp", boundary.api_url()), "client_id": OAUTH_CLIENT, "scope": "",
            "sub": PERSON, "groups": ["billing"],
        });
        Ok(self.issuer.token(&claims)?)
    }

    /// Make its calls, and show what each led to.
    ///
    /// # Errors
    /// A call was not answered, or it is not on record with what it showed.
    pub(crate) fn call(&self, stage: &Stage, quiet: bool) -> Result<(), Failure> {
        let token = self.token(&stage.boundary)?;
        for (at, who, sql) in CALLS {
            let said = ask(&stage.boundary, &token, at, sql)?;
            let tree = tree(&stage.boundary, at)?;
            if !quiet {
                shown::call(who, sql, &said);
                shown::tree(&tree);
            }
        }
        Ok(())
    }
}

/// Where clients call: the gateway's own tools, and the server's.
pub(crate) fn urls(boundary: &Boundary) -> [String; 2] {
    [TARGET, SERVER].map(|name| format!("{}/mcp/{name}", boundary.api_url()))
}

/// The text of an answer.
fn ask(boundary: &Boundary, token: &str, at: &str, sql: &str) -> Result<String, Failure> {
    let params = json!({"name": "query", "arguments": {"sql": sql}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let answer = boundary.mcp(at, token, &body)?;
    let text = answer.pointer("/result/content/0/text").and_then(Value::as_str);
    let failed = answer.pointer("/result/isError").and_then(Value::as_bool).unwrap_or(false);
    match text {
        Some(text) if !failed => Ok(text.to_owned()),
        _ => Err(Failure::new(format!("`{sql}` at `{at}` should be answered and is not:\n{answer}"))),
    }
}

/// The newest call at a target or server as the record has it, checked to be the person's through his client and to name fields.
fn tree(boundary: &Boundary, at: &str) -> Result<String, Failure> {
    let started = boundary.entries_of("toolcall.started")?;
    let is_there = |entry: &&Value| entry.get("target").and_then(Value::as_str) == Some(at);
    let mut calls = started.iter().rev().filter(is_there);
    let call = calls.next().and_then(|entry| entry.get("call")?.as_str().map(str::to_owned));
    let call = call.ok_or_else(|| Failure::new(format!("no call at `{at}` is on record")))?;
    let tree = boundary.cli(&["toolcall", "show", &call])?;
    for part in ["org/ben via claude", "disclosed:", "masked:"] {
        if !tree.contains(part) {
            return Err(Failure::new(format!(
                "`chaperone toolcall show {call}` does not tell `{part}`:\n{tree}"
            )));
        }
    }
    Ok(tree)
}
