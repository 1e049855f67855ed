//! A workload with the token that its platform puts into a file and renews there: a login of its own, made and confirmed with
//! it. It is left to end with the token: where it was ended before, the same token could not make the next one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chaperone_api::{LoginRequest, LoginView, WhoView};
use zeroize::Zeroizing;

use super::gateway::{Gateway, GatewayError};
use crate::verbs::{Failure, remark};

/// Longest token that is read, in bytes; the gateway takes no longer one.
const TOKEN_BYTES_MAX: u64 = 32 * 1024;
/// Shortest time between two confirmations.
const PERIOD_MIN: Duration = Duration::from_secs(1);
/// How soon another attempt is made when the gateway did not answer.
const AGAIN: Duration = Duration::from_secs(5);
/// Time between two looks at the file where the gateway asks for no confirmation: its token ends and is renewed.
const UNASKED: Duration = Duration::from_secs(60);

/// Somebody whose proof stands in a file.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(super) gateway: Gateway,
    pub(super) ca: Option<PathBuf>,
    /// The gateway's token of the login.
    pub(super) token: Zeroizing<String>,
    file: PathBuf,
    /// What stood there last.
    shown: Zeroizing<String>,
    recheck_s: u64,
}

fn read(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let unreadable = || Failure::io(format!("cannot read `{}`", file.display()));
    let opened = std::fs::File::open(file).map_err(unreadable())?;
    opened.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(unreadable())?;
    let token = text.trim();
    if token.is_empty() || token.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(Failure::Usage(format!("`{}` does not hold one token", file.display())));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

fn request(issuer: Option<&str>, token: &str) -> LoginRequest {
    LoginRequest { issuer: issuer.map(str::to_owned), id_token: Some(token.to_owned()), access_token: None }
}

impl Workload {
    /// Log in with the token that stands in the file now. `issuer` is the gateway's name for whoever made it.
    pub(crate) async fn open(
        gateway: Gateway,
        ca: Option<PathBuf>,
        issuer: &str,
        file: PathBuf,
    ) -> Result<Self, Failure> {
        let shown = read(&file)?;
        let made: LoginView = gateway.open_post("/login", &request(Some(issuer), &shown)).await?;
        let (token, recheck_s) = (Zeroizing::new(made.token.clone()), made.recheck_s);
        Ok(Self { gateway, ca, token, file, shown, recheck_s })
    }

    fn period(&self) -> Duration {
        match self.recheck_s {
            0 => UNASKED,
            asked_s => (Duration::from_secs(asked_s) / 2).max(PERIOD_MIN),
        }
    }

    /// Confirm the login with what stands in the file, again and again while something long runs. Ends when the gateway
    /// does not take it any more, with the reason.
    pub(crate) async fn keep(self) -> Failure {
        let (mut wait, mut last) = (self.period(), self.shown.clone());
        loop {
            tokio::time::sleep(wait).await;
            let shown = match read(&self.file) {
                Ok(shown) => shown,
                Err(failure) => {
                    remark(&format!("warning: the login was not confirmed, trying again: {failure}"));
                    wait = AGAIN.min(self.period());
                    continue;
                }
            };
            // The gateway goes by the age of the token: the same one again would confirm nothing.
            if *shown == *last {
                wait = AGAIN.min(self.period());
                continue;
            }
            let asked = request(None, &shown);
            let answer: Result<WhoView, GatewayError> =
                self.gateway.post("/login/refresh", &self.token, &asked).await;
            match answer {
                Ok(_) => {
                    last = shown;
                    wait = self.period();
                }
                Err(GatewayError::Unable(why)) => {
                    remark(&format!("warning: the login was not confirmed, trying again: {why}"));
                    wait = AGAIN.min(self.period());
                }
                Err(
                    error @ (GatewayError::Refused(_) | GatewayError::KeyEnded(_) | GatewayError::Ended(_)),
                ) => {
                    return Failure::Failed(format!("the workload's login has ended: {error}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_one_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, " a.b.c\n").unwrap();
        assert_eq!(read(&file).unwrap().as_str(), "a.b.c");
        for wrong in ["", "\n", "a b", "a\nb"] {
            std::fs::write(&file, wrong).unwrap();
            assert!(read(&file).is_err(), "{wrong:?}");
        }
        assert!(read(&folder.path().join("none")).is_err());
    }
}
