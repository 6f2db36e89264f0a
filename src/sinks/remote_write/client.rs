//! Writes to a remote write receiver.

use std::hash::BuildHasher;

use reqwest::header;

use super::response::{is_v2, verdict, verdict_of_v2};
use super::settings::{Settings, Version};
use crate::client;
use crate::client::RenewingClient;
use crate::encode::hashed::HashedSet;
use crate::encode::lines::Lines;
use crate::encode::remote::record::{first_version, identities};
use crate::encode::remote::second_version::{Families, Request};
use crate::sinks::http::{self, ClientError, Response};
use crate::sinks::kind::{Client, WriteFuture};
use crate::sinks::verdict::Verdict;

/// Sends series to one server.
pub(super) struct RemoteWriteClient {
    client: RenewingClient,
    settings: Settings,
    /// The version to send: the server's, once known.
    version: Version,
    families: Families,
}

impl Client for RemoteWriteClient {
    fn write<'a>(&'a mut self, lines: &'a Lines) -> WriteFuture<'a> {
        Box::pin(self.send_first(lines))
    }
}

impl RemoteWriteClient {
    pub(super) fn new(settings: &Settings) -> Result<Self, ClientError> {
        Ok(RemoteWriteClient {
            client: settings.http.renewing(&settings.url)?,
            version: settings.version,
            settings: settings.clone(),
            families: Families::default(),
        })
    }

    /// Sends the leading series that fit into one request.
    async fn send_first(&mut self, lines: &Lines) -> (usize, Verdict) {
        let count = without_repetition(lines);
        if self.version != Version::First {
            let request = Request::new(lines.iter().take(count), &mut self.families);
            match self.send(&request.body, Version::Second).await {
                // The server may have been replaced since the last request.
                Ok(response) if self.settings.version == Version::Any && !is_v2(&response) => {}
                Ok(response) => return (count, verdict_of_v2(&response, request.samples)),
                Err(verdict) => return (count, verdict),
            }
        }
        let body = first_version(lines.iter().take(count), lines.bytes().len());
        let verdict = match self.send(&body, Version::First).await {
            Ok(response) => verdict(&response),
            Err(verdict) => verdict,
        };
        // A server that refuses both versions may not be a receiver at all.
        if self.version != Version::First && verdict == Verdict::Delivered {
            tracing::info!("{} takes remote write 1.0, and not 2.0", client::display_url(&self.settings.url));
            self.version = Version::First;
        }
        (count, verdict)
    }

    async fn send(&self, body: &[u8], version: Version) -> Result<Response, Verdict> {
        let body = snap::raw::Encoder::new()
            .compress_vec(body)
            .map_err(|error| Verdict::TooLarge { is_foreign: false, message: error.to_string() })?;
        let mut request = self.client.client().await.post(self.settings.url.clone());
        request = match (&self.settings.user, &self.settings.token) {
            (Some((name, password)), _) => request.basic_auth(name, Some(password.reveal())),
            (None, Some(token)) => request.bearer_auth(token.reveal()),
            (None, None) => request,
        };
        let (content_type, number) = match version {
            Version::Second => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
            _ => ("application/x-protobuf", "0.1.0"),
        };
        let request = request
            .header(header::CONTENT_TYPE, content_type)
            .header(header::CONTENT_ENCODING, "snappy")
            .header("x-prometheus-remote-write-version", number);
        let response = http::send(request.body(body), http::MESSAGE).await;
        if !response.as_ref().is_ok_and(|response| response.status < 300) {
            self.client.has_failed();
        }
        response
    }
}

/// The number of lines before a series repeats. Sending such a request twice changes nothing: a server accepts a sample
/// again as long as it is the last of its series.
fn without_repetition(lines: &Lines) -> usize {
    let hasher = foldhash::fast::RandomState::default();
    let mut seen = HashedSet::default();
    seen.reserve(lines.count());
    let is_new = |line: &[u8]| identities(line).all(|series| seen.insert(hasher.hash_one(series)));
    lines.iter().map(is_new).take_while(|is_new| *is_new).count()
}
