//! What restricted callers hear of the target's errors and notices.
//!
//! An error's text may hold values that its caller may not see (`Failing row contains (...)`), and its position speaks of
//! words that the client never wrote. So where something is hidden from the caller, only severity and SQLSTATE are the
//! target's; the text is one of this file's, by SQLSTATE. Errors of analysis ("column does not exist") keep the one name
//! that they are about, where the client's own text has it: nothing in them depends on data, and whoever wrote the
//! statement has to be able to repair it. The same holds where nothing is hidden but free text may be quoted: a text is looked
//! through in results, where it can be counted.

mod texts;
mod tokens;

use bytes::{Bytes, BytesMut};
use chaperone_access::{RelationName, Scope};

use crate::codec::backend::Report;
use crate::codec::encode;
use texts::{CONSTANT, by_code, is_system_column, templates};
use tokens::Tokens;

/// The next step for somebody who is not told more.
const HINT: &str =
    "more is not said because something is hidden from you here; `chaperone policy explain` says what";

/// The same where nothing else is hidden.
const QUOTING_HINT: &str =
    "more is not said because free text may be quoted in it, and that is looked through in results only";

/// The next step for somebody who wanted one of the columns that rows have besides their own.
const SYSTEM_HINT: &str = "they tell when rows changed that are hidden in part, and where they lie: name a row by its key, and take a \
     column of its own for its version";

/// Fields of a report that are codes, not texts: severity (as shown, and untranslated) and SQLSTATE.
const CODES: [u8; 3] = [b'S', b'V', b'C'];
/// Fields that are told besides where nothing is hidden: message, detail, and the names of schema, table, column, type and
/// constraint, which programs look at. Never hint, context and internal query, which may name what the caller did not;
/// never a position, which is one in the words that were sent.
const TOLD: [u8; 7] = [b'M', b'D', b's', b't', b'c', b'd', b'n'];

/// Severities of notices that are told at all: the others are the server's talk about itself, with its internal numbers.
const NOTICES: [&[u8]; 3] = [b"WARNING", b"NOTICE", b"INFO"];

/// Whether it is an error or a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// ErrorResponse: always told, in whatever words.
    Error,
    /// NoticeResponse: told where its own words can be.
    Notice,
}

/// What somebody sees of what is reported on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) scope: &'a Scope,
    /// Free text may be quoted.
    pub(crate) quoting: bool,
}

/// Tell a report to somebody who sees `seen` and said `asked`. `None` where nothing is told.
pub(crate) fn retell(report: &Report<'_>, asked: &str, seen: Seen<'_>, occasion: Occasion) -> Option<Bytes> {
    let Seen { scope, quoting } = seen;
    let severity = report.field(b'V').or_else(|| report.field(b'S')).unwrap_or_default();
    if occasion == Occasion::Notice && !NOTICES.contains(&severity) {
        return None;
    }
    let message = std::str::from_utf8(report.message()).unwrap_or_default();
    let code = report.code();
    let tokens = Tokens::of(asked);
    let mut fields: Vec<(u8, String)> = Vec::new();
    let keep = |fields: &mut Vec<(u8, String)>, kinds: &[u8]| {
        let kept = report.fields().filter(|(kind, _)| kinds.contains(kind));
        fields.extend(kept.map(|(kind, text)| (kind, String::from_utf8_lossy(text).into_owned())));
    };
    keep(&mut fields, &CODES);
    let hint = if scope.is_whole() && quoting { QUOTING_HINT } else { HINT };
    if scope.is_whole() && !quoting && speaks_of(report, scope) {
        keep(&mut fields, &TOLD);
        let position = templates(code, message, &tokens).and_then(|(_, position)| position);
        fields.extend(position.map(|position| (b'P', position.to_string())));
    } else if CONSTANT.contains(&message) {
        fields.push((b'M', message.to_owned()));
    } else if occasion == Occasion::Notice {
        return None;
    } else if let Some((text, position)) = templates(code, message, &tokens) {
        let (text, hint) = if !scope.is_whole() && is_system_column(code, &text) {
            (format!("{text} here: system columns are not shown of what you see in part"), SYSTEM_HINT)
        } else {
            (text, hint)
        };
        fields.push((b'M', text));
        fields.push((b'H', hint.to_owned()));
        fields.extend(position.map(|position| (b'P', position.to_string())));
    } else {
        fields.push((b'M', by_code(code).to_owned()));
        fields.push((b'H', hint.to_owned()));
    }
    let mut out = BytesMut::new();
    let fields = fields.iter().map(|(kind, text)| (*kind, text.as_str()));
    match occasion {
        Occasion::Error => encode::error(fields, &mut out),
        Occasion::Notice => encode::notice(fields, &mut out),
    }
    Some(out.freeze())
}

/// Whether a report is about what its caller asked for, all of which he sees: not about another table (a deferred or
/// cascading constraint), and not from code that ran on the way.
fn speaks_of(report: &Report<'_>, scope: &Scope) -> bool {
    let text = |kind| report.field(kind).and_then(|text| std::str::from_utf8(text).ok());
    let [from_code, raised] =
        [text(b'W').is_some() || text(b'q').is_some(), report.code().starts_with(b"P0")];
    let about = match (text(b's'), text(b't')) {
        (_, None) => true,
        (schema, Some(table)) => {
            scope.relations.contains_key(&RelationName::new(schema.unwrap_or_default(), table))
        }
    };
    about && !from_code && !raised
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chaperone_access::{RelationScope, Showing};

    use super::*;
    use crate::codec::backend::{BackendView, view};
    use crate::codec::{Backend, Frame, Limits};

    fn told(
        fields: &[(u8, &str)],
        asked: &str,
        scope: &Scope,
        occasion: Occasion,
    ) -> Option<Vec<(char, String)>> {
        told_of(fields, asked, Seen { scope, quoting: false }, occasion)
    }

    fn told_of(
        fields: &[(u8, &str)],
        asked: &str,
        seen: Seen<'_>,
        occasion: Occasion,
    ) -> Option<Vec<(char, String)>> {
        let read = |mut bytes: BytesMut, then: &mut dyn FnMut(Report<'_>)| {
            let Ok(Some(Frame::Whole(message))) = Backend::new(Limits::backend()).decode(&mut bytes) else {
                panic!("no message")
            };
            let (BackendView::Error(report) | BackendView::Notice(report)) = view(&message).unwrap() else {
                panic!("neither an error nor a notice")
            };
            then(report);
        };
        let mut bytes = BytesMut::new();
        encode::error(fields.iter().copied(), &mut bytes);
        let mut said = None;
        read(bytes, &mut |report| said = retell(&report, asked, seen, occasion));
        let mut out = Vec::new();
        read(BytesMut::from(said?.as_ref()), &mut |report| {
            out = report
                .fields()
                .map(|(kind, text)| (char::from(kind), String::from_utf8(text.to_vec()).unwrap()))
                .collect();
        });
        Some(out)
    }

    fn scope(part: bool) -> Scope {
        let mut scope = Scope::default();
        let seen = if part {
            RelationScope::Part { showings: Arc::from([Showing::Hidden]), all_rows: true }
        } else {
            RelationScope::Whole
        };
        scope.relations.insert(RelationName::new("clinic", "patients"), seen);
        scope
    }

    fn of(told: &[(char, String)], kind: char) -> Option<&str> {
        told.iter().find(|(found, _)| *found == kind).map(|(_, text)| text.as_str())
    }

    const DUPLICATE: &[(u8, &str)] = &[
        (b'S', "ERROR"),
        (b'V', "ERROR"),
        (b'C', "23505"),
        (b'M', "duplicate key value violates unique constraint \"patients_ssn_key\""),
        (b'D', "Key (ssn)=(123-45-6789) already exists."),
        (b'H', "hint"),
        (b'W', "context"),
        (b'q', "internal"),
        (b'p', "3"),
        (b'P', "7"),
        (b's', "clinic"),
        (b't', "patients"),
        (b'c', "ssn"),
        (b'd', "text"),
        (b'n', "patients_ssn_key"),
        (b'F', "nbtinsert.c"),
        (b'L', "666"),
        (b'R', "_bt_check_unique"),
    ];

    #[test]
    fn a_restricted_caller_hears_the_code_and_our_text() {
        let said = told(DUPLICATE, "insert into patients values (1)", &scope(true), Occasion::Error).unwrap();
        let kinds: String = said.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, "SVCMH");
        assert_eq!(of(&said, 'C'), Some("23505"));
        assert_eq!(of(&said, 'M'), Some("duplicate key value violates a unique constraint"));
        // The same, word for word, whatever the value was.
        let mut other = DUPLICATE.to_vec();
        other[4].1 = "Key (ssn)=(987-65-4321) already exists.";
        assert_eq!(
            told(&other, "insert into patients values (1)", &scope(true), Occasion::Error),
            Some(said)
        );
    }

    #[test]
    fn where_nothing_is_hidden_the_targets_words_pass_without_what_others_said() {
        let fields: Vec<_> =
            DUPLICATE.iter().copied().filter(|(kind, _)| !matches!(kind, b'W' | b'q' | b'p')).collect();
        let said = told(&fields, "", &scope(false), Occasion::Error).unwrap();
        let kinds: String = said.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, "SVCMDstcdn");
        // A constraint of a table that was not asked for: deferred to COMMIT, or reached by a cascade.
        let deferred = told(&fields, "commit", &Scope::default(), Occasion::Error).unwrap();
        assert_eq!(of(&deferred, 'D'), None);
        assert_eq!(of(&deferred, 'M'), Some("duplicate key value violates a unique constraint"));
        // Code that ran on the way says what it wants.
        assert_eq!(of(&told(DUPLICATE, "", &scope(false), Occasion::Error).unwrap(), 'D'), None);
        let raised = [(b'S', "ERROR"), (b'C', "P0001"), (b'M', "ssn 123-45-6789")];
        let raised = told(&raised, "", &scope(false), Occasion::Error).unwrap();
        assert_eq!(of(&raised, 'M'), Some("an exception was raised by code in the database"));
    }

    #[test]
    fn free_text_is_quoted_to_nobody_who_is_seen_in_part() {
        let said = |code, message, occasion| {
            let fields = [(b'S', "ERROR"), (b'V', "NOTICE"), (b'C', code), (b'M', message), (b'D', "SSN 1")];
            told_of(&fields, "select a from p", Seen { scope: &scope(false), quoting: true }, occasion)
        };
        let cast =
            said("22P02", "invalid input syntax for type integer: \"SSN 1\"", Occasion::Error).unwrap();
        assert_eq!(of(&cast, 'M'), Some("invalid input syntax for its type"));
        assert_eq!((of(&cast, 'D'), of(&cast, 'H')), (None, Some(QUOTING_HINT)));
        let column = said("42703", "column \"a\" does not exist", Occasion::Error).unwrap();
        assert_eq!(of(&column, 'M'), Some("column \"a\" does not exist"));
        assert_eq!(said("00000", "SSN 1", Occasion::Notice), None);
    }

    fn analysed(code: &str, message: &str, asked: &str) -> (String, Option<String>) {
        let fields = [(b'S', "ERROR"), (b'C', code), (b'M', message), (b'P', "99")];
        let said = told(&fields, asked, &scope(true), Occasion::Error).unwrap();
        (of(&said, 'M').unwrap().to_owned(), of(&said, 'P').map(str::to_owned))
    }

    #[test]
    fn a_system_column_that_is_not_shown_is_called_one() {
        let hint = |column: &str, part: bool| {
            let message = format!("column \"{column}\" does not exist");
            let fields = [(b'S', "ERROR"), (b'C', "42703"), (b'M', &*message)];
            let asked = format!("select {column} from patients p");
            let said = told(&fields, &asked, &scope(part), Occasion::Error).unwrap();
            (of(&said, 'M').unwrap().to_owned(), of(&said, 'H').map(str::to_owned))
        };
        let (message, told) = hint("xmin", true);
        assert_eq!(
            message,
            "column \"xmin\" does not exist here: system columns are not shown of what you see in part"
        );
        assert_eq!(told.as_deref(), Some(SYSTEM_HINT));
        assert_eq!(hint("p.ctid", true).1.as_deref(), Some(SYSTEM_HINT));
        assert_eq!(
            hint("xmine", true),
            ("column \"xmine\" does not exist".to_owned(), Some(HINT.to_owned()))
        );
        assert_eq!(hint("xmin", false), ("column \"xmin\" does not exist".to_owned(), None));
    }

    #[test]
    fn an_error_of_analysis_names_what_the_client_wrote() {
        let at = |text: &str, position: Option<&str>| (text.to_owned(), position.map(str::to_owned));
        let column = "column \"agee\" does not exist";
        assert_eq!(analysed("42703", column, "select agee from p"), at(column, Some("8")));
        assert_eq!(analysed("42703", column, "select 'ü', AGEE from p"), at(column, Some("13")));
        assert_eq!(analysed("42703", column, "select agee, agee"), at(column, None), "which one?");
        assert_eq!(analysed("42703", column, "select 'agee' --agee"), at("a column does not exist", None));
        assert_eq!(
            analysed("42703", "column p.agee does not exist", "select p.agee from patients p"),
            at("column \"p.agee\" does not exist", Some("8"))
        );
        assert_eq!(
            analysed("42703", "column s.agee does not exist", "select agee from patients p"),
            at(column, Some("8")),
            "only what the client wrote"
        );
        assert_eq!(
            analysed("42883", "function pg_catalog.lowr(text) does not exist", "select lowr('x')"),
            at("function \"lowr\" does not exist for these arguments", Some("8"))
        );
        assert_eq!(
            analysed("42883", "operator does not exist: text = integer", "select 1"),
            at("a function or operator does not exist for these arguments", None)
        );
        assert_eq!(
            analysed("42P02", "there is no parameter $3", "select $3"),
            at("there is no parameter \"$3\"", Some("8"))
        );
        assert_eq!(
            analysed(
                "42803",
                "column \"p.name\" must appear in the GROUP BY clause or be used in an aggregate function",
                "select p.name, count(*) from p"
            ),
            at(
                "column \"p.name\" must appear in the GROUP BY clause or be used in an aggregate function",
                Some("8")
            )
        );
        assert_eq!(
            analysed("42803", "aggregate functions are not allowed in WHERE", "select 1"),
            at("the use of grouping or of an aggregate function is not allowed here", None)
        );
    }

    #[test]
    fn a_notice_passes_only_in_words_that_are_known() {
        let notice =
            |message| [(b'S', "WARNUNG"), (b'V', "WARNING"), (b'C', "25P01"), (b'M', message), (b'W', "x")];
        let known = "there is no transaction in progress";
        let said = told(&notice(known), "commit", &Scope::default(), Occasion::Notice).unwrap();
        assert_eq!(of(&said, 'M'), Some(known));
        assert_eq!(told(&notice("row 123-45-6789"), "", &scope(true), Occasion::Notice), None);
        for (severity, passes) in [("NOTICE", true), ("DEBUG1", false), ("LOG", false)] {
            let said =
                [(b'S', severity), (b'V', severity), (b'C', "00000"), (b'M', "relation 16402 is here")];
            assert_eq!(told(&said, "", &scope(false), Occasion::Notice).is_some(), passes, "{severity}");
        }
    }
}
