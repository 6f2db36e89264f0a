//! What every client of an HTTP server has in common.

use std::error::Error;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Client, ClientBuilder, Identity};

use crate::system::regular_file::read_pem;

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
        let mut builder = builder.tls_danger_accept_invalid_certs(self.trusts_any);
        if let Some(path) = &self.ca {
            let trusted = certificates(path).map_err(|reason| format!("{}: {}: {reason}", names[0], path.display()))?;
            builder = builder.tls_certs_only(trusted);
        } else if !is_needed {
            builder = builder.tls_certs_only([]);
        }
        if let Some((certificate, key)) = &self.identity {
            let read = |path: &Path| read_pem(path).map_err(|error| format!("{}: {error}", names[1]));
            let pem = [read(certificate)?, read(key)?].concat();
            let wrong =
                |error| format!("{}: {}, {}: {}", names[1], certificate.display(), key.display(), reason(&error));
            builder = builder.identity(Identity::from_pem(&pem).map_err(wrong)?);
        }
        Ok(builder)
    }
}

/// The certificates in the PEM file at `path`.
///
/// # Errors
/// Why there are none, without the path.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let pem = read_pem(path).map_err(|error| error.reason.to_string())?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| reason(&error))?;
    if certificates.is_empty() {
        return Err("expected certificates in PEM form, found none".to_owned());
    }
    Ok(certificates)
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
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}
