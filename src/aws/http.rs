//! What the SDK's requests go through: the client that everything here goes through, instead of one of the SDK's own.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatch::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpClient as SdkClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use reqwest::header;

use crate::client::{self, Renewing};

/// What requests go through; its connections belong to the runtime that it is used in.
pub type HttpClient = SharedHttpClient;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What requests go through, by way of the environment's proxies.
///
/// # Errors
/// That TLS cannot be set up.
pub fn http_client() -> Result<HttpClient, String> {
    let make = || {
        let client = client::builder_with_proxies().connect_timeout(CONNECT_TIMEOUT).build();
        client.map_err(|error| client::reason(&error))
    };
    Ok(SharedHttpClient::new(Http(Arc::new(Renewing::new(make)?))))
}

#[derive(Clone, Debug)]
struct Http(Arc<Renewing>);

impl SdkClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let answer = send(&client.client().await, request).await;
            answer.inspect_err(|_| client.has_failed())
        })
    }
}

async fn send(client: &reqwest::Client, mut request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
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
    let body = incoming.bytes().await.map_err(failure)?;
    // The SDK does not read what it does not need, and would take a login form for an answer of AWS.
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if status.is_success() && (kind.to_ascii_lowercase().contains("html") || is_page(&body)) {
        let message = format!("status {}: a page, which is no answer of AWS", status.as_u16());
        return Err(other(message.into()));
    }
    let mut response = Response::new(status, SdkBody::from(body));
    for (name, value) in &headers {
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
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
