//! Running containers, as their cgroups identify them.

use std::time::Instant;

/// A running container or pod, as its cgroup identifies it.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Running<'i> {
    /// Container ID of the runtime. Empty for a pod.
    pub(in super::super) id: &'i str,
    /// UID of its pod. Empty if it has none.
    pub(in super::super) pod_uid: &'i str,
    /// Runtime, if the path contains it.
    pub(in super::super) runtime: &'static str,
    /// Whether a user's own engine runs it.
    pub(in super::super) is_rootless: bool,
    /// Inode of its cgroup. Docker starts a container again with its ID in another one. 0 if unknown.
    pub(in super::super) cgroup: u64,
}

/// A container that runs, as long as it runs.
pub(super) struct Container {
    pub(super) pod_uid: String,
    pub(super) runtime: &'static str,
    pub(super) is_rootless: bool,
    pub(super) cgroup: u64,
    /// Whether it was started again since it was first seen.
    pub(super) is_restarted: bool,
    /// Grows from start to start.
    pub(super) serial: u64,
    /// When it was first seen in its cgroup.
    pub(super) since: Instant,
    /// Number of the last reading with it.
    pub(super) round: u64,
}
