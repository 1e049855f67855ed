//! Opening what was sealed. Only a reader's own machine does this: it takes a private key the gateway never has.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};
use chaperone_access::SessionId;
use zeroize::Zeroizing;

use crate::keys::{DataKey, KeyError, ReaderPrivate, WrappedKey};
use crate::seal::{FLAG_ZSTD, HEADER_LEN, MAGIC, ObjectKind, PLAINTEXT_BYTES_MAX, TAG_LEN, nonce};

/// Why a frame could not be opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not a frame, cut short, too long, or of a version this program does not know.
    #[error("not a sealed frame of a known version; hint: fetch it again, or use a newer `chaperone`")]
    NotAFrame,
    /// The frame belongs to another session or data key than the wrapped key.
    #[error("the frame was sealed under another key or session; hint: fetch the wrapped key of this session")]
    OtherKey,
    /// The frame does not authenticate.
    #[error("the frame was altered after it was sealed; hint: compare its SHA-256 with the one in the trail")]
    Altered,
    /// The frame authenticates, but its content does not decompress within the limit.
    #[error(
        "the frame's content does not decompress within {PLAINTEXT_BYTES_MAX} bytes; hint: its writer is at fault"
    )]
    Content,
    /// The wrapped key could not be unwrapped.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Unwrap the data key and open one frame.
///
/// # Errors
/// See [`OpenError`].
pub fn open(
    reader: &ReaderPrivate,
    installation: &str,
    session: SessionId,
    wrapped: &WrappedKey,
    frame: &[u8],
) -> Result<(ObjectKind, Zeroizing<Vec<u8>>), OpenError> {
    open_with(&reader.unwrap(installation, session, wrapped)?, session, frame)
}

/// Open one frame under an unwrapped data key: cheaper when a whole session is read.
///
/// # Errors
/// See [`OpenError`].
pub fn open_with(
    key: &DataKey,
    session: SessionId,
    frame: &[u8],
) -> Result<(ObjectKind, Zeroizing<Vec<u8>>), OpenError> {
    if frame.len() > HEADER_LEN + PLAINTEXT_BYTES_MAX + TAG_LEN {
        return Err(OpenError::NotAFrame);
    }
    let (header, text) = frame.split_at_checked(HEADER_LEN).ok_or(OpenError::NotAFrame)?;
    let (magic, rest) = header.split_first_chunk::<4>().ok_or(OpenError::NotAFrame)?;
    let ([kind, flags], rest) = rest.split_first_chunk::<2>().ok_or(OpenError::NotAFrame)?;
    let (key_id, rest) = rest.split_first_chunk::<16>().ok_or(OpenError::NotAFrame)?;
    let (session_id, rest) = rest.split_first_chunk::<16>().ok_or(OpenError::NotAFrame)?;
    let counter = rest.first_chunk::<8>().ok_or(OpenError::NotAFrame)?;
    let kind = ObjectKind::from_tag(*kind).ok_or(OpenError::NotAFrame)?;
    if *magic != MAGIC || *flags & !FLAG_ZSTD != 0 {
        return Err(OpenError::NotAFrame);
    }
    if key_id != key.id().as_bytes() || *session_id != session.to_bytes() {
        return Err(OpenError::OtherKey);
    }
    let unbound = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| OpenError::Altered)?;
    let mut buffer = Zeroizing::new(text.to_vec());
    let length = LessSafeKey::new(unbound)
        .open_in_place(nonce(u64::from_be_bytes(*counter)), Aad::from(header), &mut buffer)
        .map_err(|_| OpenError::Altered)?
        .len();
    buffer.truncate(length);
    if *flags & FLAG_ZSTD == 0 {
        return Ok((kind, buffer));
    }
    // The sealer writes the content size into the zstd frame; without it, or above the limit, nothing is allocated.
    let size = zstd::zstd_safe::get_frame_content_size(&buffer)
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok())
        .filter(|size| *size <= PLAINTEXT_BYTES_MAX)
        .ok_or(OpenError::Content)?;
    let plain = zstd::bulk::decompress(&buffer, size).map_err(|_| OpenError::Content)?;
    Ok((kind, Zeroizing::new(plain)))
}
