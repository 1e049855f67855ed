//! Which policies can matter for a principal and an action: a decision over 2,000 policies costs milliseconds, over the
//! handful that name the caller microseconds. Sound by keeping whatever is not recognised.

use std::collections::HashSet;

use cedar_policy::{ActionConstraint, Effect, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

/// Whether a policy's scope can match the principal, given everything that the principal is in.
pub(crate) fn principal_fits(policy: &Policy, me: &EntityUid, within: &HashSet<EntityUid>) -> bool {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(uid) => uid == *me,
        PrincipalConstraint::In(uid) => uid == *me || within.contains(&uid),
        PrincipalConstraint::Is(kind) => kind == *me.type_name(),
        PrincipalConstraint::IsIn(kind, uid) => {
            kind == *me.type_name() && (uid == *me || within.contains(&uid))
        }
    }
}

/// Whether a policy's scope can match the action. Our actions are in no groups.
pub(crate) fn action_fits(policy: &Policy, action: &EntityUid) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == *action,
        ActionConstraint::In(uids) => uids.contains(action),
    }
}

/// Whether a policy's scope can match the resource, given everything that the resource is in.
pub(crate) fn resource_fits(policy: &Policy, resource: &EntityUid, within: &[EntityUid]) -> bool {
    match policy.resource_constraint() {
        ResourceConstraint::Any => true,
        ResourceConstraint::Eq(uid) => uid == *resource,
        ResourceConstraint::In(uid) => uid == *resource || within.contains(&uid),
        ResourceConstraint::Is(kind) => kind == *resource.type_name(),
        ResourceConstraint::IsIn(kind, uid) => {
            kind == *resource.type_name() && (uid == *resource || within.contains(&uid))
        }
    }
}

/// Whether a forbid might ever bite something in the target: everything but a scope that names another target.
pub(crate) fn might_forbid_in(policy: &Policy, target: &str) -> bool {
    if policy.effect() == Effect::Permit {
        return false;
    }
    let elsewhere = |uid: &EntityUid| {
        let id: &str = uid.id().unescaped();
        id.split_once('/').map_or(id, |(target, _)| target) != target
    };
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            !elsewhere(&uid)
        }
    }
}

/// Whether a policy reads the time, so that its decision cannot be kept. Keeps too little rather than too long.
pub(crate) fn reads_time(policy: &Policy) -> bool {
    policy.to_json().map_or(true, |json| json.to_string().contains("\"time\""))
}
