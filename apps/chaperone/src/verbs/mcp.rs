//! `chaperone mcp TARGET`: MCP over standard input and output for a desktop client, carried to the gateway with the login
//! of whoever runs it.

use std::process::ExitCode;

use chaperone_access::TargetName;

use super::{Failure, block_on, remark};
use crate::person::bridge::{Bridge, lines, output};
use crate::person::fresh::InUse;

/// `chaperone mcp`
#[derive(Debug, clap::Args)]
pub(crate) struct Mcp {
    /// The target
    target: TargetName,
    /// Which gateway, where you are logged in at several
    #[arg(long, value_name = "URL", env = "CHAPERONE_GATEWAY")]
    gateway: Option<String>,
    /// The software that will use it, as registered at the gateway
    #[arg(long)]
    client: Option<String>,
    /// HL7 PurposeOfUse code for calls that name none, such as TREAT or HPAYMT
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
}

impl Mcp {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.serve())
    }

    async fn serve(self) -> Result<ExitCode, Failure> {
        let login = InUse::open(self.gateway.as_deref()).await?;
        remark(&format!("carrying MCP to `{}` at {}", self.target, login.kept.gateway));
        let kept = login.again()?.keep();
        let bridge = Bridge::new(&login, &self.target, self.client.as_deref(), self.purpose.as_deref())?;
        let (answers, written) = output();
        let carried = async {
            bridge.carry(lines(), answers).await;
            // An error says no more than that the other thread has ended.
            drop(written.await);
        };
        tokio::select! {
            failure = kept => Err(failure),
            () = carried => Ok(ExitCode::SUCCESS),
            ended = super::ending() => ended.map(|()| ExitCode::SUCCESS),
        }
    }
}
