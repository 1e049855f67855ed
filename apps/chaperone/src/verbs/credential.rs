//! `chaperone credential TARGET`, from a login or, with `--as`, from a development installation's keys;
//! `chaperone credential narrow`, `list` and `revoke`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use chaperone_access::{SubjectKind, TargetName, Verb};
use chaperone_api::{CredentialEntryView, CredentialRequest, CredentialView, RevokeCredential};
use chaperone_identity::{CREDENTIAL_S_MAX, CredentialId, Grant, Who};
use clap::Subcommand;

use super::exec::roots;
use super::narrow::{Narrow, Narrowing};
use super::reach::Reach;
use super::{Failure, Installation, block_on, clock, remark, say, say_json, table};
use crate::config;
use crate::config::gateway::GatewayConfig;
use crate::person::asker::{Asker, Whom};
use crate::person::local::host;
use crate::wiring::installation::{credential_keys, now_us};

/// `chaperone credential`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Credential {
    #[command(subcommand)]
    more: Option<More>,
    /// The target that it opens
    #[arg(required = true)]
    target: Option<TargetName>,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    narrowing: Narrowing,
    /// The software that will use it
    #[arg(long)]
    client: Option<String>,
    /// HL7 PurposeOfUse code, such as TREAT or HPAYMT
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
    /// How long it is valid: a number with s, m or h, at most 24h
    #[arg(long, default_value = "1h", value_parser = duration_s)]
    ttl: u64,
    /// Make it for this subject of the development issuer, with the keys of a gateway on this machine
    #[arg(long = "as", value_name = "WHO")]
    subject: Option<String>,
    /// With --as: it is a service, not a person
    #[arg(long, requires = "subject")]
    service: bool,
    /// With --as: a group of the subject; may be given several times
    #[arg(long = "group", value_name = "GROUP", requires = "subject")]
    groups: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum More {
    /// Take rights away from a connection string, offline: it is read from standard input
    Narrow(Narrow),
    /// List the credentials that open sessions use, and those that were revoked
    List {
        #[command(flatten)]
        reach: Reach,
    },
    /// Take a credential back, with everything that it was narrowed to; sessions that use it end
    Revoke {
        /// Its id, as `chaperone credential` says it and sessions and entries name it
        #[arg(allow_hyphen_values = true)]
        credential: CredentialId,
        /// Why: for the record and for administrators
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        reach: Reach,
    },
}

impl More {
    fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Narrow(narrow) => return narrow.run(),
            Self::List { reach } => list(&reach)?,
            Self::Revoke { credential, reason, reach } => revoke(&reach, credential, reason)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(reach: &Reach) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let credentials: Vec<CredentialEntryView> = block_on(ask.list("/credentials", usize::MAX))?;
    if reach.json {
        return say_json(&credentials);
    }
    let row = |one: CredentialEntryView| {
        let state = match one.revoked {
            Some(revoked) => format!("revoked {} by {}: {}", clock(revoked.at), revoked.by, revoked.reason),
            None => "in use".to_owned(),
        };
        let ends = one.not_after.map(|at| clock(at.saturating_mul(1_000_000)));
        let target = one.target.map(|target| target.to_string());
        vec![
            one.credential,
            one.subject.unwrap_or_default(),
            target.unwrap_or_default(),
            one.sessions.to_string(),
            ends.unwrap_or_default(),
            state,
        ]
    };
    let head = ["credential", "subject", "target", "sessions", "until", "state"];
    table(&head, credentials.into_iter().map(row).collect())
}

fn revoke(reach: &Reach, credential: CredentialId, reason: String) -> Result<(), Failure> {
    let ask = block_on(reach.ask())?;
    let path = format!("/credentials/{credential}");
    let view: CredentialEntryView = block_on(ask.delete(&path, &RevokeCredential { reason }))?;
    if reach.json {
        return say_json(&view);
    }
    let sessions = match view.sessions {
        0 => "no session used it".to_owned(),
        1 => "the session that used it ends".to_owned(),
        many => format!("the {many} sessions that used it end"),
    };
    remark(&format!("credential {credential} is revoked; {sessions}"));
    Ok(())
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
    if !(1..=CREDENTIAL_S_MAX).contains(&seconds) {
        return Err("a time from 1s to 24h is needed".to_owned());
    }
    Ok(seconds)
}

pub(super) fn verb(text: &str) -> Result<Verb, String> {
    Verb::ALL.into_iter().find(|verb| verb.as_str() == text).ok_or_else(|| {
        let words: Vec<&str> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
        format!("`{text}` is not a verb (hint: {})", words.join(", "))
    })
}

/// A credential with everything that a client has to know.
struct Made {
    view: CredentialView,
    host: String,
    roots: Option<std::path::PathBuf>,
}

impl Made {
    fn connection(&self) -> String {
        let CredentialView { user, password, port, database, sslmode, .. } = &self.view;
        // An IPv6 address stands in brackets in a URI (RFC 3986, 3.2.2).
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let mut query = oauth2::url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("sslmode", sslmode);
        if let Some(file) = &self.roots {
            query.append_pair("sslrootcert", &file.to_string_lossy());
        }
        // libpq reads `+` as itself.
        let query = query.finish().replace('+', "%20");
        format!("postgresql://{user}:{password}@{host}:{port}/{database}?{query}")
    }

    fn say(&self, json: bool) -> Result<(), Failure> {
        if !json {
            let CredentialView { credential, not_after, .. } = &self.view;
            let until = clock(not_after.saturating_mul(1_000_000));
            remark(&format!(
                "credential {credential}, good until {until}; `chaperone credential revoke {credential}` takes it back"
            ));
            return say(&self.connection());
        }
        say_json(&serde_json::json!({
            "connection": self.connection(),
            "host": self.host,
            "port": self.view.port,
            "database": self.view.database,
            "user": self.view.user,
            "password": self.view.password,
            "credential": self.view.credential,
            "not_after": self.view.not_after,
        }))
    }
}

impl Credential {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(more) = self.more {
            return more.run();
        }
        let json = self.installation.json;
        let made = match self.subject.clone() {
            Some(subject) => self.made_here(subject)?,
            None => block_on(self.made_by_gateway())?,
        };
        made.say(json)?;
        Ok(ExitCode::SUCCESS)
    }

    fn target(&self) -> Result<TargetName, Failure> {
        self.target.clone().ok_or_else(|| Failure::Usage("which target?".to_owned()))
    }

    async fn made_by_gateway(self) -> Result<Made, Failure> {
        let login = Asker::open(&self.whom).await?;
        let request = CredentialRequest {
            target: self.target()?,
            ttl_s: self.ttl,
            purpose: self.purpose.clone(),
            client: self.client.clone(),
            only: self.narrowing.only.iter().map(ToString::to_string).collect(),
            verbs: self.narrowing.verbs.clone(),
            rows: self.narrowing.rows,
        };
        let mut view: CredentialView = login.gateway().post("/credentials", login.token(), &request).await?;
        if let Some(tool) = self.narrowing.tool_only() {
            (view.user, view.password) = tool.apply(&view.user, &view.password)?;
        }
        let host = host(&login, &view);
        let roots = (view.sslmode != "disable").then(|| roots(&login).to_owned());
        Ok(Made { view, host, roots })
    }

    /// Made with the keys of a gateway on this machine, without asking it.
    fn made_here(self, subject: String) -> Result<Made, Failure> {
        let Whom { gateway, service_key_file, workload_token_file, ca, .. } = &self.whom;
        let elsewhere = service_key_file.is_some() || workload_token_file.is_some() || ca.is_some();
        if gateway.is_some() || elsewhere {
            let text = "`--as` uses the keys of a gateway on this machine: `--gateway`, `--service-key-file`, \
                        `--workload-token-file` and `--ca` do not go with it";
            return Err(Failure::Usage(text.to_owned()));
        }
        let target = self.target()?;
        let path = &self.installation.config;
        let config: GatewayConfig = config::load(path)?;
        if !config.targets.contains_key(&target) {
            let names: Vec<&str> = config.targets.keys().map(TargetName::as_str).collect();
            let text = format!("target `{target}` is not configured (hint: there are: {})", names.join(", "));
            return Err(Failure::Usage(text));
        }
        let issuer = config.development().ok_or_else(|| {
            Failure::Usage(
                "the gateway listens beyond this machine, so it has no development issuer (hint: `chaperone login`, \
                 then `chaperone credential` without `--as`)"
                    .to_owned(),
            )
        })?;
        let keys = credential_keys(&config::beside(path, &config.keys))?;
        let now = now_us() / 1_000_000;
        let grant = Grant {
            who: Who::Named {
                issuer,
                kind: if self.service { SubjectKind::Service } else { SubjectKind::Person },
                sub: subject,
                groups: self.groups.into_iter().collect::<BTreeSet<_>>(),
            },
            client: self.client,
            target,
            purpose: self.purpose,
            not_before: now,
            not_after: now + self.ttl,
        };
        let made = keys.issue(&grant).map_err(|error| Failure::Usage(error.to_string()))?;
        let (user, password) = self.narrowing.apply(&made.user, &made.password)?;
        let encrypted = config.postgres.certificate.is_some();
        let view = CredentialView {
            credential: made.id.to_string(),
            host: None,
            port: config.postgres.listen.port(),
            database: grant.target.to_string(),
            user,
            password,
            sslmode: if encrypted { "require" } else { "disable" }.to_owned(),
            not_after: grant.not_after,
        };
        Ok(Made { view, host: config.postgres.listen.ip().to_string(), roots: None })
    }
}
