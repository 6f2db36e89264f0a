//! The requests.

use std::collections::HashSet;
use std::hash::BuildHasher;

use reqwest::header;

use super::answer::{is_of_second, meaning, meaning_of_second};
use super::settings::{Settings, Version};
use crate::client;
use crate::client::Renewing;
use crate::encode::point::Lines;
use crate::encode::remote::first_version;
use crate::encode::remote::record::Record;
use crate::encode::remote::second_version::{Families, Request};
use crate::sinks::answer::Answer;
use crate::sinks::http::{self, Answered, ClientError};

/// Sends series to one server.
pub(in crate::sinks) struct Connection {
    client: Renewing,
    settings: Settings,
    /// The version that the server understands, as far as that is known.
    version: Version,
    families: Families,
}

impl Connection {
    pub(in crate::sinks) fn new(settings: &Settings) -> Result<Self, ClientError> {
        Ok(Connection {
            client: settings.http.renewing(&settings.url)?,
            version: settings.version,
            settings: settings.clone(),
            families: Families::default(),
        })
    }

    /// Sends series, or as many of the first as go into one request, and says how many the answer is about.
    pub(in crate::sinks) async fn write(&mut self, lines: &Lines) -> (usize, Answer) {
        let count = without_repetition(lines);
        if self.version != Version::First {
            let request = Request::new(lines.iter().take(count), &mut self.families);
            match self.send(&request.body, Version::Second).await {
                // Also a server that was another yesterday.
                Ok(answered) if self.settings.version == Version::Any && !is_of_second(&answered) => {}
                Ok(answered) => return (count, meaning_of_second(&answered, request.samples)),
                Err(answer) => return (count, answer),
            }
        }
        let body = first_version::request(lines.iter().take(count));
        let answer = match self.send(&body, Version::First).await {
            Ok(answered) => meaning(&answered),
            Err(answer) => answer,
        };
        // What refuses both may be no receiver at all.
        if self.version != Version::First && answer == Answer::Delivered {
            tracing::info!("{} takes remote write 1.0, and not 2.0", client::place(&self.settings.url));
            self.version = Version::First;
        }
        (count, answer)
    }

    async fn send(&self, body: &[u8], version: Version) -> Result<Answered, Answer> {
        let body = snap::raw::Encoder::new()
            .compress_vec(body)
            .map_err(|error| Answer::TooLarge { is_foreign: false, message: error.to_string() })?;
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
        let answered = http::send(request.body(body), http::MESSAGE).await;
        if !answered.as_ref().is_ok_and(|answered| answered.status < 300) {
            self.client.has_failed();
        }
        answered
    }
}

/// How many of the first are different series. Sent twice, such a request changes nothing: a server takes a sample that it
/// has, as long as it is the series' last.
fn without_repetition(lines: &Lines) -> usize {
    let hasher = foldhash::fast::RandomState::default();
    let mut seen = HashSet::with_capacity(lines.count());
    let is_new = |line: &[u8]| match Record::read(line) {
        Some(Record::Series(series)) => seen.insert(hasher.hash_one((&series.labels, series.histogram.is_some()))),
        _ => true,
    };
    lines.iter().map(is_new).take_while(|is_new| *is_new).count()
}
