//! Which host a request is for: RFC 9112, section 3.2.

use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Version};

/// Why a request is answered 400.
const NONE: &str = "expected a Host header, found none\n";
const TOO_MANY: &str = "expected one Host header, found more\n";
const NOT_A_HOST: &str = "expected a host and a port in the Host header, such as example.org:9100\n";

/// Sees to it that a request names its host once. A target that names one itself (`GET http://example.org/`) counts for
/// the header, whatever that says: everybody who looks at the header from here on sees where the request goes.
///
/// # Errors
/// What is wrong.
pub(super) fn settle<B>(request: &mut Request<B>) -> Result<(), &'static str> {
    let mut named = request.headers().get_all(HOST).iter();
    match (named.next(), named.next()) {
        (_, Some(_)) => return Err(TOO_MANY),
        (None, None) if request.version() >= Version::HTTP_11 => return Err(NONE),
        (Some(host), None) if !is_host(host) => return Err(NOT_A_HOST),
        _ => {}
    }
    let of_the_target = request.uri().authority().filter(|_| *request.method() != Method::CONNECT);
    if let Some(authority) = of_the_target {
        let without_user = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(without_user).map_err(|_| NOT_A_HOST)?;
        request.headers_mut().insert(HOST, host);
    }
    Ok(())
}

/// Whether this is a host with or without a port; nothing at all is one too, of targets that have none. A comma may stand
/// in one, but does so only where two were made one.
fn is_host(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    let is_authority = |authority: Authority| {
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or("@");
        let digits = port.strip_prefix(':').unwrap_or(port);
        digits.is_empty() || digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
    };
    bytes.is_empty() || !bytes.contains(&b',') && Authority::try_from(bytes).is_ok_and(is_authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, &'static str> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let mut request = request.body(()).unwrap();
        settle(&mut request)?;
        Ok(request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_request_names_one_host() {
        let of = |hosts: &[&str]| settled(Version::HTTP_11, "/metrics", hosts);
        for host in ["", "a", "a.example:9100", "127.0.0.1:9100", "[::1]:9100", "[::1]", "a:", "a_b:1"] {
            assert_eq!(of(&[host]), Ok(Some(host.to_owned())), "{host}");
        }
        for host in ["a b", "a,b", "a/b", "user@a", "a:b", "a:65536", "a:1:2", "http://a", "[::1", "a#b", "a?b"] {
            assert_eq!(of(&[host]), Err(NOT_A_HOST), "{host}");
        }
        assert_eq!(of(&[]), Err(NONE));
        assert_eq!(of(&["a", "a"]), Err(TOO_MANY));
        assert_eq!(of(&["a", ""]), Err(TOO_MANY));
    }

    #[test]
    fn before_http_1_1_none_need_be_named() {
        assert_eq!(settled(Version::HTTP_10, "/metrics", &[]), Ok(None));
        assert_eq!(settled(Version::HTTP_10, "/metrics", &["a"]), Ok(Some("a".to_owned())));
        assert_eq!(settled(Version::HTTP_10, "/metrics", &["a", "b"]), Err(TOO_MANY));
        assert_eq!(settled(Version::HTTP_10, "/metrics", &["a b"]), Err(NOT_A_HOST));
    }

    #[test]
    fn what_the_target_says_counts() {
        let of = |hosts: &[&str]| settled(Version::HTTP_11, "http://user@there:9/metrics", hosts);
        assert_eq!(of(&["here"]), Ok(Some("there:9".to_owned())));
        assert_eq!(of(&[]), Err(NONE));
        assert_eq!(of(&["there:9", "there:9"]), Err(TOO_MANY));
    }
}
