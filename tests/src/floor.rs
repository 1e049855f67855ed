//! A floor under the logins of targets: said in the configuration before gateway and agent start, made at the database
//! with the product's own verb after it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::capture;
use crate::{Boundary, Cluster, Layout, Result, folder as files};

/// The role that tells a database whose session is whose.
const TELLER: &str = "tells_the_floor";

/// One login, the database role behind it, and whose it is (`issuer/group`).
#[derive(Debug, Clone)]
pub struct UnderFloor {
    /// Its name in gateway.toml and agent.toml.
    pub login: &'static str,
    /// The role's name at the database.
    pub role: &'static str,
    /// The groups whose sessions use it.
    pub groups: Vec<String>,
}

/// Logins that have a floor, and the file with their password: one for all, which tests are free to do.
#[derive(Debug, Clone)]
pub struct Floor {
    logins: Vec<UnderFloor>,
    password: PathBuf,
}

impl Floor {
    /// With a new password in a file of `home`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(home: &Path, logins: Vec<UnderFloor>) -> Result<Self> {
        std::fs::create_dir_all(home).map_err(crate::Failure::at("make", home))?;
        let password = home.join("floor.password");
        if !password.exists() {
            files::write_secret(&password, &crate::secret()?)?;
        }
        Ok(Self { logins, password })
    }

    /// Say in both configurations who uses which login of a target.
    pub fn declare(&self, target: &str, layout: &mut Layout) {
        let password = Value::from(self.password.to_string_lossy());
        for UnderFloor { login, role, groups } in &self.logins {
            layout.more.push_str(&format!(
                "[[targets.{target}.logins]]\nlogin = \"{login}\"\ngroups = {}\n\n",
                Value::from(groups.clone())
            ));
            layout.more_of_agent.push_str(&format!(
                "\n[targets.{target}.logins.{login}]\nuser = \"{role}\"\npassword = {{ file = {password} }}\n"
            ));
        }
        layout.more_of_agent.push_str(&format!(
            "\n[targets.{target}.floor]\nuser = \"{TELLER}\"\npassword = {{ file = {password} }}\n"
        ));
    }

    /// Make roles, grants and views as the product plans them, and verify; what the verb said.
    ///
    /// # Errors
    /// Something is missing or too much afterwards.
    pub fn apply(&self, boundary: &Boundary, target: &str, cluster: &Cluster) -> Result<String> {
        let said = capture(&mut self.verb(boundary, cluster, &["apply", target])?)?;
        let password = self.password()?;
        let roles = self.logins.iter().map(|login| login.role).chain([TELLER]);
        let roles: Vec<String> =
            roles.map(|role| format!("alter role {role} login password '{password}'")).collect();
        cluster.sql(&roles.join("; "))?;
        Ok(said)
    }

    /// The password of its roles.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn password(&self) -> Result<String> {
        files::read(&self.password)
    }

    /// `chaperone floor` of these logins, as the database's administrator.
    ///
    /// # Errors
    /// A password file cannot be read.
    pub fn verb(&self, boundary: &Boundary, cluster: &Cluster, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(boundary.program());
        command.arg("floor").args(words);
        for login in &self.logins {
            command.args(["--login", login.login]);
        }
        command.arg("--agent").arg(boundary.config().with_file_name("agent.toml"));
        command.env("CHAPERONE_CONFIG", boundary.config());
        command.env("CHAPERONE_FLOOR_URL", cluster.superuser_url()?);
        Ok(command)
    }
}
