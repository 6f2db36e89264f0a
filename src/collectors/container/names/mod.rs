//! Names of containers, which cgroups lack. They come from runtimes, Kubernetes and log folders. Queries run in the
//! background and never delay a reading.
//!
//! A source is queried when a container is new that it may know, and seldom otherwise ([`schedule`]): a query may start a
//! runtime, and many nodes share an API server. The last successful result is retained. If several sources know a
//! container, each field comes from the best source that has it ([`known`]).

mod background;
mod cluster;
mod containerd;
mod crio;
mod directory;
mod docker;
#[cfg(test)]
mod fake;
pub(super) mod http;
pub(super) mod json;
mod known;
mod kubernetes;
mod labels;
mod links;
pub(super) mod query;
mod running;
mod schedule;
mod settings;
mod shared;
mod sizes;
mod source;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::background::{Background, FIRST_WAIT};
pub(super) use self::running::Running;
use self::settings::Settings;
use self::shared::Shared;
pub(super) use self::sizes::{Size, Sizes};
use self::source::Source;
use crate::config::{KeyInfo, Section};
use crate::encode::Timestamp;
use crate::host::Host;

/// Names and status of a container. Unknown fields are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Named {
    /// Name in the runtime, without Docker's leading slash.
    pub(super) name: String,
    /// Image, as specified when the container was created.
    pub(super) image: String,
    /// Kubernetes pod.
    pub(super) pod: String,
    /// Namespace of the pod.
    pub(super) namespace: String,
    /// Name of the container in its pod. Empty for a sandbox.
    pub(super) container: String,
    /// Whether the container is a sandbox (pause container).
    pub(super) is_sandbox: bool,
    /// Labels of the runtime or the pod that match the setting `labels`.
    pub(super) labels: BTreeMap<String, String>,
    /// Status in the source, such as `running` or `paused`.
    pub(super) status: String,
    /// Last start.
    pub(super) started_at: Option<Timestamp>,
    /// Number of restarts.
    pub(super) restart_count: Option<i64>,
    /// PID of the first process in the host's PID namespace.
    pub(super) pid: Option<i64>,
    /// Whether the container was killed for lack of memory.
    pub(super) oom_killed: Option<bool>,
    /// Last exit code.
    pub(super) exit_code: Option<i64>,
    /// Last end, if it was an OOM kill.
    pub(super) oom_end: Option<OomEnd>,
    /// Health check status, if the container has one.
    pub(super) health: Option<Health>,
    /// Host name in the engine.
    pub(super) engine_host: Option<Arc<str>>,
    /// Version of the engine.
    pub(super) server_version: Option<Arc<str>>,
}

/// End of a container that was killed for lack of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OomEnd {
    /// ID of the container that ended. A restarted one has another on Kubernetes.
    pub(super) container_id: String,
    /// When it ended.
    pub(super) at: Option<Timestamp>,
}

/// State of an engine. Unknown numbers are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EngineState {
    /// Its host name.
    pub(super) host: Arc<str>,
    /// Its version.
    pub(super) version: Arc<str>,
    /// CPUs of the host.
    pub(super) cpus: Option<i64>,
    /// Memory of the host in bytes.
    pub(super) memory_bytes: Option<i64>,
    /// File descriptors in use by the engine; in debug mode only.
    pub(super) file_descriptors: Option<i64>,
    /// Goroutines of the engine; in debug mode only.
    pub(super) goroutines: Option<i64>,
    /// Subscribers to its events.
    pub(super) event_listeners: Option<i64>,
    /// Containers in any state.
    pub(super) containers: Option<i64>,
    /// Running containers.
    pub(super) running: Option<i64>,
    /// Stopped containers.
    pub(super) stopped: Option<i64>,
    /// Paused containers.
    pub(super) paused: Option<i64>,
    /// Images.
    pub(super) images: Option<i64>,
}

/// Status of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The last check passed.
    Healthy,
    /// The checks fail.
    Unhealthy,
    /// No check has passed yet, and the start period has not ended.
    Starting,
}

/// Names of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodNamed {
    /// Pod name.
    pub(super) pod: String,
    /// Its namespace.
    pub(super) namespace: String,
}

/// Names of containers and pods. Refreshed in the background from the first [`Names::begin`] until dropped.
pub(super) struct Names {
    settings: Settings,
    shared: Arc<Shared>,
    background: Option<Background>,
}

impl Names {
    /// Settings of the names in the collector's section.
    pub(super) const KEYS: &[KeyInfo] = settings::KEYS;

    /// Creates the names from the settings, with sizes if they are wanted. Starts no query.
    pub(super) fn new(host: &Host, section: &mut Section<'_>, wants_sizes: bool) -> Names {
        Names::from_settings(Settings { wants_sizes, ..Settings::new(host, section) })
    }

    fn from_settings(settings: Settings) -> Names {
        Names { shared: Arc::new(Shared::new(Vec::new(), settings.interval)), settings, background: None }
    }

    /// Whether [`begin`](Names::begin) was called.
    pub(super) fn has_begun(&self) -> bool {
        self.background.is_some()
    }

    /// Starts the background thread with the running containers, and waits until every source that may know one was
    /// queried, at most [`FIRST_WAIT`], so that even a single reading has names.
    pub(super) fn begin<'i>(&mut self, running: impl IntoIterator<Item = Running<'i>>) {
        self.start(running);
        self.shared.wait_for_all(FIRST_WAIT);
    }

    fn start<'i>(&mut self, running: impl IntoIterator<Item = Running<'i>>) {
        let sources = self.settings.sources();
        self.shared = Arc::new(Shared::new(sources.iter().map(Source::location).collect(), self.settings.interval));
        self.shared.want(running);
        let sizes = sources.iter().enumerate().filter(|_| self.settings.wants_sizes);
        let sizes = sizes.filter_map(|(rank, source)| Some((rank, source.sizes()?))).collect();
        self.background = Some(Background::start(sources, sizes, self.settings.sizes_interval, self.shared.clone()));
    }

    /// Names of the container.
    pub(super) fn container(&self, id: &str) -> Option<Arc<Named>> {
        self.shared.known().containers.get(id).cloned()
    }

    /// File-system usage of containers and pods, from each source.
    pub(super) fn sizes(&self) -> Vec<Arc<Sizes>> {
        self.shared.sizes()
    }

    /// All containers that the sources list, by ID.
    pub(super) fn containers(&self) -> Vec<(String, Arc<Named>)> {
        self.shared.known().containers.iter().map(|(id, named)| (id.clone(), named.clone())).collect()
    }

    /// States of the engines that respond.
    pub(super) fn engines(&self) -> Vec<Arc<EngineState>> {
        self.shared.known().engines.clone()
    }

    /// Names of the pod with this UID, with dashes. For a static pod the UID is the hash of its manifest, without
    /// dashes.
    pub(super) fn pod(&self, uid: &str) -> Option<Arc<PodNamed>> {
        self.shared.known().pods.get(uid).cloned()
    }

    /// Changes with each change of the names.
    pub(super) fn generation(&self) -> u64 {
        self.shared.known().generation
    }

    /// Sets all running containers, at each reading. A new one triggers queries at once. As long as no source has it,
    /// those that may know it are queried again after delays that double up to an hour.
    pub(super) fn want<'i>(&self, running: impl IntoIterator<Item = Running<'i>>) {
        self.shared.want(running);
    }

    /// Queries each source once. Returns one line per source.
    pub(super) fn report(&mut self) -> Vec<String> {
        background::report(self.settings.sources())
    }
}

#[cfg(test)]
mod tests;
