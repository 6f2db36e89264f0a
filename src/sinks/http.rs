//! What sinks that send over HTTP can all be told: timeout, headers, proxy, certificates.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Proxy, RequestBuilder, Url, header};

use super::answer::{Answer, read_start};
use crate::client::{self, Tls};
use crate::config::{Key, KeyInfo, Secret, Section};

/// How a sink speaks to its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long one request may take.
    pub timeout: Duration,
    /// Headers of every request.
    pub headers: BTreeMap<String, Secret>,
    /// By way of which proxy.
    pub proxy: Option<String>,
    /// Certificates.
    pub tls: Tls,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(String);

const TIMEOUT: Key<Duration> = Key::new("timeout", "\"5s\"", "How long one request may take.");
const HTTP_PROXY: Key<String> = Key::optional(
    "http_proxy",
    "The proxy by way of which servers are reached; variables of the environment are not asked.",
);
const TLS_CA: Key<PathBuf> =
    Key::optional("tls_ca", "A PEM file of the certificates to trust, instead of the system's.");
const TLS_CERT: Key<PathBuf> = Key::optional("tls_cert", "A PEM file with the certificate to show the server.");
const TLS_KEY: Key<PathBuf> = Key::optional("tls_key", "A PEM file with that certificate's key.");
const INSECURE_SKIP_VERIFY: Key<bool> = Key::new(
    "insecure_skip_verify",
    "false",
    "Trust any certificate. Anybody on the way can then read and change what is sent.",
);
/// The settings in a sink's section.
pub(super) const KEYS: [KeyInfo; 6] =
    [TIMEOUT.info(), HTTP_PROXY.info(), TLS_CA.info(), TLS_CERT.info(), TLS_KEY.info(), INSECURE_SKIP_VERIFY.info()];
/// The table of headers.
pub(super) const HEADERS: (&str, &str) = ("headers", "Headers of every request.");

impl Settings {
    /// The settings in a sink's section.
    pub(super) fn new(section: &mut Section<'_>) -> Settings {
        let headers: BTreeMap<String, Secret> = section.table(HEADERS.0).entries();
        for (name, value) in &headers {
            let is_sound = name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value.reveal()).is_ok();
            if !is_sound {
                section.wrong("headers", format!("expected a header, found a name or a value that is none: {name:?}"));
            }
        }
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
        let proxy = section.optional(&HTTP_PROXY);
        if let Some(proxy) = proxy.as_ref().filter(|proxy| Proxy::all(proxy.as_str()).is_err()) {
            section.wrong("http_proxy", format!("expected the URL of a proxy, found {proxy:?}"));
        }
        Settings {
            timeout: section.above_zero(&TIMEOUT),
            headers,
            proxy,
            tls: Tls { ca: section.optional(&TLS_CA), identity, trusts_any: section.get(&INSECURE_SKIP_VERIFY) },
        }
    }

    /// A client for the server at `url`; that of a unix socket is `unix:///PATH`.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub fn client(&self, url: &Url) -> Result<Client, ClientError> {
        let mut builder = client::builder().timeout(self.timeout);
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.reveal())) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        builder = builder.default_headers(headers);
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(Proxy::all(proxy.as_str()).map_err(|error| ClientError(client::reason(&error)))?);
        }
        if url.scheme() == "unix" {
            builder = builder.unix_socket(PathBuf::from(url.path()));
        }
        let builder = self.tls.apply(builder, url.scheme() == "https", ["tls_ca", "tls_cert"]).map_err(ClientError)?;
        builder.build().map_err(|error| ClientError(format!("cannot set up TLS: {}", client::reason(&error))))
    }
}

/// Where requests for the server at `url` go: to a unix socket, by a name that nobody asks for.
pub(super) fn base(url: &Url) -> Url {
    match url.scheme() {
        "unix" => Url::parse("http://localhost").unwrap_or_else(|_| url.clone()),
        _ => url.clone(),
    }
}

/// What a server answered.
pub(super) struct Answered {
    pub(super) status: u16,
    /// The header `Retry-After`.
    pub(super) retry_after: Option<String>,
    /// The start of the body.
    pub(super) body: String,
}

/// Sends a request, and reads what the server says; if it says nothing, what that means.
pub(super) async fn send(request: RequestBuilder) -> Result<Answered, Answer> {
    let response = request.send().await.map_err(|error| Answer::Later {
        after: None,
        message: client::reason(&error),
        was_cut_off: was_cut_off(&error),
    })?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    Ok(Answered { status, retry_after, body: read_start(response).await })
}

/// Whether the server cut the connection while the request was sent: it may be one that answers 413 early.
fn was_cut_off(error: &reqwest::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let mut cause = std::error::Error::source(error);
    let mut is_cut_off = false;
    while let Some(inner) = cause {
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        is_cut_off |= kind.is_some_and(|kind| [BrokenPipe, ConnectionAborted, ConnectionReset].contains(&kind));
        cause = inner.source();
    }
    is_cut_off && !error.is_connect()
}
