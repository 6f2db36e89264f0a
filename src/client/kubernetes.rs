//! The kubelet and the API server of Kubernetes, as far as clients of their lists of pods share it.

use std::net::Ipv6Addr;

use reqwest::Url;

use super::completed;
use crate::config::has_credentials;

/// The token of a pod's service account. It is rotated.
pub const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// The CA of the API server, for pods.
pub const CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// Pods per request.
pub const PAGE: usize = 500;

/// The URL of a kubelet or an API server. The scheme may be absent, and the brackets of an IPv6 address.
///
/// # Errors
/// What was expected.
pub fn server_url(text: &str) -> Result<Url, &'static str> {
    // The kubelet's port without TLS.
    let scheme = if text.ends_with(":10255") { "http" } else { "https" };
    match Url::parse(&with_brackets(&completed(text.trim_end_matches('/'), scheme))) {
        Ok(url) if has_credentials(&url) => Err("expected a URL without credentials; a file has the token"),
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => Ok(url),
        _ => Err("expected a URL such as \"https://127.0.0.1:10250\", found something else"),
    }
}

/// The path and query of a list of pods: a kubelet's own, or those of a `node` in the API server. The latter has
/// several pages; one continues at `next`.
pub fn pods(node: Option<&str>, next: &str) -> String {
    let Some(node) = node else { return "/pods".to_owned() };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("fieldSelector", &format!("spec.nodeName={node}")).append_pair("limit", &PAGE.to_string());
    if next.is_empty() {
        // Accepts a cached list. Otherwise the server queries etcd each time.
        query.append_pair("resourceVersion", "0");
    } else {
        query.append_pair("continue", next);
    }
    format!("/api/v1/pods?{}", query.finish())
}

/// The right that a client lacks whose request for pods was refused with this status, if that is the reason.
pub fn missing_right(status: u16, is_kubelet: bool) -> Option<&'static str> {
    match (status, is_kubelet) {
        (403, true) => Some("the token's account needs `get` on nodes/pods"),
        (403, false) => Some("the token's account needs `list` on pods in all namespaces"),
        _ => None,
    }
}

/// Adds the brackets that an IPv6 address lacks, as in `https://fd00::1:10250`: Kubernetes gives a pod the node's address
/// without them.
fn with_brackets(url: &str) -> String {
    let (scheme, behind) = url.split_once("://").unwrap_or_default();
    let (authority, path) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
    match authority.rsplit_once(':') {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => format!("{scheme}://[{host}]:{port}{path}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_needs_no_brackets() {
        for (given, expected) in [
            ("https://fd00::1:10250", "https://[fd00::1]:10250"),
            ("http://::1:10255/a:b", "http://[::1]:10255/a:b"),
            ("https://[fd00::1]:10250", "https://[fd00::1]:10250"),
            ("https://10.0.0.1:10250", "https://10.0.0.1:10250"),
            ("https://node-1:10250/p", "https://node-1:10250/p"),
            ("kubelet", "kubelet"),
        ] {
            assert_eq!(with_brackets(given), expected);
        }
    }

    #[test]
    fn a_server_has_no_credentials_and_no_query() {
        assert_eq!(server_url("n:10255").unwrap().as_str(), "http://n:10255/");
        for text in ["https://u:p@n:1", "https://n:1/?a=b", "ftp://n", "kubelet"] {
            assert!(server_url(text).is_err(), "{text}");
        }
    }
}
