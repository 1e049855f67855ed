use std::collections::BTreeSet;

use chaperone_access::{Subject, Verb};
use proptest::prelude::*;

use super::*;
use crate::decide::tests::{NOW, known};

const PRINCIPALS: [&str; 8] = [
    "principal",
    "principal is Person",
    "principal is Service",
    "principal == Person::\"dev/ana\"",
    "principal == Service::\"dev/ana\"",
    "principal in Group::\"dev/a\"",
    "principal in Group::\"dev/b\"",
    "principal is Person in Group::\"dev/a\"",
];
const ACTIONS: [&str; 6] = [
    "action",
    "action == Action::\"read\"",
    "action in [Action::\"read\", Action::\"update\"]",
    "action in Action::\"administer\"",
    "action == Action::\"administer\"",
    "action in [Action::\"connect\", Action::\"lock\"]",
];
const RESOURCES: [&str; 8] = [
    "resource",
    "resource is Relation",
    "resource == Target::\"ehr\"",
    "resource in Target::\"ehr\"",
    "resource == Relation::\"ehr/public.patients\"",
    "resource in Relation::\"ehr/public.patients\"",
    "resource is Relation in Target::\"ehr\"",
    "resource == Installation::\"gw\"",
];
const CONDITIONS: [&str; 4] =
    ["", "when { context.approved }", "when { context has client }", "unless { context.registered }"];

fn policies() -> impl Strategy<Value = Vec<String>> {
    let one = (any::<bool>(), 0..PRINCIPALS.len(), 0..ACTIONS.len(), 0..RESOURCES.len(), 0..CONDITIONS.len());
    let text = |(permit, principal, action, resource, condition): (bool, usize, usize, usize, usize)| {
        let effect = if permit { "permit" } else { "forbid" };
        let (principal, action) = (PRINCIPALS[principal], ACTIONS[action]);
        format!("{effect} ({principal}, {action}, {}) {};\n", RESOURCES[resource], CONDITIONS[condition])
    };
    proptest::collection::vec(one.prop_map(text), 0..16)
}

fn delegations() -> impl Strategy<Value = Delegation> {
    let groups = proptest::collection::btree_set(prop_oneof!["a", "b", "c"], 0..3);
    (any::<bool>(), prop_oneof!["ana", "eve"], prop_oneof!["dev", "other"], groups, any::<bool>()).prop_map(
        |(service, sub, issuer, groups, client): (bool, String, String, BTreeSet<String>, bool)| {
            let kind = if service { SubjectKind::Service } else { SubjectKind::Person };
            let client = client.then(|| Arc::from("claude"));
            Delegation { client, ..Delegation::of(Subject { issuer, kind, sub }, groups) }
        },
    )
}

/// Everything that can be asked.
fn queries(asked: &Asked<'_>) -> Vec<Query> {
    let ehr = TargetName::new("ehr").unwrap();
    let (patients, part) =
        (RelationName::new("public", "patients"), RelationName::new("public", "patients_2026"));
    let (none, parents) = (Vec::new(), vec![patients.clone()]);
    let mut queries = vec![asked.connect(&ehr), asked.connect(&TargetName::new("lab").unwrap())];
    for verb in Verb::ALL {
        for approved in [false, true] {
            queries.push(asked.verb(verb, &ehr, None, approved));
            queries.push(asked.verb(verb, &ehr, Some((&patients, &none)), approved));
            queries.push(asked.verb(verb, &ehr, Some((&part, &parents)), approved));
        }
    }
    queries.extend(ManagementAction::ALL.map(|action| asked.manage(action, "gw")));
    queries
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is left out before Cedar is asked never changes its answer.
    #[test]
    fn a_sliced_set_answers_as_the_whole_does(texts in policies(), delegation in delegations()) {
        let load = |text: &str| PolicySet::load(&[("a.cedar".to_owned(), text.to_owned())], &known());
        // Without those that cannot be in force at all: a forbid that can never apply, say.
        let text: String = texts.into_iter().filter(|text| load(text).is_ok()).collect();
        let set = load(&text).unwrap().0;
        let who = set.who(&delegation);
        let asked = Asked::new(&set, &delegation, &who, NOW, NOW);
        let mut whole = cedar_policy::PolicySet::new();
        for rule in &set.rules {
            whole.add(rule.policy.clone()).unwrap();
        }
        for query in queries(&asked) {
            let full = asked.evaluate(&whole, &query).unwrap();
            let allowed = full.decision() == cedar_policy::Decision::Allow;
            let answer = asked.ask(&query);
            prop_assert_eq!(answer.allowed, allowed, "{} {:?}", text, query.action);
            prop_assert_eq!(answer.policies.len(), full.diagnostics().reason().count());
        }
    }
}
