//! Which policies can matter for a principal and an action: a decision over 2,000 policies costs milliseconds, over the
//! handful that name the caller microseconds. Sound by keeping whatever is not recognised.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

/// What a policy's head says, taken out of it once.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) effect: Effect,
    pub(crate) principal: PrincipalConstraint,
    pub(crate) action: ActionConstraint,
    pub(crate) resource: ResourceConstraint,
}

impl Scope {
    pub(crate) fn of(policy: &Policy) -> Self {
        Self {
            effect: policy.effect(),
            principal: policy.principal_constraint(),
            action: policy.action_constraint(),
            resource: policy.resource_constraint(),
        }
    }
}

/// Where in a set the rules stand that can match a principal.
#[derive(Debug, Default)]
pub(crate) struct ByPrincipal {
    /// Those that name nobody.
    anybody: Vec<usize>,
    /// Those that name a subject or group.
    named: HashMap<EntityUid, Vec<usize>>,
}

impl ByPrincipal {
    pub(crate) fn add(&mut self, at: usize, scope: &Scope) {
        match &scope.principal {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => self.anybody.push(at),
            PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::In(uid)
            | PrincipalConstraint::IsIn(_, uid) => self.named.entry(uid.clone()).or_default().push(at),
        }
    }

    /// Candidates for a principal and everything that it is in; each still has to be asked with [`principal_fits`].
    pub(crate) fn of(&self, me: &EntityUid, within: &HashSet<EntityUid>) -> Vec<usize> {
        let named = std::iter::once(me).chain(within).filter_map(|uid| self.named.get(uid)).flatten();
        self.anybody.iter().chain(named).copied().collect()
    }
}

/// Whether a policy's scope can match the principal, given everything that the principal is in.
pub(crate) fn principal_fits(scope: &Scope, me: &EntityUid, within: &HashSet<EntityUid>) -> bool {
    match &scope.principal {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(uid) => uid == me,
        PrincipalConstraint::In(uid) => uid == me || within.contains(uid),
        PrincipalConstraint::Is(kind) => kind == me.type_name(),
        PrincipalConstraint::IsIn(kind, uid) => kind == me.type_name() && (uid == me || within.contains(uid)),
    }
}

/// Whether a policy's scope can match the action, given the one that it is in.
pub(crate) fn action_fits(scope: &Scope, action: &EntityUid, above: Option<&EntityUid>) -> bool {
    match &scope.action {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == action,
        ActionConstraint::In(uids) => {
            uids.contains(action) || above.is_some_and(|above| uids.contains(above))
        }
    }
}

/// Whether a policy's scope can match the resource, given everything that the resource is in.
pub(crate) fn resource_fits(scope: &Scope, resource: &EntityUid, within: &[EntityUid]) -> bool {
    match &scope.resource {
        ResourceConstraint::Any => true,
        ResourceConstraint::Eq(uid) => uid == resource,
        ResourceConstraint::In(uid) => uid == resource || within.contains(uid),
        ResourceConstraint::Is(kind) => kind == resource.type_name(),
        ResourceConstraint::IsIn(kind, uid) => {
            kind == resource.type_name() && (uid == resource || within.contains(uid))
        }
    }
}

/// Whether a forbid might ever bite something in the target: everything but a scope that names another target. A tag is
/// of every target.
pub(crate) fn might_forbid_in(scope: &Scope, target: &str) -> bool {
    if scope.effect == Effect::Permit {
        return false;
    }
    match &scope.resource {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            target_of(uid).is_none_or(|named| named == target)
        }
    }
}

/// The target that an entity is of by its name; `None` for what is of none or of all.
pub(crate) fn target_of(uid: &EntityUid) -> Option<&str> {
    let id: &str = uid.id().unescaped();
    match uid.type_name().basename() {
        "Target" => Some(id),
        "Relation" | "Column" | "Tool" => Some(id.split_once('/').map_or(id, |(target, _)| target)),
        _ => None,
    }
}

/// Whether a permit's head covers a target and everything that is or will be in it. `resource == Target::"x"` is about the
/// target alone, and what says `is` about one kind of thing.
pub(crate) fn covers(scope: &Scope, target: &EntityUid) -> bool {
    match &scope.resource {
        ResourceConstraint::Any => true,
        ResourceConstraint::In(uid) => uid == target,
        ResourceConstraint::Eq(_) | ResourceConstraint::Is(_) | ResourceConstraint::IsIn(..) => false,
    }
}

/// Whether a policy's conditions look at the resource, so that what holds for a target need not hold for what is in it.
pub(crate) fn reads_resource(form: Option<&serde_json::Value>) -> bool {
    let conditions = form.and_then(|form| form.get("conditions"));
    conditions.is_none_or(|conditions| conditions.to_string().contains("{\"Var\":\"resource\"}"))
}

/// A policy in Cedar's JSON form; `None` for what has none, which is then taken to read everything.
pub(crate) fn form(policy: &Policy) -> Option<serde_json::Value> {
    policy.to_json().ok()
}

/// Whether a policy reads the time, so that its decision cannot be kept. Keeps too little rather than too long.
pub(crate) fn reads_time(form: Option<&serde_json::Value>) -> bool {
    form.is_none_or(|form| form.to_string().contains("\"time\""))
}

/// What a class of callers does not say.
const OPEN: [&str; 6] = ["acr", "amr", "authenticated_s", "purpose", "time", "tool"];

/// Every `variable.attribute` and `variable has attribute` in a policy's conditions. What cannot be seen through reads
/// something that nobody has.
pub(crate) fn reads(form: Option<&serde_json::Value>) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut read = |variable: &str, attribute: &str| {
        found.insert((variable.to_owned(), attribute.to_owned()));
    };
    match form {
        Some(form) => walk(form, &mut read),
        None => read("policy", "form"),
    }
    found
}

/// Whether what is read is something that a class of callers leaves open.
pub(crate) fn is_open((variable, attribute): &(String, String)) -> bool {
    variable == "principal" || (variable == "context" && OPEN.contains(&attribute.as_str()))
}

/// Visit every `variable.attribute` and `variable has attribute` of a policy in Cedar's JSON form.
fn walk(json: &serde_json::Value, visit: &mut impl FnMut(&str, &str)) {
    use serde_json::Value;
    match json {
        Value::Object(members) => {
            for access in [".", "has"].into_iter().filter_map(|access| members.get(access)) {
                let variable = access.pointer("/left/Var").and_then(Value::as_str);
                if let Some((variable, attribute)) = variable.zip(access.get("attr").and_then(Value::as_str))
                {
                    visit(variable, attribute);
                }
            }
            members.values().for_each(|member| walk(member, visit));
        }
        Value::Array(members) => members.iter().for_each(|member| walk(member, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The texts with which a policy compares `context.client`: one by one, or as a set with `contains`.
pub(crate) fn clients_in(form: Option<&serde_json::Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Some(form) = form {
        compared(form, &mut found);
    }
    found
}

fn compared(json: &serde_json::Value, found: &mut BTreeSet<String>) {
    use serde_json::Value;
    let is_client = |side: Option<&Value>| {
        side.and_then(|side| side.get(".")).is_some_and(|access| {
            access.pointer("/left/Var").and_then(Value::as_str) == Some("context")
                && access.get("attr").and_then(Value::as_str) == Some("client")
        })
    };
    match json {
        Value::Object(members) => {
            for operator in ["==", "!=", "contains"].into_iter().filter_map(|operator| members.get(operator))
            {
                let (left, right) = (operator.get("left"), operator.get("right"));
                for (one, other) in [(left, right), (right, left)] {
                    if is_client(one) {
                        let set = other.and_then(|other| other.get("Set")).and_then(Value::as_array);
                        let values = set.map_or_else(
                            || other.into_iter().collect(),
                            |set| set.iter().collect::<Vec<_>>(),
                        );
                        let texts = values.into_iter().filter_map(|value| value.get("Value")?.as_str());
                        found.extend(texts.map(str::to_owned));
                    }
                }
            }
            members.values().for_each(|member| compared(member, found));
        }
        Value::Array(members) => members.iter().for_each(|member| compared(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
