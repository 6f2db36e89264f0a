//! One walk over all cgroups: each is named, and read if it is shown.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::process::started_ticks;
use super::hierarchy::Roots;
use super::identity::{Identity, Kind, identify};
use super::labels::Labels;
use super::names::{Names, PodNamed};
use super::reading::{ContainerReading, Measured};
use super::selection::Selection;
use super::tree::Visitor;
use super::usage::{Files, Usage, Wanted};
use crate::host::{Directory, Host, ReadError, Timestamp, file};

/// What is known of a cgroup as long as it is there.
pub(super) struct Known {
    path: String,
    identity: Identity,
    pub(super) labels: Arc<Labels>,
    pub(super) shown: bool,
    made: Option<Timestamp>,
    /// When its first process was started.
    started: Option<Timestamp>,
}

impl Known {
    /// Gives it the names that are known now.
    pub(super) fn name(&mut self, names: &Names, pods: &mut Pods) {
        let named = Some(&self.identity.container_id).filter(|id| !id.is_empty()).and_then(|id| names.container(id));
        let uid = &self.identity.pod_uid;
        if let Some(named) = named.as_deref().filter(|named| !uid.is_empty() && !named.pod.is_empty()) {
            pods.learn(uid, PodNamed { pod: named.pod.clone(), namespace: named.namespace.clone() });
        }
        let pod =
            if uid.is_empty() { None } else { names.pod(uid).map(|pod| (*pod).clone()).or_else(|| pods.get(uid)) };
        self.labels = Arc::new(Labels::new(&self.path, &self.identity, named, pod.as_ref()));
    }
}

/// The names of pods as their containers tell them.
#[derive(Default)]
pub(super) struct Pods {
    by_uid: HashMap<String, PodNamed>,
}

impl Pods {
    fn learn(&mut self, uid: &str, pod: PodNamed) {
        self.by_uid.entry(uid.to_owned()).or_insert(pod);
    }

    fn get(&self, uid: &str) -> Option<PodNamed> {
        self.by_uid.get(uid).cloned()
    }

    /// Forgets them, to be learnt anew.
    pub(super) fn forget(&mut self) {
        self.by_uid.clear();
    }
}

/// One walk over all cgroups.
pub(super) struct Visit<'a> {
    pub(super) names: &'a Names,
    pub(super) pods: &'a mut Pods,
    pub(super) selection: &'a mut Selection,
    pub(super) limit: usize,
    pub(super) roots: Roots<'a>,
    pub(super) wanted: Wanted,
    pub(super) boot_time: Option<u64>,
    pub(super) host: &'a Host,
    pub(super) files: Files<'a>,
    pub(super) reading: &'a mut ContainerReading,
    /// Those that the walk is in and that do not just hold others: processes further below are theirs.
    pub(super) leaves: Vec<usize>,
    /// Containers without a name.
    pub(super) unknown: Vec<Arc<Labels>>,
}

impl Visitor<Known> for Visit<'_> {
    fn found(&mut self, path: &str, directory: &Directory) -> Known {
        let mut known = Known {
            path: path.to_owned(),
            identity: identify(path),
            labels: Arc::default(),
            shown: false,
            made: directory.made_at(),
            started: None,
        };
        known.name(self.names, self.pods);
        known.shown = self.selection.shows(&known.labels);
        known
    }

    fn visit(&mut self, known: &mut Known, directory: &mut Directory) {
        self.reading.cgroups += 1;
        while self.leaves.last().is_some_and(|leaf| !is_below(&known.path, &self.reading.measured[*leaf].labels.id)) {
            self.leaves.pop();
        }
        let holder = self.leaves.last().copied();
        let mut usage = Usage::default();
        if known.shown && self.reading.measured.len() < self.limit {
            self.roots.read(&known.path, directory, self.wanted, &mut self.files, &mut usage);
            self.add_processes(holder, known.identity.kind, &usage);
            self.add(known, usage);
        } else {
            self.reading.left_out += u64::from(known.shown);
            if holder.is_some() {
                self.files.processes(directory, self.wanted, &mut usage);
                self.add_processes(holder, known.identity.kind, &usage);
            }
        }
    }

    fn failed(&mut self, error: ReadError) {
        self.files.problem(error);
    }
}

impl Visit<'_> {
    fn add(&mut self, known: &mut Known, usage: Usage) {
        if known.identity.kind == Kind::Host {
            known.started = self.boot_time.and_then(Timestamp::from_seconds);
        }
        if known.started.is_none() {
            known.started = started(self.host, self.boot_time, usage.first_pid, self.files.buffer);
        }
        let labels = known.labels.clone();
        if matches!(known.identity.kind, Kind::Container | Kind::Machine | Kind::Service | Kind::Scope) {
            self.leaves.push(self.reading.measured.len());
        }
        if !known.identity.container_id.is_empty() && labels.named.is_none() {
            self.unknown.push(labels.clone());
        }
        let told = labels.named.as_deref().and_then(|named| named.started_at);
        let started = told.or(known.started);
        self.reading.measured.push(Measured { made: known.made, ..Measured::new(labels, started, usage) });
    }

    /// Adds the processes of a cgroup to the container that it is a part of.
    fn add_processes(&mut self, holder: Option<usize>, kind: Kind, usage: &Usage) {
        let is_part = !matches!(kind, Kind::Container | Kind::Pod | Kind::Machine);
        if let Some(holder) = holder.filter(|_| is_part) {
            let of_holder = &mut self.reading.measured[holder].usage;
            if let Some(processes) = usage.processes {
                of_holder.processes = Some(of_holder.processes.unwrap_or(0) + processes);
            }
            of_holder.pids.extend_from_slice(&usage.pids);
            of_holder.first_pid = of_holder.first_pid.or(usage.first_pid);
        }
    }
}

/// When a process was started.
pub(super) fn started(
    host: &Host,
    boot_time: Option<u64>,
    pid: Option<u64>,
    buffer: &mut Vec<u8>,
) -> Option<Timestamp> {
    const NANOSECONDS_PER_TICK: u64 = 10_000_000;
    // The PIDs of another PID namespace are 0.
    let path = host.proc_path(format!("{}/stat", pid.filter(|pid| *pid > 0)?));
    let ticks = file::read_once(&path, buffer).ok().and_then(started_ticks)?;
    let since_boot = i64::try_from(ticks.checked_mul(NANOSECONDS_PER_TICK)?).ok()?;
    Timestamp::from_seconds(boot_time?)?.0.checked_add(since_boot).map(Timestamp)
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}
