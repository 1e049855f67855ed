//! `chaperone credential TARGET --as WHO`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use chaperone_access::{SubjectKind, TargetName};
use chaperone_identity::{Grant, Who};

use super::{Failure, Installation, say, say_json};
use crate::config;
use crate::config::gateway::GatewayConfig;
use crate::wiring::installation::{credential_keys, now_us};

/// Longest life of a credential made by hand, in seconds.
const TTL_S_MAX: u64 = 24 * 3600;

/// `chaperone credential`
#[derive(Debug, clap::Args)]
pub(crate) struct Credential {
    #[command(flatten)]
    installation: Installation,
    /// The target that it opens
    target: TargetName,
    /// The subject, as the development issuer names it
    #[arg(long = "as", value_name = "WHO")]
    subject: String,
    /// It is a service, not a person
    #[arg(long)]
    service: bool,
    /// A group of the subject; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The software that acts for the subject
    #[arg(long)]
    client: Option<String>,
    /// HL7 PurposeOfUse code
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
    /// How long it is valid: a number with s, m or h, at most 24h
    #[arg(long, default_value = "1h", value_parser = duration_s)]
    ttl: u64,
}

pub(super) fn duration_s(text: &str) -> Result<u64, String> {
    let hint = || format!("`{text}` is not a time (hint: 45s, 30m or 8h)");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(hint)?;
    let number: u64 = number.parse().map_err(|_| hint())?;
    let seconds = match unit {
        "s" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        _ => return Err(hint()),
    };
    if !(1..=TTL_S_MAX).contains(&seconds) {
        return Err("a time from 1s to 24h is needed".to_owned());
    }
    Ok(seconds)
}

impl Credential {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let path = &self.installation.config;
        let config: GatewayConfig = config::load(path)?;
        if !config.targets.contains_key(&self.target) {
            let names: Vec<&str> = config.targets.keys().map(TargetName::as_str).collect();
            let text =
                format!("target `{}` is not configured (hint: there are: {})", self.target, names.join(", "));
            return Err(Failure::Usage(text));
        }
        let keys = credential_keys(&config::beside(path, &config.keys))?;
        let now = now_us() / 1_000_000;
        let grant = Grant {
            who: Who::Named {
                issuer: config.issuer.alias.clone(),
                kind: if self.service { SubjectKind::Service } else { SubjectKind::Person },
                sub: self.subject,
                groups: self.groups.into_iter().collect::<BTreeSet<_>>(),
            },
            client: self.client,
            target: self.target,
            purpose: self.purpose,
            not_before: now,
            not_after: now + self.ttl,
        };
        let made = keys.issue(&grant).map_err(|error| Failure::Usage(error.to_string()))?;
        let (host, port) = (config.postgres.listen.ip(), config.postgres.listen.port());
        let mode = if config.postgres.certificate.is_some() { "require" } else { "disable" };
        let connection = format!(
            "postgresql://{}:{}@{host}:{port}/{}?sslmode={mode}",
            made.user, &*made.password, grant.target
        );
        if self.installation.json {
            say_json(&serde_json::json!({
                "connection": connection,
                "host": host.to_string(),
                "port": port,
                "database": grant.target,
                "user": made.user,
                "password": &*made.password,
                "credential": made.id.to_string(),
                "not_after": grant.not_after,
            }))?;
        } else {
            say(&connection)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
