//! HTTP client of the sources.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, StatusCode, header};

use super::query::{Failure, FailureKind, TIMEOUT};
use crate::client::{self, BodyError};

/// Maximum size of a response body in bytes.
const MAX_BYTES: usize = 16 << 20;

/// A client of one server.
pub(in super::super) struct Http {
    client: Client,
    base: String,
}

/// A successful response.
pub(in super::super) struct Reply {
    /// Body. Invalid UTF-8 is replaced.
    pub(in super::super) body: String,
    /// The `Server` header.
    pub(in super::super) server: String,
}

impl Http {
    /// Client for a Unix socket.
    pub(in super::super) fn unix(socket: &Path) -> Result<Http, Failure> {
        // Without TLS no certificates need loading.
        let builder = client::over_unix_socket(client::builder(), socket).map_err(Failure::other)?;
        Http::new(builder.tls_certs_only([]), "http://localhost".to_owned())
    }

    /// Client for the URL `base`, without a trailing slash.
    pub(in super::super) fn new(builder: ClientBuilder, base: String) -> Result<Http, Failure> {
        let client = builder.build();
        let client =
            client.map_err(|error| Failure::other(format!("cannot set up TLS: {}", client::reason(&error))))?;
        Ok(Http { client, base })
    }

    /// Sends GET `path`.
    pub(in super::super) async fn get(&self, path: &str, token: Option<&str>) -> Result<Reply, Failure> {
        self.get_within(path, token, TIMEOUT).await
    }

    /// The same with another timeout.
    pub(in super::super) async fn get_within(
        &self,
        path: &str,
        token: Option<&str>,
        timeout: Duration,
    ) -> Result<Reply, Failure> {
        let mut request = self.client.get(format!("{}{path}", self.base)).timeout(timeout);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(status));
        }
        let server = response.headers().get(header::SERVER).and_then(|value| value.to_str().ok());
        let server = server.unwrap_or_default().to_owned();
        Ok(Reply { server, body: read_bounded(response).await? })
    }
}

impl Http {
    /// Sends GET `path` for a response that does not end; its body has no timeout.
    pub(in super::super) async fn stream(&self, path: &str) -> Result<Response, Failure> {
        let request = self.client.get(format!("{}{path}", self.base)).send();
        let response = tokio::time::timeout(TIMEOUT, request).await;
        let response = response.map_err(|_| Failure::other(format!("no response within {} s", TIMEOUT.as_secs())))?;
        let response = response.map_err(|error| failure(&error))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(refusal(status)),
        }
    }
}

async fn read_bounded(response: Response) -> Result<String, Failure> {
    let body = client::read_whole(response, MAX_BYTES).await.map_err(|error| match error {
        BodyError::Failed(error) => failure(&error),
        too_long => Failure::other(too_long.to_string()),
    })?;
    Ok(String::from_utf8(body).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn refusal(status: StatusCode) -> Failure {
    Failure { kind: FailureKind::Status(status.as_u16()), message: format!("answered {status}") }
}

fn failure(error: &reqwest::Error) -> Failure {
    match io_error(error) {
        Some(io::ErrorKind::NotFound) => Failure::absent(),
        Some(io::ErrorKind::PermissionDenied) => {
            Failure::other("permission denied; needs root or membership in the socket's group")
        }
        _ => Failure::other(client::reason(error)),
    }
}

fn io_error(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = inner.source();
    }
    None
}
