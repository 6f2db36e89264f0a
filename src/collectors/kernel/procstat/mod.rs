//! Groups of processes, as process-exporter and Telegraf's `procstat` have them.

mod families;
mod identity;
mod points;
mod reading;
mod selection;
mod threads;
mod tracker;
mod usage;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use self::identity::{Identity, Source, Users};
use self::reading::{GroupReading, Lookup, ProcstatReading, SingleProcess};
use self::selection::Selection;
use self::tracker::Tracker;
use self::usage::Usage;
use super::process::boot_time;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Key, Section, TableInfo};
use crate::host::text::Number;
use crate::host::{Host, ProcessStat, ReadError, SharedFile, file};
use crate::system::regular_file::{READ_TIMEOUT, read_text_within};

const CHILDREN: Key<bool> = Key::new(
    "children",
    "true",
    "Whether a process that is in no group joins that of its nearest ancestor that is in one.",
);
const SMAPS: Key<bool> = Key::new(
    "smaps",
    "false",
    "Proportional memory of `smaps_rollup`. Expensive for processes with much memory; of other users' processes, it takes CAP_SYS_PTRACE.",
);
const THREADS: Key<bool> = Key::new(
    "threads",
    "false",
    "Threads by name, in families, and states and context switches of all threads. Each thread costs as much as a process.",
);
const MAX_GROUPS: Key<usize> = Key::new(
    "max_groups",
    "1000",
    "Maximum number of groups. Above it, those that have been empty for longest are removed, and new ones left out.",
);
const MAX_PROCESSES: Key<usize> =
    Key::new("max_processes", "50000", "Maximum number of processes that are read; the others are left out.");

/// Groups of processes.
pub(super) struct Procstat {
    /// Distinguishes these settings from those before a reload.
    configuration: u64,
    selections: Arc<[Selection]>,
    children: bool,
    smaps: bool,
    threads: bool,
    max_groups: usize,
    max_processes: usize,
    users: Users,
    boot: SharedFile,
    meminfo: SharedFile,
    boot_time_seconds: Option<u64>,
    tracker: Arc<Mutex<Tracker>>,
}

impl Collector for Procstat {
    const ABOUT: About = About {
        name: "procstat",
        summary: "groups of processes",
        reads: &["/proc/*/{stat,status,io,limits,fd,cmdline,cgroup,smaps_rollup}", "/proc/*/task/*", "/etc/passwd"],
        needs: "the PID namespace of the host, and a procfs without `hidepid`; `io` and, before Linux 6.2, open \
                descriptors of other users' processes take CAP_SYS_PTRACE (`descriptors.conf`)",
        remarks: "On if a group is configured. Enabled without groups, it has a group for each name of processes with a \
                  command line.\n\nCounters of a group begin at 0 when Taffrail starts, and do not fall when a process \
                  ends. A group with a fixed name has 0 processes while there are none; one whose name has variables \
                  remains after its last process.",
        on_by_default: Vocabularies::NONE,
        keys: &[CHILDREN.info(), SMAPS.info(), THREADS.info(), MAX_GROUPS.info(), MAX_PROCESSES.info()],
        lists: &[TableInfo {
            name: "groups",
            about: "Groups of processes. A process is in the first group that selects it: it must match each selector that is set, by any of its values.",
            keys: selection::KEYS,
        }],
        families: families::FAMILIES,
        measurements: points::MEASUREMENTS,
        ..About::PLAIN
    };
    type Reading = ProcstatReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        static CONFIGURATIONS: AtomicU64 = AtomicU64::new(1);
        let mut selections: Vec<Selection> = section.tables("groups").iter_mut().map(Selection::new).collect();
        if selections.is_empty() {
            selections.push(Selection::of_all());
        }
        Procstat {
            configuration: CONFIGURATIONS.fetch_add(1, Relaxed),
            selections: selections.into(),
            children: section.get(&CHILDREN),
            smaps: section.get(&SMAPS),
            threads: section.get(&THREADS),
            max_groups: section.get(&MAX_GROUPS),
            max_processes: section.get(&MAX_PROCESSES),
            users: Users::new(host),
            boot: host.shared_proc("stat"),
            meminfo: host.shared_proc("meminfo"),
            boot_time_seconds: None,
            tracker: host.retained(Tracker::default),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ProcstatReading) -> Result<(), ReadError> {
        *reading = ProcstatReading { selections: self.selections.clone(), ..ProcstatReading::default() };
        let tracker = self.tracker.clone();
        let mut tracker = tracker.lock().unwrap_or_else(PoisonError::into_inner);
        let processes = cx.host.processes().all(cx.round, cx.buffer, cx.problems);
        tracker.errors.readings += u64::from(processes.is_err());
        reading.errors = Some(tracker.errors);
        let processes = processes?;
        if self.boot_time_seconds.is_none() {
            // Cached, as it jitters.
            self.boot_time_seconds = self.boot.read(cx.round, cx.buffer).ok().and_then(boot_time);
        }
        reading.boot_time_seconds = self.boot_time_seconds;
        reading.page_size = cx.host.kernel.page_size();
        reading.memory_bytes = if cx.wanted.points { self.memory_bytes(cx) } else { None };
        if processes.len() > self.max_processes {
            let what = format!("{} of {} processes", processes.len() - self.max_processes, processes.len());
            let reason = "left out, as max_processes of [collectors.procstat] says".to_owned();
            cx.problem(ReadError::Refused { what, reason });
        }
        let processes = &processes[..processes.len().min(self.max_processes)];
        reading.lookups = vec![Lookup::default(); self.selections.len()];
        self.identify(processes, &mut tracker, cx, &mut reading.lookups);
        self.measure(processes, &mut tracker, cx, reading);
        reading.errors = Some(tracker.errors);
        Ok(())
    }
}

impl Procstat {
    fn memory_bytes(&self, cx: &mut ReadContext<'_>) -> Option<u64> {
        const KIB: u64 = 1024;
        let text = self.meminfo.read(cx.round, cx.buffer).ok()?;
        let line = text.lines().find(|line| line.bytes().starts_with(b"MemTotal:"))?;
        u64::parse(line.fields().nth(1)?)?.checked_mul(KIB)
    }

    /// Puts the processes into groups.
    fn identify(
        &mut self,
        processes: &[ProcessStat],
        tracker: &mut Tracker,
        cx: &mut ReadContext<'_>,
        lookups: &mut [Lookup],
    ) {
        let fixed = self.selections.iter().enumerate();
        let fixed = fixed.filter_map(|(index, selection)| Some((selection.fixed_name()?.into(), index)));
        tracker.begin(self.configuration, fixed);
        self.users.begin_round();
        let selections = self.selections.iter().zip(lookups);
        let pids: Vec<_> =
            selections.map(|(selection, lookup)| read_pid_files(&selection.pid_files, lookup, cx)).collect();
        let (mut orphans, mut refused, mut path) = (Vec::new(), 0, cx.host.proc_path(""));
        for stat in processes {
            // A PID file may name another process than before.
            let was_in_file = tracker.membership(stat.pid).is_some_and(|membership| {
                membership.is_own && !self.selections[membership.selection].pid_files.is_empty()
            });
            let is_in_file = pids.iter().any(|pids| pids.contains(&stat.pid));
            if !tracker.needs_identification(stat) && !was_in_file && !is_in_file {
                continue;
            }
            path.push(stat.pid.to_string());
            let source = Source { folder: &path, buffer: cx.buffer, users: &mut self.users };
            let mut identity = Identity::new(stat.pid, &stat.name, source);
            let mut selections = self.selections.iter().zip(&pids).enumerate();
            let found = selections.find_map(|(index, (selection, pids))| {
                selection.group_of(&mut identity, pids).map(|name| (index, name))
            });
            path.pop();
            match found {
                Some((index, name)) => {
                    refused += u64::from(tracker.put(stat.pid, name, index, self.max_groups).is_err());
                }
                None => orphans.push(stat.pid),
            }
        }
        orphans.into_iter().for_each(|pid| tracker.put_with_ancestor(pid, self.children));
        if refused > 0 {
            let what = format!("{refused} processes");
            let reason = "left out, as their groups exceed max_groups of [collectors.procstat]".to_owned();
            cx.problem(ReadError::Refused { what, reason });
        }
    }

    /// Reads what the processes in groups use.
    fn measure(
        &mut self,
        processes: &[ProcessStat],
        tracker: &mut Tracker,
        cx: &mut ReadContext<'_>,
        reading: &mut ProcstatReading,
    ) {
        let mut sums: HashMap<Arc<str>, GroupReading> = HashMap::new();
        let mut path = cx.host.proc_path("");
        let is_procfs = file::is_procfs(&path);
        for stat in processes {
            let Some(membership) = tracker.membership(stat.pid).cloned() else { continue };
            path.push(stat.pid.to_string());
            let mut usage = Usage::read(stat, self.smaps, is_procfs, &mut path, cx.buffer);
            let threads = if self.threads { threads::read(&mut path, cx.buffer) } else { Vec::new() };
            path.pop();
            tracker.add(stat.pid, &usage, &threads);
            if let Some(failure) = usage.failure.take() {
                tracker.errors.processes += 1;
                cx.problem(failure);
                continue;
            }
            let lookup = &mut reading.lookups[membership.selection];
            lookup.found += u64::from(membership.is_own);
            if usage.has_ended {
                continue;
            }
            lookup.running += u64::from(membership.is_own);
            tracker.errors.parts += u64::from(usage.lacks_rights());
            tracker.log_rights(usage.lacks_rights());
            sums.entry(membership.group).or_default().add(stat, &usage, &threads);
            if cx.wanted.points && self.selections[membership.selection].single_processes {
                path.push(stat.pid.to_string());
                let source = Source { folder: &path, buffer: cx.buffer, users: &mut self.users };
                let mut identity = Identity::new(stat.pid, &stat.name, source);
                let (user, command_line) = (identity.user().0.into_owned(), identity.command_line().to_owned());
                path.pop();
                let selection = membership.selection;
                reading.single.push(SingleProcess { stat: stat.clone(), usage, selection, user, command_line });
            }
        }
        tracker.end();
        reading.single.sort_unstable_by_key(|process| process.stat.pid);
        reading.groups =
            tracker.groups().map(|(name, group)| sums.remove(name).unwrap_or_default().of(name, group)).collect();
    }
}

/// The PIDs in files.
fn read_pid_files(paths: &[PathBuf], lookup: &mut Lookup, cx: &mut ReadContext<'_>) -> Vec<u32> {
    let read = paths.iter().map(|path| pid_in(cx.host, path));
    let (found, problems): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    lookup.has_failed = !problems.is_empty();
    // A service that is down may have none.
    cx.problems.extend(problems.into_iter().filter_map(Result::err).filter(|problem| !problem.is_absent()));
    found.into_iter().flatten().collect()
}

/// The PID in the file that the host names `path`.
fn pid_in(host: &Host, path: &Path) -> Result<u32, ReadError> {
    const MAX_BYTES: u64 = 4096;
    let found = host.root_path(path);
    let refused = |reason: String| ReadError::Refused { what: path.display().to_string(), reason };
    let text = read_text_within(&found, MAX_BYTES, READ_TIMEOUT).map_err(|error| match error.reason {
        reason if reason.is_absence() => ReadError::Absent(path.to_owned()),
        reason => refused(reason.to_string()),
    })?;
    let pid = text.trim();
    pid.parse().map_err(|_| refused(format!("expected a PID, found {:?}", pid.chars().take(20).collect::<String>())))
}
