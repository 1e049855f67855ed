//! gateway.toml, read again on SIGHUP: issuers come into force, registered clients with the policies that speak of them, and of
//! whatever else has changed it is said that it waits for the next start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chaperone_access::{Refusal, RefusalCode};
use chaperone_identity::{Clients, Identity};
use chaperone_recording::Recorder;
use chaperone_session::Told;
use chaperone_trail::{Body, ConfigurationChanged, Digest};
use tokio::sync::Mutex;
use toml::{Table, Value};

use crate::config;
use crate::config::gateway::GatewayConfig;
use crate::verbs::Failure;
use crate::wiring::door::Sessions;
use crate::wiring::gateway::check_listeners;
use crate::wiring::identity::{self, Identities};

/// The tables that can change while the gateway runs.
const ISSUERS: &str = "issuers";
const CLIENTS: &str = "clients";
/// What issuers' tables speak of, and policies were loaded with.
const ATTRIBUTES: &str = "attributes";

/// Reads the file again.
pub(crate) struct Rereader {
    path: PathBuf,
    identities: Arc<Identities>,
    identity: Arc<Identity>,
    sessions: Arc<Sessions>,
    recorder: Arc<Recorder>,
    /// The text that was read last. One reading at a time.
    last: Mutex<String>,
    /// What everything but issuers is as of the start.
    start: Table,
}

/// What has changed.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    /// Some issuer is other than before.
    issuers: bool,
    /// Issuers that are as before.
    same: BTreeSet<String>,
    /// Keys that wait for the next start, such as `postgres.listen`.
    waiting: Vec<String>,
}

fn parsed(text: &str) -> Result<Table, Failure> {
    text.parse::<Table>().map_err(Failure::failed)
}

fn table<'t>(of: &'t Table, name: &str) -> Option<&'t Table> {
    of.get(name).and_then(Value::as_table)
}

/// Keys of two tables that differ, one level down where both are tables.
fn differing(one: &Table, other: &Table) -> Vec<String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let mut found = Vec::new();
    for name in names.into_iter().filter(|name| one.get(*name) != other.get(*name)) {
        match (table(one, name), table(other, name)) {
            (Some(one), Some(other)) => {
                let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                let keys = keys.into_iter().filter(|key| one.get(*key) != other.get(*key));
                found.extend(keys.map(|key| format!("{name}.{key}")));
            }
            (_, _) => found.push(name.clone()),
        }
    }
    found
}

/// Compare the file with what it was at the start and when it was read last.
fn changes(start: &Table, last: &Table, now: &Table) -> Changes {
    let (before, after) = (table(last, ISSUERS), table(now, ISSUERS));
    let known = before.into_iter().flatten();
    let same = known
        .filter(|(alias, section)| after.is_some_and(|after| after.get(alias.as_str()) == Some(*section)));
    let same: BTreeSet<String> = same.map(|(alias, _)| alias.clone()).collect();
    let waiting = differing(start, now);
    let of = |key: &String, table: &str| key == table || key.starts_with(&format!("{table}."));
    let may_change = |key: &String| of(key, ISSUERS) || of(key, CLIENTS);
    Changes {
        issuers: before != after,
        same,
        waiting: waiting.into_iter().filter(|key| !may_change(key)).collect(),
    }
}

impl Rereader {
    /// `text` is what the gateway was started with.
    pub(crate) fn new(
        path: &Path,
        text: &str,
        (identities, identity): (Arc<Identities>, Arc<Identity>),
        sessions: Arc<Sessions>,
        recorder: Arc<Recorder>,
    ) -> Result<Self, Failure> {
        let (last, start) = (Mutex::new(text.to_owned()), parsed(text)?);
        Ok(Self { path: path.to_owned(), identities, identity, sessions, recorder, last, start })
    }

    /// Read the file and put its issuers in force: on record first, then all of them, or none. The clients that it registers,
    /// where they are others than now: they come into force with policies.
    pub(crate) async fn read(&self) -> Option<Arc<Clients>> {
        let mut last = self.last.lock().await;
        match self.apply(&last).await {
            Ok((text, clients)) => {
                if let Some(text) = text {
                    *last = text;
                }
                clients
            }
            Err(failure) => {
                tracing::error!("gateway.toml cannot be used, so nothing of it changes: {failure}");
                None
            }
        }
    }

    /// Clients that policies speak of now are those by whom identity knows recipients: on record, then in force. Open
    /// sessions of clients that are others now end, since their records name who saw their rows before.
    pub(crate) async fn put(&self, clients: Arc<Clients>) {
        let learnt = Instant::now();
        let before = self.identity.clients();
        let text = config::read_text(&self.path).unwrap_or_default();
        let body = Body::ConfigurationChanged(ConfigurationChanged {
            by: "signal".to_owned(),
            configuration: Digest::of(text.as_bytes()),
            previous: None,
        });
        if let Err(error) = self.recorder.note(body).await {
            tracing::error!(%error, "the registered clients stay as they were");
            return;
        }
        self.identity.change_clients(clients.clone());
        let ended = self.sessions.end_where(|open| {
            let name = open.facts.delegation().client.as_deref()?;
            let refusal = || {
                let what = format!("client `{name}` is registered otherwise now");
                Refusal::new(RefusalCode::NotPermitted, what).hint("connect again")
            };
            (before.get(name) != clients.get(name)).then(|| Told { refusal: refusal(), learnt })
        });
        tracing::info!(sessions_ended = ended, "registered clients of gateway.toml are in force");
    }

    /// The new text, if its issuers are in force now, and clients that are not yet.
    async fn apply(&self, last: &str) -> Result<(Option<String>, Option<Arc<Clients>>), Failure> {
        let text = config::read_text(&self.path)?;
        let mut config: GatewayConfig = config::parse(&self.path, &text)?;
        check_listeners(&config)?;
        let registered = config.registered().map_err(Failure::Usage)?;
        let clients = (registered != *self.identity.clients()).then(|| Arc::new(registered));
        if text == last {
            return Ok((None, clients));
        }
        let changes = changes(&self.start, &parsed(last)?, &parsed(&text)?);
        for key in &changes.waiting {
            tracing::warn!("`{key}` in gateway.toml has changed and waits for the next start");
        }
        if !changes.issuers {
            return Ok((None, clients));
        }
        let attributes = |key: &String| key == ATTRIBUTES || key.starts_with("attributes.");
        if changes.waiting.iter().any(attributes) {
            return Err(Failure::Usage(
                "issuers change while the gateway runs, and attributes do not (hint: restart it for both)"
                    .to_owned(),
            ));
        }
        let issuers = identity::issuers(&self.path, &mut config)?;
        let body = Body::ConfigurationChanged(ConfigurationChanged {
            by: "signal".to_owned(),
            configuration: Digest::of(text.as_bytes()),
            previous: Some(Digest::of(last.as_bytes())),
        });
        self.recorder.note(body).await.map_err(Failure::failed)?;
        let names = issuers.keys().cloned().collect::<Vec<_>>().join(", ");
        self.identities.change_issuers(issuers, &changes.same).await;
        tracing::info!(issuers = names, "issuers of gateway.toml are in force");
        Ok((Some(text), clients))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_change_and_the_rest_is_named() {
        let start = "name = \"gw\"\n[postgres]\nlisten = \"a\"\n[issuers.one]\nurl = \"u\"\n[issuers.two]\nurl = \"v\"\n";
        let compared = |last: &str, now: &str| {
            changes(&parsed(start).unwrap(), &parsed(last).unwrap(), &parsed(now).unwrap())
        };
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let same = compared(start, &format!("# another remark\n{start}"));
        assert_eq!(same, Changes { issuers: false, same: set(&["one", "two"]), waiting: Vec::new() });
        let other = start.replace("\"v\"", "\"w\"").replace("\"a\"", "\"b\"").replace("gw", "gx");
        let found = compared(start, &other);
        assert_eq!((found.issuers, &found.same), (true, &set(&["one"])));
        assert_eq!(found.waiting, ["name", "postgres.listen"]);
        // What waits still does when it is read again, and an issuer that is in force is no change any more.
        let again = compared(&other, &other);
        assert_eq!((again.issuers, again.waiting.len()), (false, 2));
        let gone = compared(start, "name = \"gw\"\n[postgres]\nlisten = \"a\"\n");
        assert_eq!(gone, Changes { issuers: true, same: set(&[]), waiting: Vec::new() });
        let registered = format!("{start}[clients.a]\nowner = \"it\"\n");
        assert_eq!(compared(start, &registered).waiting.len(), 0);
        assert_eq!(compared(start, &format!("{start}[agents]\nlisten = \"c\"\n")).waiting, ["agents"]);
    }
}
