//! Shared by sinks that send over HTTP: servers, requests and responses.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::HeaderMap;
#[cfg(test)]
use reqwest::header::HeaderName;
use reqwest::{RequestBuilder, Url, header};

use super::verdict::{Verdict, parse_retry_after};
pub(super) use crate::client::MESSAGE;
pub use crate::client::settings::{ClientError, Settings};
pub(crate) use crate::client::settings::{HEADERS, KEYS};
use crate::client::{self, RenewingClient, is_page, read_start, shorten};
use crate::config::{Section, has_credentials};

/// The URLs without credentials, queries and fragments, which may hold secrets.
pub(super) fn addresses(urls: &[Url]) -> String {
    let address = |url: &Url| {
        let mut url = url.clone();
        // These fail for URLs without a host, which have none of both.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_query(None);
        url.set_fragment(None);
        url.to_string()
    };
    urls.iter().map(address).collect::<Vec<_>>().join(", ")
}

/// The URL for requests to the server at `url`. Through a unix socket the host name has no meaning.
pub(super) fn base(url: &Url) -> Url {
    match url.scheme() {
        "unix" => Url::parse("http://localhost").unwrap_or_else(|_| url.clone()),
        _ => url.clone(),
    }
}

/// The servers of a sink: when one does not respond, the next is tried.
pub(super) struct Servers {
    /// Clients with their servers.
    all: Vec<(Arc<RenewingClient>, Url)>,
    /// The server that is tried first: the last one that responded.
    preferred: usize,
}

impl Servers {
    /// The servers at `urls`.
    pub(super) fn new(settings: &Settings, urls: &[Url]) -> Result<Servers, ClientError> {
        let server = |url: &Url| Ok((Arc::new(settings.renewing(url)?), url.clone()));
        Ok(Servers { all: urls.iter().map(server).collect::<Result<_, _>>()?, preferred: 0 })
    }

    /// All servers, the preferred one first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = Server> + use<> {
        let servers: Vec<Server> = (0..self.all.len())
            .map(|turn| (self.preferred + turn) % self.all.len())
            .map(|index| Server { index, client: self.all[index].0.clone(), url: self.all[index].1.clone() })
            .collect();
        servers.into_iter()
    }

    /// Whether a server's verdict on `count` points is final, so that no other server is tried; the server is preferred
    /// then. A proxy's limit on the size is final for several points, as smaller batches may pass.
    pub(super) fn is_final(&mut self, server: &Server, verdict: &Verdict, count: usize) -> bool {
        let is_final = match verdict {
            Verdict::Later { .. } | Verdict::Refused { .. } => false,
            Verdict::TooLarge { is_foreign: true, .. } => count > 1,
            _ => true,
        };
        match is_final {
            true => self.prefer(server),
            false => server.client.has_failed(),
        }
        is_final
    }

    /// Prefers this server from now on.
    pub(super) fn prefer(&mut self, server: &Server) {
        self.preferred = server.index;
    }
}

/// One of a sink's servers.
pub(super) struct Server {
    index: usize,
    pub(super) client: Arc<RenewingClient>,
    pub(super) url: Url,
}

/// The URLs of servers in `given`. Reports the others as mistakes in the setting `urls`.
pub(super) fn urls(section: &mut Section<'_>, given: Vec<String>) -> Vec<Url> {
    if given.is_empty() {
        section.wrong("urls", "expected at least one URL, found none");
    }
    let mut urls = Vec::new();
    for (index, text) in given.into_iter().enumerate() {
        match client::parse_url(&text, "http") {
            Some(url) if url.scheme() == "unix" && url.path().len() > 1 => urls.push(url),
            Some(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => {
                if has_credentials(&url) {
                    section.wrong_element(
                        "urls",
                        index,
                        "expected a URL without credentials, which have settings of their own",
                    );
                }
                urls.push(url);
            }
            _ => {
                let message = format!("expected an http or https URL, or unix:///PATH, found {text:?}");
                section.wrong_element("urls", index, message);
            }
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

/// A server's response.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The start of the body.
    pub(super) body: String,
}

impl Response {
    /// A response for tests of verdicts.
    #[cfg(test)]
    pub(super) fn new(status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        Response { status, headers: headers.iter().map(pair).collect(), body: body.to_owned() }
    }

    /// The pause that the server asks for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.headers.get(header::RETRY_AFTER)?.to_str().ok().and_then(parse_retry_after)
    }

    /// Status and body, fit for one line of a log.
    pub(super) fn message(&self) -> String {
        format!("status {}: {}", self.status, shorten(&self.body))
    }

    /// Whether the body is HTML, as of a proxy or a login form.
    pub(super) fn is_page(&self) -> bool {
        is_page(&self.headers, &self.body)
    }

    /// The body, if it is a JSON object.
    pub(super) fn object(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        if self.is_page() { None } else { serde_json::from_str(&self.body).ok() }
    }

    /// The body was too large, for the server or for a proxy.
    pub(super) fn too_large(&self, is_of_server: bool) -> Verdict {
        Verdict::TooLarge { is_foreign: !is_of_server, message: self.message() }
    }

    /// A success that is not from `server`: another server responded.
    pub(super) fn foreign_success(&self, server: &str) -> Verdict {
        Verdict::Refused { message: format!("{}, which is no answer of {server}", self.message()) }
    }
}

/// Sends a request, and reads the response up to `max` bytes. Without a response, returns the verdict.
pub(super) async fn send(request: RequestBuilder, max: usize) -> Result<Response, Verdict> {
    let mut received = request.send().await.map_err(|error| Verdict::Later {
        after: None,
        message: client::reason(&error),
        was_cut_off: was_cut_off(&error),
    })?;
    let (status, headers) = (received.status().as_u16(), received.headers().clone());
    Ok(Response { status, headers, body: read_start(&mut received, max).await.0 })
}

/// Whether the server closed the connection while the request was sent: it may have responded with 413 early.
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
