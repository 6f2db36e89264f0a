//! Asking by HTTP.

use std::error::Error;
use std::io;
use std::path::Path;

use reqwest::{Client, ClientBuilder, Response, StatusCode, header};

use super::source::{Failure, FailureKind, TIMEOUT};
use crate::client;

/// How long an answer may be.
const MAX_BYTES: usize = 16 << 20;

/// A client of one server.
pub(super) struct Http {
    client: Client,
    base: String,
}

/// A successful answer.
pub(super) struct Reply {
    /// The body; what is not UTF-8 in it is replaced.
    pub(super) body: String,
    /// The header `Server`.
    pub(super) server: String,
}

impl Http {
    /// A client of the server that listens at the socket.
    pub(super) fn unix(socket: &Path) -> Result<Http, Failure> {
        // No TLS there, so no certificates are loaded for nothing.
        let builder = client::by_socket(client::builder(), socket).map_err(Failure::other)?;
        Http::new(builder.tls_certs_only([]), "http://localhost".to_owned())
    }

    /// A client of the server at `base`, a URL without a slash at its end.
    pub(super) fn new(builder: ClientBuilder, base: String) -> Result<Http, Failure> {
        let client = builder.timeout(TIMEOUT).build();
        let client =
            client.map_err(|error| Failure::other(format!("cannot set up TLS: {}", client::reason(&error))))?;
        Ok(Http { client, base })
    }

    /// What the server answers to GET of `path`.
    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Result<Reply, Failure> {
        let mut request = self.client.get(format!("{}{path}", self.base));
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

async fn read_bounded(mut response: Response) -> Result<String, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(Failure::other(format!("expected at most {} MiB, found a longer answer", MAX_BYTES >> 20)));
        }
        body.extend_from_slice(&chunk);
    }
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
