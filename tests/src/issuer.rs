//! A real OpenID provider on loopback (npm `oidc-provider`, see `tests/oidc`), and the browser that logs in there.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::folder::free_port;
use crate::process::{Identity, Running, capture};
use crate::{Failure, Result};

/// How long the issuer may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A running issuer that ends with the value.
#[derive(Debug)]
pub struct Issuer {
    home: PathBuf,
    port: u16,
    control: u16,
    process: Running,
}

impl Issuer {
    /// Start one with its files in `home`. Back-channel logout goes to `logout_uri`.
    ///
    /// # Errors
    /// Its packages are not installed, or it does not start.
    pub fn start(home: &Path, logout_uri: &str) -> Result<Self> {
        let installed = crate::target_dir().join("oidc/node_modules");
        if !installed.join("oidc-provider").exists() {
            return Err(Failure::new(
                "the OpenID provider is not installed\nhint: `cargo xtask setup` installs it",
            ));
        }
        fs::create_dir_all(home).map_err(Failure::at("make", home))?;
        // Node looks for packages beside the program that asks for them, and nowhere else.
        symlink(&installed, home.join("node_modules")).map_err(Failure::at("link", home))?;
        for file in ["issuer.js", "visit.js", "exchange.js", "package.json"] {
            let from = crate::root().join("tests/oidc").join(file);
            fs::copy(&from, home.join(file)).map_err(Failure::at("copy", &from))?;
        }
        let (port, control) = (free_port()?, free_port()?);
        let mut command = Identity::Ours.command(Path::new("node"), "TERM");
        command.arg(home.join("issuer.js")).args([port.to_string(), control.to_string()]).arg(logout_uri);
        let mut process = Running::start("the issuer", command, &home.join("issuer.log"))?;
        let listens = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
        process.until(START_PATIENCE, || listens(port) && listens(control))?;
        Ok(Self { home: home.to_owned(), port, control, process })
    }

    /// As it stands in `iss`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What an administrator or attacker does there: see `control` in `tests/oidc/issuer.js`.
    ///
    /// # Errors
    /// The issuer's own.
    pub fn control(&self, what: &str, body: &Value) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/{what}", self.control);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "-X", "POST", "-d"]).arg(body.to_string()).arg(&url);
        let answer = capture(&mut curl)?;
        serde_json::from_str(&answer)
            .map_err(|error| Failure::new(format!("the issuer answered no JSON: {error}: {answer}")))
    }

    /// A token with these claims, beside what every token of this issuer's has.
    ///
    /// # Errors
    /// The issuer's own.
    pub fn token(&self, claims: &Value) -> Result<String> {
        let made = self.control("forge", &json!({"claims": claims}))?;
        let token = made.get("token").and_then(Value::as_str).map(str::to_owned);
        token.ok_or_else(|| Failure::new(format!("no token in `{made}`")))
    }

    /// Log in at `url` as a browser would, with the person's own name as password; where it ended.
    ///
    /// # Errors
    /// It does not end.
    pub fn visit(&self, url: &str, person: &str) -> Result<Value> {
        self.browse(&[url, person, person])
    }

    /// The same, but stopping at the redirect that leads to an address that begins with `prefix`; that address.
    ///
    /// # Errors
    /// It does not end there.
    pub fn visit_until(&self, url: &str, person: &str, prefix: &str) -> Result<String> {
        let ended = self.browse(&[url, person, person, "--stop-before", prefix])?;
        let stopped = ended.get("stopped").and_then(Value::as_str).map(str::to_owned);
        stopped.ok_or_else(|| Failure::new(format!("the browser ended elsewhere: {ended}")))
    }

    /// What a server of somebody else does that acts for its callers: see `tests/oidc/exchange.js`.
    ///
    /// # Errors
    /// Its own, and those of what it speaks with where they are not OAuth's.
    pub fn server(&self, what: &str, said: &Value) -> Result<Value> {
        let file = self.home.join(format!("{what}.json"));
        crate::folder::write(&file, &said.to_string())?;
        let mut node = Command::new("sh");
        node.args(["-c", "exec node \"$0\" \"$1\" < \"$2\""]);
        let answer = capture(node.arg(self.home.join("exchange.js")).arg(what).arg(&file))?;
        serde_json::from_str(&answer)
            .map_err(|error| Failure::new(format!("the server printed no JSON: {error}: {answer}")))
    }

    fn browse(&self, words: &[&str]) -> Result<Value> {
        let said = capture(Command::new("node").arg(self.home.join("visit.js")).args(words))?;
        serde_json::from_str(&said)
            .map_err(|error| Failure::new(format!("the browser printed no JSON: {error}: {said}")))
    }

    /// What it has written.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}
