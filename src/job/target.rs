//! The gateway and the group that is pushed to.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};

use super::spool::Kept;
use crate::client::{self, Tls};
use crate::config::Secret;
use crate::encode::parse::model::Measure;
use crate::encode::parse::{Format, Limits, parse};
use crate::gateway::key::Key;
use crate::gateway::state::PUSH_TIME;

/// Where to push: a group of a gateway.
#[derive(Clone, Debug)]
pub struct Address {
    /// The group, without credentials.
    group: Url,
    /// How much of its path is the gateway's.
    gateway: String,
    /// Who pushes, as the URL says.
    credentials: Credentials,
}

/// Where and how to push.
pub struct Target {
    client: Client,
    address: Address,
    credentials: Credentials,
    /// How long to try.
    timeout: Duration,
}

/// Who pushes.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// A bearer.
    Token(Secret),
    /// A user.
    User(String, Secret),
}

/// Why a push did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The gateway will never take it.
    #[error("the gateway refuses it: {0}")]
    Refused(String),
    /// The gateway does not take it from those credentials: 401 or 403.
    #[error("the gateway refuses it: {0}")]
    Denied(String),
    /// It may take it later.
    #[error("{0}")]
    Later(String),
}

/// Why a push that was kept is not sent by this run.
#[derive(Clone, Debug, PartialEq)]
pub enum NotOurs {
    /// It is for another gateway, which alone gets its credentials.
    Elsewhere(String),
    /// It is none that `taffrail push` writes.
    Wrong(String),
}

impl Address {
    /// The group at `path` of the gateway at `url`; `query` says what a push does, such as `ttl=1h`.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn new(url: &str, path: &str, query: &str) -> Result<Address, String> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let mut group = Url::parse(&with_scheme).map_err(|error| format!("--url: {error}"))?;
        if !["http", "https"].contains(&group.scheme()) {
            return Err("--url: expected http:// or https://".to_owned());
        }
        let credentials = match group.username() {
            "" => Credentials::None,
            name => Credentials::User(name.to_owned(), Secret::new(group.password().unwrap_or_default())),
        };
        // They go into a header, and into no message.
        let _ = (group.set_username(""), group.set_password(None));
        let gateway = format!("{}/", group.path().trim_end_matches('/'));
        group.set_path(&format!("{gateway}{path}"));
        group.set_query(Some(query).filter(|query| !query.is_empty()));
        Ok(Address { group, gateway, credentials })
    }

    /// The group's URL, without credentials.
    pub fn url(&self) -> &str {
        self.group.as_str()
    }

    /// The group that a push that was kept is for, if it is one of this gateway.
    ///
    /// # Errors
    /// Why it is not to be sent there.
    pub fn group_of(&self, push: &Kept) -> Result<Key, NotOurs> {
        let wrong = |what: &str| NotOurs::Wrong(what.to_owned());
        if !["POST", "PUT", "DELETE"].contains(&push.method.as_str()) {
            return Err(wrong("its method is none of POST, PUT and DELETE"));
        }
        let url = push.url.as_deref().map_or_else(|| Ok(self.group.clone()), Url::parse);
        let url = url.map_err(|_| wrong("its URL is none"))?;
        let is_as_written = push.url.as_deref().is_none_or(|written| written == url.as_str());
        let below = url.path().strip_prefix(self.gateway.as_str());
        let (Some(below), true) = (below, url.origin() == self.group.origin()) else {
            return Err(NotOurs::Elsewhere(url.origin().ascii_serialization()));
        };
        let does_what_a_push_does = |(name, _): (Cow<str>, Cow<str>)| ["ttl", "mode", "gauges"].contains(&&*name);
        match below.strip_prefix("metrics/").map(Key::from_path) {
            // One that is not written as we write it may lead elsewhere than it says: `/metrics/job/x/../y`.
            Some(Ok(key)) if is_as_written && url.query_pairs().all(does_what_a_push_does) => Ok(key),
            _ => Err(wrong("its URL is not that of a group")),
        }
    }
}

impl Target {
    /// A group, and how to reach its gateway.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub fn new(address: Address, credentials: Credentials, tls: &Tls, timeout: Duration) -> Result<Target, String> {
        let credentials = match credentials {
            Credentials::None => address.credentials.clone(),
            given => given,
        };
        let is_https = address.group.scheme() == "https";
        let client = tls.apply(client::builder(), is_https, ["--ca-file", "--cert-file"])?;
        let client = client.build().map_err(|error| client::reason(&error))?;
        Ok(Target { client, address, credentials, timeout })
    }

    /// When the gateway was last pushed to for each group, by its exposition and in our clock; nothing if it does not
    /// say.
    pub async fn last_pushes(&self) -> Option<HashMap<Key, SystemTime>> {
        let mut url = self.address.group.clone();
        url.set_path(&format!("{}metrics", self.address.gateway));
        url.set_query(None);
        let request = self.identified(self.client.get(url)).timeout(self.timeout);
        let answer = request.send().await.ok().filter(|answer| answer.status().is_success())?;
        // Only with both clocks is it known which push is newer.
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

    /// Sends one push, again and again as long as there is hope and time.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub async fn send(&self, push: &Kept) -> Result<(), PushError> {
        const FIRST_PAUSE: Duration = Duration::from_millis(200);
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let left = self.timeout.saturating_sub(begun.elapsed());
            match self.try_once(push, left).await {
                Err(PushError::Later(_)) if begun.elapsed() + pause < self.timeout => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    }

    async fn try_once(&self, push: &Kept, time: Duration) -> Result<(), PushError> {
        let method = Method::from_bytes(push.method.as_bytes())
            .map_err(|_| PushError::Refused(format!("{} is no method", push.method)))?;
        let url =
            push.url.as_deref().and_then(|url| Url::parse(url).ok()).unwrap_or_else(|| self.address.group.clone());
        let request = self.client.request(method, url).timeout(time.max(Duration::from_millis(1)));
        let mut request = self.identified(request);
        request = request.header("idempotency-key", &push.key);
        if !push.content_type.is_empty() {
            request = request.header("content-type", &push.content_type);
        }
        let answer = request.body(push.body.clone()).send().await;
        let answer = answer.map_err(|error| PushError::Later(client::reason(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let said = answer.text().await.unwrap_or_default();
        let message = format!("{status}: {}", said.trim().lines().next().unwrap_or_default());
        let is_hopeless = status.is_client_error()
            && ![StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
            || status.is_redirection();
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PushError::Denied(message),
            _ if is_hopeless => PushError::Refused(message),
            _ => PushError::Later(message),
        })
    }
}

/// The lines of an exposition that say when groups were pushed to; nothing if it is cut off.
async fn push_times(mut answer: reqwest::Response) -> Option<Vec<u8>> {
    const LONGEST_LINE: usize = 64 << 10;
    let (mut lines, mut rest) = (Vec::new(), Vec::new());
    while let Some(bytes) = answer.chunk().await.ok()? {
        rest.extend_from_slice(&bytes);
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = rest.drain(..end).collect();
        let of_times =
            |line: &&[u8]| line.starts_with(PUSH_TIME.as_bytes()) && line.get(PUSH_TIME.len()) == Some(&b'{');
        whole.split_inclusive(|byte| *byte == b'\n').filter(of_times).for_each(|line| lines.extend_from_slice(line));
        if rest.len() > LONGEST_LINE {
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
        for wrong in ["ftp://ann:wonder@a", "http://ann:wonder@a:port"] {
            assert!(!address(wrong).unwrap_err().contains("wonder"));
        }
    }

    #[test]
    fn what_was_kept_goes_to_groups_of_this_gateway_alone() {
        let ours = address("http://a:1/below").unwrap();
        let of = |method: &str, url: &str| {
            let kept = Kept { url: Some(url.to_owned()), ..Kept::new(method, Vec::new()) };
            ours.group_of(&kept).map(|key| key.job().to_owned())
        };
        assert_eq!(of("PUT", "http://a:1/below/metrics/job/x/host/y?ttl=60s&mode=series"), Ok("x".to_owned()));
        for elsewhere in
            ["http://b:1/below/metrics/job/x", "https://a:1/below/metrics/job/x", "http://a:1/metrics/job/x"]
        {
            assert!(matches!(of("POST", elsewhere), Err(NotOurs::Elsewhere(_))), "{elsewhere}");
        }
        for wrong in [
            "api/v1/admin/wipe",
            "metrics/job",
            "metrics/../api",
            "metrics/job/y/%2e%2e/x",
            "-/quit",
            "metrics/job/x?all=1",
            "write",
        ] {
            let url = format!("http://a:1/below/{wrong}");
            assert!(matches!(of("DELETE", &url), Err(NotOurs::Wrong(_))), "{wrong}");
        }
        assert!(matches!(of("GET", "http://a:1/below/metrics/job/x"), Err(NotOurs::Wrong(_))));
        assert!(matches!(of("PUT", "nonsense"), Err(NotOurs::Wrong(_))));
    }
}
