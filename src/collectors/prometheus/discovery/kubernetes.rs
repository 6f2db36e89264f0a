//! `kubernetes_sd_configs`: pods of this node, as a kubelet or the API server lists them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::pods::{self, Selection};
use super::{Found, Group, interval};
use crate::client::kubernetes::{CA_FILE, TOKEN_FILE, missing_right, pods, server_url};
use crate::client::target::{Client, Credentials, Failure, Page, Settings, Source};
use crate::client::{display_url, target};
use crate::config::{Key, KeyInfo, Section};
use crate::encode::infos::concat;

/// The pods of a node.
#[derive(Debug)]
pub(in crate::collectors::prometheus) struct Kubernetes {
    /// The kubelet and the API server; the first that responds is used.
    servers: Vec<Server>,
    selection: Selection,
    pub(super) interval: Duration,
}

/// A server that lists pods.
#[derive(Debug)]
struct Server {
    url: Url,
    client: Client,
    /// The node whose pods the API server lists; `None` for a kubelet.
    node: Option<String>,
}

const KUBELET_URL: Key<String> = Key::optional(
    "kubelet_url",
    "URL of the kubelet that lists the pods, such as \"https://${NODE_IP}:10250\"; needs `get` on nodes/pods.",
);
const KUBELET_INSECURE: Key<bool> = Key::new(
    "kubelet_insecure",
    "false",
    "Accepts any certificate of the kubelet. An attacker in the middle can then read the token.",
);
const KUBERNETES_URL: Key<String> = Key::optional(
    "kubernetes_url",
    "URL of the API server, such as \"https://kubernetes.default.svc\"; only if the kubelet does not respond, if both are set; needs `list` on pods.",
);
const KUBERNETES_NODE: Key<String> =
    Key::optional("kubernetes_node", "Name of the node in the API server, such as \"${NODE_NAME}\".");
const ANNOTATIONS: Key<bool> = Key::new(
    "annotations",
    "true",
    "Running pods with the annotation prometheus.io/scrape = \"true\" only, at the port, path and scheme in annotations; otherwise all pods, with one target for each port.",
);
const REFRESH_INTERVAL: Key<Duration> = Key::new("refresh_interval", "\"30s\"", "Interval of requests.");
const TIMEOUT: Key<Duration> = Key::new("timeout", "\"10s\"", "Timeout of a request.");
const OWN_KEYS: &[KeyInfo] = &[
    KUBELET_URL.info(),
    KUBELET_INSECURE.info(),
    KUBERNETES_URL.info(),
    KUBERNETES_NODE.info(),
    ANNOTATIONS.info(),
    REFRESH_INTERVAL.info(),
    TIMEOUT.info(),
];
pub(super) const KEYS: [KeyInfo; OWN_KEYS.len() + target::KEYS.len()] = concat(&[OWN_KEYS, &target::KEYS]);

/// Maximum pages of a list.
const MAX_PAGES: usize = 20;

impl Kubernetes {
    pub(super) fn new(section: &mut Section<'_>) -> Kubernetes {
        let (kubelet, server) = (url(section, &KUBELET_URL), url(section, &KUBERNETES_URL));
        let node = section.optional(&KUBERNETES_NODE);
        if !section.has(&KUBELET_URL) && !section.has(&KUBERNETES_URL) {
            section.wrong("kubelet_url", "required: this, or kubernetes_url");
        }
        if section.has(&KUBERNETES_URL) && node.as_ref().is_none_or(String::is_empty) {
            section.wrong("kubernetes_node", "required with kubernetes_url: the name of the node");
        }
        let is_insecure = section.get(&KUBELET_INSECURE);
        let timeout = section.above_zero(&TIMEOUT);
        let settings = of_service_account(Settings::new(section, timeout));
        let mut servers = Vec::new();
        let mut add = |url: Option<Url>, node, is_insecure: bool| {
            let mut settings = settings.clone();
            settings.http.tls.trusts_any |= is_insecure;
            servers.extend(url.map(|url| Server { url, node, client: Client::new(Arc::new(settings)) }));
        };
        add(kubelet, None, is_insecure);
        add(server, Some(node.unwrap_or_default()), false);
        let selection = if section.get(&ANNOTATIONS) { Selection::Annotated } else { Selection::All };
        Kubernetes { servers, selection, interval: interval(section, &REFRESH_INTERVAL) }
    }

    pub(super) fn summary(&self) -> String {
        self.servers.iter().map(|server| display_url(&server.url)).collect::<Vec<_>>().join(", ")
    }

    pub(super) async fn find(&self) -> Found {
        let mut failures = Vec::new();
        for server in &self.servers {
            match server.list(self.selection).await {
                Ok(groups) => return Ok(groups).into(),
                Err(reason) => failures.push(format!("{}: {reason}", display_url(&server.url))),
            }
        }
        Err(failures.join("; ")).into()
    }
}

impl Server {
    async fn list(&self, selection: Selection) -> Result<Vec<Group>, String> {
        let (mut groups, mut next) = (Vec::new(), String::new());
        for _ in 0..MAX_PAGES {
            let path = pods(self.node.as_deref(), &next);
            let base = self.url.as_str().trim_end_matches('/');
            let url = Url::parse(&format!("{base}{path}")).map_err(|error| error.to_string())?;
            let page = self.client.get(&url, HeaderMap::new(), self.client.settings().http.timeout).await;
            let page = page.and_then(Page::ok).map_err(|failure| self.with_remedy(&failure))?;
            let list = pods::read(&page.body).map_err(|error| format!("expected a list of pods: {error}"))?;
            groups.extend(list.items.iter().flat_map(|pod| pods::groups(pod, selection)));
            next = list.next();
            if next.is_empty() {
                break;
            }
        }
        Ok(groups)
    }

    fn with_remedy(&self, failure: &Failure) -> String {
        let right = match failure {
            Failure::Status(401) => Some("needs a valid token in bearer_token_file"),
            Failure::Status(status) => missing_right(*status, self.node.is_none()),
            _ => None,
        };
        right.map_or_else(|| failure.to_string(), |right| format!("{failure}; {right}"))
    }
}

fn url(section: &mut Section<'_>, key: &Key<String>) -> Option<Url> {
    let text = section.optional(key).filter(|text| !text.is_empty())?;
    server_url(&text).map_err(|expected| section.wrong(key.info().name, expected)).ok()
}

/// The settings, with the token and the CA of a pod's service account where there are no others.
fn of_service_account(mut settings: Settings) -> Settings {
    if settings.credentials == Credentials::None && Path::new(TOKEN_FILE).exists() {
        settings.credentials = Credentials::Bearer(Source::File(PathBuf::from(TOKEN_FILE)));
    }
    if settings.http.tls.ca.is_none() && Path::new(CA_FILE).exists() {
        settings.http.tls.ca = Some(PathBuf::from(CA_FILE));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    fn kubernetes(toml: &str) -> Result<Kubernetes, String> {
        let document = Document::parse("test", toml, &|_| None).unwrap();
        Section::check(&document, Kubernetes::new).map_err(|problems| problems.lines().next().unwrap())
    }

    #[test]
    fn a_server_is_required_and_the_api_server_needs_a_node() {
        for (toml, key) in [
            ("", "kubelet_url"),
            ("kubelet_url = 'https://u:p@n:1'", "kubelet_url"),
            ("kubernetes_url = 'https://n:1'", "kubernetes_node"),
        ] {
            let found = kubernetes(toml).unwrap_err();
            assert!(found.contains(key) && !found.contains("p@"), "{found}");
        }
        let both = "kubelet_url = 'https://fd00::1:10250'\nkubelet_insecure = true\nkubernetes_url = 'k.svc:443'\nkubernetes_node = 'n'";
        let both = kubernetes(both).unwrap();
        assert_eq!(both.summary(), "https://[fd00::1]:10250, https://k.svc");
        let trusts_any: Vec<bool> =
            both.servers.iter().map(|server| server.client.settings().http.tls.trusts_any).collect();
        assert_eq!(trusts_any, [true, false]);
    }
}
