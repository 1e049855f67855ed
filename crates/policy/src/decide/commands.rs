//! Declared commands: who may run one, and what stays in its output.

use chaperone_access::{Delegation, RefusalCode};
use chaperone_masking::Entity;

use super::tests::{NOW, analysis, delegation, load};
use super::*;

const TEXT: &str = r#"
@id("verbs") permit (principal in Group::"dev/engineers", action in [Action::"read", Action::"insert", Action::"update",
  Action::"delete", Action::"define", Action::"call"], resource in Target::"ehr");
@id("run") permit (principal in Group::"dev/nurses", action == Action::"invoke", resource in Target::"ehr");
@id("not-this") forbid (principal, action == Action::"invoke", resource == Tool::"ehr/query");
@id("by-day") permit (principal == Person::"dev/day", action == Action::"invoke", resource in Target::"ehr")
  when { context.time.toTime() >= duration("6h") };
@id("dates") permit (principal in Group::"dev/nurses", action == Action::"reveal", resource in Tag::"phi.date");
@id("all-of-one") permit (principal in Group::"dev/nurses", action == Action::"reveal", resource == Tool::"ehr/explain_access");
@id("never-numbers") forbid (principal, action == Action::"reveal", resource in Tag::"phi.ssn");
"#;

fn runs(command: &str, forbidden: Option<Refusal>) -> Arc<Analysis> {
    let of_any = analysis(forbidden);
    Arc::new(Analysis { invokes: Some(Arc::from(command)), ..Analysis::clone(&of_any) })
}

fn decided(who: &Delegation, analysis: &Arc<Analysis>, now_us: u64) -> (Decision, bool) {
    let set = load(TEXT).unwrap();
    let (inside, ehr, restriction) = (set.who(who), TargetName::new("ehr").unwrap(), Restriction::default());
    let asked = Asked::new(&set, who, &inside, now_us, now_us);
    let case = Case { asked, target: &ehr, restriction: &restriction, confined: false, under: None };
    let (kept, lasting) = decide(&case, analysis, &mut Answers::default());
    (kept.decision(analysis), lasting)
}

#[test]
fn only_invoke_is_a_right_to_run() {
    let ana = delegation("ana", &["nurses"], None);
    let (Decision::Allow(permit), true) = decided(&ana, &runs("describe_schema", None), NOW) else {
        panic!()
    };
    assert_eq!(permit.text(), None, "what was asked for is what runs");
    assert!(permit.decided().policies.iter().any(|name| &**name == "run"));
    // Every verb on the whole target, and what is forbidden by name.
    let dora = delegation("dora", &["engineers"], None);
    for (who, command) in [(&dora, "describe_schema"), (&ana, "query")] {
        let (Decision::Refuse(denied), _) = decided(who, &runs(command, None), NOW) else { panic!() };
        assert_eq!(denied.refusal, no_command(&TargetName::new("ehr").unwrap(), command));
    }
    // The same caller's statement is another matter.
    assert!(matches!(decided(&dora, &analysis(None), NOW), (Decision::Allow(_), true)));
}

#[test]
fn what_is_wrong_with_a_command_is_told_to_whoever_may_run_it() {
    let wrong = || Some(Refusal::new(RefusalCode::ProtocolViolation, "`day` is a date"));
    let told = |who: &Delegation| match decided(who, &runs("describe_schema", wrong()), NOW).0 {
        Decision::Refuse(denied) => denied.refusal.code,
        Decision::Allow(_) | Decision::Hold(_) => panic!("it does not run"),
    };
    assert_eq!(told(&delegation("ana", &["nurses"], None)), RefusalCode::ProtocolViolation);
    assert_eq!(told(&delegation("eve", &[], None)), RefusalCode::NotPermitted);
}

#[test]
fn what_stays_in_its_output_is_asked_tag_by_tag() {
    let ana = delegation("ana", &["nurses"], None);
    let stays = |command: &str| {
        let (Decision::Allow(permit), _) = decided(&ana, &runs(command, None), NOW) else { panic!() };
        permit.scope().unwrap().stays.clone()
    };
    // Ages are dates of birth in other words.
    assert_eq!(stays("describe_schema"), BTreeSet::from(["phi.age", "phi.date"]));
    let all = stays("explain_access");
    assert!(!all.contains("phi.ssn") && all.len() == Entity::ALL.len() - 1, "{all:?}");
}

#[test]
fn a_decision_by_the_time_of_day_is_not_kept() {
    let day = delegation("day", &[], None);
    let midnight = NOW - NOW % 86_400_000_000;
    for (hour, runs_then) in [(7, true), (5, false)] {
        let (decision, lasting) =
            decided(&day, &runs("describe_schema", None), midnight + hour * 3_600_000_000);
        assert_eq!((matches!(decision, Decision::Allow(_)), lasting), (runs_then, false), "{hour}");
    }
}
