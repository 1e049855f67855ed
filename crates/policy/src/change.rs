//! Circumstances under which somebody might be answered otherwise: what the conditions of the policies that fit compare
//! with, tried one by one, and two together where none helps alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{Assurance, Attribute, Delegation};
use chaperone_identity::Clients;

use crate::ask::rfc3339;
use crate::explain::WouldChange;
use crate::load::Rule;
use crate::profile::{through, through_server};
use crate::slice::Literal;

/// Most circumstances that are tried for one question.
const TRIED_MAX: usize = 48;
/// Most of them of which pairs are tried.
const PAIRED_MAX: usize = 16;
/// How far ahead times are tried, in steps.
const TIMES: u64 = 7 * 48;
/// A step of time, in microseconds: half an hour.
const STEP_US: u64 = 30 * 60 * 1_000_000;

/// One thing that could be otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Other {
    Purpose(String),
    Client(String),
    Server(String),
    Class(String),
    Method(String),
    Fresh,
    Attribute(String, Attribute),
    Time(u64),
}

impl Other {
    fn apply(&self, who: Delegation, now_us: &mut u64, clients: &Clients) -> Delegation {
        let assured = |who: &Delegation| {
            let unknown = Assurance { acr: None, amr: BTreeSet::new(), at: Assurance::AT_UNKNOWN };
            who.assurance.clone().unwrap_or(unknown)
        };
        match self {
            Self::Purpose(code) => Delegation { purpose: Some(Arc::from(code.as_str())), ..who },
            Self::Client(name) => {
                let purpose = who.purpose.clone();
                through(who, Some(name.as_str()), purpose.as_deref(), clients)
            }
            Self::Server(name) => through_server(who, name, clients),
            Self::Class(acr) => {
                let assurance = Some(Assurance { acr: Some(acr.clone()), ..assured(&who) });
                Delegation { assurance, ..who }
            }
            Self::Method(method) => {
                let mut assurance = assured(&who);
                assurance.amr.insert(method.clone());
                Delegation { assurance: Some(assurance), ..who }
            }
            Self::Fresh => {
                let assurance = Some(Assurance { at: *now_us / 1_000_000, ..assured(&who) });
                Delegation { assurance, ..who }
            }
            Self::Attribute(name, value) => {
                let mut who = who;
                who.attributes.insert(name.clone(), value.clone());
                who
            }
            Self::Time(at) => {
                *now_us = *at;
                who
            }
        }
    }

    fn would_change(&self) -> WouldChange {
        match self {
            Self::Purpose(code) => WouldChange::Purpose(code.clone()),
            Self::Client(name) => WouldChange::Client(name.clone()),
            Self::Server(name) => WouldChange::Server(name.clone()),
            Self::Class(acr) => WouldChange::AuthenticationClass(acr.clone()),
            Self::Method(method) => WouldChange::AuthenticationMethod(method.clone()),
            Self::Fresh => WouldChange::FreshAuthentication,
            Self::Attribute(name, value) => WouldChange::Attribute(format!("{name} = {}", words(value))),
            Self::Time(at) => WouldChange::Time(rfc3339(at / 1000)),
        }
    }

    /// Of two that say the same kind of thing only one can hold.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Attribute(one, _), Self::Attribute(another, _)) => one == another,
            (Self::Method(_), Self::Method(_)) => false,
            (one, another) => std::mem::discriminant(one) == std::mem::discriminant(another),
        }
    }
}

fn words(value: &Attribute) -> String {
    match value {
        Attribute::Bool(truth) => truth.to_string(),
        Attribute::Long(number) => number.to_string(),
        Attribute::Text(text) => format!("`{text}`"),
        Attribute::Texts(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
            texts.join(", ")
        }
    }
}

/// Values of an attribute that a comparison with a literal can tell apart.
fn values(had: Option<&Attribute>, literal: &Literal) -> Vec<Attribute> {
    match literal {
        Literal::Bool(truth) => vec![Attribute::Bool(*truth), Attribute::Bool(!truth)],
        Literal::Long(number) => [number.checked_sub(1), Some(*number), number.checked_add(1)]
            .into_iter()
            .flatten()
            .map(Attribute::Long)
            .collect(),
        Literal::Text(text) => vec![Attribute::Text(text.clone())],
        Literal::Member(text) => {
            let mut texts = match had {
                Some(Attribute::Texts(texts)) => texts.clone(),
                Some(Attribute::Bool(_) | Attribute::Long(_) | Attribute::Text(_)) | None => BTreeSet::new(),
            };
            texts.insert(text.clone());
            vec![Attribute::Texts(texts)]
        }
    }
}

/// Everything that the conditions of some rules compare with, as far as the caller has it otherwise.
fn others(rules: &[&Rule], who: &Delegation, clients: &Clients) -> Vec<Other> {
    let mut found: Vec<Other> = Vec::new();
    let mut add = |other: Other| {
        if found.len() < TRIED_MAX && !found.contains(&other) {
            found.push(other);
        }
    };
    for rule in rules {
        for (variable, attribute, literal) in &rule.compares {
            match (variable.as_str(), attribute.as_str(), literal) {
                ("context", "purpose", Literal::Text(text)) => add(Other::Purpose(text.clone())),
                ("context", "client", Literal::Text(text)) => add(Other::Client(text.clone())),
                ("context", "server", Literal::Text(text)) => add(Other::Server(text.clone())),
                ("context", "acr", Literal::Text(text)) => add(Other::Class(text.clone())),
                ("context", "amr", Literal::Member(text)) => add(Other::Method(text.clone())),
                ("principal", name, literal) => {
                    let had = who.attributes.get(name);
                    let values = values(had, literal).into_iter().filter(|value| had != Some(value));
                    values.for_each(|value| add(Other::Attribute(name.to_owned(), value)));
                }
                (_, _, _) => {}
            }
        }
        for (variable, attribute) in rule.reads() {
            match (variable.as_str(), attribute.as_str()) {
                ("context", "authenticated_s") => add(Other::Fresh),
                // Who may act, or where rows may go: any registered client can be the one.
                ("context", "registered" | "recipient" | "agreement") => {
                    clients.iter().for_each(|(name, _)| add(Other::Client(name.clone())));
                }
                ("context", "server_recipient" | "server_agreement") => {
                    clients.servers().for_each(|(name, _)| add(Other::Server(name.clone())));
                }
                ("principal", name) => {
                    // A flag is read as it is, and compared with nothing.
                    let compared =
                        rule.compares.iter().any(|(of, read, _)| of == "principal" && read == name);
                    let had = who.attributes.get(name);
                    for truth in [true, false].into_iter().filter(|_| !compared) {
                        let value = Attribute::Bool(truth);
                        if had != Some(&value) {
                            add(Other::Attribute(name.to_owned(), value));
                        }
                    }
                }
                (_, _) => {}
            }
        }
    }
    found
}

/// What would make an answer `allowed`, of everything that the rules read. `allowed` asks as somebody, at a time in
/// microseconds since the Unix epoch.
pub(crate) fn circumstances(
    rules: &[&Rule],
    who: &Delegation,
    clients: &Clients,
    now_us: u64,
    allowed: impl Fn(&Delegation, u64) -> bool,
) -> Vec<WouldChange> {
    let others = others(rules, who, clients);
    let holds = |these: &[&Other]| {
        let mut now = now_us;
        let who = these.iter().fold(who.clone(), |who, other| other.apply(who, &mut now, clients));
        allowed(&who, now)
    };
    let mut helpful: Vec<WouldChange> =
        others.iter().filter(|other| holds(&[*other])).map(Other::would_change).collect();
    if rules.iter().any(|rule| rule.reads_time) {
        // From the next full step on: a window that begins or ends within it is told half an hour off.
        let first = now_us / STEP_US + 1;
        let mut times = (first..first + TIMES).map(|step| Other::Time(step * STEP_US));
        helpful.extend(times.find(|time| holds(&[time])).map(|time| time.would_change()));
    }
    if helpful.is_empty() {
        let some = others.get(..others.len().min(PAIRED_MAX)).unwrap_or_default();
        for (at, one) in some.iter().enumerate() {
            for other in some.iter().skip(at + 1).filter(|other| !one.excludes(other)) {
                if holds(&[one, other]) {
                    helpful.push(WouldChange::Together(vec![one.would_change(), other.would_change()]));
                }
            }
        }
    }
    helpful
}
