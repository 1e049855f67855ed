//! The link over real sockets: what it carries, and what it refuses to whoever should not be on it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own set-up may fail it")]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use chaperone_access::{AgentName, ProcessId, Refusal, RefusalCode, SessionId, TargetName};
use chaperone_tunnel::link::{
    AgentAuthority, AgentEvent, AgentRecord, EnrolmentToken, Issued, LinkEnd, LinkError, Links, Observer,
    Roster, Serving, TokenRecord, enrol, link, renew, signing_request,
};
use chaperone_tunnel::{
    Access, AgentKey, ApplicationName, As, BoxFuture, Canceller, Dial, DialError, Dialer, Host, HostFacts,
    HostOpened, Launch, LoginFacts, LoginName, Opened, Parameters, RoleName, Targets,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A target that answers every byte with itself.
struct Echo(Arc<Mutex<Vec<String>>>);

struct Cancelled(Arc<Mutex<Vec<String>>>);

impl Canceller for Cancelled {
    fn cancel(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.0.lock().unwrap().push("cancelled".to_owned());
        Box::pin(async { Ok(()) })
    }
}

impl Targets for Echo {
    fn names(&self) -> Vec<TargetName> {
        vec!["echo".parse().unwrap(), "secret".parse().unwrap()]
    }

    fn host(&self, request: Host) -> BoxFuture<'_, Result<HostOpened, Refusal>> {
        self.0.lock().unwrap().push(format!("hosts {}", request.server()));
        let (ours, _) = tokio::io::duplex(64);
        Box::pin(async { Ok(HostOpened { stream: Box::new(ours), facts: HostFacts::default() }) })
    }

    fn open(&self, request: Dial) -> BoxFuture<'_, Result<Opened, Refusal>> {
        self.0.lock().unwrap().push(request.application.as_str().to_owned());
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            let (mut reads, mut writes) = tokio::io::split(&mut theirs);
            drop(tokio::io::copy(&mut reads, &mut writes).await);
        });
        let facts = LoginFacts {
            login: request.login.login.map_or("app".to_owned(), String::from),
            role: request.login.role.map(String::from),
            backend_pid: 7,
            backend_start: None,
            server_version: "15".into(),
            tls: None,
            told: false,
            apart: None,
        };
        let canceller = Box::new(Cancelled(Arc::clone(&self.0)));
        Box::pin(async move {
            Ok(Opened { stream: Box::new(ours), greeting: Bytes::from_static(b"hello"), facts, canceller })
        })
    }
}

#[derive(Default)]
struct InMemory {
    agents: Mutex<BTreeMap<AgentName, AgentRecord>>,
    tokens: Mutex<BTreeMap<String, TokenRecord>>,
}

impl Roster for InMemory {
    fn agent(&self, name: &AgentName) -> io::Result<Option<AgentRecord>> {
        Ok(self.agents.lock().unwrap().get(name).cloned())
    }
    fn agents(&self) -> io::Result<Vec<AgentRecord>> {
        Ok(self.agents.lock().unwrap().values().cloned().collect())
    }
    fn put_agent(&self, record: &AgentRecord) -> io::Result<()> {
        self.agents.lock().unwrap().insert(record.agent.clone(), record.clone());
        Ok(())
    }
    fn remove_agent(&self, name: &AgentName) -> io::Result<bool> {
        Ok(self.agents.lock().unwrap().remove(name).is_some())
    }
    fn token(&self, id: &str) -> io::Result<Option<TokenRecord>> {
        Ok(self.tokens.lock().unwrap().get(id).cloned())
    }
    fn put_token(&self, token: &TokenRecord) -> io::Result<()> {
        self.tokens.lock().unwrap().insert(token.id.clone(), token.clone());
        Ok(())
    }
    fn remove_token(&self, id: &str) -> io::Result<bool> {
        Ok(self.tokens.lock().unwrap().remove(id).is_some())
    }
    fn remove_tokens_of(&self, agent: &AgentName) -> io::Result<()> {
        self.tokens.lock().unwrap().retain(|_, token| token.agent != *agent);
        Ok(())
    }
}

/// Remembers events; refuses them while told to.
#[derive(Default)]
struct Seen {
    events: Mutex<Vec<&'static str>>,
    broken: Mutex<bool>,
}

impl Observer for Seen {
    fn note(&self, event: AgentEvent) -> BoxFuture<'_, Result<(), Refusal>> {
        let word = match event {
            AgentEvent::Invited { .. } => "invited",
            AgentEvent::Enrolled { .. } => "enrolled",
            AgentEvent::Connected { .. } => "connected",
            AgentEvent::Disconnected { .. } => "disconnected",
            AgentEvent::Locked { .. } => "locked",
            AgentEvent::Removed { .. } => "removed",
        };
        let refused = *self.broken.lock().unwrap();
        if !refused {
            self.events.lock().unwrap().push(word);
        }
        Box::pin(async move {
            if refused { Err(Refusal::new(RefusalCode::RecordUnavailable, "no room")) } else { Ok(()) }
        })
    }
}

struct Gateway {
    links: Arc<Links>,
    seen: Arc<Seen>,
    address: SocketAddr,
}

async fn gateway() -> Gateway {
    let authority = AgentAuthority::new(&AgentKey::generate().unwrap()).unwrap();
    gateway_of(authority, Arc::default()).await
}

async fn gateway_of(authority: AgentAuthority, roster: Arc<InMemory>) -> Gateway {
    let seen = Arc::new(Seen::default());
    let links = Links::new(authority, roster, seen.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = links.clone();
    tokio::spawn(async move {
        loop {
            let (stream, source) = listener.accept().await.unwrap();
            let links = serving.clone();
            tokio::spawn(async move { drop(links.accept(stream, source, ()).await) });
        }
    });
    Gateway { links, seen, address }
}

struct Ward {
    key: Arc<AgentKey>,
    identity: Issued,
    serving: Serving,
    opened: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    fn at(&self) -> String {
        self.address.to_string()
    }

    async fn token(&self, life: Duration) -> EnrolmentToken {
        self.token_for("ward", life).await
    }

    async fn token_for(&self, name: &str, life: Duration) -> EnrolmentToken {
        let targets = vec!["echo".parse().unwrap()];
        self.links.token(name.parse().unwrap(), targets, life, "test".into()).await.unwrap()
    }

    async fn ward(&self) -> Ward {
        self.agent("ward").await
    }

    async fn agent(&self, name: &str) -> Ward {
        let token = self.token_for(name, Duration::from_secs(60)).await;
        let key = Arc::new(AgentKey::generate().unwrap());
        let request = signing_request(&key).unwrap();
        let name: AgentName = name.parse().unwrap();
        let identity = enrol(&self.at(), &token, &name, request).await.unwrap();
        let opened = Arc::default();
        let serving = Serving::new(name, Arc::new(Echo(Arc::clone(&opened))), key.clone());
        Ward { key, identity, serving, opened }
    }

    async fn until_linked(&self, linked: bool) {
        for _ in 0..500 {
            if self.links.agents().is_empty() != linked {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the link did not become {linked}");
    }
}

impl Ward {
    fn link(&self, gateway: &Gateway) -> (watch::Sender<bool>, JoinHandle<Result<LinkEnd, LinkError>>) {
        let (stop, stopped) = watch::channel(false);
        let (at, identity, serving) = (gateway.at(), self.identity.clone(), self.serving.clone());
        (stop, tokio::spawn(async move { link(&at, &identity, &serving, stopped).await }))
    }
}

fn dial(target: &str) -> Dial {
    Dial {
        target: target.parse().unwrap(),
        session: SessionId::from_parts(1, [3; 10]),
        application: ApplicationName::new("cp:1").unwrap(),
        login: As::default(),
        parameters: Parameters::default(),
        caller: None,
    }
}

#[tokio::test]
async fn a_login_and_a_role_are_named_over_the_link() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let (_stop, _linked) = ward.link(&gateway);
    gateway.until_linked(true).await;
    let login = As {
        login: Some(LoginName::new("people").unwrap()),
        role: Some(RoleName::new("corp/Ana O'Neill").unwrap()),
    };
    let dialled = gateway.links.dial(Dial { login, ..dial("echo") }).await.unwrap();
    assert_eq!(dialled.facts.role.as_deref(), Some("corp/Ana O'Neill"));
    assert_eq!(dialled.facts.login, "people");
    let plain = gateway.links.dial(dial("echo")).await.unwrap();
    assert_eq!((plain.facts.login.as_str(), plain.facts.role), ("app", None));
}

#[tokio::test]
async fn a_stream_carries_bytes_and_is_tallied_by_the_agent() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let (stop, linked) = ward.link(&gateway);
    gateway.until_linked(true).await;
    let mut dialled = gateway.links.dial(dial("echo")).await.unwrap();
    assert_eq!((&dialled.greeting[..], dialled.facts.backend_pid), (&b"hello"[..], 7));
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut reads, mut writes) = tokio::io::split(dialled.stream);
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        writes.write_all(&copy).await.unwrap();
        writes
    });
    let mut back = vec![0; sent.len()];
    reads.read_exact(&mut back).await.unwrap();
    assert!(back == sent, "bytes came back changed");
    let handle = dialled.handle.clone();
    gateway.links.cancel(&handle).await.unwrap();
    assert_eq!(*ward.opened.lock().unwrap(), ["cp:1", "cancelled"]);
    let writes = writer.await.unwrap();
    dialled.stream = Box::new(tokio::io::empty());
    drop((reads, writes));
    let tally = gateway.links.tally(&handle).await.unwrap();
    assert_eq!((tally.body.bytes_up, tally.body.bytes_down), (3_000_000, 3_000_000));
    assert!(tally.verifies(&ward.key.public()));
    let totals = gateway.links.totals(&handle.agent).await.unwrap();
    assert_eq!((totals.body.streams, totals.body.bytes_up), (1, 3_000_000));
    gateway.links.acknowledge(&handle).await.unwrap();
    assert_eq!(ward.serving.outstanding(), (0, 0));
    stop.send_replace(true);
    assert_eq!(linked.await.unwrap().unwrap(), LinkEnd::Drained);
    gateway.until_linked(false).await;
    assert_eq!(*gateway.seen.events.lock().unwrap(), ["invited", "enrolled", "connected", "disconnected"]);
}

#[tokio::test]
async fn an_agent_serves_only_what_it_was_authorised_for() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let (_stop, _linked) = ward.link(&gateway);
    gateway.until_linked(true).await;
    // It declares `secret` too; its token named `echo` only.
    assert_eq!(gateway.links.targets(), ["echo".parse().unwrap()]);
    assert!(matches!(gateway.links.dial(dial("secret")).await, Err(DialError::NoAgent(_))));
    assert!(ward.opened.lock().unwrap().is_empty());
}

#[tokio::test]
async fn tokens_are_good_once_for_their_own_agent_and_not_for_long() {
    let gateway = gateway().await;
    let request = || signing_request(&AgentKey::generate().unwrap()).unwrap();
    let ward: AgentName = "ward".parse().unwrap();
    let try_with = async |token: &EnrolmentToken, name: &AgentName| {
        enrol(&gateway.at(), token, name, request()).await.map(drop)
    };
    let token = gateway.token(Duration::from_secs(60)).await;
    let refused = |tried: Result<(), LinkError>| match tried {
        Err(LinkError::Refused(refusal)) => refusal.message,
        other => panic!("{other:?}"),
    };
    let other = refused(try_with(&token, &"other".parse().unwrap()).await);
    let text = token.text().replace(token.id(), "AAAAAAAAAAA");
    let unknown = refused(try_with(&text.parse().unwrap(), &ward).await);
    let mut secret = token.text().to_string();
    secret.replace_range(18..22, "AAAA");
    let guessed = refused(try_with(&secret.parse().unwrap(), &ward).await);
    let path = token.text().replace(token.id(), "../../../aa");
    assert!(path.parse::<EnrolmentToken>().is_err());
    let expired = gateway.token(Duration::ZERO).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let expired = refused(try_with(&expired, &ward).await);
    // None of these used it up, and all are refused in the same words.
    try_with(&token, &ward).await.unwrap();
    let used = refused(try_with(&token, &ward).await);
    for words in [&unknown, &guessed, &expired, &used] {
        assert_eq!(words, &other);
    }
}

#[tokio::test]
async fn an_agent_says_nothing_to_a_gateway_that_its_token_does_not_pin() {
    let (ours, theirs) = (gateway().await, gateway().await);
    let token = ours.token(Duration::from_secs(60)).await;
    let request = signing_request(&AgentKey::generate().unwrap()).unwrap();
    let tried = enrol(&theirs.at(), &token, &"ward".parse().unwrap(), request.clone()).await;
    assert!(matches!(tried, Err(LinkError::Io { .. })), "{tried:?}");
    // The token was not shown to the other gateway, and is still good.
    enrol(&ours.at(), &token, &"ward".parse().unwrap(), request).await.unwrap();
}

#[tokio::test]
async fn certificates_of_others_and_none_do_not_link() {
    let (ours, theirs) = (gateway().await, gateway().await);
    let (ward, stranger) = (ours.ward().await, theirs.ward().await);
    // Signed by another authority, for the same name.
    let identity = Issued {
        certificate: stranger.identity.certificate.clone(),
        authority: ward.identity.authority.clone(),
        handovers: Vec::new(),
    };
    let (_stop, stopped) = watch::channel(false);
    let tried = link(&ours.at(), &identity, &stranger.serving, stopped.clone()).await;
    assert!(tried.is_err(), "{tried:?}");
    // Signed by the right authority, held with another key.
    let serving = Serving::new("ward".parse().unwrap(), Arc::new(Echo(Arc::default())), stranger.key.clone());
    let tried = link(&ours.at(), &ward.identity, &serving, stopped).await;
    assert!(tried.is_err(), "{tried:?}");
    // Plain bytes, and a connection that says nothing.
    let mut plain = TcpStream::connect(ours.address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer).await);
    assert!(ours.links.agents().is_empty());
    assert_eq!(*ours.seen.events.lock().unwrap(), ["invited", "enrolled"]);
}

#[tokio::test]
async fn one_identity_has_one_link() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let (_stop, first) = ward.link(&gateway);
    gateway.until_linked(true).await;
    let (_other, second) = ward.link(&gateway);
    assert!(second.await.unwrap().is_err());
    assert!(!first.is_finished());
    gateway.links.dial(dial("echo")).await.unwrap();
}

#[tokio::test]
async fn a_second_renewal_from_one_certificate_locks_the_identity() {
    let gateway = gateway().await;
    let mut ward = gateway.ward().await;
    let first = ward.identity.clone();
    let request = signing_request(&ward.key).unwrap();
    let renewed = renew(&gateway.at(), &ward.key, &first, request.clone()).await.unwrap();
    assert_ne!(renewed.certificate, first.certificate);
    // The answer was lost: the same request is answered alike.
    let again = renew(&gateway.at(), &ward.key, &first, request).await.unwrap();
    assert_eq!(again, renewed);
    ward.identity = renewed;
    let (_stop, linked) = ward.link(&gateway);
    gateway.until_linked(true).await;
    let mut dialled = gateway.links.dial(dial("echo")).await.unwrap();
    // A thief with a copy of key and first certificate.
    let theft = renew(&gateway.at(), &ward.key, &first, signing_request(&ward.key).unwrap()).await;
    assert!(matches!(theft, Err(LinkError::Refused(_))), "{theft:?}");
    gateway.until_linked(false).await;
    assert!(linked.await.unwrap().is_ok_and(|end| end != LinkEnd::Drained));
    let mut byte = [0];
    assert!(dialled.stream.read_exact(&mut byte).await.is_err());
    let (_stop, locked) = ward.link(&gateway);
    assert!(locked.await.unwrap().is_err());
    let late = renew(&gateway.at(), &ward.key, &ward.identity, signing_request(&ward.key).unwrap()).await;
    assert!(late.is_err());
    let events = gateway.seen.events.lock().unwrap().clone();
    assert_eq!(events.iter().filter(|event| **event == "locked").count(), 1, "{events:?}");
}

#[tokio::test]
async fn an_agent_that_is_removed_is_gone_with_its_tokens() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let (_stop, linked) = ward.link(&gateway);
    gateway.until_linked(true).await;
    let token = gateway.token(Duration::from_secs(60)).await;
    let name = "ward".parse().unwrap();
    assert!(gateway.links.remove(&"other".parse().unwrap(), "typed", "ops").await.unwrap().is_none());
    *gateway.seen.broken.lock().unwrap() = true;
    assert!(gateway.links.remove(&name, "sold", "ops").await.is_err());
    assert_eq!(gateway.links.enrolled().unwrap().len(), 1, "what is not on record is not done");
    *gateway.seen.broken.lock().unwrap() = false;
    assert_eq!(gateway.links.remove(&name, "sold", "ops").await.unwrap().unwrap().agent, name);
    gateway.until_linked(false).await;
    assert!(linked.await.unwrap().is_ok_and(|end| end != LinkEnd::Drained));
    assert!(gateway.links.enrolled().unwrap().is_empty());
    let (_stop, again) = ward.link(&gateway);
    assert!(again.await.unwrap().is_err());
    let request = signing_request(&AgentKey::generate().unwrap()).unwrap();
    assert!(enrol(&gateway.at(), &token, &name, request).await.is_err(), "a token from before");
    let events = gateway.seen.events.lock().unwrap().clone();
    assert_eq!(events.iter().filter(|event| **event == "removed").count(), 1, "{events:?}");
}

#[tokio::test]
async fn without_a_record_there_is_no_identity_and_no_link() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let token = gateway.token(Duration::from_secs(60)).await;
    *gateway.seen.broken.lock().unwrap() = true;
    let request = signing_request(&AgentKey::generate().unwrap()).unwrap();
    assert!(enrol(&gateway.at(), &token, &"ward".parse().unwrap(), request).await.is_err());
    let (_stop, unrecorded) = ward.link(&gateway);
    assert!(!matches!(unrecorded.await.unwrap(), Ok(LinkEnd::Drained)));
    assert!(gateway.links.agents().is_empty());
    let targets = vec!["echo".parse().unwrap()];
    let unrecorded =
        gateway.links.token("ward".parse().unwrap(), targets, Duration::from_secs(60), "ops".into());
    assert!(unrecorded.await.is_err());
    assert_eq!(*gateway.seen.events.lock().unwrap(), ["invited", "enrolled", "invited"]);
}

#[tokio::test]
async fn a_stream_whose_reader_sleeps_does_not_stop_the_others() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let (_stop, _linked) = ward.link(&gateway);
    gateway.until_linked(true).await;
    let mut sleeping = gateway.links.dial(dial("echo")).await.unwrap();
    // Fills every buffer on the way there and back, since nobody reads what comes back.
    let filled = tokio::time::timeout(Duration::from_secs(1), async {
        let block = vec![1; 64 * 1024];
        loop {
            sleeping.stream.write_all(&block).await.unwrap();
        }
    });
    assert!(filled.await.is_err());
    let mut other = gateway.links.dial(dial("echo")).await.unwrap();
    other.stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    tokio::time::timeout(Duration::from_secs(5), other.stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"ping");
}

#[tokio::test]
async fn while_one_agent_drains_another_takes_over() {
    let gateway = gateway().await;
    let (first, second) = (gateway.agent("ward").await, gateway.agent("ward-two").await);
    let (stop, draining) = first.link(&gateway);
    gateway.until_linked(true).await;
    let mut open = gateway.links.dial(dial("echo")).await.unwrap();
    assert_eq!(open.agent.as_str(), "ward");
    let (_stop, _linked) = second.link(&gateway);
    while gateway.links.agents().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send_replace(true);
    // The gateway learns of it when it asks; nobody is refused meanwhile.
    for _ in 0..4 {
        let dialled = gateway.links.dial(dial("echo")).await.unwrap();
        assert_eq!(dialled.agent.as_str(), "ward-two");
    }
    // What was open goes on to its end.
    open.stream.write_all(b"still").await.unwrap();
    let mut back = [0; 5];
    open.stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"still");
    assert!(!draining.is_finished());
    let handle = open.handle.clone();
    drop(open);
    gateway.links.tally(&handle).await.unwrap();
    gateway.links.acknowledge(&handle).await.unwrap();
    assert_eq!(draining.await.unwrap().unwrap(), LinkEnd::Drained);
}

/// An agent that is stopping refuses new runs; whoever else runs the server takes them, and nobody is refused.
#[tokio::test]
async fn while_one_agent_drains_another_runs_the_servers() {
    let gateway = gateway().await;
    let (first, second) = (gateway.agent("ward").await, gateway.agent("ward-two").await);
    let (stop, _draining) = first.link(&gateway);
    gateway.until_linked(true).await;
    let launch = || {
        let access = Access::new("user", "password", "echo".parse().unwrap()).unwrap();
        let process = ProcessId::from_parts(1, [3; 10]);
        Host::Launch(Launch { server: "echo".parse().unwrap(), process, access })
    };
    assert_eq!(gateway.links.host(launch()).await.unwrap().agent.as_str(), "ward");
    // A stream that stays open, so that the agent that stops stays linked.
    let _open = gateway.links.dial(dial("echo")).await.unwrap();
    let (_stop, _linked) = second.link(&gateway);
    while gateway.links.agents().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // More laden than the one that stops, which is therefore asked first.
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(gateway.links.dial(dial("echo")).await.unwrap());
    }
    streams.retain(|stream| stream.agent.as_str() == "ward-two");
    stop.send_replace(true);
    for _ in 0..4 {
        assert_eq!(gateway.links.host(launch()).await.unwrap().agent.as_str(), "ward-two");
    }
    assert_eq!(first.opened.lock().unwrap().iter().filter(|what| *what == "hosts echo").count(), 1);
}

#[tokio::test]
async fn a_lock_voids_tokens_that_were_made_before_and_the_key_itself() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let name: AgentName = "ward".parse().unwrap();
    let leftover = gateway.token(Duration::from_secs(60)).await;
    gateway.links.lock(&name, "a drill", "local/administrator").await.unwrap();
    let fresh = || signing_request(&AgentKey::generate().unwrap()).unwrap();
    assert!(enrol(&gateway.at(), &leftover, &name, fresh()).await.is_err());
    let after = gateway.token(Duration::from_secs(60)).await;
    let same_key = signing_request(&ward.key).unwrap();
    assert!(enrol(&gateway.at(), &after, &name, same_key).await.is_err());
    assert!(gateway.links.enrolled().unwrap()[0].locked.is_some());
    enrol(&gateway.at(), &after, &name, fresh()).await.unwrap();
    assert_eq!(gateway.links.enrolled().unwrap()[0].locked, None);
}

/// An administrator's lock is on record first; a key in two hands is locked whether or not that can be recorded.
#[tokio::test]
async fn a_wish_to_lock_waits_for_its_record_and_a_stolen_key_does_not() {
    let gateway = gateway().await;
    let ward = gateway.ward().await;
    let name: AgentName = "ward".parse().unwrap();
    let (_stop, linked) = ward.link(&gateway);
    gateway.until_linked(true).await;
    let first = ward.identity.clone();
    renew(&gateway.at(), &ward.key, &first, signing_request(&ward.key).unwrap()).await.unwrap();
    let locked = || gateway.links.enrolled().unwrap()[0].locked.clone();
    *gateway.seen.broken.lock().unwrap() = true;
    let wish = gateway.links.lock(&name, "a drill", "local/administrator").await;
    assert!(matches!(wish, Err(LinkError::Refused(_))), "{wish:?}");
    assert_eq!((locked(), linked.is_finished()), (None, false));
    gateway.links.dial(dial("echo")).await.unwrap();

    let theft = renew(&gateway.at(), &ward.key, &first, signing_request(&ward.key).unwrap()).await;
    assert!(matches!(theft, Err(LinkError::Refused(_))), "{theft:?}");
    gateway.until_linked(false).await;
    assert!(locked().is_some());
}

/// An authority takes the place of another: what the old one signed links until the overlap is over, renewals come from the
/// new one, and only the old one's key makes an agent trust another.
#[tokio::test]
async fn agents_go_over_to_the_next_authority() {
    let roster = Arc::new(InMemory::default());
    let keys: [AgentKey; 3] = std::array::from_fn(|_| AgentKey::generate().unwrap());
    let again = |key: &AgentKey| AgentKey::from_pkcs8(key.pkcs8()).unwrap();
    let [old, new, other] = &keys;
    let now_s = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let before = gateway_of(AgentAuthority::new(old).unwrap(), roster.clone()).await;
    let mut ward = before.ward().await;
    let idle = before.agent("idle").await;
    let stale = before.token(Duration::from_secs(60)).await;

    // Another authority is nobody to an agent, also where it says that it follows.
    let stranger = gateway_of(AgentAuthority::after(other, &[]).unwrap(), roster.clone()).await;
    assert!(ward.link(&stranger).1.await.unwrap().is_err());

    let overlap = AgentAuthority::after(new, &[(again(old), now_s() + 3)]).unwrap();
    let fingerprint = overlap.fingerprint();
    let during = gateway_of(overlap, roster.clone()).await;
    assert!(!ward.identity.is_of(&fingerprint));
    let (_stop, _linked) = ward.link(&during);
    during.until_linked(true).await;
    assert_eq!(*ward.serving.authority().borrow(), Some(fingerprint), "it learns whom the gateway has now");
    let request = signing_request(&ward.key).unwrap();
    let renewed = renew(&during.at(), &ward.key, &ward.identity, request).await.unwrap();
    assert!(renewed.is_of(&fingerprint) && renewed.handovers.is_empty());
    assert_eq!(roster.agent(&"ward".parse().unwrap()).unwrap().unwrap().generation, 2, "counted on");
    ward.identity = renewed;
    let key = AgentKey::generate().unwrap();
    let request = signing_request(&key).unwrap();
    let refused = enrol(&during.at(), &stale, &"ward".parse().unwrap(), request).await;
    assert!(refused.is_err(), "a token of before names the authority of before");

    // The same process, when the time is over.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(idle.link(&during).1.await.unwrap().is_err(), "it has not renewed");
    let after = gateway_of(AgentAuthority::new(new).unwrap(), roster.clone()).await;
    assert!(idle.link(&after).1.await.unwrap().is_err());
    let (_stop, _linked) = ward.link(&after);
    after.until_linked(true).await;
}
