//! Why a command ended without having done its work.

use std::fmt;

/// A sentence for the person at the terminal, and the exit code that scripts see.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    exit_code: u8,
}

impl Failure {
    /// Something was done and its result is not good: exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 1 }
    }

    /// The command line or the machine must change before anything can be done: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 2 }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<chaperone_tests::Failure> for Failure {
    fn from(failure: chaperone_tests::Failure) -> Self {
        Self::new(failure.to_string())
    }
}
