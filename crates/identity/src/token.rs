//! Tokens of issuers: what they must be to be believed.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_access::{Assurance, Subject, SubjectKind};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::assertion::ASSERTION_S_MAX;
use crate::claims::{self, number, text, text_set};
use crate::clients::Exchange;
use crate::issuer::{Issuer, SKEW_S, Vouches, fits};
use crate::jwks::KeySet;
use crate::jws::{Signed, signed};
use crate::standing::Facts;

/// Longest subject that an issuer may use, in bytes (OpenID Connect Core, section 2: 255 ASCII characters).
const SUB_BYTES_MAX: usize = 255;
/// How old a logout token may be, in seconds.
const LOGOUT_S_MAX: u64 = 300;
/// The member of `events` that makes a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4).
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Why a token is not believed. For operators: whoever shows it learns only that it is not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not in the form of a signed token.
    #[error("not a signed token (RFC 7515)")]
    Malformed,
    /// Over a limit of size.
    #[error("the token is over a limit of size")]
    TooLarge,
    /// Its header wants something to be understood that is not.
    #[error("the token's header has critical extensions")]
    Critical,
    /// `none`, HMAC, or another way of signing that the issuer may not use.
    #[error("the token is not signed in a way that the issuer may use (hint: `algorithms` of the issuer)")]
    Algorithm,
    /// Signed with a key that the issuer does not publish, or whose kind does not suit the way of signing.
    #[error("the token's key is not among the issuer's keys of its kind")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// `iss` is another.
    #[error("the token is of another issuer")]
    Issuer,
    /// `aud` or `azp` is somebody else.
    #[error("the token is meant for somebody else (hint: `audiences` of the issuer)")]
    Audience,
    /// A token for another use: an access token in the place of an ID token, or the like.
    #[error("the token is of another kind than is expected here")]
    Kind,
    /// A claim that has to be there is not, or is of another type.
    #[error("the token has no usable claim `{0}`")]
    Claim(String),
    /// A declared attribute's claim has another type.
    #[error("the claim `{claim}` is not of the declared kind of attribute `{attribute}`")]
    Attribute {
        /// The attribute.
        attribute: String,
        /// The claim.
        claim: String,
    },
    /// The issuer left a list out of the token because it is too long.
    #[error("the issuer left `{0}` out of the token (hint: let it tell only the groups that policies use)")]
    LeftOut(String),
    /// Too many or too long groups and attributes.
    #[error(
        "the token's groups and attributes are over the limit (hint: let it tell only those that policies use)"
    )]
    TooMany,
    /// Void.
    #[error("the token has expired")]
    Expired,
    /// Not valid yet, or issued in the future.
    #[error("the token is not valid yet (hint: compare the clocks)")]
    NotYetValid,
    /// `nonce` is not the one that was sent.
    #[error("the token's nonce is not the one that was sent")]
    Nonce,
    /// `acr` or `amr` do not reach what is required.
    #[error("the authentication is not of the required strength")]
    Assurance,
    /// The subject authenticated too long ago.
    #[error("the authentication itself is too long ago")]
    AuthenticationAge,
    /// An access token for the tools does not say which client holds it.
    #[error(
        "the token does not name the client that it was made for (hint: `claims.client` of the issuer names the claim that tells it)"
    )]
    NoClient,
    /// A token of the server that shows it, which acts for somebody else or for nobody.
    #[error("the token's subject is the server itself")]
    Own,
    /// A token for an exchange that names others who act, or that only its holder may use.
    #[error("the token has `{0}`, which this exchange does not honour")]
    Bound(&'static str),
    /// An assertion that lives too long.
    #[error("the assertion is good for more than {ASSERTION_S_MAX} seconds")]
    Lasting,
    /// More assertions of one server than are remembered.
    #[error("too many assertions of this server are in use (hint: it can ask for longer-lived credentials)")]
    Crowded,
    /// An assertion that was shown before.
    #[error("the assertion was used before")]
    Replayed,
    /// No service of a workload issuer has a subject like this.
    #[error("no service is configured for the subject `{0}` (hint: `workloads` of the issuer)")]
    NoService(String),
}

impl TokenError {
    /// The word in the record.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "wrong_signature",
            Self::Issuer => "other_issuer",
            Self::Audience => "other_audience",
            Self::Kind => "other_kind",
            Self::Claim(_) | Self::Attribute { .. } => "claim",
            Self::LeftOut(_) => "left_out",
            Self::TooMany => "too_many",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Nonce => "nonce",
            Self::Assurance => "assurance",
            Self::AuthenticationAge => "authentication_age",
            Self::NoClient => "no_client",
            Self::Own => "own",
            Self::Bound(_) => "bound",
            Self::Lasting => "lasting",
            Self::Crowded => "crowded",
            Self::Replayed => "replayed",
            Self::NoService(_) => "no_service",
        }
    }
}

/// When and how an issuer was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// `iat`, in seconds since the Unix epoch.
    pub(crate) issued_at: u64,
    /// `exp`, in seconds since the Unix epoch.
    pub(crate) expires_at: u64,
    /// `sid`.
    pub(crate) sid: Option<String>,
    /// Whether the token had an `auth_time`.
    pub(crate) authenticated_at_is_told: bool,
    /// What its holder may ask for with it.
    pub(crate) scopes: BTreeSet<String>,
}

/// A token that was verified: what its issuer vouches for. Only [`verify`] makes one, and a login is made of it.
///
/// ```compile_fail
/// let forged = chaperone_identity::Verified { facts: todo!(), heard: todo!() };
/// ```
///
/// ```compile_fail
/// fn twice(verified: chaperone_identity::Verified) { let _again = verified.clone(); }
/// ```
#[derive(Debug)]
pub struct Verified {
    facts: Facts,
    heard: Heard,
}

impl Verified {
    /// What is vouched for.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// When the token is void, in seconds since the Unix epoch.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.heard.expires_at
    }

    /// When the issuer made it, in seconds since the Unix epoch.
    #[must_use]
    pub fn issued_at(&self) -> u64 {
        self.heard.issued_at
    }

    /// The same after its issuer was asked at `now_s`, in seconds since the Unix epoch, holds it for active and told all
    /// again that its subject has.
    #[must_use]
    pub fn confirmed(mut self, facts: Facts, now_s: u64) -> Self {
        self.facts = facts;
        self.heard.issued_at = self.heard.issued_at.max(now_s);
        self
    }

    /// The scopes that it was made for (RFC 9068, section 2.2.3).
    #[must_use]
    pub fn scopes(&self) -> &BTreeSet<String> {
        &self.heard.scopes
    }

    pub(crate) fn into_parts(self) -> (Facts, Heard) {
        (self.facts, self.heard)
    }

    /// Add what an access token tells beside an ID token: of the same subject only.
    ///
    /// # Errors
    /// They name different subjects, or are too much together.
    pub fn with(mut self, access: Self) -> Result<Self, TokenError> {
        if self.facts.subject != access.facts.subject {
            return Err(TokenError::Claim("sub".to_owned()));
        }
        self.facts.groups.extend(access.facts.groups);
        for (name, value) in access.facts.attributes {
            self.facts.attributes.entry(name).or_insert(value);
        }
        self.facts.display = self.facts.display.or(access.facts.display);
        claims::bounded(&self.facts)?;
        Ok(self)
    }
}

/// What a token is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// An ID token, or a workload's own token. The nonce where whoever began the login knows it.
    Id {
        /// What `nonce` has to be.
        nonce: Option<&'a str>,
    },
    /// An access token that is a JWT (RFC 9068), beside an ID token.
    Access,
    /// The same alone, at an endpoint of the tools: made for them and for nobody else.
    Resource,
    /// The same alone, shown by a server that it was made for and that acts for its subject.
    Exchanged(&'a Exchange),
}

/// Verify a token. Keys come in, facts go out; `now_s` is in seconds since the Unix epoch. `fresh` is whether a login is
/// made of it: a token that refreshes one may leave out how the subject authenticated (OpenID Connect Core, section
/// 12.2).
///
/// # Errors
/// See [`TokenError`].
pub fn verify(
    issuer: &Issuer,
    keys: &KeySet,
    token: &str,
    shown: Shown<'_>,
    fresh: bool,
    now_s: u64,
) -> Result<Verified, TokenError> {
    let Signed { kind, claims } = signed(token, &issuer.algorithms, keys)?;
    if text(&claims, "iss")? != Some(issuer.identifier.as_str()) {
        return Err(TokenError::Issuer);
    }
    check_kind(issuer, kind.as_deref(), &claims, shown)?;
    let oauth_client = audience(issuer, &claims, shown)?;
    let (issued_at, expires_at) = times(&claims, now_s)?;
    if let Shown::Exchanged(exchange) = shown {
        exchange.may_act(&claims, oauth_client.as_deref())?;
    }
    if let Shown::Id { nonce: Some(nonce) } = shown
        && text(&claims, "nonce")? != Some(nonce)
    {
        return Err(TokenError::Nonce);
    }
    let (subject, groups, sub) = subject(issuer, &claims)?;
    let assurance = match (&issuer.vouches, shown) {
        (Vouches::People, Shown::Id { .. } | Shown::Resource | Shown::Exchanged(_)) => {
            assurance(issuer, &claims, fresh, now_s)?
        }
        // It need not say how its subject authenticated (RFC 9068, section 2.2.1); what it says has to be enough.
        (Vouches::People, Shown::Access) => assurance(issuer, &claims, false, now_s)?,
        (Vouches::Workloads(_), _) => (None, false),
    };
    let mut facts = claims::facts(issuer, &claims, subject)?;
    facts.groups.extend(groups);
    facts.assurance = assurance.0;
    facts.oauth_client = oauth_client;
    if let Vouches::Workloads(_) = issuer.vouches {
        facts.display = Some(sub);
    }
    claims::bounded(&facts)?;
    let sid = text(&claims, "sid")?.map(str::to_owned);
    let scopes = scopes(&claims)?;
    let heard = Heard { issued_at, expires_at, sid, authenticated_at_is_told: assurance.1, scopes };
    Ok(Verified { facts, heard })
}

/// A token for one use is not taken for another (RFC 8725, section 2.8).
fn check_kind(
    issuer: &Issuer,
    kind: Option<&str>,
    claims: &Map<String, Value>,
    shown: Shown<'_>,
) -> Result<(), TokenError> {
    let fine = match (&issuer.vouches, shown, kind) {
        (_, Shown::Id { .. }, None | Some("jwt")) => true,
        (_, Shown::Access | Shown::Resource | Shown::Exchanged(_), None | Some("jwt" | "at+jwt")) => true,
        (_, _, Some(_)) => false,
    };
    if fine && !claims.contains_key("events") { Ok(()) } else { Err(TokenError::Kind) }
}

/// Whom the token is for, and the OAuth client that it was made for. Shown by a person's client to the tools' endpoints it has to
/// name that client, as RFC 9068, section 2.2, wants it: else what policies say of clients would not be said of this one.
fn audience(
    issuer: &Issuer,
    claims: &Map<String, Value>,
    shown: Shown<'_>,
) -> Result<Option<String>, TokenError> {
    let meant = match claims.get("aud") {
        Some(Value::String(one)) => BTreeSet::from([one.clone()]),
        Some(_) => text_set(claims, "aud")?.unwrap_or_default(),
        None => BTreeSet::new(),
    };
    let azp = text(claims, "azp")?;
    match shown {
        Shown::Id { .. } => {
            let Some(ours) = meant.iter().find(|aud| issuer.audiences.contains(*aud)) else {
                return Err(TokenError::Audience);
            };
            // OpenID Connect Core, section 3.1.3.7, steps 4 and 5.
            let party = match azp {
                Some(azp) => issuer.audiences.contains(azp),
                None => meant.len() == 1,
            };
            if !party {
                return Err(TokenError::Audience);
            }
            Ok(Some(azp.unwrap_or(ours).to_owned()))
        }
        Shown::Access | Shown::Resource | Shown::Exchanged(_) => {
            let ours = match shown {
                Shown::Exchanged(exchange) => meant.contains(&exchange.resource),
                Shown::Resource => meant.iter().any(|aud| issuer.resource_audiences.contains(aud)),
                Shown::Access | Shown::Id { .. } => {
                    meant.iter().any(|aud| issuer.access_audiences.contains(aud))
                }
            };
            // An ID token is for the client; an access token must not be one.
            if !ours || meant.iter().any(|aud| issuer.audiences.contains(aud)) {
                return Err(TokenError::Audience);
            }
            let client = match &issuer.claims.client {
                Some(claim) => text(claims, claim)?,
                None => text(claims, "client_id")?.or(azp),
            };
            match (shown, &issuer.vouches, client) {
                (Shown::Resource | Shown::Exchanged(_), Vouches::People, None | Some("")) => {
                    Err(TokenError::NoClient)
                }
                (_, _, client) => Ok(client.map(str::to_owned)),
            }
        }
    }
}

/// Most scopes of a token.
const SCOPES_MAX: usize = 256;

/// What a token may be used for: `scope` (RFC 9068, section 2.2.3), a text of words, or `scp`, a list or text, by which
/// some issuers call it.
fn scopes(claims: &Map<String, Value>) -> Result<BTreeSet<String>, TokenError> {
    let told = |name| Some((name, claims.get(name).filter(|value| !value.is_null())?));
    let named = ["scope", "scp"].into_iter().find_map(told);
    let found: BTreeSet<String> = match named {
        None => BTreeSet::new(),
        Some((_, Value::String(words))) => words.split_ascii_whitespace().map(str::to_owned).collect(),
        Some((name, _)) => text_set(claims, name)?.unwrap_or_default(),
    };
    if found.len() > SCOPES_MAX { Err(TokenError::TooMany) } else { Ok(found) }
}

/// The issuer that a token says it is of. Proves nothing: it tells only whose keys to try.
#[must_use]
pub fn claimed_issuer(token: &str) -> Option<String> {
    if token.len() > crate::jws::TOKEN_BYTES_MAX {
        return None;
    }
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&body).ok()?;
    claims.get("iss").and_then(Value::as_str).map(str::to_owned)
}

/// `iat` and `exp`, both within the skew.
pub(crate) fn times(claims: &Map<String, Value>, now_s: u64) -> Result<(u64, u64), TokenError> {
    let needed = |name: &str| number(claims, name)?.ok_or_else(|| TokenError::Claim(name.to_owned()));
    let (issued_at, expires_at) = (needed("iat")?, needed("exp")?);
    let soonest = now_s.saturating_add(SKEW_S);
    if issued_at > soonest || number(claims, "nbf")?.is_some_and(|nbf| nbf > soonest) {
        return Err(TokenError::NotYetValid);
    }
    if now_s >= expires_at.saturating_add(SKEW_S) {
        return Err(TokenError::Expired);
    }
    Ok((issued_at, expires_at))
}

/// Who it is, with the groups that a workload has by its configuration, and the issuer's own word for it.
fn subject(
    issuer: &Issuer,
    claims: &Map<String, Value>,
) -> Result<(Subject, BTreeSet<String>, String), TokenError> {
    let sub = text(claims, "sub")?
        .filter(|sub| !sub.is_empty() && sub.len() <= SUB_BYTES_MAX && !sub.chars().any(char::is_control));
    let sub = sub.ok_or_else(|| TokenError::Claim("sub".to_owned()))?.to_owned();
    let named = |kind, sub: &str| Subject { issuer: issuer.alias.clone(), kind, sub: sub.to_owned() };
    match &issuer.vouches {
        Vouches::People => Ok((named(SubjectKind::Person, &sub), BTreeSet::new(), sub)),
        Vouches::Workloads(workloads) => {
            let found = workloads.iter().find(|workload| fits(&workload.subject, &sub));
            let workload = found.ok_or_else(|| TokenError::NoService(sub.clone()))?;
            Ok((named(SubjectKind::Service, &workload.service), workload.groups.clone(), sub))
        }
    }
}

/// How the subject authenticated, as far as the token says, and whether it says when.
fn assurance(
    issuer: &Issuer,
    claims: &Map<String, Value>,
    fresh: bool,
    now_s: u64,
) -> Result<(Option<Assurance>, bool), TokenError> {
    let acr = text(claims, "acr")?;
    let amr = text_set(claims, "amr")?;
    let at = number(claims, "auth_time")?;
    if !issuer.acr.is_empty() && (fresh || acr.is_some()) && !acr.is_some_and(|acr| issuer.acr.contains(acr))
    {
        return Err(TokenError::Assurance);
    }
    let enough = amr.as_ref().is_some_and(|amr| issuer.amr.is_subset(amr));
    if !issuer.amr.is_empty() && (fresh || amr.is_some()) && !enough {
        return Err(TokenError::Assurance);
    }
    if let Some(most) = issuer.authentication_s_max
        && (fresh || at.is_some())
        && at.is_none_or(|at| now_s > at.saturating_add(most).saturating_add(SKEW_S))
    {
        return Err(TokenError::AuthenticationAge);
    }
    if at.is_some_and(|at| at > now_s.saturating_add(SKEW_S)) {
        return Err(TokenError::NotYetValid);
    }
    if acr.is_none() && amr.is_none() && at.is_none() {
        return Ok((None, false));
    }
    // Nobody said when: longer ago than any policy asks, and never the time at which the token was made.
    let assurance = Assurance {
        acr: acr.map(str::to_owned),
        amr: amr.unwrap_or_default(),
        at: at.unwrap_or(Assurance::AT_UNKNOWN),
    };
    Ok((Some(assurance), at.is_some()))
}

/// What a logout token says (OpenID Connect Back-Channel Logout 1.0, section 2.4).
#[derive(Debug, PartialEq, Eq)]
pub struct LoggedOut {
    /// The subject, as the issuer names it.
    pub sub: Option<String>,
    /// The issuer's session.
    pub sid: Option<String>,
    /// When the issuer said so, in seconds since the Unix epoch. Logins made later are not meant, so that a token shown
    /// again ends nothing new.
    pub at: u64,
}

/// Verify a logout token, as OpenID Connect Back-Channel Logout 1.0, section 2.6, asks.
///
/// # Errors
/// See [`TokenError`].
pub fn verify_logout(
    issuer: &Issuer,
    keys: &KeySet,
    token: &str,
    now_s: u64,
) -> Result<LoggedOut, TokenError> {
    let Signed { kind, claims } = signed(token, &issuer.algorithms, keys)?;
    if !matches!(kind.as_deref(), None | Some("jwt" | "logout+jwt")) || claims.contains_key("nonce") {
        return Err(TokenError::Kind);
    }
    if text(&claims, "iss")? != Some(issuer.identifier.as_str()) {
        return Err(TokenError::Issuer);
    }
    audience(issuer, &claims, Shown::Id { nonce: None })?;
    let said = claims.get("events").and_then(|events| events.get(LOGOUT_EVENT));
    if !said.is_some_and(Value::is_object) {
        return Err(TokenError::Kind);
    }
    let at = number(&claims, "iat")?.ok_or_else(|| TokenError::Claim("iat".to_owned()))?;
    if at > now_s.saturating_add(SKEW_S) {
        return Err(TokenError::NotYetValid);
    }
    let void = number(&claims, "exp")?.is_some_and(|exp| now_s >= exp.saturating_add(SKEW_S));
    if void || now_s > at.saturating_add(LOGOUT_S_MAX + SKEW_S) {
        return Err(TokenError::Expired);
    }
    if text(&claims, "jti")?.is_none() {
        return Err(TokenError::Claim("jti".to_owned()));
    }
    let owned = |name: &str| text(&claims, name).map(|text| text.map(str::to_owned));
    let (sub, sid) = (owned("sub")?, owned("sid")?);
    if sub.is_none() && sid.is_none() {
        return Err(TokenError::Claim("sub".to_owned()));
    }
    Ok(LoggedOut { sub, sid, at })
}

#[cfg(test)]
pub(crate) mod tests;
