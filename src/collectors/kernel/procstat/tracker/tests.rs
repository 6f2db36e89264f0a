//! Which group processes are in, and what groups count.

use super::super::usage::Io;
use super::*;

/// A process: PID, start, name, parent, user ticks.
type Known = (u32, u64, &'static str, u32, u64);

/// Groups of processes by name, those of "sh" and "other" in none.
#[derive(Default)]
struct Host {
    tracker: Tracker,
    refused: usize,
}

const MAX: usize = 3;

impl Host {
    fn read(&mut self, processes: &[Known]) -> BTreeMap<String, u64> {
        self.read_with(1, &[], processes, |_, _| {})
    }

    fn read_with(
        &mut self,
        configuration: u64,
        fixed: &[&str],
        processes: &[Known],
        change: impl Fn(u32, &mut Usage),
    ) -> BTreeMap<String, u64> {
        let tracker = &mut self.tracker;
        tracker.begin(configuration, fixed.iter().map(|name| ((*name).into(), 0)));
        let mut orphans = Vec::new();
        for (pid, started_ticks, name, parent, _) in processes.iter().copied() {
            let name = name.to_owned();
            let stat = ProcessStat { pid, started_ticks, name: name.clone(), parent, ..ProcessStat::default() };
            if !tracker.needs_identification(&stat) {
                continue;
            }
            match name.as_str() {
                "sh" | "other" => orphans.push(pid),
                _ => self.refused += usize::from(tracker.put(pid, name, 0, MAX).is_err()),
            }
        }
        orphans.iter().for_each(|pid| tracker.put_with_ancestor(*pid, true));
        for (pid, .., user_ticks) in processes.iter().copied() {
            let counters = Counters { user_ticks, ..Counters::default() };
            let mut usage = Usage { counters, ..Usage::default() };
            change(pid, &mut usage);
            tracker.add(pid, &usage, &[]);
        }
        tracker.end();
        tracker.groups().map(|(name, group)| (name.to_string(), group.counters.user_ticks)).collect()
    }
}

fn groups(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, ticks)| ((*name).to_owned(), *ticks)).collect()
}

#[test]
fn a_group_counts_from_the_first_reading_and_never_falls() {
    let mut host = Host::default();
    assert_eq!(host.read(&[(7, 100, "a", 1, 50), (8, 110, "a", 1, 60)]), groups(&[("a", 0)]));
    assert_eq!(host.read(&[(7, 100, "a", 1, 53), (8, 110, "a", 1, 64)]), groups(&[("a", 7)]));
    // One ends, another one starts.
    assert_eq!(host.read(&[(8, 110, "a", 1, 65), (9, 200, "a", 1, 20)]), groups(&[("a", 28)]));
    assert_eq!(host.read(&[]), groups(&[("a", 28)]));
    assert_eq!(host.read(&[(10, 300, "a", 1, 2)]), groups(&[("a", 30)]));
}

#[test]
fn another_process_with_the_pid_counts_anew() {
    let mut host = Host::default();
    host.read(&[(7, 100, "a", 1, 5000)]);
    assert_eq!(host.read(&[(7, 200, "a", 1, 10)]), groups(&[("a", 10)]));
    assert_eq!(host.read(&[(7, 300, "b", 1, 4)]), groups(&[("a", 10), ("b", 4)]));
}

#[test]
fn a_process_that_was_hidden_counts_from_here_on() {
    let mut host = Host::default();
    host.read(&[(7, 100, "a", 1, 0)]);
    assert_eq!(host.read(&[(7, 100, "a", 1, 0), (6, 90, "a", 1, 5000)]), groups(&[("a", 0)]));
}

#[test]
fn a_process_that_starts_another_program_changes_its_group() {
    let mut host = Host::default();
    host.read(&[(1, 1, "init", 0, 0)]);
    assert_eq!(host.read(&[(7, 100, "a", 1, 3)]), groups(&[("a", 3), ("init", 0)]));
    assert_eq!(host.read(&[(7, 100, "b", 1, 5)]), groups(&[("a", 3), ("b", 2), ("init", 0)]));
}

#[test]
fn children_are_in_the_group_of_their_ancestor_also_after_its_end() {
    let mut host = Host::default();
    host.read(&[(7, 100, "a", 1, 0)]);
    let processes = [(7, 100, "a", 1, 0), (9, 210, "sh", 8, 4), (8, 200, "sh", 7, 2), (10, 220, "other", 1, 9)];
    assert_eq!(host.read(&processes), groups(&[("a", 6)]));
    assert_eq!(host.read(&[(9, 210, "sh", 1, 5), (10, 220, "other", 1, 10)]), groups(&[("a", 7)]));
    assert_eq!(host.read(&[(9, 210, "sh", 1, 6), (10, 220, "other", 1, 11)]), groups(&[("a", 8)]));
    assert!(host.tracker.membership(10).is_none());
}

#[test]
fn an_ancestor_of_itself_is_none() {
    let mut host = Host::default();
    assert_eq!(host.read(&[(7, 100, "sh", 8, 0), (8, 100, "sh", 7, 0), (9, 100, "sh", 9, 0)]), groups(&[]));
}

#[test]
fn groups_are_limited_and_the_longest_empty_one_makes_space() {
    let mut host = Host::default();
    host.read(&[(1, 1, "a", 0, 0), (2, 2, "b", 0, 0), (3, 3, "c", 0, 0), (4, 4, "d", 0, 0)]);
    assert_eq!((host.tracker.groups().count(), host.refused), (MAX, 1));
    host.read(&[(1, 1, "a", 0, 0), (3, 3, "c", 0, 0)]);
    host.read(&[(1, 1, "a", 0, 0)]);
    assert_eq!(host.read(&[(1, 1, "a", 0, 0), (5, 5, "e", 0, 6)]), groups(&[("a", 0), ("c", 0), ("e", 6)]));
}

#[test]
fn groups_go_on_after_a_reload_if_they_still_exist() {
    let mut host = Host::default();
    let still = |_: u32, _: &mut Usage| {};
    host.read_with(1, &["former"], &[(1, 1, "a", 0, 0), (2, 2, "b", 0, 0)], still);
    let read = host.read_with(1, &["former"], &[(1, 1, "a", 0, 5)], still);
    assert_eq!(read, groups(&[("a", 5), ("b", 0), ("former", 0)]));
    let read = host.read_with(2, &["fixed"], &[(1, 1, "a", 0, 7)], still);
    assert_eq!(read, groups(&[("a", 7), ("fixed", 0)]));
}

#[test]
fn what_was_used_before_the_rights_does_not_count() {
    let mut host = Host::default();
    let read_bytes = |has_io: bool, read_bytes: u64| {
        move |_: u32, usage: &mut Usage| {
            usage.has_io = has_io;
            usage.counters.io = if has_io { Io { read_bytes, ..Io::default() } } else { Io::default() };
        }
    };
    let mut read = |has_io, bytes| {
        host.read_with(1, &[], &[(1, 1, "a", 0, 0)], read_bytes(has_io, bytes));
        host.tracker.groups().map(|(_, group)| (group.has_io, group.counters.io.read_bytes)).next()
    };
    assert_eq!(read(false, 0), Some((false, 0)));
    assert_eq!(read(true, 1000), Some((true, 0)));
    assert_eq!(read(true, 1010), Some((true, 10)));
    assert_eq!(read(false, 0), Some((true, 10)));
    assert_eq!(read(true, 1050), Some((true, 10)));
    assert_eq!(read(true, 1051), Some((true, 11)));
}

#[test]
fn threads_count_by_name_and_their_switches_for_the_group() {
    let mut tracker = Tracker::default();
    let mut read = |threads: &[(u32, &str, u64)]| {
        tracker.begin(1, std::iter::empty());
        let stat = ProcessStat { pid: 7, started_ticks: 100, name: "a".to_owned(), ..ProcessStat::default() };
        if tracker.needs_identification(&stat) {
            tracker.put(7, "a".to_owned(), 0, MAX).unwrap();
        }
        let counters = |switches| Counters { voluntary_switches: switches, ..Counters::default() };
        let thread = |(tid, name, switches): &(u32, &str, u64)| Thread {
            stat: ProcessStat { pid: *tid, name: (*name).to_owned(), ..ProcessStat::default() },
            counters: counters(*switches),
            ..Thread::default()
        };
        let usage = Usage { counters: counters(threads[0].2), ..Usage::default() };
        tracker.add(7, &usage, &threads.iter().map(thread).collect::<Vec<_>>());
        tracker.end();
        let group = tracker.groups().next().unwrap().1;
        let named = group.threads.iter();
        let named = named.map(|(name, threads)| (name.clone(), threads.count, threads.counters.voluntary_switches));
        (group.counters.voluntary_switches, named.collect::<Vec<_>>())
    };
    let named = |name: &str, count, switches| (name.to_owned(), count, switches);
    assert_eq!(read(&[(7, "a", 100), (8, "w", 50)]), (0, vec![named("a", 1, 0), named("w", 1, 0)]));
    assert_eq!(read(&[(7, "a", 101), (8, "w", 52), (9, "w", 4)]), (7, vec![named("a", 1, 1), named("w", 2, 6)]));
    assert_eq!(read(&[(7, "a", 102), (9, "w", 5)]), (9, vec![named("a", 1, 2), named("w", 1, 7)]));
    assert_eq!(read(&[(7, "a", 103)]).1, vec![named("a", 1, 3), named("w", 0, 7)]);
}
