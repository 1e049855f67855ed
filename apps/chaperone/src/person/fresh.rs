//! Keeping a login alive: the issuer confirms it, the gateway hears so, and other programs on this machine see the result.

use std::path::Path;
use std::time::Duration;

use chaperone_api::{LoginRequest, WhoView};

use super::gateway::{Gateway, GatewayError};
use super::http::Http;
use super::issuer::{Issuer, RefreshError, Tokens};
use super::kept::{Kept, Store};
use crate::verbs::{Failure, remark};
use crate::wiring::installation::now_us;

/// Shortest time between two confirmations.
const PERIOD_MIN: Duration = Duration::from_secs(1);
/// Time between two where the gateway asks for none: the tokens of the issuer stay fresh all the same.
const UNASKED: Duration = Duration::from_secs(3600);
/// How soon another attempt is made when nobody answered.
const AGAIN: Duration = Duration::from_secs(5);

/// A login in use.
pub(crate) struct InUse {
    pub(crate) kept: Kept,
    pub(crate) gateway: Gateway,
    http: Http,
}

/// What an attempt to confirm came to.
enum Confirmed {
    /// It holds.
    Fresh(Box<Kept>),
    /// Nobody answered; it may still hold.
    Later(String),
    /// It is over.
    Ended(String),
}

fn now_s() -> u64 {
    now_us() / 1_000_000
}

/// What the gateway is told of tokens that an issuer gave out.
pub(crate) fn shown(issuer: Option<String>, tokens: &Tokens) -> LoginRequest {
    let access_token = Some(tokens.access_token.clone());
    LoginRequest { issuer, id_token: tokens.id_token.clone(), access_token }
}

impl InUse {
    /// The login at a gateway, confirmed if it is about to be due.
    pub(crate) async fn open(gateway: Option<&str>) -> Result<Self, Failure> {
        let kept = Store::open()?.find(gateway)?;
        let http = Http::new(kept.ca.as_deref())?;
        let gateway = Gateway::new(&kept.gateway, kept.ca.as_deref())?;
        let mut this = Self { gateway, kept, http };
        if this.due() {
            match this.confirm().await? {
                Confirmed::Fresh(kept) => this.kept = *kept,
                Confirmed::Later(why) => remark(&format!("warning: the login was not confirmed: {why}")),
                Confirmed::Ended(why) => return Err(this.over(&why)),
            }
        }
        Ok(this)
    }

    fn over(&self, why: &str) -> Failure {
        let gateway = &self.kept.gateway;
        Failure::Failed(format!("the login has ended: {why} (hint: `chaperone login --gateway {gateway}`)"))
    }

    /// Half of the time that the gateway grants leaves room for a second attempt.
    fn period(&self) -> Duration {
        match self.kept.recheck_s {
            0 => UNASKED,
            asked_s => (Duration::from_secs(asked_s) / 2).max(PERIOD_MIN),
        }
    }

    fn due(&self) -> bool {
        now_s() >= self.kept.checked_at.saturating_add(self.period().as_secs())
    }

    /// Confirm it once, whoever on this machine does it.
    async fn confirm(&self) -> Result<Confirmed, Failure> {
        // Opening waits for whoever has the store, who may be asking an issuer: not on this thread.
        let store = tokio::task::spawn_blocking(Store::open).await.map_err(Failure::failed)?;
        let mut store = store?;
        let Ok(mut kept) = store.find(Some(&self.kept.gateway)) else {
            return Ok(Confirmed::Ended("it was logged out".to_owned()));
        };
        // Somebody else has confirmed it meanwhile, or has logged in anew.
        if kept.checked_at > self.kept.checked_at || kept.secrets.token != self.kept.secrets.token {
            return Ok(Confirmed::Fresh(Box::new(kept)));
        }
        let Some(refresh_token) = kept.secrets.refresh_token.clone() else {
            return Ok(Confirmed::Ended("the issuer gave no refresh token".to_owned()));
        };
        let issuer =
            Issuer::known(kept.issuer.clone(), kept.client_id.clone(), Vec::new(), self.http.clone());
        let tokens = match issuer.refresh(&refresh_token).await {
            Ok(tokens) => tokens,
            Err(RefreshError::Later(why)) => return Ok(Confirmed::Later(why)),
            Err(RefreshError::Ended(why)) => {
                // Its sessions need not go on until the gateway misses us.
                let told = self.gateway.delete("/login", &kept.secrets.token).await;
                store.remove(&kept.gateway)?;
                if let Err(error) = told
                    && !matches!(error, GatewayError::Ended(_))
                {
                    remark(&format!("warning: the gateway has not ended the login: {error}"));
                }
                return Ok(Confirmed::Ended(why));
            }
        };
        if let Some(next) = &tokens.refresh_token {
            // The old one is spent: a crash from here on must find the new one.
            kept.secrets.refresh_token = Some(next.clone());
            store.put(kept.clone())?;
        }
        let asked_at = now_s();
        let answer: Result<WhoView, GatewayError> =
            self.gateway.post("/login/refresh", &kept.secrets.token, &shown(None, &tokens)).await;
        let who = match answer {
            Ok(who) => who,
            Err(error @ GatewayError::Unable(_)) => {
                return Ok(Confirmed::Later(error.to_string()));
            }
            Err(GatewayError::Ended(_)) => return Ok(self.refused(&kept).await),
            Err(error @ (GatewayError::Refused(_) | GatewayError::KeyEnded(_))) => {
                return Ok(Confirmed::Ended(error.to_string()));
            }
        };
        kept.checked_at = asked_at;
        kept.not_after = who.not_after.unwrap_or(kept.not_after);
        kept.recheck_s = who.recheck_s.unwrap_or(kept.recheck_s);
        store.put(kept.clone())?;
        Ok(Confirmed::Fresh(Box::new(kept)))
    }

    /// The gateway takes either the login or the issuer's token for nothing, and does not say which: it may not know yet
    /// with which key the issuer signs now.
    async fn refused(&self, kept: &Kept) -> Confirmed {
        let who: Result<WhoView, GatewayError> = self.gateway.get("/whoami", &kept.secrets.token).await;
        match who {
            Err(GatewayError::Ended(_)) => {
                Confirmed::Ended("the gateway does not know it any more".to_owned())
            }
            Ok(_) | Err(GatewayError::Refused(_) | GatewayError::KeyEnded(_) | GatewayError::Unable(_)) => {
                Confirmed::Later("the gateway does not take the issuer's token now".to_owned())
            }
        }
    }

    /// Confirm it again and again while something long runs. Ends when the login does, with the reason.
    pub(crate) async fn keep(mut self) -> Failure {
        let mut wait = self.period();
        let mut complained = false;
        loop {
            tokio::time::sleep(wait).await;
            match self.confirm().await {
                Ok(Confirmed::Fresh(kept)) => {
                    self.kept = *kept;
                    wait = self.period();
                    complained = false;
                }
                Ok(Confirmed::Ended(why)) => return self.over(&why),
                Ok(Confirmed::Later(why)) => {
                    if !complained {
                        remark(&format!("warning: the login was not confirmed, trying again: {why}"));
                        complained = true;
                    }
                    wait = AGAIN.min(self.period());
                }
                Err(failure) => return failure,
            }
        }
    }

    /// For a task of its own.
    pub(crate) fn again(&self) -> Result<Self, Failure> {
        let gateway = Gateway::new(&self.kept.gateway, self.kept.ca.as_deref())?;
        Ok(Self { kept: self.kept.clone(), gateway, http: self.http.clone() })
    }

    pub(crate) fn token(&self) -> &str {
        &self.kept.secrets.token
    }

    pub(crate) fn ca(&self) -> Option<&Path> {
        self.kept.ca.as_deref()
    }
}
