//! One value of a declared type. What is wrong with one is told without the value: anything may have been typed there.

use regex::RegexBuilder;
use serde::{Deserialize, Serialize};

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: u32 = 1024;
/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 200;
/// Values of one choice.
pub const CHOICES_MAX: usize = 64;
/// Memory that a pattern may take once it is understood, in bytes. It is matched in time that is linear in the text.
const PATTERN_SIZE_MAX: usize = 256 * 1024;
/// How deep its groups may be nested.
const PATTERN_DEPTH_MAX: u32 = 16;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A whole number from `minimum` to `maximum`, in decimal digits.
    Integer,
    /// One of `values`.
    Choice,
    /// Text of at most `bytes_max` bytes that `pattern` matches from its beginning to its end. Never control characters, and
    /// never a dash at the beginning.
    Text,
    /// A day of the calendar, `YYYY-MM-DD`.
    Date,
    /// 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    Uuid,
    /// `true` or `false`.
    Boolean,
}

/// A parameter, as `agent.toml` has it and as the gateway is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What a value may be.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it is for, in words for people and models.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it has to be given. One that is left out takes the arguments that mention it with it.
    #[serde(default = "yes")]
    pub required: bool,
    /// What stands for it where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Least integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i64>,
    /// Greatest integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i64>,
    /// The choices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What text has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Longest text, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u32>,
}

fn yes() -> bool {
    true
}

/// Whether a text may be an argument: no control character, and no dash at its beginning, which a program would take for an
/// option.
fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control) && !text.starts_with('-')
}

fn compiled(pattern: &str) -> Result<regex::Regex, String> {
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .size_limit(PATTERN_SIZE_MAX)
        .dfa_size_limit(PATTERN_SIZE_MAX)
        .nest_limit(PATTERN_DEPTH_MAX)
        .build()
        .map_err(|_| "its `pattern` is no regular expression, or too large a one".to_owned())
}

impl Parameter {
    /// Whether the declaration itself makes sense.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn declared(&self) -> Result<(), String> {
        let only = |fine: bool, what: &str| if fine { Ok(()) } else { Err(what.to_owned()) };
        let (is_integer, is_text) = (self.kind == Kind::Integer, self.kind == Kind::Text);
        only(
            is_integer == self.minimum.is_some() && is_integer == self.maximum.is_some(),
            "an `integer` has `minimum` and `maximum`, nothing else has them",
        )?;
        only(self.minimum <= self.maximum, "`minimum` is greater than `maximum`")?;
        only(
            (self.kind == Kind::Choice) != self.values.is_empty(),
            "a `choice` has `values`, nothing else has them",
        )?;
        only(
            self.values.len() <= CHOICES_MAX
                && self.values.iter().all(|value| {
                    !value.is_empty() && value.len() <= VALUE_BYTES_MAX as usize && is_plain(value)
                }),
            "`values` are at most 64 texts without control characters, none of which begins with a dash",
        )?;
        only(
            is_text == self.pattern.is_some() && is_text == self.bytes_max.is_some(),
            "a `text` has `pattern` and `bytes_max`, nothing else has them",
        )?;
        only(
            self.bytes_max.is_none_or(|most| (1..=VALUE_BYTES_MAX).contains(&most)),
            "`bytes_max` is 1 to 1024",
        )?;
        if let Some(pattern) = &self.pattern {
            only(pattern.len() <= PATTERN_BYTES_MAX, "its `pattern` has more than 200 bytes")?;
            compiled(pattern)?;
        }
        match &self.default {
            Some(_) if self.required => Err("what has a `default` is not `required`".to_owned()),
            Some(value) => {
                self.check(value).map_err(|rule| format!("its `default` does not fit: it is {rule}"))
            }
            None => Ok(()),
        }
    }

    /// Whether a value fits.
    ///
    /// # Errors
    /// What it has to be, in words that go on from `it is`.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let fits = match self.kind {
            Kind::Integer => self.is_integer(value),
            Kind::Choice => self.values.iter().any(|known| known == value),
            Kind::Text => self.is_text(value)?,
            Kind::Date => is_date(value),
            Kind::Uuid => is_uuid(value),
            Kind::Boolean => matches!(value, "true" | "false"),
        };
        if fits { Ok(()) } else { Err(self.rule()) }
    }

    fn is_integer(&self, value: &str) -> bool {
        let parsed = value.parse::<i64>().ok().filter(|number| number.to_string() == value);
        parsed.is_some_and(|number| {
            Some(number) >= self.minimum && self.maximum.is_some_and(|max| number <= max)
        })
    }

    fn is_text(&self, value: &str) -> Result<bool, String> {
        let short = self.bytes_max.is_some_and(|most| value.len() <= most.min(VALUE_BYTES_MAX) as usize);
        if !short || !is_plain(value) {
            return Ok(false);
        }
        let pattern = compiled(self.pattern.as_deref().unwrap_or_default())?;
        Ok(pattern.is_match(value))
    }

    /// What a value has to be.
    #[must_use]
    pub fn rule(&self) -> String {
        match self.kind {
            Kind::Integer => {
                let (minimum, maximum) = (self.minimum.unwrap_or_default(), self.maximum.unwrap_or_default());
                format!("a whole number from {minimum} to {maximum}")
            }
            Kind::Choice => format!("one of {}", self.values.join(", ")),
            Kind::Text => format!(
                "text of at most {} bytes that `{}` matches, without control characters and without a dash at its beginning",
                self.bytes_max.unwrap_or_default(),
                self.pattern.as_deref().unwrap_or_default()
            ),
            Kind::Date => "a date, YYYY-MM-DD".to_owned(),
            Kind::Uuid => "a UUID".to_owned(),
            Kind::Boolean => "`true` or `false`".to_owned(),
        }
    }
}

fn is_date(text: &str) -> bool {
    let digits =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok());
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return false;
    }
    let (Some(Some(year)), Some(Some(month)), Some(Some(day))) = (digits(year), digits(month), digits(day))
    else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn parameter(json: &str) -> Parameter {
        serde_json::from_str(json).unwrap()
    }

    const TEXT: &str = r#"{"type":"text","pattern":"[\\w .;$()`/-]*","bytes_max":16}"#;

    /// What fits a declaration, and what does not.
    fn judged(declared: &str, fine: &[&str], bad: &[&str]) {
        let parameter = parameter(declared);
        parameter.declared().unwrap();
        for value in fine {
            assert_eq!(parameter.check(value), Ok(()), "{declared} {value:?}");
        }
        for value in bad {
            let rule = parameter.check(value).unwrap_err();
            assert!(value.len() < 4 || !rule.contains(value), "the value is not told again: {rule}");
        }
    }

    #[test]
    fn a_number_or_word_is_exactly_of_its_type() {
        let long = "9999999999999999999999";
        judged(
            r#"{"type":"integer","minimum":-5,"maximum":10}"#,
            &["0", "-5", "10"],
            &["", "11", "-6", "+1", "01", " 1", "1 ", "1.0", "1e1", "0x1", "-", "-0", "١", long],
        );
        let choice = r#"{"type":"choice","values":["day","week"]}"#;
        judged(choice, &["day", "week"], &["", "Day", "day ", "day\n", "da"]);
        judged(r#"{"type":"boolean"}"#, &["true", "false"], &["", "True", "1", "yes"]);
    }

    #[test]
    fn a_text_or_date_is_exactly_of_its_type() {
        judged(
            TEXT,
            &["", "a b", "; rm", "$(id)", "`id`", "../x"],
            &["-rf", "--x", "a\nb", "a\0b", "a\tb", "a\u{85}b", "a\u{7f}", "a*b", "seventeen bytes x"],
        );
        let never = ["2026-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-04-31"];
        let otherwise = ["2026-1-01", "26-01-01", "2026-01-01\n", "+026-01-01", ""];
        let dates = ["2026-11-29", "2024-02-29", "2000-02-29"];
        judged(r#"{"type":"date"}"#, &dates, &[never, otherwise].concat());
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        let (cut, digit) = (uuid.replace('-', ""), uuid.replace("4000", "400g"));
        judged(r#"{"type":"uuid"}"#, &[uuid], &["", &cut, &digit, &format!("{uuid}-")]);
    }

    #[test]
    fn a_pattern_is_about_the_whole_text() {
        let parameter = parameter(r#"{"type":"text","pattern":"a|b","bytes_max":9}"#);
        assert_eq!(parameter.check("b"), Ok(()));
        for bad in ["ab", "xb", "a\n", "b ", "é"] {
            assert!(parameter.check(bad).is_err(), "{bad:?}");
        }
        let accents = self::parameter(r#"{"type":"text","pattern":"\\w+","bytes_max":2}"#);
        assert_eq!(accents.check("é"), Ok(()));
        assert!(accents.check("éa").is_err(), "bytes are counted, not characters");
    }

    #[test]
    fn a_declaration_that_means_nothing_is_refused() {
        for bad in [
            r#"{"type":"integer"}"#,
            r#"{"type":"integer","minimum":2,"maximum":1}"#,
            r#"{"type":"date","minimum":2,"maximum":3}"#,
            r#"{"type":"choice"}"#,
            r#"{"type":"choice","values":["-x"]}"#,
            r#"{"type":"choice","values":["a\nb"]}"#,
            r#"{"type":"choice","values":[""]}"#,
            r#"{"type":"text","bytes_max":5}"#,
            r#"{"type":"text","pattern":"a"}"#,
            r#"{"type":"text","pattern":"a","bytes_max":1025}"#,
            r#"{"type":"text","pattern":"(","bytes_max":5}"#,
            r#"{"type":"text","pattern":"a{1000}{1000}","bytes_max":5}"#,
            r#"{"type":"boolean","default":"yes","required":false}"#,
            r#"{"type":"boolean","default":"true"}"#,
        ] {
            assert!(parameter(bad).declared().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Parameter>(r#"{"type":"date","shell":true}"#).is_err());
    }
}
