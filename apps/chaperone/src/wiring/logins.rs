//! As whom a subject's sessions are at a target: which of the agent's logins, and which role it takes on. Only names
//! are chosen here; what they stand for is the agent's.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{Refusal, RefusalCode, Subject, TargetName};
use chaperone_tunnel::{As, RoleName};

use crate::config::gateway::{LoginRule, RoleRule};

/// The rules of every target.
#[derive(Debug)]
pub(crate) struct DatabaseLogins {
    rules: BTreeMap<TargetName, Vec<LoginRule>>,
}

impl DatabaseLogins {
    pub(crate) fn new(rules: impl Iterator<Item = (TargetName, Vec<LoginRule>)>) -> Self {
        Self { rules: rules.collect() }
    }

    /// The first rule that fits, else the target's default login.
    pub(crate) fn of(
        &self,
        subject: &Subject,
        groups: &BTreeSet<String>,
        target: &TargetName,
    ) -> Result<As, Refusal> {
        let rules = self.rules.get(target).map(Vec::as_slice).unwrap_or_default();
        let Some(rule) = rules.iter().find(|rule| fits(rule, subject, groups)) else {
            return Ok(As::default());
        };
        let role = match rule.role {
            Some(RoleRule::Subject) => Some(role_of(subject)?),
            None => None,
        };
        Ok(As { login: Some(rule.login.clone()), role })
    }
}

fn fits(rule: &LoginRule, subject: &Subject, groups: &BTreeSet<String>) -> bool {
    let within = |group: &String| {
        let (issuer, name) = group.split_once('/').unwrap_or(("", group));
        issuer == subject.issuer && groups.contains(name)
    };
    rule.groups.is_empty() || rule.groups.iter().any(within)
}

/// Two subjects never have one role: an issuer's short name has no `/` in it.
fn role_of(subject: &Subject) -> Result<RoleName, Refusal> {
    RoleName::new(&format!("{}/{}", subject.issuer, subject.sub)).map_err(|_| {
        Refusal::new(RefusalCode::TargetUnavailable, "your name cannot be that of a database role")
            .hint("ask an administrator: such a name has at most 63 bytes and no control characters")
    })
}

#[cfg(test)]
mod tests {
    use chaperone_access::SubjectKind;

    use super::*;

    fn who(issuer: &str, sub: &str, groups: &[&str]) -> (Subject, BTreeSet<String>) {
        let subject = Subject { issuer: issuer.into(), kind: SubjectKind::Person, sub: sub.into() };
        (subject, groups.iter().map(|group| (*group).to_owned()).collect())
    }

    #[test]
    fn the_first_rule_that_fits_says_who_somebody_is_there() {
        #[derive(serde::Deserialize)]
        struct File {
            logins: Vec<LoginRule>,
        }
        let file: File = toml::from_str(
            "[[logins]]\nlogin = \"billing\"\ngroups = [\"dev/billing\", \"dev/audit\"]\n\
             [[logins]]\nlogin = \"people\"\ngroups = [\"dev/nurses\"]\nrole = \"subject\"\n",
        )
        .unwrap();
        let ehr = TargetName::new("ehr").unwrap();
        let logins = DatabaseLogins::new(std::iter::once((ehr.clone(), file.logins)));
        let asked = |(subject, groups)| {
            let to = logins.of(&subject, &groups, &ehr).ok()?;
            Some((to.login.map(String::from), to.role.map(String::from)))
        };
        let named = |login: &str, role: Option<&str>| Some((Some(login.into()), role.map(str::to_owned)));
        assert_eq!(asked(who("dev", "ben", &["audit", "nurses"])), named("billing", None));
        assert_eq!(asked(who("dev", "ana", &["nurses"])), named("people", Some("dev/ana")));
        assert_eq!(asked(who("other", "ana", &["nurses"])), Some((None, None)));
        assert_eq!(asked(who("dev", &"a".repeat(60), &["nurses"])), None);
        let (ana, groups) = who("dev", "ana", &["nurses"]);
        assert_eq!(logins.of(&ana, &groups, &TargetName::new("lab").unwrap()), Ok(As::default()));
    }
}
