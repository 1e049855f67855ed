//! What a server of others may ask its client for while a call of its tool is under way.

use cedar_policy::Effect;
use chaperone_access::{Delegation, Refusal, RefusalCode, TargetName};

use crate::admission::Policies;
use crate::ask::Asked;
use crate::load::PolicySet;
use crate::slice::action_fits;

/// What a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Asking {
    /// A person's words, or that he visits an address.
    Elicit,
    /// A model's words.
    Sample,
    /// Which files the client works on.
    ListRoots,
}

impl Asking {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Elicit, Self::Sample, Self::ListRoots];

    /// The word in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Elicit => "elicit",
            Self::Sample => "sample",
            Self::ListRoots => "listRoots",
        }
    }
}

impl PolicySet {
    /// Whether some policy permits somebody's servers to ask for it.
    pub(crate) fn is_about_asking(&self, asking: Asking) -> bool {
        let action = self.kinds.action(asking.as_str());
        let permits = |rule: &&crate::load::Rule| rule.scope.effect == Effect::Permit;
        self.rules.iter().filter(permits).any(|rule| action_fits(&rule.scope, &action, None))
    }
}

impl Policies {
    /// Whether any policy permits any server to ask for it: otherwise no server need know that it could be asked for.
    #[must_use]
    pub fn is_about_asking(&self, asking: Asking) -> bool {
        self.now().is_about_asking(asking)
    }

    /// Whether a tool that somebody called may ask his client for something now.
    ///
    /// # Errors
    /// It may not; the words for the server.
    pub fn may_ask(
        &self,
        delegation: &Delegation,
        server: &TargetName,
        tool: &str,
        asking: Asking,
        now_us: u64,
    ) -> Result<(), Refusal> {
        let set = self.now();
        let who = set.who(delegation);
        let asked = Asked::new(&set, delegation, &who, now_us, now_us);
        if asked.ask(&asked.asks(asking, server, tool)).allowed {
            return Ok(());
        }
        let what = format!("`{server}/{tool}` has no permission to `{}`", asking.as_str());
        Err(Refusal::new(RefusalCode::NotPermitted, what).hint(
            "take what you need as arguments, or ask an administrator of the gateway for this permission",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::decide::tests::{NOW, delegation, known};
    use crate::{Expectations, OfTarget, Ruling, World, compare, explain, matrix};

    fn load(text: &str) -> PolicySet {
        let files = [("a.cedar".to_owned(), text.to_owned())];
        PolicySet::load(&files, &known()).unwrap_or_else(|errors| panic!("{errors:?}")).0
    }

    fn ehr() -> TargetName {
        TargetName::new("ehr").unwrap()
    }

    #[test]
    fn what_a_tool_may_ask_for_is_permitted_by_itself() {
        let text = r#"
    @id("connect")
    permit (principal in Group::"dev/a", action in [Action::"connect", Action::"invoke"], resource in Target::"ehr");
    @id("asks")
    permit (principal in Group::"dev/a", action in [Action::"elicit", Action::"sample"], resource == Tool::"ehr/book");
    @id("not-by-psql")
    forbid (principal, action == Action::"sample", resource in Target::"ehr")
    when { context has client && context.client == "psql" };
    "#;
        let (set, policies) = (load(text), Policies::new(load(text)));
        let may = |tool: &str, asking: Asking, client: Option<&str>| {
            policies.may_ask(&delegation("ana", &["a"], client), &ehr(), tool, asking, NOW).is_ok()
        };
        for (tool, asking, client, expected) in [
            ("book", Asking::Elicit, None, true),
            ("book", Asking::Sample, None, true),
            ("book", Asking::Sample, Some("psql"), false),
            ("book", Asking::ListRoots, None, false),
            // That it may be called is no leave to ask.
            ("other", Asking::Elicit, None, false),
        ] {
            assert_eq!(may(tool, asking, client), expected, "{tool} {asking:?} {client:?}");
        }
        assert!(policies.is_about_asking(Asking::Sample) && !policies.is_about_asking(Asking::ListRoots));
        let tools = Some(BTreeSet::from(["book".to_owned(), "other".to_owned()]));
        let world = World {
            installation: "gw".into(),
            targets: BTreeMap::from([(ehr(), OfTarget { tools, ..OfTarget::default() })]),
        };
        let text = matrix(&set, &world, NOW);
        assert!(text.contains("ehr: its tools may ask  elicit:book sample:book\n"), "{text}");
        let explained = explain(&set, &delegation("ana", &["a"], None), &ehr(), &world, None, NOW);
        let found = |action: &str, on: &str| {
            let found = explained.tools.iter().find(|found| found.action == action && found.on == on);
            found.map(|found| found.ruling)
        };
        assert_eq!(found("elicit", "ehr/book"), Some(Ruling::Allow));
        assert_eq!(found("elicit", "ehr/other"), Some(Ruling::Refuse));
        assert_eq!(found("listRoots", "ehr/book"), None);
        // Whoever gains by a change is told, and tests can hold a policy to it.
        let less = load(
            "@id(\"x\") permit (principal in Group::\"dev/a\", action == Action::\"connect\", resource in Target::\"ehr\");",
        );
        let difference = format!("{:?}", compare(&less, &set, &world, &[], NOW));
        assert!(difference.contains("elicit") && difference.contains("ehr/book"), "{difference}");
        let test = |tool: &str, expect: &str| {
            let text = format!(
                "[[test]]\nas = \"dev/ana\"\ngroups = [\"a\"]\ntarget = \"ehr\"\naction = \"elicit\"\n{tool}expect = \"{expect}\"\n"
            );
            Expectations::parse(&("tests.toml".to_owned(), text))
        };
        for (expect, unmet) in [("allow", 0), ("refuse", 1)] {
            let tests = test("tool = \"book\"\n", expect).unwrap();
            assert_eq!(tests.unmet(&set, &world, NOW, |_, _| Err(String::new())).len(), unmet);
        }
        assert!(test("", "allow").is_err());
    }
}
