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
const OPEN: [&str; 8] = ["acr", "amr", "authenticated_s", "prompt", "purpose", "time", "tool", "uri"];

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

/// What a condition compares an attribute with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Literal {
    Bool(bool),
    Long(i64),
    Text(String),
    /// One that a set has.
    Member(String),
}

/// What a policy compares `variable.attribute` with: one by one, in order, or as members of sets.
pub(crate) type Compares = BTreeSet<(String, String, Literal)>;

/// Everything that a policy's conditions compare an attribute with.
pub(crate) fn compares(form: Option<&serde_json::Value>) -> Compares {
    let mut found = Compares::new();
    if let Some(form) = form {
        compared(form, &mut found);
    }
    found
}

/// The texts of those that are compared with a text of the circumstances, such as `context.client`.
pub(crate) fn named_of(compares: &Compares, what: &str) -> BTreeSet<String> {
    let texts = compares.iter().filter_map(|(variable, attribute, literal)| match literal {
        Literal::Text(text) if variable == "context" && attribute == what => Some(text.clone()),
        Literal::Text(_) | Literal::Bool(_) | Literal::Long(_) | Literal::Member(_) => None,
    });
    texts.collect()
}

const COMPARISONS: [&str; 9] = ["==", "!=", "<", "<=", ">", ">=", "contains", "containsAny", "containsAll"];

fn compared(json: &serde_json::Value, found: &mut Compares) {
    use serde_json::Value;
    match json {
        Value::Object(members) => {
            for (operator, sides) in
                COMPARISONS.into_iter().filter_map(|name| Some((name, members.get(name)?)))
            {
                let (left, right) = (sides.get("left"), sides.get("right"));
                for (one, other, first) in [(left, right, true), (right, left, false)] {
                    let Some((variable, attribute)) = one.and_then(attribute_of) else { continue };
                    // The left side of `contains` is the set.
                    let of_set = first && operator.starts_with("contains");
                    found.extend(other.into_iter().flat_map(literals).filter_map(|value| {
                        Some((variable.to_owned(), attribute.to_owned(), literal(value, of_set)?))
                    }));
                }
            }
            members.values().for_each(|member| compared(member, found));
        }
        Value::Array(members) => members.iter().for_each(|member| compared(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `variable.attribute`.
fn attribute_of(side: &serde_json::Value) -> Option<(&str, &str)> {
    let access = side.get(".")?;
    access.pointer("/left/Var")?.as_str().zip(access.get("attr")?.as_str())
}

/// One value, or those of a set.
fn literals(side: &serde_json::Value) -> Vec<&serde_json::Value> {
    match side.get("Set").and_then(serde_json::Value::as_array) {
        Some(set) => set.iter().filter_map(|value| value.get("Value")).collect(),
        None => side.get("Value").into_iter().collect(),
    }
}

fn literal(value: &serde_json::Value, of_set: bool) -> Option<Literal> {
    use serde_json::Value;
    match value {
        Value::Bool(truth) => Some(Literal::Bool(*truth)),
        Value::Number(number) => number.as_i64().map(Literal::Long),
        Value::String(text) if of_set => Some(Literal::Member(text.clone())),
        Value::String(text) => Some(Literal::Text(text.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
