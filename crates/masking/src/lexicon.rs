//! The words that give a number or a name away, in one table.

use std::sync::LazyLock;

/// What a number after a word is likely to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cue {
    Ssn,
    Mrn,
    Npi,
    Dea,
    Mbi,
    Phone,
    Date,
    Age,
    Zip,
    Card,
    Account,
    Vin,
    Ip,
    /// A number that identifies a thing and nobody.
    Thing,
}

/// How a word introduces a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameCue {
    /// `Dr.`, `Mrs`: the name follows.
    Title,
    /// `Patient:`, `Provider`: a name follows, or the rest of a sentence.
    Label,
    /// `wife`, `son`: a name may follow.
    Relation,
    /// `Dear`.
    Salutation,
    /// `Sincerely`: the name stands on a line of its own.
    Closing,
    /// `by`, where a verb of signing or seeing stands before it.
    By,
    /// `MD`, `RN`: the name stands before it.
    Credential,
}

/// All that is known of one word.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    word: &'static str,
    pub(crate) cue: Option<Cue>,
    pub(crate) name: Option<NameCue>,
    /// 1 to 12; 0 for what is no month.
    pub(crate) month: u8,
    /// Stands between a cue and its number without a meaning of its own.
    pub(crate) is_filler: bool,
    /// Written with a capital without being a name.
    pub(crate) is_no_name: bool,
    /// `www`, which begins an address.
    pub(crate) is_www: bool,
    /// `ninety`, which begins an age.
    pub(crate) is_ninety: bool,
    /// Stands second in [`PAIRS`].
    pub(crate) is_second: bool,
}

impl Entry {
    /// Whether a detector begins at this word.
    pub(crate) fn is_trigger(&self) -> bool {
        self.name.is_some() || self.month > 0 || self.is_www || self.is_ninety
    }
}

/// Longest word in the table, in bytes.
pub(crate) const WORD_MAX: usize = 16;

/// Words before a number. Some mean something only after another word: see [`PAIRS`].
const CUES: &[(Cue, &str)] = &[
    (Cue::Ssn, "ssn ssns social"),
    (Cue::Mrn, "mrn mrns medrec chart mrnumber emr"),
    (Cue::Npi, "npi"),
    (Cue::Dea, "dea"),
    (Cue::Mbi, "mbi medicare beneficiary hicn"),
    (
        Cue::Phone,
        "phone telephone phones tel cell cellphone mobile fax pager ph call calls called calling contact callback \
         reached reach dial voicemail text texted",
    ),
    (
        Cue::Date,
        "date dates dob born birth birthdate birthday dod died deceased admitted admit admission discharged discharge \
         dated on since until till visit seen appt appointment scheduled surgery dos through thru effective collected \
         received reported edd lmp begun started ended",
    ),
    (Cue::Age, "age aged ages"),
    (Cue::Zip, "zip zipcode postal postcode"),
    (Cue::Card, "card visa mastercard amex discover credit debit"),
    (
        Cue::Account,
        "account accounts acct acc member policy subscriber iban routing claim encounter insurer license licence lic \
         certificate",
    ),
    (Cue::Vin, "vin vehicle chassis"),
    (Cue::Ip, "ip ipv"),
    (
        Cue::Thing,
        "order orders invoice lot serial version ticket ref reference tracking batch model part item sku build \
         accession requisition po isbn ndc release catalog firmware revision upc barcode icd cpt loinc snomed hcpcs \
         nct specimen protocol device asset",
    ),
];

/// A word that is a cue only after another: the word, what stands before it, what it then announces.
pub(crate) const PAIRS: &[(&str, &str, Cue)] = &[
    ("security", "social", Cue::Ssn),
    ("sec", "soc", Cue::Ssn),
    ("record", "medical med health hospital patient", Cue::Mrn),
    ("rec", "medical med", Cue::Mrn),
    ("id", "patient pt hospital chart medical", Cue::Mrn),
    ("id", "member subscriber insurance plan policy claim encounter client", Cue::Account),
    ("plan", "health insurance", Cue::Account),
    ("id", "provider", Cue::Npi),
    ("id", "order lot device specimen item", Cue::Thing),
    ("identifier", "provider", Cue::Npi),
];

const NAME_CUES: &[(NameCue, &str)] = &[
    (NameCue::Title, "mr mrs ms miss dr doctor prof professor nurse rev reverend"),
    (
        NameCue::Label,
        "patient pt name provider physician attending surgeon pcp spouse guarantor subscriber contact kin caregiver \
         guardian consultant author cc attn from to resident patientname insured employee",
    ),
    (
        NameCue::Relation,
        "wife husband son daughter mother father brother sister aunt uncle partner fiance grandson granddaughter \
         grandmother grandfather niece nephew cousin friend neighbor",
    ),
    (NameCue::Salutation, "dear hi hello"),
    (NameCue::Closing, "sincerely regards respectfully cordially truly thanks"),
    (NameCue::By, "by"),
    (
        NameCue::Credential,
        "md do rn np pa phd lcsw dds dnp aprn lpn crna pharmd facp facs fnp cnm dpm msw psyd",
    ),
];

/// Verbs before `by` that a person's name follows.
pub(crate) const SIGNING: &str = "signed dictated reviewed seen referred cosigned transcribed performed ordered authenticated \
     accompanied verified approved examined interpreted read prepared authored administered evaluated brought \
     entered written witnessed";

const MONTHS: &[&str] = &[
    "january jan",
    "february feb",
    "march mar",
    "april apr",
    "may",
    "june jun",
    "july jul",
    "august aug",
    "september sep sept",
    "october oct",
    "november nov",
    "december dec",
];

const FILLERS: &str = "number num no nr nbr is was the a of for code and or as at his her their your my our patient s \
     patients id us me him them please direct line home work office number's nos info information";

/// Words that begin a sentence or a heading after `Patient`, or stand beside names without being one.
const NO_NAMES: &str = "presents present has have had is was were denies denied reports reported states stated \
    complains education history name information initials instructions care status will should did does seen came admitted \
    discharged underwent tolerated agrees agreed verbalized identification portal safety advised given received id \
    mrn dob ssn sex age date phone address the a an and or not no yes for with without in on at of to from by \
    number unknown none stable alert male female can may must would could also currently today here there this that \
    he she it they we i you his her their our monday tuesday wednesday thursday friday saturday sunday hospital \
    clinic center centre medical department unit service services room floor plan assessment exam examination labs \
    vitals medications medication allergies chief complaint subjective objective impression diagnosis discharge \
    admission consult note notes summary report signature signed electronically dictated transcribed reviewed per \
    follow followup continue continues remains appears feels felt lives works takes took needs wants understands \
    consents consented declined refused requests requested expressed experiences demonstrates ambulates sleeping \
    resting awake oriented afebrile tolerating doing being been rights responsibilities satisfaction experience \
    access assistance financial insurance relationship mother father wife husband son daughter brother sister \
    in-patient outpatient inpatient intake transfer transport transported arrived left returned remained required \
    requires responded developed started stopped completed scheduled called contacted contact provider providers \
    physician doctor nurse attending team staff md rn gender race type location visit email fax mobile cell home \
    work primary secondary emergency new old other all any both each every whom who what when where which why how \
    blood heart lung liver kidney skin neuro pain fall risk code full first last middle maiden legal preferred \
    sir madam colleague colleagues clinician mr mrs ms dr";

static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::build);

/// The table, open-addressed by a hash of the small letters.
pub(crate) struct Lexicon {
    slots: Vec<Entry>,
    /// For each [`trait_of`] a word, whether the table has one like it: most words are told from that.
    likely: Vec<bool>,
    /// The same for words that a detector begins at.
    triggers: Vec<bool>,
}

/// Slots; the table is at most half full, which `build`'s test checks.
const SLOTS: usize = 2048;

impl Lexicon {
    /// The one table.
    pub(crate) fn get() -> &'static Self {
        &LEXICON
    }

    /// What is known of a word of ASCII letters in any case.
    pub(crate) fn find(&self, word: &[u8]) -> Option<&Entry> {
        if word.len() > WORD_MAX || !self.likely.get(trait_of(word)?).is_some_and(|is| *is) {
            return None;
        }
        let mut index = slot(word);
        loop {
            let entry = self.slots.get(index)?;
            if entry.word.is_empty() {
                return None;
            }
            if entry.word.as_bytes().eq_ignore_ascii_case(word) {
                return Some(entry);
            }
            index = (index + 1) % SLOTS;
        }
    }

    /// Whether a detector begins at a word of ASCII letters in any case.
    pub(crate) fn is_trigger(&self, word: &[u8]) -> bool {
        let is_likely = trait_of(word).and_then(|index| self.triggers.get(index)).is_some_and(|is| *is);
        is_likely && self.find(word).is_some_and(Entry::is_trigger)
    }

    fn build() -> Self {
        let mut this = Self {
            slots: vec![Entry::default(); SLOTS],
            likely: vec![false; TRAITS],
            triggers: vec![false; TRAITS],
        };
        for (cue, words) in CUES {
            this.add(words, |entry| entry.cue = Some(*cue));
        }
        for (word, _, _) in PAIRS {
            this.add(word, |entry| entry.is_second = true);
        }
        for (cue, words) in NAME_CUES {
            this.add(words, |entry| entry.name = Some(*cue));
        }
        for (month, words) in (1..).zip(MONTHS) {
            this.add(words, |entry| (entry.month, entry.is_no_name) = (month, true));
        }
        this.add(FILLERS, |entry| entry.is_filler = true);
        this.add(NO_NAMES, |entry| entry.is_no_name = true);
        this.add("www", |entry| entry.is_www = true);
        this.add("ninety", |entry| entry.is_ninety = true);
        this.index();
        this
    }

    /// Change the entries of words that stand in one text with spaces between.
    fn add(&mut self, words: &'static str, change: impl Fn(&mut Entry)) {
        for word in words.split_whitespace() {
            let mut index = slot(word.as_bytes());
            while self.slots.get(index).is_some_and(|entry| !entry.word.is_empty() && entry.word != word) {
                index = (index + 1) % SLOTS;
            }
            if let Some(entry) = self.slots.get_mut(index) {
                entry.word = word;
                change(entry);
            }
        }
    }

    /// Note what the words have in common with others.
    fn index(&mut self) {
        for entry in &self.slots {
            let Some(index) = trait_of(entry.word.as_bytes()) else { continue };
            if let (Some(likely), Some(trigger)) = (self.likely.get_mut(index), self.triggers.get_mut(index))
            {
                *likely = true;
                *trigger |= entry.is_trigger();
            }
        }
    }
}

/// How many values [`trait_of`] has.
const TRAITS: usize = 1 << 14;

/// First two letters, last letter and length of a word, as far as they fit.
fn trait_of(word: &[u8]) -> Option<usize> {
    let (first, last) = (word.first()?, word.last()?);
    let second = word.get(1).unwrap_or(first);
    let bits = |byte: &u8| usize::from(byte & 31);
    Some((bits(first) << 9 ^ bits(second) << 6 ^ bits(last) << 2 ^ word.len()) % TRAITS)
}

/// FNV-1a of the small letters.
fn slot(word: &[u8]) -> usize {
    let hash = word.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    (hash ^ (hash >> 15)) as usize % SLOTS
}

/// Whether a list of words with spaces between has this one.
pub(crate) fn lists(words: &str, word: &[u8]) -> bool {
    words.split_ascii_whitespace().any(|listed| listed.as_bytes().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case() {
        let lexicon = Lexicon::get();
        assert_eq!(lexicon.find(b"SSN").unwrap().cue, Some(Cue::Ssn));
        assert_eq!(lexicon.find(b"Sept").unwrap().month, 9);
        assert_eq!(lexicon.find(b"Dr").unwrap().name, Some(NameCue::Title));
        assert!(lexicon.find(b"Number").unwrap().is_filler);
        assert!(lexicon.find(b"Denies").unwrap().is_no_name);
        for none in [&b"xyzzy"[..], b"", b"1", b"counterrevolutionaries"] {
            assert!(lexicon.find(none).is_none());
        }
    }

    #[test]
    fn the_table_is_at_most_half_full_and_every_word_fits() {
        let used: Vec<_> = Lexicon::get().slots.iter().filter(|entry| !entry.word.is_empty()).collect();
        assert!(used.len() <= SLOTS / 2, "{}", used.len());
        assert!(used.iter().all(|entry| entry.word.len() <= WORD_MAX && entry.word.is_ascii()), "{used:?}");
    }
}
