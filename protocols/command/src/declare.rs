//! What can be run at a target, as everybody is told of it: names, words, parameters, limits. Neither programs nor their
//! arguments are among it: those stay with the agent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

pub use crate::value::{CHOICES_MAX, Kind, PATTERN_BYTES_MAX, Parameter, VALUE_BYTES_MAX};

/// Commands of one target.
pub const COMMANDS_MAX: usize = 64;
/// Parameters of one command.
pub const PARAMETERS_MAX: usize = 16;
/// Name of a command or parameter, in bytes.
pub const NAME_BYTES_MAX: usize = 48;
/// What a command or parameter is for, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 400;
/// All that is told of a target's commands, in bytes: it travels as one message of the link.
pub const DECLARATION_BYTES_MAX: usize = 60 * 1024;
/// Longest time that a command may be given, in seconds: its answer has to fit into the life of the connection that it takes.
pub const TIME_S_MAX: u32 = 540;
/// Most output that a command may be given, in bytes.
pub const OUTPUT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What it does, in words for people and models.
    pub description: String,
    /// Its parameters, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// Whoever declared it says that it changes nothing. A hint to clients; nothing rests on it.
    #[serde(default)]
    pub reads_only: bool,
    /// How long it may run, in seconds.
    pub time_s_max: u32,
    /// How much it may print, in bytes.
    pub output_bytes_max: u64,
}

/// The commands of one target, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// By name.
    pub commands: BTreeMap<String, Command>,
}

/// A declaration that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Undeclared(pub String);

/// Whether a text may be the name of a command or parameter: `a-z`, `0-9`, `-` and `_`, beginning with a letter.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'));
    starts && plain && text.len() <= NAME_BYTES_MAX
}

fn is_description(text: &str) -> bool {
    text.len() <= DESCRIPTION_BYTES_MAX && !text.chars().any(char::is_control)
}

impl Declaration {
    /// Whether it makes sense and keeps the limits.
    ///
    /// # Errors
    /// What is wrong with it, naming the command and parameter.
    pub fn check(&self) -> Result<(), Undeclared> {
        let wrong = |why: String| Err(Undeclared(why));
        if self.commands.len() > COMMANDS_MAX {
            return wrong(format!("more than {COMMANDS_MAX} commands"));
        }
        for (name, command) in &self.commands {
            if let Err(why) = command.declared(name) {
                return wrong(format!("command `{name}`: {why}"));
            }
        }
        let size = serde_json::to_vec(self).map_or(usize::MAX, |bytes| bytes.len());
        if size > DECLARATION_BYTES_MAX {
            return wrong(format!(
                "all that is said of the commands has more than {DECLARATION_BYTES_MAX} bytes"
            ));
        }
        Ok(())
    }

    /// The form in which it travels.
    ///
    /// # Errors
    /// See [`Self::check`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, Undeclared> {
        self.check()?;
        serde_json::to_vec(self).map_err(|error| Undeclared(error.to_string()))
    }

    /// Read what travelled; an agent's word, so everything is checked again.
    ///
    /// # Errors
    /// Not a declaration, or one that makes no sense.
    pub fn read(bytes: &[u8]) -> Result<Self, Undeclared> {
        if bytes.len() > DECLARATION_BYTES_MAX {
            return Err(Undeclared("it is too long".to_owned()));
        }
        let declaration: Self =
            serde_json::from_slice(bytes).map_err(|error| Undeclared(error.to_string()))?;
        declaration.check()?;
        Ok(declaration)
    }
}

impl Command {
    fn declared(&self, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!(
                "a name is 1 to {NAME_BYTES_MAX} of a-z, 0-9, `-` and `_`, beginning with a letter"
            ));
        }
        if self.description.is_empty() || !is_description(&self.description) {
            return Err(format!(
                "its `description` is 1 to {DESCRIPTION_BYTES_MAX} bytes without control characters"
            ));
        }
        if !(1..=TIME_S_MAX).contains(&self.time_s_max) {
            return Err(format!("`time_s_max` is 1 to {TIME_S_MAX}"));
        }
        if !(1..=OUTPUT_BYTES_MAX).contains(&self.output_bytes_max) {
            return Err(format!("`output_bytes_max` is 1 to {OUTPUT_BYTES_MAX}"));
        }
        if self.parameters.len() > PARAMETERS_MAX {
            return Err(format!("it has more than {PARAMETERS_MAX} parameters"));
        }
        for (name, parameter) in &self.parameters {
            if !is_name(name) {
                return Err(format!("parameter `{}` has no usable name", name.escape_default()));
            }
            if !is_description(&parameter.description) {
                return Err(format!("the `description` of parameter `{name}` is too long"));
            }
            parameter.declared().map_err(|why| format!("parameter `{name}`: {why}"))?;
        }
        Ok(())
    }

    /// What it runs with: what is given, checked, and what stands for the rest.
    ///
    /// # Errors
    /// Which parameter is wrong and what it has to be; never the value.
    pub fn values(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
        if given.keys().any(|name| !self.parameters.contains_key(name)) {
            let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
            return Err(match known.is_empty() {
                true => "it has no parameters".to_owned(),
                false => format!("its parameters are {}", known.join(", ")),
            });
        }
        let mut values = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            match (given.get(name), &parameter.default) {
                (Some(value), _) => {
                    parameter.check(value).map_err(|rule| format!("`{name}` is {rule}"))?;
                    values.insert(name.clone(), value.clone());
                }
                (None, Some(default)) => {
                    values.insert(name.clone(), default.clone());
                }
                (None, None) if parameter.required => {
                    return Err(format!("`{name}` is missing: {}", parameter.rule()));
                }
                (None, None) => {}
            }
        }
        Ok(values)
    }

    /// The text of each argument of a tool's call, to be checked as [`Self::values`] does: a number or truth value of JSON is
    /// written as JSON writes it, and what is null was left out.
    #[must_use]
    pub fn texts(&self, arguments: &Map<String, Value>) -> BTreeMap<String, String> {
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
        };
        arguments.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
    }

    /// Its parameters as a JSON schema.
    #[must_use]
    pub fn schema(&self) -> Value {
        let required: Vec<&String> = self
            .parameters
            .iter()
            .filter(|(_, parameter)| parameter.required)
            .map(|(name, _)| name)
            .collect();
        let properties: Map<String, Value> =
            self.parameters.iter().map(|(name, parameter)| (name.clone(), property(parameter))).collect();
        json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required})
    }
}

fn property(parameter: &Parameter) -> Value {
    let mut schema = match parameter.kind {
        Kind::Integer => {
            json!({"type": "integer", "minimum": parameter.minimum, "maximum": parameter.maximum})
        }
        Kind::Choice => json!({"type": "string", "enum": parameter.values}),
        Kind::Text => json!({"type": "string", "maxLength": parameter.bytes_max,
            "pattern": format!("^(?:{})$", parameter.pattern.as_deref().unwrap_or_default())}),
        Kind::Date => json!({"type": "string", "format": "date"}),
        Kind::Uuid => json!({"type": "string", "format": "uuid"}),
        Kind::Boolean => json!({"type": "boolean"}),
    };
    if let Some(members) = schema.as_object_mut() {
        if !parameter.description.is_empty() {
            members.insert("description".to_owned(), Value::from(parameter.description.clone()));
        }
        if let Some(default) = &parameter.default {
            let value = match parameter.kind {
                Kind::Integer => default.parse::<i64>().map_or(Value::Null, Value::from),
                Kind::Boolean => Value::from(default == "true"),
                Kind::Choice | Kind::Text | Kind::Date | Kind::Uuid => Value::from(default.clone()),
            };
            members.insert("default".to_owned(), value);
        }
    }
    schema
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn declaration() -> Declaration {
        let text = r#"{"commands":{"report":{"description":"Print a report","time_s_max":5,"output_bytes_max":1000,
            "parameters":{"since":{"type":"date"},"days":{"type":"integer","minimum":1,"maximum":9,"required":false},
            "all":{"type":"boolean","required":false,"default":"false"}}}}}"#;
        Declaration::read(text.as_bytes()).unwrap()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn values_are_what_is_given_and_what_stands_for_the_rest() {
        let declaration = declaration();
        let report = &declaration.commands["report"];
        let values = report.values(&given(&[("since", "2026-11-29")])).unwrap();
        assert_eq!(values, given(&[("since", "2026-11-29"), ("all", "false")]));
        for (bad, told) in [
            (given(&[]), "`since` is missing"),
            (given(&[("since", "yesterday")]), "`since` is a date"),
            (given(&[("since", "2026-11-29"), ("days", "10")]), "`days` is a whole number from 1 to 9"),
            (given(&[("since", "2026-11-29"), ("format", "x")]), "its parameters are all, days, since"),
        ] {
            let why = report.values(&bad).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
    }

    #[test]
    fn arguments_of_json_become_texts_that_are_checked() {
        let declaration = declaration();
        let report = &declaration.commands["report"];
        let texts = |json: Value| report.texts(json.as_object().unwrap());
        assert_eq!(
            texts(json!({"days": 3, "all": true, "since": null})),
            given(&[("days", "3"), ("all", "true")])
        );
        for bad in [
            json!({"since": 3}),
            json!({"since": "2026-11-29", "days": [3]}),
            json!({"since": "2026-11-29", "all": 1}),
            json!({"since": "2026-11-29", "days": {"a": 1}}),
            json!({"since": "2026-11-29", "days": 3.5}),
            json!({"since": null}),
        ] {
            assert!(report.values(&texts(bad.clone())).is_err(), "{bad}");
        }
        let schema = report.schema();
        assert_eq!(schema["required"], json!(["since"]));
        assert_eq!(schema["properties"]["all"]["default"], json!(false));
    }

    #[test]
    fn what_an_agent_says_is_checked() {
        let bytes = declaration().to_bytes().unwrap();
        assert_eq!(Declaration::read(&bytes).unwrap(), declaration());
        for (from, to) in [
            ("\"report\"", "\"Report\""),
            ("\"report\"", "\"re port\""),
            ("\"since\"", "\"-since\""),
            ("\"time_s_max\":5", "\"time_s_max\":0"),
            ("\"time_s_max\":5", "\"time_s_max\":99999"),
            ("Print a report", "Print\\u0007"),
            ("\"output_bytes_max\":1000", "\"output_bytes_max\":0"),
            ("\"commands\"", "\"program\""),
        ] {
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(from), "{from}");
            assert!(Declaration::read(text.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
        let mut many = declaration();
        let report = many.commands["report"].clone();
        many.commands.extend((0..COMMANDS_MAX).map(|n| (format!("c{n}"), report.clone())));
        assert!(many.to_bytes().is_err());
    }
}
