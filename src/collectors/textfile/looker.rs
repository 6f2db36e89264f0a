//! Looking at folders and files that may be on a file system that hangs: those that do cost themselves alone.
//!
//! A thread looks, step by step, and whoever waits for it watches the steps. Where there is no answer for a while, the
//! thread is left to the path that it asks about, and another begins anew without that path. It is asked about again when
//! the first one is back.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::folder::{self, Files, Seen, Steps};
use crate::host::ReadError;

/// Without an answer for so long, a path hangs. A disk answers within this also under load.
const STALL: Duration = Duration::from_secs(1);
/// More paths than this may not hang at a time: each keeps a thread.
const MOST_HANGING: usize = 16;
/// How often one look is begun anew; the next goes on from there.
const MOST_ATTEMPTS: usize = 2;

/// Whoever looks.
type Look = fn(&[PathBuf], &Files, &HashSet<PathBuf>, &dyn Steps) -> Option<()>;

/// Looks at the files of folders.
pub(super) struct Looker {
    patterns: Arc<[PathBuf]>,
    look: Look,
    stall: Duration,
    files: Arc<Files>,
    helper: Option<Sender<Job>>,
    hanging: HashMap<PathBuf, Arc<Progress>>,
}

struct Job {
    patterns: Arc<[PathBuf]>,
    known: Arc<Files>,
    pass_over: HashSet<PathBuf>,
    progress: Arc<Progress>,
}

/// How far a look has come.
#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is asked about at the moment, and since when.
    asks: Option<(PathBuf, Instant)>,
    seen: Seen,
    is_over: bool,
    /// Whether everything was looked at.
    is_whole: bool,
    /// Whether nobody waits any more.
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

/// Whoever looks; by being dropped he is done, however it went.
struct Looking(Arc<Progress>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_all();
    }
}

impl Looker {
    /// A looker at the folders that these patterns stand for.
    pub(super) fn new(patterns: Vec<PathBuf>) -> Self {
        Looker::with(patterns, folder::look, STALL)
    }

    fn with(patterns: Vec<PathBuf>, look: Look, stall: Duration) -> Self {
        let patterns = patterns.into();
        Looker { patterns, look, stall, files: Arc::default(), helper: None, hanging: HashMap::new() }
    }

    /// The files as they are, and what could not be read.
    pub(super) fn look(&mut self) -> (Arc<Files>, Vec<ReadError>) {
        if self.patterns.is_empty() {
            return (self.files.clone(), Vec::new());
        }
        self.take_back();
        let mut attempts = 0;
        let (files, mut problems, hanging) = loop {
            attempts += 1;
            match self.attempt() {
                Ok(seen) => break (seen.files, seen.problems, seen.hanging),
                Err(seen) if attempts < MOST_ATTEMPTS && self.hanging.len() < MOST_HANGING => drop(seen),
                Err(mut seen) => {
                    // What was not looked at is as it was, but for what hangs.
                    let known = self.files.iter().filter(|(path, _)| !self.hanging.contains_key(*path));
                    for (path, file) in known {
                        seen.files.entry(path.clone()).or_insert_with(|| file.clone());
                    }
                    break (seen.files, seen.problems, self.hanging.keys().cloned().collect());
                }
            }
        };
        problems.extend(hanging.into_iter().map(|path| ReadError::Unreadable {
            path,
            reason: "the file system that it is on does not answer".to_owned(),
        }));
        self.files = Arc::new(files);
        (self.files.clone(), problems)
    }

    /// Takes back those who were left to a path and have an answer by now. It came late, but it is one: a large file on a
    /// slow disk is read once, and not in vain each time.
    fn take_back(&mut self) {
        if self.hanging.is_empty() {
            return;
        }
        let files = Arc::make_mut(&mut self.files);
        self.hanging.retain(|path, progress| {
            let mut state = progress.state();
            if state.is_over
                && let Some(late) = state.seen.files.remove(path)
            {
                files.insert(path.clone(), late);
            }
            !state.is_over
        });
    }

    /// What is seen if what hangs is passed over; what was seen by then, if something else hangs, which is known now.
    fn attempt(&mut self) -> Result<Seen, Seen> {
        let progress = Arc::<Progress>::default();
        let job = Job {
            patterns: self.patterns.clone(),
            known: self.files.clone(),
            pass_over: self.hanging.keys().cloned().collect(),
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
                self.hanging.insert(path.clone(), progress.clone());
                self.helper = None;
                state.is_given_up = true;
                return Err(std::mem::take(&mut state.seen));
            }
            let since = state.asks.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
            let wait = self.stall.saturating_sub(since);
            state = progress.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives a job to the helper, or a new one; whether there is one.
    fn hand_over(&mut self, job: Job) -> bool {
        let job = match &self.helper {
            None => job,
            Some(helper) => match helper.send(job) {
                Ok(()) => return true,
                Err(refused) => refused.0,
            },
        };
        let (helper, jobs) = channel::<Job>();
        let look = self.look;
        let serve = move || {
            while let Ok(Job { patterns, known, pass_over, progress }) = jobs.recv() {
                let looking = Looking(progress);
                // What panics is a mistake of ours, and told by itself; those who wait need not pay for it.
                let looked = catch_unwind(AssertUnwindSafe(|| look(&patterns, &known, &pass_over, &*looking.0)));
                looking.0.state().is_whole = matches!(looked, Ok(Some(())));
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
        let mut looker = Looker::new(vec![root.path().join("*/metrics")]);
        let (files, problems) = looker.look();
        assert!(problems.is_empty());
        assert_eq!(families(&files), ["x", "y"]);
        let (again, _) = looker.look();
        assert!(files.iter().zip(again.iter()).all(|((_, one), (_, other))| Arc::ptr_eq(one, other)));
        std::fs::write(root.path().join("a/metrics/x.prom"), "xx 1\n").unwrap();
        std::fs::remove_file(root.path().join("b/metrics/y.prom")).unwrap();
        let (files, problems) = looker.look();
        assert!(problems.is_empty());
        assert_eq!(families(&files), ["xx"]);
        assert_eq!(Looker::new(vec![root.path().join("none")]).look().1.len(), 1);
    }

    /// A look at two files, of which the first hangs while the pattern is a folder that is there.
    fn look_at_two(patterns: &[PathBuf], _: &Files, pass_over: &HashSet<PathBuf>, steps: &dyn Steps) -> Option<()> {
        for name in ["hangs", "answers"] {
            let path = patterns[0].join(name);
            if pass_over.contains(&path) {
                steps.found(&mut |seen| seen.hanging.push(path.clone()));
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
        let mut looker = Looker::with(vec![pattern.clone()], look_at_two, Duration::from_millis(50));
        let mut told = || -> Vec<String> { looker.look().1.iter().map(ToString::to_string).collect() };
        let answers = format!("{}: cannot be read: looked at", pattern.join("answers").display());
        let hangs = format!("{}: cannot be read: ", pattern.join("hangs").display());
        let expected = [answers.clone(), format!("{hangs}the file system that it is on does not answer")];
        for _ in 0..3 {
            assert_eq!(told(), expected);
        }
        drop(folder);
        while told() != [format!("{hangs}looked at"), answers.clone()] {
            thread::yield_now();
        }
    }

    #[test]
    fn a_look_that_panics_is_over() {
        let mut looker =
            Looker::with(vec![PathBuf::from("/")], |_, _, _, _| panic!("as it should"), Duration::from_millis(50));
        for _ in 0..2 {
            assert!(looker.look().1.is_empty());
        }
    }
}
