//! What was read of processes and their groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::selection::Selection;
use super::threads::{ByName, Thread};
use super::tracker::{Errors, Group};
use super::usage::{Counters, Smaps, Usage};
use crate::host::ProcessStat;

/// What the groups of processes use.
#[derive(Default)]
pub(in super::super) struct ProcstatReading {
    /// By name.
    pub(super) groups: Vec<GroupReading>,
    pub(super) lookups: Vec<Lookup>,
    /// By PID.
    pub(super) single: Vec<SingleProcess>,
    pub(super) selections: Arc<[Selection]>,
    pub(super) boot_time_seconds: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) page_size: u64,
    pub(super) errors: Option<Errors>,
}

/// A group of processes.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupReading {
    pub(super) name: Arc<str>,
    pub(super) selection: usize,
    pub(super) processes: u64,
    pub(super) counters: Counters,
    /// Whether `io` of a process could be read so far, and can be of all that are there.
    pub(super) has_io: bool,
    lacks_io: bool,
    lacks_open_files: bool,
    pub(super) threads: u64,
    /// Of `stat`, as process-exporter has them.
    pub(super) resident_pages: u64,
    /// Of `status`, as Telegraf has them.
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) swapped_bytes: u64,
    pub(super) smaps: Option<Smaps>,
    /// Open descriptors, if they could be counted for a process so far, and can be for all that are there.
    pub(super) open_files: Option<u64>,
    /// The largest share of its limit of open files that a process uses.
    pub(super) worst_open_files: Option<f64>,
    pub(super) oldest_start_ticks: Option<u64>,
    pub(super) states: [u64; STATES.len()],
    pub(super) threads_by_name: ByName,
    /// Threads by the function of the kernel that they wait in.
    pub(super) waits: BTreeMap<String, u64>,
}

/// Of `stat`: USER_HZ.
pub(super) const TICKS_PER_SECOND: u64 = 100;

/// States of processes, each with its letters; the last has all others.
pub(super) const STATES: [(&str, &str); 5] =
    [("Running", "R"), ("Sleeping", "S"), ("Waiting", "D"), ("Zombie", "Z"), ("Other", "")];

/// What a selection found.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    /// Processes that it selected itself.
    pub(super) found: u64,
    /// Processes in its groups, without those that have ended meanwhile.
    pub(super) running: u64,
    pub(super) has_failed: bool,
}

/// A process whose own point is wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct SingleProcess {
    pub(super) stat: ProcessStat,
    pub(super) usage: Usage,
    pub(super) selection: usize,
    pub(super) user: String,
    pub(super) command_line: String,
}

impl GroupReading {
    pub(super) fn add(&mut self, stat: &ProcessStat, usage: &Usage, threads: &[Thread]) {
        self.processes += 1;
        self.threads += stat.threads;
        self.resident_pages = self.resident_pages.saturating_add(stat.resident_pages);
        self.resident_bytes = self.resident_bytes.saturating_add(usage.resident_bytes);
        self.virtual_bytes = self.virtual_bytes.saturating_add(stat.virtual_bytes);
        self.swapped_bytes = self.swapped_bytes.saturating_add(usage.swapped_bytes);
        if let Some(smaps) = &usage.smaps {
            self.smaps.get_or_insert_default().add(smaps);
        }
        self.lacks_io |= usage.lacks_io;
        self.lacks_open_files |= usage.open_files.is_none();
        if let Some(open) = usage.open_files {
            *self.open_files.get_or_insert(0) += open;
            if let Some(max) = usage.max_files {
                let worst = self.worst_open_files.get_or_insert(0.0);
                *worst = worst.max(open as f64 / max);
            }
        }
        let started = stat.started_ticks;
        self.oldest_start_ticks = Some(self.oldest_start_ticks.map_or(started, |oldest| oldest.min(started)));
        if threads.is_empty() {
            self.add_state(stat.state);
        }
        for thread in threads {
            self.add_state(thread.stat.state);
            if !thread.waits_in.is_empty() {
                *self.waits.entry(thread.waits_in.clone()).or_default() += 1;
            }
        }
    }

    fn add_state(&mut self, state: char) {
        let state = STATES.iter().position(|(_, letters)| letters.contains(state));
        self.states[state.unwrap_or(STATES.len() - 1)] += 1;
    }

    /// With its name and counters. What could be read of a process once is 0 without processes.
    pub(super) fn of(mut self, name: &Arc<str>, group: &Group) -> Self {
        if self.processes == 0 && group.has_open_files {
            (self.open_files, self.worst_open_files) = (Some(0), Some(0.0));
        }
        if self.lacks_open_files {
            (self.open_files, self.worst_open_files) = (None, None);
        }
        if self.processes == 0 && group.has_smaps {
            self.smaps = Some(Smaps::default());
        }
        GroupReading {
            name: name.clone(),
            selection: group.selection,
            counters: group.counters,
            has_io: group.has_io && !self.lacks_io,
            threads_by_name: group.threads.clone(),
            ..self
        }
    }
}
