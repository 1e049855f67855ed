//! One question to Cedar: who, which action, on what, in which circumstances.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use chaperone_access::{Delegation, RelationName, SubjectKind, TargetName, Verb};

use crate::load::{PolicySet, Rule};
use crate::manage::ManagementAction;
use crate::slice;

/// What Cedar said.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    /// Names of the policies that decided, sorted.
    pub(crate) policies: Vec<Arc<str>>,
    /// Whether it holds until the policies change.
    pub(crate) lasting: bool,
}

impl Answer {
    /// Something went wrong on our side.
    fn failed() -> Self {
        Self { allowed: false, policies: Vec::new(), lasting: false }
    }
}

/// The names of our schema's types, parsed once.
#[derive(Debug)]
pub(crate) struct Kinds {
    person: EntityTypeName,
    service: EntityTypeName,
    group: EntityTypeName,
    target: EntityTypeName,
    relation: EntityTypeName,
    installation: EntityTypeName,
    action: EntityTypeName,
}

impl Kinds {
    pub(crate) fn new() -> Result<Self, Box<cedar_policy::ParseErrors>> {
        let kind = |name: &str| name.parse::<EntityTypeName>().map_err(Box::new);
        Ok(Self {
            person: kind("Person")?,
            service: kind("Service")?,
            group: kind("Group")?,
            target: kind("Target")?,
            relation: kind("Relation")?,
            installation: kind("Installation")?,
            action: kind("Action")?,
        })
    }

    pub(crate) fn target(&self, target: &TargetName) -> EntityUid {
        uid(&self.target, target.as_str())
    }

    pub(crate) fn action(&self, action: &str) -> EntityUid {
        uid(&self.action, action)
    }

    pub(crate) fn relation(&self, target: &TargetName, relation: &RelationName) -> EntityUid {
        uid(&self.relation, &format!("{target}/{relation}"))
    }

    fn installation(&self, name: &str) -> EntityUid {
        uid(&self.installation, name)
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// A principal in Cedar's words, and the rules of one set whose scope can match it.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) me: EntityUid,
    pub(crate) groups: HashSet<EntityUid>,
    /// Places of rules in the set, ascending.
    pub(crate) mine: Vec<usize>,
}

impl PolicySet {
    /// The principal behind a delegation.
    pub(crate) fn who(&self, delegation: &Delegation) -> Who {
        let subject = &delegation.subject;
        let kind = match subject.kind {
            SubjectKind::Person => &self.kinds.person,
            SubjectKind::Service => &self.kinds.service,
        };
        let me = uid(kind, &format!("{}/{}", subject.issuer, subject.sub));
        let group = |group: &String| uid(&self.kinds.group, &format!("{}/{group}", subject.issuer));
        let groups: HashSet<EntityUid> = delegation.groups.iter().map(group).collect();
        let mine = self.rules_of(&me, &groups);
        Who { me, groups, mine }
    }
}

/// Somebody who asks, under one set.
pub(crate) struct Asked<'a> {
    pub(crate) set: &'a PolicySet,
    pub(crate) delegation: &'a Delegation,
    pub(crate) who: &'a Who,
    pub(crate) now_us: u64,
}

/// What is asked.
pub(crate) struct Query<'a> {
    pub(crate) action: EntityUid,
    /// The action that it is in.
    pub(crate) above: Option<EntityUid>,
    pub(crate) resource: &'a EntityUid,
    pub(crate) within: &'a [EntityUid],
    pub(crate) approved: bool,
}

impl Asked<'_> {
    fn context(&self, approved: bool) -> Option<Context> {
        let time = RestrictedExpression::new_datetime(rfc3339(self.now_us / 1000));
        let mut pairs = vec![
            ("approved".to_owned(), RestrictedExpression::new_bool(approved)),
            ("time".to_owned(), time),
        ];
        for (name, value) in [("client", &self.delegation.client), ("purpose", &self.delegation.purpose)] {
            if let Some(value) = value {
                pairs.push((name.to_owned(), RestrictedExpression::new_string(value.to_string())));
            }
        }
        Context::from_pairs(pairs).ok()
    }

    /// Ask about one action on a target or relation.
    pub(crate) fn ask(
        &self,
        action: &'static str,
        resource: &EntityUid,
        within: &[EntityUid],
        approved: bool,
    ) -> Answer {
        let action = self.set.kinds.action(action);
        self.answer(&Query { action, above: None, resource, within, approved }, |_| true)
    }

    /// Ask about a verb on a relation, given what it is in, or on the target as a whole.
    pub(crate) fn verb(
        &self,
        verb: Verb,
        target: &TargetName,
        on: Option<(&RelationName, &[RelationName])>,
        approved: bool,
    ) -> Answer {
        let kinds = &self.set.kinds;
        let Some((relation, parents)) = on else {
            return self.ask(verb.as_str(), &kinds.target(target), &[], approved);
        };
        let mut within = vec![kinds.target(target)];
        within.extend(parents.iter().map(|parent| kinds.relation(target, parent)));
        self.ask(verb.as_str(), &kinds.relation(target, relation), &within, approved)
    }

    /// Ask whether the principal may be at a target.
    pub(crate) fn connect(&self, target: &TargetName) -> Answer {
        self.ask("connect", &self.set.kinds.target(target), &[], false)
    }

    /// Ask about managing the installation.
    pub(crate) fn manage(&self, action: ManagementAction, installation: &str) -> Answer {
        let above =
            action.within_administer().then(|| self.set.kinds.action(ManagementAction::Administer.as_str()));
        let resource = &self.set.kinds.installation(installation);
        let action = self.set.kinds.action(action.as_str());
        self.answer(&Query { action, above, resource, within: &[], approved: false }, |_| true)
    }

    /// Ask Cedar, of the rules that `counts` lets through. Anything that goes wrong on our side is a refusal.
    pub(crate) fn answer(&self, query: &Query<'_>, counts: impl Fn(&Rule) -> bool) -> Answer {
        let mut policies = cedar_policy::PolicySet::new();
        let mut lasting = true;
        let fitting: Vec<&Rule> = self
            .who
            .mine
            .iter()
            .filter_map(|at| self.set.rules.get(*at))
            .filter(|rule| slice::action_fits(&rule.scope, &query.action, query.above.as_ref()))
            .filter(|rule| slice::resource_fits(&rule.scope, query.resource, query.within))
            .filter(|rule| counts(rule))
            .collect();
        for rule in &fitting {
            lasting &= !rule.reads_time;
            if policies.add(rule.policy.clone()).is_err() {
                return Answer::failed();
            }
        }
        let Some(response) = self.evaluate(&policies, query) else { return Answer::failed() };
        let mut names: Vec<Arc<str>> = response
            .diagnostics()
            .reason()
            .filter_map(|id| fitting.iter().find(|rule| rule.policy.id() == id))
            .map(|rule| rule.name.clone())
            .collect();
        names.sort();
        // A policy that cannot be evaluated is skipped by Cedar; a skipped forbid would fail open.
        let sound = response.diagnostics().errors().next().is_none();
        let allowed = sound && response.decision() == cedar_policy::Decision::Allow;
        Answer { allowed, policies: names, lasting }
    }

    fn evaluate(
        &self,
        policies: &cedar_policy::PolicySet,
        query: &Query<'_>,
    ) -> Option<cedar_policy::Response> {
        let me = Entity::new_no_attrs(self.who.me.clone(), self.who.groups.clone());
        let thing = Entity::new_no_attrs(query.resource.clone(), query.within.iter().cloned().collect());
        let action = query
            .above
            .as_ref()
            .map(|above| Entity::new_no_attrs(query.action.clone(), HashSet::from([above.clone()])));
        let entities = Entities::from_entities([me, thing].into_iter().chain(action), None).ok()?;
        let (me, action, thing) = (self.who.me.clone(), query.action.clone(), query.resource.clone());
        let request = Request::new(me, action, thing, self.context(query.approved)?, None).ok()?;
        Some(Authorizer::new().is_authorized(&request, policies, &entities))
    }
}

/// Milliseconds since the Unix epoch as Cedar's `datetime` reads them.
pub(crate) fn rfc3339(millis: u64) -> String {
    let (days, in_day) = (millis / 86_400_000, millis % 86_400_000);
    // Howard Hinnant's `civil_from_days`, for days since 1970.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}
