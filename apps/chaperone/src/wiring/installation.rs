//! An installation's files: keys, tokens, readers.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chaperone_access::SessionId;
use chaperone_identity::{RootKey, RootKeys};
use chaperone_recording::commit::CommitmentKey;
use chaperone_recording::keyfile;
use chaperone_recording::keys::{KeyId, Reader, ReaderPrivate, ReaderPublic, WrappedKey};
use chaperone_trail::{LogKey, LogKeys};
use chaperone_tunnel::AgentKey;
use serde::{Deserialize, Serialize};

use crate::verbs::Failure;
use crate::wiring::epochs::{Epochal, agent_key, authorities, forget, log_signer};

/// The administrator's token for the API.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin.token";
const LOCAL_AGENT_KEY_FILE: &str = "local-agent.key";

/// Microseconds since the Unix epoch.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// Bytes of the system's generator. Without one nothing may start, so there is no way to go on.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    while aws_lc_rs::rand::fill(&mut bytes).is_err() {
        std::thread::yield_now();
    }
    bytes
}

/// All keys of a gateway, made at its first start.
pub(crate) struct Keys {
    pub(crate) credentials: RootKeys,
    pub(crate) commitment: CommitmentKey,
    pub(crate) log: LogKeys,
    pub(crate) local_agent: AgentKey,
    /// Signs agents' certificates; with those before it, and until when theirs are accepted, in seconds since the Unix
    /// epoch.
    pub(crate) agent_authority: (AgentKey, Vec<(AgentKey, u64)>),
    pub(crate) admin_token: String,
    /// Names of those that did not exist before.
    pub(crate) made: Vec<&'static str>,
}

fn load_or_make(
    folder: &Path,
    name: &'static str,
    made: &mut Vec<&'static str>,
    fresh: impl FnOnce() -> Result<Vec<u8>, Failure>,
) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
    let path = folder.join(name);
    if !path.exists() {
        keyfile::create(&path, &fresh()?).map_err(Failure::failed)?;
        made.push(name);
    }
    keyfile::load(&path).map_err(Failure::failed)
}

fn thirty_two(bytes: &[u8], name: &str) -> Result<[u8; 32], Failure> {
    bytes.try_into().map_err(|_| {
        Failure::Usage(format!("key file `{name}` does not have 32 bytes (hint: restore it from its backup)"))
    })
}

impl Keys {
    /// Load them, making those that do not exist.
    pub(crate) fn open(folder: &Path, installation: &str) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)
            .map_err(Failure::io(format!("cannot make `{}`", folder.display())))?;
        let mut made = Vec::new();
        for (key, name) in [
            (Epochal::Credential, "credential.key"),
            (Epochal::Commitment, "commitment.key"),
            (Epochal::Log, "log.key"),
            (Epochal::Agents, "agent-authority.key"),
        ] {
            if key.of(folder)?.is_empty() {
                load_or_make(folder, name, &mut made, || key.fresh().map(|bytes| bytes.to_vec()))?;
            }
        }
        let p256 = || Ok(AgentKey::generate().map_err(Failure::failed)?.pkcs8().to_vec());
        load_or_make(folder, LOCAL_AGENT_KEY_FILE, &mut made, p256)?;
        let token = load_or_make(folder, ADMIN_TOKEN_FILE, &mut made, || {
            Ok(format!("cpa1.{}", URL_SAFE_NO_PAD.encode(random::<32>())).into_bytes())
        })?;
        let (epoch, commitment) = newest(folder, Epochal::Commitment)?;
        Ok(Self {
            credentials: credential_keys(folder)?,
            commitment: CommitmentKey::new(u32::from(epoch), &commitment),
            log: log_keys(folder, installation)?,
            local_agent: agent_key(&folder.join(LOCAL_AGENT_KEY_FILE))?,
            agent_authority: authorities(folder)?,
            admin_token: String::from_utf8_lossy(&token).trim().to_owned(),
            made,
        })
    }
}

/// The 32 bytes of a key file.
pub(crate) fn secret(path: &Path) -> Result<[u8; 32], Failure> {
    let bytes = keyfile::load(path).map_err(Failure::failed)?;
    thirty_two(&bytes, &path.display().to_string())
}

fn none(key: Epochal) -> Failure {
    Failure::Usage(format!("there is no key `{}` (hint: restore it from its backup)", key.word()))
}

/// The newest epoch of a key.
fn newest(folder: &Path, key: Epochal) -> Result<(u8, [u8; 32]), Failure> {
    let (epoch, path) = key.of(folder)?.pop().ok_or_else(|| none(key))?;
    Ok((epoch, secret(&path)?))
}

/// What an installation's log is called.
pub(crate) fn log_name(installation: &str) -> String {
    format!("chaperone/{installation}")
}

/// The keys of the log: the one that signs it, and one that waits to.
pub(crate) fn log_keys(folder: &Path, installation: &str) -> Result<LogKeys, Failure> {
    let mut keys = Vec::new();
    for (epoch, path) in Epochal::Log.of(folder)? {
        let id = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        keys.push(LogKey::new(epoch, id, log_signer(&path, &log_name(installation))?));
    }
    let mut keys = keys.into_iter();
    let first = keys.next().ok_or_else(|| none(Epochal::Log))?;
    Ok(LogKeys::new(first, keys.collect()))
}

/// Remove the log keys that another one has taken the place of: what they signed is verified without them, and whoever got
/// hold of one could sign another history with it.
pub(crate) fn forget_log_keys(folder: &Path, newest: u8) -> Result<(), Failure> {
    for (epoch, path) in Epochal::Log.of(folder)? {
        if epoch < newest {
            forget(&path)?;
        }
    }
    Ok(())
}

/// The keys that credentials are made with, for the verb that makes them.
pub(crate) fn credential_keys(folder: &Path) -> Result<RootKeys, Failure> {
    let mut keys = Vec::new();
    for (epoch, path) in Epochal::Credential.of(folder)? {
        keys.push(RootKey::new(epoch, secret(&path)?));
    }
    let newest = keys.pop().ok_or_else(|| none(Epochal::Credential))?;
    Ok(RootKeys::new(newest, keys))
}

/// Readers by their public texts. A reader's name is its public key.
pub(crate) fn readers(texts: &[String]) -> Result<Vec<Reader>, Failure> {
    if texts.is_empty() {
        return Err(Failure::Usage(
            "`recording.readers` names nobody: what is recorded could never be read \
             (hint: `chaperone reader create FILE` makes a key and prints its public part)"
                .to_owned(),
        ));
    }
    texts
        .iter()
        .map(|text| {
            let key = ReaderPublic::parse(text).map_err(Failure::failed)?;
            Ok(Reader { id: text.clone(), epoch: 1, key })
        })
        .collect()
}

/// A reader's private key.
pub(crate) struct ReaderFile {
    private: ReaderPrivate,
    public: String,
}

#[derive(Serialize, Deserialize)]
struct ReaderText {
    public: String,
    private: String,
}

/// Make a reader's key file; its public text.
pub(crate) fn make_reader(path: &Path) -> Result<String, Failure> {
    let (public, private) = chaperone_recording::keys::ReaderKey::generate();
    let public = public.to_string();
    let text = ReaderText { public: public.clone(), private: private.to_text().to_string() };
    let bytes = zeroize::Zeroizing::new(serde_json::to_vec(&text).map_err(Failure::failed)?);
    keyfile::create(path, &bytes).map_err(Failure::failed)?;
    Ok(public)
}

/// Load a reader's key file.
pub(crate) fn reader_key(path: &Path) -> Result<ReaderFile, Failure> {
    let bytes = keyfile::load(path).map_err(Failure::failed)?;
    let text: ReaderText = serde_json::from_slice(&bytes).map_err(Failure::failed)?;
    let private = ReaderPrivate::parse(&text.private).map_err(Failure::failed)?;
    Ok(ReaderFile { private, public: text.public })
}

impl ReaderFile {
    /// The public text.
    pub(crate) fn public_text(&self) -> String {
        self.public.clone()
    }
}

/// A wrapped key as the API hands it out.
#[derive(Serialize, Deserialize)]
pub(crate) struct WrappedText {
    pub(crate) installation: String,
    pub(crate) key: String,
    pub(crate) epoch: u32,
    pub(crate) bytes: String,
}

/// Opens one session's objects.
pub(crate) struct Opener<'a> {
    key: &'a ReaderFile,
    session: SessionId,
    installation: String,
    wrapped: WrappedKey,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(key: &'a ReaderFile, session: SessionId, wrapped: &str) -> Result<Self, Failure> {
        let text: WrappedText = serde_json::from_str(wrapped).map_err(Failure::failed)?;
        let id = STANDARD.decode(&text.key).ok().and_then(|id| <[u8; 16]>::try_from(id).ok());
        let id = id.ok_or_else(|| Failure::Failed("the gateway sent no usable key".to_owned()))?;
        let wrapped = WrappedKey {
            reader: key.public.clone(),
            key: KeyId::from_bytes(id),
            epoch: text.epoch,
            bytes: STANDARD.decode(&text.bytes).map_err(Failure::failed)?,
        };
        Ok(Self { key, session, installation: text.installation, wrapped })
    }

    /// Open one ciphertext.
    pub(crate) fn open(&self, frame: &[u8]) -> Result<Vec<u8>, Failure> {
        let opened = chaperone_recording::open::open(
            &self.key.private,
            &self.installation,
            self.session,
            &self.wrapped,
            frame,
        );
        opened.map(|(_, plain)| plain.to_vec()).map_err(Failure::failed)
    }
}
