//! Access tokens as MCP clients show them, or servers that act for their holders: each stands for a login that it makes or refreshes, so that whatever ends a login
//! ends what its tokens open.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use chaperone_access::{Source, Subject};
use chaperone_identity::{
    EndCause, Ending, Exchange, Facts, LOGINS_MAX, Lapse, Login, LoginError, LoginId, Shown, Standing,
    TokenError, Verified, Who, claimed_issuer, told_again,
};
use chaperone_trail::{Body, LoginEnded, LoginMade, LoginRefreshed};
use lru::LruCache;

use super::{
    Answer, Disbelief, Identities, IdentityRefused, Tokens, blocking, ended, made, now_s, refreshed,
};
use crate::wiring::installation::now_us;
use crate::wiring::issuers::{Activity, Issuer};

/// Tokens that are remembered, so that a call costs no signature.
const SEEN_MAX: usize = 16 * 1024;
/// A remembered token is verified again after this many seconds, whatever its issuer's terms: keys are withdrawn.
const SEEN_S: u64 = 300;

/// Somebody who shows a bearer token at the tools' endpoints.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// Whom a credential names that is made for it.
    pub(crate) who: Who,
    /// What is true of it now.
    pub(crate) standing: Arc<Standing>,
    /// What the token may be used for; `None` for tokens of our own, which have no scopes.
    pub(crate) scopes: Option<Arc<BTreeSet<String>>>,
    /// The OAuth client that the token was made for.
    pub(crate) oauth_client: Option<String>,
    /// Void from, in seconds since the Unix epoch.
    pub(crate) not_after: u64,
}

/// What a token came to.
#[derive(Debug, Clone)]
struct Seen {
    login: LoginId,
    scopes: Arc<BTreeSet<String>>,
    client: Option<String>,
    /// Void from, in seconds since the Unix epoch.
    until_s: u64,
    /// Verified again from then on.
    again_s: u64,
}

/// Whose tokens: a subject, through an OAuth client, and the server that shows them, where one does.
type Held = (Subject, Option<String>, Option<String>);

/// Where a token was shown, and its SHA-256: it is not kept. What is good at one place proves nothing at another.
type Key = (Option<String>, [u8; 32]);

/// Tokens that were believed, and the logins that they stand for.
pub(super) struct Bearers {
    seen: Mutex<LruCache<Key, Seen>>,
    logins: Mutex<HashMap<Held, LoginId>>,
}

/// Where a token is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'a> {
    /// By its holder's client, at the tools' endpoints.
    Tools,
    /// By this registered server, which acts for its holder.
    Exchange(&'a str, &'a Exchange),
}

impl<'a> At<'a> {
    fn shown(self) -> Shown<'a> {
        match self {
            Self::Tools => Shown::Resource,
            Self::Exchange(_, exchange) => Shown::Exchanged(exchange),
        }
    }

    fn server(self) -> Option<String> {
        match self {
            Self::Tools => None,
            Self::Exchange(name, _) => Some(name.to_owned()),
        }
    }

    /// Whether tokens of an issuer count here at all.
    fn takes(self, alias: &str, issuer: &Issuer) -> bool {
        match self {
            Self::Tools => !issuer.rules.resource_audiences.is_empty(),
            Self::Exchange(_, exchange) => exchange.issuers.contains(alias),
        }
    }
}

impl Default for Bearers {
    fn default() -> Self {
        let many = NonZeroUsize::new(SEEN_MAX).unwrap_or(NonZeroUsize::MIN);
        Self { seen: Mutex::new(LruCache::new(many)), logins: Mutex::default() }
    }
}

fn key(token: &str) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
        *to = *from;
    }
    out
}

impl Identities {
    /// Whose access token it is, and whether it is meant for where it is shown.
    pub(crate) async fn bear(&self, source: Source, token: &str, at: At<'_>) -> Answer<Bearer> {
        let key = (at.server(), key(token));
        // Whoever was believed a moment ago does not wait because strangers share his address.
        if let Some(bearer) = self.remembered(&key) {
            return Ok(bearer);
        }
        let claimed = claimed_issuer(token);
        let issuers = self.issuers();
        let meant = issuers.iter().find(|(alias, issuer)| {
            Some(&issuer.rules.identifier) == claimed.as_ref() && at.takes(alias, issuer)
        });
        let good = meant.is_some_and(|(_, issuer)| issuer.is_good(token, at.shown()));
        if !good && self.parts.identity.is_throttled(source) {
            return Err(IdentityRefused::Throttled);
        }
        let Some((alias, issuer)) = meant else {
            let why = "no issuer of that name makes tokens for where it was shown".to_owned();
            return Err(self.disbelieved(source, "", Disbelief { word: "other_issuer", why }).await?);
        };
        let (verified, told, until_s) = match self.verified(issuer, token, at).await {
            Ok(verified) => verified,
            Err(disbelief) => return Err(self.disbelieved(source, alias, disbelief).await?),
        };
        let facts = verified.facts().clone();
        if self.ended_since(&facts.subject, verified.issued_at()) {
            let why = "it was made before a login of the same subject ended".to_owned();
            return Err(self.disbelieved(source, alias, Disbelief { word: "stale", why }).await?);
        }
        let (scopes, until_s) = (Arc::new(verified.scopes().clone()), until_s.min(verified.expires_at()));
        // What its issuer does not tell again is as old as the token.
        let verified = match told {
            Some(told) => verified.confirmed(told, now_s()),
            None => verified,
        };
        let login = self.login_of(source, verified, at).await?;
        self.watch(&login, &Tokens { id: None, access: Some(token) }, Some(until_s));
        let recheck_s = issuer.section.terms().recheck_s_max.unwrap_or(SEEN_S).min(SEEN_S);
        let seen = Seen {
            login: login.id,
            scopes,
            client: facts.oauth_client,
            until_s,
            again_s: now_s() + recheck_s / 2,
        };
        self.bearers.seen.lock().unwrap_or_else(PoisonError::into_inner).put(key.clone(), seen);
        self.remembered(&key).ok_or(IdentityRefused::NotBelieved)
    }

    /// A token that was believed and still holds.
    fn remembered(&self, key: &Key) -> Option<Bearer> {
        let now = now_s();
        let seen = self.bearers.seen.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()?;
        let (login, standing) = self.parts.holders.logins.get(seen.login)?;
        if now >= seen.until_s || now >= seen.again_s || standing.check(now).is_err() {
            return None;
        }
        let (scopes, oauth_client) = (Some(seen.scopes), seen.client);
        Some(Bearer { who: Who::Login(login.id), standing, scopes, oauth_client, not_after: seen.until_s })
    }

    /// Verify a token, and ask its issuer about it where that is configured; what the issuer told of its subject, and until
    /// when it may be believed, in seconds since the Unix epoch.
    async fn verified(
        &self,
        issuer: &Issuer,
        token: &str,
        at: At<'_>,
    ) -> Result<(Verified, Option<Facts>, u64), Disbelief> {
        let verified = issuer.verify(token, at.shown(), true).await?;
        if !issuer.introspects() {
            return Ok((verified, None, u64::MAX));
        }
        match issuer.introspect(token).await {
            Ok(Activity::Active { sub, until_s, claims }) => {
                // As at the login: an answer that names nobody vouches for nobody.
                if sub.as_ref() != Some(&verified.facts().subject.sub) {
                    return Err(TokenError::Claim("sub".to_owned()).into());
                }
                let told = told_again(&issuer.rules, &claims, verified.facts())?;
                Ok((verified, told, until_s.unwrap_or(u64::MAX)))
            }
            Ok(Activity::Inactive) => {
                Err(Disbelief { word: "inactive", why: "the issuer does not hold it for active".to_owned() })
            }
            Err(error) => Err(Disbelief { word: "unreachable", why: error.to_string() }),
        }
    }

    /// The login that a token stands for: the one of the same subject through the same OAuth client, which a later token
    /// refreshes, or a new one.
    async fn login_of(&self, source: Source, verified: Verified, at: At<'_>) -> Answer<Login> {
        let _turn = self.changing.lock().await;
        let facts = verified.facts();
        let held: Held = (facts.subject.clone(), facts.oauth_client.clone(), at.server());
        let known = self.bearers.logins.lock().unwrap_or_else(PoisonError::into_inner).get(&held).copied();
        let known = known.and_then(|id| self.parts.holders.logins.get(id));
        match known {
            Some((login, standing)) if standing.ended().is_none() && now_s() < login.not_after => {
                self.later(login, &standing, verified).await
            }
            Some(_) | None => self.first(source, held, verified).await,
        }
    }

    /// A login that is known, with another token of the same subject and client.
    async fn later(&self, login: Login, standing: &Standing, verified: Verified) -> Answer<Login> {
        // One from another device of the same person is no news, and no fault either.
        if verified.issued_at() < login.checked_at {
            return match standing.check(now_s()) {
                Ok(()) => Ok(login),
                Err(lapse @ (Lapse::Ended(_) | Lapse::Expired | Lapse::Overdue | Lapse::Disabled)) => {
                    Err(LoginError::Over(lapse).into())
                }
            };
        }
        let learnt = std::time::Instant::now();
        let change = self.parts.holders.logins.refresh(login.id, verified, now_s())?;
        let changed = change.changed();
        if changed {
            let body: LoginRefreshed = refreshed(change.login());
            self.parts.recorder.note(Body::LoginRefreshed(body)).await?;
        }
        let logins = self.parts.holders.logins.clone();
        let kept = blocking(move || logins.keep_refreshed(change)).await?;
        if changed {
            self.parts.kick.now(learnt);
        }
        match kept {
            // The issuer was asked about it meanwhile: it stands as it is now.
            Err(LoginError::Raced) => Ok(login),
            kept => Ok(kept?),
        }
    }

    /// The first token of somebody through a client.
    async fn first(&self, source: Source, held: Held, verified: Verified) -> Answer<Login> {
        let new = self.parts.holders.logins.log_in(verified, now_s())?;
        let body: LoginMade = made(new.login(), source);
        self.parts.recorder.note(Body::LoginMade(body)).await?;
        let (logins, login) = (self.parts.holders.logins.clone(), new.login().clone());
        // The login's own bearer token is nobody's: it is shown to nobody.
        match blocking(move || logins.keep(new)).await? {
            Ok((login, _unused)) => {
                let mut table = self.bearers.logins.lock().unwrap_or_else(PoisonError::into_inner);
                if table.len() >= LOGINS_MAX {
                    table.clear();
                }
                table.insert(held, login.id);
                Ok(login)
            }
            Err(error) => {
                let ending = Ending { cause: EndCause::NotKept, learned_at_us: now_us() };
                let body: LoginEnded = ended(&login, &ending, None);
                self.parts.recorder.note(Body::LoginEnded(body)).await?;
                Err(error.into())
            }
        }
    }
}
