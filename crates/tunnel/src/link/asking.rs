//! Words that the gateway exchanges with an agent on its link.

use std::time::Duration;

use bytes::Bytes;
use chaperone_access::{AgentName, TargetName};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LinkError;
use super::words::{DoneWords, HelloWords, RefusalWords, read_json};
use crate::dial::DialError;
use crate::limits;

/// Ask an agent for the targets that it declares: sorted, each once.
pub(super) async fn declared(
    sender: &SendRequest<Full<Bytes>>,
    agent: &AgentName,
) -> Result<Vec<TargetName>, LinkError> {
    let hello: Result<HelloWords, DialError> =
        ask(sender, agent, "/hello", &DoneWords {}, limits::HANDSHAKE).await;
    let HelloWords { agent: name, mut targets } =
        hello.map_err(|error| LinkError::Broken(error.to_string()))?;
    if name != *agent {
        return Err(LinkError::Broken(format!("agent `{agent}` calls itself `{name}`")));
    }
    targets.sort();
    targets.dedup();
    Ok(targets)
}

/// One exchange of words with an agent.
pub(super) async fn ask<T: DeserializeOwned>(
    sender: &SendRequest<Full<Bytes>>,
    agent: &AgentName,
    path: &str,
    words: &impl Serialize,
    patience: Duration,
) -> Result<T, DialError> {
    let broken = |what| DialError::Broken { agent: agent.clone(), what };
    let exchange = async {
        let body = serde_json::to_vec(words).map_err(|_never| broken("words that cannot be said"))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://agent{path}"))
            .body(Full::new(Bytes::from(body)))
            .map_err(|_never| broken("words that cannot be said"))?;
        let mut sender = sender.clone();
        let response = sender.send_request(request).await.map_err(|_lost| DialError::Lost(agent.clone()))?;
        let fine = response.status() == StatusCode::OK;
        let unread = || broken("an answer that cannot be read");
        if fine {
            return read_json(response.into_body()).await.ok_or_else(unread);
        }
        let words: RefusalWords = read_json(response.into_body()).await.ok_or_else(unread)?;
        Err(DialError::Refused(words.refusal()))
    };
    tokio::time::timeout(patience, exchange)
        .await
        .unwrap_or_else(|_elapsed| Err(DialError::TimedOut(agent.clone())))
}
