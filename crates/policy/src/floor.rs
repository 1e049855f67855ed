//! What everybody who uses one login of a target needs there at most: what its database role may be given, so that the
//! database refuses what policy never shows to any of them.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Effect;
use chaperone_access::{
    Class, Column, Delegation, MaskOperator, RelationFacts, RelationName, Subject, TargetName, Verb,
};
use chaperone_identity::Restriction;
use serde::Serialize;

use crate::ask::{Asked, On};
use crate::decide::{self, Case};
use crate::load::PolicySet;
use crate::matrix;
use crate::profile::{self, Profile};
use crate::sight::{self, Alike, Sight};
use crate::world::{Thing, World};

/// Most bytes of a label that names callers.
const NAMED_MAX: usize = 8;

/// What the users of a login do with a relation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// They read it: these columns, or all where its columns are not classified.
    pub read: bool,
    /// Columns whose values somebody sees.
    pub columns: BTreeSet<String>,
    /// Columns that nobody sees by value, and somebody as their masks show them.
    pub masked: BTreeSet<String>,
    /// Whether one of those masks shows a part of a value, so that it has to read it.
    pub partial: bool,
    /// Whether the target's classification says nothing of it, so that all columns are read.
    pub unclassified: bool,
    /// Whether some of them see only the rows that its filter lets through, which has to read columns of its own.
    pub filtered: bool,
    /// Whether somebody sees all rows.
    pub all_rows: bool,
    /// They insert.
    pub insert: bool,
    /// They update, or lock rows.
    pub update: bool,
    /// They delete.
    pub delete: bool,
}

/// What the users of a login need at a target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Floor {
    /// Those of them who have everything, so that there is nothing that the database could refuse to all. At most eight
    /// are named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub everything: Vec<String>,
    /// By relation; what is not in it, none of them uses.
    pub relations: BTreeMap<RelationName, Needs>,
}

/// Everybody whom a set can tell apart, alone and through each client and server: those in one group, those whom policies name, alone
/// and in each of `groups` (`issuer/group`), those who are `known`, and anybody.
#[must_use]
pub fn callers(set: &PolicySet, groups: &BTreeSet<String>, known: &[Profile]) -> Vec<(String, Delegation)> {
    let (mut classes, hands) = matrix::classes([set, set]);
    classes.extend(groups.iter().map(|group| profile::Class::group(group)));
    classes.extend(known.iter().map(profile::Class::known));
    classes.sort_by(|one, other| one.label.cmp(&other.label));
    classes.dedup();
    let mut found = Vec::new();
    for class in &classes {
        for hand in &hands {
            let alone = class.member(hand, &set.clients);
            let of_issuer = groups.iter().filter_map(|group| group.split_once('/'));
            let joined = of_issuer.filter(|(issuer, _)| {
                let Subject { issuer: own, sub, .. } = &alone.subject;
                issuer == own && sub != profile::ANYBODY && alone.groups.is_empty()
            });
            for (_, group) in joined {
                let groups = BTreeSet::from([group.to_owned()]);
                found.push((format!("{} in {group}", class.label), Delegation { groups, ..alone.clone() }));
            }
            found.push((class.label.clone(), alone));
        }
    }
    found
}

/// What some callers need at a target, taken together. A condition on attributes, purpose, authentication or time is taken
/// to hold where it permits and not where it forbids. `now_us` is in microseconds since the Unix epoch.
#[must_use]
pub fn floor(
    set: &PolicySet,
    world: &World,
    target: &TargetName,
    callers: &[(String, Delegation)],
    now_us: u64,
) -> Floor {
    let mut floor = Floor::default();
    for (label, delegation) in callers {
        let who = set.who(delegation);
        let asked = Asked::new(set, delegation, &who, now_us, now_us);
        let connect = may(&asked, &Thing::Connect(target));
        if !connect {
            continue;
        }
        if has_everything(&asked, target, world) {
            if !floor.everything.contains(label) && floor.everything.len() < NAMED_MAX {
                floor.everything.push(label.clone());
            }
            continue;
        }
        for (relation, of) in world.relations(target) {
            let on = (relation, of.within.as_slice());
            let verb = |verb| may(&asked, &Thing::Verb(verb, target, Some(on)));
            let (read, insert) = (verb(Verb::Read), verb(Verb::Insert));
            let (update, delete) = (verb(Verb::Update), verb(Verb::Delete));
            if !(read || insert || update || delete) {
                continue;
            }
            let needs = floor.relations.entry(relation.clone()).or_default();
            needs.read |= read;
            needs.insert |= insert;
            needs.update |= update;
            needs.delete |= delete;
            match &of.facts {
                Some(facts) if read => columns(&asked, target, on, facts, needs),
                Some(_) => {}
                None => needs.unclassified = true,
            }
        }
    }
    for (relation, of) in world.relations(target) {
        let (Some(needs), Some(facts)) = (floor.relations.get_mut(relation), &of.facts) else { continue };
        let Needs { columns, masked, partial, .. } = needs;
        masked.retain(|column| !columns.contains(column));
        let mut parts = facts.columns.iter().filter(|column| shows_a_part(column));
        *partial = parts.any(|column| masked.contains(&*column.name));
    }
    floor
}

fn has_everything(asked: &Asked<'_>, target: &TargetName, world: &World) -> bool {
    let Asked { set, delegation, who, now_us, opened_us, .. } = *asked;
    let asked = Asked::new(set, delegation, who, now_us, opened_us);
    let case = Case { asked, target, restriction: &Restriction::default(), confined: false, under: None };
    decide::unrestricted(&case, world.is_classified(target)).0
}

/// Whether somebody of a class may, in some circumstances.
fn may(asked: &Asked<'_>, thing: &Thing<'_>) -> bool {
    let open = |rule: &&crate::load::Rule| rule.open && rule.scope.effect == Effect::Permit;
    thing.answer(asked, |rule| rule.scope.effect == Effect::Permit || !rule.open).allowed
        || thing.fitting(asked).iter().any(open)
}

/// Add the columns of a relation whose values are read for the caller.
fn columns(asked: &Asked<'_>, target: &TargetName, on: On<'_>, facts: &RelationFacts, needs: &mut Needs) {
    let clear = facts.columns.iter().filter(|column| column.class == Class::Clear);
    needs.columns.extend(clear.map(|column| column.name.to_string()));
    for alike in sight::alike(&[asked.set], target, on, facts) {
        let sees = |sight| {
            alike.tags.iter().all(|tag| {
                let one = Alike { tags: [tag.clone()].into(), ..alike.clone() };
                may(asked, &Thing::Columns(sight, target, on, one))
            })
        };
        let revealed = sees(Sight::Reveal);
        let masked = !revealed && sees(Sight::UseMasked);
        for column in alike.places.iter().filter_map(|place| facts.columns.get(*place)) {
            if revealed {
                needs.columns.insert(column.name.to_string());
            } else if masked && column.mask.is_some() && !column.scan {
                needs.masked.insert(column.name.to_string());
            }
        }
    }
    let all_rows = Thing::AllRows(target, Some(on));
    needs.filtered |= facts.filtered && !all_rows.answer(asked, |_| true).allowed;
    needs.all_rows |= !facts.filtered || may(asked, &all_rows);
}

/// Whether a column's mask shows a part of its values.
fn shows_a_part(column: &Column) -> bool {
    !column.scan && column.mask.as_ref().is_some_and(MaskOperator::shows_a_part)
}

#[cfg(test)]
mod tests;
