//! What is refused before the parser sees it, so that no text can exhaust a stack or a worker.

use chaperone_access::{Refusal, RefusalCode};
use pg_query::protobuf::Token;

/// Longest run of tokens between commas, semicolons and parentheses, summed over the open parentheses: no tree of a
/// text within it is deeper than this.
pub(crate) const DEPTH_MAX: usize = 8_000;
/// Open parentheses and brackets at a time.
pub(crate) const PARENTHESES_MAX: usize = 1_000;
/// UNION, INTERSECT and EXCEPT in one text: the parser's time grows with their square.
pub(crate) const SET_OPERATIONS_MAX: usize = 1_000;
/// Texts below this cannot reach any of the limits.
const SMALL_BYTES: usize = 1_000;

const OPENING: [Token; 2] = [Token::Ascii40, Token::Ascii91];
const CLOSING: [Token; 2] = [Token::Ascii41, Token::Ascii93];
const SEPARATING: [Token; 2] = [Token::Ascii44, Token::Ascii59];

fn too_complex(what: &str, max: usize) -> Refusal {
    Refusal::new(RefusalCode::TooComplex, format!("the statement has more than {max} {what}"))
        .hint("split it, or put the values into a temporary table or parameters")
}

/// Count before anything is made of the text: by the scanner of the grammar itself, since what is taken for a string or a
/// comment elsewhere could hide the rest.
pub(crate) fn check(text: &str) -> Result<(), Refusal> {
    if text.len() < SMALL_BYTES {
        return Ok(());
    }
    let tokens = pg_query::scan_tokens(text)
        .map_err(|error| Refusal::new(RefusalCode::SyntaxError, error.to_string()))?;
    let mut open: Vec<usize> = vec![0];
    let mut depth = 0_usize;
    let mut set_operations = 0_usize;
    for token in tokens {
        let is = |kinds: &[Token]| kinds.iter().any(|kind| *kind as i32 == token.token);
        if is(&[Token::SqlComment, Token::CComment]) {
            continue;
        }
        set_operations += usize::from(is(&[Token::Union, Token::Intersect, Token::Except]));
        if is(&OPENING) {
            open.push(0);
        } else if is(&CLOSING) && open.len() > 1 {
            depth -= open.pop().unwrap_or(0);
        }
        if let Some(run) = open.last_mut() {
            if is(&SEPARATING) {
                depth -= *run;
                *run = 0;
            } else if !is(&OPENING) && !is(&CLOSING) {
                *run += 1;
                depth += 1;
            }
        }
        if open.len() > PARENTHESES_MAX {
            return Err(too_complex("nested parentheses", PARENTHESES_MAX));
        }
        if depth + open.len() > DEPTH_MAX {
            return Err(too_complex("tokens in one expression", DEPTH_MAX));
        }
        if set_operations > SET_OPERATIONS_MAX {
            return Err(too_complex("set operations", SET_OPERATIONS_MAX));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monsters_are_refused_and_large_ordinary_texts_are_not() {
        assert!(check(&format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000))).is_err());
        assert!(check(&vec!["select 1"; 10_000].join(" union ")).is_err());
        assert!(check(&format!("select 1{}", "+1".repeat(100_000))).is_err());
        assert!(check(&format!("select {} true", "not ".repeat(100_000))).is_err());
        let values = vec!["(1, 'it''s', -2.5, now())"; 30_000].join(", ");
        assert!(check(&format!("insert into t values {values}")).is_ok());
        assert!(check(&format!("select '{}'", "(".repeat(500_000))).is_ok());
        // Each of the limits, by itself.
        let within = |what: &str, count: usize| format!("select {}", what.repeat(count));
        for (what, max) in
            [("(", PARENTHESES_MAX), ("(1+", PARENTHESES_MAX), ("[", PARENTHESES_MAX), ("1+", DEPTH_MAX / 2)]
        {
            assert!(
                check(&within(what, max + 2)).is_err() && check(&within(what, max - 10)).is_ok(),
                "{what}"
            );
        }
        for word in ["union", "INTERSECT", "except"] {
            let chain = |count: usize| vec!["select 1"; count].join(&format!(" {word} "));
            let refusal = check(&chain(SET_OPERATIONS_MAX + 2)).unwrap_err();
            assert!(refusal.message.contains("set operations") && check(&chain(SET_OPERATIONS_MAX)).is_ok());
        }
        // A word with `_` is one token, what is between spaces is none, and what is closed too often ends nothing.
        assert!(check(&format!("select {}", "a_b_c_d_e ".repeat(DEPTH_MAX - 10))).is_ok());
        assert!(check(&format!("select {}", "a    ".repeat(DEPTH_MAX - 10))).is_ok());
        assert!(check(&format!("select {}{}", ")".repeat(500), "1+".repeat(DEPTH_MAX))).is_err());
        assert!(check(&format!("select 'a', {}", "1+".repeat(DEPTH_MAX))).is_err(), "a text ends");
        // Parentheses and comments are no tokens of an expression.
        assert!(check(&within("f()", DEPTH_MAX - 10)).is_ok() && check(&within("/**/", DEPTH_MAX)).is_ok());
        let within =
            format!("select {}{}", "(".repeat(PARENTHESES_MAX - 10), "1+".repeat(DEPTH_MAX / 2 - 600));
        assert!(check(&within).is_ok());
        // What is no string hides nothing, and what is one ends where the grammar says.
        for before in [
            "/*'*/ ",
            "--'\n ",
            "$$'$$, ",
            "$a$'$$$a$, ",
            "E'\\'', ",
            "E'' \n'\\'', ",
            "\"'\", ",
            "a$$, 1$$'$$, ",
        ] {
            let refusal = check(&format!("select {before}{}", "1+".repeat(DEPTH_MAX))).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::TooComplex, "{before}");
            assert!(check(&format!("select {before}'{}'", "1+".repeat(DEPTH_MAX))).is_ok(), "{before}");
        }
        let refusal = check(&format!("select 'a, {}", "1+".repeat(DEPTH_MAX))).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::SyntaxError);
        let ors = vec!["a = 1"; 800].join(" or ");
        assert!(check(&format!("select 1 where {ors}")).is_ok());
    }
}
