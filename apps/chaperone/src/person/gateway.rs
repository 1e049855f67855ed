//! A gateway's API as the holder of a login calls it: what may be tried again is told from what is over.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use thiserror::Error;

use crate::verbs::Failure;
use crate::wiring::ask::Ask;

/// What HTTP says to a token that holds for nobody (RFC 9110, 15.5.2).
const UNAUTHORIZED: u16 = 401;
/// What it says to somebody who asks too often (RFC 6585, 4).
const TOO_MANY: u16 = 429;
/// From here on it is the server that cannot.
const SERVER_ERRORS: u16 = 500;

/// Why the gateway did not do it.
#[derive(Debug, Error)]
pub(crate) enum GatewayError {
    /// It does not know the token: the login has ended or was never one.
    #[error("the login at `{0}` has ended (hint: `chaperone login --gateway {0}`)")]
    Ended(String),
    /// It does not know the service's key: it has expired, was revoked or was never one.
    #[error("the service key does not hold at `{0}` (hint: `chaperone service rotate` makes another)")]
    KeyEnded(String),
    /// It said why not.
    #[error("{0}")]
    Refused(Failure),
    /// Nothing usable came back: another attempt may do better.
    #[error("{0}")]
    Unable(Failure),
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        match error {
            ended @ (GatewayError::Ended(_) | GatewayError::KeyEnded(_)) => Self::Failed(ended.to_string()),
            GatewayError::Refused(failure) | GatewayError::Unable(failure) => failure,
        }
    }
}

/// A gateway to ask.
#[derive(Clone)]
pub(crate) struct Gateway {
    url: String,
    ca: Option<PathBuf>,
    /// The token is a service's key.
    by_key: bool,
}

impl Gateway {
    /// By its base address, such as `https://gateway.example:6480`.
    pub(crate) fn new(url: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        // An address that cannot be used is told before anybody logs in for it.
        Ask::without_token(url, ca)?;
        Ok(Self { url: url.to_owned(), ca: ca.map(Path::to_owned), by_key: false })
    }

    /// The same for a service with its key.
    pub(crate) fn for_service(url: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self { by_key: true, ..Self::new(url, ca)? })
    }

    /// Its base address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The host by which it is reached.
    pub(crate) fn host(&self) -> String {
        let uri: Option<http::Uri> = self.url.parse().ok();
        let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
        host.trim_matches(['[', ']']).to_owned()
    }

    /// A list that needs no token.
    pub(crate) async fn open_list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, GatewayError> {
        self.ask(None)?.list(path, usize::MAX).await.map_err(unable_or_refused)
    }

    /// What proves itself by its body.
    pub(crate) async fn open_post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, GatewayError> {
        self.ask(None)?.post(path, body).await.map_err(unable_or_refused)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, token: &str) -> Result<T, GatewayError> {
        self.ask(Some(token))?.get(path).await.map_err(|failure| self.judged(failure))
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        token: &str,
        body: &impl Serialize,
    ) -> Result<T, GatewayError> {
        self.ask(Some(token))?.post(path, body).await.map_err(|failure| self.judged(failure))
    }

    /// Whatever the answer says: it is done.
    pub(crate) async fn delete(&self, path: &str, token: &str) -> Result<(), GatewayError> {
        let nothing = serde_json::json!({});
        let done: Result<IgnoredAny, Failure> = self.ask(Some(token))?.delete(path, &nothing).await;
        done.map(drop).map_err(|failure| self.judged(failure))
    }

    fn ask(&self, token: Option<&str>) -> Result<Ask, GatewayError> {
        let ca = self.ca.as_deref();
        let ask = match token {
            Some(token) => Ask::for_login(&self.url, token, ca),
            None => Ask::without_token(&self.url, ca),
        };
        ask.map_err(GatewayError::Refused)
    }

    fn judged(&self, failure: Failure) -> GatewayError {
        if let Failure::Refused(problem) = &failure
            && problem.status == UNAUTHORIZED
        {
            let url = self.url.clone();
            return if self.by_key { GatewayError::KeyEnded(url) } else { GatewayError::Ended(url) };
        }
        unable_or_refused(failure)
    }
}

fn unable_or_refused(failure: Failure) -> GatewayError {
    match failure {
        Failure::Refused(problem) if problem.status >= SERVER_ERRORS || problem.status == TOO_MANY => {
            GatewayError::Unable(Failure::Refused(problem))
        }
        refused @ (Failure::Refused(_) | Failure::Config(_) | Failure::Usage(_)) => {
            GatewayError::Refused(refused)
        }
        other @ (Failure::Io { .. } | Failure::Failed(_)) => GatewayError::Unable(other),
    }
}
