//! From a text to an [`Analysis`].

use std::sync::Arc;

use aws_lc_rs::digest;
use chaperone_access::{
    Analysis, Confined, Effect, Member, NameRule, Refusal, RefusalCode, Rewrite, Scope, SessionEffect,
    Subjects, Touch, TransactionStep, Verb, Verbs,
};

use crate::catalog::Catalog;
use crate::limits;
use crate::settings::APPLICATION;
use crate::tree::{self, Fields, Likeness, Parsed, Value, alike, constant, flag, node, number, text, unset};
use crate::walk::{Found, Walk};

/// Texts up to this may be analysed on any thread: no tree of so short a text is deep. It is also what is written out
/// only when it is asked for.
pub const AT_ONCE_BYTES_MAX: usize = 512;

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
pub fn analyse(text: &Arc<str>, path: &[Arc<str>], catalog: &Arc<Catalog>) -> Analysis {
    if let Err(refusal) = limits::check(text) {
        return opaque(text, catalog, "(too complex)", refusal.clone(), Some(refusal));
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
    let mut insertions = std::collections::BTreeMap::new();
    let mut refusal: Option<Refusal> = None;
    let mut forbidden = None;
    let mut moved = false;
    for (statement, span) in statements {
        let mut found = Walk::new(catalog, path, moved).statement(statement);
        insertions.append(&mut found.insertions);
        forbidden = forbidden.or(found.forbidden.take());
        refusal = refusal.or(found.refusal.clone());
        let member =
            member(statement, found, text.get(span.clone()).unwrap_or_default(), span, catalog, path);
        let names = member.touches.iter().any(|touch| touch.rule != NameRule::Listed);
        if moved && names {
            refusal = refusal.or_else(|| {
                Some(
                    Refusal::new(
                        RefusalCode::NotUnderstood,
                        "a statement before this one in the same string changes what its names mean",
                    )
                    .hint("send them one by one"),
                )
            });
        }
        moved |= moves(&member.session);
        members.push(member);
    }
    if refusal.is_some() {
        // Not provably read-only unless every node of it is on the list.
        for member in &mut members {
            member.effect = Effect::MayWrite;
        }
    }
    let replaced = application(text, &parsed).map(Arc::<str>::from);
    let confined = match refusal {
        Some(refusal) => Confined::made(Err(refusal)),
        None if let Some(replaced) = &replaced => analyse(replaced, path, catalog).confined,
        // Most callers of short texts are asked about once; whoever has every verb never needs this half of the work.
        None if text.len() <= AT_ONCE_BYTES_MAX => {
            Confined::by(Qualify { text: text.clone(), insertions, catalog: catalog.clone() })
        }
        None => Confined::made(written_out(text, &parsed, &insertions, catalog)),
    };
    Analysis { text: text.clone(), members, confined, replaced, forbidden, catalog_version: catalog.version }
}

struct Qualify {
    text: Arc<str>,
    insertions: std::collections::BTreeMap<usize, String>,
    catalog: Arc<Catalog>,
}

impl Rewrite for Qualify {
    fn rewrite(&self, _scope: &Scope) -> Result<Arc<str>, Refusal> {
        let parsed = tree::parse(&self.text).map_err(|_| unfaithful())?;
        written_out(&self.text, &parsed, &self.insertions, &self.catalog)
    }
}

/// The text with every SET and SHOW of `application_name` turned to the setting of ours that keeps the client's own
/// value. `None` where there is none.
fn application(text: &str, parsed: &Parsed) -> Option<String> {
    const NAME: &str = "application_name";
    let mut out = String::new();
    let mut from = 0;
    for (statement, span) in parsed.statements(text) {
        let Some((kind, fields)) = node(statement) else { continue };
        if !tree::text(fields, "name").eq_ignore_ascii_case(NAME) {
            continue;
        }
        let source = text.get(span.clone())?;
        let local = if flag(fields, "is_local") { "LOCAL " } else { "" };
        let words = match kind {
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
        span: 0..text.len(),
        template: sha256(tag.as_bytes()),
        touches: Vec::new(),
        whole: Verbs::NONE,
        effect: Effect::MayWrite,
        session: SessionEffect::ChangesCatalog,
        uses: Arc::from([]),
        subjects: Subjects::None,
    };
    Analysis {
        text: text.clone(),
        members: vec![member],
        confined: Confined::made(Err(refusal)),
        replaced: None,
        forbidden,
        catalog_version: catalog.version,
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
        | SessionEffect::Fetches { .. }
        | SessionEffect::Transaction(_)
        | SessionEffect::Prepares { .. }
        | SessionEffect::Executes { .. }
        | SessionEffect::Deallocates { .. } => false,
    }
}

fn unfaithful() -> Refusal {
    Refusal::new(RefusalCode::NotUnderstood, "the statement cannot be written out faithfully")
        .hint("write it in another way")
}

/// The tree with every name qualified, written out; or why that cannot be relied on.
///
/// Names are completed in the text, at the places that the parser gave. That this did what was meant, and nothing else,
/// is checked on trees: the completed text's tree is what is written out, and what was written out has to parse to that
/// very tree again, with nothing in it left to resolve.
fn written_out(
    text: &str,
    parsed: &Parsed,
    insertions: &std::collections::BTreeMap<usize, String>,
    catalog: &Catalog,
) -> Result<Arc<str>, Refusal> {
    let mut completed = String::with_capacity(text.len() + 16 * insertions.len());
    let mut from = 0;
    for (at, prefix) in insertions {
        completed.push_str(text.get(from..*at).ok_or_else(unfaithful)?);
        completed.push_str(prefix);
        from = *at;
    }
    completed.push_str(text.get(from..).ok_or_else(unfaithful)?);
    let completed = tree::parse(&completed).map_err(|_| unfaithful())?;
    if !alike(&completed.tree, &parsed.tree, Likeness::Unqualified) {
        return Err(unfaithful());
    }
    let sent = completed.write_out().ok_or_else(unfaithful)?;
    let again = tree::parse(&sent).map_err(|_| unfaithful())?;
    if !alike(&again.tree, &completed.tree, Likeness::Meaning) {
        return Err(unfaithful());
    }
    let mut ctes = std::collections::BTreeSet::new();
    again.tree.each(&mut |fields| ctes.extend(fields.get("ctename").and_then(Value::as_str)));
    if !qualified(&again.tree, &ctes, catalog) {
        return Err(unfaithful());
    }
    Ok(Arc::from(sent))
}

/// The independent check on what is sent: every relation is named with its schema or is one of the text's own common
/// table expressions, which have names that no table has; every function is named with its schema.
fn qualified(value: &Value, ctes: &std::collections::BTreeSet<&str>, catalog: &Catalog) -> bool {
    let each = |fields: &Fields| {
        let name = text(fields, "relname");
        let named = name.is_empty()
            || !text(fields, "schemaname").is_empty()
            || (ctes.contains(name) && !catalog.names.contains(name));
        named && tree::strings(fields, "funcname").len() != 1
    };
    match value {
        // It names relations of the statement itself, which are checked where they stand.
        Value::Object(fields) | Value::Node(_, fields) if fields.get("locked_rels").is_some() => true,
        Value::Object(fields) | Value::Node(_, fields) => {
            each(fields) && fields.values().all(|value| qualified(value, ctes, catalog))
        }
        Value::Array(items) => items.iter().all(|value| qualified(value, ctes, catalog)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => true,
    }
}

fn member(
    statement: &Value,
    found: Found,
    text: &str,
    span: std::ops::Range<usize>,
    catalog: &Catalog,
    path: &[Arc<str>],
) -> Member {
    let template =
        pg_query::normalize(text).map_or_else(|_| sha256(b"(none)"), |text| sha256(text.trim().as_bytes()));
    let (kind, fields) = match node(statement) {
        Some((kind, fields)) => (kind, Some(fields)),
        None => ("", None),
    };
    let empty = Fields::default();
    let fields = fields.unwrap_or(&empty);
    let (tag, class) = classify(kind, fields);
    let mut whole = found.whole;
    let analyses = analyses(kind, fields);
    let read_only = match class {
        Class::Query => {
            let into = fields.get("into_clause").is_some_and(|value| !unset(value));
            !found.volatile && !found.locks && !found.writes && !into
        }
        Class::Session => !found.writes && !found.volatile && !analyses,
        Class::Define => {
            whole = whole.with(Verb::Define);
            false
        }
        Class::Other => false,
    };
    let session = session_effect(kind, fields, text, catalog, path, class);
    let mut touches: Vec<Touch> = found.into_touches();
    if class == Class::Define {
        // What data definition names is defined, whatever else is done with it.
        for touch in &mut touches {
            touch.verbs = touch.verbs.with(Verb::Define);
        }
    }
    let effect = if read_only { Effect::ReadOnly } else { Effect::MayWrite };
    Member {
        tag,
        span,
        template,
        touches,
        whole,
        effect,
        session,
        uses: Arc::from([]),
        subjects: Subjects::None,
    }
}

/// EXPLAIN ANALYZE runs what it explains.
fn analyses(kind: &str, fields: &Fields) -> bool {
    let options = fields.get("options").and_then(Value::as_array);
    kind == "ExplainStmt"
        && options
            .into_iter()
            .flatten()
            .filter_map(node)
            .any(|(_, option)| text(option, "defname") == "analyze")
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
        "ExplainStmt" => ("EXPLAIN", if analyses(kind, fields) { Class::Other } else { Class::Query }),
        "VariableShowStmt" => ("SHOW", Class::Session),
        "TransactionStmt" => transaction_tag(number(fields, "kind")),
        "InsertStmt" => ("INSERT", Class::Other),
        "UpdateStmt" => ("UPDATE", Class::Other),
        "DeleteStmt" => ("DELETE", Class::Other),
        "MergeStmt" => ("MERGE", Class::Other),
        "CopyStmt" => {
            let from = flag(fields, "is_from");
            ("COPY", if from { Class::Other } else { Class::Query })
        }
        "VariableSetStmt" => ("SET", Class::Other),
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
    catalog: &Catalog,
    path: &[Arc<str>],
    class: Class,
) -> SessionEffect {
    match kind {
        "TransactionStmt" => SessionEffect::Transaction(match number(fields, "kind") {
            1 | 2 => TransactionStep::Begin,
            3 => TransactionStep::Commit,
            4 => TransactionStep::Rollback,
            5..=7 => TransactionStep::Savepoint,
            _ => TransactionStep::Prepare,
        }),
        "PrepareStmt" => {
            let inner = fields.get("query").map(|query| inner(query, source, catalog, path));
            inner.map_or(SessionEffect::None, |inner| SessionEffect::Prepares {
                name: Arc::from(text(fields, "name")),
                inner: Arc::new(inner),
            })
        }
        "ExecuteStmt" => SessionEffect::Executes { name: Arc::from(text(fields, "name")) },
        "DeclareCursorStmt" => SessionEffect::Declares { name: Arc::from(text(fields, "portalname")) },
        "FetchStmt" => SessionEffect::Fetches { name: Arc::from(text(fields, "portalname")) },
        "DeallocateStmt" => {
            let name = text(fields, "name");
            SessionEffect::Deallocates { name: (!name.is_empty()).then(|| Arc::from(name)) }
        }
        // DISCARD ALL is the first of its kinds.
        "DiscardStmt" if number(fields, "target") == 1 => SessionEffect::DiscardsAll,
        "VariableSetStmt" => setting_effect(fields),
        "ExplainStmt" | "CreateTableAsStmt" => {
            match fields.get("query").and_then(node).filter(|(kind, _)| *kind == "ExecuteStmt") {
                Some((_, execute)) => SessionEffect::Executes { name: Arc::from(text(execute, "name")) },
                None if class == Class::Define => SessionEffect::ChangesCatalog,
                None => SessionEffect::None,
            }
        }
        "DoStmt" | "CallStmt" => SessionEffect::ChangesCatalog,
        _ if class == Class::Define => SessionEffect::ChangesCatalog,
        _ => SessionEffect::None,
    }
}

/// What running a prepared statement does: the statement inside it.
fn inner(query: &Value, source: &str, catalog: &Catalog, path: &[Arc<str>]) -> Analysis {
    let found = Walk::new(catalog, path, false).statement(query);
    let confined = Confined::made(found.refusal.clone().map_or_else(|| Ok(Arc::from(source)), Err));
    let forbidden = found.forbidden.clone();
    let member = member(query, found, source, 0..source.len(), catalog, path);
    Analysis {
        text: Arc::from(source),
        members: vec![member],
        confined,
        replaced: None,
        forbidden,
        catalog_version: catalog.version,
    }
}

fn setting_effect(fields: &Fields) -> SessionEffect {
    let name = text(fields, "name");
    // VAR_RESET_ALL has no name.
    if name.is_empty() {
        return SessionEffect::SetsSearchPath { path: None };
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
    SessionEffect::SetsSearchPath { path: (!path.is_empty()).then_some(path) }
}

#[cfg(test)]
pub(crate) mod tests;
