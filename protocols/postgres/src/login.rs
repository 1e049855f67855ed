//! The client's face towards the target, used by the agent: protocol 3.0, TLS, and the proof of the target's secret.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chaperone_wire::Stream;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificate::end_point;
use crate::codec::backend::{Authentication, BackendView, mechanisms, view};
use crate::codec::startup::{self, ProtocolVersion, SessionRequest, Startup};
use crate::codec::{Backend, BackendTag, CodecError, Limits, Message, encode};
use crate::line::{Break, Line};

/// From the first byte to the target's readiness.
pub const LOGIN_MS_MAX: u64 = 15_000;
/// Settings and remarks that a target may send at login, in bytes.
pub const GREETING_BYTES_MAX: usize = 64 * 1024;

/// TLS towards the target.
#[derive(Clone)]
pub struct TargetTls {
    /// Roots, client certificate, and the application protocol where `direct` is set.
    pub config: Arc<ClientConfig>,
    /// The name that the target's certificate must bear.
    pub name: ServerName<'static>,
    /// Begin with the handshake instead of asking for it (PostgreSQL 17 and later).
    pub direct: bool,
}

/// How to log in.
pub struct LoginOptions {
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// What the target's own log calls the session.
    pub application_name: String,
    /// What the session is to start with, and RESET goes back to: settings that everybody may change.
    pub parameters: Vec<(String, String)>,
    /// What it starts with beside those, whatever they are: settings of whoever logs in.
    pub own: Vec<(String, String)>,
    /// A role to take on, for a login that has nothing of its own.
    pub role: Option<RoleOptions>,
    /// TLS, verified; `None` speaks in clear.
    pub tls: Option<TargetTls>,
}

/// The role that a session runs as.
pub struct RoleOptions {
    /// Its name.
    pub name: String,
    /// The roles that the login may be a member of, `*` standing for any characters: were it in another one, a session
    /// that gets out of its role could take that one on.
    pub among: Vec<String>,
}

/// A session at the target.
pub struct LoggedIn {
    /// The next bytes are the target's answer to the first request.
    pub stream: Box<dyn Stream>,
    /// ParameterStatus messages, without the backend's key.
    pub greeting: Bytes,
    /// The backend's process.
    pub pid: i32,
    /// The key for [`cancel`].
    pub cancel_key: Bytes,
    /// When the backend started, in microseconds of Unix time; with the pid it names the backend for ever.
    pub backend_start_us: i64,
    /// The target's `server_version`.
    pub server_version: String,
    /// Whether the login's proof was bound to the TLS connection.
    pub channel_bound: bool,
}

/// Why there is no session. Never holds a secret.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The target's connection ended or was never there.
    #[error("the target cannot be reached: {0}")]
    Unreachable(std::io::Error),
    /// It did not finish in [`LOGIN_MS_MAX`].
    #[error("the target did not finish the login in {LOGIN_MS_MAX} ms")]
    TooSlow,
    /// The target does not offer TLS though the configuration wants it.
    #[error("the target does not offer TLS (hint: turn `ssl` on there)")]
    NoTls,
    /// The handshake failed: usually the certificate.
    #[error("TLS with the target failed: {0}")]
    Tls(std::io::Error),
    /// The target refused, in its own words.
    #[error("the target refuses: {message} ({code})")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// Its message.
        message: String,
    },
    /// A secret is wanted and none is configured.
    #[error("the target asks for a password and none is configured")]
    NoSecret,
    /// A method that we do not use.
    #[error("the target asks for {0} (hint: configure scram-sha-256 or a certificate there)")]
    Method(&'static str),
    /// The target could not show that it knows the secret.
    #[error("the target did not prove that it knows the secret: it may be another server")]
    NotProven,
    /// The login could do something without the role.
    #[error(
        "the login may not be used with roles: {0} (hint: docs/how-to/database-logins.md has a login that may)"
    )]
    NotBare(String),
    /// It does not speak the protocol.
    #[error("the target broke the protocol: {0}")]
    Protocol(CodecError),
    /// It says something that does not belong into a login.
    #[error("the target broke the protocol: unexpected message at login")]
    Unexpected,
}

impl From<Break> for LoginError {
    fn from(broken: Break) -> Self {
        match broken {
            Break::Gone(error) => Self::Unreachable(error),
            Break::Codec(error) => Self::Protocol(error),
        }
    }
}

impl From<CodecError> for LoginError {
    fn from(error: CodecError) -> Self {
        Self::Protocol(error)
    }
}

/// Log in over a fresh stream.
///
/// # Errors
/// See [`LoginError`]; the stream is closed.
pub async fn login(
    stream: Box<dyn Stream>,
    options: &LoginOptions,
    secret: Option<&[u8]>,
) -> Result<LoggedIn, LoginError> {
    let work = async {
        let (line, binding) = match &options.tls {
            Some(tls) => encrypt(stream, tls).await?,
            None => (Line::new(stream), None),
        };
        let mut session = Session::new(line, options.tls.is_some());
        let bound = session.authenticate(options, secret, binding).await?;
        session.settle(bound, options.role.as_ref()).await
    };
    timeout(Duration::from_millis(LOGIN_MS_MAX), work).await.map_err(|_| LoginError::TooSlow)?
}

/// Ask for another backend's operation to be cancelled. The target never answers.
///
/// # Errors
/// The target cannot be reached.
pub async fn cancel(
    stream: Box<dyn Stream>,
    tls: Option<&TargetTls>,
    pid: i32,
    key: &[u8],
) -> Result<(), LoginError> {
    let work = async {
        let mut line = match tls {
            Some(tls) => encrypt(stream, tls).await?.0,
            None => Line::new(stream),
        };
        let mut out = BytesMut::new();
        startup::encode(&Startup::Cancel { pid, key: Bytes::copy_from_slice(key) }, &mut out);
        Ok(line.send(&out).await?)
    };
    timeout(Duration::from_millis(LOGIN_MS_MAX), work).await.map_err(|_| LoginError::TooSlow)?
}

/// The encrypted line and what a proof is bound to.
pub(crate) async fn encrypt(
    stream: Box<dyn Stream>,
    tls: &TargetTls,
) -> Result<(Line, Option<Vec<u8>>), LoginError> {
    let mut line = Line::new(stream);
    if !tls.direct {
        let mut out = BytesMut::new();
        startup::encode(&Startup::Ssl, &mut out);
        line.send(&out).await?;
        // One byte exactly: whatever came behind it in clear must fail in the handshake (CVE-2021-23222).
        match line.stream.read_u8().await.map_err(LoginError::Unreachable)? {
            b'S' => {}
            b'N' => return Err(LoginError::NoTls),
            _ => return Err(LoginError::Unexpected),
        }
    }
    let connector = TlsConnector::from(tls.config.clone());
    let stream = connector.connect(tls.name.clone(), line.stream).await.map_err(LoginError::Tls)?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let binding = certificate.and_then(|certificate| end_point(certificate));
    Ok((Line::new(Box::new(stream)), binding))
}

/// A line on which a login is going on.
pub(crate) struct Session {
    pub(crate) line: Line,
    decoder: Backend,
    encrypted: bool,
    /// The error that ended it, as it came.
    pub(crate) refusal: Bytes,
}

impl Session {
    pub(crate) fn new(line: Line, encrypted: bool) -> Self {
        Self { line, decoder: Backend::new(Limits::backend()), encrypted, refusal: Bytes::new() }
    }
}

impl Session {
    pub(crate) async fn hear(&mut self) -> Result<Message<BackendTag>, LoginError> {
        let message = self.line.message(&mut self.decoder).await?;
        if let BackendView::Error(report) = view(&message)? {
            self.refusal = message.raw().clone();
            return Err(LoginError::Refused {
                code: String::from_utf8_lossy(&report.code()).into_owned(),
                message: String::from_utf8_lossy(report.message()).into_owned(),
            });
        }
        Ok(message)
    }

    /// Up to AuthenticationOk. Yields whether the proof was bound to the connection.
    async fn authenticate(
        &mut self,
        options: &LoginOptions,
        secret: Option<&[u8]>,
        binding: Option<Vec<u8>>,
    ) -> Result<bool, LoginError> {
        let mut out = BytesMut::new();
        let mut parameters = vec![
            ("user", options.user.as_str()),
            ("database", &options.database),
            ("application_name", &options.application_name),
            ("client_encoding", "UTF8"),
            // Literals mean to the target what they mean to whoever analyses them.
            ("standard_conforming_strings", "on"),
        ];
        if let Some(role) = &options.role {
            // At start-up, so that this is what RESET goes back to and no ROLLBACK undoes it.
            parameters.push(("role", &role.name));
        }
        let asked = options.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        parameters.splice(3..3, asked);
        // The last word on a setting counts.
        parameters.extend(options.own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let parameters =
            parameters.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let request = SessionRequest { version: ProtocolVersion::V3_0, parameters };
        startup::encode(&Startup::Session(request), &mut out);
        self.line.send(&out.split()).await?;
        let mut bound = false;
        loop {
            let message = self.hear().await?;
            let BackendView::Authentication(step) = view(&message)? else {
                return Err(LoginError::Unexpected);
            };
            match step {
                Authentication::Ok => return Ok(bound),
                Authentication::CleartextPassword if self.encrypted => {
                    encode::password(secret.ok_or(LoginError::NoSecret)?, &mut out);
                }
                Authentication::CleartextPassword => {
                    return Err(LoginError::Method("the password in clear without TLS"));
                }
                Authentication::Md5Password { salt } => {
                    let secret = secret.ok_or(LoginError::NoSecret)?;
                    encode::password(md5_hash(options.user.as_bytes(), secret, salt).as_bytes(), &mut out);
                }
                Authentication::Sasl(list) => {
                    let secret = secret.ok_or(LoginError::NoSecret)?;
                    bound = self.scram(list, secret, binding.clone()).await?;
                    continue;
                }
                Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => {
                    return Err(LoginError::Unexpected);
                }
                Authentication::Unsupported(_) => {
                    return Err(LoginError::Method("a method that is not supported"));
                }
            }
            self.line.send(&out.split()).await?;
        }
    }

    /// The whole SCRAM exchange, the target's own proof included.
    pub(crate) async fn scram(
        &mut self,
        list: &[u8],
        secret: &[u8],
        binding: Option<Vec<u8>>,
    ) -> Result<bool, LoginError> {
        let offers = |wanted: &str| mechanisms(list).any(|name| name == wanted.as_bytes());
        let (mechanism, channel) = match binding {
            Some(hash) if offers("SCRAM-SHA-256-PLUS") => {
                ("SCRAM-SHA-256-PLUS", ChannelBinding::tls_server_end_point(hash))
            }
            // `y`: we could bind; a server that can too will notice that its offer was taken out.
            Some(_) if offers("SCRAM-SHA-256") => ("SCRAM-SHA-256", ChannelBinding::unrequested()),
            None if offers("SCRAM-SHA-256") => ("SCRAM-SHA-256", ChannelBinding::unsupported()),
            Some(_) | None => return Err(LoginError::Method("an unknown SASL mechanism")),
        };
        let mut scram = ScramSha256::new(secret, channel);
        let mut out = BytesMut::new();
        encode::sasl_initial(mechanism, scram.message(), &mut out);
        self.line.send(&out.split()).await?;
        let message = self.hear().await?;
        let BackendView::Authentication(Authentication::SaslContinue(data)) = view(&message)? else {
            return Err(LoginError::NotProven);
        };
        scram.update(data).map_err(|_| LoginError::NotProven)?;
        encode::sasl_response(scram.message(), &mut out);
        self.line.send(&out).await?;
        let message = self.hear().await?;
        let BackendView::Authentication(Authentication::SaslFinal(data)) = view(&message)? else {
            return Err(LoginError::NotProven);
        };
        scram.finish(data).map_err(|_| LoginError::NotProven)?;
        Ok(mechanism == "SCRAM-SHA-256-PLUS")
    }

    /// From AuthenticationOk to a session that is ready and known by its start.
    async fn settle(
        mut self,
        channel_bound: bool,
        role: Option<&RoleOptions>,
    ) -> Result<LoggedIn, LoginError> {
        let mut greeting = BytesMut::new();
        let (mut pid, mut cancel_key, mut server_version) = (0, Bytes::new(), String::new());
        loop {
            let message = self.hear().await?;
            let seen = view(&message)?;
            if let BackendView::ReadyForQuery(_) = seen {
                break;
            } else if let BackendView::BackendKeyData(key) = seen {
                pid = key.pid;
                cancel_key = message.share(key.key);
            } else if let BackendView::ParameterStatus { name, value } = seen {
                if name == "server_version" {
                    value.clone_into(&mut server_version);
                }
                if greeting.len() + message.raw().len() > GREETING_BYTES_MAX {
                    return Err(LoginError::Unexpected);
                }
                greeting.extend_from_slice(message.raw());
            } else if !matches!(seen, BackendView::Notice(_)) {
                return Err(LoginError::Unexpected);
            }
        }
        let backend_start_us = match role {
            None => self.backend_start().await?,
            Some(role) => self.backend_start_as(role).await?,
        };
        if !self.line.input.is_empty() {
            return Err(LoginError::Unexpected);
        }
        let (stream, greeting) = (self.line.stream, greeting.freeze());
        Ok(LoggedIn { stream, greeting, pid, cancel_key, backend_start_us, server_version, channel_bound })
    }

    async fn backend_start(&mut self) -> Result<i64, LoginError> {
        let said = self.texts(BACKEND_START).await?;
        said.first().and_then(|text| text.parse().ok()).ok_or(LoginError::Unexpected)
    }

    /// The same for a session that runs as a role, which may not see it, and whether the login is nobody without the role:
    /// asked as the login, before the client can ask anything. A session that gets out of its role is this login, and
    /// can become what the login is a member of.
    async fn backend_start_as(&mut self, role: &RoleOptions) -> Result<i64, LoginError> {
        let bare = bare_query(role);
        let query = format!("set role none; {BACKEND_START}; {bare}; reset role; select current_user");
        let said = self.texts(&query).await?;
        let (start, fault, now) = match said.as_slice() {
            [start, now] => (start, None, now),
            [start, fault, now] => (start, Some(fault), now),
            _ => return Err(LoginError::Unexpected),
        };
        match fault {
            Some(fault) => Err(LoginError::NotBare(fault.clone())),
            None if *now != role.name => Err(LoginError::Unexpected),
            None => start.parse().map_err(|_| LoginError::Unexpected),
        }
    }

    /// The first column of a few rows.
    async fn texts(&mut self, query: &str) -> Result<Vec<String>, LoginError> {
        let mut out = BytesMut::new();
        encode::query(query, &mut out);
        self.line.send(&out).await?;
        let mut texts = Vec::new();
        loop {
            let message = self.hear().await?;
            let seen = view(&message)?;
            if let BackendView::ReadyForQuery(_) = seen {
                return Ok(texts);
            } else if let BackendView::DataRow(row) = seen {
                let value = row.iter().next().transpose()?.flatten().ok_or(LoginError::Unexpected)?;
                if texts.len() >= TEXTS_MAX {
                    return Err(LoginError::Unexpected);
                }
                texts.push(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
}

/// Rows of our own questions at login.
const TEXTS_MAX: usize = 3;

/// When the backend started, in microseconds of Unix time.
const BACKEND_START: &str = "\
select (extract(epoch from backend_start) operator(pg_catalog.*) 1000000)::pg_catalog.int8
from pg_catalog.pg_stat_activity where pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()";

/// A query for what a login could do by itself, a fault a row. Everything in it is named in full: a role may own
/// functions and operators in a schema that is searched.
fn bare_query(role: &RoleOptions) -> String {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let like = |pattern: &String| {
        literal(&pattern.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_").replace('*', "%"))
    };
    let among: Vec<String> = role.among.iter().map(like).collect();
    BARE.replace("{among}", &among.join(", ")).replace("{role}", &literal(&role.name))
}

/// `pg_shdepend` knows, for the whole cluster, what a role owns (`o`) and where an access list names it (`a`). The right
/// to connect is such a line too, the only one allowed. Since version 16 a membership says by itself whether it
/// inherits.
const BARE: &str = "\
with me as (
  select r.* from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) session_user
), named as (
  select d.classid, d.objid, d.deptype from pg_catalog.pg_shdepend d, me
  where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass
    and d.refobjid operator(pg_catalog.=) me.oid
    and d.deptype operator(pg_catalog.=) any (array['o'::\"char\", 'a'::\"char\"])
), member_of as (
  select r.rolname, pg_catalog.to_jsonb(m) operator(pg_catalog.->>) 'inherit_option' as inherits, m.admin_option
  from pg_catalog.pg_auth_members m, pg_catalog.pg_roles r, me
  where m.member operator(pg_catalog.=) me.oid and r.oid operator(pg_catalog.=) m.roleid
)
select 'it has an attribute of its own (superuser, createrole, createdb, replication or bypassrls)' from me
where rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
union all
select 'it inherits the rights of the roles it is a member of (make it NOINHERIT)' from me where rolinherit
union all
select 'it inherits from a role (grant it WITH INHERIT FALSE)' from member_of
where inherits operator(pg_catalog.=) 'true'
union all
select 'it may give a role to others (grant it without ADMIN OPTION)' from member_of where admin_option
union all
select 'it owns something' from named where deptype operator(pg_catalog.=) 'o'::\"char\"
union all
select 'something is granted to it' from named
where deptype operator(pg_catalog.=) 'a'::\"char\"
  and classid operator(pg_catalog.<>) 'pg_catalog.pg_database'::pg_catalog.regclass
union all
select 'more than CONNECT on a database is granted to it'
from pg_catalog.pg_database b, me, lateral pg_catalog.aclexplode(b.datacl) acl
where acl.grantee operator(pg_catalog.=) me.oid and acl.privilege_type operator(pg_catalog.<>) 'CONNECT'
union all
select 'it is a member of a role that `roles` does not list' from member_of
where not (rolname::pg_catalog.text operator(pg_catalog.~~) any (array[{among}]::pg_catalog.text[]))
union all
select 'the role that it took on is a superuser' from pg_catalog.pg_roles r
where r.rolname::pg_catalog.text operator(pg_catalog.=) {role} and r.rolsuper
limit 1";
