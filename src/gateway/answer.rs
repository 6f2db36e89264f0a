//! Answers that are errors: a status, and a line that says what to do about it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::body::BodyError;
use super::core::Unkept;
use super::key::KeyError;
use crate::encode::parse;
use crate::http::access::Forbidden;

/// An answer that is an error, in a line of text.
#[derive(Debug)]
pub struct Refused(pub StatusCode, pub String);

impl Refused {
    /// That the request is not what it should be.
    pub fn bad(message: impl Into<String>) -> Self {
        Refused(StatusCode::BAD_REQUEST, message.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        Refused::bad(error.to_string())
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Unsound { .. } => StatusCode::BAD_REQUEST,
        };
        Refused(status, error.to_string())
    }
}

impl From<parse::Error> for Refused {
    fn from(error: parse::Error) -> Self {
        let status = match error {
            parse::Error::Malformed { .. } | parse::Error::Twice { .. } => StatusCode::BAD_REQUEST,
            parse::Error::Limit { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Refused(status, error.to_string())
    }
}

impl From<Unkept> for Refused {
    fn from(error: Unkept) -> Self {
        Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<Forbidden> for Refused {
    fn from(error: Forbidden) -> Self {
        Refused(StatusCode::FORBIDDEN, error.to_string())
    }
}
