//! A port on a person's own machine: a client that comes without a password is joined to a gateway, which it reaches with
//! a credential of that person. Every message after the login passes as it is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chaperone_wire::Stream;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::time::timeout;

use crate::codec::backend::{Authentication, BackendView, view};
use crate::codec::encode;
use crate::codec::startup::{self, SessionRequest, Startup};
use crate::line::Line;
use crate::login::{LOGIN_MS_MAX, LoginError, Session, TargetTls, encrypt};

/// How long a client may take to say what it wants.
pub const HELLO_MS_MAX: u64 = 10_000;

/// Parameters of a client that name what the credential decides.
const DECIDED: &[&str] = &["user", "database"];

/// What a local client asked for.
pub enum Asked {
    /// A session.
    Session(LocalClient),
    /// To cancel what a session does; its connection wants no answer.
    Cancel {
        /// The process that the session was told.
        pid: i32,
        /// The key that it was told.
        key: Bytes,
    },
}

/// A local client that waits for its session.
pub struct LocalClient {
    line: Line,
    request: SessionRequest,
}

/// What the gateway is shown.
pub struct Shown<'a> {
    /// Goes where a user name goes.
    pub user: &'a str,
    /// Goes where a password goes.
    pub password: &'a [u8],
    /// The target.
    pub database: &'a str,
    /// TLS, verified; `None` speaks in clear.
    pub tls: Option<&'a TargetTls>,
}

/// Hear what a local client wants. Encryption is declined: the stream does not leave the machine.
///
/// # Errors
/// The client left, was too slow, or does not speak the protocol.
pub async fn hear(stream: Box<dyn Stream>) -> Result<Asked, LoginError> {
    let work = async {
        let mut line = Line::new(stream);
        loop {
            match startup::decode(&mut line.input)? {
                None => line.fill().await?,
                Some(Startup::Ssl | Startup::GssEnc) => line.send(b"N").await?,
                Some(Startup::Cancel { pid, key }) => return Ok(Asked::Cancel { pid, key }),
                Some(Startup::Session(request)) => {
                    return Ok(Asked::Session(LocalClient { line, request }));
                }
            }
        }
    };
    timeout(Duration::from_millis(HELLO_MS_MAX), work).await.map_err(|_| LoginError::TooSlow)?
}

impl LocalClient {
    /// Log in at the gateway for the client, then carry bytes both ways until one side ends. A refusal of the gateway
    /// goes to the client in the gateway's words.
    ///
    /// # Errors
    /// See [`LoginError`]; the client has been told.
    pub async fn join(mut self, gateway: Box<dyn Stream>, shown: &Shown<'_>) -> Result<(), LoginError> {
        let work = self.log_in(gateway, shown);
        let reached = timeout(Duration::from_millis(LOGIN_MS_MAX), work).await;
        let mut gateway = match reached.unwrap_or(Err(LoginError::TooSlow)) {
            Ok(gateway) => gateway,
            // It has heard the gateway's own error.
            Err(error @ LoginError::Refused { .. }) => return Err(error),
            Err(error) => {
                self.refuse("08006", &error.to_string()).await;
                return Err(error);
            }
        };
        // Either side may leave without a word: that is its right, and an end like any other.
        let (Ok(_) | Err(_)) = copy_bidirectional(&mut self.line, &mut gateway).await;
        Ok(())
    }

    /// Tell the client why it gets no session, with an SQLSTATE.
    pub async fn refuse(&mut self, code: &str, message: &str) {
        let mut out = BytesMut::new();
        encode::error([(b'S', "FATAL"), (b'V', "FATAL"), (b'C', code), (b'M', message)], &mut out);
        // A client that has left need not be told.
        drop(self.line.send(&out).await);
        drop(self.line.stream.shutdown().await);
    }

    /// Up to AuthenticationOk, which the client gets too.
    async fn log_in(&mut self, stream: Box<dyn Stream>, shown: &Shown<'_>) -> Result<Line, LoginError> {
        let (line, binding) = match shown.tls {
            Some(tls) => encrypt(stream, tls).await?,
            None => (Line::new(stream), None),
        };
        let mut session = Session::new(line, shown.tls.is_some());
        let own = self.request.parameters.iter().filter(|(name, _)| !DECIDED.contains(&name.as_str()));
        let decided = [("user", shown.user), ("database", shown.database)];
        let decided = decided.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parameters = decided.into_iter().chain(own.cloned()).collect();
        let mut out = BytesMut::new();
        let request = SessionRequest { version: self.request.version, parameters };
        startup::encode(&Startup::Session(request), &mut out);
        session.line.send(&out).await?;
        let proved = self.prove(&mut session, shown.password, binding).await;
        if let Err(LoginError::Refused { .. }) = &proved {
            // With its hint. Whether the client still listens changes nothing.
            drop(self.line.send(&session.refusal).await);
        }
        proved.map(|()| session.line)
    }

    async fn prove(
        &mut self,
        session: &mut Session,
        password: &[u8],
        binding: Option<Vec<u8>>,
    ) -> Result<(), LoginError> {
        let mut proved = false;
        loop {
            let message = session.hear().await?;
            let seen = view(&message)?;
            if let BackendView::Authentication(Authentication::Sasl(list)) = seen {
                session.scram(list, password, binding.clone()).await?;
                proved = true;
            } else if let BackendView::Authentication(Authentication::Ok) = seen {
                // A gateway that asks for no proof has given none either.
                if !proved {
                    return Err(LoginError::NotProven);
                }
                return Ok(self.line.send(message.raw()).await?);
            } else if let BackendView::NegotiateProtocolVersion { .. } = seen {
                // Which version and options the gateway knows is the client's to hear.
                self.line.send(message.raw()).await?;
            } else {
                return Err(LoginError::Unexpected);
            }
        }
    }
}
