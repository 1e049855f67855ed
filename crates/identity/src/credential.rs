//! Credentials that their holder can narrow and nobody can widen: macaroons (Birgisson et al., NDSS 2014) in the shape
//! of a user name and a password, so that SCRAM works with every driver.
//!
//! The user name is `base64url(body)`, the body lines of text: what was granted, then one caveat a line. The password is
//! `base64url(HMAC(... HMAC(HMAC(root, grant), caveat 1) ..., caveat n))`. Whoever has a password can compute the next
//! link, and nobody can compute the one before.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_access::{CallId, PURPOSE_BYTES_MAX, SubjectKind, TargetName, is_purpose};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::caveat::Caveat;
use crate::keys::{RootKey, RootKeys};
use crate::login::LoginId;
use crate::service::ServiceKeyId;

/// Longest user name in bytes: what drivers, logs and screens still carry.
pub const USER_BYTES_MAX: usize = 512;
/// Version of the encoding.
const VERSION: &str = "c1";
/// Most caveats that a credential may carry.
const CAVEATS_MAX: usize = 16;
/// Most groups that a credential may carry.
const GROUPS_MAX: usize = 16;

/// Longest life of a credential, in seconds: whoever takes one back need not remember it for longer.
pub const CREDENTIAL_S_MAX: u64 = 24 * 3600;

/// Identifies one issued credential, whatever its holder narrows it to: 8 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub [u8; 8]);

impl std::fmt::Display for CredentialId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl std::fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CredentialId({self})")
    }
}

/// Not the id of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not the id of a credential: 11 characters of base64url")]
pub struct InvalidCredentialId;

impl std::str::FromStr for CredentialId {
    type Err = InvalidCredentialId;

    fn from_str(text: &str) -> Result<Self, InvalidCredentialId> {
        let mut bytes = [0; 9];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(8) => {
                let [id @ .., _] = bytes;
                Ok(Self(id))
            }
            Ok(_) | Err(_) => Err(InvalidCredentialId),
        }
    }
}

impl serde::Serialize for CredentialId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for CredentialId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whom a credential is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// Somebody the development issuer names, with everything that is known of him.
    Named {
        /// Alias of the issuer that vouches for the subject.
        issuer: String,
        /// Person or service.
        kind: SubjectKind,
        /// The issuer's identifier of the subject.
        sub: String,
        /// Groups of the subject.
        groups: BTreeSet<String>,
    },
    /// Whoever made this login. What is true of it is looked up at each use.
    Login(LoginId),
    /// The service that has this key.
    ServiceKey(ServiceKeyId),
    /// Whoever made this login, through a registered server that had his token exchanged for it.
    Exchanged {
        /// The login.
        login: LoginId,
        /// The server's registered name.
        server: String,
        /// The one call of a tool that it is for, where the server asked for one.
        call: Option<CallId>,
    },
}

/// What a credential grants: somebody is somebody, at one target, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whom it is for.
    pub who: Who,
    /// The software that acts for the subject.
    pub client: Option<String>,
    /// The only target that it opens.
    pub target: TargetName,
    /// HL7 PurposeOfUse code.
    pub purpose: Option<String>,
    /// Valid from, in seconds since the Unix epoch.
    pub not_before: u64,
    /// Void from, in seconds since the Unix epoch.
    pub not_after: u64,
}

/// A user name and its password.
#[derive(Clone)]
pub struct Credential {
    /// Goes where a user name goes.
    pub user: String,
    /// Goes where a password goes; a secret.
    pub password: Zeroizing<String>,
    /// Which one it is.
    pub id: CredentialId,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({})", self.id)
    }
}

/// Why a credential cannot be issued.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IssueError {
    /// A text that the encoding cannot carry.
    #[error("`{0}` may not be empty or contain control characters or `,`")]
    Text(&'static str),
    /// A purpose that is none.
    #[error("a purpose is 1 to {PURPOSE_BYTES_MAX} bytes without control characters or `,`")]
    Purpose,
    /// More than fits a user name.
    #[error(
        "the credential needs {0} bytes of user name, the limit is {USER_BYTES_MAX} (hint: fewer or shorter groups)"
    )]
    TooLong(usize),
    /// The expiry is not after the beginning.
    #[error("the credential would expire before it begins")]
    Expired,
    /// A longer life than [`CREDENTIAL_S_MAX`].
    #[error("a credential lives for at most {CREDENTIAL_S_MAX} seconds")]
    Lasting,
    /// No randomness from the system.
    #[error("no randomness from the system")]
    Random,
}

/// Why a credential cannot be narrowed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NarrowError {
    /// Not a credential.
    #[error("this user name is not a credential of ours")]
    NotACredential,
    /// Over a limit.
    #[error(
        "the narrowed credential is over the limit of {USER_BYTES_MAX} bytes or {CAVEATS_MAX} caveats (hint: name fewer \
         relations or columns)"
    )]
    TooLong,
    /// Names that the encoding cannot carry, none at all, or too many.
    #[error(
        "a caveat names 1 to 16 relations, each with 1 to 256 columns or with none, without commas in the names"
    )]
    Relations,
    /// A name that the encoding cannot carry.
    #[error("a caveat names one tool, of at most 128 bytes, without control characters")]
    Tool,
}

/// A user name, taken apart and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub(crate) epoch: u8,
    pub(crate) id: CredentialId,
    pub(crate) grant: Grant,
    pub(crate) caveats: Vec<Caveat>,
    /// The lines that the chain runs over: the grant, then each caveat.
    pub(crate) links: Vec<Arc<str>>,
}

fn plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(',') && !text.chars().any(char::is_control)
}

fn link(key: &[u8], line: &str) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), line.as_bytes());
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

impl RootKeys {
    /// Make a credential.
    ///
    /// # Errors
    /// See [`IssueError`].
    pub fn issue(&self, grant: &Grant) -> Result<Credential, IssueError> {
        let mut id = [0; 8];
        rand::fill(&mut id).map_err(|_| IssueError::Random)?;
        let (epoch, key) = self.newest();
        let id = CredentialId(id);
        let line = encode(grant, epoch, id)?;
        let user = URL_SAFE_NO_PAD.encode(&line);
        if user.len() > USER_BYTES_MAX {
            return Err(IssueError::TooLong(user.len()));
        }
        let password = password(key, &[Arc::from(line)]);
        Ok(Credential { user, password, id })
    }
}

/// The password that belongs to these links.
pub(crate) fn password(key: &RootKey, links: &[Arc<str>]) -> Zeroizing<String> {
    let mut tag: Option<Zeroizing<[u8; 32]>> = None;
    for line in links {
        tag = Some(Zeroizing::new(match tag {
            None => {
                let first = hmac::sign(&key.chain(), line.as_bytes());
                let mut out = [0; 32];
                for (to, from) in out.iter_mut().zip(first.as_ref()) {
                    *to = *from;
                }
                out
            }
            Some(before) => link(before.as_ref(), line),
        }));
    }
    Zeroizing::new(tag.map(|tag| URL_SAFE_NO_PAD.encode(tag.as_ref())).unwrap_or_default())
}

/// Kind, issuer, subject and groups, as they travel.
fn encode_who(who: &Who) -> Result<[String; 4], IssueError> {
    let held = |letter: &str, id: &dyn std::fmt::Display| {
        [String::new(), letter.to_owned(), id.to_string(), String::new()]
    };
    match who {
        Who::Login(id) => Ok(held("l", id)),
        Who::ServiceKey(id) => Ok(held("k", id)),
        Who::Exchanged { login, server, call } => {
            if !plain(server) {
                return Err(IssueError::Text("server"));
            }
            let call = call.map(|call| call.to_string()).unwrap_or_default();
            Ok([server.clone(), "x".to_owned(), login.to_string(), call])
        }
        Who::Named { issuer, kind, sub, groups } => {
            for (fine, what) in [
                (plain(issuer), "issuer"),
                (plain(sub), "subject"),
                (groups.len() <= GROUPS_MAX && groups.iter().all(|group| plain(group)), "groups"),
            ] {
                if !fine {
                    return Err(IssueError::Text(what));
                }
            }
            let letter = match kind {
                SubjectKind::Person => "p",
                SubjectKind::Service => "s",
            };
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            Ok([issuer.clone(), letter.to_owned(), sub.clone(), groups.join(",")])
        }
    }
}

fn decode_who(issuer: &str, letter: &str, sub: &str, groups: &str) -> Option<Who> {
    let kind = match letter {
        "p" => SubjectKind::Person,
        "s" => SubjectKind::Service,
        "l" | "k" if !issuer.is_empty() || !groups.is_empty() => return None,
        "l" => return sub.parse().ok().map(Who::Login),
        "k" => return sub.parse().ok().map(Who::ServiceKey),
        "x" => return decode_exchanged(issuer, sub, groups),
        _ => return None,
    };
    let groups = groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect();
    Some(Who::Named { issuer: issuer.to_owned(), kind, sub: sub.to_owned(), groups })
}

fn decode_exchanged(server: &str, login: &str, call: &str) -> Option<Who> {
    let call = if call.is_empty() { None } else { Some(call.parse().ok()?) };
    plain(server).then_some(())?;
    Some(Who::Exchanged { login: login.parse().ok()?, server: server.to_owned(), call })
}

fn encode(grant: &Grant, epoch: u8, id: CredentialId) -> Result<String, IssueError> {
    if !grant.client.as_deref().is_none_or(plain) {
        return Err(IssueError::Text("client"));
    }
    if !grant.purpose.as_deref().is_none_or(is_purpose) {
        return Err(IssueError::Purpose);
    }
    if grant.not_after <= grant.not_before {
        return Err(IssueError::Expired);
    }
    if grant.not_after - grant.not_before > CREDENTIAL_S_MAX {
        return Err(IssueError::Lasting);
    }
    let [issuer, kind, sub, groups] = encode_who(&grant.who)?;
    // Unit separators cannot occur in a field: control characters are refused.
    Ok([
        VERSION,
        &epoch.to_string(),
        &id.to_string(),
        &issuer,
        &kind,
        &sub,
        &groups,
        grant.client.as_deref().unwrap_or_default(),
        grant.target.as_str(),
        grant.purpose.as_deref().unwrap_or_default(),
        &grant.not_before.to_string(),
        &grant.not_after.to_string(),
    ]
    .join("\u{1f}"))
}

fn decode(line: &str) -> Option<(u8, CredentialId, Grant)> {
    let fields: Vec<&str> = line.split('\u{1f}').collect();
    let [version, epoch, id, issuer, kind, sub, groups, client, target, purpose, from, until] =
        <[&str; 12]>::try_from(fields).ok()?;
    if version != VERSION {
        return None;
    }
    let id: [u8; 8] = URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok()?;
    let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let grant = Grant {
        who: decode_who(issuer, kind, sub, groups)?,
        client: optional(client),
        target: TargetName::new(target).ok()?,
        purpose: optional(purpose),
        not_before: from.parse().ok()?,
        not_after: until.parse().ok()?,
    };
    Some((epoch.parse().ok()?, CredentialId(id), grant))
}

/// Take a user name apart. Proves nothing; never panics.
#[must_use]
pub fn parse_user(user: &str) -> Option<Parsed> {
    if user.len() > USER_BYTES_MAX {
        return None;
    }
    let body = String::from_utf8(URL_SAFE_NO_PAD.decode(user).ok()?).ok()?;
    let mut lines = body.split('\n');
    let first = lines.next()?;
    let (epoch, id, grant) = decode(first)?;
    let mut links = vec![Arc::from(first)];
    let mut caveats = Vec::new();
    for line in lines {
        caveats.push(Caveat::decode(line)?);
        links.push(Arc::from(line));
    }
    (caveats.len() <= CAVEATS_MAX).then_some(Parsed { epoch, id, grant, caveats, links })
}

/// Make a narrower credential of one, offline: no key is needed.
///
/// # Errors
/// See [`NarrowError`].
pub fn narrow(
    user: &str,
    password: &str,
    caveat: &Caveat,
) -> Result<(String, Zeroizing<String>), NarrowError> {
    let parsed = parse_user(user).ok_or(NarrowError::NotACredential)?;
    if parsed.caveats.len() >= CAVEATS_MAX {
        return Err(NarrowError::TooLong);
    }
    let before = Zeroizing::new(URL_SAFE_NO_PAD.decode(password).map_err(|_| NarrowError::NotACredential)?);
    let line = caveat.encode()?;
    let mut body = URL_SAFE_NO_PAD.decode(user).map_err(|_| NarrowError::NotACredential)?;
    body.push(b'\n');
    body.extend_from_slice(line.as_bytes());
    let user = URL_SAFE_NO_PAD.encode(body);
    if user.len() > USER_BYTES_MAX {
        return Err(NarrowError::TooLong);
    }
    Ok((user, Zeroizing::new(URL_SAFE_NO_PAD.encode(link(&before, &line)))))
}
