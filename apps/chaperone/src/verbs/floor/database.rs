//! The database as its administrator reaches it: psql with a connection string from the environment, which is kept nowhere.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use oauth2::url::Url;
use zeroize::Zeroizing;

use super::plan::{Plan, literal};
use super::standing::{self, Standing};
use super::verify::Rights;
use crate::verbs::Failure;
use crate::verbs::exec::MISLEADING;

/// Names the administrator's connection.
const VARIABLE: &str = "CHAPERONE_FLOOR_URL";

/// Parameters of a connection string, and libpq's variables for them.
const PARAMETERS: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
];

/// What a role can do, as JSON: of each relation what privileges it has in effect, with what everybody has and what it
/// inherits. The columns that every table has are among its columns. `%ROLE%` is its name as a text.
const RIGHTS: &str = r"
with who as (select oid, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
               from pg_catalog.pg_roles where rolname = %ROLE%),
place as (select c.oid, c.relname, n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
           where c.relkind in ('r','v','m','f','p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'),
cells as (select p.oid, a.attnum, a.attname, pg_catalog.has_column_privilege('public', p.oid, a.attnum, 'SELECT') as public
            from place p cross join who join pg_catalog.pg_attribute a on a.attrelid = p.oid and not a.attisdropped
           where pg_catalog.has_column_privilege(who.oid, p.oid, a.attnum, 'SELECT')),
held as (select p.oid, p.nspname, p.relname,
                (select coalesce(json_agg(attname::text order by attnum), '[]') from cells where cells.oid = p.oid) as cols,
                (select coalesce(json_agg(attname::text order by attnum), '[]') from cells where cells.oid = p.oid and cells.public) as public,
                pg_catalog.has_table_privilege(who.oid, p.oid, 'SELECT') as whole,
                pg_catalog.has_any_column_privilege(who.oid, p.oid, 'INSERT') as ins,
                pg_catalog.has_any_column_privilege(who.oid, p.oid, 'UPDATE') as upd,
                pg_catalog.has_table_privilege(who.oid, p.oid, 'DELETE, TRUNCATE') as del
           from place p cross join who)
select json_build_object(
  'attributes', (select coalesce(json_agg(word), '[]') from who, lateral (values ('superuser', rolsuper), ('createrole', rolcreaterole),
      ('createdb', rolcreatedb), ('replication', rolreplication), ('bypassrls', rolbypassrls)) as flags (word, is_set) where is_set),
  'owned', (select count(*) from place p join pg_catalog.pg_class c on c.oid = p.oid join who on who.oid = c.relowner),
  'member_of', (select coalesce(json_agg(r.rolname::text order by 1), '[]') from pg_catalog.pg_auth_members m join who on who.oid = m.member
      join pg_catalog.pg_roles r on r.oid = m.roleid),
  'definers', (select coalesce(json_agg(p.oid::pg_catalog.regprocedure::text order by 1), '[]') from pg_catalog.pg_proc p
      join pg_catalog.pg_namespace n on n.oid = p.pronamespace cross join who
      where p.prosecdef and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and pg_catalog.has_function_privilege(who.oid, p.oid, 'EXECUTE') and pg_catalog.has_schema_privilege(who.oid, n.oid, 'USAGE')),
  'relations', (select coalesce(json_agg(json_build_object('schema', nspname, 'name', relname, 'select', cols, 'public', public,
      'whole', whole, 'insert', ins, 'update', upd, 'delete', del)), '[]') from held
      where ins or upd or del or json_array_length(cols) > 0))
from who;
";

/// A connection as libpq's variables.
pub(super) struct Database(Vec<(&'static str, Zeroizing<String>)>);

impl Database {
    pub(super) fn from_environment() -> Result<Self, Failure> {
        let text = std::env::var(VARIABLE).map(Zeroizing::new).map_err(|_| {
            Failure::Usage(format!(
                "as whom at the database? (hint: set `{VARIABLE}` to the connection string of its administrator, \
                 `postgresql://...`)"
            ))
        })?;
        Self::parse(&text).ok_or_else(|| {
            Failure::Usage(format!(
                "`{VARIABLE}` is not a connection string that is understood (hint: \
                 `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE`)"
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "postgresql" | "postgres"))?;
        let mut variables = Vec::new();
        let mut set = |name: &'static str, value: String| variables.push((name, Zeroizing::new(value)));
        let parts = [
            ("PGUSER", Some(url.username())),
            ("PGPASSWORD", url.password()),
            ("PGHOST", url.host_str()),
            ("PGDATABASE", url.path().strip_prefix('/')),
        ];
        for (name, value) in parts {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                set(name, decoded(value)?);
            }
        }
        if let Some(port) = url.port() {
            set("PGPORT", port.to_string());
        }
        for (name, value) in url.query_pairs() {
            let (_, variable) = PARAMETERS.iter().find(|(known, _)| *known == name)?;
            set(variable, value.into_owned());
        }
        Some(Self(variables))
    }

    fn psql(&self) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        for name in MISLEADING {
            command.env_remove(name);
        }
        command.env_remove(VARIABLE);
        for (name, value) in &self.0 {
            command.env(name, &**value);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    }

    /// Run a script, and what it prints.
    pub(super) fn run(&self, script: &str) -> Result<String, Failure> {
        let mut child = self
            .psql()
            .spawn()
            .map_err(|why| Failure::Usage(format!("cannot run `psql`: {why} (hint: is it installed?)")))?;
        let stdin = child.stdin.take();
        let (script, mut failed) = (script.to_owned(), false);
        // Beside waiting: psql may print before it has read all.
        let writing = std::thread::spawn(move || match stdin {
            Some(mut stdin) => stdin.write_all(script.as_bytes()),
            None => Ok(()),
        });
        let output = child.wait_with_output().map_err(Failure::io("cannot wait for psql"))?;
        // A psql that has stopped at an error does not read the rest.
        failed |= !matches!(writing.join(), Ok(Ok(())));
        if failed || !output.status.success() {
            return Err(Failure::Failed("psql did not run all of it; nothing has changed".to_owned()));
        }
        String::from_utf8(output.stdout).map_err(Failure::failed)
    }

    /// What stands at the database of a plan's views.
    pub(super) fn standing(&self, plan: &Plan) -> Result<Standing, Failure> {
        serde_json::from_str(self.run(&standing::question(plan))?.trim()).map_err(Failure::failed)
    }

    /// What each of some roles can do; `None` for one that does not exist.
    pub(super) fn rights<'a>(
        &self,
        users: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, Option<Rights>>, Failure> {
        let mut found = BTreeMap::new();
        for user in users {
            let said = self.run(&RIGHTS.replace("%ROLE%", &literal(user)))?;
            let said = said.trim();
            let rights = if said.is_empty() {
                None
            } else {
                Some(serde_json::from_str(said).map_err(Failure::failed)?)
            };
            found.insert(user.to_owned(), rights);
        }
        Ok(found)
    }
}

/// Text of a URL without its escapes (RFC 3986, section 2.1).
fn decoded(text: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            out.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_becomes_variables() {
        let text = "postgresql://post%40gres:p%2Fw@db.internal:5433/clinic?sslmode=verify-full&sslrootcert=%2Fca.pem";
        let Database(found) = Database::parse(text).unwrap();
        let found: BTreeMap<&str, &str> = found.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let expected = [
            ("PGDATABASE", "clinic"),
            ("PGHOST", "db.internal"),
            ("PGPASSWORD", "p/w"),
            ("PGPORT", "5433"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/ca.pem"),
            ("PGUSER", "post@gres"),
        ];
        assert_eq!(found, BTreeMap::from(expected));
        for bad in ["", "host=x", "https://a@b/c", "postgresql://a@b/c?options=-c", "postgresql://a%zz@b/c"] {
            assert!(Database::parse(bad).is_none(), "{bad}");
        }
    }
}
