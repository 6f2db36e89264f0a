//! What is known of an exchange by HTTP, and the connection through a proxy.

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Response, Version};
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::collectors::probe::connect::{Failure, Stream};
use crate::collectors::probe::points::HttpResult;
use crate::collectors::probe::tls::Presented;

/// What is known of an exchange, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Seconds of the phases, over all redirects.
    pub(super) resolve: f64,
    pub(super) connect: f64,
    pub(super) tls: f64,
    pub(super) processing: f64,
    pub(super) transfer: f64,
    /// Seconds from the start to the last headers.
    pub(super) to_headers: Option<f64>,
    pub(super) address: Option<IpAddr>,
    pub(super) redirects: u32,
    /// Whether the last request used TLS.
    pub(super) is_tls: bool,
    pub(super) presented: Option<Presented>,
    pub(super) head: Option<Head>,
    /// Bytes of the body, if it is complete.
    pub(super) body_length: Option<u64>,
    /// Whether the body matches all that it must, and one that it must not.
    pub(super) has_all: bool,
    pub(super) has_excluded: bool,
}

/// The start of a response.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) version: f64,
    /// Content-Length; -1 without it.
    pub(super) length: f64,
    pub(super) modified: Option<f64>,
}

impl Head {
    pub(super) fn of(response: &Response<Incoming>) -> Head {
        let text = |name: HeaderName| header_text(response.headers(), &name);
        let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let modified = text(header::LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok());
        let modified = modified.and_then(|time| time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
        Head {
            status: response.status().as_u16(),
            version: if response.version() == Version::HTTP_10 { 1.0 } else { 1.1 },
            length: length.unwrap_or(-1.0),
            modified: modified.map(|since| since.as_secs() as f64),
        }
    }
}

fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// What an exchange means.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) failure: Option<String>,
    pub(super) result: HttpResult,
    /// Whether a regular expression decided.
    pub(super) is_regex: bool,
}

/// The host, without brackets, and the port of a URL.
pub(super) fn place(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    (host, url.port_or_known_default().unwrap_or(80))
}

pub(super) fn cause(error: &hyper::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

pub(super) fn failed(error: &hyper::Error) -> Failure {
    Failure::Connection(format!("no response: {}", cause(error)))
}

/// Lets a proxy connect to the host.
pub(super) async fn tunnel(stream: &mut Box<dyn Stream>, host: &str, port: u16) -> Result<(), Failure> {
    const MAX_HEAD: usize = 8 << 10;
    let wrong = |reason: String| Failure::Connection(format!("http_proxy: {reason}"));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| wrong(error.to_string()))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.map_err(|error| wrong(error.to_string()))?);
        if head.len() > MAX_HEAD {
            return Err(wrong("its response is too long".to_owned()));
        }
    }
    match head.get(9..12) {
        Some([b'2', ..]) => Ok(()),
        status => Err(wrong(format!("status {}", String::from_utf8_lossy(status.unwrap_or_default())))),
    }
}
