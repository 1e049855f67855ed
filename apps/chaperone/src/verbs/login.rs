//! `chaperone login`.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use chaperone_api::{IssuerView, LoginView};
use oauth2::url::Url;

use super::{Failure, block_on, clock, remark};
use crate::person::fresh::shown;
use crate::person::gateway::Gateway;
use crate::person::http::Http;
use crate::person::issuer::{Issuer, LOGIN_PATIENCE, Tokens};
use crate::person::kept::{self, Kept, Secrets, Store};
use crate::person::redirect::Redirect;
use crate::wiring::installation::now_us;

/// `chaperone login`
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The gateway's address, such as `https://gateway.example:6480`; without it the one you were logged in at last
    #[arg(long, value_name = "URL", env = "CHAPERONE_GATEWAY")]
    gateway: Option<String>,
    /// Which of the gateway's issuers, where it has several
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Show a code to enter on another device, for a machine without a browser
    #[arg(long)]
    device: bool,
    /// Print the address to open and start no browser
    #[arg(long)]
    no_browser: bool,
    /// Certificates (PEM) to verify gateway and issuer with, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Login {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.log_in())
    }

    async fn log_in(self) -> Result<ExitCode, Failure> {
        let before = Store::open()?.find(self.gateway.as_deref()).ok();
        let url = match (&self.gateway, &before) {
            (Some(url), _) => kept::name(url),
            (None, Some(before)) => before.gateway.clone(),
            (None, None) => {
                let text = "which gateway? (hint: `chaperone login --gateway https://gateway.example:6480`)";
                return Err(Failure::Usage(text.to_owned()));
            }
        };
        let ca = self.certificates(before.as_ref())?;
        let http = Http::new(ca.as_deref())?;
        let gateway = Gateway::new(&url, ca.as_deref())?;
        let view = choose(gateway.open_list("/issuers").await?, self.issuer.as_deref())?;
        let issuer = Issuer::discover(&view, http.clone()).await?;
        let asked = async { if self.device { device(&issuer).await } else { self.browser(&issuer).await } };
        let tokens = tokio::time::timeout(LOGIN_PATIENCE, asked).await.map_err(|_| {
            Failure::Failed(format!("nobody logged in within {} s", LOGIN_PATIENCE.as_secs()))
        })??;
        let checked_at = now_us() / 1_000_000;
        let made: LoginView = gateway.open_post("/login", &shown(Some(view.name.clone()), &tokens)).await?;
        let kept = Kept {
            gateway: url,
            ca,
            subject: made.subject.clone(),
            client_id: view.client_id.clone(),
            issuer: issuer.metadata().clone(),
            not_after: made.not_after,
            recheck_s: made.recheck_s,
            checked_at,
            secrets: Secrets { token: made.token.clone(), refresh_token: tokens.refresh_token.clone() },
        };
        let mut store = Store::open()?;
        store.put(kept)?;
        if let Some(before) = before {
            super::logout::end(&gateway, &before, http).await;
        }
        said(&made, &store.place(), tokens.refresh_token.is_some());
        Ok(ExitCode::SUCCESS)
    }

    /// Kept as an absolute path: the next verb runs elsewhere.
    fn certificates(&self, before: Option<&Kept>) -> Result<Option<PathBuf>, Failure> {
        match &self.ca {
            Some(file) => {
                let cannot = Failure::io(format!("cannot read `{}`", file.display()));
                std::fs::canonicalize(file).map(Some).map_err(cannot)
            }
            None => Ok(before.and_then(|kept| kept.ca.clone())),
        }
    }

    async fn browser(&self, issuer: &Issuer) -> Result<Tokens, Failure> {
        let redirect = Redirect::open().await?;
        let asking = issuer.ask(redirect.url());
        remark(&format!("open this address in a browser on this machine:\n\n  {}\n", asking.url));
        if !self.no_browser {
            start_browser(&asking.url);
        }
        let redirected = redirect.answer(&asking).await?;
        issuer.redeem(asking, redirected).await
    }
}

async fn device(issuer: &Issuer) -> Result<Tokens, Failure> {
    let device = issuer.device().await?;
    let (page, code) = (device.verification_uri().as_str(), device.user_code().secret());
    let whole = device
        .verification_uri_complete()
        .map(|whole| format!("\nor open this address there, and compare the code:\n\n  {}\n", whole.secret()))
        .unwrap_or_default();
    remark(&format!("on any device open\n\n  {page}\n\nand enter the code  {code}\n{whole}"));
    issuer.poll(&device).await
}

/// The issuer by name, or the only one.
fn choose(views: Vec<IssuerView>, name: Option<&str>) -> Result<IssuerView, Failure> {
    let names = views.iter().map(|view| view.name.as_str()).collect::<Vec<_>>().join(", ");
    let several = views.len() > 1;
    let mut fitting = views.into_iter().filter(|view| name.is_none_or(|name| view.name == name));
    match (fitting.next(), name) {
        (None, None) => {
            Err(Failure::Failed("nobody can log in at this gateway: it has no issuer".to_owned()))
        }
        (None, Some(name)) => {
            Err(Failure::Usage(format!("the gateway has no issuer `{name}` (hint: it has: {names})")))
        }
        (Some(_), None) if several => Err(Failure::Usage(format!(
            "the gateway has several issuers: {names} (hint: choose with `--issuer`)"
        ))),
        (Some(view), _) => Ok(view),
    }
}

/// A browser that cannot be started is no failure: the address has been printed.
fn start_browser(url: &Url) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = std::process::Command::new(opener);
    command.arg(url.as_str()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(command.spawn());
}

fn said(made: &LoginView, place: &str, lasts: bool) {
    let display = made.display.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let until = clock(made.not_after.saturating_mul(1_000_000));
    remark(&format!("logged in as {}{display} until {until}, kept in {place}", made.subject));
    if !lasts {
        let hint = "the issuer gave no refresh token (hint: add `offline_access` to the gateway's `scopes`)";
        remark(&format!("warning: it ends in {} s: {hint}", made.recheck_s));
    }
}
