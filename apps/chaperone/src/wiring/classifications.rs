//! Classifications from their files: read and checked together, so that either all of them come into force or none.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chaperone_access::{AttributeKind, TargetName};
use chaperone_api::CatalogView;
use chaperone_scope::Classification;
use chaperone_trail::{Body, ClassificationLoaded, Digest};

use crate::config::gateway::{GatewayConfig, Protocol};
use crate::config::{self, beside};
use crate::verbs::Failure;

/// Largest classification that is read: some hundred thousand columns.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A target's classification, and the text that it was read from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Classified {
    pub(crate) classification: Arc<Classification>,
    pub(crate) text: String,
}

/// Those of all targets that have one.
pub(crate) type Classifications = BTreeMap<TargetName, Arc<Classified>>;

/// Where they are, and what row filters may ask about.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClassificationFiles {
    files: BTreeMap<TargetName, PathBuf>,
    attributes: BTreeMap<String, AttributeKind>,
}

impl ClassificationFiles {
    /// As a configuration names them.
    pub(crate) fn new(path: &Path, config: &GatewayConfig) -> Self {
        let files = config
            .targets
            .iter()
            .filter_map(|(name, target)| Some((name.clone(), beside(path, target.classification.as_ref()?))));
        Self { files: files.collect(), attributes: config.attributes.clone() }
    }

    /// The file of a target.
    pub(crate) fn of(&self, target: &TargetName) -> Option<&Path> {
        self.files.get(target).map(PathBuf::as_path)
    }

    /// Read one target's, where it has one.
    ///
    /// # Errors
    /// Everything that is wrong with it, a line each.
    pub(crate) fn read(&self, target: &TargetName) -> Result<Option<Classified>, Vec<String>> {
        self.of(target).map(|file| read(file, &self.attributes)).transpose()
    }

    /// Read all of them.
    ///
    /// # Errors
    /// Everything that is wrong with any, a line each.
    pub(crate) fn load(&self) -> Result<Classifications, Vec<String>> {
        let (mut found, mut faults) = (Classifications::new(), Vec::new());
        for (target, file) in &self.files {
            match read(file, &self.attributes) {
                Ok(classified) => {
                    found.insert(target.clone(), Arc::new(classified));
                }
                Err(lines) => faults.extend(lines),
            }
        }
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }
}

/// Every tag that a column may have under them; `None` where there are none.
pub(crate) fn tags<'a>(of: impl Iterator<Item = &'a Classification>) -> Option<HashSet<String>> {
    of.fold(None, |known: Option<HashSet<String>>, classification| {
        let mut known = known.unwrap_or_default();
        known.extend(classification.tags().map(str::to_owned));
        Some(known)
    })
}

/// What the row filters of a text ask about subjects, where no configuration declares it.
pub(crate) fn asked_in(text: &str) -> BTreeMap<String, AttributeKind> {
    let named = text.split("caller.").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().to_owned()
    });
    named.map(|name| (name, AttributeKind::Texts)).collect()
}

/// Read one.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub(crate) fn read(
    file: &Path,
    attributes: &BTreeMap<String, AttributeKind>,
) -> Result<Classified, Vec<String>> {
    let text = config::read_text_to(file, FILE_BYTES_MAX).map_err(|error| vec![error.to_string()])?;
    match Classification::load(&file.display().to_string(), &text, attributes) {
        Ok(classification) => Ok(Classified { classification: Arc::new(classification), text }),
        Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
    }
}

/// One line a target that has none.
pub(crate) fn unclassified(config: &GatewayConfig) -> Vec<String> {
    let sql = config.targets.iter().filter(|(_, target)| target.protocol == Protocol::Postgres);
    let without = sql.filter(|(_, target)| target.classification.is_none());
    let line = |(name, _)| {
        format!(
            "target `{name}` is not classified: who may read a relation sees all of it (hint: `chaperone classify {name}` \
             proposes a file for `targets.{name}.classification`)"
        )
    };
    without.map(line).collect()
}

/// One line a target whose row filters nobody tells a floor about. `floors` are the targets whose agent does.
pub(crate) fn inline(classified: &Classifications, floors: &BTreeSet<TargetName>) -> Vec<String> {
    let without = classified.iter().filter(|(name, _)| !floors.contains(*name));
    let line = |(name, one): (&TargetName, &Arc<Classified>)| {
        let filtered = one.classification.alone().filter(|(_, facts)| facts.filtered).count();
        (filtered > 0).then(|| {
            format!(
                "target `{name}`: the row filters of {filtered} relations stand in statements, which keeps indexes from \
                 being used (hint: with `floor` in agent.toml `chaperone floor plan {name}` makes views of them)"
            )
        })
    };
    without.filter_map(line).collect()
}

/// What a catalog from a gateway is classified by.
pub(crate) fn of_view(view: &CatalogView) -> Result<Option<Arc<Classification>>, Failure> {
    let Some(text) = &view.classification else { return Ok(None) };
    let name = format!("the classification of `{}`", view.target);
    match Classification::load(&name, text, &view.attributes) {
        Ok(classification) => Ok(Some(Arc::new(classification))),
        Err(faults) => {
            Err(Failure::Failed(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
        }
    }
}

/// The entry for one that comes into force, or that ends.
pub(crate) fn loaded_body(by: &str, target: &TargetName, classified: Option<&Classified>) -> Body {
    let classification = classified.map(|classified| &classified.classification);
    Body::ClassificationLoaded(ClassificationLoaded {
        by: by.to_owned(),
        classification: classification.map(|known| Digest(known.digest())),
        columns: classification.map_or(0, |known| known.columns() as u64),
        relations: classification.map_or(0, |known| known.relations() as u64),
        target: target.to_string(),
    })
}
