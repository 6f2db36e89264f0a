//! Under which address the gateway is asked: below a path, and through a proxy.

use axum::http::Uri;

use super::origin::Origin;
use crate::config::Setting;
use crate::config::document::Value;

/// The URL under which others reach the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    /// Whose pages the gateway's are, to browsers.
    pub origin: Origin,
    /// Its path.
    pub prefix: Prefix,
}

/// The path below which everything is; it begins with a slash, and does not end with one, or is empty.
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

    /// The path as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is below it of a path; empty if that is the path itself, nothing if it is not there.
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&self.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Where the path itself is to lead, as a browser goes on from there: one more slash, whatever stands before it in a
    /// proxy.
    pub fn with_slash(&self) -> Option<String> {
        self.0.rsplit_once('/').map(|(_, last)| format!("{last}/"))
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
        for wrong in ["/a b", "/a?b", "/a#b", "/..", "/a%2fb"] {
            assert_eq!(read::<Prefix>(wrong), None, "{wrong}");
        }
        let prefix = read::<Prefix>("/a/b").unwrap();
        let below = ["/a/b", "/a/b/", "/a/b/metrics", "/a/bc", "/metrics"].map(|path| prefix.below(path));
        assert_eq!(below, [Some(""), Some("/"), Some("/metrics"), None, None]);
        assert_eq!(prefix.with_slash().as_deref(), Some("b/"));
        assert_eq!(Prefix::default().below("/metrics"), Some("/metrics"));
    }

    #[test]
    fn an_external_url_has_an_origin_and_a_path() {
        let url = read::<ExternalUrl>("https://Example.org:8443/push/").unwrap();
        assert_eq!((Some(url.origin), url.prefix.as_str()), (Origin::parse("https://example.org:8443"), "/push"));
        assert_eq!(read::<ExternalUrl>("http://gateway").unwrap().prefix.as_str(), "");
        for wrong in
            ["gateway", "/push", "ftp://gateway", "http://gateway/?a=b", "http://gateway/#a", "http://u@gateway/"]
        {
            assert_eq!(read::<ExternalUrl>(wrong), None, "{wrong}");
        }
    }
}
