//! What the session's names stand for: prepared statements and portals.
//!
//! The client may pipeline, so a name is looked up before the server has said whether its definition succeeded. Each
//! definition therefore knows the *group* (everything up to one Sync or Query) in which it was made. Within one group
//! a guess is safe: if the definition fails, the server skips the rest of the group. Across groups it is not, so a
//! name of an earlier group that the server has not answered yet makes the reader wait ([`Book::settled`]).

use std::collections::HashMap;
use std::sync::Arc;

use chaperone_access::Analysis;
use chaperone_wire::Parameter;

use crate::codec::frontend::Object;

/// A prepared statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) analysis: Arc<Analysis>,
    /// What was sent instead of the client's text.
    pub(super) sent: Option<Arc<str>>,
    pub(super) group: u64,
}

/// A portal: a statement with its values.
#[derive(Debug, Clone)]
pub(super) struct Portal {
    pub(super) statement: Statement,
    pub(super) parameters: Arc<[Parameter]>,
    pub(super) group: u64,
}

/// How to take back one definition or removal that the server did not carry out.
#[derive(Debug)]
pub(super) enum Undo {
    Statement { name: Arc<str>, group: u64, before: Option<Statement> },
    Portal { name: Arc<str>, group: u64, before: Option<Portal> },
}

/// All names of a session, as they will be when everything sent so far has succeeded.
#[derive(Debug, Default)]
pub(super) struct Book {
    statements: HashMap<Arc<str>, Statement>,
    portals: HashMap<Arc<str>, Portal>,
    /// The group that is being read.
    pub(super) reading: u64,
    /// Groups up to here, exclusive, are answered.
    pub(super) answered: u64,
}

impl Book {
    /// Whether a guess about something of that group is safe now.
    fn sure(&self, group: u64) -> bool {
        group == self.reading || group < self.answered
    }

    /// Whether the name can be used or replaced now, or the server's answers have to be awaited first.
    pub(super) fn settled(&self, object: Object, name: &str) -> bool {
        match object {
            Object::Statement => self.statements.get(name).is_none_or(|known| self.sure(known.group)),
            Object::Portal => self.portals.get(name).is_none_or(|known| self.sure(known.group)),
        }
    }

    pub(super) fn statement(&self, name: &str) -> Option<&Statement> {
        self.statements.get(name)
    }

    pub(super) fn portal(&self, name: &str) -> Option<&Portal> {
        self.portals.get(name)
    }

    pub(super) fn statements(&self) -> usize {
        self.statements.len()
    }

    pub(super) fn portals(&self) -> usize {
        self.portals.len()
    }

    pub(super) fn define(&mut self, name: Arc<str>, analysis: Arc<Analysis>, sent: Option<Arc<str>>) -> Undo {
        let group = self.reading;
        let before = self.statements.insert(name.clone(), Statement { analysis, sent, group });
        // PostgreSQL forgets the unnamed statement before it looks at the new one, so there is nothing to go back to.
        let before = if name.is_empty() { None } else { before };
        Undo::Statement { name, group, before }
    }

    pub(super) fn bind(
        &mut self,
        name: Arc<str>,
        statement: Statement,
        parameters: Arc<[Parameter]>,
    ) -> Undo {
        let group = self.reading;
        let before = self.portals.insert(name.clone(), Portal { statement, parameters, group });
        Undo::Portal { name, group, before }
    }

    /// Give a portal the values that were still on their way when it was defined.
    pub(super) fn complete(&mut self, name: &str, parameters: Arc<[Parameter]>) {
        if let Some(portal) = self.portals.get_mut(name) {
            portal.parameters = parameters;
        }
    }

    pub(super) fn close(&mut self, object: Object, name: Arc<str>) -> Undo {
        let group = self.reading;
        match object {
            Object::Statement => {
                let before = self.statements.remove(&name);
                Undo::Statement { name, group, before }
            }
            Object::Portal => {
                let before = self.portals.remove(&name);
                Undo::Portal { name, group, before }
            }
        }
    }

    /// Take back what the server did not carry out; to be called in the reverse order of the definitions.
    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Statement { name, group, before } => {
                if self.statements.get(&name).is_none_or(|now| now.group <= group) {
                    match before {
                        Some(before) => drop(self.statements.insert(name, before)),
                        None => drop(self.statements.remove(&name)),
                    }
                }
            }
            Undo::Portal { name, group, before } => {
                if self.portals.get(&name).is_none_or(|now| now.group <= group) {
                    match before {
                        Some(before) => drop(self.portals.insert(name, before)),
                        None => drop(self.portals.remove(&name)),
                    }
                }
            }
        }
    }

    /// DEALLOCATE.
    pub(super) fn deallocate(&mut self, name: Option<&str>) {
        match name {
            Some(name) => drop(self.statements.remove(name)),
            None => self.statements.clear(),
        }
    }

    /// The server is ready again: one more group is answered, and outside a transaction no portal survives.
    pub(super) fn ready(&mut self, idle: bool) {
        let group = self.answered;
        self.answered += 1;
        if idle {
            self.portals.retain(|_, portal| portal.group > group);
        }
    }

    /// DISCARD ALL.
    pub(super) fn discard(&mut self) {
        self.statements.clear();
        self.portals.clear();
    }
}
