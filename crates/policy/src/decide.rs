//! From an analysis to an answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use chaperone_access::{
    Analysis, Delegation, NameRule, Refusal, RefusalCode, RelationName, SubjectKind, TargetName, Touch, Verb,
    Verbs,
};

use crate::admission::Admission;
use crate::load::PolicySet;
use crate::permit::{Decided, Decision, Denied, Permit, Question};
use crate::slice;

/// Answers that one session keeps; beyond that it begins anew.
const ANSWERS_MAX: usize = 4096;

/// What Cedar said.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    pub(crate) policies: Vec<Arc<str>>,
    /// Whether it holds until the policies change.
    pub(crate) lasting: bool,
}

/// What one question was about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct About {
    verb: Verb,
    /// A relation and what it is in; `None` is the target as a whole.
    on: Option<(RelationName, Vec<RelationName>)>,
    approved: bool,
}

/// Answers of one session under one set of policies that hold until the policies change: a statement that is new asks
/// nothing that was asked before.
#[derive(Default)]
pub(crate) struct Answers {
    known: HashMap<About, Answer>,
    /// Whether the caller has every verb on the whole target, and by which policies.
    unrestricted: Option<(bool, Vec<Arc<str>>)>,
}

impl Answers {
    fn of(&mut self, asked: &Asked<'_>, target: &TargetName, about: About) -> Answer {
        if let Some(answer) = self.known.get(&about) {
            return answer.clone();
        }
        let kinds = &asked.set.kinds;
        let answer = match &about.on {
            Some((relation, parents)) => {
                let mut within = vec![kinds.target(target)];
                within.extend(parents.iter().map(|parent| kinds.relation(target, parent)));
                let resource = kinds.relation(target, relation);
                asked.ask(about.verb.as_str(), &resource, &within, about.approved)
            }
            None => asked.ask(about.verb.as_str(), &kinds.target(target), &[], about.approved),
        };
        if answer.lasting {
            if self.known.len() >= ANSWERS_MAX {
                self.known.clear();
            }
            self.known.insert(about, answer.clone());
        }
        answer
    }
}

/// A decision that can be given again.
pub(crate) struct Kept {
    analysis: Arc<Analysis>,
    decided: Arc<Decided>,
    arm: Arm,
}

enum Arm {
    Allow { text: Option<Arc<str>> },
    Hold { refusal: Refusal, member: usize },
    Refuse { refusal: Refusal, member: usize },
}

impl Kept {
    /// Whether it is the answer for this analysis. Holding the analysis keeps its address its own.
    pub(crate) fn fits(&self, analysis: &Arc<Analysis>) -> bool {
        Arc::ptr_eq(&self.analysis, analysis)
    }

    pub(crate) fn decision(&self) -> Decision {
        let denied = |refusal: &Refusal, member: usize| Denied {
            refusal: refusal.clone(),
            member,
            decided: Decided::clone(&self.decided),
        };
        match &self.arm {
            Arm::Allow { text } => Decision::Allow(Permit {
                analysis: self.analysis.clone(),
                text: text.clone(),
                decided: self.decided.clone(),
            }),
            Arm::Hold { refusal, member } => Decision::Hold(Question { denied: denied(refusal, *member) }),
            Arm::Refuse { refusal, member } => Decision::Refuse(denied(refusal, *member)),
        }
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
    action: EntityTypeName,
}

impl Kinds {
    pub(crate) fn new() -> Result<Self, Box<cedar_policy::ParseErrors>> {
        Ok(Self {
            person: "Person".parse().map_err(Box::new)?,
            service: "Service".parse().map_err(Box::new)?,
            group: "Group".parse().map_err(Box::new)?,
            target: "Target".parse().map_err(Box::new)?,
            relation: "Relation".parse().map_err(Box::new)?,
            action: "Action".parse().map_err(Box::new)?,
        })
    }

    fn target(&self, target: &TargetName) -> EntityUid {
        uid(&self.target, target.as_str())
    }

    fn action(&self, verb: &str) -> EntityUid {
        uid(&self.action, verb)
    }

    fn relation(&self, target: &TargetName, relation: &RelationName) -> EntityUid {
        uid(&self.relation, &format!("{target}/{relation}"))
    }

    /// The principal and everything that it is in.
    pub(crate) fn principal(&self, delegation: &Delegation) -> (EntityUid, HashSet<EntityUid>) {
        let subject = &delegation.subject;
        let kind = match subject.kind {
            SubjectKind::Person => &self.person,
            SubjectKind::Service => &self.service,
        };
        let me = uid(kind, &format!("{}/{}", subject.issuer, subject.sub));
        let within = delegation.groups.iter();
        (me, within.map(|group| uid(&self.group, &format!("{}/{group}", subject.issuer))).collect())
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

struct Asked<'a> {
    set: &'a PolicySet,
    delegation: &'a Delegation,
    me: &'a EntityUid,
    groups: &'a HashSet<EntityUid>,
    now_us: u64,
}

impl Asked<'_> {
    fn context(&self, approved: bool) -> Option<Context> {
        let millis = self.now_us / 1000;
        let time = RestrictedExpression::new_datetime(rfc3339(millis));
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

    /// Ask about one action on one resource. Anything that goes wrong on our side is a refusal.
    fn ask(
        &self,
        action: &'static str,
        resource: &EntityUid,
        within: &[EntityUid],
        approved: bool,
    ) -> Answer {
        let action = self.set.kinds.action(action);
        let mut policies = cedar_policy::PolicySet::new();
        let mut lasting = true;
        for rule in &self.set.rules {
            let fits = slice::action_fits(&rule.policy, &action)
                && slice::principal_fits(&rule.policy, self.me, self.groups)
                && slice::resource_fits(&rule.policy, resource, within);
            if fits {
                lasting &= !rule.reads_time;
                if policies.add(rule.policy.clone()).is_err() {
                    return Answer { allowed: false, policies: Vec::new(), lasting: false };
                }
            }
        }
        let decided = self.evaluate(&policies, action, resource, within, approved);
        let Some(response) = decided else {
            return Answer { allowed: false, policies: Vec::new(), lasting: false };
        };
        let mut names: Vec<Arc<str>> = response
            .diagnostics()
            .reason()
            .filter_map(|id| self.set.rules.iter().find(|rule| rule.policy.id() == id))
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
        action: EntityUid,
        resource: &EntityUid,
        within: &[EntityUid],
        approved: bool,
    ) -> Option<cedar_policy::Response> {
        let me = Entity::new_no_attrs(self.me.clone(), self.groups.clone());
        let thing = Entity::new_no_attrs(resource.clone(), within.iter().cloned().collect());
        let entities = Entities::from_entities([me, thing], None).ok()?;
        let request =
            Request::new(self.me.clone(), action, resource.clone(), self.context(approved)?, None).ok()?;
        Some(Authorizer::new().is_authorized(&request, policies, &entities))
    }
}

/// Milliseconds since the Unix epoch as Cedar's `datetime` reads them.
fn rfc3339(millis: u64) -> String {
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

/// Whether the principal may be at the target.
pub(crate) fn connect(
    set: &PolicySet,
    delegation: &Delegation,
    me: &EntityUid,
    groups: &HashSet<EntityUid>,
    target: &TargetName,
    now_us: u64,
) -> Answer {
    let asked = Asked { set, delegation, me, groups, now_us };
    asked.ask("connect", &set.kinds.target(target), &[], false)
}

/// Whether the caller has every verb on the whole target, now and whatever is named: every verb is allowed on the
/// target itself, the credential takes nothing away, and no `forbid` could ever bite something in the target (its
/// conditions are not looked at: they may speak of a relation that nobody has named yet).
fn unrestricted(asked: &Asked<'_>, admission: &Admission) -> (bool, Vec<Arc<str>>, bool) {
    if !admission.credential().restriction.is_none() {
        return (false, Vec::new(), true);
    }
    let verbs: Vec<EntityUid> =
        Verb::ALL.into_iter().map(|verb| asked.set.kinds.action(verb.as_str())).collect();
    let may_be_forbidden = asked.set.rules.iter().any(|rule| {
        slice::might_forbid_in(&rule.policy, admission.target().as_str())
            && slice::principal_fits(&rule.policy, asked.me, asked.groups)
            && verbs.iter().any(|verb| slice::action_fits(&rule.policy, verb))
    });
    if may_be_forbidden {
        return (false, Vec::new(), true);
    }
    let target = asked.set.kinds.target(admission.target());
    let (mut policies, mut lasting) = (Vec::new(), true);
    for verb in Verb::ALL {
        let answer = asked.ask(verb.as_str(), &target, &[], false);
        lasting &= answer.lasting;
        if !answer.allowed {
            return (false, Vec::new(), lasting);
        }
        policies.extend(answer.policies);
    }
    policies.sort();
    policies.dedup();
    (true, policies, lasting)
}

/// Decide; the second value says whether the decision holds until the policies change.
pub(crate) fn decide(
    set: &PolicySet,
    admission: &Admission,
    analysis: &Arc<Analysis>,
    answers: &mut Answers,
    now_us: u64,
) -> (Kept, bool) {
    let asked = Asked {
        set,
        delegation: admission.delegation(),
        me: &admission.me,
        groups: &admission.groups,
        now_us,
    };
    let (unrestricted, mut policies, mut lasting) = match &answers.unrestricted {
        Some((known, policies)) => (*known, policies.clone(), true),
        None => unrestricted(&asked, admission),
    };
    if lasting && answers.unrestricted.is_none() {
        answers.unrestricted = Some((unrestricted, policies.clone()));
    }
    let kept = |arm: Arm, mut policies: Vec<Arc<str>>| {
        policies.sort();
        policies.dedup();
        let decided = Decided { policies: policies.into(), set_digest: set.digest(), unrestricted };
        Kept { analysis: analysis.clone(), decided: Arc::new(decided), arm }
    };
    if let Some(refusal) = &analysis.forbidden {
        return (kept(Arm::Refuse { refusal: refusal.clone(), member: 0 }, Vec::new()), true);
    }
    if unrestricted {
        return (kept(Arm::Allow { text: analysis.replaced.clone() }, policies), lasting);
    }
    let mut held = None;
    for (member, statement) in analysis.members.iter().enumerate() {
        for touch in &statement.touches {
            match touched(&asked, admission, touch, answers, &mut policies, &mut lasting) {
                Verdict::Allowed => {}
                Verdict::Held(refusal) => held = held.or(Some((refusal, member))),
                Verdict::Refused(refusal, by) => {
                    return (kept(Arm::Refuse { refusal, member }, by), lasting);
                }
            }
        }
        match whole(&asked, admission, statement.whole, answers, &mut policies, &mut lasting) {
            Verdict::Allowed => {}
            Verdict::Held(refusal) => held = held.or(Some((refusal, member))),
            Verdict::Refused(refusal, by) => return (kept(Arm::Refuse { refusal, member }, by), lasting),
        }
    }
    // What cannot be written out again is refused even where every name in it is permitted: names that no tree shows
    // are not among them.
    let text = match analysis.confined.get() {
        Ok(text) => text.clone(),
        Err(refusal) => {
            return (kept(Arm::Refuse { refusal: refusal.clone(), member: 0 }, policies), lasting);
        }
    };
    match held {
        Some((refusal, member)) => (kept(Arm::Hold { refusal, member }, policies), lasting),
        None => (kept(Arm::Allow { text: Some(text) }, policies), lasting),
    }
}

enum Verdict {
    Allowed,
    Held(Refusal),
    Refused(Refusal, Vec<Arc<str>>),
}

fn touched(
    asked: &Asked<'_>,
    admission: &Admission,
    touch: &Touch,
    answers: &mut Answers,
    policies: &mut Vec<Arc<str>>,
    lasting: &mut bool,
) -> Verdict {
    match touch.rule {
        NameRule::Listed | NameRule::Temporary => return Verdict::Allowed,
        NameRule::Unknown => {
            let refusal = Refusal::new(
                RefusalCode::UndefinedRelation,
                format!("relation `{}` does not exist", touch.relation),
            )
            .hint("name it with its schema, or wait until the catalog has been read again");
            return Verdict::Refused(refusal, Vec::new());
        }
        NameRule::Named => {}
    }
    let name = touch.relation.to_string();
    for verb in touch.verbs.iter() {
        let what = format!("`{}` on `{name}`", verb.as_str());
        if !admission.credential().restriction.allows(verb, &name) {
            return Verdict::Refused(
                missing(&what, "the credential was narrowed: use the one it was made from"),
                Vec::new(),
            );
        }
        let about = About { verb, on: Some((touch.relation.clone(), touch.within.clone())), approved: false };
        match one(asked, admission, about, &what, answers, policies, lasting) {
            Verdict::Allowed => {}
            other @ (Verdict::Held(_) | Verdict::Refused(..)) => return other,
        }
    }
    Verdict::Allowed
}

fn whole(
    asked: &Asked<'_>,
    admission: &Admission,
    verbs: Verbs,
    answers: &mut Answers,
    policies: &mut Vec<Arc<str>>,
    lasting: &mut bool,
) -> Verdict {
    let target = admission.target();
    for verb in verbs.iter() {
        let what = format!("`{}` on target `{target}`", verb.as_str());
        if !admission.credential().restriction.allows_whole(verb) {
            return Verdict::Refused(
                missing(&what, "the credential was narrowed: use the one it was made from"),
                Vec::new(),
            );
        }
        let about = About { verb, on: None, approved: false };
        match one(asked, admission, about, &what, answers, policies, lasting) {
            Verdict::Allowed => {}
            other @ (Verdict::Held(_) | Verdict::Refused(..)) => return other,
        }
    }
    Verdict::Allowed
}

fn one(
    asked: &Asked<'_>,
    admission: &Admission,
    about: About,
    what: &str,
    answers: &mut Answers,
    policies: &mut Vec<Arc<str>>,
    lasting: &mut bool,
) -> Verdict {
    let answer = answers.of(asked, admission.target(), about.clone());
    *lasting &= answer.lasting;
    if answer.allowed {
        policies.extend(answer.policies);
        return Verdict::Allowed;
    }
    let approved = answers.of(asked, admission.target(), About { approved: true, ..about });
    *lasting &= approved.lasting;
    if approved.allowed {
        let refusal = Refusal::new(RefusalCode::ApprovalRequired, format!("{what} needs an approval"))
            .hint("ask somebody who may grant it to change the policy: approvals cannot be given here yet");
        return Verdict::Held(refusal);
    }
    Verdict::Refused(missing(what, "ask an administrator for it, naming this permission"), answer.policies)
}

fn missing(what: &str, hint: &str) -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, format!("you have no permission to {what}")).hint(hint)
}

#[cfg(test)]
mod tests;
