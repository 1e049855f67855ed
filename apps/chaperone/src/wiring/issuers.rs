//! Issuers over HTTP: what they publish of themselves, their keys, and what they say about a token.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::AttributeKind;
use chaperone_identity::{
    Issuer as Rules, KeyCache, KeySet, LoggedOut, Shown, TokenError, Verified, verify, verify_logout,
};
use http::header;
use oauth2::url::form_urlencoded;
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::beside;
use crate::config::issuers::{Introspection, IssuerSection};
use crate::person::http::{Http, HttpError, address};
use crate::verbs::Failure;
use crate::wiring::installation::now_us;

/// An issuer is asked for its keys this often although nothing is missing, so that one that it withdrew is not used
/// longer, in seconds.
const KEYS_S: u64 = 300;
/// How long the start waits for issuers, so that the first login finds their keys.
pub(crate) const START: Duration = Duration::from_secs(2);

/// Why an issuer gave no answer that can be used. For the log.
#[derive(Debug, Error)]
pub(crate) enum IssuerError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("`{0}` answered {1}")]
    Status(String, u16),
    #[error("`{0}` answered with something else: {1}")]
    Malformed(String, String),
    #[error("`{0}` speaks for `{1}` (hint: `url` has to be its identifier exactly)")]
    Identifier(String, String),
    #[error("it publishes no introspection endpoint")]
    NoIntrospection,
    #[error("the secret of its introspection client: {0}")]
    Secret(String),
    #[error("its address cannot be used: {0}")]
    Address(String),
}

/// What an issuer publishes of itself (OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2).
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    introspection_endpoint: Option<String>,
}

/// What it says about a token (RFC 7662, section 2.2).
#[derive(Debug, Deserialize)]
struct Introspected {
    active: bool,
    sub: Option<String>,
    exp: Option<u64>,
    /// What else it tells, perhaps of the subject.
    #[serde(flatten)]
    claims: Map<String, Value>,
}

/// An answer about a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It is active, of this subject, until then (seconds since the Unix epoch) where the issuer says so, and what else it
    /// tells.
    Active { sub: Option<String>, until_s: Option<u64>, claims: Map<String, Value> },
    /// It is not, or not any more.
    Inactive,
}

/// One issuer of the configuration.
pub(crate) struct Issuer {
    pub(crate) rules: Rules,
    pub(crate) section: IssuerSection,
    http: Http,
    keys: Mutex<KeyCache>,
    metadata: Mutex<Option<Metadata>>,
    /// One request for keys at a time: whoever waited looks at what the one before brought.
    fetching: tokio::sync::Mutex<()>,
}

fn now_s() -> u64 {
    now_us() / 1_000_000
}

impl Issuer {
    /// From its section. Nothing is asked yet.
    pub(crate) fn new(
        path: &Path,
        alias: &str,
        section: IssuerSection,
        attributes: &std::collections::BTreeMap<String, AttributeKind>,
    ) -> Result<Self, Failure> {
        let rules = section.issuer(alias, attributes).map_err(Failure::Usage)?;
        address(&section.url).map_err(|error| Failure::Usage(format!("`issuers.{alias}.url`: {error}")))?;
        let ca = section.ca.as_ref().map(|file| beside(path, file));
        let http = Http::new(ca.as_deref())?;
        let keys = Mutex::new(KeyCache::new(section.keys_kept_s_max));
        Ok(Self {
            rules,
            section,
            http,
            keys,
            metadata: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    fn cache(&self) -> MutexGuard<'_, KeyCache> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> Option<Arc<KeySet>> {
        self.cache().keys(now_s())
    }

    /// Verify with the keys at hand; where the token's is not among them, ask the issuer, once.
    async fn with_keys<T>(&self, check: impl Fn(&KeySet) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let before = self.keys();
        match before.as_deref().map(&check) {
            None | Some(Err(TokenError::UnknownKey)) => {}
            Some(Ok(value)) => return Ok(value),
            Some(Err(error)) => return Err(error),
        }
        self.learn(before.as_ref()).await;
        let keys = self.keys().ok_or(TokenError::UnknownKey)?;
        check(&keys)
    }

    /// Verify a token.
    pub(crate) async fn verify(
        &self,
        token: &str,
        shown: Shown<'_>,
        fresh: bool,
    ) -> Result<Verified, TokenError> {
        self.with_keys(|keys| verify(&self.rules, keys, token, shown, fresh, now_s())).await
    }

    /// Whether a token is good by the keys at hand: nobody is asked.
    pub(crate) fn is_good(&self, token: &str, shown: Shown<'_>) -> bool {
        let keys = self.keys();
        keys.is_some_and(|keys| verify(&self.rules, &keys, token, shown, true, now_s()).is_ok())
    }

    /// Verify a logout token.
    pub(crate) async fn verify_logout(&self, token: &str) -> Result<LoggedOut, TokenError> {
        self.with_keys(|keys| verify_logout(&self.rules, keys, token, now_s())).await
    }

    /// Ask for the keys unless somebody has since `before` was looked at, or did a moment ago.
    async fn learn(&self, before: Option<&Arc<KeySet>>) {
        let _turn = self.fetching.lock().await;
        let changed = match (before, self.keys()) {
            (Some(before), Some(now)) => !Arc::ptr_eq(before, &now),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if !changed && self.cache().ask(now_s()) {
            self.ask().await;
        }
    }

    /// Ask for the keys where those at hand are due.
    pub(crate) async fn look(&self) {
        let _turn = self.fetching.lock().await;
        let due = self.cache().look(now_s(), KEYS_S);
        if due {
            self.ask().await;
        }
    }

    /// One request and its answer, under the turn.
    async fn ask(&self) {
        match self.fetch().await {
            Ok(keys) => self.cache().learn(keys, now_s()),
            Err(error) => {
                let age_s = self.cache().age_s(now_s());
                tracing::warn!(issuer = %self.rules.alias, %error, ?age_s, "an issuer's keys could not be read");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, IssuerError> {
        let base = self.section.url.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let metadata: Metadata = self.document(&url).await?;
        // Otherwise one issuer could speak for another (Discovery, section 4.3).
        if metadata.issuer != self.rules.identifier {
            return Err(IssuerError::Identifier(url, metadata.issuer));
        }
        let body = self.get(&metadata.jwks_uri).await?;
        let keys = KeySet::parse(&body)
            .map_err(|error| IssuerError::Malformed(metadata.jwks_uri.clone(), error.to_string()))?;
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = Some(metadata);
        Ok(keys)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, IssuerError> {
        let request = http::Request::get(url).header(header::ACCEPT, "application/json").body(Vec::new());
        self.sent(url, request.map_err(|error| IssuerError::Address(error.to_string()))?).await
    }

    async fn sent(&self, url: &str, request: http::Request<Vec<u8>>) -> Result<Vec<u8>, IssuerError> {
        let answer = self.http.send(request).await?;
        if !answer.status().is_success() {
            return Err(IssuerError::Status(url.to_owned(), answer.status().as_u16()));
        }
        Ok(answer.into_body())
    }

    async fn document<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, IssuerError> {
        let body = self.get(url).await?;
        serde_json::from_slice(&body)
            .map_err(|error| IssuerError::Malformed(url.to_owned(), error.to_string()))
    }

    /// Whether the gateway may ask about tokens.
    pub(crate) fn introspects(&self) -> bool {
        self.section.introspection.is_some()
    }

    /// Ask whether an access token is active.
    pub(crate) async fn introspect(&self, token: &str) -> Result<Activity, IssuerError> {
        let client = self.section.introspection.as_ref().ok_or(IssuerError::NoIntrospection)?;
        let known = || {
            let metadata = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
            metadata.as_ref().and_then(|metadata| metadata.introspection_endpoint.clone())
        };
        if known().is_none() {
            self.learn(self.keys().as_ref()).await;
        }
        let url = known().ok_or(IssuerError::NoIntrospection)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        let request = http::Request::post(&url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, basic(client).await?.as_str())
            .body(form.into_bytes());
        let request = request.map_err(|error| IssuerError::Address(error.to_string()))?;
        let body = Zeroizing::new(self.sent(&url, request).await?);
        let said: Introspected =
            serde_json::from_slice(&body).map_err(|error| IssuerError::Malformed(url, error.to_string()))?;
        Ok(if said.active {
            Activity::Active { sub: said.sub, until_s: said.exp, claims: said.claims }
        } else {
            Activity::Inactive
        })
    }
}

/// The client's own words (RFC 6749, section 2.3.1: each part is form-encoded before it is joined).
async fn basic(client: &Introspection) -> Result<Zeroizing<String>, IssuerError> {
    let secret = client.secret.fetch().await.map_err(|error| IssuerError::Secret(error.to_string()))?;
    let secret =
        std::str::from_utf8(secret.expose()).map_err(|_| IssuerError::Secret("it is not text".to_owned()))?;
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let joined = Zeroizing::new(format!("{}:{}", encoded(&client.client_id), encoded(secret)));
    Ok(Zeroizing::new(format!("Basic {}", STANDARD.encode(joined.as_bytes()))))
}
