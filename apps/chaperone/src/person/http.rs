//! HTTP towards issuers: TLS verified, in clear on loopback only, no redirects, answers of bounded size.

use std::path::Path;
use std::time::Duration;

use oauth2::url::{Host, Url};
use oauth2::{HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::verbs::Failure;
use crate::wiring::tls::{self, Trust};

/// Longest answer that is read, in bytes: documents with keys and tokens are far smaller.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why nothing came back.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    /// The address cannot be used.
    #[error("`{0}` is not an https address (hint: http is for loopback addresses only)")]
    Clear(String),
    /// It cannot be reached, or broke off.
    #[error("cannot reach `{host}`: {why}")]
    Unreachable {
        /// Whom.
        host: String,
        /// The innermost reason.
        why: String,
    },
    /// It says more than is sensible.
    #[error("`{0}` answered with more than {ANSWER_BYTES_MAX} bytes")]
    TooLong(String),
}

/// A client for requests.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
}

/// The innermost reason: what stands around it only repeats the address.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

/// Refuse addresses on which a token would travel in clear.
pub(crate) fn address(text: &str) -> Result<Url, HttpError> {
    let refused = || HttpError::Clear(text.to_owned());
    let url = Url::parse(text).map_err(|_| refused())?;
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(refused()),
    };
    let fine = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    if fine && url.username().is_empty() && url.password().is_none() { Ok(url) } else { Err(refused()) }
}

impl Http {
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self, Failure> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(&ca.map_or(Trust::System, Trust::Roots))?)
            // An issuer or gateway that redirects would have tokens sent where nobody looked.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(Failure::failed)?;
        Ok(Self { client })
    }

    /// One request and its whole answer.
    pub(crate) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let url = address(&head.uri.to_string())?;
        let host = url.authority().to_owned();
        let unreachable =
            |why: reqwest::Error| HttpError::Unreachable { host: host.clone(), why: innermost(&why) };
        let sent = self.client.request(head.method, url).headers(head.headers).body(body).send().await;
        let mut response = sent.map_err(unreachable)?;
        let mut answer = http::Response::new(Vec::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if answer.body().len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(HttpError::TooLong(host));
            }
            answer.body_mut().extend_from_slice(&piece);
        }
        Ok(answer)
    }

    /// A JSON document.
    pub(crate) async fn document<T: DeserializeOwned>(&self, url: &Url) -> Result<T, Failure> {
        let request = http::Request::get(url.as_str()).body(Vec::new()).map_err(Failure::failed)?;
        let answer = self.send(request).await.map_err(Failure::failed)?;
        if !answer.status().is_success() {
            return Err(Failure::Failed(format!("`{url}` answered {}", answer.status())));
        }
        serde_json::from_slice(answer.body())
            .map_err(|why| Failure::Failed(format!("`{url}` answered with something else: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_travel_in_clear() {
        for fine in
            ["https://gateway.example", "http://127.0.0.1:6480", "http://localhost:1", "http://[::1]:1/x"]
        {
            address(fine).unwrap();
        }
        for bad in [
            "http://gateway.example",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "ftp://localhost",
            "https://user:word@gateway.example",
            "gateway.example:6480",
            "unix:/x",
            "",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
