//! Asking a gateway: on this machine with the administrator's token from its keys folder, or anywhere with the token of a
//! login.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chaperone_api::{Page, Problem, ProblemKind};
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::config;
use crate::config::gateway::GatewayConfig;
use crate::verbs::Failure;
use crate::wiring::installation::ADMIN_TOKEN_FILE;
use crate::wiring::tls::{self, Trust};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway to ask.
pub(crate) struct Ask {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    token: Option<Zeroizing<String>>,
}

impl Ask {
    /// The gateway on this machine, by its configuration file, as its administrator.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let config: GatewayConfig = config::load(path)?;
        let file = config::beside(path, &config.keys).join(ADMIN_TOKEN_FILE);
        let token = std::fs::read_to_string(&file).map(Zeroizing::new).map_err(|why| {
            Failure::Usage(format!(
                "cannot read the administrator's token `{}`: {why} (hint: the gateway writes it when it first starts; \
                 it is for its own user only)",
                file.display()
            ))
        })?;
        let certificate = config.api.certificate.as_ref().map(|file| config::beside(path, file));
        let tls = certificate.map(|file| tls::connector(&Trust::Exactly(&file))).transpose()?;
        let host = match config.api.listen.ip() {
            IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            named @ (IpAddr::V4(_) | IpAddr::V6(_)) => named,
        };
        let token = Some(Zeroizing::new(token.trim().to_owned()));
        Ok(Self { host: host.to_string(), port: config.api.listen.port(), tls, token })
    }

    /// A gateway by the URL of its API, with the token of a login or a service key. `ca` names a file of authorities to
    /// know it by, in the place of this machine's.
    pub(crate) fn for_login(url: &str, token: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self { token: Some(Zeroizing::new(token.to_owned())), ..Self::without_token(url, ca)? })
    }

    /// The same for what needs no token: its issuers, and logging in.
    pub(crate) fn without_token(url: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        let usage = |why: &str| Failure::Usage(format!("`{url}` cannot be a gateway: {why}"));
        let uri: Uri =
            url.parse().map_err(|_| usage("it is not a URL (hint: https://gateway.example:6480)"))?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(usage("it is not a whole URL (hint: https://gateway.example:6480)"));
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(usage("it has a path (hint: only scheme, host and port)"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let (tls, port) = match scheme {
            "https" => (Some(tls::connector(&ca.map_or(Trust::System, Trust::Roots))?), 443),
            "http" if loopback => (None, 80),
            "http" => return Err(usage("a token may pass in clear on this machine only (hint: https://)")),
            _ => return Err(usage("it is neither https:// nor http://")),
        };
        Ok(Self { host, port: uri.port_u16().unwrap_or(port), tls, token: None })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::failed)?;
        self.send(Method::POST, path, Bytes::from(body)).await
    }

    pub(crate) async fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::failed)?;
        self.send(Method::DELETE, path, Bytes::from(body)).await
    }

    /// The first `max` items of a list, page by page.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str, max: usize) -> Result<Vec<T>, Failure> {
        let mut items: Vec<T> = Vec::new();
        let mut after = String::new();
        loop {
            let limit = max.saturating_sub(items.len()).min(chaperone_api::PAGE_MAX);
            let page: Page<T> = self.get(&format!("{path}?limit={limit}{after}")).await?;
            items.extend(page.items);
            match page.next {
                Some(next) if items.len() < max => after = format!("&after={}", encoded(&next)),
                Some(_) | None => return Ok(items),
            }
        }
    }

    async fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
        match tokio::time::timeout(PATIENCE, self.connected(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => {
                Err(Failure::Failed(format!("the gateway at {} did not answer in time", self.authority())))
            }
        }
    }

    async fn connected<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let unreachable = |why: std::io::Error| {
            Failure::Failed(format!(
                "cannot reach the gateway at {}: {why} (hint: is it running?)",
                self.authority()
            ))
        };
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        let Some(tls) = &self.tls else { return self.exchange(stream, method, path, body).await };
        let name = ServerName::try_from(self.host.clone()).map_err(Failure::failed)?;
        let stream = tls.connect(name, stream).await.map_err(|why| {
            Failure::Failed(format!(
                "the gateway at {} is not known by its certificate: {why} (hint: `--ca FILE` names another authority)",
                self.authority()
            ))
        })?;
        self.exchange(stream, method, path, body).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Failure::failed)?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, self.authority())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", **token));
        }
        let request = request.body(Full::new(body)).map_err(Failure::failed)?;
        let response = sender.send_request(request).await.map_err(Failure::failed)?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| Failure::Failed(format!("cannot read the gateway's answer: {error}")))?
            .to_bytes();
        connection.abort();
        if status.is_success() {
            // An answer without content (RFC 9110, section 15.3.5) is nothing, which JSON has a word for.
            let bytes = if bytes.is_empty() { Bytes::from_static(b"null") } else { bytes };
            return serde_json::from_slice(&bytes).map_err(Failure::failed);
        }
        let problem = serde_json::from_slice::<Problem>(&bytes).unwrap_or_else(|_| Problem {
            status: status.as_u16(),
            ..Problem::new(ProblemKind::Fault, format!("the gateway answered {status}"))
        });
        Err(Failure::Refused(problem))
    }
}

/// A text as it may stand in a path or query (RFC 3986, section 2.3).
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_in_clear_to_this_machine_only() {
        for good in ["http://127.0.0.1:6480", "http://localhost:6480/", "http://[::1]:6480"] {
            assert!(Ask::without_token(good, None).is_ok(), "{good}");
        }
        for bad in
            ["http://gateway.example:6480", "gateway.example", "ftp://127.0.0.1", "http://127.0.0.1/api", ""]
        {
            assert!(Ask::without_token(bad, None).is_err(), "{bad}");
        }
        assert_eq!(Ask::without_token("http://[::1]:6480", None).unwrap().authority(), "[::1]:6480");
    }

    #[test]
    fn text_in_a_path_stays_one_part_of_it() {
        assert_eq!(encoded("org/ana b?"), "org%2Fana%20b%3F");
    }
}
