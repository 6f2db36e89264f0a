//! What every client of an HTTP server has in common.

mod renewing;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Client, ClientBuilder, Identity, Url};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use self::renewing::Renewing;
use crate::system::regular_file::read_pem;
use crate::trust::ServerVerifier;

/// A client that is to be completed: it goes straight to its server, and follows nobody elsewhere.
pub fn builder() -> ClientBuilder {
    builder_with_proxies().no_proxy()
}

/// The same by way of the environment's proxies.
pub fn builder_with_proxies() -> ClientBuilder {
    // TLS is ring's in the whole process; only the first time has an effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("taffrail/", env!("CARGO_PKG_VERSION")))
        // A redirected POST would arrive as a GET, and a token at a stranger's.
        .redirect(reqwest::redirect::Policy::none())
}

/// A client that connects to the socket at `path`, whatever the name in a URL.
///
/// # Errors
/// That this system has no such sockets.
#[cfg(unix)]
pub fn by_socket(builder: ClientBuilder, path: &Path) -> Result<ClientBuilder, String> {
    Ok(builder.unix_socket(path))
}

/// No client: this system has no such sockets.
///
/// # Errors
/// This.
#[cfg(windows)]
pub fn by_socket(_: ClientBuilder, path: &Path) -> Result<ClientBuilder, String> {
    Err(format!("{}: there are no unix sockets on this system", path.display()))
}

/// What a connection is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authority that signed the server's certificate, if it is not one of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate to show, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether any certificate is trusted.
    pub trusts_any: bool,
}

impl Tls {
    /// The files that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.ca.iter().chain(identity).cloned().collect()
    }

    /// The client `builder` with it; without `is_needed`, the system's certificates are not loaded for nothing.
    ///
    /// # Errors
    /// Which file is wrong, and how, after the name that its setting has: one of `names`, of the authority and of the
    /// certificate.
    pub fn apply(&self, builder: ClientBuilder, is_needed: bool, names: [&str; 2]) -> Result<ClientBuilder, String> {
        let builder = builder.tls_danger_accept_invalid_certs(self.trusts_any);
        match &self.ca {
            Some(path) if !self.trusts_any => Ok(builder.tls_backend_preconfigured(self.trusting(path, names)?)),
            _ => {
                let builder = if is_needed { builder } else { builder.tls_certs_only([]) };
                let Some((pem, files)) = self.pem_of_identity(names)? else { return Ok(builder) };
                Ok(builder.identity(Identity::from_pem(&pem).map_err(|error| format!("{files}: {}", reason(&error)))?))
            }
        }
    }

    /// TLS that trusts the certificates in `path` alone.
    fn trusting(&self, path: &Path, names: [&str; 2]) -> Result<ClientConfig, String> {
        let wrong = |reason: String| format!("{}: {}: {reason}", names[0], path.display());
        let pem = read_pem(path).map_err(|error| wrong(error.reason.to_string()))?;
        let trusted = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let trusted = trusted.map_err(|error| wrong(format!("expected certificates in PEM form: {error}")))?;
        if trusted.is_empty() {
            return Err(wrong(NO_CERTIFICATES.to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = ServerVerifier::new(trusted, provider.clone()).map_err(wrong)?;
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?;
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.pem_of_identity(names)? {
            None => config.with_no_client_auth(),
            Some((pem, files)) => {
                let wrong = |reason: String| format!("{files}: {reason}");
                let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
                let chain = chain.map_err(|error| wrong(error.to_string()))?;
                let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| wrong(error.to_string()))?;
                if chain.is_empty() {
                    return Err(wrong(NO_CERTIFICATES.to_owned()));
                }
                config.with_client_auth_cert(chain, key).map_err(|error| wrong(error.to_string()))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The certificate to show and its key, and how the files are called in messages.
    fn pem_of_identity(&self, names: [&str; 2]) -> Result<Option<(Vec<u8>, String)>, String> {
        let Some((certificate, key)) = &self.identity else { return Ok(None) };
        let read = |path: &Path| read_pem(path).map_err(|error| format!("{}: {error}", names[1]));
        // Whichever file lacks the line end that the other one needs.
        let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        Ok(Some((pem, format!("{}: {}, {}", names[1], certificate.display(), key.display()))))
    }
}

const NO_CERTIFICATES: &str = "expected certificates in PEM form, found none";

/// Where a server is, for messages: a URL's user, password and parameters are nobody's business.
pub fn place(url: &Url) -> String {
    let path = if url.path() == "/" { "" } else { url.path() };
    format!("{}://{}{path}", url.scheme(), host(url))
}

/// The host in a URL, and the port if it is there.
pub fn host(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    url.host_str().unwrap_or_default().to_owned() + &port
}

/// What went wrong, with its causes, and without the URL: it is long, and the same each time.
pub fn reason(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    if error.is_timeout() {
        parts.push("no answer in time".to_owned());
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        parts.push(inner.to_string());
        cause = inner.source();
    }
    if parts.is_empty() {
        let text = error.to_string();
        parts.push(text.split(" for url (").next().unwrap_or_default().to_owned());
    }
    parts.join(": ")
}
