//! Short texts that differ only in small whole numbers are understood once. Drivers without parameters, and people, send
//! the same statement with another number each time.
//!
//! The argument: in a text of the characters below there are no quotes, no comments, no dollar signs and no parameters, so
//! its tokens are words, numbers and operators. A run of at most nine digits that touches no letter, digit, point
//! or underscore is one integer constant of type `int4` for every version of the scanner. Two texts that are equal but for
//! the digits of such runs have the same tokens and the same tree but for the constants' values, and no value of a
//! constant decides which relation is touched or how.

use std::sync::Arc;

use chaperone_access::{Analysis, Confined, Member, Refusal, Rewrite, Scope, SessionEffect};

use crate::analyse::{AT_ONCE_BYTES_MAX, analyse};
use crate::catalog::Catalog;

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
        let mut rest = text.as_bytes();
        while let Some(first) = rest.first() {
            let word = rest.iter().take_while(|byte| is_word(**byte)).count();
            let Some((token, after)) = rest.split_at_checked(word.max(1)) else { break };
            if first.is_ascii_digit() && token.len() <= DIGITS_MAX && token.iter().all(u8::is_ascii_digit) {
                shape.push(NUMBER);
                numbers = true;
            } else {
                shape.extend_from_slice(token);
            }
            rest = after;
        }
        numbers.then(|| Self(shape.into_boxed_slice()))
    }

    /// Whether texts of this shape, of which this is one, have one template: it keeps the number of a column's place
    /// (`ORDER BY 2`) and of a type's length. Asked once a shape: it parses.
    #[must_use]
    pub fn has_one_template(&self, text: &str) -> bool {
        let numbers = self.0.iter().filter(|byte| **byte == NUMBER).count();
        // A text of a shape has no dollar signs of its own.
        pg_query::normalize(text).is_ok_and(|template| template.matches('$').count() == numbers)
    }
}

/// What a text means, from the analysis of one of the same shape, which [has one template](Shape::has_one_template), against the same catalog and search path; none where that
/// one is not a single statement that leaves the session as it is.
#[must_use]
pub fn alike(
    known: &Analysis,
    text: &Arc<str>,
    path: &Arc<[Arc<str>]>,
    temporary: &Arc<[Arc<str>]>,
    catalog: &Arc<Catalog>,
) -> Option<Analysis> {
    let [member] = known.members.as_slice() else { return None };
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
        members: vec![Member { span: 0..text.len(), ..member.clone() }],
        // Whoever gets other words than his own gets them from his own text.
        confined: Confined::by(Own {
            text: text.clone(),
            path: path.clone(),
            temporary: temporary.clone(),
            catalog: catalog.clone(),
            deep: known.confined.is_deep(),
        }),
        replaced: None,
        forbidden: None,
        catalog_version: known.catalog_version,
        classified: known.classified,
        describes: known.describes.clone(),
        invokes: None,
    })
}

/// The words of a text of its own.
struct Own {
    text: Arc<str>,
    path: Arc<[Arc<str>]>,
    temporary: Arc<[Arc<str>]>,
    catalog: Arc<Catalog>,
    deep: bool,
}

impl Rewrite for Own {
    fn rewrite(&self, scope: &Scope) -> Result<Arc<str>, Refusal> {
        analyse(&self.text, &self.path, &self.temporary, &self.catalog).confined.get(scope)
    }

    fn is_deep(&self) -> bool {
        self.deep
    }
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
            let catalog = Arc::new(crate::analyse::tests::catalog());
            let (path, none) = (Arc::from([Arc::from("public")]), Arc::from([]));
            let (one, other) = (filled(form, &one), filled(form, &other));
            prop_assert_eq!(Shape::of(&one), Shape::of(&other));
            prop_assert!(Shape::of(&one).is_some());
            let known = analyse(&one, &path, &none, &catalog);
            let fresh = analyse(&other, &path, &none, &catalog);
            let shape = Shape::of(&one).filter(|shape| shape.has_one_template(&one));
            if let Some(derived) = shape.and_then(|_| alike(&known, &other, &path, &none, &catalog)) {
                let seen = |analysis: &Analysis| {
                    let members = analysis.members.iter().map(|m| {
                        (m.tag, m.span.clone(), m.template, m.touches.clone(), m.whole, m.effect)
                    });
                    members.collect::<Vec<_>>()
                };
                // A number may be wrong for the grammar where the other was right: what then runs is the target's refusal.
                if fresh.members.iter().all(|member| member.tag != "(unparsed)") {
                    prop_assert_eq!(seen(&derived), seen(&fresh));
                }
                let words = |analysis: &Analysis| analysis.confined.get(&Scope::default()).map_err(|refusal| refusal.code);
                prop_assert_eq!(words(&derived), words(&fresh));
                prop_assert_eq!(&derived.text, &fresh.text);
            }
        }
    }
}
