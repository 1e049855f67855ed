//! Short texts that differ only in small whole numbers are understood once. Drivers without parameters, and people, send
//! the same statement with another number each time.
//!
//! The argument: in a text of the characters below there are no quotes, no comments, no dollar signs and no parameters, so
//! its tokens are words, numbers and operators. A run of at most nine digits that touches no letter, digit, point
//! or underscore is one integer constant of type `int4` for every version of the scanner. Two texts that are equal but for
//! the digits of such runs have the same tokens and the same tree but for the constants' values, and no value of a
//! constant decides which relation is touched or how.
//!
//! What is sent for such texts is written out once a scope, too: for two fillings with numbers that nothing else has.
//! Where both are the same but for these numbers, they are the places of every text's own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chaperone_access::{Analysis, Confined, Refusal, Rewrite, Scope, SessionEffect};

use crate::analyse::{AT_ONCE_BYTES_MAX, analyse};
use crate::catalog::Catalog;

/// Scopes for which what is sent for one shape is kept.
const SCOPES_KEPT_MAX: usize = 8;
/// What is longer is written out for each text.
const TEMPLATE_BYTES_MAX: usize = 16 * 1024;
/// Numbers that stand for a text's own while it is found out where they are sent: nine digits each, so that none is a part
/// of another one.
const PROBES: [u32; 2] = [718_281_828, 314_159_265];
/// More numbers than this are written out for each text.
const NUMBERS_MAX: usize = 64;

/// Digits of which every number fits the type `int4`.
const DIGITS_MAX: usize = 9;
/// What stands for a number in a shape; it cannot stand in a text that has one.
const NUMBER: u8 = 0;

/// A text without its small whole numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape(Box<[u8]>);

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" \n\t_.,;()=<>*+".contains(&byte)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}

/// The parts of a plain text, and whether each is a small whole number.
fn tokens(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.as_bytes().first()?;
        let word = rest.bytes().take_while(|byte| is_word(*byte)).count();
        let (token, after) = rest.split_at_checked(word.max(1))?;
        rest = after;
        let is_number = first.is_ascii_digit()
            && token.len() <= DIGITS_MAX
            && token.bytes().all(|byte| byte.is_ascii_digit());
        Some((token, is_number))
    })
}

impl Shape {
    /// The shape of a text; none where a character stands in it whose meaning depends on what is around it, where it is
    /// long, or where it has no number.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        if text.len() > AT_ONCE_BYTES_MAX || !text.bytes().all(is_plain) {
            return None;
        }
        let mut shape = Vec::with_capacity(text.len());
        let mut numbers = false;
        for (token, is_number) in tokens(text) {
            if is_number {
                shape.push(NUMBER);
                numbers = true;
            } else {
                shape.extend_from_slice(token.as_bytes());
            }
        }
        numbers.then(|| Self(shape.into_boxed_slice()))
    }

    /// Whether texts of this shape, of which this is one, have one template: it keeps the number of a column's place
    /// (`ORDER BY 2`) and of a type's length. Asked once a shape: it parses.
    #[must_use]
    pub fn has_one_template(text: &str) -> bool {
        // A text of a shape has no dollar signs of its own, and other constants are left out as well.
        let kept = |template: &str| {
            let mut before = "";
            tokens(template)
                .any(|(token, is_number)| std::mem::replace(&mut before, token) != "$" && is_number)
        };
        pg_query::normalize(text).is_ok_and(|template| !kept(&template))
    }
}

/// One analysis for all texts of a shape, and what is sent for them.
#[derive(Debug)]
pub struct Shaped {
    /// Of the first text of the shape that came.
    pub analysis: Arc<Analysis>,
    templates: Arc<Templates>,
}

impl Shaped {
    /// To stand for texts of the shape of the one analysed, which [has one template](Shape::has_one_template).
    #[must_use]
    pub fn new(analysis: Arc<Analysis>) -> Self {
        Self { analysis, templates: Arc::default() }
    }

    /// What another text of the shape means against the same catalog and search path; none where the known one is not a
    /// single statement that leaves the session as it is.
    #[must_use]
    pub fn alike(
        &self,
        text: &Arc<str>,
        path: &Arc<[Arc<str>]>,
        temporary: &Arc<[Arc<str>]>,
        catalog: &Arc<Catalog>,
    ) -> Option<Analysis> {
        let known = &self.analysis;
        let [member] = &*known.members else { return None };
        let plain = matches!(member.session, SessionEffect::None)
            && matches!(member.tag, "SELECT" | "INSERT" | "UPDATE" | "DELETE")
            && known.replaced.is_none()
            && known.forbidden.is_none()
            && known.catalog_version == catalog.version;
        if !plain {
            return None;
        }
        Some(Analysis {
            text: text.clone(),
            members: known.members.clone(),
            confined: Confined::by(Own {
                text: text.clone(),
                path: path.clone(),
                temporary: temporary.clone(),
                catalog: catalog.clone(),
                deep: known.confined.is_deep(),
                templates: self.templates.clone(),
            }),
            replaced: None,
            forbidden: None,
            catalog_version: known.catalog_version,
            classified: known.classified,
            describes: known.describes.clone(),
            invokes: None,
        })
    }
}

/// The words of a text of its own.
struct Own {
    text: Arc<str>,
    path: Arc<[Arc<str>]>,
    temporary: Arc<[Arc<str>]>,
    catalog: Arc<Catalog>,
    deep: bool,
    templates: Arc<Templates>,
}

impl Own {
    fn written(&self, text: &Arc<str>, scope: &Scope) -> Result<Arc<str>, Refusal> {
        analyse(text, &self.path, &self.temporary, &self.catalog).confined.get(scope)
    }
}

impl Rewrite for Own {
    fn rewrite(&self, scope: &Scope) -> Result<Arc<str>, Refusal> {
        let made = || Template::of(&self.text, |text| self.written(text, scope).ok());
        match self.templates.get(scope, made).and_then(|template| template.filled(&self.text)) {
            Some(words) => Ok(words),
            // Also for a refusal, whose words are about the text's own.
            None => self.written(&self.text, scope),
        }
    }

    fn known(&self, scope: &Scope) -> Option<Result<Arc<str>, Refusal>> {
        self.templates.known(scope)??.filled(&self.text).map(Ok)
    }

    fn is_deep(&self) -> bool {
        self.deep
    }
}

/// What is sent for the texts of one shape, by scope; none where it is not the same but for their numbers.
#[derive(Debug, Default)]
struct Templates(Mutex<VecDeque<(Scope, Option<Arc<Template>>)>>);

impl Templates {
    /// `None` where nobody has asked yet.
    fn known(&self, scope: &Scope) -> Option<Option<Arc<Template>>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(known, _)| known == scope).map(|(_, template)| template.clone())
    }

    fn get(&self, scope: &Scope, made: impl FnOnce() -> Option<Template>) -> Option<Arc<Template>> {
        if let Some(known) = self.known(scope) {
            return known;
        }
        // Not under the lock: two that make the same do no harm.
        let template = made().map(Arc::new);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SCOPES_KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((scope.clone(), template.clone()));
        template
    }
}

/// What is sent, with places for numbers.
#[derive(Debug, PartialEq, Eq)]
struct Template {
    first: Box<str>,
    /// Which of the text's numbers, from zero, and what follows it.
    rest: Vec<(usize, Box<str>)>,
}

impl Template {
    /// What `written` makes of every text of this one's shape. None where it refuses, or makes something else of one
    /// filling than of the other.
    fn of(text: &str, written: impl Fn(&Arc<str>) -> Option<Arc<str>>) -> Option<Self> {
        let numbers = tokens(text).filter(|(_, is_number)| *is_number).count();
        if numbers > NUMBERS_MAX {
            return None;
        }
        let [one, other] = PROBES.map(|probe| {
            let probes: Vec<String> = (probe..).take(numbers).map(|number| number.to_string()).collect();
            let words = written(&Arc::from(with_numbers(text, &probes)))?;
            (words.len() <= TEMPLATE_BYTES_MAX).then(|| Self::between(&words, &probes))
        });
        (one.is_some() && one == other).then_some(one)?
    }

    /// The words around the probes.
    fn between(words: &str, probes: &[String]) -> Self {
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (number, probe) in probes.iter().enumerate() {
            places.extend(words.match_indices(probe.as_str()).map(|(at, _)| (at, number)));
        }
        places.sort_unstable();
        let ends = places.iter().map(|(at, _)| *at).skip(1).chain([words.len()]);
        let part = |from: usize, to: usize| Box::from(words.get(from..to).unwrap_or_default());
        let first = part(0, places.first().map_or(words.len(), |(at, _)| *at));
        let rest = places.iter().zip(ends).map(|((at, number), end)| (*number, part(at + DIGITS_MAX, end)));
        Self { first, rest: rest.collect() }
    }

    /// The words for a text of the shape; none where it has fewer numbers than they.
    fn filled(&self, text: &str) -> Option<Arc<str>> {
        let numbers: Vec<&str> =
            tokens(text).filter(|(_, is_number)| *is_number).map(|(token, _)| token).collect();
        let mut words = String::with_capacity(TEMPLATE_BYTES_MAX.min(self.first.len() + 2 * text.len()));
        words.push_str(&self.first);
        for (number, after) in &self.rest {
            let digits = numbers.get(*number)?.trim_start_matches('0');
            words.push_str(if digits.is_empty() { "0" } else { digits });
            words.push_str(after);
        }
        Some(Arc::from(words))
    }
}

/// The text with other numbers in the places of its own.
fn with_numbers(text: &str, numbers: &[String]) -> String {
    let mut numbers = numbers.iter();
    let own =
        |(token, is_number)| if is_number { numbers.next().map_or(token, String::as_str) } else { token };
    tokens(text).map(own).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_small_whole_numbers_are_left_out() {
        let shape = |text: &str| Shape::of(text);
        assert_eq!(shape("select * from t where a = 1"), shape("select * from t where a = 234567890"));
        for other in [
            "select * from t where a = 1234567890",
            "select * from t where a = 1.5",
            "select * from t where a = 1e5",
            "select * from t1 where a = 1",
            "select * from t where a1 = 1",
            "select * from t where a = 0x1",
            "select * from t where a = 1_0",
            "select * from t where a = 1 1",
            "select * from t where a = 1;1",
        ] {
            assert_ne!(shape("select * from t where a = 1"), shape(other), "{other}");
        }
        for none in [
            "select 'a' from t where a = 1",
            "select 1 -- 2",
            "select /* 1 */ 2",
            "select $1, 2",
            "select $a$1$a$",
            "select U&\"a\" from t where b = 1",
            "select a from t",
            "select 1 from t where b = E'\\1'",
            "select 1 as \u{e9}",
        ] {
            assert_eq!(shape(none), None, "{none}");
        }
        assert_eq!(shape(&format!("select 1{}", " ".repeat(AT_ONCE_BYTES_MAX))), None);
    }

    /// Statements with places for numbers, among them odd ones.
    const FORMS: &[&str] = &[
        "select name from patients where id = #",
        "select name from patients where id in (#, #) order by # limit # offset #;",
        "select count(*) from patients p, secret s where p.id = s.id and s.a < # + #",
        "insert into patients values (#, #)",
        "update patients set a = # where b = #",
        "delete from visits where id = #",
        "select * from patients for update limit #",
        "select float(#) from patients",
        "select cast(# as numeric(#,#)) from patients",
        "select interval(#) from patients",
        "select # from patients tablesample system (#)",
        "with a as (select # as n) select * from a, other.patients where n = #",
        "select leak(#)",
        "select random() * # from audited",
        "select * from peek group by # having count(*) > #",
        "fetch # from c",
        "begin; select #",
        "set statement_timeout = #",
        "select # from",
    ];

    fn filled(form: &str, numbers: &[u32]) -> Arc<str> {
        let mut numbers = numbers.iter().cycle();
        let parts: Vec<String> = form
            .split('#')
            .enumerate()
            .map(|(place, part)| match place {
                0 => part.to_owned(),
                _ => format!("{}{part}", numbers.next().unwrap_or(&0)),
            })
            .collect();
        Arc::from(parts.concat())
    }

    proptest! {
        #[test]
        fn what_is_alike_means_the_same(
            form in prop::sample::select(FORMS),
            one in prop::collection::vec(0_u32..1_000_000_000, 1..6),
            other in prop::collection::vec(0_u32..1_000_000_000, 1..6),
        ) {
            let catalog = Arc::new(crate::rewrite::tests::catalog());
            let (path, none) = (Arc::from([Arc::from("public")]), Arc::from([]));
            let (one, other) = (filled(form, &one), filled(form, &other));
            prop_assert_eq!(Shape::of(&one), Shape::of(&other));
            prop_assert!(Shape::of(&one).is_some());
            let shaped = Shaped::new(Arc::new(analyse(&one, &path, &none, &catalog)));
            let fresh = analyse(&other, &path, &none, &catalog);
            let shape = Shape::of(&one).filter(|_| Shape::has_one_template(&one));
            if let Some(derived) = shape.and_then(|_| shaped.alike(&other, &path, &none, &catalog)) {
                let seen = |analysis: &Analysis| {
                    let members = analysis.members.iter().map(|m| {
                        (m.tag, m.template, m.touches.clone(), m.whole, m.effect)
                    });
                    members.collect::<Vec<_>>()
                };
                // A number may be wrong for the grammar where the other was right: what then runs is the target's refusal.
                if fresh.members.iter().all(|member| member.tag != "(unparsed)") {
                    prop_assert_eq!(seen(&derived), seen(&fresh));
                }
                for scope in [Scope::default(), crate::rewrite::tests::scope(&catalog)] {
                    let words = |analysis: &Analysis| analysis.confined.get(&scope).map_err(|refusal| refusal.code);
                    prop_assert_eq!(words(&derived), words(&fresh));
                }
                prop_assert_eq!(&derived.text, &fresh.text);
            }
        }
    }

    #[test]
    fn words_are_made_once_for_all_numbers() {
        let catalog = Arc::new(crate::rewrite::tests::catalog());
        let scope = crate::rewrite::tests::scope(&catalog);
        let written = |text: &Arc<str>| {
            analyse(text, &Arc::from([Arc::from("public")]), &Arc::from([]), &catalog)
                .confined
                .get(&scope)
                .ok()
        };
        for form in [
            "select ssn from patients where id = #",
            "select # from secret s where s.id in (#, #) group by s.id + # limit #",
            "update patients set id = # where id = #",
        ] {
            let template = Template::of(&filled(form, &[1]), written).unwrap();
            for numbers in [[7, 7, 7], [0, 999_999_999, 718_281_828]] {
                let text = filled(form, &numbers);
                assert_eq!(template.filled(&text), written(&text), "{text}");
            }
            let zeros: Arc<str> = Arc::from(filled(form, &[5]).replace('5', "005"));
            assert_eq!(template.filled(&zeros), written(&zeros), "{zeros}");
        }
    }

    /// Words that are another's for another number have no template, whatever names the text has.
    #[test]
    fn what_depends_on_a_number_has_no_template() {
        let depends = |text: &Arc<str>| Some(Arc::from(if text.ends_with("8") { "a" } else { "b" }));
        assert_eq!(Template::of("select 1", depends), None);
        let twice = |text: &Arc<str>| Some(Arc::from(text.replace('a', "718281828")));
        assert_eq!(Template::of("select a, 1", twice), None);
        assert_eq!(Template::of("select 1", |_| None), None);
        let many = format!("select {}", "1, ".repeat(NUMBERS_MAX + 1));
        assert_eq!(Template::of(&many, |text| Some(text.clone())), None);
        let long = |text: &Arc<str>| Some(Arc::from(text.repeat(TEMPLATE_BYTES_MAX)));
        assert_eq!(Template::of("select 1", long), None);
        // A name that holds what stands for a number.
        assert_eq!(Template::of("select c718281828, 1", |text| Some(text.clone())), None);
    }

    #[test]
    fn scopes_do_not_share_templates_nor_pile_up() {
        let templates = Templates::default();
        let made = |first: &str| Some(Template { first: first.into(), rest: Vec::new() });
        let seen = |stays: &'static str| Scope { stays: [stays].into(), ..Scope::default() };
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        for name in names {
            assert_eq!(templates.get(&seen(name), || made(name)).unwrap().first.as_ref(), name);
        }
        assert_eq!(templates.get(&seen("j"), || made("x")).unwrap().first.as_ref(), "j");
        assert_eq!(templates.0.lock().unwrap().len(), SCOPES_KEPT_MAX);
    }
}
