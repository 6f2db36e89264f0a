//! A second process that reports a run's end to the gateway if `taffrail push` is killed.
//!
//! It holds the read end of a pipe. `taffrail push` writes a byte to it after reporting the end of the run. If the
//! pipe closes without one, `taffrail push` was killed: the guardian waits for the job and reports instead.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Environment variable that makes `taffrail push` the guardian of the job with this process id.
pub const GUARDIAN_OF: &str = "TAFFRAIL_GUARDIAN_OF";
/// The status reported for a run whose `taffrail push` was killed; the job's own is unknown.
pub const KILLED: i32 = 128 + 9;

/// The pipe to a guardian; `None` if it could not be started.
#[derive(Debug, Default)]
pub struct Guardian(Option<ChildStdin>);

impl Guardian {
    /// Starts a guardian of the job with this process id: this program with the same arguments.
    pub fn start(job: u32) -> Guardian {
        let start = || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(std::env::args_os().skip(1)).env(GUARDIAN_OF, job.to_string());
            // A process group of its own: the terminal's keys do not reach it.
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            command.spawn()
        };
        Guardian(start().ok().and_then(|child| child.stdin))
    }

    /// Tells it to exit without reporting.
    pub fn dismiss(self) {
        if let Some(mut pipe) = self.0 {
            let _ = pipe.write_all(b".");
        }
    }
}

/// The job that this process guards.
pub fn guarded() -> Option<Pid> {
    Pid::from_raw(std::env::var(GUARDIAN_OF).ok()?.parse().ok()?)
}

/// Waits for the pipe to close, and returns whether to report: `taffrail push` was killed and the job has ended.
///
/// # Errors
/// What reading the pipe answers.
pub fn watch(job: Pid) -> io::Result<bool> {
    // Its process id may be reused later.
    let job = pidfd_open(job, PidfdFlags::empty());
    let mut received = Vec::new();
    io::stdin().lock().read_to_end(&mut received)?;
    if !received.is_empty() {
        return Ok(false);
    }
    if let Ok(job) = job {
        while poll(&mut [PollFd::new(&job, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
    }
    Ok(true)
}
