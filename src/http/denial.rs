//! Requests that are denied before they reach an endpoint.

use std::sync::Arc;

use axum::response::{AppendHeaders, IntoResponse, Response};
use hyper::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};

use super::peer::Peer;

/// Receives each denied request: the reason, the peer, the method and the path.
pub type OnDenial = Arc<dyn Fn(&Denial, Peer, &Method, &str) + Send + Sync>;

/// Why a request was denied before it reached an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Its credentials match no user.
    #[error("{}", if *.has_credentials { "no user has this name and password, or this token" } else { "no password and no token came with it" })]
    Unknown {
        /// Whether it has any.
        has_credentials: bool,
    },
    /// Too many passwords are being verified.
    #[error("{}", super::passwords::Busy)]
    Busy,
    /// The rate limit is exceeded.
    #[error("too many requests; try again later")]
    Rate,
}

impl Denial {
    /// The response, with the denial as an extension.
    pub(super) fn response(self) -> Response {
        let line = format!("{self}\n");
        let mut response = match self {
            Denial::Unknown { .. } => {
                let challenge = [(WWW_AUTHENTICATE, "Basic"), (WWW_AUTHENTICATE, "Bearer")];
                (StatusCode::UNAUTHORIZED, AppendHeaders(challenge), "Unauthorized\n").into_response()
            }
            Denial::Busy => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], line).into_response(),
            Denial::Rate => (StatusCode::TOO_MANY_REQUESTS, line).into_response(),
        };
        response.extensions_mut().insert(self);
        response
    }
}
