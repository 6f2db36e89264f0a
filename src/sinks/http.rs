//! What sinks that send over HTTP can all be told: timeout, headers, proxy, certificates.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Proxy, RequestBuilder, Url, header};

use super::answer::{Answer, parse_retry_after, read_start, shorten};
use crate::client::{self, Renewing, Tls};
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

    /// A client for the server at `url` that is made anew now and then.
    ///
    /// # Errors
    /// As [`Settings::client`].
    pub fn renewing(&self, url: &Url) -> Result<Renewing, ClientError> {
        let (settings, url) = (self.clone(), url.clone());
        Renewing::new(move || settings.client(&url).map_err(|error| error.to_string())).map_err(ClientError)
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
            builder = client::by_socket(builder, Path::new(url.path())).map_err(ClientError)?;
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

/// The servers of a sink: when one does not answer, the next is asked.
pub(super) struct Servers {
    /// Clients with their servers.
    all: Vec<(Arc<Renewing>, Url)>,
    /// The server that is tried first: the last one that answered.
    preferred: usize,
}

impl Servers {
    /// The servers at `urls`.
    pub(super) fn new(settings: &Settings, urls: &[Url]) -> Result<Servers, ClientError> {
        let server = |url: &Url| Ok((Arc::new(settings.renewing(url)?), url.clone()));
        Ok(Servers { all: urls.iter().map(server).collect::<Result<_, _>>()?, preferred: 0 })
    }

    /// All of them, the one first that answered last.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = Server> + use<> {
        let servers: Vec<Server> = (0..self.all.len())
            .map(|turn| (self.preferred + turn) % self.all.len())
            .map(|index| Server { index, client: self.all[index].0.clone(), url: self.all[index].1.clone() })
            .collect();
        servers.into_iter()
    }

    /// Whether a server's answer is one about the points, so that no other is asked; it is the first from here on then.
    pub(super) fn has_answered(&mut self, server: &Server, answer: &Answer) -> bool {
        let has_answered = !matches!(answer, Answer::Later { .. } | Answer::Refused { .. });
        match has_answered {
            true => self.prefer(server),
            false => server.client.has_failed(),
        }
        has_answered
    }

    /// From here on, this one is asked first.
    pub(super) fn prefer(&mut self, server: &Server) {
        self.preferred = server.index;
    }
}

/// One of a sink's servers.
pub(super) struct Server {
    index: usize,
    pub(super) client: Arc<Renewing>,
    pub(super) url: Url,
}

/// Those of the URLs in `given` that are a server's; what is wrong with the others is told of the setting `urls`.
pub(super) fn urls(section: &mut Section<'_>, given: Vec<String>) -> Vec<Url> {
    if given.is_empty() {
        section.wrong("urls", "expected at least one URL, found none");
    }
    let mut urls = Vec::new();
    for text in given {
        match Url::parse(&text) {
            Ok(url) if url.scheme() == "unix" && url.path().len() > 1 => urls.push(url),
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => {
                // Credentials in a URL would end up in the log.
                if url.password().is_some() || !url.username().is_empty() {
                    section.wrong("urls", "expected a URL without credentials, which have settings of their own");
                }
                urls.push(url);
            }
            _ => section.wrong("urls", format!("expected an http or https URL, or unix:///PATH, found {text:?}")),
        }
    }
    urls
}

/// A body in gzip's format.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// What a server answered.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The start of the body.
    pub(super) body: String,
}

impl Answered {
    /// For tests of what answers mean.
    #[cfg(test)]
    pub(super) fn new(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answered {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        Answered { status, headers: headers.iter().map(pair).collect(), body: body.to_owned() }
    }

    /// For how long the server asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.headers.get(header::RETRY_AFTER)?.to_str().ok().and_then(parse_retry_after)
    }

    /// Status and body, fit for one line of a log.
    pub(super) fn message(&self) -> String {
        format!("status {}: {}", self.status, shorten(&self.body))
    }

    /// Whether the body is a page, as proxies and login forms have it, and no server of points.
    pub(super) fn is_page(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_markup = self.body.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').starts_with('<');
        kind.to_ascii_lowercase().contains("html") || is_markup
    }

    /// The body, if it is an object of JSON.
    pub(super) fn object(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        if self.is_page() { None } else { serde_json::from_str(&self.body).ok() }
    }

    /// The body was too large, whoever says so.
    pub(super) fn too_large(&self) -> Answer {
        Answer::TooLarge { is_foreign: self.is_page(), message: self.message() }
    }

    /// A success that is none of `server`: something else answered in its place.
    pub(super) fn foreign_success(&self, server: &str) -> Answer {
        Answer::Refused { message: format!("{}, which is no answer of {server}", self.message()) }
    }
}

/// Sends a request, and reads what the server says, up to `most` bytes; if it says nothing, what that means.
pub(super) async fn send(request: RequestBuilder, most: usize) -> Result<Answered, Answer> {
    let response = request.send().await.map_err(|error| Answer::Later {
        after: None,
        message: client::reason(&error),
        was_cut_off: was_cut_off(&error),
    })?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answered { status, headers, body: read_start(response, most).await })
}

/// How much of an answer's body is read that need not be whole.
pub(super) const MESSAGE: usize = 64 << 10;

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
