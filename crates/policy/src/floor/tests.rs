use std::sync::Arc;

use super::*;
use crate::decide::tests::NOW;
use crate::sight::tests::{load, patients};
use crate::{OfRelation, OfTarget};

const TEXT: &str = r#"
permit (principal in Group::"dev/nurses", action in [Action::"connect", Action::"read"], resource in Target::"ehr");
permit (principal in Group::"dev/nurses", action == Action::"update", resource == Relation::"ehr/public.patients");
permit (principal in Group::"dev/nurses", action == Action::"useMasked", resource in Target::"ehr");
permit (principal in Group::"dev/nurses", action == Action::"reveal", resource in Tag::"phi.mrn") when { context has purpose };
permit (principal == Person::"dev/eva", action == Action::"reveal", resource in Tag::"clinical.note");
permit (principal in Group::"dev/other", action in [Action::"read", Action::"reveal"], resource in Target::"ehr");
permit (principal in Group::"dev/ops", action, resource in Target::"ehr");
"#;

fn world() -> World {
    let of = |facts| OfRelation { within: Vec::new(), facts: Some(Arc::new(facts)) };
    let relations = BTreeMap::from([(RelationName::new("public", "patients"), of(patients(true)))]);
    let targets =
        [(TargetName::new("ehr").unwrap(), OfTarget { classified: true, relations, ..OfTarget::default() })];
    World { installation: "gw".into(), targets: targets.into() }
}

/// What those need whose groups a login is for.
fn needed(group: &str) -> Floor {
    let set = load(TEXT).unwrap();
    let all = callers(&set, &BTreeSet::from(["dev/nurses".to_owned()]), &[]);
    let those: Vec<_> = all.into_iter().filter(|(_, who)| who.groups.contains(group)).collect();
    assert!(!those.is_empty());
    floor(&set, &world(), &TargetName::new("ehr").unwrap(), &those, NOW)
}

#[test]
fn a_login_needs_what_somebody_sees_by_value_and_no_more() {
    let nurses = needed("nurses");
    assert!(nurses.everything.is_empty());
    let needs = &nurses.relations[&RelationName::new("public", "patients")];
    // `label` has a mask that reads nothing, `new` is not classified; `mrn` may be revealed for a purpose, and `note` to
    // one of them, whom policies name.
    let columns: Vec<&str> = needs.columns.iter().map(String::as_str).collect();
    assert_eq!(columns, ["id", "mrn", "note"]);
    let masked: Vec<&str> = needs.masked.iter().map(String::as_str).collect();
    assert_eq!(masked, ["label", "maiden_name", "name", "ssn"]);
    assert!(needs.read && needs.partial && needs.update && needs.filtered && !needs.all_rows);
    assert!(!needs.insert && !needs.delete);
}

#[test]
fn who_may_not_connect_needs_nothing_and_who_has_everything_is_named() {
    assert_eq!(needed("other"), Floor::default());
    assert_eq!(needed("ops").everything, ["group dev/ops"]);
}
