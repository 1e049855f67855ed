//! An argument vector with places for parameters. One template makes one argument or none: nothing is split, joined or
//! expanded, and nothing here knows what a shell is.

use std::collections::BTreeMap;

use crate::declare::{Kind, Parameter};

/// Arguments of one command.
pub const ARGUMENTS_MAX: usize = 64;
/// Longest argument template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 4096;

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Parameter(String),
}

impl Template {
    /// Read one: `{name}` is a parameter's place, `{{` and `}}` are braces.
    ///
    /// # Errors
    /// Not a template, an unknown parameter, or a place where a value could be taken for an option.
    pub fn parse(text: &str, parameters: &BTreeMap<String, Parameter>) -> Result<Self, String> {
        if text.len() > TEMPLATE_BYTES_MAX || text.contains('\0') {
            return Err(format!("an argument is at most {TEMPLATE_BYTES_MAX} bytes without NUL"));
        }
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            plain.push_str(before);
            if let Some(next) = after.strip_prefix("{{").or_else(|| after.strip_prefix("}}")) {
                plain.push_str(after.get(..1).unwrap_or_default());
                rest = next;
                continue;
            }
            let inner = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, next) = inner.ok_or_else(|| format!("a brace is not closed in `{text}`"))?;
            let parameter = parameters
                .get(name)
                .ok_or_else(|| format!("`{text}` names `{name}`, which is none of its parameters"))?;
            let begins = pieces.is_empty() && plain.is_empty();
            if begins && parameter.kind == Kind::Integer && parameter.minimum < Some(0) {
                return Err(format!(
                    "`{text}` begins with `{name}`, which may be negative and would be taken for an option (hint: `--{name}={{{name}}}`)"
                ));
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Parameter(name.to_owned()));
            rest = next;
        }
        plain.push_str(rest);
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The parameters that it mentions.
    pub fn mentions(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The argument; `None` where a parameter that it mentions was left out.
    #[must_use]
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Option<String> {
        let mut argument = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => argument.push_str(text),
                Piece::Parameter(name) => argument.push_str(values.get(name)?),
            }
        }
        Some(argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::parameter;

    fn parameters() -> BTreeMap<String, Parameter> {
        BTreeMap::from([
            ("who".to_owned(), parameter(r#"{"type":"text","pattern":".*","bytes_max":100}"#)),
            ("n".to_owned(), parameter(r#"{"type":"integer","minimum":-1,"maximum":5,"required":false}"#)),
        ])
    }

    #[test]
    fn a_value_stays_one_argument_whatever_it_holds() {
        let values = BTreeMap::from([("who".to_owned(), "a b; rm $(x) {n} {{".to_owned())]);
        for (text, expected) in [
            ("plain", Some("plain")),
            ("", Some("")),
            ("--who={who}!", Some("--who=a b; rm $(x) {n} {{!")),
            ("{who}", Some("a b; rm $(x) {n} {{")),
            ("{{{who}}}", Some("{a b; rm $(x) {n} {{}")),
            ("--n={n}", None),
        ] {
            let template = Template::parse(text, &parameters()).unwrap();
            assert_eq!(template.fill(&values).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_template_that_means_nothing_is_refused() {
        for bad in ["{", "}", "{who", "{}", "{nobody}", "{n}", "a\0b", "{who}}"] {
            assert!(Template::parse(bad, &parameters()).is_err(), "{bad}");
        }
        assert!(Template::parse(&"x".repeat(TEMPLATE_BYTES_MAX + 1), &parameters()).is_err());
    }
}
