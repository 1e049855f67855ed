//! What a classification might say of the columns that it does not decide: by their names, types and comments. A proposal
//! for whoever reviews, and nothing more.

mod words;

use std::collections::HashMap;

use chaperone_access::{Class, RelationName};
use serde::Serialize;

use crate::catalog::{Catalog, Relation, TableColumn};
use words::{guess, kind};

/// A relation with columns that nobody has decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undecided {
    /// Which.
    pub relation: RelationName,
    /// Its columns without a decision, in order.
    pub columns: Vec<UndecidedColumn>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UndecidedColumn {
    /// Its name.
    pub name: String,
    /// Its type, as SQL.
    #[serde(rename = "type")]
    pub typ: String,
    /// A line for the file, in TOML.
    pub proposal: Option<String>,
    /// What speaks for it, or why there is none.
    pub why: String,
}

impl Undecided {
    /// The head of the table of its columns in the file.
    #[must_use]
    pub fn head(&self) -> String {
        format!("[relations.{}.columns]", quoted(&self.relation.to_string()))
    }

    /// Lines for the file: a proposal each, or a remark.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let width = self.columns.iter().map(|column| key(&column.name).len()).max().unwrap_or(0);
        let line = |column: &UndecidedColumn| {
            let UndecidedColumn { name, typ, proposal, why } = column;
            let name = key(name);
            match proposal {
                Some(proposal) => format!("{name:width$} = {proposal}  # {typ}: {why}"),
                None => format!("# {name:width$} = {{ clear = true }}  # {typ}: {why}"),
            }
        };
        self.columns.iter().map(|column| line(column).replace(['\n', '\r'], " ")).collect()
    }
}

/// A text as TOML.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default().replace('\u{7f}', "\\u007F")
}

/// A key, with quotes where it needs them.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { quoted(name) }
}

/// What the queries of comments said, by relation and column.
type Comments<'a> = HashMap<(&'a str, &'a str), &'a str>;

impl Catalog {
    /// The columns that its classification does not decide, with a proposal where there is one. `results` are those of
    /// the queries that the catalog was built from. Views are left out, because their columns follow from what they
    /// read, and so is what has its decision from a parent or from what it is generated from.
    #[must_use]
    pub fn undecided(&self, results: &[Vec<Vec<Option<String>>>]) -> Vec<Undecided> {
        let rows = results.last().into_iter().flatten();
        let comments: Comments<'_> = rows
            .filter_map(|row| match row.as_slice() {
                [Some(oid), Some(column), Some(comment)] => {
                    Some(((oid.as_str(), column.as_str()), comment.as_str()))
                }
                _ => None,
            })
            .collect();
        let mut names: Vec<&RelationName> = self.own().collect();
        names.sort_unstable();
        let undecided = |name: &RelationName| {
            let relation = self.relations.get(name)?;
            let columns = self.undecided_columns(name, relation, &comments);
            (!columns.is_empty()).then(|| Undecided { relation: name.clone(), columns })
        };
        names.into_iter().filter_map(undecided).collect()
    }

    fn undecided_columns(
        &self,
        name: &RelationName,
        relation: &Relation,
        comments: &Comments<'_>,
    ) -> Vec<UndecidedColumn> {
        if !matches!(relation.kind, b'r' | b'p' | b'm' | b'f') {
            return Vec::new();
        }
        let decided = |column: &TableColumn| {
            let facts = self.facts(name).into_iter().flat_map(|facts| &facts.columns);
            let found = facts.into_iter().find(|known| known.name == column.name);
            found.is_some_and(|known| known.class != Class::Unclassified)
        };
        let handed_down = |column: &TableColumn| {
            let parents = relation.parents.iter().filter_map(|parent| self.relations.get(parent));
            parents.into_iter().any(|parent| parent.columns.iter().any(|known| known.name == column.name))
        };
        let open = relation
            .columns
            .iter()
            .filter(|column| !decided(column) && !handed_down(column) && column.generated_from.is_empty());
        let oid = relation.oid.to_string();
        open.map(|column| {
            let comment = comments.get(&(oid.as_str(), &*column.name)).copied();
            let guessed = guess(&name.name, &column.name, kind(&column.base), comment);
            let (proposal, why) = match guessed {
                Some((proposal, why)) => (Some(proposal), why),
                None => (None, "its name tells nothing".to_owned()),
            };
            UndecidedColumn { name: column.name.to_string(), typ: column.typ.to_string(), proposal, why }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::catalog::tests::{classification, odd, recorded};

    #[test]
    fn only_what_is_open_is_proposed() {
        let all = odd(None).undecided(&recorded());
        let names: Vec<String> = all.iter().map(|undecided| undecided.relation.to_string()).collect();
        let expected = [
            "broad",
            "judged",
            "kept",
            "keyed",
            "loose",
            "loose_parts",
            "moved",
            "orders",
            "people",
            "staff",
            "visits",
        ];
        let expected = expected.map(|name| format!("app.{name}"));
        assert_eq!(names, expected, "without partitions, which are decided above");
        let staff = all.iter().find(|undecided| &*undecided.relation.name == "staff").unwrap();
        assert_eq!(staff.columns.len(), 1, "what is inherited is decided above");
        let rules = classification(
            "[relations.\"app.people\".columns]\nname = { clear = true }\n[relations.\"app.orders\"]\nclear = true\n",
        );
        let left = odd(Some(&rules)).undecided(&recorded());
        assert!(!left.iter().any(|undecided| &*undecided.relation.name == "orders"));
        let people = left.iter().find(|undecided| &*undecided.relation.name == "people").unwrap();
        assert!(people.columns.iter().all(|column| column.name != "name" && column.name != "up"));
    }

    #[test]
    fn what_is_proposed_can_be_read_back() {
        let mut file = String::new();
        for undecided in odd(None).undecided(&recorded()) {
            file.push_str(&undecided.head());
            for line in undecided.lines() {
                file.push_str(&format!("\n{}", line.trim_start_matches("# ")));
            }
            file.push('\n');
        }
        let rules: Arc<_> = classification(&file);
        let catalog = odd(Some(&rules));
        assert_eq!(catalog.undecided(&recorded()), []);
        assert_eq!(catalog.misfits(), <[String; 0]>::default());
    }
}
