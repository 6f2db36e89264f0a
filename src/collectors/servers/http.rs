//! Servers that have their values on a page of HTTP.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use crate::client::target::{self, Client};
use crate::client::unix;
use crate::config::Section;

/// A client of the pages of a section.
#[derive(Debug)]
pub(super) struct Pages {
    client: Client,
    timeout: Duration,
    /// Bytes of a page.
    pub(super) max_body: usize,
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
        let settings = target::Settings::of_status(section, timeout);
        Pages { timeout, max_body: settings.max_body, client: Client::new(Arc::new(settings)) }
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
    /// The page that a setting names, with the name that is shown.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn parse(text: &str) -> Result<(String, Page), &'static str> {
        target::parse(text).map(Page::of)
    }

    /// The page at `url`, with the name that is shown: the host and the port, or the socket.
    fn of(url: Url) -> (String, Page) {
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
