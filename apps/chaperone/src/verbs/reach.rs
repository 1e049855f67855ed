//! Which gateway a verb asks, and as whom.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::person::fresh::InUse;
use crate::wiring::ask::Ask;

/// Where a gateway's configuration is looked for.
const CONFIGURATION: &str = "gateway.toml";

/// Names the configuration file where `--config` does not.
const CONFIGURATION_VARIABLE: &str = "CHAPERONE_CONFIG";
/// Names the gateway where `--gateway` does not.
const GATEWAY_VARIABLE: &str = "CHAPERONE_GATEWAY";

/// The gateway on this machine, asked as its administrator, or any other, asked with a login. The variables are not
/// clap's: it does not tell what was typed from what merely stands in the environment.
#[derive(Debug, clap::Args)]
pub(crate) struct Reach {
    /// Ask the gateway on this machine as its administrator: its configuration file [env: CHAPERONE_CONFIG] [default:
    /// gateway.toml, where it is]
    #[arg(long, value_name = "FILE", conflicts_with = "gateway")]
    config: Option<PathBuf>,
    /// Ask this gateway with your login there (`chaperone login`) [env: CHAPERONE_GATEWAY]
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whom a verb asks.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// The gateway of this configuration, as its administrator.
    Administrator(PathBuf),
    /// This gateway, or the only one of all logins, with a login.
    Login(Option<String>),
}

impl Reach {
    /// What is typed goes before what stands in the environment; there and here a file before a login, and both before a
    /// file that merely lies here.
    fn asked(&self, variable: impl Fn(&str) -> Option<OsString>, lies_here: bool) -> Asked {
        if let Some(file) = &self.config {
            return Asked::Administrator(file.clone());
        }
        if let Some(gateway) = &self.gateway {
            return Asked::Login(Some(gateway.clone()));
        }
        let said = |name| variable(name).filter(|text| !text.is_empty());
        if let Some(file) = said(CONFIGURATION_VARIABLE) {
            return Asked::Administrator(file.into());
        }
        match said(GATEWAY_VARIABLE) {
            Some(gateway) => Asked::Login(Some(gateway.to_string_lossy().into_owned())),
            None if lies_here => Asked::Administrator(CONFIGURATION.into()),
            None => Asked::Login(None),
        }
    }

    /// The gateway to ask.
    pub(crate) async fn ask(&self) -> Result<Ask, Failure> {
        let gateway = match self.asked(|name| std::env::var_os(name), Path::new(CONFIGURATION).exists()) {
            Asked::Administrator(file) => return Ask::new(&file),
            Asked::Login(gateway) => gateway,
        };
        let login = InUse::open(gateway.as_deref()).await.map_err(|failure| match (failure, &gateway) {
            (Failure::Usage(why), None) => Failure::Usage(format!(
                "there is no `{CONFIGURATION}` here (`--config FILE` names another), and {why}"
            )),
            (failure, _) => failure,
        })?;
        Ask::for_login(&login.kept.gateway, login.token(), login.ca())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_goes_before_what_stands_in_the_environment() {
        let asked = |config: Option<&str>, gateway: Option<&str>, file: &str, url: &str, lies_here| {
            let reach =
                Reach { config: config.map(PathBuf::from), gateway: gateway.map(str::to_owned), json: false };
            let variable = |name: &str| Some(if name == GATEWAY_VARIABLE { url } else { file }.into());
            reach.asked(variable, lies_here)
        };
        let administrator = |file: &str| Asked::Administrator(file.into());
        let login = |url: &str| Asked::Login(Some(url.to_owned()));
        assert_eq!(asked(Some("a.toml"), None, "e.toml", "https://e", true), administrator("a.toml"));
        assert_eq!(asked(None, Some("https://a"), "e.toml", "https://e", true), login("https://a"));
        assert_eq!(asked(None, None, "e.toml", "https://e", true), administrator("e.toml"));
        assert_eq!(asked(None, None, "", "https://e", true), login("https://e"));
        assert_eq!(asked(None, None, "", "", true), administrator(CONFIGURATION));
        assert_eq!(asked(None, None, "", "", false), Asked::Login(None));
    }
}
