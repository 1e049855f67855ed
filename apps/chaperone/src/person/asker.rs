//! Who asks for a credential: whoever is logged in, a service with its key, or a workload with its platform's token.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::fresh::InUse;
use super::gateway::Gateway;
use super::workload::Workload;
use crate::verbs::Failure;

/// Where a service's key may stand. Not an argument: other users of a machine see those.
pub(crate) const KEY_VARIABLE: &str = "CHAPERONE_SERVICE_KEY";
/// Longest key that is read, in bytes.
const KEY_BYTES_MAX: u64 = 1024;

/// Which gateway is asked, and as whom.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Whom {
    /// Which gateway, where you are logged in at several
    #[arg(long, value_name = "URL", env = "CHAPERONE_GATEWAY")]
    pub(crate) gateway: Option<String>,
    /// Ask as the service whose key stands in this file, or in CHAPERONE_SERVICE_KEY, instead of with a login
    #[arg(long, value_name = "FILE")]
    pub(crate) service_key_file: Option<PathBuf>,
    /// Ask as the workload whose token its platform keeps in this file
    #[arg(
        long,
        value_name = "FILE",
        env = "CHAPERONE_WORKLOAD_TOKEN_FILE",
        requires = "workload_issuer",
        conflicts_with = "service_key_file"
    )]
    pub(crate) workload_token_file: Option<PathBuf>,
    /// The gateway's name for the issuer of that token, as in subjects
    #[arg(long, value_name = "NAME", env = "CHAPERONE_WORKLOAD_ISSUER")]
    pub(crate) workload_issuer: Option<String>,
    /// With a service key or a workload's token: certificates (PEM) to verify the gateway with, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

/// Somebody who can ask for credentials.
pub(crate) enum Asker {
    /// With a login.
    Login(Box<InUse>),
    /// With a service's key.
    Service(Service),
    /// With a platform's token.
    Workload(Box<Workload>),
}

/// A service with its key.
#[derive(Clone)]
pub(crate) struct Service {
    gateway: Gateway,
    key: Zeroizing<String>,
    ca: Option<PathBuf>,
}

impl Whom {
    /// The gateway that a service has to name.
    fn named(&self) -> Result<Gateway, Failure> {
        let url = self.gateway.as_deref().ok_or_else(|| {
            Failure::Usage(
                "a service names its gateway (hint: `--gateway https://gateway.example:6480`, or CHAPERONE_GATEWAY)"
                    .to_owned(),
            )
        })?;
        Gateway::for_service(url, self.ca.as_deref())
    }

    /// The service's key, where one is named.
    fn key(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let read = match &self.service_key_file {
            Some(file) => read(file).map_err(Failure::io(format!("cannot read `{}`", file.display())))?,
            None => match std::env::var(KEY_VARIABLE) {
                Ok(key) => Zeroizing::new(key),
                Err(std::env::VarError::NotPresent) => return Ok(None),
                Err(error) => return Err(Failure::Usage(format!("{KEY_VARIABLE}: {error}"))),
            },
        };
        let key = read.trim();
        if key.is_empty() || key.chars().any(char::is_control) {
            let text = "no service key stands there (hint: `chaperone service rotate NAME` prints one)";
            return Err(Failure::Usage(text.to_owned()));
        }
        Ok(Some(Zeroizing::new(key.to_owned())))
    }
}

fn read(file: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(file)?.take(KEY_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

impl Asker {
    /// The service whose key is named, or else the login, confirmed if it is about to be due.
    pub(crate) async fn open(whom: &Whom) -> Result<Self, Failure> {
        if let (Some(file), Some(issuer)) = (&whom.workload_token_file, &whom.workload_issuer) {
            let gateway = whom.named()?;
            let workload = Workload::open(gateway, whom.ca.clone(), issuer, file.clone()).await?;
            return Ok(Self::Workload(Box::new(workload)));
        }
        let Some(key) = whom.key()? else {
            if whom.ca.is_some() {
                let text = "`--ca` goes with a service key or a workload's token (hint: a login keeps the one that it was made with)";
                return Err(Failure::Usage(text.to_owned()));
            }
            return InUse::open(whom.gateway.as_deref()).await.map(|login| Self::Login(Box::new(login)));
        };
        let gateway = whom.named()?;
        Ok(Self::Service(Service { gateway, key, ca: whom.ca.clone() }))
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        match self {
            Self::Login(login) => &login.gateway,
            Self::Service(service) => &service.gateway,
            Self::Workload(workload) => &workload.gateway,
        }
    }

    /// The bearer token.
    pub(crate) fn token(&self) -> &str {
        match self {
            Self::Login(login) => login.token(),
            Self::Service(service) => &service.key,
            Self::Workload(workload) => &workload.token,
        }
    }

    pub(crate) fn ca(&self) -> Option<&Path> {
        match self {
            Self::Login(login) => login.ca(),
            Self::Service(service) => service.ca.as_deref(),
            Self::Workload(workload) => workload.ca.as_deref(),
        }
    }

    /// For a task of its own.
    pub(crate) fn again(&self) -> Result<Self, Failure> {
        match self {
            Self::Login(login) => login.again().map(|login| Self::Login(Box::new(login))),
            Self::Service(service) => Ok(Self::Service(service.clone())),
            Self::Workload(workload) => Ok(Self::Workload(workload.clone())),
        }
    }

    /// Keep a login alive while something long runs; ends when it does, with the reason. A key holds by itself, and the
    /// gateway ends its sessions when it does not.
    pub(crate) async fn keep(self) -> Failure {
        match self {
            Self::Login(login) => login.keep().await,
            Self::Service(_) => std::future::pending().await,
            Self::Workload(workload) => workload.keep().await,
        }
    }
}
