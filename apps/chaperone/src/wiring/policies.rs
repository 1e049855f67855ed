//! Policies from their folder.

use std::path::Path;

use chaperone_policy::{Diagnostic, Known, LIMITS_FILE, PolicySet, Warning};

use crate::config::{self, gateway::GatewayConfig};
use crate::verbs::Failure;

/// Read every `*.cedar` file of a folder, and its limits.
pub(crate) fn read(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let entries = std::fs::read_dir(folder)
        .map_err(Failure::io(format!("cannot read the policy folder `{}`", folder.display())))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Failure::io("cannot read the policy folder"))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "cedar") || name == LIMITS_FILE {
            files.push((name, config::read_text(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

/// A set with its warnings, or what is wrong with it.
pub(crate) type Loaded = Result<(PolicySet, Vec<Warning>), Vec<Diagnostic>>;

/// Load the policies that a configuration names.
pub(crate) fn load(config: &GatewayConfig, folder: &Path) -> Result<Loaded, Failure> {
    let known = Known { targets: config.targets.keys().cloned().collect(), ..Known::default() };
    Ok(PolicySet::load(&read(folder)?, &known))
}

/// All diagnostics in one text, a line each.
pub(crate) fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}
