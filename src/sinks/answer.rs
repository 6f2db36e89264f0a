//! What a server's answer to a write means for the points that were sent.

use std::time::{Duration, SystemTime};

/// The meaning of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server has all points.
    Delivered,
    /// The server has the points but for some that it will never take; how many, if it says so.
    Partial { dropped: Option<u64>, message: String },
    /// The server takes none of these points because one of them is wrong, as it says itself: smaller batches find out
    /// which.
    Rejected { message: String },
    /// The body is too large: smaller batches may pass. If somebody before the server says so, with a page of his own, even
    /// a point alone is kept.
    TooLarge { is_foreign: bool, message: String },
    /// The server does not let us write, or does not know the place, or it is not the server that answered: somebody has
    /// to change something.
    Refused { message: String },
    /// It may be better later; after this time, if the server says so. If the connection was cut off while the request
    /// was sent, this may be a server's way to say that it is too large.
    Later { after: Option<Duration>, message: String, was_cut_off: bool },
}

impl Answer {
    /// It may be better later, whenever that is.
    pub(super) fn later(message: &str) -> Answer {
        Answer::Later { after: None, message: message.to_owned(), was_cut_off: false }
    }
}

/// `Retry-After`, in seconds or as a date; RFC 9110, section 10.2.3.
pub(super) fn parse_retry_after(value: &str) -> Option<Duration> {
    const AT_MOST: Duration = Duration::from_secs(600);
    let pause = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value.trim()).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(pause.min(AT_MOST))
}

/// A body that is fit for one line of a log.
pub(super) fn shorten(body: &str) -> String {
    const SHOWN: usize = 300;
    let line: String = body.trim().chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.is_empty() { "no reason given".to_owned() } else { line }
}

/// The start of an answer's body, and `most` bytes of it: messages are short, and what is not a message is not wanted.
pub(super) async fn read_start(mut response: reqwest::Response, most: usize) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}
