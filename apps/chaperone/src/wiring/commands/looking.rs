//! What looks through the output of commands, and the analyst of targets that have no statements.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{
    Analysis, Confined, Effect, FreeText, Member, Refusal, RefusalCode, SessionEffect, Since, Subjects, Verbs,
};
use chaperone_masking::{Config, Entity, Released, Scanner};
use chaperone_wire::futures::BoxFuture;
use chaperone_wire::{Analyst, Detectors, LookedThrough, Looking, Names};

/// One text on its way.
pub(crate) struct Through(Scanner);

impl Through {
    /// Of a target's settings, with kinds that policy leaves in it.
    pub(crate) fn new(config: &Config, stays: &BTreeSet<&'static str>) -> Self {
        let mut config = config.clone();
        config.leave.extend(Entity::ALL.into_iter().filter(|entity| stays.contains(entity.tag())));
        Self(Scanner::new(Arc::new(config)))
    }
}

fn take(released: Released, out: &mut Vec<u8>, found: &mut LookedThrough) {
    out.extend_from_slice(&released.text);
    for finding in released.findings {
        *found.found.entry(finding.entity.tag()).or_default() += 1;
    }
}

impl Looking for Through {
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>, found: &mut LookedThrough) {
        take(self.0.push(piece), out, found);
    }

    fn finish(self: Box<Self>, out: &mut Vec<u8>, found: &mut LookedThrough) {
        take(self.0.finish(), out, found);
    }
}

/// The analyst of a target of commands: no statement is understood there, so none can run.
pub(crate) struct OfCommands(pub(crate) Arc<dyn Detectors>);

fn no_statements() -> Refusal {
    Refusal::new(RefusalCode::Unsupported, "the target has declared commands and takes no statements")
        .hint("`chaperone run TARGET` lists them")
}

/// An analysis that nobody may run.
fn nothing(text: Arc<str>) -> Arc<Analysis> {
    let member = Member {
        tag: "(not understood)",
        template: [0; 32],
        touches: Vec::new(),
        whole: Verbs::NONE,
        effect: Effect::MayWrite,
        session: SessionEffect::None,
        uses: Arc::from([]),
        subjects: Subjects::None,
        free_text: FreeText::None,
        results: None,
        names_unknown: false,
    };
    Arc::new(Analysis {
        text,
        members: Arc::from([member]),
        confined: Confined::made(Err(no_statements())),
        replaced: None,
        forbidden: Some(no_statements()),
        catalog_version: 0,
        classified: false,
        describes: None,
        invokes: None,
    })
}

impl Analyst for OfCommands {
    fn cached(&self, text: &Arc<str>, _: &Names) -> Option<Arc<Analysis>> {
        Some(nothing(text.clone()))
    }

    fn analyse(&self, text: Arc<str>, _: Names) -> BoxFuture<Arc<Analysis>> {
        Box::pin(std::future::ready(nothing(text)))
    }

    fn on_a_deep_stack(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<Result<(), Refusal>> {
        drop(job);
        Box::pin(std::future::ready(Err(no_statements())))
    }

    fn is_current(&self, _: &Analysis) -> bool {
        true
    }

    fn since(&self, analysis: &Arc<Analysis>) -> Since {
        Since::unchanged(analysis)
    }

    fn fresh_names(&self) -> Names {
        Names::default()
    }

    fn catalog_changed(&self) {}

    fn detectors(&self) -> Arc<dyn Detectors> {
        self.0.clone()
    }
}
