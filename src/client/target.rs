//! Servers that collectors query over HTTP: connection, credentials, and limits of an exchange.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use flate2::read::MultiGzDecoder;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{RequestBuilder, Url, redirect};

use super::settings::{self, CONNECTION_KEYS};
use super::{BodyError, RenewingClient, builder, read_whole, reason, unix, with_scheme};
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Secret, Section, has_credentials};
use crate::encode::infos::concat;
use crate::system::regular_file::{READ_TIMEOUT, read_text_within};

/// How servers are queried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Timeout, headers, proxy and certificates.
    pub http: settings::Settings,
    /// The credentials of every request.
    pub credentials: Credentials,
    /// The server name in TLS, if it is not the URL's host.
    pub server_name: Option<String>,
    /// Whether redirects are followed.
    pub follows_redirects: bool,
    /// Maximum bytes of a body, decompressed.
    pub max_body: usize,
}

/// The credentials of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// None.
    None,
    /// Basic authentication.
    Basic(String, Source),
    /// A bearer token.
    Bearer(Source),
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration.
    Given(Secret),
    /// A file, which is read for each request.
    File(PathBuf),
}

const USERNAME: Key<String> = Key::optional("username", "The user, for basic authentication.");
const PASSWORD: Key<Secret> =
    Key::optional("password", "The user's password; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const PASSWORD_FILE: Key<PathBuf> =
    Key::optional("password_file", "File with the user's password. It is read for each request.");
const BEARER_TOKEN: Key<Secret> =
    Key::optional("bearer_token", "A bearer token; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const BEARER_TOKEN_FILE: Key<PathBuf> =
    Key::optional("bearer_token_file", "File with a bearer token. It is read for each request.");
const TLS_SERVER_NAME: Key<String> =
    Key::optional("tls_server_name", "Server name for TLS, if it is not the host in the URL.");
const FOLLOW_REDIRECTS: Key<bool> = Key::new(
    "follow_redirects",
    "false",
    "Follows up to 10 redirects. Another host gets the headers, and no credentials, as from Prometheus.",
);
const MAX_BODY: Key<ByteSize> =
    Key::new("max_body", "\"64MiB\"", "Maximum size of a response, decompressed. A larger one is a failure.");
/// The size of a page with the status of one server: PHP-FPM's has 500 bytes for each of its processes.
const MAX_STATUS: Key<ByteSize> =
    Key::new("max_body", "\"4MiB\"", "Maximum size of a response, decompressed. A larger one is a failure.");

const OWN_KEYS: &[KeyInfo] = &[
    USERNAME.info(),
    PASSWORD.info(),
    PASSWORD_FILE.info(),
    BEARER_TOKEN.info(),
    BEARER_TOKEN_FILE.info(),
    TLS_SERVER_NAME.info(),
    FOLLOW_REDIRECTS.info(),
];
/// The settings of a target. The timeout is a setting of the collector, as its default differs. Headers are the table
/// [`HEADERS`](settings::HEADERS).
pub const KEYS: [KeyInfo; COUNT] = concat(&[CONNECTION_KEYS, OWN_KEYS, &[MAX_BODY.info()]]);
/// The settings of a target whose pages are small.
pub const STATUS_KEYS: [KeyInfo; COUNT] = concat(&[CONNECTION_KEYS, OWN_KEYS, &[MAX_STATUS.info()]]);
const COUNT: usize = CONNECTION_KEYS.len() + OWN_KEYS.len() + 1;

impl Settings {
    /// The settings in a collector's section. `timeout` is that of a whole exchange, from the connection to the last
    /// byte of the body.
    pub fn new(section: &mut Section<'_>, timeout: Duration) -> Settings {
        Settings::with_pages_of(&MAX_BODY, section, timeout)
    }

    /// Likewise, for pages with the status of one server, whose keys are [`STATUS_KEYS`].
    pub fn of_status(section: &mut Section<'_>, timeout: Duration) -> Settings {
        Settings::with_pages_of(&MAX_STATUS, section, timeout)
    }

    fn with_pages_of(max_body: &Key<ByteSize>, section: &mut Section<'_>, timeout: Duration) -> Settings {
        let ByteSize(max_body) = section.get(max_body);
        Settings {
            http: settings::Settings::with_timeout(section, timeout),
            credentials: Credentials::new(section),
            server_name: section.optional(&TLS_SERVER_NAME),
            follows_redirects: section.get(&FOLLOW_REDIRECTS),
            max_body,
        }
    }
}

impl Credentials {
    fn new(section: &mut Section<'_>) -> Credentials {
        let user = section.optional(&USERNAME);
        let password = Source::new(section, &PASSWORD, &PASSWORD_FILE);
        let token = Source::new(section, &BEARER_TOKEN, &BEARER_TOKEN_FILE);
        match (user, password, token) {
            (Some(_), _, Some(_)) => {
                section.wrong("username", "expected either this or a bearer token, found both");
                Credentials::None
            }
            (None, Some(_), _) => {
                section.wrong("username", "required: there is a password");
                Credentials::None
            }
            (Some(user), password, None) => {
                Credentials::Basic(user, password.unwrap_or_else(|| Source::Given(Secret::default())))
            }
            (None, None, Some(token)) => Credentials::Bearer(token),
            (None, None, None) => Credentials::None,
        }
    }

    /// The header `Authorization`, if there are credentials. Reads files.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub async fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        let text = match self {
            Credentials::None => return Ok(None),
            Credentials::Basic(user, password) => {
                let pair = format!("{user}:{}", password.secret().await?.reveal());
                format!("Basic {}", BASE64.encode(pair))
            }
            Credentials::Bearer(token) => format!("Bearer {}", token.secret().await?.reveal()),
        };
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| Failure::Credentials("the credentials have characters that no header may have".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn apply(&self, request: RequestBuilder) -> Result<RequestBuilder, Failure> {
        Ok(match self {
            Credentials::None => request,
            Credentials::Basic(user, password) => request.basic_auth(user, Some(password.secret().await?.reveal())),
            Credentials::Bearer(token) => request.bearer_auth(token.secret().await?.reveal()),
        })
    }
}

impl Source {
    /// The source in a section, which may have the secret or its file.
    pub(crate) fn new(section: &mut Section<'_>, given: &Key<Secret>, file: &Key<PathBuf>) -> Option<Source> {
        match (section.optional(given), section.optional(file)) {
            (Some(_), Some(_)) => {
                let (given, file) = (given.info().name, file.info().name);
                section.wrong(file, format!("expected either this or {given}, found both"));
                None
            }
            (Some(secret), None) => Some(Source::Given(secret)),
            (None, Some(path)) => {
                let named = path.clone();
                section.depends(file.info().name, move || secret_in(&named).map(drop));
                Some(Source::File(path))
            }
            (None, None) => None,
        }
    }

    /// The secret. White space around that of a file is removed.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) async fn secret(&self) -> Result<Secret, Failure> {
        let path = match self {
            Source::Given(secret) => return Ok(secret.clone()),
            Source::File(path) => path.clone(),
        };
        tokio::task::spawn_blocking(move || secret_in(&path))
            .await
            .unwrap_or_else(|_| Err("the program ends".to_owned()))
            .map_err(Failure::Credentials)
    }
}

fn secret_in(path: &Path) -> Result<Secret, String> {
    const MAX_BYTES: u64 = 64 << 10;
    let text = read_text_within(path, MAX_BYTES, READ_TIMEOUT).map_err(|error| error.to_string())?;
    Secret::of_one_line(text.trim()).map_err(|reason| format!("{}: {reason}", path.display()))
}

/// The URL of a target: `http://`, `https://`, an address without a scheme, or a Unix socket in one of the forms
/// `unix:/SOCKET:/PATH`, `unix:///SOCKET?path=/PATH` and `http+unix:///SOCKET:/PATH`.
///
/// # Errors
/// What was expected. The message omits the text, which may contain a password.
pub fn parse(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str = "expected an http or https URL, or a Unix socket such as unix:/run/x.sock:/metrics";
    let text = text.trim();
    let text = text.strip_prefix("http+").filter(|rest| rest.starts_with("unix:")).unwrap_or(text);
    let mut url = Url::parse(&with_scheme(text, "http")).map_err(|_| EXPECTED)?;
    // The parser would take the first part of a path for the host.
    let has_host = url.has_host() && !text.split_once("://").unwrap_or(("", text)).1.starts_with('/');
    match url.scheme() {
        "http" | "https" if !has_host => Err(EXPECTED),
        "http" | "https" if url.port() == Some(0) => Err("expected a port of at least 1"),
        _ if has_credentials(&url) => Err("expected a URL without credentials, which have settings of their own"),
        "http" | "https" => Ok(url),
        unix::UNIX if url.path().len() > 1 && url.path().starts_with('/') => {
            let pairs = url.query_pairs();
            let (paths, others): (Vec<_>, Vec<_>) = pairs.into_owned().partition(|(name, _)| name == "path");
            if let Some((_, path)) = paths.into_iter().next_back() {
                let socket = url.path().to_owned();
                url.set_path(&format!("{socket}:{path}"));
                url.set_query(None);
                if !others.is_empty() {
                    url.query_pairs_mut().extend_pairs(others);
                }
            }
            Ok(url)
        }
        _ => Err(EXPECTED),
    }
}

/// A response, complete.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// The duration of the exchange.
    pub took: Duration,
}

impl Page {
    /// The value of `Content-Type`; empty if absent.
    pub fn content_type(&self) -> &str {
        self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body of a response with status 200.
    ///
    /// # Errors
    /// The status, if it is another.
    pub fn ok(self) -> Result<Page, Failure> {
        if self.status == 200 { Ok(self) } else { Err(Failure::Status(self.status)) }
    }
}

/// Why there is no page. The text contains no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The exchange took longer than this.
    Timeout(Duration),
    /// The client could not be created, or a file with credentials could not be read.
    Credentials(String),
    /// The connection could not be established, or failed.
    Connection(String),
    /// The body is incomplete or too long.
    Body(String),
    /// The server responded with this status.
    Status(u16),
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Timeout(after) => write!(f, "no complete response within {}", humantime::format_duration(*after)),
            Failure::Credentials(reason) | Failure::Connection(reason) | Failure::Body(reason) => f.write_str(reason),
            Failure::Status(status) => match reqwest::StatusCode::from_u16(*status) {
                Ok(status) => write!(f, "the server responded with status {status}"),
                Err(_) => write!(f, "the server responded with status {status}"),
            },
        }
    }
}

/// A client of the targets with the same settings, which share connections and certificates.
#[derive(Debug)]
pub struct Client {
    settings: Arc<Settings>,
    routes: Mutex<HashMap<Route, Arc<RenewingClient>>>,
}

/// What needs a client of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Route {
    Plain,
    Tls,
    /// TLS with the server name of the settings, to this host.
    Named(String),
    Socket(String),
}

impl Client {
    /// A client with these settings. Opens nothing.
    pub fn new(settings: Arc<Settings>) -> Client {
        Client { settings, routes: Mutex::default() }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends GET to `url`, which [`parse`] accepts, with additional `headers`. Reads the whole response, with any status.
    ///
    /// # Errors
    /// If it is not complete within `timeout`, or the body exceeds the limit.
    pub async fn get(&self, url: &Url, headers: HeaderMap, timeout: Duration) -> Result<Page, Failure> {
        let start = Instant::now();
        match tokio::time::timeout(timeout, self.exchange(url, headers, start)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Timeout(timeout)),
        }
    }

    async fn exchange(&self, url: &Url, headers: HeaderMap, start: Instant) -> Result<Page, Failure> {
        let renewing = self.client_for(url)?;
        let failed = |failure| {
            renewing.has_failed();
            failure
        };
        let client = renewing.client().await;
        let mut request = client.get(self.request_url(url)).headers(headers);
        if self.is_renamed(url) && !self.settings.http.headers.keys().any(|name| name.eq_ignore_ascii_case("host")) {
            request = request.header(header::HOST, super::host(url));
        }
        let request = self.settings.credentials.apply(request).await?;
        let response = request.send().await;
        let response = response.map_err(|error| failed(self.failure(&error)))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let max = self.settings.max_body;
        let body = read_whole(response, max).await.map_err(|error| match error {
            BodyError::Failed(error) => failed(self.failure(&error)),
            too_long @ BodyError::TooLong(_) => Failure::Body(format!("max_body: {too_long}")),
        })?;
        let body = match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => inflated(&body, max)?,
            _ => body,
        };
        Ok(Page { status, headers, body, took: start.elapsed() })
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        match error.is_timeout() {
            true => Failure::Timeout(self.settings.http.timeout),
            false => Failure::Connection(reason(error)),
        }
    }

    /// Whether the name in the request's URL is not the URL's host.
    fn is_renamed(&self, url: &Url) -> bool {
        url.scheme() == "https" && self.settings.server_name.is_some()
    }

    /// The URL of the request. Its host is the server name, since TLS takes the name from there.
    fn request_url(&self, url: &Url) -> Url {
        let mut request = unix::request_url(url.clone());
        if let Some(name) = self.settings.server_name.as_ref().filter(|_| self.is_renamed(url)) {
            let _ = request.set_host(Some(name));
        }
        request
    }

    fn client_for(&self, url: &Url) -> Result<Arc<RenewingClient>, Failure> {
        let route = match url.scheme() {
            unix::UNIX => Route::Socket(url.path().split(":/").next().unwrap_or_default().to_owned()),
            "https" if self.is_renamed(url) => Route::Named(url.host_str().unwrap_or_default().to_owned()),
            "https" => Route::Tls,
            _ => Route::Plain,
        };
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = routes.get(&route) {
            return Ok(known.clone());
        }
        let (settings, url, host) = (self.settings.clone(), url.clone(), route.clone());
        let make = move || settings.client(&url, &host);
        let made = Arc::new(RenewingClient::new(make).map_err(Failure::Credentials)?);
        routes.insert(route, made.clone());
        Ok(made)
    }
}

impl Settings {
    fn client(&self, url: &Url, route: &Route) -> Result<reqwest::Client, String> {
        let mut builder = builder();
        if self.follows_redirects {
            builder = builder.redirect(redirect::Policy::limited(10));
        }
        if let Route::Named(host) = route {
            builder = builder.dns_resolver(Arc::new(AddressesOf(host.clone())));
        }
        self.http.client_with(builder, url).map_err(|error| error.to_string())
    }
}

/// Resolves every name to the addresses of this host.
struct AddressesOf(String);

impl Resolve for AddressesOf {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn inflated(body: &[u8], max: usize) -> Result<Vec<u8>, Failure> {
    /// How much smaller gzip makes an exposition.
    const USUAL_RATIO: usize = 8;
    // Read by pieces: `read_to_end` would clear the remaining capacity of a growing buffer for each of them.
    let (mut decoder, mut whole, mut piece) =
        (MultiGzDecoder::new(body), Vec::with_capacity(max.min(USUAL_RATIO * body.len())), [0; 16 << 10]);
    loop {
        let read = decoder.read(&mut piece);
        match read.map_err(|error| Failure::Body(format!("expected a body in gzip's format: {error}")))? {
            0 => return Ok(whole),
            length => whole.extend_from_slice(&piece[..length]),
        }
        if whole.len() > max {
            return Err(Failure::Body(format!("max_body: {}", BodyError::TooLong(max))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::config::Document;

    fn settings(toml: &str) -> Result<Settings, Vec<String>> {
        let document = Document::parse("test", toml, &|_| None).unwrap();
        let checked = Section::check(&document, |section| Settings::new(section, Duration::from_secs(5)));
        checked.map_err(|problems| problems.lines().collect())
    }

    /// Responds to every request with `response`, and returns the heads of requests.
    fn server(response: Vec<u8>) -> (String, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let (heads, received) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let _ = heads.send(head.join("\n"));
                let _ = stream.write_all(&response);
            }
        });
        (url, received)
    }

    async fn get(toml: &str, url: &str, timeout: u64) -> Result<Page, Failure> {
        let client = Client::new(Arc::new(settings(toml).unwrap()));
        client.get(&parse(url).unwrap(), HeaderMap::new(), Duration::from_millis(timeout)).await
    }

    fn response(head: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n{head}\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn a_target_has_one_form_however_it_is_written() {
        for (text, url) in [
            ("http://a:1/x?y=1", Some("http://a:1/x?y=1")),
            ("localhost:9100", Some("http://localhost:9100/")),
            ("unix:/run/x.sock:/status", Some("unix:/run/x.sock:/status")),
            ("unix:///run/x.sock?path=/status&a=b", Some("unix:///run/x.sock:/status?a=b")),
            ("http+unix:///run/x.sock:/status", Some("unix:///run/x.sock:/status")),
            ("http://user:secret@a", None),
            ("ftp://a", None),
            ("unix:", None),
            ("http://", None),
        ] {
            assert_eq!(parse(text).ok().map(String::from).as_deref(), url, "{text}");
        }
    }

    #[test]
    fn one_kind_of_credentials_is_enough() {
        assert_eq!(settings("").unwrap().credentials, Credentials::None);
        for (toml, at) in [
            ("username = 'a'\nbearer_token = 'b'", "username"),
            ("password = 'a'", "username"),
            ("bearer_token = 'a'\nbearer_token_file = '/x'", "bearer_token_file"),
            ("username = 'a'\npassword = 'b'\npassword_file = '/x'", "password_file"),
        ] {
            let found = settings(toml).unwrap_err();
            assert!(found.len() == 1 && found[0].contains(at), "{found:?}");
        }
    }

    #[tokio::test]
    async fn files_with_credentials_are_read_for_each_request() {
        let (url, heads) = server(response("", b"a 1\n"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let client = Client::new(Arc::new(settings(&format!("bearer_token_file = {file:?}")).unwrap()));
        let url = parse(&url).unwrap();
        let get = || client.get(&url, HeaderMap::new(), Duration::from_secs(5));
        assert!(matches!(get().await, Err(Failure::Credentials(reason)) if reason.contains("token")));
        for token in ["one", "two"] {
            std::fs::write(&file, format!("{token}\n")).unwrap();
            assert_eq!(get().await.unwrap().body, b"a 1\n");
            assert!(heads.recv().unwrap().contains(&format!("authorization: Bearer {token}")));
        }
    }

    #[tokio::test]
    async fn a_body_is_limited_as_it_is_sent_and_decompressed() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![b'a'; 200 << 10]).unwrap();
        let zipped = encoder.finish().unwrap();
        let gzip = "content-encoding: gzip\r\n";
        let (url, _heads) = server(response(gzip, &zipped));
        assert_eq!(get("", &url, 5000).await.unwrap().body.len(), 200 << 10);
        let too_long = get("max_body = '100KiB'", &url, 5000).await;
        assert!(matches!(&too_long, Err(Failure::Body(reason)) if reason.contains("max_body")), "{too_long:?}");
        let (url, _heads) = server(response("", &vec![b'a'; 200 << 10]));
        assert!(matches!(get("max_body = '100KiB'", &url, 5000).await, Err(Failure::Body(_))));
        let (url, _heads) = server(response(gzip, b"no gzip"));
        assert!(matches!(get("", &url, 5000).await, Err(Failure::Body(_))));
    }

    #[tokio::test]
    async fn the_timeout_is_for_the_whole_exchange() {
        let mut slow = response("", b"a 1\n");
        slow.truncate(slow.len() - 1);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(&slow);
                open.push(stream);
            }
        });
        assert_eq!(get("", &url, 50).await.unwrap_err(), Failure::Timeout(Duration::from_millis(50)));
    }

    #[tokio::test]
    async fn redirects_are_followed_if_asked_for() {
        let (there, _heads) = server(response("", b"a 1\n"));
        let redirect = format!("HTTP/1.1 302 x\r\nlocation: {there}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let (url, _heads) = server(redirect.into_bytes());
        let page = get("", &url, 5000).await.unwrap();
        assert_eq!(page.ok().unwrap_err(), Failure::Status(302));
        assert_eq!(get("follow_redirects = true", &url, 5000).await.unwrap().status, 200);
    }
}
