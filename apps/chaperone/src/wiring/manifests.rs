//! What servers say of their tools, held against what was accepted of it. A model does what a tool's description says, so
//! a description that changes is a change of what is done: nobody is shown it, and nobody calls the tool, until somebody
//! has looked. What a server says first is accepted: whoever installed it has just looked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chaperone_access::{Refusal, RefusalCode, TargetName};
use chaperone_recording::Recorder;
use chaperone_store::{AcceptedTools, ManifestFiles};
use chaperone_trail::{Body, Digest, ToolHeld, ToolsAccepted};

/// Whoever accepts what a server says first.
const FIRST: &str = "first use";
/// Tools of one server that are held; more are not told apart.
const HELD_MAX: usize = 512;

/// A manifest that waits.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) digest: [u8; 32],
    pub(crate) manifest: String,
}

/// What is known of one server's tools.
#[derive(Debug, Clone, Default)]
pub(crate) struct OfServer {
    pub(crate) accepted: AcceptedTools,
    pub(crate) held: BTreeMap<String, Held>,
}

/// Why a manifest was not accepted.
pub(crate) enum NotAccepted {
    /// No such manifest waits.
    Unknown,
    /// It could not be recorded, or kept.
    Refused(Refusal),
}

/// All of them. Owner of each field: this type.
pub(crate) struct Manifests {
    files: ManifestFiles,
    recorder: Arc<Recorder>,
    table: Mutex<BTreeMap<TargetName, OfServer>>,
    /// One change at a time: what is kept is what is on record.
    change: tokio::sync::Mutex<()>,
}

impl Manifests {
    pub(crate) fn new(files: ManifestFiles, recorder: Arc<Recorder>) -> Self {
        Self { files, recorder, table: Mutex::default(), change: tokio::sync::Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<TargetName, OfServer>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a server: `None` where nothing is.
    pub(crate) fn of(&self, server: &TargetName) -> Result<Option<OfServer>, Refusal> {
        if let Some(known) = self.table().get(server) {
            return Ok(Some(known.clone()));
        }
        let accepted = self.files.of(server).map_err(|error| unkept(&error))?;
        Ok(accepted.map(|accepted| OfServer { accepted, held: BTreeMap::new() }))
    }

    /// Whether a tool may be shown and called as it is.
    pub(crate) fn is_accepted(&self, server: &TargetName, tool: &str, digest: &[u8; 32]) -> bool {
        let table = self.table();
        table.get(server).and_then(|known| known.accepted.get(tool)) == Some(&hex::encode(digest))
    }

    /// Hear what a server's tools are now: name, digest and manifest of each.
    ///
    /// # Errors
    /// It cannot be recorded or kept: the tools are not to be used.
    pub(crate) async fn heard(
        &self,
        server: &TargetName,
        tools: &[(&str, [u8; 32], &str)],
    ) -> Result<(), Refusal> {
        let _one = self.change.lock().await;
        let Some(mut known) = self.of(server)? else {
            let all: AcceptedTools =
                tools.iter().map(|(name, digest, _)| ((*name).to_owned(), hex::encode(digest))).collect();
            return self.keep(server, OfServer { accepted: all, held: BTreeMap::new() }, tools, FIRST).await;
        };
        for (name, digest, manifest) in tools {
            let accepted = known.accepted.get(*name).cloned();
            if accepted.as_deref() == Some(hex::encode(digest).as_str()) {
                known.held.remove(*name);
                continue;
            }
            if known.held.get(*name).is_some_and(|held| held.digest == *digest) {
                continue;
            }
            if known.held.len() >= HELD_MAX && !known.held.contains_key(*name) {
                continue;
            }
            let body = ToolHeld {
                accepted: accepted.and_then(|text| digest_of(&text)),
                found: Digest(*digest),
                server: server.to_string(),
                tool: (*name).to_owned(),
            };
            self.recorder.note(Body::ToolHeld(body)).await?;
            tracing::warn!(%server, tool = name, "a tool is described otherwise than was accepted: it is held");
            known.held.insert((*name).to_owned(), Held { digest: *digest, manifest: (*manifest).to_owned() });
        }
        self.table().insert(server.clone(), known);
        Ok(())
    }

    /// Take a manifest that waits.
    pub(crate) async fn accept(
        &self,
        server: &TargetName,
        tool: &str,
        digest: &str,
        by: &str,
    ) -> Result<OfServer, NotAccepted> {
        let _one = self.change.lock().await;
        let known = self.of(server).map_err(NotAccepted::Refused)?;
        let mut known = known.ok_or(NotAccepted::Unknown)?;
        let held = known.held.remove(tool).filter(|held| hex::encode(held.digest) == digest);
        let held = held.ok_or(NotAccepted::Unknown)?;
        known.accepted.insert(tool.to_owned(), digest.to_owned());
        let one = [(tool, held.digest, held.manifest.as_str())];
        self.keep(server, known.clone(), &one, by).await.map_err(NotAccepted::Refused)?;
        Ok(known)
    }

    /// On record first, then kept, then in force. A crash in between asks again.
    async fn keep(
        &self,
        server: &TargetName,
        known: OfServer,
        tools: &[(&str, [u8; 32], &str)],
        by: &str,
    ) -> Result<(), Refusal> {
        let body = ToolsAccepted {
            by: by.to_owned(),
            server: server.to_string(),
            tools: tools.iter().map(|(name, digest, _)| ((*name).to_owned(), Digest(*digest))).collect(),
        };
        self.recorder.note(Body::ToolsAccepted(body)).await?;
        self.files.put(server, &known.accepted).map_err(|error| unkept(&error))?;
        self.table().insert(server.clone(), known);
        Ok(())
    }
}

fn digest_of(text: &str) -> Option<Digest> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| Digest(bytes))
}

fn unkept(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "accepted tools cannot be read or kept");
    Refusal::new(RefusalCode::Internal, "which tools were accepted is not known")
        .hint("tell whoever runs the gateway to look at its log")
}
