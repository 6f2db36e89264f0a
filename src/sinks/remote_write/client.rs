//! The requests.

use reqwest::{Client, header};

use super::settings::Settings;
use crate::encode::point::Lines;
use crate::sinks::answer::{Answer, parse_retry_after, shorten};
use crate::sinks::http::{self, Answered, ClientError};

/// Sends series to one server.
pub(in crate::sinks) struct Connection {
    client: Client,
    settings: Settings,
}

impl Connection {
    pub(in crate::sinks) fn new(settings: &Settings) -> Result<Self, ClientError> {
        Ok(Connection { client: settings.http.client(&settings.url)?, settings: settings.clone() })
    }

    /// Sends series, which one after the other are a request.
    pub(in crate::sinks) async fn write(&self, lines: &Lines) -> Answer {
        let Ok(body) = snap::raw::Encoder::new().compress_vec(lines.bytes()) else {
            return Answer::TooLarge;
        };
        let mut request = self.client.post(self.settings.url.clone());
        request = match (&self.settings.user, &self.settings.token) {
            (Some((name, password)), _) => request.basic_auth(name, Some(password.reveal())),
            (None, Some(token)) => request.bearer_auth(token.reveal()),
            (None, None) => request,
        };
        let request = request
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::CONTENT_ENCODING, "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0");
        let Answered { status, retry_after, body } = match http::send(request.body(body)).await {
            Ok(answered) => answered,
            Err(answer) => return answer,
        };
        meaning(status, retry_after.as_deref(), &body, lines.count())
    }
}

/// What an answer to `count` series means: the specification's section on retries. What a server will never take it says
/// with 400, and it may have taken the rest.
fn meaning(status: u16, retry_after: Option<&str>, body: &str, count: usize) -> Answer {
    let message = format!("status {status}: {}", shorten(body));
    match status {
        200..=299 => Answer::Delivered,
        413 => Answer::TooLarge,
        429 | 500..=599 => {
            let after = retry_after.and_then(parse_retry_after);
            Answer::Later { after, message, was_cut_off: false }
        }
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
        let of = |status| meaning(status, Some("7"), "", 5);
        assert_eq!((of(200), of(204)), (Answer::Delivered, Answer::Delivered));
        assert!(matches!(of(400), Answer::Partial { dropped: Some(5), .. }));
        assert!([401, 403, 404, 302].into_iter().all(|status| matches!(of(status), Answer::Refused { .. })));
        assert_eq!(of(413), Answer::TooLarge);
        assert!(
            [429, 500, 503]
                .into_iter()
                .all(|status| matches!(of(status), Answer::Later { after: Some(pause), .. } if pause.as_secs() == 7))
        );
    }
}
