//! The names in a client's text: what an error may say without telling more than the client did.

/// One name or parameter.
#[derive(Debug)]
struct Token {
    /// As PostgreSQL would know it: in lower case unless it was quoted.
    name: String,
    /// Where it stands, in characters from 1, as errors count.
    position: usize,
    /// A dot and nothing else stands between it and the token before.
    joined: bool,
}

/// All names of a text, without those in strings and comments.
#[derive(Debug)]
pub(super) struct Tokens(Vec<Token>);

/// Names in one text that are looked at.
const TOKENS_MAX: usize = 10_000;

impl Tokens {
    pub(super) fn of(text: &str) -> Self {
        let mut scan = Scan { rest: text, position: 1, found: Vec::new(), dot: false };
        while !scan.rest.is_empty() && scan.found.len() < TOKENS_MAX {
            scan.step();
        }
        Self(scan.found)
    }

    /// A name, parts joined by dots, as far as the text has it: the whole, or its last part; and its position, where it
    /// occurs exactly once.
    pub(super) fn know(&self, name: &str) -> Option<(String, Option<usize>)> {
        let parts: Vec<&str> = name.split('.').collect();
        let mut tries = vec![parts.as_slice()];
        tries.extend(parts.len().checked_sub(1).filter(|last| *last > 0).and_then(|last| parts.get(last..)));
        tries.into_iter().find_map(|parts| {
            let mut places = self.0.windows(parts.len()).filter(|window| {
                let names = window.iter().map(|token| token.name.as_str());
                names.eq(parts.iter().copied()) && window.iter().skip(1).all(|token| token.joined)
            });
            let first = places.next()?;
            let position =
                if places.next().is_none() { first.first().map(|token| token.position) } else { None };
            Some((parts.join("."), position))
        })
    }
}

struct Scan<'a> {
    rest: &'a str,
    position: usize,
    found: Vec<Token>,
    dot: bool,
}

impl Scan<'_> {
    /// Take `bytes` bytes; never in the middle of a character.
    fn take(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.position += taken.chars().count();
        self.rest = rest;
        taken
    }

    /// Up to and with the next `end` after the first `skip` bytes.
    fn past(&mut self, skip: usize, end: &str) {
        let found = self.rest.get(skip..).and_then(|rest| rest.find(end));
        let bytes = found.map_or(self.rest.len(), |at| skip + at + end.len());
        self.take(bytes);
    }

    fn token(&mut self, name: String, position: usize) {
        let joined = std::mem::take(&mut self.dot);
        self.found.push(Token { name, position, joined });
    }

    fn step(&mut self) {
        let position = self.position;
        let rest = self.rest;
        let word = |text: &str| {
            text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len())
        };
        let Some(first) = rest.chars().next() else { return };
        match first {
            '\'' => self.string(false),
            'e' | 'E' if rest.get(1..2) == Some("'") => {
                self.take(1);
                self.string(true);
            }
            '-' if rest.starts_with("--") => self.past(2, "\n"),
            '/' if rest.starts_with("/*") => self.comment(),
            '"' => {
                let name = quoted(rest);
                let bytes = name.as_ref().map_or(rest.len(), |(_, bytes)| *bytes);
                self.take(bytes);
                if let Some((name, _)) = name {
                    self.token(name, position);
                }
            }
            '$' => {
                let digits = rest.get(1..).unwrap_or_default();
                let digits = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                if digits > 0 {
                    let name = self.take(1 + digits).to_owned();
                    self.token(name, position);
                } else {
                    self.dollar();
                }
            }
            '.' => {
                self.take(1);
                self.dot = true;
            }
            c if c.is_alphabetic() || c == '_' => {
                let bytes = word(rest);
                let name = self.take(bytes).to_ascii_lowercase();
                self.token(name, position);
            }
            c if c.is_ascii_digit() => {
                let bytes = word(rest);
                self.take(bytes);
                self.dot = false;
            }
            c => {
                self.take(c.len_utf8());
                self.dot = false;
            }
        }
    }

    fn string(&mut self, escapes: bool) {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '\'' && !escaped;
            escaped = escapes && *c == '\\' && !escaped;
            ends
        });
        // Two quotes are one in the string; taken as two strings they are the same to us.
        self.take(end.map_or(self.rest.len(), |(at, _)| at + 1));
        self.dot = false;
    }

    fn comment(&mut self) {
        let (mut depth, mut at) = (0_usize, 0);
        while let Some(rest) = self.rest.get(at..).filter(|rest| !rest.is_empty()) {
            let step = if rest.starts_with("/*") {
                depth += 1;
                2
            } else if rest.starts_with("*/") {
                depth -= 1;
                2
            } else {
                rest.chars().next().map_or(1, char::len_utf8)
            };
            at += step;
            if depth == 0 {
                break;
            }
        }
        self.take(at);
    }

    /// A string between `$tag$` and `$tag$`.
    fn dollar(&mut self) {
        let inside = self.rest.get(1..).unwrap_or_default();
        let tag = inside.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inside.len());
        self.dot = false;
        if inside.get(tag..).is_some_and(|rest| rest.starts_with('$')) {
            let tag = self.rest.get(..tag + 2).unwrap_or_default().to_owned();
            self.past(tag.len(), &tag);
        } else {
            self.take(1);
        }
    }
}

/// A quoted name at the beginning of a text, and how many bytes it takes.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut rest = text.get(1..)?;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, text.len() - after.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_postgresql_finds_them() {
        let text =
            "select 'a''b', E'c\\'d', $$e$$, $f$ g $f$, /* h /* i */ j */ \"K\"\"l\", M.n, $12 -- o\n, p1 .q";
        let names: Vec<(String, usize)> =
            Tokens::of(text).0.into_iter().map(|t| (t.name, t.position)).collect();
        let expected =
            [("select", 1), ("K\"l", 61), ("m", 69), ("n", 71), ("$12", 74), ("p1", 85), ("q", 89)];
        assert_eq!(names, expected.map(|(name, at)| (name.to_owned(), at)));
    }

    #[test]
    fn an_unfinished_text_ends_it() {
        for text in ["'a", "\"a", "/* a", "$a$ b", "E'a\\'", "$", "--"] {
            assert!(Tokens::of(text).0.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_name_is_known_as_far_as_it_was_written() {
        let tokens = Tokens::of("select p.age, x.age, name from p");
        assert_eq!(tokens.know("p.age"), Some(("p.age".into(), Some(8))));
        assert_eq!(tokens.know("age"), Some(("age".into(), None)));
        assert_eq!(tokens.know("patients.name"), Some(("name".into(), Some(22))));
        assert_eq!(tokens.know("ssn"), None);
        assert_eq!(tokens.know(""), None);
    }
}
