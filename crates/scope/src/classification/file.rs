//! The file's format (`docs/reference/classification.md`). All faults of a file are found together, each with its place.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use chaperone_access::{AttributeKind, Class, MaskOperator, RelationName};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tags::is_tag;
use super::{BUILT_IN_TAGS, Classification, ColumnLine, RelationLines, RowFilter, filter};
use crate::once::once;

/// Most faults that are told.
const FAULTS_MAX: usize = 100;
/// At least so many bytes of a long file are read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Longest text of a fixed mask, in bytes.
const FIXED_BYTES_MAX: usize = 64;

/// Extensions whose functions run SQL that their caller writes, so that nothing would be hidden from whoever may call all of them.
const RUN_SQL: [&str; 5] = ["dblink", "pg_background", "pg_cron", "tablefunc", "xml2"];
/// Those whose functions read pages, files, large objects or what others did.
const READ_PAGES: [&str; 13] = [
    "adminpack",
    "amcheck",
    "file_fdw",
    "lo",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_stat_statements",
    "pg_surgery",
    "pg_visibility",
    "pg_walinspect",
    "pgrowlocks",
    "pgstattuple",
];

/// What is wrong with a classification, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl Classification {
    /// Read a file. `attributes` are those of subjects that the configuration declares: row filters may ask about them.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(
        file: &str,
        text: &str,
        attributes: &BTreeMap<String, AttributeKind>,
    ) -> Result<Self, Vec<Fault>> {
        let mut reading = Reading::new(file, text, attributes);
        let mut found = reading.in_pieces().unwrap_or_else(|| {
            reading = Reading::new(file, text, attributes);
            match DeTable::parse(text) {
                Ok(table) => reading.whole(table.get_ref()),
                Err(error) => {
                    let place = error.span().unwrap_or(0..0);
                    reading.fault(&place, error.message().trim_end(), None);
                    Self::default()
                }
            }
        });
        if !reading.faults.is_empty() {
            return Err(reading.faults);
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        for (to, from) in found.digest.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        found.tags = reading.own_tags;
        Ok(found)
    }
}

type Written<'a> = Spanned<DeValue<'a>>;

struct Reading<'a> {
    file: &'a str,
    text: &'a str,
    attributes: &'a BTreeMap<String, AttributeKind>,
    own_tags: BTreeMap<Arc<str>, String>,
    faults: Vec<Fault>,
    /// Names of columns and tags come again and again, and so do sets of tags and what is said of columns: each is kept
    /// once.
    names: HashSet<Arc<str>>,
    classes: HashMap<BTreeSet<Arc<str>>, Arc<[Arc<str>]>>,
    lines: HashSet<Arc<ColumnLine>>,
}

impl<'a> Reading<'a> {
    fn new(file: &'a str, text: &'a str, attributes: &'a BTreeMap<String, AttributeKind>) -> Self {
        Self {
            file,
            text,
            attributes,
            own_tags: BTreeMap::new(),
            faults: Vec::new(),
            names: HashSet::new(),
            classes: HashMap::new(),
            lines: HashSet::new(),
        }
    }

    /// A long file, piece by piece: what its tree takes is many times its length, and would be spread over all of the memory
    /// that the result is in. `None` where it is short, cannot be told apart, or has a fault, which the whole of it tells.
    fn in_pieces(&mut self) -> Option<Classification> {
        let pieces = pieces(self.text);
        if pieces.len() < 2 {
            return None;
        }
        let mut found = Classification::default();
        for piece in pieces {
            let part = self.whole(DeTable::parse(piece).ok()?.get_ref());
            for (name, lines) in part.relations {
                if found.relations.insert(name, lines).is_some() {
                    return None;
                }
            }
            found.functions.extend(part.functions);
            found.extensions.extend(part.extensions);
        }
        self.faults.is_empty().then_some(found)
    }

    fn once(&mut self, text: &str) -> Arc<str> {
        once(&mut self.names, text)
    }

    fn fault(&mut self, place: &Range<usize>, message: impl Into<String>, hint: Option<&str>) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        let before = self.text.get(..place.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let (file, message) = (self.file.to_owned(), message.into());
        self.faults.push(Fault { file, line, column, message, hint: hint.map(str::to_owned) });
    }

    fn unknown(&mut self, place: &Range<usize>, key: &str, known: &[&str]) {
        let hint = format!("there are {}", known.join(", "));
        self.fault(place, format!("`{key}` is no key here"), Some(&hint));
    }

    fn table<'v, 't>(&mut self, value: &'v Written<'t>) -> Option<&'v DeTable<'t>> {
        let found = value.get_ref().as_table();
        if found.is_none() {
            self.fault(&value.span(), "this is a table", None);
        }
        found
    }

    fn string<'v>(&mut self, value: &'v Written<'_>) -> Option<&'v str> {
        let found = value.get_ref().as_str();
        if found.is_none() {
            self.fault(&value.span(), "this is a text", Some("write it in quotes"));
        }
        found
    }

    /// A flag that says something by being there.
    fn truth(&mut self, value: &Written<'_>) -> bool {
        let found = value.get_ref().as_bool() == Some(true);
        if !found {
            self.fault(&value.span(), "this can only be true", Some("leave the key out"));
        }
        found
    }

    fn texts<'v>(&mut self, value: &'v Written<'_>) -> Vec<(Range<usize>, &'v str)> {
        let Some(items) = value.get_ref().as_array() else {
            self.fault(&value.span(), "this is a list of texts", Some("write it in brackets"));
            return Vec::new();
        };
        items.iter().filter_map(|item| Some((item.span(), self.string(item)?))).collect()
    }

    fn whole(&mut self, table: &DeTable<'_>) -> Classification {
        let mut found = Classification::default();
        // Tags first: the rest uses them, wherever they stand.
        if let Some(tags) = table.get("tags").and_then(|value| self.table(value)) {
            self.declared(tags);
        }
        for (key, value) in table {
            let Some(table) = self.table(value) else { continue };
            match key.get_ref().as_ref() {
                "tags" => {}
                "relations" => {
                    for (name, value) in table {
                        self.relation(&mut found, name, value);
                    }
                }
                "functions" => found.functions.extend(self.functions(table)),
                "extensions" => {
                    for (place, name) in self.allowed(table) {
                        match told_by(name) {
                            None => drop(found.extensions.insert(Arc::from(name))),
                            Some(what) => self.fault(
                                &place,
                                format!("extension `{name}` {what}: not all of it can be allowed"),
                                Some("list the functions that you need, and have looked at, under `[functions]`"),
                            ),
                        }
                    }
                }
                other => self.unknown(&key.span(), other, &["extensions", "functions", "relations", "tags"]),
            }
        }
        found
    }

    fn declared(&mut self, tags: &DeTable<'_>) {
        for (tag, meaning) in tags {
            let name = tag.get_ref().as_ref();
            if BUILT_IN_TAGS.contains(&name) {
                self.fault(&tag.span(), format!("tag `{name}` is built in"), Some("leave the line out"));
            } else if !is_tag(name) {
                let hint =
                    "two or more words of a-z, 0-9 and `_` with a full stop between, in quotes: \"acme.vip\"";
                self.fault(&tag.span(), format!("`{name}` cannot be a tag"), Some(hint));
            } else if let Some(meaning) = self.string(meaning) {
                self.own_tags.insert(Arc::from(name), meaning.to_owned());
            }
        }
    }

    fn allowed<'v>(&mut self, table: &'v DeTable<'_>) -> Vec<(Range<usize>, &'v str)> {
        let mut found = Vec::new();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "allowed" => found.extend(self.texts(value)),
                other => self.unknown(&key.span(), other, &["allowed"]),
            }
        }
        found
    }

    fn functions(&mut self, table: &DeTable<'_>) -> BTreeSet<RelationName> {
        let mut found = BTreeSet::new();
        for (place, text) in self.allowed(table) {
            match qualified(text) {
                Some(name) => {
                    found.insert(name);
                }
                None => {
                    self.fault(&place, format!("`{text}` names no function"), Some("write `schema.name`"))
                }
            }
        }
        found
    }

    fn relation(
        &mut self,
        found: &mut Classification,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Written<'_>,
    ) {
        let text = name.get_ref();
        let Some(relation) = qualified(text) else {
            let hint = "write `[relations.\"schema.name\"]`, parts that need it in double quotes";
            self.fault(&name.span(), format!("`{text}` names no relation"), Some(hint));
            return;
        };
        let Some(table) = self.table(value) else { return };
        let mut lines = RelationLines::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "clear" => lines.clear = self.truth(value),
                "rows" => lines.rows = self.rows(value),
                "columns" => {
                    for (column, value) in self.table(value).into_iter().flatten() {
                        if let Some(line) = self.column(column.get_ref(), value) {
                            lines.columns.insert(self.once(column.get_ref()), line);
                        }
                    }
                }
                other => self.unknown(&key.span(), other, &["clear", "columns", "rows"]),
            }
        }
        found.relations.insert(relation, lines);
    }

    fn rows(&mut self, value: &Written<'_>) -> Option<RowFilter> {
        let text = self.string(value)?;
        match filter::read(text, self.attributes) {
            Ok(filter) => Some(filter),
            Err(wrong) => {
                // The place inside the quotes, where the text stands as it was written.
                let span = value.span();
                let inside = self.text.get(span.clone()).and_then(|written| written.find(text));
                let start = inside.map_or(span.start, |inside| span.start + inside + wrong.at);
                let message = format!("the row filter is refused: {}", wrong.what);
                self.fault(&(start..span.end), message, wrong.hint.as_deref());
                None
            }
        }
    }

    fn column(&mut self, name: &str, value: &Written<'_>) -> Option<Arc<ColumnLine>> {
        let table = self.table(value)?;
        let (mut clear, mut tags, mut mask, mut subject, mut scan) = (false, None, None, false, false);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "clear" => clear = self.truth(value),
                "tags" => tags = Some(self.column_tags(value)),
                "mask" => mask = self.mask(value),
                "subject" => subject = self.truth(value),
                "scan" => scan = self.truth(value),
                other => self.unknown(&key.span(), other, &["clear", "mask", "scan", "subject", "tags"]),
            }
        }
        let wrong = match (clear, &tags, &mask, scan) {
            (true, Some(_), _, _) => Some(("is clear and has tags", "one of both")),
            (false, None, _, _) => Some((
                "is not decided",
                "`clear = true`, or `tags`; or leave the line out: it is hidden then",
            )),
            (true, None, Some(_), _) => {
                Some(("is clear and has a mask", "give it `tags`: a mask is for those who may not see it"))
            }
            (true, None, None, true) => {
                Some(("is clear and scanned", "give it `tags`: free text is hidden from most"))
            }
            (false, Some(_), Some(_), true) => {
                Some(("has a mask and is scanned", "free text is revealed or hidden: leave out `mask`"))
            }
            (true, None, None, false) | (false, Some(_), None, _) | (false, Some(_), Some(_), false) => None,
        };
        if let Some((what, hint)) = wrong {
            self.fault(&value.span(), format!("column `{name}` {what}"), Some(hint));
            return None;
        }
        let class = match tags {
            Some(tags) => {
                let all = || tags.iter().cloned().collect();
                Class::Tagged(self.classes.entry(tags.clone()).or_insert_with(all).clone())
            }
            None => Class::Clear,
        };
        Some(once(&mut self.lines, ColumnLine { class, mask, subject, scan }))
    }

    fn column_tags(&mut self, value: &Written<'_>) -> BTreeSet<Arc<str>> {
        let mut found = BTreeSet::new();
        let texts = self.texts(value);
        if texts.is_empty() && value.get_ref().as_array().is_some() {
            self.fault(
                &value.span(),
                "there is no tag",
                Some("write `clear = true` for what need not be hidden"),
            );
        }
        for (place, tag) in texts {
            if BUILT_IN_TAGS.contains(&tag) || self.own_tags.contains_key(tag) {
                found.insert(self.once(tag));
                continue;
            }
            let hint = match nearest(
                tag,
                BUILT_IN_TAGS.iter().copied().chain(self.own_tags.keys().map(|tag| &**tag)),
            ) {
                Some(near) => format!("is it `{near}`? tags of your own are declared under `[tags]`"),
                None => "tags of your own are declared under `[tags]`".to_owned(),
            };
            self.fault(&place, format!("tag `{tag}` is not known"), Some(&hint));
        }
        found
    }

    fn mask(&mut self, value: &Written<'_>) -> Option<MaskOperator> {
        const PLAIN: [(&str, MaskOperator); 6] = [
            ("null", MaskOperator::Null),
            ("last_four", MaskOperator::LastFour),
            ("first_letter", MaskOperator::FirstLetter),
            ("year", MaskOperator::Year),
            ("zip3", MaskOperator::ZipThree),
            ("pseudonym", MaskOperator::Pseudonym),
        ];
        let hint = "there are \"null\", \"last_four\", \"first_letter\", \"year\", \"zip3\", \"pseudonym\", { fixed = \"***\" } \
                    and { bucket = 100 }";
        if let Some(word) = value.get_ref().as_str() {
            let found = PLAIN.into_iter().find(|(known, _)| *known == word);
            if found.is_none() {
                self.fault(&value.span(), format!("`{word}` is no mask"), Some(hint));
            }
            return found.map(|(_, mask)| mask);
        }
        let table = value.get_ref().as_table();
        let only = table.filter(|table| table.len() == 1).and_then(|table| table.iter().next());
        let Some((key, given)) = only else {
            self.fault(&value.span(), "this is no mask", Some(hint));
            return None;
        };
        match key.get_ref().as_ref() {
            "fixed" => {
                let text = self.string(given)?;
                if text.len() > FIXED_BYTES_MAX || text.contains('\0') {
                    self.fault(
                        &given.span(),
                        format!("a fixed text has at most {FIXED_BYTES_MAX} bytes"),
                        None,
                    );
                    return None;
                }
                Some(MaskOperator::Fixed(text.to_owned()))
            }
            "bucket" => {
                let number = given.get_ref().as_integer();
                let size =
                    number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
                if size.is_none_or(|size| size < 2) {
                    self.fault(&given.span(), "a bucket is a whole number from 2 to 4294967295", None);
                }
                size.map(MaskOperator::Bucket)
            }
            other => {
                self.fault(&key.span(), format!("`{other}` is no mask"), Some(hint));
                None
            }
        }
    }
}

/// A name of two parts.
fn qualified(text: &str) -> Option<RelationName> {
    text.parse::<RelationName>().ok().filter(|name| !name.schema.is_empty())
}

/// A long text cut where tables of another relation begin; the first piece has all else. A cut in the middle of a text or a
/// list leaves a piece that does not parse.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut begin, mut at, mut last) = (Vec::new(), 0, 0, "");
    for line in text.split_inclusive('\n') {
        let head = line.trim_start();
        let name =
            head.strip_prefix("[relations.\"").and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
        match name {
            Some(name) if name != last => {
                last = name;
                if at - begin >= PIECE_BYTES {
                    pieces.extend(text.get(begin..at));
                    begin = at;
                }
            }
            None if head.starts_with('[') && begin > 0 => return vec![text],
            Some(_) | None => {}
        }
        at += line.len();
    }
    pieces.extend(text.get(begin..));
    pieces
}

/// What all of an extension would tell.
fn told_by(extension: &str) -> Option<&'static str> {
    if RUN_SQL.contains(&extension) {
        Some("runs SQL that its caller writes")
    } else if READ_PAGES.contains(&extension) {
        Some("reads pages, files, large objects or what others did")
    } else {
        None
    }
}

/// The known word that a mistaken one probably means: at most two letters away.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=other.chars().count()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut diagonal = i;
            let mut left = i + 1;
            for (b, above) in other.chars().zip(row.iter_mut().skip(1)) {
                let next = (diagonal + usize::from(a != b)).min(*above + 1).min(left + 1);
                diagonal = *above;
                *above = next;
                left = next;
            }
        }
        row.last().copied().unwrap_or(usize::MAX)
    };
    if word.len() > 64 {
        return None;
    }
    known.map(|other| (distance(other), other)).filter(|(far, _)| *far <= 2).min().map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Classification, Vec<String>> {
        let attributes = [("clinics".to_owned(), AttributeKind::Texts)].into();
        Classification::load("clinic.toml", text, &attributes)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const WHOLE: &str = r#"
[tags]
"acme.vip" = "somebody whom the press would look for"
[functions]
allowed = ["public.age_in_years"]
[extensions]
allowed = ["hstore"]
[relations."public.patients"]
rows = "clinic_id = any(caller.clinics)"
[relations."public.patients".columns]
id = { clear = true, subject = true }
name = { tags = ["phi.name", "acme.vip"], mask = "first_letter" }
cost = { tags = ["financial.amount"], mask = { bucket = 100 } }
email = { tags = ["phi.email"], mask = { fixed = "***" } }
"Odd name" = { tags = ["clinical.note"], scan = true }
[relations."public.v_names"]
clear = true
"#;

    #[test]
    fn a_whole_file_is_read() {
        let found = load(WHOLE).unwrap();
        assert!(
            found.allows_extension("hstore")
                && found.allows_function(&RelationName::new("public", "age_in_years"))
        );
        assert!(found.tags().any(|tag| tag == "acme.vip"));
        let patients = found.relations.get(&RelationName::new("public", "patients")).unwrap();
        assert_eq!(&*patients.rows.as_ref().unwrap().text, "clinic_id = any(caller.clinics)");
        let name = patients.columns.get("name").unwrap();
        assert_eq!(name.class, Class::Tagged(Arc::from(["acme.vip".into(), "phi.name".into()])));
        assert_eq!(name.mask, Some(MaskOperator::FirstLetter));
        assert_eq!(patients.columns.get("cost").unwrap().mask, Some(MaskOperator::Bucket(100)));
        assert_eq!(patients.columns.get("email").unwrap().mask, Some(MaskOperator::Fixed("***".into())));
        assert!(
            patients.columns.get("id").unwrap().subject && patients.columns.get("Odd name").unwrap().scan
        );
        assert_eq!((found.relations(), found.columns()), (2, 5));
        assert_ne!(found.digest(), load(&format!("{WHOLE}\n")).unwrap().digest());
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let faults = load(
            "[relations.\"public.t\"]\nrows = \"a = 1 and pg_sleep(1) is null\"\nfilter = \"x\"\n[relations.\"public.t\".columns]\n\
             a = { tags = [\"phi.nmae\"] }\nb = { mask = \"year\" }\nc = { tags = [\"phi.date\"], mask = \"yaer\" }\n\
             d = { clear = true, tags = [\"phi.ssn\"] }\ne = { tags = [\"clinical.note\"], scan = true, mask = \"null\" }\n\
             f = { clear = false }\ng = { tags = [] }\nh = { tags = [\"phi.ssn\"], mask = { bucket = 1 } }\n\
             [relations.t]\n[functions]\nallowed = [\"f\"]\n[mistake]\n",
        )
        .unwrap_err();
        for (line, part) in [
            (2, ":19: the row filter is refused: function `pg_sleep`"),
            (3, "`filter` is no key here (hint: there are clear, columns, rows)"),
            (5, "tag `phi.nmae` is not known (hint: is it `phi.name`?"),
            (6, "column `b` is not decided"),
            (7, "`yaer` is no mask"),
            (8, "is clear and has tags"),
            (9, "has a mask and is scanned"),
            (10, "this can only be true"),
            (11, "there is no tag"),
            (12, "a bucket is"),
            (13, "`t` names no relation"),
            (15, "`f` names no function"),
            (16, "`mistake` is no key here"),
        ] {
            let found = faults.iter().find(|fault| fault.starts_with(&format!("clinic.toml:{line}:")));
            assert!(found.is_some_and(|fault| fault.contains(part)), "{line}: {part}: {faults:#?}");
        }
        for (text, fault) in [
            ("[tags]\n\"phi.ssn\" = \"x\"", "tag `phi.ssn` is built in"),
            ("[tags]\nnodot = \"x\"", "`nodot` cannot be a tag"),
            (
                "[extensions]\nallowed = [\"hstore\", \"tablefunc\"]",
                "`tablefunc` runs SQL that its caller writes",
            ),
            ("[extensions]\nallowed = [\"pageinspect\"]", "`pageinspect` reads pages"),
            ("[relations.\"public.t\"]\nrows = 1", "this is a text"),
            ("[relations.\"public.t\".columns]\na = { tags = 1 }", "this is a list of texts"),
            (
                "[relations.\"public.t\".columns]\na = { tags = [\"far.away\"] }",
                "tag `far.away` is not known (hint: tags of your own",
            ),
        ] {
            let faults = load(text).unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains(fault), "{fault}: {faults:?}");
        }
        let long = "x".repeat(FIXED_BYTES_MAX + 1);
        for mask in ["fixed = \"x\", bucket = 10", "fixed = \"a\\u0000b\"", &format!("fixed = \"{long}\"")] {
            let text = format!(
                "[relations.\"public.t\".columns]\na = {{ tags = [\"phi.ssn\"], mask = {{ {mask} }} }}"
            );
            assert_eq!(load(&text).unwrap_err().len(), 1, "{mask}");
        }
        let many: String = (0..2 * FAULTS_MAX).map(|number| format!("a{number} = 1\n")).collect();
        assert_eq!(load(&many).unwrap_err().len(), FAULTS_MAX);
        assert!(load("[relations").unwrap_err()[0].starts_with("clinic.toml:1:"));
        assert!(load("tags = 1").unwrap_err()[0].contains("this is a table"));
    }

    /// A file of so many relations, and what stands before and after them.
    fn long(before: &str, after: &str) -> String {
        let relation = |number: usize| {
            format!(
                "[relations.\"public.t{number}\"]\nrows = \"a = 1\"\n[relations.\"public.t{number}\".columns]\n\
                 a = {{ clear = true }}\nb = {{ tags = [\"acme.vip\"] }}\n"
            )
        };
        let relations: String = (0..2000).map(relation).collect();
        format!(
            "[tags]\n\"acme.vip\" = \"x\"\n[functions]\nallowed = [\"public.f\"]\n{before}{relations}{after}"
        )
    }

    #[test]
    fn a_long_file_is_read_in_pieces_with_the_same_result() {
        let text = long("", "");
        let attributes = BTreeMap::new();
        let whole =
            Reading::new("t.toml", &text, &attributes).whole(DeTable::parse(&text).unwrap().get_ref());
        let mut reading = Reading::new("t.toml", &text, &attributes);
        assert!(pieces(&text).len() > 2 && pieces(&text).concat() == text);
        assert_eq!(reading.in_pieces(), Some(whole));
        let found = load(&text).unwrap();
        assert_eq!((found.relations(), found.columns()), (2000, 4000));
        assert!(found.tags().any(|tag| tag == "acme.vip"));

        // What one piece does not tell, the whole does.
        let again = "[relations.\"public.t7\".more]\n";
        let twice = "[relations.\"public.t7\".columns]\nc = { clear = true }\n";
        for (before, after, part) in [
            ("", "[relations.\"public.u\".columns]\na = 1\n", ":10006:"),
            ("", again, "`more` is no key here"),
            ("", twice, "duplicate key"),
            ("", "[tags]\n\"acme.more\" = \"x\"\n", "duplicate key"),
            ("[relations.\"public.u\"]\nrows = \"\"\"\n", "\"\"\"\n", "row filter"),
        ] {
            let faults = load(&long(before, after)).unwrap_err();
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part}: {faults:#?}");
        }
        let late = load(&long("", "[extensions]\nallowed = [\"hstore\"]\n")).unwrap();
        assert!(late.allows_extension("hstore") && late.relations() == 2000);
    }
}
