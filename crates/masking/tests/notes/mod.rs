//! Synthetic clinical notes whose identifiers are known, from a seed. Nobody in them exists.

#![allow(dead_code, reason = "each program that includes it uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a mistake in the notes shall end the program"
)]

use chaperone_masking::Entity;

/// How a note writes its identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slice {
    /// As people usually do.
    Plain,
    /// Spaced, wrapped, undashed, in look-alike or invisible characters.
    Adversarial,
    /// Without the words that detectors of some kinds need: what they cannot find.
    Bare,
}

impl Slice {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Adversarial, Self::Bare];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Adversarial => "adversarial",
            Self::Bare => "bare",
        }
    }
}

/// An identifier in a note, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) entity: Entity,
}

/// A note and all of its identifiers.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) truths: Vec<Truth>,
}

/// splitmix64: the same notes on every machine.
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }

    fn letters(&mut self, from: &str, count: usize) -> String {
        let from: Vec<char> = from.chars().collect();
        (0..count).map(|_| from[self.below(from.len())]).collect()
    }
}

const PLAIN: &[&str] = &[
    "SSN: {ssn}",
    "Social Security Number {ssn}.",
    "Verified identity with SSN {ssn} at the front desk.",
    "The number on the form, {ssn}, was confirmed.",
    "SSN {ssn9}",
    "social security no. {ssn9}",
    "MRN: {mrn}",
    "MRN {mrn} reviewed.",
    "Medical record number: {mrn}",
    "Chart # {mrn}",
    "Patient ID: {mrn}",
    "Transferred record {pattern} from the other campus.",
    "{pattern} was scheduled twice.",
    "NPI: {npi}",
    "NPI {npi}",
    "Provider NPI number {npi}",
    "Billing under {npi} as usual.",
    "DEA: {dea}",
    "DEA # {dea}",
    "Controlled substance prescribed under {dea}.",
    "Medicare: {mbi}",
    "MBI {mbi}",
    "Coverage confirmed for {mbi} today.",
    "Phone: {phone}",
    "Tel {phone}",
    "Call {phone} with any questions.",
    "Fax {phone}",
    "Home {phone}, cell {phone}",
    "Emergency contact reached at {phone10}",
    "Pager {phone7}",
    "The pharmacy ({phone}) will refill.",
    "Callback number is {phone10}.",
    "Email: {email}",
    "Send results to {email}.",
    "Contact <{email}>",
    "Portal login {email} was reset.",
    "DOB: {date}",
    "DOB {date}",
    "Admitted on {date} with dyspnea.",
    "Date of service {date}",
    "Seen {date} for follow up.",
    "Discharged {date}.",
    "Last visit {date}, next visit {date}.",
    "The biopsy of {date} was negative.",
    "Symptoms began in {month}.",
    "Surgery scheduled for {date}",
    "Follow up on {short}.",
    "{age} year old woman with a fall.",
    "Patient is a {age}-year-old man.",
    "Age: {age}",
    "{age} yo F with confusion.",
    "He is {age} years old.",
    "Lives at {street}, {city}, {state} {zip}",
    "Address: {street}, {city} {state} {zip}",
    "ZIP {zipcode}",
    "Zip code: {zipcode}",
    "Card on file {card}",
    "Paid with {card}.",
    "Visa {card}",
    "Copay charged to {card} today.",
    "Account number: {account}",
    "Acct # {account}",
    "Member ID: {member}",
    "Policy number {member}",
    "Bank account no. {account}",
    "VIN {vin}",
    "Vehicle involved: {vin}",
    "The car ({vin}) was totalled.",
    "Last login from {ip}.",
    "Device address {ip}",
    "IP {ip}",
    "See {url} for the images.",
    "Portal: {url}",
    "Uploaded to {url}.",
    "Patient: {name}",
    "Patient Name: {name}",
    "Patient: {last_first}",
    "PATIENT: {capitals}",
    "Dr. {name} was consulted.",
    "Seen with Dr. {surname} today.",
    "Mr. {surname} denies chest pain.",
    "Mrs. {surname} reports nausea.",
    "Ms. {name} agrees with the plan.",
    "Dear Mr. {surname},",
    "Dear Dr. {surname},",
    "His wife {first} was present.",
    "Her daughter, {first}, drives her.",
    "Electronically signed by {name}, MD",
    "Dictated by: {name}",
    "{name}, MD",
    "{name}, RN",
    "Attending: {name}",
    "PCP: Dr. {name}",
    "Referring physician: {name}",
    "patient {name} presents with cough.",
    "Emergency contact: {name}",
    "Sincerely,\n{name}",
    "Reviewed by {name}.",
    "Nurse {name} at bedside.",
    "Spouse: {name}",
    "Next of kin: {name}",
];

const ADVERSARIAL: &[&str] = &[
    "SSN: {ssn~}",
    "SSN {ssn~}",
    "social security number {ssn~}",
    "The number {ssn~u} was on the form.",
    "SSN {ssn9~}",
    "SSN{ssn9}",
    "ssn# {ssn~s}",
    "SS# {ssn9~s}",
    "social {ssn~w}",
    "MRN: {mrn~}",
    "MRN{mrn}",
    "mrn # {mrn~u}",
    "Transferred {pattern~u} today.",
    "NPI: {npi~}",
    "NPI{npi}",
    "NPI {npi~s}",
    "npi {npi~u}",
    "DEA: {dea~}",
    "dea {dea~l}",
    "DEA {dea~u}",
    "Prescribed under {dea~u}.",
    "MBI: {mbi~}",
    "medicare {mbi~l}",
    "MBI {mbi~u}",
    "Coverage for {mbi~u} ended.",
    "Phone: {phone~}",
    "call {phone10~s}",
    "tel {phone~u}",
    "cell{phone10}",
    "Fax {phone~w}",
    "The pharmacy ({phone~u}) called.",
    "Email: {email~}",
    "mail {email~u}",
    "mail {email~a}",
    "DOB: {date~}",
    "seen {date~u}",
    "DOB {date8}",
    "DOB{date8}",
    "born {spaced}",
    "admitted {date~u} to",
    "{age~u} year old man",
    "age {age~u}",
    "{ageword} year old woman",
    "{city}, {state} {zip~u}",
    "zip {zipcode~u}",
    "zip {zip9}",
    "card {card~}",
    "card {card~s}",
    "paid with {card~u}",
    "visa {card~w}",
    "account {account~u}",
    "acct#{account}",
    "member id {member~u}",
    "VIN {vin~u}",
    "vin {vin~l}",
    "the car {vin~u} was found",
    "from {ip~u}",
    "address {ip~u}",
    "see {url~u}",
    "see {url~z}",
    "Patient: {name~u}",
    "Dr.\u{a0}{surname~u}",
    "name: {name~l}",
    "Mr.\u{2009}{surname}",
    "PATIENT\u{a0}NAME: {capitals~u}",
    "signed by {name~u}",
    "D\u{200b}r. {name}",
    "Mrs. {accented}",
    "Dr. {accented}",
];

const BARE: &[&str] = &[
    "{ssn9} per the form.",
    "Record {mrn} was pulled.",
    "{phone10} is busy.",
    "{phone7} is the ward.",
    "She moved to {zipcode} recently.",
    "{account} was overdrawn.",
    "{name} was in good spirits.",
    "{surname} tolerated the procedure.",
    "{first} slept well.",
    "On the ward {name} walked.",
    "Follow up {short} please.",
];

const FILLERS: &[&str] = &[
    "The patient denies chest pain, shortness of breath, fever or chills.",
    "Lungs clear to auscultation bilaterally, no wheezes.",
    "Abdomen soft, non-tender, bowel sounds present.",
    "Continue current medications and return if symptoms worsen.",
    "ASSESSMENT AND PLAN",
    "HISTORY OF PRESENT ILLNESS",
    "Alert and oriented, in no acute distress.",
    "Discussed risks and benefits; she verbalized understanding.",
    "Past medical history includes hypertension, diabetes and asthma.",
    "No known drug allergies.",
    "Patient Education Provided",
    "Patient tolerated the procedure well.",
    "Family history is noncontributory.",
    "Neurologic exam is nonfocal with intact sensation.",
    "Will follow up with cardiology and physical therapy.",
    "Skin warm and dry without rash.",
    "PATIENT INSTRUCTIONS",
    "Mood is stable; sleep has improved.",
];

const NEGATIVE: &[&str] = &[
    "WBC {#1}.{#1}, Hgb {#2}.{#1}, Plt {#3}",
    "BP 1{#2}/{#2}, HR {#2}, RR 1{#1}, SpO2 9{#1} %",
    "Glucose {#3} mg/dL, Na 13{#1}, K 4.{#1}",
    "Metoprolol {#2} mg PO BID, #{#2} tablets",
    "Order number {#10}",
    "Order # {#8}",
    "Lot {#6}, expiry unknown",
    "Serial {A2}{#7}",
    "Software version {#1}.{#1}.{#2}",
    "Firmware version {#1}.{#1}.{#1}.{#1}",
    "Tracking {#16}",
    "Invoice {#9}",
    "Accession {#2}-{#5}-{#3}",
    "Strength {#1}/5 in all extremities",
    "Pain {#1}/10 at rest",
    "ICD I{#2}.{#1}, CPT 99{#3}",
    "NDC 0{#3}-{#4}-{#2}",
    "Dose {#1},{#3} units/hr",
    "Weight {#2}.{#1} kg, height 1{#2} cm",
    "Ratio {#1}:{#2}",
    "Time out at 0{#1}:3{#1}",
    "Temp 98.{#1} F at 1{#1}:2{#1}:1{#1}",
    "Ejection fraction 55-60 %",
    "Specimen {A1}{#2}-{#6}",
    "Ticket {#7} closed",
    "Model {A3}-{#4}",
    "Results {#3} {#2} {#3}",
    "Creatinine 1.{#1} -> 2.{#1}",
    "Ref {#3}-{#2}-{#4}x",
    "Page 3 of 12",
    "Room {#3}, bed {#1}",
    "Platelets OR {#5}",
    "ID badge checked",
    "Cultures x{#1} negative at {#2} hrs",
    "Total $1{#2},{#3}.{#2}",
    "Hash {H8}-{H4}-{H4}",
    "Item {#12}",
    "Build {#8}",
    "Trial NCT{#8}",
    "Patient Denies Pain",
    "PATIENT EDUCATION",
    "MS EXACERBATION",
    "MR ANGIOGRAPHY",
    "seen by ortho",
    "per MD order",
    "Catalog {#4}-{#4}",
    "Range 70-99, 100-125",
    "He may 2 weeks later",
    "{#1}-{#1} times daily",
    "INR 2.{#1}, PT 1{#1}.{#1}",
    "std::{A4}",
    "sample@room",
    "12 lead ECG",
    "t = {#3}.{#4} s",
    "dilution 1:{#4}",
    "IV {#3} mL/hr x {#1} h",
    "coordinates {#2}.{#6}",
    "{#6} copies/mL",
    "device {#9}",
    "PO {A2}{#7}",
    "batch {#4} {#4} {#4}",
];

const FIRST: &[&str] = &[
    "Ana", "John", "Maria", "Wei", "Fatima", "Robert", "Linda", "Thomas", "Aisha", "Carlos", "Emily", "Noah",
    "Olga", "Priya", "Samuel", "Grace", "Hiroshi", "Ivan",
];
const LAST: &[&str] = &[
    "Lopez",
    "Smith",
    "O'Brien",
    "Nguyen",
    "Garcia",
    "Smith-Jones",
    "Patel",
    "Kowalski",
    "Johnson",
    "van der Berg",
    "de la Cruz",
    "Okafor",
    "Chen",
    "McDonald",
    "Schmidt",
    "Rossi",
    "Haddad",
    "Tanaka",
];
const ACCENTED: &[&str] = &[
    "José Núñez",
    "Zoë Müller",
    "Jose\u{301} Nu\u{301}n\u{303}ez",
    "Łukasz Żak",
    "Søren Ångström",
    "François Lefèvre",
];
const CITIES: &[&str] = &["Boston", "Springfield", "Portland", "San Jose", "Chapel Hill", "Baton Rouge"];
const STATES: &[&str] = &["MA", "NY", "CA", "TX", "NC", "WA", "IL", "FL"];
const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const MBI_LETTERS: &str = "ACDEFGHJKMNPQRTUVWXY";

/// A note of one slice.
pub(crate) fn note(seed: &mut Seed, slice: Slice) -> Note {
    let mut note = Note { text: String::new(), truths: Vec::new() };
    for _ in 0..seed.between(12, 24) {
        let lines = match seed.below(10) {
            0..3 => FILLERS,
            3..6 => NEGATIVE,
            _ => match slice {
                Slice::Plain => PLAIN,
                Slice::Adversarial => ADVERSARIAL,
                Slice::Bare => BARE,
            },
        };
        let line = seed.pick(lines);
        write(seed, line, &mut note);
        note.text.push_str(seed.pick(&["\n", "\n", ". ", "\n\n"]));
    }
    note
}

/// Long text of notes, mostly prose, as the speed is measured on.
pub(crate) fn prose(bytes: usize) -> String {
    let mut seed = Seed(7);
    let mut text = String::new();
    while text.len() < bytes {
        let mut note = Note { text: String::new(), truths: Vec::new() };
        for _ in 0..20 {
            let lines = match seed.below(10) {
                0..5 => FILLERS,
                5..8 => NEGATIVE,
                _ => PLAIN,
            };
            let line = seed.pick(lines);
            write(&mut seed, line, &mut note);
            note.text.push('\n');
        }
        text.push_str(&note.text);
    }
    text
}

fn write(seed: &mut Seed, line: &str, note: &mut Note) {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('{') {
        note.text.push_str(before);
        let (key, after) = after.split_once('}').unwrap();
        rest = after;
        let (kind, count) = key.split_at(1);
        match (kind, count.parse()) {
            ("#", Ok(count)) => note.text.push_str(&seed.digits(count)),
            ("A", Ok(count)) => note.text.push_str(&seed.letters("ABCDEFGHJKLMNPRSTUVWXYZ", count)),
            ("H", Ok(count)) => note.text.push_str(&seed.letters("0123456789abcdef", count)),
            _ => put(seed, key, note),
        }
    }
    note.text.push_str(rest);
}

fn put(seed: &mut Seed, key: &str, note: &mut Note) {
    let (key, how) = key.split_once('~').map_or((key, None), |(key, how)| (key, Some(how)));
    let (entity, value) = value(seed, key);
    let value = match how {
        Some(how) => disturbed(seed, &value, how),
        None => value,
    };
    let start = note.text.len();
    note.text.push_str(&value);
    if let Some(entity) = entity {
        note.truths.push(Truth { start, end: note.text.len(), entity });
    }
}

fn value(seed: &mut Seed, key: &str) -> (Option<Entity>, String) {
    let (entity, value) = match key {
        "ssn" => (Entity::Ssn, {
            let n = ssn(seed);
            format!("{}-{}-{}", &n[..3], &n[3..5], &n[5..])
        }),
        "ssn9" => (Entity::Ssn, ssn(seed)),
        "mrn" => (Entity::Mrn, {
            let count = seed.between(6, 9);
            seed.digits(count)
        }),
        "pattern" => (Entity::Mrn, format!("MH{}", seed.digits(8))),
        "npi" => (Entity::Npi, npi(seed)),
        "dea" => (Entity::Dea, dea(seed)),
        "mbi" => (Entity::Mbi, mbi(seed)),
        "phone" => (Entity::Phone, {
            let n = phone(seed);
            let (a, b, c) = (&n[..3], &n[3..6], &n[6..]);
            match seed.below(5) {
                0 => format!("({a}) {b}-{c}"),
                1 => format!("{a}.{b}.{c}"),
                2 => format!("+1 {a} {b} {c}"),
                _ => format!("{a}-{b}-{c}"),
            }
        }),
        "phone10" => (Entity::Phone, phone(seed)),
        "phone7" => (Entity::Phone, {
            let n = phone(seed);
            format!("{}-{}", &n[3..6], &n[6..])
        }),
        "email" => (Entity::Email, {
            let (first, last) = (seed.pick(FIRST).to_lowercase(), seed.below(100));
            format!(
                "{first}.{last}@{}",
                seed.pick(&["example.com", "mail.example.org", "clinic.example.edu"])
            )
        }),
        "date" => (Entity::Date, date(seed)),
        "date8" => (Entity::Date, {
            let (y, m, d) = day(seed);
            format!("{y}{m:02}{d:02}")
        }),
        "spaced" => (Entity::Date, {
            let (y, m, d) = day(seed);
            format!("{m:02} {d:02} {y}")
        }),
        "short" => (Entity::Date, {
            let (_, m, d) = day(seed);
            format!("{m}/{d}")
        }),
        "month" => (Entity::Date, {
            let (y, m, _) = day(seed);
            format!("{} {y}", MONTHS[m - 1])
        }),
        "age" => (Entity::Age, seed.between(90, 108).to_string()),
        "ageword" => (Entity::Age, format!("ninety-{}", seed.pick(&["one", "three", "six"]))),
        "zip" => (Entity::Zip, {
            let tail = if seed.below(3) == 0 { format!("-{}", seed.digits(4)) } else { String::new() };
            format!("{}{tail}", seed.digits(5))
        }),
        "zipcode" => (Entity::Zip, seed.digits(5)),
        "zip9" => (Entity::Zip, seed.digits(9)),
        "card" => (Entity::Card, card(seed)),
        "account" => (Entity::Account, {
            let count = seed.between(8, 12);
            seed.digits(count)
        }),
        "member" => (Entity::Account, format!("{}{}", seed.letters("ABCDEFGHJK", 3), seed.digits(9))),
        "vin" => (Entity::Vin, vin(seed)),
        "ip" => (
            Entity::Ip,
            if seed.below(4) == 0 {
                format!("2001:db8:{}::{}", seed.letters("0123456789abcdef", 4), seed.between(1, 9999))
            } else {
                format!("10.{}.{}.{}", seed.below(256), seed.below(256), seed.below(256))
            },
        ),
        "url" => (
            Entity::Url,
            format!(
                "https://{}.example.org/p/{}?id={}",
                seed.pick(&["portal", "img", "chart"]),
                seed.digits(4),
                seed.digits(6)
            ),
        ),
        "name" => (Entity::Name, format!("{} {}", seed.pick(FIRST), seed.pick(LAST))),
        "last_first" => (Entity::Name, format!("{}, {}", seed.pick(LAST), seed.pick(FIRST))),
        "capitals" => (Entity::Name, format!("{}, {}", seed.pick(LAST), seed.pick(FIRST)).to_uppercase()),
        "surname" => (
            Entity::Name,
            seed.pick(&["Lopez", "Smith", "O'Brien", "Nguyen", "Okafor", "Schmidt", "Chen"]).to_owned(),
        ),
        "first" => (Entity::Name, seed.pick(FIRST).to_owned()),
        "accented" => (Entity::Name, seed.pick(ACCENTED).to_owned()),
        "street" => return (None, format!("{} Elm Street", seed.between(1, 999))),
        "state" => return (None, seed.pick(STATES).to_owned()),
        "city" => return (None, seed.pick(CITIES).to_owned()),
        other => panic!("no such slot `{other}`"),
    };
    (Some(entity), value)
}

fn ssn(seed: &mut Seed) -> String {
    let area = loop {
        let area = seed.between(1, 899);
        if area != 666 {
            break area;
        }
    };
    format!("{area:03}{:02}{:04}", seed.between(1, 99), seed.between(1, 9999))
}

fn luhn_check(digits: &str) -> u32 {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, byte)| {
            let value = u32::from(byte - b'0') * if index % 2 == 0 { 2 } else { 1 };
            value / 10 + value % 10
        })
        .sum();
    (10 - sum % 10) % 10
}

fn npi(seed: &mut Seed) -> String {
    let body = format!("{}{}", seed.between(1, 2), seed.digits(8));
    format!("{body}{}", luhn_check(&format!("80840{body}")))
}

fn dea(seed: &mut Seed) -> String {
    let digits = seed.digits(6);
    let sum: u32 = digits
        .bytes()
        .enumerate()
        .map(|(index, byte)| u32::from(byte - b'0') * if index % 2 == 0 { 1 } else { 2 })
        .sum();
    format!("{}{}{digits}{}", seed.letters("ABFGM", 1), seed.letters("ABCDEFGHJKLMNPRSTUVWXYZ", 1), sum % 10)
}

fn mbi(seed: &mut Seed) -> String {
    let mut value = String::new();
    for form in "CAXN-AXN-AANN".chars() {
        let set = match form {
            'C' => "123456789",
            'A' => MBI_LETTERS,
            'N' => "0123456789",
            'X' => "0123456789ACDEFGHJKMNPQRTUVWXY",
            _ => "-",
        };
        value.push_str(&seed.letters(set, 1));
    }
    if seed.below(2) == 0 { value.replace('-', "") } else { value }
}

fn phone(seed: &mut Seed) -> String {
    format!("{}{}{}{}", seed.between(2, 9), seed.digits(2), seed.between(2, 9), seed.digits(6))
}

fn card(seed: &mut Seed) -> String {
    let body = match seed.below(4) {
        0 => format!("4{}", seed.digits(14)),
        1 => format!("5{}{}", seed.between(1, 5), seed.digits(13)),
        2 => format!("6011{}", seed.digits(11)),
        _ => format!("37{}", seed.digits(12)),
    };
    let number = format!("{body}{}", luhn_check(&body));
    let separator = seed.pick(&["", " ", "-"]);
    let rows: &[usize] = if number.len() == 15 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
    let mut rest = number.as_str();
    let parts: Vec<&str> = rows
        .iter()
        .map(|length| {
            let (part, tail) = rest.split_at(*length);
            rest = tail;
            part
        })
        .collect();
    parts.join(separator)
}

fn vin(seed: &mut Seed) -> String {
    let mut code: Vec<u8> = format!("1{}{}", seed.letters("ABCDEFGHJKLMNPRSTUVWXYZ", 7), "0").into_bytes();
    code.extend(seed.letters("ABCDEFGHJKLMNPRSTUVWXYZ", 2).bytes());
    code.extend(seed.digits(6).bytes());
    let weights = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let values = "0123456789.ABCDEFGH..JKLMN.P.R..STUVWXYZ";
    let sum: usize = code
        .iter()
        .zip(weights)
        .map(|(byte, weight)| values.bytes().position(|value| value == *byte).unwrap() % 10 * weight)
        .sum();
    code[8] = b"0123456789X"[sum % 11];
    // The table above counts in rows of ten: A is 1, J is 1, S is 2.
    String::from_utf8(code).unwrap()
}

fn day(seed: &mut Seed) -> (usize, usize, usize) {
    (seed.between(1930, 2025), seed.between(1, 12), seed.between(1, 28))
}

fn date(seed: &mut Seed) -> String {
    let (y, m, d) = day(seed);
    let (long, short) = (MONTHS[m - 1], &MONTHS[m - 1][..3]);
    match seed.below(8) {
        0 => format!("{y}-{m:02}-{d:02}"),
        1 => format!("{m}/{d}/{y}"),
        2 => format!("{m:02}/{d:02}/{:02}", y % 100),
        3 => format!("{long} {d}, {y}"),
        4 => format!("{d} {short} {y}"),
        5 => format!("{short} {d}, {y}"),
        6 => format!("{d:02}-{short}-{y}"),
        _ => format!("{m:02}/{d:02}/{y}"),
    }
}

/// Write a value otherwise: `s` spaces it out, `w` wraps it, `l` makes it small, `u` uses Unicode, `a` puts spaces round the
/// `@`, `z` invisible characters only; without a letter, any of what suits numbers.
fn disturbed(seed: &mut Seed, value: &str, how: &str) -> String {
    let how = if how.is_empty() { seed.pick(&["u", "u", "u", "d", "n"]) } else { how };
    match how {
        "s" => {
            value.chars().filter(char::is_ascii_alphanumeric).map(String::from).collect::<Vec<_>>().join(" ")
        }
        "w" => value.replacen('-', "-\n", 1),
        "l" => value.to_lowercase(),
        "a" => value.replace('@', " @ "),
        "d" => value.replace('-', "\u{2013}"),
        "n" => value.replace(['-', ' '], "\u{a0}"),
        "z" => between(value, "\u{200b}"),
        _ => match seed.below(6) {
            0 => value.chars().map(full_width).collect(),
            1 => value
                .replace('-', "\u{2011}")
                .replace(' ', "\u{202f}")
                .chars()
                .map(full_width_digit)
                .collect(),
            2 => between(value, "\u{200b}"),
            3 => between(value, "\u{ad}"),
            4 => value
                .replace('-', "\u{2212}")
                .replace(' ', "\u{2009}")
                .replacen('a', "а", 1)
                .replacen('e', "е", 1)
                .replacen('o', "о", 1),
            _ => value.chars().map(arabic).collect(),
        },
    }
}

fn between(value: &str, mark: &str) -> String {
    value.chars().map(String::from).collect::<Vec<_>>().join(mark)
}

fn full_width(character: char) -> char {
    match character {
        '!'..='~' => char::from_u32(u32::from(character) + 0xfee0).unwrap(),
        other => other,
    }
}

fn full_width_digit(character: char) -> char {
    if character.is_ascii_digit() { full_width(character) } else { character }
}

fn arabic(character: char) -> char {
    character.to_digit(10).map_or(character, |digit| char::from_u32(0x660 + digit).unwrap())
}
