//! `chaperone connect TARGET`.

use std::path::PathBuf;
use std::process::ExitCode;

use chaperone_access::TargetName;
use chaperone_api::{AccessView, CredentialRequest, RelationAccess, WhoView};

use super::credential::duration_s;
use super::{Failure, block_on, clock, remark, say, whoami};
use crate::person::asker::{Asker, Whom};
use crate::person::local::{Joint, Place};
use crate::wiring::installation::now_us;

/// What a credential is asked for with, by every verb that uses one at once.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    /// The target
    pub(crate) target: TargetName,
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// The software that will use it
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// HL7 PurposeOfUse code, such as TREAT or HPAYMT
    #[arg(long, value_name = "CODE")]
    pub(crate) purpose: Option<String>,
    /// The longest that a session may last
    #[arg(long, default_value = "12h", value_parser = duration_s)]
    pub(crate) ttl: u64,
}

impl At {
    pub(crate) fn request(&self) -> CredentialRequest {
        CredentialRequest {
            target: self.target.clone(),
            ttl_s: self.ttl,
            purpose: self.purpose.clone(),
            client: self.client.clone(),
            only: std::collections::BTreeSet::new(),
            verbs: Vec::new(),
            rows: None,
        }
    }
}

impl At {
    /// Where the gateway says what may be seen there so.
    fn access_path(&self) -> String {
        let mut query = oauth2::url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("client", &self.client), ("purpose", &self.purpose)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("/targets/{}/access?{}", self.target, query.finish())
    }
}

/// `chaperone connect`
#[derive(Debug, clap::Args)]
pub(crate) struct Connect {
    #[command(flatten)]
    at: At,
    /// Port on 127.0.0.1; a free one unless given
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A Unix socket in this folder (mode 0700) instead of a port: on a machine with several users nobody else can even
    /// reach it
    #[arg(long, value_name = "DIR")]
    socket: Option<PathBuf>,
}

/// The number in a socket's name where none is given: what clients assume.
const SOCKET_PORT: u16 = 5432;

/// Relations that one line names.
const NAMED_MAX: usize = 5;

/// What somebody may see at a target, in one line.
fn seen(access: &AccessView) -> String {
    if access.unrestricted {
        return format!("at {} everything is open to you", access.target);
    }
    let of = |verb: &str| {
        let named =
            access.relations.iter().filter(|relation| relation.allowed.iter().any(|word| word == verb));
        named.map(|relation| relation.relation.as_str()).collect::<Vec<_>>()
    };
    let (read, writes) = (
        of("read"),
        access.relations.iter().filter(|relation| {
            relation.allowed.iter().any(|word| matches!(word.as_str(), "insert" | "update" | "delete"))
        }),
    );
    let total = access.relations.len() as u64 + access.others;
    let more = if read.len() > NAMED_MAX { ", ..." } else { "" };
    let names = read.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { String::new() } else { format!(" ({names}{more})") };
    let relations = format!(
        "at {} you may read {} of {total} relations{names} and change {}",
        access.target,
        read.len(),
        writes.count()
    );
    [Some(relations), kept_back(access)].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What is not seen of the relations that may be used.
fn kept_back(access: &AccessView) -> Option<String> {
    let sum = |of: fn(&RelationAccess) -> u64| access.relations.iter().map(of).sum::<u64>();
    let (masked, hidden) = (sum(|one| one.masked), sum(|one| one.hidden));
    let filtered = access.relations.iter().filter(|one| one.filtered).count();
    let said: Vec<String> = [
        (masked, "columns masked"),
        (hidden, "columns hidden"),
        (filtered as u64, "relations with a row filter"),
    ]
    .into_iter()
    .filter(|(many, _)| *many > 0)
    .map(|(many, what)| format!("{many} {what}"))
    .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// What sessions are for, and when they end: with the credential, or with the login before it.
fn terms(request: &CredentialRequest, who: &WhoView, now_s: u64) -> String {
    let ends = now_s.saturating_add(request.ttl_s);
    let ends = who.not_after.map_or(ends, |not_after| ends.min(not_after));
    let ends = clock(ends.saturating_mul(1_000_000));
    match &request.purpose {
        Some(purpose) => format!("for {purpose}, until {ends}"),
        None => format!("for no stated purpose, until {ends}"),
    }
}

impl Connect {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.serve())
    }

    async fn serve(self) -> Result<ExitCode, Failure> {
        let login = Asker::open(&self.at.whom).await?;
        let who: WhoView = login.gateway().get("/whoami", login.token()).await?;
        let sees: AccessView = login.gateway().get(&self.at.access_path(), login.token()).await?;
        let terms = terms(&self.at.request(), &who, now_us() / 1_000_000);
        let joint = Joint::new(login, self.at.request()).await?;
        let place = match &self.socket {
            Some(folder) => Place::socket(folder, if self.port == 0 { SOCKET_PORT } else { self.port })?,
            None => Place::port(self.port).await?,
        };
        remark(&format!("you are {}; {}; {terms}", whoami::line(&who), seen(&sees)));
        say(&format!("{} dbname={}", place.shown(), self.at.target))?;
        tokio::select! {
            failure = joint.serve(&place) => Err(failure),
            ended = super::ending() => ended.map(|()| ExitCode::SUCCESS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_may_be_seen() {
        let relation = |name: &str, verbs: &[&str]| RelationAccess {
            relation: format!("clinic.{name}"),
            allowed: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            held: Vec::new(),
            revealed: 4,
            masked: 0,
            hidden: 0,
            filtered: false,
        };
        let mut access = AccessView {
            target: TargetName::new("clinic").unwrap(),
            unrestricted: false,
            relations: vec![relation("claims", &["read", "update"]), relation("patients", &["read"])],
            others: 3,
        };
        let line = "at clinic you may read 2 of 5 relations (clinic.claims, clinic.patients) and change 1";
        assert_eq!(seen(&access), line);
        access.relations[0].masked = 2;
        access.relations[1].hidden = 1;
        access.relations[1].filtered = true;
        let more = "; 2 columns masked, 1 columns hidden, 1 relations with a row filter";
        assert_eq!(seen(&access), format!("{line}{more}"));
        access.relations.clear();
        assert_eq!(seen(&access), "at clinic you may read 0 of 3 relations and change 0");
        access.unrestricted = true;
        assert_eq!(seen(&access), "at clinic everything is open to you");
    }

    #[test]
    fn one_line_says_what_for_and_until_when() {
        let who = serde_json::json!({"subject": "org/ana", "groups": [], "not_after": 7200});
        let who: WhoView = serde_json::from_value(who).unwrap();
        let request = |ttl_s, purpose: Option<&str>| CredentialRequest {
            target: TargetName::new("clinic").unwrap(),
            ttl_s,
            purpose: purpose.map(str::to_owned),
            client: None,
            only: std::collections::BTreeSet::new(),
            verbs: Vec::new(),
            rows: None,
        };
        let said = terms(&request(3600, Some("TREAT")), &who, 0);
        assert_eq!(said, "for TREAT, until 1970-01-01 01:00:00Z");
        let said = terms(&request(36_000, None), &who, 0);
        assert_eq!(said, "for no stated purpose, until 1970-01-01 02:00:00Z");
    }
}
