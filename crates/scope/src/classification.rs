//! What was decided about a target: what each column holds, who sees which rows, which code of the target's own may be
//! called. Kept in a file that is reviewed like code.

mod apply;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::{Class, MaskOperator, RelationName};

pub(crate) use apply::apply;

/// A target's classification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Classification {
    /// SHA-256 of the file.
    pub(crate) digest: [u8; 32],
    pub(crate) relations: BTreeMap<RelationName, RelationLines>,
    pub(crate) functions: BTreeSet<RelationName>,
    pub(crate) extensions: BTreeSet<Arc<str>>,
}

/// What the file says of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RelationLines {
    /// Reviewed as a whole, also columns that come later.
    pub(crate) clear: bool,
    pub(crate) rows: Option<RowFilter>,
    pub(crate) columns: BTreeMap<Arc<str>, ColumnLine>,
}

/// Which rows are seen by callers who may not see all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFilter {
    /// The predicate as it was written.
    pub(crate) text: Arc<str>,
    /// The columns that it reads.
    pub(crate) columns: BTreeSet<Arc<str>>,
}

/// What the file says of a column; without a line it is unclassified.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Whether a function of the target's own may be called by callers who see a part of it: all overloads of the name.
    pub(crate) fn allows_function(&self, function: &RelationName) -> bool {
        self.functions.contains(function)
    }

    /// Whether everything of an extension may be used by them.
    pub(crate) fn allows_extension(&self, extension: &str) -> bool {
        self.extensions.contains(extension)
    }
}
