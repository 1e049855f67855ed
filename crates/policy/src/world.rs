//! What exists at the targets, as far as an enumeration needs it: names that policies can be asked about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::Effect;
use chaperone_access::{Called, RelationFacts, RelationName, SQL_TOOLS, TargetName, Verb};

use crate::ask::{Answer, Asked, On, Query, column_name};
use crate::asking::Asking;
use crate::load::{PolicySet, Rule};
use crate::manage::ManagementAction;
use crate::profile::{self, Class};
use crate::sight::{self, Alike, SEE_ALL_ROWS, Sight};

/// Targets and what is in them.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Name of the installation, for what concerns its management.
    pub installation: String,
    /// Everything by target.
    pub targets: BTreeMap<TargetName, OfTarget>,
}

/// What is known of a target.
#[derive(Debug, Clone, Default)]
pub struct OfTarget {
    /// Whether it has a classification.
    pub classified: bool,
    /// Its relations.
    pub relations: BTreeMap<RelationName, OfRelation>,
    /// Its tools where it takes no statements, declared commands or a server's tools; `None` where it takes statements, and
    /// has the gateway's own.
    pub tools: Option<BTreeSet<String>>,
    /// Whether it is a server of others, which may have resources and prompts.
    pub is_server: bool,
}

/// What may be asked of a server beside its tools.
pub(crate) const OF_SERVER: [Called; 2] = [Called::Resource(None), Called::Prompt(None)];

impl OfTarget {
    /// The names of its tools.
    pub(crate) fn tools(&self) -> Vec<&str> {
        match &self.tools {
            Some(tools) => tools.iter().map(String::as_str).collect(),
            None => SQL_TOOLS.to_vec(),
        }
    }

    /// What they may ask for, where they are of a server: tools of the gateway's own ask nothing.
    pub(crate) fn asks<'a>(&'a self, target: &'a TargetName) -> impl Iterator<Item = Thing<'a>> {
        let tools = self.tools.iter().flatten();
        tools.flat_map(|tool| Asking::ALL.map(|asking| Thing::Asks(asking, target, tool)))
    }
}

/// What is known of a relation.
#[derive(Debug, Clone, Default)]
pub struct OfRelation {
    /// The relations that it is in, nearest first.
    pub within: Vec<RelationName>,
    /// What the target's classification says of it.
    pub facts: Option<Arc<RelationFacts>>,
}

/// One of the three arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// It may not be.
    Refuse,
    /// Somebody has to say yes first.
    Hold,
    /// It may be.
    Allow,
}

impl Ruling {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Hold => "hold",
            Self::Allow => "allow",
        }
    }
}

/// What can be asked about: everything that a line of the matrix or of a difference is about.
#[derive(Debug, Clone)]
pub(crate) enum Thing<'a> {
    Connect(&'a TargetName),
    /// Something that can be called: a tool of a target, or a resource or prompt of a server.
    Call(&'a TargetName, Called),
    /// What a tool of a server's may ask its caller for.
    Asks(Asking, &'a TargetName, &'a str),
    Verb(Verb, &'a TargetName, Option<On<'a>>),
    /// Columns of a relation that policies cannot tell apart.
    Columns(Sight, &'a TargetName, On<'a>, Alike),
    /// Every column of the target.
    Everything(&'a TargetName),
    AllRows(&'a TargetName, Option<On<'a>>),
    Manage(ManagementAction, &'a str),
}

impl Thing<'_> {
    /// The word for what is done.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Call(_, called) => called.action(),
            Self::Asks(asking, ..) => asking.as_str(),
            Self::Verb(verb, ..) => verb.as_str(),
            Self::Columns(sight, ..) => sight.as_str(),
            Self::Everything(_) => Sight::Reveal.as_str(),
            Self::AllRows(..) => SEE_ALL_ROWS,
            Self::Manage(action, _) => action.as_str(),
        }
    }

    /// What it is done to: `target`, `target/schema.name`, `target/schema.name.column` or `target/schema.name[tag]`,
    /// `target/tool`, or the installation's name.
    pub(crate) fn on(&self) -> String {
        match self {
            Self::Connect(target)
            | Self::Verb(_, target, None)
            | Self::AllRows(target, None)
            | Self::Everything(target) => target.to_string(),
            Self::Call(target, Called::Tool(tool)) => format!("{target}/{tool}"),
            Self::Asks(_, target, tool) => format!("{target}/{tool}"),
            Self::Call(target, Called::Resource(_) | Called::Prompt(_)) => target.to_string(),
            Self::Verb(_, target, Some((relation, _))) | Self::AllRows(target, Some((relation, _))) => {
                format!("{target}/{relation}")
            }
            Self::Columns(_, target, (relation, _), alike) if alike.named => {
                format!("{target}/{}", column_name(relation, &alike.column))
            }
            Self::Columns(_, target, (relation, _), alike) => {
                format!("{target}/{relation}[{}]", alike.label())
            }
            Self::Manage(_, installation) => (*installation).to_owned(),
        }
    }

    /// Every question that can decide it.
    fn queries(&self, asked: &Asked<'_>) -> Vec<Query> {
        match self {
            Self::Columns(sight, target, on, alike) => asked.sight_queries(*sight, target, *on, alike),
            Self::Connect(target) => vec![asked.connect(target)],
            Self::Call(target, called) => vec![asked.call(target, called)],
            Self::Asks(asking, target, tool) => vec![asked.asks(*asking, target, tool)],
            Self::Manage(action, installation) => vec![asked.manage(*action, installation)],
            Self::Verb(verb, target, on) => vec![asked.verb(*verb, target, *on, false)],
            Self::Everything(target) => vec![asked.on(Sight::Reveal.as_str(), target, None)],
            Self::AllRows(target, on) => vec![asked.on(SEE_ALL_ROWS, target, *on)],
        }
    }

    /// The rules whose head fits one of them.
    pub(crate) fn fitting<'b>(&self, asked: &Asked<'b>) -> Vec<&'b Rule> {
        let mut rules: Vec<&Rule> = Vec::new();
        for query in self.queries(asked) {
            for rule in asked.fitting(&query) {
                if !rules.iter().any(|known| std::ptr::eq(*known, rule)) {
                    rules.push(rule);
                }
            }
        }
        rules
    }

    /// Where it is; nowhere for what concerns the installation.
    pub(crate) fn target(&self) -> Option<&TargetName> {
        match self {
            Self::Connect(target)
            | Self::Call(target, _)
            | Self::Asks(_, target, _)
            | Self::Verb(_, target, _)
            | Self::Columns(_, target, ..)
            | Self::Everything(target)
            | Self::AllRows(target, _) => Some(target),
            Self::Manage(..) => None,
        }
    }

    /// Ask, of the rules that `counts` lets through.
    pub(crate) fn answer(&self, asked: &Asked<'_>, counts: impl Fn(&Rule) -> bool) -> Answer {
        let Asked { set, delegation, who, now_us, opened_us, .. } = *asked;
        let there = self.target().and_then(|target| profile::at(delegation, target.as_str(), &set.clients));
        let delegation = there.as_ref().unwrap_or(delegation);
        let asked = &Asked::new(set, delegation, who, now_us, opened_us);
        let one = |query: Query| asked.answer(&query, &counts);
        match self {
            Self::Columns(sight, target, on, alike) => asked.sight(*sight, target, *on, alike, &counts),
            Self::Connect(target) => one(asked.connect(target)),
            Self::Call(target, called) => one(asked.call(target, called)),
            Self::Asks(asking, target, tool) => one(asked.asks(*asking, target, tool)),
            Self::Manage(action, installation) => one(asked.manage(*action, installation)),
            Self::Verb(verb, target, on) => one(asked.verb(*verb, target, *on, false)),
            Self::Everything(target) => one(asked.on(Sight::Reveal.as_str(), target, None)),
            Self::AllRows(target, on) => one(asked.on(SEE_ALL_ROWS, target, *on)),
        }
    }

    /// Ask. Only verbs are ever held: nobody can approve anything else.
    pub(crate) fn ask(&self, asked: &Asked<'_>) -> (Ruling, Answer) {
        let answer = self.answer(asked, |_| true);
        if answer.allowed {
            return (Ruling::Allow, answer);
        }
        let held = match self {
            Self::Verb(verb, target, on) => asked.ask(&asked.verb(*verb, target, *on, true)).allowed,
            Self::Connect(_)
            | Self::Call(..)
            | Self::Asks(..)
            | Self::Columns(..)
            | Self::Everything(_)
            | Self::AllRows(..)
            | Self::Manage(..) => false,
        };
        (if held { Ruling::Hold } else { Ruling::Refuse }, answer)
    }

    /// The names of the forbids whose head fits, of those that `among` has.
    pub(crate) fn forbids(&self, asked: &Asked<'_>, among: &[Arc<str>]) -> Vec<Arc<str>> {
        let forbids = self.fitting(asked).into_iter().filter(|rule| rule.scope.effect == Effect::Forbid);
        forbids.map(|rule| rule.name.clone()).filter(|name| among.contains(name)).collect()
    }
}

impl World {
    /// With relations that are only known because policies name them, where nothing better is there, and such tools of
    /// targets that take no statements.
    #[must_use]
    pub fn with_named(mut self, sets: &[&PolicySet]) -> Self {
        let unknown = |known: &OfTarget| known.relations.is_empty() && known.tools.is_none();
        let unknown: BTreeSet<TargetName> =
            self.targets.iter().filter(|(_, known)| unknown(known)).map(|(name, _)| name.clone()).collect();
        let named = sets.iter().map(|set| set.names()).reduce(Names::and).unwrap_or_default();
        for (target, relation) in named.relations {
            if unknown.contains(&target)
                && let Some(known) = self.targets.get_mut(&target)
            {
                known.relations.entry(relation).or_default();
            }
        }
        for (target, tool) in named.tools {
            if let Some(tools) = self.targets.get_mut(&target).and_then(|known| known.tools.as_mut()) {
                tools.insert(tool);
            }
        }
        self
    }

    /// Whether a target has a classification.
    #[must_use]
    pub fn is_classified(&self, target: &TargetName) -> bool {
        self.targets.get(target).is_some_and(|known| known.classified)
    }

    /// The relations of a target.
    pub(crate) fn relations(
        &self,
        target: &TargetName,
    ) -> impl Iterator<Item = (&RelationName, &OfRelation)> {
        self.targets.get(target).into_iter().flat_map(|known| &known.relations)
    }

    /// What a relation is in, nearest first.
    pub(crate) fn within(&self, target: &TargetName, relation: &RelationName) -> &[RelationName] {
        self.relation(target, relation).map_or(&[][..], |known| known.within.as_slice())
    }

    /// What is known of a relation.
    pub(crate) fn relation(&self, target: &TargetName, relation: &RelationName) -> Option<&OfRelation> {
        self.targets.get(target)?.relations.get(relation)
    }

    /// Everything that can be asked about, by what the sets can tell apart.
    pub(crate) fn things(&self, sets: &[&PolicySet]) -> Vec<Thing<'_>> {
        let mut things = Vec::new();
        for (target, known) in &self.targets {
            things.push(Thing::Connect(target));
            things.extend(known.tools().into_iter().map(|tool| Thing::Call(target, Called::tool(tool))));
            if known.is_server {
                things.extend(OF_SERVER.map(|called| Thing::Call(target, called)));
            }
            if known.tools.is_some() {
                things.extend(known.asks(target));
                continue;
            }
            things.extend(Verb::ALL.map(|verb| Thing::Verb(verb, target, None)));
            if known.classified {
                things.extend([Thing::Everything(target), Thing::AllRows(target, None)]);
            }
            for (relation, of) in &known.relations {
                let on = (relation, of.within.as_slice());
                things.extend(Verb::ALL.map(|verb| Thing::Verb(verb, target, Some(on))));
                let Some(facts) = &of.facts else { continue };
                for alike in sight::alike(sets, target, on, facts) {
                    let thing = |sight| Thing::Columns(sight, target, on, alike.clone());
                    things.extend([Sight::Reveal, Sight::UseMasked].map(thing));
                }
                if facts.filtered {
                    things.push(Thing::AllRows(target, Some(on)));
                }
            }
        }
        things.extend(ManagementAction::ALL.map(|action| Thing::Manage(action, &self.installation)));
        things
    }
}

/// What a set of policies names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Groups, as `issuer/group`. Nobody can check them but the issuer.
    pub groups: BTreeSet<String>,
    /// People, as `issuer/subject`.
    pub people: BTreeSet<String>,
    /// Services, as `issuer/subject`.
    pub services: BTreeSet<String>,
    /// Clients that a condition compares with.
    pub clients: BTreeSet<String>,
    /// Servers of others that a condition compares with.
    pub servers: BTreeSet<String>,
    /// Tools of a target, by target.
    pub tools: BTreeSet<(TargetName, String)>,
    /// Relations, and those whose columns are named.
    pub relations: BTreeSet<(TargetName, RelationName)>,
    /// Tags.
    pub tags: BTreeSet<String>,
}

impl Names {
    /// The classes that these names tell apart, anybody last.
    pub(crate) fn classes(&self) -> Vec<Class> {
        let groups = self.groups.iter().map(|name| Class::group(name));
        let people = self.people.iter().map(|name| Class::subject(name, false));
        let services = self.services.iter().map(|name| Class::subject(name, true));
        groups.chain(people).chain(services).chain([Class::anybody()]).collect()
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.groups.extend(other.groups);
        self.people.extend(other.people);
        self.services.extend(other.services);
        self.clients.extend(other.clients);
        self.servers.extend(other.servers);
        self.tools.extend(other.tools);
        self.relations.extend(other.relations);
        self.tags.extend(other.tags);
        self
    }
}
