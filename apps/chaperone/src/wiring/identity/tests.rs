//! Logins against an issuer on a socket, with a real trail on a real disk.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_access::{Attribute, SubjectKind};
use chaperone_identity::{Lapse, NoRevocations, RootKey, RootKeys};
use chaperone_recording::RecorderParts;
use chaperone_recording::commit::CommitmentKey;
use chaperone_recording::keys::{Reader, ReaderKey};
use chaperone_store::KeyFiles;
use chaperone_trail::{Options, Trail};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::wiring::metrics::Counters;

const CLIENT: &str = "chaperone-cli";
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The issuer's side.
struct Said {
    url: String,
    key: Mutex<(Ed25519KeyPair, usize)>,
    asked_for_keys: AtomicUsize,
    down: AtomicBool,
    active: AtomicBool,
    /// What it tells of a subject when it is asked about a token.
    tells: Mutex<Value>,
    /// What it calls itself in its metadata, where that is not what it is.
    named: Option<String>,
}

type Shared = State<Arc<Said>>;

async fn metadata(State(said): Shared) -> Result<Json<Value>, StatusCode> {
    if said.down.load(Ordering::Relaxed) {
        return Err(StatusCode::BAD_GATEWAY);
    }
    let url = &said.url;
    Ok(Json(json!({"issuer": said.named.as_ref().unwrap_or(url), "jwks_uri": format!("{url}/jwks"),
        "introspection_endpoint": format!("{url}/introspect")})))
}

async fn jwks(State(said): Shared) -> Json<Value> {
    said.asked_for_keys.fetch_add(1, Ordering::Relaxed);
    let key = said.key.lock().unwrap();
    let x = URL_SAFE_NO_PAD.encode(key.0.public_key());
    Json(json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": key.1.to_string(), "x": x}]}))
}

/// Access tokens of this issuer say whose they are.
async fn introspect(
    State(said): Shared,
    headers: HeaderMap,
    form: String,
) -> Result<Json<Value>, StatusCode> {
    // RFC 6749, section 2.3.1: `chaperone:s:t` with the second colon encoded.
    let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("chaperone:s%3At"));
    if headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(expected.as_str()) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let token = form.split('&').find_map(|pair| pair.strip_prefix("token="));
    let sub = token.and_then(|token| token.strip_prefix("access-of-")).map(str::to_owned);
    let sub = sub.or_else(|| {
        let body = URL_SAFE_NO_PAD.decode(token?.split('.').nth(1)?).ok()?;
        serde_json::from_slice::<Value>(&body).ok()?["sub"].as_str().map(str::to_owned)
    });
    let mut answer = json!({"active": said.active.load(Ordering::Relaxed) && sub.is_some(), "sub": sub});
    let tells = said.tells.lock().unwrap().as_object().unwrap().clone();
    answer.as_object_mut().unwrap().extend(tells);
    Ok(Json(answer))
}

struct Set {
    said: Arc<Said>,
    identities: Arc<Identities>,
    holders: Arc<Holders>,
    _folder: tempfile::TempDir,
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::generate().unwrap()
}

impl Set {
    async fn start(more: &str, named: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let said = Arc::new(Said {
            url: url.clone(),
            key: Mutex::new((key(), 0)),
            asked_for_keys: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            active: AtomicBool::new(true),
            tells: Mutex::new(json!({"groups": ["nurses"], "level": 3})),
            named: named.map(str::to_owned),
        });
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(jwks))
            .route("/introspect", post(introspect))
            .with_state(said.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });

        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        chaperone_recording::keyfile::create(&secret, b"s:t").unwrap();
        let more = more.replace("SECRET", &secret.display().to_string());
        let section =
            format!("url = \"{url}\"\nclient_id = \"{CLIENT}\"\nclaims = {{ level = \"level\" }}\n{more}");
        let attributes = BTreeMap::from([("level".to_owned(), chaperone_access::AttributeKind::Long)]);
        let issuer =
            Issuer::new(folder.path(), "org", toml::from_str(&section).unwrap(), &attributes).unwrap();
        let issuers = Issuers::from([("org".to_owned(), Arc::new(issuer))]);
        let (holders, people) = holders(folder.path(), &issuers).unwrap();
        let (trail, _) = Trail::open(Options::new(folder.path().join("trail"))).unwrap();
        let (public, _) = ReaderKey::generate();
        let recorder = Arc::new(Recorder::new(RecorderParts {
            trail,
            keys: Arc::new(KeyFiles::open(&folder.path().join("keytable")).unwrap()),
            readers: vec![Reader { id: public.to_string(), epoch: 1, key: public }],
            commitment: Arc::new(CommitmentKey::new(1, &[1; 32])),
            installation: "gw".to_owned(),
            subscriber: Arc::new(Counters::default()),
        }));
        let keys = RootKeys::new(RootKey::new(1, [7; 32]), Vec::new());
        let identity = Identity::new(keys, Arc::new(NoRevocations)).holding(holders.clone(), people.clone());
        let identities = Arc::new(Identities::new(Parts {
            recorder,
            identity: Arc::new(identity),
            holders: holders.clone(),
            people,
            issuers,
            kick: Kick::default(),
        }));
        Self { said, identities, holders, _folder: folder }
    }

    /// The same folder after a restart.
    fn restarted(self) -> Self {
        let Self { said, identities, _folder: folder, .. } = self;
        let parts = Arc::into_inner(identities).unwrap().parts;
        let (holders, people) = holders(folder.path(), &parts.issuers).unwrap();
        let identities = Arc::new(Identities::new(Parts { holders: holders.clone(), people, ..parts }));
        Self { said, identities, holders, _folder: folder }
    }

    fn token(&self, changes: Value) -> String {
        let now = now_s();
        let mut claims = json!({"iss": self.said.url, "aud": CLIENT, "sub": "ana", "iat": now, "exp": now + 300,
            "groups": ["nurses"], "level": 3});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let key = self.said.key.lock().unwrap();
        let header = json!({"alg": "EdDSA", "kid": key.1.to_string()});
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(key.0.sign(message.as_bytes())))
    }

    fn rotate(&self) {
        let mut key_now = self.said.key.lock().unwrap();
        *key_now = (key(), key_now.1 + 1);
    }

    async fn log_in(&self, token: &str, access: Option<&str>) -> Answer<Login> {
        let tokens = Tokens { id: Some(token), access };
        self.identities.log_in(Source::Local, "org", tokens).await.map(|(login, _)| login)
    }

    fn lapse(&self, login: &Login) -> Option<Lapse> {
        self.holders.logins.get(login.id).unwrap().1.check(now_s()).err()
    }

    /// Entries of a kind, as JSON.
    fn entries(&self, kind: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let scanned = self.identities.parts.recorder.trail().scan(|entry| {
            let value: Value = serde_json::from_slice(&entry.to_bytes()?).unwrap();
            if value["kind"] == kind {
                found.push(value);
            }
            Ok(())
        });
        scanned.unwrap();
        found
    }
}

#[tokio::test]
async fn a_login_is_on_record_and_what_is_taken_away_too() {
    let set = Set::start("", None).await;
    let login = set.log_in(&set.token(json!({})), None).await.unwrap();
    assert_eq!(login.facts.attributes["level"], Attribute::Long(3));
    let made = &set.entries("login.made")[0];
    assert_eq!(
        (&made["login"], &made["attributes"]["level"]["long"]),
        (&json!(login.id.to_string()), &json!("3"))
    );
    // The same again says nothing new; other groups do.
    for (groups, count) in [(json!(["nurses"]), 0), (json!([]), 1)] {
        let token = set.token(json!({"groups": groups}));
        let tokens = Tokens { id: Some(&token), access: None };
        set.identities.refresh(Source::Local, login.id, tokens).await.unwrap();
        assert_eq!(set.entries("login.refreshed").len(), count);
    }
    let (_, standing) = set.holders.logins.get(login.id).unwrap();
    assert!(standing.facts().groups.is_empty());
    let eva = set.token(json!({"sub": "eva"}));
    let other =
        set.identities.refresh(Source::Local, login.id, Tokens { id: Some(&eva), access: None }).await;
    assert!(matches!(other, Err(IdentityRefused::Login(LoginError::OtherSubject))));
    let wrong = set.token(json!({"level": "three"}));
    assert!(matches!(set.log_in(&wrong, None).await, Err(IdentityRefused::NotBelieved)));
    assert_eq!(set.entries("authentication.failed")[0]["reason"], "claim");
    set.identities.end(login.id, EndCause::Logout, Some("org/ana")).await.unwrap();
    let ended = &set.entries("login.ended")[0];
    assert_eq!((&ended["reason"], &ended["by"]), (&json!("logout"), &json!("org/ana")));
    assert!(ended["learned_at"].as_u64().unwrap() <= ended["at"].as_u64().unwrap());
}

#[tokio::test]
async fn keys_rotate_without_a_restart_and_an_issuer_that_is_down_lets_nobody_new_in() {
    let set = Set::start("", None).await;
    set.identities.begin().await;
    assert_eq!(set.said.asked_for_keys.load(Ordering::Relaxed), 1);
    let old = set.token(json!({}));
    set.rotate();
    let login = set.log_in(&set.token(json!({})), None).await.unwrap();
    assert_eq!(set.said.asked_for_keys.load(Ordering::Relaxed), 2);
    // The withdrawn key is gone, and invented ones do not make us ask.
    for _ in 0..5 {
        assert!(set.log_in(&old, None).await.is_err());
    }
    assert_eq!(set.said.asked_for_keys.load(Ordering::Relaxed), 2);
    set.said.down.store(true, Ordering::Relaxed);
    let again = set.token(json!({}));
    set.identities.refresh(Source::Local, login.id, Tokens { id: Some(&again), access: None }).await.unwrap();
    assert_eq!(set.lapse(&login), None);
    set.rotate();
    assert!(matches!(set.log_in(&set.token(json!({})), None).await, Err(IdentityRefused::NotBelieved)));
}

#[tokio::test]
async fn an_issuer_that_speaks_for_another_is_not_heard() {
    let set = Set::start("", Some("https://id.example")).await;
    assert!(matches!(set.log_in(&set.token(json!({})), None).await, Err(IdentityRefused::NotBelieved)));
    assert_eq!(set.said.asked_for_keys.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_token_that_its_issuer_revoked_ends_the_login() {
    let introspection =
        "introspection = { client_id = \"chaperone\", secret = { file = \"SECRET\" } }\nrecheck_s_max = 6\n";
    let set = Set::start(introspection, None).await;
    let token = set.token(json!({}));
    assert!(set.log_in(&token, Some("access-of-eva")).await.is_err());
    assert!(set.log_in(&token, Some("stolen")).await.is_err());
    let login = set.log_in(&token, Some("access-of-ana")).await.unwrap();
    let silent = set.log_in(&token, None).await.unwrap();
    while set.lapse(&silent) != Some(Lapse::Overdue) {
        set.identities.ask_again("org").await;
        assert_eq!(set.lapse(&login), None);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    set.said.active.store(false, Ordering::Relaxed);
    let patience = Instant::now() + Duration::from_secs(20);
    while !matches!(set.lapse(&login), Some(Lapse::Ended(_))) && Instant::now() < patience {
        set.identities.ask_again("org").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(matches!(set.lapse(&login), Some(Lapse::Ended(ending)) if ending.cause == EndCause::Revoked));
    assert_eq!(set.entries("login.ended")[0]["reason"], "revoked");
}

#[tokio::test]
async fn a_back_channel_logout_ends_what_was_there_and_a_disabled_person_comes_back_with_nothing() {
    let set = Set::start("", None).await;
    let login = set.log_in(&set.token(json!({"sid": "s1"})), None).await.unwrap();
    let logout = |changes: Value| {
        let mut claims = json!({"jti": "j", "events": {LOGOUT_EVENT: {}}});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        set.token(claims)
    };
    let send = async |token: &str| set.identities.back_channel(Source::Local, "org", token).await;
    assert!(matches!(send(&set.token(json!({}))).await, Err(IdentityRefused::NotBelieved)));
    assert_eq!(send(&logout(json!({"sid": "s2"}))).await.unwrap(), 0);
    // Said before the login was made: shown again by somebody.
    assert_eq!(send(&logout(json!({"iat": now_s() - 90}))).await.unwrap(), 0);
    assert_eq!(set.lapse(&login), None);
    assert_eq!(send(&logout(json!({"sid": "s1"}))).await.unwrap(), 1);
    assert!(matches!(set.lapse(&login), Some(Lapse::Ended(ending)) if ending.cause == EndCause::BackChannel));

    let ana = Subject { issuer: "org".into(), kind: SubjectKind::Person, sub: "ana".into() };
    let login = set.log_in(&set.token(json!({})), None).await.unwrap();
    let made = set.identities.create_service("etl", ana.clone(), BTreeSet::new(), 60, "ops").await.unwrap();
    set.identities.disable(&ana, "left", "ops").await.unwrap();
    assert!(matches!(set.lapse(&login), Some(Lapse::Ended(_))));
    assert!(set.holders.by_token(&made.1, now_s()).is_err());
    let refused = set.log_in(&set.token(json!({})), None).await;
    assert!(matches!(refused, Err(IdentityRefused::Login(LoginError::Disabled(_)))));
    set.identities.enable(&ana, "ops").await.unwrap();
    assert!(set.lapse(&login).is_some() && set.holders.by_token(&made.1, now_s()).is_ok());
    let (_, key) = set.identities.rotate_service("etl", 60, 0, "ops").await.unwrap();
    assert!(set.holders.by_token(&made.1, now_s()).is_err());
    set.identities.revoke_service("etl", "no longer needed", "ops").await.unwrap();
    assert!(set.holders.by_token(&key, now_s()).is_err());
    let kinds =
        ["subject.disabled", "subject.enabled", "service.created", "service.rotated", "service.revoked"];
    for kind in kinds {
        assert_eq!(set.entries(kind).len(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_stranger_who_tries_and_tries_is_not_listened_to() {
    let set = Set::start("", None).await;
    for _ in 0..60 {
        assert!(matches!(set.log_in("x.y.z", None).await, Err(IdentityRefused::NotBelieved)));
    }
    assert!(matches!(set.log_in("x.y.z", None).await, Err(IdentityRefused::Throttled)));
    assert_eq!(set.entries("authentication.failed").len(), 10);
    // Whoever shares his address, and has a good token, is.
    set.log_in(&set.token(json!({})), None).await.unwrap();
}

#[tokio::test]
async fn an_access_token_alone_makes_no_person_a_login() {
    let set = Set::start("access_audiences = [\"https://gateway\"]", None).await;
    let access = set.token(json!({"aud": "https://gateway", "client_id": "some-other-app"}));
    let alone = Tokens { id: None, access: Some(&access) };
    let refused = set.identities.log_in(Source::Local, "org", alone).await;
    assert!(matches!(refused, Err(IdentityRefused::NotBelieved)));
    let failed = set.entries("authentication.failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
}

#[tokio::test]
async fn an_issuer_that_is_asked_about_a_token_tells_the_groups_of_now_or_is_not_heard() {
    let introspection =
        "introspection = { client_id = \"chaperone\", secret = { file = \"SECRET\" } }\nrecheck_s_max = 6\n";
    let set = Set::start(introspection, None).await;
    let login = set.log_in(&set.token(json!({})), Some("access-of-ana")).await.unwrap();
    let groups = || set.holders.logins.get(login.id).unwrap().1.facts().groups.clone();
    let checked = || set.holders.logins.get(login.id).unwrap().0.checked_at;
    *set.said.tells.lock().unwrap() = json!({"groups": [], "level": 3});
    let patience = Instant::now() + Duration::from_secs(20);
    while !groups().is_empty() && Instant::now() < patience {
        assert_eq!(set.lapse(&login), None);
        set.identities.ask_again("org").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(groups().is_empty());
    assert_eq!(set.entries("login.refreshed").len(), 1);
    // It holds the token for active, and says no more of the level: the login goes no further than without it.
    *set.said.tells.lock().unwrap() = json!({"groups": ["nurses"]});
    let before = checked();
    while set.lapse(&login) != Some(Lapse::Overdue) && Instant::now() < patience {
        set.identities.ask_again("org").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((set.lapse(&login), checked(), groups().len()), (Some(Lapse::Overdue), before, 0));
}

#[tokio::test]
async fn a_refresh_by_an_access_token_alone_keeps_to_the_required_strength() {
    let set = Set::start("access_audiences = [\"https://gateway\"]\nacr = [\"mfa\"]", None).await;
    assert!(set.log_in(&set.token(json!({})), None).await.is_err());
    let login = set.log_in(&set.token(json!({"acr": "mfa"})), None).await.unwrap();
    let refresh = async |more: Value| {
        let mut claims = json!({"aud": "https://gateway", "client_id": CLIENT});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let access = set.token(claims);
        let alone = Tokens { id: None, access: Some(&access) };
        set.identities.refresh(Source::Local, login.id, alone).await
    };
    let weak = refresh(json!({"acr": "pwd"})).await;
    assert!(matches!(weak, Err(IdentityRefused::NotBelieved)));
    assert_eq!(set.entries("authentication.failed").last().unwrap()["reason"], "assurance");
    // It says nothing: the subject authenticated as at the login.
    let silent = refresh(json!({})).await.unwrap();
    assert_eq!(silent.facts.assurance.unwrap().acr.as_deref(), Some("mfa"));
    refresh(json!({"acr": "mfa"})).await.unwrap();
}

#[tokio::test]
async fn a_token_from_before_an_end_makes_no_login_again() {
    let set = Set::start("", None).await;
    let old = set.token(json!({"iat": now_s() - 5}));
    let login = set.log_in(&old, None).await.unwrap();
    set.identities.end(login.id, EndCause::Administrator, Some("ops")).await.unwrap();
    assert!(matches!(set.log_in(&old, None).await, Err(IdentityRefused::NotBelieved)));
    assert_eq!(set.entries("authentication.failed")[0]["reason"], "stale");
    // A restart is no way around it.
    let set = set.restarted();
    assert!(matches!(set.log_in(&old, None).await, Err(IdentityRefused::NotBelieved)));
    assert!(set.lapse(&login).is_some());
    set.log_in(&set.token(json!({})), None).await.unwrap();
    let robert = set.token(json!({"sub": "robert", "iat": now_s() - 5}));
    set.log_in(&robert, None).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_strangers_stops_neither_refresh_nor_logout() {
    let set = Set::start("", None).await;
    let login = set.log_in(&set.token(json!({"sid": "s1"})), None).await.unwrap();
    for _ in 0..60 {
        assert!(set.log_in("x.y.z", None).await.is_err());
    }
    assert!(matches!(set.log_in("x.y.z", None).await, Err(IdentityRefused::Throttled)));
    let fresh = set.token(json!({}));
    let refreshed =
        set.identities.refresh(Source::Local, login.id, Tokens { id: Some(&fresh), access: None });
    refreshed.await.unwrap();
    let logout = set.token(json!({"jti": "j", "events": {LOGOUT_EVENT: {}}, "sid": "s1"}));
    assert_eq!(set.identities.back_channel(Source::Local, "org", &logout).await.unwrap(), 1);
}

const TOOLS: &str = "mcp_audiences = [\"https://gateway/mcp\"]\n";

impl Set {
    fn bearer(&self, changes: Value) -> String {
        let mut all = json!({"aud": "https://gateway/mcp", "client_id": "assistant", "scope": "a b"});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.token(all)
    }

    async fn bear(&self, token: &str) -> Answer<Bearer> {
        self.identities.bear(Source::Local, token, At::Tools).await
    }
}

#[tokio::test]
async fn tokens_for_the_tools_are_logins_that_later_ones_refresh() {
    let set = Set::start(TOOLS, None).await;
    let token = set.bearer(json!({"iat": now_s() - 5}));
    let first = set.bear(&token).await.unwrap();
    assert_eq!((first.oauth_client.as_deref(), first.scopes.as_ref().unwrap().len()), (Some("assistant"), 2));
    assert_eq!(set.bear(&token).await.unwrap().who, first.who);
    assert_eq!(set.entries("login.made").len(), 1);
    assert_eq!(set.entries("login.made")[0]["client"], "assistant");
    // Another token of the same person through the same client: what it vouches for now is true of all sessions.
    let later = set.bear(&set.bearer(json!({"groups": []}))).await.unwrap();
    assert_eq!((later.who == first.who, set.entries("login.refreshed").len()), (true, 1));
    assert!(first.standing.facts().groups.is_empty());
    // An older one from another device is no fault, and changes nothing.
    assert_eq!(set.bear(&set.bearer(json!({"iat": now_s() - 3}))).await.unwrap().who, first.who);
    assert!(first.standing.facts().groups.is_empty());
    // Through another client it is another login, and none is the command line's.
    let other = set.bear(&set.bearer(json!({"client_id": "other"}))).await.unwrap();
    let login = set.log_in(&set.token(json!({})), None).await.unwrap();
    assert!(other.who != first.who && chaperone_identity::Who::Login(login.id) != first.who);
}

#[tokio::test]
async fn whatever_ends_a_login_ends_what_its_tokens_open() {
    let set = Set::start(TOOLS, None).await;
    let token = set.bearer(json!({"iat": now_s() - 5}));
    let bearer = set.bear(&token).await.unwrap();
    let chaperone_identity::Who::Login(id) = bearer.who else { panic!("it is a login") };
    set.identities.end(id, EndCause::Administrator, Some("ops")).await.unwrap();
    for old in [
        token,
        set.bearer(json!({"iat": now_s() - 4})),
        set.bearer(json!({"iat": now_s() - 4, "client_id": "x"})),
    ] {
        assert!(matches!(set.bear(&old).await, Err(IdentityRefused::NotBelieved)));
    }
    assert_eq!(set.entries("authentication.failed")[0]["reason"], "stale");
    let robert = set.bearer(json!({"sub": "robert"}));
    set.bear(&robert).await.unwrap();
    let subject = Subject { issuer: "org".to_owned(), kind: SubjectKind::Person, sub: "robert".to_owned() };
    set.identities.disable(&subject, "left", "ops").await.unwrap();
    assert!(set.bear(&robert).await.is_err());
    assert!(set.bear(&set.bearer(json!({"sub": "robert", "iat": now_s() + 30}))).await.is_err());
}

#[tokio::test]
async fn a_token_is_too_old_unless_its_issuer_is_asked() {
    let old = json!({"iat": now_s() - 400});
    let set = Set::start(TOOLS, None).await;
    assert!(matches!(
        set.bear(&set.bearer(old.clone())).await,
        Err(IdentityRefused::Login(LoginError::Stale))
    ));
    let asks = "introspection = { client_id = \"chaperone\", secret = { file = \"SECRET\" } }\n";
    let set = Set::start(&format!("{TOOLS}{asks}"), None).await;
    let token = set.bearer(old);
    set.bear(&token).await.unwrap();
    set.said.active.store(false, Ordering::Relaxed);
    let other = set.bearer(json!({"iat": now_s() - 500}));
    assert!(matches!(set.bear(&other).await, Err(IdentityRefused::NotBelieved)));
    assert_eq!(set.entries("authentication.failed")[0]["reason"], "inactive");
}

#[tokio::test]
async fn an_issuer_without_audiences_for_the_tools_makes_no_tokens_for_them() {
    let set = Set::start("", None).await;
    assert!(matches!(set.bear(&set.bearer(json!({}))).await, Err(IdentityRefused::NotBelieved)));
    for bad in ["", "x.y.z", "cpl1.x.y"] {
        assert!(matches!(set.bear(bad).await, Err(IdentityRefused::NotBelieved)), "{bad}");
    }
    assert_eq!(set.entries("authentication.failed")[0]["reason"], "other_issuer");
}

#[tokio::test]
async fn an_issuer_that_names_nobody_vouches_for_no_token() {
    let asks = "introspection = { client_id = \"chaperone\", secret = { file = \"SECRET\" } }\n";
    let set = Set::start(&format!("{TOOLS}{asks}"), None).await;
    let token = set.bearer(json!({}));
    for tells in [json!({"sub": null}), json!({"sub": "somebody else"})] {
        *set.said.tells.lock().unwrap() = tells;
        assert!(matches!(set.bear(&token).await, Err(IdentityRefused::NotBelieved)));
    }
    let failed = set.entries("authentication.failed");
    assert_eq!(failed.len(), 2, "{failed:?}");
    *set.said.tells.lock().unwrap() = json!({});
    set.bear(&token).await.unwrap();
}
