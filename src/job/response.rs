//! Interprets responses to pushes.

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Response, StatusCode};

use crate::client::{self, MESSAGE, is_page, read_start, shorten};
use crate::config::Secrets;

/// Why a push was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The gateway rejects it: a retry is pointless.
    #[error("the gateway refuses it: {0}")]
    Refused(String),
    /// The gateway rejects the credentials: 401 or 403.
    #[error("the gateway refuses it: {0}")]
    Denied(String),
    /// The response is not a gateway's, or the URL is wrong: the configuration must change.
    #[error("{0}: the response is not from a push gateway")]
    Foreign(String),
    /// A retry may succeed.
    #[error("{0}")]
    Retryable(String),
}

/// A response to a push.
pub(super) struct GatewayResponse {
    status: StatusCode,
    headers: HeaderMap,
    /// Start of the body.
    body: String,
    /// Why the body is incomplete, if it is.
    body_error: Option<String>,
}

impl GatewayResponse {
    /// Reads a response as far as needed.
    pub(super) async fn read(mut response: Response) -> GatewayResponse {
        let (status, headers) = (response.status(), response.headers().clone());
        let (body, ended) = read_start(&mut response, MESSAGE).await;
        GatewayResponse { status, headers, body, body_error: ended.err().map(|error| client::reason(&error)) }
    }

    /// Whether the gateway accepted the push. Only responses that Taffrail and Pushgateway send count: 200 for a
    /// push, or 202 if it is not checked first; 202 for a deletion; always without a body. A push rejected by a
    /// gateway may be dropped; responses of proxies, login pages and other servers prove nothing.
    ///
    /// # Errors
    /// If it was not accepted; no secret is in the message.
    pub(super) fn outcome(&self, method: &str, secrets: &Secrets) -> Result<(), PushError> {
        let is_done = match self.status {
            StatusCode::OK => method != "DELETE",
            StatusCode::ACCEPTED => true,
            _ => false,
        };
        match &self.body_error {
            None if is_done && self.body.is_empty() && !self.is_page() => return Ok(()),
            Some(reason) if is_done && self.body.is_empty() => return Err(PushError::Retryable(reason.clone())),
            _ => {}
        }
        let message = secrets.hide(&self.message());
        Err(match self.status.as_u16() {
            401 | 403 => PushError::Denied(message),
            408 | 429 | 500.. => PushError::Retryable(message),
            400 | 413 | 415 if self.is_reason() => PushError::Refused(message),
            _ => PushError::Foreign(message),
        })
    }

    fn is_page(&self) -> bool {
        is_page(&self.headers, &self.body)
    }

    /// Whether the body is a reason as gateways send it: plain text.
    fn is_reason(&self) -> bool {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        kind.starts_with("text/plain") && !self.is_page() && !self.body.trim().is_empty()
    }

    /// Status and reason in one line.
    fn message(&self) -> String {
        let to = self.headers.get(LOCATION).and_then(|to| to.to_str().ok()).filter(|_| self.status.is_redirection());
        let text = to.map_or_else(|| self.body.clone(), |to| format!("it leads to {to}"));
        format!("{}: {}", self.status, shorten(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(method: &str, status: u16, kind: Option<&str>, body: &str) -> &'static str {
        let kind = kind.map(|kind| (CONTENT_TYPE, kind.parse().unwrap()));
        let status = StatusCode::from_u16(status).unwrap();
        let response =
            GatewayResponse { status, headers: kind.into_iter().collect(), body: body.to_owned(), body_error: None };
        match response.outcome(method, &Secrets::default()) {
            Ok(()) => "arrived",
            Err(PushError::Refused(_)) => "refused",
            Err(PushError::Denied(_)) => "denied",
            Err(PushError::Foreign(_)) => "foreign",
            Err(PushError::Retryable(_)) => "later",
        }
    }

    #[test]
    fn every_answer_has_its_meaning() {
        let (text, page) = (Some("text/plain; charset=utf-8"), Some("text/html"));
        for (status, kind, body, means) in [
            (200, None, "", "arrived"),
            (202, None, "", "arrived"),
            (200, page, "", "foreign"),
            (200, None, "<!DOCTYPE html>", "foreign"),
            (202, text, "ok", "foreign"),
            (200, Some("application/json"), "{\"status\":\"error\"}", "foreign"),
            (201, None, "", "foreign"),
            (203, None, "", "foreign"),
            (204, None, "", "foreign"),
            (206, None, "", "foreign"),
            (301, None, "", "foreign"),
            (304, None, "", "foreign"),
            (307, text, "elsewhere", "foreign"),
            (400, text, "text format parsing error in line 1\n", "refused"),
            (413, text, "too large\n", "refused"),
            (415, text, "unknown encoding\n", "refused"),
            // Sent by Go servers for a request without TLS.
            (400, None, "Client sent an HTTP request to an HTTPS server.\n", "foreign"),
            (400, page, "<html>400</html>", "foreign"),
            (400, text, "", "foreign"),
            (413, page, "<html>413</html>", "foreign"),
            (404, text, "404 page not found\n", "foreign"),
            (405, None, "", "foreign"),
            (407, None, "", "foreign"),
            (421, text, "another host\n", "foreign"),
            (401, page, "", "denied"),
            (403, text, "no right\n", "denied"),
            (408, text, "", "later"),
            (429, text, "no room\n", "later"),
            (500, page, "", "later"),
            (503, text, "", "later"),
            (999, None, "", "later"),
        ] {
            assert_eq!(outcome("POST", status, kind, body), means, "{status} {body}");
        }
        assert_eq!((outcome("DELETE", 202, None, ""), outcome("DELETE", 200, None, "")), ("arrived", "foreign"));
    }
}
