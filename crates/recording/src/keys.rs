//! Data keys, the readers they are wrapped to, and the table that alone holds the wrapped forms.
//!
//! Wrapping is HPKE base mode (RFC 9180) with X25519, HKDF-SHA-256 and ChaCha20-Poly1305. The gateway knows public
//! keys only: its operator cannot read what it recorded. Deleting the rows of a [`KeyTable`] destroys the content
//! and leaves each proof over the ciphertext valid.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_access::SessionId;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;

const PUBLIC_PREFIX: &str = "cprp1";
const PRIVATE_PREFIX: &str = "cprs1";
const INFO_PREFIX: &[u8] = b"chaperone data key v1\0";
/// Bytes of a wrapped data key: encapsulated key 32, ciphertext 32, tag 16.
pub const WRAPPED_LEN: usize = 80;

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A text is no reader key of the kind asked for. The text is not repeated: it may be a private key.
    #[error("not a reader's {0} key; hint: copy the whole line, from its prefix to its end")]
    Text(&'static str),
    /// The system's generator failed.
    #[error("the system gave no random bytes; hint: look at the machine, nothing can be sealed")]
    Random,
    /// There is no reader to wrap to, so that nobody could ever read.
    #[error("no reader's key is configured; hint: run `chaperone init` or name a reader")]
    NoReader,
    /// Wrapping failed.
    #[error("cannot wrap to reader `{0}`; hint: have this reader make a new key")]
    Wrap(String),
    /// The wrapped key is for another reader, session or installation, or was altered.
    #[error(
        "this private key does not open the wrapped key; hint: use the key of reader `{0}`, of this installation"
    )]
    Unwrap(String),
}

/// Names one data key. Not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// From its 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The AES-256 key of one session and retention class. Zeroized when dropped, never printed.
pub struct DataKey {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

impl DataKey {
    /// Draw a key and its id from the system's generator.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut id = [0; 16];
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut id).map_err(|_| KeyError::Random)?;
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Random)?;
        Ok(Self { id: KeyId(id), bytes })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Wrap to each reader, in their order.
    ///
    /// # Errors
    /// [`KeyError::NoReader`] without readers, [`KeyError::Wrap`] when a reader's key is unusable.
    pub fn wrap(
        &self,
        installation: &str,
        session: SessionId,
        readers: &[Reader],
    ) -> Result<Vec<WrappedKey>, KeyError> {
        if readers.is_empty() {
            return Err(KeyError::NoReader);
        }
        let info = info(installation, session, self.id);
        readers
            .iter()
            .map(|reader| {
                let failed = |_| KeyError::Wrap(reader.id.clone());
                let (encapped, text) = hpke::single_shot_seal::<Aead, Kdf, Kem>(
                    &OpModeS::Base,
                    &reader.key.0,
                    &info,
                    self.expose(),
                    &[],
                )
                .map_err(failed)?;
                let mut bytes = encapped.to_bytes().to_vec();
                bytes.extend_from_slice(&text);
                Ok(WrappedKey { reader: reader.id.clone(), key: self.id, epoch: reader.epoch, bytes })
            })
            .collect()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({}, ..)", self.id)
    }
}

/// Bind a wrapping to its place: a row moved to another session or installation does not open there. The
/// installation has its length before it, so that no two triples give the same bytes.
fn info(installation: &str, session: SessionId, key: KeyId) -> Vec<u8> {
    let mut info = INFO_PREFIX.to_vec();
    info.extend_from_slice(&(installation.len() as u64).to_be_bytes());
    info.extend_from_slice(installation.as_bytes());
    info.extend_from_slice(&session.to_bytes());
    info.extend_from_slice(key.as_bytes());
    info
}

/// Someone who may read: a name, the epoch of the key, and the key.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The reader's id, as configured.
    pub id: String,
    /// Which of the reader's keys this is, from 1.
    pub epoch: u32,
    /// The public key.
    pub key: ReaderPublic,
}

/// A reader's public key; its text begins with `cprp1`.
#[derive(Clone)]
pub struct ReaderPublic(<Kem as hpke::Kem>::PublicKey);

/// A reader's private key; its text begins with `cprs1`. Never on the gateway.
pub struct ReaderPrivate(<Kem as hpke::Kem>::PrivateKey);

/// Makes readers' key pairs.
pub struct ReaderKey;

impl ReaderKey {
    /// A new pair, from the system's generator.
    #[must_use]
    pub fn generate() -> (ReaderPublic, ReaderPrivate) {
        let (private, public) = Kem::gen_keypair();
        (ReaderPublic(public), ReaderPrivate(private))
    }
}

impl ReaderPublic {
    /// Read the text form.
    ///
    /// # Errors
    /// [`KeyError::Text`] for another prefix, length or checksum.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let wrong = KeyError::Text("public");
        let bytes = from_text(PUBLIC_PREFIX, text).ok_or_else(|| wrong.clone())?;
        <Kem as hpke::Kem>::PublicKey::from_bytes(bytes.as_slice()).map(Self).map_err(|_| wrong)
    }
}

impl fmt::Display for ReaderPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_text(PUBLIC_PREFIX, &self.0.to_bytes()))
    }
}

impl fmt::Debug for ReaderPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReaderPublic({self})")
    }
}

impl ReaderPrivate {
    /// Read the text form.
    ///
    /// # Errors
    /// [`KeyError::Text`] for another prefix, length or checksum.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let wrong = KeyError::Text("private");
        let bytes = from_text(PRIVATE_PREFIX, text).ok_or_else(|| wrong.clone())?;
        <Kem as hpke::Kem>::PrivateKey::from_bytes(bytes.as_slice()).map(Self).map_err(|_| wrong)
    }

    /// The text for the reader's key file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(self.0.to_bytes().to_vec());
        Zeroizing::new(to_text(PRIVATE_PREFIX, &bytes))
    }

    /// Open a wrapped data key.
    ///
    /// # Errors
    /// [`KeyError::Unwrap`].
    pub fn unwrap(
        &self,
        installation: &str,
        session: SessionId,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, KeyError> {
        let failed = || KeyError::Unwrap(wrapped.reader.clone());
        if wrapped.bytes.len() != WRAPPED_LEN {
            return Err(failed());
        }
        let (encapped, text) = wrapped.bytes.split_first_chunk::<32>().ok_or_else(failed)?;
        let encapped = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapped).map_err(|_| failed())?;
        let info = info(installation, session, wrapped.key);
        let plain =
            hpke::single_shot_open::<Aead, Kdf, Kem>(&OpModeR::Base, &self.0, &encapped, &info, text, &[])
                .map(Zeroizing::new)
                .map_err(|_| failed())?;
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(plain.first_chunk::<32>().ok_or_else(failed)?);
        Ok(DataKey { id: wrapped.key, bytes })
    }
}

impl fmt::Debug for ReaderPrivate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReaderPrivate(..)")
    }
}

/// Prefix, then base64url of the key and the first four bytes of SHA-256 over prefix and key.
fn to_text(prefix: &str, key: &[u8]) -> String {
    let mut bytes = Zeroizing::new(key.to_vec());
    bytes.extend_from_slice(&checksum(prefix, key));
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

fn from_text(prefix: &str, text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let body = text.strip_prefix(prefix).filter(|body| body.len() == 48)?;
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).ok()?);
    let (key, check) = bytes.split_first_chunk::<32>()?;
    (check == checksum(prefix, key)).then(|| Zeroizing::new(*key))
}

fn checksum(prefix: &str, key: &[u8]) -> [u8; 4] {
    let mut bytes = Zeroizing::new(prefix.as_bytes().to_vec());
    bytes.extend_from_slice(key);
    digest(&SHA256, &bytes).as_ref().first_chunk::<4>().copied().unwrap_or_default()
}

/// A data key as one reader can open it. Lives in a [`KeyTable`] and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The reader's id.
    pub reader: String,
    /// The data key's id.
    pub key: KeyId,
    /// Which of the reader's keys opens it.
    pub epoch: u32,
    /// [`WRAPPED_LEN`] bytes: encapsulated key, ciphertext, tag.
    pub bytes: Vec<u8>,
}

/// Why the key table did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyTableError {
    /// The session and class have a key already: a second would make the first's frames unreadable.
    #[error("session `{0}` has a key of this class already; hint: this is a fault of the gateway, report it")]
    Exists(SessionId),
    /// The storage failed or holds what it should not.
    #[error("the key table failed: {0}; hint: no session is admitted until it answers")]
    Storage(String),
}

/// The answer of a [`KeyTable`].
pub type KeyTableFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeyTableError>> + Send + 'a>>;

/// Where wrapped keys live.
///
/// Durability: `insert` and `shred` are on disk before they answer. Cancel safety: a dropped call may or may not
/// have happened, never half.
pub trait KeyTable: Send + Sync {
    /// Keep all wrappings of one session's and class's data key, or none.
    fn insert<'a>(
        &'a self,
        session: SessionId,
        class: &'a str,
        keys: Vec<WrappedKey>,
    ) -> KeyTableFuture<'a, ()>;
    /// All wrappings of a session with their class; empty when unknown or shredded.
    fn get(&self, session: SessionId) -> KeyTableFuture<'_, Vec<(String, WrappedKey)>>;
    /// Delete the wrappings of a session and class for good; how many there were.
    fn shred<'a>(&'a self, session: SessionId, class: &'a str) -> KeyTableFuture<'a, u64>;
}
