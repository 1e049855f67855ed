//! Verification from the published files, written from the specifications and not from the writer: no network, no
//! gateway, one entry at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::checkpoint::open_checkpoint;
use crate::tree::{Frontier, Hash, TILE_WIDTH, bundle_path, leaf_hash, tile_path, tile_root};
use crate::{
    Body, Entry, GatewayHeartbeat, ObjectRef, OperationIntent, SessionClosed, SignedTally,
    cumulative_tally_message, parse_entry, segment, tally_message,
};

/// Findings that are listed; more are counted.
const FINDINGS_MAX: usize = 1000;

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The entry that it is about, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// What.
    pub what: String,
}

/// What was checked and found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The log's name, as signed.
    pub origin: String,
    /// Entries under the checkpoint.
    pub size: u64,
    /// Its root, in hexadecimal.
    pub root: String,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Sessions whose agent's signed count was checked.
    pub tallies: u64,
    /// Sealed objects whose hash was checked.
    pub objects: u64,
    /// Entries behind the checkpoint, which nobody has signed yet.
    pub unsigned: u64,
    /// Findings beyond those listed.
    pub unlisted: u64,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, entry: Option<u64>, what: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { entry, what: what.into() });
        } else {
            self.unlisted += 1;
        }
    }
}

/// What is followed from entry to entry.
#[derive(Default)]
struct Followed {
    open: BTreeMap<String, BTreeSet<u64>>,
    /// Tool calls that have begun and not ended.
    calls: BTreeSet<String>,
    agents: HashMap<String, Vec<u8>>,
    objects: HashSet<String>,
    heartbeat_us: u64,
    last_at: u64,
    running: bool,
}

impl Followed {
    fn begin_call(&mut self, report: &mut Report, seq: u64, call: &str) {
        if !self.calls.insert(call.to_owned()) {
            report.find(Some(seq), "a tool call that has begun already");
        }
    }

    fn end_call(&mut self, report: &mut Report, seq: u64, call: &str) {
        if !self.calls.remove(call) {
            report.find(Some(seq), "the end of a tool call that is not under way");
        }
    }

    /// An operation says that it is a tool call's: that one has to be under way.
    fn within(&self, report: &mut Report, seq: u64, call: Option<&String>) {
        if call.is_some_and(|call| !self.calls.contains(call)) {
            report.find(Some(seq), "an operation of a tool call that is not under way");
        }
    }

    /// An entry names a sealed object: it has to be there.
    fn name(&mut self, object: Option<&ObjectRef>) {
        self.objects.extend(object.map(|object| object.object.to_string()));
    }
}

/// Verify the log in a folder against its verifier key; `progress` hears how many entries are done.
#[must_use]
pub fn verify(folder: &Path, verifier_key: &str, mut progress: impl FnMut(u64)) -> Report {
    let mut report = Report::default();
    let checkpoint = match fs::read(folder.join("checkpoint")) {
        Ok(bytes) => match open_checkpoint(&bytes, verifier_key) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                report.find(None, error.to_string());
                return report;
            }
        },
        Err(error) => {
            report.find(None, format!("the checkpoint cannot be read: {error}"));
            return report;
        }
    };
    report.origin.clone_from(&checkpoint.origin);
    report.size = checkpoint.size;
    report.root = hex::encode(checkpoint.root);
    let (mut frontier, mut levels, mut followed) =
        (Frontier::default(), Levels::default(), Followed::default());
    let mut hashes = Vec::new();
    while frontier.size() < checkpoint.size {
        let number = frontier.size() / TILE_WIDTH;
        let width = (checkpoint.size - number * TILE_WIDTH).min(TILE_WIDTH);
        let path = bundle_path(number, width);
        let Ok(bundle) = fs::read(folder.join(&path)) else {
            report.find(Some(frontier.size()), format!("`{path}` is missing"));
            return report;
        };
        let Some(entries) = split(&bundle, width) else {
            report.find(Some(frontier.size()), format!("`{path}` does not hold {width} entries"));
            return report;
        };
        for bytes in entries {
            let seq = frontier.size();
            let hash = leaf_hash(bytes);
            frontier.push(hash);
            levels.push(hash, folder, &mut report);
            hashes.push(hash);
            match parse_entry(bytes) {
                Ok(entry) => follow(&mut followed, &mut report, seq, &entry),
                Err(error) => report.find(Some(seq), error.to_string()),
            }
        }
        progress(frontier.size());
    }
    levels.finish(folder, &mut report);
    if frontier.root() != checkpoint.root {
        report.find(None, "the entries do not give the root that was signed");
    }
    segments(folder, &hashes, &followed, &mut report);
    if !followed.running {
        for call in &followed.calls {
            report.find(None, format!("tool call `{call}` never ended"));
        }
    }
    for (session, operations) in followed.open {
        // Still open when the checkpoint was signed: only a stopped gateway leaves none.
        if !followed.running {
            report.find(
                None,
                format!("session `{session}` was never closed, with {} operations open", operations.len()),
            );
        }
    }
    report
}

fn split(bundle: &[u8], width: u64) -> Option<Vec<&[u8]>> {
    let mut rest = bundle;
    let mut entries = Vec::new();
    for _ in 0..width {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = after;
    }
    rest.is_empty().then_some(entries)
}

/// The tiles as they should be, compared with those that are there.
#[derive(Default)]
struct Levels {
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Levels {
    fn push(&mut self, hash: Hash, folder: &Path, report: &mut Report) {
        let mut carried = Some((0, hash));
        while let Some((level, hash)) = carried.take() {
            if self.levels.len() <= level {
                self.levels.push((0, Vec::new()));
            }
            let Some((number, hashes)) = self.levels.get_mut(level) else { return };
            hashes.push(hash);
            if hashes.len() as u64 == TILE_WIDTH {
                compare(folder, &tile_path(level, *number, TILE_WIDTH), hashes, report);
                carried = Some((level + 1, tile_root(hashes)));
                hashes.clear();
                *number += 1;
            }
        }
    }

    fn finish(&self, folder: &Path, report: &mut Report) {
        for (level, (number, hashes)) in self.levels.iter().enumerate() {
            if !hashes.is_empty() {
                compare(folder, &tile_path(level, *number, hashes.len() as u64), hashes, report);
            }
        }
    }
}

fn compare(folder: &Path, path: &str, hashes: &[Hash], report: &mut Report) {
    match fs::read(folder.join(path)) {
        Ok(bytes) if bytes == hashes.concat() => {}
        Ok(_) => report.find(None, format!("`{path}` does not hold the hashes of its entries")),
        Err(error) => report.find(None, format!("`{path}` cannot be read: {error}")),
    }
}

/// Its number and its time.
fn follow_time(followed: &mut Followed, report: &mut Report, seq: u64, entry: &Entry) {
    if entry.seq != seq {
        report.find(Some(seq), format!("the entry says that it is number {}", entry.seq));
    }
    let silent = entry.at.saturating_sub(followed.last_at);
    if followed.running && followed.heartbeat_us > 0 && silent > 2 * followed.heartbeat_us {
        report.find(Some(seq), format!("nothing was written for {} s before it", silent / 1_000_000));
    }
    followed.last_at = entry.at;
}

fn follow(followed: &mut Followed, report: &mut Report, seq: u64, entry: &Entry) {
    follow_time(followed, report, seq, entry);
    match &entry.body {
        Body::GatewayStarted(body) => {
            followed.running = true;
            followed.heartbeat_us = body.heartbeat_s.saturating_mul(1_000_000);
        }
        Body::GatewayStopped(_) | Body::Gap(_) => followed.running = false,
        Body::AgentEnrolled(body) => {
            followed.agents.insert(body.key.clone(), hex::decode(&body.public_key).unwrap_or_default());
        }
        Body::SessionOpened(body) => {
            report.sessions += 1;
            followed.open.insert(body.session.clone(), BTreeSet::new());
        }
        Body::OperationIntent(body) => begin(followed, report, seq, body),
        Body::ToolcallStarted(body) => followed.begin_call(report, seq, &body.call),
        Body::ToolcallEnded(body) => followed.end_call(report, seq, &body.call),
        Body::OperationRefused(body) => {
            followed.within(report, seq, body.call.as_ref());
            followed.name(body.statement.as_ref());
            followed.name(body.parameters.as_ref().and_then(|parameters| parameters.sealed.as_ref()));
        }
        Body::OperationOutcome(body) => {
            followed.name(body.subjects.as_ref().and_then(|subjects| subjects.commitments.as_ref()));
            let was_open =
                followed.open.get_mut(&body.session).is_some_and(|open| open.remove(&body.operation));
            if !was_open {
                report.find(Some(seq), "an outcome without its intent");
            }
        }
        Body::SessionClosed(body) => close(followed, report, seq, body),
        Body::GatewayHeartbeat(body) => check_totals(followed, report, seq, body),
        Body::GatewayRecovered(_)
        | Body::ClockStepped(_)
        | Body::KeyCreated(_)
        | Body::KeyRotated(_)
        | Body::PolicyLoaded(_)
        | Body::PolicyRefused(_)
        | Body::CatalogLoaded(_)
        | Body::ClassificationLoaded(_)
        | Body::ConfigurationChanged(_)
        | Body::AgentConnected(_)
        | Body::AgentDisconnected(_)
        | Body::AgentInvited(_)
        | Body::AgentLocked(_)
        | Body::AuthenticationSucceeded(_)
        | Body::AuthenticationFailed(_)
        | Body::SessionJoined(_)
        | Body::OperationProgress(_)
        | Body::OperationHeld(_)
        | Body::OperationsUndone(_)
        | Body::LimitHit(_)
        | Body::LoginMade(_)
        | Body::LoginRefreshed(_)
        | Body::LoginEnded(_)
        | Body::ServiceCreated(_)
        | Body::ServiceRotated(_)
        | Body::ServiceRevoked(_)
        | Body::SubjectDisabled(_)
        | Body::SubjectEnabled(_)
        | Body::LockPlaced(_)
        | Body::LockLifted(_)
        | Body::SessionKilled(_)
        | Body::ServerStarted(_)
        | Body::ServerEnded(_)
        | Body::ToolsAccepted(_)
        | Body::ToolHeld(_)
        | Body::RecordingRead(_) => {}
    }
}

/// An operation begins, in a session that is open.
fn begin(followed: &mut Followed, report: &mut Report, seq: u64, body: &OperationIntent) {
    followed.name(body.statement.as_ref());
    followed.name(body.parameters.as_ref().and_then(|parameters| parameters.sealed.as_ref()));
    followed.name(body.columns_sealed.as_ref());
    followed.within(report, seq, body.call.as_ref());
    match followed.open.get_mut(&body.session) {
        Some(open) => drop(open.insert(body.operation)),
        None => report.find(Some(seq), "an operation of a session that is not open"),
    }
}

/// A session is over: everything that it ran has an outcome, and its agent counted no more than it says.
fn close(followed: &mut Followed, report: &mut Report, seq: u64, body: &SessionClosed) {
    match followed.open.remove(&body.session) {
        Some(open) if open.is_empty() => {}
        Some(open) => {
            report.find(Some(seq), format!("closed with {} operations without an outcome", open.len()));
        }
        None => report.find(Some(seq), "a session was closed that is not open"),
    }
    if let Some(tally) = &body.agent {
        report.tallies += 1;
        check_tally(followed, report, seq, body, tally);
    }
}

/// What agents counted since they started: signed by keys that were enrolled.
fn check_totals(followed: &Followed, report: &mut Report, seq: u64, body: &GatewayHeartbeat) {
    for signed in &body.agents {
        report.tallies += 1;
        let message = cumulative_tally_message(&signed.tally);
        check_signature(followed, report, seq, &signed.key, &signed.signature, message);
    }
}

/// Whether an agent that was enrolled signed the message; what is wrong is found.
fn check_signature(
    followed: &Followed,
    report: &mut Report,
    seq: u64,
    key: &str,
    signature: &str,
    message: Result<Vec<u8>, serde_json::Error>,
) -> bool {
    let Some(public) = followed.agents.get(key) else {
        report.find(Some(seq), "a tally is signed with a key that was not enrolled");
        return false;
    };
    let (Ok(message), Ok(signature)) = (message, STANDARD.decode(signature)) else {
        report.find(Some(seq), "a tally has no usable signature");
        return false;
    };
    let valid = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public).verify(&message, &signature).is_ok();
    if !valid {
        report.find(Some(seq), "a tally's signature is not valid");
    }
    valid
}

/// The agent's own count: signed by a key that was enrolled, of this session, and not contradicting the gateway's.
fn check_tally(
    followed: &Followed,
    report: &mut Report,
    seq: u64,
    closed: &SessionClosed,
    signed: &SignedTally,
) {
    let message = tally_message(&signed.tally);
    if !check_signature(followed, report, seq, &signed.key, &signed.signature, message) {
        return;
    }
    if signed.tally.session != closed.session {
        report.find(Some(seq), "the tally is of another session");
    }
    // What the agent read of the target and the gateway never got is possible where the stream was cut.
    if signed.tally.bytes_up > closed.bytes_to_target || signed.tally.bytes_down < closed.bytes_from_target {
        report.find(Some(seq), "gateway and agent counted different traffic");
    }
}

/// The segments hold the same leaves, and every sealed object that an entry names.
fn segments(folder: &Path, hashes: &[Hash], followed: &Followed, report: &mut Report) {
    let Ok(list) = segment::list(folder) else {
        return report.find(None, "the segments cannot be listed: sealed objects were not checked");
    };
    let mut missing = followed.objects.clone();
    let mut seq = 0_usize;
    for (_, path) in list {
        let Ok(bytes) = fs::read(&path) else {
            report.find(None, format!("`{}` cannot be read", path.display()));
            continue;
        };
        let mut at = 0;
        while let Some(batch) = bytes.get(at..).and_then(segment::batch) {
            for (class, payload) in segment::records(batch.body) {
                if class == segment::LEAF {
                    match hashes.get(seq) {
                        Some(hash) if *hash == leaf_hash(payload) => {}
                        Some(_) => report.find(Some(seq as u64), "segment and bundle hold different entries"),
                        None => report.unsigned += 1,
                    }
                    seq += 1;
                } else if missing.remove(&crate::Digest::of(payload).to_string()) {
                    report.objects += 1;
                }
            }
            at += segment::HEADER + batch.body.len();
        }
        if bytes.get(at..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
            report.find(Some(seq as u64), "a segment ends in bytes that are no batch");
        }
    }
    if seq < hashes.len() {
        report.find(Some(seq as u64), "the segments hold fewer entries than were signed");
    }
    for object in missing {
        report.find(None, format!("the sealed object `{object}` is missing or was changed"));
    }
}
