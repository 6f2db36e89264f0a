//! Scans folders and files that may be on a hung file system, so that only the hung paths are lost.
//!
//! A thread runs the scan step by step, and the caller watches its steps. If a step does not return for a while, the
//! thread is left blocked on that path, and another thread restarts the scan without it. The path is tried again when
//! the blocked thread returns, or when a mount that may be the cause is gone.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::folder::{self, Files, Seen, Steps};
use crate::host::ReadError;
use crate::system::mounts::Mounts;
use crate::system::unshare_descriptors;

/// A path hangs after this time without a response. A disk responds faster even under load.
const STALL: Duration = Duration::from_secs(1);
/// Most paths that may hang at a time: each occupies a thread.
const MAX_HUNG: usize = 16;
/// Most restarts of one scan. The next scan continues from there.
const MAX_ATTEMPTS: usize = 2;

/// The thread that scans.
type Scan = fn(&[PathBuf], &Files, &HashSet<PathBuf>, &dyn Steps) -> Option<()>;

/// Scans the files of folders.
pub(super) struct Scanner {
    patterns: Arc<[PathBuf]>,
    scan: Scan,
    stall: Duration,
    files: Arc<Files>,
    helper: Option<Sender<Job>>,
    hung: HashMap<PathBuf, Hanging>,
    /// Threads blocked on paths that no longer hang, because their mount is gone.
    left: Vec<Arc<Progress>>,
}

/// A path that does not respond.
struct Hanging {
    /// The thread that is blocked on it.
    progress: Arc<Progress>,
    /// The mounts that may be the cause.
    mounts: Mounts,
}

struct Job {
    patterns: Arc<[PathBuf]>,
    known: Arc<Files>,
    pass_over: HashSet<PathBuf>,
    progress: Arc<Progress>,
}

/// The progress of a scan.
#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The path of the current step, and when the step started.
    asks: Option<(PathBuf, Instant)>,
    seen: Seen,
    is_over: bool,
    /// Whether the scan is complete.
    is_whole: bool,
    /// Whether the caller has stopped waiting.
    is_given_up: bool,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steps for Progress {
    fn asks(&self, path: &Path) -> bool {
        let mut state = self.state();
        state.asks = Some((path.to_owned(), Instant::now()));
        !state.is_given_up
    }

    fn has_answer(&self) {
        self.state().asks = None;
    }

    fn found(&self, add: &mut dyn FnMut(&mut Seen)) {
        add(&mut self.state().seen);
    }
}

/// Marks the scan as finished when it is dropped, however it ended.
struct RunningScan(Arc<Progress>);

impl Drop for RunningScan {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_all();
    }
}

impl Scanner {
    /// A scanner for the folders that match these patterns.
    pub(super) fn new(patterns: Vec<PathBuf>) -> Self {
        Scanner::with(patterns, folder::scan, STALL)
    }

    fn with(patterns: Vec<PathBuf>, scan: Scan, stall: Duration) -> Self {
        let patterns = patterns.into();
        Scanner { patterns, scan, stall, files: Arc::default(), helper: None, hung: HashMap::new(), left: Vec::new() }
    }

    /// The current files, and the read errors.
    pub(super) fn scan(&mut self) -> (Arc<Files>, Vec<ReadError>) {
        if self.patterns.is_empty() {
            return (self.files.clone(), Vec::new());
        }
        self.take_back();
        let mut attempts = 0;
        let (files, mut problems, hung) = loop {
            attempts += 1;
            match self.attempt() {
                Ok(seen) => break (seen.files, seen.problems, seen.hung),
                Err(seen) if attempts < MAX_ATTEMPTS && self.hung.len() + self.left.len() < MAX_HUNG => drop(seen),
                Err(mut seen) => {
                    // Paths that were not scanned keep their state, except those that hang.
                    let known = self.files.iter().filter(|(path, _)| !self.hung.contains_key(*path));
                    for (path, file) in known {
                        seen.files.entry(path.clone()).or_insert_with(|| file.clone());
                    }
                    break (seen.files, seen.problems, self.hung.keys().cloned().collect());
                }
            }
        };
        problems.extend(hung.into_iter().map(|path| ReadError::Unreadable {
            path,
            reason: "the file system that it is on does not answer".to_owned(),
        }));
        self.files = Arc::new(files);
        (self.files.clone(), problems)
    }

    /// Collects the threads that were blocked and have returned. Their results are late but valid: a large file on a
    /// slow disk is read once, and not in vain each time.
    fn take_back(&mut self) {
        if self.hung.is_empty() && self.left.is_empty() {
            return;
        }
        let (files, left) = (Arc::make_mut(&mut self.files), &mut self.left);
        left.retain(|progress| !progress.state().is_over);
        self.hung.retain(|path, Hanging { progress, mounts }| {
            let mut state = progress.state();
            if state.is_over {
                files.extend(state.seen.files.remove(path).map(|late| (path.clone(), late)));
                return false;
            }
            let is_unmounted = mounts.any_unmounted();
            if is_unmounted {
                left.push(progress.clone());
            }
            !is_unmounted
        });
    }

    /// The result without the hung paths. If another path hangs, the result so far; that path is known from then on.
    fn attempt(&mut self) -> Result<Seen, Seen> {
        let progress = Arc::<Progress>::default();
        let job = Job {
            patterns: self.patterns.clone(),
            known: self.files.clone(),
            pass_over: self.hung.keys().cloned().collect(),
            progress: progress.clone(),
        };
        if !self.hand_over(job) {
            let seen = Seen::default();
            return Err(seen);
        }
        let mut state = progress.state();
        loop {
            if state.is_over {
                let seen = std::mem::take(&mut state.seen);
                return if state.is_whole { Ok(seen) } else { Err(seen) };
            }
            if let Some((path, since)) = &state.asks
                && since.elapsed() >= self.stall
            {
                let hung = Hanging { progress: progress.clone(), mounts: Mounts::of(path) };
                self.hung.insert(path.clone(), hung);
                self.helper = None;
                state.is_given_up = true;
                return Err(std::mem::take(&mut state.seen));
            }
            let since = state.asks.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
            let wait = self.stall.saturating_sub(since);
            state = progress.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Passes a job to the helper thread, or to a new one. Returns whether there is one.
    fn hand_over(&mut self, job: Job) -> bool {
        let job = match &self.helper {
            None => job,
            Some(helper) => match helper.send(job) {
                Ok(()) => return true,
                Err(refused) => refused.0,
            },
        };
        let (helper, jobs) = channel::<Job>();
        let scan = self.scan;
        let serve = move || {
            // It closes every file that it opens.
            unshare_descriptors();
            while let Ok(Job { patterns, known, pass_over, progress }) = jobs.recv() {
                let running = RunningScan(progress);
                // A panic is a defect, and is reported separately; the caller should not suffer from it.
                let result = catch_unwind(AssertUnwindSafe(|| scan(&patterns, &known, &pass_over, &*running.0)));
                running.0.state().is_whole = matches!(result, Ok(Some(())));
            }
        };
        let is_started = thread::Builder::new().name("textfile".to_owned()).spawn(serve).is_ok();
        let is_taken = is_started && helper.send(job).is_ok();
        self.helper = Some(helper).filter(|_| is_taken);
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families(files: &Files) -> Vec<&str> {
        files.values().flat_map(|file| file.families.iter().map(|family| family.name.as_str())).collect()
    }

    #[test]
    fn files_are_read_when_they_change_in_every_folder_that_is_meant() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a/metrics", "b/metrics", "c/other"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("a/metrics/x.prom"), "x 1\n").unwrap();
        std::fs::write(root.path().join("a/metrics/x.prom.tmp"), "y 1\n").unwrap();
        std::fs::write(root.path().join("b/metrics/y.prom"), "y 1\n").unwrap();
        let mut scanner = Scanner::new(vec![root.path().join("*/metrics")]);
        let (files, problems) = scanner.scan();
        assert!(problems.is_empty());
        assert_eq!(families(&files), ["x", "y"]);
        let (again, _) = scanner.scan();
        assert!(files.iter().zip(again.iter()).all(|((_, one), (_, other))| Arc::ptr_eq(one, other)));
        std::fs::write(root.path().join("a/metrics/x.prom"), "xx 1\n").unwrap();
        std::fs::remove_file(root.path().join("b/metrics/y.prom")).unwrap();
        let (files, problems) = scanner.scan();
        assert!(problems.is_empty());
        assert_eq!(families(&files), ["xx"]);
        assert_eq!(Scanner::new(vec![root.path().join("none")]).scan().1.len(), 1);
    }

    /// A scan of two files: the first one hangs, and the pattern is an existing folder.
    fn scan_two(patterns: &[PathBuf], _: &Files, pass_over: &HashSet<PathBuf>, steps: &dyn Steps) -> Option<()> {
        for name in ["hangs", "answers"] {
            let path = patterns[0].join(name);
            if pass_over.contains(&path) {
                steps.found(&mut |seen| seen.hung.push(path.clone()));
                continue;
            }
            if !steps.asks(&path) {
                return None;
            }
            while name == "hangs" && patterns[0].exists() {
                thread::sleep(Duration::from_millis(1));
            }
            steps.has_answer();
            let problem = ReadError::Unreadable { path, reason: "looked at".to_owned() };
            steps.found(&mut |seen| seen.problems.push(problem.clone()));
        }
        Some(())
    }

    #[test]
    fn what_hangs_costs_itself_alone_and_is_looked_at_again_when_it_answers() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = folder.path().to_owned();
        let mut scanner = Scanner::with(vec![pattern.clone()], scan_two, Duration::from_millis(50));
        let mut scan_problems = || -> Vec<String> { scanner.scan().1.iter().map(ToString::to_string).collect() };
        let answers = format!("{}: cannot be read: looked at", pattern.join("answers").display());
        let hangs = format!("{}: cannot be read: ", pattern.join("hangs").display());
        let expected = [answers.clone(), format!("{hangs}the file system that it is on does not answer")];
        for _ in 0..3 {
            assert_eq!(scan_problems(), expected);
        }
        drop(folder);
        while scan_problems() != [format!("{hangs}looked at"), answers.clone()] {
            thread::yield_now();
        }
    }

    #[test]
    fn a_look_that_panics_is_over() {
        let mut scanner =
            Scanner::with(vec![PathBuf::from("/")], |_, _, _, _| panic!("as it should"), Duration::from_millis(50));
        for _ in 0..2 {
            assert!(scanner.scan().1.is_empty());
        }
    }
}
