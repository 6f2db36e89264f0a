//! Runs operations that may hang, each in a thread of its own.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::ReadFailure;
use crate::system::mounts::Mounts;
use crate::system::unshare_descriptors;

/// A path whose operations timed out.
#[derive(Debug)]
struct Abandoned {
    /// Threads still blocked on it.
    threads: usize,
    /// The mounts that may be the cause.
    mounts: Mounts,
}

static ABANDONED: LazyLock<Mutex<HashMap<PathBuf, Abandoned>>> = LazyLock::new(Mutex::default);

/// Maximum threads blocked on hanging file systems.
const MAX_THREADS: usize = 64;

/// Timeout for files in a folder with a hung file: most likely they hang too.
const SIBLING_TIMEOUT: Duration = Duration::from_millis(200);

fn abandoned() -> MutexGuard<'static, HashMap<PathBuf, Abandoned>> {
    ABANDONED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Number of threads blocked on hanging file systems.
pub fn hung() -> usize {
    threads(&abandoned())
}

fn threads(abandoned: &HashMap<PathBuf, Abandoned>) -> usize {
    abandoned.values().map(|abandoned| abandoned.threads).sum()
}

/// Runs `operation` on `path` and returns its result, if it completes within `timeout`. After a timeout, no operation
/// on that path is started until the blocked thread returns. The thread has its own descriptors
/// ([`unshare_descriptors`]): `operation` may neither use an open one nor return one.
///
/// # Errors
/// After a timeout; while an earlier operation still hangs; if no thread can be started.
pub fn within<T: Send + 'static>(
    path: &Path,
    timeout: Duration,
    operation: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReadFailure> {
    let timeout = {
        let abandoned = abandoned();
        let still_hangs = abandoned.get(path).is_some_and(|abandoned| !abandoned.mounts.any_unmounted());
        if still_hangs || threads(&abandoned) >= MAX_THREADS {
            return Err(ReadFailure::StillNoAnswer);
        }
        let has_hung_sibling = abandoned.keys().any(|other| other != path && other.parent() == path.parent());
        if has_hung_sibling { timeout.min(SIBLING_TIMEOUT) } else { timeout }
    };
    let is_abandoned = Arc::new(AtomicBool::new(false));
    let completion = Completion { path: path.to_owned(), is_abandoned: is_abandoned.clone() };
    let (sender, receiver) = channel();
    let run = move || {
        unshare_descriptors();
        let _completion = completion;
        // The caller may have timed out.
        let _ = sender.send(operation());
    };
    thread::Builder::new().name("file".to_owned()).spawn(run).map_err(ReadFailure::Io)?;
    match receiver.recv_timeout(timeout) {
        Ok(answer) => Ok(answer),
        Err(RecvTimeoutError::Disconnected) => Err(ReadFailure::Io(io::Error::other("whoever read it has panicked"))),
        Err(RecvTimeoutError::Timeout) => {
            let mut abandoned = abandoned();
            // Under the lock, either the result has arrived, or the thread will see that it was abandoned.
            receiver.try_recv().map_err(|_| {
                is_abandoned.store(true, Relaxed);
                let threads = abandoned.get(path).map_or(0, |before| before.threads) + 1;
                abandoned.insert(path.to_owned(), Abandoned { threads, mounts: Mounts::of(path) });
                ReadFailure::NoAnswer(timeout)
            })
        }
    }
}

/// Signals by its drop that the thread is done, even after a panic.
struct Completion {
    path: PathBuf,
    is_abandoned: Arc<AtomicBool>,
}

impl Drop for Completion {
    fn drop(&mut self) {
        let mut abandoned = abandoned();
        if !self.is_abandoned.load(Relaxed) {
            return;
        }
        if let Some(Abandoned { threads, .. }) = abandoned.get_mut(&self.path) {
            *threads -= 1;
            if *threads == 0 {
                abandoned.remove(&self.path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_hangs_keeps_one_thread_and_is_asked_again_when_it_answers() {
        let path = Path::new("a path of this test");
        let (open, gate) = channel::<()>();
        let waits = move || {
            let _ = gate.recv();
        };
        assert!(matches!(within(path, SHORT, waits), Err(ReadFailure::NoAnswer(SHORT))));
        for _ in 0..100 {
            let asked_again = within(path, LONG, || unreachable!("it is known to hang"));
            assert!(matches!(asked_again, Err::<(), _>(ReadFailure::StillNoAnswer)));
        }
        assert_eq!(abandoned().get(path).map(|abandoned| abandoned.threads), Some(1));
        assert_eq!(within(Path::new("another path of this test"), LONG, || 1).unwrap(), 1);
        open.send(()).unwrap();
        while abandoned().contains_key(path) {
            thread::yield_now();
        }
        assert_eq!(within(path, LONG, || 2).unwrap(), 2);
    }

    #[test]
    fn who_panics_is_no_one_who_hangs() {
        let path = Path::new("a path where reading panics");
        assert!(matches!(within::<()>(path, LONG, || panic!("as it should")), Err(ReadFailure::Io(_))));
        let (open, gate) = channel::<()>();
        let late = move || {
            let _ = gate.recv();
            panic!("as it should, and late")
        };
        assert!(matches!(within::<()>(path, SHORT, late), Err(ReadFailure::NoAnswer(_))));
        drop(open);
        while abandoned().contains_key(path) {
            thread::yield_now();
        }
        assert_eq!(within(path, LONG, || 2).unwrap(), 2);
    }
}
