//! What containers are called, which no cgroup tells: asked of runtimes, of Kubernetes and of log folders in the
//! background, so that none of them ever delays a reading.
//!
//! Each source is asked at `names_interval`, and sooner when a container is running that nobody knows. It keeps its last
//! good answer. Of what several tell, the best source's is taken, field by field ([`known`]).

mod background;
mod containerd;
mod crio;
mod directory;
mod docker;
mod http;
mod json;
mod known;
mod kubernetes;
mod labels;
mod links;
mod settings;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::background::{Background, FIRST_WAIT, Shared};
use self::settings::Settings;
use self::source::Source;
use crate::config::{KeyInfo, Section};
use crate::host::{Host, Timestamp};

/// What is known of a container besides its cgroup. What no source told is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Named {
    /// The runtime's name for it, without Docker's leading slash.
    pub(super) name: String,
    /// The image, as whoever started the container named it.
    pub(super) image: String,
    /// The Kubernetes pod.
    pub(super) pod: String,
    /// The pod's namespace.
    pub(super) namespace: String,
    /// The container's name within its pod; a sandbox has none.
    pub(super) container: String,
    /// Whether it only holds a pod's namespaces.
    pub(super) is_sandbox: bool,
    /// The runtime's or the pod's labels that the setting `labels` lets through.
    pub(super) labels: BTreeMap<String, String>,
    /// `running`, `paused` and so on, in the source's words.
    pub(super) status: String,
    /// When it was last started.
    pub(super) started_at: Option<Timestamp>,
    /// How often it was started again.
    pub(super) restart_count: Option<i64>,
    /// Its first process, as the host numbers it.
    pub(super) pid: Option<i64>,
    /// Whether the kernel killed it for want of memory.
    pub(super) oom_killed: Option<bool>,
    /// What it last ended with.
    pub(super) exit_code: Option<i64>,
    /// What its health check says, if it has one.
    pub(super) health: Option<Health>,
    /// The host's name, as the engine knows it.
    pub(super) engine_host: Option<Arc<str>>,
    /// The engine's version.
    pub(super) server_version: Option<Arc<str>>,
}

/// What a container's health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The last check passed.
    Healthy,
    /// The checks fail.
    Unhealthy,
    /// No check has passed yet, and it is still given time.
    Starting,
}

/// A pod's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodNamed {
    /// The pod.
    pub(super) pod: String,
    /// Its namespace.
    pub(super) namespace: String,
}

/// The names of containers and pods, kept current in the background from the first [`Names::begin`] until it is dropped.
pub(super) struct Names {
    settings: Settings,
    shared: Arc<Shared>,
    background: Option<Background>,
}

impl Names {
    /// The settings, in the collector's section.
    pub(super) const KEYS: &[KeyInfo] = settings::KEYS;

    /// The names as the section's settings want them; nothing is asked yet.
    pub(super) fn new(host: &Host, section: &mut Section<'_>) -> Names {
        Names::from_settings(Settings::new(host, section))
    }

    fn from_settings(settings: Settings) -> Names {
        Names { shared: Arc::new(Shared::new(Vec::new(), settings.interval)), settings, background: None }
    }

    /// Begins a reading. The first time, this starts the background and waits a moment for every source to have answered
    /// once, so that output that is wanted once has names.
    pub(super) fn begin(&mut self) {
        if self.background.is_none() {
            self.start();
            self.shared.wait_for_all(FIRST_WAIT);
        }
    }

    fn start(&mut self) {
        let sources = self.settings.sources();
        self.shared = Arc::new(Shared::new(sources.iter().map(Source::place).collect(), self.settings.interval));
        self.background = Some(Background::start(sources, self.shared.clone()));
    }

    /// What is known of the container.
    pub(super) fn container(&self, id: &str) -> Option<Arc<Named>> {
        self.shared.known().containers.get(id).cloned()
    }

    /// What is known of the pod with this uid, with dashes; that of a static pod is the hash of its manifest, without.
    pub(super) fn pod(&self, uid: &str) -> Option<Arc<PodNamed>> {
        self.shared.known().pods.get(uid).cloned()
    }

    /// Changes whenever what is known changes.
    pub(super) fn generation(&self) -> u64 {
        self.shared.known().generation
    }

    /// Tells which running containers are unknown, all of them, at each reading. When a new one is among them, the
    /// sources are asked at once, and as long as one does not know it, again after pauses that double up to the regular
    /// ones.
    pub(super) fn want<'i>(&self, ids: impl IntoIterator<Item = &'i str>) {
        self.shared.want(ids);
    }

    /// Asks each source once, now, and says in a line of each what it answers.
    pub(super) fn report(&mut self) -> Vec<String> {
        background::report(self.settings.sources())
    }
}

#[cfg(test)]
mod tests;
