//! What is looked for, and what is said of it where it was found.

/// A kind of identifier that detectors find in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// United States social security number.
    Ssn,
    /// Medical record number, by the installation's patterns or by the words before it.
    Mrn,
    /// National Provider Identifier (45 CFR 162.406).
    Npi,
    /// Registration number of the Drug Enforcement Administration.
    Dea,
    /// Medicare Beneficiary Identifier.
    Mbi,
    /// Telephone, fax or pager number.
    Phone,
    /// E-mail address.
    Email,
    /// Calendar date more exact than a year.
    Date,
    /// Age of 90 years or more.
    Age,
    /// Postal code of the United States, five or nine digits.
    Zip,
    /// Payment card number.
    Card,
    /// Number of an account, policy, membership, claim, encounter or licence.
    Account,
    /// Vehicle identification number (ISO 3779).
    Vin,
    /// Internet address, version 4 or 6.
    Ip,
    /// Web address.
    Url,
    /// Name of a person.
    Name,
}

impl Entity {
    /// Every kind, in the order of the registry and of the documentation.
    pub const ALL: [Self; 16] = [
        Self::Ssn,
        Self::Mrn,
        Self::Npi,
        Self::Dea,
        Self::Mbi,
        Self::Phone,
        Self::Email,
        Self::Date,
        Self::Age,
        Self::Zip,
        Self::Card,
        Self::Account,
        Self::Vin,
        Self::Ip,
        Self::Url,
        Self::Name,
    ];

    /// The classification's tag for it, as `phi.ssn`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Ssn => "phi.ssn",
            Self::Mrn => "phi.mrn",
            Self::Npi => "phi.npi",
            Self::Dea => "phi.dea",
            Self::Mbi => "phi.mbi",
            Self::Phone => "phi.phone",
            Self::Email => "phi.email",
            Self::Date => "phi.date",
            Self::Age => "phi.age",
            Self::Zip => "phi.zip",
            Self::Card => "phi.card",
            Self::Account => "phi.account",
            Self::Vin => "phi.vin",
            Self::Ip => "phi.ip",
            Self::Url => "phi.url",
            Self::Name => "phi.name",
        }
    }

    /// The tag by which classifications and policies know it: whoever has that revealed in a text may see it there.
    #[must_use]
    pub fn governed_by(self) -> &'static str {
        match self {
            Self::Npi | Self::Dea => "phi.licence",
            Self::Mbi => "phi.plan",
            Self::Age => "phi.date",
            Self::Zip => "phi.geo",
            Self::Card => "phi.account",
            Self::Vin => "phi.vehicle",
            Self::Ssn
            | Self::Mrn
            | Self::Phone
            | Self::Email
            | Self::Date
            | Self::Account
            | Self::Ip
            | Self::Url
            | Self::Name => self.tag(),
        }
    }

    /// What stands in masked text instead of a finding, as `[phi.ssn]`.
    #[must_use]
    pub fn placeholder(self) -> String {
        format!("[{}]", self.tag())
    }
}

/// What a finding rests on; the later ones are the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certainty {
    /// It looks like one.
    Form,
    /// Its check digits hold, which one in ten or eleven random numbers would pass.
    Checksum,
    /// The words beside it say so, and its check digits, where it has any, hold.
    Context,
}

impl Certainty {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Checksum => "checksum",
            Self::Context => "context",
        }
    }
}

/// One identifier in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// First byte, counted from the beginning of the original text or stream.
    pub start: usize,
    /// One past the last byte. Invisible characters and combining marks after the last one belong to it.
    pub end: usize,
    /// What it is.
    pub entity: Entity,
    /// What that rests on.
    pub certainty: Certainty,
}
