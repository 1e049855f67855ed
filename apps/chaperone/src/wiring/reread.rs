//! gateway.toml, read again on SIGHUP: issuers come into force, registered clients and what servers are registered with come with
//! the policies that speak of them, and of whatever else has changed it is said that it waits for the next start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chaperone_identity::{Clients, Identity};
use chaperone_recording::Recorder;
use chaperone_trail::{Body, ConfigurationChanged, Digest};
use tokio::sync::Mutex;
use toml::{Table, Value};

use crate::config;
use crate::config::gateway::GatewayConfig;
use crate::verbs::Failure;
use crate::wiring::gateway::check_listeners;
use crate::wiring::identity::{self, Identities};
use crate::wiring::sweep::Kick;

/// The tables that can change while the gateway runs.
const ISSUERS: &str = "issuers";
const CLIENTS: &str = "clients";
const SERVERS: &str = "servers";
/// What of a server comes into force with the clients; the rest of it waits for the next start.
const REGISTRATION: [&str; 3] = ["agreement", "owner", "recipient"];
/// Servers that have tokens exchanged. Where that is done waits for the next start.
const EXCHANGING: &str = "exchange.servers";
/// What issuers' tables speak of, and policies were loaded with.
const ATTRIBUTES: &str = "attributes";

/// Reads the file again.
pub(crate) struct Rereader {
    path: PathBuf,
    identities: Arc<Identities>,
    identity: Arc<Identity>,
    recorder: Arc<Recorder>,
    kick: Kick,
    /// The text of what is in force of it. One reading at a time.
    last: Mutex<String>,
    /// What everything but issuers is as of the start.
    start: Table,
}

/// Clients that the file registers and that are not in force yet, with the very text that does.
pub(crate) struct Registered {
    pub(crate) clients: Arc<Clients>,
    text: String,
}

/// What one reading came to.
struct Read {
    text: String,
    /// Its issuers were others, and are in force now.
    with_issuers: bool,
    /// Those that it registers, where they are others than are in force.
    clients: Option<Arc<Clients>>,
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

/// A file without what servers are registered with.
fn unregistered(mut file: Table) -> Table {
    let servers = file.get_mut(SERVERS).and_then(Value::as_table_mut);
    for server in servers.into_iter().flatten().filter_map(|(_, server)| server.as_table_mut()) {
        server.retain(|key, _| !REGISTRATION.contains(&key));
    }
    file
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
    let waiting = differing(&unregistered(start.clone()), &unregistered(now.clone()));
    let of = |key: &String, table: &str| key == table || key.starts_with(&format!("{table}."));
    let may_change = |key: &String| of(key, ISSUERS) || of(key, CLIENTS) || key == EXCHANGING;
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
        recorder: Arc<Recorder>,
        kick: Kick,
    ) -> Result<Self, Failure> {
        let (last, start) = (Mutex::new(text.to_owned()), parsed(text)?);
        Ok(Self { path: path.to_owned(), identities, identity, recorder, kick, last, start })
    }

    /// Read the file and put its issuers in force: on record first, then all of them, or none. The clients that it registers,
    /// where they are others than now: they come into force with policies.
    pub(crate) async fn read(&self) -> Option<Registered> {
        let mut last = self.last.lock().await;
        match self.apply(&last).await {
            Ok(Read { text, with_issuers, clients }) => {
                if with_issuers {
                    last.clone_from(&text);
                }
                clients.map(|clients| Registered { clients, text })
            }
            Err(failure) => {
                tracing::error!("gateway.toml cannot be used, so nothing of it changes: {failure}");
                None
            }
        }
    }

    /// Clients that policies speak of now are those by whom identity knows recipients: on record, then in force. Sessions
    /// of clients that are others now end by the next sweep, since their records name who saw their rows before; those too
    /// that were being opened meanwhile.
    pub(crate) async fn put(&self, Registered { clients, text }: Registered) {
        let learnt = Instant::now();
        let mut last = self.last.lock().await;
        if let Err(error) = self.recorder.note(changed(&text, &last)).await {
            tracing::error!(%error, "the registered clients stay as they were");
            return;
        }
        self.identity.change_clients(clients);
        *last = text;
        self.kick.now(learnt);
        tracing::info!("registered clients of gateway.toml are in force");
    }

    async fn apply(&self, last: &str) -> Result<Read, Failure> {
        let text = config::read_text(&self.path)?;
        let mut config: GatewayConfig = config::parse(&self.path, &text)?;
        check_listeners(&config)?;
        let registered = config.registered().map_err(Failure::Usage)?;
        config.check_exchanging().map_err(Failure::Usage)?;
        let clients = (registered != *self.identity.clients()).then(|| Arc::new(registered));
        let changes = changes(&self.start, &parsed(last)?, &parsed(&text)?);
        // Each time: whoever reads the log of this reading sees what it did not do.
        for key in &changes.waiting {
            tracing::warn!("`{key}` in gateway.toml has changed and waits for the next start");
        }
        if !changes.issuers {
            return Ok(Read { text, with_issuers: false, clients });
        }
        let attributes = |key: &String| key == ATTRIBUTES || key.starts_with("attributes.");
        if changes.waiting.iter().any(attributes) {
            return Err(Failure::Usage(
                "issuers change while the gateway runs, and attributes do not (hint: restart it for both)"
                    .to_owned(),
            ));
        }
        let issuers = identity::issuers(&self.path, &mut config)?;
        self.recorder.note(changed(&text, last)).await.map_err(Failure::failed)?;
        let names = issuers.keys().cloned().collect::<Vec<_>>().join(", ");
        self.identities.change_issuers(issuers, &changes.same).await;
        tracing::info!(issuers = names, "issuers of gateway.toml are in force");
        Ok(Read { text, with_issuers: true, clients })
    }
}

/// The entry of a text of which something comes into force, in the place of the one before.
fn changed(text: &str, before: &str) -> Body {
    Body::ConfigurationChanged(ConfigurationChanged {
        by: "signal".to_owned(),
        configuration: Digest::of(text.as_bytes()),
        previous: Some(Digest::of(before.as_bytes())),
    })
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
        let served = |server: &str| format!("{start}[servers.a]\n{server}");
        let before = served("target = \"t\"\nowner = \"it\"\n");
        let waits = |now: &str| {
            changes(&parsed(&before).unwrap(), &parsed(&before).unwrap(), &parsed(now).unwrap()).waiting
        };
        assert!(waits(&served("target = \"t\"\nowner = \"other\"\nrecipient = \"r\"\n")).is_empty());
        assert_eq!(waits(&served("target = \"u\"\nowner = \"it\"\n")), ["servers.a"]);
        assert_eq!(compared(start, &before).waiting, ["servers"]);
        let exchanging = format!("{start}[exchange.servers.a]\nowner = \"it\"\n");
        assert_eq!(compared(start, &exchanging).waiting, ["exchange"]);
        let open = format!("{start}[exchange]\n");
        let changed =
            |now: &str| changes(&parsed(&open).unwrap(), &parsed(&open).unwrap(), &parsed(now).unwrap());
        assert_eq!(changed(&exchanging).waiting.len(), 0);
        assert_eq!(compared(start, &format!("{start}[agents]\nlisten = \"c\"\n")).waiting, ["agents"]);
    }
}
