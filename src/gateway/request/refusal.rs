//! Error responses: a status, and one line that says what to do.

use std::fmt;
use std::time::Duration;

use axum::Extension;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::body_memory::GRACE;
use super::content_encoding::BodyError;
use crate::encode::parse;
use crate::gateway::groups::limits::LimitError;
use crate::gateway::key::KeyError;
use crate::gateway::persistence::group_store::PersistError;
use crate::http::access::Forbidden;

/// Why a request is refused. Each reason has a status, and a log line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Invalid path, query or headers.
    Request,
    /// Malformed body.
    Body,
    /// Conflict with other groups.
    Conflict,
    /// Invalid points in line protocol.
    Points,
    /// Missing or unknown password or token.
    Unauthenticated,
    /// The user lacks the right.
    Forbidden,
    /// A request from a page of another origin.
    CrossOrigin,
    /// Addressed to another host.
    Host,
    /// No such path or group.
    NotFound,
    /// The endpoint does not support the method.
    Method,
    /// The body arrived too slowly.
    Timeout,
    /// Too large a body, push or group.
    TooLarge,
    /// Unsupported Content-Encoding.
    Encoding,
    /// A limit of all groups is reached.
    Full,
    /// The rate limit is exceeded.
    Rate,
    /// The queue of password checks is full.
    Passwords,
    /// The bodies in flight use all their memory.
    Memory,
    /// The disk refuses writes.
    Disk,
    /// There is no writer among the replicas, or it did not answer.
    Writer,
    /// The writer among the replicas refused it, with this status.
    AtWriter(StatusCode),
}

impl Reason {
    /// The status of the response.
    pub fn status(self) -> StatusCode {
        match self {
            Reason::Request | Reason::Body | Reason::Conflict | Reason::Points => StatusCode::BAD_REQUEST,
            Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
            Reason::Forbidden | Reason::CrossOrigin => StatusCode::FORBIDDEN,
            Reason::Host => StatusCode::MISDIRECTED_REQUEST,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
            Reason::Timeout => StatusCode::REQUEST_TIMEOUT,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Reason::Full | Reason::Rate => StatusCode::TOO_MANY_REQUESTS,
            Reason::Passwords | Reason::Memory | Reason::Disk | Reason::Writer => StatusCode::SERVICE_UNAVAILABLE,
            Reason::AtWriter(status) => status,
        }
    }

    /// The headers of the response: when to retry, if that is known.
    pub fn headers(self) -> HeaderMap {
        let after = match self {
            Reason::Memory => Some(GRACE),
            Reason::Writer => Some(ELECTION),
            _ => None,
        };
        after.map(|after| (header::RETRY_AFTER, HeaderValue::from(after.as_secs()))).into_iter().collect()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Request => "for what they ask",
            Reason::Body => "for bodies that cannot be read",
            Reason::Conflict => "for what contradicts what is there",
            Reason::Points => "for points that cannot be taken",
            Reason::Unauthenticated => "for want of a known password or token",
            Reason::Forbidden => "for want of a right",
            Reason::CrossOrigin => "as pages of other origins sent them",
            Reason::Host => "as they were for another host",
            Reason::NotFound => "as there is no such thing",
            Reason::Method => "for their method",
            Reason::Timeout => "as they came too slowly",
            Reason::TooLarge => "as they were too large",
            Reason::Encoding => "for their encoding",
            Reason::Full => "for want of room",
            Reason::Rate => "as too many came",
            Reason::Passwords => "as too many passwords were to be verified",
            Reason::Memory => "as bodies that came at the same time took all the memory that they may",
            Reason::Disk => "as the disk did not keep them",
            Reason::Writer => "as no replica could write",
            Reason::AtWriter(_) => "by the writer",
        })
    }
}

/// How long an election of the writer takes, approximately.
const ELECTION: Duration = Duration::from_secs(5);

/// Text from a client, as one line of at most `max` characters.
pub fn one_line(text: &str, max: usize) -> String {
    let mut letters = text.trim_end().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut line: String = letters.by_ref().take(max).collect();
    if letters.next().is_some() {
        line.push('…');
    }
    line
}

/// An error response with one line of text.
#[derive(Debug)]
pub struct Refusal(pub Reason, pub String);

impl Refusal {
    /// An invalid request.
    pub fn bad(message: impl Into<String>) -> Self {
        Refusal(Reason::Request, message.into())
    }
}

/// Why a response refuses its request, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Reason, pub String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let refused = Refused(self.0, self.1.clone());
        (self.0.status(), self.0.headers(), Extension(refused), self.1 + "\n").into_response()
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        Refusal::bad(error.to_string())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let reason = match error {
            BodyError::Encoding(_) | BodyError::Twice(_) => Reason::Encoding,
            BodyError::TooLong(_) => Reason::TooLarge,
            BodyError::Corrupt { .. } => Reason::Body,
        };
        Refusal(reason, error.to_string())
    }
}

impl From<parse::Error> for Refusal {
    fn from(error: parse::Error) -> Self {
        let reason = match error {
            parse::Error::Malformed { .. } | parse::Error::Duplicate { .. } => Reason::Body,
            parse::Error::Limit { .. } => Reason::TooLarge,
        };
        Refusal(reason, error.to_string())
    }
}

impl From<PersistError> for Refusal {
    fn from(error: PersistError) -> Self {
        let reason = match error {
            PersistError::NotWriter | PersistError::Undecided(_) => Reason::Writer,
            PersistError::Disk(_) | PersistError::Busy | PersistError::TooLarge(_) => Reason::Disk,
        };
        Refusal(reason, error.to_string())
    }
}

impl From<LimitError> for Refusal {
    fn from(error: LimitError) -> Self {
        let reason = match error {
            LimitError::Family | LimitError::Group { .. } => Reason::TooLarge,
            LimitError::Total { .. } => Reason::Full,
        };
        Refusal(reason, error.to_string())
    }
}

impl From<Forbidden> for Refusal {
    fn from(error: Forbidden) -> Self {
        Refusal(Reason::Forbidden, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn what_others_wrote_is_one_line_and_short() {
        assert_eq!(one_line("a\nb\u{1b}[31m\n", 300), "a b [31m");
        assert_eq!(one_line(&"ü".repeat(400), 300).chars().count(), 301);
        assert_eq!(one_line(&"ü".repeat(300), 300).chars().count(), 300);
    }
}
