//! What a caller sees of a relation: which columns, and whether all rows. Asked by what columns hold rather than column by
//! column: policies tell columns of the same tags apart only where they name one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chaperone_access::{Class, Column, RelationFacts, RelationScope, Showing, TargetName};

use chaperone_masking::Entity;

use crate::ask::{Answer, Asked, On, Query, column_name};
use crate::load::{PolicySet, Rule};

/// The action that lifts a row filter.
pub(crate) const SEE_ALL_ROWS: &str = "seeAllRows";

/// What is asked about columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sight {
    /// Their values.
    Reveal,
    /// What their masks make of them, or more.
    UseMasked,
}

impl Sight {
    /// The word in policies.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reveal => "reveal",
            Self::UseMasked => "useMasked",
        }
    }
}

/// Columns of one relation that policies cannot tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alike {
    /// What each of them holds; never empty.
    pub(crate) tags: Arc<[Arc<str>]>,
    /// One of them, which stands for all.
    pub(crate) column: Arc<str>,
    /// Whether a policy names it, so that it stands for itself only.
    pub(crate) named: bool,
    /// Where they are in [`RelationFacts::columns`].
    pub(crate) places: Vec<usize>,
}

impl Alike {
    /// Whether whoever may use them masked sees anything of one of them.
    pub(crate) fn has_mask(&self, facts: &RelationFacts) -> bool {
        self.places.iter().any(|place| facts.columns.get(*place).is_some_and(has_mask))
    }

    /// How people read it: the column's name, or the tags.
    pub(crate) fn label(&self) -> String {
        if self.named { self.column.to_string() } else { self.tags.join("+") }
    }
}

/// The tagged columns of a relation, by what the sets can tell apart, in the order of the first of each.
pub(crate) fn alike(
    sets: &[&PolicySet],
    target: &TargetName,
    on: On<'_>,
    facts: &RelationFacts,
) -> Vec<Alike> {
    let mut found: Vec<Alike> = Vec::new();
    for (place, column) in facts.columns.iter().enumerate() {
        let Class::Tagged(tags) = &column.class else { continue };
        let named = sets.iter().any(|set| set.names_column(target, &column_name(on.0, &column.name)));
        match found.iter_mut().find(|known| !named && !known.named && known.tags == *tags) {
            Some(known) => known.places.push(place),
            None => {
                let (tags, column) = (tags.clone(), column.name.clone());
                found.push(Alike { tags, column, named, places: vec![place] });
            }
        }
    }
    found
}

/// Whether a caller who may use a column masked sees anything of it.
fn has_mask(column: &Column) -> bool {
    column.mask.is_some() && !column.scan
}

/// What was found out about columns that are alike.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    pub(crate) alike: Alike,
    /// The most that is permitted.
    pub(crate) sight: Option<Sight>,
    /// The policies that decided it, sorted.
    pub(crate) policies: Vec<Arc<str>>,
}

/// What was found out about a relation.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) all_rows: bool,
    /// The policies that decided about rows; none where they are not filtered.
    pub(crate) rows_by: Vec<Arc<str>>,
    /// Kinds of identifiers that stay in its free text, by the detectors' tags; none where it has no free text that is seen.
    pub(crate) stays: Option<BTreeSet<&'static str>>,
    /// The policies that decided about those.
    pub(crate) stays_by: Vec<Arc<str>>,
    /// Whether it holds until the policies change.
    pub(crate) lasting: bool,
}

impl Seen {
    /// What is seen of each column, in their order.
    pub(crate) fn showings(&self, facts: &RelationFacts) -> Vec<Showing> {
        let clear = |column: &Column| match column.class {
            Class::Clear => Showing::Revealed,
            Class::Unclassified | Class::Tagged(_) => Showing::Hidden,
        };
        let mut showings: Vec<Showing> = facts.columns.iter().map(clear).collect();
        for Sighting { alike, sight, .. } in &self.sightings {
            for place in &alike.places {
                let (Some(showing), Some(column)) = (showings.get_mut(*place), facts.columns.get(*place))
                else {
                    continue;
                };
                *showing = match sight {
                    Some(Sight::Reveal) => Showing::Revealed,
                    Some(Sight::UseMasked) if has_mask(column) => Showing::Masked,
                    Some(Sight::UseMasked) | None => Showing::Hidden,
                };
            }
        }
        showings
    }

    /// The same as the words of a scope.
    pub(crate) fn scope(&self, facts: &RelationFacts) -> RelationScope {
        let showings = self.showings(facts);
        if self.all_rows && showings.iter().all(|showing| *showing == Showing::Revealed) {
            return RelationScope::Whole;
        }
        RelationScope::Part { showings: showings.into(), all_rows: self.all_rows }
    }

    /// The policies that decided, not sorted.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Arc<str>> {
        let columns = self.sightings.iter().flat_map(|sighting| &sighting.policies);
        columns.chain(&self.rows_by).chain(&self.stays_by)
    }
}

/// A relation's scope without the columns that a credential has not. Never more than before.
pub(crate) fn narrowed(
    scope: &RelationScope,
    facts: &RelationFacts,
    left: &BTreeSet<Arc<str>>,
) -> RelationScope {
    let (before, all_rows) = match scope {
        RelationScope::Whole => (None, true),
        RelationScope::Part { showings, all_rows } => (Some(showings), *all_rows),
    };
    let narrowed = facts.columns.iter().enumerate().map(|(place, column)| match before {
        _ if !left.contains(&column.name) => Showing::Hidden,
        None => Showing::Revealed,
        Some(showings) => showings.get(place).copied().unwrap_or(Showing::Hidden),
    });
    let showings: Arc<[Showing]> = narrowed.collect();
    if all_rows && showings.iter().all(|showing| *showing == Showing::Revealed) {
        return RelationScope::Whole;
    }
    RelationScope::Part { showings, all_rows }
}

/// What is known already of columns of one target, of the same caller: by their tags, where policies tell them apart by
/// nothing else. Grows with the tag sets of a classification.
#[derive(Debug, Default)]
pub(crate) struct ByTags(HashMap<(Sight, Tags), Answer>);

type Tags = Arc<[Arc<str>]>;

impl ByTags {
    fn sight(
        &mut self,
        sight: Sight,
        asked: &Asked<'_>,
        target: &TargetName,
        on: On<'_>,
        alike: &Alike,
    ) -> Answer {
        if alike.named || asked.set.names_relation(target, on) {
            return asked.sight(sight, target, on, alike, |_| true);
        }
        let key = (sight, alike.tags.clone());
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        let answer = asked.sight(sight, target, on, alike, |_| true);
        if answer.lasting {
            self.0.insert(key, answer.clone());
        }
        answer
    }
}

/// Find out what the caller sees of a relation.
pub(crate) fn see(
    asked: &Asked<'_>,
    target: &TargetName,
    on: On<'_>,
    facts: &RelationFacts,
    known: &mut ByTags,
) -> Seen {
    let mut lasting = true;
    let mut sightings = Vec::new();
    for alike in alike(&[asked.set], target, on, facts) {
        let revealed = known.sight(Sight::Reveal, asked, target, on, &alike);
        lasting &= revealed.lasting;
        let (mut sight, mut policies) = (revealed.allowed.then_some(Sight::Reveal), revealed.policies);
        if sight.is_none() && alike.has_mask(facts) {
            let masked = known.sight(Sight::UseMasked, asked, target, on, &alike);
            lasting &= masked.lasting;
            sight = masked.allowed.then_some(Sight::UseMasked);
            policies.extend(masked.policies);
            policies.sort();
            policies.dedup();
        }
        sightings.push(Sighting { alike, sight, policies });
    }
    let (stays, mut stays_by) = match staying(asked, target, on, facts, &sightings, known) {
        None => (None, Vec::new()),
        Some((stays, by, holds)) => {
            lasting &= holds;
            (Some(stays), by)
        }
    };
    stays_by.sort();
    stays_by.dedup();
    let (mut all_rows, mut rows_by) = (true, Vec::new());
    if facts.filtered {
        let rows = asked.ask(&asked.on(SEE_ALL_ROWS, target, Some(on)));
        lasting &= rows.lasting;
        (all_rows, rows_by) = (rows.allowed, rows.policies);
    }
    Seen { sightings, all_rows, rows_by, stays, stays_by, lasting }
}

/// Kinds of identifiers that stay, the policies that decided, and whether it holds until they change.
type Staying = (BTreeSet<&'static str>, Vec<Arc<str>>, bool);

/// Kinds of identifiers that the caller may see in each text of a relation that is revealed to him: those of a tag that would
/// be revealed if the text had it. With the policies that decided, and whether that lasts.
fn staying(
    asked: &Asked<'_>,
    target: &TargetName,
    on: On<'_>,
    facts: &RelationFacts,
    sightings: &[Sighting],
    known: &mut ByTags,
) -> Option<Staying> {
    let revealed = sightings.iter().filter(|sighting| sighting.sight == Some(Sight::Reveal));
    let is_text = |alike: &&Alike| {
        alike.places.iter().any(|place| facts.columns.get(*place).is_some_and(|column| column.scan))
    };
    let texts: Vec<&Alike> = revealed.map(|sighting| &sighting.alike).filter(is_text).collect();
    if texts.is_empty() {
        return None;
    }
    let (mut stays, mut by, mut lasting) = (BTreeSet::new(), Vec::new(), true);
    for entity in Entity::ALL {
        let tags: Arc<[Arc<str>]> = Arc::from([Arc::from(entity.governed_by())]);
        let allowed = texts.iter().all(|text| {
            let as_tagged = Alike { tags: tags.clone(), places: Vec::new(), ..(*text).clone() };
            let answer = known.sight(Sight::Reveal, asked, target, on, &as_tagged);
            lasting &= answer.lasting;
            by.extend(answer.policies);
            answer.allowed
        });
        if allowed {
            stays.insert(entity.tag());
        }
    }
    Some((stays, by, lasting))
}

impl Asked<'_> {
    /// Every question that decides whether that much of some columns is seen: each tag by itself, because a permit for one
    /// must not show what another one says too; and all together, because a forbid may speak of a combination.
    pub(crate) fn sight_queries(
        &self,
        sight: Sight,
        target: &TargetName,
        on: On<'_>,
        alike: &Alike,
    ) -> Vec<Query> {
        let tags = alike.tags.iter().map(std::slice::from_ref).chain([&*alike.tags]);
        let query = |tags: &[Arc<str>]| self.column(sight.as_str(), target, on, &alike.column, tags);
        let mut queries: Vec<Query> = tags.clone().map(query).collect();
        if sight == Sight::UseMasked {
            queries.extend(self.sight_queries(Sight::Reveal, target, on, alike));
        }
        queries
    }

    /// Ask whether that much of some columns is seen, of the rules that `counts` lets through. Through a server it is the
    /// less of what its caller sees and what it sees itself.
    pub(crate) fn sight(
        &self,
        sight: Sight,
        target: &TargetName,
        on: On<'_>,
        alike: &Alike,
        counts: impl Fn(&Rule) -> bool,
    ) -> Answer {
        self.both(|one| one.sight_alone(sight, target, on, alike, &counts))
    }

    fn sight_alone(
        &self,
        sight: Sight,
        target: &TargetName,
        on: On<'_>,
        alike: &Alike,
        counts: impl Fn(&Rule) -> bool,
    ) -> Answer {
        let query =
            |sight: Sight, tags: &[Arc<str>]| self.column(sight.as_str(), target, on, &alike.column, tags);
        let mut all = Answer { allowed: true, policies: Vec::new(), lasting: true };
        for tag in &*alike.tags {
            let tag = std::slice::from_ref(tag);
            let mut answer = self.alone(&query(sight, tag), &counts);
            // What is revealed needs no mask.
            if !answer.allowed && sight == Sight::UseMasked {
                let revealed = self.alone(&query(Sight::Reveal, tag), &counts);
                let lasting = answer.lasting && revealed.lasting;
                answer = if revealed.allowed { revealed } else { answer };
                answer.lasting = lasting;
            }
            all.also(answer);
            if !all.allowed {
                return all;
            }
        }
        if alike.tags.len() > 1 {
            all.also(self.unforbidden(&query(sight, &alike.tags), &counts));
        }
        all
    }
}

#[cfg(test)]
pub(crate) mod tests;
