//! What a holder may take away from a credential, offline. A caveat only ever restricts.

use std::collections::BTreeSet;

use std::sync::Arc;

use chaperone_access::{RelationName, Verb, Verbs};

use crate::credential::NarrowError;
use crate::kept::KeptCaveatId;
use crate::only::{self, Relations};

/// Longest name of a tool, in bytes.
pub(crate) const TOOL_BYTES_MAX: usize = 128;

/// One restriction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caveat {
    /// Void from this time on, in seconds since the Unix epoch.
    Until(u64),
    /// Only these relations, and of each only these columns.
    Relations(Relations),
    /// Only these verbs.
    Verbs(Verbs),
    /// At most this many rows a statement.
    Rows(u64),
    /// Only for calls of this tool.
    Tool(String),
    /// Only the relations and columns that the gateway keeps under this id, because they do not fit here.
    Kept(KeptCaveatId),
}

impl Caveat {
    /// As it travels: a letter and its text.
    pub(crate) fn encode(&self) -> Result<String, NarrowError> {
        match self {
            Self::Until(at) => Ok(format!("u{at}")),
            Self::Relations(relations) => {
                let text = only::encode(relations).ok_or(NarrowError::Relations)?;
                Ok(format!("r{text}"))
            }
            Self::Verbs(verbs) => {
                let words: Vec<&str> = verbs.iter().map(Verb::as_str).collect();
                Ok(format!("v{}", words.join(",")))
            }
            Self::Rows(most) => Ok(format!("n{most}")),
            Self::Tool(name) => {
                if !is_tool(name) {
                    return Err(NarrowError::Tool);
                }
                Ok(format!("t{name}"))
            }
            Self::Kept(id) => Ok(format!("k{id}")),
        }
    }

    /// Back from its text; an unknown caveat is not understood, and what is not understood must not be ignored.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let kind = chars.next()?;
        let rest = chars.as_str();
        match kind {
            'u' => rest.parse().ok().map(Self::Until),
            'r' => only::decode(rest).map(Self::Relations),
            'v' => {
                let mut verbs = Verbs::NONE;
                for word in rest.split(',').filter(|word| !word.is_empty()) {
                    verbs = verbs.with(Verb::ALL.into_iter().find(|verb| verb.as_str() == word)?);
                }
                Some(Self::Verbs(verbs))
            }
            'n' => rest.parse().ok().map(Self::Rows),
            'k' => rest.parse().ok().map(Self::Kept),
            't' => is_tool(rest).then(|| Self::Tool(rest.to_owned())),
            _ => None,
        }
    }
}

fn is_tool(name: &str) -> bool {
    !name.is_empty() && name.len() <= TOOL_BYTES_MAX && !name.chars().any(char::is_control)
}

/// All caveats of a credential together: what is left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Restriction {
    /// `None` is every relation.
    relations: Option<Relations>,
    /// `None` is every verb.
    verbs: Option<Verbs>,
    /// Most rows a statement; `None` is no bound.
    rows: Option<u64>,
    /// `None` is every tool and none; empty is nothing at all.
    tools: Option<BTreeSet<String>>,
}

impl Restriction {
    /// Of these caveats.
    #[must_use]
    pub fn of<'c>(caveats: impl IntoIterator<Item = &'c Caveat>) -> Self {
        let mut all = Self::default();
        caveats.into_iter().for_each(|caveat| all.add(caveat));
        all
    }

    fn add(&mut self, caveat: &Caveat) {
        match caveat {
            Caveat::Until(_) => {}
            // Whoever has not looked up what is left knows of nothing that is.
            Caveat::Kept(_) => self.relations = Some(Relations::new()),
            Caveat::Relations(relations) => {
                self.relations = Some(match self.relations.take() {
                    None => relations.clone(),
                    Some(before) => only::both(&before, relations),
                });
            }
            Caveat::Verbs(verbs) => {
                let before = self.verbs;
                self.verbs = Some(Verb::ALL.into_iter().fold(Verbs::NONE, |left, verb| {
                    let kept = verbs.contains(verb) && before.is_none_or(|before| before.contains(verb));
                    if kept { left.with(verb) } else { left }
                }));
            }
            Caveat::Rows(most) => self.rows = Some(self.rows.map_or(*most, |before| before.min(*most))),
            Caveat::Tool(name) => {
                let kept = self.tools.as_ref().is_none_or(|before| before.contains(name));
                self.tools = Some(kept.then(|| name.clone()).into_iter().collect());
            }
        }
    }

    /// Whether nothing is taken away.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.relations.is_none() && self.verbs.is_none() && self.rows.is_none() && self.tools.is_none()
    }

    /// Most rows that one statement may return; `None` is no bound.
    #[must_use]
    pub fn rows_max(&self) -> Option<u64> {
        self.rows
    }

    /// Whether a call of that tool is left; `None` is work outside of every call.
    #[must_use]
    pub fn allows_tool(&self, tool: Option<&str>) -> bool {
        match (&self.tools, tool) {
            (None, _) => true,
            (Some(left), Some(tool)) => left.contains(tool),
            (Some(_), None) => false,
        }
    }

    /// Whether the verb on that relation is left. Where columns are listed, nothing is that touches all of them at once.
    #[must_use]
    pub fn allows(&self, verb: Verb, relation: &RelationName) -> bool {
        let Some(left) = &self.relations else { return self.allows_verb(verb) };
        let by_relation = match (left.get(relation), verb) {
            (None, _) => false,
            (Some(None), _) => true,
            (Some(Some(_)), Verb::Read | Verb::Insert | Verb::Update) => true,
            (Some(Some(_)), Verb::Delete | Verb::Define | Verb::Call) => false,
        };
        by_relation && self.allows_verb(verb)
    }

    /// The columns of a relation that are left; `None` is all of them.
    #[must_use]
    pub fn columns(&self, relation: &RelationName) -> Option<&BTreeSet<Arc<str>>> {
        self.relations.as_ref()?.get(relation)?.as_ref()
    }

    /// Whether of some relation not all columns are left.
    #[must_use]
    pub fn leaves_out_columns(&self) -> bool {
        self.relations.iter().flat_map(Relations::values).any(Option::is_some)
    }

    /// Whether the verb is left at all, on the target as a whole.
    #[must_use]
    pub fn allows_verb(&self, verb: Verb) -> bool {
        self.verbs.is_none_or(|verbs| verbs.contains(verb))
    }

    /// Whether verbs on the target as a whole (`define`, `call`) are left: not where relations are listed.
    #[must_use]
    pub fn allows_whole(&self, verb: Verb) -> bool {
        self.relations.is_none() && self.allows_verb(verb)
    }
}
