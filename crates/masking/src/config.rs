//! What an installation says of its own texts.

use std::collections::BTreeSet;

use crate::{Entity, Pattern};

/// What detectors look for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// How the installation writes its medical record numbers; found without any word beside them.
    pub mrn: Vec<Pattern>,
    /// What is left in the text.
    pub leave: BTreeSet<Entity>,
}
