//! How many bytes a session has kept for it, counted when there may be too many: what several names share counts once.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{Analysis, ColumnUse, Earlier, Member, ResultColumn, SessionEffect, Touch, Words};
use chaperone_wire::Parameter;

use super::pieces::{Expect, Granted};

/// The sum so far.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// Where in memory lies what has been counted.
    seen: HashSet<usize>,
    bytes: usize,
}

impl Weights {
    /// An analysis alone.
    pub(super) fn of(analysis: &Arc<Analysis>) -> usize {
        let mut weights = Self::default();
        weights.analysis(analysis);
        weights.bytes
    }

    /// One statement of an analysis.
    pub(super) fn of_member(member: &Member) -> usize {
        let mut weights = Self::default();
        weights.member(member);
        weights.bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn plain(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn text(&mut self, text: &Arc<str>) {
        if self.seen.insert(text.as_ptr().addr()) {
            self.plain(text.len());
        }
    }

    pub(super) fn shared(&mut self, bytes: &Bytes) {
        if self.seen.insert(bytes.as_ptr().addr()) {
            self.plain(bytes.len());
        }
    }

    pub(super) fn analysis(&mut self, analysis: &Arc<Analysis>) {
        if !self.seen.insert(Arc::as_ptr(analysis).addr()) {
            return;
        }
        self.plain(size_of::<Analysis>());
        self.text(&analysis.text);
        analysis.replaced.iter().for_each(|text| self.text(text));
        analysis.members.iter().for_each(|member| self.member(member));
    }

    fn member(&mut self, member: &Member) {
        self.plain(size_of::<Member>() + member.touches.len() * size_of::<Touch>());
        if self.seen.insert(member.uses.as_ptr().addr()) {
            self.plain(member.uses.len() * size_of::<ColumnUse>());
        }
        for column in member.results.iter().flat_map(|columns| columns.iter()) {
            self.plain(size_of::<ResultColumn>() + column.name.len() + 2 * column.made_of.len());
        }
        if let SessionEffect::Prepares { inner, .. } = &member.session {
            self.analysis(inner);
        }
    }

    pub(super) fn words(&mut self, words: &Words) {
        words.text.iter().for_each(|text| self.text(text));
    }

    pub(super) fn granted(&mut self, granted: &Granted) {
        self.text(&granted.asked);
        self.words(&granted.words);
    }

    pub(super) fn parameters(&mut self, parameters: &Arc<[Parameter]>) {
        if self.seen.insert(parameters.as_ptr().addr()) {
            self.plain(values_bytes(parameters));
        }
    }

    pub(super) fn earlier(&mut self, earlier: &Earlier) {
        match earlier {
            Earlier::Prepared { analysis, words } | Earlier::Filled { analysis, words } => {
                self.analysis(analysis);
                self.words(words);
            }
            Earlier::Unseen => {}
        }
    }

    /// What is kept until the target has answered.
    pub(super) fn expected(&mut self, expect: &Expect) {
        self.plain(size_of::<Expect>());
        match expect {
            Expect::Query { analysis, granted, undo, .. } => {
                self.analysis(analysis);
                granted.iter().for_each(|granted| self.granted(granted));
                undo.weigh(self);
            }
            Expect::Refused { report, undo, .. } => {
                self.shared(report);
                undo.weigh(self);
            }
            Expect::Parse { undo, granted, .. } | Expect::Bind { undo, granted, .. } => {
                self.granted(granted);
                undo.weigh(self);
            }
            Expect::Describe { granted, .. } => {
                granted.iter().for_each(|granted| self.granted(granted));
            }
            Expect::Close { undo, .. } => undo.weigh(self),
            Expect::Execute { run } => {
                if let Some(run) = run {
                    self.analysis(&run.analysis);
                    self.granted(&run.granted);
                }
            }
            Expect::Lapse { .. } | Expect::Sync => {}
        }
    }
}

/// What is kept of values.
pub(super) fn values_bytes(parameters: &[Parameter]) -> usize {
    let whole = parameters.iter().map(|parameter| match parameter {
        Parameter::Whole { value, .. } => value.len(),
        Parameter::Null | Parameter::Digest { .. } => 0,
    });
    size_of_val(parameters) + whole.sum::<usize>()
}
