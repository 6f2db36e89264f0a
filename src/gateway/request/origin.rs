//! Protection against cross-site requests: pages of the gateway's own origin and of configured origins may change groups.
//!
//! A browser sends a page's requests to any host, with the user's network access and credentials. It names their source in
//! `Sec-Fetch-Site` (w3.org/TR/fetch-metadata) and `Origin` (RFC 6454). Other programs send neither header, and pass.

use std::fmt;
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::response::Response;

use super::refusal::Reason;
use crate::config::Setting;
use crate::config::Value;

/// The origin of a page: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        match self.port == default_port(self.is_https) {
            true => write!(f, "{scheme}://{}", self.host),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl Origin {
    /// Parses an origin such as `https://grafana.example:3000`; none for others, such as `null`.
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

    /// Whether the host that a request is addressed to has this origin. `is_tls` says whether the request came over TLS; if
    /// not, a proxy may have terminated it.
    fn is_of(&self, requested: &str, is_tls: bool) -> bool {
        let Some((host, port)) = split(requested) else { return false };
        (self.is_https || !is_tls) && host == self.host && port.unwrap_or(default_port(self.is_https)) == self.port
    }
}

fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

/// Host, in lower case, and port of an authority; none if it is malformed.
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
pub enum AllowedOrigin {
    /// Any page.
    Any,
    /// Pages of one origin.
    One(Origin),
}

impl Setting for AllowedOrigin {
    const EXPECTED: &'static str = "an origin such as \"https://grafana.example:3000\", or \"*\" for every one";
    const EXPECTED_LIST: &'static str = "a list of origins such as \"https://grafana.example:3000\"";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) if text == "*" => Ok(AllowedOrigin::Any),
            Value::String(text) => Origin::parse(text).map(AllowedOrigin::One).ok_or_else(String::new),
            _ => Err(String::new()),
        }
    }
}

/// The checks of requests from browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    /// Origins that may change groups besides the gateway's own.
    pub allowed: Vec<AllowedOrigin>,
    /// Host names of the gateway; any if empty.
    pub hosts: Vec<String>,
}

/// Why a browser's request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// A page of another origin tries to change something.
    #[error("a page of another origin, {0}, may not change anything here: [gateway] allowed_origins")]
    Page(String),
    /// The request is addressed to another host.
    #[error("the gateway is not called {0:?}: [gateway] allowed_hosts")]
    Host(String),
}

impl OriginError {
    /// The reason of the refusal.
    pub fn reason(&self) -> Reason {
        match self {
            OriginError::Page(_) => Reason::CrossOrigin,
            OriginError::Host(_) => Reason::Host,
        }
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host that a request is addressed to, verbatim; none if it does not say.
fn requested_host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    let authority = uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| headers.get(header::HOST)?.to_str().ok())
}

impl OriginPolicy {
    /// Checks the source and the host of a request.
    ///
    /// # Errors
    /// It comes from a page of another origin, or is addressed to another host.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap, is_tls: bool) -> Result<(), OriginError> {
        let requested = requested_host(uri, headers);
        if let Some(host) = requested.filter(|host| !self.is_ours(host)) {
            return Err(OriginError::Host(host.to_owned()));
        }
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || self.allowed_origin(headers).is_some() {
            return Ok(());
        }
        let sites: Vec<&[u8]> = headers.get_all(SEC_FETCH_SITE).iter().map(HeaderValue::as_bytes).collect();
        let origins: Vec<&[u8]> = headers.get_all(header::ORIGIN).iter().map(HeaderValue::as_bytes).collect();
        let is_own = |origin: &&[u8]| {
            let origin = std::str::from_utf8(origin).ok().and_then(Origin::parse);
            requested.is_some_and(|host| origin.is_some_and(|origin| origin.is_of(host, is_tls)))
        };
        let is_ours = match sites.is_empty() {
            false => sites.iter().all(|site| matches!(*site, b"same-origin" | b"none")),
            true => origins.iter().all(is_own),
        };
        let origin = origins.first().map_or("unknown".into(), |origin| String::from_utf8_lossy(origin));
        if is_ours { Ok(()) } else { Err(OriginError::Page(origin.into_owned())) }
    }

    /// Any host name that resolves to the gateway gives a page the gateway's origin (DNS rebinding). IP addresses and
    /// `localhost` are safe: they resolve to nothing else.
    fn is_ours(&self, requested: &str) -> bool {
        if self.hosts.is_empty() {
            return true;
        }
        let Some((host, _)) = split(requested) else { return false };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok() || host == "localhost" || self.hosts.contains(&host)
    }

    /// The origin of a request, if the settings allow it.
    fn allowed_origin<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        let parsed = origin.to_str().ok().and_then(Origin::parse);
        let is_allowed = |allowed: &AllowedOrigin| match allowed {
            AllowedOrigin::Any => true,
            AllowedOrigin::One(one) => parsed.as_ref() == Some(one),
        };
        self.allowed.iter().any(is_allowed).then_some(origin)
    }

    /// Adds the CORS headers: a page of an allowed origin may read the response. Pages of other origins may read only what
    /// Pushgateway makes public.
    pub fn add_cors_headers(&self, headers: &HeaderMap, is_public: bool, response: &mut Response) {
        let (origin, methods) = match self.allowed_origin(headers) {
            Some(origin) => (origin.clone(), "GET, POST, PUT, DELETE, OPTIONS"),
            None if is_public => (HeaderValue::from_static("*"), "GET, OPTIONS"),
            None => return,
        };
        let mut put = |name: &'static str, value: HeaderValue| response.headers_mut().insert(name, value);
        put("access-control-allow-origin", origin);
        put("access-control-allow-methods", HeaderValue::from_static(methods));
        put("access-control-allow-headers", HeaderValue::from_static(ALLOWED_HEADERS));
        put("access-control-expose-headers", HeaderValue::from_static("Date, X-Taffrail-Repeated"));
        put("cache-control", HeaderValue::from_static("no-cache, no-store, must-revalidate"));
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

/// The headers that a page may send.
const ALLOWED_HEADERS: &str = "Accept, Authorization, Content-Type, Origin, Idempotency-Key, X-Taffrail-TTL";

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

    fn check(browsers: &OriginPolicy, method: &Method, list: &[(&'static str, &str)], is_tls: bool) -> bool {
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
            // A proxy terminates TLS.
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
        let policy = OriginPolicy::default();
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            for accepted in [
                &[host] as &[_],
                &[],
                &[host, ("sec-fetch-site", "same-origin"), ("origin", "http://gateway:9091")],
                &[host, ("sec-fetch-site", "none")],
                &[host, ("origin", "http://gateway:9091")],
            ] {
                assert!(check(&policy, &method, accepted, false), "{method} {accepted:?}");
            }
            for refused in [
                &[host, ("sec-fetch-site", "cross-site")] as &[_],
                &[host, ("sec-fetch-site", "same-site")],
                &[host, ("sec-fetch-site", "Same-Origin")],
                &[host, ("sec-fetch-site", "")],
                &[host, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
                // Sec-Fetch-Site takes precedence: a page cannot forge it.
                &[host, ("sec-fetch-site", "cross-site"), ("origin", "http://gateway:9091")],
                &[host, ("origin", "http://other.example")],
                &[host, ("origin", "null")],
                &[host, ("origin", "http://gateway")],
                &[host, ("origin", "http://gateway:9091"), ("origin", "http://other.example")],
                &[("origin", "http://gateway:9091")],
            ] {
                assert!(!check(&policy, &method, refused, false), "{method} {refused:?}");
                assert!(check(&policy, &Method::GET, refused, false), "{refused:?}");
                let any = OriginPolicy { allowed: vec![AllowedOrigin::Any], ..OriginPolicy::default() };
                let has_one_origin = refused.iter().filter(|(name, _)| *name == "origin").count() == 1;
                assert_eq!(check(&any, &method, refused, false), has_one_origin, "{refused:?}");
            }
        }
        assert!(!check(&policy, &Method::POST, &[host, ("origin", "http://gateway:9091")], true), "another scheme");
    }

    #[test]
    fn origins_that_are_allowed_are_told_apart() {
        let one = AllowedOrigin::One(Origin::parse("https://grafana.example").unwrap());
        let browsers = OriginPolicy { allowed: vec![one], ..OriginPolicy::default() };
        let from = |origin| [("host", "gateway:9091"), ("sec-fetch-site", "cross-site"), ("origin", origin)];
        assert!(check(&browsers, &Method::DELETE, &from("https://grafana.example"), false));
        for other in ["http://grafana.example", "https://grafana.example:444", "https://other.example", "null"] {
            assert!(!check(&browsers, &Method::DELETE, &from(other), false), "{other}");
        }
        let allows = |origin, is_public| {
            let mut response = Response::default();
            browsers.add_cors_headers(&headers(&from(origin)), is_public, &mut response);
            let value = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            (value("access-control-allow-origin"), value("access-control-allow-methods"))
        };
        let expected = |origin: &str, methods: &str| (Some(origin.to_owned()), Some(methods.to_owned()));
        let all = "GET, POST, PUT, DELETE, OPTIONS";
        assert_eq!(allows("https://grafana.example", false), expected("https://grafana.example", all));
        assert_eq!(allows("https://other.example", true), expected("*", "GET, OPTIONS"));
        assert_eq!(allows("https://other.example", false), (None, None));
    }

    #[test]
    fn a_name_that_leads_here_is_not_enough_where_names_are_said() {
        let browsers = OriginPolicy { hosts: vec!["gateway.example".to_owned()], ..OriginPolicy::default() };
        for host in ["gateway.example", "GATEWAY.example:9091", "192.0.2.1:9091", "[::1]:9091", "localhost:9091"] {
            assert!(check(&browsers, &Method::GET, &[("host", host)], false), "{host}");
        }
        for host in ["attacker.example", "attacker.example:9091", "gateway.example.attacker.example", ""] {
            assert!(!check(&browsers, &Method::GET, &[("host", host)], false), "{host}");
        }
        assert!(check(&browsers, &Method::GET, &[], false), "no browser leaves it out");
    }
}
