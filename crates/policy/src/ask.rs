//! One question to Cedar: who, which action, on what, in which circumstances.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression,
};
use chaperone_access::{
    Assurance, Attribute, Called, Delegation, RelationName, SubjectKind, TargetName, Verb,
};

use crate::asking::Asking;
use crate::load::{PolicySet, Rule};
use crate::manage::ManagementAction;
use crate::slice;

/// What Cedar said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    /// Names of the policies that decided, sorted.
    pub(crate) policies: Vec<Arc<str>>,
    /// Whether it holds until the policies change.
    pub(crate) lasting: bool,
}

/// What Cedar said of some rules.
struct Said {
    permitted: bool,
    /// Every one of them could be evaluated.
    sound: bool,
    /// Names of those that decided, sorted.
    policies: Vec<Arc<str>>,
    lasting: bool,
}

impl Answer {
    /// Something went wrong on our side.
    fn failed() -> Self {
        Self { allowed: false, policies: Vec::new(), lasting: false }
    }

    /// Both have to be allowed: the policies are those of both, or of the one that is not.
    pub(crate) fn also(&mut self, other: Self) {
        self.lasting &= other.lasting;
        if other.allowed {
            self.policies.extend(other.policies);
            self.policies.sort();
            self.policies.dedup();
        } else {
            self.allowed = false;
            self.policies = other.policies;
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
    column: EntityTypeName,
    tag: EntityTypeName,
    tool: EntityTypeName,
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
            column: kind("Column")?,
            tag: kind("Tag")?,
            tool: kind("Tool")?,
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

    fn column(&self, target: &TargetName, column: &str) -> EntityUid {
        uid(&self.column, &format!("{target}/{column}"))
    }

    fn tag(&self, tag: &str) -> EntityUid {
        uid(&self.tag, tag)
    }

    fn installation(&self, name: &str) -> EntityUid {
        uid(&self.installation, name)
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// A relation and what it is in, nearest first.
pub(crate) type On<'a> = (&'a RelationName, &'a [RelationName]);

/// How policies name a column, behind `target/`: `schema.name.column`, parts that need it in double quotes.
#[must_use]
pub fn column_name(relation: &RelationName, column: &str) -> String {
    format!("{relation}.{}", RelationName::new("", column))
}

/// The relation and the column that such a name is made of.
pub(crate) fn named_column(text: &str) -> Option<(RelationName, String)> {
    text.match_indices('.').rev().find_map(|(at, _)| {
        let (relation, column) = (text.get(..at)?, text.get(at + 1..)?);
        let relation = relation.parse::<RelationName>().ok().filter(|name| !name.schema.is_empty())?;
        let column = column.parse::<RelationName>().ok().filter(|name| name.schema.is_empty())?;
        Some((relation, column.name.to_string()))
    })
}

/// A principal in Cedar's words, and the rules of one set whose scope can match it.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) me: EntityUid,
    /// The same with its groups and attributes; `None` where they are not what Cedar takes, which refuses everything.
    entity: Option<Entity>,
    /// Places of rules in the set, ascending.
    pub(crate) mine: Vec<usize>,
    /// The server that acts for it, which is judged by itself: what either may not, they may not together.
    server: Option<Box<(Delegation, Who)>>,
}

impl PolicySet {
    /// Who is behind a delegation: its subject, and the server that acts for that one.
    pub(crate) fn who(&self, delegation: &Delegation) -> Who {
        let alone = |of: Delegation| {
            let who = self.principal(&of);
            Box::new((of, who))
        };
        Who { server: delegation.exchanger().map(alone), ..self.principal(delegation) }
    }

    fn principal(&self, delegation: &Delegation) -> Who {
        let subject = &delegation.subject;
        let kind = match subject.kind {
            SubjectKind::Person => &self.kinds.person,
            SubjectKind::Service => &self.kinds.service,
        };
        let me = uid(kind, &format!("{}/{}", subject.issuer, subject.sub));
        let group = |group: &String| uid(&self.kinds.group, &format!("{}/{group}", subject.issuer));
        let groups: HashSet<EntityUid> = delegation.groups.iter().map(group).collect();
        let mine = self.rules_of(&me, &groups);
        let attributes: HashMap<String, RestrictedExpression> =
            delegation.attributes.iter().map(|(name, value)| (name.clone(), expression(value))).collect();
        let entity = Entity::new(me.clone(), attributes, groups).ok();
        Who { me, entity, mine, server: None }
    }
}

/// An attribute in Cedar's words. One of another kind than is declared makes the policies that read it fail, and what
/// fails is refused.
fn expression(value: &Attribute) -> RestrictedExpression {
    match value {
        Attribute::Bool(truth) => RestrictedExpression::new_bool(*truth),
        Attribute::Long(number) => RestrictedExpression::new_long(*number),
        Attribute::Text(text) => RestrictedExpression::new_string(text.clone()),
        Attribute::Texts(texts) => texts_of(texts.iter()),
    }
}

fn texts_of<'a>(texts: impl Iterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.map(|text| RestrictedExpression::new_string(text.clone())))
}

/// Somebody who asks, under one set.
pub(crate) struct Asked<'a> {
    pub(crate) set: &'a PolicySet,
    pub(crate) delegation: &'a Delegation,
    pub(crate) who: &'a Who,
    pub(crate) now_us: u64,
    /// When the session was opened, against which the age of its authentication is taken.
    pub(crate) opened_us: u64,
    /// The circumstances of most of what is asked: nothing approved, in the session's own tool.
    usual: OnceCell<Option<Context>>,
}

/// What is asked.
pub(crate) struct Query {
    action: EntityUid,
    /// The action that it is in.
    above: Option<EntityUid>,
    resource: EntityUid,
    /// What the resource is in.
    within: Vec<EntityUid>,
    approved: bool,
    /// What is called, where it is not the session's tool.
    called: Option<Called>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(
        set: &'a PolicySet,
        delegation: &'a Delegation,
        who: &'a Who,
        now_us: u64,
        opened_us: u64,
    ) -> Self {
        Self { set, delegation, who, now_us, opened_us, usual: OnceCell::new() }
    }

    /// The question of the server that acts for whoever asks.
    fn server(&self) -> Option<Self> {
        let (delegation, who) = &**self.who.server.as_ref()?;
        Some(Self::new(self.set, delegation, who, self.now_us, self.opened_us))
    }

    /// The answer about whoever asks, and where a server acts for him, about that one too: both have to be allowed.
    pub(crate) fn both(&self, ask: impl Fn(&Self) -> Answer) -> Answer {
        let mut answer = ask(self);
        if answer.allowed
            && let Some(server) = self.server()
        {
            answer.also(ask(&server));
        }
        answer
    }

    /// Every rule whose scope can match whoever asks, or the server that acts for him.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &'a Rule> + use<'a> {
        let set = self.set;
        let of_server = self.who.server.as_ref().map(|server| server.1.mine.as_slice());
        let all = self.who.mine.iter().chain(of_server.unwrap_or_default());
        all.filter_map(move |at| set.rules.get(*at))
    }

    /// The rules whose head fits.
    pub(crate) fn fitting<'b>(&'b self, query: &'b Query) -> impl Iterator<Item = &'a Rule> + use<'a, 'b> {
        let set = self.set;
        let rules = self.who.mine.iter().filter_map(|at| set.rules.get(*at));
        rules
            .filter(|rule| slice::action_fits(&rule.scope, &query.action, query.above.as_ref()))
            .filter(|rule| slice::resource_fits(&rule.scope, &query.resource, &query.within))
    }
}

impl Asked<'_> {
    fn context(&self, query: &Query) -> Option<Context> {
        if query.approved || query.called.is_some() {
            return self.circumstances(query);
        }
        self.usual.get_or_init(|| self.circumstances(query)).clone()
    }

    fn circumstances(&self, query: &Query) -> Option<Context> {
        let time = RestrictedExpression::new_datetime(rfc3339(self.now_us / 1000));
        let said = self.delegation;
        let registered = said.client.as_deref().is_some_and(|name| self.set.clients.get(name).is_some());
        let none = BTreeSet::new();
        let amr = said.assurance.as_ref().map_or(&none, |assurance| &assurance.amr);
        let mut pairs = vec![
            ("approved".to_owned(), RestrictedExpression::new_bool(query.approved)),
            ("time".to_owned(), time),
            ("registered".to_owned(), RestrictedExpression::new_bool(registered)),
            ("amr".to_owned(), texts_of(amr.iter())),
            ("authenticated_s".to_owned(), RestrictedExpression::new_long(self.authenticated_s())),
        ];
        let recipient = said.recipient.as_ref();
        let (tool, uri, prompt) = match &query.called {
            Some(Called::Tool(tool)) => (Some(&**tool), None, None),
            Some(Called::Resource(uri)) => (None, uri.as_deref(), None),
            Some(Called::Prompt(prompt)) => (None, None, prompt.as_deref()),
            None => (said.tool.as_deref(), None, None),
        };
        let beyond = said.server.as_ref().and_then(|server| server.recipient.as_ref());
        let texts = [
            ("client", said.client.as_deref()),
            ("purpose", said.purpose.as_deref()),
            ("recipient", recipient.map(|recipient| recipient.name.as_str())),
            ("agreement", recipient.and_then(|recipient| recipient.agreement.as_deref())),
            ("server", said.server.as_ref().map(|server| &*server.name)),
            ("server_recipient", beyond.map(|recipient| recipient.name.as_str())),
            ("server_agreement", beyond.and_then(|recipient| recipient.agreement.as_deref())),
            ("tool", tool),
            ("uri", uri),
            ("prompt", prompt),
            ("acr", said.assurance.as_ref().and_then(|assurance| assurance.acr.as_deref())),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                pairs.push((name.to_owned(), RestrictedExpression::new_string(value.to_owned())));
            }
        }
        Context::from_pairs(pairs).ok()
    }

    /// Seconds between authentication and the session's opening. Where nobody says when, longer ago than any policy asks.
    fn authenticated_s(&self) -> i64 {
        let at = self.delegation.assurance.as_ref().map(|assurance| assurance.at);
        let at = at.filter(|at| *at != Assurance::AT_UNKNOWN);
        let age = at.map(|at| (self.opened_us / 1_000_000).saturating_sub(at));
        age.and_then(|age| i64::try_from(age).ok()).unwrap_or(i64::MAX)
    }

    /// The question about a verb on a relation, given what it is in, or on the target as a whole.
    pub(crate) fn verb(&self, verb: Verb, target: &TargetName, on: Option<On<'_>>, approved: bool) -> Query {
        Query { approved, ..self.on(verb.as_str(), target, on) }
    }

    /// The question about an action on a relation, given what it is in, or on the target as a whole.
    pub(crate) fn on(&self, action: &str, target: &TargetName, on: Option<On<'_>>) -> Query {
        let kinds = &self.set.kinds;
        let (resource, within) = match on {
            None => (kinds.target(target), Vec::new()),
            Some((relation, parents)) => {
                let mut within = vec![kinds.target(target)];
                within.extend(parents.iter().map(|parent| kinds.relation(target, parent)));
                (kinds.relation(target, relation), within)
            }
        };
        Query { action: kinds.action(action), above: None, resource, within, approved: false, called: None }
    }

    /// The question about an action on a column of a relation, taken to have these tags and no others.
    pub(crate) fn column(
        &self,
        action: &str,
        target: &TargetName,
        on: On<'_>,
        column: &str,
        tags: &[Arc<str>],
    ) -> Query {
        let kinds = &self.set.kinds;
        let Query { action, resource, mut within, .. } = self.on(action, target, Some(on));
        within.push(resource);
        within.extend(tags.iter().map(|tag| kinds.tag(tag)));
        let resource = kinds.column(target, &column_name(on.0, column));
        Query { action, above: None, resource, within, approved: false, called: None }
    }

    /// The question whether the principal may be at a target.
    pub(crate) fn connect(&self, target: &TargetName) -> Query {
        let kinds = &self.set.kinds;
        let (action, resource) = (kinds.action("connect"), kinds.target(target));
        Query { action, above: None, resource, within: Vec::new(), approved: false, called: None }
    }

    /// The question whether the principal may call something.
    pub(crate) fn call(&self, target: &TargetName, called: &Called) -> Query {
        let kinds = &self.set.kinds;
        let (resource, within) = match called {
            Called::Tool(tool) => (uid(&kinds.tool, &format!("{target}/{tool}")), vec![kinds.target(target)]),
            Called::Resource(_) | Called::Prompt(_) => (kinds.target(target), Vec::new()),
        };
        let (action, called) = (kinds.action(called.action()), Some(called.clone()));
        Query { action, above: None, resource, within, approved: false, called }
    }

    /// Whether the answer to that question depends on which one is called.
    pub(crate) fn looks_at_name(&self, query: &Query, called: &Called) -> bool {
        let name = match called {
            Called::Tool(_) => "tool",
            Called::Resource(_) => "uri",
            Called::Prompt(_) => "prompt",
        };
        let looks = |rule: &Rule| rule.reads().contains(&("context".to_owned(), name.to_owned()));
        self.fitting(query).any(looks)
    }

    /// The question whether a tool that was called may ask its client for something.
    pub(crate) fn asks(&self, asking: Asking, target: &TargetName, tool: &str) -> Query {
        let call = self.call(target, &Called::tool(tool));
        Query { action: self.set.kinds.action(asking.as_str()), ..call }
    }

    /// The question whether identifiers of a tag stay in what comes of a call.
    fn printed(&self, target: &TargetName, called: &Called, tag: &str) -> Query {
        let call = self.call(target, called);
        let mut within = call.within;
        within.push(self.set.kinds.tag(tag));
        Query { action: self.set.kinds.action("reveal"), within, ..call }
    }

    /// Kinds of identifiers, by their tags, that stay in what is printed or answered: those that are revealed there. `heard` is
    /// given the answer about each.
    pub(crate) fn stays_in(
        &self,
        target: &TargetName,
        called: &Called,
        mut heard: impl FnMut(Answer),
    ) -> BTreeSet<&'static str> {
        let mut stays = BTreeSet::new();
        for entity in chaperone_masking::Entity::ALL {
            let answer = self.ask(&self.printed(target, called, entity.governed_by()));
            if answer.allowed {
                stays.insert(entity.tag());
            }
            heard(answer);
        }
        stays
    }

    /// The question about managing the installation.
    pub(crate) fn manage(&self, action: ManagementAction, installation: &str) -> Query {
        let kinds = &self.set.kinds;
        let administer = ManagementAction::Administer.as_str();
        let above = action.within_administer().then(|| kinds.action(administer));
        let (action, resource) = (kinds.action(action.as_str()), kinds.installation(installation));
        Query { action, above, resource, within: Vec::new(), approved: false, called: None }
    }

    /// Ask.
    pub(crate) fn ask(&self, query: &Query) -> Answer {
        self.answer(query, |_| true)
    }

    /// Ask Cedar, of the rules that `counts` lets through. Anything that goes wrong on our side is a refusal.
    pub(crate) fn answer(&self, query: &Query, counts: impl Fn(&Rule) -> bool) -> Answer {
        self.both(|one| one.alone(query, &counts))
    }

    /// The same without the server that acts for whoever asks.
    pub(crate) fn alone(&self, query: &Query, counts: impl Fn(&Rule) -> bool) -> Answer {
        let fitting: Vec<&Rule> = self.fitting(query).filter(|rule| counts(rule)).collect();
        if fitting.is_empty() {
            return Answer { allowed: false, policies: Vec::new(), lasting: true };
        }
        let Some(said) = self.said(query, &fitting) else { return Answer::failed() };
        Answer { allowed: said.sound && said.permitted, policies: said.policies, lasting: said.lasting }
    }

    /// Ask only whether a forbid stands in the way, of those that `counts` lets through: what none forbids is allowed.
    pub(crate) fn unforbidden(&self, query: &Query, counts: impl Fn(&Rule) -> bool) -> Answer {
        let forbids = |rule: &&Rule| rule.scope.effect == Effect::Forbid && counts(rule);
        let fitting: Vec<&Rule> = self.fitting(query).filter(forbids).collect();
        if fitting.is_empty() {
            return Answer { allowed: true, policies: Vec::new(), lasting: true };
        }
        let Some(said) = self.said(query, &fitting) else { return Answer::failed() };
        let allowed = said.sound && said.policies.is_empty();
        Answer { allowed, policies: said.policies, lasting: said.lasting }
    }

    fn said(&self, query: &Query, rules: &[&Rule]) -> Option<Said> {
        let mut policies = cedar_policy::PolicySet::new();
        for rule in rules {
            policies.add(rule.policy.clone()).ok()?;
        }
        let response = self.evaluate(&policies, query)?;
        let mut names: Vec<Arc<str>> = response
            .diagnostics()
            .reason()
            .filter_map(|id| rules.iter().find(|rule| rule.policy.id() == id))
            .map(|rule| rule.name.clone())
            .collect();
        names.sort();
        Some(Said {
            permitted: response.decision() == cedar_policy::Decision::Allow,
            // A policy that cannot be evaluated is skipped by Cedar; a skipped forbid would fail open.
            sound: response.diagnostics().errors().next().is_none(),
            policies: names,
            lasting: !rules.iter().any(|rule| rule.reads_time),
        })
    }

    fn evaluate(&self, policies: &cedar_policy::PolicySet, query: &Query) -> Option<cedar_policy::Response> {
        let me = self.who.entity.clone()?;
        let thing = Entity::new_no_attrs(query.resource.clone(), query.within.iter().cloned().collect());
        let action = query
            .above
            .as_ref()
            .map(|above| Entity::new_no_attrs(query.action.clone(), HashSet::from([above.clone()])));
        let entities = Entities::from_entities([me, thing].into_iter().chain(action), None).ok()?;
        let (me, action, thing) = (self.who.me.clone(), query.action.clone(), query.resource.clone());
        let request = Request::new(me, action, thing, self.context(query)?, None).ok()?;
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

#[cfg(test)]
mod tests;
