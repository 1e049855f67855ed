//! Requests that were permitted, in the words that the target gets.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chaperone_access::{Analysis, Earlier, Words};

use super::answering::{ending, unsettling};
use super::names::{Lies, Portal, Statement};
use super::pieces::{Binding, Expect, Granted, Kind, Outgoing, Request, Run, Step};
use super::subjects::{all_text, places};
use super::{Bound, Conversation, framed};
use crate::codec::encode;
use crate::codec::frontend::Object;

/// A statement's name at the target for as long as it is not known whether it can be prepared.
const TRIAL: &str = "chaperone prepares again";

/// The first object id that is not the server's own (`FirstNormalObjectId`).
const OBJECT_ID_FIRST: u32 = 16_384;

/// The parameter types of a Parse in words of ours: a type of the target's own could run code of its own on each value (a
/// domain's check), so such a one is left to the server to find from where the parameter stands.
fn built_in(types: &[u8]) -> Vec<u8> {
    let (types, _none_left) = types.as_chunks::<4>();
    let kept = types.iter().map(|oid| match u32::from_be_bytes(*oid) {
        OBJECT_ID_FIRST.. => [0; 4],
        _ => *oid,
    });
    kept.flatten().collect()
}

impl Conversation {
    /// Take a permitted request up.
    pub(super) fn take_up(&mut self, request: Request, words: Words) -> Outgoing {
        let Request { kind, analysis, asked, parameters: _, earlier } = request;
        self.sees(&analysis, &words);
        let floored = words.read_the_floor()
            || earlier.iter().any(Earlier::reads_the_floor)
            || self.portal_of(&kind).is_some_and(|portal| portal.granted.floored);
        let granted = Granted { asked, analysis: analysis.clone(), words, floored };
        let step = match kind {
            Kind::Query { raw } => {
                self.runs(&analysis, &granted.words);
                self.book.reading += 1;
                let text = granted.words.text.as_ref();
                let bytes = text.map_or(raw, |text| framed(|out| encode::query(text, out)));
                let undo = self.book.displace(false);
                Step::new(bytes, Expect::Query { analysis, ended: 0, granted: Some(granted), undo })
            }
            Kind::Parse { raw, name, types } => {
                let bytes = match &granted.words.text {
                    Some(text) => framed(|out| encode::parse(&name, text, &built_in(&types), out)),
                    None => raw,
                };
                let lies = Lies::As(granted.words.clone());
                let statement =
                    Statement { analysis, types, names: self.resolving.now().clone(), lies, group: 0 };
                let undo = self.book.define(name, statement);
                Step::new(bytes, Expect::Parse { undo, quiet: false, granted })
            }
            Kind::Bind(binding) => self.binds(binding, granted),
            Kind::BindHead { raw, statement } => {
                let mut prepared = self.prepare_again(&statement, &granted);
                prepared.bytes.extend_from_slice(&raw);
                Step {
                    bytes: prepared.bytes.freeze(),
                    before: prepared.before,
                    expect: None,
                    is_data: false,
                    ends_copy: false,
                }
            }
            Kind::Describe { raw, name } => {
                let prepared = self.prepare_again(&name, &granted);
                prepared.then(raw, Expect::Describe { quiet: false, granted: Some(granted), runs: 0 })
            }
            Kind::Execute { raw, portal } => {
                self.bound = None;
                self.runs(&analysis, &granted.words);
                let formats = self.book.portal(&portal).and_then(|portal| portal.formats.clone());
                let member = analysis.members.first();
                let at = member.and_then(|member| places(&member.subjects));
                let looked_through = member.and_then(|member| self.free_text(member, &granted.words));
                let (mut prepared, mut known) = (Prepared::default(), formats.clone());
                // Whoever asks for binary values need not ask for their types, and without those nobody can tell which
                // patients they are about. Free text is told from numbers by its type.
                let about_patients =
                    at.is_some_and(|at| !formats.is_some_and(|formats| all_text(at, &formats)));
                if about_patients || looked_through.is_some() {
                    encode::describe(Object::Portal, &portal, &mut prepared.bytes);
                    let (granted, runs) = (Some(granted.clone()), analysis.members.len());
                    prepared.before.push(Expect::Describe { quiet: true, granted, runs });
                    known = None;
                }
                prepared.then(raw, Expect::Execute { run: Some(Run { analysis, granted, formats: known }) })
            }
            // Nobody was asked to permit it, so it is not sent.
            Kind::Unread { .. } => Step::bare(Bytes::new()),
        };
        Outgoing(step)
    }

    /// The portal whose rows are asked for.
    fn portal_of(&self, kind: &Kind) -> Option<&Portal> {
        match kind {
            Kind::Execute { portal, .. } => self.book.portal(portal),
            Kind::Query { .. }
            | Kind::Parse { .. }
            | Kind::Bind(_)
            | Kind::BindHead { .. }
            | Kind::Describe { .. }
            | Kind::Unread { .. } => None,
        }
    }

    /// A portal is made: what it runs begins here, since the target plans it with its values.
    fn binds(&mut self, binding: Binding, granted: Granted) -> Step {
        let Binding { raw, is_begun, analysis, parameters, statement, portal, formats } = binding;
        // Before the first part of it was sent.
        let prepared = if is_begun { Prepared::default() } else { self.prepare_again(&statement, &granted) };
        let runs = granted.analysis.members.len();
        self.bound = (runs > 0).then(|| Bound { portal: portal.clone(), runs });
        let known = Portal { analysis, granted: granted.clone(), parameters, formats, group: 0 };
        let undo = self.book.bind(portal, known);
        prepared.then(raw, Expect::Bind { undo, granted, runs })
    }

    /// Something is about to run.
    fn runs(&mut self, analysis: &Analysis, words: &Words) {
        if unsettling(analysis) {
            self.unsettled += 1;
        }
        self.ending += usize::from(ending(analysis));
        for member in analysis.members.iter() {
            self.book.keeps_text(member);
        }
        // Its functions may open cursors, and make tables, that no statement names.
        if words.scope.is_none() {
            self.book.unseen = true;
            self.resolving.lose_sight();
        }
    }

    /// Have a statement lie at the target in these words, with nothing that the client would hear.
    fn prepare_again(&mut self, name: &Arc<str>, granted: &Granted) -> Prepared {
        let mut prepared = Prepared::default();
        let Some(statement) = self.book.statement(name) else { return prepared };
        let analysis = statement.analysis.clone();
        let types = match granted.words.text {
            Some(_) => built_in(&statement.types),
            None => statement.types.to_vec(),
        };
        let lay = Lies::As(granted.words.clone());
        let text = granted.words.text.as_ref().unwrap_or(&analysis.text);
        match &statement.lies {
            Lies::Within(..) => return prepared,
            Lies::As(words) if words.text == granted.words.text => return prepared,
            // The unnamed one makes room by itself.
            Lies::As(_) if name.is_empty() => {}
            // Tried under another name first: where it cannot be prepared (in a failed transaction nothing can), the client's
            // own goes on lying there as it did.
            Lies::As(_) => {
                let trial: Arc<str> = Arc::from(TRIAL);
                encode::parse(TRIAL, text, &types, &mut prepared.bytes);
                let undo = self.book.close(Object::Statement, trial.clone());
                prepared.before.push(Expect::Parse { undo, quiet: true, granted: granted.clone() });
                encode::close_object(Object::Statement, TRIAL, &mut prepared.bytes);
                let undo = self.book.close(Object::Statement, trial);
                prepared.before.push(Expect::Close { undo, quiet: true });
                encode::close_object(Object::Statement, name, &mut prepared.bytes);
                let undo = self.book.lay(name, Lies::Nowhere);
                prepared.before.push(Expect::Close { undo, quiet: true });
            }
            Lies::Nowhere => {}
        }
        encode::parse(name, text, &types, &mut prepared.bytes);
        let undo = self.book.lay(name, lay);
        prepared.before.push(Expect::Parse { undo, quiet: true, granted: granted.clone() });
        prepared
    }
}

/// What we say before the client's message, and what is answered to it.
#[derive(Default)]
struct Prepared {
    bytes: BytesMut,
    before: Vec<Expect>,
}

impl Prepared {
    fn then(mut self, raw: Bytes, expect: Expect) -> Step {
        if self.before.is_empty() {
            return Step::new(raw, expect);
        }
        self.bytes.extend_from_slice(&raw);
        Step {
            bytes: self.bytes.freeze(),
            before: self.before,
            expect: Some(expect),
            is_data: false,
            ends_copy: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_the_targets_own_are_left_to_the_server() {
        let types: Vec<u8> =
            [25_u32, 16_384, 23, 90_000, 0].iter().flat_map(|oid| oid.to_be_bytes()).collect();
        let kept: Vec<u8> = [25_u32, 0, 23, 0, 0].iter().flat_map(|oid| oid.to_be_bytes()).collect();
        assert_eq!(built_in(&types), kept);
    }
}
