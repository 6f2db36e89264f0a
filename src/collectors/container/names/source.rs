//! The sources of names.

use std::time::Duration;

use super::cluster::Cluster;
use super::crio::Crio;
use super::directory::Directory;
use super::docker::Docker;
use super::query::{Failure, Inventory, Query};
use super::running::Container;
use super::sizes::SizeSource;

/// A source of names.
pub(super) struct Source {
    pub(super) kind: SourceKind,
    /// Whether the user has not asked for it. It may be absent or refuse without a warning.
    pub(super) is_optional: bool,
}

/// What the source is.
pub(super) enum SourceKind {
    /// The kubelet or the API server.
    Kubernetes(Cluster),
    Docker(Docker),
    Crio(Crio),
    /// containerd's tasks.
    Tasks(Directory),
    /// Links to the logs of containers.
    Links(Directory),
    /// Logs of pods.
    Pods(Directory),
}

impl Source {
    /// Socket, folder or URL.
    pub(super) fn location(&self) -> String {
        match &self.kind {
            SourceKind::Kubernetes(source) => source.location(),
            SourceKind::Docker(source) => source.location(),
            SourceKind::Crio(source) => source.location(),
            SourceKind::Tasks(source) | SourceKind::Links(source) | SourceKind::Pods(source) => source.location(),
        }
    }

    /// Whether each container needs a request of its own.
    pub(super) fn queries_each(&self) -> bool {
        matches!(self.kind, SourceKind::Crio(_))
    }

    /// Whether containers have details that are queried only after a change.
    pub(super) fn has_details(&self) -> bool {
        matches!(self.kind, SourceKind::Docker(_))
    }

    /// Whether the source may list pods of other hosts.
    pub(super) fn lists_other_hosts(&self) -> bool {
        matches!(self.kind, SourceKind::Kubernetes(_))
    }

    /// Whether the source may know the container.
    pub(super) fn may_know(&self, container: &Container) -> bool {
        let (is_in_pod, runtime) = (!container.pod_uid.is_empty(), container.runtime);
        match &self.kind {
            SourceKind::Docker(source) if container.is_rootless && !source.is_rootless() => false,
            SourceKind::Docker(source) if source.is_podman() => {
                runtime == "podman" || (runtime.is_empty() && !is_in_pod)
            }
            SourceKind::Docker(_) => matches!(runtime, "docker" | "") || (runtime == "containerd" && !is_in_pod),
            SourceKind::Crio(_) => matches!(runtime, "cri-o" | ""),
            SourceKind::Tasks(_) => matches!(runtime, "containerd" | ""),
            SourceKind::Kubernetes(_) | SourceKind::Links(_) => is_in_pod || runtime.is_empty(),
            SourceKind::Pods(_) => is_in_pod,
        }
    }

    /// Whether the inventory of the source has the container, or the pod that the source knows it by.
    pub(super) fn has(&self, inventory: &Inventory, id: &str, container: &Container) -> bool {
        match self.kind {
            SourceKind::Pods(_) => inventory.pods.contains_key(&container.pod_uid),
            _ => inventory.containers.contains_key(id),
        }
    }

    /// Whether the source knows the sandboxes of pods.
    pub(super) fn lists_sandboxes(&self) -> bool {
        !matches!(self.kind, SourceKind::Kubernetes(_) | SourceKind::Links(_))
    }

    /// Whether the source is known to run, even without a running container. A query could start any other.
    pub(super) fn runs_without_containers(&self) -> bool {
        matches!(&self.kind, SourceKind::Docker(source) if source.has_pid_file())
    }

    /// Where the sizes of its containers come from.
    pub(super) fn sizes(&self) -> Option<SizeSource> {
        match &self.kind {
            SourceKind::Kubernetes(source) => source.kubelet().map(SizeSource::Kubelet),
            SourceKind::Docker(source) => Some(source.sizes()),
            _ => None,
        }
    }

    /// Minimum delay between two queries.
    pub(super) fn min_delay(&self) -> Duration {
        match self.kind {
            // Many nodes share an API server, and a kubelet reports a new container after about a second.
            SourceKind::Kubernetes(_) => Duration::from_secs(1),
            _ => Duration::from_millis(100),
        }
    }

    /// How often the source is queried while no container is new. Docker runs anyway and reports the health of
    /// containers. Elsewhere only labels change, a query of Podman may start it, and many nodes share an API server.
    pub(super) fn refresh_interval(&self, interval: Duration) -> Duration {
        const SELDOM: u32 = 20;
        match &self.kind {
            SourceKind::Docker(source) if !source.is_podman() => interval,
            _ => interval.saturating_mul(SELDOM),
        }
    }

    /// Queries the source.
    ///
    /// # Errors
    /// Why the query failed.
    pub(super) async fn query(&mut self, query: &Query) -> Result<Inventory, Failure> {
        match &mut self.kind {
            SourceKind::Kubernetes(source) => source.query(query).await,
            SourceKind::Docker(source) => source.query(query).await,
            SourceKind::Crio(source) => source.query(query).await,
            SourceKind::Tasks(source) | SourceKind::Links(source) | SourceKind::Pods(source) => source.query().await,
        }
    }

    /// Short summary of a result.
    pub(super) fn describe(&self, inventory: &Inventory) -> String {
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        match (&self.kind, inventory.containers.len(), inventory.pods.len()) {
            (SourceKind::Crio(_), ..) => "answers; it is asked for each container".to_owned(),
            (_, containers, 0) => count(containers, "container"),
            (_, 0, pods) => count(pods, "pod"),
            (_, containers, pods) => format!("{}, {}", count(containers, "container"), count(pods, "pod")),
        }
    }
}
