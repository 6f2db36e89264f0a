//! Shared by all HTTP clients.

mod address;
pub mod dns;
pub mod kubernetes;
mod renewing;
mod response;
pub mod settings;
pub mod target;
pub mod unix;

use std::error::Error;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use reqwest::{Client, ClientBuilder, Identity, Url};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

pub use self::address::{completed, parse_argument, parse_url, with_scheme};
pub use self::renewing::RenewingClient;
pub use self::response::{BodyError, MESSAGE, is_page, read_start, read_whole, shorten};
use crate::pem;
use crate::system::regular_file::read_pem;
use crate::trust::{ServerVerifier, messages};

/// The header of a scrape with the identifier of the process that scrapes. A target that finds its own is scraped by
/// itself.
pub const SCRAPER: &str = "x-taffrail-scraper";

/// The identifier of this process in [`SCRAPER`]: random.
pub fn process_id() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| {
        let random = || foldhash::fast::RandomState::default().hash_one(std::process::id());
        format!("{:016x}{:016x}", random(), random())
    });
    &ID
}

/// A client builder without proxies and redirects.
pub fn builder() -> ClientBuilder {
    builder_with_proxies().no_proxy()
}

/// A client builder that uses the environment's proxies, without redirects.
pub fn builder_with_proxies() -> ClientBuilder {
    // The whole process uses ring for TLS; only the first call has an effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("taffrail/", env!("CARGO_PKG_VERSION")))
        // A redirect would turn a POST into a GET, and send tokens to other hosts.
        .redirect(reqwest::redirect::Policy::none())
}

/// Connects to the Unix socket at `path`, regardless of the URL's host.
///
/// # Errors
/// If the system has no Unix sockets.
#[cfg(unix)]
pub fn over_unix_socket(builder: ClientBuilder, path: &Path) -> Result<ClientBuilder, String> {
    Ok(builder.unix_socket(path))
}

/// Always fails: this system has no Unix sockets.
///
/// # Errors
/// Always.
#[cfg(windows)]
pub fn over_unix_socket(_: ClientBuilder, path: &Path) -> Result<ClientBuilder, String> {
    Err(format!("{}: there are no unix sockets on this system", path.display()))
}

/// A certificate with its chain, and the key.
type Identified = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// TLS settings of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The CA that signed the server's certificate, if it is not one of the system's.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether any server certificate is accepted.
    pub trusts_any: bool,
}

impl Tls {
    /// The files that the settings name.
    pub fn files(&self) -> Vec<PathBuf> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(identity).cloned().collect()
    }

    /// Applies the settings to `builder`. Unless `is_needed`, the system's certificates are not loaded.
    ///
    /// # Errors
    /// Which file is invalid, and why. The message begins with the setting's name, from `names`: of the CA, and of
    /// the certificate.
    pub fn apply(&self, builder: ClientBuilder, is_needed: bool, names: [&str; 2]) -> Result<ClientBuilder, String> {
        let builder = builder.tls_danger_accept_invalid_certs(self.trusts_any);
        match &self.ca {
            Some(path) if !self.trusts_any => Ok(builder.tls_backend_preconfigured(self.trusting(path, names)?)),
            _ => {
                let builder = if is_needed { builder } else { builder.tls_certs_only([]) };
                let named = |error: String| format!("{}: {error}", names[1]);
                let Some(pem) = self.pem_of_identity().map_err(named)? else { return Ok(builder) };
                let identity = Identity::from_pem(&pem).map_err(|error| named(self.wrong_identity(&reason(&error))))?;
                Ok(builder.identity(identity))
            }
        }
    }

    /// A TLS configuration that trusts only the certificates in `path`.
    fn trusting(&self, path: &Path, names: [&str; 2]) -> Result<ClientConfig, String> {
        let mut config = self.configuration(Arc::new(named_ca(path, names)?), names)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Verifies servers' certificates: by the configured CA, or by those of the system. Reads files.
    ///
    /// # Errors
    /// Which file is invalid, and why; or that the system has no CAs.
    pub fn verifier(&self, names: [&str; 2]) -> Result<Arc<dyn ServerCertVerifier>, String> {
        match &self.ca {
            Some(path) => Ok(Arc::new(named_ca(path, names)?)),
            None => match rustls_platform_verifier::Verifier::new(provider()) {
                Ok(verifier) => Ok(Arc::new(verifier)),
                Err(error) => Err(format!("the system's CA certificates: {error}")),
            },
        }
    }

    /// A TLS configuration with this verifier, and the client certificate if there is one. Reads files.
    ///
    /// # Errors
    /// Which file is invalid, and why.
    pub fn configuration(
        &self,
        verifier: Arc<dyn ServerCertVerifier>,
        names: [&str; 2],
    ) -> Result<ClientConfig, String> {
        let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?;
        let config = config.dangerous().with_custom_certificate_verifier(verifier);
        let named = |error: String| format!("{}: {error}", names[1]);
        let Some((chain, key)) = self.identity().map_err(named)? else { return Ok(config.with_no_client_auth()) };
        let config = config.with_client_auth_cert(chain, key);
        config.map_err(|error| named(self.wrong_identity(&error.to_string())))
    }

    /// Checks the CA certificates, if there is a file of them.
    ///
    /// # Errors
    /// Why it cannot be used. The message begins with its path.
    pub fn check_ca(&self) -> Result<(), String> {
        self.ca.as_ref().map_or(Ok(()), |path| trusting_only(path).map(drop))
    }

    /// Checks the client certificate and its key, if there are any.
    ///
    /// # Errors
    /// Why they cannot be used. The message begins with a path.
    pub fn check_identity(&self) -> Result<(), String> {
        let Some((chain, key)) = self.identity()? else { return Ok(()) };
        CertifiedKey::from_der(chain, key, &provider())
            .map(drop)
            .map_err(|error| self.wrong_identity(&error.to_string()))
    }

    /// The client certificate with its chain, and the key.
    fn identity(&self) -> Result<Option<Identified>, String> {
        let Some(pem) = self.pem_of_identity()? else { return Ok(None) };
        let wrong = |error| self.wrong_identity(pem::reason(&error));
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(wrong)?;
        match chain.is_empty() {
            true => Err(self.wrong_identity(NO_CERTIFICATES)),
            false => Ok(Some((chain, key))),
        }
    }

    /// An error of the client certificate and its key.
    fn wrong_identity(&self, reason: &str) -> String {
        let files = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        let names: Vec<String> = files.map(|path| path.display().to_string()).collect();
        format!("{}: {reason}", names.join(", "))
    }

    /// The text of the client certificate and its key.
    fn pem_of_identity(&self) -> Result<Option<Vec<u8>>, String> {
        let Some((certificate, key)) = &self.identity else { return Ok(None) };
        let read = |path: &Path| read_pem(path).map_err(|error| error.to_string());
        // The first file may lack the final newline that the second one needs.
        Ok(Some([read(certificate)?, b"\n".to_vec(), read(key)?].concat()))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The same as [`trusting_only`]; an error begins with the name of the setting.
fn named_ca(path: &Path, names: [&str; 2]) -> Result<ServerVerifier, String> {
    trusting_only(path).map_err(|error| format!("{}: {error}", names[0]))
}

/// Trusts only the certificates in `path`.
fn trusting_only(path: &Path) -> Result<ServerVerifier, String> {
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let pem = read_pem(path).map_err(|error| wrong(error.reason.to_string()))?;
    let trusted = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let trusted =
        trusted.map_err(|error| wrong(format!("expected certificates in PEM form: {}", pem::reason(&error))))?;
    if trusted.is_empty() {
        return Err(wrong(NO_CERTIFICATES.to_owned()));
    }
    ServerVerifier::new(trusted, provider()).map_err(wrong)
}

const NO_CERTIFICATES: &str = "expected certificates in PEM form, found none";

/// The server's URL for messages: without user, password and parameters.
pub fn display_url(url: &Url) -> String {
    let path = if url.path() == "/" { "" } else { url.path() };
    format!("{}://{}{path}", url.scheme(), host(url))
}

/// The host in a URL, with its port if given.
pub fn host(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    url.host_str().unwrap_or_default().to_owned() + &port
}

/// The error and its causes, without the URL: it is long, and the same each time.
pub fn reason(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    if error.is_timeout() {
        add_cause(&mut parts, "no answer in time".to_owned());
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(message) = messages::describe(inner) {
            add_cause(&mut parts, message);
            break;
        }
        add_cause(&mut parts, inner.to_string());
        cause = inner.source();
    }
    if parts.is_empty() {
        let text = error.to_string();
        parts.push(text.split(" for url (").next().unwrap_or_default().to_owned());
    }
    parts.join(": ")
}

/// Adds a cause to the outer ones, unless one of them includes it. It replaces those that it includes: many errors repeat
/// their cause in their own text.
pub fn add_cause(parts: &mut Vec<String>, cause: String) {
    if !parts.iter().any(|outer| outer.contains(&cause)) {
        parts.retain(|outer| !cause.contains(outer.as_str()));
        parts.push(cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_repeated() {
        let mut parts = Vec::new();
        for cause in [
            "client error (Connect)",
            "dns error: no such host",
            "no such host",
            "no such host",
            "tcp: refused",
            "tcp: refused (os error 111)",
        ] {
            add_cause(&mut parts, cause.to_owned());
        }
        assert_eq!(parts, ["client error (Connect)", "dns error: no such host", "tcp: refused (os error 111)"]);
    }
}
