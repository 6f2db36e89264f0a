//! Certificates that are their own authority, as `openssl req -x509` makes them: it says of each that it may sign others, and
//! webpki takes none of those for a server's or a client's own. Whoever is told to trust just this one does, as curl, Go and
//! browsers do.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

/// Who shows a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shower {
    /// A server.
    Server,
    /// A client.
    Client,
}

/// Whether a certificate is one of those that are trusted, byte by byte, and nothing speaks against it than that it may
/// sign others. Its names, and whether who shows it has its key, are not looked at.
pub fn is_its_own_authority(
    shown: &CertificateDer<'_>,
    trusted: &[CertificateDer<'_>],
    now: UnixTime,
    shower: Shower,
) -> bool {
    let usage = match shower {
        Shower::Server => webpki::KeyUsage::server_auth(),
        Shower::Client => webpki::KeyUsage::client_auth(),
    };
    let Ok(parsed) = webpki::EndEntityCert::try_from(shown) else { return false };
    // Its times are looked at before what it may do, and what it is for after.
    let verified = parsed.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[], &[], now, usage, None, None);
    let may_sign = matches!(verified, Err(webpki::Error::CaUsedAsEndEntity));
    trusted.contains(shown) && may_sign && is_for(shown, shower)
}

/// Whether the certificate is for servers, or clients: its extended key usage says so, or it has none.
fn is_for(certificate: &[u8], shower: Shower) -> bool {
    /// The object identifiers 2.5.29.37, 1.3.6.1.5.5.7.3.1 and 1.3.6.1.5.5.7.3.2, in DER.
    const EXTENDED_KEY_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x25];
    const SERVER_AUTH: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    const CLIENT_AUTH: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
    let Some(rest) = after(certificate, EXTENDED_KEY_USAGE) else { return true };
    // Perhaps that it is critical; then an octet string of less than 128 bytes, as some object identifiers are.
    let rest = rest.strip_prefix(&[0x01, 0x01, 0xff]).unwrap_or(rest);
    let usages = match rest {
        [0x04, length @ 0..=0x7f, usages @ ..] => usages.get(..usize::from(*length)),
        _ => None,
    };
    let wanted = if shower == Shower::Server { SERVER_AUTH } else { CLIENT_AUTH };
    usages.is_some_and(|usages| after(usages, wanted).is_some())
}

/// What stands behind the first `part` of `bytes`.
fn after<'a>(bytes: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(part.len()).position(|window| window == part)?;
    Some(&bytes[at + part.len()..])
}

/// What verifies servers' certificates where authorities are given.
#[derive(Debug)]
pub struct ServerVerifier {
    authorities: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerVerifier {
    /// One that trusts these authorities, and these certificates themselves.
    ///
    /// # Errors
    /// Which cannot be an authority.
    pub fn new(trusted: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            roots.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(ServerVerifier { authorities: authorities.map_err(|error| error.to_string())?, trusted })
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
        let verified = self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if verified.is_ok() || !is_its_own_authority(end_entity, &self.trusted, now, Shower::Server) {
            return verified;
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
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.authorities.root_hint_subjects()
    }
}

#[cfg(test)]
mod tests;
