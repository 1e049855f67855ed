//! Policies from their folder: read, checked, archived, put on record, in force; again on a signal or over the API,
//! without dropping a session. Whatever is wrong with a new set, the old one stays in force.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use chaperone_access::{AttributeKind, Refusal, RelationName, TargetName};
use chaperone_identity::Clients;
use chaperone_policy::{
    Diagnostic, Expectations, Known, LIMITS_FILE, OfRelation, OfTarget, Policies, PolicySet, TESTS_FILE,
    Warning, World,
};
use chaperone_recording::Recorder;
use chaperone_scope::Catalog;
use chaperone_store::PolicyArchive;
use chaperone_trail::{Body, Digest, PolicyLoaded, PolicyRefused};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::config;
use crate::config::gateway::{GatewayConfig, Protocol};
use crate::verbs::Failure;
use crate::wiring::analyst::Analysts;
use crate::wiring::classifications::{self, ClassificationFiles};
use crate::wiring::reread::Rereader;
use crate::wiring::sweep::Kick;

/// Most files of one set.
pub(crate) const FILES_MAX: usize = 1024;
/// Errors that an entry repeats.
const RECORDED_MAX: usize = 16;
/// Longest error that an entry repeats, in bytes.
const RECORDED_BYTES_MAX: usize = 512;

/// A policy folder's files: what makes the set, and the expectations beside it.
pub(crate) struct Folder {
    /// `*.cedar` and `limits.toml`, sorted.
    pub(crate) set: Vec<(String, String)>,
    /// `tests.toml`.
    pub(crate) tests: Option<(String, String)>,
}

/// Read a policy folder.
pub(crate) fn read(folder: &Path) -> Result<Folder, Failure> {
    let entries = std::fs::read_dir(folder)
        .map_err(Failure::io(format!("cannot read the policy folder `{}`", folder.display())))?;
    let (mut set, mut tests) = (Vec::new(), None);
    for entry in entries {
        let path = entry.map_err(Failure::io("cannot read the policy folder"))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if name == TESTS_FILE {
            tests = Some((name, config::read_text(&path)?));
        } else if name == LIMITS_FILE || path.extension().is_some_and(|extension| extension == "cedar") {
            set.push((name, config::read_text(&path)?));
        }
        if set.len() > FILES_MAX {
            return Err(Failure::Usage(format!(
                "`{}` has more than {FILES_MAX} policy files",
                folder.display()
            )));
        }
    }
    set.sort();
    Ok(Folder { set, tests })
}

/// What the configuration says exists. `tags` are those of its classifications.
pub(crate) fn known(config: &GatewayConfig, tags: Option<HashSet<String>>) -> Result<Known, Failure> {
    Ok(Known {
        attributes: config.attributes.clone(),
        clients: Arc::new(config.registered().map_err(Failure::Usage)?),
        installation: Some(config.name.clone()),
        targets: config.targets.keys().chain(config.servers.keys()).cloned().collect(),
        commands: config
            .targets
            .iter()
            .filter(|(_, target)| target.protocol == Protocol::Command)
            .map(|(name, _)| name.clone())
            .collect(),
        servers: config.servers.keys().cloned().collect(),
        relations: BTreeMap::new(),
        columns: BTreeMap::new(),
        tags,
    })
}

/// A set with its warnings, or what is wrong with it.
pub(crate) type Loaded = Result<(PolicySet, Vec<Warning>), Vec<Diagnostic>>;

/// Load the policies that a configuration names.
pub(crate) fn load(
    config: &GatewayConfig,
    folder: &Path,
    tags: Option<HashSet<String>>,
) -> Result<Loaded, Failure> {
    Ok(PolicySet::load(&read(folder)?.set, &known(config, tags)?))
}

/// What is wrong or odd about a set, a line each.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Groups of which only issuers know whether they exist.
    pub(crate) groups: BTreeSet<String>,
}

/// Look at a set, and at the expectations beside it.
pub(crate) fn checked(set: &[(String, String)], tests: Option<&(String, String)>, known: &Known) -> Checked {
    let mut found = Checked::default();
    match PolicySet::load(set, known) {
        Err(errors) => found.errors.extend(errors.iter().map(ToString::to_string)),
        Ok((set, warnings)) => {
            found.warnings.extend(warnings.iter().map(ToString::to_string));
            let names = set.names();
            let unregistered = names.clients.iter().filter(|name| set.clients().get(name).is_none());
            found.warnings.extend(unregistered.map(|name| {
                format!("client `{name}` is not registered (hint: `[clients.{name}]` in gateway.toml)")
            }));
            found.groups.extend(names.groups);
        }
    }
    if let Some(Err(errors)) = tests.map(Expectations::parse) {
        found.errors.extend(errors.iter().map(ToString::to_string));
    }
    found
}

/// All diagnostics in one text, a line each.
pub(crate) fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

/// The relations of a catalog, as policies name them.
pub(crate) fn relations(catalog: &Catalog) -> BTreeSet<String> {
    catalog.own().map(ToString::to_string).collect()
}

/// Add what a catalog and its classification say exists.
pub(crate) fn learn(known: &mut Known, target: &TargetName, catalog: &Catalog) {
    known.relations.insert(target.clone(), relations(catalog).into_iter().collect());
    if catalog.classification().is_none() {
        return;
    }
    let mut columns = HashSet::new();
    for name in catalog.own() {
        let facts = catalog.facts(name).into_iter().flat_map(|facts| &facts.columns);
        columns.extend(facts.map(|column| chaperone_policy::column_name(name, &column.name)));
    }
    known.columns.insert(target.clone(), columns);
}

/// What exists at the targets whose catalogs are known; the others have no relations.
pub(crate) fn world(
    installation: &str,
    targets: impl Iterator<Item = (TargetName, Option<Arc<Catalog>>)>,
) -> World {
    let known =
        |catalog: Option<Arc<Catalog>>| catalog.map(|catalog| of_target(&catalog)).unwrap_or_default();
    World {
        installation: installation.to_owned(),
        targets: targets.map(|(name, catalog)| (name, known(catalog))).collect(),
    }
}

fn of_target(catalog: &Catalog) -> OfTarget {
    let of = |name: &RelationName| OfRelation {
        within: catalog.above(name),
        // What is seen of a view that is taken apart is what is seen of the relations that it reads.
        facts: catalog.facts(name).filter(|_| !catalog.is_taken_apart(name)).cloned(),
    };
    OfTarget {
        classified: catalog.classification().is_some(),
        relations: catalog.own().map(|name| (name.clone(), of(name))).collect(),
        ..OfTarget::default()
    }
}

/// What loading came to.
pub(crate) struct Reloaded {
    pub(crate) digest: String,
    pub(crate) previous: String,
    pub(crate) count: usize,
    pub(crate) warnings: Vec<Warning>,
}

/// Why the old set stays.
pub(crate) enum NotReloaded {
    /// The files cannot be read or used: a line each, for whoever wrote them.
    Unusable(Vec<String>),
    /// The set cannot be kept, so it would not be there for those who read the record.
    Unkept(std::io::Error),
    /// It cannot be recorded.
    Unrecorded(Refusal),
}

impl std::fmt::Display for NotReloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unusable(lines) => f.write_str(&lines.join("\n")),
            Self::Unkept(error) => write!(f, "the set cannot be kept: {error}"),
            Self::Unrecorded(refusal) => write!(f, "{refusal}"),
        }
    }
}

/// Loads sets and keeps them.
pub(crate) struct PolicyKeeper {
    folder: PathBuf,
    /// What the configuration says exists; its clients change with a reload.
    known: RwLock<Known>,
    attributes: BTreeMap<String, AttributeKind>,
    archive: Arc<PolicyArchive>,
    policies: Arc<Policies>,
    classifications: ClassificationFiles,
    analysts: Arc<Analysts>,
    recorder: Arc<Recorder>,
    kick: Kick,
    /// One load at a time, so that the last entry names the set in force.
    turn: Mutex<()>,
}

/// What a keeper is made of.
pub(crate) struct KeeperParts {
    pub(crate) folder: PathBuf,
    pub(crate) known: Known,
    pub(crate) archive: Arc<PolicyArchive>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) classifications: ClassificationFiles,
    pub(crate) analysts: Arc<Analysts>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) kick: Kick,
}

impl PolicyKeeper {
    pub(crate) fn new(parts: KeeperParts) -> Arc<Self> {
        let KeeperParts { folder, known, archive, policies, classifications, analysts, recorder, kick } =
            parts;
        let (turn, attributes) = (Mutex::new(()), known.attributes.clone());
        let known = RwLock::new(known);
        let keeper = Self {
            folder,
            known,
            attributes,
            archive,
            policies,
            classifications,
            analysts,
            recorder,
            kick,
            turn,
        };
        let keeper = Arc::new(keeper);
        let told = keeper.clone();
        keeper.analysts.watch(Box::new(move |_, _| told.catalog_read()));
        keeper
    }

    /// The sets that were in force.
    pub(crate) fn archive(&self) -> &Arc<PolicyArchive> {
        &self.archive
    }

    /// What issuers may say of subjects.
    pub(crate) fn attributes(&self) -> &BTreeMap<String, AttributeKind> {
        &self.attributes
    }

    /// What the configuration and the catalogs that have been read say exists.
    pub(crate) fn known(&self) -> Known {
        let mut known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        for (target, catalog) in self.analysts.read() {
            learn(&mut known, &target, &catalog);
        }
        let classified = known.targets.iter().filter_map(|target| self.analysts.classified(target));
        let classified: Vec<_> = classified.collect();
        known.tags = classifications::tags(classified.iter().map(|one| &*one.classification));
        known
    }

    /// Read the folder and the classifications again and put what is there in force: kept under its digest, then on
    /// durable record, then in force. All of it, or nothing.
    ///
    /// # Errors
    /// Why not; the old set stays in force, and that is on record too.
    pub(crate) async fn reload(&self, by: &str) -> Result<Reloaded, NotReloaded> {
        self.reload_with(by, None).await
    }

    /// The same, with other registered clients, which come into force with the set or not at all.
    ///
    /// # Errors
    /// As [`Self::reload`].
    pub(crate) async fn reload_with(
        &self,
        by: &str,
        clients: Option<Arc<Clients>>,
    ) -> Result<Reloaded, NotReloaded> {
        let learnt = Instant::now();
        let _turn = self.turn.lock().await;
        let (folder, mut known, files) = (self.folder.clone(), self.known(), self.classifications.clone());
        if let Some(clients) = &clients {
            known.clients = clients.clone();
        }
        let loaded = tokio::task::spawn_blocking(move || {
            let classified = files.load().map_err(|lines| (None, lines))?;
            known.tags = classifications::tags(classified.values().map(|one| &*one.classification));
            let files = read(&folder).map_err(|failure| (None, vec![failure.to_string()]))?.set;
            let set = PolicySet::load(&files, &known).map_err(|errors| {
                let digest = PolicySet::digest_of(&files);
                (Some(digest), errors.iter().map(ToString::to_string).collect::<Vec<_>>())
            })?;
            Ok((set, classified))
        });
        let loaded = loaded.await.unwrap_or_else(|error| Err((None, vec![error.to_string()])));
        let ((set, warnings), classified) = match loaded {
            Ok(loaded) => loaded,
            Err((digest, lines)) => return Err(self.refused(by, digest, lines).await),
        };
        let (archive, files) = (self.archive.clone(), set.files().to_vec());
        let kept = tokio::task::spawn_blocking(move || archive.keep(&files)).await;
        let digest = match kept.map_err(std::io::Error::other).and_then(|kept| kept) {
            Ok(digest) => digest,
            Err(error) => return Err(NotReloaded::Unkept(error)),
        };
        let (count, previous) = (set.len(), self.policies.now().digest_text());
        self.recorder.note(loaded_body(by, &set)).await.map_err(NotReloaded::Unrecorded)?;
        self.analysts.classify(by, &classified).await.map_err(NotReloaded::Unrecorded)?;
        if let Some(clients) = clients {
            self.known.write().unwrap_or_else(PoisonError::into_inner).clients = clients;
        }
        self.policies.replace(set);
        self.kick.now(learnt);
        tracing::info!(%digest, %previous, count, by, "policies are in force");
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(Reloaded { digest, previous, count, warnings })
    }

    async fn refused(&self, by: &str, digest: Option<[u8; 32]>, lines: Vec<String>) -> NotReloaded {
        for line in &lines {
            tracing::error!("the new policies are not in force, the old ones stay: {line}");
        }
        let short = |line: &String| {
            let end = line.floor_char_boundary(RECORDED_BYTES_MAX);
            line.get(..end).unwrap_or_default().to_owned()
        };
        let body = Body::PolicyRefused(PolicyRefused {
            by: by.to_owned(),
            errors: lines.len() as u64,
            first: lines.iter().take(RECORDED_MAX).map(short).collect(),
            policy: digest.map(Digest),
        });
        match self.recorder.note(body).await {
            Ok(_) => NotReloaded::Unusable(lines),
            Err(refusal) => NotReloaded::Unrecorded(refusal),
        }
    }

    /// A catalog was read: names that nobody could check before are checked now. What is in force stays: a relation may
    /// have been dropped, and a forbid on it is then only useless.
    fn catalog_read(&self) {
        let (errors, warnings) = self.policies.now().check_names(&self.known());
        for error in errors {
            tracing::error!("a policy in force bites nothing: {error}");
        }
        for warning in warnings {
            tracing::warn!("{warning}");
        }
    }
}

/// The entry for a set that comes into force.
pub(crate) fn loaded_body(by: &str, set: &PolicySet) -> Body {
    Body::PolicyLoaded(PolicyLoaded {
        by: Some(by.to_owned()),
        count: set.len() as u64,
        policy: Digest(set.digest()),
    })
}

/// Load again on every SIGHUP, the configuration too, until told to stop.
pub(crate) async fn on_hangup(
    keeper: Arc<PolicyKeeper>,
    rereader: Rereader,
    mut stop: watch::Receiver<bool>,
) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!(%error, "cannot wait for SIGHUP: policies are loaded again over the API only");
            return;
        }
    };
    loop {
        tokio::select! {
            received = hangups.recv() => {
                if received.is_none() {
                    return;
                }
            }
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let registered = rereader.read().await;
        let clients = registered.as_ref().map(|registered| registered.clients.clone());
        match keeper.reload_with("signal", clients).await {
            Ok(_) => {
                if let Some(registered) = registered {
                    rereader.put(registered).await;
                }
            }
            // It is in the log and on record already.
            Err(NotReloaded::Unusable(_)) => {}
            Err(error @ (NotReloaded::Unkept(_) | NotReloaded::Unrecorded(_))) => {
                tracing::error!(%error, "the old policies stay in force");
            }
        }
    }
}
