//! Policies from text: parsed, validated against the built-in schema, and every name in them checked, because Cedar
//! does not know which targets and relations exist and a misspelt `forbid` would fail open.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{
    Effect, EntityUid, Policy, PolicyId, PrincipalConstraint, ResourceConstraint, Schema, ValidationMode,
    Validator,
};
use chaperone_access::TargetName;

use crate::decide::Kinds;
use crate::slice::reads_time;

/// The built-in schema.
pub(crate) const SCHEMA: &str = include_str!("schema.cedarschema");

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
    /// Every target.
    pub targets: BTreeSet<TargetName>,
    /// Relations of those targets whose catalog has been read, as `schema.name`.
    pub relations: BTreeMap<TargetName, HashSet<String>>,
}

/// One policy with what is needed to slice.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) policy: Policy,
    pub(crate) name: Arc<str>,
    pub(crate) reads_time: bool,
    file: usize,
    offset: usize,
}

/// A set in force.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) rules: Vec<Rule>,
    pub(crate) kinds: Kinds,
    digest: [u8; 32],
    files: Vec<(String, String)>,
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn diagnostic(file: &(String, String), offset: usize, message: String, hint: Option<String>) -> Diagnostic {
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
        for (index, file) in files.iter().enumerate() {
            match cedar_policy::PolicySet::from_str(&file.1) {
                Ok(set) => {
                    if set.templates().next().is_some() {
                        let hint = Some("write the principal and resource out".to_owned());
                        errors.push(diagnostic(file, 0, "policy templates are not supported".into(), hint));
                    }
                    rules.extend(set.policies().map(|policy| rule(index, file, policy)));
                }
                Err(broken) => errors.extend(broken.iter().map(|error| diagnose(file, error))),
            }
        }
        rules.sort_by_key(|rule: &Rule| (rule.file, rule.offset));
        let kinds = Kinds::new().map_err(|error| vec![lower(error)])?;
        let set = Self { digest: digest(&files), kinds, rules, files };
        errors.extend(set.validate()?);
        let (more, warnings) = set.check_names(known);
        errors.extend(more);
        if errors.is_empty() { Ok((set, warnings)) } else { Err(errors) }
    }

    fn validate(&self) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| vec![lower(error)])?;
        let validator = Validator::new(schema);
        let mut all = cedar_policy::PolicySet::new();
        for rule in &self.rules {
            all.add(rule.policy.clone()).map_err(|error| vec![lower(error)])?;
        }
        let result = validator.validate(&all, ValidationMode::Strict);
        let mut errors: Vec<Diagnostic> = result
            .validation_errors()
            .filter_map(|error| {
                let rule = self.rules.iter().find(|rule| rule.policy.id() == error.policy_id())?;
                Some(diagnose(self.files.get(rule.file)?, error))
            })
            .collect();
        errors.sort_by_key(|error| (error.file.clone(), error.line, error.column));
        Ok(errors)
    }

    /// Check every target and relation that a policy names: unknown in a `forbid` is an error, in a `permit` a warning.
    /// To be called again when a catalog has been read.
    #[must_use]
    pub fn check_names(&self, known: &Known) -> (Vec<Diagnostic>, Vec<Warning>) {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for rule in &self.rules {
            let mut named = rule.policy.entity_literals();
            named.extend(scope_literals(&rule.policy));
            for uid in named {
                let Some((message, hint)) = unknown(&uid, known) else { continue };
                let Some(file) = self.files.get(rule.file) else { continue };
                let found = diagnostic(file, rule.offset, message, Some(hint));
                match rule.policy.effect() {
                    Effect::Forbid => errors.push(found),
                    Effect::Permit => warnings.push(found),
                }
            }
        }
        errors.dedup();
        warnings.dedup();
        (errors, warnings)
    }

    /// SHA-256 over the files, sorted by name.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
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

fn rule(index: usize, file: &(String, String), policy: &Policy) -> Rule {
    let number = policy.id().to_string();
    let number = number.trim_start_matches("policy");
    let name = match policy.annotation("id") {
        Some(id) => Arc::from(id),
        None => Arc::from(format!("{}#{number}", file.0)),
    };
    let text = policy.to_string();
    let offset = file.1.find(text.trim()).unwrap_or(0);
    let id = PolicyId::new(format!("{}#{number}", file.0));
    Rule { policy: policy.new_id(id), name, reads_time: reads_time(policy), file: index, offset }
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

fn unknown(uid: &EntityUid, known: &Known) -> Option<(String, String)> {
    let id: &str = uid.id().unescaped();
    let kind = uid.type_name().to_string();
    let (target, relation) = match (kind.as_str(), id.split_once('/')) {
        ("Target", _) => (id, None),
        ("Relation", Some((target, relation))) => (target, Some(relation)),
        ("Relation", None) => {
            return Some((
                format!("`{id}` is not the name of a relation"),
                "a relation is named `target/schema.name`".to_owned(),
            ));
        }
        (_, _) => return None,
    };
    let target = TargetName::new(target).ok().filter(|name| known.targets.contains(name));
    let Some(target) = target else {
        let names: Vec<&str> = known.targets.iter().map(TargetName::as_str).collect();
        return Some((
            format!("`{id}` names a target that is not configured"),
            format!("configured are: {}", names.join(", ")),
        ));
    };
    let relation = relation?;
    let relations = known.relations.get(&target)?;
    (!relations.contains(relation)).then(|| {
        (
            format!("target `{target}` has no relation `{relation}`"),
            "write it as the catalog does: `schema.name`".to_owned(),
        )
    })
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
