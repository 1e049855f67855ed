//! The policy matrix: who may do what, by the classes of callers that policies can tell apart, as text that can be
//! reviewed and compared. The same policies and relations give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{Called, Delegation, RelationFacts, TargetName, Verb};

use crate::ask::{Asked, On};
use crate::asking::Asking;
use crate::load::PolicySet;
use crate::manage::ManagementAction;
use crate::profile::{Class, Hand};
use crate::sight::{self, Sight};
use crate::world::{OF_SERVER, OfRelation, Ruling, Thing, World};

/// The client that stands for all that no policy names and nobody registered.
pub(crate) const UNREGISTERED: &str = "(an unregistered client)";

const HEAD: &str = "\
# Who may do what, by class: everybody in one group, each subject that a policy names, and anybody.
# `verb?` needs an approval; `(verb)` depends on more than the class: purpose, time, authentication or attributes.
# A block `via CLIENT` shows the lines that differ when that client acts for the subject, a block `through SERVER` those that
# differ for what a run of that server asks.
# `columns` says by tag what is seen of the relations that the class may use; what is not listed is hidden.
";

/// Lines of one class: what it is about, and the words.
type Lines = BTreeMap<(usize, String), String>;

/// The matrix of a set. `now_us` is in microseconds since the Unix epoch: what depends on the time is marked.
#[must_use]
pub fn matrix(set: &PolicySet, world: &World, now_us: u64) -> String {
    let (classes, hands) = classes([set, set]);
    let mut out = HEAD.to_owned();
    for class in classes {
        out.push_str(&format!("\n{}\n", class.label));
        let mut known: BTreeMap<&Hand, Lines> = BTreeMap::new();
        for hand in &hands {
            let all = lines(set, &class.member(hand, &set.clients), world, now_us);
            let plainer = hand.plainer();
            let told = |line: &(&(usize, String), &String)| {
                !plainer
                    .iter()
                    .any(|hand| known.get(hand).and_then(|lines| lines.get(line.0)) == Some(line.1))
            };
            let other: Lines =
                all.iter().filter(told).map(|(about, words)| (about.clone(), words.clone())).collect();
            let indent = if *hand == Hand::default() { "  " } else { "    " };
            if *hand != Hand::default() && !other.is_empty() {
                out.push_str(&format!(" {}\n", label(hand)));
            }
            write(&mut out, indent, &other);
            known.insert(hand, all);
        }
    }
    out
}

/// ` via CLIENT through SERVER`, as far as somebody acts through them.
fn label(Hand { client, server }: &Hand) -> String {
    let client = client.iter().map(|client| format!(" via {client}"));
    client.chain(server.iter().map(|server| format!(" through {server}"))).collect()
}

fn write(out: &mut String, indent: &str, lines: &Lines) {
    let width = lines.keys().map(|(_, about)| about.len()).max().unwrap_or(0);
    for ((_, about), words) in lines {
        out.push_str(&format!("{indent}{about:width$}  {words}\n"));
    }
}

fn lines(set: &PolicySet, who: &Delegation, world: &World, now_us: u64) -> Lines {
    let inside = set.who(who);
    let asked = Asked::new(set, who, &inside, now_us, now_us);
    let mut lines = Lines::new();
    let mut place = 0;
    let mut line = |about: String, words: Option<Vec<String>>| {
        place += 1;
        if let Some(words) = words {
            lines.insert((place, about), if words.is_empty() { "-".to_owned() } else { words.join(" ") });
        }
    };
    // Nobody manages an installation through a server, nor is at one through another.
    let alone = who.server.is_none();
    let targets =
        world.targets.iter().filter(|(target, _)| alone || set.clients.server(target.as_str()).is_none());
    for (target, known) in targets {
        let connect = word(&asked, &Thing::Connect(target)).into_iter().collect();
        line(format!("{target}: connect"), Some(connect));
        let tools = known.tools().into_iter().filter_map(|tool| {
            let word = word(&asked, &Thing::Call(target, Called::tool(tool)))?;
            Some(word.replace("invoke", tool))
        });
        // Where no policy speaks of tools, nobody may call one.
        line(format!("{target}: tools"), set.permits_some(&["invoke"]).then(|| tools.collect()));
        if known.is_server {
            let words = OF_SERVER.into_iter().filter_map(|called| word(&asked, &Thing::Call(target, called)));
            let some = set.permits_some(&OF_SERVER.map(|called| called.action()));
            line(format!("{target}: resources and prompts"), some.then(|| words.collect()));
        }
        if known.tools.is_some() {
            let asks = known.asks(target).filter_map(|thing| {
                let Thing::Asks(_, _, tool) = thing else { return None };
                Some(format!("{}:{tool}", word(&asked, &thing)?))
            });
            let is_about = Asking::ALL.into_iter().any(|asking| set.is_about_asking(asking));
            line(format!("{target}: its tools may ask"), is_about.then(|| asks.collect()));
            continue;
        }
        let mut whole = verbs(&asked, |verb| Thing::Verb(verb, target, None));
        if known.classified {
            let sights = [Thing::Everything(target), Thing::AllRows(target, None)];
            whole.extend(sights.iter().filter_map(|thing| word(&asked, thing)));
        }
        line(format!("{target}: the whole target"), Some(whole));
        for (relation, OfRelation { within, facts }) in &known.relations {
            let on = (relation, within.as_slice());
            let words = verbs(&asked, |verb| Thing::Verb(verb, target, Some(on)));
            let usable = !words.is_empty();
            line(format!("{target}/{relation}"), Some(words));
            let facts = facts.as_ref().filter(|facts| usable && !is_clear(facts));
            line(
                format!("{target}/{relation} columns"),
                facts.map(|facts| columns(&asked, target, on, facts)),
            );
        }
    }
    let managed: Vec<String> = ManagementAction::ALL
        .into_iter()
        .filter_map(|action| word(&asked, &Thing::Manage(action, &world.installation)))
        .collect();
    line("management".to_owned(), alone.then_some(managed));
    lines
}

fn verbs<'a>(asked: &Asked<'_>, thing: impl Fn(Verb) -> Thing<'a>) -> Vec<String> {
    Verb::ALL.into_iter().filter_map(|verb| word(asked, &thing(verb))).collect()
}

/// Whether nothing of it can be hidden from whoever may use it.
fn is_clear(facts: &RelationFacts) -> bool {
    !facts.filtered && facts.columns.iter().all(|column| column.class == chaperone_access::Class::Clear)
}

/// What is seen of a relation's tagged columns: `reveal[phi.name] useMasked[phi.ssn]`, and of its rows.
fn columns(asked: &Asked<'_>, target: &TargetName, on: On<'_>, facts: &RelationFacts) -> Vec<String> {
    let (mut revealed, mut masked) = (BTreeSet::new(), BTreeSet::new());
    for alike in sight::alike(&[asked.set], target, on, facts) {
        for (sight, words) in [(Sight::Reveal, &mut revealed), (Sight::UseMasked, &mut masked)] {
            if sight == Sight::UseMasked && !alike.has_mask(facts) {
                continue;
            }
            let thing = Thing::Columns(sight, target, on, alike.clone());
            let (allowed, open) = (thing.ask(asked).0 == Ruling::Allow, depends(asked, &thing));
            if allowed || open {
                let label = alike.label();
                words.insert(if open { format!("({label})") } else { label });
            }
            if allowed && !open {
                break;
            }
        }
    }
    let written = |sight: Sight, words: BTreeSet<String>| {
        let words: Vec<String> = words.into_iter().collect();
        (!words.is_empty()).then(|| format!("{}[{}]", sight.as_str(), words.join(" ")))
    };
    let rows = facts.filtered.then(|| word(asked, &Thing::AllRows(target, Some(on)))).flatten();
    written(Sight::Reveal, revealed)
        .into_iter()
        .chain(written(Sight::UseMasked, masked))
        .chain(rows)
        .collect()
}

fn word(asked: &Asked<'_>, thing: &Thing<'_>) -> Option<String> {
    let action = thing.action();
    let name = if action == "connect" { "yes" } else { action };
    let (ruling, _) = thing.ask(asked);
    let more = depends(asked, thing);
    match (ruling, more) {
        (Ruling::Allow, false) => Some(name.to_owned()),
        (Ruling::Hold, false) => Some(format!("{name}?")),
        (Ruling::Refuse, false) => None,
        (Ruling::Allow | Ruling::Hold | Ruling::Refuse, true) => Some(format!("({name})")),
    }
}

/// Whether the ruling depends on something that a class leaves open.
fn depends(asked: &Asked<'_>, thing: &Thing<'_>) -> bool {
    thing.fitting(asked).iter().any(|rule| rule.open)
}

fn names_of(set: &PolicySet) -> impl Iterator<Item = &str> {
    set.clients.iter().map(|(name, _)| name.as_str())
}

/// The classes of two sets and through what they can act, for whoever asks about all of them.
pub(crate) fn classes(sets: [&PolicySet; 2]) -> (Vec<Class>, Vec<Hand>) {
    let [old, new] = sets;
    let names = old.names().and(new.names());
    let registered = sets.into_iter().flat_map(names_of).map(str::to_owned);
    let clients: BTreeSet<String> =
        registered.chain(names.clients.iter().cloned()).chain([UNREGISTERED.to_owned()]).collect();
    let registered = sets.into_iter().flat_map(|set| set.clients.servers().map(|(name, _)| name.clone()));
    let servers: BTreeSet<String> = registered.chain(names.servers.iter().cloned()).collect();
    let clients: Vec<Option<String>> = std::iter::once(None).chain(clients.into_iter().map(Some)).collect();
    let servers: Vec<Option<String>> = std::iter::once(None).chain(servers.into_iter().map(Some)).collect();
    let of_client = |client: Option<String>| {
        servers.iter().map(move |server| Hand { client: client.clone(), server: server.clone() })
    };
    (names.classes(), clients.into_iter().flat_map(of_client).collect())
}
