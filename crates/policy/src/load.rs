//! Policies from text: parsed, validated against the built-in schema, and every name in them checked, because Cedar
//! does not know which targets and relations exist and a misspelt `forbid` would fail open.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PrincipalConstraint, ResourceConstraint, Schema,
    ValidationMode, ValidationWarning, Validator,
};
use chaperone_access::{AttributeKind, Delegation, RelationName, SQL_TOOLS, TargetName};
use chaperone_identity::Clients;
use miette::Diagnostic as _;

use crate::ask::{Kinds, On, named_column};
use crate::limits::{LIMITS_FILE, LimitRules, Limits};
use crate::sight::Sight;
use crate::slice::{
    ByPrincipal, Compares, Scope, action_fits, compares, form, is_open, named_of, principal_fits, reads,
    reads_resource, reads_time, target_of,
};
use crate::world::{Names, OF_SERVER};

/// The built-in schema.
pub(crate) const SCHEMA: &str = include_str!("schema.cedarschema");

/// The schema with the attributes that are declared, all of them optional: an issuer may leave any of them out.
fn schema(attributes: &BTreeMap<String, AttributeKind>) -> String {
    let declared: Vec<String> = attributes
        .iter()
        .map(|(name, kind)| {
            let kind = match kind {
                AttributeKind::Bool => "Bool",
                AttributeKind::Long => "Long",
                AttributeKind::Text => "String",
                AttributeKind::Texts => "Set<String>",
            };
            let name: String = name.escape_default().collect();
            format!("\"{name}\"?: {kind}")
        })
        .collect();
    SCHEMA.replace("/* attributes */", &declared.join(", "))
}

const MISSES: &str = "`resource ==` a target or relation is not about its columns";
const MISSES_HINT: &str = "say `resource in`";

/// What the schema's `Circumstances` have.
const CIRCUMSTANCES: [&str; 16] = [
    "acr",
    "agreement",
    "amr",
    "approved",
    "authenticated_s",
    "client",
    "prompt",
    "purpose",
    "recipient",
    "registered",
    "server",
    "server_agreement",
    "server_recipient",
    "time",
    "tool",
    "uri",
];

/// What is wrong with a policy, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

/// Something that does not prevent a policy set from being used.
pub type Warning = Diagnostic;

/// What exists, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Attributes of subjects that the configuration declares.
    pub attributes: BTreeMap<String, AttributeKind>,
    /// Registered clients.
    pub clients: Arc<Clients>,
    /// The gateway's name in its configuration, where it is known.
    pub installation: Option<String>,
    /// Every target.
    pub targets: BTreeSet<TargetName>,
    /// Those of them whose tools only their agents know: declared commands.
    pub commands: BTreeSet<TargetName>,
    /// Those of them that are servers of others: which tools they have, only they know.
    pub servers: BTreeSet<TargetName>,
    /// Relations of those targets whose catalog has been read, as `schema.name`.
    pub relations: BTreeMap<TargetName, HashSet<String>>,
    /// Columns of those that have a classification too, as `schema.name.column`.
    pub columns: BTreeMap<TargetName, HashSet<String>>,
    /// Every tag that a column may have; `None` where nothing is classified, or nobody says.
    pub tags: Option<HashSet<String>>,
}

impl Known {
    /// Where no configuration says what exists: the targets that policies name. A misspelt one cannot be told then.
    #[must_use]
    pub fn named_in(sets: &[&[(String, String)]]) -> Self {
        let mut targets = BTreeSet::new();
        for (_, text) in sets.iter().flat_map(|files| files.iter()) {
            let Ok(set) = cedar_policy::PolicySet::from_str(text) else { continue };
            for policy in set.policies() {
                for uid in literals(policy) {
                    targets.extend(target_of(&uid).map(TargetName::new).and_then(Result::ok));
                }
            }
        }
        // A tool that is misspelt cannot be told either.
        Self { servers: targets.clone(), targets, ..Self::default() }
    }

    /// Whether there is a server of that name; where no configuration says which there are, there may be.
    fn has_server(&self, name: &str) -> bool {
        self.installation.is_none()
            || self.servers.iter().any(|server| server.as_str() == name)
            || self.clients.exchanging(name).is_some()
    }
}

/// One policy with what is needed to slice.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) policy: Policy,
    pub(crate) scope: Scope,
    pub(crate) name: Arc<str>,
    pub(crate) reads_time: bool,
    /// What its conditions compare attributes with.
    pub(crate) compares: Compares,
    /// Whether its conditions look at the resource.
    pub(crate) reads_resource: bool,
    /// Variables and their attributes that its conditions read.
    reads: BTreeSet<(String, String)>,
    /// Whether they are something that a class of callers leaves open: attributes, purpose, authentication, time.
    pub(crate) open: bool,
    file: usize,
    offset: usize,
}

impl Rule {
    /// Variables and their attributes that its conditions read.
    pub(crate) fn reads(&self) -> &BTreeSet<(String, String)> {
        &self.reads
    }
}

/// A set in force.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) rules: Vec<Rule>,
    by_principal: ByPrincipal,
    /// Columns that a policy names, as `target/schema.name.column`.
    columns: HashSet<String>,
    /// Relations that a policy about columns names, as `target/schema.name`.
    relations: HashSet<String>,
    pub(crate) kinds: Kinds,
    pub(crate) clients: Arc<Clients>,
    limits: LimitRules,
    digest: [u8; 32],
    files: Vec<(String, String)>,
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

pub(crate) fn diagnostic(
    file: &(String, String),
    offset: usize,
    message: String,
    hint: Option<String>,
) -> Diagnostic {
    let (line, column) = place(&file.1, offset);
    Diagnostic { file: file.0.clone(), line, column, message, hint }
}

fn offset_of(error: &dyn miette::Diagnostic) -> usize {
    error.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset())
}

fn diagnose(file: &(String, String), error: &dyn miette::Diagnostic) -> Diagnostic {
    let message = error.to_string().replace('\n', " ");
    diagnostic(file, offset_of(error), message, error.help().map(|help| help.to_string()))
}

fn lower<E: std::fmt::Display>(error: E) -> Diagnostic {
    Diagnostic { file: "schema".into(), line: 1, column: 1, message: error.to_string(), hint: None }
}

impl PolicySet {
    /// Load from files, each a name and its text.
    ///
    /// # Errors
    /// Everything that is wrong with them, in the order of the files.
    pub fn load(files: &[(String, String)], known: &Known) -> Result<(Self, Vec<Warning>), Vec<Diagnostic>> {
        let mut files = files.to_vec();
        files.sort();
        let mut rules = Vec::new();
        let mut errors = Vec::new();
        let mut limits = LimitRules::default();
        for (index, file) in files.iter().enumerate() {
            if file.0 == LIMITS_FILE {
                match LimitRules::parse(file) {
                    Ok(parsed) => limits = parsed,
                    Err(found) => errors.extend(found),
                }
                continue;
            }
            match cedar_policy::PolicySet::from_str(&file.1) {
                Ok(set) => {
                    if set.templates().next().is_some() {
                        let hint = Some("write the principal and resource out".to_owned());
                        errors.push(diagnostic(file, 0, "policy templates are not supported".into(), hint));
                    }
                    rules.extend(rules_of(index, file, &set));
                }
                Err(broken) => errors.extend(broken.iter().map(|error| diagnose(file, error))),
            }
        }
        let mut by_principal = ByPrincipal::default();
        rules.iter().enumerate().for_each(|(at, rule): (usize, &Rule)| by_principal.add(at, &rule.scope));
        let kinds = Kinds::new().map_err(|error| vec![lower(error)])?;
        let (digest, clients) = (digest(&files), known.clients.clone());
        let columns = named_in(rules.iter(), "Column");
        let sights = [Sight::Reveal, Sight::UseMasked].map(|sight| kinds.action(sight.as_str()));
        let about = |rule: &&Rule| sights.iter().any(|sight| action_fits(&rule.scope, sight, None));
        let relations = named_in(rules.iter().filter(about), "Relation");
        let set = Self { rules, by_principal, columns, relations, kinds, clients, limits, digest, files };
        let (found, mut warnings) = set.validate(known)?;
        errors.extend(found);
        errors.extend(set.check_reads(known));
        let (found, odd) = set.check_names(known);
        errors.extend(found);
        warnings.extend(odd);
        warnings.extend(set.lint());
        if errors.is_empty() { Ok((set, warnings)) } else { Err(errors) }
    }

    /// Places of the rules whose head can match a principal, ascending.
    pub(crate) fn rules_of(&self, me: &EntityUid, groups: &HashSet<EntityUid>) -> Vec<usize> {
        let mut mine = self.by_principal.of(me, groups);
        mine.retain(|at| self.rules.get(*at).is_some_and(|rule| principal_fits(&rule.scope, me, groups)));
        mine.sort_unstable();
        mine
    }

    /// Whether a policy names that column, `schema.name.column`.
    pub(crate) fn names_column(&self, target: &TargetName, column: &str) -> bool {
        !self.columns.is_empty() && self.columns.contains(&format!("{target}/{column}"))
    }

    /// Whether a policy about columns names a relation or something that it is in, so that columns of the same tags can be
    /// more or less there than elsewhere in the target.
    pub(crate) fn names_relation(&self, target: &TargetName, (relation, within): On<'_>) -> bool {
        let mut names = std::iter::once(relation).chain(within);
        !self.relations.is_empty() && names.any(|name| self.relations.contains(&format!("{target}/{name}")))
    }

    /// What somebody may not go beyond at a target.
    #[must_use]
    pub fn limits(&self, delegation: &Delegation, target: &TargetName) -> Limits {
        self.limits.of(delegation, target)
    }

    /// The clients that are registered.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The files that the set was made from, sorted by name: what is archived under its digest.
    #[must_use]
    pub fn files(&self) -> &[(String, String)] {
        &self.files
    }

    /// Validate against the schema. Cedar only warns of a policy that can never hold; in a forbid that is an error.
    fn validate(&self, known: &Known) -> Result<(Vec<Diagnostic>, Vec<Warning>), Vec<Diagnostic>> {
        let (schema, _) =
            Schema::from_cedarschema_str(&schema(&known.attributes)).map_err(|error| vec![lower(error)])?;
        let validator = Validator::new(schema);
        let mut all = cedar_policy::PolicySet::new();
        for rule in &self.rules {
            all.add(rule.policy.clone()).map_err(|error| vec![lower(error)])?;
        }
        let by_id: HashMap<&PolicyId, &Rule> =
            self.rules.iter().map(|rule| (rule.policy.id(), rule)).collect();
        let place = |id: &PolicyId| {
            let rule = by_id.get(id)?;
            Some((*rule, self.files.get(rule.file)?))
        };
        let result = validator.validate(&all, ValidationMode::Strict);
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for error in result.validation_errors() {
            errors.extend(place(error.policy_id()).map(|(_, file)| diagnose(file, error)));
        }
        for warning in result.validation_warnings() {
            let Some((rule, file)) = place(warning.policy_id()) else { continue };
            let never = matches!(
                warning,
                ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_)
            );
            let found = Diagnostic {
                message: warning.to_string().replace('\n', " "),
                ..diagnostic(file, rule.offset, String::new(), warning.help().map(|help| help.to_string()))
            };
            let list = if never && rule.scope.effect == Effect::Forbid { &mut errors } else { &mut warnings };
            list.push(found);
        }
        for list in [&mut errors, &mut warnings] {
            list.sort_by_key(|found: &Diagnostic| (found.file.clone(), found.line, found.column));
        }
        Ok((errors, warnings))
    }

    /// Check every attribute of the caller and of the circumstances that a condition reads: Cedar takes `has` of one that
    /// does not exist for false, so that a misspelt forbid would bite nobody.
    fn check_reads(&self, known: &Known) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        for rule in &self.rules {
            let Some(file) = self.files.get(rule.file) else { continue };
            for (variable, attribute) in &rule.reads {
                let (exists, hint) = match variable.as_str() {
                    "principal" => (
                        known.attributes.contains_key(attribute),
                        "`[attributes]` of gateway.toml declares what subjects have",
                    ),
                    "context" => {
                        (CIRCUMSTANCES.contains(&attribute.as_str()), "see the reference of policies")
                    }
                    _ => (false, "targets and relations have no attributes"),
                };
                if !exists {
                    let message = format!("`{variable}` has no attribute `{attribute}`");
                    errors.push(diagnostic(file, rule.offset, message, Some(hint.to_owned())));
                }
            }
        }
        errors
    }

    /// Check every target and relation that a policy names: unknown in a `forbid` is an error, in a `permit` a warning.
    /// To be called again when a catalog has been read.
    #[must_use]
    pub fn check_names(&self, known: &Known) -> (Vec<Diagnostic>, Vec<Warning>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for rule in &self.rules {
            if rule.scope.effect == Effect::Forbid
                && self.misses_columns(rule)
                && let Some(file) = self.files.get(rule.file)
            {
                let message = format!("forbid `{}` hides no column: {MISSES}", rule.name);
                errors.push(diagnostic(file, rule.offset, message, Some(MISSES_HINT.to_owned())));
            }
            for uid in literals(&rule.policy) {
                let Some((message, hint)) = unknown(&uid, known) else { continue };
                let Some(file) = self.files.get(rule.file) else { continue };
                let found = diagnostic(file, rule.offset, message, Some(hint));
                match rule.policy.effect() {
                    Effect::Forbid => errors.push(found),
                    Effect::Permit => warnings.push(found),
                }
            }
            if let Some(target) = self.misses_server(rule, known)
                && let Some(file) = self.files.get(rule.file)
            {
                let message = format!("`{target}` is no server, so it has neither resources nor prompts");
                let hint = Some(format!("`[servers.{target}]` of gateway.toml would be one"));
                let found = diagnostic(file, rule.offset, message, hint);
                match rule.policy.effect() {
                    Effect::Forbid => errors.push(found),
                    Effect::Permit => warnings.push(found),
                }
            }
            for server in
                named_of(&rule.compares, "server").into_iter().filter(|name| !known.has_server(name))
            {
                let Some(file) = self.files.get(rule.file) else { continue };
                let message = format!("`{server}` is no server of others");
                let hint = Some(format!(
                    "`[servers.{server}]` or `[exchange.servers.{server}]` of gateway.toml would be one"
                ));
                let found = diagnostic(file, rule.offset, message, hint);
                match rule.policy.effect() {
                    Effect::Forbid => errors.push(found),
                    Effect::Permit => warnings.push(found),
                }
            }
        }
        if let Some(file) = self.files.iter().find(|file| file.0 == LIMITS_FILE) {
            let (more, odd) = self.limits.check(file, known);
            errors.extend(more);
            warnings.extend(odd);
        }
        errors.dedup();
        warnings.dedup();
        (errors, warnings)
    }

    /// Whether a policy lists `reveal` or `useMasked` for what is not a column nor has any in it by those words.
    fn misses_columns(&self, rule: &Rule) -> bool {
        let listed = |action: &str| {
            let uid = self.kinds.action(action);
            match &rule.scope.action {
                ActionConstraint::Any => false,
                ActionConstraint::Eq(named) => *named == uid,
                ActionConstraint::In(named) => named.contains(&uid),
            }
        };
        let alone = match &rule.scope.resource {
            ResourceConstraint::Eq(uid) => uid.type_name().basename() != "Column",
            ResourceConstraint::Is(_)
            | ResourceConstraint::Any
            | ResourceConstraint::In(_)
            | ResourceConstraint::IsIn(..) => false,
        };
        alone && [Sight::Reveal, Sight::UseMasked].into_iter().any(|sight| listed(sight.as_str()))
    }

    /// The target that a policy is about alone, where it is about nothing that this one can have.
    fn misses_server(&self, rule: &Rule, known: &Known) -> Option<TargetName> {
        let of_server = OF_SERVER.map(|called| self.kinds.action(called.action()));
        let alone = match &rule.scope.action {
            ActionConstraint::Any => false,
            ActionConstraint::Eq(named) => of_server.contains(named),
            ActionConstraint::In(named) => named.iter().all(|action| of_server.contains(action)),
        };
        let target = match &rule.scope.resource {
            ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
                target_of(uid).and_then(|target| TargetName::new(target).ok())
            }
            ResourceConstraint::Is(_) | ResourceConstraint::Any => None,
        };
        // Where no configuration says what there is, it may be one; and one that is not there is told of elsewhere.
        let is_other = |target: &TargetName| {
            known.installation.is_some() && known.targets.contains(target) && !known.servers.contains(target)
        };
        target.filter(is_other).filter(|_| alone)
    }

    /// What is allowed in Cedar and seldom meant: permits for everybody, to everything, on everything; and names that two
    /// policies share, which a record cannot tell apart.
    fn lint(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut seen: BTreeMap<&str, &Rule> = BTreeMap::new();
        for rule in &self.rules {
            let Some(file) = self.files.get(rule.file) else { continue };
            let mut warn = |message: String, hint: &str| {
                warnings.push(diagnostic(file, rule.offset, message, Some(hint.to_owned())));
            };
            for (message, hint) in wide(rule) {
                warn(format!("policy `{}` {message}", rule.name), hint);
            }
            if rule.scope.effect == Effect::Permit && self.misses_columns(rule) {
                warn(format!("policy `{}` shows no column: {MISSES}", rule.name), MISSES_HINT);
            }
            if seen.insert(&rule.name, rule).is_some() {
                let message = format!("`{}` is the name of another policy too", rule.name);
                warn(message, "give each its own `@id`: records name policies by it");
            }
        }
        warnings
    }

    /// Everything that the policies and limits name.
    #[must_use]
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        for rule in &self.rules {
            literals(&rule.policy).iter().for_each(|uid| name_into(&mut names, uid));
            names.clients.extend(named_of(&rule.compares, "client"));
            names.servers.extend(named_of(&rule.compares, "server"));
        }
        let limited = self.limits.named();
        names.groups.extend(limited.groups.into_iter().map(str::to_owned));
        names.people.extend(limited.subjects.into_iter().map(str::to_owned));
        names.clients.extend(limited.clients.into_iter().map(str::to_owned));
        names
    }

    /// Whether some answer to `connect` depends on the time, so that it may change while nothing else does.
    #[must_use]
    pub fn connect_reads_time(&self) -> bool {
        let connect = self.kinds.action("connect");
        self.rules.iter().any(|rule| rule.reads_time && action_fits(&rule.scope, &connect, None))
    }

    /// Whether some policy permits somebody one of these.
    pub(crate) fn permits_some(&self, actions: &[&str]) -> bool {
        let actions: Vec<EntityUid> = actions.iter().map(|action| self.kinds.action(action)).collect();
        let permits = |rule: &&Rule| rule.scope.effect == Effect::Permit;
        let fits = |rule: &Rule| actions.iter().any(|action| action_fits(&rule.scope, action, None));
        self.rules.iter().filter(permits).any(fits)
    }

    /// The digest that a set of these files would have, whether or not it can be loaded.
    #[must_use]
    pub fn digest_of(files: &[(String, String)]) -> [u8; 32] {
        let mut files = files.to_vec();
        files.sort();
        digest(&files)
    }

    /// SHA-256 over the files, sorted by name.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The same in hexadecimal, as records and folders name it.
    #[must_use]
    pub fn digest_text(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How many policies it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has none: everything is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Where a permit's head leaves open what it should say.
fn wide(rule: &Rule) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    if rule.scope.effect == Effect::Forbid {
        return found;
    }
    let anybody = matches!(rule.scope.principal, PrincipalConstraint::Any | PrincipalConstraint::Is(_));
    if anybody && !rule.policy.has_non_scope_constraint() {
        found.push((
            "is for everybody whom an issuer vouches for",
            "say `principal in Group::\"issuer/group\"`",
        ));
    }
    if matches!(rule.scope.action, ActionConstraint::Any) {
        found.push((
            "permits every action, managing the gateway included",
            "list the actions: `action in [Action::\"connect\", Action::\"read\"]`",
        ));
    }
    if matches!(rule.scope.resource, ResourceConstraint::Any | ResourceConstraint::Is(_)) {
        found.push((
            "is about every target, those that are added later included",
            "say `resource in Target::\"name\"`",
        ));
    }
    found
}

/// The rules of one file, in its order.
fn rules_of(index: usize, file: &(String, String), set: &cedar_policy::PolicySet) -> Vec<Rule> {
    let number = |policy: &Policy| {
        policy.id().to_string().trim_start_matches("policy").parse::<usize>().unwrap_or(usize::MAX)
    };
    let mut policies: Vec<(usize, &Policy)> = set.policies().map(|policy| (number(policy), policy)).collect();
    policies.sort_by_key(|(number, _)| *number);
    let mut rules = Vec::with_capacity(policies.len());
    // Each begins behind the one before it: equal texts have places of their own, and the file is searched once.
    let mut from = 0;
    for (number, policy) in policies {
        let text = policy.to_string();
        let text = text.trim();
        let offset = file.1.get(from..).and_then(|rest| rest.find(text)).map_or(from, |at| from + at);
        if file.1.get(offset..).is_some_and(|rest| rest.starts_with(text)) {
            from = offset + text.len();
        }
        let name = match policy.annotation("id") {
            Some(id) => Arc::from(id),
            None => Arc::from(format!("{}#{number}", file.0)),
        };
        let id = PolicyId::new(format!("{}#{number}", file.0));
        let form = form(policy);
        let reads = reads(form.as_ref());
        rules.push(Rule {
            policy: policy.new_id(id),
            scope: Scope::of(policy),
            name,
            reads_time: reads_time(form.as_ref()),
            reads_resource: reads_resource(form.as_ref()),
            compares: compares(form.as_ref()),
            open: reads.iter().any(is_open),
            reads,
            file: index,
            offset,
        });
    }
    rules
}

/// Every entity that a policy names.
fn literals(policy: &Policy) -> Vec<EntityUid> {
    let mut named = policy.entity_literals();
    named.extend(scope_literals(policy));
    named
}

/// Everything of a kind that some rules name.
fn named_in<'a>(rules: impl Iterator<Item = &'a Rule>, kind: &str) -> HashSet<String> {
    let named = rules.flat_map(|rule| literals(&rule.policy));
    let of_kind = named.filter(|uid| uid.type_name().basename() == kind);
    of_kind.map(|uid| uid.id().unescaped().to_owned()).collect()
}

fn scope_literals(policy: &Policy) -> Vec<EntityUid> {
    let mut named = Vec::new();
    match policy.principal_constraint() {
        PrincipalConstraint::Eq(uid) | PrincipalConstraint::In(uid) | PrincipalConstraint::IsIn(_, uid) => {
            named.push(uid);
        }
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => {}
    }
    match policy.resource_constraint() {
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            named.push(uid);
        }
        ResourceConstraint::Any | ResourceConstraint::Is(_) => {}
    }
    named
}

fn name_into(names: &mut Names, uid: &EntityUid) {
    let id: &str = uid.id().unescaped();
    match uid.type_name().to_string().as_str() {
        "Group" => {
            names.groups.insert(id.to_owned());
        }
        "Person" => {
            names.people.insert(id.to_owned());
        }
        "Service" => {
            names.services.insert(id.to_owned());
        }
        "Tool" => {
            let named =
                id.split_once('/').and_then(|(target, tool)| Some((TargetName::new(target).ok()?, tool)));
            names.tools.extend(named.map(|(target, tool)| (target, tool.to_owned())));
        }
        "Relation" => {
            let parts = id.split_once('/');
            let target = parts.and_then(|(target, _)| TargetName::new(target).ok());
            let relation = parts.and_then(|(_, relation)| relation.parse::<RelationName>().ok());
            names.relations.extend(target.zip(relation));
        }
        "Column" => {
            let parts = id.split_once('/');
            let target = parts.and_then(|(target, _)| TargetName::new(target).ok());
            let column = parts.and_then(|(_, column)| named_column(column));
            names.relations.extend(target.zip(column.map(|(relation, _)| relation)));
        }
        "Tag" => {
            names.tags.insert(id.to_owned());
        }
        _ => {}
    }
}

fn unknown(uid: &EntityUid, known: &Known) -> Option<(String, String)> {
    let id: &str = uid.id().unescaped();
    match uid.type_name().basename() {
        "Target" => unknown_target(id, known).err(),
        "Relation" => unknown_inside(id, known, unknown_relation),
        "Column" => unknown_inside(id, known, unknown_column),
        "Tag" => {
            let tags = known.tags.as_ref().filter(|tags| !tags.contains(id))?;
            let alike = tags.iter().filter(|tag| tag.rsplit('.').next() == id.rsplit('.').next()).min();
            let hint = match alike {
                Some(tag) => format!("there is `{tag}`"),
                None => "`[tags]` of a classification declares those that are not built in".to_owned(),
            };
            Some((format!("no classification has the tag `{id}`"), hint))
        }
        "Tool" => unknown_inside(id, known, unknown_tool),
        "Installation" => {
            let name = known.installation.as_deref().filter(|name| *name != id)?;
            Some((
                format!("`{id}` is not the name of this installation"),
                format!("`name` in gateway.toml is `{name}`"),
            ))
        }
        _ => None,
    }
}

fn unknown_target(id: &str, known: &Known) -> Result<TargetName, (String, String)> {
    TargetName::new(id).ok().filter(|name| known.targets.contains(name)).ok_or_else(|| {
        let names: Vec<&str> = known.targets.iter().map(TargetName::as_str).collect();
        (
            format!("`{id}` names a target that is not configured"),
            format!("configured are: {}", names.join(", ")),
        )
    })
}

/// What is in a target is named `target/...`.
fn unknown_inside(
    id: &str,
    known: &Known,
    unknown: impl Fn(&TargetName, &str, &Known) -> Option<(String, String)>,
) -> Option<(String, String)> {
    let Some((target, inside)) = id.split_once('/') else {
        return Some((
            format!("`{id}` is not the name of a relation or column"),
            "a relation is named `target/schema.name`, a column `target/schema.name.column`".to_owned(),
        ));
    };
    match unknown_target(target, known) {
        Ok(target) => unknown(&target, inside, known),
        Err(found) => Some(found),
    }
}

fn unknown_tool(target: &TargetName, tool: &str, known: &Known) -> Option<(String, String)> {
    if known.commands.contains(target) || known.servers.contains(target) {
        return None;
    }
    (!SQL_TOOLS.contains(&tool)).then(|| {
        (format!("target `{target}` has no tool `{tool}`"), format!("its tools are {}", SQL_TOOLS.join(", ")))
    })
}

fn unknown_relation(target: &TargetName, relation: &str, known: &Known) -> Option<(String, String)> {
    let relations = known.relations.get(target)?;
    (!relations.contains(relation)).then(|| {
        (
            format!("target `{target}` has no relation `{relation}`"),
            "write it as the catalog does: `schema.name`".to_owned(),
        )
    })
}

fn unknown_column(target: &TargetName, column: &str, known: &Known) -> Option<(String, String)> {
    let hint = || "write it as the catalog does: `schema.name.column`".to_owned();
    let Some((relation, name)) = named_column(column) else {
        return Some((format!("`{column}` is not the name of a column"), hint()));
    };
    let columns = known.columns.get(target);
    if columns.is_none_or(|columns| columns.contains(column)) {
        return unknown_relation(target, &relation.to_string(), known);
    }
    Some((format!("relation `{relation}` of target `{target}` has no column `{name}`"), hint()))
}

fn digest(files: &[(String, String)]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for (name, text) in files {
        for part in [name, text] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}
