//! Understanding at each target: its catalog, read through the agent with the target's own role, and what was analysed
//! against it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use chaperone_access::{
    Analysis, Confined, Effect, FreeText, Member, NameRule, Refusal, RefusalCode, Rows, SessionEffect,
    SessionId, Since, Subjects, TargetName, Touch, Verb, Verbs,
};
use chaperone_masking::{Config, scan_bytes};
use chaperone_recording::Recorder;
use chaperone_scope::{AT_ONCE_BYTES_MAX, Analyser, Catalog, QUERIES, Shape, Shaped, since};
use chaperone_tunnel::{ApplicationName, As, Dial, Dialer, Parameters};
use chaperone_wire::futures::BoxFuture;
use chaperone_wire::{Analyst, Detectors, Looking, Names, Stream};
use lru::LruCache;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::wiring::classifications::{self, Classifications, Classified};
use crate::wiring::commands::{OfCommands, Through};
use crate::wiring::installation::{now_us, random};

/// Analyses kept per target.
const KEPT_MAX: usize = 4096;
/// Shortest time between two readings because of names that are not known.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How many times longer than a reading that time is at least, so that nobody can keep a target busy with being read.
const PAUSE_PER_READING: u32 = 10;
/// Texts above this are not kept: they are loads of data, which do not come again.
const KEPT_TEXT_BYTES_MAX: usize = 16 * 1024;

/// Hears of every catalog that is not the one before.
pub(crate) type Watcher = Box<dyn Fn(&TargetName, &Catalog) + Send + Sync>;

/// The analysts of all targets.
pub(crate) struct Analysts {
    targets: BTreeMap<TargetName, Arc<AtTarget>>,
    recorder: Arc<Recorder>,
    watcher: Arc<OnceLock<Watcher>>,
}

struct AtTarget {
    name: TargetName,
    refresh: Duration,
    detectors: Arc<dyn Detectors>,
    has_catalog: bool,
    analyser: Arc<Analyser>,
    dialer: Arc<dyn Dialer>,
    recorder: Arc<Recorder>,
    watcher: Arc<OnceLock<Watcher>>,
    /// One load at a time.
    loading: AsyncMutex<()>,
    state: Mutex<State>,
}

struct State {
    catalog: Option<Arc<Catalog>>,
    /// Snapshots that were in force before, as long as a statement that was understood against one may run.
    former: Vec<Weak<Catalog>>,
    /// Counts snapshots: each target read and each classification of one is another.
    version: u64,
    classified: Option<Arc<Classified>>,
    read_at: Option<Instant>,
    /// How long reading it took.
    took: Duration,
    stale: bool,
    kept: LruCache<(Arc<str>, Names), Arc<Analysis>>,
    /// One analysis of each shape that short texts have.
    shapes: LruCache<(Shape, Names), Arc<Shaped>>,
}

impl State {
    fn is_fresh(&self, refresh: Duration) -> bool {
        let altered = self.catalog.as_ref().is_some_and(|catalog| catalog.is_altered());
        let refresh = if altered { refresh.min(PAUSE_MIN) } else { refresh };
        !self.stale && self.read_at.is_some_and(|at| at.elapsed() < refresh)
    }

    /// Whether a name that is not known is worth reading the catalog again.
    fn may_look_again(&self) -> bool {
        self.read_at.is_none_or(|at| at.elapsed() >= PAUSE_MIN.max(self.took * PAUSE_PER_READING))
    }

    /// Put a snapshot in force. Nothing that was understood under another one stays.
    fn install(&mut self, catalog: Arc<Catalog>) {
        self.kept.clear();
        self.shapes.clear();
        self.version = catalog.version;
        self.former.retain(|former| former.strong_count() > 0);
        self.former.extend(self.catalog.replace(catalog).as_ref().map(Arc::downgrade));
    }

    /// The snapshot of that version, where somebody has it still.
    fn former(&self, version: u64) -> Option<Arc<Catalog>> {
        self.former.iter().filter_map(Weak::upgrade).find(|catalog| catalog.version == version)
    }
}

/// Whether a statement names what the catalog does not have, otherwise than to make it.
fn names_something_new(analysis: &Analysis) -> bool {
    let is_new = |touch: &Touch| {
        touch.rule == NameRule::Unknown && touch.verbs.iter().any(|verb| verb != Verb::Define)
    };
    analysis.members.iter().any(|member| member.names_unknown || member.touches.iter().any(is_new))
}

fn hold(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A target, as far as it is configured here.
pub(crate) struct Understood {
    pub(crate) name: TargetName,
    /// How long its catalog is good for.
    pub(crate) refresh: Duration,
    pub(crate) classified: Option<Arc<Classified>>,
    /// What its free text is looked through for.
    pub(crate) free_text: Config,
    /// Whether it speaks SQL, so that it has a catalog.
    pub(crate) has_catalog: bool,
}

/// Detectors of one target.
struct LookingFor(Config);

impl Detectors for LookingFor {
    fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>, &'static str)) {
        for finding in scan_bytes(&self.0, text) {
            found(finding.start..finding.end, finding.entity.tag());
        }
    }

    fn stream(&self, stays: &BTreeSet<&'static str>) -> Box<dyn Looking> {
        Box::new(Through::new(&self.0, stays))
    }
}

impl Analysts {
    pub(crate) fn new(
        targets: impl Iterator<Item = Understood>,
        dialer: &Arc<dyn Dialer>,
        recorder: &Arc<Recorder>,
    ) -> std::io::Result<Self> {
        let analyser = Arc::new(Analyser::start()?);
        let watcher = Arc::new(OnceLock::new());
        let targets = targets
            .map(|Understood { name, refresh, classified, free_text, has_catalog }| {
                let state = Mutex::new(State {
                    catalog: None,
                    former: Vec::new(),
                    version: 0,
                    classified,
                    read_at: None,
                    took: Duration::ZERO,
                    stale: false,
                    kept: LruCache::new(NonZeroUsize::new(KEPT_MAX).unwrap_or(NonZeroUsize::MIN)),
                    shapes: LruCache::new(NonZeroUsize::new(KEPT_MAX).unwrap_or(NonZeroUsize::MIN)),
                });
                let at = AtTarget {
                    name: name.clone(),
                    refresh,
                    detectors: Arc::new(LookingFor(free_text)),
                    has_catalog,
                    analyser: analyser.clone(),
                    dialer: dialer.clone(),
                    recorder: recorder.clone(),
                    watcher: watcher.clone(),
                    loading: AsyncMutex::new(()),
                    state,
                };
                (name, Arc::new(at))
            })
            .collect();
        Ok(Self { targets, recorder: recorder.clone(), watcher })
    }

    /// Whether there is such a target.
    pub(crate) fn serves(&self, target: &TargetName) -> bool {
        self.targets.contains_key(target)
    }

    /// Tell somebody of every catalog that is read from now on. There is one such; another one is not heard.
    pub(crate) fn watch(&self, watcher: Watcher) {
        if self.watcher.set(watcher).is_err() {
            tracing::error!("somebody hears of catalogs already");
        }
    }

    /// The catalogs that have been read.
    pub(crate) fn read(&self) -> Vec<(TargetName, Arc<Catalog>)> {
        let read = |(name, at): (&TargetName, &Arc<AtTarget>)| {
            Some((name.clone(), hold(&at.state).catalog.clone()?))
        };
        self.targets.iter().filter_map(read).collect()
    }

    /// A target's catalog, read again where it is too old.
    pub(crate) async fn catalog(&self, target: &TargetName) -> Result<Arc<Catalog>, Refusal> {
        self.at(target)?.fresh().await
    }

    /// What a target is classified by.
    pub(crate) fn classified(&self, target: &TargetName) -> Option<Arc<Classified>> {
        hold(&self.targets.get(target)?.state).classified.clone()
    }

    /// Put classifications in force, of all targets: those that are not the ones before are on durable record first.
    /// Statements that arrive from now on are understood under them, in open sessions too.
    ///
    /// # Errors
    /// The trail cannot be written; what is not on record is not in force.
    pub(crate) async fn classify(&self, by: &str, new: &Classifications) -> Result<(), Refusal> {
        for (name, at) in &self.targets {
            let (before, now) = (hold(&at.state).classified.clone(), new.get(name).cloned());
            if before == now {
                continue;
            }
            self.recorder.note(classifications::loaded_body(by, name, now.as_deref())).await?;
            at.classify(now);
        }
        Ok(())
    }

    /// The rows of a target's catalog, read now. Where they are not what is known, the next statement is understood by what
    /// is there.
    pub(crate) async fn export(&self, target: &TargetName) -> Result<Vec<Rows>, Refusal> {
        let at = self.at(target)?;
        let rows = at.rows().await?;
        let digest = Catalog::digest_of(&rows);
        let mut state = hold(&at.state);
        state.stale |= state.catalog.as_ref().is_some_and(|known| known.digest() != digest);
        drop(state);
        Ok(rows)
    }

    fn at(&self, target: &TargetName) -> Result<Arc<AtTarget>, Refusal> {
        self.targets.get(target).cloned().ok_or_else(|| {
            Refusal::new(RefusalCode::UndefinedTarget, format!("target `{target}` is not configured"))
        })
    }

    /// The catalogs that have been read: digest and number of relations.
    pub(crate) fn catalogs(&self) -> HashMap<TargetName, ([u8; 32], usize)> {
        let read = self.targets.iter().filter_map(|(name, at)| {
            let catalog = hold(&at.state).catalog.clone()?;
            Some((name.clone(), (catalog.digest(), catalog.len())))
        });
        read.collect()
    }

    /// The analyst of a target, with a catalog that is not too old.
    pub(crate) async fn of(&self, target: &TargetName) -> Result<Arc<dyn Analyst>, Refusal> {
        let at = self.at(target)?;
        if !at.has_catalog {
            return Ok(Arc::new(OfCommands(at.detectors.clone())));
        }
        at.fresh().await?;
        Ok(Arc::new(Session(at)))
    }
}

impl AtTarget {
    fn is_fresh(&self) -> bool {
        hold(&self.state).is_fresh(self.refresh)
    }

    /// Read the catalog again if it is stale; what is there stays in force until then.
    async fn fresh(&self) -> Result<Arc<Catalog>, Refusal> {
        if !self.is_fresh() {
            let _turn = self.loading.lock().await;
            if !self.is_fresh() {
                self.load().await?;
            }
        }
        hold(&self.state)
            .catalog
            .clone()
            .ok_or_else(|| Refusal::new(RefusalCode::Internal, "the target has no catalog"))
    }

    /// Ask the target something, in a session of the gateway's own.
    async fn ask<T, F: Future<Output = Result<T, Refusal>> + Send>(
        &self,
        question: impl FnOnce(Box<dyn Stream>) -> F + Send,
    ) -> Result<T, Refusal> {
        let session = SessionId::from_parts(now_us() / 1000, random());
        let application = ApplicationName::new(&format!("cp:{session}:catalog"))
            .map_err(|_| Refusal::new(RefusalCode::Internal, "no name for the session"))?;
        let dial = Dial {
            target: self.name.clone(),
            session,
            application,
            login: As::default(),
            parameters: Parameters::default(),
            caller: None,
        };
        let mut look = self.recorder.look(session, &self.name).await?;
        let dialled = self.dialer.dial(dial).await.map_err(|error| error.refusal())?;
        look.reached(dialled.handle, dialled.tried);
        let answer = question(Box::new(dialled.stream)).await;
        look.end(&*self.dialer).await;
        answer
    }

    /// The rows that the catalog is made of, asked of the target.
    async fn rows(&self) -> Result<Vec<Rows>, Refusal> {
        if !self.has_catalog {
            let what = format!("`{}` has declared commands and no relations", self.name);
            return Err(
                Refusal::new(RefusalCode::Unsupported, what).hint("`chaperone run TARGET` lists them")
            );
        }
        self.ask(|stream| chaperone_postgres::rows::ask(stream, &QUERIES)).await
    }

    async fn load(&self) -> Result<(), Refusal> {
        // What changes while it is read makes it stale again.
        hold(&self.state).stale = false;
        let began = Instant::now();
        let rows = self.rows().await?;
        let digest = Catalog::digest_of(&rows);
        loop {
            let (version, classified, known) = {
                let state = hold(&self.state);
                (state.version + 1, state.classified.clone(), state.catalog.clone())
            };
            let classification = classified.as_ref().map(|classified| &classified.classification);
            // Most of the time nothing has changed, and a large catalog takes a while to make.
            let same =
                known.filter(|known| known.digest() == digest && known.classification() == classification);
            let catalog = match same {
                Some(same) => {
                    self.recorder.catalog_loaded(&self.name, digest, same.len() as u64).await?;
                    None
                }
                None => {
                    let catalog = Catalog::of_rows(version, &rows, classification)
                        .map_err(|error| Refusal::new(RefusalCode::TargetUnavailable, error.to_string()))?;
                    self.recorder.catalog_loaded(&self.name, digest, catalog.len() as u64).await?;
                    Some(self.checked(catalog).await)
                }
            };
            let mut state = hold(&self.state);
            if state.classified != classified {
                continue;
            }
            state.took = began.elapsed();
            state.read_at = Some(Instant::now());
            // Numbered only now: others may have come and gone while it was made, and a number stands for one snapshot.
            let catalog = catalog.map(|catalog| Arc::new(catalog.renumbered(state.version + 1)));
            if let Some(catalog) = &catalog {
                state.install(catalog.clone());
            }
            drop(state);
            if let Some(catalog) = &catalog {
                self.tell(catalog);
            }
            return Ok(());
        }
    }

    /// A catalog whose row filters the target has looked at. What it does not accept is hidden; where it cannot be asked,
    /// it refuses the statements themselves.
    async fn checked(&self, mut catalog: Catalog) -> Catalog {
        let checks = catalog.filter_checks();
        if checks.is_empty() {
            return catalog;
        }
        let statements: Vec<&str> = checks.iter().map(|(_, statement)| statement.as_str()).collect();
        let answers = self.ask(|stream| chaperone_postgres::rows::check(stream, &statements)).await;
        match answers {
            Ok(answers) => {
                for ((relation, _), answer) in checks.iter().zip(answers) {
                    if let Some(why) = answer {
                        catalog.refuse_filter(relation, &why);
                    }
                }
            }
            Err(refusal) => {
                tracing::warn!(target = %self.name, %refusal, "its row filters are not checked");
            }
        }
        catalog
    }

    /// Another classification: at once for what is known of the target, and checked by it afterwards.
    fn classify(self: &Arc<Self>, classified: Option<Arc<Classified>>) {
        let catalog = {
            let mut state = hold(&self.state);
            state.classified = classified;
            let classification = state.classified.as_ref().map(|classified| &classified.classification);
            let Some(known) = &state.catalog else { return };
            let catalog = Arc::new(known.classified(state.version + 1, classification));
            state.install(catalog.clone());
            catalog
        };
        self.tell(&catalog);
        let at = self.clone();
        tokio::spawn(async move {
            let checked = at.checked((*catalog).clone()).await;
            if checked.misfits() == catalog.misfits() {
                return;
            }
            let installed = {
                let mut state = hold(&at.state);
                // Another one that came meanwhile was checked by whoever brought it.
                let current = state.catalog.as_ref().is_some_and(|known| Arc::ptr_eq(known, &catalog));
                current.then(|| {
                    let checked = Arc::new(checked.renumbered(state.version + 1));
                    state.install(checked.clone());
                    checked
                })
            };
            if let Some(catalog) = installed {
                at.tell(&catalog);
            }
        });
    }

    /// Tell whoever wants to know of a new snapshot.
    fn tell(&self, catalog: &Catalog) {
        for misfit in catalog.misfits() {
            tracing::warn!(target = %self.name, "classification: {misfit}");
        }
        if catalog.classification().is_some() {
            for unfit in catalog.unfit() {
                tracing::warn!(target = %self.name, hint = %unfit.hint, "not served to restricted callers: {}", unfit.what);
            }
        }
        let inline = catalog.filtered_inline().count();
        if inline > 0 {
            tracing::warn!(
                target = %self.name, hint = %format!("chaperone floor plan {}", self.name),
                "row filters of {inline} relations stand in statements, which keeps indexes from being used"
            );
        }
        if let Some(watcher) = self.watcher.get() {
            watcher(&self.name, catalog);
        }
    }

    async fn analyse(&self, text: Arc<str>, names: Names) -> Arc<Analysis> {
        let analysis = self.analyse_once(&text, &names).await;
        let again = names_something_new(&analysis) && {
            let mut state = hold(&self.state);
            let again = state.may_look_again();
            state.stale |= again;
            again
        };
        let analysis = if again { self.analyse_once(&text, &names).await } else { analysis };
        self.keep((text, names), &analysis);
        analysis
    }

    async fn analyse_once(&self, text: &Arc<str>, names: &Names) -> Arc<Analysis> {
        let fresh = self.fresh().await;
        // A catalog that cannot be read again stays in force: names that are new are unknown until it can.
        let known = hold(&self.state).catalog.clone();
        let catalog = match (fresh, known) {
            (Ok(catalog), _) | (Err(_), Some(catalog)) => catalog,
            (Err(refusal), None) => return unavailable(text.clone(), refusal),
        };
        let (done, analysed) = oneshot::channel();
        let submitted = self.analyser.submit(
            text.clone(),
            names.path.clone(),
            names.temporary.clone(),
            catalog,
            move |analysis| {
                // A session that has gone does not wait for it.
                drop(done.send(analysis));
            },
        );
        if !submitted {
            return unavailable(text.clone(), busy());
        }
        analysed.await.unwrap_or_else(|_| unavailable(text.clone(), fault()))
    }

    /// Keep an analysis, unless it was made against a catalog that is no longer in force.
    fn keep(&self, key: (Arc<str>, Names), analysis: &Arc<Analysis>) {
        let mut state = hold(&self.state);
        let current =
            state.catalog.as_ref().is_some_and(|catalog| catalog.version == analysis.catalog_version);
        if current && key.0.len() <= KEPT_TEXT_BYTES_MAX {
            state.kept.put(key, analysis.clone());
        }
    }
}

/// Have a worker do something: begun at once, awaited by whoever wants to know when it is done.
fn elsewhere(analyser: &Analyser, job: Box<dyn FnOnce() + Send>) -> BoxFuture<Result<(), Refusal>> {
    let (done, finished) = oneshot::channel();
    let begun = analyser.run(move || {
        job();
        // A session that has gone does not wait for it.
        let _gone = done.send(());
    });
    Box::pin(async move { if begun { finished.await.map_err(|_| fault()) } else { Err(busy()) } })
}

fn busy() -> Refusal {
    Refusal::new(RefusalCode::Busy, "too many new statements wait to be understood").hint("try again")
}

/// Whatever was to be done ended before its end: trying again would not help.
fn fault() -> Refusal {
    Refusal::new(RefusalCode::Internal, "a fault of ours kept the statement from being understood")
        .hint("report it; write the statement in another way until then")
}

/// An analysis that nobody may run.
fn unavailable(text: Arc<str>, refusal: Refusal) -> Arc<Analysis> {
    let member = Member {
        tag: "(not understood)",
        template: [0; 32],
        touches: Vec::new(),
        whole: Verbs::NONE,
        effect: Effect::MayWrite,
        session: SessionEffect::None,
        uses: Arc::from([]),
        subjects: Subjects::None,
        free_text: FreeText::None,
        results: None,
        names_unknown: false,
    };
    let confined = Confined::made(Err(refusal.clone()));
    Arc::new(Analysis {
        text,
        members: Arc::from([member]),
        confined,
        replaced: None,
        forbidden: Some(refusal),
        catalog_version: 0,
        classified: false,
        describes: None,
        invokes: None,
    })
}

struct Session(Arc<AtTarget>);

impl Analyst for Session {
    fn cached(&self, text: &Arc<str>, names: &Names) -> Option<Arc<Analysis>> {
        if text.len() > KEPT_TEXT_BYTES_MAX {
            return None;
        }
        let key = (text.clone(), names.clone());
        let (catalog, look_again) = {
            let mut state = hold(&self.0.state);
            if !state.is_fresh(self.0.refresh) {
                return None;
            }
            let look_again = state.may_look_again();
            if let Some(analysis) = state.kept.get(&key) {
                let stands = !(look_again && names_something_new(analysis));
                return stands.then(|| analysis.clone());
            }
            (state.catalog.clone()?, look_again)
        };
        let shape = Shape::of(text).map(|shape| (shape, names.clone()));
        let known = shape.as_ref().and_then(|shape| hold(&self.0.state).shapes.get(shape).cloned());
        // Not kept: it costs less to make again than a place that another text would lose.
        let known = known.filter(|known| !(look_again && names_something_new(&known.analysis)));
        if let Some(analysis) =
            known.and_then(|known| known.alike(text, &names.path, &names.temporary, &catalog))
        {
            return Some(Arc::new(analysis));
        }
        // Where it arrives: that takes less time than waking another thread, and [`crate::verbs::STACK_BYTES`] is
        // enough for any tree of so short a text.
        if text.len() > AT_ONCE_BYTES_MAX {
            return None;
        }
        let analysis = Arc::new(chaperone_scope::analyse(text, &names.path, &names.temporary, &catalog));
        if look_again && names_something_new(&analysis) {
            return None;
        }
        if let Some(shape) = shape.filter(|_| Shape::has_one_template(text)) {
            hold(&self.0.state).shapes.put(shape, Arc::new(Shaped::new(analysis.clone())));
        }
        self.0.keep(key, &analysis);
        Some(analysis)
    }

    fn analyse(&self, text: Arc<str>, names: Names) -> BoxFuture<Arc<Analysis>> {
        let at = self.0.clone();
        Box::pin(async move { at.analyse(text, names).await })
    }

    fn on_a_deep_stack(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<Result<(), Refusal>> {
        elsewhere(&self.0.analyser, job)
    }

    fn is_current(&self, analysis: &Analysis) -> bool {
        let state = hold(&self.0.state);
        state.is_fresh(self.0.refresh)
            && state.catalog.as_ref().is_some_and(|catalog| catalog.version == analysis.catalog_version)
    }

    fn since(&self, analysis: &Arc<Analysis>) -> Since {
        let (now, before) = {
            let state = hold(&self.0.state);
            let Some(now) = state.catalog.clone().filter(|now| now.version != analysis.catalog_version)
            else {
                return Since::unchanged(analysis);
            };
            (now, state.former(analysis.catalog_version))
        };
        since(analysis, before.as_deref(), &now)
    }

    fn fresh_names(&self) -> Names {
        let path = hold(&self.0.state).catalog.as_ref().map(|catalog| catalog.path());
        Names { path: path.unwrap_or_default(), temporary: Arc::from([]) }
    }

    fn catalog_changed(&self) {
        hold(&self.0.state).stale = true;
    }

    fn detectors(&self) -> Arc<dyn Detectors> {
        self.0.detectors.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One worker of the runtime: whatever kept it would keep the other session.
    #[tokio::test(flavor = "current_thread")]
    async fn others_go_on_while_a_statement_is_written_out() {
        let analyser = Analyser::start().unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let written = elsewhere(&analyser, Box::new(move || assert!(held.recv().is_ok())));
        let other = tokio::spawn(async move { release.send(()) });
        written.await.unwrap();
        other.await.unwrap().unwrap();
        let failed = elsewhere(&analyser, Box::new(|| std::panic::resume_unwind(Box::new(()))));
        assert_eq!(failed.await.unwrap_err().code, RefusalCode::Internal, "nothing is busy");
    }
}
