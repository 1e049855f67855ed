//! Claims become principals here and nowhere else.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use chaperone_access::{Claim, Delegation, Refusal, RefusalCode, ScramClaim, Server, Source, Subject};
use lru::LruCache;
use tokio::sync::Semaphore;

use crate::caveat::{Caveat, Restriction};
use crate::clients::Clients;
use crate::credential::{Credential, CredentialId, Grant, IssueError, Parsed, Who, parse_user, password};
use crate::failures::{FailureLedger, Noted, Proof};
use crate::holder::Holders;
use crate::kept::KeptCaveats;
use crate::keys::RootKeys;
use crate::people::People;
use crate::principal::{Bound, CredentialFacts, Principal, chain};
use crate::standing::{Facts, Lapse, Standing};

/// Iterations of PBKDF2. The password is 256 random bits, so they protect nothing; some drivers refuse fewer.
pub(crate) const ITERATIONS: u32 = 4096;
/// Verifications under way at a time; one more is refused as busy rather than queued without bound.
const VERIFYING_MAX: usize = 4;
/// Claims that may wait for a verification.
const WAITING_MAX: usize = 256;
/// Verifiers of credentials that have succeeded, kept so that a repeated login is cheap.
const VERIFIERS_MAX: usize = 4096;

/// Why a claim proved nothing. For the record only: the outside sees one refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// The user name is not a credential.
    Malformed,
    /// Made with a key that is not ours any more, or never was.
    UnknownKey,
    /// The password is not the one that belongs to the user name.
    WrongProof,
    /// Void.
    Expired,
    /// Not valid yet.
    NotYetValid,
    /// Taken back.
    Revoked,
    /// For another target.
    OtherTarget,
    /// Names a login or a key that is not there.
    UnknownHolder,
    /// The login or key is over.
    Ended,
    /// The login was not checked for too long.
    Overdue,
    /// The subject, or the owner of the service, is disabled.
    Disabled,
    /// Names somebody itself, and this gateway has no development issuer.
    Named,
    /// The login was made by another registered client than the credential names.
    OtherClient,
    /// Exchanged by a server that is not registered for that any more.
    OtherServer,
    /// Only for calls of a tool, and this is none.
    OtherTool,
    /// Another credential than the one that the run of a server was given.
    OtherProcess,
    /// Refers to a caveat that is not kept.
    UnknownCaveat,
    /// Too many failures from this source.
    Throttled,
    /// Too many verifications under way.
    Busy,
}

impl FailureReason {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::WrongProof => "wrong_proof",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::OtherTarget => "other_target",
            Self::UnknownHolder => "unknown_holder",
            Self::Ended => "ended",
            Self::Overdue => "overdue",
            Self::Disabled => "disabled",
            Self::Named => "named",
            Self::OtherClient => "other_client",
            Self::OtherProcess => "other_process",
            Self::OtherServer => "other_server",
            Self::OtherTool => "other_tool",
            Self::UnknownCaveat => "unknown_caveat",
            Self::Throttled => "throttled",
            Self::Busy => "busy",
        }
    }
}

/// A claim that proved nothing.
#[derive(Debug)]
pub struct Failure {
    /// Why, for the record.
    pub reason: FailureReason,
    /// The user name as sent: to be recorded as a keyed digest only, since anything may have been typed there.
    pub user: Arc<str>,
    /// The target asked for, as sent.
    pub target: Arc<str>,
    /// The credential, where its own word for itself could be read.
    pub credential: Option<CredentialId>,
    /// Whether this failure gets an entry of its own.
    pub noted: Noted,
}

impl Failure {
    /// What the outside is told: the same for every cause.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::new(RefusalCode::AuthenticationFailed, "authentication failed")
    }
}

/// Which credentials were taken back.
pub trait Revocations: Send + Sync {
    /// Whether this one was.
    fn is_revoked(&self, credential: CredentialId) -> bool;
}

/// Nothing was taken back.
#[derive(Debug)]
pub struct NoRevocations;

impl Revocations for NoRevocations {
    fn is_revoked(&self, _: CredentialId) -> bool {
        false
    }
}

/// The tool whose calls a session is for, and the server whose run it is.
type Carried<'a> = (Option<&'a Arc<str>>, bool);

#[derive(Clone)]
struct Verifier {
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

/// Authenticates. Shared by all listeners.
pub struct Identity {
    keys: RootKeys,
    revocations: Arc<dyn Revocations>,
    verifying: Arc<Semaphore>,
    waiting: Semaphore,
    verifiers: Mutex<LruCache<[u8; 32], Verifier>>,
    failures: Mutex<FailureLedger>,
    /// What broke the protocol before any claim was made. By themselves: no login is held back for them.
    violations: Mutex<FailureLedger>,
    holders: Arc<Holders>,
    people: Arc<People>,
    clients: RwLock<Arc<Clients>>,
    kept: Arc<KeptCaveats>,
    /// Whether credentials may name their subject themselves.
    named: bool,
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

/// RFC 5802, section 3: what a server needs to verify a password and to prove that it knows it.
fn verifier(password: &str, salt: &[u8]) -> Verifier {
    let mut salted = [0; 32];
    let iterations = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
    Verifier { stored_key: hash(&mac(&salted, b"Client Key")), server_key: mac(&salted, b"Server Key") }
}

/// Whether the proof fits; if so, the server's own signature.
fn check(verifier: &Verifier, claim: &ScramClaim) -> Option<[u8; 32]> {
    let signature = mac(&verifier.stored_key, &claim.auth_message);
    let mut client_key = [0; 32];
    for ((to, proof), mask) in client_key.iter_mut().zip(&claim.proof).zip(&signature) {
        *to = proof ^ mask;
    }
    constant_time::verify_slices_are_equal(&hash(&client_key), &verifier.stored_key).ok()?;
    Some(mac(&verifier.server_key, &claim.auth_message))
}

/// A server behind the gateway, with whoever sees what it reads.
fn registered(clients: &Clients, name: &Arc<str>) -> Option<Server> {
    let recipient = clients.server(name)?.recipient.clone();
    Some(Server { name: name.clone(), recipient })
}

impl Identity {
    /// From the root keys.
    #[must_use]
    pub fn new(keys: RootKeys, revocations: Arc<dyn Revocations>) -> Self {
        Self {
            keys,
            revocations,
            verifying: Arc::new(Semaphore::new(VERIFYING_MAX)),
            waiting: Semaphore::new(WAITING_MAX),
            verifiers: Mutex::new(LruCache::new(
                NonZeroUsize::new(VERIFIERS_MAX).unwrap_or(NonZeroUsize::MIN),
            )),
            failures: Mutex::default(),
            violations: Mutex::default(),
            holders: Arc::default(),
            people: Arc::default(),
            clients: RwLock::default(),
            kept: Arc::default(),
            named: true,
        }
    }

    /// The same, for a gateway without a development issuer: credentials that name their subject themselves are void.
    #[must_use]
    pub fn without_named(self) -> Self {
        Self { named: false, ..self }
    }

    /// The same, for credentials of those who logged in and of services as well.
    #[must_use]
    pub fn holding(self, holders: Arc<Holders>, people: Arc<People>) -> Self {
        Self { holders, people, ..self }
    }

    /// The same, with the clients that are registered.
    #[must_use]
    pub fn registered(self, clients: Arc<Clients>) -> Self {
        Self { clients: RwLock::new(clients), ..self }
    }

    /// The clients that are registered now.
    #[must_use]
    pub fn clients(&self) -> Arc<Clients> {
        self.clients.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other clients are registered from now on. Principals stay what they were proved to be: whoever sweeps open sessions
    /// ends those of which [`Self::binds_otherwise`] says so.
    pub fn change_clients(&self, clients: Arc<Clients>) {
        *self.clients.write().unwrap_or_else(PoisonError::into_inner) = clients;
    }

    /// The same, with caveats that credentials refer to.
    #[must_use]
    pub fn keeping(self, kept: Arc<KeptCaveats>) -> Self {
        Self { kept, ..self }
    }

    /// The caveats that credentials refer to.
    #[must_use]
    pub fn kept(&self) -> &Arc<KeptCaveats> {
        &self.kept
    }

    /// Make a credential with the newest root key.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(&self, grant: &Grant) -> Result<Credential, IssueError> {
        self.keys.issue(grant)
    }

    /// Salt and iterations for a user name: the same work and the same answer whether or not it is a credential.
    #[must_use]
    pub fn challenge(&self, user: &str) -> (Vec<u8>, u32) {
        let (_, key) = self.keys.newest();
        let tag = hmac::sign(&key.salt(), user.as_bytes());
        (tag.as_ref().iter().copied().take(16).collect(), ITERATIONS)
    }

    /// Failures of the last minute that were only counted, if a new minute has begun.
    pub fn counted_failures(&self, now_us: u64) -> Vec<(String, u64)> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).turn(now_us)
    }

    /// Count a connection that broke the protocol before it made a claim.
    pub fn note_violation(&self, source: Source) -> Noted {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).note(source, Proof::Token, false)
    }

    /// Such connections of the last minute that were only counted, if a new minute has begun.
    pub fn counted_violations(&self, now_us: u64) -> Vec<(String, u64)> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).turn(now_us)
    }

    /// Count a failure of an issuer's token. It is on record as credentials' are.
    pub fn note_failure(&self, source: Source) -> Noted {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).note(source, Proof::Token, true)
    }

    /// Whether a source has failed so often with tokens in this minute that no more work is spent on them than to look
    /// whether one is good.
    #[must_use]
    pub fn is_throttled(&self, source: Source) -> bool {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).throttled(source, Proof::Token)
    }

    /// Turn a claim into a principal, with the proof to the client that we know its password. `now_us` is in
    /// microseconds since the Unix epoch.
    ///
    /// # Errors
    /// A [`Failure`], whose refusal does not tell why.
    pub async fn authenticate(&self, claim: Claim, now_us: u64) -> Result<(Principal, [u8; 32]), Failure> {
        self.authenticate_for(claim, None, None, now_us).await
    }

    /// The same for a session that carries calls of a tool, by the word of whoever dispatches them and never of the
    /// client: what a credential was narrowed to that tool for. With `only`, it is a run of the server of that name, and no
    /// other credential is any good.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub async fn authenticate_for(
        &self,
        claim: Claim,
        tool: Option<&Arc<str>>,
        only: Option<CredentialId>,
        now_us: u64,
    ) -> Result<(Principal, [u8; 32]), Failure> {
        let Claim::Scram(claim) = claim;
        let (user, target, source) = (claim.user.clone(), claim.target.clone(), claim.source);
        let parsed = parse_user(&user);
        let credential = parsed.as_ref().map(|parsed| parsed.id);
        let verified = match only {
            Some(only) if credential.is_some_and(|shown| shown != only) => Err(FailureReason::OtherProcess),
            Some(_) | None => self.verify(claim, parsed, (tool, only.is_some()), now_us / 1_000_000).await,
        };
        verified.map_err(|reason| self.failed(reason, user, target, credential, source))
    }

    fn failed(
        &self,
        reason: FailureReason,
        user: Arc<str>,
        target: Arc<str>,
        credential: Option<CredentialId>,
        source: Source,
    ) -> Failure {
        let worked =
            !matches!(reason, FailureReason::Throttled | FailureReason::Busy | FailureReason::OtherProcess);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = failures.note(source, Proof::Password(&user), worked);
        drop(failures);
        Failure { reason, user, target, credential, noted }
    }

    async fn verify(
        &self,
        claim: ScramClaim,
        parsed: Option<Parsed>,
        carried: Carried<'_>,
        now_s: u64,
    ) -> Result<(Principal, [u8; 32]), FailureReason> {
        // Whoever has succeeded before costs no work, and does not wait because strangers share his address.
        let known = self.proved_before(&claim);
        if known.is_none() && self.holds_back(&claim) {
            return Err(FailureReason::Throttled);
        }
        let key = parsed.as_ref().and_then(|parsed| self.keys.of(parsed.epoch));
        // Without a credential the same work is done for a password that nobody has.
        let expected = match (&parsed, key) {
            (Some(parsed), Some(key)) => password(key, &parsed.links),
            (Some(_) | None, _) => password(self.keys.newest().1, &[Arc::from("nobody")]),
        };
        let signature = match known {
            Some(signature) => Some(signature),
            None => self.proof(&claim, expected).await?,
        };
        let parsed = parsed.ok_or(FailureReason::Malformed)?;
        if key.is_none() {
            return Err(FailureReason::UnknownKey);
        }
        let signature = signature.ok_or(FailureReason::WrongProof)?;
        let principal = self.believe(parsed, &claim.target, carried, now_s)?;
        Ok((principal, signature))
    }

    fn holds_back(&self, claim: &ScramClaim) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.throttled(claim.source, Proof::Password(&claim.user))
    }

    /// The proof where it is right and this very user name has succeeded before.
    fn proved_before(&self, claim: &ScramClaim) -> Option<[u8; 32]> {
        let name = hash(claim.user.as_bytes());
        let known = self.verifiers.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()?;
        check(&known, claim)
    }

    /// Check the proof, from the cache where this very user name has succeeded before.
    async fn proof(
        &self,
        claim: &ScramClaim,
        expected: zeroize::Zeroizing<String>,
    ) -> Result<Option<[u8; 32]>, FailureReason> {
        let name = hash(claim.user.as_bytes());
        let known = self.verifiers.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some(known) = known {
            return Ok(check(&known, claim));
        }
        let _place = self.waiting.try_acquire().map_err(|_| FailureReason::Busy)?;
        let turn = self.verifying.clone().acquire_owned().await.map_err(|_| FailureReason::Busy)?;
        let salt = claim.salt.clone();
        // The turn goes with the work: a client that leaves does not give its place to the next one early.
        let made = tokio::task::spawn_blocking(move || {
            let made = verifier(&expected, &salt);
            drop(turn);
            made
        })
        .await
        .map_err(|_| FailureReason::Busy)?;
        let signature = check(&made, claim);
        if signature.is_some() {
            self.verifiers.lock().unwrap_or_else(PoisonError::into_inner).put(name, made);
        }
        Ok(signature)
    }

    /// The proof is right: what the credential says is now believed, and judged.
    fn believe(
        &self,
        parsed: Parsed,
        asked: &str,
        (tool, is_run): Carried<'_>,
        now_s: u64,
    ) -> Result<Principal, FailureReason> {
        let Parsed { id, grant, mut caveats, .. } = parsed;
        for caveat in &mut caveats {
            if let Caveat::Kept(id) = caveat {
                let relations = self.kept.get(*id).ok_or(FailureReason::UnknownCaveat)?;
                *caveat = Caveat::Relations(relations);
            }
        }
        let mut not_after = grant.not_after;
        let restriction = Restriction::of(&caveats);
        for caveat in &caveats {
            if let Caveat::Until(until) = caveat {
                not_after = not_after.min(*until);
            }
        }
        if now_s >= not_after {
            return Err(FailureReason::Expired);
        }
        if now_s < grant.not_before {
            return Err(FailureReason::NotYetValid);
        }
        if self.revocations.is_revoked(id) {
            return Err(FailureReason::Revoked);
        }
        if grant.target.as_str() != asked {
            return Err(FailureReason::OtherTarget);
        }
        if !restriction.allows_tool(tool.map(AsRef::as_ref)) {
            return Err(FailureReason::OtherTool);
        }
        let standing = self.standing(&grant.who, not_after)?;
        standing.check(now_s).map_err(|lapse| match lapse {
            Lapse::Ended(_) => FailureReason::Ended,
            Lapse::Expired => FailureReason::Expired,
            Lapse::Overdue => FailureReason::Overdue,
            Lapse::Disabled => FailureReason::Disabled,
        })?;
        let bound = self.bound_by(&grant, &standing)?;
        // Of the same registrations as the rest of it, so that whatever they are replaced by is told apart from them.
        let server = match tool.filter(|_| is_run) {
            Some(name) => Some(registered(&bound.clients, name).ok_or(FailureReason::OtherServer)?),
            None => bound.server.clone(),
        };
        let bound = Bound { tool: tool.cloned(), server, ..bound };
        let facts = CredentialFacts { id, who: grant.who, target: grant.target, not_after, restriction };
        Ok(Principal::new(standing, bound, facts))
    }

    /// What is true now of whom a credential names.
    fn standing(&self, who: &Who, not_after: u64) -> Result<Arc<Standing>, FailureReason> {
        match who {
            Who::Named { .. } if !self.named => Err(FailureReason::Named),
            Who::Named { issuer, kind, sub, groups } => {
                let subject = Subject { issuer: issuer.clone(), kind: *kind, sub: sub.clone() };
                let facts = Facts::of(subject, groups.clone());
                Ok(Arc::new(Standing::new(facts, not_after, None, self.people.clone())))
            }
            Who::Login(id) | Who::Exchanged { login: id, .. } => {
                self.holders.logins.get(*id).map(|(_, standing)| standing).ok_or(FailureReason::UnknownHolder)
            }
            Who::ServiceKey(id) => {
                let found = self.holders.services.by_key(*id);
                found.map(|(_, standing)| standing).ok_or(FailureReason::UnknownHolder)
            }
        }
    }

    /// Whether a login or service key can be used through that client: no credential that names another is any good.
    #[must_use]
    pub fn acts_through(&self, client: Option<&str>, standing: &Standing) -> bool {
        self.bound(client.map(str::to_owned), None, standing, false).is_ok()
    }

    /// The chain that a session for calls of a tool would have, for whoever explains before there is one, and decides
    /// whether there may be. It proves nothing.
    ///
    /// # Errors
    /// The holder logged in through another client than is named.
    pub fn chain_for(
        &self,
        standing: &Standing,
        client: Option<String>,
        purpose: Option<String>,
        tool: &Arc<str>,
    ) -> Result<Delegation, FailureReason> {
        let bound = Bound { tool: Some(tool.clone()), ..self.bound(client, purpose, standing, false)? };
        Ok(chain(&standing.facts(), &bound))
    }

    /// A server of others as it stands in the chain of its calls; none that is registered no more.
    #[must_use]
    pub fn server(&self, name: &Arc<str>) -> Option<Server> {
        registered(&self.clients(), name)
    }

    /// The chain that a session with such a credential would have, for whoever decides whether to make one. It proves
    /// nothing.
    ///
    /// # Errors
    /// The holder logged in through another client than is named, or the server is not registered.
    pub fn chain_of(&self, grant: &Grant, standing: &Standing) -> Result<Delegation, FailureReason> {
        Ok(chain(&standing.facts(), &self.bound_by(grant, standing)?))
    }

    /// What a grant binds its holder to.
    fn bound_by(&self, grant: &Grant, standing: &Standing) -> Result<Bound, FailureReason> {
        let by_us = matches!(grant.who, Who::Named { .. });
        let bound = self.bound(grant.client.clone(), grant.purpose.clone(), standing, by_us)?;
        let server = match &grant.who {
            Who::Exchanged { server, .. } => {
                let found = bound.clients.exchanging(server).ok_or(FailureReason::OtherServer)?;
                Some(Server { name: Arc::from(server.as_str()), recipient: found.recipient.clone() })
            }
            Who::Named { .. } | Who::Login(_) | Who::ServiceKey(_) => None,
        };
        Ok(Bound { server, ..bound })
    }

    /// The name under which an OAuth client is registered; its own where it is not.
    #[must_use]
    pub fn client_named(&self, oauth_client: &str) -> String {
        self.clients().by_oauth_client(oauth_client).unwrap_or(oauth_client).to_owned()
    }

    /// The client that acts: the one that the credential names. Who logged in with the OAuth client of a registered
    /// client acts through that one, whatever the credential says. A client that is known by its OAuth clients is nobody's
    /// own word: only a login through one of them, or the development issuer, binds it.
    fn bound(
        &self,
        named: Option<String>,
        purpose: Option<String>,
        standing: &Standing,
        by_us: bool,
    ) -> Result<Bound, FailureReason> {
        let (facts, clients) = (standing.facts(), self.clients());
        let by_login = facts.oauth_client.as_deref().and_then(|id| clients.by_oauth_client(id));
        let client = match (named, by_login) {
            (Some(named), Some(by_login)) if named != by_login => return Err(FailureReason::OtherClient),
            (Some(named), None) if !by_us && clients.is_known_by_login(&named) => {
                return Err(FailureReason::OtherClient);
            }
            (Some(named), _) => Some(named),
            (None, by_login) => by_login.map(str::to_owned),
        };
        let recipient = client.as_deref().and_then(|name| clients.get(name)?.recipient.clone());
        let (client, purpose) = (client.map(Arc::from), purpose.map(Arc::from));
        Ok(Bound { client, purpose, recipient, server: None, clients, tool: None })
    }

    /// Whether somebody who was proved before would be somebody else's hand now: the client or server that acts is
    /// registered otherwise than when he was proved, or another one acts. Costs nothing while the same ones are registered.
    #[must_use]
    pub fn binds_otherwise(&self, principal: &Principal) -> bool {
        let (was, clients) = (principal.bound(), self.clients());
        if Arc::ptr_eq(&was.clients, &clients) {
            return false;
        }
        let server = was.server.as_ref().map(|server| &*server.name);
        let is_other = |name: &str| {
            was.clients.server(name) != clients.server(name)
                || was.clients.exchanging(name) != clients.exchanging(name)
        };
        if server.is_some_and(is_other) {
            return true;
        }
        let named = was.client.as_deref();
        if named.and_then(|name| was.clients.get(name)) != named.and_then(|name| clients.get(name)) {
            return true;
        }
        let by_us = matches!(principal.credential().who, Who::Named { .. });
        let now = self.bound(named.map(str::to_owned), None, principal.standing(), by_us);
        now.map_or(true, |now| (now.client, now.recipient) != (was.client.clone(), was.recipient.clone()))
    }
}

#[cfg(test)]
mod tests;
