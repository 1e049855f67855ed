//! `chaperone logout`.

use std::process::ExitCode;

use super::{Failure, block_on, remark};
use crate::person::gateway::{Gateway, GatewayError};
use crate::person::http::Http;
use crate::person::issuer::Issuer;
use crate::person::kept::{Kept, Store};

/// `chaperone logout`
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// Which gateway, where you are logged in at several
    #[arg(long, value_name = "URL", env = "CHAPERONE_GATEWAY")]
    gateway: Option<String>,
}

impl Logout {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(async {
            // Held to the end: nobody may refresh what is being ended.
            let mut store = Store::open()?;
            let kept = store.find(self.gateway.as_deref())?;
            let http = Http::new(kept.ca.as_deref())?;
            let gateway = Gateway::new(&kept.gateway, kept.ca.as_deref())?;
            let ended = end(&gateway, &kept, http).await;
            store.remove(&kept.gateway)?;
            if !ended {
                let until =
                    super::clock(kept.checked_at.saturating_add(kept.recheck_s).saturating_mul(1_000_000));
                let text =
                    format!("it is forgotten here and ends there at {until}, when it is not confirmed again");
                return Err(Failure::Failed(text));
            }
            remark(&format!("{} is logged out at {}", kept.subject, kept.gateway));
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// End a login at the gateway and its refresh token at the issuer; whether the gateway has ended it. What does not answer
/// is said, and cannot keep anybody from forgetting the login here.
pub(super) async fn end(gateway: &Gateway, kept: &Kept, http: Http) -> bool {
    let ended = match gateway.delete("/login", &kept.secrets.token).await {
        Ok(()) | Err(GatewayError::Ended(_)) => true,
        Err(error) => {
            remark(&format!("warning: the gateway has not ended the login: {error}"));
            false
        }
    };
    if let Some(token) = &kept.secrets.refresh_token {
        let issuer = Issuer::known(kept.issuer.clone(), kept.client_id.clone(), Vec::new(), http);
        if let Err(error) = issuer.revoke(token).await {
            remark(&format!("warning: the issuer has not revoked the refresh token: {error}"));
        }
    }
    ended
}
