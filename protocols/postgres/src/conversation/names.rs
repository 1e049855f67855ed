//! What the session's names stand for: prepared statements, portals and cursors.
//!
//! A prepared statement stays the client's whatever happens to the words that are sent for it: its name and text are kept,
//! and where other words are permitted when it is bound than when it was prepared, it is prepared again under the same
//! name before. So the target never holds more statements than the client has names for. A portal or cursor is different:
//! it gives the rows of the words that it was made of, and is known with them.
//!
//! The client may pipeline, so a name is looked up before the server has said whether its definition succeeded. Each
//! definition therefore knows the *group* (everything up to one Sync or Query) in which it was made. Within one group
//! a guess is safe: if the definition fails, the server skips the rest of the group. Across groups it is not, so a
//! name of an earlier group that the server has not answered yet makes the reader wait ([`Book::settled`]).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{Analysis, Earlier, FreeText, Member, NameRule, SessionEffect, Touch, Verb, Words};
use chaperone_wire::limits::PORTALS_MAX;
use chaperone_wire::{Names, Parameter};

use super::pieces::Granted;
use super::resolving::Moved;
use super::weights::{Weights, values_bytes};
use crate::codec::frontend::Object;

/// In which words a prepared statement lies at the target.
#[derive(Debug, Clone)]
pub(super) enum Lies {
    /// In these, from a Parse.
    As(Words),
    /// As part of these, from an SQL-level PREPARE: only the client can make it again.
    Within(Arc<Analysis>, Words),
    /// In none: it was taken away to be prepared in other words, and that failed.
    Nowhere,
}

/// Scopes of different statements that filled one temporary table, as far as they are told apart.
const FILLINGS_MAX: usize = 32;
/// Temporary tables with free text whose names are kept; with more, each one counts as such.
const TEXTS_MAX: usize = 1_000;

/// A prepared statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) analysis: Arc<Analysis>,
    /// The types of its parameters that the client gave, as they stand in a Parse.
    pub(super) types: Bytes,
    /// How its text was understood.
    pub(super) names: Names,
    pub(super) lies: Lies,
    pub(super) group: u64,
}

impl Statement {
    /// What somebody goes on with who uses it as it lies.
    pub(super) fn earlier(&self) -> Option<Earlier> {
        let (analysis, words) = match &self.lies {
            Lies::As(words) => (&self.analysis, words),
            Lies::Within(analysis, words) => (analysis, words),
            Lies::Nowhere => return None,
        };
        Some(Earlier::Prepared { analysis: analysis.clone(), words: words.clone() })
    }

    fn weigh(&self, weights: &mut Weights) {
        weights.plain(size_of::<Self>() + self.types.len());
        weights.analysis(&self.analysis);
        match &self.lies {
            Lies::As(words) => weights.words(words),
            Lies::Within(analysis, words) => {
                weights.analysis(analysis);
                weights.words(words);
            }
            Lies::Nowhere => {}
        }
    }

    /// Whether it may be prepared again, in whatever words are permitted.
    pub(super) fn renews(&self) -> bool {
        match self.lies {
            Lies::As(_) | Lies::Nowhere => true,
            Lies::Within(..) => false,
        }
    }
}

/// A portal: a statement with its values.
#[derive(Debug, Clone)]
pub(super) struct Portal {
    pub(super) analysis: Arc<Analysis>,
    pub(super) granted: Granted,
    pub(super) parameters: Arc<[Parameter]>,
    /// Format codes of its result, as they stand in a Bind; `None` where they are not known here.
    pub(super) formats: Option<Bytes>,
    pub(super) group: u64,
}

impl Portal {
    fn weigh(&self, weights: &mut Weights) {
        weights.plain(size_of::<Self>());
        weights.analysis(&self.analysis);
        weights.granted(&self.granted);
        weights.parameters(&self.parameters);
        self.formats.iter().for_each(|formats| weights.shared(formats));
    }

    /// What somebody goes on with who has rows of it.
    pub(super) fn earlier(&self) -> Earlier {
        Earlier::Filled { analysis: self.granted.analysis.clone(), words: self.granted.words.clone() }
    }
}

/// A cursor that DECLARE made.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// The string in which it was declared, and which of its statements did it.
    pub(super) analysis: Arc<Analysis>,
    pub(super) member: usize,
    pub(super) words: Words,
    /// What the temporary tables that it reads held then: it may outlive them.
    pub(super) held: Fillings,
}

/// What a temporary table or a cursor holds: what somebody saw through the words of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Fillings(Vec<Earlier>);

impl Fillings {
    pub(super) fn as_slice(&self) -> &[Earlier] {
        &self.0
    }

    /// One more. Whether it was not among them.
    fn add(&mut self, filling: &Earlier) -> bool {
        let known = self.0.iter().any(|known| match (known, filling) {
            (Earlier::Filled { words: known, .. }, Earlier::Filled { words, .. }) => {
                known.scope == words.scope
            }
            (Earlier::Filled { .. }, Earlier::Prepared { .. } | Earlier::Unseen) => false,
            (Earlier::Prepared { .. } | Earlier::Unseen, _) => true,
        });
        if known {
            return false;
        }
        if matches!(filling, Earlier::Unseen) || self.0.len() >= FILLINGS_MAX {
            // Or too many to ask about each: from now on it is for those who see everything.
            self.0 = vec![Earlier::Unseen];
        } else {
            self.0.push(filling.clone());
        }
        true
    }

    /// All of those, too. How many were not among them.
    fn extend(&mut self, others: &Self) -> usize {
        others.0.iter().filter(|other| self.add(other)).count()
    }

    fn weigh(&self, weights: &mut Weights) {
        weights.plain(size_of_val(self.0.as_slice()));
        self.0.iter().for_each(|filling| weights.earlier(filling));
    }
}

/// How to take back one definition or removal that the server did not carry out.
#[derive(Debug)]
pub(super) enum Undo {
    Statement { name: Arc<str>, group: u64, before: Option<Statement> },
    Portal { name: Arc<str>, group: u64, before: Option<Portal> },
}

impl Undo {
    pub(super) fn weigh(&self, weights: &mut Weights) {
        match self {
            Self::Statement { before, .. } => before.iter().for_each(|before| before.weigh(weights)),
            Self::Portal { before, .. } => before.iter().for_each(|before| before.weigh(weights)),
        }
    }

    /// The same after the server has tried, and failed: it forgets the unnamed statement before it looks at a new one, so
    /// there is nothing to go back to. Where the client did not ask (`quiet`), it is still there for him.
    pub(super) fn failed(self, quiet: bool) -> Self {
        match self {
            Self::Statement { name, group, before } if name.is_empty() => {
                let before =
                    before.filter(|_| quiet).map(|before| Statement { lies: Lies::Nowhere, ..before });
                Self::Statement { name, group, before }
            }
            Self::Statement { .. } | Self::Portal { .. } => self,
        }
    }
}

/// All names of a session, as they will be when everything sent so far has succeeded.
#[derive(Debug, Default)]
pub(super) struct Book {
    statements: HashMap<Arc<str>, Statement>,
    portals: HashMap<Arc<str>, Portal>,
    /// Names that were closed, and in which group: until that is answered, they may still be there.
    closed: HashMap<(Object, Arc<str>), u64>,
    /// Those of earlier transactions too: a name that the server has forgotten does no harm here. A portal comes before a
    /// cursor of its name, which the server had forgotten when it took the portal.
    cursors: HashMap<Arc<str>, Cursor>,
    /// What temporary tables were filled with, by their names.
    temporaries: HashMap<Arc<str>, Fillings>,
    /// The same of those that were dropped in a transaction which is still open.
    dropped: HashMap<Arc<str>, Fillings>,
    /// Temporary tables that may hold free text. A name stays when its table goes: it may come again before that is known.
    texts: Texts,
    /// There may be cursors that are not among them.
    pub(super) unseen: bool,
    /// The group that is being read.
    pub(super) reading: u64,
    /// Groups up to here, exclusive, are answered.
    pub(super) answered: u64,
    /// Bytes that are kept at most. It grows with each thing and is counted anew when there may be too many: what is let
    /// go of, and what names share, is not subtracted one by one.
    pub(super) bytes_most: usize,
}

impl Book {
    /// Whether a guess about something of that group is safe now.
    fn sure(&self, group: u64) -> bool {
        group == self.reading || group < self.answered
    }

    /// Whether the name can be used or replaced now, or the server's answers have to be awaited first.
    pub(super) fn settled(&self, object: Object, name: &str) -> bool {
        let known = match object {
            Object::Statement => self.statements.get(name).map(|known| known.group),
            Object::Portal => self.portals.get(name).map(|known| known.group),
        };
        let closed =
            || (!self.closed.is_empty()).then(|| self.closed.get(&(object, Arc::from(name)))).flatten();
        known.or_else(|| closed().copied()).is_none_or(|group| self.sure(group))
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

    /// Add up what is kept.
    pub(super) fn weigh(&self, weights: &mut Weights) {
        for (name, statement) in &self.statements {
            weights.plain(name.len());
            statement.weigh(weights);
        }
        for (name, portal) in &self.portals {
            weights.plain(name.len());
            portal.weigh(weights);
        }
        for (name, cursor) in &self.cursors {
            weights.plain(name.len() + size_of::<Cursor>());
            weights.analysis(&cursor.analysis);
            weights.words(&cursor.words);
            cursor.held.weigh(weights);
        }
        for (name, fillings) in self.temporaries.iter().chain(&self.dropped) {
            weights.plain(name.len());
            fillings.weigh(weights);
        }
    }

    fn grown_by(&mut self, bytes: usize) {
        self.bytes_most = self.bytes_most.saturating_add(bytes);
    }

    /// Something was kept with an analysis, and the words of it.
    fn grown(&mut self, analysis: &Arc<Analysis>, words: &Words) {
        let words = words.text.as_ref().map_or(0, |text| text.len());
        self.grown_by(Weights::of(analysis).saturating_add(words));
    }

    pub(super) fn cursor(&self, name: &str) -> Option<&Cursor> {
        self.cursors.get(name)
    }

    /// DECLARE. Portals and cursors share their names, and the server would not have taken one that is in use: a portal that is
    /// known by it went with a savepoint, or was closed by code. What is forgotten for want of room is afterwards for those
    /// only who see everything.
    pub(super) fn declare(&mut self, name: Arc<str>, cursor: Cursor) {
        self.portals.remove(&name);
        if self.cursors.len() >= PORTALS_MAX {
            self.cursors.clear();
            self.unseen = true;
        }
        self.grown(&cursor.analysis, &cursor.words);
        self.grown_by(size_of_val(cursor.held.as_slice()));
        self.cursors.insert(name, cursor);
    }

    /// CLOSE, also of a portal: no end of a transaction takes it back.
    pub(super) fn close_cursor(&mut self, name: Option<&str>) {
        match name {
            Some(name) => {
                self.portals.remove(name);
                self.cursors.remove(name);
            }
            None => {
                self.portals.clear();
                self.cursors.clear();
            }
        }
    }

    /// Temporary tables are gone, unless their transaction is taken back.
    pub(super) fn drop_temporaries(&mut self, names: &[Arc<str>]) {
        for name in names {
            if let Some((name, fillings)) = self.temporaries.remove_entry(name) {
                self.dropped.entry(name).or_default().extend(&fillings);
            }
        }
    }

    /// A transaction has ended, or a part of it was taken back; these are the temporary tables that there are. What one was
    /// filled with is forgotten only with the table.
    pub(super) fn temporaries_moved(&mut self, moved: Moved, there: &[Arc<str>]) {
        match moved {
            Moved::Nothing => return,
            Moved::On => self.dropped.clear(),
            Moved::Back => {
                let dropped = std::mem::take(&mut self.dropped);
                self.restore(&dropped);
            }
            // A table that is not there yet may be there again when more is taken back.
            Moved::BackTo => {
                let dropped = std::mem::take(&mut self.dropped);
                self.restore(&dropped);
                self.dropped = dropped;
            }
        }
        self.temporaries.retain(|name, _| there.contains(name));
    }

    fn restore(&mut self, dropped: &HashMap<Arc<str>, Fillings>) {
        for (name, before) in dropped {
            self.temporaries.entry(name.clone()).or_default().extend(before);
        }
    }

    /// What the temporary tables hold that a statement reads.
    pub(super) fn held(&self, member: &Member) -> Fillings {
        let mut held = Fillings::default();
        for touch in member.touches.iter().filter(|touch| reads_temporary(touch)) {
            if let Some(fillings) = self.temporaries.get(&touch.relation.name) {
                held.extend(fillings);
            }
        }
        held
    }

    /// A temporary table holds what somebody saw through the words of a statement, and what those held which it reads.
    pub(super) fn fill(&mut self, name: &Arc<str>, member: &Member, analysis: &Arc<Analysis>, words: &Words) {
        let held = self.held(member);
        let fillings = self.temporaries.entry(name.clone()).or_default();
        let handed_on = fillings.extend(&held);
        if fillings.add(&Earlier::Filled { analysis: analysis.clone(), words: words.clone() }) {
            self.grown(analysis, words);
        }
        self.grown_by(handed_on * size_of::<Earlier>());
    }

    /// A temporary table may hold what nobody here saw.
    pub(super) fn fill_unseen(&mut self, name: &Arc<str>) {
        self.temporaries.entry(name.clone()).or_default().add(&Earlier::Unseen);
    }

    /// What a temporary table was filled with.
    pub(super) fn fillings(&self, name: &str) -> &[Earlier] {
        self.temporaries.get(name).map(Fillings::as_slice).unwrap_or_default()
    }

    /// A statement is about to run: where it writes free text to, free text will be read from.
    pub(super) fn keeps_text(&mut self, member: &Member) {
        if member.free_text == FreeText::None && !self.holds_text(member) {
            return;
        }
        let made =
            if let SessionEffect::MakesTemporary { name, .. } = &member.session { Some(name) } else { None };
        let written = member.touches.iter().filter(|touch| {
            touch.rule == NameRule::Temporary && touch.verbs.iter().any(|verb| verb != Verb::Read)
        });
        for name in written.map(|touch| &touch.relation.name).chain(made) {
            self.texts.add(name);
        }
    }

    /// Whether a statement reads from a temporary table that may hold free text.
    pub(super) fn holds_text(&self, member: &Member) -> bool {
        let mut read = member.touches.iter().filter(|touch| reads_temporary(touch));
        read.any(|touch| self.texts.have(&touch.relation.name))
    }

    /// Whether a temporary table of that name may hold free text.
    pub(super) fn has_text(&self, name: &str) -> bool {
        self.texts.have(name)
    }

    pub(super) fn define(&mut self, name: Arc<str>, mut statement: Statement) -> Undo {
        let group = self.reading;
        statement.group = group;
        let mut weights = Weights::default();
        statement.weigh(&mut weights);
        self.grown_by(weights.bytes());
        let before = self.statements.insert(name.clone(), statement);
        Undo::Statement { name, group, before }
    }

    /// A Query, or a Parse that we let fail, makes the server forget the unnamed statement. The client's own would have
    /// done so too, or else (`kept`) it is still there for him.
    pub(super) fn displace(&mut self, kept: bool) -> Undo {
        let name: Arc<str> = Arc::from("");
        if kept { self.lay(&name, Lies::Nowhere) } else { self.close(Object::Statement, name) }
    }

    /// A statement is understood anew.
    pub(super) fn renew(&mut self, name: &str, analysis: &Arc<Analysis>, names: &Names) {
        if let Some(statement) = self.statements.get_mut(name)
            && !Arc::ptr_eq(&statement.analysis, analysis)
        {
            statement.analysis = analysis.clone();
            statement.names = names.clone();
            self.grown_by(Weights::of(analysis));
        }
    }

    /// What is sent from now on makes a statement lie there otherwise.
    pub(super) fn lay(&mut self, name: &Arc<str>, lies: Lies) -> Undo {
        let group = self.reading;
        let before = self.statements.get(name).cloned();
        if let Lies::As(words) = &lies {
            self.grown_by(words.text.as_ref().map_or(0, |text| text.len()));
        }
        if let Some(statement) = self.statements.get_mut(name) {
            statement.lies = lies;
            statement.group = group;
        }
        Undo::Statement { name: name.clone(), group, before }
    }

    pub(super) fn bind(&mut self, name: Arc<str>, mut portal: Portal) -> Undo {
        let group = self.reading;
        portal.group = group;
        // What it was made of is a statement's, and was counted with that.
        let words = portal.granted.words.text.as_ref().map_or(0, |text| text.len());
        let formats = portal.formats.as_ref().map_or(0, Bytes::len);
        self.grown_by(size_of::<Portal>() + values_bytes(&portal.parameters) + words + formats);
        let before = self.portals.insert(name.clone(), portal);
        Undo::Portal { name, group, before }
    }

    pub(super) fn close(&mut self, object: Object, name: Arc<str>) -> Undo {
        let group = self.reading;
        match object {
            Object::Statement => {
                let before = self.statements.remove(&name);
                if before.is_some() {
                    self.closed.insert((object, name.clone()), group);
                }
                Undo::Statement { name, group, before }
            }
            Object::Portal => {
                let before = self.portals.remove(&name);
                if before.is_some() {
                    self.closed.insert((object, name.clone()), group);
                }
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
        self.closed.retain(|_, closed| *closed > group);
        if idle {
            self.portals.retain(|_, portal| portal.group > group);
        }
    }

    /// DISCARD ALL.
    pub(super) fn discard(&mut self) {
        self.statements.clear();
        self.portals.clear();
        self.cursors.clear();
        self.temporaries.clear();
        self.dropped.clear();
        self.texts = Texts::default();
    }
}

fn reads_temporary(touch: &Touch) -> bool {
    touch.rule == NameRule::Temporary && touch.verbs.contains(Verb::Read)
}

/// Names of temporary tables that may hold free text, as far as they are told apart.
#[derive(Debug, Default)]
struct Texts {
    names: HashSet<Arc<str>>,
    all: bool,
}

impl Texts {
    fn add(&mut self, name: &Arc<str>) {
        self.all |= self.names.len() >= TEXTS_MAX;
        if !self.all {
            self.names.insert(name.clone());
        }
    }

    fn have(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use chaperone_access::{RelationName, RelationScope, Scope, Verbs};

    use super::super::pieces::Request;
    use super::*;

    fn filled(names: &[&str]) -> Book {
        let mut book = Book::default();
        for name in names {
            book.fill_unseen(&Arc::from(*name));
        }
        book
    }

    fn analysis() -> Arc<Analysis> {
        Request::unread("", false).analysis
    }

    /// With a portal of each name.
    fn bound(names: &[&str]) -> Book {
        let mut book = Book::default();
        for name in names {
            let granted = Granted {
                asked: Arc::from(""),
                analysis: analysis(),
                words: Words::default(),
                floored: false,
            };
            let (parameters, analysis) = (Arc::from([]), analysis());
            let portal = Portal { analysis, granted, parameters, formats: None, group: 0 };
            book.bind(Arc::from(*name), portal);
        }
        book
    }

    fn cursor() -> Cursor {
        Cursor { analysis: analysis(), member: 0, words: Words::default(), held: Fillings::default() }
    }

    #[test]
    fn whoever_takes_the_name_of_a_portal_or_closes_it_is_believed() {
        let mut book = bound(&["a", "b"]);
        book.declare(Arc::from("a"), cursor());
        assert!(book.portal("a").is_none() && book.cursor("a").is_some(), "no other one has its name");
        assert!(book.portal("b").is_some());
        book.close_cursor(Some("a"));
        assert!(book.cursor("a").is_none() && book.portal("b").is_some());
        book.close_cursor(Some("b"));
        assert_eq!(book.portals(), 0);
        let mut book = bound(&["a", "b"]);
        book.declare(Arc::from("c"), cursor());
        book.close_cursor(None);
        assert!(book.portals() == 0 && book.cursor("c").is_none());
    }

    /// A table is filled with what somebody saw of a relation of its own.
    fn see(book: &mut Book, name: &str, nth: usize) {
        let mut scope = Scope::default();
        scope.relations.insert(RelationName::new("clinic", format!("r{nth}")), RelationScope::Whole);
        let words = Words { text: None, scope: Some(Arc::new(scope)) };
        let analysis = analysis();
        book.fill(&Arc::from(name), &analysis.members[0], &analysis, &words);
    }

    #[test]
    fn what_a_table_was_filled_with_is_handed_on() {
        let mut book = Book::default();
        see(&mut book, "t", 1);
        see(&mut book, "t", 2);
        let touch = |verb| Touch {
            relation: RelationName::new("", "t"),
            rule: NameRule::Temporary,
            verbs: Verbs::NONE.with(verb),
            within: Vec::new(),
            facts: None,
        };
        let analysis = analysis();
        let reading = Member { touches: vec![touch(Verb::Read)], ..analysis.members[0].clone() };
        let writing = Member { touches: vec![touch(Verb::Insert)], ..analysis.members[0].clone() };
        assert_eq!(book.held(&reading).as_slice().len(), 2, "by a cursor");
        assert!(book.held(&writing).as_slice().is_empty());
        let [u, v] = ["u", "v"].map(Arc::from);
        book.fill(&u, &reading, &analysis, &Words::default());
        book.fill(&v, &writing, &analysis, &Words::default());
        assert_eq!((book.fillings("u").len(), book.fillings("v").len()), (3, 1));
    }

    /// `t` was dropped before the savepoint that it is gone back to first, and made again after it.
    #[test]
    fn a_table_that_was_dropped_before_a_savepoint_comes_back_later() {
        let t: Arc<str> = Arc::from("t");
        for (last, there) in [(Moved::BackTo, 1), (Moved::Back, 1), (Moved::On, 0)] {
            let mut book = filled(&["t"]);
            book.drop_temporaries(std::slice::from_ref(&t));
            book.fill(&t, &analysis().members[0], &analysis(), &Words::default());
            book.temporaries_moved(Moved::BackTo, &[]);
            assert!(book.fillings("t").is_empty());
            book.temporaries_moved(last, std::slice::from_ref(&t));
            assert_eq!(book.fillings("t").len(), there, "{last:?}");
        }
    }

    #[test]
    fn a_table_keeps_what_it_was_filled_with_until_it_is_gone_for_good() {
        let [t, u]: [Arc<str>; 2] = ["t", "u"].map(Arc::from);
        let both = [t.clone(), u.clone()];
        let mut book = filled(&["t", "u"]);
        book.drop_temporaries(std::slice::from_ref(&t));
        assert_eq!((book.fillings("t").len(), book.fillings("u").len()), (0, 1));
        book.temporaries_moved(Moved::Nothing, &both);
        assert!(book.fillings("t").is_empty(), "its transaction is still open");
        book.temporaries_moved(Moved::Back, &both);
        assert_eq!((book.fillings("t").len(), book.fillings("u").len()), (1, 1), "it is there again");
        book.drop_temporaries(std::slice::from_ref(&t));
        book.temporaries_moved(Moved::On, std::slice::from_ref(&u));
        book.temporaries_moved(Moved::Back, &both);
        assert!(book.fillings("t").is_empty(), "one of its name is another");
    }

    #[test]
    fn a_table_that_is_taken_back_leaves_nothing() {
        let mut book = filled(&["t"]);
        book.temporaries_moved(Moved::Back, &[]);
        assert!(book.fillings("t").is_empty());
        let mut book = filled(&["t"]);
        let there = [Arc::from("t")];
        book.drop_temporaries(&there);
        (0..FILLINGS_MAX).for_each(|nth| see(&mut book, "t", nth));
        assert_eq!(book.fillings("t").len(), FILLINGS_MAX);
        book.temporaries_moved(Moved::Back, &there);
        assert!(matches!(book.fillings("t"), [Earlier::Unseen]), "too many to ask about each");
    }
}
