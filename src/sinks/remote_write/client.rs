//! The requests.

use std::collections::HashSet;
use std::hash::BuildHasher;

use reqwest::{Client, header};

use super::settings::{Settings, Version};
use crate::encode::point::Lines;
use crate::encode::remote::first_version;
use crate::encode::remote::record::Record;
use crate::encode::remote::second_version::{Families, Request};
use crate::sinks::answer::Answer;
use crate::sinks::http::{self, Answered, ClientError};

/// Sends series to one server.
pub(in crate::sinks) struct Connection {
    client: Client,
    settings: Settings,
    /// The version that the server understands, as far as that is known.
    version: Version,
    families: Families,
}

impl Connection {
    pub(in crate::sinks) fn new(settings: &Settings) -> Result<Self, ClientError> {
        Ok(Connection {
            client: settings.http.client(&settings.url)?,
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
            tracing::info!("{} takes remote write 1.0, and not 2.0", self.settings.url);
            self.version = Version::First;
        }
        let body = first_version::request(lines.iter().take(count));
        let answer = match self.send(&body, Version::First).await {
            Ok(answered) => meaning(&answered, count),
            Err(answer) => answer,
        };
        (count, answer)
    }

    async fn send(&self, body: &[u8], version: Version) -> Result<Answered, Answer> {
        let body = snap::raw::Encoder::new().compress_vec(body).map_err(|_| Answer::TooLarge)?;
        let mut request = self.client.post(self.settings.url.clone());
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
        http::send(request.body(body), http::MESSAGE).await
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

const WRITTEN: [&str; 2] =
    ["x-prometheus-remote-write-samples-written", "x-prometheus-remote-write-histograms-written"];

/// How many samples the server says that it took, if it says so.
fn written(answered: &Answered) -> Option<usize> {
    let counts = WRITTEN.iter().filter_map(|name| answered.headers.get(*name));
    counts.map(|count| count.to_str().ok()?.parse::<usize>().ok()).sum()
}

fn says_written(answered: &Answered) -> bool {
    WRITTEN.iter().any(|name| answered.headers.contains_key(*name))
}

/// Whether an answer can be that of a server which understands 2.0. One that does not says so, or takes a request of 2.0
/// for an empty one of 1.0, and that for written.
fn is_of_second(answered: &Answered) -> bool {
    match answered.status {
        200..=299 | 400 => says_written(answered),
        415 => false,
        _ => true,
    }
}

/// What an answer to a request of 2.0 with so many samples means: it says how many of them were written.
fn meaning_of_second(answered: &Answered, samples: usize) -> Answer {
    let message = answered.message();
    match answered.status {
        200..=299 | 400 if says_written(answered) => {
            let dropped = samples.saturating_sub(written(answered).unwrap_or(samples));
            match dropped {
                0 => Answer::Delivered,
                _ => Answer::Partial { dropped: Some(dropped as u64), message },
            }
        }
        200..=299 => Answer::Refused {
            message: format!(
                "the server does not say that it wrote anything, and may not understand version 2.0: {message}"
            ),
        },
        _ => meaning(answered, samples),
    }
}

/// What an answer to `count` series means: the specification's section on retries. With 400 a server says what it will
/// never take; some take none of a request then, because of one series.
fn meaning(answered: &Answered, count: usize) -> Answer {
    let message = answered.message();
    match answered.status {
        200..=299 => Answer::Delivered,
        400 => Answer::Rejected { message },
        413 => Answer::TooLarge,
        429 | 500..=599 => Answer::Later { after: answered.retry_after(), message, was_cut_off: false },
        // Somebody has to change something here or there; the series are fine.
        401 | 403 | 404 | 405 | 415 | 100..=199 | 300..=399 => Answer::Refused { message },
        _ => Answer::Partial { dropped: Some(count as u64), message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_meaning() {
        let of = |status| meaning(&Answered::new(status, &[("retry-after", "7")], ""), 5);
        assert_eq!((of(200), of(204)), (Answer::Delivered, Answer::Delivered));
        assert!(matches!(of(400), Answer::Rejected { .. }));
        assert!(matches!(of(422), Answer::Partial { dropped: Some(5), .. }));
        assert!([401, 403, 404, 415, 302].into_iter().all(|status| matches!(of(status), Answer::Refused { .. })));
        assert_eq!(of(413), Answer::TooLarge);
        assert!(
            [429, 500, 503]
                .into_iter()
                .all(|status| matches!(of(status), Answer::Later { after: Some(pause), .. } if pause.as_secs() == 7))
        );
    }

    #[test]
    fn a_server_of_2_0_says_how_much_it_wrote() {
        let answered = |status, samples| Answered::new(status, &[(WRITTEN[0], samples), (WRITTEN[1], "1")], "");
        assert_eq!(meaning_of_second(&answered(204, "4"), 5), Answer::Delivered);
        assert!(matches!(meaning_of_second(&answered(400, "2"), 5), Answer::Partial { dropped: Some(2), .. }));
        assert!(is_of_second(&answered(400, "0")) && is_of_second(&Answered::new(500, &[], "")));
        // Not taken for written.
        assert!(matches!(meaning_of_second(&Answered::new(204, &[], ""), 5), Answer::Refused { .. }));
        for status in [200, 204, 400, 415] {
            assert!(!is_of_second(&Answered::new(status, &[], "")), "{status}");
        }
    }
}
