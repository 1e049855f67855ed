//! Texts within texts: strings in JSON, in arrays and rows, in the lines of a COPY. What stands in the place of a finding
//! must not break what it stands in.

use std::borrow::Cow;
use std::ops::Range;

/// How texts stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// JSON.
    Json,
    /// An array or row as PostgreSQL writes it: `{a,"b c"}`, `(a,"b ""c""")`.
    Listed,
    /// A line of COPY in text form.
    Tabs,
    /// A line of COPY in CSV form.
    Commas,
}

/// A part of a text, and what was found there.
pub(super) type Found = (Range<usize>, &'static str);

/// The text as it is read: what is escaped, or escapes, is a space, so that no letter of an escape touches a word, and every
/// byte keeps its place.
pub(super) fn plain(text: &[u8]) -> Cow<'_, [u8]> {
    let mut plain = Cow::Borrowed(text);
    let mut at = 0;
    while let Some(found) =
        text.get(at..).and_then(|rest| rest.iter().position(|b| matches!(b, b'\\' | b'"')))
    {
        let start = at + found;
        let length = match (text.get(start), text.get(start + 1)) {
            // `\u0041`
            (Some(b'\\'), Some(b'u')) => 6,
            (Some(b'\\'), _) => 2,
            // `""`
            (_, Some(b'"')) => 2,
            _ => {
                at = start + 1;
                continue;
            }
        };
        let end = (start + length).min(text.len());
        plain.to_mut().get_mut(start..end).unwrap_or_default().fill(b' ');
        at = end;
    }
    plain
}

/// The same of an array or a row: no comma between elements touches a number of theirs. What is in brackets may be a text's own.
pub(super) fn apart(text: &[u8]) -> Cow<'_, [u8]> {
    let mut apart = plain(text);
    let mut is_quoted = false;
    for at in 0..apart.len() {
        match apart.get(at) {
            Some(b'"') => is_quoted = !is_quoted,
            Some(b',') if !is_quoted => {
                apart.to_mut().get_mut(at..=at).unwrap_or_default().fill(b';');
            }
            Some(_) | None => {}
        }
    }
    apart
}

/// Whether a field of a line may be an array or a row.
pub(super) fn is_listed(field: &[u8]) -> bool {
    matches!(field.first(), Some(b'{' | b'('))
}

/// The text with each finding replaced.
pub(super) fn replaced(text: &[u8], found: &[Found]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut copied = 0;
    for (range, tag) in found {
        out.extend_from_slice(text.get(copied..range.start).unwrap_or_default());
        stand_in(&mut out, tag);
        copied = range.end;
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    out
}

/// The same where the text has strings in it: what is between them stays, and what is replaced in JSON outside of one becomes
/// one.
pub(super) fn replaced_within(text: &[u8], found: &[Found], spelling: Spelling) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut copied, mut first) = (0, 0);
    for (token, is_quoted) in tokens(text) {
        while found.get(first).is_some_and(|(range, _)| range.end <= token.start) {
            first += 1;
        }
        let here = found.get(first..).unwrap_or_default().iter();
        for (range, tag) in here.take_while(|(range, _)| range.start < token.end) {
            let is_bare = spelling == Spelling::Json && !is_quoted;
            let (start, end) = if is_bare {
                (token.start, token.end)
            } else {
                (range.start.max(token.start), range.end.min(token.end))
            };
            if start < copied {
                continue;
            }
            out.extend_from_slice(text.get(copied..start).unwrap_or_default());
            let quote: &[u8] = if is_bare { b"\"" } else { b"" };
            out.extend_from_slice(quote);
            stand_in(&mut out, tag);
            out.extend_from_slice(quote);
            copied = end;
        }
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    out
}

fn stand_in(out: &mut Vec<u8>, tag: &str) {
    out.push(b'[');
    out.extend_from_slice(tag.as_bytes());
    out.push(b']');
}

/// What is inside of quotes, and each word outside of them; whether it is quoted.
fn tokens(text: &[u8]) -> impl Iterator<Item = (Range<usize>, bool)> {
    let mut at = 0;
    let mut is_quoted = false;
    std::iter::from_fn(move || {
        loop {
            let start = at;
            if is_quoted {
                at = until_quote(text, start);
                let token = start..at;
                // Past the quote that ends it.
                at += 1;
                is_quoted = false;
                return Some((token, true));
            }
            match text.get(at)? {
                b'"' => {
                    at += 1;
                    is_quoted = true;
                }
                byte if parts(*byte) => at += 1,
                _ => {
                    let rest = text.get(at..).unwrap_or_default();
                    let length = rest.iter().position(|byte| *byte == b'"' || parts(*byte));
                    at += length.unwrap_or(rest.len());
                    return Some((start..at, false));
                }
            }
        }
    })
}

/// Where the quote is that ends a string.
fn until_quote(text: &[u8], mut at: usize) -> usize {
    loop {
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn parts(byte: u8) -> bool {
    matches!(byte, b'{' | b'}' | b'[' | b']' | b'(' | b')' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r')
}

/// The fields of a copied line, without the quotes around them and the end of the line.
pub(super) fn fields(line: &[u8], spelling: Spelling) -> impl Iterator<Item = Range<usize>> {
    let end = line.len() - usize::from(line.last() == Some(&b'\n'));
    let separator = if spelling == Spelling::Commas { b',' } else { b'\t' };
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let quoted = spelling == Spelling::Commas && line.get(start) == Some(&b'"');
        let (from, to) = if quoted {
            (start + 1, until_single_quote(line, start + 1, end))
        } else {
            let rest = line.get(start..end).unwrap_or_default();
            let length = rest.iter().position(|byte| *byte == separator);
            (start, start + length.unwrap_or(rest.len()))
        };
        let after = to + usize::from(quoted);
        next = (line.get(after) == Some(&separator)).then_some(after + 1);
        Some(from..to)
    })
}

/// Where the quote is that ends a quoted field of CSV: one that is not doubled.
fn until_single_quote(line: &[u8], mut at: usize, end: usize) -> usize {
    while at < end {
        match (line.get(at), line.get(at + 1)) {
            (Some(b'"'), Some(b'"')) => at += 2,
            (Some(b'"'), _) => return at,
            _ => at += 1,
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, part: &str) -> Found {
        let start = text.find(part).unwrap();
        (start..start + part.len(), "phi.ssn")
    }

    fn within(text: &str, parts: &[&str], spelling: Spelling) -> String {
        let found: Vec<Found> = parts.iter().map(|part| at(text, part)).collect();
        String::from_utf8(replaced_within(text.as_bytes(), &found, spelling)).unwrap()
    }

    #[test]
    fn escapes_become_spaces_and_nothing_moves() {
        assert_eq!(&*plain(b"a\\n123 \\u00e9x \"\"b"), b"a  123       x   b".as_slice());
        assert!(matches!(plain(b"nothing \"here\" is escaped"), Cow::Borrowed(_)));
        assert_eq!(&*plain(b"ends\\"), b"ends ".as_slice());
        assert_eq!(&*plain(b"ends\\u12"), b"ends    ".as_slice());
        assert_eq!(&*apart(br#"{1,"2,3",(617) 555}"#), br#"{1;"2,3";(617) 555}"#.as_slice());
        assert!(matches!(apart(br#"("nothing, here")"#), Cow::Borrowed(_)));
    }

    #[test]
    fn json_stays_json() {
        let text = r#"{"ssn": 123456789, "a": ["x 12 y", "3"], "12": true}"#;
        let changed = within(text, &["123456789", "12 y\", \"3"], Spelling::Json);
        assert_eq!(changed, r#"{"ssn": "[phi.ssn]", "a": ["x [phi.ssn]", "[phi.ssn]"], "12": true}"#);
        let changed = within(r#"{"a":12.5e3}"#, &["12"], Spelling::Json);
        assert_eq!(changed, r#"{"a":"[phi.ssn]"}"#, "a number is replaced whole");
        let changed = within(r#"{"a":"say \"12\" now"}"#, &["12"], Spelling::Json);
        assert_eq!(changed, r#"{"a":"say \"[phi.ssn]\" now"}"#);
    }

    #[test]
    fn arrays_and_rows_keep_their_quotes() {
        let changed = within(r#"{12,"a 13 ""b",NULL}"#, &["12", "13"], Spelling::Listed);
        assert_eq!(changed, r#"{[phi.ssn],"a [phi.ssn] ""b",NULL}"#);
        let changed = within(r#"(1,"x 12","34")"#, &[r#"12","34"#], Spelling::Listed);
        assert_eq!(changed, r#"(1,"x [phi.ssn]","[phi.ssn]")"#);
    }

    #[test]
    fn lines_have_the_fields_that_were_written() {
        let all = |line: &str, spelling| -> Vec<String> {
            fields(line.as_bytes(), spelling).map(|field| line[field].to_owned()).collect()
        };
        assert_eq!(all("1\t\\N\ta\\tb\t\n", Spelling::Tabs), ["1", "\\N", "a\\tb", ""]);
        assert_eq!(all("1,\"a, \"\"b\"\"\nc\",,x\n", Spelling::Commas), ["1", "a, \"\"b\"\"\nc", "", "x"]);
        assert_eq!(all("\"open", Spelling::Commas), ["open"]);
    }
}
