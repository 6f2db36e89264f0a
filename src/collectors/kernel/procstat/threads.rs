//! Threads of the processes in groups, by name: `task/TID/stat`, `status`, `io` and `wchan` of proc(5).

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::usage::{Counters, Usage};
use crate::host::{ProcessStat, file};

/// Maximum number of threads that are read of a process.
const MAX_THREADS: usize = 32_768;
/// Maximum number of names of threads in a group; further ones count as [`OTHER`].
const MAX_NAMES: usize = 256;
const OTHER: &str = "other";

/// A thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    /// Its `stat`; the PID is the TID.
    pub(super) stat: ProcessStat,
    pub(super) counters: Counters,
    pub(super) has_io: bool,
    /// The function of the kernel that it waits in; empty if it runs, or without the rights to see it.
    pub(super) waits_in: String,
}

/// Threads of one name in a group.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedThreads {
    /// Threads of the last reading.
    pub(super) count: u64,
    /// What they have used since the first reading, also those that have ended.
    pub(super) counters: Counters,
    /// Whether `io` could be read so far.
    pub(super) has_io: bool,
}

/// Threads of a group by name.
pub(super) type ByName = BTreeMap<String, NamedThreads>;

/// The threads of a process with the folder `path`; none if it has only one.
pub(super) fn read(path: &mut PathBuf, buffer: &mut Vec<u8>) -> Vec<Thread> {
    path.push("task");
    let listed = file::list_up_to(path, MAX_THREADS).unwrap_or_default();
    let mut threads = Vec::new();
    if listed.len() > 1 {
        threads.extend(listed.iter().filter_map(|name| thread(name, path, buffer)));
    }
    path.pop();
    threads
}

/// A thread; `None` if it has ended.
fn thread(name: &str, path: &mut PathBuf, buffer: &mut Vec<u8>) -> Option<Thread> {
    let mut stat = ProcessStat { pid: name.parse().ok()?, ..ProcessStat::default() };
    path.push(name);
    path.push("stat");
    let read = file::read_record(path, buffer).and_then(|text| stat.parse(text));
    path.pop();
    let thread = read.ok().map(|()| {
        let mut usage = Usage::of(&stat);
        usage.read_counters(path, buffer);
        path.push("wchan");
        let waits_in = file::read_record(path, buffer).map(|text| text.trimmed().into_owned()).unwrap_or_default();
        path.pop();
        // The kernel writes 0 for a thread that runs, and without the rights.
        let waits_in = if waits_in == "0" { String::new() } else { waits_in };
        Thread { stat, counters: usage.counters, has_io: usage.has_io, waits_in }
    });
    path.pop();
    thread
}

/// Adds what a thread has used since the previous reading to the threads of its name.
pub(super) fn add(by_name: &mut ByName, thread: &Thread, used: &Counters) {
    let is_known = by_name.contains_key(&thread.stat.name);
    if !is_known && by_name.len() >= MAX_NAMES {
        by_name.retain(|_, threads| threads.count > 0);
    }
    let name = if is_known || by_name.len() < MAX_NAMES { thread.stat.name.as_str() } else { OTHER };
    if !by_name.contains_key(name) {
        by_name.insert(name.to_owned(), NamedThreads::default());
    }
    if let Some(threads) = by_name.get_mut(name) {
        threads.count += 1;
        threads.counters.add(used);
        threads.has_io |= thread.has_io;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_limited_and_those_without_threads_make_space() {
        let mut by_name = ByName::new();
        let thread = |number: usize| Thread {
            stat: ProcessStat { name: format!("t{number}"), ..ProcessStat::default() },
            ..Thread::default()
        };
        let used = Counters { user_ticks: 1, ..Counters::default() };
        (0..MAX_NAMES + 10).for_each(|number| add(&mut by_name, &thread(number), &used));
        assert_eq!((by_name.len(), by_name[OTHER].count, by_name[OTHER].counters.user_ticks), (MAX_NAMES + 1, 10, 10));
        by_name.values_mut().for_each(|threads| threads.count = 0);
        add(&mut by_name, &thread(MAX_NAMES + 20), &used);
        assert_eq!(by_name.len(), 1);
    }
}
