//! TLS of the management API, on both of its ends.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::verbs::Failure;

/// HTTP/1.1 in TLS (IANA's list of ALPN identifiers).
const ALPN: &[u8] = b"http/1.1";

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let usage = |why: String| Failure::Usage(format!("certificate file `{}`: {why}", file.display()));
    let chain = CertificateDer::pem_file_iter(file)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| usage(error.to_string()))?;
    if chain.is_empty() { Err(usage("there is no certificate in it".to_owned())) } else { Ok(chain) }
}

/// The listener's end, from its certificate chain and key (PEM).
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Failure> {
    let chain = chain(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| Failure::Usage(format!("key file `{}`: {error}", key.display())))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Failure::failed)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            Failure::Usage(format!("the API's certificate and key do not work together: {error}"))
        })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// By what a client knows its gateway.
pub(crate) enum Trust<'a> {
    /// The roots of this machine: organisations put their own authority there.
    System,
    /// The authorities in a file (PEM).
    Roots(&'a Path),
    /// Exactly the certificate in a file (PEM): that of a gateway on this machine, which may name another host.
    Exactly(&'a Path),
}

/// A client's end for this API.
pub(crate) fn connector(trust: &Trust<'_>) -> Result<TlsConnector, Failure> {
    let mut config = client(trust)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A client's end for whatever is spoken.
pub(crate) fn client(trust: &Trust<'_>) -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Failure::failed)?;
    Ok(match trust {
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::Roots(file) => builder.with_root_certificates(roots(chain(file)?)?),
        Trust::Exactly(file) => {
            let known = chain(file)?.into_iter().next().ok_or_else(|| Failure::failed("no certificate"))?;
            let verifier = Exactly { known, provider: provider() };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    }
    .with_no_client_auth())
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate).map_err(|error| Failure::Usage(format!("not a usable authority: {error}")))?;
    }
    Ok(store)
}

/// What this machine trusts. Single entries that cannot be parsed are left out, as every TLS library does.
fn system_roots() -> Result<RootCertStore, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(Failure::Usage(format!(
            "this machine has no certificate authorities{why} (hint: install `ca-certificates`, or give `--ca FILE`)"
        )));
    }
    Ok(store)
}

/// Accepts one certificate, whatever it says, from whoever holds its key.
#[derive(Debug)]
struct Exactly {
    known: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.known {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
