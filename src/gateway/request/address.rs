//! The address of the gateway: its path prefix, and its external URL behind a proxy.

use std::fmt;
use std::net::SocketAddr;

use axum::http::Uri;

use super::origin::Origin;
use crate::config::Setting;
use crate::config::Value;

/// The URL that clients use for the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    /// The origin of the gateway's pages.
    pub origin: Origin,
    /// Its path.
    pub prefix: Prefix,
}

impl fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/", self.origin, self.prefix.as_str())
    }
}

/// The prefix of all paths. It starts with a slash and does not end with one, or is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    fn new(path: &str) -> Option<Prefix> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let is_plain = |part: &&str| {
            !matches!(*part, "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        };
        parts.iter().all(is_plain).then(|| Prefix(parts.iter().map(|part| format!("/{part}")).collect()))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path after the prefix; empty for the prefix itself, none for a path without it.
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&self.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The redirect from the prefix to the prefix with a slash, relative, so that a proxy may add a prefix of its own.
    pub fn with_slash(&self) -> Option<String> {
        self.0.rsplit_once('/').map(|(_, last)| format!("{last}/"))
    }
}

/// The address of the gateway's page.
#[derive(Clone, Debug)]
pub enum PageAddress {
    /// The external URL.
    Url(String),
    /// An address that the gateway listens on.
    Listens {
        /// `http` or `https`.
        scheme: &'static str,
        /// The listening address.
        address: SocketAddr,
        /// The path, with a slash at its end.
        path: String,
    },
}

impl PageAddress {
    /// The URL for a client that reached this host at `host`, a name or address with an optional port.
    pub fn url(&self, host: &str) -> String {
        match self {
            PageAddress::Url(url) => url.clone(),
            PageAddress::Listens { scheme, address, path } if address.ip().is_unspecified() && !host.is_empty() => {
                let name = match host.rsplit_once(':') {
                    Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
                    _ => host,
                };
                format!("{scheme}://{name}:{}{path}", address.port())
            }
            PageAddress::Listens { scheme, address, path } => format!("{scheme}://{address}{path}"),
        }
    }
}

impl Setting for Prefix {
    const EXPECTED: &'static str = "a path such as \"/pushgateway\" of letters, digits and -._~";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Prefix::new(text).ok_or_else(String::new),
            _ => Err(String::new()),
        }
    }
}

impl Setting for ExternalUrl {
    const EXPECTED: &'static str = "a URL such as \"https://example.org/pushgateway/\" without a query";

    fn from_value(value: &Value) -> Result<Self, String> {
        let Value::String(text) = value else { return Err(String::new()) };
        let read = || {
            let uri: Uri = text.parse().ok().filter(|uri: &Uri| uri.query().is_none())?;
            let origin = Origin::parse(&format!("{}://{}", uri.scheme_str()?, uri.authority()?))?;
            Some(ExternalUrl { origin, prefix: Prefix::new(uri.path())? })
        };
        read().filter(|_| !text.contains('#')).ok_or_else(String::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(text: &str) -> Option<T> {
        T::from_value(&Value::String(text.to_owned())).ok()
    }

    #[test]
    fn prefixes_are_read_as_pushgateway_reads_them() {
        for (text, path) in [("", ""), ("/", ""), ("push", "/push"), ("/push/", "/push"), ("/a/b-1", "/a/b-1")] {
            assert_eq!(read::<Prefix>(text).unwrap().as_str(), path, "{text}");
        }
        for invalid in ["/a b", "/a?b", "/a#b", "/..", "/a%2fb"] {
            assert_eq!(read::<Prefix>(invalid), None, "{invalid}");
        }
        let prefix = read::<Prefix>("/a/b").unwrap();
        let below = ["/a/b", "/a/b/", "/a/b/metrics", "/a/bc", "/metrics"].map(|path| prefix.below(path));
        assert_eq!(below, [Some(""), Some("/"), Some("/metrics"), None, None]);
        assert_eq!(prefix.with_slash().as_deref(), Some("b/"));
        assert_eq!(Prefix::default().below("/metrics"), Some("/metrics"));
    }

    #[test]
    fn the_page_is_where_the_client_reaches_this_host() {
        let url = |address: &str, host: &str| {
            let address = address.parse().unwrap();
            PageAddress::Listens { scheme: "http", address, path: "/push/".to_owned() }.url(host)
        };
        for (host, expected) in [
            ("web-1:9100", "http://web-1:9091/push/"),
            ("web-1", "http://web-1:9091/push/"),
            ("[::1]:9100", "http://[::1]:9091/push/"),
            ("[fe80::1]", "http://[fe80::1]:9091/push/"),
        ] {
            assert_eq!(url("0.0.0.0:9091", host), expected);
        }
        assert_eq!(url("[::1]:9091", "web-1:9100"), "http://[::1]:9091/push/");
    }

    #[test]
    fn an_external_url_has_an_origin_and_a_path() {
        let url = read::<ExternalUrl>("https://Example.org:8443/push/").unwrap();
        assert_eq!(
            (Some(url.origin.clone()), url.prefix.as_str()),
            (Origin::parse("https://example.org:8443"), "/push")
        );
        assert_eq!(url.to_string(), "https://example.org:8443/push/");
        let url = read::<ExternalUrl>("http://gateway").unwrap();
        assert_eq!((url.prefix.as_str(), url.to_string().as_str()), ("", "http://gateway/"));
        for invalid in
            ["gateway", "/push", "ftp://gateway", "http://gateway/?a=b", "http://gateway/#a", "http://u@gateway/"]
        {
            assert_eq!(read::<ExternalUrl>(invalid), None, "{invalid}");
        }
    }
}
