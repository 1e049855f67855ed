//! The texts of a message of a server's, and the same message with some of them replaced: all else of it stays as it stands.

use std::ops::Range;

use serde_json::value::RawValue;

/// What a text is to whoever reads the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Words.
    Words,
    /// Where something is.
    Address,
    /// Something in base64.
    Data,
}

/// One text of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where its JSON stands in the message, with its quotes.
    place: Range<usize>,
    /// The member whose value it is.
    pub member: Option<String>,
    /// What it is.
    pub sort: Sort,
    /// What it says. Half a character, which JSON can write, reads as U+FFFD.
    pub text: String,
}

/// Where a value stands.
enum Within {
    Array,
    /// The name of the member whose value comes, once it was read.
    Object(Option<String>),
}

/// The texts of a message, in order: every value that is a text, at whatever depth. Names of members are none, and neither is
/// what says of which kind a content block is.
#[must_use]
pub fn texts(message: &RawValue) -> Vec<Text> {
    let json = message.get();
    let (mut found, mut path, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(byte) = json.as_bytes().get(at) {
        match byte {
            b'[' => path.push(Within::Array),
            b'{' => path.push(Within::Object(None)),
            b']' | b'}' => drop(path.pop()),
            b',' => {
                if let Some(Within::Object(member)) = path.last_mut() {
                    *member = None;
                }
            }
            b'"' => {
                let place = at..end_of_text(json, at);
                at = place.end;
                let text = read(json.get(place.clone()).unwrap_or_default());
                match path.last_mut() {
                    Some(Within::Object(name @ None)) => *name = Some(text),
                    Some(Within::Object(Some(_)) | Within::Array) | None => {
                        if let Some(sort) = sort(&path) {
                            let member = match path.last() {
                                Some(Within::Object(member)) => member.clone(),
                                Some(Within::Array) | None => None,
                            };
                            found.push(Text { place, member, sort, text });
                        }
                    }
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The message with other words in the place of some of its texts.
pub fn replaced<'a>(message: &RawValue, others: impl Iterator<Item = (&'a Text, String)>) -> String {
    let json = message.get();
    let (mut out, mut copied) = (String::with_capacity(json.len()), 0);
    for (text, words) in others {
        out.push_str(json.get(copied..text.place.start).unwrap_or_default());
        out.push_str(&serde_json::Value::String(words).to_string());
        copied = text.place.end;
    }
    out.push_str(json.get(copied..).unwrap_or_default());
    out
}

/// Behind the quote that ends the text that begins there.
fn end_of_text(json: &str, begins: usize) -> usize {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(begins + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// What a text of JSON says.
fn read(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| {
        // It holds half a character: no half is kept.
        let (mut whole, mut rest) = (String::with_capacity(json.len()), json);
        while let Some((before, from)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
            let code = from.strip_prefix("\\u").and_then(|digits| digits.get(..4));
            let code = code.and_then(|digits| u16::from_str_radix(digits, 16).ok());
            let (escape, after) = match code {
                Some(0xd800..=0xdfff) => ("\\ufffd", from.get(6..)),
                Some(_) | None => (from.get(..2).unwrap_or(from), from.get(2..)),
            };
            whole.push_str(before);
            whole.push_str(escape);
            rest = after.unwrap_or_default();
        }
        whole.push_str(rest);
        // What cannot be read even so is looked through as it stands: nothing leaves unseen.
        serde_json::from_str(&whole).unwrap_or(whole)
    })
}

/// What a text is that stands there; `None` of what says only of which kind something is.
fn sort(path: &[Within]) -> Option<Sort> {
    let names: Vec<Option<&str>> = path
        .iter()
        .map(|within| match within {
            Within::Object(name) => name.as_deref(),
            Within::Array => None,
        })
        .collect();
    match names.as_slice() {
        // A block of a tool's answer, or of a prompt.
        [Some("content"), None, Some(member)] | [Some("messages"), None, Some("content"), Some(member)] => {
            of_block(member)
        }
        // A resource: in such a block, in what was read, in a list.
        [Some("content"), None, Some("resource"), Some(member)]
        | [Some("messages"), None, Some("content"), Some("resource"), Some(member)]
        | [Some("contents" | "resources"), None, Some(member)] => of_resource(member),
        // What is asked for, and what an error is about.
        [Some("uri")] | [Some("ref" | "data"), Some("uri")] => Some(Sort::Address),
        _ => Some(Sort::Words),
    }
}

fn of_block(member: &str) -> Option<Sort> {
    match member {
        "type" | "mimeType" => None,
        "data" => Some(Sort::Data),
        "uri" => Some(Sort::Address),
        _ => Some(Sort::Words),
    }
}

fn of_resource(member: &str) -> Option<Sort> {
    match member {
        "mimeType" => None,
        "blob" => Some(Sort::Data),
        "uri" => Some(Sort::Address),
        _ => Some(Sort::Words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = r#"{ "content": [ {"type":"text","text":"a \"b\" \u00e9"}, {"type":"image","data":"QUJD","mimeType":"image/png"},
        {"type":"resource","resource":{"uri":"file:///x","text":"in it","blob":"QUJD"}} ],
        "structuredContent": {"rows":[["c", 1.50, null], {"name":"d","type":"e"}]}, "later":"f" , "isError" : false}"#;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn texts_are_values_and_no_data() {
        let found = texts(raw(MESSAGE));
        let of = |sort: Sort| {
            let of = found.iter().filter(|text| text.sort == sort);
            of.map(|text| text.text.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((of(Sort::Address), of(Sort::Data)), (vec!["file:///x"], vec!["QUJD", "QUJD"]));
        let found: Vec<&Text> = found.iter().filter(|text| text.sort == Sort::Words).collect();
        let words: Vec<&str> = found.iter().map(|text| text.text.as_str()).collect();
        assert_eq!(words, ["a \"b\" \u{e9}", "in it", "c", "d", "e", "f"]);
        let members: Vec<Option<&str>> = found.iter().map(|text| text.member.as_deref()).collect();
        assert_eq!(members, [Some("text"), Some("text"), None, Some("name"), Some("type"), Some("later")]);
        assert!(texts(raw("{}")).is_empty());
        assert_eq!(texts(raw("\"x\""))[0].text, "x");
    }

    #[test]
    fn all_but_what_is_replaced_stays_as_it_stands() {
        let found = texts(raw(MESSAGE));
        assert_eq!(replaced(raw(MESSAGE), std::iter::empty()), MESSAGE);
        let words: Vec<&Text> = found.iter().filter(|text| text.sort == Sort::Words).collect();
        let others = [(words[1], "x\"\n".to_owned()), (words[3], "y".to_owned())];
        let made = replaced(raw(MESSAGE), others.into_iter());
        assert_eq!(made, MESSAGE.replace("\"in it\"", "\"x\\\"\\n\"").replace("\"d\"", "\"y\""));
    }

    #[test]
    fn where_something_is_and_what_it_is_are_told_from_words() {
        for (message, sorts) in [
            (r#"{"contents":[{"uri":"a://b","mimeType":"x/y","text":"w","blob":"QQ=="}]}"#, "AWD"),
            (r#"{"resources":[{"uri":"a://b","name":"w","description":"w","mimeType":"x/y"}]}"#, "AWW"),
            (r#"{"messages":[{"role":"user","content":{"type":"image","data":"QQ=="}}]}"#, "WD"),
            (r#"{"messages":[{"content":{"type":"resource","resource":{"uri":"a","text":"w"}}}]}"#, "AW"),
            (r#"{"completion":{"values":["w","w"]}}"#, "WW"),
            (r#"{"code":-32002,"message":"w","data":{"uri":"a://b"}}"#, "WA"),
            (r#"{"uri":"a://b","_meta":{"uri":"w"}}"#, "AW"),
            (
                r#"{"ref":{"type":"ref/resource","uri":"a://{b}"},"argument":{"name":"w","value":"w"}}"#,
                "WAWW",
            ),
            (r#"{"name":"w","arguments":{"uri":"w","contents":[{"blob":"w"}]}}"#, "WWW"),
        ] {
            let letter = |text: &Text| match text.sort {
                Sort::Words => 'W',
                Sort::Address => 'A',
                Sort::Data => 'D',
            };
            assert_eq!(texts(raw(message)).iter().map(letter).collect::<String>(), sorts, "{message}");
        }
    }

    #[test]
    fn half_a_character_hides_nothing() {
        let found = texts(raw(r#"{"text":"cut \ud83d\\u0041 \ud83d\ude00 219-09-9999 \udc00"}"#));
        assert_eq!(found[0].text, "cut \u{fffd}\\u0041 \u{fffd}\u{fffd} 219-09-9999 \u{fffd}");
    }
}
