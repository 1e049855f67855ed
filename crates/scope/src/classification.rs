//! What was decided about a target: what each column holds, who sees which rows, which code of the target's own may be
//! called. Kept in a file that is reviewed like code.

mod apply;
mod file;
mod filter;
mod propose;
mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::{AttributeKind, Class, Column, MaskOperator, RelationFacts, RelationName};

pub(crate) use apply::{apply, hide, unhidden};
pub use file::Fault;
pub(crate) use filter::type_of;
pub use propose::{Undecided, UndecidedColumn};
pub use tags::BUILT_IN_TAGS;

/// A target's classification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Classification {
    /// SHA-256 of the file.
    pub(crate) digest: [u8; 32],
    pub(crate) relations: BTreeMap<RelationName, RelationLines>,
    pub(crate) functions: BTreeSet<RelationName>,
    pub(crate) extensions: BTreeSet<Arc<str>>,
    /// Tags of the file's own, with what they mean.
    pub(crate) tags: BTreeMap<Arc<str>, String>,
}

/// What the file says of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RelationLines {
    /// Reviewed as a whole, also columns that come later.
    pub(crate) clear: bool,
    pub(crate) rows: Option<RowFilter>,
    /// Most lines say what others say too.
    pub(crate) columns: BTreeMap<Arc<str>, Arc<ColumnLine>>,
}

/// Which rows are seen by callers who may not see all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFilter {
    /// The predicate as it was written.
    pub(crate) text: Arc<str>,
    /// The columns that it reads.
    pub(crate) columns: BTreeSet<Arc<str>>,
    /// What it asks of the caller.
    pub(crate) asks: BTreeMap<Arc<str>, AttributeKind>,
    /// The predicate with a typed NULL in the place of each thing that is said of the caller: what a target can check.
    pub(crate) checked: String,
}

/// What the file says of a column; without a line it is unclassified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ColumnLine {
    pub(crate) class: Class,
    pub(crate) mask: Option<MaskOperator>,
    pub(crate) subject: bool,
    pub(crate) scan: bool,
}

impl Classification {
    /// SHA-256 of the file.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Every tag that may be used under it: the built-in ones and its own.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        BUILT_IN_TAGS.into_iter().chain(self.tags.keys().map(|tag| &**tag))
    }

    /// What the file alone says of each relation that it speaks of, for whoever has no catalog: a column is in it if a line
    /// names it, and what columns inherit from others is not.
    pub fn alone(&self) -> impl Iterator<Item = (&RelationName, RelationFacts)> {
        self.relations.iter().map(|(name, lines)| {
            let columns = lines.columns.iter().map(|(name, line)| {
                let ColumnLine { class, mask, subject, scan } = (**line).clone();
                Column { name: name.clone(), class, mask, subject, scan }
            });
            (name, RelationFacts { columns: columns.collect(), filtered: lines.rows.is_some() })
        })
    }

    /// How many relations it says something of.
    #[must_use]
    pub fn relations(&self) -> usize {
        self.relations.len()
    }

    /// How many columns it says something of.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.relations.values().map(|lines| lines.columns.len()).sum()
    }

    /// Whether a function of the target's own may be called by callers who see a part of it: all overloads of the name.
    pub(crate) fn allows_function(&self, function: &RelationName) -> bool {
        self.functions.contains(function)
    }

    /// Whether everything of an extension may be used by them.
    pub(crate) fn allows_extension(&self, extension: &str) -> bool {
        self.extensions.contains(extension)
    }
}
