//! What policies are asked about: the folder, what the configuration says exists, and the targets' catalogs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chaperone_access::{Analysis, TargetName};
use chaperone_api::{CatalogView, IdentityView, TargetView};
use chaperone_policy::{Expectations, Known, PolicySet, Profile, Warning, World};
use chaperone_scope::{Catalog, Classification};
use chaperone_store::PolicyArchive;

use crate::config::gateway::GatewayConfig;
use crate::config::{self, beside};
use crate::person::fresh::InUse;
use crate::verbs::{Failure, STACK_BYTES, block_on, remark};
use crate::wiring::api::identities::profile;
use crate::wiring::ask::Ask;
use crate::wiring::classifications::{self, ClassificationFiles};
use crate::wiring::gateway::POSTGRES;
use crate::wiring::installation::now_us;
use crate::wiring::policies::{self, Folder, learn, lines, world};

/// The configuration that is taken where none is named.
const CONFIG: &str = "gateway.toml";
/// Largest file of relations that is read: the catalog of a large database.
pub(crate) const RELATIONS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where to look.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// The gateway's configuration: its targets, clients and attributes. `gateway.toml`, where there is one; without any,
    /// what the policies name is taken to exist
    #[arg(long, value_name = "FILE", env = "CHAPERONE_CONFIG")]
    config: Option<PathBuf>,
    /// A target's catalog as `GET /targets/NAME/catalog` gives it, in the place of asking the gateway; once a target
    #[arg(long, value_name = "FILE")]
    relations: Vec<PathBuf>,
    /// Ask this gateway for its targets' catalogs, with your login there
    #[arg(long, value_name = "URL", env = "CHAPERONE_GATEWAY")]
    gateway: Option<String>,
    /// What the columns of a target hold, in the place of what the configuration names; once a target
    #[arg(long, value_name = "TARGET=FILE", value_parser = target_file)]
    classification: Vec<(TargetName, PathBuf)>,
    /// Do not ask any gateway: relations are those that policies name
    #[arg(long, conflicts_with = "relations")]
    offline: bool,
}

/// Everything that is needed to ask.
pub(crate) struct Setting {
    pub(crate) known: Known,
    config: Option<(PathBuf, GatewayConfig)>,
    catalogs: BTreeMap<TargetName, Arc<Catalog>>,
    classified: BTreeMap<TargetName, Arc<Classification>>,
    /// Those whom the gateway knows, with all their groups.
    pub(crate) identities: Vec<Profile>,
    /// Those of them who are compared: with a login of the last day, and services.
    pub(crate) current: Vec<Profile>,
}

/// What a gateway knows, as far as the caller may ask it.
#[derive(Default)]
struct Heard {
    catalogs: Vec<CatalogView>,
    identities: Vec<IdentityView>,
}

impl Setting {
    /// Look around. `files` are the policies that say what exists where no configuration does.
    fn open(place: &Place, files: &[&[(String, String)]]) -> Result<Self, Failure> {
        let config = place.configuration()?;
        let mut known = match &config {
            Some((_, config)) => policies::known(config, None)?,
            None => Known::named_in(files),
        };
        let mut classified = place.classified(config.as_ref())?;
        let Heard { catalogs: views, identities } = match (&place.gateway, &config) {
            _ if place.offline || !place.relations.is_empty() => {
                Heard { catalogs: place.given()?, ..Heard::default() }
            }
            (Some(gateway), _) => from_gateway(async {
                let login = InUse::open(Some(gateway)).await?;
                Ask::for_login(&login.kept.gateway, login.token(), login.ca())
            }),
            (None, Some((path, _))) => from_gateway(async { Ask::new(path) }),
            (None, None) => Heard::default(),
        };
        let mut catalogs = BTreeMap::new();
        for view in views {
            if let Some(found) = classifications::of_view(&view)? {
                classified.entry(view.target.clone()).or_insert(found);
            }
            let classification = classified.get(&view.target);
            let catalog = Catalog::build(1, &view.results, classification).map_err(Failure::failed)?;
            learn(&mut known, &view.target, &catalog);
            catalogs.insert(view.target, Arc::new(catalog));
        }
        known.tags = classifications::tags(classified.values().map(|found| &**found));
        let kinds = &known.attributes;
        let (current, before): (Vec<_>, Vec<_>) = identities.into_iter().partition(|view| view.current);
        let profiles = |views: Vec<IdentityView>| views.into_iter().map(|view| profile(view, kinds));
        let current: Vec<Profile> = profiles(current).collect();
        let identities = current.iter().cloned().chain(profiles(before)).collect();
        Ok(Self { known, config, catalogs, classified, identities, current })
    }

    /// Those whom expectations ask about as well.
    fn know(&mut self, expected: Vec<Profile>) {
        for identity in &mut self.current {
            // Compared with and without each client.
            identity.client = None;
        }
        for profile in expected {
            if !self.current.contains(&profile) {
                self.current.push(profile);
            }
        }
    }

    /// The set of these files, with its warnings; what is wrong with it is a failure.
    pub(crate) fn set(&self, files: &[(String, String)]) -> Result<(PolicySet, Vec<Warning>), Failure> {
        PolicySet::load(files, &self.known).map_err(|errors| Failure::Usage(lines(&errors)))
    }

    /// What exists, with what the sets name at targets whose catalogs are not known.
    pub(crate) fn world(&self, sets: &[&PolicySet]) -> World {
        let targets = self.known.targets.iter();
        let targets = targets.map(|target| (target.clone(), self.catalogs.get(target).cloned()));
        let installation = self.known.installation.as_deref().unwrap_or_default();
        let mut world = world(installation, targets);
        // Where no configuration says of which kind a target is, it is taken for one of statements.
        let others = self.known.commands.iter().chain(&self.known.servers).filter(|_| self.config.is_some());
        for target in others {
            // What its agent declares is not asked for here: its tools are those that policies name.
            let known = world.targets.entry(target.clone()).or_default();
            known.tools = Some(BTreeSet::new());
            known.is_server = self.known.servers.contains(target);
        }
        let mut world = world.with_named(sets);
        for (target, classification) in &self.classified {
            let without = !self.catalogs.contains_key(target);
            let Some(known) = world.targets.get_mut(target).filter(|_| without) else { continue };
            known.classified = true;
            for (name, facts) in classification.alone() {
                known.relations.entry(name.clone()).or_default().facts = Some(Arc::new(facts));
            }
        }
        world
    }

    /// The target that is meant where only one is configured, or the one that is named.
    pub(crate) fn target(&self, named: Option<TargetName>) -> Result<TargetName, Failure> {
        let names: Vec<&str> = self.known.targets.iter().map(TargetName::as_str).collect();
        let unknown = |what: &str| Failure::Usage(format!("{what} (hint: there are: {})", names.join(", ")));
        match (named, self.known.targets.first()) {
            (Some(target), _) if self.known.targets.contains(&target) => Ok(target),
            (Some(target), _) => Err(unknown(&format!("target `{target}` is not configured"))),
            (None, Some(only)) if self.known.targets.len() == 1 => Ok(only.clone()),
            (None, _) => Err(unknown("name a `--target`")),
        }
    }

    /// What names mean at a target.
    pub(crate) fn catalog(&self, target: &TargetName) -> Result<Arc<Catalog>, Failure> {
        self.catalogs.get(target).cloned().ok_or_else(|| {
            Failure::Usage(format!(
                "this needs the catalog of `{target}` (hint: a running gateway has it; or give it with \
                 `--relations FILE`)"
            ))
        })
    }

    /// The configuration, with its file.
    pub(crate) fn configured(&self) -> Result<&(PathBuf, GatewayConfig), Failure> {
        self.config.as_ref().ok_or_else(|| {
            Failure::Usage(format!("there is no `{CONFIG}` here (hint: name the gateway's `--config`)"))
        })
    }

    /// Understand a statement as a fresh session at the target would have it.
    pub(crate) fn analyse(&self, target: &TargetName, sql: &str) -> Result<Arc<Analysis>, String> {
        let catalog = self.catalogs.get(target).ok_or_else(|| {
            format!(
                "a statement needs the catalog of `{target}` (hint: a running gateway has it; \
                 or give it with `--relations FILE`)"
            )
        })?;
        let (text, catalog): (Arc<str>, _) = (Arc::from(sql), catalog.clone());
        // Trees are deep; the main thread's stack need not be.
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || chaperone_scope::analyse(&text, &catalog.path(), &Arc::from([]), &catalog));
        let analysis = thread.map_err(|error| error.to_string())?.join();
        analysis.map(Arc::new).map_err(|_| "the statement could not be understood".to_owned())
    }

    /// A set that was in force, by its digest, from the archive of the configured gateway.
    fn archived(&self, digest: &str) -> Result<Vec<(String, String)>, Failure> {
        let Some((path, config)) = &self.config else {
            let hint = "hint: name the gateway's `--config`: sets by digest are in its data folder";
            return Err(Failure::Usage(format!(
                "`{digest}` cannot be looked up without a configuration ({hint})"
            )));
        };
        let folder = beside(path, &config.data).join("policies");
        let archive =
            PolicyArchive::open(&folder).map_err(Failure::io("cannot open the archive of policies"))?;
        let kept = archive.get(digest).map_err(Failure::io("cannot read the archive of policies"))?;
        kept.ok_or_else(|| {
            Failure::Usage(format!("no set of digest `{digest}` is kept in `{}`", folder.display()))
        })
    }
}

impl Place {
    fn configuration(&self) -> Result<Option<(PathBuf, GatewayConfig)>, Failure> {
        let path = match &self.config {
            Some(path) if path.is_dir() => path.join(CONFIG),
            Some(path) => path.clone(),
            None if Path::new(CONFIG).exists() => PathBuf::from(CONFIG),
            None => return Ok(None),
        };
        let config = config::load(&path)?;
        Ok(Some((path, config)))
    }

    /// The classifications that are named here or in the configuration.
    fn classified(
        &self,
        config: Option<&(PathBuf, GatewayConfig)>,
    ) -> Result<BTreeMap<TargetName, Arc<Classification>>, Failure> {
        let wrong = |lines: Vec<String>| Failure::Usage(lines.join("\n"));
        let mut found = BTreeMap::new();
        if let Some((path, config)) = config {
            let files = ClassificationFiles::new(path, config).load().map_err(wrong)?;
            found.extend(files.into_iter().map(|(target, one)| (target, one.classification.clone())));
        }
        for (target, file) in &self.classification {
            let attributes = match config {
                Some((_, config)) => config.attributes.clone(),
                None => classifications::asked_in(&config::read_text(file)?),
            };
            let one = classifications::read(file, &attributes).map_err(wrong)?;
            found.insert(target.clone(), one.classification);
        }
        Ok(found)
    }

    fn given(&self) -> Result<Vec<CatalogView>, Failure> {
        let read = |path: &PathBuf| {
            let unreadable = || Failure::io(format!("cannot read `{}`", path.display()));
            if std::fs::metadata(path).map_err(unreadable())?.len() > RELATIONS_BYTES_MAX {
                return Err(Failure::Usage(format!("`{}` is too large for a catalog", path.display())));
            }
            let text = std::fs::read(path).map_err(unreadable())?;
            let hint = "hint: `GET /api/v1/targets/NAME/catalog` gives one";
            serde_json::from_slice(&text).map_err(|error| {
                Failure::Usage(format!("`{}` is no catalog: {error} ({hint})", path.display()))
            })
        };
        self.relations.iter().map(read).collect()
    }

    /// The policy folder that is named, or the configuration's, and what it is asked about.
    pub(crate) fn folder(&self, named: Option<&Path>) -> Result<(Folder, Setting), Failure> {
        let folder = match named {
            Some(folder) => folder.to_owned(),
            None => {
                let (path, config) = self.configuration()?.ok_or_else(|| {
                    Failure::Usage(format!(
                        "there is no `{CONFIG}` here that names a policy folder (hint: name the folder, or `--config`)"
                    ))
                })?;
                beside(&path, &config.policy.folder)
            }
        };
        let folder = policies::read(&folder)?;
        let setting = Setting::open(self, &[&folder.set])?;
        Ok((folder, setting))
    }

    /// Two sets, each a folder or the digest of one that was in force.
    pub(crate) fn pair(&self, names: [&str; 2]) -> Result<([PolicySet; 2], Setting), Failure> {
        let mut files: Vec<Option<Vec<(String, String)>>> = Vec::new();
        let mut expected: Vec<Profile> = Vec::new();
        for name in names {
            let is_digest = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_digest {
                files.push(None);
                continue;
            }
            let folder = policies::read(Path::new(name))?;
            if let Some(tests) = &folder.tests {
                let expectations =
                    Expectations::parse(tests).map_err(|errors| Failure::Usage(lines(&errors)))?;
                expected.extend(expectations.profiles(now_us()));
            }
            files.push(Some(folder.set));
        }
        let here: Vec<&[(String, String)]> = files.iter().flatten().map(Vec::as_slice).collect();
        let mut setting = Setting::open(self, &here)?;
        setting.know(expected);
        let mut sets = Vec::new();
        for (name, files) in names.into_iter().zip(files) {
            let files = match files {
                Some(files) => files,
                None => setting.archived(&name.to_ascii_lowercase())?,
            };
            let loaded =
                setting.set(&files).map_err(|failure| Failure::Usage(format!("{name}: {failure}")))?;
            sets.push(loaded.0);
        }
        let sets = <[PolicySet; 2]>::try_from(sets);
        sets.map(|sets| (sets, setting)).map_err(|_| Failure::Failed("two sets are compared".to_owned()))
    }
}

/// `TARGET=FILE`.
fn target_file(text: &str) -> Result<(TargetName, PathBuf), String> {
    let (target, file) = text.split_once('=').ok_or("it is given as `TARGET=FILE`")?;
    Ok((TargetName::new(target).map_err(|error| error.to_string())?, PathBuf::from(file)))
}

/// What a running gateway knows. Without one, names are checked less and that is said.
fn from_gateway(ask: impl Future<Output = Result<Ask, Failure>>) -> Heard {
    let asked = block_on(async move {
        let ask = ask.await?;
        let targets: Vec<TargetView> = ask.list("/targets", usize::MAX).await?;
        let mut catalogs = Vec::new();
        for target in targets.into_iter().filter(|target| target.protocol == POSTGRES) {
            match ask.get::<CatalogView>(&format!("/targets/{}/catalog", target.name)).await {
                Ok(view) => catalogs.push(view),
                Err(why) => remark(&format!("note: the catalog of `{}` is not known: {why}", target.name)),
            }
        }
        Ok(Heard { catalogs, identities: identities(&ask).await })
    });
    asked.unwrap_or_else(|why| {
        remark(&format!("note: no gateway was asked for its catalogs, so relations are not checked: {why}"));
        Heard::default()
    })
}

/// Everybody who ever logged in there, as last heard, and every service. Who may not ask for them is told so, and goes
/// on without.
async fn identities(ask: &Ask) -> Vec<IdentityView> {
    match ask.list::<IdentityView>("/identities", usize::MAX).await {
        Ok(views) => views,
        Err(why) => {
            remark(&format!(
                "note: the gateway does not say whom it knows, so only groups are told apart: {why}"
            ));
            Vec::new()
        }
    }
}
