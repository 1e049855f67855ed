//! Of which relations the target's catalogs tell a caller more than names and types: of those to which he may do something.

use std::sync::Arc;

use chaperone_access::{Described, OwnRelation, Verb};

use crate::decide::{Case, everywhere};

/// What can be done to a relation. CALL is done to none.
const VERBS: [Verb; 5] = [Verb::Read, Verb::Insert, Verb::Update, Verb::Delete, Verb::Define];

/// Which relations are described to a caller.
#[derive(Clone)]
pub(crate) struct Describes {
    pub(crate) described: Described,
    /// The policies that decided it.
    pub(crate) policies: Arc<[Arc<str>]>,
    /// Whether it holds until the policies change.
    pub(crate) lasting: bool,
}

/// Find out, for all of a target's own relations. One permission on the whole target answers for all of them, also for
/// those that it does not have yet; otherwise each is asked about until a verb is permitted.
pub(crate) fn describe(case: &Case<'_>, relations: &Arc<[OwnRelation]>) -> Describes {
    let mut lasting = true;
    if case.restriction.is_none() {
        for verb in VERBS {
            let answer = everywhere(case, verb.as_str());
            lasting &= answer.lasting;
            if answer.allowed {
                let policies = answer.policies.into();
                return Describes { described: Described::All, policies, lasting };
            }
        }
    }
    let mut policies = Vec::new();
    let these = relations.iter().filter(|relation| {
        let on = Some((&relation.name, relation.within.as_slice()));
        VERBS.into_iter().filter(|verb| case.restriction.allows(*verb, &relation.name)).any(|verb| {
            let answer = case.asked.ask(&case.asked.verb(verb, case.target, on, false));
            lasting &= answer.lasting;
            if answer.allowed {
                policies.extend(answer.policies);
            }
            answer.allowed
        })
    });
    let described = Described::These(these.cloned().collect());
    policies.sort();
    policies.dedup();
    Describes { described, policies: policies.into(), lasting }
}
