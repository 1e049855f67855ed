//! The tags that every classification knows. Others are declared in the file that uses them.

/// The eighteen identifiers of 45 CFR 164.514(b)(2)(i), the clinical categories that law and practice treat apart (42 CFR
/// part 2, state law on HIV, mental and reproductive health, GINA), and money. Sorted.
pub const BUILT_IN_TAGS: [&str; 33] = [
    "clinical.allergy",
    "clinical.diagnosis",
    "clinical.genetic",
    "clinical.hiv",
    "clinical.lab",
    "clinical.medication",
    "clinical.mental_health",
    "clinical.note",
    "clinical.procedure",
    "clinical.reproductive",
    "clinical.substance_use",
    "clinical.vitals",
    "demographic.sex",
    "financial.amount",
    "financial.status",
    "phi.account",
    "phi.biometric",
    "phi.date",
    "phi.device",
    "phi.email",
    "phi.fax",
    "phi.geo",
    "phi.ip",
    "phi.licence",
    "phi.mrn",
    "phi.name",
    "phi.other_id",
    "phi.phone",
    "phi.photo",
    "phi.plan",
    "phi.ssn",
    "phi.url",
    "phi.vehicle",
];

/// Most bytes of a tag.
const TAG_BYTES_MAX: usize = 63;

/// Whether a text can be a tag: words of `a-z`, `0-9` and `_`, two or more, with a full stop between.
pub(crate) fn is_tag(text: &str) -> bool {
    let word = |word: &str| {
        let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        plain && word.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
    };
    text.len() <= TAG_BYTES_MAX && text.contains('.') && text.split('.').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_of_tags() {
        assert!(is_tag("acme.v_2") && !is_tag(&format!("a.{}", "b".repeat(TAG_BYTES_MAX))));
        assert!(BUILT_IN_TAGS.is_sorted());
        assert!(BUILT_IN_TAGS.iter().all(|tag| is_tag(tag)));
        assert_eq!(BUILT_IN_TAGS.iter().filter(|tag| tag.starts_with("phi.")).count(), 18);
        for bad in ["phi", "phi.", ".ssn", "Phi.ssn", "phi.1", "phi ssn.x", "phi.ssn\"", &"a.".repeat(40)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }
}
