//! `chaperone connect`: a local port that asks for no password and joins each client to the gateway.
//!
//! Whoever reaches the port is, to the gateway, the person who opened it. So it listens on the loopback address only and
//! takes only connections of the same user of this machine; a Unix socket in a folder of mode 0700 says the same in the
//! file system.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chaperone_api::{CredentialRequest, CredentialView};
use chaperone_postgres::local::{Asked, Shown, hear};
use chaperone_postgres::login::{LoginError, TargetTls, cancel};
use chaperone_wire::Stream;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;

use super::asker::Asker;
use super::gateway::GatewayError;
use crate::verbs::{Failure, remark};
use crate::wiring::tls::{self, Trust};

/// Clients at a time.
const CLIENTS_MAX: usize = 256;
/// Pause after a connection could not be accepted.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where a gateway's PostgreSQL listener is, and how to speak with it.
#[derive(Clone)]
struct There {
    host: String,
    port: u16,
    tls: Option<TargetTls>,
}

/// What local clients are joined to.
pub(crate) struct Joint {
    login: Asker,
    request: CredentialRequest,
    there: There,
}

/// A place that clients come to.
pub(crate) enum Place {
    /// A port of the loopback address.
    Port(TcpListener),
    /// A socket that is removed when we end.
    Socket(UnixListener, PathBuf),
}

/// The host that a credential is for.
pub(crate) fn host(login: &Asker, credential: &CredentialView) -> String {
    credential.host.clone().unwrap_or_else(|| login.gateway().host())
}

impl Joint {
    /// Ask for a credential once, so that a refusal shows before any client comes.
    pub(crate) async fn new(login: Asker, request: CredentialRequest) -> Result<Self, Failure> {
        let first: CredentialView = login.gateway().post("/credentials", login.token(), &request).await?;
        let host = host(&login, &first);
        let encrypted = first.sslmode != "disable";
        if !encrypted && !loopback(&host) {
            let text = format!("the gateway speaks without TLS at `{host}`, which is not this machine");
            return Err(Failure::Failed(format!("{text} (hint: it needs `postgres.certificate`)")));
        }
        let tls = if encrypted {
            let name = ServerName::try_from(host.clone()).map_err(Failure::failed)?;
            let config = Arc::new(tls::client(&login.ca().map_or(Trust::System, Trust::Roots))?);
            Some(TargetTls { config, name, direct: false })
        } else {
            None
        };
        let there = There { host, port: first.port, tls };
        Ok(Self { login, request, there })
    }

    /// Serve clients until the login ends; the reason.
    pub(crate) async fn serve(self, place: &Place) -> Failure {
        let this = Arc::new(self);
        let kept = match this.login.again() {
            Ok(login) => login.keep(),
            Err(failure) => return failure,
        };
        tokio::pin!(kept);
        let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
        loop {
            tokio::select! {
                failure = &mut kept => return failure,
                client = place.accept() => {
                    let Some(stream) = client else { continue };
                    // One client more than there may be is closed at once.
                    let Ok(turn) = clients.clone().try_acquire_owned() else { continue };
                    let this = this.clone();
                    tokio::spawn(async move {
                        if let Err(why) = this.one(stream).await {
                            remark(&format!("warning: {why}"));
                        }
                        drop(turn);
                    });
                }
            }
        }
    }

    async fn one(&self, stream: Box<dyn Stream>) -> Result<(), Failure> {
        let mut client = match hear(stream).await {
            Ok(Asked::Session(client)) => client,
            Ok(Asked::Cancel { pid, key }) => {
                let stream = self.reach().await.map_err(Failure::failed)?;
                return cancel(stream, self.there.tls.as_ref(), pid, &key).await.map_err(Failure::failed);
            }
            // Somebody who looks whether the port is open.
            Err(LoginError::Unreachable(_)) => return Ok(()),
            Err(error) => return Err(Failure::failed(error)),
        };
        let made: Result<CredentialView, GatewayError> =
            self.login.gateway().post("/credentials", self.login.token(), &self.request).await;
        let credential = match made {
            Ok(credential) => credential,
            Err(error) => {
                client.refuse("28000", &error.to_string()).await;
                return Err(error.into());
            }
        };
        let stream = match self.reach().await {
            Ok(stream) => stream,
            Err(error) => {
                let why =
                    format!("cannot reach the gateway at {}:{}: {error}", self.there.host, self.there.port);
                client.refuse("08001", &why).await;
                return Err(Failure::Failed(why));
            }
        };
        let shown = Shown {
            user: &credential.user,
            password: credential.password.as_bytes(),
            database: &credential.database,
            tls: self.there.tls.as_ref(),
        };
        client.join(stream, &shown).await.map_err(Failure::failed)
    }

    async fn reach(&self) -> std::io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.there.host.as_str(), self.there.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

fn loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Place {
    /// A port of the loopback address; 0 for a free one.
    pub(crate) async fn port(port: u16) -> Result<Self, Failure> {
        let opened = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        opened.map(Self::Port).map_err(Failure::io(format!("cannot listen on 127.0.0.1:{port}")))
    }

    /// A socket as libpq names it, in a folder that only its owner can enter.
    pub(crate) fn socket(folder: &Path, port: u16) -> Result<Self, Failure> {
        let cannot = |what: &str| Failure::io(format!("cannot {what} `{}`", folder.display()));
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder).map_err(cannot("make"))?;
        let mode = std::fs::metadata(folder).map_err(cannot("look at"))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Failure::Usage(format!(
                "others can enter `{}`: its mode is {mode:04o} (hint: `chmod 700` it)",
                folder.display()
            )));
        }
        let path = folder.join(format!(".s.PGSQL.{port}"));
        let opened = UnixListener::bind(&path).map_err(Failure::io(format!(
            "cannot listen on `{}` (hint: remove it if nobody uses it)",
            path.display()
        )))?;
        Ok(Self::Socket(opened, path))
    }

    /// What a client is told to connect to, in libpq's words.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Port(listener) => {
                let port = listener.local_addr().map_or(0, |address| address.port());
                format!("host=127.0.0.1 port={port}")
            }
            Self::Socket(_, path) => {
                let folder = path.parent().unwrap_or(Path::new("."));
                let port =
                    path.extension().map(|port| port.to_string_lossy().into_owned()).unwrap_or_default();
                format!("host={} port={port}", folder.display())
            }
        }
    }

    /// The next client of ours; `None` for one that is turned away.
    async fn accept(&self) -> Option<Box<dyn Stream>> {
        let ours = rustix::process::geteuid().as_raw();
        match self {
            Self::Port(listener) => {
                let (stream, peer) = fine(listener.accept().await).await?;
                let local = stream.local_addr().ok()?;
                if !is_from(ours, peer, local) {
                    remark("warning: another user of this machine was turned away (hint: `--socket DIR`)");
                    return None;
                }
                stream.set_nodelay(true).ok()?;
                Some(Box::new(stream))
            }
            Self::Socket(listener, _) => {
                let (stream, _) = fine(listener.accept().await).await?;
                let theirs = stream.peer_cred().ok()?.uid();
                (theirs == ours).then(|| Box::new(stream) as Box<dyn Stream>)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Socket(_, path) = self {
            // A socket that stays behind refuses the next start with a hint.
            drop(std::fs::remove_file(path));
        }
    }
}

/// An accepted connection; after a failure a pause, since it is most likely a lack of descriptors.
async fn fine<T>(accepted: std::io::Result<T>) -> Option<T> {
    if accepted.is_err() {
        tokio::time::sleep(AFTER_FAILURE).await;
    }
    accepted.ok()
}

/// Whether a connection within this machine comes from a process of this user. A system that cannot tell lets it in: there
/// only the socket keeps others out.
fn is_from(user: u32, peer: SocketAddr, local: SocketAddr) -> bool {
    match owner(peer, local) {
        Ok(owner) => owner == Some(user),
        Err(_) => true,
    }
}

/// Whose process is at the other end of a connection within this machine, by the kernel's tables; `None` where none has it.
///
/// # Errors
/// This system has no such table.
pub(crate) fn owner(peer: SocketAddr, local: SocketAddr) -> std::io::Result<Option<u32>> {
    let (SocketAddr::V4(peer), SocketAddr::V4(local)) = (peer, local) else { return Ok(None) };
    let end = |ip: &Ipv4Addr, port: u16| format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets()));
    let ends = [end(peer.ip(), peer.port()), end(local.ip(), local.port())];
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    if let Some(owner) = table.lines().find_map(|line| owner_in(line, &ends)) {
        return Ok(Some(owner));
    }
    // A socket that could speak both versions stands there with the same address, mapped into the newer one: Java's do.
    let mapped =
        ends.map(|end| format!("{}{:08X}{end}", "0".repeat(16), u32::from_ne_bytes([0, 0, 255, 255])));
    let table = std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    Ok(table.lines().find_map(|line| owner_in(line, &mapped)))
}

/// A line of that table: index, local end, remote end, state, queues, timer, retransmits, user id.
fn owner_in(line: &str, ends: &[String; 2]) -> Option<u32> {
    let mut fields = line.split_whitespace();
    let (local, remote) = (fields.nth(1)?, fields.next()?);
    let [peer_end, our_end] = ends;
    if local != peer_end || remote != our_end {
        return None;
    }
    fields.nth(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_owner_of_a_connection_is_known() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let local = stream.local_addr().unwrap();
        let ours = rustix::process::geteuid().as_raw();
        assert!(is_from(ours, peer, local));
        assert!(!is_from(ours + 1, peer, local));
        drop(client);
    }

    #[tokio::test]
    async fn the_owner_of_a_connection_from_a_socket_of_both_versions_is_known() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        // A machine without the newer version has no such sockets.
        let Ok(client) = TcpStream::connect((mapped, listener.local_addr().unwrap().port())).await else {
            return;
        };
        let (stream, peer) = listener.accept().await.unwrap();
        let ours = rustix::process::geteuid().as_raw();
        assert_eq!(owner(peer, stream.local_addr().unwrap()).unwrap(), Some(ours));
        drop(client);
    }

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = "   3: 0100007F:A002 0100007F:1920 01 00000000:00000000 00:00000000 00000000  1000        0 41 1 0";
        let ends = |peer: &str| [peer.to_owned(), "0100007F:1920".to_owned()];
        assert_eq!(owner_in(line, &ends("0100007F:A002")), Some(1000));
        assert_eq!(owner_in(line, &ends("0100007F:A003")), None);
    }

    #[tokio::test]
    async fn a_folder_that_others_can_enter_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("socket");
        let place = Place::socket(&folder, 5432).unwrap();
        assert!(folder.join(".s.PGSQL.5432").exists());
        assert_eq!(place.shown(), format!("host={} port=5432", folder.display()));
        drop(place);
        assert!(!folder.join(".s.PGSQL.5432").exists());
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(Place::socket(&folder, 5432).err().unwrap().to_string().contains("0750"));
    }
}
