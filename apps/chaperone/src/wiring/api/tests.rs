//! The API as it is served: over a socket, with a real trail on a real disk.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use chaperone_access::{SessionId, Subject, SubjectKind, TargetName};
use chaperone_api::{
    AgentView, CreateService, CredentialRequest, CredentialView, DisableSubject, EnableSubject, Page,
    PersonView, Problem, RevokeService, RotateService, ServiceKeyView, ServiceView, TargetView, TokenView,
    WhoView,
};
use chaperone_identity::{Holders, Identity, People, Revoked, RootKey, RootKeys};
use chaperone_policy::{Known, Policies, PolicySet};
use chaperone_recording::commit::CommitmentKey;
use chaperone_recording::keys::{KeyId, Reader, ReaderKey, WrappedKey};
use chaperone_recording::{Recorder, RecorderParts};
use chaperone_session::{Boundary, Usages};
use chaperone_store::{KeyFiles, LockFiles, ManifestFiles, PolicyArchive, RevocationFiles, RosterFiles};
use chaperone_trail::{Options, Trail};
use chaperone_tunnel::link::{AgentAuthority, Links};
use chaperone_tunnel::{AgentKey, Dialer, Several};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::verbs::Failure;
use crate::wiring::ask::Ask;
use crate::wiring::classifications::ClassificationFiles;
use crate::wiring::commands::Commands;
use crate::wiring::identity::{self, Identities};
use crate::wiring::link::OnRecord;
use crate::wiring::logins::DatabaseLogins;
use crate::wiring::policies::KeeperParts;
use crate::wiring::sweep::Kick;
use crate::wiring::tls;

const ADMIN: &str = "cpa1.the-administrator";
const INSTALLATION: &str = "gw";

/// A gateway's API on a loopback port.
struct Running {
    address: SocketAddr,
    holders: Arc<Holders>,
    people: Arc<People>,
    policies: Arc<Policies>,
    recorder: Arc<Recorder>,
    _stop: watch::Sender<bool>,
    folder: tempfile::TempDir,
}

fn known() -> Known {
    Known {
        targets: BTreeSet::from([TargetName::new("ehr").unwrap()]),
        installation: Some(INSTALLATION.to_owned()),
        ..Known::default()
    }
}

fn policies(text: &str) -> PolicySet {
    PolicySet::load(&[("a.cedar".to_owned(), text.to_owned())], &known()).unwrap().0
}

fn recorder(folder: &Path, counters: &Arc<Counters>) -> Arc<Recorder> {
    let (trail, _) = Trail::open(Options::new(folder.join("trail"))).unwrap();
    let (public, _) = ReaderKey::generate();
    Arc::new(Recorder::new(RecorderParts {
        trail,
        keys: Arc::new(KeyFiles::open(&folder.join("keytable")).unwrap()),
        readers: vec![Reader { id: public.to_string(), epoch: 1, key: public }],
        commitment: Arc::new(CommitmentKey::new(1, &[1; 32])),
        installation: INSTALLATION.to_owned(),
        subscriber: counters.clone(),
    }))
}

impl Running {
    async fn start(policy: &str) -> Self {
        Self::start_with(policy, |_| None).await
    }

    async fn start_with(policy: &str, tls: impl FnOnce(&Path) -> Option<tokio_rustls::TlsAcceptor>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let counters = Arc::new(Counters::default());
        let recorder = recorder(folder.path(), &counters);
        let roster = Arc::new(RosterFiles::open(&folder.path().join("agents")).unwrap());
        let authority = AgentAuthority::new(&AgentKey::generate().unwrap()).unwrap();
        let links = Links::new(authority, roster, Arc::new(OnRecord::new(recorder.clone()))).unwrap();
        let dialer: Arc<dyn Dialer> = Arc::new(Several::new(vec![links.clone() as Arc<dyn Dialer>]));
        let analysts = Arc::new(Analysts::new(std::iter::empty(), &dialer, &recorder).unwrap());
        let issuers = identity::Issuers::new();
        let (holders, people) = identity::holders(folder.path(), &issuers).unwrap();
        let keys = RootKeys::new(RootKey::new(1, [7; 32]), Vec::new());
        let revoked = Arc::new(Revoked::default());
        let identity = Identity::new(keys, revoked.clone()).holding(holders.clone(), people.clone());
        let identity = Arc::new(identity);
        let identities = Arc::new(Identities::new(identity::Parts {
            recorder: recorder.clone(),
            identity: identity.clone(),
            holders: holders.clone(),
            people: people.clone(),
            issuers,
            kick: Kick::default(),
        }));
        let policies = Arc::new(Policies::new(policies(policy)));
        let files = LockFiles::open(&folder.path().join("locks")).unwrap();
        let revocations = RevocationFiles::open(&folder.path().join("revocations")).unwrap();
        let revocations = RevocationKeeper::new(revocations, revoked, recorder.clone(), Kick::default());
        let locks = LockKeeper::open(files, policies.clone(), recorder.clone(), Kick::default()).unwrap();
        let logins = DatabaseLogins::new(std::iter::empty());
        let policy_folder = folder.path().join("policy");
        std::fs::create_dir(&policy_folder).unwrap();
        std::fs::write(policy_folder.join("a.cedar"), policy).unwrap();
        let keeper = PolicyKeeper::new(KeeperParts {
            folder: policy_folder,
            known: known(),
            archive: Arc::new(PolicyArchive::open(&folder.path().join("policies")).unwrap()),
            policies: policies.clone(),
            classifications: ClassificationFiles::default(),
            analysts: analysts.clone(),
            recorder: recorder.clone(),
            kick: Kick::default(),
        });
        let sessions = Arc::new(Sessions::new(analysts.clone(), dialer.clone(), logins, BTreeMap::new(), 8));
        let boundary = Arc::new(Boundary {
            identity: identity.clone(),
            policies: policies.clone(),
            usages: Usages::default(),
            recorder: recorder.clone(),
            dialer: dialer.clone(),
            door: sessions.clone(),
            statement_bytes_max: 1024,
        });
        let managed = Arc::new(Managed {
            keeper,
            recorder: recorder.clone(),
            sessions,
            commands: Arc::new(Commands::new(boundary, counters.clone())),
            locks: Arc::new(locks),
            revocations: Arc::new(revocations),
            manifests: Arc::new(Manifests::new(
                ManifestFiles::open(&folder.path().join("manifests")).unwrap(),
                recorder.clone(),
            )),
            analysts,
            policies: policies.clone(),
            dialer,
            links: Some(links),
            counters,
            answers: Arc::default(),
            recent: RecentSessions::new(recorder.trail()),
            holders: holders.clone(),
            identities,
            identity,
            entrance: Entrance { host: Some("127.0.0.1".to_owned()), port: 6432, sslmode: "disable" },
            admin_token: ADMIN.to_owned(),
            installation: INSTALLATION.to_owned(),
            targets: vec![(TargetName::new("ehr").unwrap(), "postgres")],
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let answers = managed.answers.clone();
        tokio::spawn(served::serve(listener, tls(folder.path()), router(managed), answers, stopped));
        Self { address, holders, people, policies, recorder, _stop: stop, folder }
    }

    /// The key of a new service.
    fn service(&self, name: &str) -> String {
        let owner = Subject { issuer: "org".into(), kind: SubjectKind::Person, sub: "olga".into() };
        self.people.meet(&owner, None, now()).unwrap();
        let groups = BTreeSet::from(["robots".to_owned()]);
        let change = self.holders.services.create(name, owner, groups, now(), 3600).unwrap();
        let (_, key) = self.holders.services.keep(change).unwrap();
        key.unwrap().to_string()
    }

    async fn send(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Answered {
        self.send_with(method, path, token, body, &[]).await
    }

    async fn send_with(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answered {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header(header::HOST, "gateway")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(bytes::Bytes::from(body.to_owned()))).unwrap();
        let answered = sender.send_request(request).await.unwrap();
        let (parts, body) = answered.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered { status: parts.status, headers: parts.headers, body: body.to_vec() }
    }
}

fn now() -> u64 {
    crate::wiring::installation::now_us() / 1_000_000
}

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answered {
    fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

/// Operations that need no token, and why.
const WITHOUT_TOKEN: &[(&str, &str)] = &[
    ("get /health", "a load balancer has none; it says nothing about anybody"),
    ("get /ready", "the same"),
    ("get /metrics", "a collector has none; counts only"),
    ("get /api/v1/issuers", "what a command line needs before anybody can log in; no secret is in it"),
    ("post /api/v1/login", "the issuer's token in its body proves who asks"),
    ("post /api/v1/backchannel-logout/{issuer}", "the issuer's logout token in its body proves itself"),
];

/// Operations that need a token but no right of policy, and why.
const WITHOUT_RIGHT: &[(&str, &str)] = &[
    ("get /api/v1/whoami", "says to a caller what it knows of that caller"),
    ("post /api/v1/login/refresh", "a login refreshes itself, and is refused to everybody else"),
    ("delete /api/v1/login", "a login ends itself"),
    ("post /api/v1/credentials", "made for the caller itself; policy decides when it is used"),
    ("get /api/v1/targets", "lists only what policy lets the caller connect to"),
    ("get /api/v1/targets/{name}/access", "tells the caller of itself, where it may connect"),
    ("get /api/v1/targets/{name}/commands", "lists only what policy lets the caller invoke"),
    (
        "post /api/v1/targets/{name}/commands/{command}/run",
        "asks policy about the target and the command itself",
    ),
];

/// Every operation of the document: method, path with samples in the place of parameters, and the action it needs.
fn operations() -> Vec<(String, String, Option<String>)> {
    let document: Value = serde_json::from_str(&description_text().unwrap()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let action = operation.get(caller::ACTION).and_then(Value::as_str).map(str::to_owned);
            let secured = operation.get("security").is_some();
            let named = format!("{method} {path}");
            assert_eq!(!secured, WITHOUT_TOKEN.iter().any(|(name, _)| *name == named), "{named}");
            found.push((method.clone(), path.clone(), action));
        }
    }
    assert!(found.len() > 8, "{found:?}");
    let ids: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), found.len(), "operations have names of their own");
    found
}

fn sample(path: &str) -> String {
    path.replace("{id}", "00000000000000000000000000")
        .replace("{name}", "nobody")
        .replace("{issuer}", "nobody")
        .replace("{command}", "nothing")
}

#[tokio::test]
async fn no_operation_is_done_for_whoever_may_not() {
    let it = Running::start("").await;
    let robot = it.service("robot");
    for (method, path, action) in operations() {
        let (named, path) = (format!("{method} {path}"), sample(&path));
        let send = |token: Option<String>| {
            let (it, method, path) = (&it, method.to_uppercase(), path.clone());
            async move { it.send(&method, &path, token.as_deref(), "{}").await }
        };
        let nobody = send(None).await;
        if WITHOUT_TOKEN.iter().any(|(name, _)| *name == named) {
            // It is not the token that is missing.
            assert!(
                !String::from_utf8_lossy(&nobody.body).contains("not-authenticated"),
                "{named}: {nobody:?}"
            );
            continue;
        }
        assert_eq!(nobody.status, 401, "{named}");
        assert!(nobody.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"), "{named}");
        assert_eq!(nobody.headers[header::CONTENT_TYPE], "application/problem+json", "{named}");
        for wrong in ["x", "cpa1.", "cpl1.AAAAAAAAAAAA.AAAA", &robot[..robot.len() - 1], ""] {
            let answered = send(Some(wrong.to_owned())).await;
            assert_eq!(
                (answered.status.as_u16(), &answered.body),
                (401, &nobody.body),
                "{named} with {wrong}"
            );
        }
        let stranger = send(Some(robot.clone())).await;
        let everybody = WITHOUT_RIGHT.iter().any(|(name, _)| *name == named);
        assert_eq!(everybody, action.is_none(), "{named}: {action:?}");
        assert_eq!(stranger.status == 403, !everybody, "{named}: {stranger:?}");
        let administrator = send(Some(ADMIN.to_owned())).await;
        assert!(![401, 403].contains(&administrator.status.as_u16()), "{named}: {administrator:?}");
    }
}

#[tokio::test]
async fn a_refusal_does_not_tell_what_there_is() {
    let it = Running::start("").await;
    let robot = it.service("robot");
    let there = it.send(
        "POST",
        "/api/v1/agents/tokens",
        Some(&robot),
        r#"{"agent":"a","targets":["ehr"],"ttl_s":9}"#,
    );
    let not_there = it.send("POST", "/api/v1/agents/tokens", Some(&robot), "no JSON at all");
    let (there, not_there) = (there.await, not_there.await);
    assert_eq!((there.status, &there.body), (not_there.status, &not_there.body));
    let targets: Page<TargetView> = it.send("GET", "/api/v1/targets", Some(&robot), "").await.json();
    assert!(targets.items.is_empty());
    let there = it.send("GET", "/api/v1/targets/ehr/access", Some(&robot), "").await;
    let not_there = it.send("GET", "/api/v1/targets/no_such_target/access", Some(&robot), "").await;
    assert_eq!((there.status.as_u16(), &there.body), (404, &not_there.body));
    let make = |target: &str| json!({"target": target, "ttl_s": 60}).to_string();
    for target in ["ehr", "no_such_target"] {
        let made = it.send("POST", "/api/v1/credentials", Some(&robot), &make(target)).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
}

#[tokio::test]
async fn policy_permits_each_action_by_itself() {
    let it = Running::start(
        r#"permit (principal in Group::"local/robots", action == Action::"manageAgents", resource);
           permit (principal == Service::"local/robot", action == Action::"connect", resource == Target::"ehr");"#,
    )
    .await;
    let robot = it.service("robot");
    let agents = it.send("GET", "/api/v1/agents", Some(&robot), "").await;
    assert_eq!(agents.status, 200, "{agents:?}");
    assert_eq!(it.send("GET", "/api/v1/sessions", Some(&robot), "").await.status, 403);
    let targets: Page<TargetView> = it.send("GET", "/api/v1/targets", Some(&robot), "").await.json();
    assert_eq!(targets.items.len(), 1);
    it.policies.replace(policies(""));
    assert_eq!(it.send("GET", "/api/v1/agents", Some(&robot), "").await.status, 403);
}

#[tokio::test]
async fn a_service_key_makes_narrowed_credentials_and_ends_with_its_owner() {
    let it = Running::start("").await;
    let robot = it.service("robot");
    let ask = Ask::for_login(&format!("http://{}", it.address), &robot, None).unwrap();
    let who: WhoView = ask.get("/whoami").await.unwrap();
    assert_eq!((who.subject.as_str(), who.login), ("local/robot", None));
    let request = CredentialRequest {
        target: TargetName::new("ehr").unwrap(),
        ttl_s: 60,
        purpose: Some("TREAT".to_owned()),
        client: None,
        only: BTreeSet::from(["public.patients".to_owned()]),
        verbs: vec![chaperone_access::Verb::Read],
        rows: Some(100),
    };
    let made: CredentialView = ask.post("/credentials", &request).await.unwrap();
    assert!(chaperone_identity::parse_user(&made.user).is_some());
    assert!(made.not_after <= now() + 60);
    // What does not fit a user name is kept here and referred to.
    let columns = (0..200).map(|number| format!("column_{number}")).collect::<Vec<_>>().join(", ");
    let only = BTreeSet::from([format!("public.patients({columns})")]);
    let wide: CredentialView =
        ask.post("/credentials", &CredentialRequest { only, ..request.clone() }).await.unwrap();
    assert!(wide.user.len() <= chaperone_identity::USER_BYTES_MAX);
    assert!(chaperone_identity::parse_user(&wide.user).is_some());
    let only = BTreeSet::from([format!("public.patients({})", "x".repeat(70_000))]);
    let too_wide = ask.post::<Value>("/credentials", &CredentialRequest { only, ..request.clone() }).await;
    assert_eq!(problem(too_wide).status, 422);
    let too_long =
        ask.post::<Value>("/credentials", &CredentialRequest { ttl_s: 86_401, ..request.clone() }).await;
    assert_eq!(problem(too_long).status, 422);
    let administrator = Ask::for_login(&format!("http://{}", it.address), ADMIN, None).unwrap();
    let left = DisableSubject { subject: "org/olga".to_owned(), reason: "left".to_owned() };
    let gone: PersonView = administrator.post("/people/disable", &left).await.unwrap();
    assert_eq!(gone.disabled.unwrap().by, "local/administrator");
    assert_eq!(problem(ask.post::<Value>("/credentials", &request).await).status, 401);
    let back = EnableSubject { subject: "org/olga".to_owned() };
    let _: PersonView = administrator.post("/people/enable", &back).await.unwrap();
    let _: CredentialView = ask.post("/credentials", &request).await.unwrap();
}

fn problem<T: std::fmt::Debug>(answered: Result<T, Failure>) -> Problem {
    match answered {
        Err(Failure::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_lives_from_its_making_to_its_end_and_all_of_it_is_on_record() {
    let it = Running::start("").await;
    let owner = Subject { issuer: "org".into(), kind: SubjectKind::Person, sub: "olga".into() };
    it.people.meet(&owner, None, now()).unwrap();
    let url = format!("http://{}", it.address);
    let administrator = Ask::for_login(&url, ADMIN, None).unwrap();
    let create = |name: &str, owner: &str| CreateService {
        name: name.to_owned(),
        owner: owner.to_owned(),
        groups: BTreeSet::new(),
        ttl_s: 60,
    };
    let nobody = administrator.post::<Value>("/services", &create("etl", "org/nobody")).await;
    assert_eq!(problem(nobody).status, 422);
    let first: ServiceKeyView = administrator.post("/services", &create("etl", "org/olga")).await.unwrap();
    let taken = administrator.post::<Value>("/services", &create("etl", "org/olga")).await;
    assert_eq!(problem(taken).status, 409);
    let rotate = RotateService { ttl_s: 60, overlap_s: 30 };
    let second: ServiceKeyView = administrator.post("/services/etl/rotate", &rotate).await.unwrap();
    for key in [&first.key, &second.key] {
        let who: WhoView = Ask::for_login(&url, key, None).unwrap().get("/whoami").await.unwrap();
        assert_eq!(who.subject, "local/etl");
    }
    let listed: Vec<ServiceView> = administrator.list("/services", 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].keys.len()), (1, 2));
    let reason = RevokeService { reason: "replaced".to_owned() };
    let _: ServiceView = administrator.delete("/services/etl", &reason).await.unwrap();
    for key in [&first.key, &second.key] {
        let who = Ask::for_login(&url, key, None).unwrap().get::<WhoView>("/whoami").await;
        assert_eq!(problem(who).status, 401);
    }
    let mut kinds = Vec::new();
    let scanned = it.recorder.trail().scan(|entry| {
        kinds.push(entry.body.kind().as_str());
        Ok(())
    });
    scanned.unwrap();
    assert_eq!(kinds, ["service.created", "service.rotated", "service.revoked"]);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let it = Running::start("").await;
    for name in ["a", "b", "c"] {
        it.service(name);
    }
    let page = |query: &'static str| {
        let it = &it;
        async move {
            let path = format!("/api/v1/services?{query}");
            let page: Page<ServiceView> = it.send("GET", &path, Some(ADMIN), "").await.json();
            (page.items.into_iter().map(|view| view.name).collect::<Vec<_>>(), page.next)
        }
    };
    assert_eq!(page("limit=2").await, (vec!["a".to_owned(), "b".to_owned()], Some("b".to_owned())));
    assert_eq!(page("limit=2&after=b").await, (vec!["c".to_owned()], None));
    let people: Page<PersonView> = it.send("GET", "/api/v1/people", Some(ADMIN), "").await.json();
    assert_eq!((people.items.len(), people.next), (1, None));
}

#[tokio::test]
async fn what_cannot_be_taken_is_said_with_its_place() {
    let it = Running::start("").await;
    let send = |path: &'static str, body: String| {
        let it = &it;
        async move { it.send("POST", path, Some(ADMIN), &body).await.json::<Problem>() }
    };
    let path = "/api/v1/agents/tokens";
    let unknown = send(path, "{\n  \"agent\": \"a\",\n  \"tagrets\": []\n}".to_owned()).await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.detail.contains("tagrets") && unknown.detail.contains("line 3"), "{unknown:?}");
    let large = send(path, " ".repeat(given::BODY_BYTES_MAX + 1)).await;
    assert_eq!(large.status, 413);
    for open in ["/api/v1/login", "/api/v1/backchannel-logout/org"] {
        for (bytes, status) in [(given::OPEN_BODY_BYTES_MAX + 1, 413), (given::OPEN_BODY_BYTES_MAX, 400)] {
            assert_eq!(it.send("POST", open, None, &" ".repeat(bytes)).await.status, status, "{open}");
        }
    }
    let text = it.send_with("POST", path, Some(ADMIN), "{}", &[]).await;
    assert_eq!(text.status, 400);
    let nowhere: Problem = it.send("GET", "/api/v1/nowhere", Some(ADMIN), "").await.json();
    assert_eq!((nowhere.status, nowhere.kind.as_str()), (404, "urn:chaperone:problem:not-found"));
    let method: Problem = it.send("DELETE", "/api/v1/agents", Some(ADMIN), "").await.json();
    assert_eq!(method.status, 405);
    let query: Problem = it.send("GET", "/api/v1/agents?limt=3", Some(ADMIN), "").await.json();
    assert!(query.status == 400 && query.detail.contains("limt"), "{query:?}");
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer() {
    let it = Running::start("").await;
    let body = |agent: &str| json!({"agent": agent, "targets": ["ehr"], "ttl_s": 60}).to_string();
    let post = |body: String, key: &'static str| {
        let it = &it;
        async move {
            let headers = [("idempotency-key", key)];
            it.send_with("POST", "/api/v1/agents/tokens", Some(ADMIN), &body, &headers).await
        }
    };
    let first = post(body("one"), "k1").await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.headers[header::CACHE_CONTROL], "no-store");
    let again = post(body("one"), "k1").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers[header::CONTENT_TYPE], first.headers[header::CONTENT_TYPE]);
    let other = post(body("one"), "k2").await;
    assert_ne!(other.json::<TokenView>().token, first.json::<TokenView>().token);
    let mixed = post(body("two"), "k1").await;
    assert_eq!(
        (mixed.status.as_u16(), mixed.json::<Problem>().kind),
        (409, "urn:chaperone:problem:key-in-use".into())
    );
    let refused = post(json!({"agent": "one", "targets": [], "ttl_s": 60}).to_string(), "k3").await;
    assert_eq!(refused.status, 422);
    assert_eq!(post(body("one"), "k3").await.status, 200, "a refusal leaves the key free");
}

/// A certificate for `localhost` and its key, as files.
fn certificate(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("api.crt"), folder.join("api.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

#[tokio::test]
async fn over_tls_a_client_verifies_the_gateway() {
    let it = Running::start_with("", |folder| {
        let (certificate, key) = certificate(folder);
        Some(tls::acceptor(&certificate, &key).unwrap())
    })
    .await;
    let port = it.address.port();
    let known = it.folder.path().join("api.crt");
    let ask = Ask::for_login(&format!("https://localhost:{port}"), ADMIN, Some(&known)).unwrap();
    assert!(ask.list::<AgentView>("/agents", 10).await.unwrap().is_empty());
    let elsewhere = tempfile::tempdir().unwrap();
    let (other, _) = certificate(elsewhere.path());
    let stranger = Ask::for_login(&format!("https://localhost:{port}"), ADMIN, Some(&other)).unwrap();
    let refused = stranger.list::<AgentView>("/agents", 10).await.unwrap_err().to_string();
    assert!(refused.contains("not known by its certificate"), "{refused}");
    let by_address = Ask::for_login(&format!("https://127.0.0.1:{port}"), ADMIN, Some(&known)).unwrap();
    assert!(
        by_address.list::<AgentView>("/agents", 10).await.is_err(),
        "another name than its certificate's"
    );
}

#[tokio::test]
async fn the_administrator_knows_the_own_gateway_by_its_certificate() {
    let it = Running::start_with("", |folder| {
        let (certificate, key) = certificate(folder);
        Some(tls::acceptor(&certificate, &key).unwrap())
    })
    .await;
    let folder = it.folder.path();
    let api = format!("listen = \"{}\"\ncertificate = \"api.crt\"\nkey = \"api.key\"", it.address);
    let listen = "listen = \"127.0.0.1:6480\"";
    let starter = crate::config::keys::gateway_starter();
    assert!(starter.contains(listen));
    std::fs::write(folder.join("gateway.toml"), starter.replace(listen, &api)).unwrap();
    std::fs::create_dir(folder.join("keys")).unwrap();
    std::fs::write(folder.join("keys/admin.token"), ADMIN).unwrap();
    // Its certificate names another host than the address: this very certificate is what counts.
    let here = Ask::new(&folder.join("gateway.toml")).unwrap();
    assert!(here.list::<AgentView>("/agents", 10).await.unwrap().is_empty());
    let (certificate, _) = certificate(folder);
    assert!(certificate.exists());
    let here = Ask::new(&folder.join("gateway.toml")).unwrap();
    assert!(here.list::<AgentView>("/agents", 10).await.is_err(), "the file has another one now");
}

#[tokio::test]
async fn what_was_asked_is_carried_through_when_the_caller_hangs_up() {
    let it = Running::start("").await;
    let owner = Subject { issuer: "org".into(), kind: SubjectKind::Person, sub: "olga".into() };
    it.people.meet(&owner, None, now()).unwrap();
    for number in 0..20 {
        let body = json!({"name": format!("etl{number}"), "owner": "org/olga", "ttl_s": 60}).to_string();
        let head = format!(
            "POST /api/v1/services HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {ADMIN}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(it.address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
        drop(stream);
    }
    // Whatever was begun is whole: on record and in force alike.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let mut recorded = BTreeSet::new();
    let scanned = it.recorder.trail().scan(|entry| {
        if let chaperone_trail::Body::ServiceCreated(created) = entry.body {
            recorded.insert(created.service);
        }
        Ok(())
    });
    scanned.unwrap();
    let kept = it.holders.services.list(None, 100).into_iter().map(|service| service.name).collect();
    assert_eq!(recorded, kept);
    assert!(!recorded.is_empty(), "none was begun, so that this shows nothing");
}

#[tokio::test]
async fn a_head_without_end_is_not_read() {
    let it = Running::start("").await;
    let mut stream = TcpStream::connect(it.address).await.unwrap();
    let line = format!("x-filler: {}\r\n", "x".repeat(1000));
    let mut sent = tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /health HTTP/1.1\r\n").await;
    for _ in 0..200 {
        sent = sent.and(tokio::io::AsyncWriteExt::write_all(&mut stream, line.as_bytes()).await);
    }
    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
    let refused = String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431");
    assert!(refused || sent.is_err() || read.is_err(), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn the_description_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/api/openapi.json");
    let written = format!("{}\n", description_text().unwrap());
    if std::env::var_os("CHAPERONE_BLESS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == written,
        "crates/api/openapi.json is not what the code says: write it anew with \
        `cargo run -p chaperone -- api describe > crates/api/openapi.json` and review the difference"
    );
}

#[tokio::test]
async fn whoever_is_disabled_is_what_the_issuer_vouches_for() {
    let it = Running::start("").await;
    let robot = it.service("robot");
    assert_eq!(it.send("GET", "/api/v1/whoami", Some(&robot), "").await.status, 200);
    let body = json!({"subject": "local/robot", "reason": "left running"}).to_string();
    let disabled = it.send("POST", "/api/v1/people/disable", Some(ADMIN), &body).await;
    assert_eq!(disabled.status, 200, "{disabled:?}");
    assert_eq!(it.send("GET", "/api/v1/whoami", Some(&robot), "").await.status, 401);
}

#[tokio::test]
async fn a_stranger_is_told_no_names() {
    let it = Running::start("").await;
    let ready = it.send("GET", "/ready", None, "").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(!format!("{ready:?}").contains("ehr"), "{ready:?}");
}

#[tokio::test]
async fn a_reason_that_no_entry_could_hold_locks_nothing() {
    let it = Running::start("").await;
    let body = json!({"reason": "x".repeat(70_000)}).to_string();
    let refused = it.send("POST", "/api/v1/agents/edge/lock", Some(ADMIN), &body).await;
    assert!(
        refused.status.is_client_error() && format!("{refused:?}").contains("a reason has"),
        "{refused:?}"
    );
}

/// Each reading of a recording is an entry, whatever key comes with it.
#[tokio::test]
async fn a_recording_is_not_read_again_by_a_key() {
    let it = Running::start("").await;
    let session = SessionId::from_parts(1, [4; 10]);
    let key =
        WrappedKey { reader: "pia".into(), key: KeyId::from_bytes([7; 16]), epoch: 1, bytes: vec![1; 80] };
    it.recorder.keys().insert(session, "statements", vec![key]).await.unwrap();
    it.recorder.note(sessions::tests::opened(session)).await.unwrap();
    let path = format!("/api/v1/sessions/{session}/read");
    let body = json!({"reader": "pia"}).to_string();
    for _ in 0..2 {
        let read = it.send_with("POST", &path, Some(ADMIN), &body, &[("idempotency-key", "once")]).await;
        assert_eq!(read.status, 200, "{read:?}");
    }
    let mut read = 0;
    let scanned = it.recorder.trail().scan(|entry| {
        read += usize::from(matches!(entry.body, chaperone_trail::Body::RecordingRead(_)));
        Ok(())
    });
    scanned.unwrap();
    assert_eq!(read, 2);
}
