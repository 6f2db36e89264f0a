//! Runs the job: forwards signals and collects its status.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::time::{Instant, SystemTime};

use tokio::process::Child;

use super::process::{Forwarded, reap, status_of, usage};
use super::program::spawn;
use super::report::Run;

/// Exit statuses of a shell for commands that cannot be started.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// A job that was started, or failed to start.
pub struct Job {
    child: Result<Child, io::Error>,
    signals: Forwarded,
    start: SystemTime,
    begun: Instant,
}

impl Job {
    /// Starts a command, whose arguments may be any bytes. It inherits standard input and output; termination and
    /// user signals are forwarded to it.
    ///
    /// # Errors
    /// If signal handlers cannot be installed. A command that fails to start counts as a run, with the status that a
    /// shell reports.
    pub fn start(command: &[OsString]) -> io::Result<Job> {
        let signals = Forwarded::new()?;
        let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
        let (start, begun) = (SystemTime::now(), Instant::now());
        let child = spawn(program, arguments);
        Ok(Job { child, signals, start, begun })
    }

    /// Its process id; `None` if it failed to start.
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().ok()?.id()
    }

    /// Its start time.
    pub fn start_time(&self) -> SystemTime {
        self.start
    }

    /// Waits for its end. Returns the run, and the error if it failed to start.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub async fn wait(&mut self) -> io::Result<(Run, Option<io::Error>)> {
        let run = |status, usage| Run { start: self.start, duration: self.begun.elapsed(), status, usage };
        match &mut self.child {
            Ok(child) => {
                let status = wait(child, &mut self.signals).await?;
                Ok((run(status_of(status), usage()), None))
            }
            Err(error) => {
                let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
                Ok((run(status, None), Some(std::mem::replace(error, io::ErrorKind::Other.into()))))
            }
        }
    }

    /// Waits for a termination signal, after the job has ended.
    pub async fn termination_requested(&mut self) {
        self.signals.termination().await;
    }
}

async fn wait(child: &mut Child, signals: &mut Forwarded) -> io::Result<ExitStatus> {
    let process = child.id();
    let mut reaping = std::pin::pin!(reap(process));
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => if let Some(process) = process {
                signal.forward(process);
            },
            () = reaping.as_mut() => {}
        }
    }
}
