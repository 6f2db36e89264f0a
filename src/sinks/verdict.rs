//! The verdict on the points of a write, from the server's response.

use std::time::{Duration, SystemTime};

/// The verdict on the points of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server has all points.
    Delivered,
    /// The server has all points but some that it will never accept.
    Partial {
        /// Number of points dropped, if the server reports it.
        dropped: Option<u64>,
        /// The server's message.
        message: String,
    },
    /// The server itself reports that a point is invalid, and accepts none of them. Smaller batches isolate it.
    Rejected {
        /// The server's message.
        message: String,
    },
    /// The body is too large: smaller batches may pass.
    TooLarge {
        /// Whether the response is not in the server's own form. Then even a single point is kept: it may be a proxy's
        /// limit.
        is_foreign: bool,
        /// The response.
        message: String,
    },
    /// The server denies access or does not know the database, or another server responded. The configuration has to
    /// change.
    Refused {
        /// The response.
        message: String,
    },
    /// A retry may succeed.
    Later {
        /// The pause that the server asks for.
        after: Option<Duration>,
        /// The failure.
        message: String,
        /// Whether the connection was closed while the request was sent: some servers do so when a body is too large.
        was_cut_off: bool,
    },
}

impl Verdict {
    /// Whether the server accepted points.
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Verdict::Delivered | Verdict::Partial { .. })
    }

    /// The server's message or the failure; none if all points were accepted.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Verdict::Delivered => None,
            Verdict::Partial { message, .. }
            | Verdict::Rejected { message }
            | Verdict::TooLarge { message, .. }
            | Verdict::Refused { message }
            | Verdict::Later { message, .. } => Some(message),
        }
    }

    /// A retry may succeed, after a pause of our choice.
    pub(super) fn later(message: &str) -> Verdict {
        Verdict::Later { after: None, message: message.to_owned(), was_cut_off: false }
    }
}

/// `Retry-After`, in seconds or as a date; RFC 9110, section 10.2.3.
pub(super) fn parse_retry_after(value: &str) -> Option<Duration> {
    const MAX: Duration = Duration::from_secs(600);
    let pause = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value.trim()).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(pause.min(MAX))
}
