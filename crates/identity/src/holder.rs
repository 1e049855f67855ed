//! Bearer tokens, and the holders that they name: a login or a service.

use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;
use zeroize::Zeroizing;

use crate::login::{Login, LoginId, Logins};
use crate::service::{Service, ServiceKeyId, Services};
use crate::standing::{Lapse, Standing};

/// Random bytes in a bearer token.
const SECRET_BYTES: usize = 32;
/// Longest bearer token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 128;
/// Begins a login's token.
pub(crate) const LOGIN_PREFIX: &str = "cpl1";
/// Begins a service key.
pub(crate) const SERVICE_PREFIX: &str = "cps1";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 9]);

        impl $name {
            /// A fresh one; `None` where the system gives no randomness.
            pub(crate) fn fresh() -> Option<Self> {
                let mut bytes = [0; 9];
                aws_lc_rs::rand::fill(&mut bytes).ok().map(|()| Self(bytes))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::InvalidId;

            fn from_str(text: &str) -> Result<Self, $crate::InvalidId> {
                let mut bytes = [0; 9];
                let engine = &base64::engine::general_purpose::URL_SAFE_NO_PAD;
                match base64::Engine::decode_slice(engine, text, &mut bytes) {
                    Ok(9) => Ok(Self(bytes)),
                    Ok(_) | Err(_) => Err($crate::InvalidId),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use id;

/// Not an identifier of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: 12 characters of base64url")]
pub struct InvalidId;

/// SHA-256 of a token's secret. The secret is 256 random bits, so there is nothing to slow down.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    fn of(secret: &[u8]) -> Self {
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, secret).as_ref()) {
            *to = *from;
        }
        Self(out)
    }

    /// A fresh secret as the text of a token, with its hash; `None` where the system gives no randomness.
    pub(crate) fn fresh(prefix: &str, id: &impl std::fmt::Display) -> Option<(Zeroizing<String>, Self)> {
        let mut secret = Zeroizing::new([0_u8; SECRET_BYTES]);
        rand::fill(&mut *secret).ok()?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_ref()));
        Some((Zeroizing::new(format!("{prefix}.{id}.{}", &*text)), Self::of(secret.as_ref())))
    }

    fn fits(&self, secret: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&Self::of(secret).0, &self.0).is_ok()
    }
}

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("not a SHA-256 value"))
    }
}

/// Who showed a bearer token that is ours and holds.
#[derive(Debug)]
pub enum Holder {
    /// Somebody who logged in.
    Login(Login, Arc<Standing>),
    /// A service, by one of its keys.
    Service(Service, ServiceKeyId, Arc<Standing>),
}

impl Holder {
    /// What is true of it now.
    #[must_use]
    pub fn standing(&self) -> &Arc<Standing> {
        match self {
            Self::Login(_, standing) | Self::Service(_, _, standing) => standing,
        }
    }

    /// Whom a credential names that is made for it.
    #[must_use]
    pub fn who(&self) -> crate::Who {
        match self {
            Self::Login(login, _) => crate::Who::Login(login.id),
            Self::Service(_, key, _) => crate::Who::ServiceKey(*key),
        }
    }
}

/// Why a bearer token is not believed. For logs: the outside sees one refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenRefused {
    /// Not in the form of a token.
    Malformed,
    /// No such login or key, or another secret.
    Unknown,
    /// Known, and admits nobody now.
    Lapsed(Lapse),
}

/// Everybody who can hold a token or a credential beside the development issuer's.
#[derive(Debug, Default)]
pub struct Holders {
    /// Those who logged in.
    pub logins: Arc<Logins>,
    /// Services by key.
    pub services: Arc<Services>,
}

impl Holders {
    /// Who shows this token, at `now_s` seconds since the Unix epoch.
    ///
    /// # Errors
    /// Nobody; the reason is not for the outside.
    pub fn by_token(&self, token: &str, now_s: u64) -> Result<Holder, TokenRefused> {
        self.shown(token, now_s, |lapse| Err(TokenRefused::Lapsed(lapse)))
    }

    /// As [`Self::by_token`], but an overdue login is believed too: for refreshing and ending it, and nothing else.
    ///
    /// # Errors
    /// Nobody; the reason is not for the outside.
    pub fn by_token_or_overdue(&self, token: &str, now_s: u64) -> Result<Holder, TokenRefused> {
        self.shown(token, now_s, |lapse| match lapse {
            Lapse::Overdue => Ok(()),
            Lapse::Ended(_) | Lapse::Expired | Lapse::Disabled => Err(TokenRefused::Lapsed(lapse)),
        })
    }

    fn shown(
        &self,
        token: &str,
        now_s: u64,
        lapsed: impl FnOnce(Lapse) -> Result<(), TokenRefused>,
    ) -> Result<Holder, TokenRefused> {
        let (prefix, id, secret) = taken_apart(token).ok_or(TokenRefused::Malformed)?;
        let holder = match prefix {
            LOGIN_PREFIX => {
                let id: LoginId = id.parse().map_err(|_| TokenRefused::Malformed)?;
                let (login, standing) = self.logins.get(id).ok_or(TokenRefused::Unknown)?;
                if !login.secret.fits(&secret) {
                    return Err(TokenRefused::Unknown);
                }
                Holder::Login(login, standing)
            }
            SERVICE_PREFIX => {
                let id: ServiceKeyId = id.parse().map_err(|_| TokenRefused::Malformed)?;
                let (service, standing) = self.services.by_key(id).ok_or(TokenRefused::Unknown)?;
                let hash = service.keys.iter().find(|key| key.id == id).map(|key| key.secret);
                if !hash.is_some_and(|hash| hash.fits(&secret)) {
                    return Err(TokenRefused::Unknown);
                }
                Holder::Service(service, id, standing)
            }
            _ => return Err(TokenRefused::Malformed),
        };
        match holder.standing().check(now_s) {
            Ok(()) => Ok(holder),
            Err(lapse) => lapsed(lapse).map(|()| holder),
        }
    }
}

fn taken_apart(token: &str) -> Option<(&str, &str, Zeroizing<Vec<u8>>)> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let mut parts = token.split('.');
    let (prefix, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).ok()?);
    (parts.next().is_none() && secret.len() == SECRET_BYTES).then_some((prefix, id, secret))
}
