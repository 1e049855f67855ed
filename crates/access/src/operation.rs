//! What is asked: statements as Chaperone understood them, before anybody decided anything.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize, Serializer};

use crate::Refusal;
use crate::column::{ColumnUse, FreeText, OwnRelation, RelationFacts, Scope, Subjects};

/// What is done to a relation, or to the target as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// SELECT, COPY TO, and every mention of a relation that is not the target of a write.
    Read,
    /// INSERT, COPY FROM, the inserting arms of MERGE and ON CONFLICT.
    Insert,
    /// UPDATE, and row locks (`FOR UPDATE`), which PostgreSQL too counts as update.
    Update,
    /// DELETE and TRUNCATE.
    Delete,
    /// Data definition: CREATE, ALTER, DROP, GRANT, COMMENT, VACUUM and the like.
    Define,
    /// CALL, DO and anything that runs code which no tree shows.
    Call,
}

impl Verb {
    /// All of them, in the order in which they are listed everywhere.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Insert, Self::Update, Self::Delete, Self::Define, Self::Call];

    /// The word in policies, records and the matrix.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Define => "define",
            Self::Call => "call",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Insert => 2,
            Self::Update => 4,
            Self::Delete => 8,
            Self::Define => 16,
            Self::Call => 32,
        }
    }
}

/// A set of verbs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Verbs(u8);

impl Verbs {
    /// No verb.
    pub const NONE: Self = Self(0);

    /// This set with one more.
    #[must_use]
    pub fn with(self, verb: Verb) -> Self {
        Self(self.0 | verb.bit())
    }

    /// Whether the verb is in it.
    #[must_use]
    pub fn contains(self, verb: Verb) -> bool {
        self.0 & verb.bit() != 0
    }

    /// The verbs in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.contains(*verb))
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Verb::as_str)).finish()
    }
}

/// A relation by its resolved schema and name, unquoted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationName {
    /// Schema; empty where the relation is not known to the catalog.
    pub schema: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl RelationName {
    /// From its two parts.
    pub fn new(schema: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

impl std::str::FromStr for RelationName {
    type Err = crate::InvalidName;

    /// From what its `Display` writes: the schema, where there is one, and the name; a part in double quotes is taken as
    /// it stands.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid =
            || crate::InvalidName::new("relation name", "`schema.name`, parts that need it in double quotes");
        let (first, rest) = part(text).ok_or_else(invalid)?;
        let Some(rest) = rest.strip_prefix('.') else {
            return if rest.is_empty() { Ok(Self::new("", first)) } else { Err(invalid()) };
        };
        match part(rest) {
            Some((second, "")) => Ok(Self::new(first, second)),
            Some(_) | None => Err(invalid()),
        }
    }
}

/// One part of a name at the beginning of a text, and the rest of the text.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.is_empty() && !name.contains('"')).then(|| (name.to_owned(), rest));
    };
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return (!name.is_empty()).then_some((name, after)),
        }
    }
}

impl fmt::Display for RelationName {
    /// As PostgreSQL would write it: a part that is not a plain lower-case word stands in double quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, text: &str| {
            let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
            let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if starts && plain { f.write_str(text) } else { write!(f, "\"{}\"", text.replace('"', "\"\"")) }
        };
        if !self.schema.is_empty() {
            part(f, &self.schema)?;
            f.write_str(".")?;
        }
        part(f, &self.name)
    }
}

impl Serialize for RelationName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a touched relation comes from, which decides what rule policy applies to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameRule {
    /// A relation of the target's own: policy decides by name.
    Named,
    /// A system relation on the list for introspection: whoever is admitted to the target may read it.
    Listed,
    /// A temporary relation of the session's own, which holds only what the caller could read.
    Temporary,
    /// The catalog does not know it: only a caller with every verb on the whole target gets past it.
    Unknown,
}

/// One relation and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Touch {
    /// The relation.
    pub relation: RelationName,
    /// Which rule applies.
    pub rule: NameRule,
    /// Everything that is done to it in this statement.
    pub verbs: Verbs,
    /// The relations above it, nearest first: a partition's parent. A policy that says `in` the parent covers it.
    pub within: Vec<RelationName>,
    /// What the target's classification says of it; none where the target has no classification, or it is not `Named`.
    #[serde(skip)]
    pub facts: Option<Arc<RelationFacts>>,
}

impl Serialize for Verbs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Verb::as_str))
    }
}

/// Whether the target may see it before the intent is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Provably read-only: listed nodes, listed stable or immutable functions, no locking clause.
    ReadOnly,
    /// Anything else.
    MayWrite,
}

/// What a transaction statement does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TransactionStep {
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END, COMMIT PREPARED.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    /// SAVEPOINT.
    Savepoint {
        /// Its name.
        name: Arc<str>,
    },
    /// RELEASE.
    Release {
        /// The savepoint's name.
        name: Arc<str>,
    },
    /// ROLLBACK TO.
    RollbackTo {
        /// The savepoint's name.
        name: Arc<str>,
    },
    /// PREPARE TRANSACTION.
    Prepare,
}

impl TransactionStep {
    /// Whether what was done before in the transaction may be taken back by it. A COMMIT of one that has failed is a ROLLBACK.
    #[must_use]
    pub fn may_take_back(&self) -> bool {
        match self {
            Self::Commit | Self::Rollback | Self::RollbackTo { .. } | Self::Prepare => true,
            Self::Begin | Self::Savepoint { .. } | Self::Release { .. } => false,
        }
    }
}

/// What a statement changes in the session itself once it has succeeded.
#[derive(Debug, Clone)]
pub enum SessionEffect {
    /// Nothing.
    None,
    /// Begins or ends a transaction.
    Transaction(TransactionStep),
    /// SQL-level PREPARE: the name, and what running it would do.
    Prepares {
        /// The statement's name.
        name: Arc<str>,
        /// What `EXECUTE name` runs.
        inner: Arc<Analysis>,
    },
    /// SQL-level EXECUTE (also inside EXPLAIN and CREATE TABLE AS): what runs is what the name was prepared as.
    Executes {
        /// The statement's name.
        name: Arc<str>,
    },
    /// DECLARE: what FETCH of that name goes on with.
    Declares {
        /// The cursor's name.
        name: Arc<str>,
    },
    /// FETCH or MOVE: goes on with a cursor or portal that was made before.
    Fetches {
        /// Its name.
        name: Arc<str>,
    },
    /// CLOSE of one cursor or portal, or of all.
    Closes {
        /// `None` is ALL.
        name: Option<Arc<str>>,
    },
    /// DEALLOCATE of one name, or of all.
    Deallocates {
        /// `None` is ALL.
        name: Option<Arc<str>>,
    },
    /// DISCARD ALL (also forgets prepared statements and settings).
    DiscardsAll,
    /// `SET search_path` (or RESET): the schemas named, `None` is the default.
    SetsSearchPath {
        /// Schemas in order, unquoted.
        path: Option<Vec<Arc<str>>>,
        /// Until the transaction ends, however it does (`SET LOCAL`).
        local: bool,
    },
    /// Makes a temporary relation, which comes before every other of its name.
    MakesTemporary {
        /// Its name.
        name: Arc<str>,
        /// It goes when the transaction ends (`ON COMMIT DROP`).
        passing: bool,
        /// Where there is one of its name, nothing is made (`IF NOT EXISTS`).
        unless_there: bool,
    },
    /// Removes temporary relations.
    DropsTemporary {
        /// Their names.
        names: Arc<[Arc<str>]>,
    },
    /// The client names itself (`application_name`): kept as its claim, never shown to the target under that name.
    NamesApplication {
        /// The name; empty for the default.
        name: Arc<str>,
    },
    /// May have changed the catalog: DDL, or something that can run DDL.
    ChangesCatalog,
}

impl SessionEffect {
    /// What it does to the transaction.
    #[must_use]
    pub fn step(&self) -> Option<&TransactionStep> {
        match self {
            Self::Transaction(step) => Some(step),
            Self::None
            | Self::Prepares { .. }
            | Self::Executes { .. }
            | Self::Declares { .. }
            | Self::Fetches { .. }
            | Self::Closes { .. }
            | Self::Deallocates { .. }
            | Self::DiscardsAll
            | Self::SetsSearchPath { .. }
            | Self::MakesTemporary { .. }
            | Self::DropsTemporary { .. }
            | Self::NamesApplication { .. }
            | Self::ChangesCatalog => None,
        }
    }
}

/// One statement of a string, understood.
#[derive(Debug, Clone)]
pub struct Member {
    /// The command's name, as in a command tag: `SELECT`, `CREATE TABLE`, `(unparsed)`.
    pub tag: &'static str,
    /// The statement with every literal replaced, hashed with SHA-256: groups equal questions without their data.
    pub template: [u8; 32],
    /// The relations that it names or reaches, each once.
    pub touches: Vec<Touch>,
    /// Verbs on the target as a whole that it needs besides (`define` of something new, `call`).
    pub whole: Verbs,
    /// Whether the target may see it early.
    pub effect: Effect,
    /// What it changes in the session.
    pub session: SessionEffect,
    /// The columns that it uses, sorted, each once. Where that cannot be told, more than it uses, never fewer.
    pub uses: Arc<[ColumnUse]>,
    /// Where its result tells which patients it is about.
    pub subjects: Subjects,
    /// Where its result, or what it keeps in a temporary relation, can hold free text.
    pub free_text: FreeText,
    /// The columns of its result, in order, as far as can be told without the target: for explaining. `None` where their
    /// places cannot be told.
    pub results: Option<Arc<[ResultColumn]>>,
    /// Whether it names a column, function or type of the target's own that the catalog does not have: it may have come
    /// since. Relations that are not known stand among those that it touches.
    pub names_unknown: bool,
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResultColumn {
    /// Its name; empty where only the target knows it.
    pub name: Box<str>,
    /// What it is made of: places in [`Member::uses`].
    pub made_of: Box<[u16]>,
}

/// Writes a string of statements out for what one caller sees.
pub trait Rewrite: Send + Sync {
    /// The words that are sent for a caller of that scope.
    ///
    /// # Errors
    /// It cannot be vouched for.
    fn rewrite(&self, scope: &Scope) -> Result<Arc<str>, Refusal>;

    /// The words for a scope, or the refusal, where they are at hand and cost less than keeping them.
    fn known(&self, _scope: &Scope) -> Option<Result<Arc<str>, Refusal>> {
        None
    }

    /// Whether that may need a deeper stack than most threads have, so that whoever asks would wait for another one.
    fn is_deep(&self) -> bool;
}

/// Scopes for which one string's words are kept.
const SCOPES_KEPT_MAX: usize = 8;
/// Words that are longer than this are made again rather than kept: the numbers of thousands of relations can stand in
/// them, and thousands of statements are kept.
pub const WORDS_KEPT_BYTES_MAX: usize = 64 * 1024;

/// What is sent in the place of a string of statements, by what the caller sees. Made when it is first asked for:
/// callers with every verb never ask.
#[derive(Clone)]
pub struct Confined(Arc<Kept>);

struct Kept {
    rewrite: Box<dyn Rewrite>,
    /// The oldest first.
    written: Mutex<VecDeque<(Scope, Written)>>,
}

type Written = Result<Arc<str>, Refusal>;

/// The same for every scope.
struct Made(Written);

impl Rewrite for Made {
    fn rewrite(&self, _scope: &Scope) -> Written {
        self.0.clone()
    }

    fn is_deep(&self) -> bool {
        false
    }
}

impl Confined {
    /// The same words, or the same refusal, for every scope.
    #[must_use]
    pub fn made(written: Result<Arc<str>, Refusal>) -> Self {
        Self::by(Made(written))
    }

    /// To be made by `rewrite`, once a scope while it is remembered.
    #[must_use]
    pub fn by(rewrite: impl Rewrite + 'static) -> Self {
        Self(Arc::new(Kept { rewrite: Box::new(rewrite), written: Mutex::default() }))
    }

    /// The same words, for scopes in which `other` has words too: the statement runs that one.
    #[must_use]
    pub fn also(self, other: Self) -> Self {
        Self::by(Also(self, other))
    }

    /// Whether making the words may have whoever asks wait for a thread with a deep stack.
    #[must_use]
    pub fn is_deep(&self) -> bool {
        self.0.rewrite.is_deep()
    }

    /// The words for a scope where they have been made, or the refusal.
    #[must_use]
    pub fn known(&self, scope: &Scope) -> Option<Result<Arc<str>, Refusal>> {
        if let Some(known) = self.0.rewrite.known(scope) {
            return Some(known);
        }
        let written = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.iter().find(|(known, _)| known == scope).map(|(_, written)| written.clone())
    }

    /// The words for a scope.
    ///
    /// # Errors
    /// It cannot be vouched for.
    pub fn get(&self, scope: &Scope) -> Result<Arc<str>, Refusal> {
        if let Some(written) = self.known(scope) {
            return written;
        }
        // Not under the lock: it takes a while, and two that make the same do no harm.
        let made = self.0.rewrite.rewrite(scope);
        if made.as_ref().is_ok_and(|words| words.len() > WORDS_KEPT_BYTES_MAX) {
            return made;
        }
        let mut written = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() >= SCOPES_KEPT_MAX {
            written.pop_front();
        }
        written.push_back((scope.clone(), made.clone()));
        made
    }
}

/// The first one's words, if there are any for the second one too.
struct Also(Confined, Confined);

impl Rewrite for Also {
    fn rewrite(&self, scope: &Scope) -> Written {
        self.1.get(scope)?;
        self.0.get(scope)
    }

    fn is_deep(&self) -> bool {
        self.0.is_deep() || self.1.is_deep()
    }
}

impl fmt::Debug for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without making it.
        f.write_str("Confined")
    }
}

/// A whole string of statements, understood against one catalog and one search path. It depends on nothing of the
/// caller, so it is cached and shared.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// What the client sent.
    pub text: Arc<str>,
    /// Its statements in order; empty for an empty string.
    pub members: Arc<[Member]>,
    /// What is sent for a caller who does not have every verb on the whole target.
    pub confined: Confined,
    /// What is sent in the place of the text for everybody else, where the text itself is not.
    pub replaced: Option<Arc<str>>,
    /// Refused to everybody, whatever they may do: it would change the identity at the target.
    pub forbidden: Option<Refusal>,
    /// Version of the catalog that it was resolved against.
    pub catalog_version: u64,
    /// Whether the target has a classification, so that there is something to hide.
    pub classified: bool,
    /// The target's own relations, in the order of their names, where what the statement shows of one depends on whether
    /// its caller may do anything to it: it asks the catalogs.
    pub describes: Option<Arc<[OwnRelation]>>,
    /// The declared command that it runs, where it is no statement: whoever may `invoke` it may run it, and nobody else,
    /// whatever verbs he has.
    pub invokes: Option<Arc<str>>,
}

impl Analysis {
    /// Whether a decision about the other one is one about this one, too, but for the words that are sent: nothing else that
    /// it depends on differs. Texts that are alike but for their numbers share that.
    #[must_use]
    pub fn means_what(&self, other: &Self) -> bool {
        let Self {
            text: _,
            members,
            confined: _,
            replaced: _,
            forbidden,
            catalog_version,
            classified,
            describes,
            invokes,
        } = self;
        Arc::ptr_eq(members, &other.members)
            && *forbidden == other.forbidden
            && *catalog_version == other.catalog_version
            && *classified == other.classified
            && describes.as_ref().map(Arc::as_ptr) == other.describes.as_ref().map(Arc::as_ptr)
            && *invokes == other.invokes
    }
}

/// A string of statements that runs, and what it is under the classification in force now. What it was understood as stays.
#[derive(Debug, Clone)]
pub struct Since {
    /// As it was when it was permitted.
    pub then: Arc<Analysis>,
    /// The same with what is known now of the relations that it touches.
    pub now: Arc<Analysis>,
    /// Those of them whose rows are picked by another filter now.
    pub filtered: BTreeSet<RelationName>,
}

impl Since {
    /// Nothing has changed.
    #[must_use]
    pub fn unchanged(analysis: &Arc<Analysis>) -> Self {
        Self { then: analysis.clone(), now: analysis.clone(), filtered: BTreeSet::new() }
    }
}

/// The words in which something permitted is sent, and what its caller sees through them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// What is sent in the place of the client's own text; `None` where that is sent.
    pub text: Option<Arc<str>>,
    /// What the caller sees of the relations that are touched; `None` for whoever sees everything.
    pub scope: Option<Arc<Scope>>,
}

impl Words {
    /// Whether something is read in them through a view of the floor, which the client did not ask for.
    #[must_use]
    pub fn read_the_floor(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.contains(crate::FLOOR_SCHEMA))
    }
}

/// What was decided before, under a name that something later goes on with.
#[derive(Debug, Clone)]
pub enum Earlier {
    /// A prepared statement: it lies at the target in these words.
    Prepared {
        /// What was asked.
        analysis: Arc<Analysis>,
        /// What was sent for it.
        words: Words,
    },
    /// A portal or cursor: it gives what was seen through these words.
    Filled {
        /// What was asked.
        analysis: Arc<Analysis>,
        /// What was sent for it.
        words: Words,
    },
    /// Something that nobody here saw made, in a session that has had everything.
    Unseen,
}

impl Earlier {
    /// Whether it was made in words that read a view of the floor.
    #[must_use]
    pub fn reads_the_floor(&self) -> bool {
        match self {
            Self::Prepared { words, .. } | Self::Filled { words, .. } => words.read_the_floor(),
            // Whoever has everything sends his own words.
            Self::Unseen => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_name_prints_and_parses() {
        for (schema, name) in
            [("clinic", "patients"), ("", "patients"), ("My Schema", "a.b"), ("a", "say \"x\"")]
        {
            let relation = RelationName::new(schema, name);
            assert_eq!(relation.to_string().parse::<RelationName>().unwrap(), relation, "{relation}");
        }
        for bad in ["", ".", "a.", ".b", "a.b.c", "\"a", "a\"b", "\"a\"b.c", "\"\".c"] {
            assert!(bad.parse::<RelationName>().is_err(), "{bad}");
        }
    }
}
