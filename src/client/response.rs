//! Reads responses, as far as messages need them.

use std::fmt;

use reqwest::header::{self, HeaderMap};

/// Bytes read of a body that need not be complete.
pub const MESSAGE: usize = 64 << 10;

/// The start of a body, up to about `max_bytes`; and the error if it is incomplete.
pub async fn read_start(response: &mut reqwest::Response, max_bytes: usize) -> (String, Result<(), reqwest::Error>) {
    let (mut body, mut ended) = (Vec::new(), Ok(()));
    while body.len() <= max_bytes {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    (String::from_utf8_lossy(&body).into_owned(), ended)
}

/// Why a body is missing.
#[derive(Debug)]
pub enum BodyError {
    /// It has more than this number of bytes.
    TooLong(usize),
    /// The connection failed.
    Failed(reqwest::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::TooLong(max) if max % (1 << 20) == 0 => {
                write!(f, "expected at most {} MiB, found a longer answer", max >> 20)
            }
            BodyError::TooLong(max) if max % (1 << 10) == 0 => {
                write!(f, "expected at most {} KiB, found a longer answer", max >> 10)
            }
            BodyError::TooLong(max) => write!(f, "expected at most {max} bytes, found a longer answer"),
            BodyError::Failed(error) => f.write_str(&super::reason(error)),
        }
    }
}

/// The whole body.
///
/// # Errors
/// If it has more than `max_bytes`, or the connection fails.
pub async fn read_whole(mut response: reqwest::Response, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let is_too_long = |bytes: u64| bytes > max_bytes as u64;
    if response.content_length().is_some_and(is_too_long) {
        return Err(BodyError::TooLong(max_bytes));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Failed)? {
        if is_too_long((body.len() + chunk.len()) as u64) {
            return Err(BodyError::TooLong(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Shortens a body to one line for a log or terminal.
pub fn shorten(body: &str) -> String {
    const MAX_CHARS: usize = 300;
    let line: String = body.trim().chars().take(MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.is_empty() { "no reason given".to_owned() } else { line }
}

/// Whether a response is an HTML page, as proxies and login forms send it, rather than an API's response.
pub fn is_page(headers: &HeaderMap, body: &str) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_markup = body.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').starts_with('<');
    kind.to_ascii_lowercase().contains("html") || is_markup
}
