//! The gateway and the group to push to.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::{Client, Method, RequestBuilder, Url};

use super::response::{GatewayResponse, PushError};
use super::spool::PushRequest;
use crate::backoff::Backoff;
use crate::client::unix::{UNIX, for_url, request_url};
use crate::client::{self, Tls};
use crate::config::{Secret, Secrets};
use crate::encode::parse::model::Measure;
use crate::encode::parse::{Format, Limits, parse};
use crate::gateway::groups::markers::PUSH_TIME;
use crate::gateway::key::Key;
use crate::percent;

/// The address of a group on a gateway.
#[derive(Clone, Debug)]
pub struct Address {
    /// The group's URL without credentials.
    group: Url,
    /// The gateway's part of the path.
    gateway: String,
    /// Credentials from the URL.
    credentials: Credentials,
}

/// A group, with the client and credentials to reach it.
pub struct Target {
    client: Client,
    address: Address,
    credentials: Credentials,
    /// Secrets to redact from gateway responses.
    secrets: Secrets,
    /// How long to retry.
    timeout: Duration,
}

/// Credentials for a gateway.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// None.
    #[default]
    None,
    /// A bearer token.
    Token(Secret),
    /// A user name and password.
    User(String, Secret),
}

impl Credentials {
    fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        match self {
            Credentials::None => {}
            Credentials::Token(token) => secrets.add(token.reveal()),
            Credentials::User(name, password) => secrets.add_user(name, password.reveal()),
        }
        secrets
    }
}

/// Why this run cannot send a stored push.
#[derive(Clone, Debug, PartialEq)]
pub enum Unsendable {
    /// It is for another gateway, whose credentials this run does not have.
    OtherGateway(String),
    /// `taffrail push` did not write it.
    Malformed(String),
}

impl Address {
    /// The group at `path` of the gateway at `url`; `query` holds options of the push, such as `ttl=1h`.
    ///
    /// # Errors
    /// Why the URL is invalid. The message does not contain the URL.
    pub fn new(url: &str, path: &str, query: &str) -> Result<Address, String> {
        // Both spellings of a socket are one gateway.
        let with_scheme = client::with_scheme(url, "http").replacen("unix:///", "unix:/", 1);
        let mut group = Url::parse(&with_scheme).map_err(|error| error.to_string())?;
        if !["http", "https", UNIX].contains(&group.scheme()) {
            return Err("expected http://, https:// or unix:/".to_owned());
        }
        if group.scheme() == UNIX && !group.path().contains(":/") {
            group.set_path(&format!("{}:/", group.path()));
        }
        if format!("{}/", group.path()).contains("/metrics/job/") {
            return Err(
                "expected the gateway's URL, which ends before /metrics; --job and --label name the group".to_owned()
            );
        }
        let credentials = match group.username() {
            "" => Credentials::None,
            name => {
                let password = Secret::of_one_line(percent::decode_text(group.password().unwrap_or_default()));
                Credentials::User(percent::decode_text(name), password?)
            }
        };
        // They are sent in a header, and appear in no message.
        let _ = (group.set_username(""), group.set_password(None));
        let gateway = format!("{}/", group.path().trim_end_matches('/'));
        group.set_path(&format!("{gateway}{path}"));
        group.set_query(Some(query).filter(|query| !query.is_empty()));
        Ok(Address { group, gateway, credentials })
    }

    /// Whether the gateway's URL ends with the path of its scrapes, which is no part of it.
    pub fn has_scrape_path(&self) -> bool {
        self.gateway.ends_with("/metrics/")
    }

    /// The group's URL, without credentials.
    pub fn url(&self) -> &str {
        self.group.as_str()
    }

    /// The group of a stored push, if it is on this gateway.
    ///
    /// # Errors
    /// If it must not be sent there.
    pub fn group_of(&self, push: &PushRequest) -> Result<Key, Unsendable> {
        let malformed = |what: &str| Unsendable::Malformed(what.to_owned());
        if !["POST", "PUT", "DELETE"].contains(&push.method.as_str()) {
            return Err(malformed("its method is none of POST, PUT and DELETE"));
        }
        let url = push.url.as_deref().map_or_else(|| Ok(self.group.clone()), Url::parse);
        let url = url.map_err(|_| malformed("its URL is none"))?;
        let is_as_written = push.url.as_deref().is_none_or(|written| written == url.as_str());
        let below = url.path().strip_prefix(self.gateway.as_str());
        // The path of a Unix socket is the beginning of its URL's path.
        let is_same_server = match url.scheme() {
            UNIX => self.group.scheme() == UNIX,
            _ => url.origin() == self.group.origin(),
        };
        let (Some(below), true) = (below, is_same_server) else {
            let is_unix = url.scheme() == UNIX;
            let gateway = if is_unix { UNIX.to_owned() } else { url.origin().ascii_serialization() };
            return Err(Unsendable::OtherGateway(gateway));
        };
        let does_what_a_push_does = |(name, _): (Cow<str>, Cow<str>)| ["ttl", "mode", "gauges"].contains(&&*name);
        match below.strip_prefix("metrics/").map(Key::from_path) {
            // A path that is not normalized may lead elsewhere: `/metrics/job/x/../y`.
            Some(Ok(key)) if is_as_written && url.query_pairs().all(does_what_a_push_does) => Ok(key),
            _ => Err(malformed("its URL is not that of a group")),
        }
    }
}

impl Target {
    /// Creates the client for a group.
    ///
    /// # Errors
    /// Which file is invalid, and why.
    pub fn new(address: Address, credentials: Credentials, tls: &Tls, timeout: Duration) -> Result<Target, String> {
        let credentials = match credentials {
            Credentials::None => address.credentials.clone(),
            given => given,
        };
        let is_https = address.group.scheme() == "https";
        let builder = for_url(client::builder(), &address.group)?;
        let client = tls.apply(builder, is_https, ["--ca-file", "--cert-file"])?;
        let client = client.build().map_err(|error| client::reason(&error))?;
        let secrets = credentials.secrets();
        Ok(Target { client, address, credentials, secrets, timeout })
    }

    /// Time of the last push to each group, from the gateway's exposition, converted to our clock; `None` if it
    /// cannot be determined.
    pub async fn last_pushes(&self) -> Option<HashMap<Key, SystemTime>> {
        let mut url = self.address.group.clone();
        url.set_path(&format!("{}metrics", self.address.gateway));
        url.set_query(None);
        let request = self.identified(self.client.get(request_url(url))).timeout(self.timeout);
        let answer = request.send().await.ok().filter(|answer| answer.status().is_success())?;
        // Comparing times needs both clocks.
        let theirs = httpdate::parse_http_date(answer.headers().get("date")?.to_str().ok()?).ok()?;
        let ours = SystemTime::now();
        let text = push_times(answer).await?;
        let limits = Limits { series: usize::MAX, ..Limits::default() };
        let parsed = parse(Format::Text, &text, &limits).ok()?;
        let metrics = parsed.families.iter().flat_map(|family| &family.metrics);
        let pushed = metrics.filter_map(|metric| {
            let labels = metric.labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            let since = match metric.measure {
                Measure::Number(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
                _ => return None,
            };
            let at = UNIX_EPOCH + since;
            let in_our_clock = match theirs.duration_since(at) {
                Ok(ago) => ours.checked_sub(ago)?,
                Err(ahead) => ours.checked_add(ahead.duration())?,
            };
            Some((Key::new(labels).ok()?, in_our_clock))
        });
        Some(pushed.collect())
    }

    fn identified(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::None => request,
            Credentials::Token(token) => request.bearer_auth(token.reveal()),
            Credentials::User(name, password) => request.basic_auth(name, Some(password.reveal())),
        }
    }

    /// Sends one push; retries with backoff until the timeout.
    ///
    /// # Errors
    /// If it was not accepted.
    pub async fn send(&self, push: &PushRequest) -> Result<(), PushError> {
        const MIN_PAUSE: Duration = Duration::from_millis(400);
        const MAX_PAUSE: Duration = Duration::from_secs(60);
        let (begun, mut backoff) = (Instant::now(), Backoff::new(MIN_PAUSE, MAX_PAUSE));
        loop {
            let left = self.timeout.saturating_sub(begun.elapsed());
            let result = self.try_once(push, left).await;
            let pause = backoff.pause();
            match result {
                Err(PushError::Retryable(_)) if begun.elapsed() + pause < self.timeout => {
                    tokio::time::sleep(pause).await;
                }
                done => return done,
            }
        }
    }

    async fn try_once(&self, push: &PushRequest, time: Duration) -> Result<(), PushError> {
        let method = Method::from_bytes(push.method.as_bytes())
            .map_err(|_| PushError::Refused(format!("{} is no method", push.method)))?;
        let url =
            push.url.as_deref().and_then(|url| Url::parse(url).ok()).unwrap_or_else(|| self.address.group.clone());
        let request = self.client.request(method, request_url(url)).timeout(time.max(Duration::from_millis(1)));
        let mut request = self.identified(request);
        request = request.header("idempotency-key", &push.key);
        if !push.content_type.is_empty() {
            request = request.header("content-type", &push.content_type);
        }
        let answer = request.body(push.body.clone()).send().await;
        let answer = answer.map_err(|error| PushError::Retryable(client::reason(&error)))?;
        GatewayResponse::read(answer).await.outcome(&push.method, &self.secrets)
    }
}

/// The push times in an exposition; `None` if it is incomplete.
async fn push_times(mut answer: reqwest::Response) -> Option<Vec<u8>> {
    const MAX_LINE_BYTES: usize = 64 << 10;
    const MAX_BYTES: usize = 16 << 20;
    let (mut lines, mut rest) = (Vec::new(), Vec::new());
    while let Some(bytes) = answer.chunk().await.ok()? {
        rest.extend_from_slice(&bytes);
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = rest.drain(..end).collect();
        let of_times =
            |line: &&[u8]| line.starts_with(PUSH_TIME.as_bytes()) && line.get(PUSH_TIME.len()) == Some(&b'{');
        whole.split_inclusive(|byte| *byte == b'\n').filter(of_times).for_each(|line| lines.extend_from_slice(line));
        if rest.len() > MAX_LINE_BYTES || lines.len() > MAX_BYTES {
            return None;
        }
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, String> {
        Address::new(url, "metrics/job/a", "ttl=1h")
    }

    #[test]
    fn credentials_in_a_url_are_not_shown() {
        let with_password = address("http://ann:wonder@127.0.0.1:9091/below/").unwrap();
        assert_eq!(with_password.url(), "http://127.0.0.1:9091/below/metrics/job/a?ttl=1h");
        let target = Target::new(with_password, Credentials::None, &Tls::default(), Duration::ZERO).unwrap();
        assert!(matches!(target.credentials, Credentials::User(name, _) if name == "ann"));
        assert_eq!(address("localhost:9091").unwrap().url(), "http://localhost:9091/metrics/job/a?ttl=1h");
        let socket = address("unix:///run/gateway.sock").unwrap();
        assert_eq!(socket.url(), "unix:/run/gateway.sock:/metrics/job/a?ttl=1h");
        assert_eq!(address("unix:/x:/below/").unwrap().url(), "unix:/x:/below/metrics/job/a?ttl=1h");
        for group in ["http://ann:wonder@a/metrics/job/b", "a:1/metrics/job/", "a:1/x/metrics/job"] {
            let reason = address(group).unwrap_err();
            assert!(reason.contains("ends before /metrics") && !reason.contains("wonder"), "{reason}");
        }
        assert!(address("a:1/metrics").unwrap().has_scrape_path() && !address("a:1").unwrap().has_scrape_path());
        for malformed in ["ftp://ann:wonder@a", "http://ann:wonder@a:port"] {
            assert!(!address(malformed).unwrap_err().contains("wonder"));
        }
    }

    #[test]
    fn what_was_kept_goes_to_groups_of_this_gateway_alone() {
        let ours = address("http://a:1/below").unwrap();
        let of = |method: &str, url: &str| {
            let kept = PushRequest { url: Some(url.to_owned()), ..PushRequest::new(method, Vec::new()) };
            ours.group_of(&kept).map(|key| key.job().to_owned())
        };
        assert_eq!(of("PUT", "http://a:1/below/metrics/job/x/host/y?ttl=60s&mode=series"), Ok("x".to_owned()));
        for elsewhere in
            ["http://b:1/below/metrics/job/x", "https://a:1/below/metrics/job/x", "http://a:1/metrics/job/x"]
        {
            assert!(matches!(of("POST", elsewhere), Err(Unsendable::OtherGateway(_))), "{elsewhere}");
        }
        for malformed in [
            "api/v1/admin/wipe",
            "metrics/job",
            "metrics/../api",
            "metrics/job/y/%2e%2e/x",
            "-/quit",
            "metrics/job/x?all=1",
            "write",
        ] {
            let url = format!("http://a:1/below/{malformed}");
            assert!(matches!(of("DELETE", &url), Err(Unsendable::Malformed(_))), "{malformed}");
        }
        let socket = address("unix:/run/x.sock").unwrap();
        let of_socket = |url: &str| {
            let kept = PushRequest { url: Some(url.to_owned()), ..PushRequest::new("PUT", Vec::new()) };
            socket.group_of(&kept).map(|key| key.job().to_owned())
        };
        assert_eq!(of_socket("unix:/run/x.sock:/metrics/job/x"), Ok("x".to_owned()));
        for elsewhere in ["unix:/run/y.sock:/metrics/job/x", "http://localhost/metrics/job/x"] {
            assert!(matches!(of_socket(elsewhere), Err(Unsendable::OtherGateway(_))), "{elsewhere}");
        }
        assert!(matches!(of("PUT", "unix:/run/x.sock:/below/metrics/job/x"), Err(Unsendable::OtherGateway(_))));
        assert!(matches!(of("GET", "http://a:1/below/metrics/job/x"), Err(Unsendable::Malformed(_))));
        assert!(matches!(of("PUT", "nonsense"), Err(Unsendable::Malformed(_))));
    }
}
