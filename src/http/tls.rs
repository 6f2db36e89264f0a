//! TLS on listeners: certificates, what clients must show, versions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion, version,
};

use crate::config::{Key, KeyInfo, Section};
use crate::pem;
use crate::system::regular_file::read_pem;
use crate::trust::{Peer, Trusted};

/// A certificate or key: in a file, or as it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In this file.
    File(PathBuf),
    /// This text.
    Text(String),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pem::File(path) => write!(f, "{}", path.display()),
            Pem::Text(_) => f.write_str("[PEM]"),
        }
    }
}

/// What a client must show of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    #[default]
    No,
    /// A certificate if it likes, which is not verified.
    Request,
    /// Any certificate.
    RequireAny,
    /// A certificate if it likes, which must be one of the authority's.
    VerifyIfGiven,
    /// A certificate of the authority's.
    Require,
}

impl ClientAuth {
    /// The choices by the names that Go has for them, and `RequireClientCert`.
    pub const NAMES: [(&'static str, ClientAuth); 6] = [
        ("NoClientCert", ClientAuth::No),
        ("RequestClientCert", ClientAuth::Request),
        ("RequireAnyClientCert", ClientAuth::RequireAny),
        ("RequireClientCert", ClientAuth::RequireAny),
        ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
        ("RequireAndVerifyClientCert", ClientAuth::Require),
    ];

    /// The choice of this name.
    pub fn of(name: &str) -> Option<ClientAuth> {
        ClientAuth::NAMES.iter().find(|(known, _)| *known == name).map(|(_, auth)| *auth)
    }

    fn verifies(self) -> bool {
        matches!(self, ClientAuth::VerifyIfGiven | ClientAuth::Require)
    }
}

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those between it and its authority.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
    /// The authority of clients' certificates.
    pub client_ca: Option<Pem>,
    /// What clients must show.
    pub client_auth: ClientAuth,
    /// The names one of which a client's certificate must have; any, if there are none.
    pub client_names: Vec<String>,
    /// The lowest version: 12 or 13.
    pub min_version: u8,
    /// The highest version: 12 or 13.
    pub max_version: u8,
    /// The suites of TLS 1.2, by the names of RFC 5289 and 7905; all, if there are none.
    pub cipher_suites: Vec<String>,
    /// The curves, by Go's names; all, if there are none.
    pub curves: Vec<String>,
}

const CERTIFICATE: Key<PathBuf> = Key::optional("cert_file", "The certificate chain in PEM format; enables TLS.");
const KEY: Key<PathBuf> = Key::optional("key_file", "The certificate's private key in PEM format.");
const CLIENT_CA: Key<PathBuf> = Key::optional("client_ca_file", "The CA that signs client certificates.");
const CLIENT_AUTH: Key<String> = Key::new(
    "client_auth",
    "\"NoClientCert\"",
    "Client authentication: \"NoClientCert\", \"RequestClientCert\", \"RequireAnyClientCert\", \"VerifyClientCertIfGiven\" or \"RequireAndVerifyClientCert\".",
);
const CLIENT_NAMES: Key<Vec<String>> = Key::new(
    "client_allowed_sans",
    "[]",
    "DNS names, IP addresses or URIs. A client certificate must have one of them; if the list is empty, any certificate is accepted.",
);
const MIN_VERSION: Key<String> = Key::new("min_version", "\"TLS12\"", "Minimum TLS version: \"TLS12\" or \"TLS13\".");

/// The settings of `[http.tls]`.
pub const KEYS: &[KeyInfo] =
    &[CERTIFICATE.info(), KEY.info(), CLIENT_CA.info(), CLIENT_AUTH.info(), CLIENT_NAMES.info(), MIN_VERSION.info()];

impl Tls {
    /// What `section` says; nothing if it says nothing.
    pub fn new(section: &mut Section<'_>) -> Option<Tls> {
        let (certificate, key) = (section.optional(&CERTIFICATE), section.optional(&KEY));
        let name = section.get(&CLIENT_AUTH);
        let client_auth = ClientAuth::of(&name).unwrap_or_else(|| {
            section.wrong("client_auth", format!("expected one of {}, found {name:?}", names(&ClientAuth::NAMES)));
            ClientAuth::No
        });
        let client_ca = section.optional(&CLIENT_CA).map(Pem::File);
        let version = section.get(&MIN_VERSION);
        let min_version = version_of(&version).filter(|version| *version >= 12).unwrap_or_else(|| {
            section.wrong("min_version", format!("expected TLS12 or TLS13, found {version:?}"));
            12
        });
        let client_names = section.get(&CLIENT_NAMES);
        if certificate.is_none() && key.is_none() {
            if client_ca.is_some() || client_auth != ClientAuth::No || !client_names.is_empty() {
                section.wrong(
                    "cert_file",
                    "required: client certificates need TLS, which needs a certificate of the server",
                );
            }
            return None;
        }
        let tls = Tls {
            certificate: Pem::File(certificate.unwrap_or_default()),
            key: Pem::File(key.unwrap_or_default()),
            client_ca,
            client_auth,
            client_names,
            min_version,
            max_version: 13,
            cipher_suites: Vec::new(),
            curves: Vec::new(),
        };
        let checked = tls.check();
        if let Err((key, message)) = checked {
            section.wrong(key, message);
        } else if tls.client_auth.verifies() && tls.client_ca.is_none() {
            section.wrong("client_ca_file", "required: what clients' certificates are verified against");
        }
        Some(tls)
    }

    /// Whether the parts go together.
    ///
    /// # Errors
    /// Which part is wrong, and how.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let is_missing = |pem: &Pem| matches!(pem, Pem::File(path) if path.as_os_str().is_empty());
        let wrong = |key, message: &str| Err((key, message.to_owned()));
        if is_missing(&self.certificate) {
            return wrong("cert_file", "required: the certificate that the key is for");
        }
        if is_missing(&self.key) {
            return wrong("key_file", "required: the private key of the certificate");
        }
        if self.client_ca.is_some() && self.client_auth == ClientAuth::No {
            return wrong(
                "client_ca_file",
                "a client CA without a client authentication type says nothing; choose one",
            );
        }
        if self.client_auth == ClientAuth::Require && self.client_ca.is_none() {
            return wrong("client_ca_file", "required: what clients' certificates are verified against");
        }
        if self.min_version > self.max_version {
            return wrong("min_version", "is above max_version");
        }
        match self.client_names.iter().find(|name| name.contains('@') && !name.contains("://")) {
            Some(name) => Err(("client_allowed_sans", format!("{name:?}: e-mail addresses cannot be compared"))),
            None => Ok(()),
        }
    }

    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pems = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten();
        pems.filter_map(|pem| match pem {
            Pem::File(path) => Some(path.as_path()),
            Pem::Text(_) => None,
        })
    }

    /// TLS as it is to be spoken.
    ///
    /// # Errors
    /// What is wrong, with the file where there is one.
    pub fn load(&self) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(self.provider()?);
        let verifier = self.verifier(&provider)?;
        let all: [(u8, &'static SupportedProtocolVersion); 2] = [(12, &version::TLS12), (13, &version::TLS13)];
        let is_wanted = |number: u8| (self.min_version..=self.max_version).contains(&number);
        let versions: Vec<_> =
            all.iter().filter(|(number, _)| is_wanted(*number)).map(|(_, version)| *version).collect();
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions);
        let builder = builder.map_err(|error| error.to_string())?;
        let certificates = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| format!("{:?}: expected a private key in PEM form: {}", self.key, pem::reason(&error)))?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(certificates, key)
            .map_err(|error| format!("{:?} and {:?}: {error}", self.certificate, self.key))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn provider(&self) -> Result<CryptoProvider, String> {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let is_old = |suite: &rustls::SupportedCipherSuite| suite.tls13().is_none();
            provider.cipher_suites.retain(|suite| {
                let name = format!("{:?}", suite.suite());
                !is_old(suite) || self.cipher_suites.contains(&name)
            });
            if self.max_version == 12 && !provider.cipher_suites.iter().any(is_old) {
                return Err("cipher_suites: none of them is spoken".to_owned());
            }
        }
        if !self.curves.is_empty() {
            let wanted = |name: &str| self.curves.iter().any(|curve| go_curve(curve) == Some(name));
            provider.kx_groups.retain(|group| wanted(&format!("{:?}", group.name())));
            if provider.kx_groups.is_empty() {
                return Err("curve_preferences: none of them is spoken".to_owned());
            }
        }
        Ok(provider)
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
        if self.client_auth == ClientAuth::No {
            return Ok(None);
        }
        let (mut authority, mut trusted) = (None, None);
        if let Some(ca) = self.client_ca.as_ref().filter(|_| self.client_auth.verifies()) {
            let named = Trusted::new(certificates(ca)?).map_err(|error| format!("{ca:?}: {error}"))?;
            let verifier = |roots| WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
            authority = named.authorities().map(verifier).transpose().map_err(|error| format!("{ca:?}: {error}"))?;
            trusted = Some(named);
        }
        Ok(Some(Arc::new(Verifier {
            authority,
            trusted,
            verifies: self.client_auth.verifies(),
            is_mandatory: matches!(self.client_auth, ClientAuth::Require | ClientAuth::RequireAny),
            names: self.client_names.clone(),
            algorithms: provider.signature_verification_algorithms,
        })))
    }
}

/// The names of choices, in a line.
pub fn names<T>(choices: &[(&'static str, T)]) -> String {
    choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The version that Go calls so: 10 to 13.
pub fn version_of(name: &str) -> Option<u8> {
    name.strip_prefix("TLS")?.parse().ok().filter(|version| (10..=13).contains(version))
}

/// What rustls calls the curve of Go's name.
pub fn go_curve(name: &str) -> Option<&'static str> {
    match name {
        "CurveP256" => Some("secp256r1"),
        "CurveP384" => Some("secp384r1"),
        "CurveP521" => Some("secp521r1"),
        "X25519" => Some("X25519"),
        "X25519MLKEM768" => Some("X25519MLKEM768"),
        _ => None,
    }
}

fn read(pem: &Pem) -> Result<Vec<u8>, String> {
    match pem {
        Pem::File(path) => read_pem(path).map_err(|error| error.to_string()),
        Pem::Text(text) => Ok(text.clone().into_bytes()),
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(pem)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{pem:?}: expected certificates in PEM form, found none")),
        Err(error) => Err(format!("{pem:?}: expected certificates in PEM form: {}", crate::pem::reason(&error))),
    }
}

/// What looks at clients' certificates.
#[derive(Debug)]
struct Verifier {
    /// What verifies who signed them; nothing if there is none that could.
    authority: Option<Arc<dyn ClientCertVerifier>>,
    /// The certificates that are named as trusted, of which a client may show one as its own.
    trusted: Option<Trusted>,
    /// Whether who signed them matters.
    verifies: bool,
    is_mandatory: bool,
    names: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authority.as_ref().map_or(&[], |authority| authority.root_hint_subjects())
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let is_trusted = || self.trusted.as_ref().is_some_and(|trusted| trusted.has(end_entity, now, Peer::Client));
        if self.verifies && !is_trusted() {
            match &self.authority {
                Some(authority) => authority.verify_client_cert(end_entity, intermediates, now)?,
                None => return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            };
        }
        if !self.names.is_empty() && !is_for_one_of(end_entity, &self.names) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        Ok(ClientCertVerified::assertion())
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
}

/// Whether the certificate has one of these names exactly.
fn is_for_one_of(certificate: &CertificateDer<'_>, names: &[String]) -> bool {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return false };
    let is_for = |name: &String| match name.parse::<std::net::IpAddr>() {
        Ok(address) => parsed.verify_is_valid_for_subject_name(&ServerName::IpAddress(IpAddr::from(address))).is_ok(),
        Err(_) => {
            parsed.valid_dns_names().any(|known| known == name) || parsed.valid_uri_names().any(|known| known == name)
        }
    };
    names.iter().any(is_for)
}
