//! Certificates: which ones a listener may show, and what SCRAM is bound to.

use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The application protocol's name in TLS (IANA's list of ALPN identifiers).
pub const ALPN: &[u8] = b"postgresql";

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// Not PEM, or nothing in it.
    #[error("cannot read the {what}: {reason}")]
    Unreadable {
        /// Certificate or key.
        what: &'static str,
        /// The parser's reason.
        reason: String,
    },
    /// Signed with something for which clients cannot compute a channel binding.
    #[error(
        "the certificate is signed with algorithm `{0}`: use one that is signed with ECDSA or RSA and SHA-256, \
         since PostgreSQL's clients cannot bind their proof to another"
    )]
    Signature(String),
    /// TLS does not accept certificate and key together.
    #[error("certificate and key do not work together: {0}")]
    Tls(#[from] rustls::Error),
}

/// TLS as a listener offers it.
#[derive(Clone)]
pub struct ListenerTls {
    /// For the handshake, with [`ALPN`].
    pub(crate) config: Arc<ServerConfig>,
    /// `tls-server-end-point`: SHA-256 of the certificate.
    pub(crate) end_point: [u8; 32],
}

/// Check a listener's certificate chain and key, both PEM.
///
/// # Errors
/// Anything unreadable, and signatures other than ECDSA or RSA with SHA-256: `tls-server-end-point` (RFC 5929,
/// section 4) is undefined for Ed25519, and libpq and JDBC then fail to log in.
pub fn listener_certificate(chain_pem: &[u8], key_pem: &[u8]) -> Result<ListenerTls, CertificateError> {
    let unreadable = |what, reason: String| CertificateError::Unreadable { what, reason };
    let chain = CertificateDer::pem_slice_iter(chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable("certificate", error.to_string()))?;
    let Some(leaf) = chain.first() else {
        return Err(unreadable("certificate", "there is none in the file".to_owned()));
    };
    let oid = signature(leaf).map_err(|reason| unreadable("certificate", reason))?;
    if !matches!(oid.as_str(), ECDSA_SHA256 | RSA_SHA256) {
        return Err(CertificateError::Signature(oid));
    }
    let hash = digest::digest(&SHA256, leaf);
    let mut end_point = [0; 32];
    end_point.copy_from_slice(hash.as_ref());
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| unreadable("key", error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(ListenerTls { config: Arc::new(config), end_point })
}

const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const RSA_SHA256: &str = "1.2.840.113549.1.1.11";

fn signature(certificate: &[u8]) -> Result<String, String> {
    let (_rest, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    Ok(parsed.signature_algorithm.algorithm.to_id_string())
}

/// `tls-server-end-point` of any certificate (RFC 5929, section 4.1); `None` where it is undefined.
pub(crate) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match signature(certificate).ok()?.as_str() {
        // MD5 and SHA-1 count as SHA-256.
        ECDSA_SHA256 | RSA_SHA256 | "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => {
            &SHA256
        }
        "1.2.840.10045.4.3.3" | "1.2.840.113549.1.1.12" => &SHA384,
        "1.2.840.10045.4.3.4" | "1.2.840.113549.1.1.13" => &SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}
