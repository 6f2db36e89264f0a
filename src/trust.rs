//! Decides which certificates are trusted. Configured certificates that may sign others are CAs. Each configured
//! certificate is also trusted itself, for the names in it, whether it may sign others or not: `openssl req -x509`
//! makes certificates that are their own CA, which webpki rejects as end-entity certificates, unlike curl, Go and
//! browsers.

pub mod messages;

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

/// The peer that presents a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A server.
    Server,
    /// A client.
    Client,
}

/// Configured certificates.
#[derive(Debug)]
pub struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    authorities: Arc<RootCertStore>,
}

impl Trusted {
    /// Trusts these certificates.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Trusted, String> {
        let (mut all, mut authorities) = (RootCertStore::empty(), RootCertStore::empty());
        for certificate in &certificates {
            let store = if may_sign(certificate) { &mut authorities } else { &mut all };
            store.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        Ok(Trusted { certificates, authorities: Arc::new(authorities) })
    }

    /// Those that may sign others; `None` if there are none.
    pub fn authorities(&self) -> Option<Arc<RootCertStore>> {
        (!self.authorities.is_empty()).then(|| self.authorities.clone())
    }

    /// Whether a certificate is one of these, byte by byte, and valid. Does not check its names, or that the peer has
    /// its key.
    pub fn has(&self, shown: &CertificateDer<'_>, now: UnixTime, peer: Peer) -> bool {
        let usage = match peer {
            Peer::Server => webpki::KeyUsage::server_auth(),
            Peer::Client => webpki::KeyUsage::client_auth(),
        };
        let Ok(parsed) = webpki::EndEntityCert::try_from(shown) else { return false };
        // All other checks precede that of the issuer, which is unknown here; for a CA, its usage remains to be
        // checked.
        let verified = parsed.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[], &[], now, usage, None, None);
        let is_sound = match verified {
            Err(webpki::Error::UnknownIssuer) => true,
            Err(webpki::Error::CaUsedAsEndEntity) => is_for(shown, peer),
            _ => false,
        };
        is_sound && self.certificates.contains(shown)
    }
}

/// Whether a certificate may sign others: it is marked as a CA, or is of version 1, which has no such mark.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    /// The object identifier 2.5.29.19, in DER.
    const BASIC_CONSTRAINTS: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x13];
    match after(certificate, BASIC_CONSTRAINTS) {
        Some(rest) => matches!(without_critical(rest), [0x04, _, 0x30, _, 0x01, 0x01, 0xff, ..]),
        None => {
            let parsed = webpki::EndEntityCert::try_from(certificate);
            matches!(parsed, Err(webpki::Error::UnsupportedCertVersion))
        }
    }
}

/// The value of an extension, without the optional critical flag before it.
fn without_critical(extension: &[u8]) -> &[u8] {
    extension.strip_prefix(&[0x01, 0x01, 0xff]).unwrap_or(extension)
}

/// Whether the certificate is for servers, or clients: its extended key usage says so, or is absent.
fn is_for(certificate: &[u8], peer: Peer) -> bool {
    /// The object identifiers 2.5.29.37, 1.3.6.1.5.5.7.3.1 and 1.3.6.1.5.5.7.3.2, in DER.
    const EXTENDED_KEY_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x25];
    const SERVER_AUTH: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    const CLIENT_AUTH: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
    let Some(rest) = after(certificate, EXTENDED_KEY_USAGE) else { return true };
    // An octet string of less than 128 bytes, which holds several object identifiers.
    let usages = match without_critical(rest) {
        [0x04, length @ 0..=0x7f, usages @ ..] => usages.get(..usize::from(*length)),
        _ => None,
    };
    let wanted = if peer == Peer::Server { SERVER_AUTH } else { CLIENT_AUTH };
    usages.is_some_and(|usages| after(usages, wanted).is_some())
}

/// The bytes after the first `part` in `bytes`.
fn after<'a>(bytes: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(part.len()).position(|window| window == part)?;
    Some(&bytes[at + part.len()..])
}

/// Verifies server certificates when CAs are configured.
#[derive(Debug)]
pub struct ServerVerifier {
    /// `None` if none of the configured certificates may sign others.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    trusted: Trusted,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// Trusts these CAs, and each certificate itself.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn new(trusted: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let trusted = Trusted::new(trusted)?;
        let algorithms = provider.signature_verification_algorithms;
        let verifier = |roots| WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let authorities = trusted.authorities().map(verifier).transpose().map_err(|error| error.to_string())?;
        Ok(ServerVerifier { authorities, trusted, algorithms })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.trusted.has(end_entity, now, Peer::Server) {
            return match &self.authorities {
                Some(authorities) => {
                    authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                }
                // Find the first other error in it.
                None => {
                    let parsed = ParsedCertificate::try_from(end_entity)?;
                    let (none, algorithms) = (RootCertStore::empty(), self.algorithms.all);
                    verify_server_cert_signed_by_trust_anchor(&parsed, &none, intermediates, now, algorithms)?;
                    Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
                }
            };
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.authorities.as_ref()?.root_hint_subjects()
    }
}

#[cfg(test)]
mod tests;
