//! `gateway.toml` and `agent.toml`: what they may say. Every key is listed once, in [`keys`], with its help; the
//! starter files and `docs/reference/configuration.md` are written from that list.

pub(crate) mod agent;
pub(crate) mod commands;
pub(crate) mod exchange;
pub(crate) mod gateway;
pub(crate) mod issuers;
pub(crate) mod keys;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Largest configuration or policy file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {why} (hint: `chaperone init DIR` writes starter files)", path.display())]
    Unreadable { path: PathBuf, why: std::io::Error },
    /// The file is too large to be a configuration.
    #[error("`{}` has more than {bytes_max} bytes", path.display())]
    TooLarge { path: PathBuf, bytes_max: u64 },
    /// Not TOML, or keys that do not exist or have another type. The text names line and column.
    #[error("`{}`: {why}", path.display())]
    Invalid { path: PathBuf, why: String },
}

/// Read and parse a file.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse(path, &read_text(path)?)
}

/// A file's text as its configuration.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Invalid {
        path: path.to_owned(),
        why: error.to_string().trim_end().to_owned(),
    })
}

/// Read a text file of bounded size.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    read_text_to(path, FILE_BYTES_MAX)
}

/// Read a text file of at most so many bytes.
pub(crate) fn read_text_to(path: &Path, bytes_max: u64) -> Result<String, ConfigError> {
    let unreadable = |why| ConfigError::Unreadable { path: path.to_owned(), why };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > bytes_max {
        return Err(ConfigError::TooLarge { path: path.to_owned(), bytes_max });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// A path in a configuration file is relative to that file.
pub(crate) fn beside(file: &Path, path: &Path) -> PathBuf {
    if path.is_absolute() {
        return path.to_owned();
    }
    file.parent().unwrap_or(Path::new(".")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_files_are_valid_and_complete() {
        toml::from_str::<gateway::GatewayConfig>(&keys::gateway_starter()).unwrap();
        toml::from_str::<agent::AgentConfig>(&keys::agent_starter()).unwrap();
        let every = keys::uncommented(&keys::gateway_starter());
        toml::from_str::<gateway::GatewayConfig>(&every).unwrap_or_else(|error| panic!("{error}\n{every}"));
        let every = keys::uncommented(&keys::agent_starter());
        toml::from_str::<agent::AgentConfig>(&every).unwrap_or_else(|error| panic!("{error}\n{every}"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = toml::from_str::<gateway::GatewayConfig>("nmae = \"x\"\n").unwrap_err().to_string();
        assert!(error.contains("nmae") && error.contains("line 1"), "{error}");
        let text = format!("{}\n[postgres.extra]\n", keys::gateway_starter());
        assert!(toml::from_str::<gateway::GatewayConfig>(&text).is_err());
    }

    #[test]
    fn the_reference_is_what_the_code_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
        let written = keys::reference();
        if std::env::var_os("CHAPERONE_BLESS").is_some() {
            std::fs::write(&path, &written).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(there, written, "run the tests once with CHAPERONE_BLESS=1 and review the difference");
    }
}
