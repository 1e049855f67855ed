//! What a caller sees, for his tools: the columns of a result, the database, and what he may ask for. From the code that
//! explains policies; it decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use chaperone_access::{Analysis, Delegation, Refusal, RefusalCode, RelationName, Showing};
use chaperone_mcp::Answer;
use chaperone_policy::{Because, Explanation, Finding, OfStatement, Ruling, Seen, UsedColumn, WouldChange};
use chaperone_postgres::guest::{ResultShape, type_name};
use chaperone_scope::Catalog;
use chaperone_trail::CallOutcome;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::tools::{Done, OfCaller};
use crate::wiring::installation::now_us;
use crate::wiring::policies::world;

/// Bytes of a description of the database; beyond it only names are listed.
const DESCRIPTION_BYTES_MAX: usize = 192 * 1024;
/// Longest name of a relation or schema that is asked for, in bytes.
const RELATION_BYTES_MAX: usize = 256;
/// Names that are listed then.
const NAMES_MAX: usize = 2000;
/// Explanations under way: each asks policy about every relation of a target.
static LOOKS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// Arguments of `describe_schema`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribeArguments {
    pub(super) relation: Option<String>,
    pub(super) purpose: Option<String>,
}

impl DescribeArguments {
    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<String> {
        let long = self.relation.as_ref().is_some_and(|relation| relation.len() > RELATION_BYTES_MAX);
        long.then(|| format!("`relation` has {RELATION_BYTES_MAX} bytes at most"))
    }
}

/// Arguments of `explain_access`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainArguments {
    pub(super) sql: Option<String>,
    pub(super) purpose: Option<String>,
}

/// The columns of a result, as its caller is told of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    shown: Vec<Value>,
    /// Columns that the statement uses and of which something else than the values is seen.
    not_revealed: Vec<Value>,
}

fn column(shape: &ResultShape) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("name".to_owned(), shape.name.clone().into());
    members.insert("type".to_owned(), type_name(shape.type_oid).into());
    members
}

impl Columns {
    /// Of a target that is not classified: nothing is hidden of what may be read.
    pub(super) fn plain(shapes: Vec<ResultShape>) -> Self {
        let shown = shapes.iter().map(|shape| Value::Object(column(shape))).collect();
        Self { shown, not_revealed: Vec::new() }
    }

    /// By what the statement uses, and what of that is seen.
    pub(super) fn seen(shapes: Vec<ResultShape>, analysis: &Analysis, used: &[UsedColumn]) -> Self {
        let member = analysis.members.first();
        let results = member.and_then(|member| member.results.as_ref());
        // They were told without the target: they hold only where they name what the target returned.
        let results = results.filter(|results| {
            let named = |(result, shape): (&chaperone_access::ResultColumn, &ResultShape)| {
                result.name.is_empty() || *result.name == *shape.name
            };
            results.len() == shapes.len() && results.iter().zip(&shapes).all(named)
        });
        let uses = member.map(|member| member.uses.clone()).unwrap_or_default();
        let of = |relation: &RelationName, name: &str| {
            let relation = relation.to_string();
            used.iter().find(|used| used.relation == relation && used.column == name)
        };
        let mut shown = Vec::with_capacity(shapes.len());
        for (place, shape) in shapes.iter().enumerate() {
            let mut members = column(shape);
            if let Some(result) = results.and_then(|results| results.get(place)) {
                let made_of: Vec<&UsedColumn> = result
                    .made_of
                    .iter()
                    .filter_map(|place| uses.get(usize::from(*place)))
                    .filter_map(|column| of(&column.relation, &column.column))
                    .collect();
                let showing = made_of.iter().map(|used| used.showing).max().unwrap_or(Showing::Revealed);
                members.insert("shown".to_owned(), showing.as_str().into());
                let because: Vec<String> = made_of
                    .iter()
                    .filter(|used| used.showing != Showing::Revealed)
                    .map(|used| {
                        format!("{}.{}: {}", used.relation, used.column, why(used.showing, &used.because))
                    })
                    .collect();
                if !because.is_empty() {
                    members.insert("because".to_owned(), because.into());
                }
            }
            shown.push(Value::Object(members));
        }
        let not_revealed = used.iter().filter(|used| used.showing != Showing::Revealed).map(|used| {
            json!({"column": format!("{}.{}", used.relation, used.column), "shown": used.showing.as_str(),
                "because": why(used.showing, &used.because)})
        });
        Self { shown, not_revealed: not_revealed.collect() }
    }

    pub(super) fn shown(&self) -> &[Value] {
        &self.shown
    }

    pub(super) fn not_revealed(&self) -> Option<Value> {
        (!self.not_revealed.is_empty()).then(|| self.not_revealed.clone().into())
    }
}

/// Why something is shown or not, without the names of policies: those are the administrators'.
fn why(showing: Showing, because: &Because) -> String {
    match (because, showing) {
        (Because::Policies(_), Showing::Revealed) => "it is permitted".to_owned(),
        (Because::Policies(_), Showing::Masked) => "only `useMasked` is permitted".to_owned(),
        (Because::Policies(_), Showing::Hidden) => "it is forbidden".to_owned(),
        (
            Because::Clear
            | Because::Unclassified
            | Because::Everything
            | Because::CannotBeMasked(_)
            | Because::NotPermitted(_)
            | Because::NotAllRows,
            _,
        ) => because.to_string(),
    }
}

/// A fault of ours, in words that say nothing more.
pub(super) fn fault(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%error, "a tool's call failed");
    Refusal::new(RefusalCode::Internal, "the gateway could not do it").hint("its log says why")
}

fn done(content: Value) -> Done {
    Done { answer: Answer::structured(content), outcome: CallOutcome::Ok, code: None, rows: 0 }
}

/// One relation as the caller sees it.
fn relation(seen: &Seen, name: &RelationName, catalog: &Catalog, visible: &BTreeMap<String, &Seen>) -> Value {
    let tagged: BTreeMap<&str, &chaperone_policy::SeenColumn> =
        seen.columns.iter().map(|column| (column.name.as_str(), column)).collect();
    let columns = catalog.typed_columns(name).map(|(column, typ)| {
        let mut members = Map::new();
        members.insert("name".to_owned(), Value::from(column.as_ref()));
        members.insert("type".to_owned(), Value::from(typ.as_ref()));
        if let Some(known) = tagged.get(column.as_ref()) {
            members.insert("shown".to_owned(), known.showing.as_str().into());
            if !known.tags.is_empty() {
                members.insert("tags".to_owned(), known.tags.clone().into());
            }
            if known.showing != Showing::Revealed {
                members.insert("because".to_owned(), why(known.showing, &known.because).into());
            }
            if let Some(mask) = &known.mask {
                members.insert("mask".to_owned(), json!(mask));
            }
        }
        Value::Object(members)
    });
    let references = catalog.references(name).filter(|(_, to, _)| visible.contains_key(&to.to_string())).map(
        |(columns, to, to_columns)| json!({"columns": columns, "to": to.to_string(), "to_columns": to_columns}),
    );
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        if !matches!(&value, Value::Array(list) if list.is_empty()) {
            members.insert(name.to_owned(), value);
        }
    };
    put("relation", seen.relation.clone().into());
    put("kind", catalog.kind(name).into());
    put("allowed", json!(seen.allowed));
    put("needs_approval", json!(seen.held));
    put("columns", columns.collect());
    put("primary_key", json!(catalog.primary_key(name)));
    put("references", references.collect());
    if let Some(rows) = &seen.rows
        && !rows.all
    {
        put("rows", "only those that the relation's filter lets through for you".into());
    }
    Value::Object(members)
}

/// Whether a relation is one that was asked for: by its name, or by its schema's.
fn wanted(name: &RelationName, asked: Option<&str>) -> bool {
    asked.is_none_or(|asked| asked == name.to_string() || asked == &*name.schema || asked == &*name.name)
}

impl OfCaller {
    /// Everything that policy says of the caller at this target.
    async fn explained(
        &self,
        delegation: &Delegation,
        analysis: Option<Arc<Analysis>>,
    ) -> Result<(Explanation, Arc<Catalog>), Refusal> {
        let managed = &self.mcp().managed;
        let catalog = managed.analysts.catalog(self.target()).await?;
        let set = managed.policies.now();
        let world =
            world(&managed.installation, [(self.target().clone(), Some(catalog.clone()))].into_iter());
        let (delegation, target) = (delegation.clone(), self.target().clone());
        let _look = LOOKS.acquire().await.map_err(|error| fault(&error))?;
        let explained = tokio::task::spawn_blocking(move || {
            chaperone_policy::explain(&set, &delegation, &target, &world, analysis.as_ref(), now_us())
        });
        Ok((explained.await.map_err(|error| fault(&error))?, catalog))
    }

    /// The database as the caller sees it.
    pub(super) async fn describe(&self, delegation: &Delegation, arguments: &DescribeArguments) -> Done {
        let (explained, catalog) = match self.explained(delegation, None).await {
            Ok(explained) => explained,
            Err(refusal) => return Done::refused(&refusal),
        };
        let visible: BTreeMap<String, &Seen> =
            explained.relations.iter().map(|seen| (seen.relation.clone(), seen)).collect();
        let asked = arguments.relation.as_deref();
        let mut found = Vec::new();
        for name in catalog.own().filter(|name| !catalog.is_sequence(name) && wanted(name, asked)) {
            if let Some(seen) = visible.get(&name.to_string()) {
                found.push((name, *seen));
            }
        }
        if let (Some(asked), true) = (asked, found.is_empty()) {
            let refusal = Refusal::new(
                RefusalCode::UndefinedRelation,
                format!("there is no relation `{asked}` that you may use"),
            )
            .hint("call it without `relation` for all of them");
            return Done::refused(&refusal);
        }
        let mut bytes = 0;
        let mut relations = Vec::new();
        for (name, seen) in &found {
            let one = relation(seen, name, &catalog, &visible);
            bytes += one.to_string().len();
            if bytes > DESCRIPTION_BYTES_MAX {
                break;
            }
            relations.push(one);
        }
        let mut content = json!({"target": self.target().to_string(), "classified": explained.classified});
        let whole = relations.len() == found.len();
        if let Some(members) = content.as_object_mut() {
            members.insert("truncated".to_owned(), (!whole).into());
            if whole {
                members.insert("relations".to_owned(), relations.into());
            } else {
                let names: Vec<String> =
                    found.iter().take(NAMES_MAX).map(|(name, _)| name.to_string()).collect();
                members.insert("names".to_owned(), names.into());
                members.insert(
                    "note".to_owned(),
                    "too much for one answer: call again with `relation`, a schema or one of these".into(),
                );
            }
            if asked.is_none() {
                members.insert("other_relations".to_owned(), explained.hidden.into());
            }
        }
        done(content)
    }

    /// What the caller may, and how to ask for more.
    pub(super) async fn explain(&self, delegation: &Delegation, arguments: &ExplainArguments) -> Done {
        let analysis = match &arguments.sql {
            None => None,
            Some(sql) => match self.analysed(sql).await {
                Ok(analysis) => Some(analysis),
                Err(refusal) => return Done::refused(&refusal),
            },
        };
        let (explained, _) = match self.explained(delegation, analysis).await {
            Ok(explained) => explained,
            Err(refusal) => return Done::refused(&refusal),
        };
        let who = &explained.delegation;
        let named: Vec<String> = explained.relations.iter().take(NAMES_MAX).map(summary).collect();
        let limits: Map<String, Value> = explained
            .limits
            .each()
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), Value::from((*value)?))))
            .collect();
        let mut content = json!({
            "you": format!("{}/{}", who.subject.issuer, who.subject.sub),
            "client": who.client,
            "purpose": who.purpose,
            "target": explained.target,
            "tools": explained.tools.iter().filter(|tool| tool.ruling == Ruling::Allow)
                .filter_map(|tool| tool.on.rsplit('/').next()).collect::<Vec<_>>(),
            "relations": named,
            "other_relations": explained.hidden,
            "limits": limits,
            "to_ask_for_more": "tell an administrator of this gateway which permission on which relation or column is \
                missing (as refusals and `needs` name it), and why you need it; calls cannot be approved one by one yet",
        });
        if let (Some(statement), Some(members)) = (&explained.statement, content.as_object_mut()) {
            members.insert("statement".to_owned(), judged(statement));
        }
        done(content)
    }
}

/// A relation in a line.
fn summary(seen: &Seen) -> String {
    let held = seen.held.iter().map(|verb| format!("{verb} (needs an approval)"));
    let verbs: Vec<String> = seen.allowed.iter().map(ToString::to_string).chain(held).collect();
    let masked = seen.columns.iter().filter(|column| column.showing == Showing::Masked).count();
    let hidden = seen.columns.iter().filter(|column| column.showing == Showing::Hidden).count();
    let mut line = format!("{}: {}", seen.relation, verbs.join(", "));
    for (count, word) in [(masked, "masked"), (hidden, "hidden")] {
        if count > 0 {
            line.push_str(&format!("; {count} columns {word}"));
        }
    }
    if seen.rows.as_ref().is_some_and(|rows| !rows.all) {
        line.push_str("; some rows");
    }
    line
}

/// What would make a refusal something else, as far as the caller himself can use it.
fn change(change: &WouldChange) -> Option<String> {
    match change {
        WouldChange::Approval
        | WouldChange::NoClient
        | WouldChange::NoServer
        | WouldChange::AuthenticationClass(_)
        | WouldChange::AuthenticationMethod(_)
        | WouldChange::FreshAuthentication
        | WouldChange::Time(_)
        | WouldChange::Permit(_) => Some(change.to_string()),
        // Which groups, clients, servers and attributes there are and which policies forbid it is the administrators'; and a purpose is
        // claimed, so that whoever is told which one opens a door would claim it.
        WouldChange::Group(_)
        | WouldChange::Client(_)
        | WouldChange::Server(_)
        | WouldChange::Purpose(_)
        | WouldChange::Attribute(_)
        | WouldChange::Together(_)
        | WouldChange::WithoutForbid(_)
        | WouldChange::WithoutForbids(_) => None,
    }
}

fn need(finding: &Finding) -> Value {
    let changes: Vec<String> = finding.would_change.iter().filter_map(change).collect();
    json!({"permission": finding.action, "on": finding.on, "ruling": finding.ruling.as_str(), "would_change": changes})
}

fn judged(statement: &OfStatement) -> Value {
    let columns: Vec<Value> = statement
        .columns
        .iter()
        .map(|used| {
            json!({"column": format!("{}.{}", used.relation, used.column), "shown": used.showing.as_str(),
                "in_the_result": used.disclosed, "because": why(used.showing, &used.because)})
        })
        .collect();
    json!({
        "ruling": statement.ruling.as_str(),
        "told": statement.told,
        "needs": statement.needs.iter().map(need).collect::<Vec<_>>(),
        "columns": columns,
    })
}
