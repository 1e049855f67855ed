//! From an analysis to an answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::EntityUid;
use chaperone_access::{
    Analysis, Called, ColumnUse, FreeText, NameRule, OwnRelation, Refusal, RefusalCode, RelationFacts,
    RelationName, RelationScope, Scope, Since, TargetName, Touch, Under, Verb, Verbs, WORDS_KEPT_BYTES_MAX,
    no_command,
};
use chaperone_identity::Restriction;

use crate::ask::{Answer, Asked};
use crate::describe::{Describes, describe};
use crate::permit::{Decided, Decision, Denied, Permit, Question, Unwritten};
use crate::sight::{self, ByTags, SEE_ALL_ROWS, Sight};
use crate::since::shown_otherwise;
use crate::slice;

/// Answers that one session keeps; beyond that it begins anew.
const ANSWERS_MAX: usize = 4096;

/// What to do where a credential has less than its holder.
const NARROWED: &str = "the credential was narrowed: use the one it was made from";

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
    seen: HashMap<RelationName, Sees>,
    by_tags: ByTags,
    /// What catalogs tell, of the relations of one catalog.
    describes: Option<(Arc<[OwnRelation]>, Describes)>,
    /// Whether the caller has everything on the whole target, and by which policies: where it has no classification, and
    /// where it has one.
    unrestricted: [Option<(bool, Vec<Arc<str>>)>; 2],
}

/// What the caller sees of a relation under these facts.
#[derive(Clone)]
struct Sees {
    facts: Arc<RelationFacts>,
    within: Vec<RelationName>,
    scope: RelationScope,
    /// Kinds of identifiers that stay in its free text, where some of that is seen.
    stays: Option<BTreeSet<&'static str>>,
    policies: Arc<[Arc<str>]>,
    lasting: bool,
}

impl Answers {
    fn of(&mut self, asked: &Asked<'_>, target: &TargetName, about: About) -> Answer {
        if let Some(answer) = self.known.get(&about) {
            return answer.clone();
        }
        let on = about.on.as_ref().map(|(relation, within)| (relation, within.as_slice()));
        let answer = asked.ask(&asked.verb(about.verb, target, on, about.approved));
        if answer.lasting {
            if self.known.len() >= ANSWERS_MAX {
                self.known.clear();
            }
            self.known.insert(about, answer.clone());
        }
        answer
    }

    fn sees(&mut self, case: &Case<'_>, touch: &Touch, facts: &Arc<RelationFacts>) -> Sees {
        if let Some(seen) = self.seen.get(&touch.relation)
            && Arc::ptr_eq(&seen.facts, facts)
            && seen.within == touch.within
        {
            return seen.clone();
        }
        if self.seen.len() >= ANSWERS_MAX {
            self.seen.clear();
            self.by_tags = ByTags::default();
        }
        let on = (&touch.relation, touch.within.as_slice());
        let seen = sight::see(&case.asked, case.target, on, facts, &mut self.by_tags);
        let sees = Sees {
            facts: facts.clone(),
            within: touch.within.clone(),
            scope: seen.scope(facts),
            stays: seen.stays.clone(),
            policies: seen.policies().cloned().collect(),
            lasting: seen.lasting,
        };
        if sees.lasting {
            self.seen.insert(touch.relation.clone(), sees.clone());
        }
        sees
    }

    fn describes(&mut self, case: &Case<'_>, relations: &Arc<[OwnRelation]>) -> Describes {
        if let Some((of, known)) = &self.describes
            && Arc::ptr_eq(of, relations)
        {
            return known.clone();
        }
        let found = describe(case, relations);
        if found.lasting {
            self.describes = Some((relations.clone(), found.clone()));
        }
        found
    }

    fn unrestricted(&mut self, case: &Case<'_>, classified: bool) -> (bool, Vec<Arc<str>>, bool) {
        let [without, with] = &mut self.unrestricted;
        let known = if classified { with } else { without };
        if let Some((truth, policies)) = known {
            return (*truth, policies.clone(), true);
        }
        let (truth, policies, lasting) = unrestricted(case, classified);
        if lasting {
            *known = Some((truth, policies.clone()));
        }
        (truth, policies, lasting)
    }
}

/// A decision that can be given again.
pub(crate) struct Kept {
    analysis: Arc<Analysis>,
    decided: Arc<Decided>,
    arm: Arm,
}

/// What is sent in the place of a text, if anything is.
type Written = Result<Option<Arc<str>>, Refusal>;

enum Arm {
    Allow { text: Option<Arc<str>>, scope: Option<Arc<Scope>> },
    Hold { refusal: Refusal, member: usize },
    Refuse { refusal: Refusal, member: usize },
}

impl Kept {
    /// Under which it is found: what an analysis means. Holding it keeps its address its own.
    pub(crate) fn key(analysis: &Analysis) -> usize {
        analysis.members.as_ptr().addr()
    }

    /// Whether it is the answer for this analysis, too, but for the words. A refusal may be about the text's own.
    pub(crate) fn fits(&self, analysis: &Arc<Analysis>) -> bool {
        match self.arm {
            Arm::Allow { .. } => analysis.means_what(&self.analysis),
            Arm::Hold { .. } | Arm::Refuse { .. } => Arc::ptr_eq(&self.analysis, analysis),
        }
    }

    /// The words of an analysis that this is the answer for.
    fn words(&self, analysis: &Arc<Analysis>, text: Option<&Arc<str>>, scope: Option<&Scope>) -> Written {
        match (text, scope) {
            _ if Arc::ptr_eq(&self.analysis, analysis) => Ok(text.cloned()),
            (Some(_), Some(scope)) => analysis.confined.get(scope).map(Some),
            (Some(_) | None, None) | (None, Some(_)) => Ok(analysis.replaced.clone()),
        }
    }

    /// The words of an analysis that this is the answer for, where they would have to be waited for.
    pub(crate) fn unwritten(&self, analysis: &Arc<Analysis>) -> Option<Unwritten> {
        match &self.arm {
            Arm::Allow { text: Some(_), scope: Some(scope) } if !Arc::ptr_eq(&self.analysis, analysis) => {
                Unwritten::of(&analysis.confined, scope)
            }
            Arm::Allow { .. } | Arm::Hold { .. } | Arm::Refuse { .. } => None,
        }
    }

    /// The answer for an analysis that it [fits](Self::fits).
    pub(crate) fn decision(&self, analysis: &Arc<Analysis>) -> Decision {
        let denied = |refusal: &Refusal, member: usize| Denied {
            refusal: refusal.clone(),
            member,
            decided: Decided::clone(&self.decided),
        };
        match &self.arm {
            Arm::Allow { text, scope } => match self.words(analysis, text.as_ref(), scope.as_deref()) {
                Ok(text) => Decision::Allow(Permit {
                    analysis: analysis.clone(),
                    text,
                    scope: scope.clone(),
                    decided: self.decided.clone(),
                }),
                Err(refusal) => Decision::Refuse(denied(&refusal, 0)),
            },
            Arm::Hold { refusal, member } => Decision::Hold(Question { denied: denied(refusal, *member) }),
            Arm::Refuse { refusal, member } => Decision::Refuse(denied(refusal, *member)),
        }
    }
}

/// Somebody who asks something of a target, with a credential that may have been narrowed.
pub(crate) struct Case<'a> {
    pub(crate) asked: Asked<'a>,
    pub(crate) target: &'a TargetName,
    pub(crate) restriction: &'a Restriction,
    /// Only what is understood may run, whoever the caller is.
    pub(crate) confined: bool,
    /// The role that reads at the target.
    pub(crate) under: Option<&'a Arc<Under>>,
}

/// Whether the caller has everything on the whole target, now and whatever is named: every verb, and where the target is
/// classified every column and row. Each is permitted by a policy whose head covers all that is in the target and whose
/// conditions do not look at what is named; the credential takes nothing away; and no `forbid` could ever bite something
/// in the target (its conditions are not looked at: they may speak of a relation that nobody has named yet).
pub(crate) fn unrestricted(case: &Case<'_>, classified: bool) -> (bool, Vec<Arc<str>>, bool) {
    if case.confined || !case.restriction.is_none() {
        return (false, Vec::new(), true);
    }
    let sights = [Sight::Reveal.as_str(), SEE_ALL_ROWS];
    let sights = sights.into_iter().filter(|_| classified);
    let (mut policies, mut lasting) = (Vec::new(), true);
    for action in Verb::ALL.into_iter().map(Verb::as_str).chain(sights) {
        let answer = everywhere(case, action);
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

/// Whether an action is permitted on the whole target and on whatever is or will be in it. What a credential takes away is
/// not looked at.
pub(crate) fn everywhere(case: &Case<'_>, action: &str) -> Answer {
    let asked = &case.asked;
    let kinds = &asked.set.kinds;
    let uid: EntityUid = kinds.action(action);
    let may_be_forbidden = asked.rules().any(|rule| {
        slice::might_forbid_in(&rule.scope, case.target.as_str())
            && slice::action_fits(&rule.scope, &uid, None)
    });
    if may_be_forbidden {
        return Answer { allowed: false, policies: Vec::new(), lasting: true };
    }
    let target = kinds.target(case.target);
    let query = asked.on(action, case.target, None);
    asked.answer(&query, |rule| !rule.reads_resource && slice::covers(&rule.scope, &target))
}

/// Decide about a command: whoever may invoke it may run it, whatever verbs he has. What is wrong with its parameters is told
/// to nobody else.
fn invoked(case: &Case<'_>, analysis: &Arc<Analysis>, command: &str) -> (Kept, bool) {
    let called = Called::tool(command);
    let may = case.asked.ask(&case.asked.call(case.target, &called));
    let (mut policies, mut lasting) = (may.policies, may.lasting);
    let arm = if !may.allowed {
        Arm::Refuse { refusal: no_command(case.target, command), member: 0 }
    } else if let Some(refusal) = &analysis.forbidden {
        Arm::Refuse { refusal: refusal.clone(), member: 0 }
    } else {
        let stays = case.asked.stays_in(case.target, &called, |answer| {
            lasting &= answer.lasting;
            policies.extend(answer.policies);
        });
        Arm::Allow { text: None, scope: Some(Arc::new(Scope { stays, ..Scope::default() })) }
    };
    policies.sort();
    policies.dedup();
    let decided =
        Decided { policies: policies.into(), set_digest: case.asked.set.digest(), unrestricted: false };
    (Kept { analysis: analysis.clone(), decided: Arc::new(decided), arm }, lasting)
}

/// Decide; the second value says whether the decision holds until the policies change, and is to be kept.
pub(crate) fn decide(case: &Case<'_>, analysis: &Arc<Analysis>, answers: &mut Answers) -> (Kept, bool) {
    if let Some(command) = &analysis.invokes {
        return invoked(case, analysis, command);
    }
    let (unrestricted, mut policies, mut lasting) = answers.unrestricted(case, analysis.classified);
    let kept = |arm: Arm, mut policies: Vec<Arc<str>>| {
        policies.sort();
        policies.dedup();
        let decided =
            Decided { policies: policies.into(), set_digest: case.asked.set.digest(), unrestricted };
        Kept { analysis: analysis.clone(), decided: Arc::new(decided), arm }
    };
    if let Some(refusal) = &analysis.forbidden {
        return (kept(Arm::Refuse { refusal: refusal.clone(), member: 0 }, Vec::new()), true);
    }
    if unrestricted {
        return (kept(Arm::Allow { text: analysis.replaced.clone(), scope: None }, policies), lasting);
    }
    let Granted { scope, held } = match granted(case, analysis, answers, &mut policies, &mut lasting) {
        Ok(granted) => granted,
        Err(((refusal, member), by)) => return (kept(Arm::Refuse { refusal, member }, by), lasting),
    };
    // What cannot be written out again is refused even where every name in it is permitted: names that no tree shows
    // are not among them.
    let text = match analysis.confined.get(&scope) {
        Ok(text) => text,
        Err(refusal) => return (kept(Arm::Refuse { refusal, member: 0 }, policies), lasting),
    };
    lasting &= text.len() <= WORDS_KEPT_BYTES_MAX;
    match held {
        Some((refusal, member)) => (kept(Arm::Hold { refusal, member }, policies), lasting),
        None => (kept(Arm::Allow { text: Some(text), scope: Some(Arc::new(scope)) }, policies), lasting),
    }
}

/// A refusal with the number of the statement that it is about.
type Of = (Refusal, usize);

/// Statements of which none is refused to the caller.
struct Granted {
    /// What he sees through them.
    scope: Scope,
    /// What somebody would have to say yes to first.
    held: Option<Of>,
}

/// Ask about each statement. A refusal comes with the policies that made it.
fn granted(
    case: &Case<'_>,
    analysis: &Analysis,
    answers: &mut Answers,
    policies: &mut Vec<Arc<str>>,
    lasting: &mut bool,
) -> Result<Granted, (Of, Vec<Arc<str>>)> {
    let mut held = None;
    for (member, statement) in analysis.members.iter().enumerate() {
        for touch in &statement.touches {
            match touched(case, touch, answers, policies, lasting) {
                Verdict::Allowed => {}
                Verdict::Held(refusal) => held = held.or(Some((refusal, member))),
                Verdict::Refused(refusal, by) => return Err(((refusal, member), by)),
            }
        }
        if let Some(refusal) = assigned(case, analysis, &statement.uses) {
            return Err(((refusal, member), Vec::new()));
        }
        match whole(case, statement.whole, answers, policies, lasting) {
            Verdict::Allowed => {}
            Verdict::Held(refusal) => held = held.or(Some((refusal, member))),
            Verdict::Refused(refusal, by) => return Err(((refusal, member), by)),
        }
    }
    Ok(Granted { scope: scope(case, analysis, answers, policies, lasting), held })
}

/// Whether what was permitted is permitted still, and shows no less than `then` did, `None` for the caller's own words, nor
/// anything otherwise.
pub(crate) fn still(
    case: &Case<'_>,
    since: &Since,
    answers: &mut Answers,
    then: Option<&Scope>,
) -> Result<(), Box<Denied>> {
    let denied = |refusal: Refusal, member: usize, policies: Vec<Arc<str>>| {
        let set_digest = case.asked.set.digest();
        let decided = Decided { policies: policies.into(), set_digest, unrestricted: false };
        Box::new(Denied { refusal, member, decided })
    };
    let analysis = &since.now;
    if let Some(command) = &analysis.invokes {
        let by = |decided: &Decided| decided.policies.to_vec();
        return match invoked(case, analysis, command).0.decision(analysis) {
            Decision::Allow(permit) => {
                let less = permit.scope().zip(then).is_some_and(|(now, then)| !now.shows_all_of(then));
                if less { Err(denied(shows_less(), 0, by(permit.decided()))) } else { Ok(()) }
            }
            Decision::Hold(question) => Err(Box::new(question.denied())),
            Decision::Refuse(denied) => Err(Box::new(denied)),
        };
    }
    let (unrestricted, mut policies, mut lasting) = answers.unrestricted(case, analysis.classified);
    if unrestricted {
        return Ok(());
    }
    let granted = granted(case, analysis, answers, &mut policies, &mut lasting);
    let Granted { scope, held } = granted.map_err(|((refusal, member), by)| denied(refusal, member, by))?;
    if let Some((refusal, member)) = held {
        return Err(denied(refusal, member, policies));
    }
    let less = match then {
        Some(then) => !scope.shows_all_of(then),
        // His own words go on where he would see the same through those that could be sent for them now.
        None => {
            let looked_through = |member: &chaperone_access::Member| member.free_text != FreeText::None;
            !scope.shows_everything()
                || analysis.members.iter().any(looked_through)
                || analysis.confined.get(&scope).is_err()
        }
    };
    if less {
        return Err(denied(shows_less(), 0, policies));
    }
    if shown_otherwise(since, &scope) {
        return Err(denied(shows_otherwise(), 0, policies));
    }
    Ok(())
}

/// The refusal of what runs and shows what its caller may not see any more.
fn shows_less() -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, "you may see less now of what it reads")
        .hint("run it again: it shows what you may see now")
}

/// The same where masks, row filters or what is looked through are others now.
fn shows_otherwise() -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, "what it reads is to be shown otherwise now")
        .hint("run it again: it shows what you may see now")
}

/// The words that [`decide`] would have made on a thread with a deep stack, and waited for.
pub(crate) fn unwritten(case: &Case<'_>, analysis: &Analysis, answers: &mut Answers) -> Option<Unwritten> {
    if analysis.forbidden.is_some() || answers.unrestricted(case, analysis.classified).0 {
        return None;
    }
    let Granted { scope, .. } = granted(case, analysis, answers, &mut Vec::new(), &mut true).ok()?;
    Unwritten::of(&analysis.confined, &scope)
}

/// What the caller sees of the relations that the statements touch.
fn scope(
    case: &Case<'_>,
    analysis: &Analysis,
    answers: &mut Answers,
    policies: &mut Vec<Arc<str>>,
    lasting: &mut bool,
) -> Scope {
    let mut scope = Scope {
        caller: Arc::new(case.asked.delegation.attributes.clone()),
        under: case.under.cloned(),
        narrowed: case.restriction.leaves_out_columns(),
        ..Scope::default()
    };
    let mut stays: Option<BTreeSet<&'static str>> = None;
    for touch in analysis.members.iter().flat_map(|member| &member.touches) {
        let seen = match &touch.facts {
            // A relation that a classification should speak of and does not: nothing of it is seen.
            None if analysis.classified && touch.rule == NameRule::Named => continue,
            // Nothing is done to it but that a constraint compares with it.
            Some(_) if touch.verbs == Verbs::NONE && !readable(case, touch, answers, policies, lasting) => {
                continue;
            }
            None => RelationScope::Whole,
            Some(facts) => {
                let sees = answers.sees(case, touch, facts);
                policies.extend(sees.policies.iter().cloned());
                *lasting &= sees.lasting;
                // A result can hold the texts of all of them: what stays has to in each.
                stays = match (stays, sees.stays) {
                    (Some(known), Some(more)) => Some(known.intersection(&more).copied().collect()),
                    (known, more) => known.or(more),
                };
                match left(case, analysis, &touch.relation) {
                    Some(left) => sight::narrowed(&sees.scope, facts, &left),
                    None => sees.scope,
                }
            }
        };
        scope.relations.insert(touch.relation.clone(), seen);
    }
    if let Some(relations) = &analysis.describes {
        let found = answers.describes(case, relations);
        policies.extend(found.policies.iter().cloned());
        *lasting &= found.lasting;
        scope.described = Some(found.described);
    }
    scope.stays = stays.unwrap_or_default();
    scope
}

/// Whether the caller may read a relation that his statement does not name.
fn readable(
    case: &Case<'_>,
    touch: &Touch,
    answers: &mut Answers,
    policies: &mut Vec<Arc<str>>,
    lasting: &mut bool,
) -> bool {
    if !case.restriction.allows(Verb::Read, &touch.relation) {
        return false;
    }
    let about =
        About { verb: Verb::Read, on: Some((touch.relation.clone(), touch.within.clone())), approved: false };
    matches!(one(case, about, "", answers, policies, lasting), Verdict::Allowed)
}

enum Verdict {
    Allowed,
    Held(Refusal),
    Refused(Refusal, Vec<Arc<str>>),
}

fn touched(
    case: &Case<'_>,
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
    if case.restriction.columns(&touch.relation).is_some()
        && !touch.facts.as_deref().is_some_and(RelationFacts::speaks)
    {
        let what = format!("see some columns of `{name}`, of which nobody has said what they hold");
        let hint = "make a credential for the relation as a whole, or for columns of what it reads";
        return Verdict::Refused(missing(&what, hint), Vec::new());
    }
    for verb in touch.verbs.iter() {
        let what = format!("`{}` on `{name}`", verb.as_str());
        if !case.restriction.allows(verb, &touch.relation) {
            return Verdict::Refused(missing(&what, NARROWED), Vec::new());
        }
        let about = About { verb, on: Some((touch.relation.clone(), touch.within.clone())), approved: false };
        match one(case, about, &what, answers, policies, lasting) {
            Verdict::Allowed => {}
            other @ (Verdict::Held(_) | Verdict::Refused(..)) => return other,
        }
    }
    Verdict::Allowed
}

/// The columns of a relation that the credential has, where it has not all: those of a partition, or of what inherits
/// from it, are those that both have.
fn left(case: &Case<'_>, analysis: &Analysis, relation: &RelationName) -> Option<BTreeSet<Arc<str>>> {
    if case.restriction.is_none() {
        return None;
    }
    let touches = analysis.members.iter().flat_map(|member| &member.touches);
    let same_rows = touches.filter(|touch| touch.relation == *relation || touch.within.contains(relation));
    let named = same_rows.filter_map(|touch| case.restriction.columns(&touch.relation)).cloned();
    named.reduce(|one, other| one.intersection(&other).cloned().collect())
}

/// The refusal of an assignment to a column that the credential has not.
fn assigned(case: &Case<'_>, analysis: &Analysis, uses: &[ColumnUse]) -> Option<Refusal> {
    let mut written = uses.iter().filter(|used| used.written && !case.restriction.is_none());
    let used = written
        .find(|used| left(case, analysis, &used.relation).is_some_and(|left| !left.contains(&used.column)))?;
    Some(missing(&format!("assign to `{}` of `{}`", used.column, used.relation), NARROWED))
}

fn whole(
    case: &Case<'_>,
    verbs: Verbs,
    answers: &mut Answers,
    policies: &mut Vec<Arc<str>>,
    lasting: &mut bool,
) -> Verdict {
    let target = case.target;
    for verb in verbs.iter() {
        let what = format!("`{}` on target `{target}`", verb.as_str());
        if !case.restriction.allows_whole(verb) {
            return Verdict::Refused(missing(&what, NARROWED), Vec::new());
        }
        let about = About { verb, on: None, approved: false };
        match one(case, about, &what, answers, policies, lasting) {
            Verdict::Allowed => {}
            other @ (Verdict::Held(_) | Verdict::Refused(..)) => return other,
        }
    }
    Verdict::Allowed
}

fn one(
    case: &Case<'_>,
    about: About,
    what: &str,
    answers: &mut Answers,
    policies: &mut Vec<Arc<str>>,
    lasting: &mut bool,
) -> Verdict {
    let answer = answers.of(&case.asked, case.target, about.clone());
    *lasting &= answer.lasting;
    if answer.allowed {
        policies.extend(answer.policies);
        return Verdict::Allowed;
    }
    let approved = answers.of(&case.asked, case.target, About { approved: true, ..about });
    *lasting &= approved.lasting;
    if approved.allowed {
        let refusal = Refusal::new(RefusalCode::ApprovalRequired, format!("{what} needs an approval"))
            .hint("ask somebody who may grant it to change the policy: approvals cannot be given here yet");
        return Verdict::Held(refusal);
    }
    Verdict::Refused(
        missing(
            what,
            "ask an administrator for it, naming this permission; `chaperone policy explain --sql` says what would change it",
        ),
        answer.policies,
    )
}

fn missing(what: &str, hint: &str) -> Refusal {
    Refusal::new(RefusalCode::NotPermitted, format!("you have no permission to {what}")).hint(hint)
}

#[cfg(test)]
mod commands;
#[cfg(test)]
mod narrowing;
#[cfg(test)]
pub(crate) mod tests;
