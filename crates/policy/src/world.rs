//! What exists at the targets, as far as an enumeration needs it: names that policies can be asked about.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{RelationName, TargetName, Verb};

use crate::ask::{Answer, Asked, Query};
use crate::load::PolicySet;
use crate::manage::ManagementAction;
use crate::profile::Class;

/// Targets and their relations, each with the relations that it is in, nearest first.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Name of the installation, for what concerns its management.
    pub installation: String,
    /// Everything by target.
    pub targets: BTreeMap<TargetName, BTreeMap<RelationName, Vec<RelationName>>>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing<'a> {
    Connect(&'a TargetName),
    Verb(Verb, &'a TargetName, Option<(&'a RelationName, &'a [RelationName])>),
    Manage(ManagementAction, &'a str),
}

impl Thing<'_> {
    /// The word for what is done.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Verb(verb, ..) => verb.as_str(),
            Self::Manage(action, _) => action.as_str(),
        }
    }

    /// What it is done to: `target`, `target/schema.name`, or the installation's name.
    pub(crate) fn on(&self) -> String {
        match self {
            Self::Connect(target) | Self::Verb(_, target, None) => target.to_string(),
            Self::Verb(_, target, Some((relation, _))) => format!("{target}/{relation}"),
            Self::Manage(_, installation) => (*installation).to_owned(),
        }
    }

    /// The question.
    pub(crate) fn query(&self, asked: &Asked<'_>) -> Query {
        match self {
            Self::Connect(target) => asked.connect(target),
            Self::Manage(action, installation) => asked.manage(*action, installation),
            Self::Verb(verb, target, on) => asked.verb(*verb, target, *on, false),
        }
    }

    /// Ask. `connect` and management are never held: nobody can approve them.
    pub(crate) fn ask(&self, asked: &Asked<'_>) -> (Ruling, Answer) {
        let query = self.query(asked);
        let answer = asked.ask(&query);
        if answer.allowed {
            return (Ruling::Allow, answer);
        }
        let approvable = matches!(self, Self::Verb(..));
        let held = approvable && asked.ask(&query.approved()).allowed;
        (if held { Ruling::Hold } else { Ruling::Refuse }, answer)
    }
}

impl World {
    /// With relations that are only known because policies name them, where nothing better is there.
    #[must_use]
    pub fn with_named(mut self, sets: &[&PolicySet]) -> Self {
        let unknown: BTreeSet<TargetName> =
            self.targets.iter().filter(|(_, known)| known.is_empty()).map(|(name, _)| name.clone()).collect();
        for (target, relation) in sets.iter().flat_map(|set| set.names().relations) {
            if unknown.contains(&target)
                && let Some(relations) = self.targets.get_mut(&target)
            {
                relations.entry(relation).or_default();
            }
        }
        self
    }

    /// Everything that can be asked about.
    pub(crate) fn things(&self) -> Vec<Thing<'_>> {
        let mut things = Vec::new();
        for (target, relations) in &self.targets {
            things.push(Thing::Connect(target));
            things.extend(Verb::ALL.map(|verb| Thing::Verb(verb, target, None)));
            for (relation, within) in relations {
                things.extend(
                    Verb::ALL.map(|verb| Thing::Verb(verb, target, Some((relation, within.as_slice())))),
                );
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
    /// Relations.
    pub relations: BTreeSet<(TargetName, RelationName)>,
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
        self.relations.extend(other.relations);
        self
    }
}
