//! Which policies can matter for a principal and an action: a decision over 2,000 policies costs milliseconds, over the
//! handful that name the caller microseconds. Sound by keeping whatever is not recognised.

use std::collections::{HashMap, HashSet};

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

/// Whether a forbid might ever bite something in the target: everything but a scope that names another target.
pub(crate) fn might_forbid_in(scope: &Scope, target: &str) -> bool {
    if scope.effect == Effect::Permit {
        return false;
    }
    let elsewhere = |uid: &EntityUid| {
        let id: &str = uid.id().unescaped();
        id.split_once('/').map_or(id, |(target, _)| target) != target
    };
    match &scope.resource {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            !elsewhere(uid)
        }
    }
}

/// Whether a policy reads the time, so that its decision cannot be kept. Keeps too little rather than too long.
pub(crate) fn reads_time(policy: &Policy) -> bool {
    policy.to_json().map_or(true, |json| json.to_string().contains("\"time\""))
}
