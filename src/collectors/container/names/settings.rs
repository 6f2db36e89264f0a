//! Settings of the names in the collector's section.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::cluster::Cluster;
use super::crio::Crio;
use super::docker::Docker;
use super::kubernetes;
use super::labels::Labels;
use super::source::{Source, SourceKind};
use super::{containerd, links};
use crate::client::kubernetes::server_url;
use crate::config::{Key, KeyInfo, Section};
use crate::host::Host;

const LOG_LINKS: Key<String> = Key::new(
    "log_links",
    "\"/var/log/containers\"",
    "The kubelet's folder of links to container logs, whose names contain pod, namespace and container; not read if empty.",
);
const LOG_PODS: Key<String> = Key::new(
    "log_pods",
    "\"/var/log/pods\"",
    "The kubelet's folder of pod logs, whose names contain pods and namespaces; not read if empty.",
);
const DOCKER_SOCKETS: Key<Vec<String>> = Key::new(
    "docker_sockets",
    r#"["/run/docker.sock", "/run/podman/podman.sock"]"#,
    "Sockets of Docker or compatible engines. Access to Docker's socket is equivalent to root on the host.",
);
const CONTAINERD_TASKS: Key<Vec<String>> = Key::new(
    "containerd_tasks",
    r#"["/run/containerd/io.containerd.runtime.v2.task", "/run/k3s/containerd/io.containerd.runtime.v2.task"]"#,
    "Folders of containerd's tasks; reading them needs root or CAP_DAC_READ_SEARCH.",
);
const CRIO_SOCKET: Key<String> =
    Key::new("crio_socket", "\"/run/crio/crio.sock\"", "CRI-O's socket; not queried if empty.");
const KUBELET_URL: Key<String> = Key::optional(
    "kubelet_url",
    "URL of the kubelet to query for pods, such as \"https://127.0.0.1:10250\"; an IPv6 address may lack its brackets; needs `get` on nodes/pods.",
);
const KUBELET_INSECURE: Key<bool> = Key::new(
    "kubelet_insecure",
    "false",
    "Accept any certificate of the kubelet, even a self-signed one. An attacker in the middle can then read the token.",
);
const KUBERNETES_URL: Key<String> = Key::optional(
    "kubernetes_url",
    "URL of the API server to query for the node's pods, such as \"https://kubernetes.default.svc\"; only if the kubelet does not answer, if both are set; needs `list` on pods.",
);
const KUBERNETES_NODE: Key<String> =
    Key::optional("kubernetes_node", "Name of the node in the API server; the host name if absent.");
const KUBERNETES_TOKEN_FILE: Key<String> = Key::new(
    "kubernetes_token_file",
    "\"/var/run/secrets/kubernetes.io/serviceaccount/token\"",
    "File with the token for the kubelet and the API server, read at each request; no token is sent without the file.",
);
const KUBERNETES_CA_FILE: Key<String> = Key::new(
    "kubernetes_ca_file",
    "\"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt\"",
    "CA certificates for the kubelet and the API server; the system's without the file.",
);
const LABELS: Key<Vec<String>> =
    Key::new("labels", "[]", "Globs of the container and pod labels to keep; none by default.");
const NAMES_INTERVAL: Key<Duration> = Key::new(
    "names_interval",
    "\"30s\"",
    "How often Docker is queried for what changes while a container runs, such as its health; other sources every 20 intervals. A new container triggers a query at once.",
);

const SIZES_INTERVAL: Key<Duration> = Key::new(
    "sizes_interval",
    "\"5m\"",
    "How often Docker and the kubelet are queried for the file-system usage of containers, if the set `disk` is on. Docker walks all files of the writable layers: at most for a twentieth of the time. The kubelet requires `get` on nodes/stats.",
);

pub(super) const KEYS: &[KeyInfo] = &[
    LOG_LINKS.info(),
    LOG_PODS.info(),
    DOCKER_SOCKETS.info(),
    CONTAINERD_TASKS.info(),
    CRIO_SOCKET.info(),
    KUBELET_URL.info(),
    KUBELET_INSECURE.info(),
    KUBERNETES_URL.info(),
    KUBERNETES_NODE.info(),
    KUBERNETES_TOKEN_FILE.info(),
    KUBERNETES_CA_FILE.info(),
    LABELS.info(),
    NAMES_INTERVAL.info(),
    SIZES_INTERVAL.info(),
];

/// Which sources to query, how often, and for which labels. Paths are as Taffrail sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// The kubelet and the API server, best first.
    pub(super) kubernetes: Vec<kubernetes::Settings>,
    pub(super) docker_sockets: Paths,
    pub(super) crio_socket: Paths,
    pub(super) containerd_tasks: Paths,
    pub(super) log_links: Paths,
    pub(super) log_pods: Paths,
    pub(super) labels: Arc<Labels>,
    pub(super) interval: Duration,
    pub(super) sizes_interval: Duration,
    /// Whether to query sizes.
    pub(super) wants_sizes: bool,
}

/// Paths of sources of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    pub(super) all: Vec<PathBuf>,
    /// Whether they are the default.
    pub(super) is_default: bool,
}

impl Paths {
    fn new(given: Option<Vec<String>>, default: impl FnOnce() -> Vec<String>, host: &Host) -> Paths {
        let is_default = given.is_none();
        let paths = given.unwrap_or_else(default).into_iter().filter(|path| !path.is_empty());
        // As in DOCKER_HOST.
        let path = |path: String| path.strip_prefix("unix://").map_or(path.clone(), str::to_owned);
        Paths { all: paths.map(|given| host.root_path(path(given))).collect(), is_default }
    }

    fn sources<'p>(&'p self, kind: impl Fn(PathBuf) -> SourceKind + 'p) -> impl Iterator<Item = Source> + 'p {
        self.all.iter().map(move |path| Source { kind: kind(path.clone()), is_optional: self.is_default })
    }
}

impl Settings {
    pub(super) fn new(host: &Host, section: &mut Section<'_>) -> Settings {
        let kubernetes = kubernetes_settings(host, section);
        let (labels, interval) = (labels(section), section.above_zero(&NAMES_INTERVAL));
        let sizes_interval = section.above_zero(&SIZES_INTERVAL);
        let list = |section: &mut Section<'_>, key: &Key<Vec<String>>| {
            Paths::new(section.optional(key), || key.default(), host)
        };
        let (docker_sockets, containerd_tasks) = (list(section, &DOCKER_SOCKETS), list(section, &CONTAINERD_TASKS));
        let mut one =
            |key: &Key<String>| Paths::new(section.optional(key).map(|path| vec![path]), || vec![key.default()], host);
        let (crio_socket, log_links, log_pods) = (one(&CRIO_SOCKET), one(&LOG_LINKS), one(&LOG_PODS));
        Settings {
            kubernetes,
            docker_sockets,
            crio_socket,
            containerd_tasks,
            log_links,
            log_pods,
            labels,
            interval,
            sizes_interval,
            wants_sizes: false,
        }
    }

    /// Creates the sources, best first.
    pub(super) fn sources(&self) -> Vec<Source> {
        let labels = || self.labels.clone();
        let cluster = || SourceKind::Kubernetes(Cluster::new(&self.kubernetes, &self.labels));
        let kubernetes = (!self.kubernetes.is_empty()).then(|| Source { kind: cluster(), is_optional: false });
        let docker = self.docker_sockets.sources(|path| SourceKind::Docker(Docker::new(path, labels())));
        let crio = self.crio_socket.sources(|path| SourceKind::Crio(Crio::new(path, labels())));
        let tasks = self.containerd_tasks.sources(|path| SourceKind::Tasks(containerd::source(path)));
        let links = self.log_links.sources(|path| SourceKind::Links(links::of_containers(path)));
        let pods = self.log_pods.sources(|path| SourceKind::Pods(links::of_pods(path)));
        kubernetes.into_iter().chain(docker).chain(crio).chain(tasks).chain(links).chain(pods).collect()
    }
}

fn labels(section: &mut Section<'_>) -> Arc<Labels> {
    // A filter without globs matches everything. Here it must match nothing.
    let are_wanted = !section.get(&LABELS).is_empty();
    let filter = section.globs(&LABELS);
    Arc::new(Labels::new(are_wanted.then_some(filter)))
}

/// Settings of the kubelet and the API server, if their URLs are set.
fn kubernetes_settings(host: &Host, section: &mut Section<'_>) -> Vec<kubernetes::Settings> {
    let insecure = section.get(&KUBELET_INSECURE);
    let node = section.optional(&KUBERNETES_NODE).unwrap_or_default();
    let token_file = file(section.get(&KUBERNETES_TOKEN_FILE));
    let ca_file = file(section.get(&KUBERNETES_CA_FILE));
    let mut all = Vec::new();
    let mut add = |url: Option<Url>, node: Option<String>, insecure: bool| {
        let (token_file, ca_file) = (token_file.clone(), ca_file.clone());
        all.extend(url.map(|url| kubernetes::Settings { url, node, token_file, ca_file, insecure }));
    };
    add(url(section, &KUBELET_URL), None, insecure);
    let node = if node.is_empty() { host.kernel.hostname() } else { node };
    add(url(section, &KUBERNETES_URL), Some(node), false);
    all
}

/// A file in Taffrail's own file system, not below the host root.
fn file(path: String) -> Option<PathBuf> {
    (!path.is_empty()).then(|| PathBuf::from(path))
}

fn url(section: &mut Section<'_>, key: &Key<String>) -> Option<Url> {
    let text = section.optional(key).filter(|text| !text.is_empty())?;
    server_url(&text).map_err(|expected| section.wrong(key.info().name, expected)).ok()
}
