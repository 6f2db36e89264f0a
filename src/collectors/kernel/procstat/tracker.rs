//! Which group each process is in, and what the groups have used since they were first read.
//!
//! A counter of a group is the sum of what its processes have used since then, also of those that have ended. It begins
//! at 0, and never falls: the rule of process-exporter.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::threads::{self, ByName, Thread};
use super::usage::{Counters, Usage};
use crate::host::ProcessStat;

/// Most processes above one in whose group a process may be.
const MAX_DEPTH: usize = 256;

/// State of the groups, retained over reloads.
#[derive(Default)]
pub(super) struct Tracker {
    /// The configuration that the groups of the processes are of.
    configuration: u64,
    processes: HashMap<u32, Process, foldhash::fast::RandomState>,
    groups: BTreeMap<Arc<str>, Group>,
    /// The number of the current reading.
    reading: u64,
    /// The latest start of the processes of the previous reading, in ticks; a process that started later is new. Without a
    /// previous reading, none is.
    newest_start: Option<u64>,
    /// The last reading in which no group was empty.
    full_in: u64,
    pub(super) errors: Errors,
    /// Whether a lack of rights was logged.
    has_logged_rights: bool,
}

/// Numbers of failures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Errors {
    /// Readings without any process.
    pub(super) readings: u64,
    /// Processes that could not be read.
    pub(super) processes: u64,
    /// Processes with a part that could not be read, such as `io`.
    pub(super) parts: u64,
}

struct Process {
    started_ticks: u64,
    name: Box<str>,
    parent: u32,
    /// How often it was identified: a process that was just forked may not be what it will be.
    identified: u8,
    membership: Option<Membership>,
    used: Used,
    threads: Threads,
    read_in: u64,
}

/// Threads by TID, with their starts, if they are read.
type Threads = HashMap<u32, (u64, Used), foldhash::fast::RandomState>;

/// What a process or a thread had used at the previous reading.
#[derive(Default)]
struct Used {
    /// Whether it started after the previous reading, so that all that it has used counts.
    is_new: bool,
    /// None before it was read.
    counters: Option<Counters>,
    has_io: bool,
}

impl Process {
    fn new(stat: &ProcessStat, is_new: bool) -> Self {
        let (membership, threads, identified, read_in) = Default::default();
        let (started_ticks, name, parent) = (stat.started_ticks, stat.name.as_str().into(), stat.parent);
        let used = Used { is_new, ..Used::default() };
        Process { started_ticks, name, parent, identified, membership, used, threads, read_in }
    }

    /// What it has used since the previous reading.
    fn update(&mut self, usage: &Usage) -> Counters {
        let mut counters = usage.counters;
        if usage.has_ended {
            // Only the line of `stat` was read.
            let earlier = self.used.counters.unwrap_or_default();
            counters.voluntary_switches = earlier.voluntary_switches;
            counters.involuntary_switches = earlier.involuntary_switches;
        }
        self.used.update(counters, usage.has_io)
    }

    /// What a thread has used since the previous reading, whose threads are in `before`. `is_new` is of a thread that is not
    /// among them.
    fn update_thread(&mut self, thread: &Thread, is_new: bool, before: &mut Threads) -> Counters {
        let (tid, started) = (thread.stat.pid, thread.stat.started_ticks);
        let known = before.remove(&tid).filter(|(known, _)| *known == started).map(|(_, used)| used);
        let mut used = known.unwrap_or(Used { is_new, ..Used::default() });
        let increase = used.update(thread.counters, thread.has_io);
        self.threads.insert(tid, (started, used));
        increase
    }
}

impl Used {
    /// The increase since the previous reading.
    fn update(&mut self, mut counters: Counters, has_io: bool) -> Counters {
        let mut earlier = match self.counters {
            Some(earlier) => earlier,
            None if self.is_new => Counters::default(),
            None => counters,
        };
        match (self.counters.is_some() && !self.has_io, has_io) {
            (_, false) => counters.io = earlier.io,
            // The rights are new: it counts from here on.
            (true, true) => earlier.io = counters.io,
            (false, true) => {}
        }
        (self.counters, self.has_io) = (Some(counters), has_io);
        counters.since(&earlier)
    }
}

/// The group of a process.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) group: Arc<str>,
    /// The index of the selection that the group is of.
    pub(super) selection: usize,
    /// Whether the process was selected itself, not an ancestor of it.
    pub(super) is_own: bool,
}

/// What a group has used.
pub(super) struct Group {
    /// The index of the selection that it is of.
    pub(super) selection: usize,
    pub(super) counters: Counters,
    /// Whether `io` of a process could be read so far.
    pub(super) has_io: bool,
    /// Whether descriptors of a process could be counted so far.
    pub(super) has_open_files: bool,
    /// Whether `smaps_rollup` of a process could be read so far.
    pub(super) has_smaps: bool,
    /// Its threads, if they are read.
    pub(super) threads: ByName,
    /// The last reading in which it had a process.
    read_in: u64,
    /// Whether it exists without processes.
    is_fixed: bool,
}

impl Group {
    fn new(selection: usize) -> Self {
        let (counters, has_io, has_open_files, has_smaps, threads) = Default::default();
        Group { selection, counters, has_io, has_open_files, has_smaps, threads, read_in: 0, is_fixed: false }
    }
}

impl Tracker {
    /// Begins a reading of groups with these settings, identified by `configuration`. `fixed` has the names of groups that
    /// exist without processes, with their selections.
    pub(super) fn begin(&mut self, configuration: u64, fixed: impl Iterator<Item = (Arc<str>, usize)>) {
        self.reading += 1;
        self.groups.values_mut().flat_map(|group| group.threads.values_mut()).for_each(|threads| threads.count = 0);
        if std::mem::replace(&mut self.configuration, configuration) == configuration {
            return;
        }
        self.processes.values_mut().for_each(|process| (process.identified, process.membership) = (0, None));
        // A group that still exists goes on; the others are removed when the processes are identified.
        self.groups.values_mut().for_each(|group| (group.is_fixed, group.read_in) = (false, 0));
        for (name, selection) in fixed {
            let group = self.groups.entry(name).or_insert_with(|| Group::new(selection));
            (group.selection, group.is_fixed) = (selection, true);
        }
    }

    /// Whether the group of a process has to be determined: at its first two readings, and when its name has changed.
    pub(super) fn needs_identification(&mut self, stat: &ProcessStat) -> bool {
        let reading = self.reading;
        let is_new = self.newest_start.is_some_and(|newest| stat.started_ticks >= newest);
        let process = self.processes.entry(stat.pid).and_modify(|known| {
            // The PID was reused.
            if known.started_ticks != stat.started_ticks {
                *known = Process::new(stat, is_new);
            }
        });
        let process = process.or_insert_with(|| Process::new(stat, is_new));
        (process.read_in, process.parent) = (reading, stat.parent);
        if *process.name != *stat.name {
            process.name = stat.name.as_str().into();
            process.identified = 0;
        }
        process.identified < 2
    }

    /// Puts a process into the group `name`, if there is space for the group within `max` groups.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn put(&mut self, pid: u32, name: String, selection: usize, max: usize) -> Result<(), ()> {
        let name = match self.groups.get_key_value(name.as_str()) {
            Some((known, _)) => known.clone(),
            None => {
                self.make_space(max)?;
                let name: Arc<str> = name.into();
                self.groups.insert(name.clone(), Group::new(selection));
                name
            }
        };
        if let Some(group) = self.groups.get_mut(&name) {
            group.read_in = self.reading;
        }
        if let Some(process) = self.processes.get_mut(&pid) {
            process.identified = process.identified.saturating_add(1);
            process.membership = Some(Membership { group: name, selection, is_own: true });
        }
        Ok(())
    }

    /// Removes the group that has been empty for longest, if there are `max` groups.
    fn make_space(&mut self, max: usize) -> Result<(), ()> {
        if self.groups.len() < max {
            return Ok(());
        }
        if self.full_in == self.reading {
            return Err(());
        }
        // The groups of this reading are not yet known before all processes are identified.
        let is_empty = |group: &&(_, &Group)| !group.1.is_fixed && group.1.read_in + 1 < self.reading;
        let pairs: Vec<_> = self.groups.iter().collect();
        let oldest = pairs.iter().filter(is_empty).min_by_key(|(_, group)| group.read_in);
        match oldest.map(|(name, _)| Arc::clone(name)) {
            Some(name) => drop(self.groups.remove(&name)),
            None => {
                self.full_in = self.reading;
                return Err(());
            }
        }
        Ok(())
    }

    /// Puts a process that no selection selects into the group of its nearest ancestor that has one, if `children` are
    /// wanted. It stays there when the ancestor ends.
    pub(super) fn put_with_ancestor(&mut self, pid: u32, children: bool) {
        let inherited = if children { self.ancestor(pid) } else { None };
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.identified = process.identified.saturating_add(1);
        let stays = inherited.is_none() && process.membership.as_ref().is_some_and(|membership| !membership.is_own);
        if !stays {
            process.membership = inherited;
        }
    }

    fn ancestor(&self, pid: u32) -> Option<Membership> {
        let parent = |pid: &u32| self.processes.get(pid).map(|process| process.parent).filter(|parent| *parent != 0);
        let ancestors = std::iter::successors(parent(&pid), parent).take(MAX_DEPTH);
        let mut memberships = ancestors.filter_map(|pid| self.processes.get(&pid)?.membership.as_ref());
        memberships.next().map(|membership| Membership { is_own: false, ..membership.clone() })
    }

    /// The group of a process.
    pub(super) fn membership(&self, pid: u32) -> Option<&Membership> {
        self.processes.get(&pid)?.membership.as_ref()
    }

    /// Adds what a process and its threads have used since the previous reading to its group.
    pub(super) fn add(&mut self, pid: u32, usage: &Usage, threads: &[Thread]) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Some(group) = process.membership.as_ref().and_then(|of| self.groups.get_mut(&of.group)) else { return };
        group.read_in = self.reading;
        if usage.failure.is_some() {
            return;
        }
        let was_read = process.used.counters.is_some();
        group.counters.add(&process.update(usage));
        group.has_io |= usage.has_io;
        group.has_open_files |= usage.open_files.is_some();
        group.has_smaps |= usage.smaps.is_some();
        let mut before = std::mem::take(&mut process.threads);
        for thread in threads {
            let is_main = thread.stat.pid == pid;
            let is_new = if was_read { !is_main } else { process.used.is_new };
            let increase = process.update_thread(thread, is_new, &mut before);
            threads::add(&mut group.threads, thread, &increase);
            // Those of the main thread are in `status` of the process.
            if !is_main {
                group.counters.voluntary_switches += increase.voluntary_switches;
                group.counters.involuntary_switches += increase.involuntary_switches;
            }
        }
    }

    /// Logs the first process that Taffrail lacks the rights for.
    pub(super) fn log_rights(&mut self, is_lacking: bool) {
        if is_lacking && !std::mem::replace(&mut self.has_logged_rights, true) {
            tracing::info!(
                "procstat: reads, writes or open descriptors of some processes are left out: of other users' processes, they \
                 take CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, as in the drop-in descriptors.conf"
            );
        }
    }

    /// Ends the reading: forgets processes that have ended, and groups of earlier settings.
    pub(super) fn end(&mut self) {
        let reading = self.reading;
        self.processes.retain(|_, process| {
            // What it has used outside of a group does not count.
            process.used.is_new &= process.membership.is_some();
            process.read_in == reading
        });
        self.newest_start = self.processes.values().map(|process| process.started_ticks).max().or(Some(0));
        self.groups.retain(|_, group| group.is_fixed || group.read_in > 0);
    }

    /// All groups, by name.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &Group)> {
        self.groups.iter()
    }
}

#[cfg(test)]
mod tests;
