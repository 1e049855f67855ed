//! Views for what columns alone cannot say: masks that show a part of a value, and rows. They stand in a schema of
//! their own and belong to a role that nobody can be, so that what they do not show is out of a session's reach. Whose
//! session it is they look up in a table that another login of the agent writes.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{Refusal, RelationName, Showing};
use chaperone_policy::Needs;
use chaperone_scope::{
    BarrierView, Catalog, FLOOR_CALLER, FLOOR_CALLERS, FLOOR_KEY, FLOOR_SCHEMA, FLOOR_SESSION,
};
use serde::Serialize;

use super::plan::{LoginPlan, Plan, block, comment, full, literal, quoted};

/// The role that owns schema, table and views.
pub(super) const OWNER: &str = "chaperone_floor";
/// The columns of the table of callers with their types.
pub(super) const CALLERS_COLUMNS: [(&str, &str); 3] =
    [("pid", "integer"), ("session", "text"), ("said", "jsonb")];

/// The columns of the table of the key with their types.
pub(super) const KEY_COLUMNS: [(&str, &str); 2] = [("inner_pad", "bytea"), ("outer_pad", "bytea")];

/// What is said of the caller of the session that asks: by its backend's process, which no session can choose, and the word that
/// it was started with, which none can guess. Not by when it was started: to read that, PostgreSQL copies the state of all
/// backends there may be, which takes longer than a select by key (docs/decisions/0012-a-word-for-each-session.md).
pub(super) fn caller() -> String {
    format!(
        "select c.said from {FLOOR_SCHEMA}.{FLOOR_CALLERS} c \
         where c.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid() and c.session operator(pg_catalog.=) \
         pg_catalog.current_setting({}, true)",
        literal(FLOOR_SESSION)
    )
}

/// A view, and what its owner needs for it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct View {
    #[serde(skip)]
    pub(super) name: String,
    /// What it stands for.
    pub(super) of: String,
    #[serde(skip)]
    pub(super) relation: RelationName,
    pub(super) select: String,
    #[serde(skip)]
    pub(super) about: String,
    #[serde(skip)]
    pub(super) reads: BTreeSet<String>,
    /// The column by which its rows may be locked.
    #[serde(skip)]
    pub(super) lock: Option<String>,
    /// Its columns.
    #[serde(skip)]
    pub(super) columns: BTreeSet<String>,
    /// Only the rows of the session's caller.
    pub(super) filtered: bool,
}

/// What one login has of a view.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Through {
    /// What it stands for.
    pub(super) of: String,
    /// The column by which it may lock rows.
    #[serde(skip)]
    pub(super) lock: Option<String>,
}

impl View {
    /// The view that shows of a relation what somebody sees who uses the login, and no more; none where grants on columns
    /// say the same. `tells` is whether somebody tells the floor whose session is whose.
    pub(super) fn of(
        catalog: &Catalog,
        name: &RelationName,
        needs: &Needs,
        tells: bool,
    ) -> Result<Option<Self>, Refusal> {
        if !needs.read || needs.unclassified || catalog.is_sequence(name) {
            return Ok(None);
        }
        let wanted = needs.filtered && !needs.all_rows;
        // Of which nothing is seen but how many rows there are: PostgreSQL counts for whoever may read a column.
        let counted = needs.columns.is_empty() && catalog.facts(name).is_some_and(|facts| facts.speaks());
        if !(needs.partial || wanted || counted) {
            return Ok(None);
        }
        let made = |filtered: bool| {
            // A filter that stands in the statement reads its columns through the view.
            let inline: BTreeSet<&str> = match needs.filtered && !filtered {
                true => catalog.filter_columns(name).map(|column| &**column).collect(),
                false => BTreeSet::new(),
            };
            let showing = |column: &str| match column {
                column if needs.columns.contains(column) || inline.contains(column) => Showing::Revealed,
                column if needs.masked.contains(column) => Showing::Masked,
                _ => Showing::Hidden,
            };
            let showings: Vec<Showing> = catalog.columns(name).map(|column| showing(column)).collect();
            let made = catalog.barrier(name, &showings, filtered)?;
            let mut revealed = catalog.columns(name).zip(&showings);
            let revealed = revealed.find(|(_, showing)| **showing == Showing::Revealed);
            let lock = revealed.map(|(column, _)| column.to_string()).filter(|_| !filtered && needs.update);
            Ok::<_, Refusal>(Self::from(made, catalog, name, filtered, lock))
        };
        match made(wanted)? {
            (_, true) if !tells && (needs.partial || counted) => made(false).map(|(view, _)| Some(view)),
            (_, true) if !tells => Ok(None),
            (view, _) => Ok(Some(view)),
        }
    }

    /// With whether it asks for the caller.
    fn from(
        made: BarrierView,
        catalog: &Catalog,
        relation: &RelationName,
        filtered: bool,
        lock: Option<String>,
    ) -> (Self, bool) {
        let BarrierView { name, about, select, reads, asks } = made;
        let view = Self {
            name,
            of: relation.to_string(),
            relation: relation.clone(),
            select,
            about,
            reads: reads.iter().map(ToString::to_string).collect(),
            lock,
            columns: catalog.columns(relation).map(ToString::to_string).collect(),
            filtered,
        };
        (view, asks)
    }

    pub(super) fn through(&self) -> Through {
        Through { of: self.of.clone(), lock: self.lock.clone() }
    }

    /// Put it among others. Two logins that see the same have one view; one of them may lock its rows.
    pub(super) fn kept_in(self, views: &mut BTreeMap<String, Self>) {
        let lock = self.lock.clone();
        let kept = views.entry(self.name.clone()).or_insert(self);
        kept.lock = kept.lock.take().or(lock);
    }

    pub(super) fn quoted(&self) -> String {
        format!("{FLOOR_SCHEMA}.{}", quoted(&self.name))
    }

    fn sql(&self, out: &mut String) {
        let (view, table, schema) = (self.quoted(), full(&self.relation), quoted(&self.relation.schema));
        out.push_str(&comment(&format!("What of {} is read through a view.", self.of)));
        out.push_str(&format!(
            "create or replace view {view} with (security_barrier) as {};\nalter view {view} owner to {OWNER};\n\
             revoke all on {view} from public;\ncomment on view {view} is {};\n\
             grant usage on schema {schema} to {OWNER};\n",
            self.select,
            literal(&self.about)
        ));
        let reads: Vec<String> = self.reads.iter().map(|column| quoted(column)).collect();
        if !reads.is_empty() {
            out.push_str(&format!("grant select ({}) on {table} to {OWNER};\n", reads.join(", ")));
        }
        if let Some(column) = &self.lock {
            out.push_str(&format!("grant update ({}) on {table} to {OWNER};\n", quoted(column)));
        }
    }
}

/// Schema, owner, table and views.
pub(super) fn sql(plan: &Plan, out: &mut String) {
    out.push('\n');
    out.push_str(&comment("The views of the floor, their owner, and what they are told."));
    out.push_str(&block(&foreign()));
    out.push_str(&block(&earlier()));
    out.push_str(&block(&role(OWNER, "nologin")));
    out.push_str(&format!(
        "alter role {OWNER} nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;\n\
         create schema if not exists {FLOOR_SCHEMA};\nalter schema {FLOOR_SCHEMA} owner to {OWNER};\n\
         revoke all on schema {FLOOR_SCHEMA} from public;\n"
    ));
    key(out);
    let columns = columns(&CALLERS_COLUMNS);
    let table = format!("{FLOOR_SCHEMA}.{FLOOR_CALLERS}");
    out.push_str(&comment("Gone with a crash, as the sessions that it speaks of are."));
    out.push_str(&format!(
        "create unlogged table if not exists {table} ({}, primary key (pid));\n\
         alter table {table} owner to {OWNER};\nrevoke all on {table} from public;\n\
         create or replace view {FLOOR_SCHEMA}.{FLOOR_CALLER} as {};\n\
         alter view {FLOOR_SCHEMA}.{FLOOR_CALLER} owner to {OWNER};\n\
         revoke all on {FLOOR_SCHEMA}.{FLOOR_CALLER} from public;\n\
         grant all on {table}, {FLOOR_SCHEMA}.{FLOOR_CALLER} to {OWNER};\n",
        columns,
        caller()
    ));
    if let Some(teller) = &plan.teller {
        let user = quoted(teller);
        out.push_str(&comment("The login of the agent that tells whose session is whose."));
        out.push_str(&block(&role(teller, "login")));
        out.push_str(&format!(
            "alter role {user} nosuperuser nocreatedb nocreaterole noreplication nobypassrls noinherit;\n\
             grant usage on schema {FLOOR_SCHEMA} to {user};\nrevoke all on {table} from {user};\n\
             grant insert, delete, select (pid, session) on {table} to {user};\n"
        ));
    }
    plan.views.values().for_each(|view| view.sql(out));
    out.push_str(&block(&rows_of_others(plan)));
}

/// The columns of a table of ours, as they are made.
fn columns(columns: &[(&str, &str)]) -> String {
    let each = columns.iter().map(|(name, typ)| format!("{name} pg_catalog.{} not null", word(typ)));
    each.collect::<Vec<_>>().join(", ")
}

/// The key of pseudonyms, made where it stays: neither gateway nor agent ever has it. Of its 32 bytes come the two sides of an
/// HMAC (RFC 2104), so that no view has to make them of each row.
fn key(out: &mut String) {
    let table = format!("{FLOOR_SCHEMA}.{FLOOR_KEY}");
    out.push_str(&comment("The key of pseudonyms. Deleted, it is made anew, and so are all pseudonyms."));
    out.push_str(&format!(
        "create table if not exists {table} ({});\nalter table {table} owner to {OWNER};\n\
         revoke all on {table} from public;\ngrant all on {table} to {OWNER};\n",
        columns(&KEY_COLUMNS)
    ));
    let random = ["pg_catalog.uuid_send(pg_catalog.gen_random_uuid())"; 4].join(" operator(pg_catalog.||) ");
    out.push_str(&block(&format!(
        "declare secret pg_catalog.bytea; byte pg_catalog.int4; inner_side pg_catalog.bytea; outer_side pg_catalog.bytea; begin\n  \
         if exists (select from {table}) then\n    return;\n  end if;\n  \
         secret := pg_catalog.sha256({random}) operator(pg_catalog.||) pg_catalog.decode(pg_catalog.repeat('00', 32), 'hex');\n  \
         inner_side := secret;\n  outer_side := secret;\n  for place in 0..63 loop\n    \
         byte := pg_catalog.get_byte(secret, place);\n    \
         inner_side := pg_catalog.set_byte(inner_side, place, byte operator(pg_catalog.#) 54);\n    \
         outer_side := pg_catalog.set_byte(outer_side, place, byte operator(pg_catalog.#) 92);\n  end loop;\n  \
         insert into {table} (inner_pad, outer_pad) values (inner_side, outer_side);\nend"
    )));
}

/// How the grammar calls a type without its array, qualified by `pg_catalog`.
fn word(typ: &str) -> &str {
    match typ {
        "integer" => "int4",
        "bigint" => "int8",
        other => other,
    }
}

/// Stops where somebody else was here first: what he made under the floor's names, a key of pseudonyms that he knows for one,
/// would be taken for ours once it belongs to us.
fn foreign() -> String {
    format!(
        "declare theirs pg_catalog.text; begin\n  \
         select pg_catalog.string_agg(pg_catalog.format('%s of %s', x.what, r.rolname), ', ') into theirs from (\n    \
         select 'schema {FLOOR_SCHEMA}' as what, n.nspowner as owner from pg_catalog.pg_namespace n \
         where n.nspname = '{FLOOR_SCHEMA}'\n    \
         union all select c.oid::pg_catalog.regclass::pg_catalog.text, c.relowner from pg_catalog.pg_class c\n      \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = '{FLOOR_SCHEMA}'\n  \
         ) x join pg_catalog.pg_roles r on r.oid = x.owner\n  \
         where not r.rolsuper and r.rolname <> '{OWNER}' and r.rolname <> current_user;\n  \
         if theirs is not null then\n    \
         raise exception 'not made by the floor: %', theirs\n      \
         using hint = 'somebody else took its names: look at what it is, drop it, and apply again';\n  end if;\nend"
    )
}

/// Whether the table of callers `c` has what our words read of it.
pub(super) const CURRENT: &str = "\
((select count(*) from pg_catalog.pg_attribute a where a.attrelid = c.oid and not a.attisdropped \
and a.attname in ('pid', 'session', 'said')) = 3)";

/// Stops where the table of callers is of an earlier form: views hang on it, of other logins too.
fn earlier() -> String {
    format!(
        "begin\n  \
         if exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         and n.nspname = '{FLOOR_SCHEMA}' where c.relname = '{FLOOR_CALLERS}' and not {CURRENT}) then\n    \
         raise exception 'of an earlier form: {FLOOR_SCHEMA}.{FLOOR_CALLERS}'\n      \
         using hint = 'it speaks of open sessions alone: drop table {FLOOR_SCHEMA}.{FLOOR_CALLERS} cascade, and apply again for \
         each login';\n  end if;\nend"
    )
}

fn role(name: &str, kind: &str) -> String {
    let (user, text) = (quoted(name), literal(name));
    let hint = if kind == "login" { " -- give it the password that agent.toml names" } else { "" };
    format!(
        "begin\n  if not exists (select from pg_catalog.pg_roles where rolname = {text}) then\n    \
         create role {user} {kind};{hint}\n  end if;\nend"
    )
}

/// Row security asks who reads, and for a view that is its owner.
fn rows_of_others(plan: &Plan) -> String {
    let tables: BTreeSet<String> = plan.views.values().map(|view| literal(&full(&view.relation))).collect();
    let tables: Vec<String> =
        tables.into_iter().map(|table| format!("{table}::pg_catalog.regclass")).collect();
    format!(
        "declare place pg_catalog.regclass; begin\n  for place in select oid from pg_catalog.pg_class\n      \
         where relrowsecurity and oid = any (array[{}]) loop\n    \
         raise warning '% has row security: its policies are asked about {OWNER} now', place;\n  end loop;\nend",
        tables.join(", ")
    )
}

/// What one login reads through views.
pub(super) fn granted(login: &LoginPlan, user: &str, out: &mut String) {
    if login.views.is_empty() {
        return;
    }
    out.push_str(&format!("grant usage on schema {FLOOR_SCHEMA} to {user};\n"));
    for (name, through) in &login.views {
        let view = format!("{FLOOR_SCHEMA}.{}", quoted(name));
        out.push_str(&format!("grant select on {view} to {user};\n"));
        if let Some(column) = &through.lock {
            out.push_str(&format!("grant update ({}) on {view} to {user};\n", quoted(column)));
        }
    }
}

/// Views that nobody may read any more, and what none of the others reads.
pub(super) fn unused(out: &mut String) {
    out.push('\n');
    out.push_str(&comment("Views that nobody reads any more."));
    out.push_str(&block(&format!(
        "declare place pg_catalog.name; begin\n  for place in select c.relname from pg_catalog.pg_class c\n      \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace\n      \
         where n.nspname = '{FLOOR_SCHEMA}' and c.relkind = 'v' and c.relname <> '{FLOOR_CALLER}'\n      \
         and not exists (select from pg_catalog.aclexplode(c.relacl) a where a.grantee <> c.relowner) loop\n    \
         execute pg_catalog.format('drop view {FLOOR_SCHEMA}.%I', place);\n  end loop;\nend"
    )));
    out.push_str(&comment("Columns that none of the views reads."));
    out.push_str(&block(&format!(
        "declare one record; begin\n  for one in select c.oid::pg_catalog.regclass as place, t.attname as name\n      \
         from pg_catalog.pg_attribute t join pg_catalog.pg_class c on c.oid = t.attrelid,\n      \
         pg_catalog.aclexplode(t.attacl) a join pg_catalog.pg_roles o on o.oid = a.grantee and o.rolname = '{OWNER}'\n      \
         where a.privilege_type = 'SELECT' and not exists (select from pg_catalog.pg_depend d\n        \
         join pg_catalog.pg_rewrite r on r.oid = d.objid join pg_catalog.pg_class v on v.oid = r.ev_class\n        \
         join pg_catalog.pg_namespace n on n.oid = v.relnamespace and n.nspname = '{FLOOR_SCHEMA}'\n        \
         where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass\n        \
         and d.refobjid = c.oid and d.refobjsubid = t.attnum) loop\n    \
         execute pg_catalog.format('revoke select (%I) on %s from {OWNER}', one.name, one.place);\n  end loop;\nend"
    )));
}
