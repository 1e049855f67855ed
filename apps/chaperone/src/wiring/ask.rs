//! Asking a running gateway on this machine: its loopback API, with the administrator's token from its keys folder.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use chaperone_api::Problem;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::config;
use crate::config::gateway::GatewayConfig;
use crate::verbs::Failure;
use crate::wiring::installation::ADMIN_TOKEN_FILE;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway to ask.
pub(crate) struct Ask {
    address: SocketAddr,
    token: String,
}

impl Ask {
    /// From the gateway's configuration file.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let config: GatewayConfig = config::load(path)?;
        let file = config::beside(path, &config.keys).join(ADMIN_TOKEN_FILE);
        let token = std::fs::read_to_string(&file).map_err(|why| {
            Failure::Usage(format!(
                "cannot read the administrator's token `{}`: {why} (hint: the gateway writes it when it first starts; \
                 it is for its own user only)",
                file.display()
            ))
        })?;
        Ok(Self { address: config.api.listen, token: token.trim().to_owned() })
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

    async fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
        match tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Failed(format!("the gateway at {} did not answer in time", self.address))),
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let stream = TcpStream::connect(self.address).await.map_err(|why| {
            Failure::Failed(format!(
                "cannot reach the gateway at {}: {why} (hint: is it running?)",
                self.address
            ))
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Failure::failed)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(Failure::failed)?;
        let response = sender.send_request(request).await.map_err(Failure::failed)?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| Failure::Failed(format!("cannot read the gateway's answer: {error}")))?
            .to_bytes();
        connection.abort();
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(Failure::failed);
        }
        let problem = serde_json::from_slice::<Problem>(&bytes)
            .unwrap_or_else(|_| Problem { message: format!("the gateway answered {status}"), hint: None });
        let hint = problem.hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
        Err(Failure::Failed(format!("{}{hint}", problem.message)))
    }
}
