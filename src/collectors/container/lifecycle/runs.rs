//! Runs of containers. A run is one cgroup, from its creation to its removal; a restarted container has another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::subject::Subject;
use crate::collectors::container::labels::Labels;
use crate::collectors::container::names::Named;
use crate::encode::Timestamp;

/// A run of a container.
pub(super) struct Run {
    /// Absent until a subject is known, or assumed.
    pub(super) subject: Option<Arc<Subject>>,
    /// Labels that the subject was made from.
    pub(super) labels: Option<Arc<Labels>>,
    pub(super) container_id: String,
    /// Path of its pod. Empty without one.
    pub(super) pod: String,
    pub(super) pod_uid: String,
    pub(super) inode: u64,
    /// Last round in which the cgroup existed. 0 if it was never seen.
    pub(super) round: u64,
    /// When it was seen first.
    pub(super) found: Instant,
    /// When it was found to have ended.
    pub(super) ended: Option<Instant>,
    /// Restarts of its subject when it started.
    pub(super) restarts: i64,
    /// Last report of the run before in the same cgroup path, which a source may repeat for a while.
    pub(super) stale: Option<Report>,
    pub(super) report: Option<Report>,
    /// Names of the run before in the same cgroup path. The container may have been renamed before this run.
    pub(super) stale_names: Option<Arc<Named>>,
    /// Whether it was found with those, and had to wait for its own.
    pub(super) had_stale_names: bool,
    /// OOM kills in the cgroup before Taffrail started to count.
    pub(super) kills_before: u64,
    /// OOM kills in the kernel's log.
    pub(super) logged_kills: u64,
    /// OOM kills: the maximum of all sources, which report the same ones.
    pub(super) kills: u64,
    /// Those that a counter contains already.
    pub(super) counted_kills: u64,
}

/// Restarts in a source and the start that they belong to.
pub(super) type Report = (Option<Timestamp>, Option<i64>);

impl Run {
    pub(super) fn new(container_id: &str, found: Instant) -> Run {
        Run {
            subject: None,
            labels: None,
            container_id: container_id.to_owned(),
            pod: String::new(),
            pod_uid: String::new(),
            inode: 0,
            round: 0,
            found,
            ended: None,
            restarts: 0,
            stale: None,
            report: None,
            stale_names: None,
            had_stale_names: false,
            kills_before: 0,
            logged_kills: 0,
            kills: 0,
            counted_kills: 0,
        }
    }

    /// What a source reports about this run. `None` if it still reports the run before.
    pub(super) fn report_in(&self, named: &Named) -> Option<Report> {
        /// Restart counts are 32-bit numbers.
        const MAX: i64 = i32::MAX as i64;
        let restarts = named.restart_count.filter(|count| (0..=MAX).contains(count));
        Some((named.started_at, restarts)).filter(|report| self.stale != Some(*report))
    }
}

/// The runs by cgroup path, and by container ID.
#[derive(Default)]
pub(super) struct Runs {
    by_path: HashMap<String, Run>,
    paths: HashMap<String, String>,
}

impl Runs {
    pub(super) fn get(&mut self, path: &str) -> Option<&mut Run> {
        self.by_path.get_mut(path)
    }

    /// Path of the last run with this container ID.
    pub(super) fn path_of(&self, container_id: &str) -> Option<&String> {
        self.paths.get(container_id)
    }

    pub(super) fn insert(&mut self, path: &str, run: Run) {
        if !run.container_id.is_empty() {
            self.paths.insert(run.container_id.clone(), path.to_owned());
        }
        self.by_path.insert(path.to_owned(), run);
    }

    /// Adds a run that a source of names knows, without a cgroup.
    pub(super) fn insert_unseen(&mut self, run: Run) {
        // Paths of cgroups start with a slash.
        let path = run.container_id.clone();
        self.insert(&path, run);
    }

    /// Removes a run whose cgroup was not seen yet.
    pub(super) fn take_unseen(&mut self, container_id: &str) -> Option<Run> {
        self.by_path.remove(container_id).filter(|_| !container_id.is_empty())
    }

    /// Frees the path of a run for the next one. Returns its new key.
    pub(super) fn replace(&mut self, path: &str) -> Option<String> {
        let run = self.by_path.remove(path)?;
        let key = format!("{path}#{}", run.inode);
        self.by_path.insert(key.clone(), run);
        Some(key)
    }

    pub(super) fn in_pod<'r>(&'r mut self, pod: &'r str) -> impl Iterator<Item = &'r mut Run> {
        self.by_path.values_mut().filter(move |run| run.pod == pod)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Run)> {
        self.by_path.iter_mut()
    }

    /// Removes runs. Returns their subjects.
    pub(super) fn take_if(&mut self, mut is_taken: impl FnMut(&Run) -> bool) -> Vec<Arc<Subject>> {
        let taken = self.by_path.extract_if(|_, run| is_taken(run)).filter_map(|(_, run)| run.subject).collect();
        self.paths.retain(|_, path| self.by_path.contains_key(path));
        taken
    }

    /// Drops runs that ended `age` ago, and the oldest of more than `max` that have ended.
    pub(super) fn forget(&mut self, now: Instant, age: Duration, max: usize) {
        let mut ends: Vec<Instant> = self.by_path.values().filter_map(|run| run.ended).collect();
        let mut end = now.checked_sub(age);
        if ends.len() > max {
            let excess = ends.len() - max;
            end = end.max(Some(*ends.select_nth_unstable(excess - 1).1));
        }
        let Some(end) = end else { return };
        self.by_path.retain(|_, run| run.ended.is_none_or(|ended| ended > end));
        self.paths.retain(|_, path| self.by_path.contains_key(path));
    }
}
