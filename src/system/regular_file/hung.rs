//! Asking, with a thread of its own, what may never answer.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::NotRead;

/// How many threads are left to each path that has been given up.
type GivenUp = HashMap<PathBuf, usize>;

static GIVEN_UP: LazyLock<Mutex<GivenUp>> = LazyLock::new(Mutex::default);

/// More threads than this are not left to file systems that hang.
const MOST: usize = 64;

/// How long a file is waited for in a folder of which another hangs: as a rule it will, too.
const BESIDE_ONE_THAT_HANGS: Duration = Duration::from_millis(200);

fn given_up() -> MutexGuard<'static, GivenUp> {
    GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many threads wait for file systems that hang.
pub fn hung() -> usize {
    given_up().values().sum()
}

/// What `ask`, who asks something of `path`, answers within `patience`. A path that was given up is not asked anything
/// until the thread that is left to it comes back.
///
/// # Errors
/// That there was no answer in time, or still is none to an earlier question; that there is no thread to ask with.
pub fn within<T: Send + 'static>(
    path: &Path,
    patience: Duration,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotRead> {
    let patience = {
        let given_up = given_up();
        if given_up.contains_key(path) || given_up.values().sum::<usize>() >= MOST {
            return Err(NotRead::StillNoAnswer);
        }
        let is_beside_one = given_up.keys().any(|other| other.parent() == path.parent());
        if is_beside_one { patience.min(BESIDE_ONE_THAT_HANGS) } else { patience }
    };
    let is_given_up = Arc::new(AtomicBool::new(false));
    let back = Back { path: path.to_owned(), is_given_up: is_given_up.clone() };
    let (answer, answered) = channel();
    let asking = move || {
        let _back = back;
        // Whoever asked may have given up.
        let _ = answer.send(ask());
    };
    thread::Builder::new().name("file".to_owned()).spawn(asking).map_err(NotRead::Io)?;
    match answered.recv_timeout(patience) {
        Ok(answer) => Ok(answer),
        Err(RecvTimeoutError::Disconnected) => Err(NotRead::Io(io::Error::other("whoever read it has panicked"))),
        Err(RecvTimeoutError::Timeout) => {
            let mut given_up = given_up();
            // Under the lock: either the answer has come by now, or whoever brings it will see that it was given up.
            answered.try_recv().map_err(|_| {
                is_given_up.store(true, Relaxed);
                *given_up.entry(path.to_owned()).or_default() += 1;
                NotRead::NoAnswer(patience)
            })
        }
    }
}

/// Whoever asks; by being dropped he is back, however it went.
struct Back {
    path: PathBuf,
    is_given_up: Arc<AtomicBool>,
}

impl Drop for Back {
    fn drop(&mut self) {
        let mut given_up = given_up();
        if !self.is_given_up.load(Relaxed) {
            return;
        }
        if let Some(threads) = given_up.get_mut(&self.path) {
            *threads -= 1;
            if *threads == 0 {
                given_up.remove(&self.path);
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
        assert!(matches!(within(path, SHORT, waits), Err(NotRead::NoAnswer(SHORT))));
        for _ in 0..100 {
            let asked_again = within(path, LONG, || unreachable!("it is known to hang"));
            assert!(matches!(asked_again, Err::<(), _>(NotRead::StillNoAnswer)));
        }
        assert_eq!(given_up().get(path), Some(&1));
        assert_eq!(within(Path::new("another path of this test"), LONG, || 1).unwrap(), 1);
        open.send(()).unwrap();
        while given_up().contains_key(path) {
            thread::yield_now();
        }
        assert_eq!(within(path, LONG, || 2).unwrap(), 2);
    }

    #[test]
    fn who_panics_is_no_one_who_hangs() {
        let path = Path::new("a path where reading panics");
        assert!(matches!(within::<()>(path, LONG, || panic!("as it should")), Err(NotRead::Io(_))));
        let (open, gate) = channel::<()>();
        let late = move || {
            let _ = gate.recv();
            panic!("as it should, and late")
        };
        assert!(matches!(within::<()>(path, SHORT, late), Err(NotRead::NoAnswer(_))));
        drop(open);
        while given_up().contains_key(path) {
            thread::yield_now();
        }
        assert_eq!(within(path, LONG, || 2).unwrap(), 2);
    }
}
