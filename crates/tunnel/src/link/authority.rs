//! The gateway's own certificate authority for agents. Its key is the only thing to guard: certificates live for a day
//! and name an agent and a generation; which targets that agent may serve stands in the gateway's [`Roster`], not in
//! the certificate.
//!
//! [`Roster`]: super::Roster

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use chaperone_access::AgentName;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::words::Issued;
use super::{ENROL_PROTOCOL, LINK_PROTOCOL, LinkError, SERVER_NAME};
use crate::key::{self, AgentKey};
use crate::limits;

/// A clock that is this far behind still accepts a fresh certificate.
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// URI under which a certificate names its agent: `urn:chaperone:agent:NAME:GENERATION`.
const AGENT_URI: &str = "urn:chaperone:agent:";

/// Signs agents' certificates and the gateway's own.
pub struct AgentAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    fingerprint: [u8; 32],
    /// Those whose place it took.
    former: Vec<Former>,
    /// Accepts certificates that this authority signed.
    own: Arc<dyn ClientCertVerifier>,
}

/// An authority whose certificates are still accepted.
struct Former {
    certificate: CertificateDer<'static>,
    /// This authority's key, signed by that one: whoever trusts that one comes to trust this one by it.
    handover: CertificateDer<'static>,
    /// In seconds since the Unix epoch.
    until_s: u64,
    accepts: Arc<dyn ClientCertVerifier>,
}

/// Who a verified certificate says its holder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) agent: AgentName,
    pub(crate) generation: u64,
    /// Uncompressed P-256 point.
    pub(crate) public_key: Vec<u8>,
    /// Seconds since the Unix epoch.
    pub(crate) not_after_s: i64,
    /// SHA-256 of the certificate, DER.
    pub(crate) digest: [u8; 32],
}

fn broken(what: impl std::fmt::Display) -> LinkError {
    LinkError::Certificate(what.to_string())
}

pub(super) fn key_pair(key: &AgentKey) -> Result<KeyPair, LinkError> {
    let der = PrivatePkcs8KeyDer::from(key.pkcs8().to_vec());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map_err(broken)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn params(life: Duration) -> CertificateParams {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + life).into();
    params
}

fn authority_params(life: Duration) -> CertificateParams {
    let mut params = params(life);
    params.distinguished_name.push(DnType::CommonName, "chaperone agents");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// An authority's certificate, and what signs with its key.
fn self_signed(
    key: &AgentKey,
) -> Result<(CertificateDer<'static>, Issuer<'static, KeyPair>, [u8; 32]), LinkError> {
    let pair = key_pair(key)?;
    let params = authority_params(Duration::from_secs(10 * 365 * 24 * 3600));
    let certificate = params.self_signed(&pair).map_err(broken)?.der().clone();
    let fingerprint = sha256(&pair.subject_public_key_info());
    Ok((certificate, Issuer::new(params, pair), fingerprint))
}

/// Accepts what those authorities signed.
fn verifier<'a>(
    certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, LinkError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(broken)?;
    }
    WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().map_err(broken)
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl AgentAuthority {
    /// From the authority's key. The certificate is made anew each time: verifiers compare its name and key only.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn new(key: &AgentKey) -> Result<Self, LinkError> {
        let (certificate, issuer, fingerprint) = self_signed(key)?;
        let own = verifier([&certificate])?;
        Ok(Self { issuer, certificate, fingerprint, former: Vec::new(), own })
    }

    /// From the authority's key and those before it, each with the time until which certificates that it signed are
    /// accepted, in seconds since the Unix epoch. Agents that trust one of them are handed over to the new one.
    ///
    /// # Errors
    /// A key cannot be used.
    pub fn after(key: &AgentKey, former: &[(AgentKey, u64)]) -> Result<Self, LinkError> {
        let mut this = Self::new(key)?;
        let pair = key_pair(key)?;
        for (before, until_s) in former {
            let (certificate, issuer, _) = self_signed(before)?;
            let left = Duration::from_secs(until_s.saturating_sub(now_s()));
            let handover = authority_params(left).signed_by(&pair, &issuer).map_err(broken)?.der().clone();
            let accepts = verifier([&certificate])?;
            this.former.push(Former { certificate, handover, until_s: *until_s, accepts });
        }
        Ok(this)
    }

    fn former(&self) -> impl Iterator<Item = &Former> {
        let now_s = now_s();
        self.former.iter().filter(move |former| former.until_s > now_s)
    }

    /// What an agent is given with its certificate.
    pub(crate) fn issued(&self, certificate: Vec<u8>) -> Issued {
        let handovers = self.former().map(|former| former.handover.to_vec()).collect();
        Issued { certificate, authority: self.certificate.to_vec(), handovers }
    }

    /// Read an agent's certificate that TLS has verified. TLS was set up when more of the authorities before this one may
    /// have been accepted, so that is asked again.
    pub(crate) fn presented(&self, certificate: &[u8]) -> Result<Presented, LinkError> {
        let (der, now) = (CertificateDer::from(certificate), UnixTime::now());
        let accepts =
            |verifier: &Arc<dyn ClientCertVerifier>| verifier.verify_client_cert(&der, &[], now).is_ok();
        if accepts(&self.own) || self.former().any(|former| accepts(&former.accepts)) {
            return presented(certificate);
        }
        Err(broken("its authority was replaced, and is accepted no longer"))
    }

    /// SHA-256 of the authority's SubjectPublicKeyInfo: what an enrolment token pins.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The authority's certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Sign a request (PKCS #10, DER) for an agent. Only its key is taken from it. The key (uncompressed point) and
    /// the certificate (DER).
    pub(crate) fn issue(
        &self,
        request: &[u8],
        agent: &AgentName,
        generation: u64,
    ) -> Result<(Vec<u8>, Vec<u8>), LinkError> {
        let request = CertificateSigningRequestParams::from_der(&request.into()).map_err(broken)?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(broken("the request's key is not P-256"));
        }
        let mut params = params(limits::CERTIFICATE_LIFE);
        params.distinguished_name.push(DnType::CommonName, agent.as_str());
        let uri = format!("{AGENT_URI}{agent}:{generation}").try_into().map_err(broken)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(broken)?;
        Ok((request.public_key.der_bytes().to_vec(), certificate.der().to_vec()))
    }

    /// TLS for the agents' listener: 1.3 only; a client certificate of this authority, or none, which is good for
    /// enrolment alone.
    pub(crate) fn server(self: &Arc<Self>) -> Result<ServerConfig, LinkError> {
        let former = self.former().map(|former| &former.certificate);
        let verifier = verifier(std::iter::once(&self.certificate).chain(former))?;
        let resolver = OwnCertificate { authority: Arc::clone(self), current: Mutex::new(None) };
        let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![LINK_PROTOCOL.to_vec(), ENROL_PROTOCOL.to_vec()];
        // Each link proves its certificate anew.
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn own(&self) -> Result<CertifiedKey, LinkError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
        let mut params = params(limits::CERTIFICATE_LIFE);
        params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        params.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into().map_err(broken)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&pair, &self.issuer).map_err(broken)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = any_supported_type(&key).map_err(broken)?;
        // The authority's certificate is sent along: an agent that enrols has nothing but its fingerprint.
        let mut chain = vec![certificate.der().clone(), self.certificate.clone()];
        // An agent that trusts one of those before has to find its way from there.
        chain.extend(self.former().map(|former| former.handover.clone()));
        Ok(CertifiedKey::new(chain, key))
    }
}

/// The gateway's certificate: made in memory, again when half its life is over.
struct OwnCertificate {
    authority: Arc<AgentAuthority>,
    /// Owner: this resolver.
    current: Mutex<Option<(SystemTime, Arc<CertifiedKey>)>>,
}

impl std::fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnCertificate")
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = SystemTime::now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = current.as_ref().filter(|(made, _)| {
            now.duration_since(*made).is_ok_and(|age| age < limits::CERTIFICATE_LIFE / 2)
        });
        if let Some((_, key)) = usable {
            return Some(Arc::clone(key));
        }
        match self.authority.own() {
            Ok(key) => {
                let key = Arc::new(key);
                *current = Some((now, Arc::clone(&key)));
                Some(key)
            }
            Err(error) => {
                tracing::error!(%error, "the listener for agents has no certificate");
                None
            }
        }
    }
}

/// Read a certificate that TLS has verified.
pub(crate) fn presented(certificate: &[u8]) -> Result<Presented, LinkError> {
    let (rest, parsed) = X509Certificate::from_der(certificate).map_err(broken)?;
    if !rest.is_empty() {
        return Err(broken("bytes after the certificate"));
    }
    let names = parsed.subject_alternative_name().map_err(broken)?;
    let named = names.as_ref().and_then(|names| match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => uri.strip_prefix(AGENT_URI)?.rsplit_once(':'),
        _ => None,
    });
    let (agent, generation) = named.ok_or_else(|| broken("the certificate names no agent"))?;
    Ok(Presented {
        agent: agent.parse().map_err(broken)?,
        generation: generation.parse().map_err(broken)?,
        public_key: parsed.public_key().subject_public_key.data.to_vec(),
        not_after_s: parsed.validity().not_after.timestamp(),
        digest: sha256(certificate),
    })
}

/// The SubjectPublicKeyInfo's SHA-256 of a certificate.
pub(super) fn fingerprint(certificate: &[u8]) -> Result<[u8; 32], LinkError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(broken)?;
    Ok(sha256(parsed.public_key().raw))
}

/// Whether `handover` is the authority's key, signed by the authority that is trusted; all of them certificates, DER. It
/// has to be that of an authority: the trusted one signs those of gateways and agents too, and none of these may follow it.
pub(super) fn hands_over(trusted: &[u8], handover: &[u8], authority: &[u8]) -> Result<bool, LinkError> {
    let (_, trusted) = X509Certificate::from_der(trusted).map_err(broken)?;
    let (_, parsed) = X509Certificate::from_der(handover).map_err(broken)?;
    let by = &trusted.public_key().subject_public_key.data;
    let signed = key::verify(by, parsed.tbs_certificate.as_ref(), &parsed.signature_value.data);
    let is_authority = parsed.tbs_certificate.is_ca();
    Ok(signed
        && is_authority
        && parsed.validity().is_valid()
        && fingerprint(handover)? == fingerprint(authority)?)
}

/// A signing request for an agent's key (PKCS #10, DER).
///
/// # Errors
/// The key cannot be used.
pub fn signing_request(key: &AgentKey) -> Result<Vec<u8>, LinkError> {
    let pair = key_pair(key)?;
    let request = CertificateParams::default().serialize_request(&pair).map_err(broken)?;
    Ok(request.der().to_vec())
}

/// When a certificate begins and ends to be valid, in seconds since the Unix epoch.
///
/// # Errors
/// Not a certificate.
pub fn validity(certificate: &[u8]) -> Result<(i64, i64), LinkError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(broken)?;
    Ok((parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_authority_follows_an_authority() {
        let [old, new, other] = std::array::from_fn(|_| AgentKey::generate().unwrap());
        let trusted = AgentAuthority::new(&old).unwrap();
        let stranger = AgentAuthority::new(&other).unwrap();
        let follower = AgentAuthority::after(&new, &[(old, now_s() + 60)]).unwrap();
        let handover = &follower.former[0].handover;
        let follows = |handover: &[u8], authority: &[u8]| {
            hands_over(&trusted.certificate, handover, authority).unwrap()
        };
        assert!(follows(handover, &follower.certificate));
        assert!(!follows(handover, &stranger.certificate));
        assert!(!follows(&follower.certificate, &follower.certificate), "it signed itself");
        // The trusted one did sign this key, as a gateway's: whoever has got hold of it is no authority.
        let gateways = trusted.own().unwrap();
        let [leaf, ..] = gateways.cert.as_slice() else { panic!("a chain") };
        assert!(!follows(leaf, leaf));
    }
}
