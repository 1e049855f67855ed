//! The registry: every detector once, by what it looks at, in the order in which equally sure ones of equal length win.

mod account;
mod age;
mod card;
mod date;
mod dea;
mod email;
mod ip;
mod mbi;
mod mrn;
mod name;
mod named_date;
mod npi;
mod phone;
mod ssn;
mod url;
mod vin;
mod zip;

use crate::Entity;
use crate::place::{Match, Place};

pub(crate) use url::is_url;

/// What kind of place a detector looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The first of a row of digits.
    Digits,
    /// The first letter or digit of a token in which, or right after which, digits come.
    Code,
    /// The first letter of a word that the lexicon knows as the beginning of something.
    Word,
    /// `@`.
    At,
    /// `:`.
    Colon,
}

/// One detector. It claims part of the window around a place, or nothing.
pub(crate) struct Detector {
    pub(crate) entity: Entity,
    pub(crate) find: fn(&Place<'_>) -> Option<Match>,
}

const fn detector(entity: Entity, find: fn(&Place<'_>) -> Option<Match>) -> Detector {
    Detector { entity, find }
}

const OF_DIGITS: &[Detector] = &[
    detector(Entity::Ssn, ssn::find),
    detector(Entity::Npi, npi::find),
    detector(Entity::Phone, phone::find),
    detector(Entity::Date, date::find),
    detector(Entity::Date, named_date::find_day_first),
    detector(Entity::Age, age::find),
    detector(Entity::Zip, zip::find),
    detector(Entity::Card, card::find),
    detector(Entity::Ip, ip::find_version_4),
];
const OF_CODES: &[Detector] = &[
    detector(Entity::Mrn, mrn::find),
    detector(Entity::Dea, dea::find),
    detector(Entity::Mbi, mbi::find),
    detector(Entity::Account, account::find),
    detector(Entity::Vin, vin::find),
];
const OF_WORDS: &[Detector] = &[
    detector(Entity::Date, named_date::find_month_first),
    detector(Entity::Age, age::find_in_words),
    detector(Entity::Url, url::find_www),
    detector(Entity::Name, name::find_after),
    detector(Entity::Name, name::find_before),
];
const OF_AT: &[Detector] = &[detector(Entity::Email, email::find)];
const OF_COLON: &[Detector] = &[detector(Entity::Ip, ip::find_version_6), detector(Entity::Url, url::find)];

impl Trigger {
    /// The detectors that look at such a place, each once.
    const fn detectors(self) -> &'static [Detector] {
        match self {
            Self::Digits => OF_DIGITS,
            Self::Code => OF_CODES,
            Self::Word => OF_WORDS,
            Self::At => OF_AT,
            Self::Colon => OF_COLON,
        }
    }
}

/// The strongest claim at a place, the longest of those.
pub(crate) fn strongest(place: &Place<'_>, trigger: Trigger) -> Option<(Entity, Match)> {
    let mut best: Option<(Entity, Match)> = None;
    for detector in trigger.detectors() {
        if place.config.leave.contains(&detector.entity) {
            continue;
        }
        let Some(found) = (detector.find)(place) else { continue };
        let is_better = best.is_none_or(|(_, best)| {
            (found.certainty, found.end - found.start) > (best.certainty, best.end - best.start)
        });
        if is_better {
            best = Some((detector.entity, found));
        }
    }
    best
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Trigger;
    use crate::{Config, scan};

    /// The spans between brackets are found as this, and nothing else of its kind.
    pub(crate) fn finds(tag: &str, marked: &str) {
        finds_with(&Config::default(), tag, marked);
    }

    /// The same under another configuration. Brackets inside of a span cannot be marked.
    pub(crate) fn finds_with(config: &Config, tag: &str, marked: &str) {
        let mut text = String::new();
        let mut spans = Vec::new();
        for character in marked.chars() {
            match character {
                '[' => spans.push((text.len(), 0)),
                ']' => spans.last_mut().unwrap().1 = text.len(),
                other => text.push(other),
            }
        }
        assert_eq!(found(config, tag, &text), spans, "{marked}");
    }

    /// Nothing of this kind is found.
    pub(crate) fn nothing(tag: &str, text: &str) {
        assert_eq!(found(&Config::default(), tag, text), [], "{text}");
    }

    fn found(config: &Config, tag: &str, text: &str) -> Vec<(usize, usize)> {
        let findings = scan(config, text).into_iter().filter(|finding| finding.entity.tag() == tag);
        findings.map(|finding| (finding.start, finding.end)).collect()
    }

    #[test]
    fn every_kind_has_a_detector() {
        for entity in crate::Entity::ALL {
            let triggers = [Trigger::Digits, Trigger::Code, Trigger::Word, Trigger::At, Trigger::Colon];
            let mut all = triggers.into_iter().flat_map(Trigger::detectors);
            assert!(all.any(|detector| detector.entity == entity), "{entity:?}");
        }
    }
}
