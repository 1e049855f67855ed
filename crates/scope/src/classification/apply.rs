//! What a classification means for the relations of a catalog. Inheritance and generated columns carry values to where no
//! line names them, so what one line says of a value holds wherever the value can be read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chaperone_access::{Class, Column, MaskOperator, RelationFacts, RelationName};

use super::{Classification, ColumnLine, RelationLines};
use crate::catalog::{Relation, Relations, TableColumn, is_own};

/// The predicate of a relation whose filter cannot be applied.
const NO_ROWS: &str = "false";
/// A view's columns follow from what it reads.
const VIEW: u8 = b'v';

/// What an undecided column is.
const UNCLASSIFIED: ColumnLine =
    ColumnLine { class: Class::Unclassified, mask: None, subject: false, scan: false };
/// What a column is that was reviewed and need not be hidden.
const CLEAR: ColumnLine = ColumnLine { class: Class::Clear, mask: None, subject: false, scan: false };

/// Set the facts and filters of all relations of the target's own. What the catalog does not bear out is returned, a line
/// each; what it concerns is hidden.
pub(crate) fn apply(rules: &Classification, relations: &mut Relations) -> Vec<String> {
    let mut applying = Applying { rules, relations, facts: HashMap::new(), misfits: BTreeSet::new() };
    applying.check_names();
    let mut names: Vec<&RelationName> = applying.relations.keys().filter(|name| is_own(name)).collect();
    names.sort_unstable();
    let mut seen = HashSet::new();
    for name in names {
        if !seen.contains(name) {
            let family = family(applying.relations, name);
            seen.extend(family.iter().copied());
            applying.family(&family);
        }
    }
    let Applying { facts, misfits, .. } = applying;
    for (name, (facts, filter)) in facts {
        if let Some(relation) = relations.get_mut(&name) {
            relation.facts = Some(Arc::new(facts));
            relation.filter = filter;
        }
    }
    misfits.into_iter().collect()
}

/// The facts of a relation of the target's own, where nothing is hidden by a classification.
pub(crate) fn unhidden(name: &RelationName, relation: &Relation) -> Option<Arc<RelationFacts>> {
    let columns = || relation.columns.iter().map(|column| column_as(column, CLEAR)).collect();
    is_own(name).then(|| Arc::new(RelationFacts { columns: columns(), filtered: false }))
}

/// Show nothing of a relation and of what shares rows with it.
pub(crate) fn hide(relations: &mut Relations, name: &RelationName) {
    let Some((name, _)) = relations.get_key_value(name) else { return };
    let family: Vec<RelationName> = family(relations, name).into_iter().cloned().collect();
    for name in family {
        let Some(relation) = relations.get_mut(&name) else { continue };
        let columns = relation.columns.iter().map(|column| column_as(column, UNCLASSIFIED)).collect();
        relation.facts = Some(Arc::new(RelationFacts { columns, filtered: true }));
        relation.filter = Some(Arc::from(NO_ROWS));
    }
}

fn column_as(column: &TableColumn, line: ColumnLine) -> Column {
    let ColumnLine { class, mask, subject, scan } = line;
    Column { name: column.name.clone(), class, mask, subject, scan }
}

/// A relation and all that are connected with it by inheritance or partitioning.
fn family<'a>(relations: &'a Relations, name: &'a RelationName) -> Vec<&'a RelationName> {
    let mut found = vec![name];
    let mut seen = HashSet::from([name]);
    let mut at = 0;
    while let Some(relation) = found.get(at).and_then(|name| relations.get(*name)) {
        let others = relation.parents.iter().chain(&relation.children);
        let others = others.filter_map(|other| Some(relations.get_key_value(other)?.0));
        found.extend(others.filter(|other| seen.insert(other)));
        at += 1;
    }
    found
}

/// One column of one relation.
type Cell<'a> = (&'a RelationName, &'a TableColumn);
/// What holds of columns, by relation and name.
type Lines<'a> = HashMap<(&'a RelationName, &'a str), ColumnLine>;

struct Applying<'a> {
    rules: &'a Classification,
    relations: &'a Relations,
    facts: HashMap<RelationName, (RelationFacts, Option<Arc<str>>)>,
    misfits: BTreeSet<String>,
}

/// Whether values of a type are instants or hours that the session's zone moves, other than those that filters turn into UTC.
fn follows_zone(base: &str) -> bool {
    let is_pinned = base.starts_with("timestamp") && base.ends_with("with time zone");
    base.starts_with("tstz") || (base.contains("with time zone") && !is_pinned)
}

/// Whether the text of a value depends on settings: of dates, floating numbers and the like.
fn has_many_texts(base: &str) -> bool {
    const BEGINNINGS: [&str; 7] = ["date", "time", "interval", "real", "double", "bytea", "money"];
    base.starts_with("ts") || BEGINNINGS.iter().any(|beginning| base.starts_with(beginning))
}

impl<'a> Applying<'a> {
    /// Lines about what does not exist.
    fn check_names(&mut self) {
        for (name, lines) in &self.rules.relations {
            let Some(relation) = self.relations.get(name) else {
                self.misfits.insert(format!("relation `{name}` does not exist"));
                continue;
            };
            if relation.kind == VIEW && !lines.columns.is_empty() {
                self.misfits.insert(format!(
                    "the columns of `{name}` are not used: it is a view, and they follow from what it reads (hint: \
                     classify that, or write `clear = true` for the view)"
                ));
            }
            for column in lines.columns.keys() {
                if !relation.columns.iter().any(|known| known.name == *column) {
                    self.misfits.insert(format!("column `{column}` of `{name}` does not exist"));
                }
            }
        }
    }

    fn family(&mut self, family: &[&'a RelationName]) {
        let filter = self.filter(family);
        let lines = self.columns(family);
        for name in family {
            let Some(relation) = self.relations.get(*name) else { continue };
            let text = filter.clone().unwrap_or_else(|()| Some(Arc::from(NO_ROWS)));
            let columns = relation.columns.iter().map(|column| {
                let line = lines.get(&(*name, &*column.name)).filter(|_| filter.is_ok());
                column_as(column, line.cloned().unwrap_or(UNCLASSIFIED))
            });
            let facts = RelationFacts { columns: columns.collect(), filtered: text.is_some() };
            self.facts.insert((*name).clone(), (facts, text));
        }
    }

    fn lines(&self, name: &RelationName) -> Option<&'a RelationLines> {
        self.rules.relations.get(name)
    }

    /// The row filter of a family: one for all, because a row can be read through each of those above it.
    fn filter(&mut self, family: &[&'a RelationName]) -> Result<Option<Arc<str>>, ()> {
        let filtered = family.iter().filter_map(|name| Some((*name, self.lines(name)?.rows.as_ref()?)));
        let filtered: Vec<_> = filtered.collect();
        let Some((name, filter)) = filtered.first() else { return Ok(None) };
        let other = filtered.iter().find(|(_, other)| other.text != filter.text);
        let unfiltered = family.iter().find(|name| {
            let top = self.relations.get(**name).is_some_and(|relation| relation.parents.is_empty());
            top && self.lines(name).is_none_or(|lines| lines.rows.is_none())
        });
        let missing = family.iter().find_map(|name| {
            let known = &self.relations.get(*name)?.columns;
            let missing =
                filter.columns.iter().find(|column| !known.iter().any(|known| known.name == **column));
            Some((name, missing?))
        });
        let unsettled = family.iter().find_map(|name| {
            let known = &self.relations.get(*name)?.columns;
            let asked = |column: &&TableColumn| filter.columns.contains(&column.name);
            let moves = |column: &&TableColumn| {
                follows_zone(&column.base) || (filter.text.contains("||") && has_many_texts(&column.base))
            };
            Some((name, &known.iter().filter(asked).find(moves)?.name))
        });
        let misfit = match (other, unfiltered, missing, unsettled) {
            (None, None, None, None) => return Ok(Some(filter.text.clone())),
            (None, None, None, Some((name, column))) => format!(
                "what the row filter of `{name}` makes of the column `{column}` depends on the caller's settings (hint: compare a column of type date, timestamp or timestamptz with a date, and join none of them to a text)"
            ),
            (Some((other, _)), _, _, _) => format!(
                "`{name}` and `{other}` share rows and have different row filters (hint: write one, at the topmost)"
            ),
            (None, Some(top), _, _) => format!(
                "`{name}` has a row filter, and `{top}`, through which its rows can be read, has none (hint: write it there)"
            ),
            (None, None, Some((name, column)), _) => {
                format!("the row filter of `{name}` reads the column `{column}`, which does not exist")
            }
        };
        self.misfits.insert(format!("{misfit}; until then nothing of it is shown"));
        Err(())
    }

    /// What holds of each column of a family.
    fn columns(&mut self, family: &[&'a RelationName]) -> Lines<'a> {
        let mut by_name: BTreeMap<&str, Vec<Cell<'a>>> = BTreeMap::new();
        for name in family {
            for column in self.relations.get(*name).into_iter().flat_map(|relation| &relation.columns) {
                by_name.entry(&*column.name).or_default().push((name, column));
            }
        }
        let mut groups: Vec<_> =
            by_name.into_values().flat_map(|cells| connected(self.relations, cells)).collect();
        // What is generated comes after what it is generated from, which never is generated itself.
        groups.sort_by_key(|group| group.iter().any(|(_, column)| column.generated));
        let mut lines = Lines::new();
        for group in groups {
            let line = self.group(&group, &lines);
            for ((name, column), own) in group.iter().zip(line) {
                lines.insert((*name, &*column.name), own);
            }
        }
        lines
    }

    /// What holds of one value's column in each of the relations through which it can be read.
    fn group(&mut self, group: &[Cell<'a>], known: &Lines<'a>) -> Vec<ColumnLine> {
        let own: Vec<Option<&ColumnLine>> = group.iter().map(|cell| self.own(*cell)).collect();
        let sources: Vec<&ColumnLine> = (group.iter())
            .flat_map(|(name, column)| column.generated_from.iter().map(|from| known.get(&(*name, &**from))))
            .map(|source| source.unwrap_or(&UNCLASSIFIED))
            .collect();
        let generated = group.iter().any(|(_, column)| column.generated);
        // Whether somebody looked at every value that is in it.
        let decided = if generated {
            sources.iter().all(|source| source.class != Class::Unclassified)
        } else {
            group.iter().zip(&own).all(|(cell, own)| own.is_some() || !self.is_top(*cell, group))
        };
        let together = self.together(group, &own, &sources);
        let one = |own: &Option<&ColumnLine>| match own {
            _ if decided => together.clone(),
            Some(ColumnLine { class: Class::Tagged(_), .. }) => together.clone(),
            Some(ColumnLine { class: Class::Clear | Class::Unclassified, .. }) | None => UNCLASSIFIED,
        };
        own.iter().map(one).collect()
    }

    /// What the file says of one column. A relation of an extension that is allowed is part of it.
    fn own(&self, (name, column): Cell<'a>) -> Option<&'a ColumnLine> {
        let relation = self.relations.get(name);
        let view = relation.is_some_and(|relation| relation.kind == VIEW);
        let extension = relation.and_then(|relation| relation.extension.as_deref());
        let lines = self.lines(name);
        let line = lines.and_then(|lines| lines.columns.get(&column.name)).map(Arc::as_ref).filter(|_| !view);
        let clear = lines.is_some_and(|lines| lines.clear)
            || extension.is_some_and(|extension| self.rules.allows_extension(extension));
        line.or_else(|| clear.then_some(&CLEAR))
    }

    /// Whether no other of the group stands above it.
    fn is_top(&self, (name, _): Cell<'a>, group: &[Cell<'a>]) -> bool {
        let parents = self.relations.get(name).map(|relation| &relation.parents);
        !parents
            .is_some_and(|parents| parents.iter().any(|parent| group.iter().any(|(name, _)| *name == parent)))
    }

    /// All that lines say of a value, never clearer than any of them.
    fn together(
        &mut self,
        group: &[Cell<'a>],
        own: &[Option<&ColumnLine>],
        sources: &[&ColumnLine],
    ) -> ColumnLine {
        let own: Vec<&ColumnLine> = own.iter().flatten().copied().collect();
        if let ([line], []) = (own.as_slice(), sources) {
            return ColumnLine { mask: self.mask(group, &own), ..(*line).clone() };
        }
        let all = || own.iter().chain(sources);
        let tags: BTreeSet<Arc<str>> = all().flat_map(|line| tags(&line.class)).cloned().collect();
        let class = if tags.is_empty() { Class::Clear } else { Class::Tagged(tags.into_iter().collect()) };
        let scan = all().any(|line| line.scan);
        let mask = self.mask(group, &own).filter(|_| !scan);
        ColumnLine { class, mask, subject: own.iter().any(|line| line.subject), scan }
    }

    /// The mask that all lines agree on, where it fits the type. What is generated from a column has its own or none: a
    /// mask is for values as they are.
    fn mask(&mut self, group: &[Cell<'a>], own: &[&ColumnLine]) -> Option<MaskOperator> {
        let mut masks = own.iter().filter(|line| line.class != Class::Clear).map(|line| &line.mask);
        let first = masks.next().cloned().flatten();
        let (name, column) = group.first()?;
        let of = format!("the column `{}` of `{name}`", column.name);
        if !masks.all(|mask| *mask == first) {
            self.misfits.insert(format!(
                "lines about {of} and about what inherits it disagree about its mask; it has none"
            ));
            return None;
        }
        let mask = first?;
        if let Some((_, column)) = group.iter().find(|(_, column)| !fits(&mask, &column.base)) {
            self.misfits
                .insert(format!("the mask of {of} is not for values of type {}; it has none", column.typ));
            return None;
        }
        if mask == MaskOperator::Pseudonym {
            self.misfits.insert(format!(
                "the mask of {of} is a pseudonym, which only a view of the floor can make: wherever none stands for `{name}` it is \
                 NULL (hint: `chaperone floor`)"
            ));
        }
        Some(mask)
    }
}

/// Whether a mask is for values of a type, as the catalog writes types.
fn fits(mask: &MaskOperator, typ: &str) -> bool {
    let bare = match typ.split_once('(') {
        Some((before, after)) => {
            format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest))
        }
        None => typ.to_owned(),
    };
    let text = matches!(bare.as_str(), "text" | "character varying" | "character" | "bpchar");
    match mask {
        MaskOperator::Null => true,
        MaskOperator::Fixed(_)
        | MaskOperator::LastFour
        | MaskOperator::FirstLetter
        | MaskOperator::ZipThree
        | MaskOperator::Pseudonym => text,
        MaskOperator::Year => {
            matches!(bare.as_str(), "date" | "timestamp without time zone" | "timestamp with time zone")
        }
        MaskOperator::Bucket(_) => matches!(
            bare.as_str(),
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision"
        ),
    }
}

/// The tags of a class.
fn tags(class: &Class) -> &[Arc<str>] {
    match class {
        Class::Tagged(tags) => tags,
        Class::Clear | Class::Unclassified => &[],
    }
}

/// Columns of one name, apart where no relation hands them on to the other.
fn connected<'a>(relations: &'a Relations, cells: Vec<Cell<'a>>) -> Vec<Vec<Cell<'a>>> {
    let mut left: BTreeMap<&RelationName, &TableColumn> = cells.into_iter().collect();
    let mut groups = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut group = vec![first];
        let mut at = 0;
        while let Some(relation) = group.get(at).and_then(|(name, _)| relations.get(*name)) {
            let others = relation.parents.iter().chain(&relation.children);
            group.extend(others.filter_map(|other| left.remove_entry(other)));
            at += 1;
        }
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests;
