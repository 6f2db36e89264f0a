//! Restarts and OOM kills of containers, in counters that outlive the cgroups.
//!
//! The kernel's counters end with a cgroup, and each start of a container has another cgroup, on Kubernetes also another ID.
//! These counters belong to a [`Subject`]: the names that a restart keeps. They start at 0 with Taffrail.
//!
//! Restarts are the new cgroups of a subject. A restart count that a runtime reports adds those that no reading saw.
//! OOM kills come from the cgroup itself, from its pod's cgroup ([`pods`]), from the kernel's log ([`KernelLog`]) and from
//! runtimes. All report the same kills, so a run has the maximum of them.

mod kernel_log;
mod pods;
mod runs;
mod subject;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use self::kernel_log::KernelLog;
use self::pods::Pods;
use self::runs::{Run, Runs};
pub(super) use self::subject::{LABELS, Subject};
use self::subject::{container_path, pod_path};
use super::identity::Kind;
use super::labels::Labels;
use super::names::{Named, OomEnd};
use crate::encode::Timestamp;

/// How long counters outlive the last run.
const KEEP: Duration = Duration::from_secs(3600);

/// How long names are awaited, on a host that has names of others.
const NAMES_TIMEOUT: Duration = Duration::from_secs(60);

/// Restarts that a source may always add to a counter in a reading. Two scrapes may follow each other closely.
const MIN_PLAUSIBLE: i64 = 10;

/// Counters of a subject, for one reading.
pub(super) struct Counted {
    pub(super) subject: Arc<Subject>,
    pub(super) restarts: u64,
    pub(super) oom_kills: u64,
}

/// A cgroup in this reading.
pub(super) struct Seen {
    pub(super) labels: Arc<Labels>,
    /// Differs from that of an earlier cgroup with the same path. 0 if unknown.
    pub(super) inode: u64,
    pub(super) created: Option<Timestamp>,
    /// OOM kills in it; on cgroup v2 with those of cgroups below.
    pub(super) kills: Option<u64>,
    pub(super) is_v1: bool,
    /// Whether it has processes. One without was left behind, or is not filled yet.
    pub(super) is_running: bool,
}

/// Counters of a subject.
struct Counters {
    restarts: u64,
    oom_kills: u64,
    /// Restarts in the source when the counter was 0.
    reported_before: Option<i64>,
    /// Restarts that sources may still add in this reading.
    plausible: i64,
    pod_uid: String,
    /// Path of its last pod.
    pod: String,
    has_run: bool,
    /// Last round with a run.
    round: u64,
    alive: Instant,
    /// Whether a source of names lists it, running or waiting.
    is_listed: bool,
    /// Container ID of the last end for lack of memory that a source has reported.
    oom_end: String,
    /// Whether the first 0 was exported, without which no increase is visible.
    is_exported: bool,
}

/// Inputs of a reading apart from the cgroups.
pub(super) struct Inputs<'a> {
    pub(super) now: Timestamp,
    pub(super) instant: Instant,
    /// Cgroups of killed processes in the kernel's log.
    pub(super) killed: Vec<String>,
    /// Whether paths in the log start above the root of the cgroups, as in a cgroup namespace.
    pub(super) is_nested: bool,
    /// Containers that sources of names list, by ID, if they have changed.
    pub(super) listed: Option<Vec<(String, Arc<Named>)>>,
    /// Labels of a cgroup that may have been removed. `None` if it is not exported.
    pub(super) labels: &'a mut dyn FnMut(&str) -> Option<Arc<Labels>>,
    /// Whether a listed container is exported.
    pub(super) is_exported: &'a mut dyn FnMut(&Arc<Named>) -> bool,
}

/// What outlives a reload: the counters, and the position in the kernel's log.
pub(super) struct Counting {
    pub(super) lifecycle: Lifecycle,
    pub(super) kernel_log: KernelLog,
}

/// Counts restarts and OOM kills.
pub(super) struct Lifecycle {
    counters: BTreeMap<Arc<Subject>, Counters>,
    runs: Runs,
    pods: Pods,
    seen: Vec<Seen>,
    seen_pods: Vec<Seen>,
    round: u64,
    /// Time of the first reading.
    first: Option<Timestamp>,
    /// Instant of the last reading.
    last: Option<Instant>,
    /// Whether any container has names.
    has_names: bool,
    /// Maximum number of subjects.
    max: usize,
}

impl Lifecycle {
    pub(super) fn new(max: usize) -> Lifecycle {
        Lifecycle {
            counters: BTreeMap::new(),
            runs: Runs::default(),
            pods: Pods::default(),
            seen: Vec::new(),
            seen_pods: Vec::new(),
            round: 0,
            first: None,
            last: None,
            has_names: false,
            max,
        }
    }

    /// Continues with new settings. Drops the counters of containers that are no longer exported.
    pub(super) fn adopt(&mut self, max: usize, is_exported: &mut dyn FnMut(&Labels) -> bool) {
        self.max = max;
        for subject in self.runs.take_if(|run| run.labels.as_deref().is_some_and(|labels| !is_exported(labels))) {
            self.counters.remove(&subject);
        }
    }

    /// Adds a cgroup of this reading.
    pub(super) fn see(&mut self, seen: Seen) {
        match seen.labels.identity.kind {
            Kind::Container | Kind::Machine => self.seen.push(seen),
            Kind::Pod if !seen.is_v1 => self.seen_pods.push(seen),
            _ => {}
        }
    }

    /// Counts what has happened since the last reading. Returns the counters of all subjects, sorted.
    pub(super) fn count(&mut self, mut inputs: Inputs<'_>) -> Vec<Counted> {
        self.round += 1;
        self.first.get_or_insert(inputs.now);
        // A container restarts at most once per second.
        let elapsed = self.last.replace(inputs.instant).map_or(0, |last| inputs.instant.duration_since(last).as_secs());
        let plausible = i64::try_from(elapsed).unwrap_or(i64::MAX).max(MIN_PLAUSIBLE);
        self.counters.values_mut().for_each(|counters| counters.plausible = plausible);
        let seen = std::mem::take(&mut self.seen);
        for pod in std::mem::take(&mut self.seen_pods) {
            let is_new = self.is_new(pod.created);
            if let Some(kills) = pod.kills {
                self.pods.see(&pod.labels, kills, is_new, inputs.instant);
            }
        }
        let replaced = self.find_runs(&seen, inputs.instant);
        self.end_runs(inputs.instant);
        self.name_runs(&seen, inputs.instant);
        for cgroup in &seen {
            let run = self.runs.get(&cgroup.labels.id);
            let kills = run.and_then(|run| cgroup.kills?.checked_sub(run.kills_before));
            self.raise(&cgroup.labels.id, kills.unwrap_or(0));
        }
        self.read_log(&mut inputs, &replaced);
        for cgroup in &seen {
            if let Some(named) = cgroup.labels.named.as_deref().filter(|_| cgroup.is_running) {
                self.read_report(&cgroup.labels.id, named);
            }
        }
        if let Some(listed) = inputs.listed.take() {
            self.read_list(&listed, &mut inputs);
        }
        self.explain_ends(inputs.instant);
        self.add_kills(inputs.instant);
        self.forget(inputs.instant);
        self.export()
    }

    /// Whether a cgroup was created after the first reading.
    fn is_new(&self, created: Option<Timestamp>) -> bool {
        self.round > 1 && created.is_none_or(|created| Some(created) >= self.first)
    }

    /// Marks the runs that continue, and adds new ones. Returns the keys of runs that another one has replaced, by path.
    fn find_runs(&mut self, seen: &[Seen], instant: Instant) -> BTreeMap<String, String> {
        let mut replaced = BTreeMap::new();
        for Seen { labels, inode, created, kills, is_running, .. } in seen {
            let path = &labels.id;
            let (mut before, mut stale_names) = (None, None);
            match self.runs.get(path) {
                // 0 is unknown.
                Some(run) if run.inode == *inode || run.inode == 0 || *inode == 0 => {
                    run.inode = run.inode.max(*inode);
                    if *is_running {
                        (run.round, run.ended) = (self.round, None);
                    }
                    continue;
                }
                _ if !is_running => continue,
                Some(run) => {
                    before = run.report.or(run.stale);
                    stale_names = run.labels.as_ref().and_then(|labels| labels.named.clone());
                    replaced.extend(self.runs.replace(path).map(|key| (path.clone(), key)));
                }
                None => {}
            }
            let identity = &labels.identity;
            let unseen = self.runs.take_unseen(&identity.container_id);
            let mut run = unseen.unwrap_or_else(|| Run::new(&identity.container_id, instant));
            (run.inode, run.round, run.ended, run.stale) = (*inode, self.round, None, before);
            run.stale_names = stale_names;
            run.pod = if identity.pod_uid.is_empty() { String::new() } else { pod_path(path).unwrap_or_default() };
            run.pod_uid.clone_from(&identity.pod_uid);
            run.kills_before = if self.is_new(*created) { 0 } else { kills.unwrap_or(0) };
            self.runs.insert(path, run);
        }
        replaced
    }

    fn end_runs(&mut self, instant: Instant) {
        let round = self.round;
        for (_, run) in self.runs.iter_mut().filter(|(_, run)| run.round != round) {
            run.ended.get_or_insert(instant);
        }
    }

    /// Assigns the runs to subjects. Those that continue come first, so that a run beside another one is not a restart.
    fn name_runs(&mut self, seen: &[Seen], instant: Instant) {
        self.has_names |= seen.iter().any(|cgroup| cgroup.labels.named.is_some() || !cgroup.labels.pod.is_empty());
        let round = self.round;
        let mut moved = Vec::new();
        for Seen { labels, .. } in seen.iter().filter(|cgroup| cgroup.is_running) {
            let Some(run) = self.runs.get(&labels.id) else { continue };
            let is_same = run.labels.as_ref().is_some_and(|known| Arc::ptr_eq(known, labels));
            run.labels = Some(labels.clone());
            let subject = match &run.subject {
                Some(subject) if is_same => subject.clone(),
                // After a reload the names are not known at once.
                Some(subject) if subject.is_known() && !Subject::of(labels).is_known() => subject.clone(),
                _ => Arc::new(Subject::of(labels)),
            };
            match self.counters.get_mut(&subject) {
                Some(counters) if run.subject.as_ref() == Some(&subject) => {
                    (counters.round, counters.alive) = (round, instant);
                    counters.follow(run);
                }
                _ => moved.push((labels, subject)),
            }
        }
        for (labels, subject) in moved {
            if !self.is_awaited(&labels.id, &subject, instant) {
                self.assign(&labels.id, subject, instant);
            }
        }
    }

    /// Whether a source of names may still name the container of a run.
    fn is_awaited(&mut self, path: &str, subject: &Subject, instant: Instant) -> bool {
        let has_names = self.has_names;
        self.runs.get(path).is_some_and(|run| {
            let named = run.labels.as_deref().and_then(|labels| labels.named.as_ref());
            let is_sandbox = named.is_some_and(|named| named.is_sandbox);
            let is_known = subject.is_known() || is_sandbox || run.subject.is_some();
            // A source that reports the start has not been queried since.
            let is_stale = run.subject.is_none()
                && named.zip(run.stale_names.as_ref()).is_some_and(|(named, stale)| Arc::ptr_eq(named, stale))
                && named.is_some_and(|named| named.started_at.is_some());
            run.had_stale_names |= is_stale;
            has_names && (is_stale || !is_known) && instant.saturating_duration_since(run.found) < NAMES_TIMEOUT
        })
    }

    /// Assigns a run to a subject. It is a restart if the subject had another run.
    fn assign(&mut self, path: &str, subject: Arc<Subject>, instant: Instant) {
        if subject.is_pod && !subject.is_unnamed() {
            // A sandbox. Its subject gets counters when a process in it is killed.
            if let Some(run) = self.runs.get(path) {
                run.subject = Some(subject);
            }
            return;
        }
        let round = self.round;
        let Some(counters) = counters(&mut self.counters, &subject, self.max, round, instant) else { return };
        let Some(run) = self.runs.get(path) else { return };
        let is_same_pod = counters.pod_uid == run.pod_uid || counters.pod_uid.is_empty() || run.pod_uid.is_empty();
        if run.subject.as_ref() != Some(&subject) {
            // A container that was renamed before it was started again.
            let is_again = run.subject.is_none() && run.had_stale_names;
            let is_another =
                (counters.has_run || is_again) && is_same_pod && counters.round != round && !subject.is_pod;
            // Those that have ended are in the source's count, if there is one.
            let is_uncounted = run.round == round || counters.reported_before.is_none();
            counters.restarts += u64::from(is_another && is_uncounted);
        }
        if !is_same_pod {
            // A new pod with the name of the last one.
            counters.reported_before = None;
        }
        run.restarts = i64::try_from(counters.restarts).unwrap_or(i64::MAX);
        run.subject = Some(subject);
        counters.follow(run);
        if run.round == round {
            (counters.round, counters.alive) = (round, instant);
        }
    }

    /// Raises the OOM kills of a run to a count from any source.
    fn raise(&mut self, path: &str, kills: u64) {
        let Some(run) = self.runs.get(path).filter(|run| kills > run.kills) else { return };
        if let Some(pod) = self.pods.get(&run.pod) {
            run.counted_kills += pod.explain(kills - run.kills);
        }
        run.kills = kills;
    }

    /// Counts kills in the kernel's log. If another run has taken the path meanwhile, those that it does not have were in
    /// the last one.
    fn read_log(&mut self, inputs: &mut Inputs<'_>, replaced: &BTreeMap<String, String>) {
        let mut kills: BTreeMap<String, u64> = BTreeMap::new();
        let logged = std::mem::take(&mut inputs.killed);
        let is_nested = inputs.is_nested;
        for path in logged.iter().filter_map(|path| self.path_of_logged(path, is_nested)) {
            *kills.entry(path).or_default() += 1;
        }
        for (path, mut kills) in kills {
            if self.runs.get(&path).is_none() && !self.insert_killed(&path, inputs) {
                continue;
            }
            let mut key = &path;
            if let Some(before) = replaced.get(&path) {
                kills = kills.saturating_sub(self.runs.get(&path).map_or(0, |run| run.kills));
                key = before;
            }
            let Some(run) = self.runs.get(key) else { continue };
            run.logged_kills += kills;
            let logged = run.logged_kills;
            self.raise(key, logged);
        }
    }

    /// Path of the container that a path in the kernel's log belongs to. The log has paths below the kernel's root. In a cgroup
    /// namespace the part above the root of the namespace is unknown, so only a container with a run is known to be inside.
    fn path_of_logged(&mut self, logged: &str, is_nested: bool) -> Option<String> {
        if !is_nested {
            return container_path(logged);
        }
        let inside = logged.match_indices('/').skip(1).filter_map(|(start, _)| container_path(&logged[start..]));
        inside.into_iter().find(|path| self.runs.get(path).is_some())
    }

    /// Adds the run of a container that no reading saw.
    fn insert_killed(&mut self, path: &str, inputs: &mut Inputs<'_>) -> bool {
        let Some(labels) = (inputs.labels)(path) else { return false };
        let identity = &labels.identity;
        let unseen = self.runs.take_unseen(&identity.container_id);
        let mut run = unseen.unwrap_or_else(|| Run::new(&identity.container_id, inputs.instant));
        run.pod = pod_path(path).unwrap_or_default();
        run.pod_uid.clone_from(&identity.pod_uid);
        run.ended = Some(inputs.instant);
        run.labels = Some(labels);
        self.runs.insert(path, run);
        true
    }

    /// Compares a run with what a source reports about it.
    fn read_report(&mut self, path: &str, named: &Named) {
        let Some(run) = self.runs.get(path) else { return };
        let Some(report @ (started_at, restarts)) = run.report_in(named) else { return };
        let Some(counters) = run.subject.as_ref().and_then(|subject| self.counters.get_mut(subject)) else { return };
        let last = run.report.replace(report);
        if let Some(((Some(last), _), started_at)) = last.zip(started_at)
            && is_later(started_at, last)
        {
            // A restart in the same cgroup.
            counters.restarts += 1;
            run.restarts = i64::try_from(counters.restarts).unwrap_or(i64::MAX);
        }
        if let Some(restarts) = restarts {
            let before = *counters.reported_before.get_or_insert(restarts - run.restarts);
            let missed = restarts - before - run.restarts;
            let added = counters.add_missed(missed);
            run.restarts += added;
            // The source has started again, or reports more than is plausible.
            counters.reported_before = Some(before + missed - added);
        }
        // A report with the first one may be about a kill before.
        let is_new_kill = run.kills_before == 0 && (last.is_some() || self.round > 1);
        if named.oom_killed == Some(true) && is_new_kill {
            self.raise(path, 1);
        }
    }

    /// Compares the counters with what sources of names list: containers that ended before a reading saw them, and the
    /// reasons of ends.
    fn read_list(&mut self, listed: &[(String, Arc<Named>)], inputs: &mut Inputs<'_>) {
        for counters in self.counters.values_mut() {
            counters.is_listed = false;
        }
        for (id, named) in listed {
            let Some(subject) = Subject::of_named(named).map(Arc::new) else { continue };
            let is_active = named.status != "terminated";
            let was_known = self.counters.contains_key(&subject);
            match self.runs.path_of(id).cloned() {
                Some(path) => self.read_listed_run(&path, &subject, named, inputs.instant),
                None => self.read_listed(id, &subject, named, is_active, inputs),
            }
            if let Some(counters) = self.counters.get_mut(&subject) {
                counters.is_listed |= is_active;
            }
            if let Some(end) = &named.oom_end {
                self.read_oom_end(&subject, end, was_known, inputs.instant);
            }
        }
    }

    /// A listed container with a run that may have ended without a name.
    fn read_listed_run(&mut self, path: &str, subject: &Arc<Subject>, named: &Named, instant: Instant) {
        let round = self.round;
        let Some(run) = self.runs.get(path).filter(|run| run.round != round) else { return };
        if run.subject.is_none() {
            self.assign(path, subject.clone(), instant);
        }
        self.read_report(path, named);
    }

    /// A listed container without a known run.
    fn read_listed(
        &mut self,
        id: &str,
        subject: &Arc<Subject>,
        named: &Arc<Named>,
        is_active: bool,
        inputs: &mut Inputs<'_>,
    ) {
        let mut run = Run::new(id, inputs.instant);
        let Some((_, Some(restarts))) = run.report_in(named) else { return };
        match self.counters.get_mut(subject) {
            Some(counters) => {
                let Some(before) = counters.reported_before else { return };
                let missed = restarts - before - i64::try_from(counters.restarts).unwrap_or(i64::MAX);
                let before = before + missed.max(0) - counters.add_missed(missed);
                counters.reported_before = Some(before);
                run.restarts = restarts - before;
                run.pod.clone_from(&counters.pod);
            }
            None => {
                // Without a cgroup it replaces no other.
                if !is_active || self.counters.len() >= self.max || !(inputs.is_exported)(named) {
                    return;
                }
                let counters = self.counters.entry(subject.clone()).or_insert_with(|| Counters::new(inputs.instant));
                (counters.reported_before, counters.has_run) = (Some(restarts), true);
            }
        }
        run.subject = Some(subject.clone());
        run.ended = Some(inputs.instant);
        self.runs.insert_unseen(run);
    }

    /// A run that ended for lack of memory. It may be the one that another source has counted.
    fn read_oom_end(&mut self, subject: &Arc<Subject>, end: &OomEnd, was_known: bool, instant: Instant) {
        let Some(counters) = self.counters.get_mut(subject).filter(|counters| counters.oom_end != end.container_id)
        else {
            return;
        };
        counters.oom_end.clone_from(&end.container_id);
        let is_new = end.at.map_or(was_known, |at| Some(at) >= self.first);
        if !is_new {
            return;
        }
        if self.runs.path_of(&end.container_id).is_none() {
            let mut run = Run::new(&end.container_id, instant);
            run.pod.clone_from(&counters.pod);
            (run.subject, run.ended) = (Some(subject.clone()), Some(instant));
            self.runs.insert_unseen(run);
        }
        let path = self.runs.path_of(&end.container_id).cloned().unwrap_or_default();
        if self.runs.get(&path).is_some_and(|run| run.subject.is_none()) {
            self.assign(&path, subject.clone(), instant);
        }
        if self.runs.get(&path).is_some_and(|run| run.kills_before == 0) {
            self.raise(&path, 1);
        }
    }

    /// Assigns the kills of a pod that none of its containers has to the one that has ended. If it is not the only one, they
    /// are counted for the pod.
    fn explain_ends(&mut self, instant: Instant) {
        for path in self.pods.unexplained() {
            let Some(pod) = self.pods.get(&path) else { continue };
            let kills = pod.unexplained();
            // The pod is read before its containers, so a kill in between is visible one reading later.
            let recent = self.round.saturating_sub(2);
            let has_ended = |run: &&mut Run| run.ended.is_some() && run.round >= recent.max(1);
            let mut ended: Vec<&mut Run> = self.runs.in_pod(&path).filter(has_ended).collect();
            if let [run] = &mut *ended {
                run.kills += kills;
                pod.assume(kills);
                continue;
            }
            pod.take_unattributed(kills);
            let subject = Arc::new(Subject::of(&pod.labels));
            // Without runs, the containers of the pod are not exported.
            if self.runs.in_pod(&path).next().is_some()
                && let Some(counters) = counters(&mut self.counters, &subject, self.max, self.round, instant)
            {
                counters.oom_kills += kills;
            }
        }
    }

    /// Adds the kills of the runs to the counters.
    fn add_kills(&mut self, instant: Instant) {
        let has_new = |(path, run): (&String, &mut Run)| (run.kills > run.counted_kills).then(|| path.clone());
        let paths: Vec<String> = self.runs.iter_mut().filter_map(has_new).collect();
        for path in paths {
            let labels = self.runs.get(&path).filter(|run| run.subject.is_none()).and_then(|run| run.labels.clone());
            if let Some(subject) = labels.map(|labels| Arc::new(Subject::of(&labels)))
                && !self.is_awaited(&path, &subject, instant)
            {
                self.assign(&path, subject, instant);
            }
            let Some(run) = self.runs.get(&path) else { continue };
            let Some(subject) = &run.subject else { continue };
            if let Some(counters) = counters(&mut self.counters, subject, self.max, self.round, instant) {
                counters.oom_kills += run.kills - run.counted_kills;
                run.counted_kills = run.kills;
            }
        }
    }

    fn forget(&mut self, instant: Instant) {
        let round = self.round;
        self.counters.retain(|subject, counters| {
            if counters.round == round || counters.is_listed {
                counters.alive = instant;
            }
            let is_empty = subject.is_unnamed() && counters.restarts == 0 && counters.oom_kills == 0;
            counters.alive == instant || (!is_empty && instant.saturating_duration_since(counters.alive) < KEEP)
        });
        self.runs.forget(instant, KEEP, self.max.saturating_mul(4));
        self.pods.forget(instant, KEEP, self.max);
    }

    /// The counters. New ones start with 0, without which a database shows no increase.
    fn export(&mut self) -> Vec<Counted> {
        let export = |(subject, counters): (&Arc<Subject>, &mut Counters)| {
            let is_first = !std::mem::replace(&mut counters.is_exported, true);
            let [restarts, oom_kills] = match is_first {
                true => [0, 0],
                false => [counters.restarts, counters.oom_kills],
            };
            Counted { subject: subject.clone(), restarts, oom_kills }
        };
        self.counters.iter_mut().map(export).collect()
    }
}

/// The counters of a subject, new ones if there are fewer than `max` or some without a run now. Those that a source still
/// lists are replaced last.
fn counters<'c>(
    all: &'c mut BTreeMap<Arc<Subject>, Counters>,
    subject: &Arc<Subject>,
    max: usize,
    round: u64,
    instant: Instant,
) -> Option<&'c mut Counters> {
    if !all.contains_key(subject) {
        if all.len() >= max {
            let ended = all.iter().filter(|(_, counters)| counters.round != round);
            let oldest = ended.min_by_key(|(_, counters)| (counters.is_listed, counters.alive))?.0.clone();
            all.remove(&oldest);
        }
        all.insert(subject.clone(), Counters::new(instant));
    }
    all.get_mut(subject)
}

impl Counters {
    fn new(instant: Instant) -> Counters {
        Counters {
            restarts: 0,
            oom_kills: 0,
            reported_before: None,
            plausible: 0,
            pod_uid: String::new(),
            pod: String::new(),
            has_run: false,
            round: 0,
            alive: instant,
            is_listed: false,
            oom_end: String::new(),
            is_exported: false,
        }
    }

    /// Adds restarts that a source has and no reading saw, at most as many as are plausible. Returns their number.
    fn add_missed(&mut self, missed: i64) -> i64 {
        let added = missed.clamp(0, self.plausible);
        self.plausible -= added;
        self.restarts += added.unsigned_abs();
        added
    }

    /// Records the run as the last one.
    fn follow(&mut self, run: &Run) {
        self.has_run = true;
        if !run.pod.is_empty() {
            self.pod_uid.clone_from(&run.pod_uid);
            self.pod.clone_from(&run.pod);
        }
    }
}

/// Whether a reported start is later than another one. Sources round differently.
fn is_later(start: Timestamp, last: Timestamp) -> bool {
    start.0.saturating_sub(last.0) > 1_000_000_000
}
