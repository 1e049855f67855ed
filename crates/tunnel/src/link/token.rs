//! A one-time enrolment token: `cpe1.<id>.<secret>.<fingerprint>`. The fingerprint is that of the gateway's authority,
//! so that an agent knows its gateway before it says anything.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::LinkError;

const PREFIX: &str = "cpe1";

/// A token as its holder has it. `Debug` is not there on purpose.
pub struct EnrolmentToken {
    id: String,
    secret: Zeroizing<[u8; 32]>,
    fingerprint: [u8; 32],
}

impl EnrolmentToken {
    /// Make one from the system's generator.
    ///
    /// # Errors
    /// The generator failed.
    pub fn generate(fingerprint: [u8; 32]) -> Result<Self, LinkError> {
        let failed = |_| LinkError::Certificate("the system's generator failed".to_owned());
        let (mut id, mut secret) = ([0; 8], Zeroizing::new([0; 32]));
        aws_lc_rs::rand::fill(&mut id).map_err(failed)?;
        aws_lc_rs::rand::fill(&mut *secret).map_err(failed)?;
        Ok(Self { id: URL_SAFE_NO_PAD.encode(id), secret, fingerprint })
    }

    /// Names the token without showing it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    pub(crate) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The text to hand over.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.secret));
        let pin = URL_SAFE_NO_PAD.encode(self.fingerprint);
        Zeroizing::new(format!("{PREFIX}.{}.{}.{pin}", self.id, &*secret))
    }
}

/// Whether a text may be a token's id: it names a file of the gateway's.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 11 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl FromStr for EnrolmentToken {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let decoded = |text: &str| {
            let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
            <[u8; 32]>::try_from(bytes.as_slice()).ok()
        };
        let parts: Vec<&str> = text.trim().split('.').collect();
        if let [PREFIX, id, secret, pin] = parts.as_slice()
            && is_id(id)
            && let (Some(secret), Some(fingerprint)) = (decoded(secret), decoded(pin))
        {
            return Ok(Self { id: (*id).to_owned(), secret: Zeroizing::new(secret), fingerprint });
        }
        Err(LinkError::Token)
    }
}

impl fmt::Display for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}...", self.id)
    }
}
