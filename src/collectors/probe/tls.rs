//! TLS of probes: the handshake always completes, so that an invalid certificate is seen; whether it is trusted is
//! recorded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme};
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;

use super::certificate::{Certificate, read};
use super::connect::{Failure, Stream};
use super::families;
use super::outcome::Samples;
use crate::client;
use crate::trust::messages;

/// The TLS settings of a module, and the CAs that were read last.
#[derive(Debug, Default)]
pub(in crate::collectors) struct Tls {
    settings: client::Tls,
    server_name: Option<String>,
    authorities: Mutex<Option<(Instant, Arc<dyn ServerCertVerifier>)>>,
}

/// What a server presented.
#[derive(Clone, Debug)]
pub(in crate::collectors) struct Presented {
    /// The chain, the server's own certificate first.
    pub(super) chain: Vec<Certificate>,
    /// Why it is not trusted; none if it is.
    pub(super) untrusted: Option<String>,
    /// Whether the server sent an OCSP response.
    pub(super) is_stapled: bool,
    version: &'static str,
    cipher: String,
}

/// How long the CAs are used before they are read again.
const MAX_AGE: Duration = Duration::from_secs(300);
const NAMES: [&str; 2] = ["tls_ca", "tls_cert"];

impl Tls {
    pub(in crate::collectors) fn new(settings: client::Tls, server_name: Option<String>) -> Tls {
        Tls { settings, server_name, authorities: Mutex::default() }
    }

    /// Whether an untrusted certificate is a failure.
    pub(super) fn is_verified(&self) -> bool {
        !self.settings.trusts_any
    }

    /// Connects over `stream` to the server with this name, unless the settings have another. `protocols` are those of
    /// ALPN.
    ///
    /// # Errors
    /// If the handshake fails. An untrusted certificate is no failure of the handshake.
    pub(in crate::collectors) async fn connect(
        &self,
        stream: Box<dyn Stream>,
        host: &str,
        protocols: &[&str],
    ) -> Result<(Box<dyn Stream>, Presented), Failure> {
        let name = self.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|_| Failure::Connection(format!("{host} is no server name")))?;
        let verifier = self.authorities().await.map_err(Failure::Connection)?;
        let recorder = Arc::new(Recorder { verifier, seen: Mutex::default() });
        let (settings, recording) = (self.settings.clone(), recorder.clone());
        let config = spawn_blocking(move || settings.configuration(recording, NAMES)).await;
        let config = config.unwrap_or_else(|_| Err("the program ends".to_owned()));
        let mut config = config.map_err(Failure::Connection)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
            Failure::Connection(messages::describe(&error).unwrap_or_else(|| format!("TLS: {error}")))
        })?;
        let (_, session) = stream.get_ref();
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "",
        };
        let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        let cipher = cipher.replacen("TLS13_", "TLS_", 1);
        let seen = recorder.seen.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let Seen { chain, untrusted, is_stapled } = seen;
        let chain = chain.iter().filter_map(|der| read(der)).collect();
        let presented = Presented { chain, untrusted, is_stapled, version, cipher };
        Ok((Box::new(stream), presented))
    }

    /// Verifies a chain for a server with this name.
    ///
    /// # Errors
    /// Why it is not trusted.
    pub(super) async fn verify(&self, chain: &[CertificateDer<'static>], name: &str) -> Result<(), String> {
        let verifier = self.authorities().await?;
        let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("{name} is no server name"))?;
        let Some((end_entity, intermediates)) = chain.split_first() else { return Err("no certificate".to_owned()) };
        let verified = verifier.verify_server_cert(end_entity, intermediates, &name, &[], UnixTime::now());
        verified.map(drop).map_err(|error| untrusted(&error))
    }

    async fn authorities(&self) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let known = self.authorities.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, verifier)) = known.filter(|(since, _)| since.elapsed() < MAX_AGE) {
            return Ok(verifier);
        }
        let settings = self.settings.clone();
        let made = spawn_blocking(move || settings.verifier(NAMES)).await;
        let verifier = made.unwrap_or_else(|_| Err("the program ends".to_owned()))?;
        *self.authorities.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), verifier.clone()));
        Ok(verifier)
    }
}

/// What a server presents: the chain as sent, and why it is not trusted.
#[derive(Debug, Default)]
struct Seen {
    chain: Vec<CertificateDer<'static>>,
    untrusted: Option<String>,
    is_stapled: bool,
}

/// Why a certificate is not trusted.
fn untrusted(error: &Error) -> String {
    messages::describe(error).unwrap_or_else(|| format!("TLS: {error}"))
}

/// Records the chain, and accepts it.
#[derive(Debug)]
struct Recorder {
    verifier: Arc<dyn ServerCertVerifier>,
    seen: Mutex<Option<Seen>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let untrusted = verified.err().map(|error| untrusted(&error));
        let chain = [end_entity].into_iter().chain(intermediates).map(|der| der.clone().into_owned()).collect();
        let seen = Seen { chain, untrusted, is_stapled: !ocsp_response.is_empty() };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl Presented {
    /// The failure of a probe that wants a trusted certificate.
    pub(in crate::collectors) fn failure(&self, tls: &Tls) -> Option<Failure> {
        let untrusted = self.untrusted.as_ref().filter(|_| tls.is_verified())?;
        Some(Failure::Connection(untrusted.clone()))
    }

    /// Writes the families.
    pub(super) fn write(&self, samples: &mut Samples) {
        /// The zero time of Go.
        const NEVER: f64 = -62_135_596_800.0;
        let earliest = self.chain.iter().map(|certificate| certificate.not_after).min();
        let earliest = earliest.map_or(NEVER, |time| time as f64);
        let is_trusted = self.untrusted.is_none();
        samples.add(&families::TLS_EXPIRY, earliest);
        samples.add(&families::TLS_CHAIN_EXPIRY, if is_trusted { earliest } else { NEVER });
        samples.labelled(&families::TLS_VERSION, vec![self.version.to_owned()], 1.0);
        samples.labelled(&families::TLS_CIPHER, vec![self.cipher.clone()], 1.0);
        if let Some(leaf) = self.chain.first() {
            samples.add(&families::TLS_LEAF_EXPIRY, leaf.not_after as f64);
            let labels = [&leaf.fingerprint, &leaf.subject, &leaf.issuer, &leaf.names, &leaf.serial];
            samples.labelled(&families::TLS_CHAIN, labels.map(String::clone).to_vec(), 1.0);
        }
    }
}
