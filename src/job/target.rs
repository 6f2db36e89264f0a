//! The gateway and the group that is pushed to.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode, Url};

use super::spool::Kept;
use crate::client::{self, Tls};
use crate::config::Secret;

/// Where and how to push.
pub struct Target {
    client: Client,
    group: Url,
    credentials: Credentials,
    /// How long to try.
    patience: Duration,
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
    /// It may take it later.
    #[error("{0}")]
    Later(String),
}

impl Target {
    /// The group at `path` of the gateway at `url`; `query` says what a push does, such as `ttl=1h`.
    ///
    /// # Errors
    /// What is wrong, and with what.
    pub fn new(
        url: &str,
        path: &str,
        query: &str,
        credentials: Credentials,
        tls: &Tls,
        patience: Duration,
    ) -> Result<Target, String> {
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let mut gateway = Url::parse(&with_scheme).map_err(|error| format!("--url {url}: {error}"))?;
        if !["http", "https"].contains(&gateway.scheme()) {
            return Err(format!("--url {url}: expected http:// or https://"));
        }
        let mut credentials = credentials;
        if let (Credentials::None, false) = (&credentials, gateway.username().is_empty()) {
            let password = Secret::new(gateway.password().unwrap_or_default());
            credentials = Credentials::User(gateway.username().to_owned(), password);
        }
        // They go into a header, and into no message.
        let _ = (gateway.set_username(""), gateway.set_password(None));
        let below = gateway.path().trim_end_matches('/').to_owned();
        gateway.set_path(&format!("{below}/{path}"));
        gateway.set_query(Some(query).filter(|query| !query.is_empty()));
        let client = tls.apply(client::builder(), gateway.scheme() == "https", ["--ca-file", "--cert-file"])?;
        let client = client.build().map_err(|error| client::reason(&error))?;
        Ok(Target { client, group: gateway, credentials, patience })
    }

    /// The group's URL, without credentials.
    pub fn url(&self) -> &str {
        self.group.as_str()
    }

    /// Whether a push that was kept is for this gateway: no other gets its credentials.
    pub fn is_for(&self, push: &Kept) -> bool {
        let url = push.url.as_deref().and_then(|url| Url::parse(url).ok());
        url.is_none_or(|url| url.origin() == self.group.origin())
    }

    /// Sends one push, again and again as long as there is hope and time.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub async fn send(&self, push: &Kept) -> Result<(), PushError> {
        const FIRST_PAUSE: Duration = Duration::from_millis(200);
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let left = self.patience.saturating_sub(begun.elapsed());
            match self.try_once(push, left).await {
                Err(PushError::Later(_)) if begun.elapsed() + pause < self.patience => {
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
        let url = push.url.as_deref().and_then(|url| Url::parse(url).ok()).unwrap_or_else(|| self.group.clone());
        let mut request = self.client.request(method, url).timeout(time.max(Duration::from_millis(1)));
        request = match &self.credentials {
            Credentials::None => request,
            Credentials::Token(token) => request.bearer_auth(token.reveal()),
            Credentials::User(name, password) => request.basic_auth(name, Some(password.reveal())),
        };
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
        Err(if is_hopeless { PushError::Refused(message) } else { PushError::Later(message) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_url_are_not_shown() {
        let target =
            |url: &str| Target::new(url, "metrics/job/a", "ttl=1h", Credentials::None, &Tls::default(), Duration::ZERO);
        let with_password = target("http://ann:wonder@127.0.0.1:9091/below/").unwrap();
        assert_eq!(with_password.url(), "http://127.0.0.1:9091/below/metrics/job/a?ttl=1h");
        assert!(matches!(with_password.credentials, Credentials::User(name, _) if name == "ann"));
        assert_eq!(target("localhost:9091").unwrap().url(), "http://localhost:9091/metrics/job/a?ttl=1h");
        assert!(target("ftp://a").is_err());
    }
}
