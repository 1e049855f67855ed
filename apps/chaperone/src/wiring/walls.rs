//! Whether what an agent starts has walls around it: what its file asks for, and what the machine has.

use std::cell::OnceCell;
use std::sync::Arc;

use chaperone_command::walls::Bubblewrap;

use crate::config::agent::Isolation;

/// What the file says for everything, and what the machine has, looked at when it is first wanted.
pub(crate) struct Platform {
    default: Isolation,
    found: OnceCell<Result<Arc<Bubblewrap>, String>>,
}

impl Platform {
    pub(crate) fn new(default: Isolation) -> Self {
        Self { default, found: OnceCell::new() }
    }

    /// What builds the walls of a server or of a target's commands; `None` where they have none. That holds until the agent ends:
    /// what had walls at the start is never started without.
    ///
    /// # Errors
    /// They are required, and cannot be built here.
    pub(crate) fn walls(
        &self,
        own: Option<Isolation>,
        what: &str,
        name: &str,
    ) -> Result<Option<Arc<Bubblewrap>>, String> {
        let isolation = own.unwrap_or(self.default);
        if isolation == Isolation::None {
            return Ok(None);
        }
        let found = self.found.get_or_init(|| Bubblewrap::find(std::env::var_os("PATH").as_deref()));
        match found {
            Ok(bubblewrap) => Ok(Some(bubblewrap.clone())),
            Err(why) if isolation == Isolation::Required => {
                Err(format!("`isolation` is required, and there is none here: {why}"))
            }
            Err(why) => {
                tracing::warn!("{what} `{name}` runs without namespaces of its own: {why}");
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(default: Isolation) -> Platform {
        Platform { default, found: OnceCell::from(Err("no `bwrap`".to_owned())) }
    }

    #[test]
    fn what_is_required_is_not_done_without() {
        let walls = |default, own| bare(default).walls(own, "server", "tools").map(|walls| walls.is_some());
        assert_eq!(walls(Isolation::WherePossible, None), Ok(false));
        assert_eq!(walls(Isolation::Required, Some(Isolation::None)), Ok(false));
        for (default, own) in [
            (Isolation::Required, None),
            (Isolation::WherePossible, Some(Isolation::Required)),
            (Isolation::None, Some(Isolation::Required)),
        ] {
            let told = walls(default, own).unwrap_err();
            assert!(told.contains("required") && told.contains("no `bwrap`"), "{told}");
        }
    }
}
