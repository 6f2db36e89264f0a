//! Who may change something from a browser: pages of the gateway's own origin, and of those that the settings name.
//!
//! A browser sends a page's requests wherever the page says, with the network and the passwords of whoever looks at it. It
//! says from where in `Sec-Fetch-Site` (w3.org/TR/fetch-metadata) and in `Origin` (RFC 6454). Programs that are no browsers
//! send neither, and are not asked.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;

use crate::config::Setting;
use crate::config::document::Value;

/// From where a page was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// The origin in `text`, such as `https://grafana.example:3000`; nothing if it is none, as `null` is.
    pub fn parse(text: &str) -> Option<Origin> {
        let (scheme, authority) = text.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let (host, port) = split(authority)?;
        Some(Origin { is_https, host, port: port.unwrap_or(default_port(is_https)) })
    }

    /// Its host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the host that a request was for is of this origin. `is_tls` if the request came over TLS; if it did not, a
    /// proxy may have spoken it.
    fn is_of(&self, asked: &str, is_tls: bool) -> bool {
        let Some((host, port)) = split(asked) else { return false };
        (self.is_https || !is_tls) && host == self.host && port.unwrap_or(default_port(self.is_https)) == self.port
    }
}

fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

/// Host, in lower case, and port of an authority; nothing if it is none.
fn split(authority: &str) -> Option<(String, Option<u16>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(end);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]%".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_plain) {
        return None;
    }
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// An element of `allowed_origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Every page that there is.
    Any,
    /// Pages of one origin.
    One(Origin),
}

impl Setting for Allowed {
    const EXPECTED: &'static str = "an origin such as \"https://grafana.example:3000\", or \"*\" for every one";
    const EXPECTED_LIST: &'static str = "a list of origins such as \"https://grafana.example:3000\"";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) if text == "*" => Ok(Allowed::Any),
            Value::String(text) => Origin::parse(text).map(Allowed::One).ok_or_else(String::new),
            _ => Err(String::new()),
        }
    }
}

/// What is asked of requests that come from browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Browsers {
    /// Whose pages may change something, beside the gateway's own.
    pub allowed: Vec<Allowed>,
    /// Under which names the gateway is asked; under any, if there are none.
    pub hosts: Vec<String>,
}

/// That a request is not what the gateway answers browsers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// It would change something, and is of another page.
    #[error("a page of another origin, {0}, may not change anything here: [gateway] allowed_origins")]
    Page(String),
    /// It is for a host that the gateway is not.
    #[error("the gateway is not called {0:?}: [gateway] allowed_hosts")]
    Host(String),
}

impl Foreign {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Foreign::Page(_) => StatusCode::FORBIDDEN,
            Foreign::Host(_) => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host that was asked, as it was written; nothing if that was not said.
fn asked<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    let authority = uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| headers.get(header::HOST)?.to_str().ok())
}

impl Browsers {
    /// Whether a request may be answered.
    ///
    /// # Errors
    /// What is wrong with where it comes from, or goes to.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap, is_tls: bool) -> Result<(), Foreign> {
        let asked = asked(uri, headers);
        if let Some(host) = asked.filter(|host| !self.is_ours(host)) {
            return Err(Foreign::Host(host.to_owned()));
        }
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || self.allowed_origin(headers).is_some() {
            return Ok(());
        }
        let sites: Vec<&[u8]> = headers.get_all(SEC_FETCH_SITE).iter().map(HeaderValue::as_bytes).collect();
        let origins: Vec<&[u8]> = headers.get_all(header::ORIGIN).iter().map(HeaderValue::as_bytes).collect();
        let is_own = |origin: &&[u8]| {
            let origin = std::str::from_utf8(origin).ok().and_then(Origin::parse);
            asked.is_some_and(|asked| origin.is_some_and(|origin| origin.is_of(asked, is_tls)))
        };
        let is_ours = match sites.is_empty() {
            false => sites.iter().all(|site| matches!(*site, b"same-origin" | b"none")),
            true => origins.iter().all(is_own),
        };
        let told = origins.first().map_or("unknown".into(), |origin| String::from_utf8_lossy(origin));
        if is_ours { Ok(()) } else { Err(Foreign::Page(told.into_owned())) }
    }

    /// A page whose name leads to this gateway has the gateway's origin. A name that is a number, or the host's own, leads
    /// nowhere else.
    fn is_ours(&self, asked: &str) -> bool {
        if self.hosts.is_empty() {
            return true;
        }
        let Some((host, _)) = split(asked) else { return false };
        let number = host.trim_start_matches('[').trim_end_matches(']');
        number.parse::<IpAddr>().is_ok() || host == "localhost" || self.hosts.contains(&host)
    }

    /// The origin of a request, if the settings name it.
    fn allowed_origin<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        let parsed = origin.to_str().ok().and_then(Origin::parse);
        let is_allowed = |allowed: &Allowed| match allowed {
            Allowed::Any => true,
            Allowed::One(one) => parsed.as_ref() == Some(one),
        };
        self.allowed.iter().any(is_allowed).then_some(origin)
    }

    /// Lets a page of an allowed origin read the answer; a preflight also says what it may ask for. What Pushgateway lets
    /// every page read, it may, and nothing else.
    pub fn let_read(&self, headers: &HeaderMap, is_public: bool, response: &mut Response) {
        let (origin, methods) = match self.allowed_origin(headers) {
            Some(origin) => (origin.clone(), "GET, POST, PUT, DELETE, OPTIONS"),
            None if is_public => (HeaderValue::from_static("*"), "GET, OPTIONS"),
            None => return,
        };
        let mut put = |name: &'static str, value: HeaderValue| response.headers_mut().insert(name, value);
        put("access-control-allow-origin", origin);
        put("access-control-allow-methods", HeaderValue::from_static(methods));
        put("access-control-allow-headers", HeaderValue::from_static(ASKED_WITH));
        put("access-control-expose-headers", HeaderValue::from_static("Date, X-Taffrail-Repeated"));
        put("cache-control", HeaderValue::from_static("no-cache, no-store, must-revalidate"));
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

/// The headers that a page may send.
const ASKED_WITH: &str = "Accept, Authorization, Content-Type, Origin, Idempotency-Key, X-Taffrail-TTL";

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn check(browsers: &Browsers, method: &Method, list: &[(&'static str, &str)], is_tls: bool) -> bool {
        browsers.check(method, &Uri::from_static("/metrics/job/a"), &headers(list), is_tls).is_ok()
    }

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        let is_of =
            |origin: &str, host: &str, is_tls| Origin::parse(origin).is_some_and(|origin| origin.is_of(host, is_tls));
        for (origin, host, is_tls) in [
            ("http://gateway:9091", "gateway:9091", false),
            ("http://Gateway:9091", "gATEWAY:9091", false),
            ("http://gateway", "gateway:80", false),
            ("https://gateway:443", "gateway", true),
            // A proxy speaks TLS.
            ("https://gateway", "gateway", false),
            ("http://[2001:db8::1]:9091", "[2001:DB8::1]:9091", false),
            ("http://192.0.2.1:9091", "192.0.2.1:9091", false),
        ] {
            assert!(is_of(origin, host, is_tls), "{origin} and {host}");
        }
        for (origin, host, is_tls) in [
            ("http://gateway:9092", "gateway:9091", false),
            ("http://gateway.example:9091", "gateway:9091", false),
            ("http://gateway", "gateway:9091", false),
            ("http://gateway", "gateway", true),
            ("null", "null", false),
            ("http://", "", false),
            ("http://gateway:9091/", "gateway:9091", false),
            ("http://user@gateway:9091", "gateway:9091", false),
            ("ftp://gateway:9091", "gateway:9091", false),
            ("http://gateway:x", "gateway:x", false),
            ("http://[::1", "[::1", false),
        ] {
            assert!(!is_of(origin, host, is_tls), "{origin} and {host}");
        }
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let host = ("host", "gateway:9091");
        let own = Browsers::default();
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            for taken in [
                &[host] as &[_],
                &[],
                &[host, ("sec-fetch-site", "same-origin"), ("origin", "http://gateway:9091")],
                &[host, ("sec-fetch-site", "none")],
                &[host, ("origin", "http://gateway:9091")],
            ] {
                assert!(check(&own, &method, taken, false), "{method} {taken:?}");
            }
            for refused in [
                &[host, ("sec-fetch-site", "cross-site")] as &[_],
                &[host, ("sec-fetch-site", "same-site")],
                &[host, ("sec-fetch-site", "Same-Origin")],
                &[host, ("sec-fetch-site", "")],
                &[host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
                // What the browser says of itself counts, whatever the page has made of the rest.
                &[host, ("sec-fetch-site", "cross-site"), ("origin", "http://gateway:9091")],
                &[host, ("origin", "http://other.example")],
                &[host, ("origin", "null")],
                &[host, ("origin", "http://gateway")],
                &[host, ("origin", "http://gateway:9091"), ("origin", "http://other.example")],
                &[("origin", "http://gateway:9091")],
            ] {
                assert!(!check(&own, &method, refused, false), "{method} {refused:?}");
                assert!(check(&own, &Method::GET, refused, false), "{refused:?}");
                let any = Browsers { allowed: vec![Allowed::Any], ..Browsers::default() };
                let has_one_origin = refused.iter().filter(|(name, _)| *name == "origin").count() == 1;
                assert_eq!(check(&any, &method, refused, false), has_one_origin, "{refused:?}");
            }
        }
        assert!(!check(&own, &Method::POST, &[host, ("origin", "http://gateway:9091")], true), "another scheme");
    }

    #[test]
    fn origins_that_are_allowed_are_told_apart() {
        let one = Allowed::One(Origin::parse("https://grafana.example").unwrap());
        let browsers = Browsers { allowed: vec![one], ..Browsers::default() };
        let from = |origin| [("host", "gateway:9091"), ("sec-fetch-site", "cross-site"), ("origin", origin)];
        assert!(check(&browsers, &Method::DELETE, &from("https://grafana.example"), false));
        for other in ["http://grafana.example", "https://grafana.example:444", "https://other.example", "null"] {
            assert!(!check(&browsers, &Method::DELETE, &from(other), false), "{other}");
        }
        let allows = |origin, is_public| {
            let mut response = Response::default();
            browsers.let_read(&headers(&from(origin)), is_public, &mut response);
            let value = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            (value("access-control-allow-origin"), value("access-control-allow-methods"))
        };
        let said = |origin: &str, methods: &str| (Some(origin.to_owned()), Some(methods.to_owned()));
        let all = "GET, POST, PUT, DELETE, OPTIONS";
        assert_eq!(allows("https://grafana.example", false), said("https://grafana.example", all));
        assert_eq!(allows("https://other.example", true), said("*", "GET, OPTIONS"));
        assert_eq!(allows("https://other.example", false), (None, None));
    }

    #[test]
    fn a_name_that_leads_here_is_not_enough_where_names_are_said() {
        let browsers = Browsers { hosts: vec!["gateway.example".to_owned()], ..Browsers::default() };
        for host in ["gateway.example", "GATEWAY.example:9091", "192.0.2.1:9091", "[::1]:9091", "localhost:9091"] {
            assert!(check(&browsers, &Method::GET, &[("host", host)], false), "{host}");
        }
        for host in ["attacker.example", "attacker.example:9091", "gateway.example.attacker.example", ""] {
            assert!(!check(&browsers, &Method::GET, &[("host", host)], false), "{host}");
        }
        assert!(check(&browsers, &Method::GET, &[], false), "no browser leaves it out");
    }
}
