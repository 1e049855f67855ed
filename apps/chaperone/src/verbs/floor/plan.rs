//! What each login of a target needs, as SQL for whoever administers the database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chaperone_access::{Delegation, Refusal, RelationName, TargetName};
use chaperone_policy::{Needs, PolicySet};
use chaperone_scope::Catalog;
use chaperone_tunnel::LoginName;
use serde::Serialize;

use super::views::{self, Through, View};
use crate::config::agent::{AgentConfig, Target};
use crate::config::gateway::LoginRule;
use crate::config::{self, beside};
use crate::verbs::Failure;
use crate::verbs::policy::setting::Setting;
use crate::wiring::installation::now_us;
use crate::wiring::logins::DatabaseLogins;

/// How the agent's default login is called, which has no name.
const DEFAULT: &str = "default";

/// The column that names a row's own table: that, whoever reads of it knows.
const TABLEOID: &str = "tableoid";
/// What else a table has beside its own columns: where a row lies, and by whom it was made. Told where all of it is seen.
const OF_ROWS: [&str; 5] = ["cmax", "cmin", "ctid", LOCKS, "xmin"];
/// The one of these that tells who locked a row.
const LOCKS: &str = "xmax";

/// Whether a column is one that every table has.
pub(super) fn is_system(column: &str) -> bool {
    column == TABLEOID || OF_ROWS.contains(&column)
}

/// The floor of one target.
pub(super) struct Plan {
    pub(super) target: TargetName,
    pub(super) logins: Vec<LoginPlan>,
    /// Views that any of them reads through, by their names.
    pub(super) views: BTreeMap<String, View>,
    /// The role of the agent that tells the floor whose session is whose; `None` where agent.toml names none.
    pub(super) teller: Option<String>,
    /// What it does not do.
    pub(super) notes: Vec<String>,
}

/// The floor under one login.
#[derive(Debug, Default, Serialize)]
pub(super) struct LoginPlan {
    /// As agent.toml calls it.
    pub(super) login: String,
    /// The role at the database.
    pub(super) user: String,
    /// Who uses it, as far as policies tell callers apart.
    pub(super) callers: BTreeSet<String>,
    pub(super) relations: BTreeMap<String, Granted>,
    /// The names of views that stand for relations of which it has no more than they show.
    pub(super) views: BTreeMap<String, Through>,
}

/// What a role has of one relation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Granted {
    /// `"schema"."name"`
    #[serde(skip)]
    pub(super) quoted: String,
    #[serde(skip)]
    pub(super) schema: String,
    pub(super) select: BTreeSet<String>,
    pub(super) insert: bool,
    pub(super) update: bool,
    pub(super) delete: bool,
    #[serde(skip)]
    pub(super) sequence: bool,
    /// A view stands for it.
    #[serde(skip)]
    pub(super) through: bool,
}

/// A name in double quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A relation's name, qualified.
pub(super) fn full(name: &RelationName) -> String {
    format!("{}.{}", quoted(&name.schema), quoted(&name.name))
}

/// A text in single quotes, whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    if escaped.contains('\\') {
        format!("E'{}'", escaped.replace('\\', "\\\\"))
    } else {
        format!("'{escaped}'")
    }
}

/// A text in a comment of one line.
pub(super) fn comment(text: &str) -> String {
    format!("-- {}\n", text.replace(char::is_control, " "))
}

impl Granted {
    /// Where a view stands for it, the relation itself is only written: what a write may name of its target is what is
    /// seen by value. Nobody writes to a relation of which he sees only some rows.
    /// `told`: what its rows may tell beside their columns.
    fn of(catalog: &Catalog, name: &RelationName, needs: &Needs, view: Option<&View>, told: &[&str]) -> Self {
        let mut select = needs.columns.clone();
        if needs.read && needs.unclassified {
            select.extend(catalog.columns(name).map(ToString::to_string));
        }
        let filtered = view.is_some_and(|view| view.filtered);
        let (insert, update, delete) =
            (needs.insert && !filtered, needs.update && !filtered, needs.delete && !filtered);
        match view {
            Some(_) if insert || update || delete => {}
            Some(_) => select.clear(),
            None => {
                if needs.partial {
                    select.extend(needs.masked.iter().cloned());
                }
                if needs.filtered {
                    select.extend(catalog.filter_columns(name).map(ToString::to_string));
                }
                let told: &[&str] = if hides(catalog, name, needs, &select) { &[] } else { told };
                if !select.is_empty() && catalog.kind(name) == "table" && !catalog.is_sequence(name) {
                    select.extend([TABLEOID].iter().chain(told).map(|column| (*column).to_owned()));
                }
            }
        }
        let sequence = catalog.is_sequence(name);
        let (quoted, schema, through) = (full(name), name.schema.to_string(), view.is_some());
        Self { quoted, schema, select, insert, update, delete, sequence, through }
    }

    /// Whether anything of the relation itself is granted.
    fn is_direct(&self) -> bool {
        let Self { select, insert, update, delete, sequence, .. } = self;
        !select.is_empty() || *insert || *update || *delete || *sequence
    }

    /// The grants, a statement each.
    fn sql(&self, user: &str) -> Vec<String> {
        let Self { quoted: name, select, insert, update, delete, .. } = self;
        if self.sequence {
            let words = if *insert || *update { "usage, select" } else { "select" };
            return vec![format!("grant {words} on sequence {name} to {user};")];
        }
        let mut lines = Vec::new();
        if !select.is_empty() {
            let columns: Vec<String> = select.iter().map(|column| quoted(column)).collect();
            lines.push(format!("grant select ({}) on {name} to {user};", columns.join(", ")));
        }
        let verbs = [("insert", insert), ("update", update), ("delete, truncate", delete)];
        let verbs: Vec<&str> = verbs.into_iter().filter(|(_, has)| **has).map(|(word, _)| word).collect();
        if !verbs.is_empty() {
            lines.push(format!("grant {} on {name} to {user};", verbs.join(", ")));
        }
        if select.is_empty() && verbs.is_empty() && !self.through {
            lines.push(format!("-- of {name} nothing is read"));
        }
        lines
    }
}

/// Why a login that was asked for has no floor.
fn none_for(login: &str, target: &TargetName, used: &[String], notes: &[String]) -> Failure {
    let there = format!("callers there use: {}", used.join(", "));
    let why = if notes.is_empty() { there } else { notes.join("; ") };
    Failure::Usage(format!("there is no floor for a login `{login}` of `{target}` ({why})"))
}

impl Plan {
    pub(super) fn make(
        set: &PolicySet,
        setting: &Setting,
        target: &TargetName,
        agent: Option<&Path>,
        only: &[String],
    ) -> Result<Self, Failure> {
        let catalog = setting.catalog(target)?;
        let (path, config) = setting.configured()?;
        let at = agent_target(path, config.local_agent.as_deref(), agent, target)?;
        let rules: &[LoginRule] = config.targets.get(target).map_or(&[], |target| &target.logins);
        let groups = rules.iter().flat_map(|rule| rule.groups.iter().cloned()).collect();
        let callers = chaperone_policy::callers(set, &groups, &setting.identities);
        let (by_login, roles) = by_login(callers, rules, target);
        let world = setting.world(&[set]);
        let (mut logins, mut notes, mut views) = (Vec::new(), Vec::new(), BTreeMap::new());
        let teller = at.floor.as_ref().map(|floor| floor.user.clone());
        for login in roles {
            let name = login.as_str();
            notes.push(format!(
                "login `{name}` takes on a role for each subject: their grants are not planned"
            ));
        }
        let mut used = Vec::new();
        for (login, callers) in by_login {
            let name = login.as_ref().map_or(DEFAULT, LoginName::as_str).to_owned();
            used.push(name.clone());
            if !only.is_empty() && !only.contains(&name) {
                continue;
            }
            let user = match &login {
                None => at.user.clone(),
                Some(login) => match at.logins.get(login) {
                    Some(login) => login.user.clone(),
                    None => {
                        notes.push(format!("login `{name}` is not in the agent's configuration"));
                        continue;
                    }
                },
            };
            let floor = chaperone_policy::floor(set, &world, target, &callers, now_us());
            if !floor.everything.is_empty() {
                let who = floor.everything.join(", ");
                notes.push(format!("login `{name}` has no floor: everything is permitted to {who}"));
                continue;
            }
            let callers = callers.into_iter().map(|(label, _)| label).collect();
            let mut login = LoginPlan { login: name, user, callers, ..LoginPlan::default() };
            let traces = Traces::of(&catalog, &floor.relations);
            for (relation, needs) in &floor.relations {
                let told = traces.told(relation);
                let needs = reached(&catalog, relation, needs, &floor.relations);
                match View::of(&catalog, relation, &needs, teller.is_some()) {
                    Ok(view) => {
                        login.needs(&catalog, relation, &needs, view.as_ref(), &told);
                        view.into_iter().for_each(|view| view.kept_in(&mut views));
                    }
                    Err(refusal) => notes.push(login.goes_without(relation, &refusal)),
                }
            }
            logins.push(login);
        }
        if let Some(missing) = only.iter().find(|name| logins.iter().all(|login| login.login != **name)) {
            return Err(none_for(missing, target, &used, &notes));
        }
        twice(&mut logins, &mut notes);
        views.retain(|name, _| logins.iter().any(|login| login.views.contains_key(name)));
        apart(&logins, teller.as_deref())?;
        Ok(Self { target: target.clone(), logins, views, teller, notes })
    }

    /// The whole of it as one transaction.
    pub(super) fn sql(&self) -> String {
        let mut out = comment(&format!("The floor under target {}, by `chaperone floor plan`.", self.target));
        self.notes.iter().for_each(|note| out.push_str(&comment(&format!("Not in it: {note}."))));
        out.push_str("begin;\nset local search_path to pg_catalog;\n");
        if !self.views.is_empty() {
            views::sql(self, &mut out);
        }
        self.logins.iter().for_each(|login| login.sql(&mut out));
        views::unused(&mut out);
        out.push_str("\ncommit;\n");
        out
    }
}

/// Whether not all rows, or not all columns, of a relation are among what is granted.
fn hides(catalog: &Catalog, name: &RelationName, needs: &Needs, select: &BTreeSet<String>) -> bool {
    needs.filtered || !catalog.columns(name).all(|column| select.contains(&**column))
}

/// What reaches the database of what is needed of a relation. A view whose query stands in its place is read itself by those
/// alone who see all that it reads, and reads with its owner's rights; none is written.
fn reached(
    catalog: &Catalog,
    name: &RelationName,
    needs: &Needs,
    of: &BTreeMap<RelationName, Needs>,
) -> Needs {
    let mut needs = needs.clone();
    if catalog.kind(name) == "table" || catalog.is_sequence(name) {
        return needs;
    }
    (needs.insert, needs.update, needs.delete) = (false, false, false);
    let whole = |read: &RelationName| {
        let all = |needs: &Needs| {
            let listed = catalog.columns(read).all(|column| needs.columns.contains(&**column));
            needs.read && (needs.unclassified || listed && (needs.all_rows || !needs.filtered))
        };
        of.get(read).is_some_and(all)
    };
    needs.read &= !catalog.is_taken_apart(name) || catalog.reads_only(name, &whole);
    needs
}

/// Of which relations the rows tell of others' rows that are not all granted.
struct Traces {
    /// What such ones inherit from: their rows lie where it says that its rows lie.
    above: BTreeSet<RelationName>,
    /// What their foreign keys point to, and what that inherits from: whoever writes such a key locks the row.
    pointed: BTreeSet<RelationName>,
}

impl Traces {
    fn of(catalog: &Catalog, needed: &BTreeMap<RelationName, Needs>) -> Self {
        let (mut above, mut pointed) = (BTreeSet::new(), BTreeSet::new());
        for (name, needs) in needed.iter().filter(|(_, needs)| !(needs.read && needs.unclassified)) {
            if hides(catalog, name, needs, &needs.columns) {
                above.extend(catalog.above(name));
            }
            let seen = |column: &Arc<str>| needs.columns.contains(&**column);
            let hidden =
                catalog.references(name).filter(|(columns, ..)| needs.filtered || !columns.iter().all(seen));
            for (_, to, _) in hidden {
                pointed.extend(catalog.above(to));
                pointed.insert(to.clone());
            }
        }
        Self { above, pointed }
    }

    /// What the rows of a relation may tell.
    fn told(&self, name: &RelationName) -> Vec<&'static str> {
        let locks = |column: &&str| *column == LOCKS && self.pointed.contains(name);
        OF_ROWS.into_iter().filter(|column| !self.above.contains(name) && !locks(column)).collect()
    }
}

/// Callers, each with how people read it.
type Callers = Vec<(String, Delegation)>;

/// Callers by the login that they use, and the logins that take on a role for each subject.
fn by_login(
    callers: Callers,
    rules: &[LoginRule],
    target: &TargetName,
) -> (BTreeMap<Option<LoginName>, Callers>, BTreeSet<LoginName>) {
    let routes = DatabaseLogins::new(std::iter::once((target.clone(), rules.to_vec())));
    let mut by_login: BTreeMap<_, Callers> = BTreeMap::new();
    let mut roles = BTreeSet::new();
    for (label, delegation) in callers {
        // A name that cannot be a role's cannot be at the target either.
        let Ok(to) = routes.of(&delegation.subject, &delegation.groups, target) else { continue };
        match to.role {
            Some(_) => roles.extend(to.login),
            None => by_login.entry(to.login).or_default().push((label, delegation)),
        }
    }
    (by_login, roles)
}

/// Two logins that are one role at the database would take each other's grants away.
fn twice(logins: &mut Vec<LoginPlan>, notes: &mut Vec<String>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for login in logins.iter() {
        *seen.entry(login.user.clone()).or_default() += 1;
    }
    for (user, _) in seen.iter().filter(|(_, times)| **times > 1) {
        notes.push(format!("several logins are `{user}` at the database: give each a role of its own"));
    }
    logins.retain(|login| seen.get(&login.user).is_none_or(|times| *times == 1));
}

/// A role that may say whose session is whose would say it of its own.
fn apart(logins: &[LoginPlan], teller: Option<&str>) -> Result<(), Failure> {
    match logins.iter().find(|login| Some(login.user.as_str()) == teller) {
        None => Ok(()),
        Some(LoginPlan { user, .. }) => Err(Failure::Usage(format!(
            "`{user}` is a login and tells the floor (hint: give `floor` in the agent's configuration a role of its own)"
        ))),
    }
}

/// A block of code, in dollar signs that do not occur in it.
pub(super) fn block(body: &str) -> String {
    let mut tag = "$floor$".to_owned();
    while body.contains(&tag) {
        tag.insert(6, '_');
    }
    format!("do {tag} {body} {tag};\n")
}

impl LoginPlan {
    /// What its users do with one relation, through a view or not.
    fn needs(
        &mut self,
        catalog: &Catalog,
        name: &RelationName,
        needs: &Needs,
        view: Option<&View>,
        told: &[&str],
    ) {
        self.relations.insert(name.to_string(), Granted::of(catalog, name, needs, view, told));
        self.views.extend(view.map(|view| (view.name.clone(), view.through())));
    }

    /// A view is meant and cannot be made: by value its users would have more than any of them sees, so nothing is
    /// granted. What the plan says of it.
    fn goes_without(&mut self, name: &RelationName, why: &Refusal) -> String {
        let nothing = Granted { quoted: full(name), schema: name.schema.to_string(), ..Granted::default() };
        self.relations.insert(name.to_string(), nothing);
        format!("nothing of `{name}` is granted to `{}`, because it has no view: {why}", self.user)
    }

    fn sql(&self, out: &mut String) {
        let user = quoted(&self.user);
        let callers: Vec<&str> = self.callers.iter().map(String::as_str).collect();
        out.push('\n');
        out.push_str(&comment(&format!("Login {}, for: {}.", self.login, callers.join(", "))));
        out.push_str(&block(&self.role()));
        out.push_str(&format!(
            "alter role {user} nosuperuser nocreatedb nocreaterole noreplication nobypassrls noinherit;\n"
        ));
        out.push_str(&comment("Everything that it has, so that what is not listed below is gone."));
        out.push_str(&block(&self.revoked()));
        let direct = self.relations.values().filter(|granted| granted.is_direct());
        let schemas: BTreeSet<&str> = direct.map(|granted| granted.schema.as_str()).collect();
        for schema in schemas {
            out.push_str(&format!("grant usage on schema {} to {user};\n", quoted(schema)));
        }
        views::granted(self, &user, out);
        for granted in self.relations.values() {
            granted.sql(&user).iter().for_each(|line| out.push_str(&format!("{line}\n")));
        }
        let inserted: Vec<String> = (self.relations.values())
            .filter(|granted| granted.insert && !granted.sequence)
            .map(|granted| format!("{}::pg_catalog.regclass", literal(&granted.quoted)))
            .collect();
        if !inserted.is_empty() {
            out.push_str(&comment("Numbers for the rows that it inserts."));
            out.push_str(&block(&self.numbers(&inserted.join(", "))));
        }
    }

    /// Makes the role, unless it is there; whoever owns relations gives himself what he likes.
    fn role(&self) -> String {
        let (user, name) = (quoted(&self.user), literal(&self.user));
        format!(
            "begin\n  if not exists (select from pg_catalog.pg_roles where rolname = {name}) then\n    \
             create role {user} login; -- give it the password that agent.toml names\n  end if;\n  \
             if exists (select from pg_catalog.pg_class c join pg_catalog.pg_roles r on r.oid = c.relowner \
             where r.rolname = {name}) then\n    \
             raise exception 'a role that owns relations cannot be a floor' \
             using hint = 'give the agent a login that owns nothing, or plan for others: --login NAME';\n  end if;\nend"
        )
    }

    fn revoked(&self) -> String {
        let user = self.in_format();
        format!(
            "declare place pg_catalog.name; begin\n  for place in select nspname from pg_catalog.pg_namespace\n      \
             where nspname !~ '^pg_' and nspname <> 'information_schema' loop\n    \
             execute pg_catalog.format('revoke all on all tables in schema %I from {user}', place);\n    \
             execute pg_catalog.format('revoke all on all sequences in schema %I from {user}', place);\n    \
             execute pg_catalog.format('revoke all on schema %I from {user}', place);\n  end loop;\nend"
        )
    }

    fn numbers(&self, relations: &str) -> String {
        let user = self.in_format();
        format!(
            "declare numbers pg_catalog.regclass; begin\n  for numbers in select d.objid::pg_catalog.regclass\n      \
             from pg_catalog.pg_depend d join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'\n      \
             where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype = 'a'\n      \
             and d.refobjid = any (array[{relations}]) loop\n    \
             execute pg_catalog.format('grant usage on sequence %s to {user}', numbers);\n  end loop;\nend"
        )
    }

    /// The role's name inside a text for `format`.
    fn in_format(&self) -> String {
        quoted(&self.user).replace('\'', "''").replace('%', "%%")
    }
}

/// What the agent's configuration says of the target.
fn agent_target(
    gateway: &Path,
    local: Option<&Path>,
    named: Option<&Path>,
    target: &TargetName,
) -> Result<Target, Failure> {
    let file = match (named, local) {
        (Some(file), _) => file.to_owned(),
        (None, Some(local)) => beside(gateway, local),
        (None, None) => {
            return Err(Failure::Usage(
                "which database roles are the target's logins? (hint: name the agent's configuration: `--agent FILE`)"
                    .to_owned(),
            ));
        }
    };
    let mut agent: AgentConfig = config::load(&file)?;
    let missing = || Failure::Usage(format!("`{}` has no target `{target}`", file.display()));
    agent.targets.remove(target).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_where_a_view_was_meant_and_cannot_be_made() {
        let (catalog, name) = (Catalog::default(), RelationName::new("clinic", "patients"));
        let columns = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let needs = Needs {
            read: true,
            update: true,
            columns: columns(&["patient_id"]),
            masked: columns(&["ssn"]),
            partial: true,
            ..Needs::default()
        };
        let mut login = LoginPlan { user: "clerks".into(), ..LoginPlan::default() };
        let refusal = View::of(&catalog, &name, &needs, true).unwrap_err();
        let note = login.goes_without(&name, &refusal);
        assert!(note.starts_with("nothing of `clinic.patients` is granted to `clerks`"), "{note}");
        let mut sql = String::new();
        login.sql(&mut sql);
        assert!(!sql.contains("grant "), "{sql}");
        assert!(sql.contains("-- of \"clinic\".\"patients\" nothing is read\n"), "{sql}");
    }

    #[test]
    fn what_is_planned_is_written_so_that_names_cannot_break_out() {
        let name = RelationName::new("clinic", "we\"ird'$floor$");
        let granted = Granted {
            quoted: format!("{}.{}", quoted(&name.schema), quoted(&name.name)),
            schema: "clinic".into(),
            select: BTreeSet::from(["a\"b".to_owned()]),
            insert: true,
            ..Granted::default()
        };
        let login = LoginPlan {
            login: "billing".into(),
            user: "o'b%s\"x".into(),
            callers: BTreeSet::from(["group dev/b\nill".to_owned()]),
            relations: BTreeMap::from([(name.to_string(), granted)]),
            views: BTreeMap::new(),
        };
        let plan = Plan {
            target: TargetName::new("ehr").unwrap(),
            logins: vec![login],
            views: BTreeMap::new(),
            teller: None,
            notes: Vec::new(),
        };
        let sql = plan.sql();
        for part in [
            "-- Login billing, for: group dev/b ill.\n",
            "grant select (\"a\"\"b\") on \"clinic\".\"we\"\"ird'$floor$\" to \"o'b%s\"\"x\";",
            "grant insert on \"clinic\".\"we\"\"ird'$floor$\" to",
            "from \"o''b%%s\"\"x\"', place)",
            "rolname = 'o''b%s\"x'",
            "do $floor_$ declare numbers",
            "'\"clinic\".\"we\"\"ird''$floor$\"'::pg_catalog.regclass",
        ] {
            assert!(sql.contains(part), "{part}: {sql}");
        }
    }
}
