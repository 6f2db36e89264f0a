//! The prober `http`: one request on a new connection, with the duration of each phase.

mod exchange;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use regex::Regex;
use reqwest::Url;
use tokio::task::JoinSet;

use self::exchange::{Exchange, Head, Verdict, cause, failed, place, tunnel};
use super::connect::{self, Addresses, Failure, Stream};
use super::families;
use super::outcome::{Found, Samples};
use super::points::{HttpResult, HttpRow, Row};
use super::tls::Tls;
use crate::client::{self, target, unix};
use crate::config::{Key, KeyInfo, Section, TableInfo};

/// The settings of the prober.
#[derive(Debug)]
pub(super) struct Http {
    client: target::Settings,
    tls: Tls,
    method: Method,
    body: String,
    /// Valid statuses; those of success if empty.
    valid: Vec<u16>,
    matches: Vec<Regex>,
    matches_not: Vec<Regex>,
    fail_if_ssl: bool,
    fail_if_not_ssl: bool,
}

const METHOD: Key<String> = Key::new("method", "\"GET\"", "Method of the request.");
const BODY: Key<String> = Key::new("body", "\"\"", "Body of the request.");
const VALID: Key<Vec<u32>> = Key::new(
    "valid_status_codes",
    "[]",
    "Statuses of a successful probe; empty for 200 to 299. If it is not empty, another status is a result of its own in points.",
);
const MATCHES: Key<Vec<Regex>> =
    Key::new("fail_if_body_not_matches_regexp", "[]", "Regular expressions that must all match the body.");
const MATCHES_NOT: Key<Vec<Regex>> =
    Key::new("fail_if_body_matches_regexp", "[]", "Regular expressions of which none may match the body.");
const FAIL_IF_SSL: Key<bool> = Key::new("fail_if_ssl", "false", "Fails if the last request used TLS.");
const FAIL_IF_NOT_SSL: Key<bool> = Key::new("fail_if_not_ssl", "false", "Fails if the last request did not use TLS.");

#[rustfmt::skip]
const KEYS: &[KeyInfo] = &[
    METHOD.info(), BODY.info(), VALID.info(), MATCHES.info(), MATCHES_NOT.info(), FAIL_IF_SSL.info(), FAIL_IF_NOT_SSL.info(),
];
/// The table of the prober.
pub(super) const TABLE: TableInfo =
    TableInfo { name: "http", about: "Requests of `prober = \"http\"`, and what a response must be.", keys: KEYS };

const MAX_REDIRECTS: u32 = 10;

impl Http {
    pub(super) fn new(section: &mut Section<'_>, client: target::Settings) -> Http {
        let method = section.get(&METHOD);
        let method = method.parse().unwrap_or_else(|_| {
            section.wrong("method", format!("expected an HTTP method, found {method:?}"));
            Method::GET
        });
        let mut valid = Vec::new();
        for (index, status) in section.get(&VALID).into_iter().enumerate() {
            match u16::try_from(status) {
                Ok(status) if (100..1000).contains(&status) => valid.push(status),
                _ => section.wrong_element("valid_status_codes", index, "expected a status of HTTP, such as 200"),
            }
        }
        let http = Http {
            tls: Tls::new(client.http.tls.clone(), client.server_name.clone()),
            client,
            method,
            body: section.get(&BODY),
            valid,
            matches: section.get(&MATCHES),
            matches_not: section.get(&MATCHES_NOT),
            fail_if_ssl: section.get(&FAIL_IF_SSL),
            fail_if_not_ssl: section.get(&FAIL_IF_NOT_SSL),
        };
        if http.fail_if_ssl && http.fail_if_not_ssl {
            section.wrong("fail_if_not_ssl", "expected false, as fail_if_ssl is true: no probe would succeed");
        }
        http
    }

    /// Why a request with TLS, or without it, fails.
    fn exclusion(&self, is_tls: bool) -> Option<&'static str> {
        match is_tls {
            true if self.fail_if_ssl => Some("the request used TLS, and fail_if_ssl is set"),
            false if self.fail_if_not_ssl => Some("the request did not use TLS, and fail_if_not_ssl is set"),
            _ => None,
        }
    }

    /// Whether each probe of a target fails, whatever its server responds.
    pub(super) fn excludes(&self, target: &str) -> bool {
        let is_excluded = |url: Url| self.exclusion(url.scheme() == "https").is_some();
        !self.client.follows_redirects && target::parse(target).is_ok_and(is_excluded)
    }

    /// Probes one target.
    pub(super) async fn probe(&self, target: &str, addresses: Addresses, timeout: Duration) -> Found {
        let mut done = Exchange::default();
        let failure = match target::parse(target) {
            Err(expected) => Some(Failure::Connection(expected.to_owned())),
            Ok(url) => match tokio::time::timeout(timeout, self.exchange(url, addresses, timeout, &mut done)).await {
                Ok(ended) => ended.err(),
                Err(_) => Some(Failure::Timeout(timeout)),
            },
        };
        let verdict = self.judge(&done, failure);
        (verdict.failure.clone(), self.samples(&done, &verdict), vec![self.row(&done, &verdict)])
    }

    /// Sends the request, and follows redirects.
    async fn exchange(
        &self,
        target: Url,
        addresses: Addresses,
        timeout: Duration,
        done: &mut Exchange,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let (mut url, mut method) = (target.clone(), self.method.clone());
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            let stream = self.connect(&url, addresses, left, done).await?;
            let request = self.request(&url, method.clone(), client::host(&url) == client::host(&target)).await?;
            let sent = Instant::now();
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
            // Ends with this request.
            let mut connections = JoinSet::new();
            connections.spawn(connection);
            let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
            done.processing += sent.elapsed().as_secs_f64();
            done.to_headers = Some(start.elapsed().as_secs_f64());
            done.head = Some(Head::of(&response));
            if let Some(next) = self.redirect(&url, &response) {
                done.redirects += 1;
                if done.redirects > MAX_REDIRECTS {
                    return Err(Failure::Connection(format!("more than {MAX_REDIRECTS} redirects")));
                }
                url = next?;
                if !matches!(response.status().as_u16(), 307 | 308) && method != Method::HEAD {
                    method = Method::GET;
                }
                continue;
            }
            return self.read(response, done).await;
        }
    }

    async fn connect(
        &self,
        url: &Url,
        addresses: Addresses,
        left: Duration,
        done: &mut Exchange,
    ) -> Result<Box<dyn Stream>, Failure> {
        done.is_tls = url.scheme() == "https";
        let start = Instant::now();
        if let Some(socket) = unix::socket(url) {
            let stream = connect::unix(socket).await;
            done.connect += start.elapsed().as_secs_f64();
            return stream;
        }
        let proxy = self.client.http.proxy.as_deref().map(|proxy| Url::parse(&client::with_scheme(proxy, "http")));
        let proxy = proxy.transpose().map_err(|_| Failure::Connection("http_proxy is no URL".to_owned()))?;
        let (host, port) = place(proxy.as_ref().unwrap_or(url));
        let resolved = addresses.of(&host, port, &mut done.resolve).await?;
        done.address = resolved.first().map(|address| address.ip());
        let start = Instant::now();
        let connected = connect::tcp(&resolved, left).await;
        done.connect += start.elapsed().as_secs_f64();
        let (stream, address) = connected?;
        done.address = Some(address.ip());
        let mut stream: Box<dyn Stream> = Box::new(stream);
        if !done.is_tls {
            return Ok(stream);
        }
        let start = Instant::now();
        let (host, port) = place(url);
        if proxy.is_some() {
            tunnel(&mut stream, &host, port).await?;
        }
        let shaken = self.tls.connect(stream, &host, &["http/1.1"]).await;
        done.tls += start.elapsed().as_secs_f64();
        let (stream, presented) = shaken?;
        let failure = presented.failure(&self.tls);
        done.presented = Some(presented);
        failure.map_or(Ok(stream), Err)
    }

    /// The request. Credentials go to the host of the target only.
    async fn request(&self, url: &Url, method: Method, is_of_target: bool) -> Result<Request<Full<Bytes>>, Failure> {
        let sent = unix::request_url(url.clone());
        let is_proxied = self.client.http.proxy.is_some() && url.scheme() == "http";
        let query = sent.query().map(|query| format!("?{query}")).unwrap_or_default();
        let origin = if is_proxied { format!("http://{}", client::host(&sent)) } else { String::new() };
        let body = if method == self.method { self.body.clone() } else { String::new() };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        let uri = format!("{origin}{}{query}", sent.path());
        *request.uri_mut() = uri.parse().map_err(|_| Failure::Connection("the path is invalid".to_owned()))?;
        let headers = request.headers_mut();
        let invalid = |_| Failure::Connection("the host is invalid".to_owned());
        headers.insert(header::HOST, HeaderValue::try_from(client::host(&sent)).map_err(invalid)?);
        let agent = concat!("taffrail/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if is_of_target {
            let authorization = self.client.credentials.authorization().await;
            if let Some(value) = authorization.map_err(|failure| Failure::Connection(failure.to_string()))? {
                headers.insert(header::AUTHORIZATION, value);
            }
            for (name, value) in &self.client.http.headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.reveal())) {
                    headers.insert(name, value);
                }
            }
        }
        Ok(request)
    }

    /// Where the response leads, if redirects are followed.
    fn redirect(&self, url: &Url, response: &Response<Incoming>) -> Option<Result<Url, Failure>> {
        if !self.client.follows_redirects || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = response.headers().get(header::LOCATION)?.to_str().ok();
        let next = location.and_then(|location| url.join(location).ok());
        let next = next.filter(|next| matches!(next.scheme(), "http" | "https") && next.has_host());
        Some(next.ok_or_else(|| Failure::Connection("the redirect leads to no URL".to_owned())))
    }

    /// Reads the body, and matches it.
    async fn read(&self, response: Response<Incoming>, done: &mut Exchange) -> Result<(), Failure> {
        let start = Instant::now();
        let is_matched = !self.matches.is_empty() || !self.matches_not.is_empty();
        let (mut body, mut whole, mut length) = (response.into_body(), Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::Body(format!("the body is incomplete: {}", cause(&error))))?;
            let Ok(data) = frame.into_data() else { continue };
            length += data.len();
            if length > self.client.max_body {
                return Err(Failure::Body(format!("max_body: the body has more than {} bytes", self.client.max_body)));
            }
            if is_matched {
                whole.extend_from_slice(&data);
            }
        }
        done.transfer = start.elapsed().as_secs_f64();
        done.body_length = Some(length as u64);
        let text = String::from_utf8_lossy(&whole);
        done.has_all = self.matches.iter().all(|regex| regex.is_match(&text));
        done.has_excluded = self.matches_not.iter().any(|regex| regex.is_match(&text));
        Ok(())
    }

    fn judge(&self, done: &Exchange, failure: Option<Failure>) -> Verdict {
        let mut verdict = Verdict { failure: None, result: HttpResult::Success, is_regex: false };
        if let Some(failure) = failure {
            verdict.result = match &failure {
                Failure::Timeout(_) => HttpResult::Timeout,
                Failure::Name(_) => HttpResult::NameError,
                Failure::Connection(_) => HttpResult::ConnectionFailed,
                Failure::Body(_) => HttpResult::BodyReadError,
            };
            verdict.failure = Some(failure.to_string());
            return verdict;
        }
        let status = done.head.as_ref().map_or(0, |head| head.status);
        let is_valid = match self.valid.is_empty() {
            true => (200..300).contains(&status),
            false => self.valid.contains(&status),
        };
        verdict.is_regex = !done.has_all || done.has_excluded;
        if verdict.is_regex {
            verdict.result = HttpResult::StringMismatch;
            verdict.failure = Some(match done.has_all {
                false => "the body does not match fail_if_body_not_matches_regexp".to_owned(),
                true => "the body matches fail_if_body_matches_regexp".to_owned(),
            });
        }
        if let Some(reason) = self.exclusion(done.is_tls) {
            verdict.failure = Some(reason.to_owned());
        }
        if !is_valid {
            verdict.failure = Some(format!("the server responded with status {status}"));
            if !self.valid.is_empty() {
                verdict.result = HttpResult::StatusMismatch;
            }
        }
        verdict
    }

    fn samples(&self, done: &Exchange, verdict: &Verdict) -> Samples {
        let mut samples = Samples::default();
        connect::write_address(done.address, done.resolve, &mut samples);
        let phases = [
            ("resolve", done.resolve),
            ("connect", done.connect),
            ("tls", done.tls),
            ("processing", done.processing),
            ("transfer", done.transfer),
        ];
        samples.phases(&families::HTTP_DURATION, &phases);
        let head = done.head.clone().unwrap_or_default();
        samples.add(&families::HTTP_STATUS, f64::from(head.status));
        samples.add(&families::HTTP_LENGTH, head.length);
        samples.add(&families::HTTP_BODY, done.body_length.unwrap_or(0) as f64);
        samples.add(&families::HTTP_REDIRECTS, f64::from(done.redirects));
        samples.add(&families::HTTP_SSL, f64::from(u8::from(done.is_tls && done.head.is_some())));
        samples.add(&families::HTTP_VERSION, head.version);
        samples.add(&families::FAILED_REGEX, f64::from(u8::from(verdict.is_regex)));
        if let Some(modified) = head.modified {
            samples.add(&families::HTTP_MODIFIED, modified);
        }
        if let Some(presented) = &done.presented {
            presented.write(&mut samples);
        }
        samples
    }

    fn row(&self, done: &Exchange, verdict: &Verdict) -> Row {
        let status = done.head.as_ref().map(|head| head.status);
        let has_body = done.body_length.is_some();
        Row::Http(HttpRow {
            method: self.method.to_string(),
            result: verdict.result,
            status,
            response_time: done.to_headers,
            content_length: done.body_length,
            string_match: (has_body && !self.matches.is_empty()).then_some(done.has_all),
            status_match: status.filter(|_| !self.valid.is_empty()).map(|status| self.valid.contains(&status)),
        })
    }
}
