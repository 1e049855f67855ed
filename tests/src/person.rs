//! A person at a terminal: the command line with a login of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Identity, Running, capture};
use crate::{Boundary, Failure, Issuer, Result};

/// How long a line that has to come may take.
const LINE_PATIENCE: Duration = Duration::from_secs(30);

/// Somebody with an account at the issuer.
#[derive(Debug)]
pub struct Person {
    name: String,
    home: PathBuf,
    program: PathBuf,
    gateway: String,
    keyring: bool,
}

/// What stands before a program that is to find a keyring: a bus of its own, and a Secret Service that is unlocked.
const KEYRING: [&str; 5] = [
    "dbus-run-session",
    "--",
    "sh",
    "-c",
    "printf secret | gnome-keyring-daemon --unlock --components=secrets > /dev/null 2>&1; exec \"$0\" \"$@\"",
];

/// A login that waits for its browser.
#[derive(Debug)]
pub struct LoggingIn {
    child: std::process::Child,
    lines: mpsc::Receiver<String>,
    /// What it asked to be opened.
    pub url: String,
}

impl Person {
    /// With nothing kept yet; files go into `home`.
    #[must_use]
    pub fn new(name: &str, home: &Path, boundary: &Boundary) -> Self {
        let gateway = boundary.api_url();
        let program = boundary.program().to_owned();
        Self { name: name.to_owned(), home: home.join(name), program, gateway, keyring: false }
    }

    /// The same at a desktop with a keyring, which is kept in files of his own: each command has a session there by itself.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn with_keyring(self) -> Result<Self> {
        let run = self.home.join("run");
        std::fs::create_dir_all(&run).map_err(Failure::at("make", &run))?;
        Ok(Self { keyring: true, ..self })
    }

    /// The folder with everything of his.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// A verb of the program as a command.
    #[must_use]
    pub fn command<W: AsRef<OsStr>>(&self, words: &[W]) -> Command {
        if !self.keyring {
            let mut command = Command::new(&self.program);
            self.prepare(&mut command, words);
            return command;
        }
        let [bus, before @ ..] = KEYRING;
        let mut command = Command::new(bus);
        command.args(before).arg(&self.program);
        self.prepare(&mut command, words);
        command.env_remove("CHAPERONE_LOGINS").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        for (name, folder) in
            [("HOME", ""), ("XDG_RUNTIME_DIR", "run"), ("XDG_DATA_HOME", "data"), ("XDG_STATE_HOME", "state")]
        {
            command.env(name, self.home.join(folder));
        }
        command
    }

    fn prepare<W: AsRef<OsStr>>(&self, command: &mut Command, words: &[W]) {
        command.args(words).env("CHAPERONE_LOGINS", self.kept());
        command.env("CHAPERONE_GATEWAY", &self.gateway).env_remove("CHAPERONE_CONFIG");
    }

    /// Run a verb and hand back what it prints.
    ///
    /// # Errors
    /// The verb's.
    pub fn cli(&self, words: &[&str]) -> Result<String> {
        capture(&mut self.command(words))
    }

    /// Start a verb that goes on, with what it prints in a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, words: &[&str]) -> Result<Running> {
        let mut command = Identity::Ours.command(&self.program, "TERM");
        self.prepare(&mut command, words);
        let log = self.home.join(format!("{}.log", words.first().copied().unwrap_or_default()));
        Running::start(&words.join(" "), command, &log)
    }

    /// The file with the login.
    #[must_use]
    pub fn kept(&self) -> PathBuf {
        self.home.join("logins.json")
    }

    /// The gateway's bearer token, as an attacker who has read the file would know it.
    ///
    /// # Errors
    /// There is no login.
    pub fn token(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.kept()).map_err(Failure::at("read", &self.kept()))?;
        let kept: Value = serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string()))?;
        let token = kept.pointer("/logins/0/secrets/token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| Failure::new("there is no login"))
    }

    /// Log in with the browser.
    ///
    /// # Errors
    /// The verb's own words.
    pub fn log_in(&self, issuer: &Issuer) -> Result<String> {
        let login = self.begin(&[])?;
        issuer.visit(&login.url, &self.name)?;
        login.end()
    }

    /// Begin to log in, up to the address that it asks to be opened.
    ///
    /// # Errors
    /// It prints none.
    pub fn begin(&self, more: &[&str]) -> Result<LoggingIn> {
        let words = [&["login", "--no-browser"], more].concat();
        let mut child = self
            .command(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start a login: {error}")))?;
        let said = child.stderr.take().ok_or_else(|| Failure::new("nothing to read from"))?;
        let (give, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(std::result::Result::ok) {
                if give.send(line).is_err() {
                    break;
                }
            }
        });
        let mut before = Vec::new();
        let mut url = None;
        // Of a device's addresses the last one carries the code with it.
        let last = more.contains(&"--device");
        while let Ok(line) = lines.recv_timeout(LINE_PATIENCE) {
            let trimmed = line.trim();
            if trimmed.starts_with("http") && (!last || trimmed.contains("user_code=")) {
                url = Some(trimmed.to_owned());
                break;
            }
            before.push(line);
        }
        let url = url.ok_or_else(|| Failure::new(format!("no address: {}", before.join("\n"))))?;
        Ok(LoggingIn { child, lines, url })
    }
}

impl LoggingIn {
    /// Where the browser is to bring the answer, and the state that has to come with it.
    ///
    /// # Errors
    /// They do not stand in the address.
    pub fn expects(&self) -> Result<(String, String)> {
        let part = |name: &str| {
            let query = self.url.split_once('?').map(|(_, query)| query).unwrap_or_default();
            let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            value.map(str::to_owned).ok_or_else(|| Failure::new(format!("no `{name}` in `{}`", self.url)))
        };
        Ok((part("redirect_uri")?.replace("%3A", ":").replace("%2F", "/"), part("state")?))
    }

    /// Wait for its end; what it said.
    ///
    /// # Errors
    /// It failed; its own words.
    pub fn end(mut self) -> Result<String> {
        let status = self.child.wait().map_err(|error| Failure::new(error.to_string()))?;
        let said: Vec<String> = self.lines.iter().collect();
        if status.success() { Ok(said.join("\n")) } else { Err(Failure::new(said.join("\n"))) }
    }

    /// Give up.
    pub fn stop(mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
