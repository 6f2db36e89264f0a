//! Servers that have their values on a page of HTTP.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::kind::check_names;
use crate::client::target::{self, Client};
use crate::client::unix;
use crate::config::{Key, Section};

/// A client of the pages of a section.
#[derive(Debug)]
pub(super) struct Pages {
    client: Client,
    timeout: Duration,
}

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) url: Url,
    /// The host and the port as tags; the socket without a port.
    pub(super) server: String,
    pub(super) port: String,
}

impl Pages {
    /// The client, with the settings of the section.
    pub(super) fn new(section: &mut Section<'_>, timeout: Duration) -> Pages {
        Pages { client: Client::new(Arc::new(target::Settings::new(section, timeout))), timeout }
    }

    /// The text of a page.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn get(&self, url: &Url) -> Result<String, String> {
        let page = self.client.get(url, HeaderMap::new(), self.timeout).await.and_then(target::Page::ok);
        let body = page.map_err(|failure| failure.to_string())?.body;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

impl Page {
    /// The pages that the setting `key` names, each with the name that is shown.
    pub(super) fn all(section: &mut Section<'_>, key: &Key<Vec<String>>) -> Vec<(String, Page)> {
        let (name, texts) = (key.info().name, section.optional(key).unwrap_or_default());
        let mut pages: Vec<(String, Page)> = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match target::parse(text) {
                Ok(url) => pages.push(Page::of(url)),
                Err(expected) => section.wrong_element(name, index, expected),
            }
        }
        if pages.len() == texts.len() {
            check_names(section, name, &pages.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        }
        pages
    }

    /// The page at `url`, with the name that is shown: the host and the port, or the socket.
    pub(super) fn of(url: Url) -> (String, Page) {
        match unix::socket(&url) {
            Some(socket) => {
                let name = socket.display().to_string();
                (name.clone(), Page { url, server: name, port: String::new() })
            }
            None => {
                let server = url.host_str().unwrap_or_default().to_owned();
                let port = url.port_or_known_default().map(|port| port.to_string()).unwrap_or_default();
                (format!("{server}:{port}"), Page { url, server, port })
            }
        }
    }
}
