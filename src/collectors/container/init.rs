//! The init process of a cgroup: the one that started first.
//!
//! The order of `cgroup.procs` does not show it. cgroup v1 sorts by PID, and the lowest is any short-lived child once
//! PIDs have wrapped. cgroup v2 promises no order.

use crate::encode::Timestamp;
use crate::host::text::Number;
use crate::host::{Host, file};

/// A process, told apart from a later one with the same PID by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Init {
    pub(super) pid: u64,
    /// Start in ticks since boot.
    ticks: u64,
}

impl Init {
    /// Finds the process that started first. Sorts `pids`.
    ///
    /// Reads at most [`MAX_READS`] processes. If there are more, a sample of them and their ancestors: the init process
    /// is an ancestor of most.
    pub(super) fn find(host: &Host, pids: &mut [u64], buffer: &mut Vec<u8>) -> Option<Init> {
        const MAX_READS: usize = 64;
        pids.sort_unstable();
        let mut read = Vec::new();
        let mut first: Option<(u64, bool, u64)> = None;
        for pid in pids.iter().step_by(pids.len().div_ceil(MAX_READS).max(1)) {
            let mut next = Some(*pid);
            // Processes in a foreign PID namespace have PID 0.
            while let Some(pid) = next.filter(|pid| *pid > 0 && read.len() < MAX_READS && !read.contains(pid)) {
                read.push(pid);
                let Some((parent, ticks)) = parent_and_start(host, pid, buffer) else { break };
                next = Some(parent).filter(|parent| pids.binary_search(parent).is_ok());
                // Of two that started in the same tick, the parent was first.
                let candidate = (ticks, next.is_some(), pid);
                first = Some(first.map_or(candidate, |first| first.min(candidate)));
            }
        }
        first.map(|(ticks, _, pid)| Init { pid, ticks })
    }

    /// Whether the process still exists.
    pub(super) fn is_running(self, host: &Host, buffer: &mut Vec<u8>) -> bool {
        parent_and_start(host, self.pid, buffer).is_some_and(|(_, ticks)| ticks == self.ticks)
    }

    /// Start time, for a host that booted at `boot_time`, in seconds of Unix time.
    pub(super) fn started(self, boot_time: u64) -> Option<Timestamp> {
        const NANOSECONDS_PER_TICK: u64 = 10_000_000;
        let since_boot = i64::try_from(self.ticks.checked_mul(NANOSECONDS_PER_TICK)?).ok()?;
        Timestamp::from_seconds(boot_time)?.0.checked_add(since_boot).map(Timestamp)
    }
}

/// Parent and start of a process, the latter in ticks since boot: fields 4 and 22 of `/proc/PID/stat`.
fn parent_and_start(host: &Host, pid: u64, buffer: &mut Vec<u8>) -> Option<(u64, u64)> {
    let path = host.proc_path(format!("{pid}/stat"));
    let line = file::read_once(&path, buffer).ok()?.first_line();
    let name_ends = memchr::memrchr(b')', line.bytes())?;
    let mut fields = line.from(name_ends + 1).fields();
    Some((fields.nth(1).and_then(u64::parse)?, fields.nth(17).and_then(u64::parse)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::host::{LiveKernel, Roots};

    /// A host with processes: PID, parent and start.
    fn host(processes: &[(u64, u64, u64)]) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        for (pid, parent, ticks) in processes {
            let process = folder.path().join(pid.to_string());
            fs::create_dir(&process).unwrap();
            let after_parent = "0 ".repeat(17);
            fs::write(process.join("stat"), format!("{pid} (a) (b) S {parent} {after_parent}{ticks} 0\n")).unwrap();
        }
        let roots = Roots { proc: folder.path().to_owned(), ..Roots::default() };
        (folder, Host::new(roots, Arc::new(LiveKernel::default())))
    }

    fn found(processes: &[(u64, u64, u64)], pids: &[u64]) -> Option<u64> {
        let (_folder, host) = host(processes);
        Init::find(&host, &mut pids.to_vec(), &mut Vec::new()).map(|init| init.pid)
    }

    #[test]
    fn the_process_that_started_first_is_init_whatever_its_pid() {
        let processes = [(30_001, 900, 5), (310, 30_001, 9), (311, 30_001, 7), (900, 1, 2)];
        assert_eq!(found(&processes, &[310, 311, 30_001]), Some(30_001));
        // A child that started in the same tick.
        assert_eq!(found(&[(7, 900, 5), (3, 7, 5)], &[7, 3]), Some(7));
        // One has ended, others are in a foreign PID namespace.
        assert_eq!(found(&processes, &[0, 12, 310, 0]), Some(310));
        assert_eq!(found(&processes, &[0, 0]), None);
        assert_eq!(found(&processes, &[]), None);
    }

    #[test]
    fn init_is_an_ancestor_among_more_processes_than_are_read() {
        let mut processes = vec![(30_001, 900, 5)];
        processes.extend((0..500).map(|n| (100 + n, if n < 2 { 30_001 } else { 98 + n }, 10 + n)));
        processes.extend((0..500).map(|n| (31_000 + n, 30_001, 1_000 + n)));
        let pids: Vec<u64> = processes.iter().map(|(pid, ..)| *pid).collect();
        assert_eq!(found(&processes, &pids), Some(30_001));
    }

    #[test]
    fn another_process_with_its_pid_is_not_init() {
        let (folder, host) = host(&[(7, 1, 5)]);
        let init = Init::find(&host, &mut [7], &mut Vec::new()).unwrap();
        assert!(init.is_running(&host, &mut Vec::new()));
        fs::write(folder.path().join("7/stat"), format!("7 (a) S 1 {}6 0\n", "0 ".repeat(17))).unwrap();
        assert!(!init.is_running(&host, &mut Vec::new()));
        fs::remove_dir_all(folder.path().join("7")).unwrap();
        assert!(!init.is_running(&host, &mut Vec::new()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Up to the number that is read, the earliest start is found among any tree of processes.
        #[test]
        fn it_is_the_earliest_of_all(starts in prop::collection::hash_map(1..32_768u64, (0..9u64, 0..40u64), 1..60)) {
            let processes: Vec<_> = starts.iter().map(|(pid, (parent, ticks))| (*pid, *parent, *ticks)).collect();
            let (_folder, host) = host(&processes);
            let init = Init::find(&host, &mut starts.keys().copied().collect::<Vec<_>>(), &mut Vec::new()).unwrap();
            prop_assert_eq!(Some(init.ticks), starts.values().map(|(_, ticks)| *ticks).min());
        }
    }
}
