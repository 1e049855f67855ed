//! `[issuers.*]` and `[attributes]`: who vouches for people and programs, and what of that policies may read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chaperone_access::{AttributeKind, SERVER_ISSUER, TargetName};
use chaperone_identity::{ClaimNames, Issuer, LOCAL_ISSUER, SignatureAlgorithm, Terms, Vouches, Workload};
use chaperone_vault::SecretSource;
use serde::Deserialize;

/// The claim names that are no attributes.
const GROUPS: &str = "groups";
const DISPLAY: &str = "display";
const CLIENT: &str = "client";
/// Names that policies already have for something else.
const TAKEN: [&str; 7] = [GROUPS, DISPLAY, CLIENT, "issuer", "subject", "kind", "owner"];
/// Longest time that a login may go without its issuer being heard, in seconds: a day.
const RECHECK_S_MAX: u64 = 24 * 3600;
/// Longest life of a login, in seconds: a month.
const LOGIN_S_MAX: u64 = 31 * 24 * 3600;

/// Whom an issuer vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IssuerKind {
    #[default]
    People,
    Workloads,
}

/// One issuer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerSection {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) kind: IssuerKind,
    pub(crate) client_id: Option<String>,
    #[serde(default = "scopes")]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) audiences: BTreeSet<String>,
    #[serde(default)]
    pub(crate) access_audiences: BTreeSet<String>,
    #[serde(default)]
    pub(crate) mcp_audiences: BTreeSet<String>,
    #[serde(default = "algorithms")]
    pub(crate) algorithms: BTreeSet<SignatureAlgorithm>,
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) acr: Vec<String>,
    #[serde(default)]
    pub(crate) amr: BTreeSet<String>,
    pub(crate) authentication_s_max: Option<u64>,
    #[serde(default = "recheck_s_max")]
    pub(crate) recheck_s_max: u64,
    #[serde(default = "login_s_max")]
    pub(crate) login_s_max: u64,
    #[serde(default = "keys_kept_s_max")]
    pub(crate) keys_kept_s_max: u64,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) introspection: Option<Introspection>,
    #[serde(default)]
    pub(crate) workloads: Vec<WorkloadSection>,
}

/// The client that the gateway is at an issuer, for asking about tokens (RFC 7662).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Introspection {
    pub(crate) client_id: String,
    pub(crate) secret: SecretSource,
}

/// Which subjects of a workload issuer are which service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadSection {
    pub(crate) subject: String,
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) groups: BTreeSet<String>,
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "groups", "offline_access"].map(str::to_owned).to_vec()
}
fn algorithms() -> BTreeSet<SignatureAlgorithm> {
    SignatureAlgorithm::ALL.into_iter().collect()
}
fn recheck_s_max() -> u64 {
    300
}
fn login_s_max() -> u64 {
    12 * 3600
}
fn keys_kept_s_max() -> u64 {
    24 * 3600
}

/// What an issuer's alias and an attribute's name have to be: a word that policies can write.
fn is_word(text: &str) -> bool {
    TargetName::new(text).is_ok()
}

/// Check the declared attributes.
///
/// # Errors
/// What has to be changed.
pub(crate) fn check_attributes(declared: &BTreeMap<String, AttributeKind>) -> Result<(), String> {
    let wrong = declared.keys().find(|name| !is_word(name) || TAKEN.contains(&name.as_str()));
    wrong.map_or(Ok(()), |name| {
        Err(format!(
            "`attributes.{name}` cannot be an attribute (hint: a-z, 0-9, `-` and `_`, beginning with a letter, and none of {})",
            TAKEN.join(", ")
        ))
    })
}

impl IssuerSection {
    /// What its tokens have to be.
    ///
    /// # Errors
    /// What has to be changed.
    pub(crate) fn issuer(
        &self,
        alias: &str,
        attributes: &BTreeMap<String, AttributeKind>,
    ) -> Result<Issuer, String> {
        let wrong = |what: &str| Err(format!("`issuers.{alias}`: {what}"));
        if !is_word(alias) || [LOCAL_ISSUER, SERVER_ISSUER].contains(&alias) {
            return wrong(
                "its name is a-z, 0-9, `-` and `_`, beginning with a letter, and neither `local` nor `server`",
            );
        }
        let mut audiences = self.audiences.clone();
        audiences.extend(self.client_id.clone());
        let workloads = match self.kind {
            IssuerKind::People if !self.workloads.is_empty() => {
                return wrong("`workloads` is for `kind = \"workloads\"`");
            }
            IssuerKind::People if self.client_id.is_none() => {
                return wrong("`client_id` is missing: the public client that people log in with");
            }
            IssuerKind::Workloads if self.workloads.is_empty() => {
                return wrong("`workloads` says which subjects are which service; without it nobody is one");
            }
            IssuerKind::Workloads
                if self.introspection.is_some() || !self.acr.is_empty() || !self.amr.is_empty() =>
            {
                return wrong("`introspection`, `acr` and `amr` are for people");
            }
            IssuerKind::People | IssuerKind::Workloads => &self.workloads,
        };
        if audiences.is_empty() {
            return wrong("`audiences` is missing: whom its tokens are for");
        }
        if self.algorithms.is_empty() {
            return wrong("`algorithms` names none");
        }
        if self.recheck_s_max == 0 || self.recheck_s_max > RECHECK_S_MAX {
            return wrong("`recheck_s_max` is 1 to 86400");
        }
        if self.login_s_max == 0 || self.login_s_max > LOGIN_S_MAX {
            return wrong("`login_s_max` is 1 to 2678400");
        }
        if let Some(bad) = workloads.iter().find(|workload| !is_word(&workload.service)) {
            return wrong(&format!("`{}` is no name of a service", bad.service));
        }
        let undeclared = self.claims.keys().find(|name| {
            !attributes.contains_key(*name) && ![GROUPS, DISPLAY, CLIENT].contains(&name.as_str())
        });
        if let Some(name) = undeclared {
            return wrong(&format!(
                "`claims.{name}` is not declared (hint: `{name} = \"texts\"` in `[attributes]`)"
            ));
        }
        Ok(Issuer {
            alias: alias.to_owned(),
            identifier: self.url.clone(),
            vouches: self.vouches(),
            audiences,
            access_audiences: self.access_audiences.clone(),
            resource_audiences: self.mcp_audiences.clone(),
            algorithms: self.algorithms.clone(),
            claims: self.claim_names(),
            attributes: attributes.clone(),
            acr: self.acr.iter().cloned().collect(),
            amr: self.amr.clone(),
            authentication_s_max: self.authentication_s_max,
        })
    }

    fn vouches(&self) -> Vouches {
        match self.kind {
            IssuerKind::People => Vouches::People,
            IssuerKind::Workloads => {
                let workload = |section: &WorkloadSection| Workload {
                    subject: section.subject.clone(),
                    service: section.service.clone(),
                    groups: section.groups.clone(),
                };
                Vouches::Workloads(self.workloads.iter().map(workload).collect())
            }
        }
    }

    /// People have groups and a name by the usual claims, unless told otherwise; an empty text is none.
    fn claim_names(&self) -> ClaimNames {
        let mut attributes = self.claims.clone();
        let mut usual = |name: &str, claim: &str| {
            let told = attributes.remove(name);
            let usual = (self.kind == IssuerKind::People).then(|| claim.to_owned());
            told.or(usual).filter(|claim| !claim.is_empty())
        };
        let (groups, display) = (usual(GROUPS, "groups"), usual(DISPLAY, "name"));
        let client = attributes.remove(CLIENT).filter(|claim| !claim.is_empty());
        ClaimNames { groups, display, client, attributes }
    }

    /// How long its logins hold.
    pub(crate) fn terms(&self) -> Terms {
        let recheck_s_max = (self.kind == IssuerKind::People).then_some(self.recheck_s_max);
        Terms { recheck_s_max, login_s_max: self.login_s_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Result<Issuer, String> {
        let section: IssuerSection = toml::from_str(text).unwrap();
        let attributes = BTreeMap::from([("clinics".to_owned(), AttributeKind::Texts)]);
        section.issuer("org", &attributes)
    }

    #[test]
    fn an_issuer_that_could_vouch_for_nobody_or_anybody_is_refused() {
        let url = "url = \"https://id.example\"\n";
        let people =
            issuer(&format!("{url}client_id = \"cli\"\nclaims = {{ clinics = \"c\", display = \"\" }}"))
                .unwrap();
        assert_eq!(people.audiences, BTreeSet::from(["cli".to_owned()]));
        assert_eq!((people.claims.groups.as_deref(), people.claims.display), (Some("groups"), None));
        assert!(people.algorithms.contains(&SignatureAlgorithm::ES256));
        let cluster = "kind = \"workloads\"\naudiences = [\"chaperone\"]\n";
        let etl = "workloads = [{ subject = \"system:*\", service = \"etl\" }]\n";
        assert_eq!(issuer(&format!("{url}{cluster}{etl}")).unwrap().claims.groups, None);
        for (text, word) in [
            (url.to_owned(), "client_id"),
            (format!("{url}client_id = \"cli\"\n{etl}"), "workloads"),
            (format!("{url}{cluster}"), "workloads"),
            (format!("{url}kind = \"workloads\"\n{etl}"), "audiences"),
            (format!("{url}{cluster}{etl}acr = [\"mfa\"]"), "acr"),
            (format!("{url}client_id = \"cli\"\nalgorithms = []"), "algorithms"),
            (format!("{url}client_id = \"cli\"\nrecheck_s_max = 0"), "recheck_s_max"),
            (format!("{url}client_id = \"cli\"\nlogin_s_max = 99999999"), "login_s_max"),
            (format!("{url}client_id = \"cli\"\nclaims = {{ clinic = \"c\" }}"), "attributes"),
        ] {
            let why = issuer(&text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
        for unknown in ["algorithms = [\"HS256\"]", "algorithms = [\"none\"]", "kind = \"robots\"", "x = 1"] {
            assert!(toml::from_str::<IssuerSection>(&format!("{url}{unknown}")).is_err(), "{unknown}");
        }
        let section: IssuerSection = toml::from_str(&format!("{url}client_id = \"cli\"")).unwrap();
        for alias in ["local", "server", "Org", "a/b", ""] {
            assert!(section.issuer(alias, &BTreeMap::new()).is_err(), "{alias}");
        }
        for name in ["groups", "Clinics", ""] {
            let declared = BTreeMap::from([(name.to_owned(), AttributeKind::Bool)]);
            assert!(check_attributes(&declared).is_err(), "{name}");
        }
    }
}
