//! How a run of a server and the gateway come to speak one revision of the protocol.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chaperone_mcp::beside::{Abilities, List};
use chaperone_mcp::relay;
use chaperone_mcp::stateless::{Beside, Era, speaks, towards};
use chaperone_trail::Digest;
use serde_json::json;
use serde_json::value::RawValue;

use super::talk::{Answered, Broken, Talk};

/// Older revisions that a server may speak.
const OLDER: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// How long a server may take to say whether it knows the newer one: some older ones say nothing to what they do not know.
const PROBE: Duration = Duration::from_secs(8);

/// Parts of what a server can whose lists may change, in the order of [`List::ALL`].
const PARTS: [&str; 3] = ["tools", "prompts", "resources"];

/// How the last run of a server spoke, by the digest of what was launched: others are not asked again first.
#[derive(Default)]
pub(super) struct Eras {
    older: Mutex<Option<[u8; 32]>>,
    is_stateless: AtomicBool,
}

/// How a run is begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Manner {
    /// What it is told at its beginning that its client can be asked.
    pub(super) abilities: Abilities,
    /// In an older revision where it knows one: its client speaks one too, and many tools can only then ask for something.
    pub(super) older: bool,
}

impl Eras {
    /// Agree on a revision with a run of what has that digest: the newest where the server knows it, and otherwise an older
    /// one. The inner error is the server's own no.
    pub(super) async fn begin(
        &self,
        talk: &mut Talk,
        Digest(command): Digest,
        is_elsewhere: bool,
        manner: Manner,
    ) -> Result<Result<Begun, &'static str>, Broken> {
        // One elsewhere is asked in the older way first: few there know the newer one, and some end a session for the question.
        let older = is_elsewhere || manner.older || self.is_older(&command);
        let begun = begin(talk, older, !is_elsewhere, manner.abilities).await;
        // What was not asked first says nothing of what would have come of it.
        if !manner.older {
            self.note(command, begun.as_ref().ok().and_then(|begun| Some(begun.as_ref().ok()?.era)));
        }
        begun
    }

    /// Whether the last run did without a handshake: such a one is told with each request what its client can be asked.
    pub(super) fn is_stateless(&self) -> bool {
        self.is_stateless.load(Ordering::Relaxed)
    }

    /// Whether what is launched by that command is known to speak older revisions.
    fn is_older(&self, command: &[u8; 32]) -> bool {
        self.older.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(command)
    }

    /// What came of a run. One that broke off is asked in the older way next time: it may be what it could not bear.
    fn note(&self, command: [u8; 32], era: Option<Era>) {
        let older = match era {
            Some(Era::Stateless) => None,
            Some(Era::Handshake) | None => Some(command),
        };
        self.is_stateless.store(older.is_none(), Ordering::Relaxed);
        *self.older.lock().unwrap_or_else(PoisonError::into_inner) = older;
    }
}

/// What a run has said of itself.
pub(super) struct Begun {
    pub(super) era: Era,
    /// Its answer to `initialize` or `server/discover`.
    pub(super) information: Box<RawValue>,
}

async fn begin(
    talk: &mut Talk,
    is_older: bool,
    listens: bool,
    abilities: Abilities,
) -> Result<Result<Begun, &'static str>, Broken> {
    let first = if is_older { initialize(talk, abilities).await? } else { discover(talk, listens).await? };
    match first {
        Some(begun) => Ok(Ok(begun)),
        None => {
            let second =
                if is_older { discover(talk, listens).await? } else { initialize(talk, abilities).await? };
            Ok(second.ok_or("it begins in none of the revisions 2024-11-05 to 2026-07-28"))
        }
    }
}

async fn discover(talk: &mut Talk, listens: bool) -> Result<Option<Begun>, Broken> {
    let params = towards(Era::Stateless, None, Beside::default())?;
    let information = match talk.ask_within(PROBE, "server/discover", &params).await? {
        Some(Answered::Result(information)) if speaks(&information) => information,
        Some(Answered::Result(_) | Answered::Error(_)) | None => return Ok(None),
    };
    // It does not say by itself that its tools are others; one elsewhere is asked for them again and again.
    let mut lists = serde_json::Map::new();
    for (part, (_, _, key)) in PARTS.into_iter().zip(List::ALL) {
        if tells_of(&information, part)? {
            lists.insert(key.to_owned(), true.into());
        }
    }
    let is_told = !lists.is_empty();
    let listen = json!({"notifications": lists});
    let listen = serde_json::value::to_raw_value(&listen).map_err(|_| Broken::Gone)?;
    if listens && is_told {
        talk.subscribe("subscriptions/listen", &towards(Era::Stateless, Some(&listen), Beside::default())?);
    }
    Ok(Some(Begun { era: Era::Stateless, information }))
}

fn tells_of(information: &RawValue, part: &str) -> Result<bool, Broken> {
    let mut within = Some(information);
    for name in ["capabilities", part, "listChanged"] {
        within = match within.filter(|raw| raw.get().starts_with('{')) {
            Some(raw) => relay::member(raw, name)?,
            None => None,
        };
    }
    Ok(within.is_some_and(|raw| raw.get() == "true"))
}

async fn initialize(talk: &mut Talk, abilities: Abilities) -> Result<Option<Begun>, Broken> {
    let client = json!({"name": "chaperone", "version": env!("CARGO_PKG_VERSION")});
    let params = format!(
        r#"{{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{client}}}"#,
        abilities.written()
    );
    let information = match talk.ask("initialize", &params).await? {
        Answered::Result(information) => information,
        Answered::Error(_) => return Ok(None),
    };
    let revision = relay::member(&information, "protocolVersion")?;
    let revision: Option<String> = revision.and_then(|raw| serde_json::from_str(raw.get()).ok());
    if !revision.is_some_and(|revision| OLDER.contains(&revision.as_str())) {
        return Ok(None);
    }
    talk.tell("notifications/initialized");
    Ok(Some(Begun { era: Era::Handshake, information }))
}
