//! The settings, in the collector's section.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::crio::Crio;
use super::docker::Docker;
use super::kubernetes::{self, Kubernetes};
use super::labels::Labels;
use super::source::Source;
use super::{containerd, links};
use crate::config::{Key, KeyInfo, Section};
use crate::host::Host;

const LOG_LINKS: Key<String> = Key::new(
    "log_links",
    "\"/var/log/containers\"",
    "The folder of the kubelet's links to containers' logs, whose names tell pod, namespace and container; empty: not read.",
);
const LOG_PODS: Key<String> = Key::new(
    "log_pods",
    "\"/var/log/pods\"",
    "The folder of the kubelet's log folders, whose names tell pods and namespaces; empty: not read.",
);
const DOCKER_SOCKETS: Key<Vec<String>> = Key::new(
    "docker_sockets",
    r#"["/run/docker.sock", "/run/podman/podman.sock"]"#,
    "Sockets of Docker or of what answers like it. Who may connect to Docker's may do anything on the host.",
);
const CONTAINERD_TASKS: Key<Vec<String>> = Key::new(
    "containerd_tasks",
    r#"["/run/containerd/io.containerd.runtime.v2.task", "/run/k3s/containerd/io.containerd.runtime.v2.task"]"#,
    "Folders of containerd's tasks; reading them takes root or CAP_DAC_READ_SEARCH.",
);
const CRIO_SOCKET: Key<String> =
    Key::new("crio_socket", "\"/run/crio/crio.sock\"", "CRI-O's socket; empty: not asked.");
const KUBELET_URL: Key<String> =
    Key::optional("kubelet_url", "The kubelet that is asked for its pods, such as \"https://127.0.0.1:10250\".");
const KUBELET_INSECURE: Key<bool> = Key::new(
    "kubelet_insecure",
    "false",
    "Trust any certificate of the kubelet's, also one it signed itself. Anybody on the way can then take the token.",
);
const KUBERNETES_URL: Key<String> = Key::optional(
    "kubernetes_url",
    "The API server that is asked for the node's pods, such as \"https://kubernetes.default.svc\".",
);
const KUBERNETES_NODE: Key<String> =
    Key::optional("kubernetes_node", "The node's name for the API server; the host's name if absent.");
const KUBERNETES_TOKEN_FILE: Key<String> = Key::new(
    "kubernetes_token_file",
    "\"/var/run/secrets/kubernetes.io/serviceaccount/token\"",
    "The token for the kubelet and the API server, read at each request; none is sent if there is no such file.",
);
const KUBERNETES_CA_FILE: Key<String> = Key::new(
    "kubernetes_ca_file",
    "\"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt\"",
    "The certificates that the kubelet and the API server are checked against; the system's if there is no such file.",
);
const LABELS: Key<Vec<String>> =
    Key::new("labels", "[]", "Globs of the containers' and pods' labels that are taken over; none, by default.");
const NAMES_INTERVAL: Key<Duration> = Key::new(
    "names_interval",
    "\"30s\"",
    "How often names are asked for; when a new container is running, they are asked for at once.",
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
];

/// Which sources are asked, how often, and for which labels. The paths are as Taffrail sees them.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) kubernetes: Vec<kubernetes::Settings>,
    pub(super) docker_sockets: Vec<PathBuf>,
    pub(super) crio_socket: Option<PathBuf>,
    pub(super) containerd_tasks: Vec<PathBuf>,
    pub(super) log_links: Option<PathBuf>,
    pub(super) log_pods: Option<PathBuf>,
    pub(super) labels: Arc<Labels>,
    pub(super) interval: Duration,
}

impl Settings {
    pub(super) fn new(host: &Host, section: &mut Section<'_>) -> Settings {
        let on_host = |path: String| (!path.is_empty()).then(|| host.root_path(path));
        let all_on_host = |paths: Vec<String>| paths.into_iter().filter_map(on_host).collect();
        Settings {
            kubernetes: kubernetes_settings(host, section),
            docker_sockets: all_on_host(section.get(&DOCKER_SOCKETS)),
            crio_socket: on_host(section.get(&CRIO_SOCKET)),
            containerd_tasks: all_on_host(section.get(&CONTAINERD_TASKS)),
            log_links: on_host(section.get(&LOG_LINKS)),
            log_pods: on_host(section.get(&LOG_PODS)),
            labels: labels(section),
            interval: section.above_zero(&NAMES_INTERVAL),
        }
    }

    /// The sources, best first.
    pub(super) fn sources(&self) -> Vec<Source> {
        let labels = || self.labels.clone();
        let kubernetes = self.kubernetes.iter().map(|one| Source::Kubernetes(Kubernetes::new(one.clone(), labels())));
        let docker = self.docker_sockets.iter().map(|path| Source::Docker(Docker::new(path.clone(), labels())));
        let crio = self.crio_socket.iter().map(|path| Source::Crio(Crio::new(path.clone(), labels())));
        let containerd = self.containerd_tasks.iter().map(|path| Source::Directory(containerd::source(path.clone())));
        let links = self.log_links.iter().map(|path| Source::Directory(links::of_containers(path.clone())));
        let pods = self.log_pods.iter().map(|path| Source::Directory(links::of_pods(path.clone())));
        kubernetes.chain(docker).chain(crio).chain(containerd).chain(links).chain(pods).collect()
    }
}

fn labels(section: &mut Section<'_>) -> Arc<Labels> {
    // A filter of no globs wants everything; here, no globs are no labels.
    let are_wanted = !section.get(&LABELS).is_empty();
    let filter = section.globs(&LABELS);
    Arc::new(Labels::new(are_wanted.then_some(filter)))
}

/// The kubelet and the API server, as far as they have a URL.
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

/// A file of Taffrail's own, not of the host's.
fn file(path: String) -> Option<PathBuf> {
    (!path.is_empty()).then(|| PathBuf::from(path))
}

fn url(section: &mut Section<'_>, key: &Key<String>) -> Option<Url> {
    let text = section.optional(key).filter(|text| !text.is_empty())?;
    match Url::parse(text.trim_end_matches('/')) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => Some(url),
        _ => {
            section.wrong(key.info().name, "expected a URL such as \"https://127.0.0.1:10250\", found something else");
            None
        }
    }
}
