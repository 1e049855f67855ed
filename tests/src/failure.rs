//! Why an installation could not be brought up.

use std::fmt;
use std::path::Path;

/// A sentence that says what was tried and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

/// What everything here returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// From a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// For `map_err`: what was tried with a file or folder.
    pub(crate) fn at<E: fmt::Display>(what: &str, path: &Path) -> impl FnOnce(E) -> Self {
        let tried = format!("cannot {what} `{}`", path.display());
        move |error| Self(format!("{tried}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
