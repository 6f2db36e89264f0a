//! One walk over all cgroups. Labels each cgroup, and reads it if it is exported.

use std::collections::HashMap;
use std::sync::Arc;

use super::hierarchy::Roots;
use super::identity::{Identity, Kind, identify};
use super::init::Init;
use super::labels::Labels;
use super::lifecycle::{Lifecycle, Seen};
use super::names::{Names, PodNamed};
use super::reading::{ContainerReading, Measured};
use super::selection::Selection;
use super::tree::Visitor;
use super::usage::{Files, Usage, Wanted};
use crate::encode::Timestamp;
use crate::host::{Directory, Host, ReadError};

/// State of a cgroup while it exists.
pub(super) struct CgroupState {
    path: String,
    identity: Identity,
    pub(super) labels: Arc<Labels>,
    pub(super) is_selected: bool,
    created: Option<Timestamp>,
    /// Its process that started first, at the last reading.
    init: Option<Init>,
    /// Its index in this reading, if it is measured.
    measured: Option<usize>,
    /// Whether it had processes at the last reading.
    was_running: bool,
}

impl CgroupState {
    /// Updates the labels from the current names.
    pub(super) fn name(&mut self, names: &Names, pods: &mut Pods) {
        self.labels = label(&self.path, &self.identity, names, pods);
    }
}

/// Labels of a cgroup from the current names.
pub(super) fn label(path: &str, identity: &Identity, names: &Names, pods: &mut Pods) -> Arc<Labels> {
    let named = Some(&identity.container_id).filter(|id| !id.is_empty()).and_then(|id| names.container(id));
    let uid = &identity.pod_uid;
    if let Some(named) = named.as_deref().filter(|named| !uid.is_empty() && !named.pod.is_empty()) {
        pods.insert(uid, PodNamed { pod: named.pod.clone(), namespace: named.namespace.clone() });
    }
    let pod = if uid.is_empty() { None } else { names.pod(uid).map(|pod| (*pod).clone()).or_else(|| pods.get(uid)) };
    Arc::new(Labels::new(path, identity, named, pod.as_ref()))
}

/// Names of pods, learned from their containers.
#[derive(Default)]
pub(super) struct Pods {
    by_uid: HashMap<String, PodNamed>,
}

impl Pods {
    fn insert(&mut self, uid: &str, pod: PodNamed) {
        self.by_uid.entry(uid.to_owned()).or_insert(pod);
    }

    fn get(&self, uid: &str) -> Option<PodNamed> {
        self.by_uid.get(uid).cloned()
    }

    /// Clears the names, to be learned again.
    pub(super) fn clear(&mut self) {
        self.by_uid.clear();
    }
}

/// State of one walk.
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
    pub(super) lifecycle: &'a mut Lifecycle,
    /// The containers, units and pods that the walk is in.
    pub(super) leaves: Vec<Leaf>,
    /// All containers and pods, exported or not, with the inodes of their cgroups.
    pub(super) running: Vec<(Arc<Labels>, u64)>,
}

/// A container, unit or pod that the walk is in.
pub(super) struct Leaf {
    index: usize,
    kind: Kind,
    /// Whether its init process is unknown. It may be in a cgroup further below.
    needs_init: bool,
    /// Whether it or a cgroup below has processes.
    is_populated: bool,
    /// Whether its usage was read before the cgroups below. One that may be empty is not, because reading is slow.
    is_read: bool,
}

impl Visitor<CgroupState> for Visit<'_> {
    fn found(&mut self, path: &str, directory: &Directory) -> CgroupState {
        let mut state = CgroupState {
            path: path.to_owned(),
            identity: identify(path),
            labels: Arc::default(),
            is_selected: false,
            created: directory.made_at(),
            init: None,
            measured: None,
            was_running: false,
        };
        state.name(self.names, self.pods);
        state.is_selected = self.selection.shows(&state.labels);
        state
    }

    fn visit(&mut self, state: &mut CgroupState, directory: &mut Directory) {
        self.reading.cgroups += 1;
        if state.labels.is_container_or_pod() {
            self.running.push((state.labels.clone(), directory.inode));
        }
        let is_measured = state.is_selected && self.reading.measured.len() < self.limit;
        self.reading.left_out += u64::from(state.is_selected && !is_measured);
        if !is_measured && state.identity.kind == Kind::Pod {
            self.see_pod(state, directory);
        }
        if !is_measured && !self.leaves.iter().any(|leaf| owns_processes(leaf.kind) || !leaf.is_populated) {
            return;
        }
        let kind = state.identity.kind;
        let is_part = !matches!(kind, Kind::Container | Kind::Pod | Kind::Machine);
        if is_measured {
            state.init = state.init.filter(|init| init.is_running(self.host, self.files.buffer));
        }
        let needs_init = is_measured && kind != Kind::Host && state.init.is_none();
        let owner_needs_init = is_part && self.owner().is_some_and(|owner| owner.needs_init);
        let wanted = Wanted { pids: self.wanted.pids || needs_init || owner_needs_init, ..self.wanted };
        let mut usage = Usage::default();
        self.files.processes(directory, wanted, &mut usage);
        let has_own = usage.processes != Some(0);
        self.add_processes(is_part, has_own, &usage);
        if !is_measured {
            return;
        }
        let may_be_empty = !has_own && is_hidden_empty(kind);
        let is_populated = has_own
            || (may_be_empty && self.roots.has_processes(&state.path, directory, &mut self.files) == Some(true));
        let is_read = is_populated || !may_be_empty;
        if is_read {
            self.roots.read(&state.path, directory, self.wanted, &mut self.files, &mut usage);
        }
        let index = self.reading.measured.len();
        state.measured = Some(index);
        if owns_processes(kind) || is_hidden_empty(kind) {
            self.leaves.push(Leaf { index, kind, needs_init, is_populated, is_read });
        }
        self.reading.measured.push(Measured::new(state.labels.clone(), usage));
    }

    fn left(&mut self, state: &mut CgroupState, directory: &mut Directory) {
        let Some(index) = state.measured.take() else { return };
        let kind = state.identity.kind;
        if let Some(leaf) = self.leaves.pop_if(|leaf| leaf.index == index) {
            self.leaves.iter_mut().for_each(|outer| outer.is_populated |= leaf.is_populated);
            if !leaf.is_populated && is_hidden_empty(kind) {
                return self.leave_out(state, directory, index);
            }
            if !leaf.is_read {
                let usage = &mut self.reading.measured[index].usage;
                self.roots.read(&state.path, directory, self.wanted, &mut self.files, usage);
            }
        }
        state.was_running = true;
        self.complete(state, index);
        self.see(state, directory, index, true);
    }

    fn failed(&mut self, error: ReadError) {
        self.files.problem(error);
    }
}

/// Whether processes in cgroups below belong to a cgroup of this kind.
fn owns_processes(kind: Kind) -> bool {
    matches!(kind, Kind::Container | Kind::Machine | Kind::Service | Kind::Scope)
}

/// Whether a cgroup of this kind is left out without processes: its runtime has not filled it yet, or left it behind.
fn is_hidden_empty(kind: Kind) -> bool {
    matches!(kind, Kind::Container | Kind::Pod | Kind::Machine)
}

impl Visit<'_> {
    /// The container or unit that processes in cgroups below belong to.
    fn owner(&mut self) -> Option<&mut Leaf> {
        self.leaves.iter_mut().rev().find(|leaf| owns_processes(leaf.kind))
    }

    /// Leaves out a cgroup without processes, and what is below it. Its last OOM kills are read once.
    fn leave_out(&mut self, state: &mut CgroupState, directory: &mut Directory, index: usize) {
        if std::mem::take(&mut state.was_running) {
            let wanted = Wanted { memory_events: true, ..Wanted::default() };
            let usage = &mut self.reading.measured[index].usage;
            self.roots.read(&state.path, directory, wanted, &mut self.files, usage);
        }
        self.see(state, directory, index, false);
        self.reading.measured.truncate(index);
        // It is near the end: only cgroups below follow it.
        let at = self.running.iter().rposition(|(labels, _)| Arc::ptr_eq(labels, &state.labels));
        at.map(|at| self.running.remove(at));
    }

    /// Passes a cgroup on for its restarts and OOM kills.
    fn see(&mut self, state: &CgroupState, directory: &Directory, index: usize, is_running: bool) {
        let memory = &self.reading.measured[index].usage.memory;
        let start = || state.init.zip(self.boot_time).and_then(|(init, boot_time)| init.started(boot_time));
        // In a recorded host inodes say nothing.
        let inode = match state.created {
            Some(_) => directory.inode,
            None => start().and_then(|start| u64::try_from(start.0).ok()).unwrap_or(0),
        };
        let (labels, created) = (state.labels.clone(), state.created);
        let (kills, is_v1) = (memory.oom_kills, memory.is_v1);
        self.lifecycle.see(Seen { labels, inode, created, kills, is_v1, is_running });
    }

    /// Passes on a pod that is not exported. Its count has the OOM kills of containers that have ended.
    fn see_pod(&mut self, state: &CgroupState, directory: &mut Directory) {
        let (mut usage, wanted) = (Usage::default(), Wanted { memory_events: true, ..Wanted::default() });
        self.roots.read(&state.path, directory, wanted, &mut self.files, &mut usage);
        let (labels, created, inode) = (state.labels.clone(), state.created, directory.inode);
        let (kills, is_v1) = (usage.memory.oom_kills, usage.memory.is_v1);
        self.lifecycle.see(Seen { labels, inode, created, kills, is_v1, is_running: true });
    }

    /// Adds the processes of a cgroup to the container or unit that it is a part of.
    fn add_processes(&mut self, is_part: bool, is_populated: bool, usage: &Usage) {
        self.leaves.iter_mut().for_each(|leaf| leaf.is_populated |= is_populated);
        if is_part && let Some(owner) = self.owner() {
            let index = owner.index;
            let owner_usage = &mut self.reading.measured[index].usage;
            if let Some(processes) = usage.processes {
                owner_usage.processes = Some(owner_usage.processes.unwrap_or(0) + processes);
            }
            owner_usage.pids.extend_from_slice(&usage.pids);
        }
    }

    /// Completes a measured cgroup after those below.
    fn complete(&mut self, state: &mut CgroupState, index: usize) {
        let measured = &mut self.reading.measured[index];
        let own_start = if state.identity.kind == Kind::Host {
            self.boot_time.and_then(Timestamp::from_seconds)
        } else {
            let buffer = &mut *self.files.buffer;
            state.init = state.init.or_else(|| Init::find(self.host, &mut measured.usage.pids, buffer));
            measured.usage.init_pid = state.init.map(|init| init.pid);
            state.init.zip(self.boot_time).and_then(|(init, boot_time)| init.started(boot_time))
        };
        let reported = state.labels.named.as_deref().and_then(|named| named.started_at);
        measured.started = latest_start(reported, own_start).or(state.created);
    }
}

/// The start that a runtime reported, or that of the init process if the report is from before a restart.
fn latest_start(reported: Option<Timestamp>, init: Option<Timestamp>) -> Option<Timestamp> {
    /// The boot time, and what some runtimes report, are in whole seconds.
    const TOLERANCE_NANOSECONDS: i64 = 2_000_000_000;
    match (reported, init) {
        (Some(reported), Some(init)) if reported.0.saturating_add(TOLERANCE_NANOSECONDS) < init.0 => Some(init),
        _ => reported.or(init),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::collectors::container::Container;
    use crate::collectors::framework::{Collector, ReadContext, Vocabularies};
    use crate::config::{Document, Section};
    use crate::host::Roots as HostRoots;

    const POD: &str = "kubepods/besteffort/pod11111111-0000-3333-4444-555555555555";

    /// Paths of the cgroups that a reading of `root` has, without the host. Malformed files in the others are not read.
    fn shown(root: &Path) -> Vec<String> {
        let (sys, proc, udev) = (root.join("sys"), root.join("proc"), root.join("udev"));
        let host = Host::live(HostRoots { sys, proc, root: root.to_owned(), udev });
        let document = Document::parse("test", "", &|_| None).unwrap();
        let mut container = Section::check(&document, |section| Container::new(&host, section)).unwrap();
        let (mut reading, mut problems) = (ContainerReading::default(), Vec::new());
        let (wanted, round) = (Vocabularies { points: false, ..Vocabularies::BOTH }, Instant::now());
        let mut cx = ReadContext { wanted, round, host: &host, buffer: &mut Vec::new(), problems: &mut problems };
        container.read(&mut cx, &mut reading).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        let ids = reading.measured.iter().map(|measured| measured.labels.id.clone());
        ids.filter(|id| !matches!(id.as_str(), "/" | "/kubepods" | "/kubepods/besteffort")).collect()
    }

    fn cgroup(hierarchy: &Path, path: &str, files: &[(&str, &str)]) {
        let folder = hierarchy.join(path);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, content) in files {
            std::fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn an_empty_cgroup_is_left_out_and_its_files_are_not_read() {
        let container = |digit: &str| digit.repeat(64);
        let [in_pod, empty, outer, alive] = ["a", "b", "c", "d"].map(container);
        for is_v1 in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let hierarchy = folder.path().join("sys/fs/cgroup").join(if is_v1 { "memory" } else { "" });
            let events = |populated: &'static str| ("cgroup.events", populated);
            let malformed = [("cgroup.procs", ""), ("memory.stat", "x"), ("cpu.stat", "x"), events("populated 0\n")];
            cgroup(&hierarchy, "", &[("cgroup.procs", "1\n")]);
            if !is_v1 {
                cgroup(&hierarchy, "", &[("cgroup.controllers", "memory\n")]);
            }
            for path in [POD.to_owned(), format!("docker/{empty}"), format!("docker/{outer}")] {
                cgroup(&hierarchy, &path, &malformed);
            }
            for path in [format!("{POD}/{in_pod}"), format!("docker/{outer}/{POD}/{in_pod}")] {
                cgroup(&hierarchy, &path, &malformed);
            }
            cgroup(&hierarchy, &format!("docker/{outer}/{POD}"), &malformed);
            for parent in ["kubepods", "kubepods/besteffort"] {
                cgroup(&hierarchy, &format!("docker/{outer}/{parent}"), &[("cgroup.procs", "")]);
            }
            let running = [("cgroup.procs", ""), events("populated 1\n")];
            cgroup(&hierarchy, &format!("docker/{alive}"), &running);
            cgroup(&hierarchy, &format!("docker/{alive}/init.scope"), &[("cgroup.procs", "7\n")]);
            assert_eq!(shown(folder.path()), [format!("/docker/{alive}")], "is_v1: {is_v1}");
        }
    }

    #[test]
    fn a_start_reported_before_a_restart_is_outdated() {
        let seconds = |seconds| Timestamp::from_seconds(seconds);
        assert_eq!(latest_start(seconds(100), seconds(160)), seconds(160));
        // Created at 159.9, started at 160.4, and both in whole seconds.
        assert_eq!(latest_start(seconds(160), seconds(159)), seconds(160));
        assert_eq!(latest_start(seconds(160), seconds(161)), seconds(160));
        assert_eq!(latest_start(seconds(160), None), seconds(160));
        assert_eq!(latest_start(None, seconds(160)), seconds(160));
        assert_eq!(latest_start(None, None), None);
    }
}
