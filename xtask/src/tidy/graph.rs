//! Rules on the graph of crates, read from `cargo metadata`: who may import whom, and what stays pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Finding;

/// The floors of the house, lowest first. A room imports only from floors below its own, so rooms of one floor
/// (`session` and the protocols above all) never see each other, and nobody imports an application.
const FLOORS: &[&[&str]] = &[
    &["access"],
    &["wire", "identity", "sql", "scope", "masking", "approval", "vault", "trail", "tunnel", "api"],
    &["policy"],
    &["recording"],
    &["store", "session", "evidence", PROTOCOLS],
    &["apps"],
];

/// Stands for every crate in `protocols/`.
const PROTOCOLS: &str = "protocols";

/// Outside the house: they may import anything, and only each other may import them.
const OUTSIDE: &[&str] = &["tests", "xtask"];

/// Rooms that run no task, ask no clock and draw no lot, and what would break that when it is anywhere among
/// their dependencies. `identity` is not one, since it draws the random parts of what it issues and waits for a bounded
/// pool; a pure room may use its types, so what `identity` needs is not followed.
const PURE: &[&str] = &["access", "policy", "sql", "scope", "masking", "approval", "trail"];
const NOT_FOLLOWED: &[&str] = &["chaperone-identity"];
const IMPURE: &[&str] = &["tokio", "async-std", "smol", "rand", "rand_core", "hyper", "reqwest"];

/// A member of the workspace, as far as the rules need it.
struct Member {
    /// Package id in the metadata.
    id: String,
    /// Folder from the workspace's root, `crates/access`.
    folder: String,
    package: Value,
}

impl Member {
    /// What [`FLOORS`] and [`PURE`] call it: its folder's name, or the street for applications and protocols.
    fn room(&self) -> &str {
        match self.folder.split_once('/') {
            Some(("apps", _)) => "apps",
            Some(("protocols", _)) => PROTOCOLS,
            Some((_, name)) => name,
            None => &self.folder,
        }
    }

    fn floor(&self) -> Option<usize> {
        FLOORS.iter().position(|rooms| rooms.contains(&self.room()))
    }

    fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// Check floors, purity, package names and that every dependency is the workspace's.
pub(super) fn findings(metadata: &Value) -> Vec<Finding> {
    let members = members(metadata);
    let mut findings = Vec::new();
    for member in &members {
        findings.extend(names(member));
        findings.extend(floors(member, &members));
        if PURE.contains(&member.room()) {
            findings.extend(purity(member, metadata));
        }
    }
    findings
}

fn members(metadata: &Value) -> Vec<Member> {
    let root = text(metadata, "workspace_root");
    let ids: BTreeSet<&str> = list(metadata, "workspace_members").filter_map(Value::as_str).collect();
    let packages = list(metadata, "packages").filter(|package| ids.contains(text(package, "id")));
    let members = packages.filter_map(|package| {
        let folder = text(package, "manifest_path").strip_prefix(root)?.strip_suffix("/Cargo.toml")?;
        let folder = folder.trim_start_matches('/').to_owned();
        Some(Member { id: text(package, "id").to_owned(), folder, package: package.clone() })
    });
    members.collect()
}

/// Folders have the plain name, packages the prefix.
fn names(member: &Member) -> Vec<Finding> {
    let name = text(&member.package, "name");
    let last = member.folder.rsplit('/').next().unwrap_or_default();
    let plain = matches!(member.folder.as_str(), "apps/chaperone" | "xtask") && name == last;
    if plain || name == format!("chaperone-{last}") {
        return Vec::new();
    }
    vec![Finding::new(&member.manifest(), 0, format!("package `{name}` must be called `chaperone-{last}`"))]
}

fn floors(member: &Member, members: &[Member]) -> Vec<Finding> {
    let path = member.manifest();
    let Some(own) = member.floor() else {
        if OUTSIDE.contains(&member.room()) {
            return Vec::new();
        }
        return vec![Finding::new(
            &path,
            0,
            format!("room `{}` stands on no floor of the house", member.room()),
        )];
    };
    let mut findings = Vec::new();
    for dependency in list(&member.package, "dependencies") {
        let Some(other) =
            members.iter().find(|other| text(&other.package, "name") == text(dependency, "name"))
        else {
            continue;
        };
        // A test may look at rooms of its own floor; nothing may look up, or at the tests.
        let is_test = text(dependency, "kind") == "dev";
        let below = other
            .floor()
            .is_some_and(|floor| floor < own || (is_test && floor == own && own + 1 < FLOORS.len()));
        let meets = is_test && is_data_path_pair(member.room(), other.room());
        if !below || meets {
            findings.push(Finding::new(
                &path,
                0,
                format!("`{}` may not import `{}`", member.room(), other.room()),
            ));
        }
    }
    findings
}

/// `session` and the protocols are kept apart in their tests as well: a test that joins them is the product's.
fn is_data_path_pair(one: &str, other: &str) -> bool {
    let pair = [PROTOCOLS, "session"];
    pair.contains(&one) && pair.contains(&other)
}

/// Walk the resolved graph along normal dependencies and name the path to the first impure crate.
fn purity(member: &Member, metadata: &Value) -> Vec<Finding> {
    let nodes: BTreeMap<&str, &Value> = metadata
        .get("resolve")
        .into_iter()
        .flat_map(|resolve| list(resolve, "nodes"))
        .map(|node| (text(node, "id"), node))
        .collect();
    let names: BTreeMap<&str, &str> =
        list(metadata, "packages").map(|package| (text(package, "id"), text(package, "name"))).collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![(member.id.as_str(), Vec::new())];
    let mut findings = Vec::new();
    while let Some((id, trace)) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let name = names.get(id).copied().unwrap_or(id);
        let trace: Vec<&str> = trace.into_iter().chain([name]).collect();
        if IMPURE.contains(&name) {
            findings.push(Finding::new(
                &member.manifest(),
                0,
                format!("pure room reaches `{}`", trace.join("` -> `")),
            ));
            continue;
        }
        if NOT_FOLLOWED.contains(&name) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        for dependency in list(node, "deps").filter(|dependency| is_normal(dependency)) {
            open.push((text(dependency, "pkg"), trace.clone()));
        }
    }
    findings
}

/// A dependency of the program itself, on any platform (`kind` null), not of its tests or build script.
fn is_normal(dependency: &Value) -> bool {
    list(dependency, "dep_kinds").any(|kind| kind.get("kind").is_none_or(Value::is_null))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Folders, each with its dependencies: folder or name, and kind (none: normal).
    type Rooms<'a> = [(&'a str, &'a [(&'a str, Option<&'a str>)])];

    /// What `cargo metadata` would say of them.
    fn workspace(rooms: &Rooms) -> Value {
        let name = |folder: &str| match folder.split_once('/') {
            Some(("apps", name)) => name.to_owned(),
            Some((_, name)) => format!("chaperone-{name}"),
            None => folder.to_owned(),
        };
        let mut packages: Vec<Value> = Vec::new();
        let mut nodes: Vec<Value> = Vec::new();
        for (folder, dependencies) in rooms {
            let plain = dependencies.iter().map(|(other, kind)| json!({"name": name(other), "kind": kind}));
            packages.push(json!({"id": name(folder), "name": name(folder), "manifest_path": format!("/w/{folder}/Cargo.toml"),
                "dependencies": plain.collect::<Vec<_>>()}));
            let deps = dependencies
                .iter()
                .map(|(other, kind)| json!({"pkg": name(other), "dep_kinds": [{"kind": kind}]}));
            nodes.push(json!({"id": name(folder), "deps": deps.collect::<Vec<_>>()}));
        }
        let ids: Vec<_> =
            rooms.iter().filter(|(folder, _)| folder.contains('/')).map(|(folder, _)| name(folder)).collect();
        json!({"workspace_root": "/w", "workspace_members": ids, "packages": packages, "resolve": {"nodes": nodes}})
    }

    fn messages(rooms: &Rooms) -> Vec<String> {
        findings(&workspace(rooms)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn downward_is_allowed() {
        let rooms: &Rooms = &[
            ("crates/access", &[]),
            ("crates/wire", &[("crates/access", None)]),
            ("crates/policy", &[("crates/access", None), ("crates/wire", None)]),
            ("crates/session", &[("crates/policy", None), ("crates/store", Some("dev"))]),
            ("crates/store", &[]),
            ("apps/chaperone", &[("crates/session", None)]),
        ];
        assert_eq!(messages(rooms), Vec::<String>::new());
    }

    #[test]
    fn upward_and_sideways_are_refused() {
        let up: &Rooms = &[("crates/access", &[("crates/wire", None)]), ("crates/wire", &[])];
        assert_eq!(messages(up), ["`access` may not import `wire`"]);
        let sideways: &Rooms =
            &[("crates/session", &[("protocols/postgres", None)]), ("protocols/postgres", &[])];
        assert_eq!(messages(sideways), ["`session` may not import `protocols`"]);
        let in_a_test: &Rooms =
            &[("protocols/postgres", &[("crates/session", Some("dev"))]), ("crates/session", &[])];
        assert_eq!(messages(in_a_test), ["`protocols` may not import `session`"]);
        let app: &Rooms = &[("crates/store", &[("apps/chaperone", Some("dev"))]), ("apps/chaperone", &[])];
        assert_eq!(messages(app), ["`store` may not import `apps`"]);
    }

    #[test]
    fn an_unknown_room_has_no_floor() {
        assert_eq!(messages(&[("crates/utils", &[])]), ["room `utils` stands on no floor of the house"]);
    }

    #[test]
    fn purity_is_transitive_and_ignores_tests() {
        let rooms: &Rooms = &[
            ("crates/scope", &[("parser", None), ("tokio", Some("dev"))]),
            ("parser", &[("rand", None)]),
            ("rand", &[]),
            ("tokio", &[]),
        ];
        assert_eq!(messages(rooms), ["pure room reaches `chaperone-scope` -> `parser` -> `rand`"]);
    }
}
