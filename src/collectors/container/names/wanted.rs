//! Running containers, and those that a source has to be queried for.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::known::Known;
use super::query::{Inventory, MAX_ENTRIES, MAX_ID};
use super::running::{Container, Running};
use super::source::Source;

/// The running containers by ID.
#[derive(Default)]
pub(super) struct Wanted {
    containers: HashMap<String, Container>,
    /// When the pods with these UIDs last had a cgroup.
    pods: HashMap<String, Instant>,
    round: u64,
    /// Number of containers so far.
    serial: u64,
}

/// How long a pod is of interest after its cgroup was removed: its last end may be reported late.
const RECENT: Duration = Duration::from_secs(60 * 60);

/// What a source has to be queried for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    /// Whether a container is new, or was started again, since the source was queried.
    pub(super) has_new: bool,
    /// Whether the source lacks a container that it may know and that no other source has.
    pub(super) has_missing: bool,
    /// Whether the source has a running container, or is known to run without one.
    pub(super) is_in_use: bool,
}

impl Wanted {
    /// Replaces the running containers and pods. Returns whether any container has come or gone.
    pub(super) fn replace<'i>(&mut self, running: impl IntoIterator<Item = Running<'i>>, now: Instant) -> bool {
        self.round += 1;
        let (before, first) = (self.containers.len(), self.serial);
        for running in running.into_iter().filter(|running| running.id.len() <= MAX_ID) {
            self.see_pod(running.pod_uid, now);
            if running.id.is_empty() {
                continue;
            }
            if let Some(container) = self.containers.get_mut(running.id) {
                let is_first = std::mem::replace(&mut container.round, self.round) != self.round;
                if is_first && container.cgroup != running.cgroup {
                    self.serial += 1;
                    (container.cgroup, container.serial, container.since) = (running.cgroup, self.serial, now);
                    container.is_restarted = true;
                }
            } else if self.containers.len() < MAX_ENTRIES {
                self.serial += 1;
                let Running { id, pod_uid, runtime, is_rootless, cgroup } = running;
                let (pod_uid, serial, round) = (pod_uid.to_owned(), self.serial, self.round);
                let is_restarted = false;
                let container =
                    Container { pod_uid, runtime, is_rootless, cgroup, is_restarted, serial, since: now, round };
                self.containers.insert(id.to_owned(), container);
            }
        }
        self.containers.retain(|_, container| container.round == self.round);
        let is_full = self.pods.len() >= MAX_ENTRIES;
        self.pods.retain(|_, seen| *seen == now || (!is_full && now.saturating_duration_since(*seen) < RECENT));
        self.serial > first || self.containers.len() < before
    }

    fn see_pod(&mut self, uid: &str, now: Instant) {
        if let Some(seen) = self.pods.get_mut(uid) {
            *seen = now;
        } else if !uid.is_empty() && self.pods.len() < MAX_ENTRIES {
            self.pods.insert(uid.to_owned(), now);
        }
    }

    /// UIDs of the pods that have a cgroup or had one in the last hour.
    pub(super) fn pods(&self) -> HashSet<String> {
        self.pods.keys().cloned().collect()
    }

    pub(super) fn is_running(&self, id: &str) -> bool {
        self.containers.contains_key(id)
    }

    /// Number of the newest container.
    pub(super) fn newest(&self) -> u64 {
        self.serial
    }

    /// IDs of the containers that the source may know.
    pub(super) fn ids_for<'w>(&'w self, source: &'w Source) -> impl Iterator<Item = &'w String> {
        self.containers.iter().filter(|(_, container)| source.may_know(container)).map(|(id, _)| id)
    }

    /// Cgroups of the containers that the source may know.
    pub(super) fn cgroups_for(&self, source: &Source) -> HashMap<String, u64> {
        let known = self.containers.iter().filter(|(_, container)| source.may_know(container));
        known.map(|(id, container)| (id.clone(), container.cgroup)).collect()
    }

    /// What the source has to be queried for, if it was last queried when `seen` was the newest container. `inventory`
    /// is what it has, `known` what all sources have. For `young` after its start a container is missing even if
    /// another source has it, because the first source to know a container may know little of it.
    pub(super) fn demand(
        &self,
        source: &Source,
        inventory: &Inventory,
        known: &Known,
        seen: u64,
        (young, now): (Duration, Instant),
    ) -> Demand {
        let mut demand = Demand { is_in_use: source.runs_without_containers(), ..Demand::default() };
        // Containers of each pod that the source has, and those that it lacks.
        let mut pods: HashMap<&str, (usize, Vec<bool>)> = HashMap::new();
        for (id, container) in self.containers.iter().filter(|(_, container)| source.may_know(container)) {
            let has = source.has(inventory, id, container);
            demand.is_in_use |= has;
            demand.has_new |= (!has || container.is_restarted) && container.serial > seen;
            let is_wanted =
                now.saturating_duration_since(container.since) < young || !known.containers.contains_key(id);
            if source.lists_sandboxes() || container.pod_uid.is_empty() {
                demand.has_missing |= !has && is_wanted;
                continue;
            }
            let (had, lacking) = pods.entry(&container.pod_uid).or_default();
            match has {
                true => *had += 1,
                false => lacking.push(is_wanted),
            }
        }
        // The only one that is lacking in a pod is its sandbox.
        let is_missing =
            |(had, lacking): &(usize, Vec<bool>)| (*had == 0 || lacking.len() > 1) && lacking.contains(&true);
        demand.has_missing |= pods.values().any(is_missing);
        demand
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.containers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_wanted_for_an_hour_after_its_cgroup() {
        let (mut wanted, start) = (Wanted::default(), Instant::now());
        let mut pods = |running: &[Running<'_>], now| {
            wanted.replace(running.iter().copied(), now);
            (wanted.pods().len(), wanted.len())
        };
        let container = Running { id: "a", pod_uid: "u", ..Running::default() };
        let pod = Running { pod_uid: "v", ..Running::default() };
        assert_eq!(pods(&[container, pod], start), (2, 1));
        assert_eq!(pods(&[pod], start + RECENT / 2), (2, 0));
        assert_eq!(pods(&[], start + RECENT), (1, 0));
        assert_eq!(pods(&[], start + RECENT * 2), (0, 0));
    }
}
