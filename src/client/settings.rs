//! The settings of HTTP clients, of sinks and of collectors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Proxy, Url};

use super::{RenewingClient, Tls, builder, reason, unix};
use crate::config::{Key, KeyInfo, Secret, Secrets, Section, TableInfo};
use crate::encode::infos::concat;

/// The settings of HTTP clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The timeout of one request.
    pub timeout: Duration,
    /// Headers of every request.
    pub headers: BTreeMap<String, Secret>,
    /// The proxy, if any.
    pub proxy: Option<String>,
    /// Certificates.
    pub tls: Tls,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(String);

const TIMEOUT: Key<Duration> = Key::new("timeout", "\"5s\"", "Timeout of a request.");
const HTTP_PROXY: Key<String> =
    Key::optional("http_proxy", "URL of the HTTP proxy. Environment variables for proxies are ignored.");
const TLS_CA: Key<PathBuf> = Key::optional("tls_ca", "PEM file of CA certificates to trust, instead of the system's.");
const TLS_CERT: Key<PathBuf> = Key::optional("tls_cert", "PEM file with the client certificate.");
const TLS_KEY: Key<PathBuf> = Key::optional("tls_key", "PEM file with the client certificate's key.");
const INSECURE_SKIP_VERIFY: Key<bool> = Key::new(
    "insecure_skip_verify",
    "false",
    "Accepts any server certificate. An attacker in the middle can then read and change what is sent.",
);
/// The settings, without that of the timeout.
pub(crate) const CONNECTION_KEYS: &[KeyInfo] =
    &[HTTP_PROXY.info(), TLS_CA.info(), TLS_CERT.info(), TLS_KEY.info(), INSECURE_SKIP_VERIFY.info()];
/// The settings of TLS.
pub(crate) const TLS_KEYS: &[KeyInfo] = &[TLS_CA.info(), TLS_CERT.info(), TLS_KEY.info(), INSECURE_SKIP_VERIFY.info()];
const ALL_KEYS: [KeyInfo; 1 + CONNECTION_KEYS.len()] = concat(&[&[TIMEOUT.info()], CONNECTION_KEYS]);
/// The settings in a sink's section.
pub(crate) const KEYS: &[KeyInfo] = &ALL_KEYS;
/// The table of headers.
pub(crate) const HEADERS: TableInfo = TableInfo::open("headers", "Additional headers of every request.");

/// The settings of TLS in a section.
pub(crate) fn tls(section: &mut Section<'_>) -> Tls {
    let identity = match (section.optional(&TLS_CERT), section.optional(&TLS_KEY)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            section.wrong("tls_cert", "expected tls_key with it, found none");
            None
        }
        (None, Some(_)) => {
            section.wrong("tls_key", "expected tls_cert with it, found none");
            None
        }
    };
    let tls = Tls { ca: section.optional(&TLS_CA), identity, trusts_any: section.get(&INSECURE_SKIP_VERIFY) };
    depends_on_files(section, &tls);
    tls
}

/// Registers the files that settings of TLS name, in the section that has them as `tls_ca`, `tls_cert` and `tls_key`.
pub(crate) fn depends_on_files(section: &Section<'_>, tls: &Tls) {
    let (ca, identity) = (tls.clone(), tls.clone());
    if tls.ca.is_some() {
        section.depends("tls_ca", move || ca.check_ca());
    }
    if tls.identity.is_some() {
        section.depends("tls_cert", move || identity.check_identity());
    }
}

impl Settings {
    /// The settings in a sink's section.
    pub(crate) fn new(section: &mut Section<'_>) -> Settings {
        let timeout = section.above_zero(&TIMEOUT);
        Settings::with_timeout(section, timeout)
    }

    /// The settings in a section that has a timeout of its own.
    pub(crate) fn with_timeout(section: &mut Section<'_>, timeout: Duration) -> Settings {
        let headers: BTreeMap<String, Secret> = section.table(HEADERS.name).entries();
        for (name, value) in &headers {
            let is_sound = name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value.reveal()).is_ok();
            if !is_sound {
                section.wrong("headers", format!("expected a header, found a name or a value that is none: {name:?}"));
            }
        }
        let proxy = section.optional(&HTTP_PROXY);
        if let Some(proxy) = proxy.as_ref().filter(|proxy| Proxy::all(proxy.as_str()).is_err()) {
            section.wrong("http_proxy", format!("expected the URL of a proxy, found {proxy:?}"));
        }
        Settings { timeout, headers, proxy, tls: tls(section) }
    }

    /// The secrets in requests to `urls`, which the log must not show.
    pub(crate) fn secrets(&self, urls: &[Url]) -> Secrets {
        let mut secrets = Secrets::default();
        urls.iter().for_each(|url| secrets.add_parts_of_url(url.as_str()));
        self.proxy.iter().for_each(|proxy| secrets.add_parts_of_url(proxy));
        self.headers.values().for_each(|value| secrets.add_header(value.reveal()));
        secrets
    }

    /// A client for the server at `url` that is renewed from time to time.
    ///
    /// # Errors
    /// As [`Settings::client`].
    pub fn renewing(&self, url: &Url) -> Result<RenewingClient, ClientError> {
        let (settings, url) = (self.clone(), url.clone());
        RenewingClient::new(move || settings.client(&url).map_err(|error| error.to_string())).map_err(ClientError)
    }

    /// A client for the server at `url`, which may be that of a Unix socket.
    ///
    /// # Errors
    /// Which file is invalid, and how.
    pub fn client(&self, url: &Url) -> Result<Client, ClientError> {
        self.client_with(builder(), url)
    }

    /// The same, on top of `builder`.
    pub(super) fn client_with(&self, builder: ClientBuilder, url: &Url) -> Result<Client, ClientError> {
        let mut builder = builder.timeout(self.timeout);
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.reveal())) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        builder = builder.default_headers(headers);
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(Proxy::all(proxy.as_str()).map_err(|error| ClientError(reason(&error)))?);
        }
        let builder = unix::for_url(builder, url).map_err(ClientError)?;
        let builder = self.tls.apply(builder, url.scheme() == "https", ["tls_ca", "tls_cert"]).map_err(ClientError)?;
        builder.build().map_err(|error| ClientError(format!("cannot set up TLS: {}", reason(&error))))
    }
}
