//! The children of this process that run, so that they end with it.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

static RUNNING: Mutex<Running> = Mutex::new(Running { ids: BTreeSet::new(), is_ending: false });

struct Running {
    ids: BTreeSet<u32>,
    /// Whether this process ends, and starts no more children.
    is_ending: bool,
}

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a child. The lock is not held meanwhile: a program on a file system that hangs delays no other.
pub(super) fn start(command: &mut Command) -> io::Result<Child> {
    let ending = || io::Error::other("Taffrail is shutting down");
    if running().is_ending {
        return Err(ending());
    }
    let mut child = command.spawn()?;
    let mut running = running();
    if running.is_ending {
        signal(child.id(), true);
        let _ = child.wait();
        return Err(ending());
    }
    running.ids.insert(child.id());
    Ok(child)
}

/// Removes a child that was reaped.
pub(super) fn remove(id: u32) {
    running().ids.remove(&id);
}

/// Ends the groups of all children: SIGTERM, and SIGKILL for those that still run after `grace`. No more are started.
/// Blocks until they have ended.
pub fn end_all(grace: Duration) {
    const POLL_INTERVAL: Duration = Duration::from_millis(10);
    const KILLED: Duration = Duration::from_secs(1);
    let mut all = running();
    all.is_ending = true;
    all.ids.iter().for_each(|id| signal(*id, false));
    drop(all);
    let wait = |timeout: Duration| {
        let start = Instant::now();
        while start.elapsed() < timeout && !running().ids.is_empty() {
            sleep(POLL_INTERVAL);
        }
    };
    wait(grace);
    running().ids.iter().for_each(|id| signal(*id, true));
    wait(KILLED);
}

/// The child is listed, so it is not reaped, and its number is still its own.
#[cfg(unix)]
fn signal(id: u32, is_kill: bool) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, if is_kill { Signal::KILL } else { Signal::TERM });
    }
}

#[cfg(windows)]
fn signal(_: u32, _: bool) {}
