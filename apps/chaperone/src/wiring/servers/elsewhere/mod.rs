//! Servers of others that are elsewhere and speak MCP over Streamable HTTP: what is declared in `agent.toml`, and the
//! sessions that there are.
//!
//! To the gateway a session looks as a run does: a stream with one message a line. What goes to the server is such messages
//! and the agent's own token; there is nothing else that could be passed on, a caller's credential least of all.

mod exchange;
mod session;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use chaperone_access::{Refusal, RefusalCode, TargetName};
use chaperone_tunnel::{HostFacts, HostOpened, Reach};
use chaperone_vault::SecretSource;
use oauth2::url::Url;
use tokio::sync::{Semaphore, watch};

use super::{LAST, digest};
use crate::config::agent::ServerElsewhere;
use crate::config::beside;
use crate::person::http::address;
use crate::wiring::tls::{self, Trust};

/// Bytes that wait in either direction of a session.
const WAIT_BYTES: usize = 64 * 1024;
/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection waits for another request: less than common servers wait before they close it.
const KEEP: Duration = Duration::from_secs(3);

/// One declared server.
struct Upstream {
    name: TargetName,
    url: Url,
    token: Option<SecretSource>,
    tls: rustls::ClientConfig,
    digest: String,
    places: Arc<Semaphore>,
}

/// The servers elsewhere of one agent's configuration, and their sessions.
pub(super) struct Elsewhere {
    known: BTreeMap<TargetName, Arc<Upstream>>,
    /// Whether the agent stops. Each session listens, until nothing of it is left.
    stop: watch::Sender<bool>,
}

impl Elsewhere {
    /// Check and take them. `path` is the configuration's file.
    pub(super) fn new(declared: BTreeMap<TargetName, ServerElsewhere>, path: &Path) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        for (name, server) in declared {
            let upstream =
                Upstream::new(name.clone(), server, path).map_err(|why| format!("server `{name}`: {why}"))?;
            known.insert(name, Arc::new(upstream));
        }
        Ok(Self { known, stop: watch::Sender::new(false) })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = TargetName> {
        self.known.keys().cloned()
    }

    pub(super) fn knows(&self, server: &TargetName) -> bool {
        self.known.contains_key(server)
    }

    /// Begin a session. Nothing is asked of the server before something is said on the stream.
    pub(super) fn reach(&self, reach: &Reach) -> Result<HostOpened, Refusal> {
        if *self.stop.borrow() {
            return Err(Refusal::new(RefusalCode::ShuttingDown, "the agent is stopping"));
        }
        let upstream = self.known.get(&reach.server).cloned().ok_or_else(|| {
            Refusal::new(RefusalCode::UndefinedTarget, "this agent does not reach that server")
        })?;
        let place = upstream.places.clone().try_acquire_owned().map_err(|_| {
            Refusal::new(
                RefusalCode::Busy,
                format!("server `{}` has as many sessions as it may", upstream.name),
            )
            .hint("call again in a moment")
        })?;
        let client = upstream.client().map_err(|error| {
            tracing::error!(server = %upstream.name, %error, "a server elsewhere cannot be reached");
            Refusal::new(RefusalCode::Internal, "the agent cannot reach the server")
                .hint("ask whoever runs the agent to look at its log")
        })?;
        let facts = HostFacts { command: upstream.digest.clone(), apart: false };
        let (ours, theirs) = tokio::io::duplex(WAIT_BYTES);
        tokio::spawn(session::carry(upstream, client, ours, self.stop.subscribe(), place));
        Ok(HostOpened { stream: Box::new(theirs), facts })
    }

    /// The agent stops: every session is ended, and none begins any more.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Wait until nothing of the sessions is left, and not for long.
    pub(super) async fn ended(&self) {
        if tokio::time::timeout(LAST, self.stop.closed()).await.is_err() {
            tracing::warn!("some sessions with servers elsewhere did not end in time");
        }
    }
}

impl Upstream {
    fn new(name: TargetName, server: ServerElsewhere, path: &Path) -> Result<Self, String> {
        let ServerElsewhere { url: written, ca, token, sessions_max } = server;
        let url = address(&written).map_err(|error| format!("`url`: {error}"))?;
        if url.fragment().is_some() {
            return Err(format!("`url`: `{written}` has a fragment, which no server gets"));
        }
        if sessions_max == 0 {
            return Err("`sessions_max` is at least 1".to_owned());
        }
        let ca = ca.map(|ca| beside(path, &ca));
        if ca.is_some() && url.scheme() != "https" {
            return Err("`ca` without https: nothing would look at it".to_owned());
        }
        let trust = ca.as_deref().map_or(Trust::System, Trust::Roots);
        let tls = tls::client(&trust).map_err(|error| format!("`ca`: {error}"))?;
        let digest = digest_of(&url, ca.as_deref())?;
        Ok(Self { name, url, token, tls, digest, places: Arc::new(Semaphore::new(sessions_max)) })
    }

    /// Connections of one session's own.
    fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            // What is asked goes to where agent.toml says, and nowhere that somebody else names.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEEP)
            .user_agent(concat!("chaperone/", env!("CARGO_PKG_VERSION")))
            .build()
    }
}

/// Where a server is, and who vouches for it, as one digest: the record says what was reached.
fn digest_of(url: &Url, ca: Option<&Path>) -> Result<String, String> {
    let mut context = Context::new(&SHA256);
    digest::part(&mut context, url.as_str().as_bytes());
    context.update(&[u8::from(ca.is_some())]);
    if let Some(ca) = ca {
        digest::content(&mut context, ca)?;
    }
    Ok(hex::encode(context.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> Result<String, String> {
        let declared: ServerElsewhere = toml::from_str(text).map_err(|error| error.to_string())?;
        Upstream::new("notes".parse().unwrap(), declared, Path::new("/agent.toml"))
            .map(|upstream| upstream.digest)
    }

    #[test]
    fn where_a_server_is_stands_in_one_place_and_is_nowhere_in_clear() {
        let folder = tempfile::tempdir().unwrap();
        let authority = |name: &str| {
            let file = folder.path().join(name);
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            std::fs::write(&file, made.cert.pem()).unwrap();
            format!("ca = \"{}\"", file.display())
        };
        let (one, two) = (authority("one.pem"), authority("two.pem"));
        let of = |path: &str, ca: &str| declared(&format!("url = \"https://tools.example/{path}\"\n{ca}"));
        let known = [of("mcp", &one), of("mcp", &two), of("other", &one)].map(Result::unwrap);
        assert!(known[0] != known[1] && known[0] != known[2], "{known:?}");
        assert_eq!(of("mcp", &one).unwrap(), known[0]);
        assert!(
            declared(&format!("url = \"https://tools.example\"\n{one}\ntoken = {{ env = \"T\" }}")).is_ok()
        );
        for (bad, told) in [
            ("url = \"http://tools.example/mcp\"", "http is for loopback addresses only"),
            ("url = \"http://127.0.0.1.tools.example/mcp\"", "http is for loopback addresses only"),
            ("url = \"https://ana:secret@tools.example/mcp\"", "not an https address"),
            ("url = \"file:///etc/passwd\"", "not an https address"),
            ("url = \"tools.example\"", "not an https address"),
            ("url = \"https://tools.example/mcp#x\"", "has a fragment"),
            ("url = \"http://127.0.0.1:1/mcp\"\nca = \"/etc/ssl/x.pem\"", "`ca` without https"),
            ("url = \"https://tools.example\"\nca = \"/no/such.pem\"", "`ca`"),
            ("url = \"http://127.0.0.1:1/mcp\"\nsessions_max = 0", "at least 1"),
            ("url = \"http://127.0.0.1:1/mcp\"\ntoken = \"secret\"", "token"),
            ("url = \"http://127.0.0.1:1/mcp\"\ncommand = [\"/bin/cat\"]", "unknown field"),
        ] {
            let error = declared(bad).unwrap_err();
            assert!(error.contains(told), "{bad}: {error}");
        }
    }
}
