//! Why somebody may or may not, and what would change it: the deciding policies, and the same question asked again with
//! an approval, in another group, without a client, without each forbid that bites.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::Effect;
use chaperone_access::{
    Analysis, Called, Delegation, NameRule, Refusal, RelationName, SQL_TOOLS, TargetName, Verb,
};
use chaperone_identity::Restriction;
use serde::Serialize;

use crate::ask::{Answer, Asked};
use crate::asking::Asking;
use crate::change::circumstances;
use crate::decide::{self, Answers, Case};
use crate::limits::Limits;
use crate::load::{PolicySet, Rule};
use crate::permit::{Decided, Decision};
use crate::profile;
use crate::sight::{self, Sight};
use crate::view::{self, SeenColumn, SeenRows, UsedColumn, View};
use crate::world::{OF_SERVER, OfRelation, OfTarget, Ruling, Thing, World};

/// Most relations of which it is told what would reveal their columns, where no statement names some.
const UNREVEALED_MAX: usize = 64;

/// What would make a refusal something else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "change", content = "name")]
pub enum WouldChange {
    /// Somebody's approval.
    Approval,
    /// Membership in this group, `issuer/group`.
    Group(String),
    /// Acting without a client.
    NoClient,
    /// Acting without a server of others.
    NoServer,
    /// Acting through this client.
    Client(String),
    /// Acting through this server of others.
    Server(String),
    /// A credential for this purpose.
    Purpose(String),
    /// An authentication of this class (`acr`).
    AuthenticationClass(String),
    /// An authentication by this method (`amr`).
    AuthenticationMethod(String),
    /// An authentication a moment ago.
    FreshAuthentication,
    /// This attribute of the subject, `name = value`.
    Attribute(String),
    /// This time (RFC 3339), or half an hour before it.
    Time(String),
    /// All of these together, none of them alone.
    Together(Vec<WouldChange>),
    /// Without this forbid, it would be allowed.
    WithoutForbid(String),
    /// Without all of these forbids together, it would be allowed.
    WithoutForbids(Vec<String>),
    /// No permit covers it, whatever the forbids say: one that names this action and this thing.
    Permit(String),
}

impl std::fmt::Display for WouldChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Approval => f.write_str("an approval"),
            Self::Group(group) => write!(f, "membership in `{group}`"),
            Self::NoClient => f.write_str("acting without a client"),
            Self::NoServer => f.write_str("acting without a server"),
            Self::Client(name) => write!(f, "acting through client `{name}`"),
            Self::Server(name) => write!(f, "acting through server `{name}`"),
            Self::Purpose(code) => write!(f, "the purpose `{code}`"),
            Self::AuthenticationClass(acr) => write!(f, "an authentication of class `{acr}`"),
            Self::AuthenticationMethod(method) => write!(f, "an authentication by `{method}`"),
            Self::FreshAuthentication => f.write_str("a fresh authentication"),
            Self::Attribute(text) => write!(f, "the attribute {text}"),
            Self::Time(at) => write!(f, "the time: from {at}"),
            Self::Together(these) => {
                let these: Vec<String> = these.iter().map(ToString::to_string).collect();
                f.write_str(&these.join(", together with "))
            }
            Self::WithoutForbid(name) => write!(f, "no `{name}`: this forbid bites"),
            Self::WithoutForbids(names) => {
                write!(f, "none of `{}`: these forbids bite together", names.join("`, `"))
            }
            Self::Permit(what) => write!(f, "a permit for {what}: no policy has one for this caller"),
        }
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is done.
    pub action: String,
    /// To what.
    pub on: String,
    /// The answer.
    pub ruling: Ruling,
    /// The policies that decided it, sorted.
    pub policies: Vec<String>,
    /// What would change it, where it is not allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would_change: Vec<WouldChange>,
}

/// What one relation is to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// `schema.name`.
    pub relation: String,
    /// Verbs that are allowed.
    pub allowed: Vec<&'static str>,
    /// Verbs that need an approval.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<&'static str>,
    /// Its columns, where the target is classified and that is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<SeenColumn>,
    /// Which rows, where the relation has a filter and that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<SeenRows>,
    /// What stands between the caller and the values of those of its columns that are masked or hidden, by tags, and what
    /// would reveal them; of relations that a statement touches, or of all where there are few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unrevealed: Vec<Finding>,
}

/// What somebody may do at a target, relation by relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Whether every statement passes as it is.
    pub unrestricted: bool,
    /// Relations of which something is allowed.
    pub relations: Vec<Seen>,
    /// How many others there are.
    pub hidden: usize,
}

/// What somebody may do with each relation of a target. `now_us` is in microseconds since the Unix epoch.
#[must_use]
pub fn access(
    set: &PolicySet,
    delegation: &Delegation,
    target: &TargetName,
    world: &World,
    now_us: u64,
) -> Access {
    let asker = Asker { set, delegation, now_us };
    let mut access = asker.access(target, world);
    asker.columns(target, world, access.unrestricted, &mut access.relations);
    access
}

/// The answer about a statement as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfStatement {
    /// The answer.
    pub ruling: Ruling,
    /// What the client would be told, where it is not allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// The policies that decided it.
    pub policies: Vec<String>,
    /// What is sent to the target in the place of the client's own text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// Each verb on each relation that the statement needs.
    pub needs: Vec<Finding>,
    /// What the columns that it uses are to the caller, where the target is classified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<UsedColumn>,
    /// Groups, each of which alone would make the whole statement allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// Everything that is explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// SHA-256 of the set, in hexadecimal.
    pub policy: String,
    /// Who asks.
    pub delegation: Delegation,
    /// At which target.
    pub target: String,
    /// Whether they may be there.
    pub connect: Finding,
    /// Whether the target has a classification: without one all columns and rows of a relation are seen by whoever may
    /// read it.
    pub classified: bool,
    /// Whether they have everything on the whole target, so that their own text is sent.
    pub unrestricted: bool,
    /// What they may not go beyond.
    pub limits: Limits,
    /// The tools of the target: those that the gateway offers of one of statements, declared commands, or a server's own; and
    /// what these may ask for, where some policy permits that to any.
    pub tools: Vec<Finding>,
    /// Reading a server's resources, and using its prompts; none at another target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub of_server: Vec<Finding>,
    /// Verbs on the target as a whole; none where it takes no statements.
    pub whole: Vec<Finding>,
    /// The target as they see it, without the relations on which they have no verb.
    pub relations: Vec<Seen>,
    /// How many relations they have no verb on.
    pub hidden: usize,
    /// The statement, where one is asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<OfStatement>,
}

fn named(policies: &[Arc<str>]) -> Vec<String> {
    policies.iter().map(ToString::to_string).collect()
}

/// A set and somebody who asks it hypothetically.
pub(crate) struct Asker<'a> {
    pub(crate) set: &'a PolicySet,
    pub(crate) delegation: &'a Delegation,
    pub(crate) now_us: u64,
}

impl Asker<'_> {
    fn as_is<T>(&self, ask: impl FnOnce(&Asked<'_>) -> T) -> T {
        self.with(self.delegation, ask)
    }

    fn with<T>(&self, delegation: &Delegation, ask: impl FnOnce(&Asked<'_>) -> T) -> T {
        self.at(delegation, self.now_us, ask)
    }

    fn at<T>(&self, delegation: &Delegation, now_us: u64, ask: impl FnOnce(&Asked<'_>) -> T) -> T {
        let who = self.set.who(delegation);
        ask(&Asked::new(self.set, delegation, &who, now_us, now_us))
    }

    /// The groups of the caller's issuer that policies name and the caller is not in.
    fn other_groups(&self, known: &BTreeSet<String>) -> Vec<String> {
        let issuer = &self.delegation.subject.issuer;
        let of_issuer =
            known.iter().filter_map(|group| group.strip_prefix(issuer.as_str())?.strip_prefix('/'));
        of_issuer.filter(|group| !self.delegation.groups.contains(*group)).map(str::to_owned).collect()
    }

    fn in_group(&self, group: &str) -> Delegation {
        let mut delegation = self.delegation.clone();
        delegation.groups.insert(group.to_owned());
        delegation
    }

    /// The answer to one question, with what would change it.
    pub(crate) fn finding(&self, thing: &Thing<'_>, groups: &BTreeSet<String>) -> Finding {
        let (ruling, answer) = self.as_is(|asked| thing.ask(asked));
        Finding {
            action: thing.action().to_owned(),
            on: thing.on(),
            ruling,
            policies: named(&answer.policies),
            would_change: match ruling {
                Ruling::Allow => Vec::new(),
                Ruling::Hold | Ruling::Refuse => self.would_change(thing, ruling, &answer, groups),
            },
        }
    }

    fn would_change(
        &self,
        thing: &Thing<'_>,
        ruling: Ruling,
        answer: &Answer,
        groups: &BTreeSet<String>,
    ) -> Vec<WouldChange> {
        let mut changes = Vec::new();
        if ruling == Ruling::Hold {
            changes.push(WouldChange::Approval);
        }
        changes.extend(self.forbids(thing, answer));
        if self.delegation.client.is_some() {
            let alone = Delegation { client: None, recipient: None, ..self.delegation.clone() };
            if self.with(&alone, |asked| thing.ask(asked).0) == Ruling::Allow {
                changes.push(WouldChange::NoClient);
            }
        }
        if self.delegation.server.is_some() {
            // At a server itself there is no other way.
            let alone = Delegation { server: None, tool: None, ..self.delegation.clone() };
            if self.with(&alone, |asked| thing.ask(asked).0) == Ruling::Allow {
                changes.push(WouldChange::NoServer);
            }
        }
        changes.extend(self.as_is(|asked| {
            let (rules, clients) = (thing.fitting(asked), self.set.clients());
            circumstances(&rules, self.delegation, clients, self.now_us, |who, now_us| {
                self.at(who, now_us, |asked| thing.ask(asked).0) == Ruling::Allow
            })
        }));
        for group in self.other_groups(groups) {
            if self.with(&self.in_group(&group), |asked| thing.ask(asked).0) == Ruling::Allow {
                changes.push(WouldChange::Group(format!("{}/{group}", self.delegation.subject.issuer)));
            }
        }
        let permitted =
            self.as_is(|asked| thing.answer(asked, |rule| rule.scope.effect == Effect::Permit).allowed);
        if !permitted && ruling == Ruling::Refuse {
            changes.push(WouldChange::Permit(format!("`{}` on `{}`", thing.action(), thing.on())));
        }
        changes
    }

    /// The forbids that stand in the way.
    fn forbids(&self, thing: &Thing<'_>, answer: &Answer) -> Vec<WouldChange> {
        let without = |names: &[Arc<str>]| {
            self.as_is(|asked| {
                let counts = |rule: &Rule| rule.scope.effect == Effect::Permit || !names.contains(&rule.name);
                thing.answer(asked, counts).allowed
            })
        };
        let biting = self.as_is(|asked| thing.forbids(asked, &answer.policies));
        let alone: Vec<&Arc<str>> =
            biting.iter().filter(|name| without(std::slice::from_ref(*name))).collect();
        if alone.is_empty() && biting.len() > 1 && without(&biting) {
            return vec![WouldChange::WithoutForbids(named(&biting))];
        }
        alone.into_iter().map(|name| WouldChange::WithoutForbid(name.to_string())).collect()
    }

    /// The answer about a statement.
    pub(crate) fn statement(
        &self,
        target: &TargetName,
        analysis: &Arc<Analysis>,
        groups: &BTreeSet<String>,
    ) -> OfStatement {
        let decision = self.decision(self.delegation, target, analysis);
        let mut needs = Vec::new();
        for member in analysis.members.iter() {
            for touch in member.touches.iter().filter(|touch| touch.rule == NameRule::Named) {
                for verb in touch.verbs.iter() {
                    let thing = Thing::Verb(verb, target, Some((&touch.relation, &touch.within)));
                    needs.push(self.finding(&thing, groups));
                }
            }
            needs.extend(
                member.whole.iter().map(|verb| self.finding(&Thing::Verb(verb, target, None), groups)),
            );
        }
        needs.sort_by(|one, other| (&one.on, &one.action).cmp(&(&other.on, &other.action)));
        needs.dedup();
        let Bare { ruling, refusal, policies, unrestricted, sent } = decision.into();
        let columns = self.as_is(|asked| view::used(asked, target, analysis, unrestricted));
        let mut helpful = Vec::new();
        if ruling != Ruling::Allow {
            for group in self.other_groups(groups) {
                let then = Bare::from(self.decision(&self.in_group(&group), target, analysis));
                if then.ruling == Ruling::Allow {
                    helpful.push(format!("{}/{group}", self.delegation.subject.issuer));
                }
            }
        }
        OfStatement {
            ruling,
            told: refusal.map(|refusal| refusal.to_string()),
            policies: named(&policies),
            sent,
            needs,
            columns,
            groups: helpful,
        }
    }

    fn decision(&self, delegation: &Delegation, target: &TargetName, analysis: &Arc<Analysis>) -> Decision {
        let who = self.set.who(delegation);
        let now_us = self.now_us;
        let asked = Asked::new(self.set, delegation, &who, now_us, now_us);
        let case = Case { asked, target, restriction: &Restriction::default(), confined: false, under: None };
        decide::decide(&case, analysis, &mut Answers::default()).0.decision(analysis)
    }
}

/// A decision without what it proves.
struct Bare {
    ruling: Ruling,
    refusal: Option<Refusal>,
    policies: Arc<[Arc<str>]>,
    unrestricted: bool,
    sent: Option<String>,
}

impl From<Decision> for Bare {
    fn from(decision: Decision) -> Self {
        let (ruling, denied) = match decision {
            Decision::Allow(permit) => {
                let (decided, sent) = (permit.decided(), permit.text().map(ToString::to_string));
                let (policies, unrestricted) = (decided.policies.clone(), decided.unrestricted);
                return Self { ruling: Ruling::Allow, refusal: None, policies, unrestricted, sent };
            }
            Decision::Hold(question) => (Ruling::Hold, question.denied()),
            Decision::Refuse(denied) => (Ruling::Refuse, denied),
        };
        let Decided { policies, unrestricted, .. } = denied.decided;
        Self { ruling, refusal: Some(denied.refusal), policies, unrestricted, sent: None }
    }
}

impl Asker<'_> {
    fn access(&self, target: &TargetName, world: &World) -> Access {
        let unrestricted = self.as_is(|asked| self.unrestricted(asked, target, world));
        let (mut relations, mut hidden) = (Vec::new(), 0);
        for (relation, OfRelation { within, .. }) in world.relations(target) {
            let (mut allowed, mut held) = (Vec::new(), Vec::new());
            for verb in Verb::ALL {
                let thing = Thing::Verb(verb, target, Some((relation, within)));
                match self.as_is(|asked| thing.ask(asked).0) {
                    Ruling::Allow => allowed.push(verb.as_str()),
                    Ruling::Hold => held.push(verb.as_str()),
                    Ruling::Refuse => {}
                }
            }
            if allowed.is_empty() && held.is_empty() {
                hidden += 1;
            } else {
                let (relation, columns, rows) = (relation.to_string(), Vec::new(), None);
                relations.push(Seen { relation, allowed, held, columns, rows, unrevealed: Vec::new() });
            }
        }
        Access { unrestricted, relations, hidden }
    }

    /// What one column is to the caller, or why nobody can tell.
    pub(crate) fn column(
        &self,
        target: &TargetName,
        world: &World,
        relation: &RelationName,
        column: &str,
    ) -> Result<SeenColumn, String> {
        let known = world.relation(target, relation);
        let OfRelation { within, facts: Some(facts) } = known.cloned().unwrap_or_default() else {
            return Err(format!(
                "nothing is known of the columns of `{relation}` at `{target}` (hint: it needs the target's \
                 classification and catalog)"
            ));
        };
        let View { columns, .. } = if self.as_is(|asked| self.unrestricted(asked, target, world)) {
            view::whole(&facts)
        } else {
            self.as_is(|asked| view::view(asked, target, (relation, &within), &facts))
        };
        let found = columns.into_iter().find(|seen| seen.name == column);
        found.ok_or_else(|| format!("`{relation}` has no column `{column}`"))
    }

    fn unrestricted(&self, asked: &Asked<'_>, target: &TargetName, world: &World) -> bool {
        let Asked { set, delegation, who, now_us, opened_us, .. } = *asked;
        let asked = Asked::new(set, delegation, who, now_us, opened_us);
        let case = Case { asked, target, restriction: &Restriction::default(), confined: false, under: None };
        decide::unrestricted(&case, world.is_classified(target)).0
    }

    /// Add what columns and rows of each relation are to the caller.
    fn columns(&self, target: &TargetName, world: &World, unrestricted: bool, relations: &mut [Seen]) {
        for (relation, OfRelation { within, facts }) in world.relations(target) {
            let Some(facts) = facts else { continue };
            let name = relation.to_string();
            let Some(seen) = relations.iter_mut().find(|seen| seen.relation == name) else { continue };
            let View { columns, rows } = if unrestricted {
                view::whole(facts)
            } else {
                self.as_is(|asked| view::view(asked, target, (relation, within), facts))
            };
            (seen.columns, seen.rows) = (columns, rows);
        }
    }

    /// Add what would reveal the columns that are masked or hidden, of relations that are asked about.
    fn unrevealed(
        &self,
        target: &TargetName,
        world: &World,
        groups: &BTreeSet<String>,
        relations: &mut [Seen],
        asked_about: impl Fn(&str) -> bool,
    ) {
        for (relation, OfRelation { within, facts }) in world.relations(target) {
            let (name, on) = (relation.to_string(), (relation, within.as_slice()));
            let seen = relations.iter_mut().find(|seen| seen.relation == name && asked_about(&name));
            let (Some(facts), Some(seen)) = (facts, seen) else { continue };
            for alike in sight::alike(&[self.set], target, on, facts) {
                let thing = Thing::Columns(Sight::Reveal, target, on, alike);
                let finding = self.finding(&thing, groups);
                if finding.ruling != Ruling::Allow {
                    seen.unrevealed.push(finding);
                }
            }
        }
    }
}

/// What the columns that a statement uses are to somebody, sorted, without what would change it. `now_us` is in
/// microseconds since the Unix epoch.
#[must_use]
pub fn columns_used(
    set: &PolicySet,
    delegation: &Delegation,
    target: &TargetName,
    analysis: &Arc<Analysis>,
    now_us: u64,
) -> Vec<UsedColumn> {
    let asker = Asker { set, delegation, now_us };
    let unrestricted = Bare::from(asker.decision(delegation, target, analysis)).unrestricted;
    asker.as_is(|asked| view::used(asked, target, analysis, unrestricted))
}

/// Explain what somebody may do at a target, and one statement where one is given. `now_us` is in microseconds since the
/// Unix epoch.
#[must_use]
pub fn explain(
    set: &PolicySet,
    delegation: &Delegation,
    target: &TargetName,
    world: &World,
    statement: Option<&Arc<Analysis>>,
    now_us: u64,
) -> Explanation {
    let there = profile::at(delegation, target.as_str(), &set.clients);
    let delegation = there.as_ref().unwrap_or(delegation);
    let asker = Asker { set, delegation, now_us };
    let groups = set.names().groups;
    let Access { unrestricted, mut relations, hidden } = asker.access(target, world);
    asker.columns(target, world, unrestricted, &mut relations);
    if !unrestricted {
        let touched: Option<BTreeSet<String>> = statement.map(|analysis| {
            let touches = analysis.members.iter().flat_map(|member| member.touches.iter());
            touches.map(|touch| touch.relation.to_string()).collect()
        });
        let few = relations.len() <= UNREVEALED_MAX;
        asker.unrevealed(target, world, &groups, &mut relations, |name| {
            touched.as_ref().map_or(few, |touched| touched.contains(name))
        });
    }
    let bare = BTreeSet::new();
    let known = world.targets.get(target);
    let statements = known.is_none_or(|known| known.tools.is_none());
    let mut tools = known.map_or_else(|| SQL_TOOLS.to_vec(), OfTarget::tools);
    // One that is asked about, and that nobody has declared or named yet.
    let asked_about = delegation.tool.as_deref().filter(|tool| !statements && !tools.contains(tool));
    tools.extend(asked_about);
    let asks: Vec<Thing<'_>> = if statements {
        Vec::new()
    } else {
        let about = Asking::ALL.into_iter().filter(|asking| set.is_about_asking(*asking));
        about.flat_map(|asking| tools.iter().map(move |tool| Thing::Asks(asking, target, tool))).collect()
    };
    let things: Vec<Thing<'_>> =
        tools.iter().map(|tool| Thing::Call(target, Called::tool(tool))).chain(asks).collect();
    let verbs = Verb::ALL.into_iter().filter(|_| statements);
    let is_server = known.is_some_and(|known| known.is_server);
    let of_server = OF_SERVER.into_iter().filter(|_| is_server);
    Explanation {
        policy: set.digest_text(),
        delegation: delegation.clone(),
        target: target.to_string(),
        connect: asker.finding(&Thing::Connect(target), &groups),
        classified: world.is_classified(target),
        unrestricted: unrestricted && statements,
        limits: set.limits(delegation, target),
        tools: things.iter().map(|thing| asker.finding(thing, &groups)).collect(),
        of_server: of_server.map(|called| asker.finding(&Thing::Call(target, called), &groups)).collect(),
        whole: verbs.map(|verb| asker.finding(&Thing::Verb(verb, target, None), &bare)).collect(),
        relations,
        hidden,
        statement: statement.map(|analysis| asker.statement(target, analysis, &groups)),
    }
}
