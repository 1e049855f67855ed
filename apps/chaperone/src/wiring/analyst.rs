//! Understanding at each target: its catalog, read through the agent with the target's own role, and what was analysed
//! against it.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chaperone_access::{
    Analysis, Confined, Effect, Member, Refusal, RefusalCode, SessionEffect, SessionId, Subjects, TargetName,
    Verbs,
};
use chaperone_recording::Recorder;
use chaperone_scope::{AT_ONCE_BYTES_MAX, Analyser, Catalog, QUERIES, Shape, alike};
use chaperone_tunnel::{ApplicationName, As, Dial, Dialer, Parameters};
use chaperone_wire::futures::BoxFuture;
use chaperone_wire::{Analyst, Names};
use lru::LruCache;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use crate::wiring::installation::{now_us, random};

/// Analyses kept per target.
const KEPT_MAX: usize = 4096;
/// Texts above this are not kept: they are loads of data, which do not come again.
const KEPT_TEXT_BYTES_MAX: usize = 16 * 1024;

/// The results of [`QUERIES`]: what a catalog is built from.
pub(crate) type CatalogRows = Vec<Vec<Vec<Option<String>>>>;

/// Hears of every catalog that is not the one before.
pub(crate) type Watcher = Box<dyn Fn(&TargetName, &Catalog) + Send + Sync>;

/// The analysts of all targets.
pub(crate) struct Analysts {
    targets: BTreeMap<TargetName, Arc<AtTarget>>,
    watcher: Arc<OnceLock<Watcher>>,
}

struct AtTarget {
    name: TargetName,
    refresh: Duration,
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
    read_at: Option<Instant>,
    stale: bool,
    kept: LruCache<(Arc<str>, Names), Arc<Analysis>>,
    /// One analysis of each shape that short texts have.
    shapes: LruCache<(Shape, Names), Arc<Analysis>>,
}

impl State {
    fn is_fresh(&self, refresh: Duration) -> bool {
        !self.stale && self.read_at.is_some_and(|at| at.elapsed() < refresh)
    }
}

fn hold(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Analysts {
    pub(crate) fn new(
        targets: impl Iterator<Item = (TargetName, Duration)>,
        dialer: &Arc<dyn Dialer>,
        recorder: &Arc<Recorder>,
    ) -> std::io::Result<Self> {
        let analyser = Arc::new(Analyser::start()?);
        let watcher = Arc::new(OnceLock::new());
        let targets = targets
            .map(|(name, refresh)| {
                let state = Mutex::new(State {
                    catalog: None,
                    read_at: None,
                    stale: false,
                    kept: LruCache::new(NonZeroUsize::new(KEPT_MAX).unwrap_or(NonZeroUsize::MIN)),
                    shapes: LruCache::new(NonZeroUsize::new(KEPT_MAX).unwrap_or(NonZeroUsize::MIN)),
                });
                let at = AtTarget {
                    name: name.clone(),
                    refresh,
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
        Ok(Self { targets, watcher })
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

    /// The rows of a target's catalog, read now.
    pub(crate) async fn export(&self, target: &TargetName) -> Result<CatalogRows, Refusal> {
        self.at(target)?.rows().await
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

    /// The rows that the catalog is made of, asked of the target.
    async fn rows(&self) -> Result<CatalogRows, Refusal> {
        let session = SessionId::from_parts(now_us() / 1000, random());
        let application = ApplicationName::new(&format!("cp:{session}:catalog"))
            .map_err(|_| Refusal::new(RefusalCode::Internal, "no name for the session"))?;
        let dial = Dial {
            target: self.name.clone(),
            session,
            application,
            login: As::default(),
            parameters: Parameters::default(),
        };
        let dialled = self.dialer.dial(dial).await.map_err(|error| error.refusal())?;
        let handle = dialled.handle.clone();
        let rows = chaperone_postgres::rows::ask(Box::new(dialled.stream), &QUERIES).await;
        drop(self.dialer.tally(&handle).await);
        drop(self.dialer.acknowledge(&handle).await);
        rows
    }

    async fn load(&self) -> Result<(), Refusal> {
        // What changes while it is read makes it stale again.
        hold(&self.state).stale = false;
        let rows = self.rows().await?;
        let version = hold(&self.state).catalog.as_ref().map_or(1, |catalog| catalog.version + 1);
        let catalog = Catalog::build(version, &rows)
            .map_err(|error| Refusal::new(RefusalCode::TargetUnavailable, error.to_string()))?;
        let relations = catalog.len() as u64;
        self.recorder.catalog_loaded(&self.name, catalog.digest(), relations).await?;
        let catalog = Arc::new(catalog);
        let mut state = hold(&self.state);
        let same = state.catalog.as_ref().is_some_and(|known| known.digest() == catalog.digest());
        if !same {
            state.kept.clear();
            state.shapes.clear();
            state.catalog = Some(catalog.clone());
        }
        state.read_at = Some(Instant::now());
        drop(state);
        if !same && let Some(watcher) = self.watcher.get() {
            watcher(&self.name, &catalog);
        }
        Ok(())
    }

    async fn analyse(&self, text: Arc<str>, names: Names) -> Arc<Analysis> {
        let known = hold(&self.state).catalog.clone();
        // A catalog that cannot be read again stays in force: names that are new are unknown until it can.
        let catalog = match (self.fresh().await, known) {
            (Ok(catalog), _) => catalog,
            (Err(_), Some(catalog)) => catalog,
            (Err(refusal), None) => return unavailable(text, refusal),
        };
        let (done, analysed) = oneshot::channel();
        let submitted =
            self.analyser.submit(text.clone(), names.path.clone(), catalog.clone(), move |analysis| {
                // A session that has gone does not wait for it.
                drop(done.send(analysis));
            });
        let busy = || {
            Refusal::new(RefusalCode::Busy, "too many new statements wait to be understood").hint("try again")
        };
        if !submitted {
            return unavailable(text, busy());
        }
        let Ok(analysis) = analysed.await else { return unavailable(text, busy()) };
        self.keep((text, names), &analysis);
        analysis
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

/// An analysis that nobody may run.
fn unavailable(text: Arc<str>, refusal: Refusal) -> Arc<Analysis> {
    let member = Member {
        tag: "(not understood)",
        span: 0..text.len(),
        template: [0; 32],
        touches: Vec::new(),
        whole: Verbs::NONE,
        effect: Effect::MayWrite,
        session: SessionEffect::None,
        uses: Arc::from([]),
        subjects: Subjects::None,
    };
    let confined = Confined::made(Err(refusal.clone()));
    Arc::new(Analysis {
        text,
        members: vec![member],
        confined,
        replaced: None,
        forbidden: Some(refusal),
        catalog_version: 0,
    })
}

struct Session(Arc<AtTarget>);

impl Analyst for Session {
    fn cached(&self, text: &Arc<str>, names: &Names) -> Option<Arc<Analysis>> {
        if text.len() > KEPT_TEXT_BYTES_MAX {
            return None;
        }
        let key = (text.clone(), names.clone());
        let shape = Shape::of(text).map(|shape| (shape, names.clone()));
        let (catalog, known) = {
            let mut state = hold(&self.0.state);
            if !state.is_fresh(self.0.refresh) {
                return None;
            }
            if let Some(analysis) = state.kept.get(&key) {
                return Some(analysis.clone());
            }
            (state.catalog.clone()?, shape.as_ref().and_then(|shape| state.shapes.get(shape).cloned()))
        };
        // Not kept: it costs less to make again than a place that another text would lose.
        if let Some(analysis) = known.and_then(|known| alike(&known, text, &names.path, &catalog)) {
            return Some(Arc::new(analysis));
        }
        // Where it arrives: that takes less time than waking another thread, and [`crate::verbs::STACK_BYTES`] is
        // enough for any tree of so short a text.
        if text.len() > AT_ONCE_BYTES_MAX {
            return None;
        }
        let analysis = Arc::new(chaperone_scope::analyse(text, &names.path, &catalog));
        if let Some(shape) = shape.filter(|(shape, _)| shape.has_one_template(text)) {
            hold(&self.0.state).shapes.put(shape, analysis.clone());
        }
        self.0.keep(key, &analysis);
        Some(analysis)
    }

    fn analyse(&self, text: Arc<str>, names: Names) -> BoxFuture<Arc<Analysis>> {
        let at = self.0.clone();
        Box::pin(async move { at.analyse(text, names).await })
    }

    fn is_current(&self, analysis: &Analysis) -> bool {
        let state = hold(&self.0.state);
        state.is_fresh(self.0.refresh)
            && state.catalog.as_ref().is_some_and(|catalog| catalog.version == analysis.catalog_version)
    }

    fn fresh_names(&self) -> Names {
        let path = hold(&self.0.state).catalog.as_ref().map(|catalog| catalog.path());
        Names { path: path.unwrap_or_default(), temporary: Arc::from([]) }
    }

    fn catalog_changed(&self) {
        hold(&self.0.state).stale = true;
    }
}
