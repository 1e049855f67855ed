//! Logins: the gateway's own record that a subject proved itself by an issuer's token.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chaperone_access::{Assurance, Subject};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::holder::{LOGIN_PREFIX, SecretHash, id};
use crate::people::{People, PersonError, name};
use crate::standing::{EndCause, Ending, Facts, Lapse, Standing};
use crate::token::Verified;

/// Most logins that are kept, ended ones included.
pub const LOGINS_MAX: usize = 100_000;
/// Most logins of one subject that have not ended.
pub const LOGINS_OF_ONE_MAX: usize = 256;
/// How long an ended login can still be listed, in seconds.
const ENDED_KEPT_S: u64 = 24 * 3600;
const US: u64 = 1_000_000;

id! {
    /// Identifies one login: 9 random bytes. Not a secret.
    LoginId
}

/// One login. Kept without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Login {
    /// Which one.
    pub id: LoginId,
    /// What its issuer vouched for last. The subject's issuer is the alias of the issuer.
    pub facts: Facts,
    /// The issuer's own session (`sid`), for back-channel logout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// When it was made, in seconds since the Unix epoch.
    pub made_at: u64,
    /// When its issuer last vouched for it, in seconds since the Unix epoch: the age of the token, not of its arrival.
    pub checked_at: u64,
    /// Void from, in seconds since the Unix epoch.
    pub not_after: u64,
    /// How it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ending>,
    /// Hash of its bearer token's secret.
    pub secret: SecretHash,
}

/// Where logins are kept. Each call returns after the change is durable.
pub trait LoginStore: Send + Sync {
    /// All of them.
    ///
    /// # Errors
    /// The disk's own.
    fn logins(&self) -> io::Result<Vec<Login>>;

    /// Put one, in the place of an earlier one of the same id.
    ///
    /// # Errors
    /// The disk's own.
    fn put_login(&self, login: &Login) -> io::Result<()>;

    /// Forget one.
    ///
    /// # Errors
    /// The disk's own.
    fn remove_login(&self, id: LoginId) -> io::Result<()>;
}

/// How long an issuer's logins hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Longest time without hearing its issuer, in seconds. `None`: it holds as long as its token does.
    pub recheck_s_max: Option<u64>,
    /// Longest life, in seconds.
    pub login_s_max: u64,
}

/// Why a login cannot be made or refreshed.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The subject is disabled.
    #[error("`{0}` is disabled here (hint: an administrator can enable it)")]
    Disabled(String),
    /// The issuer vouched for it too long ago.
    #[error("the token was issued too long ago (hint: log in again)")]
    Stale,
    /// The token names somebody else.
    #[error("the token is of another subject than the login (hint: log in again)")]
    OtherSubject,
    /// The login is over.
    #[error("the login is over: {} (hint: log in again)", .0.as_str())]
    Over(Lapse),
    /// No login of that id.
    #[error("there is no such login")]
    Unknown,
    /// Too many logins of one subject.
    #[error("`{0}` has {LOGINS_OF_ONE_MAX} logins that have not ended (hint: `chaperone logout` ends one)")]
    TooMany(String),
    /// Over [`LOGINS_MAX`].
    #[error("the gateway keeps at most {LOGINS_MAX} logins")]
    Full,
    /// Another change came first.
    #[error("the login changed at the same moment (hint: try again)")]
    Raced,
    /// The issuer is not one of ours.
    #[error("issuer `{0}` is not configured")]
    Issuer(String),
    /// No randomness from the system.
    #[error("no randomness from the system")]
    Random,
    /// The subject cannot be kept.
    #[error(transparent)]
    Person(#[from] PersonError),
    /// The disk's own.
    #[error("logins cannot be kept: {0}")]
    Storage(#[from] io::Error),
}

/// A login that was made and waits to be recorded: [`Logins::keep`] brings it into force.
#[must_use = "it does not hold yet"]
pub struct NewLogin {
    login: Login,
    token: Zeroizing<String>,
}

impl NewLogin {
    /// As it will be kept.
    #[must_use]
    pub fn login(&self) -> &Login {
        &self.login
    }
}

/// A refreshed login that waits to be recorded: [`Logins::keep_refreshed`] brings it into force.
#[must_use = "it does not hold yet"]
pub struct Refreshed {
    login: Login,
    changed: bool,
    /// Of the login that it was weighed against.
    revision: u64,
}

impl Refreshed {
    /// As it will be kept.
    #[must_use]
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Whether groups, attributes, assurance or client differ, so that it has to be recorded.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.changed
    }
}

struct Kept {
    login: Login,
    /// Counts changes, so that what was weighed against an older one is not kept.
    revision: u64,
    standing: Arc<Standing>,
}

/// All logins. The default keeps nothing on disk and takes tokens of no issuer.
#[derive(Default)]
pub struct Logins {
    table: RwLock<HashMap<LoginId, Kept>>,
    terms: RwLock<BTreeMap<String, Terms>>,
    people: Arc<People>,
    store: Option<Arc<dyn LoginStore>>,
    /// One change of the table and its files at a time.
    changing: Mutex<()>,
    /// Ends that the disk refused: tried again, so that a restart does not undo them.
    unkept: Mutex<BTreeSet<LoginId>>,
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logins(..)")
    }
}

impl Logins {
    /// Those that were kept. `terms` by the alias of the issuer; a login of another issuer ends at the next
    /// [`Self::overripe`].
    ///
    /// # Errors
    /// The disk's own.
    pub fn open(
        store: Arc<dyn LoginStore>,
        people: Arc<People>,
        terms: BTreeMap<String, Terms>,
    ) -> io::Result<Self> {
        let this = Self { terms: RwLock::new(terms), people, store: Some(store.clone()), ..Self::default() };
        let kept: HashMap<LoginId, Kept> =
            store.logins()?.into_iter().map(|login| (login.id, this.kept(login))).collect();
        *this.table.write().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(this)
    }

    fn kept(&self, login: Login) -> Kept {
        let standing = Standing::new(login.facts.clone(), login.not_after, None, self.people.clone());
        standing.checked(self.due(&login), login.not_after);
        if let Some(ending) = &login.ended {
            standing.end(ending.clone());
        }
        Kept { login, revision: 0, standing: Arc::new(standing) }
    }

    fn terms_of(&self, issuer: &str) -> Option<Terms> {
        self.terms.read().unwrap_or_else(PoisonError::into_inner).get(issuer).copied()
    }

    /// Other issuers, or other terms of theirs, from now on. A login of one that is not among them admits nobody any more,
    /// and ends at the next [`Self::overripe`].
    pub fn change_terms(&self, terms: BTreeMap<String, Terms>) {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        for Kept { login, standing, .. } in table.values() {
            standing.checked(self.due(login), login.not_after);
        }
    }

    /// When a login is due again. Of an issuer that is not configured it always is.
    fn due(&self, login: &Login) -> Option<u64> {
        match self.terms_of(&login.facts.subject.issuer) {
            None => Some(0),
            Some(terms) => terms.recheck_s_max.map(|most| login.checked_at.saturating_add(most)),
        }
    }

    /// One of them with its standing, ended or not.
    #[must_use]
    pub fn get(&self, id: LoginId) -> Option<(Login, Arc<Standing>)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&id).map(|kept| (kept.login.clone(), kept.standing.clone()))
    }

    /// Make a login of a verified token, at `now_s` seconds since the Unix epoch. It holds once it is kept.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub fn log_in(&self, verified: Verified, now_s: u64) -> Result<NewLogin, LoginError> {
        let (facts, heard) = verified.into_parts();
        let subject = &facts.subject;
        let terms =
            self.terms_of(&subject.issuer).ok_or_else(|| LoginError::Issuer(subject.issuer.clone()))?;
        if self.people.is_disabled(subject) {
            return Err(LoginError::Disabled(name(subject)));
        }
        self.room(subject)?;
        let id = LoginId::fresh().ok_or(LoginError::Random)?;
        let (token, secret) = SecretHash::fresh(LOGIN_PREFIX, &id).ok_or(LoginError::Random)?;
        let login = Login {
            id,
            sid: heard.sid,
            made_at: now_s,
            checked_at: heard.issued_at.min(now_s),
            not_after: ends(&terms, now_s, now_s, heard.expires_at),
            ended: None,
            secret,
            facts,
        };
        if self.due(&login).is_some_and(|due| due <= now_s) || login.not_after <= now_s {
            return Err(LoginError::Stale);
        }
        Ok(NewLogin { login, token })
    }

    fn room(&self, subject: &Subject) -> Result<(), LoginError> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= LOGINS_MAX {
            return Err(LoginError::Full);
        }
        let own = |kept: &&Kept| kept.login.ended.is_none() && kept.login.facts.subject == *subject;
        if table.values().filter(own).count() >= LOGINS_OF_ONE_MAX {
            return Err(LoginError::TooMany(name(subject)));
        }
        Ok(())
    }

    /// Bring a login into force; its bearer token, shown this once.
    ///
    /// # Errors
    /// Over a limit, or the disk's own; it does not hold then.
    pub fn keep(&self, new: NewLogin) -> Result<(Login, Zeroizing<String>), LoginError> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let NewLogin { login, token } = new;
        let subject = &login.facts.subject;
        self.room(subject)?;
        self.forget_oldest_of(subject)?;
        self.people.meet(subject, login.facts.display.as_deref(), login.made_at)?;
        self.people.learn(&login.facts)?;
        self.put(&login)?;
        let kept = self.kept(login.clone());
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(login.id, kept);
        Ok((login, token))
    }

    /// Ended logins of one subject beyond [`LOGINS_OF_ONE_MAX`] are forgotten, oldest first: whoever logs in and out again
    /// and again takes the places of nobody else.
    fn forget_oldest_of(&self, subject: &Subject) -> io::Result<()> {
        let mut ended: Vec<(u64, LoginId)> = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            let own = table.values().filter(|kept| kept.login.facts.subject == *subject);
            own.filter_map(|kept| Some((kept.login.ended.as_ref()?.learned_at_us, kept.login.id))).collect()
        };
        ended.sort_unstable();
        let many = ended.len().saturating_sub(LOGINS_OF_ONE_MAX - 1);
        for (_, id) in ended.into_iter().take(many) {
            if let Some(store) = &self.store {
                store.remove_login(id)?;
            }
            self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        Ok(())
    }

    fn put(&self, login: &Login) -> io::Result<()> {
        self.store.as_ref().map_or(Ok(()), |store| store.put_login(login))
    }

    /// What a fresh token of the issuer makes of a login: the same subject, vouched for later, perhaps in other groups.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub fn refresh(&self, id: LoginId, verified: Verified, now_s: u64) -> Result<Refreshed, LoginError> {
        let (mut login, standing, revision) = self.at_revision(id).ok_or(LoginError::Unknown)?;
        match standing.check(now_s) {
            Ok(()) | Err(Lapse::Overdue) => {}
            Err(lapse @ (Lapse::Ended(_) | Lapse::Expired | Lapse::Disabled)) => {
                return Err(LoginError::Over(lapse));
            }
        }
        let (mut facts, heard) = verified.into_parts();
        if facts.subject != login.facts.subject {
            return Err(LoginError::OtherSubject);
        }
        let issuer = &facts.subject.issuer;
        let terms = self.terms_of(issuer).ok_or_else(|| LoginError::Issuer(issuer.clone()))?;
        // A token seen before says nothing about now: the issuer was heard when it was made.
        if heard.issued_at < login.checked_at {
            return Err(LoginError::Stale);
        }
        login.checked_at = heard.issued_at.min(now_s);
        login.not_after = ends(&terms, login.made_at, now_s, heard.expires_at);
        login.sid = heard.sid.or(login.sid);
        if self.due(&login).is_some_and(|due| due <= now_s) {
            return Err(LoginError::Stale);
        }
        facts.assurance = carried(facts.assurance, heard.authenticated_at_is_told, &login);
        let changed = login.facts != facts;
        login.facts = facts;
        Ok(Refreshed { login, changed, revision })
    }

    fn at_revision(&self, id: LoginId) -> Option<(Login, Arc<Standing>, u64)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&id).map(|kept| (kept.login.clone(), kept.standing.clone(), kept.revision))
    }

    /// Bring a refreshed login into force: its sessions see it at once.
    ///
    /// # Errors
    /// It ended meanwhile, or the disk's own.
    pub fn keep_refreshed(&self, refreshed: Refreshed) -> Result<Login, LoginError> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Refreshed { login, revision, .. } = refreshed;
        let (_, standing, now) = self.at_revision(login.id).ok_or(LoginError::Unknown)?;
        if let Some(ending) = standing.ended() {
            return Err(LoginError::Over(Lapse::Ended(ending.clone())));
        }
        if now != revision {
            return Err(LoginError::Raced);
        }
        // In force before it is on disk: what was taken away is gone even where the disk refuses.
        standing.learn(login.facts.clone());
        let login = self.replace(login, &standing)?;
        self.people.learn(&login.facts)?;
        Ok(login)
    }

    /// Durable, then in force. Under the turn.
    fn replace(&self, login: Login, standing: &Standing) -> Result<Login, LoginError> {
        self.put(&login)?;
        standing.checked(self.due(&login), login.not_after);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = table.get_mut(&login.id) {
            kept.login = login.clone();
            kept.revision += 1;
        }
        Ok(login)
    }

    /// The issuer was asked, holds the login's token for active, and tells this of its subject at `now_s` seconds since the
    /// Unix epoch.
    ///
    /// # Errors
    /// It ended meanwhile, or is of somebody else.
    pub fn heard(&self, id: LoginId, facts: Facts, now_s: u64) -> Result<Refreshed, LoginError> {
        let (mut login, standing, revision) = self.at_revision(id).ok_or(LoginError::Unknown)?;
        if let Some(ending) = standing.ended() {
            return Err(LoginError::Over(Lapse::Ended(ending.clone())));
        }
        if facts.subject != login.facts.subject {
            return Err(LoginError::OtherSubject);
        }
        login.checked_at = login.checked_at.max(now_s);
        let changed = login.facts != facts;
        login.facts = facts;
        Ok(Refreshed { login, changed, revision })
    }

    /// End one: in force at once, durable when this returns. The first cause stays.
    ///
    /// # Errors
    /// There is no such login, or the disk's own: the end is in force all the same, and [`Self::keep_ends`] tries again.
    pub fn end(&self, id: LoginId, ending: Ending) -> Result<Login, LoginError> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let login = {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            let kept = table.get_mut(&id).ok_or(LoginError::Unknown)?;
            kept.standing.end(ending.clone());
            kept.login.ended.get_or_insert(ending);
            kept.revision += 1;
            kept.login.clone()
        };
        let unkept = || self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        match self.put(&login) {
            Ok(()) => {
                unkept().remove(&id);
                Ok(login)
            }
            Err(error) => {
                unkept().insert(id);
                Err(error.into())
            }
        }
    }

    /// Put the ends that the disk refused.
    ///
    /// # Errors
    /// It refuses again.
    pub fn keep_ends(&self) -> io::Result<()> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for id in unkept {
            if let Some((login, _)) = self.get(id) {
                self.put(&login)?;
            }
            self.unkept.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        Ok(())
    }

    /// When the last login of a subject ended, in seconds since the Unix epoch: as far back as ended ones are kept, which
    /// is longer than any token is fresh enough to make one.
    #[must_use]
    pub fn last_end_s(&self, subject: &Subject) -> Option<u64> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let own = table.values().map(|kept| &kept.login).filter(|login| login.facts.subject == *subject);
        own.filter_map(|login| Some(login.ended.as_ref()?.learned_at_us / US)).max()
    }

    /// Those that have not ended and of which this holds.
    pub fn open_where(&self, mut wanted: impl FnMut(&Login) -> bool) -> Vec<Login> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let logins = table.values().map(|kept| &kept.login).filter(|login| login.ended.is_none());
        logins.filter(|login| wanted(login)).cloned().collect()
    }

    /// What was last heard of each of these subjects that has a login, ended or not.
    #[must_use]
    pub fn last_heard(&self, of: &BTreeSet<&Subject>) -> BTreeMap<Subject, Facts> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut newest: BTreeMap<&Subject, &Login> = BTreeMap::new();
        for login in table.values().map(|kept| &kept.login).filter(|login| of.contains(&login.facts.subject))
        {
            let known = newest.entry(&login.facts.subject).or_insert(login);
            if known.checked_at < login.checked_at {
                *known = login;
            }
        }
        newest.into_iter().map(|(subject, login)| (subject.clone(), login.facts.clone())).collect()
    }

    /// Those that a back-channel logout is about: of the issuer, with its session where `sid` is given, of the subject
    /// where `sub` is (OpenID Connect Back-Channel Logout 1.0, section 2.7).
    #[must_use]
    pub fn of_issuer(&self, issuer: &str, sub: Option<&str>, sid: Option<&str>) -> Vec<Login> {
        self.open_where(|login| {
            let subject = &login.facts.subject;
            subject.issuer == issuer
                && (sub.is_some() || sid.is_some())
                && sub.is_none_or(|sub| subject.sub == sub)
                && sid.is_none_or(|sid| login.sid.as_deref() == Some(sid))
        })
    }

    /// Those that are over at `now_s` and were not marked so, with the cause.
    #[must_use]
    pub fn overripe(&self, now_s: u64) -> Vec<(LoginId, EndCause)> {
        let cause = |login: &Login| {
            if self.terms_of(&login.facts.subject.issuer).is_none() {
                return Some(EndCause::IssuerRemoved);
            }
            (login.not_after <= now_s).then_some(EndCause::Expired)
        };
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let open = table.values().map(|kept| &kept.login).filter(|login| login.ended.is_none());
        open.filter_map(|login| Some((login.id, cause(login)?))).collect()
    }

    /// Forget those that ended a day ago or earlier.
    ///
    /// # Errors
    /// The disk's own.
    pub fn forget(&self, now_s: u64) -> io::Result<()> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |login: &Login| {
            login.ended.as_ref().is_some_and(|end| end.learned_at_us / US + ENDED_KEPT_S <= now_s)
        };
        let old: Vec<LoginId> = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            table.values().filter(|kept| gone(&kept.login)).map(|kept| kept.login.id).collect()
        };
        for id in old {
            if let Some(store) = &self.store {
                store.remove_login(id)?;
            }
            self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        Ok(())
    }

    /// Logins in the order of their ids, from after `after`, at most `limit`, ended ones included.
    #[must_use]
    pub fn list(&self, after: Option<LoginId>, limit: usize) -> Vec<Login> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<LoginId> =
            table.keys().copied().filter(|id| after.is_none_or(|after| *id > after)).collect();
        ids.sort_unstable();
        ids.iter().take(limit).filter_map(|id| table.get(id)).map(|kept| kept.login.clone()).collect()
    }
}

/// When a login made at `made_s` is void: at the end of its own life, and of the token's where nothing is rechecked.
fn ends(terms: &Terms, made_s: u64, now_s: u64, token_expires_at: u64) -> u64 {
    match terms.recheck_s_max {
        Some(_) => made_s.saturating_add(terms.login_s_max),
        None => token_expires_at.min(now_s.saturating_add(terms.login_s_max)),
    }
}

/// What a refreshed token leaves of how the subject authenticated: issuers may say it at the first login only, all of it or
/// a part, and a refresh is no authentication (OpenID Connect Core, section 12.2).
fn carried(told: Option<Assurance>, at_is_told: bool, login: &Login) -> Option<Assurance> {
    let (told, before) = match (told, &login.facts.assurance) {
        (None, before) => return before.clone(),
        (told @ Some(_), None) => return told,
        (Some(told), Some(before)) => (told, before),
    };
    // Told of another time, it is another authentication, of which the one before says nothing.
    if at_is_told && told.at != before.at {
        return Some(told);
    }
    Some(Assurance {
        acr: told.acr.or_else(|| before.acr.clone()),
        amr: if told.amr.is_empty() { before.amr.clone() } else { told.amr },
        at: before.at,
    })
}

#[cfg(test)]
mod tests;
