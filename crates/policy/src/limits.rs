//! How much anybody may do at once, in a time, or with one statement: `limits.toml` of the policy folder. All rules that
//! match apply together and the tightest value wins, so that a rule can only take away.

use chaperone_access::{Delegation, TargetName};
use serde::Deserialize;
use toml::Spanned;

use crate::load::{Diagnostic, Known, Warning, diagnostic};

/// The file's name in the policy folder.
pub const LIMITS_FILE: &str = "limits.toml";

/// Most rules that the file may have.
const RULES_MAX: usize = 1024;

/// What an admitted caller may not go beyond. `None` is no limit of policy's; the installation's own remain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Limits {
    /// Result and copied bytes in a sliding hour, of one subject, all its sessions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_hour: Option<u64>,
    /// Result and copied bytes of one statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_statement: Option<u64>,
    /// Seconds without a statement after which the session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u64>,
    /// Rows in a sliding hour, of one subject, all its sessions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_hour: Option<u64>,
    /// Rows of one statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_statement: Option<u64>,
    /// Seconds after which the session ends, busy or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_s: Option<u64>,
    /// Sessions of one subject at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// Statements in a minute, of one subject, all its sessions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statements_per_minute: Option<u64>,
}

fn tightest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        bytes_per_hour: None,
        bytes_per_statement: None,
        idle_s: None,
        rows_per_hour: None,
        rows_per_statement: None,
        session_s: None,
        sessions: None,
        statements_per_minute: None,
    };

    /// Both together: of each kind the smaller value.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            bytes_per_hour: tightest(self.bytes_per_hour, other.bytes_per_hour),
            bytes_per_statement: tightest(self.bytes_per_statement, other.bytes_per_statement),
            idle_s: tightest(self.idle_s, other.idle_s),
            rows_per_hour: tightest(self.rows_per_hour, other.rows_per_hour),
            rows_per_statement: tightest(self.rows_per_statement, other.rows_per_statement),
            session_s: tightest(self.session_s, other.session_s),
            sessions: tightest(self.sessions, other.sessions),
            statements_per_minute: tightest(self.statements_per_minute, other.statements_per_minute),
        }
    }

    /// Every kind by its word in the file, with its value where there is one; sorted by the word.
    #[must_use]
    pub fn each(&self) -> [(&'static str, Option<u64>); 8] {
        [
            ("bytes_per_hour", self.bytes_per_hour),
            ("bytes_per_statement", self.bytes_per_statement),
            ("idle_s", self.idle_s),
            ("rows_per_hour", self.rows_per_hour),
            ("rows_per_statement", self.rows_per_statement),
            ("session_s", self.session_s),
            ("sessions", self.sessions),
            ("statements_per_minute", self.statements_per_minute),
        ]
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

/// One `[[limit]]`: whom it is about, and how much they may. Every selector that is there has to match.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    group: Option<String>,
    subject: Option<String>,
    client: Option<String>,
    target: Option<TargetName>,
    sessions: Option<u64>,
    statements_per_minute: Option<u64>,
    rows_per_statement: Option<u64>,
    bytes_per_statement: Option<u64>,
    rows_per_hour: Option<u64>,
    bytes_per_hour: Option<u64>,
    idle_s: Option<u64>,
    session_s: Option<u64>,
}

impl Written {
    fn limits(&self) -> Limits {
        Limits {
            bytes_per_hour: self.bytes_per_hour,
            bytes_per_statement: self.bytes_per_statement,
            idle_s: self.idle_s,
            rows_per_hour: self.rows_per_hour,
            rows_per_statement: self.rows_per_statement,
            session_s: self.session_s,
            sessions: self.sessions,
            statements_per_minute: self.statements_per_minute,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    limit: Vec<Spanned<Written>>,
}

/// The rules of one set, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct LimitRules {
    rules: Vec<Spanned<Written>>,
}

impl LimitRules {
    /// Parse the file.
    pub(crate) fn parse(file: &(String, String)) -> Result<Self, Vec<Diagnostic>> {
        let parsed: File = toml::from_str(&file.1).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            vec![diagnostic(file, offset, error.message().replace('\n', " "), None)]
        })?;
        if parsed.limit.len() > RULES_MAX {
            let message = format!("more than {RULES_MAX} limits");
            return Err(vec![diagnostic(file, 0, message, Some("put people into groups".to_owned()))]);
        }
        Ok(Self { rules: parsed.limit })
    }

    /// Check the names: a limit on what does not exist would limit nobody, so that is an error as in a `forbid`.
    pub(crate) fn check(&self, file: &(String, String), known: &Known) -> (Vec<Diagnostic>, Vec<Warning>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for rule in &self.rules {
            let at = rule.span().start;
            let rule = rule.get_ref();
            let mut error = |message: String, hint: &str| {
                errors.push(diagnostic(file, at, message, Some(hint.to_owned())));
            };
            for (what, name) in [("group", &rule.group), ("subject", &rule.subject)] {
                if let Some(name) = name.as_deref().filter(|name| !name.contains('/')) {
                    error(format!("`{name}` is not the name of a {what}"), "it is named `issuer/name`");
                }
            }
            if let Some(target) = rule.target.as_ref().filter(|target| !known.targets.contains(*target)) {
                error(format!("`{target}` names a target that is not configured"), "see gateway.toml");
            }
            if rule.limits().is_none() {
                error(
                    "this limit limits nothing".to_owned(),
                    "give it one value at least, such as `sessions = 4`",
                );
            }
            if rule.limits().each().iter().any(|(_, value)| *value == Some(0)) {
                error("a limit of 0".to_owned(), "write a `forbid` to refuse, or place a lock");
            }
            if let Some(client) = rule.client.as_ref().filter(|client| known.clients.get(client).is_none()) {
                let hint = format!("register it: `[clients.{client}]` in gateway.toml");
                warnings.push(diagnostic(
                    file,
                    at,
                    format!("client `{client}` is not registered"),
                    Some(hint),
                ));
            }
        }
        (errors, warnings)
    }

    /// What holds for somebody at a target.
    pub(crate) fn of(&self, delegation: &Delegation, target: &TargetName) -> Limits {
        let issuer = &delegation.subject.issuer;
        let matches = |rule: &Written| {
            let within = |name: &str| {
                let (of, group) = name.split_once('/').unwrap_or(("", name));
                of == issuer && delegation.groups.contains(group)
            };
            let is = |name: &str| {
                let (of, sub) = name.split_once('/').unwrap_or(("", name));
                of == issuer && sub == delegation.subject.sub
            };
            rule.group.as_deref().is_none_or(within)
                && rule.subject.as_deref().is_none_or(is)
                && rule.client.as_deref().is_none_or(|name| delegation.client.as_deref() == Some(name))
                && rule.target.as_ref().is_none_or(|name| name == target)
        };
        let applying = self.rules.iter().map(Spanned::get_ref).filter(|rule| matches(rule));
        applying.fold(Limits::NONE, |limits, rule| limits.and(rule.limits()))
    }

    /// What the rules select by.
    pub(crate) fn named(&self) -> Named<'_> {
        let rules = || self.rules.iter().map(Spanned::get_ref);
        Named {
            groups: rules().filter_map(|rule| rule.group.as_deref()).collect(),
            subjects: rules().filter_map(|rule| rule.subject.as_deref()).collect(),
            clients: rules().filter_map(|rule| rule.client.as_deref()).collect(),
        }
    }
}

/// Names in the rules of one set.
pub(crate) struct Named<'a> {
    pub(crate) groups: Vec<&'a str>,
    pub(crate) subjects: Vec<&'a str>,
    pub(crate) clients: Vec<&'a str>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decide::tests::delegation;

    fn file(text: &str) -> (String, String) {
        (LIMITS_FILE.to_owned(), text.to_owned())
    }

    fn known() -> Known {
        Known { targets: BTreeSet::from([TargetName::new("ehr").unwrap()]), ..Known::default() }
    }

    const TEXT: &str = r#"
[[limit]]
rows_per_statement = 10_000
session_s = 28_800
[[limit]]
group = "dev/nurses"
target = "ehr"
rows_per_statement = 500
[[limit]]
group = "dev/nurses"
client = "claude"
rows_per_statement = 50
sessions = 2
[[limit]]
subject = "dev/ana"
rows_per_statement = 2_000
idle_s = 60
"#;

    #[test]
    fn every_rule_that_matches_applies_and_the_tightest_wins() {
        let rules = LimitRules::parse(&file(TEXT)).unwrap();
        let (ehr, lab) = (TargetName::new("ehr").unwrap(), TargetName::new("lab").unwrap());
        let rows = |who, target: &TargetName| rules.of(&who, target).rows_per_statement;
        assert_eq!(rows(delegation("eve", &[], None), &ehr), Some(10_000));
        assert_eq!(rows(delegation("bea", &["nurses"], None), &ehr), Some(500));
        assert_eq!(rows(delegation("bea", &["nurses"], None), &lab), Some(10_000));
        assert_eq!(rows(delegation("bea", &["nurses"], Some("claude")), &lab), Some(50));
        let ana = rules.of(&delegation("ana", &["nurses"], None), &ehr);
        assert_eq!((ana.rows_per_statement, ana.idle_s, ana.session_s), (Some(500), Some(60), Some(28_800)));
        assert_eq!(ana.sessions, None);
        let mut other = delegation("ana", &["nurses"], None);
        other.subject.issuer = "other".into();
        assert_eq!(rows(other, &ehr), Some(10_000));
    }

    #[test]
    fn more_rules_never_allow_more() {
        let all = LimitRules::parse(&file(TEXT)).unwrap();
        let fewer = LimitRules::parse(&file(TEXT.split("[[limit]]\nsubject").next().unwrap())).unwrap();
        let who = delegation("ana", &["nurses"], Some("claude"));
        let ehr = TargetName::new("ehr").unwrap();
        let (more, less) = (all.of(&who, &ehr), fewer.of(&who, &ehr));
        assert_eq!(more, more.and(less));
    }

    #[test]
    fn what_cannot_be_a_limit_says_where() {
        let cases = [
            ("[[limit]]\nrows = 4\n", 2, "rows"),
            ("\n[[limit]]\ntarget = \"ehr\"\n", 2, "nothing"),
            ("[[limit]]\nsessions = 0\n", 1, "of 0"),
            ("[[limit]]\nsessions = 1\n[[limit]]\ntarget = \"her\"\nidle_s = 1\n", 3, "her"),
            ("[[limit]]\ngroup = \"nurses\"\nidle_s = 1\n", 1, "nurses"),
            ("[[limit]]\nidle_s = -1\n", 2, ""),
            ("[[limit]\n", 1, ""),
        ];
        for (text, line, word) in cases {
            let file = file(text);
            let errors = match LimitRules::parse(&file) {
                Ok(rules) => rules.check(&file, &known()).0,
                Err(errors) => errors,
            };
            let first = errors.first().unwrap_or_else(|| panic!("{text} passed"));
            assert!(first.message.contains(word), "{text}: {first}");
            assert_eq!(first.line, line, "{text}: {first}");
        }
    }

    #[test]
    fn an_unregistered_client_is_warned_about() {
        let file = file("[[limit]]\nclient = \"claude\"\nidle_s = 1\n");
        let (errors, warnings) = LimitRules::parse(&file).unwrap().check(&file, &known());
        assert_eq!((errors.len(), warnings.len()), (0, 1));
    }
}
