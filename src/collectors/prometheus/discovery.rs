//! Where targets come from: `static_configs`, and the sources of [`files`], [`http`], [`dns`], [`docker`] and
//! [`kubernetes`].

mod dns;
mod docker;
mod files;
mod http;
mod kubernetes;
mod pods;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Key, KeyInfo, Section, TableInfo};
use crate::encode::names::check_any_label_name;
use crate::log::Episode;

/// Targets that discovery found, with their common labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    /// Addresses or URLs.
    pub(super) targets: Vec<String>,
    /// Labels, including those that begin with `__meta_`.
    pub(super) labels: BTreeMap<String, String>,
}

/// The part of a label's name that stands for a label of a container or an annotation.
pub(super) fn label_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A source of targets.
#[derive(Debug)]
pub(super) enum Source {
    /// The configuration.
    Static(Group),
    /// Files.
    Files(files::Files),
    /// A server that responds with JSON.
    Http(http::Http),
    /// DNS.
    Dns(dns::Dns),
    /// A Docker daemon.
    Docker(docker::Docker),
    /// Pods of a node.
    Kubernetes(kubernetes::Kubernetes),
}

const TARGETS: Key<Vec<String>> = Key::optional("targets", "Addresses or URLs.");
const STATIC_KEYS: &[KeyInfo] = &[TARGETS.info()];

/// The lists of sources in a job.
pub(super) const LISTS: [TableInfo; 6] = [
    TableInfo { name: "static_configs", about: "Targets with `labels` of their own.", keys: STATIC_KEYS },
    TableInfo {
        name: "file_sd_configs",
        about: "Files that list targets, in JSON or YAML. A file that cannot be read keeps its previous targets.",
        keys: files::KEYS,
    },
    TableInfo {
        name: "http_sd_configs",
        about: "A URL that lists targets, in JSON. After a failure, the previous targets stay.",
        keys: &http::KEYS,
    },
    TableInfo {
        name: "dns_sd_configs",
        about: "Names in DNS, with one target for each address or service. After a failure, the previous targets stay.",
        keys: dns::KEYS,
    },
    TableInfo {
        name: "docker_sd_configs",
        about: "Running containers of a Docker daemon, with one target for each network and TCP port. Their labels are `__meta_docker_container_label_NAME`.",
        keys: &docker::KEYS,
    },
    TableInfo {
        name: "kubernetes_sd_configs",
        about: "Pods of this node, as the kubelet or the API server lists them, with the token of the pod's service account unless there are other credentials. Their labels and annotations are `__meta_kubernetes_pod_label_NAME` and `__meta_kubernetes_pod_annotation_NAME`.",
        keys: &kubernetes::KEYS,
    },
];

/// The sources in a job's section.
pub(super) fn sources(section: &mut Section<'_>) -> Vec<Source> {
    let mut sources = Vec::new();
    for mut table in section.tables("static_configs") {
        let targets = table.optional(&TARGETS).unwrap_or_default();
        let labels = table.table("labels").strings_that(|name, _| check_any_label_name(name));
        let group = Group { targets, labels };
        sources.push(Source::Static(group));
    }
    sources.extend(section.tables("file_sd_configs").iter_mut().map(files::Files::new).map(Source::Files));
    sources.extend(section.tables("http_sd_configs").iter_mut().map(http::Http::new).map(Source::Http));
    sources.extend(section.tables("dns_sd_configs").iter_mut().map(dns::Dns::new).map(Source::Dns));
    sources.extend(section.tables("docker_sd_configs").iter_mut().map(docker::Docker::new).map(Source::Docker));
    let pods = section.tables("kubernetes_sd_configs");
    sources.extend(pods.into_iter().map(|mut table| Source::Kubernetes(kubernetes::Kubernetes::new(&mut table))));
    sources
}

impl Source {
    /// A few words about the source.
    pub(super) fn summary(&self) -> String {
        match self {
            Source::Static(group) => format!("{} targets", group.targets.len()),
            Source::Files(files) => format!("targets in {}", files.summary()),
            Source::Http(http) => format!("targets of {}", http.summary()),
            Source::Dns(dns) => format!("targets in DNS at {}", dns.summary()),
            Source::Docker(docker) => format!("containers of {}", docker.summary()),
            Source::Kubernetes(kubernetes) => format!("pods of {}", kubernetes.summary()),
        }
    }

    /// Finds the targets again and again, and passes each result to `publish`. A failure keeps the previous ones; it is
    /// logged when it begins and ends.
    pub(super) async fn watch(&self, job: &str, mut publish: impl FnMut(Vec<Group>)) {
        let mut failure = Episode::default();
        let mut files = files::Known::default();
        loop {
            let (found, interval) = match self {
                Source::Static(group) => return publish(vec![group.clone()]),
                Source::Files(of) => (of.find(&mut files).await, of.interval),
                Source::Http(of) => (of.find().await, of.interval),
                Source::Dns(of) => (of.find().await, of.interval),
                Source::Docker(of) => (of.find().await, of.interval),
                Source::Kubernetes(of) => (of.find().await, of.interval),
            };
            let Found { groups, problem } = found;
            groups.into_iter().for_each(&mut publish);
            match problem {
                Some(reason) => {
                    if failure.fails(reason.clone()) {
                        tracing::warn!(job, "targets are not up to date: {reason}");
                    }
                }
                None => {
                    if let Some(over) = failure.recovered() {
                        tracing::info!(job, "targets are up to date again {over}");
                    }
                }
            }
            tokio::time::sleep(interval).await;
        }
    }
}

/// The result of one search.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// The targets; `None` if the previous ones stay.
    pub(super) groups: Option<Vec<Group>>,
    /// What failed, if anything.
    pub(super) problem: Option<String>,
}

impl From<Result<Vec<Group>, String>> for Found {
    fn from(result: Result<Vec<Group>, String>) -> Self {
        match result {
            Ok(groups) => Found { groups: Some(groups), problem: None },
            Err(reason) => Found { groups: None, problem: Some(reason) },
        }
    }
}

/// The least interval of a search.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The setting `refresh_interval`.
fn interval(section: &mut Section<'_>, key: &Key<Duration>) -> Duration {
    section.above_zero(key).max(MIN_INTERVAL)
}
