//! URLs as users write them.

use std::borrow::Cow;

use reqwest::Url;

use super::unix::UNIX;

/// The URL in `text`, which may lack its scheme if it has a port, such as `localhost:8086/path`. None has port 0.
pub fn parse_url(text: &str, scheme: &str) -> Option<Url> {
    Url::parse(&completed(text, scheme)).ok().filter(|url| url.port() != Some(0))
}

/// The text, with a scheme if it has none but a port.
pub fn completed<'t>(text: &'t str, scheme: &str) -> Cow<'t, str> {
    if authority(text).contains(':') { with_scheme(text, scheme) } else { Cow::Borrowed(text) }
}

/// The URL in an argument of the command line, which may lack its scheme.
///
/// # Errors
/// What was expected.
pub fn parse_argument(text: &str) -> Result<Url, String> {
    let is_reachable = |url: &Url| match url.scheme() {
        "http" | "https" => url.has_host() && url.port() != Some(0),
        UNIX => url.path().starts_with('/'),
        _ => false,
    };
    let url = Url::parse(&with_scheme(text, "http")).ok().filter(is_reachable);
    url.ok_or_else(|| {
        "expected an http or https URL, an address such as localhost:9100, or a Unix socket such as unix:/run/x.sock"
            .to_owned()
    })
}

/// The text, with a scheme if it has none.
pub fn with_scheme<'t>(text: &'t str, scheme: &str) -> Cow<'t, str> {
    if has_scheme(text) { Cow::Borrowed(text) } else { Cow::Owned(format!("{scheme}://{text}")) }
}

fn has_scheme(text: &str) -> bool {
    text.contains("://") || text.starts_with("unix:")
}

fn authority(text: &str) -> &str {
    text.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_scheme() {
        for (text, url) in [
            ("localhost:8086", Some("http://localhost:8086/")),
            ("10.0.0.1:80/write?a=b", Some("http://10.0.0.1/write?a=b")),
            ("[::1]:8086", Some("http://[::1]:8086/")),
            ("user:pass@h:1", Some("http://user:pass@h:1/")),
            ("https://h", Some("https://h/")),
            ("unix:///run/x", Some("unix:///run/x")),
            ("localhost", None),
            ("", None),
            ("a b:1", None),
            ("a:0", None),
            ("http://a:0/x", None),
            ("h/a:1", None),
        ] {
            assert_eq!(parse_url(text, "http").map(String::from).as_deref(), url, "{text}");
        }
        assert_eq!(parse_url("h:6443", "https").unwrap().as_str(), "https://h:6443/");
        assert_eq!(parse_argument("gateway").unwrap().as_str(), "http://gateway/");
        assert!(
            parse_argument("h:0").is_err() && parse_argument("ftp://h").is_err() && parse_argument("unix:x").is_err()
        );
        assert_eq!(parse_argument("unix:/run/x.sock").unwrap().path(), "/run/x.sock");
    }
}
