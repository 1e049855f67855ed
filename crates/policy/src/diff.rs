//! Who gains and who loses what between two sets, by asking both about every class of callers, every client and
//! everything that exists.

use std::collections::BTreeMap;

use chaperone_access::TargetName;
use serde::Serialize;

use crate::ask::Asked;
use crate::limits::Limits;
use crate::load::PolicySet;
use crate::matrix::classes;
use crate::profile::{Class, Hand, Profile};
use crate::world::{Ruling, Thing, World};

/// One thing that two sets rule differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The class of callers.
    pub who: String,
    /// Through which client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Through which server of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What is done.
    pub action: String,
    /// To what.
    pub on: String,
    /// Under the old set.
    pub before: Ruling,
    /// Under the new one.
    pub after: Ruling,
    /// The policies that decide under the new one.
    pub policies: Vec<String>,
}

/// A limit that is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitChange {
    /// The class of callers.
    pub who: String,
    /// Through which client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// At which target.
    pub target: String,
    /// Which limit.
    pub limit: &'static str,
    /// Under the old set; `None` is no limit.
    pub before: Option<u64>,
    /// Under the new one.
    pub after: Option<u64>,
}

/// All differences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What is allowed, or held, that was not.
    pub gains: Vec<Change>,
    /// What is refused, or held, that was not.
    pub losses: Vec<Change>,
    /// Limits that are others.
    pub limits: Vec<LimitChange>,
}

impl Difference {
    /// Whether both sets give everybody the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gains.is_empty() && self.losses.is_empty() && self.limits.is_empty()
    }
}

/// Compare two sets over what exists, for every class of callers and everybody who is `known`, with all groups.
/// `now_us` is in microseconds since the Unix epoch.
#[must_use]
pub fn compare(
    old: &PolicySet,
    new: &PolicySet,
    world: &World,
    known: &[Profile],
    now_us: u64,
) -> Difference {
    let mut difference = Difference::default();
    let (mut classes, hands) = classes([old, new]);
    classes.extend(known.iter().map(Class::known));
    let things = world.things(&[old, new]);
    for class in &classes {
        let comparing = Comparing { old, new, class, things: &things, now_us };
        // What changes for a plainer hand is not told again.
        let mut told: BTreeMap<&Hand, BTreeMap<usize, (Ruling, Ruling)>> = BTreeMap::new();
        let mut limited: BTreeMap<&str, (Limits, Limits)> = BTreeMap::new();
        for hand in &hands {
            let rulings = comparing.rulings(hand, &told, &mut difference);
            told.insert(hand, rulings);
            // Limits know no servers.
            for target in world.targets.keys().filter(|_| hand.server.is_none()) {
                let of = |set: &PolicySet| set.limits(&class.member(hand, &set.clients), target);
                let limits = (of(old), of(new));
                if hand.client.is_none() {
                    limited.insert(target.as_str(), limits);
                } else if limited.get(target.as_str()) == Some(&limits) {
                    continue;
                }
                difference.limits.extend(limit_changes(
                    &class.label,
                    hand.client.as_deref(),
                    target.as_str(),
                    limits,
                ));
            }
        }
    }
    difference
}

/// Two sets that are asked about one class.
struct Comparing<'a> {
    old: &'a PolicySet,
    new: &'a PolicySet,
    class: &'a Class,
    things: &'a [Thing<'a>],
    now_us: u64,
}

impl Comparing<'_> {
    /// What both say of the class through something, and what differs that `told` has not for a plainer hand.
    fn rulings(
        &self,
        hand: &Hand,
        told: &BTreeMap<&Hand, BTreeMap<usize, (Ruling, Ruling)>>,
        difference: &mut Difference,
    ) -> BTreeMap<usize, (Ruling, Ruling)> {
        let Self { old, new, class, things, now_us } = *self;
        let (was, is) = (class.member(hand, &old.clients), class.member(hand, &new.clients));
        let (before, after) = (old.who(&was), new.who(&is));
        let before = Asked::new(old, &was, &before, now_us, now_us);
        let after = Asked::new(new, &is, &after, now_us, now_us);
        let plainer = hand.plainer();
        let mut rulings = BTreeMap::new();
        for (at, thing) in things.iter().enumerate().filter(|(_, thing)| self.reaches(hand, thing)) {
            let (one, (other, answer)) = (thing.ask(&before).0, thing.ask(&after));
            rulings.insert(at, (one, other));
            let known = plainer
                .iter()
                .any(|hand| told.get(hand).and_then(|told| told.get(&at)) == Some(&(one, other)));
            if known || one == other {
                continue;
            }
            let change = Change {
                who: class.label.clone(),
                client: hand.client.clone(),
                server: hand.server.clone(),
                action: thing.action().to_owned(),
                on: thing.on(),
                before: one,
                after: other,
                policies: answer.policies.iter().map(ToString::to_string).collect(),
            };
            let list = if other > one { &mut difference.gains } else { &mut difference.losses };
            list.push(change);
        }
        rulings
    }

    /// Nobody manages an installation through a server, nor is at one through another.
    fn reaches(&self, hand: &Hand, thing: &Thing<'_>) -> bool {
        let is_server = |set: &PolicySet, target: &str| set.clients.server(target).is_some();
        let elsewhere = |target: &TargetName| {
            !is_server(self.old, target.as_str()) && !is_server(self.new, target.as_str())
        };
        hand.server.is_none() || thing.target().is_some_and(elsewhere)
    }
}

fn limit_changes(
    who: &str,
    client: Option<&str>,
    target: &str,
    limits: (Limits, Limits),
) -> Vec<LimitChange> {
    let (old, new) = limits;
    let both = old.each().into_iter().zip(new.each());
    both.filter(|((_, before), (_, after))| before != after)
        .map(|((limit, before), (_, after))| LimitChange {
            who: who.to_owned(),
            client: client.map(str::to_owned),
            target: target.to_owned(),
            limit,
            before,
            after,
        })
        .collect()
}
