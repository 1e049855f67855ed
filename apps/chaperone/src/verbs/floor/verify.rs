//! What a role can do against what is planned.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chaperone_scope::FLOOR_SCHEMA;
use serde::{Deserialize, Serialize};

use super::plan::{Granted, LoginPlan, Plan, is_system};

/// What a role can do at the database, whoever gave it that: to itself, to everybody, to a role that it inherits from.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Rights {
    /// Attributes that go around grants: `superuser`, `bypassrls`, ...
    pub(super) attributes: Vec<String>,
    /// How many relations it owns.
    pub(super) owned: u64,
    /// Roles that it can take on.
    pub(super) member_of: Vec<String>,
    /// Functions of the database's own that run with the rights of whoever owns them.
    pub(super) definers: Vec<String>,
    /// Relations of which it has something.
    pub(super) relations: Vec<Right>,
}

/// What it can do with one relation.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Right {
    pub(super) schema: String,
    pub(super) name: String,
    /// Columns that it can read.
    pub(super) select: Vec<String>,
    /// Those of them that everybody can read.
    pub(super) public: Vec<String>,
    /// It was given the relation, and not columns of it: then it has those that every table has, too.
    pub(super) whole: bool,
    pub(super) insert: bool,
    pub(super) update: bool,
    pub(super) delete: bool,
}

/// One thing that is not as planned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Difference {
    /// The role.
    pub(super) user: String,
    /// Planned and not there, or there and not planned.
    pub(super) kind: Kind,
    /// What.
    pub(super) what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Missing,
    TooMuch,
    /// There, and not what was planned.
    Altered,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Missing => "missing",
            Kind::TooMuch => "too much",
            Kind::Altered => "altered",
        };
        write!(f, "{}: {kind}: {}", self.user, self.what)
    }
}

/// Everything that is not as planned, sorted. A role without rights is `None`: it does not exist.
pub(super) fn compare(plan: &Plan, found: &BTreeMap<String, Option<Rights>>) -> Vec<Difference> {
    let mut differences = Vec::new();
    for login in &plan.logins {
        let mut differ = |kind: Kind, what: String| {
            differences.push(Difference { user: login.user.clone(), kind, what });
        };
        match found.get(&login.user) {
            Some(Some(rights)) => of_login(login, &through(plan, login), rights, &mut differ),
            Some(None) | None => differ(Kind::Missing, "the role".to_owned()),
        }
    }
    differences.sort();
    differences
}

/// The views that a login reads, as relations with all of their columns.
fn through(plan: &Plan, login: &LoginPlan) -> BTreeMap<String, Granted> {
    let each = login.views.iter().filter_map(|(name, through)| Some((plan.views.get(name)?, through)));
    let granted = each.map(|(view, through)| {
        let name = chaperone_access::RelationName::new(FLOOR_SCHEMA, view.name.as_str()).to_string();
        let (select, update) = (view.columns.clone(), through.lock.is_some());
        (name, Granted { select, update, ..Granted::default() })
    });
    granted.collect()
}

fn of_login(
    login: &LoginPlan,
    views: &BTreeMap<String, Granted>,
    rights: &Rights,
    differ: &mut impl FnMut(Kind, String),
) {
    for attribute in &rights.attributes {
        differ(Kind::TooMuch, format!("attribute {attribute}"));
    }
    if rights.owned > 0 {
        differ(Kind::TooMuch, format!("ownership of {} relations", rights.owned));
    }
    for role in &rights.member_of {
        differ(Kind::TooMuch, format!("membership in role `{role}`"));
    }
    for function in &rights.definers {
        differ(Kind::TooMuch, format!("execution of `{function}`, which runs with its owner's rights"));
    }
    let nothing = Granted::default();
    let mut seen = BTreeSet::new();
    let planned: BTreeMap<&String, &Granted> = login.relations.iter().chain(views).collect();
    for right in &rights.relations {
        let name =
            chaperone_access::RelationName::new(right.schema.as_str(), right.name.as_str()).to_string();
        let planned = planned.get(&name).copied().unwrap_or(&nothing);
        of_relation(&name, planned, right, differ);
        seen.insert(name);
    }
    let none = Right::default();
    for (name, planned) in planned.into_iter().filter(|(name, _)| !seen.contains(*name)) {
        of_relation(name, planned, &none, differ);
    }
}

fn of_relation(name: &str, planned: &Granted, right: &Right, differ: &mut impl FnMut(Kind, String)) {
    // Their numbers are nobody's.
    if planned.sequence {
        return;
    }
    let has: BTreeSet<&str> = right.select.iter().map(String::as_str).collect();
    for column in planned.select.iter().filter(|column| !has.contains(column.as_str())) {
        differ(Kind::Missing, format!("select on {name}.{column}"));
    }
    let beside = right.select.iter().filter(|column| !planned.select.contains(*column));
    for column in beside.filter(|column| !(right.whole && is_system(column))) {
        let public = if right.public.contains(column) { " (granted to public)" } else { "" };
        differ(Kind::TooMuch, format!("select on {name}.{column}{public}"));
    }
    let verbs = [
        ("insert", planned.insert, right.insert),
        ("update", planned.update, right.update),
        ("delete", planned.delete, right.delete),
    ];
    for (verb, planned, has) in verbs {
        match (planned, has) {
            (true, false) => differ(Kind::Missing, format!("{verb} on {name}")),
            (false, true) => differ(Kind::TooMuch, format!("{verb} on {name}")),
            (true, true) | (false, false) => {}
        }
    }
}
