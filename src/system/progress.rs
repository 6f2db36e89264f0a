//! Whether a thread gets on: what hangs in the kernel waits for one and the same thing all the time, what is merely slow, or
//! has no processor, does not.

/// How far a thread has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It runs, or would if there were a processor for it.
    Runs,
    /// It waits; so many times has it done so. While it waits for one thing, the number stays.
    Waits(u64),
    /// This system does not tell.
    Unknown,
}

/// By which one asks how far a thread has come.
#[derive(Clone, Debug)]
pub struct Watch(Place);

impl Watch {
    /// Watches the thread that calls.
    pub fn this_thread() -> Self {
        Watch(place::of_this_thread())
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        place::progress(&self.0)
    }
}

use place::Place;

/// `/proc/PID/task/TID/status`, see proc_pid_status(5).
#[cfg(target_os = "linux")]
mod place {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::Progress;

    pub(super) type Place = Option<PathBuf>;

    pub(super) fn of_this_thread() -> Place {
        let thread = fs::read_link("/proc/thread-self").ok()?;
        Some(Path::new("/proc").join(thread).join("status"))
    }

    pub(super) fn progress(place: &Place) -> Progress {
        let told = place.as_ref().and_then(|path| fs::read_to_string(path).ok());
        told.and_then(|status| parse(&status)).unwrap_or(Progress::Unknown)
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
mod place {
    use super::Progress;

    pub(super) type Place = ();

    pub(super) fn of_this_thread() -> Place {}

    pub(super) fn progress(_: &Place) -> Progress {
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
        let (tell, told) = channel();
        let (release, gate) = channel::<()>();
        let thread = thread::spawn(move || {
            tell.send(Watch::this_thread()).unwrap();
            while gate.recv().is_ok() {}
        });
        let watch = told.recv().unwrap();
        let waiting = || loop {
            // It may be on its way to the gate still, or from it to the gate again.
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
        // A thread that has ended tells nothing.
        while watch.progress() != Progress::Unknown {}
    }
}
