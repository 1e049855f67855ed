//! The agent's side: where targets are, and how to log in to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::{Refusal, RefusalCode, TargetName};
use chaperone_postgres::login::{LoggedIn, LoginError, LoginOptions, RoleOptions, TargetTls, cancel, login};
use chaperone_tunnel::{
    As, BoxFuture, Canceller, Dial, Host, HostOpened, LoginFacts, Opened, RoleName, Stream, Targets,
};
use chaperone_vault::SecretSource;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpStream, UnixStream};

use crate::config::agent::{AgentConfig, Target, TlsMode};
use crate::config::commands::CommandTarget;
use crate::config::{self, gateway::Protocol};
use crate::verbs::Failure;
use crate::wiring::callers::{CallerRow, Callers, SessionWord};
use crate::wiring::commands::programs::Programs;
use crate::wiring::servers::Servers;
use crate::wiring::walls::Platform;

/// Where the machine's own users stand.
const USERS: &str = "/etc/passwd";

pub(super) struct Place {
    pub(super) target: Target,
    pub(super) tls: Option<TargetTls>,
    pub(super) callers: Callers,
}

/// The targets of one agent's configuration.
pub(crate) struct Declared {
    places: BTreeMap<TargetName, Arc<Place>>,
    commands: Programs,
    servers: Servers,
}

impl Declared {
    /// Check and take a configuration. `path` is its file.
    pub(crate) fn new(config: AgentConfig, path: &Path) -> Result<Self, Failure> {
        let platform = Platform::new(config.isolation);
        let users = users(&config.commands);
        let commands = Programs::new(config.commands, path, &platform)?;
        let mut places = BTreeMap::new();
        for (name, target) in config.targets {
            match target.protocol {
                Protocol::Postgres => {}
                Protocol::Command => {
                    return Err(Failure::Usage(format!(
                        "target `{name}`: commands are declared in a target of `kind = \"command\"`, without `protocol`"
                    )));
                }
            }
            check_logins(&target).map_err(|why| Failure::Usage(format!("target `{name}`: {why}")))?;
            let tls = tls(&target, path).map_err(|why| Failure::Usage(format!("target `{name}`: {why}")))?;
            places.insert(name, Arc::new(Place { target, tls, callers: Callers::new() }));
        }
        let taken =
            |name: &&TargetName| places.contains_key(*name) || commands.names().any(|known| known == *name);
        if let Some(twice) = config.servers.keys().chain(config.elsewhere.keys()).find(taken) {
            return Err(Failure::Usage(format!("`{twice}` is a target and a server: give them two names")));
        }
        let servers = Servers::new(config.servers, config.elsewhere, path, &config.state, &platform, &users)
            .map_err(Failure::Usage)?;
        Ok(Self { places, commands, servers })
    }

    /// The agent starts: what one before it has left is ended.
    pub(crate) fn start(&self) -> Result<(), Failure> {
        self.servers.clear().map_err(Failure::Failed)
    }

    /// The agent stops: what runs here is asked to end, and ended.
    pub(crate) fn stop(&self) {
        self.commands.stop();
        self.servers.stop();
    }

    /// Wait until nothing of what was ended is left, and not for long.
    pub(crate) async fn ended(&self) {
        self.servers.ended().await;
    }
}

/// As whom the commands of targets run, where that is not the agent itself. What is no user is refused with its target.
fn users(commands: &BTreeMap<TargetName, CommandTarget>) -> BTreeMap<TargetName, u32> {
    if commands.is_empty() || !rustix::process::geteuid().is_root() {
        return BTreeMap::new();
    }
    let listed = std::fs::read_to_string(USERS).unwrap_or_default();
    let uid = |target: &CommandTarget| uid_of(&listed, target.user.as_deref()?);
    commands.iter().filter_map(|(name, target)| Some((name.clone(), uid(target)?))).collect()
}

/// The number of `uid:gid`, or of a name in the list of users.
fn uid_of(listed: &str, user: &str) -> Option<u32> {
    if let Some((uid, _)) = user.split_once(':') {
        return uid.parse().ok();
    }
    let line = listed.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':'))?;
    line.split(':').nth(1)?.parse().ok()
}

/// A pattern that names nothing would be a role that nobody gets, and nobody would know why.
fn check_logins(target: &Target) -> Result<(), String> {
    for (name, login) in &target.logins {
        if let Some(bad) = login.roles.iter().find(|pattern| RoleName::new(pattern).is_err()) {
            return Err(format!("`{bad}` in `roles` of login `{}` is no name of a role", name.as_str()));
        }
    }
    Ok(())
}

/// Whether `*`, for any characters, makes the name of the pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let Some(tail) = pieces.pop() else { return false };
    for piece in pieces {
        let Some((_, after)) = left.split_once(piece) else { return false };
        left = after;
    }
    left.ends_with(tail)
}

/// As whom a session logs in, by this file and not by what was asked for.
struct Who<'a> {
    user: &'a str,
    password: Option<&'a SecretSource>,
    role: Option<RoleOptions>,
}

impl Target {
    fn who(&self, asked: &As) -> Result<Who<'_>, Refusal> {
        let undeclared = |what: String| {
            tracing::warn!(%what, "the gateway asked for what this agent does not declare");
            Refusal::new(
                RefusalCode::TargetUnavailable,
                "the agent does not declare the login or role asked for",
            )
            .hint("ask whoever runs the agent to look at its log")
        };
        let Some(name) = &asked.login else {
            return match &asked.role {
                None => Ok(Who { user: &self.user, password: self.password.as_ref(), role: None }),
                Some(role) => Err(undeclared(format!("role `{}` without a login", role.as_str()))),
            };
        };
        let login = self
            .logins
            .get(name)
            .ok_or_else(|| undeclared(format!("login `{}` is not in `logins`", name.as_str())))?;
        let role = match &asked.role {
            None => None,
            Some(role) if login.roles.iter().any(|pattern| fits(pattern, role.as_str())) => {
                Some(RoleOptions { name: role.as_str().to_owned(), among: login.roles.clone() })
            }
            Some(role) => {
                let (role, name) = (role.as_str(), name.as_str());
                return Err(undeclared(format!("role `{role}` is not in `roles` of login `{name}`")));
            }
        };
        Ok(Who { user: &login.user, password: login.password.as_ref(), role })
    }
}

fn tls(target: &Target, file: &Path) -> Result<Option<TargetTls>, String> {
    match target.tls {
        TlsMode::Disable => return Ok(None),
        TlsMode::VerifyFull => {}
    }
    let roots = target
        .roots
        .as_ref()
        .ok_or("`tls = \"verify-full\"` needs `roots` (hint: or say `tls = \"disable\"`)")?;
    let mut store = rustls::RootCertStore::empty();
    let path = config::beside(file, roots);
    let certificates =
        CertificateDer::pem_file_iter(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| format!("`{}`: {error}", path.display()))?;
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    let builder = rustls::ClientConfig::builder().with_root_certificates(store);
    let config = match (&target.certificate, &target.key) {
        (Some(certificate), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(config::beside(file, certificate))
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| error.to_string())?;
            let key =
                PrivateKeyDer::from_pem_file(config::beside(file, key)).map_err(|error| error.to_string())?;
            builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) | (None, Some(_)) => return Err("`certificate` and `key` belong together".to_owned()),
    };
    let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
    Ok(Some(TargetTls { config: Arc::new(config), name, direct: false }))
}

pub(super) async fn connect(target: &Target) -> Result<Box<dyn chaperone_wire::Stream>, Refusal> {
    let unreachable = |error: std::io::Error| {
        tracing::warn!(%error, "a target cannot be reached");
        Refusal::new(RefusalCode::TargetUnavailable, "the target cannot be reached")
            .hint("ask whoever runs the agent to look at its log")
    };
    if target.host.starts_with('/') {
        let path = format!("{}/.s.PGSQL.{}", target.host, target.port);
        return Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?));
    }
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(Box::new(stream))
}

struct Cancel {
    place: Arc<Place>,
    pid: i32,
    key: Bytes,
    /// Goes with the stream, as this does.
    _told: Option<CallerRow>,
}

impl Canceller for Cancel {
    fn cancel(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move {
            let stream = connect(&self.place.target).await?;
            cancel(stream, self.place.tls.as_ref(), self.pid, &self.key)
                .await
                .map_err(|error| Refusal::new(RefusalCode::TargetUnavailable, error.to_string()))
        })
    }
}

/// Log in. Where the target bears no session that starts with the client's settings, without them: it says why when they are
/// applied, and its client hears it.
async fn logged_in(
    target: &Target,
    mut options: LoginOptions,
    secret: Option<&[u8]>,
) -> Result<(LoginOptions, LoggedIn), Refusal> {
    let mut outcome = login(connect(target).await?, &options, secret).await;
    if !options.parameters.is_empty() && outcome.as_ref().is_err_and(is_of_a_setting) {
        options.parameters.clear();
        outcome = login(connect(target).await?, &options, secret).await;
    }
    match outcome {
        Ok(logged_in) => Ok((options, logged_in)),
        Err(error) => {
            tracing::warn!(%error, host = %target.host, "login to the target failed");
            Err(Refusal::new(RefusalCode::TargetUnavailable, "the agent cannot log in to the target")
                .hint("ask whoever runs the agent to look at its log"))
        }
    }
}

/// Whether a login failed by what the session was to start with: a value that there is not, or too short a time.
fn is_of_a_setting(error: &LoginError) -> bool {
    matches!(error, LoginError::Refused { code, .. } if ["22023", "57014", "55P03"].contains(&code.as_str()))
}

impl Targets for Declared {
    fn names(&self) -> Vec<TargetName> {
        self.places.keys().chain(self.commands.names()).cloned().chain(self.servers.names()).collect()
    }

    fn host(&self, request: Host) -> BoxFuture<'_, Result<HostOpened, Refusal>> {
        self.servers.host(request)
    }

    fn open(&self, request: Dial) -> BoxFuture<'_, Result<Opened, Refusal>> {
        Box::pin(async move {
            if let Some(opened) = self.commands.open(&request) {
                return Ok(opened);
            }
            let Some(place) = self.places.get(&request.target).cloned() else {
                return Err(Refusal::new(
                    RefusalCode::UndefinedTarget,
                    "this agent does not serve the target",
                ));
            };
            let target = &place.target;
            let Who { user, password, role } = target.who(&request.login)?;
            let secret = match password {
                Some(source) => Some(source.fetch().await.map_err(|error| {
                    tracing::error!(%error, "a target's secret cannot be had");
                    Refusal::new(RefusalCode::TargetUnavailable, "the target's secret cannot be had")
                        .hint("ask whoever runs the agent to look at its log")
                })?),
                None => None,
            };
            let asked = request.parameters.iter();
            let word =
                target.floor.as_ref().and(request.caller.as_ref()).map(|caller| (SessionWord::new(), caller));
            let options = LoginOptions {
                user: user.to_owned(),
                database: target.database.clone(),
                application_name: request.application.as_str().to_owned(),
                parameters: asked.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                own: word.iter().map(|(word, _)| word.setting()).collect(),
                role,
                tls: place.tls.clone(),
            };
            let secret = secret.as_ref().map(chaperone_vault::Secret::expose);
            let (options, logged_in) = logged_in(target, options, secret).await?;
            // Before the session's first statement, which may ask for it.
            let told = match word {
                Some((word, caller)) => Callers::tell(&place, logged_in.pid, word, caller).await,
                None => None,
            };
            let facts = LoginFacts {
                login: options.user.clone(),
                role: options.role.as_ref().map(|role| role.name.clone()),
                backend_pid: u32::from_ne_bytes(logged_in.pid.to_ne_bytes()),
                backend_start: Some(logged_in.backend_start_us.to_string()),
                server_version: logged_in.server_version,
                tls: place.tls.as_ref().map(|_| "verified".to_owned()),
                told: told.is_some(),
                apart: None,
            };
            let (pid, key) = (logged_in.pid, logged_in.cancel_key);
            let canceller = Box::new(Cancel { place, pid, key, _told: told });
            Ok(Opened {
                stream: Box::new(logged_in.stream) as Box<dyn Stream>,
                greeting: logged_in.greeting,
                facts,
                canceller,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use chaperone_tunnel::LoginName;

    use super::*;

    fn target() -> Target {
        toml::from_str(
            "protocol = \"postgres\"\nhost = \"h\"\ndatabase = \"d\"\nuser = \"plain\"\n\
             [logins.people]\nuser = \"bare\"\nroles = [\"dev/*\"]\n[logins.billing]\nuser = \"bills\"\n",
        )
        .unwrap()
    }

    #[test]
    fn what_the_gateway_asks_for_is_looked_up_and_judged_here() {
        let asked = |login: Option<&str>, role: Option<&str>| As {
            login: login.map(|name| LoginName::new(name).unwrap()),
            role: role.map(|name| RoleName::new(name).unwrap()),
        };
        let target = target();
        check_logins(&target).unwrap();
        let who = |login, role| {
            let who = target.who(&asked(login, role)).ok()?;
            Some((who.user.to_owned(), who.role.map(|role| role.name)))
        };
        assert_eq!(who(None, None), Some(("plain".into(), None)));
        assert_eq!(who(Some("billing"), None), Some(("bills".into(), None)));
        assert_eq!(who(Some("people"), Some("dev/ana")), Some(("bare".into(), Some("dev/ana".into()))));
        for (login, role) in [
            (None, Some("dev/ana")),
            (Some("billing"), Some("dev/ana")),
            (Some("people"), Some("prod/ana")),
            (Some("people"), Some("postgres")),
            (Some("others"), None),
        ] {
            assert_eq!(who(login, role), None, "{login:?} {role:?}");
        }
    }

    #[test]
    fn the_user_of_commands_is_known_by_number() {
        let listed = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nbroken:x:y:z\n";
        for (user, uid) in [("nobody", Some(65534)), ("7:8", Some(7)), ("nobod", None), ("broken", None)] {
            assert_eq!(uid_of(listed, user), uid, "{user}");
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in
            [("dev/*", "dev/ana"), ("*", "x"), ("a*b*c", "a1b2c"), ("a*", "a"), ("ana", "ana")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("dev/*", "dex/ana"), ("a*b*c", "acb"), ("*na", "nab"), ("ana", "anab"), ("a*a", "a")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_that_is_no_role_is_refused_at_the_start() {
        let mut target = target();
        target.logins.get_mut(&LoginName::new("people").unwrap()).unwrap().roles.push("pg_*".into());
        assert!(check_logins(&target).unwrap_err().contains("pg_*"));
    }
}
