//! What tells the gateway of a run whose `taffrail push` was killed: a second process, which does nothing else.
//!
//! It holds the end of a pipe. `taffrail push` writes a byte into it when it has told how the run ended; if the pipe is
//! closed without, it was killed, and the guardian waits for the job and tells in its place.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The variable that makes `taffrail push` a guardian, of the job whose process it names.
pub const GUARDIAN_OF: &str = "TAFFRAIL_GUARDIAN_OF";
/// The status of a run whose `taffrail push` was killed; the job's own nobody knows.
pub const KILLED: i32 = 128 + 9;

/// The pipe to a guardian; none if there could not be one.
#[derive(Debug, Default)]
pub struct Guardian(Option<ChildStdin>);

impl Guardian {
    /// Starts a guardian of the job whose process this is: this program, with the same arguments.
    pub fn start(job: u32) -> Guardian {
        let start = || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(std::env::args_os().skip(1)).env(GUARDIAN_OF, job.to_string());
            // In a group of its own, so that a terminal's keys do not reach it.
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            command.spawn()
        };
        Guardian(start().ok().and_then(|child| child.stdin))
    }

    /// Tells it that there is nothing more to do.
    pub fn dismiss(self) {
        if let Some(mut pipe) = self.0 {
            let _ = pipe.write_all(b".");
        }
    }
}

/// The job that this process is the guardian of.
pub fn guarded() -> Option<Pid> {
    Pid::from_raw(std::env::var(GUARDIAN_OF).ok()?.parse().ok()?)
}

/// Waits until there is something to tell, and says whether there is: `taffrail push` was killed, and the job has ended.
///
/// # Errors
/// What reading the pipe answers.
pub fn watch(job: Pid) -> io::Result<bool> {
    // Its number may be another's later.
    let job = pidfd_open(job, PidfdFlags::empty());
    let mut said = Vec::new();
    io::stdin().lock().read_to_end(&mut said)?;
    if !said.is_empty() {
        return Ok(false);
    }
    if let Ok(job) = job {
        while poll(&mut [PollFd::new(&job, PollFlags::IN)], None) == Err(rustix::io::Errno::INTR) {}
    }
    Ok(true)
}
