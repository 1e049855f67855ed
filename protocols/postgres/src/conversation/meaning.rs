//! What statements stand for that go by a name: EXECUTE, and FETCH and MOVE of a cursor or portal. What the name stands
//! for is what has to be decided and recorded.

use std::collections::HashMap;
use std::sync::Arc;

use chaperone_access::{
    Analysis, Confined, Earlier, Member, NameRule, Refusal, RefusalCode, SessionEffect, Touch,
    TransactionStep, Verb,
};
use chaperone_wire::limits::{MEANT_BYTES_MAX, STATEMENTS_MAX};
use chaperone_wire::{Event, Parameter};

use super::Conversation;
use super::asking::no_statement;
use super::pieces::Request;
use super::weights::{Weights, values_bytes};
use crate::codec::frontend::Object;

/// What a name stands for.
struct Meant {
    analysis: Arc<Analysis>,
    /// Which of the analysis's statements; `None` for all.
    member: Option<usize>,
    parameters: Arc<[Parameter]>,
    earlier: Vec<Earlier>,
}

impl Meant {
    fn members(&self) -> &[Member] {
        let all = &*self.analysis.members;
        match self.member {
            Some(member) => all.get(member..=member).unwrap_or_default(),
            None => all,
        }
    }
}

/// What a statement finds of a name once those before it in the same string have run. One that failed would have ended the
/// string. The end of a transaction takes cursors away, and brings none back: there is nothing then to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before<T> {
    /// They leave it as it is.
    Untouched,
    Made(T),
    Gone,
}

/// What the statements of a string have made of names so far.
#[derive(Default)]
struct Here<'a> {
    /// What each was prepared as; `None` where it was deallocated.
    statements: HashMap<&'a str, Option<&'a Arc<Analysis>>>,
    all_deallocated: bool,
    /// Which statement declared each; `None` where it was closed.
    cursors: HashMap<&'a str, Option<usize>>,
    all_closed: bool,
}

impl<'a> Here<'a> {
    fn note(&mut self, place: usize, effect: &'a SessionEffect) {
        match effect {
            SessionEffect::Prepares { name, inner } => drop(self.statements.insert(name, Some(inner))),
            SessionEffect::Deallocates { name: Some(name) } => drop(self.statements.insert(name, None)),
            SessionEffect::Declares { name } => drop(self.cursors.insert(name, Some(place))),
            SessionEffect::Closes { name: Some(name) } => drop(self.cursors.insert(name, None)),
            SessionEffect::Deallocates { name: None } => self.all_gone(true, false),
            SessionEffect::Closes { name: None } => self.all_gone(false, true),
            SessionEffect::DiscardsAll => self.all_gone(true, true),
            SessionEffect::None
            | SessionEffect::Transaction(_)
            | SessionEffect::Executes { .. }
            | SessionEffect::Fetches { .. }
            | SessionEffect::MakesTemporary { .. }
            | SessionEffect::DropsTemporary { .. }
            | SessionEffect::NamesApplication { .. }
            | SessionEffect::SetsSearchPath { .. }
            | SessionEffect::ChangesCatalog => {}
        }
    }

    fn all_gone(&mut self, statements: bool, cursors: bool) {
        if statements {
            self.statements.clear();
            self.all_deallocated = true;
        }
        if cursors {
            self.cursors.clear();
            self.all_closed = true;
        }
    }

    fn statement(&self, name: &str) -> Before<&'a Arc<Analysis>> {
        match self.statements.get(name) {
            Some(Some(inner)) => Before::Made(inner),
            Some(None) => Before::Gone,
            None if self.all_deallocated => Before::Gone,
            None => Before::Untouched,
        }
    }

    fn cursor(&self, name: &str) -> Before<usize> {
        match self.cursors.get(name) {
            Some(Some(place)) => Before::Made(*place),
            Some(None) => Before::Gone,
            None if self.all_closed => Before::Gone,
            None => Before::Untouched,
        }
    }
}

/// The last request that was put together: a client that fetches a large result piece by piece says the same each time.
pub(super) struct Merged {
    asked: Arc<Analysis>,
    meant: Vec<Arc<Analysis>>,
    merged: Arc<Analysis>,
}

impl Conversation {
    /// A request that runs something, with what its names stand for.
    pub(super) fn run(&mut self, mut request: Request) -> Event<Self> {
        if let Some(refusal) = self.unclear(&request.analysis) {
            let confined = Confined::made(Err(refusal));
            request.analysis = Arc::new(Analysis { confined, ..Analysis::clone(&request.analysis) });
        }
        let refusal = self.names_refused(&request.analysis);
        if let Some(refusal) = refusal.or_else(|| self.no_room(&request.analysis)) {
            return Event::Refused(request, refusal);
        }
        let mut meant = match self.meant(&request.analysis) {
            Ok(meant) => meant,
            Err(refusal) => return Event::Refused(request, refusal),
        };
        for (_, found) in &mut meant {
            request.earlier.append(&mut found.earlier);
        }
        meant.retain(|(_, found)| !found.members().is_empty());
        if meant.is_empty() {
            self.add_fillings(&mut request);
            return Event::Run(request);
        }
        let same = |known: &&Merged| {
            Arc::ptr_eq(&known.asked, &request.analysis)
                && known.meant.len() == meant.len()
                && known
                    .meant
                    .iter()
                    .zip(&meant)
                    .all(|(known, (_, found))| Arc::ptr_eq(known, &found.analysis))
        };
        let merged = match self.merged.as_ref().filter(same) {
            Some(known) => known.merged.clone(),
            None => {
                let merged = Arc::new(merge(&request.analysis, &meant));
                self.merged = Some(Merged {
                    asked: request.analysis.clone(),
                    meant: meant.iter().map(|(_, found)| found.analysis.clone()).collect(),
                    merged: merged.clone(),
                });
                merged
            }
        };
        request.analysis = merged;
        if meant.iter().any(|(_, found)| !found.parameters.is_empty()) {
            let values = meant.iter().flat_map(|(_, found)| found.parameters.iter().cloned());
            request.parameters = request.parameters.iter().cloned().chain(values).collect();
        }
        self.add_fillings(&mut request);
        Event::Run(request)
    }

    /// Why a string may mean something else than it seems to, so that nobody carries it who is seen in part.
    fn unclear(&self, analysis: &Analysis) -> Option<Refusal> {
        if self.resolving.may_move() && names_after_an_end(analysis) {
            return Some(Refusal::moved_before());
        }
        let missed = analysis.members.iter().find_map(|member| match &member.session {
            SessionEffect::MakesTemporary { name, unless_there: true, .. } => {
                self.resolving.may_miss(name).then_some(name)
            }
            SessionEffect::MakesTemporary { .. }
            | SessionEffect::None
            | SessionEffect::Transaction(_)
            | SessionEffect::Prepares { .. }
            | SessionEffect::Executes { .. }
            | SessionEffect::Declares { .. }
            | SessionEffect::Fetches { .. }
            | SessionEffect::Closes { .. }
            | SessionEffect::Deallocates { .. }
            | SessionEffect::DiscardsAll
            | SessionEffect::DropsTemporary { .. }
            | SessionEffect::NamesApplication { .. }
            | SessionEffect::SetsSearchPath { .. }
            | SessionEffect::ChangesCatalog => None,
        })?;
        let what = format!("a temporary table `{missed}` may be there, and nobody knows what it holds");
        Some(
            Refusal::new(RefusalCode::NotUnderstood, what)
                .hint("leave out IF NOT EXISTS, or name it otherwise"),
        )
    }

    /// What the names in a string stand for, each with the place of its statement.
    fn meant(&self, asked: &Arc<Analysis>) -> Result<Vec<(usize, Meant)>, Refusal> {
        let (mut meant, mut bytes, mut here) = (Vec::new(), 0_usize, Here::default());
        for (place, member) in asked.members.iter().enumerate() {
            if let Some(found) = self.stands_for(asked, &here, &member.session)? {
                // Each of them is put in the place of its name; of a string's own, what it declares alone.
                let values = 2 * values_bytes(&found.parameters);
                let weight = match Arc::ptr_eq(asked, &found.analysis) {
                    true => found.members().iter().map(Weights::of_member).sum(),
                    false => Weights::of(&found.analysis),
                };
                bytes = bytes.saturating_add(weight).saturating_add(values);
                if bytes > MEANT_BYTES_MAX {
                    return Err(too_much_meant());
                }
                meant.push((place, found));
            }
            here.note(place, &member.session);
        }
        Ok(meant)
    }

    /// Why what statements of SQL's own leave behind under a name cannot be kept.
    fn no_room(&mut self, analysis: &Arc<Analysis>) -> Option<Refusal> {
        let keeps = |member: &Member| match &member.session {
            SessionEffect::Prepares { .. }
            | SessionEffect::Declares { .. }
            | SessionEffect::MakesTemporary { .. } => true,
            SessionEffect::None
            | SessionEffect::Transaction(_)
            | SessionEffect::Executes { .. }
            | SessionEffect::Fetches { .. }
            | SessionEffect::Closes { .. }
            | SessionEffect::Deallocates { .. }
            | SessionEffect::DiscardsAll
            | SessionEffect::DropsTemporary { .. }
            | SessionEffect::NamesApplication { .. }
            | SessionEffect::SetsSearchPath { .. }
            | SessionEffect::ChangesCatalog => false,
        };
        let fills = |touch: &Touch| {
            touch.rule == NameRule::Temporary && touch.verbs.iter().any(|verb| verb != Verb::Read)
        };
        let keeps = |member: &Member| keeps(member) || member.touches.iter().any(fills);
        if analysis.members.iter().any(keeps) { self.full(Weights::of(analysis)) } else { None }
    }

    /// A temporary table gives what was seen when it was filled.
    fn add_fillings(&self, request: &mut Request) {
        for touch in request.analysis.members.iter().flat_map(|member| &member.touches) {
            if touch.rule == NameRule::Temporary {
                request.earlier.extend_from_slice(self.book.fillings(&touch.relation.name));
            }
        }
    }

    /// What a statement runs that goes by a name: a prepared statement, a portal or a cursor. What stands `here`, before it in the
    /// same string, comes first.
    fn stands_for(
        &self,
        asked: &Arc<Analysis>,
        here: &Here<'_>,
        effect: &SessionEffect,
    ) -> Result<Option<Meant>, Refusal> {
        match effect {
            SessionEffect::Executes { name } => {
                let (analysis, earlier) = match here.statement(name) {
                    // The words in which it lies are decided with it.
                    Before::Made(inner) => (inner.clone(), Vec::new()),
                    Before::Gone => return Err(no_statement(name)),
                    Before::Untouched => {
                        let known = self.book.statement(name).ok_or_else(|| no_statement(name))?;
                        (known.analysis.clone(), known.earlier().into_iter().collect())
                    }
                };
                Ok(Some(Meant { analysis, member: None, parameters: Arc::from([]), earlier }))
            }
            SessionEffect::Fetches { name } => Ok(match here.cursor(name) {
                // Decided where it is declared, in the same words; what comes of it is fetched here.
                Before::Made(place) => Some(Meant {
                    analysis: asked.clone(),
                    member: Some(place),
                    parameters: Arc::from([]),
                    earlier: Vec::new(),
                }),
                Before::Gone => self.unseen(asked),
                Before::Untouched => self.goes_on_with(name).or_else(|| self.unseen(asked)),
            }),
            SessionEffect::None
            | SessionEffect::Transaction(_)
            | SessionEffect::Prepares { .. }
            | SessionEffect::Declares { .. }
            | SessionEffect::Closes { .. }
            | SessionEffect::Deallocates { .. }
            | SessionEffect::DiscardsAll
            | SessionEffect::MakesTemporary { .. }
            | SessionEffect::DropsTemporary { .. }
            | SessionEffect::NamesApplication { .. }
            | SessionEffect::SetsSearchPath { .. }
            | SessionEffect::ChangesCatalog => Ok(None),
        }
    }

    /// The portal or cursor that has this name.
    fn goes_on_with(&self, name: &str) -> Option<Meant> {
        if let Some(portal) = self.book.portal(name) {
            return Some(Meant {
                analysis: portal.analysis.clone(),
                member: None,
                parameters: portal.parameters.clone(),
                earlier: vec![portal.earlier()],
            });
        }
        let cursor = self.book.cursor(name)?;
        let (analysis, words) = (cursor.analysis.clone(), cursor.words.clone());
        let own = [Earlier::Filled { analysis: analysis.clone(), words }];
        Some(Meant {
            analysis,
            member: Some(cursor.member),
            parameters: Arc::from([]),
            earlier: own.iter().chain(cursor.held.as_slice()).cloned().collect(),
        })
    }

    /// A cursor that nobody here saw made, where there may be one.
    fn unseen(&self, asked: &Arc<Analysis>) -> Option<Meant> {
        self.book.unseen.then(|| Meant {
            analysis: asked.clone(),
            member: Some(usize::MAX),
            parameters: Arc::from([]),
            earlier: vec![Earlier::Unseen],
        })
    }

    /// Why statements of SQL's own that go by a name cannot be run now: what the name stands for has to be known.
    fn names_refused(&self, analysis: &Analysis) -> Option<Refusal> {
        let unanswered = self.book.answered < self.book.reading;
        let depends = |name: &str, what: &str| {
            Refusal::new(
                RefusalCode::Busy,
                format!("what `{name}` is depends on requests that are not answered yet"),
            )
            .hint(format!("wait for their answers before {what}"))
        };
        analysis.members.iter().find_map(|member| match &member.session {
            SessionEffect::Fetches { name } if unanswered => Some(depends(name, "FETCH or MOVE")),
            SessionEffect::Executes { name } if !self.book.settled(Object::Statement, name) => {
                Some(depends(name, "EXECUTE"))
            }
            SessionEffect::Prepares { name, .. }
                if self.book.statements() >= STATEMENTS_MAX && self.book.statement(name).is_none() =>
            {
                Some(
                    Refusal::new(
                        RefusalCode::Busy,
                        format!("a session may keep {STATEMENTS_MAX} prepared statements"),
                    )
                    .hint("close or deallocate some"),
                )
            }
            SessionEffect::None
            | SessionEffect::Transaction(_)
            | SessionEffect::Prepares { .. }
            | SessionEffect::Executes { .. }
            | SessionEffect::Declares { .. }
            | SessionEffect::Fetches { .. }
            | SessionEffect::Closes { .. }
            | SessionEffect::Deallocates { .. }
            | SessionEffect::DiscardsAll
            | SessionEffect::MakesTemporary { .. }
            | SessionEffect::DropsTemporary { .. }
            | SessionEffect::NamesApplication { .. }
            | SessionEffect::SetsSearchPath { .. }
            | SessionEffect::ChangesCatalog => None,
        })
    }
}

/// Whether a statement names something after another one in the same string that ends a transaction, or a part of it: what
/// the name means is known when that has ended.
fn names_after_an_end(analysis: &Analysis) -> bool {
    let mut members = analysis.members.iter();
    let ends = |member: &Member| member.session.step().is_some_and(TransactionStep::may_take_back);
    members.any(ends) && members.any(|member| !member.touches.is_empty())
}

fn too_much_meant() -> Refusal {
    let max = MEANT_BYTES_MAX / (1024 * 1024);
    let what = "what the names in one string of statements stand for has more than";
    Refusal::new(RefusalCode::TooLarge, format!("{what} {max} MiB")).hint("send them one by one")
}

/// A string of statements with what its names stand for.
fn merge(asked: &Arc<Analysis>, meant: &[(usize, Meant)]) -> Analysis {
    let mut merged = Analysis::clone(asked);
    let mut text = asked.text.to_string();
    for (place, found) in meant {
        if !Arc::ptr_eq(asked, &found.analysis) {
            // It was sent in whatever words it was made with.
            merged.confined = merged.confined.clone().also(found.analysis.confined.clone());
            merged.describes = merged.describes.or_else(|| found.analysis.describes.clone());
            // For the record, which otherwise would show a name only.
            text.push_str("\n-- stands for:\n");
            text.push_str(&found.analysis.text);
        }
        let Some(member) = Arc::make_mut(&mut merged.members).get_mut(*place) else { continue };
        for touched in found.members() {
            member.touches.extend(touched.touches.iter().cloned());
            member.effect = touched.effect;
            for verb in touched.whole.iter() {
                member.whole = member.whole.with(verb);
            }
            member.uses = member.uses.iter().chain(touched.uses.iter()).cloned().collect();
            member.subjects = touched.subjects.clone();
            member.free_text = touched.free_text.clone();
        }
    }
    merged.text = Arc::from(text);
    merged
}
