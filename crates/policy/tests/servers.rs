//! What may be had of a server beside its tools: what it lets read, and its prompts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own set-up may fail it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::{Called, Delegation, RefusalCode, TargetName};
use chaperone_policy::{
    Expectations, Known, OfTarget, Policies, PolicySet, Profile, Ruling, TESTS_FILE, World, compare, explain,
    matrix,
};

/// In microseconds since the Unix epoch.
const NOW: u64 = 1_760_000_000_000_000;

const TEXT: &str = r#"
@id("connect") permit (principal in Group::"dev/nurses", action == Action::"connect", resource == Target::"notes");
@id("reads") permit (principal in Group::"dev/nurses", action == Action::"readResource", resource == Target::"notes");
@id("not-these") forbid (principal, action == Action::"readResource", resource == Target::"notes")
  when { context has uri && context.uri like "notes://closed/*" };
@id("one-prompt") permit (principal in Group::"dev/nurses", action == Action::"usePrompt", resource == Target::"notes")
  when { context has prompt && context.prompt == "summary" };
@id("dates") permit (principal in Group::"dev/nurses", action == Action::"reveal", resource in Tag::"phi.date");
@id("numbers-here") permit (principal in Group::"dev/nurses", action == Action::"reveal", resource in Target::"notes")
  when { context has uri && context.uri == "notes://numbers" };
"#;

fn notes() -> TargetName {
    TargetName::new("notes").unwrap()
}

fn known() -> Known {
    Known {
        installation: Some("gw".into()),
        targets: [notes(), TargetName::new("ehr").unwrap()].into(),
        servers: [notes()].into(),
        ..Known::default()
    }
}

fn load(text: &str) -> PolicySet {
    PolicySet::load(&[("a.cedar".to_owned(), text.to_owned())], &known()).unwrap().0
}

fn world() -> World {
    let of = OfTarget { tools: Some(BTreeSet::new()), is_server: true, ..OfTarget::default() };
    World { installation: "gw".into(), targets: BTreeMap::from([(notes(), of)]) }
}

fn who(set: &PolicySet, name: &str, group: &str) -> Delegation {
    let groups = BTreeSet::from([group.to_owned()]);
    Profile { who: format!("dev/{name}"), groups, ..Profile::default() }.delegation(set.clients()).unwrap()
}

fn resource(uri: &str) -> Called {
    Called::Resource(Some(Arc::from(uri)))
}

fn prompt(name: &str) -> Called {
    Called::Prompt(Some(Arc::from(name)))
}

#[test]
fn each_is_permitted_by_its_own_action_and_name() {
    let policies = Policies::new(load(TEXT));
    let ana = who(&load(TEXT), "ana", "nurses");
    let may =
        |called: &Called| policies.may_call(&ana, &notes(), called, NOW).map_err(|refusal| refusal.code);
    let not = Err(RefusalCode::NotPermitted);
    for (called, answer) in [
        (resource("notes://open/1"), Ok(())),
        (resource("notes://closed/1"), not),
        (Called::Resource(None), Ok(())),
        (prompt("summary"), Ok(())),
        (prompt("other"), not),
        (Called::Prompt(None), not),
        (Called::tool("notes://open/1"), not),
    ] {
        assert_eq!(may(&called), answer, "{called:?}");
    }
    let uris = ["notes://open/1", "notes://closed/1"];
    assert_eq!(policies.may_read(&ana, &notes(), &uris, NOW), [true, false]);
    // Whether there are any depends on the name: there may be.
    assert!(policies.may_some(&ana, &notes(), &Called::Prompt(None), NOW));
    assert!(policies.may_some(&ana, &notes(), &Called::Resource(None), NOW));
    let without = TEXT.replace("usePrompt", "readResource");
    assert!(!Policies::new(load(&without)).may_some(&ana, &notes(), &Called::Prompt(None), NOW));
    // Whoever may not be there may have nothing there.
    let eve = who(&load(TEXT), "eve", "others");
    assert!(!policies.may_some(&eve, &notes(), &Called::Resource(None), NOW));
    let nowhere = policies.may_call(&eve, &notes(), &resource("notes://open/1"), NOW).unwrap_err();
    assert_eq!(nowhere.code, RefusalCode::UndefinedTarget);
}

#[test]
fn what_stays_in_an_answer_is_asked_by_tag_and_by_what_is_called() {
    let policies = Policies::new(load(TEXT));
    let ana = who(&load(TEXT), "ana", "nurses");
    let stays = |called: &Called| policies.stays_in(&ana, &notes(), called, NOW);
    for called in [Called::tool("query"), resource("notes://open/1"), prompt("summary")] {
        assert_eq!(stays(&called), BTreeSet::from(["phi.age", "phi.date"]), "{called:?}");
    }
    assert!(stays(&resource("notes://numbers")).contains("phi.ssn"));
}

#[test]
fn whoever_explains_tests_or_compares_knows_of_them() {
    let set = load(TEXT);
    let text = matrix(&set, &world(), NOW);
    assert!(text.contains("notes: resources and prompts  (readResource) (usePrompt)\n"), "{text}");
    let explained = explain(&set, &who(&set, "ana", "nurses"), &notes(), &world(), None, NOW);
    let found: Vec<(&str, Ruling)> =
        explained.of_server.iter().map(|found| (found.action.as_str(), found.ruling)).collect();
    assert_eq!(found, [("readResource", Ruling::Allow), ("usePrompt", Ruling::Refuse)]);
    let less = TEXT.replace("Action::\"readResource\"", "Action::\"usePrompt\"").replace("uri", "prompt");
    let changes = format!("{:?}", compare(&set, &load(&less), &world(), &[], NOW));
    assert!(changes.contains("readResource"), "{changes}");

    let tests = r#"
[[test]]
as = "dev/ana"
groups = ["nurses"]
target = "notes"
action = "readResource"
uri = "notes://open/1"
expect = "allow"
[[test]]
as = "dev/ana"
groups = ["nurses"]
target = "notes"
action = "readResource"
uri = "notes://closed/1"
expect = "allow"
[[test]]
as = "dev/ana"
groups = ["nurses"]
target = "notes"
action = "usePrompt"
prompt = "summary"
expect = "allow"
"#;
    let expectations = Expectations::parse(&(TESTS_FILE.to_owned(), tests.to_owned())).unwrap();
    let unmet = expectations.unmet(&set, &world(), NOW, |_, _| Err(String::new()));
    assert_eq!(unmet.iter().map(|unmet| unmet.name.as_str()).collect::<Vec<_>>(), ["test 2"], "{unmet:?}");
}

#[test]
fn a_policy_about_what_only_servers_have_names_one() {
    let about = |effect: &str| {
        let text = format!(
            "@id(\"x\") {effect} (principal in Group::\"dev/a\", action == Action::\"usePrompt\", resource == Target::\"ehr\");"
        );
        PolicySet::load(&[("a.cedar".to_owned(), text)], &known())
    };
    let errors = format!("{:?}", about("forbid").unwrap_err());
    assert!(errors.contains("`ehr` is no server"), "{errors}");
    let warnings = format!("{:?}", about("permit").unwrap().1);
    assert!(warnings.contains("`ehr` is no server"), "{warnings}");
}
