//! Which relations are left of a credential, and which of their columns: `schema.name`, or `schema.name(column, column)`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::RelationName;
use thiserror::Error;

/// Most relations that one caveat names.
pub(crate) const RELATIONS_MAX: usize = 16;
/// Most columns that one caveat names of one relation: more than a user name carries.
pub(crate) const COLUMNS_MAX: usize = 256;
/// Stands between a relation and its columns where they travel.
const UNIT: char = '\u{1f}';

/// Relations, and of each the columns; `None` is all of them.
pub type Relations = BTreeMap<RelationName, Option<BTreeSet<Arc<str>>>>;

/// One relation with the columns that are left of it; `None` is all.
///
/// A part in double quotes is taken as it stands; other names are those of the catalog, and are not folded either.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Only {
    /// The relation.
    pub relation: RelationName,
    /// Its columns.
    pub columns: Option<BTreeSet<Arc<str>>>,
}

impl std::fmt::Display for Only {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.relation)?;
        let Some(columns) = &self.columns else { return Ok(()) };
        // A relation's name without a schema is quoted by the same rules.
        let names = columns.iter().map(|column| RelationName::new("", column.clone()).to_string());
        write!(f, "({})", names.collect::<Vec<_>>().join(", "))
    }
}

/// A text that names no relation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` names no relation (hint: `schema.name`, or `schema.name(column, column)`; a part that needs it in double \
     quotes)"
)]
pub struct OnlyError(String);

impl std::str::FromStr for Only {
    type Err = OnlyError;

    fn from_str(text: &str) -> Result<Self, OnlyError> {
        read(text).ok_or_else(|| OnlyError(text.chars().take(128).collect()))
    }
}

fn read(text: &str) -> Option<Only> {
    let (name, columns) = match outside(text, '(') {
        None => (text, None),
        Some((name, rest)) => (name, Some(listed(rest.strip_suffix(')')?)?)),
    };
    let relation: RelationName = name.trim().parse().ok()?;
    (!relation.schema.is_empty()).then_some(Only { relation, columns })
}

/// The text before and after a character, the first one outside of double quotes.
fn outside(text: &str, wanted: char) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == wanted && !quoted
    });
    let (at, _) = at?;
    Some((text.get(..at)?, text.get(at + wanted.len_utf8()..)?))
}

fn listed(mut text: &str) -> Option<BTreeSet<Arc<str>>> {
    let mut columns = BTreeSet::new();
    loop {
        let (column, rest) = match outside(text, ',') {
            Some((column, rest)) => (column, Some(rest)),
            None => (text, None),
        };
        columns.insert(column_name(column.trim())?);
        match rest {
            Some(rest) => text = rest,
            None => return Some(columns),
        }
    }
}

fn column_name(text: &str) -> Option<Arc<str>> {
    let name = match text.strip_prefix('"') {
        None if text.contains(['"', '(', ')']) => return None,
        None => text.to_owned(),
        Some(rest) => {
            let inside = rest.strip_suffix('"')?;
            let name = inside.replace("\"\"", "\u{0}");
            if name.contains('"') {
                return None;
            }
            name.replace('\u{0}', "\"")
        }
    };
    (!name.is_empty()).then(|| Arc::from(name))
}

/// Several together: all that any of them names.
#[must_use]
pub fn together(many: impl IntoIterator<Item = Only>) -> Relations {
    let mut all = Relations::new();
    for Only { relation, columns } in many {
        match all.entry(relation) {
            Entry::Vacant(place) => drop(place.insert(columns)),
            Entry::Occupied(mut place) => match (place.get_mut(), columns) {
                (Some(known), Some(more)) => known.extend(more),
                (known, _) => *known = None,
            },
        }
    }
    all
}

/// What two of them have in common.
pub(crate) fn both(one: &Relations, other: &Relations) -> Relations {
    let common = one.iter().filter_map(|(name, columns)| {
        let left = match (columns, other.get(name)?) {
            (Some(one), Some(other)) => Some(one.intersection(other).cloned().collect()),
            (Some(some), None) | (None, Some(some)) => Some(some.clone()),
            (None, None) => None,
        };
        Some((name.clone(), left))
    });
    common.collect()
}

/// As they travel: relations apart by commas, columns by unit separators, which no name may contain.
pub(crate) fn encode(relations: &Relations) -> Option<String> {
    let plain = |text: &str| !text.is_empty() && !text.contains(',') && !text.chars().any(char::is_control);
    if relations.is_empty() || relations.len() > RELATIONS_MAX {
        return None;
    }
    let mut out = String::new();
    for (name, columns) in relations {
        let name = name.to_string();
        if !plain(&name) {
            return None;
        }
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&name);
        let Some(columns) = columns else { continue };
        // Without a column there is no separator, and it would read as all of them.
        if columns.is_empty() || columns.len() > COLUMNS_MAX || !columns.iter().all(|column| plain(column)) {
            return None;
        }
        for column in columns {
            out.push(UNIT);
            out.push_str(column);
        }
    }
    Some(out)
}

/// Back from their text.
pub(crate) fn decode(text: &str) -> Option<Relations> {
    let mut relations = Relations::new();
    for item in text.split(',') {
        let mut parts = item.split(UNIT);
        let relation: RelationName = parts.next()?.parse().ok()?;
        let columns: BTreeSet<Arc<str>> = parts.map(Arc::from).collect();
        if columns.contains("") || columns.len() > COLUMNS_MAX {
            return None;
        }
        let columns = (!columns.is_empty()).then_some(columns);
        // Named twice it would mean what the last one says.
        if relations.insert(relation, columns).is_some() || relations.len() > RELATIONS_MAX {
            return None;
        }
    }
    Some(relations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Only {
        text.parse().unwrap()
    }

    #[test]
    fn relations_and_columns_are_read_as_written() {
        let named = |columns: &[&str]| Some(columns.iter().map(|column| Arc::from(*column)).collect());
        for (text, schema, name, columns) in [
            ("clinic.patients", "clinic", "patients", None),
            ("clinic.patients(id)", "clinic", "patients", named(&["id"])),
            (" clinic.patients ( id , name )", "clinic", "patients", named(&["id", "name"])),
            (
                "\"My (s)\".\"a.b\"(\"Odd, \"\"x\"\" (y)\", z)",
                "My (s)",
                "a.b",
                named(&["Odd, \"x\" (y)", "z"]),
            ),
        ] {
            let meant = Only { relation: RelationName::new(schema, name), columns };
            assert_eq!(only(text), meant, "{text}");
            assert_eq!(only(&meant.to_string()), meant, "{text}");
        }
        for bad in [
            "",
            "patients",
            "a.b()",
            "a.b(",
            "a.b(x",
            "a.b(x) ",
            "a.b(x,)",
            "a.b(,x)",
            "a.b(x)(y)",
            "a.b(\"x)",
            "a.b(\"x\"y\")",
            "a.b(x(y))",
            "(x)",
        ] {
            assert!(bad.parse::<Only>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_one_caveat_names_adds_up_and_what_two_name_does_not() {
        let columns = |relations: &Relations| relations.values().next().cloned().unwrap();
        let parts = together([only("a.b(x)"), only("a.b(y)")]);
        assert_eq!(columns(&parts), only("a.b(x, y)").columns);
        assert_eq!(columns(&together([only("a.b(x)"), only("a.b")])), None);
        let other = together([only("a.b(y, z)"), only("a.c")]);
        assert_eq!(both(&parts, &other), together([only("a.b(y)")]));
        assert_eq!(both(&parts, &together([only("a.b")])), parts);
        assert_eq!(columns(&both(&parts, &together([only("a.b(z)")]))), Some(BTreeSet::new()));
    }

    #[test]
    fn what_travels_comes_back_and_nothing_else_does() {
        let relations = together([only("a.b(x, \"Odd (y)\")"), only("\"A\".c")]);
        assert_eq!(decode(&encode(&relations).unwrap()), Some(relations));
        for bad in ["a.b(\"x,y\")", "a.\"b,c\"", "a.b(\"x\u{1f}y\")"] {
            assert_eq!(encode(&together([only(bad)])), None, "{bad}");
        }
        assert_eq!(encode(&[(RelationName::new("a", "b"), Some(BTreeSet::new()))].into()), None);
        for bad in ["", "a.b,", "a.b\u{1f}", "a.b\u{1f}x\u{1f}\u{1f}y", "a.b\u{1f}x,a.b", "a.b,a.b"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
