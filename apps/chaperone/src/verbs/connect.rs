//! `chaperone connect TARGET`.

use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_access::TargetName;
use chaperone_api::{CredentialRequest, WhoView};

use super::credential::duration_s;
use super::{Failure, block_on, remark, say, whoami};
use crate::person::fresh::InUse;
use crate::person::local::{Joint, Place};

/// What a credential is asked for with, by every verb that uses one at once.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    /// The target
    pub(crate) target: TargetName,
    /// Which gateway, where you are logged in at several
    #[arg(long, value_name = "URL", env = "CHAPERONE_GATEWAY")]
    pub(crate) gateway: Option<String>,
    /// The software that will use it
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// HL7 PurposeOfUse code, such as TREAT or HPAYMT
    #[arg(long, value_name = "CODE")]
    pub(crate) purpose: Option<String>,
    /// The longest that a session may last
    #[arg(long, default_value = "12h", value_parser = duration_s)]
    pub(crate) ttl: u64,
}

impl At {
    pub(crate) fn request(&self) -> CredentialRequest {
        CredentialRequest {
            target: self.target.clone(),
            ttl_s: self.ttl,
            purpose: self.purpose.clone(),
            client: self.client.clone(),
            only: std::collections::BTreeSet::new(),
            verbs: Vec::new(),
            rows: None,
        }
    }
}

/// `chaperone connect`
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    #[command(flatten)]
    at: At,
    /// Port on 127.0.0.1; a free one unless given
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A Unix socket in this folder (mode 0700) instead of a port: on a machine with several users nobody else can even
    /// reach it
    #[arg(long, value_name = "DIR")]
    socket: Option<PathBuf>,
}

/// The number in a socket's name where none is given: what clients assume.
const SOCKET_PORT: u16 = 5432;

impl Connect {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.serve())
    }

    async fn serve(self) -> Result<ExitCode, Failure> {
        let login = InUse::open(self.at.gateway.as_deref()).await?;
        let who: WhoView = login.gateway.get("/whoami", login.token()).await?;
        let joint = Joint::new(login, self.at.request()).await?;
        let place = match &self.socket {
            Some(folder) => Place::socket(folder, if self.port == 0 { SOCKET_PORT } else { self.port })?,
            None => Place::port(self.port).await?,
        };
        remark(&format!("you are {}", whoami::line(&who)));
        say(&format!("{} dbname={}", place.shown(), self.at.target))?;
        tokio::select! {
            failure = joint.serve(&place) => Err(failure),
            ended = super::ending() => ended.map(|()| ExitCode::SUCCESS),
        }
    }
}
