//! The SDK's HTTP client: the one that Taffrail uses everywhere.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatch::config::RuntimeComponents;
use aws_smithy_runtime_api::client::http::{
    HttpClient as SdkClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::retry::ErrorKind;
use reqwest::{ClientBuilder, header};
use tokio::time::timeout;

use crate::client::{self, BodyError, RenewingClient, read_whole};

/// The HTTP client; its connections belong to the runtime in which it is used.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Arc<RenewingClient>,
    /// Maximum size of a response body in bytes.
    max_bytes: usize,
    /// Timeout of a response, if an API has one of its own.
    timeout: Option<Duration>,
}

/// Maximum size of a response body in bytes. 100,800 data points, as many as GetMetricData returns, are less.
const MAX_BYTES: usize = 16 << 20;

/// What messages say of the page of a proxy, or of a login form.
pub(super) const PAGE: &str = "a page, which is no answer of AWS";

/// Timeout of one attempt.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Connect timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the HTTP client, which uses the environment's proxies.
///
/// # Errors
/// If TLS cannot be set up.
pub fn http_client() -> Result<HttpClient, String> {
    client_of(client::builder_with_proxies)
}

/// Creates the HTTP client for services of this host, which are not behind a proxy.
///
/// # Errors
/// If TLS cannot be set up.
pub fn direct_http_client() -> Result<HttpClient, String> {
    client_of(client::builder)
}

fn client_of(builder: fn() -> ClientBuilder) -> Result<HttpClient, String> {
    let make = move || {
        let client = builder().connect_timeout(CONNECT_TIMEOUT).build();
        client.map_err(|error| client::reason(&error))
    };
    Ok(HttpClient { client: Arc::new(RenewingClient::new(make)?), max_bytes: MAX_BYTES, timeout: None })
}

impl HttpClient {
    /// The same client, with shorter responses: of at most `max_bytes`.
    pub(super) fn with_max_bytes(self, max_bytes: usize) -> HttpClient {
        HttpClient { max_bytes, ..self }
    }

    /// Sends a request, and reads the whole response.
    ///
    /// # Errors
    /// If there is no response in time, or it is too long, or a page of a proxy.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let answer = timeout(self.timeout.unwrap_or(ATTEMPT_TIMEOUT), async {
            send(&self.client.client().await, request, self.max_bytes).await
        });
        let answer = answer.await.unwrap_or_else(|_| Err(ConnectorError::timeout("no answer in time".into())));
        answer.inspect_err(|_| self.client.has_failed())
    }
}

impl SdkClient for HttpClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(HttpClient { timeout: settings.read_timeout(), ..self.clone() })
    }
}

impl HttpConnector for HttpClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.clone();
        HttpConnectorFuture::new(async move { client.send(request).await })
    }
}

async fn send(
    client: &reqwest::Client,
    mut request: HttpRequest,
    max_bytes: usize,
) -> Result<HttpResponse, ConnectorError> {
    let other = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::other(error, None);
    let body = ByteStream::new(request.take_body()).collect().await.map_err(|error| other(error.into()))?;
    let method = request.method().parse::<reqwest::Method>().map_err(|error| other(error.into()))?;
    let mut outgoing = client.request(method, request.uri()).body(body.into_bytes());
    for (name, value) in request.headers() {
        outgoing = outgoing.header(name, value);
    }
    let incoming = outgoing.send().await.map_err(failure)?;
    let status = StatusCode::try_from(incoming.status().as_u16()).map_err(|error| other(error.into()))?;
    let headers = incoming.headers().clone();
    let body = read_whole(incoming, max_bytes).await.map_err(|error| match error {
        BodyError::Failed(error) => failure(error),
        too_long => other(too_long.to_string().into()),
    })?;
    // The SDK ignores bodies that it does not need, and would accept a login page as a response of AWS.
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.to_ascii_lowercase().contains("html") || is_page(&body) {
        let start = start_of(&body);
        let message = format!("status {}: {PAGE}: {start}", status.as_u16());
        let retried = status.is_server_error().then_some(ErrorKind::TransientError);
        return Err(ConnectorError::other(message.into(), retried));
    }
    let mut response = Response::new(status, SdkBody::from(body));
    for (name, value) in &headers {
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}

/// The first bytes of a body in one line: as text, or escaped.
pub(super) fn start_of(body: &[u8]) -> String {
    const MAX_BYTES: usize = 1024;
    const MAX_ESCAPED: usize = 64;
    let start = &body[..body.len().min(MAX_BYTES)];
    let is_text = match std::str::from_utf8(start) {
        Ok(text) => text.chars().all(|c| !c.is_control() || c.is_whitespace()),
        // The last character may be cut.
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    match start {
        [] => "an empty response".to_owned(),
        _ if is_text => client::shorten(&String::from_utf8_lossy(start)),
        _ => format!("{}", start[..start.len().min(MAX_ESCAPED)].escape_ascii()),
    }
}

fn is_page(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    [b"<!doctype".as_slice(), b"<html"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
}

fn failure(error: reqwest::Error) -> ConnectorError {
    let (is_timeout, is_connect) = (error.is_timeout(), error.is_connect());
    let error = client::reason(&error).into();
    match (is_timeout, is_connect) {
        (true, _) => ConnectorError::timeout(error),
        (_, true) => ConnectorError::io(error).never_connected(),
        _ => ConnectorError::io(error),
    }
}
