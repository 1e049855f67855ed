//! What the words of a name say about what a column holds.

/// What kind of values a column has, as far as a mask or a guess goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Time,
    Number,
    Other,
}

/// The kind of a type, as the catalog writes types.
pub(super) fn kind(base: &str) -> Kind {
    let name = base.split('(').next().unwrap_or_default().trim();
    match name {
        "text" | "character varying" | "character" | "bpchar" => Kind::Text,
        "date" => Kind::Time,
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => Kind::Number,
        name if name.starts_with("timestamp") => Kind::Time,
        _ => Kind::Other,
    }
}

/// One rule: which words, in which kinds of values, and what they mean.
struct Rule {
    /// Any of these; one of several words, with spaces between, is a run of them.
    words: &'static [&'static str],
    kind: Option<Kind>,
    tags: &'static [&'static str],
    /// The mask in TOML, for texts, dates and numbers that it fits.
    mask: Option<(Kind, &'static str)>,
    subject: bool,
    scan: bool,
}

const fn rule(words: &'static [&'static str], tags: &'static [&'static str]) -> Rule {
    Rule { words, kind: None, tags, mask: None, subject: false, scan: false }
}

const fn masked(
    words: &'static [&'static str],
    tags: &'static [&'static str],
    kind: Kind,
    mask: &'static str,
) -> Rule {
    Rule { words, kind: None, tags, mask: Some((kind, mask)), subject: false, scan: false }
}

/// In this order: what comes first is narrower.
const RULES: &[Rule] = &[
    Rule { kind: Some(Kind::Time), ..masked(&[""], &["phi.date"], Kind::Time, "\"year\"") },
    masked(&["ssn", "social security", "socialsecurity"], &["phi.ssn"], Kind::Text, "\"last_four\""),
    Rule {
        subject: true,
        ..masked(&["mrn", "medical record", "chart number"], &["phi.mrn"], Kind::Text, "\"last_four\"")
    },
    masked(
        &[
            "first name",
            "last name",
            "given name",
            "family name",
            "middle name",
            "maiden name",
            "full name",
            "surname",
            "forename",
            "patient name",
            "person name",
            "display name",
            "firstname",
            "lastname",
            "fullname",
            "nickname",
        ],
        &["phi.name"],
        Kind::Text,
        "\"first_letter\"",
    ),
    masked(&["fax"], &["phi.fax"], Kind::Text, "\"last_four\""),
    masked(&["phone", "telephone", "mobile", "cell", "pager"], &["phi.phone"], Kind::Text, "\"last_four\""),
    masked(&["email", "mail"], &["phi.email"], Kind::Text, "{ fixed = \"***\" }"),
    masked(&["zip", "zipcode", "postal", "postcode"], &["phi.geo"], Kind::Text, "\"zip3\""),
    masked(
        &[
            "address",
            "addr",
            "street",
            "city",
            "town",
            "county",
            "parish",
            "district",
            "ward",
            "neighborhood",
        ],
        &["phi.geo"],
        Kind::Text,
        "{ fixed = \"***\" }",
    ),
    rule(&["latitude", "longitude", "lat", "lon", "lng", "geolocation", "geom", "birthplace"], &["phi.geo"]),
    masked(
        &[
            "member id",
            "member number",
            "subscriber",
            "policy number",
            "group number",
            "beneficiary",
            "mbi",
            "medicaid",
            "medicare",
            "insurance id",
            "plan number",
        ],
        &["phi.plan"],
        Kind::Text,
        "\"last_four\"",
    ),
    masked(
        &["account", "acct", "iban", "card number", "routing"],
        &["phi.account"],
        Kind::Text,
        "\"last_four\"",
    ),
    rule(&["licence", "license", "certificate number", "passport"], &["phi.licence"]),
    rule(&["vin", "plate", "vehicle"], &["phi.vehicle"]),
    rule(
        &["device id", "device serial", "serial number", "serial", "imei", "udi", "implant"],
        &["phi.device"],
    ),
    rule(&["url", "website", "homepage"], &["phi.url"]),
    rule(&["ip", "ip address", "inet"], &["phi.ip"]),
    rule(&["fingerprint", "voiceprint", "retina", "iris", "biometric"], &["phi.biometric"]),
    rule(&["photo", "picture", "portrait", "image", "avatar", "face"], &["phi.photo"]),
    rule(&["hiv", "aids", "cd4", "viral load"], &["clinical.hiv"]),
    rule(
        &["psychiatric", "psych", "mental", "phq", "gad", "suicide", "therapy"],
        &["clinical.mental_health"],
    ),
    rule(
        &["substance", "alcohol", "opioid", "tobacco", "smoking", "addiction", "audit score"],
        &["clinical.substance_use"],
    ),
    rule(
        &["pregnant", "pregnancy", "gravida", "parity", "contraception", "abortion", "lmp", "fertility"],
        &["clinical.reproductive"],
    ),
    rule(
        &["gene", "genetic", "genome", "genomic", "variant", "allele", "brca", "karyotype"],
        &["clinical.genetic"],
    ),
    rule(&["allergy", "allergies", "allergen", "reaction"], &["clinical.allergy"]),
    rule(
        &[
            "diagnosis",
            "diagnoses",
            "dx",
            "icd",
            "icd10",
            "condition",
            "problem",
            "complaint",
            "reason",
            "symptom",
            "symptoms",
        ],
        &["clinical.diagnosis"],
    ),
    rule(
        &["medication", "drug", "rx", "prescription", "dose", "dosage", "ndc", "rxnorm", "sig"],
        &["clinical.medication"],
    ),
    rule(&["lab", "loinc", "specimen", "analyte", "result", "reference range"], &["clinical.lab"]),
    rule(&["procedure", "cpt", "hcpcs", "surgery", "operation", "codes"], &["clinical.procedure"]),
    rule(
        &["vitals", "systolic", "diastolic", "bp", "pulse", "weight", "height", "bmi", "temperature", "spo2"],
        &["clinical.vitals"],
    ),
    Rule {
        kind: Some(Kind::Text),
        scan: true,
        ..rule(
            &[
                "note",
                "notes",
                "comment",
                "comments",
                "narrative",
                "remarks",
                "remark",
                "summary",
                "text",
                "body",
                "transcript",
                "impression",
                "findings",
                "history",
                "description",
                "free text",
                "message",
            ],
            &["clinical.note"],
        )
    },
    rule(&["sex", "gender"], &["demographic.sex"]),
    Rule {
        kind: Some(Kind::Number),
        ..masked(
            &[
                "amount",
                "price",
                "cost",
                "charge",
                "charged",
                "paid",
                "balance",
                "copay",
                "deductible",
                "total",
                "allowed",
            ],
            &["financial.amount"],
            Kind::Number,
            "{ bucket = 100 }",
        )
    },
    masked(
        &["dob", "birth date", "date of birth", "birthdate", "birthday"],
        &["phi.date"],
        Kind::Time,
        "\"year\"",
    ),
    Rule {
        subject: true,
        ..rule(&["patient id", "person id", "subject id", "patient", "member"], &["phi.other_id"])
    },
    rule(&["external id", "uuid", "guid", "identifier", "national id", "number"], &["phi.other_id"]),
];

/// Relations whose rows are people: there a `name` is a person's, and `id` tells who.
const PEOPLE: [&str; 12] = [
    "patient",
    "patients",
    "person",
    "persons",
    "people",
    "member",
    "members",
    "contact",
    "contacts",
    "guarantor",
    "guarantors",
    "relative",
];

/// The words of a name, lower-case: split at what is no letter or digit, and before capitals.
fn words(name: &str) -> Vec<String> {
    let mut found: Vec<String> = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        let begins = c.is_uppercase() && lower;
        if (!c.is_alphanumeric() || begins) && found.last().is_some_and(|word| !word.is_empty()) {
            found.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = found.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        lower = c.is_lowercase() || c.is_numeric();
    }
    found.retain(|word| !word.is_empty());
    found
}

fn says(words: &[String], wanted: &str) -> bool {
    let wanted: Vec<&str> = wanted.split_whitespace().collect();
    words.windows(wanted.len().max(1)).any(|run| run.iter().zip(&wanted).all(|(one, other)| one == other))
}

impl Rule {
    fn word(&self, words: &[String], kind: Kind) -> Option<&'static str> {
        if self.kind.is_some_and(|wanted| wanted != kind) {
            return None;
        }
        self.words.iter().copied().find(|word| word.is_empty() || says(words, word))
    }

    fn line(&self, kind: Kind) -> String {
        let tags: Vec<String> = self.tags.iter().map(|tag| format!("\"{tag}\"")).collect();
        let mask = self.mask.filter(|(fits, _)| *fits == kind);
        let mask = mask.map(|(_, mask)| format!(", mask = {mask}")).unwrap_or_default();
        let subject = if self.subject { ", subject = true" } else { "" };
        let scan = if self.scan { ", scan = true" } else { "" };
        format!("{{ tags = [{}]{mask}{subject}{scan} }}", tags.join(", "))
    }
}

/// A line for a column, and what speaks for it. The name counts first, then what somebody wrote about the column.
pub(super) fn guess(
    relation: &str,
    column: &str,
    kind: Kind,
    comment: Option<&str>,
) -> Option<(String, String)> {
    let named = words(column);
    let of_people = words(relation).iter().any(|word| PEOPLE.contains(&word.as_str()));
    if of_people && named == ["name"] && kind == Kind::Text {
        let line = "{ tags = [\"phi.name\"], mask = \"first_letter\" }";
        return Some((line.to_owned(), format!("`{relation}` are people")));
    }
    if of_people && named == ["id"] {
        let line = "{ tags = [\"phi.other_id\"], subject = true }";
        return Some((line.to_owned(), format!("`{relation}` are people")));
    }
    let by = |words: &[String], from: &str| {
        RULES.iter().find_map(|rule| {
            let why = match rule.word(words, kind)? {
                "" => "every date about somebody is an identifier".to_owned(),
                word => format!("{from} `{word}`"),
            };
            Some((rule.line(kind), why))
        })
    };
    by(&named, "its name says").or_else(|| by(&words(comment?), "its comment says"))
}

#[cfg(test)]
mod tests {
    use super::super::super::BUILT_IN_TAGS;
    use super::*;

    fn line(relation: &str, column: &str, typ: &str) -> String {
        guess(relation, column, kind(typ), None).map_or_else(String::new, |(line, _)| line)
    }

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(words("dateOfBirth"), ["date", "of", "birth"]);
        assert_eq!(words("patient_SSN"), ["patient", "ssn"]);
        assert_eq!(words("ICD10 code"), ["icd10", "code"]);
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn words_say_what_a_column_holds() {
        for (relation, column, typ, part) in [
            ("t", "patient_ssn", "character(11)", "phi.ssn\"], mask = \"last_four\""),
            ("t", "ssn", "integer", "[\"phi.ssn\"] }"),
            ("t", "MRN", "text", "phi.mrn\"], mask = \"last_four\", subject = true"),
            ("t", "familyName", "character varying(40)", "phi.name"),
            ("patients", "name", "text", "phi.name"),
            ("patients", "id", "integer", "phi.other_id\"], subject = true"),
            ("t", "birth_date", "date", "phi.date\"], mask = \"year\""),
            ("t", "created_at", "timestamp(3) with time zone", "phi.date"),
            ("t", "dob", "text", "[\"phi.date\"] }"),
            ("t", "home_zip", "text", "zip3"),
            ("t", "clinical_note", "text", "scan = true"),
            ("t", "note_id", "integer", ""),
            ("t", "diagnosis_code", "text", "clinical.diagnosis"),
            ("t", "paid", "numeric(10,2)", "bucket = 100"),
            ("t", "paid", "boolean", ""),
            ("clinics", "name", "text", ""),
            ("clinics", "id", "integer", ""),
        ] {
            let found = line(relation, column, typ);
            assert!(
                if part.is_empty() { found.is_empty() } else { found.contains(part) },
                "{column} {typ}: {found}"
            );
        }
    }

    #[test]
    fn a_comment_helps_where_the_name_does_not() {
        let (line, why) = guess("t", "col7", Kind::Text, Some("the patient's family name")).unwrap();
        assert!(line.contains("phi.name") && why.contains("comment"), "{line} {why}");
    }

    #[test]
    fn every_tag_that_is_proposed_is_built_in() {
        assert!(RULES.iter().flat_map(|rule| rule.tags).all(|tag| BUILT_IN_TAGS.contains(tag)));
    }
}
