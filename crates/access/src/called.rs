//! What a call is of.

use std::fmt;
use std::sync::Arc;

/// What is called of a target or a server, as policies have words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// A tool, by its name.
    Tool(Arc<str>),
    /// Something that a server lets read, by its URI; nothing in particular where it says what there is.
    Resource(Option<Arc<str>>),
    /// Words of a server's for a model, by their name; none in particular where it says which there are.
    Prompt(Option<Arc<str>>),
}

impl Called {
    /// A tool.
    #[must_use]
    pub fn tool(name: &str) -> Self {
        Self::Tool(Arc::from(name))
    }

    /// The action that policies permit it by.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::Tool(_) => "invoke",
            Self::Resource(_) => "readResource",
            Self::Prompt(_) => "usePrompt",
        }
    }

    /// Its name: a tool's, a prompt's or a URI.
    #[must_use]
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Tool(name) => Some(name),
            Self::Resource(name) | Self::Prompt(name) => name.as_ref(),
        }
    }

    /// The tool, where it is one.
    #[must_use]
    pub fn as_tool(&self) -> Option<&Arc<str>> {
        match self {
            Self::Tool(name) => Some(name),
            Self::Resource(_) | Self::Prompt(_) => None,
        }
    }
}

/// In a sentence. A URI may hold data, so it is not repeated.
impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => write!(f, "tool `{name}`"),
            Self::Resource(Some(_)) => f.write_str("that resource"),
            Self::Resource(None) => f.write_str("resources"),
            Self::Prompt(Some(name)) => write!(f, "prompt `{name}`"),
            Self::Prompt(None) => f.write_str("prompts"),
        }
    }
}
