//! What the names in front of a dot stand for: whether `x.name` is a column for certain. Where it is not, PostgreSQL takes the
//! same notation for a call of a function of that name, or for a cast to a type of that name.

use std::collections::{HashMap, HashSet};

use crate::tree::{Fields, Value, node, text};

/// Columns that something has for certain; it may have more.
pub(crate) type Columns<'a> = HashSet<&'a str>;

/// The ranges of one statement, all scopes together: of two things of one name, what both have.
#[derive(Debug, Default)]
pub(crate) struct Ranges<'a> {
    known: HashMap<&'a str, Columns<'a>>,
    /// A function stands in FROM under a name that PostgreSQL finds for it: no name is certain.
    unnamed: bool,
}

impl<'a> Ranges<'a> {
    /// Of a statement. `columns` are those of a relation that is named; `None` where there is none of that name.
    pub(crate) fn of(statement: &'a Value, columns: &dyn Fn(&'a Fields) -> Option<Columns<'a>>) -> Self {
        let mut queries = HashMap::new();
        statement.each(&mut |fields| {
            let name = text(fields, "ctename");
            if !name.is_empty() {
                merge(&mut queries, name, query(fields.get("ctequery"), fields.get("aliascolnames")));
            }
        });
        let relation = |fields: &'a Fields| {
            let bare = text(fields, "schemaname").is_empty();
            match (queries.get(text(fields, "relname")).filter(|_| bare), columns(fields)) {
                (None, known) => known.unwrap_or_default(),
                (Some(query), None) => query.clone(),
                // Which of them it is depends on where it stands.
                (Some(query), Some(known)) => known.intersection(query).copied().collect(),
            }
        };
        let mut ranges = Self::default();
        statement.each(&mut |fields| ranges.see(fields, &relation));
        ranges
    }

    fn see(&mut self, fields: &'a Fields, columns: &dyn Fn(&'a Fields) -> Columns<'a>) {
        let alias = |name: &str| fields.get(name).and_then(Value::fields);
        let renamed = alias("alias").and_then(|alias| alias.get("colnames"));
        let relation = text(fields, "relname");
        match (alias("alias").map(|alias| text(alias, "aliasname")), relation.is_empty(), renamed) {
            (Some(name), true, renamed) => {
                merge(&mut self.known, name, query(fields.get("subquery"), renamed))
            }
            (None, true, _) => {
                self.unnamed |= fields.get("functions").is_some() || fields.get("docexpr").is_some();
            }
            (name, false, Some(_)) => merge(&mut self.known, name.unwrap_or(relation), Columns::new()),
            (name, false, None) => merge(&mut self.known, name.unwrap_or(relation), columns(fields)),
        }
        if let Some(using) = alias("join_using_alias") {
            merge(&mut self.known, text(using, "aliasname"), Columns::new());
        }
        if let (Some(_), Some(target)) = (alias("on_conflict_clause"), alias("relation")) {
            merge(&mut self.known, "excluded", columns(target));
        }
    }

    /// Whether everything of that name has such a column, and there is something of that name.
    pub(crate) fn has(&self, range: &str, column: &str) -> bool {
        !self.unnamed && self.known.get(range).is_some_and(|columns| columns.contains(column))
    }
}

fn merge<'a>(known: &mut HashMap<&'a str, Columns<'a>>, name: &'a str, columns: Columns<'a>) {
    match known.get_mut(name) {
        Some(there) => there.retain(|column| columns.contains(column)),
        None => drop(known.insert(name, columns)),
    }
}

/// The columns of a SELECT that have their names for certain.
fn query<'a>(query: Option<&'a Value>, renamed: Option<&'a Value>) -> Columns<'a> {
    let list = |value: Option<&'a Value>| {
        value.and_then(Value::as_array).into_iter().flatten().filter_map(node).map(|(_, fields)| fields)
    };
    if let Some(renamed) = renamed {
        return list(Some(renamed)).map(|name| text(name, "sval")).collect();
    }
    let select = query.and_then(node).filter(|(kind, _)| *kind == "SelectStmt");
    let mut select = select.map(|(_, fields)| fields);
    // The names of a set operation are those of its first query.
    while let Some(left) = select.and_then(|select| select.get("larg")).and_then(Value::fields) {
        select = Some(left);
    }
    list(select.and_then(|select| select.get("target_list"))).filter_map(named).collect()
}

fn named(item: &Fields) -> Option<&str> {
    match (text(item, "name"), node(item.get("val")?)?) {
        ("", ("ColumnRef", value)) => {
            let (kind, last) = node(value.get("fields")?.as_array()?.last()?)?;
            (kind == "String").then(|| text(last, "sval"))
        }
        ("", _) => None,
        (name, _) => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::parse;

    /// `people` has an email, `visits` has none.
    fn has(statement: &str) -> bool {
        let parsed = parse(statement).unwrap();
        let columns = |relation: &Fields| match text(relation, "relname") {
            "people" => Some(Columns::from(["email", "id"])),
            "visits" => Some(Columns::from(["id"])),
            _ => None,
        };
        Ranges::of(parsed.statements(statement)[0].0, &columns).has("x", "email")
    }

    #[test]
    fn a_name_before_a_dot_is_certain_where_everything_of_that_name_has_the_column() {
        for certain in [
            "select x.email from people x",
            "select x.email from (select email from people) x",
            "select x.email from (select id as email from visits union select 1) x",
            "select x.email from (select 1) x(email)",
            "with x as (select p.email from people p) select x.email from x",
            "with y(email) as (values (1)) select x.email from y x",
            "update people x set id = 1 where x.email = ''",
            "select 1 from unnest(array['']) y, people x where x.email = ''",
            "select x.email from people x, (select x.email from people x) y",
            "with people as (select 1 as id) select x.email from public.people x",
        ] {
            assert!(has(certain), "{certain}");
        }
        for open in [
            "select x.email from visits x",
            "select x.email from people x(a, b)",
            "select x.email from (select * from people) x",
            "select x.email from (select x.* from people x) x",
            "select x.email from (select email.* from visits email) x",
            "select x.email from unnest(array['']) x",
            "select x.email from unnest(array['']) x, (select 1 from people x) y",
            "select x.email from people x, coalesce('')",
            "select x.email from people x, (select 1 from xmltable('' passing '' columns a int)) y",
            "select x.email from (people a join people b using (id)) x",
            "select x.email from people x, (people a join people b using (id) as x)",
            "with x as (update people set email = '' returning id) select x.email from x",
            "with people as (select 1) select x.email from people x",
            "with y as (select 1), z as (with y as (select 1 as email) select 1) select x.email from y x",
            "select y.email from people y",
            "select x.email from unknown x",
        ] {
            assert!(!has(open), "{open}");
        }
    }

    #[test]
    fn what_was_to_be_inserted_has_the_columns_of_its_target() {
        let statement = "insert into people values (1) on conflict (id) do update set email = excluded.email";
        let parsed = parse(statement).unwrap();
        let ranges = Ranges::of(parsed.statements(statement)[0].0, &|_| Some(Columns::from(["email"])));
        assert!(ranges.has("excluded", "email") && !ranges.has("excluded", "id"));
    }
}
