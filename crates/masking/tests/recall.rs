//! Floors under what detectors find, on notes whose identifiers are known. `docs/reference/detectors.md` has the figures.

#[path = "notes/measure.rs"]
mod measure;
#[path = "notes/mod.rs"]
mod notes;

use chaperone_masking::Entity;
use measure::{measure, wilson};
use notes::Slice;

/// Notes of each slice.
const NOTES: usize = 600;

#[test]
fn detectors_stay_above_their_floors() {
    let all = measure(NOTES, |_, _, _, _| {});
    let mut below = Vec::new();
    for entity in Entity::ALL {
        // Kinds with check digits or a form of their own, then those that lean on words.
        let (plain, adversarial, precision) = match entity {
            Entity::Name => (0.9, 0.8, 0.9),
            Entity::Account | Entity::Zip | Entity::Age | Entity::Mrn => (0.95, 0.9, 0.95),
            Entity::Ssn
            | Entity::Npi
            | Entity::Dea
            | Entity::Mbi
            | Entity::Phone
            | Entity::Email
            | Entity::Date
            | Entity::Card
            | Entity::Vin
            | Entity::Ip
            | Entity::Url => (0.99, 0.95, 0.95),
        };
        for (slice, floor) in [(Slice::Plain, plain), (Slice::Adversarial, adversarial)] {
            let counts = all[&(slice, entity)];
            assert!(counts.truths >= 20, "{slice:?} {entity:?}: too few to say anything");
            for (what, hits, of, floor) in [
                ("recall", counts.found, counts.truths, floor),
                ("precision", counts.right, counts.findings, precision),
            ] {
                let share = f64::from(hits) / f64::from(of);
                if share < floor {
                    below.push(format!("{slice:?} {entity:?}: {what} {share:.3} of {of} is below {floor}"));
                }
            }
        }
    }
    assert!(below.is_empty(), "{below:#?}");
}

#[test]
fn an_interval_holds_its_share_and_narrows() {
    let (low, high) = wilson(90, 100);
    assert!((low - 0.826).abs() < 0.001 && (high - 0.945).abs() < 0.001, "{low} {high}");
    assert_eq!(wilson(0, 0), (0.0, 1.0));
    assert!(wilson(100, 100).0 > wilson(10, 10).0);
}
