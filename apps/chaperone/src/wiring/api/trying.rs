//! Sets of policies that are asked: checked, tested, listed as a matrix, compared, explained. Nothing comes into force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chaperone_access::{Analysis, Refusal, TargetName};
use chaperone_api::{
    CheckView, DiffRequest, DiffView, ExplainRequest, ExplanationView, MatrixView, PolicySource, TestView,
};
use chaperone_policy::{Expectations, OfTarget, PolicySet, Said, TESTS_FILE, World};
use chaperone_scope::Catalog;
use chaperone_wire::Analyst;
use serde::Serialize;
use serde_json::Value;

use super::given::Given;
use super::policies::unread;
use super::refused::{Refused, failed};
use super::{Managed, Shared, identities};
use crate::wiring::attributes::declared;
use crate::wiring::gateway::{COMMAND, MCP, POSTGRES};
use crate::wiring::installation::now_us;
use crate::wiring::policies::{FILES_MAX, checked, lines, world};

type Files = Vec<(String, String)>;

/// The files of a set that is asked about, its expectations among them where they were given.
async fn files(managed: &Managed, source: &PolicySource) -> Result<Files, Refused> {
    match (&source.digest, &source.files) {
        (Some(_), Some(_)) => {
            Err(Refused::unusable("a set is named by its digest or given as files, not both"))
        }
        (None, None) => Ok(managed.policies.now().files().to_vec()),
        (None, Some(files)) if files.len() > FILES_MAX => {
            Err(Refused::unusable(format!("a set has at most {FILES_MAX} files")))
        }
        (None, Some(files)) => Ok(files.iter().map(|(name, text)| (name.clone(), text.clone())).collect()),
        (Some(digest), None) => {
            let (archive, wanted) = (managed.keeper.archive().clone(), digest.clone());
            let kept = tokio::task::spawn_blocking(move || archive.get(&wanted)).await.map_err(failed)?;
            kept.map_err(failed)?.ok_or_else(|| {
                Refused::not_found("no set of policies of that digest is kept")
                    .hint("`GET /policies` lists them")
            })
        }
    }
}

/// The set, and the expectations that stand beside it.
fn split(files: Files) -> (Files, Option<(String, String)>) {
    let (tests, mut set): (Files, Files) = files.into_iter().partition(|(name, _)| name == TESTS_FILE);
    set.sort();
    (set, tests.into_iter().next())
}

/// A set that can be asked.
async fn set(managed: &Managed, source: &PolicySource) -> Result<Arc<PolicySet>, Refused> {
    if source.digest.is_none() && source.files.is_none() {
        return Ok(managed.policies.now());
    }
    let ((files, _), known) = (split(files(managed, source).await?), managed.keeper.known());
    let loaded = tokio::task::spawn_blocking(move || PolicySet::load(&files, &known));
    match loaded.await.map_err(failed)? {
        Ok((set, _)) => Ok(Arc::new(set)),
        Err(errors) => Err(Refused::unusable(lines(&errors)).hint("`POST /policies/check` says the same")),
    }
}

/// What exists at all targets, and those of which nobody can tell.
async fn everything(managed: &Managed, sets: &[&PolicySet]) -> (World, Vec<String>) {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    let mut others = Vec::new();
    for (target, speaks) in &managed.targets {
        if *speaks != POSTGRES {
            let tools = tools(managed, target, speaks).await;
            if let Err(refusal) = &tools {
                unread.push(format!("{target}: {refusal}"));
            }
            others.push((target.clone(), of_tools(tools.unwrap_or_default(), speaks)));
            continue;
        }
        let catalog = managed.analysts.catalog(target).await;
        if let Err(refusal) = &catalog {
            unread.push(format!("{target}: {refusal}"));
        }
        found.push((target.clone(), catalog.ok()));
    }
    let mut world = world(&managed.installation, found.into_iter());
    world.targets.extend(others);
    (world.with_named(sets), unread)
}

/// The tools of a target that takes no statements: commands that its agent declares, or what was seen of a server's.
async fn tools(managed: &Managed, target: &TargetName, speaks: &str) -> Result<BTreeSet<String>, Refusal> {
    if speaks == COMMAND {
        let declaration = managed.commands.declaration(target).await?;
        return Ok(declaration.commands.keys().cloned().collect());
    }
    let known = managed.manifests.of(target)?.unwrap_or_default();
    // A server's prompts and templates are known by names that no tool has.
    let all = known.accepted.into_keys().chain(known.held.into_keys());
    Ok(all.filter(|name| !name.contains(':')).collect())
}

fn of_tools(tools: BTreeSet<String>, speaks: &str) -> OfTarget {
    OfTarget { tools: Some(tools), is_server: speaks == MCP, ..OfTarget::default() }
}

/// What is asked about in an explanation: the target, and a statement as a fresh session there has it.
async fn asked_about(
    managed: &Managed,
    target: &TargetName,
    sql: Option<&String>,
) -> Result<(World, Option<Arc<Analysis>>), Refused> {
    let speaks = managed.targets.iter().find(|(known, _)| known == target).map(|(_, speaks)| *speaks);
    if let Some(speaks) = speaks.filter(|speaks| *speaks != POSTGRES) {
        if sql.is_some() {
            return Err(Refused::unusable(format!("`{target}` takes no statements"))
                .hint("leave `sql` out; `tool` is a command or tool that is asked about"));
        }
        let tools = tools(managed, target, speaks).await.map_err(|refusal| unread(&refusal))?;
        let targets = [(target.clone(), of_tools(tools, speaks))].into();
        return Ok((World { installation: managed.installation.clone(), targets }, None));
    }
    let (catalog, analysis) = understood(managed, target, sql).await?;
    Ok((world(&managed.installation, [(target.clone(), Some(catalog))].into_iter()), analysis))
}

fn json(value: &impl Serialize) -> Result<Value, Refused> {
    serde_json::to_value(value).map_err(failed)
}

/// Check a set: what is wrong with it, and what is odd. Whoever wants to know whether files can be loaded sends them.
#[utoipa::path(
    post, path = "/policies/check", request_body = PolicySource, responses((status = 200, body = CheckView))
)]
pub(super) async fn check(
    State(managed): Shared,
    Given(source): Given<PolicySource>,
) -> Result<Json<CheckView>, Refused> {
    let ((files, tests), known) = (split(files(&managed, &source).await?), managed.keeper.known());
    let work = tokio::task::spawn_blocking(move || checked(&files, tests.as_ref(), &known));
    let found = work.await.map_err(failed)?;
    let (errors, warnings) = (found.errors, found.warnings);
    Ok(Json(CheckView { errors, warnings, unverifiable_groups: found.groups }))
}

/// Ask a set what `tests.toml` among its files expects.
#[utoipa::path(
    post, path = "/policies/test", request_body = PolicySource, responses((status = 200, body = TestView))
)]
pub(super) async fn test(
    State(managed): Shared,
    Given(source): Given<PolicySource>,
) -> Result<Json<TestView>, Refused> {
    let tests = split(files(&managed, &source).await?).1;
    let tests = tests.ok_or_else(|| {
        Refused::unusable(format!("there is no `{TESTS_FILE}` among the files"))
            .hint("sets are kept without it: send `files`")
    })?;
    let expectations = Expectations::parse(&tests).map_err(|errors| Refused::unusable(lines(&errors)))?;
    let set = set(&managed, &source).await?;
    let (world, _) = everything(&managed, &[&set]).await;
    let mut analysts: BTreeMap<TargetName, Arc<dyn Analyst>> = BTreeMap::new();
    for (target, _) in managed.targets.iter().filter(|(_, speaks)| *speaks == POSTGRES) {
        if let Ok(analyst) = managed.analysts.of(target).await {
            analysts.insert(target.clone(), analyst);
        }
    }
    let runtime = tokio::runtime::Handle::current();
    let asked = tokio::task::spawn_blocking(move || {
        let analyse = |target: &TargetName, sql: &str| -> Result<Arc<Analysis>, String> {
            let analyst = analysts.get(target);
            let analyst = analyst.ok_or_else(|| format!("the catalog of `{target}` is not known"))?;
            Ok(runtime.block_on(analyst.analyse(Arc::from(sql), analyst.fresh_names())))
        };
        let unmet = expectations.unmet(&set, &world, now_us(), analyse);
        (expectations.len(), unmet)
    });
    let (many, unmet) = asked.await.map_err(failed)?;
    let unmet = unmet.iter().map(json).collect::<Result<_, _>>()?;
    Ok(Json(TestView { expectations: many as u64, unmet }))
}

/// Who may do what under a set, by class of callers, as text.
#[utoipa::path(
    post, path = "/policies/matrix", request_body = PolicySource, responses((status = 200, body = MatrixView))
)]
pub(super) async fn matrix(
    State(managed): Shared,
    Given(source): Given<PolicySource>,
) -> Result<Json<MatrixView>, Refused> {
    let set = set(&managed, &source).await?;
    let (world, unread) = everything(&managed, &[&set]).await;
    let work = tokio::task::spawn_blocking(move || chaperone_policy::matrix(&set, &world, now_us()));
    Ok(Json(MatrixView { matrix: work.await.map_err(failed)?, unread }))
}

/// Who gains and who loses what between two sets.
#[utoipa::path(
    post, path = "/policies/diff", request_body = DiffRequest, responses((status = 200, body = DiffView))
)]
pub(super) async fn diff(
    State(managed): Shared,
    Given(request): Given<DiffRequest>,
) -> Result<Json<DiffView>, Refused> {
    let (old, new) = (set(&managed, &request.old).await?, set(&managed, &request.new).await?);
    let (world, unread) = everything(&managed, &[&old, &new]).await;
    let known = identities::profiles(&managed);
    let work =
        tokio::task::spawn_blocking(move || chaperone_policy::compare(&old, &new, &world, &known, now_us()));
    let difference = json(&work.await.map_err(failed)?)?;
    Ok(Json(DiffView { difference, unread }))
}

/// A statement as a fresh session at its target has it, and the target's catalog.
async fn understood(
    managed: &Managed,
    target: &TargetName,
    sql: Option<&String>,
) -> Result<(Arc<Catalog>, Option<Arc<Analysis>>), Refused> {
    let catalog = managed.analysts.catalog(target).await.map_err(|refusal| unread(&refusal))?;
    let Some(sql) = sql else { return Ok((catalog, None)) };
    let analyst = managed.analysts.of(target).await.map_err(|refusal| unread(&refusal))?;
    let analysis = analyst.analyse(Arc::from(sql.as_str()), analyst.fresh_names()).await;
    Ok((catalog, Some(analysis)))
}

/// Why somebody may or may not, and what would change it. What the request leaves out is what the gateway knows of that one.
#[utoipa::path(
    post, path = "/policies/explain", request_body = ExplainRequest,
    responses((status = 200, body = ExplanationView))
)]
pub(super) async fn explain(
    State(managed): Shared,
    Given(request): Given<ExplainRequest>,
) -> Result<Json<ExplanationView>, Refused> {
    let (world, analysis) = asked_about(&managed, &request.target, request.sql.as_ref()).await?;
    let set = set(&managed, &request.policies).await?;
    let world = world.with_named(&[&set]);
    let known = identities::one(&managed, &request.who, request.service);
    let attributes = declared(&request.attributes, managed.keeper.attributes()).map_err(Refused::unusable)?;
    let ExplainRequest { who, service, groups, client, purpose, server, tool, .. } = request;
    let ExplainRequest { acr, amr, authenticated_s, target, .. } = request;
    let said =
        Said { who, service, groups, client, purpose, server, tool, attributes, acr, amr, authenticated_s };
    let profile = said.profile(known.as_ref(), now_us() / 1_000_000);
    let delegation =
        profile.delegation(set.clients()).map_err(|error| Refused::unusable(error.to_string()))?;
    // Counterfactuals over every group and relation take a while.
    let explained = tokio::task::spawn_blocking(move || {
        let statement = analysis.as_ref();
        json(&chaperone_policy::explain(&set, &delegation, &target, &world, statement, now_us()))
    });
    let explanation = explained.await.map_err(failed)??;
    Ok(Json(ExplanationView { known: known.is_some(), explanation }))
}
