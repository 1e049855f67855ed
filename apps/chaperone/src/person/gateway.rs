//! A gateway's API as the holder of a login calls it.

use http::{Method, StatusCode, header};
use oauth2::url::Url;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::http::{Http, HttpError, address};
use crate::verbs::Failure;

/// Why the gateway did not do it.
#[derive(Debug, Error)]
pub(crate) enum GatewayError {
    /// It does not know the token: the login has ended or was never one.
    #[error("the login at `{0}` has ended (hint: `chaperone login --gateway {0}`)")]
    Ended(Url),
    /// It said why not.
    #[error("{0}")]
    Refused(String),
    /// It cannot do it now, whoever asks.
    #[error("{0}")]
    Unable(String),
    /// Nothing came back: another attempt may do better.
    #[error(transparent)]
    Unreachable(#[from] HttpError),
    /// What came back is not what this version knows.
    #[error("`{gateway}` answered with something else: {why} (hint: are both of the same version?)")]
    Strange {
        /// Which gateway.
        gateway: Url,
        /// What is wrong with it.
        why: String,
    },
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The parts of a refusal (RFC 9457) that a person reads.
#[derive(Deserialize)]
struct Said {
    #[serde(alias = "message")]
    detail: String,
    hint: Option<String>,
}

/// A gateway to ask.
pub(crate) struct Gateway {
    url: Url,
    http: Http,
}

impl Gateway {
    /// By its base address, such as `https://gateway.example:6480`.
    pub(crate) fn new(url: &str, http: Http) -> Result<Self, Failure> {
        let url = address(url).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self { url, http })
    }

    /// The host by which it is reached.
    pub(crate) fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, token: &str) -> Result<T, GatewayError> {
        self.read(self.send(Method::GET, path, token, Vec::new()).await?)
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        token: &str,
        body: &impl Serialize,
    ) -> Result<T, GatewayError> {
        let body = serde_json::to_vec(body).map_err(|why| self.strange(&why))?;
        self.read(self.send(Method::POST, path, token, body).await?)
    }

    /// Without an answer to read.
    pub(crate) async fn delete(&self, path: &str, token: &str) -> Result<(), GatewayError> {
        self.send(Method::DELETE, path, token, Vec::new()).await.map(drop)
    }

    fn strange(&self, why: &dyn std::fmt::Display) -> GatewayError {
        GatewayError::Strange { gateway: self.url.clone(), why: why.to_string() }
    }

    fn read<T: DeserializeOwned>(&self, body: Vec<u8>) -> Result<T, GatewayError> {
        serde_json::from_slice(&body).map_err(|why| self.strange(&why))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, GatewayError> {
        let base = self.url.as_str().trim_end_matches('/');
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{base}/api/v1{path}"))
            .header(header::CONTENT_TYPE, "application/json");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|why| self.strange(&why))?;
        let answer = self.http.send(request).await?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        // Without a token 401 is an answer to what was shown in the body.
        if answer.status() == StatusCode::UNAUTHORIZED && !token.is_empty() {
            return Err(GatewayError::Ended(self.url.clone()));
        }
        let said = match serde_json::from_slice::<Said>(answer.body()) {
            Ok(Said { detail, hint: Some(hint) }) => format!("{detail} (hint: {hint})"),
            Ok(Said { detail, hint: None }) => detail,
            Err(_) => format!("`{}` answered {}", self.url, answer.status()),
        };
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(GatewayError::Unable(said));
        }
        Err(GatewayError::Refused(said))
    }
}
