//! What would be sent for each statement of a corpus, a line each: for a caller who sees what is clear, and for one who sees
//! masks and all rows besides. Two of these lists show what a change of the rewriting comes to.
//! `cargo run --package chaperone-scope --example words -- CATALOG.json CORPUS.sql ...`
//!
//! The catalog is what `GET /targets/NAME/catalog` gives. With `--full` the words themselves are printed, else a digest.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a program for developers"
)]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chaperone_access::{
    Analysis, AttributeKind, Class, NameRule, RelationFacts, RelationScope, Scope, SessionEffect, Showing,
};
use chaperone_scope::{Catalog, Classification, analyse};

/// A relation as it is seen where policies permit no tag, or all of them masked.
fn seen(facts: &RelationFacts, masked: bool) -> RelationScope {
    let showing = |class: &Class, has_mask: bool| match class {
        Class::Clear => Showing::Revealed,
        Class::Tagged(_) if masked && has_mask => Showing::Masked,
        Class::Tagged(_) | Class::Unclassified => Showing::Hidden,
    };
    let columns = facts.columns.iter();
    let showings: Vec<Showing> =
        columns.map(|column| showing(&column.class, column.mask.is_some() && !column.scan)).collect();
    let all_rows = masked || !facts.filtered;
    if all_rows && showings.iter().all(|showing| *showing == Showing::Revealed) {
        return RelationScope::Whole;
    }
    RelationScope::Part { showings: showings.into(), all_rows }
}

fn scope(analysis: &Analysis, masked: bool) -> Scope {
    let touches = analysis.members.iter().flat_map(|member| &member.touches);
    let named = touches.filter(|touch| touch.rule == NameRule::Named);
    let relations = named.map(|touch| {
        let seen = touch.facts.as_ref().map_or(RelationScope::Whole, |facts| seen(facts, masked));
        (touch.relation.clone(), seen)
    });
    Scope { relations: relations.collect(), ..Scope::default() }
}

fn digest(words: &str) -> String {
    let mut digest = DefaultHasher::new();
    words.hash(&mut digest);
    format!("{:016x}", digest.finish())
}

fn told(analysis: &Analysis, masked: bool, full: bool) -> String {
    if let Some(refusal) = &analysis.forbidden {
        return format!("forbidden: {refusal}");
    }
    match analysis.confined.get(&scope(analysis, masked)) {
        Ok(words) if full => words.to_string(),
        Ok(words) => digest(&words),
        Err(refusal) => format!("refused: {refusal}"),
    }
}

fn case(name: &str, script: &str, catalog: &Arc<Catalog>, full: bool) {
    let fresh = catalog.path();
    let (mut path, mut temporary) = (fresh.clone(), Vec::<Arc<str>>::new());
    let lines = script.lines().filter(|line| !line.starts_with('\\'));
    let script: Arc<str> = Arc::from(lines.collect::<Vec<_>>().join("\n"));
    // What cannot be read is one text.
    let texts = pg_query::split_with_parser(&script).unwrap_or_else(|_| vec![&script]);
    for (place, text) in texts.into_iter().enumerate() {
        let text: Arc<str> = Arc::from(text);
        let analysis = analyse(&text, &path, &Arc::from(temporary.as_slice()), catalog);
        for masked in [false, true] {
            println!(
                "{name} {place} {} {}",
                u8::from(masked),
                told(&analysis, masked, full).replace('\n', " ")
            );
        }
        // What is on record depends on these.
        for member in analysis.members.iter() {
            let used = digest(&format!("{:?} {:?} {:?}", member.uses, member.results, member.whole));
            println!(
                "{name} {place} {:?} {:?} {:?} {used}{}",
                member.effect,
                member.subjects,
                member.free_text,
                if member.names_unknown { " new" } else { "" }
            );
            match &member.session {
                SessionEffect::SetsSearchPath { path: set, .. } => {
                    path = set.as_ref().map_or_else(|| fresh.clone(), |set| set.iter().cloned().collect());
                }
                SessionEffect::MakesTemporary { name, .. } => temporary.push(name.clone()),
                SessionEffect::DropsTemporary { names } => temporary.retain(|known| !names.contains(known)),
                SessionEffect::DiscardsAll => (path, temporary) = (fresh.clone(), Vec::new()),
                SessionEffect::None
                | SessionEffect::Transaction(_)
                | SessionEffect::Prepares { .. }
                | SessionEffect::Executes { .. }
                | SessionEffect::Declares { .. }
                | SessionEffect::Fetches { .. }
                | SessionEffect::Closes { .. }
                | SessionEffect::Deallocates { .. }
                | SessionEffect::NamesApplication { .. }
                | SessionEffect::ChangesCatalog => {}
            }
        }
    }
}

fn all() {
    let (flags, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument == "--full");
    let view: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&files[0]).unwrap()).unwrap();
    let results: Vec<Vec<Vec<Option<String>>>> = serde_json::from_value(view["results"].clone()).unwrap();
    let attributes: BTreeMap<String, AttributeKind> =
        serde_json::from_value(view["attributes"].clone()).unwrap();
    let text = view["classification"].as_str().unwrap();
    let classification = Classification::load("classification", text, &attributes).unwrap();
    let catalog = Arc::new(Catalog::build(1, &results, Some(&Arc::new(classification))).unwrap());
    for file in &files[1..] {
        let text = std::fs::read_to_string(file).unwrap();
        for found in format!("\n{text}").split("\n-- @t ").skip(1) {
            let (head, script) = found.split_once('\n').unwrap();
            case(head.split_whitespace().next().unwrap(), script, &catalog, !flags.is_empty());
        }
    }
}

fn main() {
    // As in the gateway: on a thread with a deep stack.
    std::thread::Builder::new().stack_size(128 << 20).spawn(all).unwrap().join().unwrap();
}
