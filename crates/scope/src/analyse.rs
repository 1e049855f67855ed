//! From a text to an [`Analysis`].

use std::sync::Arc;

use aws_lc_rs::digest;
use chaperone_access::{
    Analysis, Confined, Effect, FreeText, Member, Refusal, RefusalCode, Rewrite, Scope, SessionEffect,
    Subjects, Touch, TransactionStep, Verb, Verbs,
};

use crate::catalog::Catalog;
use crate::limits;
use crate::lineage;
use crate::pool;
use crate::rewrite::{Place, rewrite};
use crate::settings::{self, APPLICATION};
use crate::tree::{self, Fields, Parsed, Value, constant, flag, node, number, text};
use crate::walk::{self, Found, Walk};

/// Texts up to this may be analysed on any thread: no tree of so short a text is deep. It is also what is written out
/// only when it is asked for.
pub const AT_ONCE_BYTES_MAX: usize = 512;

/// `DiscardMode` of temporary tables.
const DISCARD_TEMP: i64 = pg_query::protobuf::DiscardMode::DiscardTemp as i64;

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

/// Understand a string of statements against a catalog and a search path. Never fails: what cannot be understood is an
/// analysis that only a caller with every verb on the whole target may run, and what could harm us is `forbidden`.
///
/// To be called on a thread with a deep stack ([`crate::Analyser`] does): the depth of a tree is bounded, its stack
/// is not small.
#[must_use]
pub fn analyse(
    text: &Arc<str>,
    path: &Arc<[Arc<str>]>,
    temporary: &Arc<[Arc<str>]>,
    catalog: &Arc<Catalog>,
) -> Analysis {
    if let Err(refusal) = limits::check(text) {
        let unreadable = refusal.code == RefusalCode::SyntaxError;
        let tag = if unreadable { "(unparsed)" } else { "(too complex)" };
        return opaque(text, catalog, tag, refusal.clone(), Some(refusal).filter(|_| !unreadable));
    }
    let parsed = match tree::parse(text) {
        Ok(parsed) => parsed,
        Err(unreadable) => {
            let refusal = Refusal::new(RefusalCode::SyntaxError, unreadable.message);
            return opaque(text, catalog, "(unparsed)", refusal, None);
        }
    };
    let statements = parsed.statements(text);
    let count = statements.len();
    let mut members = Vec::with_capacity(count);
    let mut known = temporary.to_vec();
    let (mut views, mut moved, mut describes) = (false, false, false);
    let mut tables = Tables::default();
    let (mut refusal, mut forbidden): (Option<Refusal>, Option<Refusal>) = (None, None);
    for (statement, span) in statements {
        let place = Place { catalog, path, temporary: &known };
        let mut found = Walk::new(place, moved).statement(statement);
        forbidden = forbidden.or(found.forbidden.take());
        describes |= found.describes;
        refusal = refusal.or(found.refusal.clone());
        let source = text.get(span).unwrap_or_default();
        let member = member(statement, found, source, place, &Own { path, temporary: &known, catalog });
        views |= member.touches.iter().any(|touch| is_view(catalog, &touch.relation));
        remember(&mut known, &member.session);
        if moved && !member.touches.is_empty() {
            refusal = refusal.or_else(|| Some(Refusal::moved_before()));
        }
        tables.note(&member.session);
        moved |= moves(&member.session) || tables.are_taken_back(&member.session);
        members.push(member);
    }
    if refusal.is_some() {
        // Not provably read-only unless every node of it is on the list.
        members.iter_mut().for_each(|member| member.effect = Effect::MayWrite);
    }
    let replaced = replaced(text, &parsed).map(Arc::<str>::from);
    let confined = match refusal {
        Some(refusal) => Confined::made(Err(refusal)),
        None if let Some(replaced) = &replaced => analyse(replaced, path, temporary, catalog).confined,
        None => Confined::by(Rewriting {
            text: text.clone(),
            path: path.clone(),
            temporary: temporary.clone(),
            catalog: catalog.clone(),
            deep: views || text.len() > AT_ONCE_BYTES_MAX,
        }),
    };
    Analysis {
        text: text.clone(),
        members: members.into(),
        confined,
        replaced,
        forbidden,
        catalog_version: catalog.version,
        classified: catalog.classification.is_some(),
        describes: describes.then(|| catalog.own.clone()),
        invokes: None,
    }
}

/// Which temporary relations there are for the next statement.
fn remember(known: &mut Vec<Arc<str>>, effect: &SessionEffect) {
    if let SessionEffect::MakesTemporary { name, .. } = effect {
        known.push(name.clone());
    }
    if let SessionEffect::DropsTemporary { names } = effect {
        known.retain(|known| !names.contains(known));
    }
}

/// Writes a text out for what a caller sees.
struct Rewriting {
    text: Arc<str>,
    path: Arc<[Arc<str>]>,
    temporary: Arc<[Arc<str>]>,
    catalog: Arc<Catalog>,
    /// Its trees may be too deep for the stack of whoever asks.
    deep: bool,
}

impl Rewrite for Rewriting {
    fn rewrite(&self, scope: &Scope) -> Result<Arc<str>, Refusal> {
        let write = || {
            let place = Place { catalog: &self.catalog, path: &self.path, temporary: &self.temporary };
            rewrite(&self.text, place, scope)
        };
        if self.deep { pool::on_a_deep_stack(write) } else { write() }
    }

    fn is_deep(&self) -> bool {
        self.deep
    }
}

/// Where a statement inside of another is analysed.
struct Own<'a> {
    path: &'a Arc<[Arc<str>]>,
    /// There when it runs: those that the string has made before, too.
    temporary: &'a [Arc<str>],
    catalog: &'a Arc<Catalog>,
}

fn is_view(catalog: &Catalog, name: &chaperone_access::RelationName) -> bool {
    catalog.relations.get(name).is_some_and(|relation| relation.kind == b'v')
}

/// The text with every SET and SHOW of `application_name` turned to the setting of ours that keeps the client's own
/// value, and with words that leave the session's role what it is in the place of those that would only seem to. `None`
/// where there is none.
fn replaced(text: &str, parsed: &Parsed) -> Option<String> {
    const NAME: &str = "application_name";
    let mut out = String::new();
    let mut from = 0;
    for (statement, span) in parsed.statements(text) {
        let Some((kind, fields)) = node(statement) else { continue };
        let name = tree::text(fields, "name");
        let role = kind == "VariableSetStmt" && is_seeming(name, fields);
        if !role && !name.eq_ignore_ascii_case(NAME) {
            continue;
        }
        let source = text.get(span.clone())?;
        let local = if flag(fields, "is_local") { "LOCAL " } else { "" };
        let words = match kind {
            _ if role => walk::stays_itself(fields)?.to_owned(),
            "VariableShowStmt" => {
                format!("SELECT COALESCE(pg_catalog.current_setting('{APPLICATION}', true), '') AS {NAME}")
            }
            "VariableSetStmt" => match application_value(fields) {
                Some(value) => format!("SET {local}{APPLICATION} TO '{}'", value.replace('\'', "''")),
                None => format!("SET {local}{APPLICATION} TO ''"),
            },
            _ => continue,
        };
        out.push_str(text.get(from..span.start)?);
        // The space before a statement belongs to it.
        out.push_str(source.get(..source.len() - source.trim_start().len())?);
        out.push_str(&words);
        from = span.end;
    }
    if from == 0 {
        return None;
    }
    out.push_str(text.get(from..)?);
    Some(out)
}

/// Whether a SET names the session's role without changing it in words that would end it.
fn is_seeming(name: &str, fields: &Fields) -> bool {
    let role = name.eq_ignore_ascii_case("role");
    let value = fields.get("args").is_some();
    settings::identity(name) && (!role || value) && walk::stays_itself(fields).is_some()
}

/// What `SET application_name` names: at most what PostgreSQL keeps, and nothing that its log could not show.
fn application_value(fields: &Fields) -> Option<String> {
    let values = fields.get("args").and_then(Value::as_array)?;
    let value: String = values.first().and_then(constant)?.chars().filter(|c| !c.is_control()).collect();
    (!value.contains('\\')).then_some(value)
}

fn opaque(
    text: &Arc<str>,
    catalog: &Catalog,
    tag: &'static str,
    refusal: Refusal,
    forbidden: Option<Refusal>,
) -> Analysis {
    let member = Member {
        tag,
        template: sha256(tag.as_bytes()),
        touches: Vec::new(),
        whole: Verbs::NONE,
        effect: Effect::MayWrite,
        session: SessionEffect::ChangesCatalog,
        uses: Arc::from([]),
        subjects: Subjects::None,
        free_text: FreeText::None,
        results: None,
        names_unknown: false,
    };
    Analysis {
        text: text.clone(),
        members: Arc::from([member]),
        confined: Confined::made(Err(refusal)),
        replaced: None,
        forbidden,
        catalog_version: catalog.version,
        classified: catalog.classification.is_some(),
        describes: None,
        invokes: None,
    }
}

/// What statements of one string have done to temporary tables. One that failed would have ended the string.
#[derive(Default)]
struct Tables {
    moved: bool,
    passing: bool,
}

impl Tables {
    fn note(&mut self, effect: &SessionEffect) {
        if let SessionEffect::MakesTemporary { passing, .. } = effect {
            (self.moved, self.passing) = (true, self.passing || *passing);
        }
        self.moved |= matches!(effect, SessionEffect::DropsTemporary { .. });
    }

    /// Whether a statement takes some of it back, so that names after it may mean something else.
    fn are_taken_back(&self, by: &SessionEffect) -> bool {
        match by.step() {
            Some(TransactionStep::Rollback | TransactionStep::RollbackTo { .. }) => self.moved,
            Some(TransactionStep::Commit | TransactionStep::Prepare) => self.passing,
            Some(
                TransactionStep::Begin | TransactionStep::Savepoint { .. } | TransactionStep::Release { .. },
            )
            | None => false,
        }
    }
}

/// Whether what comes after it in the same string may mean something else than the catalog says.
fn moves(effect: &SessionEffect) -> bool {
    match effect {
        SessionEffect::SetsSearchPath { .. } | SessionEffect::DiscardsAll | SessionEffect::ChangesCatalog => {
            true
        }
        SessionEffect::None
        | SessionEffect::NamesApplication { .. }
        | SessionEffect::Declares { .. }
        | SessionEffect::MakesTemporary { .. }
        | SessionEffect::DropsTemporary { .. }
        | SessionEffect::Fetches { .. }
        | SessionEffect::Closes { .. }
        | SessionEffect::Transaction(_)
        | SessionEffect::Prepares { .. }
        | SessionEffect::Executes { .. }
        | SessionEffect::Deallocates { .. } => false,
    }
}

fn member(statement: &Value, found: Found, text: &str, place: Place<'_>, own: &Own<'_>) -> Member {
    let template =
        pg_query::normalize(text).map_or_else(|_| sha256(b"(none)"), |text| sha256(text.trim().as_bytes()));
    let (kind, fields) = match node(statement) {
        Some((kind, fields)) => (kind, Some(fields)),
        None => ("", None),
    };
    let empty = Fields::default();
    let fields = fields.unwrap_or(&empty);
    let (tag, mut class) = classify(kind, fields);
    let temporary = walk::temporary_made(kind, fields).is_some() || walk::temporary_drop(fields, place);
    if temporary || walk::alters_temporary(kind, fields, place) {
        class = Class::Other;
    }
    let mut whole = found.whole;
    let read_only = match class {
        Class::Query => !found.volatile && !found.locks && !found.writes,
        Class::Session => true,
        Class::Define => {
            whole = whole.with(Verb::Define);
            false
        }
        Class::Other => false,
    };
    let session = session_effect(kind, fields, text, temporary, own, class);
    let names_unknown = found.names_unknown;
    let mut touches: Vec<Touch> = found.into_touches(place.catalog);
    if class == Class::Define {
        // What data definition names is defined, whatever else is done with it.
        for touch in &mut touches {
            touch.verbs = touch.verbs.with(Verb::Define);
        }
    }
    let traced = lineage::trace(statement, place, &touches);
    let effect = if read_only { Effect::ReadOnly } else { Effect::MayWrite };
    Member {
        tag,
        template,
        touches,
        whole,
        effect,
        session,
        uses: traced.uses,
        subjects: traced.subjects,
        free_text: traced.free_text,
        results: traced.results,
        names_unknown: names_unknown || traced.names_unknown,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// SELECT, VALUES, TABLE, and what only shows or explains one.
    Query,
    /// Changes nothing but the session.
    Session,
    /// Data definition.
    Define,
    /// Everything else.
    Other,
}

fn classify(kind: &str, fields: &Fields) -> (&'static str, Class) {
    match kind {
        "SelectStmt" => ("SELECT", Class::Query),
        "ExplainStmt" => ("EXPLAIN", if walk::analyses(fields) { Class::Other } else { Class::Query }),
        "VariableShowStmt" => ("SHOW", Class::Session),
        "TransactionStmt" => transaction_tag(number(fields, "kind")),
        "InsertStmt" => ("INSERT", Class::Other),
        "UpdateStmt" => ("UPDATE", Class::Other),
        "DeleteStmt" => ("DELETE", Class::Other),
        "MergeStmt" => ("MERGE", Class::Other),
        // Where it loads rows, the walk has found that it writes.
        "CopyStmt" => ("COPY", Class::Query),
        "VariableSetStmt" => ("SET", Class::Other),
        "ConstraintsSetStmt" => ("SET CONSTRAINTS", Class::Other),
        "PrepareStmt" => ("PREPARE", Class::Other),
        "ExecuteStmt" => ("EXECUTE", Class::Other),
        "DeallocateStmt" => ("DEALLOCATE", Class::Session),
        "DeclareCursorStmt" => ("DECLARE CURSOR", Class::Query),
        "FetchStmt" => ("FETCH", Class::Query),
        "ClosePortalStmt" => ("CLOSE CURSOR", Class::Session),
        "DiscardStmt" => ("DISCARD", Class::Other),
        "ListenStmt" => ("LISTEN", Class::Other),
        "UnlistenStmt" => ("UNLISTEN", Class::Other),
        "NotifyStmt" => ("NOTIFY", Class::Other),
        "TruncateStmt" => ("TRUNCATE TABLE", Class::Other),
        "CallStmt" => ("CALL", Class::Other),
        "DoStmt" => ("DO", Class::Other),
        "LockStmt" => ("LOCK TABLE", Class::Other),
        "CreateStmt" => ("CREATE TABLE", Class::Define),
        "CreateTableAsStmt" => ("CREATE TABLE AS", Class::Define),
        "ViewStmt" => ("CREATE VIEW", Class::Define),
        "IndexStmt" => ("CREATE INDEX", Class::Define),
        "CreateFunctionStmt" => ("CREATE FUNCTION", Class::Define),
        "CreateSchemaStmt" => ("CREATE SCHEMA", Class::Define),
        "AlterTableStmt" => ("ALTER TABLE", Class::Define),
        "RenameStmt" => ("ALTER", Class::Define),
        "DropStmt" => ("DROP", Class::Define),
        "GrantStmt" | "GrantRoleStmt" => ("GRANT", Class::Define),
        "CommentStmt" => ("COMMENT", Class::Define),
        "VacuumStmt" => ("VACUUM", Class::Define),
        _ => ("(other)", Class::Define),
    }
}

/// `TransactionStmtKind` of the grammar, which numbers from 1.
fn transaction_tag(kind: i64) -> (&'static str, Class) {
    match kind {
        1 | 2 => ("BEGIN", Class::Session),
        3 => ("COMMIT", Class::Other),
        4 => ("ROLLBACK", Class::Session),
        5 => ("SAVEPOINT", Class::Session),
        6 => ("RELEASE", Class::Session),
        7 => ("ROLLBACK", Class::Session),
        _ => ("PREPARE TRANSACTION", Class::Other),
    }
}

fn session_effect(
    kind: &str,
    fields: &Fields,
    source: &str,
    temporary: bool,
    own: &Own<'_>,
    class: Class,
) -> SessionEffect {
    let savepoint = || Arc::from(text(fields, "savepoint_name"));
    match kind {
        "DropStmt" if temporary => SessionEffect::DropsTemporary {
            names: walk::dropped(fields).into_iter().map(Arc::from).collect(),
        },
        _ if temporary && walk::executed(fields).is_none() => {
            let name = walk::temporary_made(kind, fields).unwrap_or_default();
            SessionEffect::MakesTemporary {
                name: Arc::from(name),
                passing: walk::is_passing(kind, fields),
                unless_there: flag(fields, "if_not_exists"),
            }
        }
        "TransactionStmt" => SessionEffect::Transaction(match number(fields, "kind") {
            1 | 2 => TransactionStep::Begin,
            3 => TransactionStep::Commit,
            4 => TransactionStep::Rollback,
            5 => TransactionStep::Savepoint { name: savepoint() },
            6 => TransactionStep::Release { name: savepoint() },
            7 => TransactionStep::RollbackTo { name: savepoint() },
            _ => TransactionStep::Prepare,
        }),
        "PrepareStmt" => {
            let inner = fields.get("query").map(|query| inner(query, source, own));
            inner.map_or(SessionEffect::None, |inner| SessionEffect::Prepares {
                name: Arc::from(text(fields, "name")),
                inner: Arc::new(inner),
            })
        }
        "ExecuteStmt" => SessionEffect::Executes { name: Arc::from(text(fields, "name")) },
        "DeclareCursorStmt" => SessionEffect::Declares { name: Arc::from(text(fields, "portalname")) },
        "FetchStmt" => SessionEffect::Fetches { name: Arc::from(text(fields, "portalname")) },
        "ClosePortalStmt" => {
            let name = text(fields, "portalname");
            SessionEffect::Closes { name: (!name.is_empty()).then(|| Arc::from(name)) }
        }
        "DeallocateStmt" => {
            let name = text(fields, "name");
            SessionEffect::Deallocates { name: (!name.is_empty()).then(|| Arc::from(name)) }
        }
        // DISCARD ALL is the first of its kinds.
        "DiscardStmt" if number(fields, "target") == 1 => SessionEffect::DiscardsAll,
        "DiscardStmt" if number(fields, "target") == DISCARD_TEMP => {
            SessionEffect::DropsTemporary { names: own.temporary.into() }
        }
        "VariableSetStmt" => setting_effect(fields),
        "ExplainStmt" | "CreateTableAsStmt" => {
            match (walk::executed(fields), walk::made_on_the_way(fields)) {
                (Some(name), _) => SessionEffect::Executes { name: Arc::from(name) },
                (None, Some((name, (kind, made)))) => SessionEffect::MakesTemporary {
                    name: Arc::from(name),
                    passing: walk::is_passing(kind, made),
                    unless_there: flag(made, "if_not_exists"),
                },
                (None, None) if class == Class::Define => SessionEffect::ChangesCatalog,
                (None, None) => SessionEffect::None,
            }
        }
        "DoStmt" | "CallStmt" => SessionEffect::ChangesCatalog,
        _ if class == Class::Define => SessionEffect::ChangesCatalog,
        _ => SessionEffect::None,
    }
}

/// What running a prepared statement does: the statement inside it. Its words are those of the whole PREPARE, so that it
/// can be seen whether they are still what the caller may have.
fn inner(query: &Value, source: &str, own: &Own<'_>) -> Analysis {
    let place = Place { catalog: own.catalog, path: own.path, temporary: own.temporary };
    let found = Walk::new(place, false).statement(query);
    let confined = match &found.refusal {
        Some(refusal) => Confined::made(Err(refusal.clone())),
        None => Confined::by(Rewriting {
            text: Arc::from(source),
            path: own.path.clone(),
            temporary: own.temporary.into(),
            catalog: own.catalog.clone(),
            deep: true,
        }),
    };
    let (forbidden, describes) = (found.forbidden.clone(), found.describes);
    let member = member(query, found, source, place, own);
    Analysis {
        text: Arc::from(source),
        members: Arc::from([member]),
        confined,
        replaced: None,
        forbidden,
        catalog_version: own.catalog.version,
        classified: own.catalog.classification.is_some(),
        describes: describes.then(|| own.catalog.own.clone()),
        invokes: None,
    }
}

fn setting_effect(fields: &Fields) -> SessionEffect {
    let name = text(fields, "name");
    // VAR_RESET_ALL has no name.
    if name.is_empty() {
        return SessionEffect::SetsSearchPath { path: None, local: false };
    }
    if name.eq_ignore_ascii_case("application_name") {
        let name = application_value(fields).unwrap_or_default();
        return SessionEffect::NamesApplication { name: Arc::from(name) };
    }
    if !name.eq_ignore_ascii_case("search_path") {
        return SessionEffect::None;
    }
    let values = fields.get("args").and_then(Value::as_array);
    let path: Vec<Arc<str>> = values.into_iter().flatten().filter_map(constant).map(Arc::from).collect();
    SessionEffect::SetsSearchPath {
        path: (!path.is_empty()).then_some(path),
        local: flag(fields, "is_local"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
