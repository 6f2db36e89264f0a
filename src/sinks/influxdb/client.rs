//! The requests.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Certificate, Client, Url, header};

use super::settings::{Settings, Target};
use crate::client;
use crate::sinks::answer::Answer;

/// Sends batches to the servers of one sink.
pub(in crate::sinks) struct Connection {
    client: Client,
    write_urls: Vec<Url>,
    /// The server that is tried first: the last one that answered.
    preferred: usize,
    target: Target,
    gzip: bool,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of certificates cannot be used.
    #[error("tls_ca: {path}: {reason}")]
    Certificates {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

impl Connection {
    pub(in crate::sinks) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let mut builder =
            client::builder().timeout(settings.timeout).tls_danger_accept_invalid_certs(settings.insecure_skip_verify);
        let needs_tls = settings.urls.iter().any(|url| url.scheme() == "https");
        if let Some(path) = &settings.tls_ca {
            builder = builder.tls_certs_only(certificates(path)?);
        } else if !needs_tls {
            // The system's certificates are not loaded for nothing.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| ClientError::Tls(client::reason(&error)))?;
        let write_urls = settings.urls.iter().map(|url| settings.target.write_url(url)).collect();
        Ok(Connection { client, write_urls, preferred: 0, target: settings.target.clone(), gzip: settings.gzip })
    }

    /// Sends `body`; when a server does not answer, to the next one.
    pub(in crate::sinks) async fn write(&mut self, body: &[u8]) -> Answer {
        let body = if self.gzip { gzip(body) } else { body.to_vec() };
        let mut last = Answer::Later { after: None, message: "there is no server".to_owned() };
        for attempt in 0..self.write_urls.len() {
            let index = (self.preferred + attempt) % self.write_urls.len();
            last = self.write_to(&self.write_urls[index], body.clone()).await;
            if !matches!(last, Answer::Later { .. }) {
                self.preferred = index;
                break;
            }
        }
        last
    }

    async fn write_to(&self, url: &Url, body: Vec<u8>) -> Answer {
        let mut request = self.client.post(url.clone()).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        if self.gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        request = match &self.target {
            Target::Database { user: Some((name, password)), .. } => request.basic_auth(name, Some(password.reveal())),
            Target::Bucket { token: Some(token), .. } => {
                request.header(header::AUTHORIZATION, format!("Token {}", token.reveal()))
            }
            _ => request,
        };
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => return Answer::Later { after: None, message: client::reason(&error) },
        };
        let status = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let body = read_start(response).await;
        Answer::of_influxdb(status, retry_after.as_deref(), &body)
    }
}

/// The start of an answer's body: messages are short, and what is not a message is not wanted.
async fn read_start(mut response: reqwest::Response) -> String {
    const AT_MOST: usize = 64 << 10;
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > AT_MOST {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    client::certificates(path).map_err(|reason| ClientError::Certificates { path: path.display().to_string(), reason })
}
