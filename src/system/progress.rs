//! Detects whether a thread makes progress. A thread that hangs in the kernel stays in one wait; a slow one, or one
//! without a processor, does not.

/// The progress of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It runs, or is runnable.
    Runs,
    /// It is blocked; the number of voluntary context switches so far. While it stays in one wait, the number does
    /// not change.
    Waits(u64),
    /// Unknown on this system.
    Unknown,
}

/// Observes the progress of a thread.
#[derive(Clone, Debug)]
pub struct Watch(Source);

impl Watch {
    /// Watches the calling thread.
    pub fn this_thread() -> Self {
        Watch(source::of_this_thread())
    }

    /// Its current progress.
    pub fn progress(&self) -> Progress {
        source::progress(&self.0)
    }
}

use source::Source;

/// `/proc/PID/task/TID/status`, see proc_pid_status(5).
#[cfg(target_os = "linux")]
mod source {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::Progress;

    pub(super) type Source = Option<Arc<Path>>;

    pub(super) fn of_this_thread() -> Source {
        thread_local! {
            static STATUS: Source = {
                let thread = fs::read_link("/proc/thread-self").ok();
                thread.map(|thread| Path::new("/proc").join(thread).join("status").into())
            };
        }
        STATUS.with(Clone::clone)
    }

    pub(super) fn progress(source: &Source) -> Progress {
        let status = source.as_ref().and_then(|path| fs::read_to_string(path).ok());
        status.and_then(|status| parse(&status)).unwrap_or(Progress::Unknown)
    }

    fn parse(status: &str) -> Option<Progress> {
        let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        if value("State:")?.starts_with('R') {
            return Some(Progress::Runs);
        }
        Some(Progress::Waits(value("voluntary_ctxt_switches:")?.parse().ok()?))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_status_tells_whether_the_thread_runs_and_how_often_it_has_waited() {
            let status = |state: &str| {
                format!(
                    "Name:\tread\nState:\t{state}\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n"
                )
            };
            assert_eq!(parse(&status("R (running)")), Some(Progress::Runs));
            assert_eq!(parse(&status("S (sleeping)")), Some(Progress::Waits(150)));
            assert_eq!(parse(&status("D (disk sleep)")), Some(Progress::Waits(150)));
            assert_eq!(parse("Name:\tread\nState:\tS (sleeping)\n"), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod source {
    use super::Progress;

    pub(super) type Source = ();

    pub(super) fn of_this_thread() -> Source {}

    pub(super) fn progress(_: &Source) -> Progress {
        Progress::Unknown
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_waits_for_one_thing_has_not_moved_and_then_has() {
        let (tell, watches) = channel();
        let (release, gate) = channel::<()>();
        let thread = thread::spawn(move || {
            tell.send(Watch::this_thread()).unwrap();
            while gate.recv().is_ok() {}
        });
        let watch = watches.recv().unwrap();
        let waiting = || loop {
            // It may not be back at the gate yet.
            if let progress @ Progress::Waits(_) = watch.progress() {
                return progress;
            }
        };
        let mut before = waiting();
        while before != waiting() {
            before = waiting();
        }
        release.send(()).unwrap();
        while watch.progress() == before {}
        drop(release);
        thread.join().unwrap();
        // The progress of an ended thread is unknown.
        while watch.progress() != Progress::Unknown {}
    }
}
