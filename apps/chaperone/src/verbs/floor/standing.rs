//! What of the planned views stands at the database: who owns what, who may look, and whether each view still says what
//! was planned. The database itself compares: the planned words are made a view that lasts as long as the question.

use chaperone_scope::{FLOOR_CALLER, FLOOR_CALLERS, FLOOR_KEY, FLOOR_SCHEMA};
use serde::Deserialize;

use super::plan::{Plan, full, literal, quoted};
use super::verify::{Difference, Kind};
use super::views::{CALLERS_COLUMNS, CURRENT, KEY_COLUMNS, OWNER, View, caller};

/// What was found.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Standing {
    /// Attributes of the owner's that he should not have; `None` where there is no such role.
    owner: Option<Vec<String>>,
    /// Who is, or can become, the owner.
    members: Vec<String>,
    /// Whom the schema belongs to.
    schema: Option<String>,
    /// What others have of the schema itself, `role: privilege`, in order.
    schema_granted: Vec<String>,
    callers: Option<Table>,
    /// The table of the key of pseudonyms.
    key: Option<KeyTable>,
    /// `None` where there is none.
    caller: Option<Same>,
    /// What others have of what is in the schema but views of relations, `relation: role: privilege`, in order.
    granted: Vec<String>,
    /// Of each planned view, in the order of names.
    views: Vec<Option<Same>>,
    /// What its owner lacks to read for them: `relation.column`.
    unread: Vec<String>,
    /// Attributes of the role that tells, and what it is a member of; `None` where there is no such role.
    teller: Option<Vec<String>>,
    /// What stands beside the floor's own parts and changes what they do, and what its roles have beside what they need.
    beside: Vec<Beside>,
}

/// Something that no plan makes.
#[derive(Debug, Deserialize)]
struct Beside {
    user: String,
    what: String,
}

#[derive(Debug, Deserialize)]
struct Table {
    owner: String,
    /// `name type not null`, in order; one that has a value without being given one says so.
    columns: Vec<String>,
    /// Its primary key.
    key: Option<String>,
    /// Whether it is gone with a crash.
    unlogged: bool,
}

#[derive(Debug, Deserialize)]
struct KeyTable {
    owner: String,
    /// As those of the table of callers.
    columns: Vec<String>,
    /// Whether it is gone with a crash.
    unlogged: bool,
}

/// A view against what was planned.
#[derive(Debug, Deserialize)]
struct Same {
    owner: String,
    /// Its query.
    query: bool,
    /// Its barrier, and nothing else that is set.
    barrier: bool,
    /// Its comment.
    about: bool,
}

const QUESTION: &str = r"
select json_build_object(
  'owner', (select coalesce(json_agg(word) filter (where is_set), '[]') from roles o, lateral (values ('login', o.rolcanlogin),
      ('superuser', o.rolsuper), ('createrole', o.rolcreaterole), ('createdb', o.rolcreatedb), ('replication', o.rolreplication),
      ('bypassrls', o.rolbypassrls)) as flags (word, is_set) where o.rolname = %OWNER% having count(*) > 0),
  'members', (select coalesce(json_agg(r.rolname::text order by 1), '[]') from pg_auth_members m join roles o on o.oid = m.roleid
      join roles r on r.oid = m.member where o.rolname = %OWNER% and not r.rolsuper),
  'schema', (select pg_get_userbyid(nspowner) from place),
  'schema_granted', (select coalesce(json_agg(who order by who collate %C%), '[]') from (select coalesce(r.rolname::text, 'public') || ': '
      || lower(a.privilege_type) || case when a.is_grantable then %OPTION% else '' end as who from place p, aclexplode(p.nspacl) a left join roles r on r.oid = a.grantee
      where a.grantee <> p.nspowner) g),
  'callers', (select json_build_object('owner', pg_get_userbyid(c.relowner), 'columns', (select coalesce(json_agg(a.attname || ' '
      || format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end
      || case when a.atthasdef or a.attidentity <> '' then ' default' else '' end order by a.attnum), '[]') from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      'key', (select pg_get_constraintdef(k.oid) from pg_constraint k where k.conrelid = c.oid and k.contype = 'p'),
      'unlogged', c.relpersistence = 'u') from inside c where c.relname = %CALLERS% and c.relkind = 'r'),
  'key', (select json_build_object('owner', pg_get_userbyid(c.relowner), 'columns', (select coalesce(json_agg(a.attname || ' '
      || format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end
      || case when a.atthasdef or a.attidentity <> '' then ' default' else '' end order by a.attnum), '[]') from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      'unlogged', c.relpersistence <> 'p')
      from inside c where c.relname = %KEYS% and c.relkind = 'r'),
  'caller', (select json_build_object('owner', pg_get_userbyid(c.relowner), 'query', pg_get_viewdef(c.oid)
      = pg_get_viewdef('pg_temp.planned_caller'::regclass), 'barrier', c.reloptions is null, 'about', true)
      from inside c where c.relname = %CALLER% and c.relkind = 'v'),
  'granted', (select coalesce(json_agg(who order by who collate %C%), '[]') from (select c.relname || ': ' || coalesce(r.rolname::text, 'public')
      || ': ' || lower(a.privilege_type) || case when a.is_grantable then %OPTION% else '' end as who
      from inside c, aclexplode(c.relacl) a left join roles r on r.oid = a.grantee where a.grantee <> c.relowner
      and (c.relname in (%CALLERS%, %CALLER%, %KEYS%) or a.grantee = 0 or a.is_grantable or a.privilege_type <> 'SELECT')
      union all select c.relname || '.' || t.attname || ': ' || coalesce(r.rolname::text, 'public') || ': ' || lower(a.privilege_type)
      || case when a.is_grantable then %OPTION% else '' end
      from inside c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a left join roles r on r.oid = a.grantee
      where a.grantee <> c.relowner and (c.relname in (%CALLERS%, %CALLER%, %KEYS%) or a.grantee = 0 or a.is_grantable
      or a.privilege_type not in ('SELECT', 'UPDATE'))) g),
  'views', (select coalesce(json_agg(case when c.oid is not null then json_build_object('owner', pg_get_userbyid(c.relowner),
      'query', pg_get_viewdef(c.oid) = pg_get_viewdef(w.planned::regclass), 'barrier', coalesce(c.reloptions = array['security_barrier=true'], false),
      'about', coalesce(obj_description(c.oid, 'pg_class') = w.about, false)) end order by w.at), '[]')
      from (values %VIEWS%) w (at, name, planned, about) left join inside c on c.relname = w.name and c.relkind = 'v'),
  'unread', (select coalesce(json_agg(g.shown order by g.shown collate %C%), '[]') from (select w.shown
      from (values %READS%) w (place, name, shown) join roles o on o.rolname = %OWNER% join pg_class c on c.oid = w.place::regclass
      where not has_column_privilege(o.oid, c.oid, w.name, 'SELECT') or not has_schema_privilege(o.oid, c.relnamespace, 'USAGE')
      union all select %SCHEMA% || '.' || c.relname from inside c join roles o on o.rolname = %OWNER%
      where c.relname in (%CALLERS%, %CALLER%, %KEYS%) and not has_table_privilege(o.oid, c.oid, 'SELECT')) g),
  'teller', (select coalesce(json_agg(word) filter (where is_set), '[]') from roles o, lateral (values ('attribute superuser', o.rolsuper),
      ('attribute createrole', o.rolcreaterole), ('attribute createdb', o.rolcreatedb), ('attribute replication', o.rolreplication),
      ('attribute bypassrls', o.rolbypassrls), ('membership in another role', exists (select from pg_auth_members m where m.member = o.oid)))
      as flags (word, is_set) where o.rolname = %TELLER% having count(*) > 0),
  'beside', (select coalesce(json_agg(json_build_object('user', b.who, 'what', b.what) order by b.who collate %C%, b.what collate %C%), '[]')
      from (%BESIDE%) b))
from (select) as once;
rollback;
";

/// What no plan makes, and whose it is. Names stand in it as in the question.
const BESIDE: &str = include_str!("beside.sql");
/// What follows a privilege that may be handed on.
const OPTION: &str = " with grant option";
/// The key of the table of callers.
const KEY: &str = "PRIMARY KEY (pid)";

const WITH: &str = "\
with roles as (select * from pg_roles), place as (select * from pg_namespace where nspname = %SCHEMA%), \
inside as (select c.* from pg_class c join place p on p.oid = c.relnamespace), \
outside as (select c.* from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'v', 'm', 'f', 'p') \
and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', %SCHEMA%)), \
read_by_views as (select d.refobjid, d.refobjsubid from pg_depend d join pg_rewrite r on r.oid = d.objid join inside v on v.oid = r.ev_class \
where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass), \
said as (select s.setrole, unnest(s.setconfig) as said from pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase \
where s.setdatabase = 0 or d.datname = current_database())";

/// What is asked, in a transaction that leaves nothing behind.
pub(super) fn question(plan: &Plan) -> String {
    // What the planned words read may not be there: then nothing that is there says the same as they do.
    let mut out = format!(
        "begin;\nset local search_path to pg_catalog;\n\
         select count(*) = 3 as whole from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where n.nspname = {} and (c.relname in ({}, {}) or c.relname = {} and {CURRENT}) \\gset\n\\if :whole\n\
         create temp view planned_caller as {};\n",
        literal(FLOOR_SCHEMA),
        literal(FLOOR_CALLER),
        literal(FLOOR_KEY),
        literal(FLOOR_CALLERS),
        caller()
    );
    let mut without = "\\else\ncreate temp view planned_caller as select;\n".to_owned();
    let (mut views, mut reads) = (Vec::new(), Vec::new());
    for (at, view) in plan.views.values().enumerate() {
        out.push_str(&format!("create temp view planned_{at} as {};\n", view.select));
        without.push_str(&format!("create temp view planned_{at} as select;\n"));
        let (name, about) = (literal(&view.name), literal(&view.about));
        views.push(format!("({at}, {name}, 'pg_temp.planned_{at}', {about})"));
        reads.extend(view.reads.iter().map(|column| read(view, column)));
    }
    out.push_str(&without);
    out.push_str("\\endif\n");
    // A list of values has at least one; this one is of a column that everybody has.
    reads.push("('pg_catalog.pg_class', 'relname', '')".to_owned());
    let list = |texts: &mut dyn Iterator<Item = &str>| -> String {
        // A list has at least one; no name is empty.
        std::iter::once("").chain(texts).map(literal).collect::<Vec<_>>().join(", ")
    };
    let parts = [
        ("%BESIDE%", BESIDE.to_owned()),
        ("%KEY%", literal(KEY)),
        ("%OPTION%", literal(OPTION)),
        ("%OWNER%", literal(OWNER)),
        ("%SCHEMA%", literal(FLOOR_SCHEMA)),
        ("%CALLERS%", literal(FLOOR_CALLERS)),
        ("%CALLER%", literal(FLOOR_CALLER)),
        ("%KEYS%", literal(FLOOR_KEY)),
        ("%TELLER%", literal(plan.teller.as_deref().unwrap_or_default())),
        ("%C%", quoted("C")),
        ("%NAMES%", list(&mut plan.views.keys().map(String::as_str))),
        ("%LOGINS%", list(&mut plan.logins.iter().map(|login| login.user.as_str()))),
        ("%VIEWS%", views.join(", ")),
        ("%READS%", reads.join(", ")),
    ];
    let mut question = format!("{WITH}{QUESTION}");
    // Names last: they may hold anything.
    for (word, text) in parts {
        question = question.replace(word, &text);
    }
    out + &question
}

fn read(view: &View, column: &str) -> String {
    let shown = format!("{}.{column}", view.of);
    format!("({}, {}, {})", literal(&full(&view.relation)), literal(column), literal(&shown))
}

impl Standing {
    /// Everything that is not as planned.
    pub(super) fn compare(&self, plan: &Plan) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut differ = |user: &str, kind: Kind, what: String| {
            found.push(Difference { user: user.to_owned(), kind, what })
        };
        self.owner(&mut differ);
        self.schema(plan, &mut differ);
        self.table(plan, &mut differ);
        self.key(&mut differ);
        self.views(plan, &mut differ);
        if let Some(teller) = &plan.teller {
            match &self.teller {
                None => differ(teller, Kind::Missing, "the role".to_owned()),
                Some(words) => words.iter().for_each(|word| differ(teller, Kind::TooMuch, word.clone())),
            }
        }
        found
    }

    fn owner(&self, differ: &mut impl FnMut(&str, Kind, String)) {
        match &self.owner {
            None => differ(OWNER, Kind::Missing, "the role".to_owned()),
            Some(words) => {
                words.iter().for_each(|word| differ(OWNER, Kind::TooMuch, format!("attribute {word}")));
            }
        }
        for member in &self.members {
            differ(member, Kind::TooMuch, format!("membership in role `{OWNER}`"));
        }
        for column in &self.unread {
            differ(OWNER, Kind::Missing, format!("select on {column}"));
        }
        for Beside { user, what } in &self.beside {
            differ(user, Kind::TooMuch, what.clone());
        }
    }

    fn schema(&self, plan: &Plan, differ: &mut impl FnMut(&str, Kind, String)) {
        match &self.schema {
            None => differ(OWNER, Kind::Missing, format!("the schema `{FLOOR_SCHEMA}`")),
            Some(owner) if owner != OWNER => {
                differ(OWNER, Kind::Altered, format!("the schema `{FLOOR_SCHEMA}` belongs to `{owner}`"));
            }
            Some(_) => {}
        }
        let readers = plan.logins.iter().filter(|login| !login.views.is_empty()).map(|login| &login.user);
        let wanted: Vec<&String> = readers.chain(&plan.teller).collect();
        let has = |user: &str| {
            let mut granted = self.schema_granted.iter().filter_map(|one| one.strip_prefix(user));
            granted.any(|rest| rest.strip_suffix(OPTION).unwrap_or(rest) == ": usage")
        };
        for user in wanted.iter().filter(|user| !has(user)) {
            differ(user, Kind::Missing, format!("usage of schema `{FLOOR_SCHEMA}`"));
        }
        for one in &self.schema_granted {
            // Those of logins that were not asked about are theirs.
            let Some((user, privilege)) = one.rsplit_once(": ") else { continue };
            if privilege != "usage" || user == "public" {
                differ(user, Kind::TooMuch, format!("{privilege} on schema `{FLOOR_SCHEMA}`"));
            }
        }
    }

    fn table(&self, plan: &Plan, differ: &mut impl FnMut(&str, Kind, String)) {
        let name = format!("{FLOOR_SCHEMA}.{FLOOR_CALLERS}");
        let columns: Vec<String> =
            CALLERS_COLUMNS.iter().map(|(name, typ)| format!("{name} {typ} not null")).collect();
        match &self.callers {
            None => differ(OWNER, Kind::Missing, format!("the table {name}")),
            Some(table) if table.owner != OWNER => {
                differ(OWNER, Kind::Altered, format!("the table {name} belongs to `{}`", table.owner));
            }
            Some(table) if table.columns != columns => {
                differ(OWNER, Kind::Altered, format!("the columns of {name}"));
            }
            Some(table) if table.key.as_deref() != Some(KEY) => {
                differ(OWNER, Kind::Altered, format!("the primary key of {name}"));
            }
            Some(table) if !table.unlogged => {
                differ(OWNER, Kind::Altered, format!("the table {name} is kept over a crash"));
            }
            Some(_) => {}
        }
        let wanted: Vec<String> = (plan.teller.iter())
            .flat_map(|teller| {
                [
                    format!("{FLOOR_CALLERS}.pid: {teller}: select"),
                    format!("{FLOOR_CALLERS}.session: {teller}: select"),
                    format!("{FLOOR_CALLERS}: {teller}: delete"),
                    format!("{FLOOR_CALLERS}: {teller}: insert"),
                ]
            })
            .collect();
        let mut said = |one: &str, kind: Kind| {
            let mut parts = one.splitn(2, ": ");
            let (place, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            if let Some((user, privilege)) = rest.rsplit_once(": ") {
                differ(user, kind, format!("{privilege} on {FLOOR_SCHEMA}.{place}"));
            }
        };
        wanted.iter().filter(|one| !self.granted.contains(one)).for_each(|one| said(one, Kind::Missing));
        self.granted.iter().filter(|one| !wanted.contains(one)).for_each(|one| said(one, Kind::TooMuch));
    }

    fn key(&self, differ: &mut impl FnMut(&str, Kind, String)) {
        let name = format!("{FLOOR_SCHEMA}.{FLOOR_KEY}");
        let columns: Vec<String> =
            KEY_COLUMNS.iter().map(|(name, typ)| format!("{name} {typ} not null")).collect();
        match &self.key {
            None => differ(OWNER, Kind::Missing, format!("the table {name}")),
            Some(table) if table.owner != OWNER => {
                differ(OWNER, Kind::Altered, format!("the table {name} belongs to `{}`", table.owner));
            }
            Some(table) if table.columns != columns => {
                differ(OWNER, Kind::Altered, format!("the columns of {name}"));
            }
            Some(table) if table.unlogged => {
                differ(OWNER, Kind::Altered, format!("the table {name} is gone with a crash"));
            }
            Some(_) => {}
        }
    }

    fn views(&self, plan: &Plan, differ: &mut impl FnMut(&str, Kind, String)) {
        let of_callers = format!("view {FLOOR_SCHEMA}.{FLOOR_CALLER}");
        let each =
            plan.views.values().map(|view| format!("view {FLOOR_SCHEMA}.{} of {}", view.name, view.of));
        let each = each.zip(&self.views).chain(std::iter::once((of_callers, &self.caller)));
        for (name, same) in each {
            let Some(Same { owner, query, barrier, about }) = same else {
                differ(OWNER, Kind::Missing, name);
                continue;
            };
            if owner != OWNER {
                differ(OWNER, Kind::Altered, format!("{name} belongs to `{owner}`"));
            }
            for (is_same, what) in [(query, "query"), (barrier, "options"), (about, "comment")] {
                if !is_same {
                    differ(OWNER, Kind::Altered, format!("the {what} of {name}"));
                }
            }
        }
    }
}
