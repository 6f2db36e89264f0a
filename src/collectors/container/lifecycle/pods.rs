//! OOM kills in pods. On cgroup v2 a pod's count includes its containers, and remains when they end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::collectors::container::labels::Labels;

/// OOM kills of a pod since Taffrail counts them.
pub(super) struct Pod {
    pub(super) labels: Arc<Labels>,
    seen: Instant,
    /// Kills in the pod's cgroup before.
    before: u64,
    kills: u64,
    /// Kills that containers are known to have had.
    explained: u64,
    /// Those of them that were assigned to a container only because it had ended.
    assumed: u64,
    /// Kills whose container is unknown, counted for the pod.
    unattributed: u64,
}

impl Pod {
    fn new(labels: Arc<Labels>, before: u64, seen: Instant) -> Pod {
        Pod { labels, seen, before, kills: before, explained: 0, assumed: 0, unattributed: 0 }
    }

    /// Kills that no container is known to have had. None on cgroup v1, where the count does not include containers.
    pub(super) fn unexplained(&self) -> u64 {
        self.kills.saturating_sub(self.before).saturating_sub(self.explained + self.unattributed)
    }

    /// Counts kills whose container is unknown.
    pub(super) fn take_unattributed(&mut self, kills: u64) {
        self.unattributed += kills;
    }

    /// Assigns kills to a container. Returns how many of them are counted already, for the pod or for a container that was
    /// assumed to have had them.
    pub(super) fn explain(&mut self, kills: u64) -> u64 {
        let for_pod = self.unattributed.min(kills);
        self.unattributed -= for_pod;
        let excess =
            (self.explained + self.unattributed + kills).saturating_sub(self.kills.saturating_sub(self.before));
        let assumed = self.assumed.min(excess).min(kills - for_pod);
        self.assumed -= assumed;
        self.explained += kills - assumed;
        for_pod + assumed
    }

    /// Assigns unexplained kills to the only container that has ended.
    pub(super) fn assume(&mut self, kills: u64) {
        self.explained += kills;
        self.assumed += kills;
    }
}

/// Pods by path.
#[derive(Default)]
pub(super) struct Pods(HashMap<String, Pod>);

impl Pods {
    /// Records the count of a pod. Kills before its first reading count if the pod is new.
    pub(super) fn see(&mut self, labels: &Arc<Labels>, kills: u64, is_new: bool, now: Instant) {
        let new = |before| Pod::new(labels.clone(), before, now);
        let pod = self.0.entry(labels.id.clone()).or_insert_with(|| new(if is_new { 0 } else { kills }));
        if kills < pod.kills {
            // A pod with the path of another one, such as a static pod.
            *pod = new(0);
        }
        (pod.seen, pod.kills) = (now, kills);
        pod.labels.clone_from(labels);
    }

    pub(super) fn get(&mut self, path: &str) -> Option<&mut Pod> {
        self.0.get_mut(path)
    }

    pub(super) fn unexplained(&self) -> Vec<String> {
        self.0.iter().filter(|(_, pod)| pod.unexplained() > 0).map(|(path, _)| path.clone()).collect()
    }

    /// Drops the pods that were not seen for `age`, or at all those that were not seen now if there are more than `max`.
    pub(super) fn forget(&mut self, now: Instant, age: Duration, max: usize) {
        let is_full = self.0.len() > max;
        let is_kept = |seen: Instant| seen == now || (!is_full && now.saturating_duration_since(seen) < age);
        self.0.retain(|_, pod| is_kept(pod.seen));
    }
}
