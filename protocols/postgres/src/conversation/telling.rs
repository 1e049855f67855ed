//! What the client hears of the target's errors and notices, and what rows are looked at for: both depend on how the
//! operation was permitted that the target is answering.

use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{Analysis, CopyForm, FreeText, Member, NameRule, Scope, SessionEffect, Words};

use super::Conversation;
use super::pieces::{Expect, Granted};
use super::sieve::{ROW_BYTES_MAX, Sieve};
use super::subjects::{Look, Reading, all_text, places};
use crate::codec::backend::{BackendView, Report, view};
use crate::codec::{BULK_WHOLE_BYTES_MAX, BackendTag};
use crate::plain::{Occasion, Seen, retell};

/// Columns that a result of PostgreSQL's can have (`MaxTupleAttributeNumber`).
const COLUMNS_MAX: u16 = 1664;

/// What the rows of one operation are looked at for.
#[derive(Debug, Clone)]
pub(super) struct Looks {
    /// For patients, on record.
    pub(super) look: Look,
    /// For identifiers in free text, before they leave.
    pub(super) sieve: Option<Arc<Sieve>>,
}

impl Conversation {
    /// Something was permitted in these words. Until the transaction is over, what it did may still be reported on: COMMIT
    /// runs what a cursor WITH HOLD has not given yet.
    pub(super) fn sees(&mut self, analysis: &Analysis, words: &Words) {
        let over = self.idle && self.expected.is_empty();
        self.restricted = words.scope.is_some() || (self.restricted && !over);
        self.quoting = self.touches_text(analysis) || (self.quoting && !over);
    }

    /// Whether values of free text go through a statement, whatever it gives.
    fn touches_text(&self, analysis: &Analysis) -> bool {
        analysis.members.iter().flat_map(|member| &member.touches).any(|touch| match touch.rule {
            NameRule::Named => {
                touch.facts.as_ref().is_some_and(|facts| facts.columns.iter().any(|column| column.scan))
            }
            NameRule::Temporary => self.book.has_text(&touch.relation.name),
            NameRule::Listed => false,
            NameRule::Unknown => true,
        })
    }

    /// How the operation was permitted that the target is answering.
    pub(super) fn granted(&self) -> Option<&Granted> {
        match self.expected.front() {
            Some(Expect::Query { granted, .. } | Expect::Describe { granted, .. }) => granted.as_ref(),
            Some(Expect::Parse { granted, .. } | Expect::Bind { granted, .. }) => Some(granted),
            Some(Expect::Execute { run }) => run.as_ref().map(|run| &run.granted),
            Some(Expect::Refused { .. } | Expect::Close { .. } | Expect::Lapse { .. } | Expect::Sync)
            | None => None,
        }
    }

    fn told(&self, raw: &Bytes, report: &Report<'_>, occasion: Occasion) -> Option<Bytes> {
        match self.granted().map(|granted| (granted, &granted.words.scope)) {
            Some((_, None)) => Some(raw.clone()),
            Some((granted, Some(scope))) => {
                retell(report, &granted.asked, Seen { scope, quoting: self.quoting }, occasion)
            }
            None if self.restricted => {
                let scope = &Scope::default();
                retell(report, "", Seen { scope, quoting: self.quoting }, occasion)
            }
            None => Some(raw.clone()),
        }
    }

    /// An error in the words for its client.
    pub(super) fn error_told(&self, raw: &Bytes, report: &Report<'_>) -> Bytes {
        self.told(raw, report, Occasion::Error).unwrap_or_default()
    }

    /// A notice in the words for its client; `None` where he is not told.
    pub(super) fn notice_told(&self, raw: &Bytes, report: &Report<'_>) -> Option<Bytes> {
        self.told(raw, report, Occasion::Notice)
    }

    /// Which statement the target is answering, how it was permitted, and the formats that a Bind asked for.
    fn answered(&self) -> Option<(&Member, Option<&Granted>, Option<&Bytes>)> {
        match self.expected.front() {
            Some(Expect::Query { analysis, ended, granted, .. }) => {
                Some((analysis.members.get(*ended)?, granted.as_ref(), None))
            }
            Some(Expect::Execute { run: Some(run) }) => {
                Some((run.analysis.members.first()?, Some(&run.granted), run.formats.as_ref()))
            }
            Some(
                Expect::Execute { run: None }
                | Expect::Refused { .. }
                | Expect::Parse { .. }
                | Expect::Bind { .. }
                | Expect::Describe { .. }
                | Expect::Close { .. }
                | Expect::Lapse { .. }
                | Expect::Sync,
            )
            | None => None,
        }
    }

    /// What a piece of the running operation's data is looked at for.
    pub(super) fn looks_for(&mut self, piece: &[u8]) -> Looks {
        if let Some(looks) = &self.looks {
            return looks.clone();
        }
        let is_row = piece.first() == Some(&BackendTag::DataRow.byte());
        let shape = self.shape.as_ref();
        let looks = match self.answered() {
            None => Looks { look: Look::Nothing, sieve: None },
            Some((member, granted, formats)) => {
                let at = places(&member.subjects);
                let look = match (at, shape) {
                    (None, _) => Look::Nothing,
                    (Some(_), _) if !is_row => Look::Unreadable,
                    (Some(at), Some((shape, _))) => Look::At(Arc::new(Reading::described(at, shape))),
                    (Some(at), None) if formats.is_some_and(|formats| all_text(at, formats)) => {
                        Look::At(Arc::new(Reading::of_text(at)))
                    }
                    (Some(_), None) => Look::Unreadable,
                };
                let free_text = granted.and_then(|granted| self.free_text(member, &granted.words));
                let described = shape.and_then(|(_, message)| match view(message) {
                    Ok(BackendView::RowDescription(shape)) => Some(shape),
                    Ok(_) | Err(_) => None,
                });
                let scope = granted.and_then(|granted| granted.words.scope.clone());
                let sieve = free_text.zip(scope).and_then(|(free_text, scope)| {
                    let detectors = self.company.analyst.detectors();
                    Sieve::of(&free_text, described.as_ref(), at, detectors, scope)
                });
                Looks { look, sieve: sieve.map(Arc::new) }
            }
        };
        self.looks = Some(looks.clone());
        looks
    }

    /// Where a statement's rows hold free text that is looked through before its caller gets them: of whoever is seen in
    /// part.
    pub(super) fn free_text(&self, member: &Member, words: &Words) -> Option<FreeText> {
        words.scope.as_ref()?;
        // A cursor of the same string was not known when the string was understood.
        let cursor =
            if let SessionEffect::Fetches { name } = &member.session { self.book.cursor(name) } else { None };
        let declared = cursor.and_then(|cursor| cursor.analysis.members.get(cursor.member));
        let mut known = [Some(member), declared].into_iter().flatten();
        // It may have been kept in a temporary relation before: then it is not known in which columns it comes out.
        let kept = known.clone().any(|member| self.book.holds_text(member));
        let found = known.find(|member| member.free_text != FreeText::None).map(|member| &member.free_text);
        match (found, kept) {
            // Nothing of it is known to hold text, and nothing is kept that does.
            (Some(FreeText::Copied { at, form: CopyForm::Text | CopyForm::Csv }), false) if at.is_empty() => {
                None
            }
            (Some(found), false) => Some(found.clone()),
            (None, false) => None,
            (Some(FreeText::Copied { form, .. }), true) => {
                Some(FreeText::Copied { at: (0..COLUMNS_MAX).collect(), form: *form })
            }
            (Some(FreeText::At { .. } | FreeText::Except(_) | FreeText::None) | None, true) => {
                Some(FreeText::Except(Arc::from([])))
            }
        }
    }

    /// A row that is looked through is collected, up to a limit, where it would else pass in pieces.
    pub(super) fn collect_rows(&mut self) {
        let begins = |tag: BackendTag| self.target.input.first() == Some(&tag.byte());
        if !self.backend.at_boundary() || !(begins(BackendTag::DataRow) || begins(BackendTag::CopyData)) {
            return;
        }
        let piece = [self.target.input.first().copied().unwrap_or_default()];
        let is_looked_through = self.looks_for(&piece).sieve.is_some();
        self.backend.collect(if is_looked_through { ROW_BYTES_MAX } else { BULK_WHOLE_BYTES_MAX });
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // A COMMIT may have been heard whose answer never came.
        if self.altering {
            self.company.analyst.catalog_changed();
        }
        if self.untold > 0 {
            tracing::debug!(count = self.untold, "notices that a restricted caller was not told");
        }
    }
}
