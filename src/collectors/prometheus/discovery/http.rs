//! `http_sd_configs`: a server that lists targets.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::files::of_json;
use super::{Found, Group, interval};
use crate::client::{display_url, target};
use crate::config::{Key, KeyInfo, Section};
use crate::encode::infos::concat;

/// A server.
#[derive(Debug)]
pub(in crate::collectors::prometheus) struct Http {
    url: Url,
    client: target::Client,
    pub(super) interval: Duration,
}

const URL: Key<String> = Key::optional("url", "URL of the list.");
const REFRESH_INTERVAL: Key<Duration> = Key::new("refresh_interval", "\"1m\"", "Interval of requests.");
const TIMEOUT: Key<Duration> = Key::new("timeout", "\"10s\"", "Timeout of a request.");
const OWN_KEYS: &[KeyInfo] = &[URL.info(), REFRESH_INTERVAL.info(), TIMEOUT.info()];
pub(super) const KEYS: [KeyInfo; OWN_KEYS.len() + target::KEYS.len()] = concat(&[OWN_KEYS, &target::KEYS]);

impl Http {
    pub(super) fn new(section: &mut Section<'_>) -> Http {
        let url = target::parse(&section.optional(&URL).unwrap_or_default());
        let url = url.unwrap_or_else(|expected| {
            section.wrong("url", expected);
            Url::parse("http://localhost").unwrap_or_else(|_| unreachable!("a URL"))
        });
        let timeout = section.above_zero(&TIMEOUT);
        let settings = target::Settings::new(section, timeout);
        let client = target::Client::new(Arc::new(settings));
        Http { url, client, interval: interval(section, &REFRESH_INTERVAL) }
    }

    pub(super) fn summary(&self) -> String {
        display_url(&self.url)
    }

    pub(super) async fn find(&self) -> Found {
        let found = self.list().await;
        found.map_err(|reason| format!("{}: {reason}", self.summary())).into()
    }

    async fn list(&self) -> Result<Vec<Group>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(reqwest::header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            HeaderName::from_static("x-prometheus-refresh-interval-seconds"),
            HeaderValue::from_str(&self.interval.as_secs_f64().to_string()).map_err(|error| error.to_string())?,
        );
        let page = self.client.get(&self.url, headers, self.client.settings().http.timeout).await;
        let page = page.and_then(target::Page::ok).map_err(|failure| failure.to_string())?;
        let content_type = page.content_type();
        let mut parts = content_type.split(';').map(str::trim);
        if !parts.next().unwrap_or_default().eq_ignore_ascii_case("application/json") {
            return Err(format!("expected the content type application/json, found {content_type:?}"));
        }
        let text = std::str::from_utf8(&page.body).map_err(|_| "expected JSON, found no UTF-8".to_owned())?;
        let mut groups = of_json(text)?;
        let url = display_url(&self.url);
        groups.iter_mut().for_each(|group| drop(group.labels.insert("__meta_url".to_owned(), url.clone())));
        Ok(groups)
    }
}
