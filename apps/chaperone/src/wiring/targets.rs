//! The agent's side: where targets are, and how to log in to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{Refusal, RefusalCode, TargetName};
use chaperone_postgres::login::{LoginOptions, TargetTls, cancel, login};
use chaperone_tunnel::{BoxFuture, Canceller, Dial, LoginFacts, Opened, Stream, Targets};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpStream, UnixStream};

use crate::config::agent::{AgentConfig, Target, TlsMode};
use crate::config::{self, gateway::Protocol};
use crate::verbs::Failure;

struct Place {
    target: Target,
    tls: Option<TargetTls>,
}

/// The targets of one agent's configuration.
pub(crate) struct Declared {
    places: BTreeMap<TargetName, Arc<Place>>,
}

impl Declared {
    /// Check and take a configuration. `path` is its file.
    pub(crate) fn new(config: AgentConfig, path: &Path) -> Result<Self, Failure> {
        let mut places = BTreeMap::new();
        for (name, target) in config.targets {
            match target.protocol {
                Protocol::Postgres => {}
            }
            let tls = tls(&target, path).map_err(|why| Failure::Usage(format!("target `{name}`: {why}")))?;
            places.insert(name, Arc::new(Place { target, tls }));
        }
        Ok(Self { places })
    }
}

fn tls(target: &Target, file: &Path) -> Result<Option<TargetTls>, String> {
    match target.tls {
        TlsMode::Disable => return Ok(None),
        TlsMode::VerifyFull => {}
    }
    let roots = target
        .roots
        .as_ref()
        .ok_or("`tls = \"verify-full\"` needs `roots` (hint: or say `tls = \"disable\"`)")?;
    let mut store = rustls::RootCertStore::empty();
    let path = config::beside(file, roots);
    let certificates =
        CertificateDer::pem_file_iter(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| format!("`{}`: {error}", path.display()))?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    let builder = rustls::ClientConfig::builder().with_root_certificates(store);
    let config = match (&target.certificate, &target.key) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(config::beside(file, certificate))
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| error.to_string())?;
            let key =
                PrivateKeyDer::from_pem_file(config::beside(file, key)).map_err(|error| error.to_string())?;
            builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) | (None, Some(_)) => return Err("`certificate` and `key` belong together".to_owned()),
    };
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    Ok(Some(TargetTls { config: Arc::new(config), name, direct: false }))
}

async fn connect(target: &Target) -> Result<Box<dyn chaperone_wire::Stream>, Refusal> {
    let unreachable = |error: std::io::Error| {
        tracing::warn!(%error, "a target cannot be reached");
        Refusal::new(RefusalCode::TargetUnavailable, "the target cannot be reached")
            .hint("ask whoever runs the agent to look at its log")
    };
    if target.host.starts_with('/') {
        let path = format!("{}/.s.PGSQL.{}", target.host, target.port);
        return Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?));
    }
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(Box::new(stream))
}

struct Cancel {
    place: Arc<Place>,
    pid: i32,
    key: Bytes,
}

impl Canceller for Cancel {
    fn cancel(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move {
            let stream = connect(&self.place.target).await?;
            cancel(stream, self.place.tls.as_ref(), self.pid, &self.key)
                .await
                .map_err(|error| Refusal::new(RefusalCode::TargetUnavailable, error.to_string()))
        })
    }
}

impl Targets for Declared {
    fn names(&self) -> Vec<TargetName> {
        self.places.keys().cloned().collect()
    }

    fn open(&self, request: Dial) -> BoxFuture<'_, Result<Opened, Refusal>> {
        Box::pin(async move {
            let Some(place) = self.places.get(&request.target).cloned() else {
                return Err(Refusal::new(
                    RefusalCode::UndefinedTarget,
                    "this agent does not serve the target",
                ));
            };
            let target = &place.target;
            let secret = match &target.password {
                Some(source) => Some(source.fetch().await.map_err(|error| {
                    tracing::error!(%error, "a target's secret cannot be had");
                    Refusal::new(RefusalCode::TargetUnavailable, "the target's secret cannot be had")
                        .hint("ask whoever runs the agent to look at its log")
                })?),
                None => None,
            };
            let options = LoginOptions {
                user: target.user.clone(),
                database: target.database.clone(),
                application_name: request.application.as_str().to_owned(),
                tls: place.tls.clone(),
            };
            let stream = connect(target).await?;
            let secret = secret.as_ref().map(chaperone_vault::Secret::expose);
            let logged_in = login(stream, &options, secret).await.map_err(|error| {
                tracing::warn!(%error, target = %request.target, "login to the target failed");
                Refusal::new(RefusalCode::TargetUnavailable, "the agent cannot log in to the target")
                    .hint("ask whoever runs the agent to look at its log")
            })?;
            let facts = LoginFacts {
                login: target.user.clone(),
                backend_pid: u32::from_ne_bytes(logged_in.pid.to_ne_bytes()),
                backend_start: Some(logged_in.backend_start_us.to_string()),
                server_version: logged_in.server_version,
                tls: place.tls.as_ref().map(|_| "verified".to_owned()),
            };
            let canceller = Box::new(Cancel { place, pid: logged_in.pid, key: logged_in.cancel_key });
            Ok(Opened {
                stream: Box::new(logged_in.stream) as Box<dyn Stream>,
                greeting: logged_in.greeting,
                facts,
                canceller,
            })
        })
    }
}
