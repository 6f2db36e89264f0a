//! What every client of an HTTP server has in common.

use std::error::Error;
use std::path::Path;

use reqwest::{Certificate, Client, ClientBuilder};

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

/// The certificates in the PEM file at `path`.
///
/// # Errors
/// Why there are none, without the path.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
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
