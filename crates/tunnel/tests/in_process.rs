//! The in-process agent: what it refuses, what it counts, what it signs.

#![allow(clippy::unwrap_used, reason = "a test's own set-up may fail it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chaperone_access::{AgentName, Refusal, RefusalCode, SessionId, TargetName};
use chaperone_tunnel::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Default)]
struct Echo {
    cancelled: Arc<AtomicU64>,
}

struct Bell(Arc<AtomicU64>);

impl Canceller for Bell {
    fn cancel(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }
}

impl Targets for Echo {
    fn names(&self) -> Vec<TargetName> {
        vec![TargetName::new("ehr").unwrap(), TargetName::new("broken").unwrap()]
    }

    fn open(&self, request: Dial) -> BoxFuture<'_, Result<Opened, Refusal>> {
        let canceller = Box::new(Bell(Arc::clone(&self.cancelled)));
        Box::pin(async move {
            if request.target.as_str() == "broken" {
                return Err(Refusal::new(RefusalCode::TargetUnavailable, "connection refused"));
            }
            let (near, far) = tokio::io::duplex(64);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(far);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
            });
            let facts = LoginFacts {
                login: "app".into(),
                role: None,
                backend_pid: 7,
                backend_start: None,
                server_version: "15".into(),
                tls: None,
                told: false,
                apart: None,
            };
            Ok(Opened { stream: Box::new(near), greeting: Bytes::from_static(b"hello"), facts, canceller })
        })
    }
}

fn session(last: u8) -> SessionId {
    SessionId::from_parts(1_795_000_000_000, [0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

fn dial(target: &str, session: SessionId) -> Dial {
    Dial {
        target: TargetName::new(target).unwrap(),
        session,
        application: ApplicationName::new("cp:test").unwrap(),
        login: As::default(),
        parameters: Parameters::default(),
        caller: None,
    }
}

fn agent() -> (InProcess, Vec<u8>, Arc<AtomicU64>) {
    let key = AgentKey::generate().unwrap();
    let (public, echo) = (key.public(), Echo::default());
    let cancelled = Arc::clone(&echo.cancelled);
    (InProcess::new(AgentName::new("local").unwrap(), Arc::new(echo), key), public, cancelled)
}

async fn exchange(stream: &mut Box<dyn Stream>, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, bytes);
}

#[tokio::test]
async fn a_session_is_counted_and_signed_once_it_has_ended() {
    let (agent, public, _) = agent();
    let mut first = agent.dial(dial("ehr", session(1))).await.unwrap();
    let mut second = agent.dial(dial("ehr", session(1))).await.unwrap();
    let mut other = agent.dial(dial("ehr", session(2))).await.unwrap();
    assert_eq!(&first.greeting[..], b"hello");
    exchange(&mut first.stream, b"12345").await;
    exchange(&mut second.stream, b"678").await;
    exchange(&mut other.stream, b"x").await;
    drop(first.stream);
    let DialError::Refused(open) = agent.tally(&second.handle).await.unwrap_err() else { unreachable!() };
    assert_eq!(open.code, RefusalCode::Busy);
    drop(second.stream);

    let signed = agent.tally(&first.handle).await.unwrap();
    let message = tally_message(&signed.body).unwrap();
    let expected = format!(
        r#"{{"agent":"local","bytes_down":8,"bytes_up":8,"session":"{}","streams":2,"target":"ehr"}}"#,
        session(1)
    );
    assert_eq!(std::str::from_utf8(&message).unwrap(), expected);
    assert!(verify(&public, &message, &signed.signature));
    assert!(signed.verifies(&public));

    // Asked again it is still there; once acknowledged it is gone.
    agent.tally(&second.handle).await.unwrap();
    agent.acknowledge(&first.handle).await.unwrap();
    assert!(agent.tally(&first.handle).await.is_err());

    let totals = agent.totals(&first.agent).await.unwrap();
    assert!(totals.verifies(&public));
    let message = totals_message(&totals.body).unwrap();
    let Totals { at, since, .. } = totals.body;
    assert_eq!(
        std::str::from_utf8(&message).unwrap(),
        format!(
            r#"{{"agent":"local","at":{at},"bytes_down":8,"bytes_up":8,"sessions":2,"since":{since},"streams":3}}"#
        )
    );
    // Each count is of this process, and newer than the one before.
    let again = agent.totals(&first.agent).await.unwrap().body;
    assert!(again.since == since && again.at > at && at > since, "{again:?}");
}

#[tokio::test]
async fn an_altered_tally_or_another_key_does_not_verify() {
    let (agent, public, _) = agent();
    let dialled = agent.dial(dial("ehr", session(1))).await.unwrap();
    drop(dialled.stream);
    let signed = agent.tally(&dialled.handle).await.unwrap();
    assert!(signed.verifies(&public));
    let mut altered = signed.clone();
    altered.body.bytes_down += 1;
    assert!(!altered.verifies(&public));
    let stranger = AgentKey::generate().unwrap();
    let mut forged = signed.clone();
    forged.public_key = stranger.public();
    forged.signature = stranger.sign(&tally_message(&signed.body).unwrap()).unwrap();
    assert!(forged.verifies(&stranger.public()));
    assert!(!forged.verifies(&public));
}

#[tokio::test]
async fn what_is_not_declared_is_not_opened() {
    let (agent, ..) = agent();
    assert!(matches!(agent.dial(dial("billing", session(1))).await, Err(DialError::NoAgent(_))));
    let DialError::Refused(refusal) = agent.dial(dial("broken", session(1))).await.unwrap_err() else {
        unreachable!()
    };
    assert_eq!(refusal.code, RefusalCode::TargetUnavailable);
    let totals = agent.totals(&AgentName::new("local").unwrap()).await.unwrap();
    assert_eq!((totals.body.streams, totals.body.sessions), (0, 0));
}

#[tokio::test]
async fn a_cancel_reaches_a_live_stream_only() {
    let (agent, _, cancelled) = agent();
    let dialled = agent.dial(dial("ehr", session(1))).await.unwrap();
    let mut stranger = dialled.handle.clone();
    stranger.session = session(9);
    agent.cancel(&stranger).await.unwrap();
    assert_eq!(cancelled.load(Ordering::SeqCst), 0);
    agent.cancel(&dialled.handle).await.unwrap();
    assert_eq!(cancelled.load(Ordering::SeqCst), 1);
    drop(dialled.stream);
    agent.cancel(&dialled.handle).await.unwrap();
    assert_eq!(cancelled.load(Ordering::SeqCst), 1);
    stranger.agent = AgentName::new("elsewhere").unwrap();
    assert!(matches!(agent.cancel(&stranger).await, Err(DialError::NotLinked(_))));
}

#[test]
fn only_listed_parameters_cross() {
    let mut parameters = Parameters::default();
    parameters.set("datestyle", "ISO").unwrap();
    assert_eq!(parameters.iter().collect::<Vec<_>>(), [("DateStyle", "ISO")]);
    for (name, value) in [
        ("role", "postgres"),
        ("options", "-c role=postgres"),
        ("session_authorization", "x"),
        ("DateStyle", "again"),
        ("search_path", "a\0b"),
        ("TimeZone", &"x".repeat(limits::PARAMETER_BYTES + 1)),
    ] {
        assert!(parameters.set(name, value).is_err(), "{name}");
    }
    assert!(serde_json::from_str::<Parameters>(r#"[["role","postgres"]]"#).is_err());
    for bad in ["", " x", "x\n", "é", &"x".repeat(64)] {
        assert!(ApplicationName::new(bad).is_err(), "{bad}");
    }
}
