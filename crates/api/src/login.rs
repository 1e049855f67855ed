//! Logging in, and what a login is good for: `/issuers`, `/login`, `/whoami`, `/credentials`.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{TargetName, Verb};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /issuers`: an issuer that people log in with, and what a command line needs to begin there. No secret is in it,
/// so nobody has to authenticate for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuerView {
    /// Its short name, as in subjects: `org` in `org/ana`.
    pub name: String,
    /// Its issuer identifier, exactly as it stands in `iss`; discovery begins there.
    pub url: String,
    /// The public client that the command line is at this issuer.
    pub client_id: String,
    /// Scopes to ask for; `openid` among them.
    pub scopes: Vec<String>,
    /// Authentication contexts of which the gateway wants one (`acr_values` of the request); none: any will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr: Vec<String>,
}

/// `POST /login` and, without `issuer`, `POST /login/refresh`: tokens that the issuer gave out.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Short name of the issuer; absent where a login is refreshed, which keeps its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// An ID token (OpenID Connect Core 2). A workload's own token goes here too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// An access token, for issuers whose ID tokens do not carry the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
}

// Tokens are secrets: nothing prints them by accident.
impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRequest").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// How somebody was authenticated by the issuer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct AssuranceView {
    /// Authentication context class (`acr`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// Authentication methods (`amr`, RFC 8176).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub amr: BTreeSet<String>,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
}

/// The answer to `POST /login`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct LoginView {
    /// Which login.
    pub login: String,
    /// The bearer token for this API, `cpl1...`: a secret, shown this once.
    pub token: String,
    /// Who, as `issuer/subject`.
    pub subject: String,
    /// The name for people, where the issuer has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// How the issuer authenticated the subject, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<AssuranceView>,
    /// The login ends at this time, in seconds since the Unix epoch.
    pub not_after: u64,
    /// A login that is not refreshed for this many seconds admits nobody and ends its sessions.
    pub recheck_s: u64,
}

impl std::fmt::Debug for LoginView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginView")
            .field("login", &self.login)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// `GET /whoami` and the answer to `POST /login/refresh`: whom the gateway takes the caller for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoView {
    /// Who, as `issuer/subject`.
    pub subject: String,
    /// The name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<String>,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// Attributes, as policies see them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub attributes: BTreeMap<String, Value>,
    /// How the issuer authenticated the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assurance: Option<AssuranceView>,
    /// Which login; absent for the administrator's token and service keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// When the issuer last confirmed it, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<u64>,
    /// The end, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
    /// Seconds within which it has to be confirmed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck_s: Option<u64>,
}

/// `POST /credentials`: a credential for one target, from the caller's login or service key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialRequest {
    /// The only target that it opens.
    #[schema(value_type = String)]
    pub target: TargetName,
    /// How long it is valid, in seconds; at most a day, and never beyond the login's own end.
    pub ttl_s: u64,
    /// HL7 PurposeOfUse code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The software that will use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Only these relations, each as `schema.name`, or as `schema.name(column, column)` for some of its columns; empty: all
    /// that policy permits.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<String>,
    /// Only these verbs; empty: all that policy permits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub verbs: Vec<Verb>,
    /// At most this many rows a statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// The answer to `POST /credentials`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct CredentialView {
    /// Which credential, as sessions and entries name it.
    pub credential: String,
    /// Where PostgreSQL clients connect; absent where the gateway listens on every address: then it is the host by which
    /// this API was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// Goes where a database's name goes.
    pub database: String,
    /// Goes where a user name goes.
    pub user: String,
    /// Goes where a password goes: a secret.
    pub password: String,
    /// `verify-full` where the gateway has a certificate, `disable` where it speaks in clear on loopback.
    pub sslmode: String,
    /// Void from, in seconds since the Unix epoch.
    pub not_after: u64,
}

impl std::fmt::Debug for CredentialView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialView").field("credential", &self.credential).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let request = LoginRequest {
            issuer: Some("org".to_owned()),
            id_token: Some("s3cret".to_owned()),
            access_token: Some("s3cret".to_owned()),
        };
        assert!(!format!("{request:?}").contains("s3cret"));
        let made = serde_json::json!({"credential": "c", "port": 1, "database": "d", "user": "u",
            "password": "s3cret", "sslmode": "disable", "not_after": 1});
        let made: CredentialView = serde_json::from_value(made).unwrap();
        assert!(!format!("{made:?}").contains("s3cret"));
        let login = serde_json::json!({"login": "l", "token": "s3cret", "subject": "org/ana", "groups": [],
            "not_after": 1, "recheck_s": 300});
        let login: LoginView = serde_json::from_value(login).unwrap();
        assert!(!format!("{login:?}").contains("s3cret"));
    }
}
