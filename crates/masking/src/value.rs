//! Mask operators as functions of one value.

use std::fmt;

use aws_lc_rs::hmac;
use chaperone_access::MaskOperator;
use zeroize::Zeroizing;

use crate::fold::Folded;

/// What stands for characters that are not shown; always as many, so that no length is told.
const HIDDEN: &str = "***";

/// Three-digit ZIP areas of at most 20,000 people in the census of 2000, as the Department of Health and Human Services
/// lists them in its guidance on 45 CFR 164.514(b)(2)(i)(B).
const RESTRICTED_ZIPS: [&str; 17] = [
    "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884",
    "890", "893",
];

/// The age, in years, from which on years are shown as one.
const AGE_CAP: i32 = 90;

/// Bytes of a pseudonym's HMAC that are shown, as hexadecimal digits.
const PSEUDONYM_BYTES: usize = 16;

/// The secret under which pseudonyms are made. Whoever has it can confirm a guess.
pub struct PseudonymKey(Zeroizing<[u8; 32]>);

impl PseudonymKey {
    /// Take over a secret.
    #[must_use]
    pub fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self(secret)
    }

    /// The same for the same tag and value, under this key: 32 hexadecimal digits.
    fn pseudonym(&self, tag: &str, value: &str) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()));
        // A tag has no such byte, so no tag and value read as another pair.
        for part in [tag.as_bytes(), &[0], value.as_bytes()] {
            context.update(part);
        }
        let tag = context.sign();
        tag.as_ref().iter().take(PSEUDONYM_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey(..)")
    }
}

/// What operators need beside the value.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// Secret for pseudonyms; without one a pseudonym is null.
    pub key: Option<&'a PseudonymKey>,
    /// The column's tag: equal values of different tags have different pseudonyms.
    pub tag: &'a str,
    /// The year in which the value is shown (Gregorian), for ages.
    pub this_year: i32,
}

/// What an operator makes of a value; none is NULL, as wherever a value is not what the operator is for.
///
/// In SQL the same operators give the same texts (`scope`), but for what is said here.
///
/// - `LastFour`, `FirstLetter`: three asterisks stand for the rest, whatever its length; nothing of a value is shown that
///   would be shown whole.
/// - `Year`: of anything with a year of four digits; nobody is shown as born more than 90 years ago. A date in SQL is that
///   year's first of January.
/// - `ZipThree`: of five digits, or nine with or without a dash or space between.
/// - `Bucket`: of a decimal number of at most 38 digits, without an exponent, rounded towards zero.
/// - `Pseudonym`: in SQL a view of the floor makes it, of the value in the database's encoding; elsewhere NULL, because the key
///   would stand in the statement.
#[must_use]
pub fn mask(value: &str, operator: &MaskOperator, means: &Means<'_>) -> Option<String> {
    match operator {
        MaskOperator::Null => None,
        MaskOperator::Fixed(text) => Some(text.clone()),
        MaskOperator::LastFour => Some(last_four(value)),
        MaskOperator::FirstLetter => Some(first_letter(value)),
        MaskOperator::Year => year(value, means.this_year),
        MaskOperator::ZipThree => zip_three(value),
        MaskOperator::Pseudonym => means.key.map(|key| key.pseudonym(means.tag, value)),
        MaskOperator::Bucket(width) => bucket(value, *width),
    }
}

fn last_four(value: &str) -> String {
    let is_longer = value.chars().nth(4).is_some();
    let shown = value
        .char_indices()
        .rev()
        .nth(3)
        .filter(|_| is_longer)
        .map_or("", |(index, _)| value.get(index..).unwrap_or(""));
    format!("{HIDDEN}{shown}")
}

fn first_letter(value: &str) -> String {
    let first = value.chars().next().filter(|_| value.chars().nth(1).is_some());
    first.into_iter().chain(HIDDEN.chars()).collect()
}

fn year(value: &str, this_year: i32) -> Option<String> {
    let (folded, earliest) = (folded(value), this_year - AGE_CAP);
    if value == "-infinity" || folded.ends_with(b"BC") {
        return Some(earliest.to_string());
    }
    let mut rows = folded.split(|byte| !byte.is_ascii_digit());
    // `1990-01-02`, `01/02/1990`, and `19900102`.
    let row = rows.find(|row| matches!(row.len(), 4 | 8))?;
    let year = row.iter().take(4).fold(0, |year, digit| year * 10 + i32::from(digit - b'0'));
    (year > 0).then(|| year.max(earliest).to_string())
}

fn zip_three(value: &str) -> Option<String> {
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (five, rest) = value.split_at_checked(5)?;
    let four = rest.strip_prefix(['-', ' ']).unwrap_or(rest);
    let is_code = is_digits(five) && (rest.is_empty() || (four.len() == 4 && is_digits(four)));
    let three = five.get(..3).filter(|_| is_code)?;
    Some(if RESTRICTED_ZIPS.contains(&three) { "000" } else { three }.to_owned())
}

fn bucket(value: &str, width: u32) -> Option<String> {
    let value = value.trim();
    if matches!(value, "NaN" | "Infinity" | "-Infinity") {
        return Some(value.to_owned());
    }
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let number: i128 = whole.parse().ok().filter(|_| fraction.bytes().all(|byte| byte.is_ascii_digit()))?;
    let width = i128::from(width);
    number.checked_div(width)?.checked_mul(width).map(|rounded| rounded.to_string())
}

fn folded(value: &str) -> Vec<u8> {
    let mut folded = Folded::new();
    folded.push(value);
    folded.text().0.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(value: &str, operator: &MaskOperator) -> Option<String> {
        let key = PseudonymKey::new(Zeroizing::new([7; 32]));
        mask(value, operator, &Means { key: Some(&key), tag: "phi.ssn", this_year: 2026 })
    }

    #[test]
    fn characters_are_replaced() {
        let last_four = |value| masked(value, &MaskOperator::LastFour).unwrap();
        assert_eq!(last_four("123-45-6789"), "***6789");
        assert_eq!(last_four("12345"), "***2345");
        assert_eq!(last_four("6789"), "***");
        assert_eq!(last_four(""), "***");
        assert_eq!(last_four("Núñez"), "***úñez");
        let first_letter = |value| masked(value, &MaskOperator::FirstLetter).unwrap();
        assert_eq!(first_letter("Ángela"), "Á***");
        assert_eq!(first_letter("A"), "***");
        assert_eq!(first_letter("12"), "1***");
        assert_eq!(first_letter(""), "***");
        assert_eq!(masked("x", &MaskOperator::Null), None);
        assert_eq!(masked("x", &MaskOperator::Fixed("-".to_owned())).unwrap(), "-");
    }

    #[test]
    fn years_are_capped_at_ninety() {
        let year = |value| masked(value, &MaskOperator::Year);
        assert_eq!(year("1990-01-02").unwrap(), "1990");
        assert_eq!(year("1990-01-02 10:11:12+00").unwrap(), "1990");
        assert_eq!(year("01/02/1990").unwrap(), "1990");
        assert_eq!(year("19900102").unwrap(), "1990");
        assert_eq!(year("1937-01-01").unwrap(), "1937");
        assert_eq!(year("1936-12-31").unwrap(), "1936");
        assert_eq!(year("1920-05-05").unwrap(), "1936");
        assert_eq!(year("infinity"), None);
        assert_eq!(year("-infinity").unwrap(), "1936");
        assert_eq!(year("0044-03-15 BC").unwrap(), "1936");
        assert_eq!(year("10000-01-01"), None);
        assert_eq!(year("1/2/90"), None);
    }

    #[test]
    fn zip_codes_keep_three_digits_where_many_live() {
        let zip = |value| masked(value, &MaskOperator::ZipThree);
        assert_eq!(zip("02115").unwrap(), "021");
        assert_eq!(zip("02115-1234").unwrap(), "021");
        for three in RESTRICTED_ZIPS {
            let value = format!("{three}01");
            assert_eq!(masked(&value, &MaskOperator::ZipThree).unwrap(), "000");
        }
        assert_eq!(zip("0211"), None);
        assert_eq!(zip("MA 02115"), None);
        assert_eq!(zip("02115_1234"), None);
        assert_eq!(zip("0211５"), None);
    }

    #[test]
    fn numbers_are_rounded_towards_zero() {
        let bucket = |value, width| masked(value, &MaskOperator::Bucket(width));
        assert_eq!(bucket("47", 10).unwrap(), "40");
        assert_eq!(bucket("47.9", 5).unwrap(), "45");
        assert_eq!(bucket("-0.5", 10).unwrap(), "0");
        assert_eq!(bucket("-10", 10).unwrap(), "-10");
        assert_eq!(bucket("-19.9", 10).unwrap(), "-10");
        assert_eq!(bucket("NaN", 10).unwrap(), "NaN");
        assert_eq!(bucket("1e3", 10), None);
        assert_eq!(bucket("47", 0), None);
    }

    #[test]
    fn a_pseudonym_is_the_values_under_key_and_tag() {
        let first = masked("123-45-6789", &MaskOperator::Pseudonym).unwrap();
        assert_eq!(first.len(), 32);
        assert_eq!(masked("123-45-6789", &MaskOperator::Pseudonym).unwrap(), first);
        assert_ne!(masked("123-45-6780", &MaskOperator::Pseudonym).unwrap(), first);
        let other = PseudonymKey::new(Zeroizing::new([8; 32]));
        let means = |key, tag| Means { key, tag, this_year: 2026 };
        let value = "123-45-6789";
        assert_ne!(mask(value, &MaskOperator::Pseudonym, &means(Some(&other), "phi.ssn")).unwrap(), first);
        let key = PseudonymKey::new(Zeroizing::new([7; 32]));
        assert_ne!(mask(value, &MaskOperator::Pseudonym, &means(Some(&key), "phi.mrn")).unwrap(), first);
        assert_eq!(mask(value, &MaskOperator::Pseudonym, &means(None, "phi.ssn")), None);
        assert_eq!(format!("{key:?}"), "PseudonymKey(..)");
    }
}
