//! How an installation writes its record numbers: a small, bounded part of regular expressions.

use std::fmt;

/// Longest text that a pattern may match, in characters.
pub const PATTERN_LENGTH_MAX: usize = 40;

/// A pattern that is matched from the beginning of a token to its end.
///
/// Literals (compared without case), `\d`, `[A-Z]`, `[AB0-9]`, `{n}`, `{n,m}` and `?`. No alternatives and no unbounded
/// repetition: list several patterns instead.
///
/// ```
/// use chaperone_masking::Pattern;
///
/// let pattern = Pattern::parse(r"MH-?\d{6,8}[A-Z]?").unwrap();
/// assert!(pattern.matches("mh-0012345"));
/// assert!(!pattern.matches("MH-123"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// One step a character at most; an optional one may be passed over.
    steps: Vec<Step>,
    /// What fits as the first character.
    begins: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    /// The ASCII characters that fit, as bits, capitals folded to small letters.
    fits: u128,
    is_optional: bool,
}

/// Why a pattern is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    /// It could match nothing, or no letter and no digit.
    Empty,
    /// It could match more than [`PATTERN_LENGTH_MAX`] characters.
    TooLong,
    /// A construct that is not known.
    Unknown(char),
    /// A bracket, brace or backslash that is not closed, or a repetition of nothing.
    Unfinished,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a pattern must need at least one letter or digit"),
            Self::TooLong => write!(f, "a pattern matches at most {PATTERN_LENGTH_MAX} characters"),
            Self::Unknown(character) => {
                write!(
                    f,
                    "`{character}` is not known in a pattern; use literals, `\\d`, `[..]`, `{{n,m}}`, `?`"
                )
            }
            Self::Unfinished => {
                f.write_str("a bracket, brace or backslash is not closed, or repeats nothing")
            }
        }
    }
}

impl std::error::Error for PatternError {}

impl Pattern {
    /// Read a pattern.
    ///
    /// # Errors
    /// A construct that is not listed above, or no bound, or no need of a letter or digit.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let fits = match character {
                '{' => {
                    let last = steps.pop().ok_or(PatternError::Unfinished)?;
                    repeat(&mut steps, last, &mut rest)?;
                    continue;
                }
                '?' => {
                    steps.last_mut().ok_or(PatternError::Unfinished)?.is_optional = true;
                    continue;
                }
                '\\' => escaped(rest.next().ok_or(PatternError::Unfinished)?)?,
                '[' => class(&mut rest)?,
                '*' | '+' | '|' | '(' | ')' | '.' | '^' | '$' | ']' | '}' => {
                    return Err(PatternError::Unknown(character));
                }
                literal => one(literal)?,
            };
            steps.push(Step { fits, is_optional: false });
            if steps.len() > PATTERN_LENGTH_MAX {
                return Err(PatternError::TooLong);
            }
        }
        let alphanumeric = range(b'0', b'9') | range(b'a', b'z');
        if !steps.iter().any(|step| !step.is_optional && step.fits & !alphanumeric == 0) {
            return Err(PatternError::Empty);
        }
        let optional = steps.iter().take_while(|step| step.is_optional).count();
        let begins = steps.iter().take(optional + 1).fold(0, |fits, step| fits | step.fits);
        Ok(Self { steps, begins })
    }

    /// Whether the whole text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.longest(text.bytes()) == Some(text.len())
    }

    /// How many bytes of the beginning match at most.
    pub(crate) fn longest(&self, text: impl Iterator<Item = u8>) -> Option<usize> {
        let mut text = text.peekable();
        if text.peek().is_none_or(|byte| self.begins & bit(*byte) == 0) {
            return None;
        }
        let mut states = self.passed_over(1);
        let mut found = None;
        for (count, byte) in (1..).zip(text) {
            let bit = bit(byte);
            let reached = self.steps.iter().enumerate().fold(0_u64, |reached, (index, step)| {
                let fits = states >> index & 1 == 1 && step.fits & bit != 0;
                reached | u64::from(fits) << (index + 1)
            });
            if reached == 0 {
                break;
            }
            states = self.passed_over(reached);
            if states >> self.steps.len() & 1 == 1 {
                found = Some(count);
            }
        }
        found
    }

    /// Add the states that optional steps lead on to.
    fn passed_over(&self, states: u64) -> u64 {
        self.steps.iter().enumerate().fold(states, |states, (index, step)| {
            let leads_on = step.is_optional && states >> index & 1 == 1;
            states | u64::from(leads_on) << (index + 1)
        })
    }
}

/// `{n}` or `{n,m}` after its opening brace.
fn repeat(steps: &mut Vec<Step>, last: Step, rest: &mut std::str::Chars<'_>) -> Result<(), PatternError> {
    let inside = rest.as_str();
    let (numbers, after) = inside.split_once('}').ok_or(PatternError::Unfinished)?;
    let (least, most) = numbers.split_once(',').unwrap_or((numbers, numbers));
    let number = |text: &str| text.trim().parse::<usize>().map_err(|_| PatternError::Unfinished);
    let (least, most) = (number(least)?, number(most)?);
    if most > PATTERN_LENGTH_MAX || steps.len() + most > PATTERN_LENGTH_MAX {
        return Err(PatternError::TooLong);
    }
    if most == 0 || least > most {
        return Err(PatternError::Unfinished);
    }
    steps.extend((0..most).map(|count| Step { is_optional: last.is_optional || count >= least, ..last }));
    *rest = after.chars();
    Ok(())
}

fn escaped(character: char) -> Result<u128, PatternError> {
    match character {
        'd' => Ok(range(b'0', b'9')),
        plain if plain.is_ascii_punctuation() => one(plain),
        other => Err(PatternError::Unknown(other)),
    }
}

/// `[A-Z0-9]` after its opening bracket.
fn class(rest: &mut std::str::Chars<'_>) -> Result<u128, PatternError> {
    let inside = rest.as_str();
    let (members, after) = inside.split_once(']').ok_or(PatternError::Unfinished)?;
    let mut fits = 0;
    let mut members = members.chars().peekable();
    while let Some(first) = members.next() {
        if members.peek() == Some(&'-') {
            members.next();
            let last = members.next().ok_or(PatternError::Unfinished)?;
            let bounds = (u8::try_from(first), u8::try_from(last));
            let (Ok(first), Ok(last)) = bounds else { return Err(PatternError::Unknown(first)) };
            fits |= range(first, last);
        } else {
            fits |= one(first)?;
        }
    }
    *rest = after.chars();
    if fits == 0 { Err(PatternError::Unfinished) } else { Ok(fits) }
}

fn one(character: char) -> Result<u128, PatternError> {
    let byte = u8::try_from(character).ok().filter(u8::is_ascii).ok_or(PatternError::Unknown(character))?;
    Ok(bit(byte))
}

fn range(first: u8, last: u8) -> u128 {
    (first..=last).fold(0, |fits, byte| fits | bit(byte))
}

/// A character's bit; none for what is not ASCII.
fn bit(byte: u8) -> u128 {
    if byte.is_ascii() { 1 << byte.to_ascii_lowercase() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_it_says() {
        let cases: [(&str, &[&str], &[&str]); 4] = [
            (r"\d{7}", &["1234567"], &["123456", "12345678", "123456a"]),
            (r"MRN?-?\d{2,4}", &["MR12", "mrn-1234", "MRN123"], &["M12", "MRN12345", "MRN--12"]),
            (r"[A-C0-9]{2}x", &["A9X", "b0x"], &["D9X", "A9", "A9Y"]),
            (r"\d?\d?\d?-[AB]", &["-A", "1-b", "123-A"], &["1234-A", "A"]),
        ];
        for (pattern, yes, no) in cases {
            let pattern = Pattern::parse(pattern).unwrap();
            for text in yes {
                assert!(pattern.matches(text), "{pattern:?} {text}");
            }
            for text in no {
                assert!(!pattern.matches(text), "{pattern:?} {text}");
            }
        }
    }

    #[test]
    fn what_has_no_bound_or_no_meaning_is_refused() {
        let cases = [
            ("", PatternError::Empty),
            (r"\d?", PatternError::Empty),
            ("--", PatternError::Empty),
            (r"\d+", PatternError::Unknown('+')),
            ("a|b", PatternError::Unknown('|')),
            (r"\w", PatternError::Unknown('w')),
            (r"\d{41}", PatternError::TooLong),
            (r"\d{30}\d{30}", PatternError::TooLong),
            (r"\d{4,2}", PatternError::Unfinished),
            (r"\d{4", PatternError::Unfinished),
            ("{4}", PatternError::Unfinished),
            ("[A-", PatternError::Unfinished),
            ("é", PatternError::Unknown('é')),
        ];
        for (pattern, error) in cases {
            assert_eq!(Pattern::parse(pattern), Err(error), "{pattern}");
        }
    }
}
