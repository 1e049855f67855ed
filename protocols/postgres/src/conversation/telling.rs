//! What the client hears of the target's errors and notices, and what rows are looked at for: both depend on how the
//! operation was permitted that the target is answering.

use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{FLOOR_SCHEMA, Member, Scope, Words};

use super::Conversation;
use super::pieces::{Expect, Granted};
use super::subjects::{Look, Reading, all_text, places};
use crate::codec::backend::Report;
use crate::plain::{Occasion, retell};

impl Conversation {
    /// Something was permitted in these words. Until the transaction is over, what it did may still be reported on.
    pub(super) fn sees(&mut self, words: &Words) {
        let over = self.idle && self.expected.is_empty();
        self.restricted = words.scope.is_some() || (self.restricted && !over);
        self.floored |= words.text.as_ref().is_some_and(|text| text.contains(FLOOR_SCHEMA));
    }

    /// How the operation was permitted that the target is answering.
    fn granted(&self) -> Option<&Granted> {
        match self.expected.front() {
            Some(Expect::Query { granted, .. } | Expect::Describe { granted, .. }) => granted.as_ref(),
            Some(Expect::Parse { granted, .. } | Expect::Bind { granted, .. }) => Some(granted),
            Some(Expect::Execute { run }) => run.as_ref().map(|run| &run.granted),
            Some(Expect::Refused { .. } | Expect::Close { .. } | Expect::Sync) | None => None,
        }
    }

    fn told(&self, raw: &Bytes, report: &Report<'_>, occasion: Occasion) -> Option<Bytes> {
        match self.granted().map(|granted| (granted, &granted.words.scope)) {
            Some((_, None)) => Some(raw.clone()),
            Some((granted, Some(scope))) => retell(report, &granted.asked, scope, occasion),
            None if self.restricted => retell(report, "", &Scope::default(), occasion),
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

    /// What a piece of the running operation's data is looked at for.
    pub(super) fn look_for(&mut self, rows: bool) -> Look {
        if let Some(look) = &self.look {
            return look.clone();
        }
        let (member, formats): (Option<&Member>, Option<&Bytes>) = match self.expected.front() {
            Some(Expect::Query { analysis, ended, .. }) => (analysis.members.get(*ended), None),
            Some(Expect::Execute { run: Some(run) }) => (run.analysis.members.first(), run.formats.as_ref()),
            Some(
                Expect::Execute { run: None }
                | Expect::Refused { .. }
                | Expect::Parse { .. }
                | Expect::Bind { .. }
                | Expect::Describe { .. }
                | Expect::Close { .. }
                | Expect::Sync,
            )
            | None => (None, None),
        };
        let look = match (member.and_then(|member| places(&member.subjects)), &self.shape) {
            (None, _) => Look::Nothing,
            (Some(_), _) if !rows => Look::Unreadable,
            (Some(at), Some(shape)) => Look::At(Arc::new(Reading::described(at, shape))),
            (Some(at), None) if formats.is_some_and(|formats| all_text(at, formats)) => {
                Look::At(Arc::new(Reading::of_text(at)))
            }
            (Some(_), None) => Look::Unreadable,
        };
        self.look = Some(look.clone());
        look
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if self.untold > 0 {
            tracing::debug!(count = self.untold, "notices that a restricted caller was not told");
        }
    }
}
