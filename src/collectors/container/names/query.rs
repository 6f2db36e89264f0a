//! Queries to sources, and their results.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{EngineState, Named, PodNamed};

/// Maximum number of containers, and of pods, from one source.
pub(in super::super) const MAX_ENTRIES: usize = 20_000;
/// Maximum length of an ID in bytes. Runtimes use 64 digits.
pub(in super::super) const MAX_ID: usize = 256;
/// Timeout of a request or a directory walk.
pub(in super::super) const TIMEOUT: Duration = Duration::from_secs(5);

/// A query to a source.
#[derive(Debug, Default)]
pub(in super::super) struct Query {
    /// Running containers that the source may know, unless it lists all anyway.
    pub(in super::super) wanted: HashSet<String>,
    /// UIDs of the pods that have a cgroup or had one recently. `None` for all pods.
    pub(in super::super) pods: Option<HashSet<String>>,
    /// Cgroups of running containers. Details from before the start of a cgroup are outdated.
    pub(in super::super) cgroups: HashMap<String, u64>,
    /// Whether to query known containers again.
    pub(in super::super) is_regular: bool,
}

impl Query {
    /// Whether the pod with these UIDs and containers has a cgroup on this host or had one recently.
    pub(in super::super) fn wants_pod<'p>(
        &self,
        uids: &[String],
        mut containers: impl Iterator<Item = &'p str>,
    ) -> bool {
        let Some(pods) = &self.pods else { return true };
        uids.iter().any(|uid| pods.contains(uid)) || containers.any(|id| self.wanted.contains(id))
    }
}

/// Containers and pods of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Inventory {
    /// Containers by ID.
    pub(in super::super) containers: HashMap<String, Named>,
    /// Pods by UID.
    pub(in super::super) pods: HashMap<String, PodNamed>,
    /// State of the engine, if the source is one and reports it.
    pub(in super::super) engine: Option<Arc<EngineState>>,
    /// Whether the query was cut short and should continue soon.
    pub(in super::super) is_partial: bool,
}

impl Inventory {
    /// Adds a container unless all its fields are empty.
    pub(in super::super) fn add(&mut self, id: &str, named: Named) {
        let is_valid = !id.is_empty() && id.len() <= MAX_ID;
        if is_valid && self.containers.len() < MAX_ENTRIES && named != Named::default() {
            self.containers.insert(id.to_owned(), named);
        }
    }

    /// Adds a pod unless its name is empty.
    pub(in super::super) fn add_pod(&mut self, uid: &str, pod: PodNamed) {
        let is_valid = !uid.is_empty() && uid.len() <= MAX_ID;
        if is_valid && self.pods.len() < MAX_ENTRIES && !pod.pod.is_empty() {
            self.pods.insert(uid.to_owned(), pod);
        }
    }
}

/// Why a query failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Failure {
    pub(in super::super) kind: FailureKind,
    /// The problem and its remedy, without the location of the source.
    pub(in super::super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum FailureKind {
    /// The source does not exist on the host.
    Absent,
    /// HTTP error status.
    Status(u16),
    /// Any other failure.
    Other,
}

impl Failure {
    pub(in super::super) fn absent() -> Failure {
        Failure { kind: FailureKind::Absent, message: "not on this host".to_owned() }
    }

    pub(in super::super) fn other(message: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Other, message: message.into() }
    }
}
