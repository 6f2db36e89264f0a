//! The host of a request: RFC 9112, section 3.2.

use std::net::Ipv6Addr;

use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, Version};

/// Reasons for status 400.
const NONE: &str = "expected a Host header, found none\n";
const TOO_MANY: &str = "expected one Host header, found more\n";
const NO_PATH: &str = "expected a path that begins with a slash, or a URL that begins with http:// or https://\n";
const NOT_A_HOST: &str = "expected a host and a port in the Host header, such as example.org:9100\n";

/// Requires exactly one host. An absolute target (`GET http://example.org/`) replaces the Host header, so that later
/// code only reads the header.
///
/// # Errors
/// The reason, for the response.
pub(super) fn resolve<B>(request: &mut Request<B>) -> Result<(), &'static str> {
    let mut named = request.headers().get_all(HOST).iter();
    match (named.next(), named.next()) {
        (_, Some(_)) => return Err(TOO_MANY),
        (None, None) if request.version() >= Version::HTTP_11 => return Err(NONE),
        (Some(host), None) if !is_host(host) => return Err(NOT_A_HOST),
        _ => {}
    }
    if let Some(authority) = request.uri().authority() {
        if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
            return Err(NO_PATH);
        }
        let without_user = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(without_user).map_err(|_| NOT_A_HOST)?;
        if !is_host(&host) {
            return Err(NOT_A_HOST);
        }
        request.headers_mut().insert(HOST, host);
    }
    Ok(())
}

/// Whether this is a host with an optional port, or empty, for targets without a host. A comma is valid in a host, but in
/// practice comes from two joined headers.
fn is_host(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let is_authority = |authority: Authority| {
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or("@");
        let digits = port.strip_prefix(':').unwrap_or(port);
        let in_brackets = authority.host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_address = in_brackets.is_none_or(|address| address.parse::<Ipv6Addr>().is_ok());
        is_address
            && (digits.is_empty() || digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok())
    };
    bytes.is_empty() || !bytes.contains(&b',') && Authority::try_from(bytes).is_ok_and(is_authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, &'static str> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let mut request = request.body(()).unwrap();
        resolve(&mut request)?;
        Ok(request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_request_names_one_host() {
        let of = |hosts: &[&str]| resolved(Version::HTTP_11, "/metrics", hosts);
        for host in ["", "a", "a.example:9100", "127.0.0.1:9100", "[::1]:9100", "[::1]", "a:", "a_b:1"] {
            assert_eq!(of(&[host]), Ok(Some(host.to_owned())), "{host}");
        }
        for host in [
            "a b",
            "a,b",
            "a/b",
            "user@a",
            "a:b",
            "a:65536",
            "a:1:2",
            "http://a",
            "[::1",
            "a#b",
            "a?b",
            "[zz]",
            "[]",
            "[1.2.3.4]:9",
        ] {
            assert_eq!(of(&[host]), Err(NOT_A_HOST), "{host}");
        }
        assert_eq!(of(&[]), Err(NONE));
        assert_eq!(of(&["a", "a"]), Err(TOO_MANY));
        assert_eq!(of(&["a", ""]), Err(TOO_MANY));
    }

    #[test]
    fn before_http_1_1_none_need_be_named() {
        assert_eq!(resolved(Version::HTTP_10, "/metrics", &[]), Ok(None));
        assert_eq!(resolved(Version::HTTP_10, "/metrics", &["a"]), Ok(Some("a".to_owned())));
        assert_eq!(resolved(Version::HTTP_10, "/metrics", &["a", "b"]), Err(TOO_MANY));
        assert_eq!(resolved(Version::HTTP_10, "/metrics", &["a b"]), Err(NOT_A_HOST));
    }

    #[test]
    fn what_the_target_says_counts() {
        let of = |hosts: &[&str]| resolved(Version::HTTP_11, "http://user@there:9/metrics", hosts);
        assert_eq!(of(&["here"]), Ok(Some("there:9".to_owned())));
        assert_eq!(of(&[]), Err(NONE));
        assert_eq!(of(&["there:9", "there:9"]), Err(TOO_MANY));
        for host_alone in ["metrics", "there:9"] {
            assert_eq!(resolved(Version::HTTP_11, host_alone, &["here"]), Err(NO_PATH), "{host_alone}");
        }
        for other in ["ftp://there/metrics", "ws://there/"] {
            assert_eq!(resolved(Version::HTTP_11, other, &["here"]), Err(NO_PATH), "{other}");
        }
        for wrong in ["http://[zz]/", "http://there:65536/"] {
            assert_eq!(resolved(Version::HTTP_11, wrong, &["here"]), Err(NOT_A_HOST), "{wrong}");
        }
        let of_https = resolved(Version::HTTP_11, "HTTPS://[::1]:9/", &["here"]);
        assert_eq!(of_https, Ok(Some("[::1]:9".to_owned())));
    }
}
