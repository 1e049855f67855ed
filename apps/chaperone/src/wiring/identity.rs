//! Who may hold a credential: logins by issuers' tokens, services, people. Each change is on record before it is in
//! force, except an end, which takes effect even where the record refuses it.

mod bearer;
mod proving;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chaperone_access::{Refusal, Source, Subject, SubjectKind};
use chaperone_identity::{
    Assertions, EndCause, Ending, Holders, Identity, Login, LoginError, LoginId, Logins, People,
    PersonChange, PersonError, Refreshed, Service, ServiceChange, ServiceError, Services, Shown, Terms,
    TokenError, Verified, Vouches, told_again,
};
use chaperone_recording::Recorder;
use chaperone_store::HolderFiles;
use chaperone_trail::{
    Body, LoginEnded, LoginMade, LoginRefreshed, ServiceCreated, ServiceRevoked, ServiceRotated,
    SubjectDisabled, SubjectEnabled,
};
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::config::gateway::GatewayConfig;
use crate::config::issuers::check_attributes;
use crate::verbs::Failure;
use crate::wiring::installation::now_us;
use crate::wiring::issuers::{Activity, Issuer, START};
use crate::wiring::sweep::Kick;
use bearer::Bearers;
pub(crate) use bearer::{At, Bearer};

/// How often logins are looked through.
const LOOK: Duration = Duration::from_secs(2);
/// Issuers that are asked about tokens at a time.
const ASKING_MAX: usize = 8;
/// Longest reason that somebody may give, in bytes.
const REASON_BYTES_MAX: usize = 256;
/// The word for these failures in the record.
const METHOD: &str = "issuer_token";

/// Why somebody's wish was not done.
#[derive(Debug, Error)]
pub(crate) enum IdentityRefused {
    /// What was shown proves nothing. The cause is in the log; whoever shows it is told no more.
    #[error("a valid token is needed")]
    NotBelieved,
    /// Too many failures from the same source.
    #[error("too many failures from this address")]
    Throttled,
    /// The token is good, but makes no login.
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Person(#[from] PersonError),
    /// A reason that is none.
    #[error("a reason has 1 to {REASON_BYTES_MAX} bytes without control characters")]
    Reason,
    /// It cannot be recorded.
    #[error(transparent)]
    Unrecorded(#[from] Refusal),
    /// A fault of ours.
    #[error("the gateway could not do it: {0}")]
    Fault(String),
}

type Answer<T> = Result<T, IdentityRefused>;

/// An access token whose issuer is asked about it.
struct Watched {
    token: Zeroizing<String>,
    /// No longer asked about from then on, in seconds since the Unix epoch.
    until_s: u64,
    /// Not asked about before then, in seconds since the Unix epoch: its issuer was, and told nothing to go on with.
    not_before_s: u64,
}

/// Tokens as they come with a request.
pub(crate) struct Tokens<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) access: Option<&'a str>,
}

/// What this is built from.
pub(crate) struct Parts {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) holders: Arc<Holders>,
    pub(crate) people: Arc<People>,
    /// Those of the configuration at the start.
    pub(crate) issuers: Issuers,
    pub(crate) kick: Kick,
}

/// All issuers by alias.
pub(crate) type Issuers = BTreeMap<String, Arc<Issuer>>;

/// Logins, services and people, with their record.
pub(crate) struct Identities {
    parts: Parts,
    /// Those of the configuration as it was read last.
    issuers: RwLock<Arc<Issuers>>,
    watched: Mutex<HashMap<LoginId, Watched>>,
    bearers: Bearers,
    /// Of servers that have tokens exchanged.
    assertions: Assertions,
    /// One change at a time, so that record, force and file tell one story.
    changing: tokio::sync::Mutex<()>,
}

/// The issuers of a configuration, checked; nothing is asked yet.
pub(crate) fn issuers(path: &Path, config: &mut GatewayConfig) -> Result<Issuers, Failure> {
    check_attributes(&config.attributes).map_err(Failure::Usage)?;
    if config.issuer.is_some() && config.development().is_none() {
        return Err(Failure::Usage(
            "`[issuer]` is for development: a gateway that listens beyond this machine does not start with it \
             (hint: `[issuers.NAME]` for an OpenID Connect issuer)"
                .to_owned(),
        ));
    }
    let development = config.development();
    let mut made = Issuers::new();
    for (alias, section) in std::mem::take(&mut config.issuers) {
        if Some(&alias) == development.as_ref() {
            return Err(Failure::Usage(format!(
                "`issuers.{alias}` has the name of the development issuer (hint: `alias` in `[issuer]`)"
            )));
        }
        let issuer = Issuer::new(path, &alias, section, &config.attributes)?;
        made.insert(alias, Arc::new(issuer));
    }
    Ok(made)
}

/// Everybody who was kept.
pub(crate) fn holders(data: &Path, issuers: &Issuers) -> Result<(Arc<Holders>, Arc<People>), Failure> {
    let open = || -> std::io::Result<(Holders, Arc<People>)> {
        let files = Arc::new(HolderFiles::open(&data.join("holders"))?);
        let people = Arc::new(People::open(files.clone())?);
        let logins = Arc::new(Logins::open(files.clone(), people.clone(), terms(issuers))?);
        let services = Arc::new(Services::open(files, people.clone())?);
        Ok((Holders { logins, services }, people))
    };
    let (holders, people) = open().map_err(Failure::io("cannot read logins, people and services"))?;
    Ok((Arc::new(holders), people))
}

fn terms(issuers: &Issuers) -> BTreeMap<String, Terms> {
    issuers.iter().map(|(alias, issuer)| (alias.clone(), issuer.section.terms())).collect()
}

fn now_s() -> u64 {
    now_us() / 1_000_000
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| IdentityRefused::Fault(error.to_string()))
}

fn reason(text: &str) -> Answer<()> {
    let fine =
        !text.trim().is_empty() && text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control);
    if fine { Ok(()) } else { Err(IdentityRefused::Reason) }
}

impl Identities {
    pub(crate) fn new(parts: Parts) -> Self {
        let issuers = RwLock::new(Arc::new(parts.issuers.clone()));
        Self {
            parts,
            issuers,
            watched: Mutex::default(),
            bearers: Bearers::default(),
            assertions: Assertions::new(now_s()),
            changing: tokio::sync::Mutex::default(),
        }
    }

    fn issuers(&self) -> Arc<Issuers> {
        self.issuers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn issuer(&self, alias: &str) -> Option<Arc<Issuer>> {
        self.issuers().get(alias).cloned()
    }

    /// Other issuers from now on. Those in `same` are as before, and keep what they know of their keys; logins of one that
    /// is not there any more end.
    pub(crate) async fn change_issuers(&self, mut issuers: Issuers, same: &BTreeSet<String>) {
        let learnt = Instant::now();
        let before = self.issuers();
        for (alias, issuer) in &mut issuers {
            if let Some(known) = before.get(alias).filter(|_| same.contains(alias)) {
                *issuer = known.clone();
            }
        }
        self.parts.holders.logins.change_terms(terms(&issuers));
        *self.issuers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(issuers);
        self.parts.kick.now(learnt);
        // An issuer that comes back at once does not bring them back.
        self.mark().await;
    }

    /// Issuers that people log in with.
    pub(crate) fn people_issuers(&self) -> Vec<(String, Arc<Issuer>)> {
        let all = self.issuers();
        let of_people = all.iter().filter(|(_, issuer)| issuer.section.client_id.is_some());
        of_people.map(|(alias, issuer)| (alias.clone(), issuer.clone())).collect()
    }

    /// Identifiers of the issuers whose access tokens may open the tools' endpoints.
    pub(crate) fn resource_issuers(&self) -> Vec<String> {
        let all = self.issuers();
        let making = all.values().filter(|issuer| !issuer.rules.resource_audiences.is_empty());
        making.map(|issuer| issuer.rules.identifier.clone()).collect()
    }

    /// Make a login of an issuer's tokens; with its bearer token, shown this once.
    pub(crate) async fn log_in(
        &self,
        source: Source,
        alias: &str,
        tokens: Tokens<'_>,
    ) -> Answer<(Login, Zeroizing<String>)> {
        let Parts { identity, holders, recorder, .. } = &self.parts;
        let issuer = self.issuer(alias);
        // A good one is listened to although strangers share its address.
        let good = |issuer: &Arc<Issuer>| match (tokens.id, tokens.access) {
            (Some(id), _) => issuer.is_good(id, Shown::Id { nonce: None }),
            (None, Some(access)) => issuer.is_good(access, Shown::Access),
            (None, None) => false,
        };
        if identity.is_throttled(source) && !issuer.as_ref().is_some_and(good) {
            return Err(IdentityRefused::Throttled);
        }
        let believed = match issuer {
            Some(issuer) => self.believe(&issuer, &tokens, true).await,
            None => Err(Disbelief { word: "other_issuer", why: "it is not configured".to_owned() }),
        };
        let (verified, until_s) = match believed {
            Ok(believed) => believed,
            Err(disbelief) => return Err(self.disbelieved(source, alias, disbelief).await?),
        };
        // In turn: who was disabled or logged out while this was verified is not let in after all.
        let _turn = self.changing.lock().await;
        let new = holders.logins.log_in(verified, now_s())?;
        if self.is_older_than_an_end(new.login()) {
            let why = "it was made before a login of the same subject ended".to_owned();
            return Err(self.disbelieved(source, alias, Disbelief { word: "stale", why }).await?);
        }
        recorder.note(Body::LoginMade(made(new.login(), source))).await?;
        let (logins, login) = (holders.logins.clone(), new.login().clone());
        match blocking(move || logins.keep(new)).await? {
            Ok((login, token)) => {
                self.watch(&login, &tokens, until_s);
                Ok((login, token))
            }
            Err(error) => {
                // The record says that it was made; it has to say as well that it does not hold.
                let ending = Ending { cause: EndCause::NotKept, learned_at_us: now_us() };
                recorder.note(Body::LoginEnded(ended(&login, &ending, None))).await?;
                Err(error.into())
            }
        }
    }

    /// Verify what was shown, and ask the issuer about it where that is configured: until when is it asked again, in
    /// seconds since the Unix epoch?
    async fn believe(
        &self,
        issuer: &Issuer,
        tokens: &Tokens<'_>,
        fresh: bool,
    ) -> Result<(Verified, Option<u64>), Disbelief> {
        let takes_access = !issuer.rules.access_audiences.is_empty();
        let verified = match (tokens.id, tokens.access.filter(|_| takes_access)) {
            (Some(id), None) => issuer.verify(id, Shown::Id { nonce: None }, fresh).await?,
            (Some(id), Some(access)) => {
                let id = issuer.verify(id, Shown::Id { nonce: None }, fresh).await?;
                id.with(issuer.verify(access, Shown::Access, fresh).await?)?
            }
            // It says nothing of how somebody authenticated, and it may have been made for any client of the issuer.
            (None, Some(_)) if fresh && matches!(issuer.rules.vouches, Vouches::People) => {
                return Err(TokenError::Kind.into());
            }
            (None, Some(access)) => issuer.verify(access, Shown::Access, fresh).await?,
            (None, None) => return Err(TokenError::Malformed.into()),
        };
        let Some(access) = tokens.access.filter(|_| issuer.introspects()) else {
            return Ok((verified, None));
        };
        match issuer.introspect(access).await {
            Ok(Activity::Active { sub, until_s, .. }) => {
                // Somebody else's token would keep this login alive.
                if sub.as_ref() != Some(&verified.facts().subject.sub) {
                    return Err(TokenError::Claim("sub".to_owned()).into());
                }
                Ok((verified, until_s))
            }
            Ok(Activity::Inactive) => {
                Err(Disbelief { word: "inactive", why: "the issuer does not hold it for active".to_owned() })
            }
            Err(error) => Err(Disbelief { word: "unreachable", why: error.to_string() }),
        }
    }

    /// A failure on record, within the bounds that keep a stranger from filling it.
    async fn disbelieved(
        &self,
        source: Source,
        alias: &str,
        disbelief: Disbelief,
    ) -> Answer<IdentityRefused> {
        self.unproved(METHOD, source, alias, disbelief).await
    }

    fn watch(&self, login: &Login, tokens: &Tokens<'_>, until_s: Option<u64>) {
        let Some(token) = tokens.access else { return };
        let issuer = self.issuer(&login.facts.subject.issuer);
        if issuer.is_some_and(|issuer| issuer.introspects()) {
            let until_s = until_s.unwrap_or(login.not_after);
            let watched = Watched { token: Zeroizing::new(token.to_owned()), until_s, not_before_s: 0 };
            self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(login.id, watched);
        }
    }

    /// Seconds within which a login has to be confirmed again: its whole life where nothing is.
    pub(crate) fn recheck_s(&self, login: &Login) -> u64 {
        let issuer = self.issuer(&login.facts.subject.issuer);
        let recheck_s = issuer.and_then(|issuer| issuer.section.terms().recheck_s_max);
        recheck_s.unwrap_or_else(|| login.not_after.saturating_sub(login.made_at))
    }

    /// Refresh a login with fresh tokens of its issuer. Its sessions follow at once.
    pub(crate) async fn refresh(&self, source: Source, id: LoginId, tokens: Tokens<'_>) -> Answer<Login> {
        // Not throttled: whoever refreshes has shown the login's own secret.
        let (login, _) = self.parts.holders.logins.get(id).ok_or(LoginError::Unknown)?;
        let alias = login.facts.subject.issuer;
        let issuer = self.issuer(&alias).ok_or_else(|| LoginError::Issuer(alias.clone()))?;
        let (verified, until_s) = match self.believe(&issuer, &tokens, false).await {
            Ok(believed) => believed,
            Err(disbelief) => return Err(self.disbelieved(source, &alias, disbelief).await?),
        };
        let _turn = self.changing.lock().await;
        let refreshed = self.parts.holders.logins.refresh(id, verified, now_s())?;
        // Also of a token that does not say how the subject authenticated: then it is what it was at the login.
        let strength = refreshed.login().facts.assurance.as_ref();
        if let Err(error) = issuer.rules.satisfied_by(strength, now_s()) {
            return Err(self.disbelieved(source, &alias, error.into()).await?);
        }
        let login = self.keep_refreshed(refreshed).await?;
        self.watch(&login, &tokens, until_s);
        Ok(login)
    }

    /// End a login: in force even where the record or the disk refuses it, and then an error.
    pub(crate) async fn end(&self, id: LoginId, cause: EndCause, by: Option<&str>) -> Answer<Login> {
        let _turn = self.changing.lock().await;
        self.end_in_turn(id, Ending { cause, learned_at_us: now_us() }, by).await
    }

    async fn end_in_turn(&self, id: LoginId, ending: Ending, by: Option<&str>) -> Answer<Login> {
        let Parts { holders, recorder, kick, .. } = &self.parts;
        let learnt = Instant::now();
        let (login, standing) = holders.logins.get(id).ok_or(LoginError::Unknown)?;
        if standing.ended().is_some() {
            return Ok(login);
        }
        let recorded = recorder.note(Body::LoginEnded(ended(&login, &ending, by))).await;
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let logins = holders.logins.clone();
        let kept = blocking(move || logins.end(id, ending)).await?;
        kick.now(learnt);
        recorded?;
        Ok(kept?)
    }

    /// A token that is older than the end of its subject's last login makes no new one, also after a restart.
    fn is_older_than_an_end(&self, login: &Login) -> bool {
        self.ended_since(&login.facts.subject, login.checked_at)
    }

    /// Whether a login of the subject has ended since `at`, in seconds since the Unix epoch.
    fn ended_since(&self, subject: &Subject, at: u64) -> bool {
        self.parts.holders.logins.last_end_s(subject).is_some_and(|ended| at < ended)
    }

    /// What sort of subjects an issuer vouches for, if it is known here.
    pub(crate) fn kind_of(&self, issuer: &str) -> Option<SubjectKind> {
        if issuer == chaperone_identity::LOCAL_ISSUER {
            return Some(SubjectKind::Service);
        }
        self.issuer(issuer).map(|issuer| match issuer.rules.vouches {
            Vouches::People => SubjectKind::Person,
            Vouches::Workloads(_) => SubjectKind::Service,
        })
    }

    /// What an issuer tells of its own accord (OpenID Connect Back-Channel Logout 1.0); how many logins ended.
    pub(crate) async fn back_channel(&self, source: Source, alias: &str, token: &str) -> Answer<usize> {
        // Not throttled: a flood from the issuer's neighbours must not swallow what the issuer says.
        let learned_at_us = now_us();
        let said = match self.issuer(alias) {
            Some(issuer) => issuer.verify_logout(token).await.map_err(Disbelief::from),
            None => Err(Disbelief { word: "other_issuer", why: "it is not configured".to_owned() }),
        };
        let said = match said {
            Ok(said) => said,
            Err(disbelief) => return Err(self.disbelieved(source, alias, disbelief).await?),
        };
        let _turn = self.changing.lock().await;
        let mut meant = self.parts.holders.logins.of_issuer(alias, said.sub.as_deref(), said.sid.as_deref());
        // A token that is shown again ends nothing that was made since.
        meant.retain(|login| login.made_at <= said.at.saturating_add(chaperone_identity::SKEW_S));
        let mut first = Ok(meant.len());
        for login in meant {
            let ending = Ending { cause: EndCause::BackChannel, learned_at_us };
            // Each is ended, whatever becomes of the others.
            if let Err(error) = self.end_in_turn(login.id, ending, None).await {
                first = first.and(Err(error));
            }
        }
        first
    }

    /// A new service; with its first key, shown this once.
    pub(crate) async fn create_service(
        &self,
        name: &str,
        owner: Subject,
        groups: BTreeSet<String>,
        ttl_s: u64,
        by: &str,
    ) -> Answer<(Service, Zeroizing<String>)> {
        let _turn = self.changing.lock().await;
        let change = self.parts.holders.services.create(name, owner, groups, now_s(), ttl_s)?;
        let service = change.service();
        let (key, not_after) = newest(service);
        let body = Body::ServiceCreated(ServiceCreated {
            by: by.to_owned(),
            groups: service.groups.clone(),
            key,
            not_after,
            owner: service.owner.clone(),
            service: service.name.clone(),
        });
        self.parts.recorder.note(body).await?;
        self.keep_service(change).await
    }

    /// A new key of a service; the older ones hold `overlap_s` seconds more at most.
    pub(crate) async fn rotate_service(
        &self,
        name: &str,
        ttl_s: u64,
        overlap_s: u64,
        by: &str,
    ) -> Answer<(Service, Zeroizing<String>)> {
        let _turn = self.changing.lock().await;
        let now = now_s();
        let change = self.parts.holders.services.rotate(name, now, ttl_s, overlap_s)?;
        let (key, not_after) = newest(change.service());
        let body = Body::ServiceRotated(ServiceRotated {
            by: by.to_owned(),
            key,
            not_after,
            previous_until: now.saturating_add(overlap_s),
            service: name.to_owned(),
        });
        self.parts.recorder.note(body).await?;
        self.keep_service(change).await
    }

    async fn keep_service(&self, change: ServiceChange) -> Answer<(Service, Zeroizing<String>)> {
        let services = self.parts.holders.services.clone();
        let (service, key) = blocking(move || services.keep(change)).await??;
        let key = key.ok_or_else(|| IdentityRefused::Fault("no key was made".to_owned()))?;
        Ok((service, key))
    }

    /// End a service and all its keys: in force even where the record or the disk refuses it, and then an error.
    pub(crate) async fn revoke_service(&self, name: &str, why: &str, by: &str) -> Answer<Service> {
        reason(why)?;
        let _turn = self.changing.lock().await;
        let (learnt, learned_at_us) = (Instant::now(), now_us());
        let ending = Ending { cause: EndCause::Administrator, learned_at_us };
        let change = self.parts.holders.services.revoke(name, ending)?;
        let body = Body::ServiceRevoked(ServiceRevoked {
            by: by.to_owned(),
            learned_at: learned_at_us,
            reason: why.to_owned(),
            service: name.to_owned(),
        });
        let recorded = self.parts.recorder.note(body).await;
        let services = self.parts.holders.services.clone();
        let kept = blocking(move || services.keep(change)).await?;
        self.parts.kick.now(learnt);
        recorded?;
        Ok(kept?.0)
    }

    /// Somebody may do nothing any more: his logins end, and the services that he owns stand still.
    pub(crate) async fn disable(&self, subject: &Subject, why: &str, by: &str) -> Answer<()> {
        reason(why)?;
        let _turn = self.changing.lock().await;
        let (learnt, learned_at_us) = (Instant::now(), now_us());
        let change = self.parts.people.weigh_disable(subject, why, by, learned_at_us / 1_000_000)?;
        let (by_whom, reason) = (by.to_owned(), why.to_owned());
        let body = SubjectDisabled { by: by_whom, reason, subject: subject.clone() };
        let recorded = self.parts.recorder.note(Body::SubjectDisabled(body)).await;
        let kept = self.keep_person(change).await;
        self.parts.kick.now(learnt);
        let ending = Ending { cause: EndCause::Disabled, learned_at_us };
        let mut ended = Ok(());
        for login in self.parts.holders.logins.open_where(|login| login.facts.subject == *subject) {
            // Each is ended, whatever becomes of the others.
            ended = self.end_in_turn(login.id, ending.clone(), Some(by)).await.map(drop).and(ended);
        }
        recorded?;
        kept.and(ended)
    }

    /// Somebody may do again what policies permit; logging in comes first.
    pub(crate) async fn enable(&self, subject: &Subject, by: &str) -> Answer<()> {
        let _turn = self.changing.lock().await;
        let change = self.parts.people.weigh_enable(subject)?;
        let body = SubjectEnabled { by: by.to_owned(), subject: subject.clone() };
        self.parts.recorder.note(Body::SubjectEnabled(body)).await?;
        self.keep_person(change).await
    }

    async fn keep_person(&self, change: PersonChange) -> Answer<()> {
        let people = self.parts.people.clone();
        Ok(blocking(move || people.keep(change)).await??)
    }

    /// Those who are known.
    pub(crate) fn people(&self) -> &Arc<People> {
        &self.parts.people
    }

    /// Read every issuer's keys, so that the first login finds them. An issuer that is down does not hold up the start.
    pub(crate) async fn begin(self: &Arc<Self>) {
        let mut looking = JoinSet::new();
        for issuer in self.issuers().values() {
            let issuer = Arc::clone(issuer);
            looking.spawn(async move { issuer.look().await });
        }
        let all = async { while looking.join_next().await.is_some() {} };
        if tokio::time::timeout(START, all).await.is_err() {
            tracing::warn!("an issuer does not answer; its people can log in once it does");
        }
    }

    /// Mark logins whose time is over, ask issuers about tokens that are due, keep keys fresh; until told to stop. An
    /// issuer that hangs holds up nobody but itself.
    pub(crate) async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        tasks.spawn(until(stop.clone(), LOOK, self.clone(), |this| async move { this.mark().await }));
        // Who hangs is not asked again before it has answered; dropped with the task that looks.
        let asking = Arc::new(tokio::sync::Mutex::new(BTreeMap::new()));
        tasks.spawn(until(stop, LOOK, self, move |this| {
            let asking = asking.clone();
            async move { this.look_around(&mut *asking.lock().await) }
        }));
        while tasks.join_next().await.is_some() {}
    }

    /// Look after every issuer that is not being looked after. Issuers come and go with the configuration.
    fn look_around(self: &Arc<Self>, asking: &mut BTreeMap<String, AbortOnDrop>) {
        let issuers = self.issuers();
        asking.retain(|_, asked| !asked.0.is_finished());
        for (alias, issuer) in issuers.iter() {
            if asking.contains_key(alias) {
                continue;
            }
            let (this, alias_too, issuer) = (self.clone(), alias.clone(), issuer.clone());
            let asked = tokio::spawn(async move {
                issuer.look().await;
                this.ask_again(&alias_too).await;
            });
            asking.insert(alias.clone(), AbortOnDrop(asked));
        }
    }

    async fn mark(&self) {
        let now = now_s();
        for (id, cause) in self.parts.holders.logins.overripe(now) {
            if let Err(error) = self.end(id, cause, None).await {
                tracing::error!(login = %id, %error, "a login's end could not be kept");
            }
        }
        let (logins, kept) = (self.parts.holders.logins.clone(), self.parts.identity.kept().clone());
        let tidy =
            move || logins.keep_ends().and_then(|()| logins.forget(now)).and_then(|()| kept.forget(now));
        let tidied = blocking(tidy).await;
        if let Err(error) = tidied.and_then(|done| done.map_err(|error| LoginError::from(error).into())) {
            tracing::error!(%error, "ends of logins could not be kept, or what is over not removed");
        }
    }

    /// Ask an issuer about the tokens of those of its logins of which half the time is over.
    async fn ask_again(self: &Arc<Self>, alias: &str) {
        for few in self.due(alias).chunks(ASKING_MAX) {
            let mut asking = JoinSet::new();
            for (login, token) in few {
                let (this, login, token) = (self.clone(), login.clone(), token.clone());
                asking.spawn(async move { this.ask_about(&login, &token).await });
            }
            while let Some(answered) = asking.join_next().await {
                // It is down: the others would only wait as long.
                if !answered.unwrap_or(false) {
                    return;
                }
            }
        }
    }

    fn due(&self, alias: &str) -> Vec<(Login, Zeroizing<String>)> {
        let (now, mut due) = (now_s(), Vec::new());
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|_, watched| watched.until_s > now);
        for (id, watched) in watched.iter().filter(|(_, watched)| watched.not_before_s <= now) {
            let Some((login, standing)) = self.parts.holders.logins.get(*id) else { continue };
            let half = |due_s: u64| login.checked_at + due_s.saturating_sub(login.checked_at) / 2;
            let own = login.facts.subject.issuer == alias;
            if own && standing.due_s().is_some_and(|due_s| half(due_s) <= now) {
                due.push((login, watched.token.clone()));
            }
        }
        due
    }

    /// An issuer holds a login's token for active. Where it does not tell again what the subject has, the login goes on no
    /// longer than without being asked: otherwise a group that was taken away would last as long as the token.
    async fn heard(&self, issuer: &Issuer, login: &Login, claims: &Map<String, Value>) -> Answer<()> {
        let told = told_again(&issuer.rules, claims, &login.facts);
        let Some(facts) = told.map_err(|error| IdentityRefused::Fault(error.to_string()))? else {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(watched) = watched.get_mut(&login.id) {
                watched.not_before_s = now_s() + self.recheck_s(login) / 2;
            }
            return Ok(());
        };
        let _turn = self.changing.lock().await;
        let refreshed = self.parts.holders.logins.heard(login.id, facts, now_s())?;
        self.keep_refreshed(refreshed).await.map(drop)
    }

    /// A refreshed login on record and in force, in turn. Its sessions follow at once.
    async fn keep_refreshed(&self, refreshed: Refreshed) -> Answer<Login> {
        let Parts { holders, recorder, kick, .. } = &self.parts;
        let learnt = Instant::now();
        let changed = refreshed.changed();
        if changed {
            recorder.note(Body::LoginRefreshed(self::refreshed(refreshed.login()))).await?;
        }
        let logins = holders.logins.clone();
        let kept = blocking(move || logins.keep_refreshed(refreshed)).await?;
        if changed {
            // Also where the disk refused it: what was taken away is gone.
            kick.now(learnt);
        }
        Ok(kept?)
    }

    /// Whether the issuer answered.
    async fn ask_about(&self, login: &Login, token: &str) -> bool {
        let Some(issuer) = self.issuer(&login.facts.subject.issuer) else { return false };
        let done = match issuer.introspect(token).await {
            Ok(Activity::Active { sub, claims, .. }) if sub.as_ref() == Some(&login.facts.subject.sub) => {
                self.heard(&issuer, login, &claims).await
            }
            Ok(Activity::Active { .. }) => Err(LoginError::OtherSubject.into()),
            Ok(Activity::Inactive) => self.end(login.id, EndCause::Revoked, None).await.map(drop),
            // The login goes on until it is overdue.
            Err(error) => {
                tracing::warn!(issuer = %issuer.rules.alias, %error, "an issuer could not be asked about a login");
                return false;
            }
        };
        if let Err(error) = done {
            tracing::warn!(login = %login.id, %error, "what an issuer said about a login was not kept");
        }
        true
    }
}

/// A task that ends with whoever started it.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Do something again and again until told to stop.
async fn until<F: Future<Output = ()> + Send>(
    mut stop: watch::Receiver<bool>,
    every: Duration,
    of: Arc<Identities>,
    work: impl Fn(Arc<Identities>) -> F + Send,
) {
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = work(of.clone()) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Why a token proves nothing: the word in the record, and more for operators.
struct Disbelief {
    word: &'static str,
    why: String,
}

impl From<TokenError> for Disbelief {
    fn from(error: TokenError) -> Self {
        Self { word: error.as_str(), why: error.to_string() }
    }
}

fn newest(service: &Service) -> (String, u64) {
    service.keys.last().map(|key| (key.id.to_string(), key.not_after)).unwrap_or_default()
}

fn made(login: &Login, source: Source) -> LoginMade {
    LoginMade {
        assurance: login.facts.assurance.clone(),
        attributes: login.facts.attributes.clone(),
        client: login.facts.oauth_client.clone(),
        groups: login.facts.groups.clone(),
        login: login.id.to_string(),
        not_after: login.not_after,
        source: source.to_string(),
        subject: login.facts.subject.clone(),
    }
}

fn refreshed(login: &Login) -> LoginRefreshed {
    LoginRefreshed {
        assurance: login.facts.assurance.clone(),
        attributes: login.facts.attributes.clone(),
        client: login.facts.oauth_client.clone(),
        groups: login.facts.groups.clone(),
        login: login.id.to_string(),
        subject: login.facts.subject.clone(),
    }
}

fn ended(login: &Login, ending: &Ending, by: Option<&str>) -> LoginEnded {
    LoginEnded {
        by: by.map(str::to_owned),
        learned_at: ending.learned_at_us,
        login: login.id.to_string(),
        reason: ending.cause.as_str().to_owned(),
        subject: login.facts.subject.clone(),
    }
}

#[cfg(test)]
mod tests;
