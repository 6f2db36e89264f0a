//! Requests over Unix sockets: `unix:/PATH/OF/SOCKET`, or `unix:/PATH/OF/SOCKET:/PATH/OF/URL`.

use std::path::PathBuf;

use reqwest::{ClientBuilder, Url};

use super::over_unix_socket;
use crate::percent;

/// The scheme of URLs of Unix sockets.
pub const UNIX: &str = "unix";

/// The socket and the path in a URL of a Unix socket; `None` for other URLs.
fn split(url: &Url) -> Option<(PathBuf, &str)> {
    let (socket, path) = url.path().split_once(":/").unwrap_or((url.path(), ""));
    (url.scheme() == UNIX).then(|| (PathBuf::from(percent::decode_text(socket)), path))
}

/// The socket in a URL of a Unix socket; `None` for other URLs.
pub fn socket(url: &Url) -> Option<PathBuf> {
    split(url).map(|(socket, _)| socket)
}

/// A client for `url`: connects to its Unix socket, if it has one.
///
/// # Errors
/// If the system has no Unix sockets.
pub fn for_url(builder: ClientBuilder, url: &Url) -> Result<ClientBuilder, String> {
    match split(url) {
        Some((socket, _)) => over_unix_socket(builder, &socket),
        None => Ok(builder),
    }
}

/// The URL of a request: that of a Unix socket becomes one of `localhost`.
pub fn request_url(url: Url) -> Url {
    let Some((_, path)) = split(&url) else { return url };
    let Ok(mut request) = Url::parse("http://localhost/") else { return url };
    request.set_path(path);
    request.set_query(url.query());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_unix_socket_has_a_socket_and_a_path() {
        let of = |url: &str| {
            let url = Url::parse(url).unwrap();
            (split(&url).map(|(socket, _)| socket), request_url(url).to_string())
        };
        let socket = |path: &str| Some(PathBuf::from(path));
        assert_eq!(of("unix:/run/x.sock"), (socket("/run/x.sock"), "http://localhost/".to_owned()));
        assert_eq!(of("unix:///run/a b:/-/ready"), (socket("/run/a b"), "http://localhost/-/ready".to_owned()));
        let group = "unix:/run/x.sock:/metrics/job/a%2Fb?ttl=1h";
        assert_eq!(of(group), (socket("/run/x.sock"), "http://localhost/metrics/job/a%2Fb?ttl=1h".to_owned()));
        assert_eq!(of("http://a/b:/c"), (None, "http://a/b:/c".to_owned()));
    }
}
