//! Running the job: signals go on to it, and its end is seen.

use std::io;
use std::process::ExitStatus;
use std::time::{Instant, SystemTime};

use tokio::process::{Child, Command};

use super::process::{Forwarded, reap, status_of, usage};
use super::report::Run;

/// Statuses that a shell gives a command that it could not start.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// A job that was started, or could not be.
pub struct Job {
    child: Result<Child, io::Error>,
    signals: Forwarded,
    start: SystemTime,
    begun: Instant,
}

impl Job {
    /// Starts a command. Its input and output are ours; signals that ask us to end, or tell us something, go on to it.
    ///
    /// # Errors
    /// That signals cannot be listened to. A command that cannot be started is a run too, with the status of a shell.
    pub fn start(command: &[String]) -> io::Result<Job> {
        let signals = Forwarded::new()?;
        let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
        let (start, begun) = (SystemTime::now(), Instant::now());
        let child = Command::new(program).args(arguments).spawn();
        Ok(Job { child, signals, start, begun })
    }

    /// Its process; none if it could not be started.
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().ok()?.id()
    }

    /// When it was started.
    pub fn start_time(&self) -> SystemTime {
        self.start
    }

    /// Waits for its end. Says how it went, and why it could not be started.
    ///
    /// # Errors
    /// That it cannot be waited for.
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

    /// Comes back when somebody asks us to end, now that there is no job any more.
    pub async fn asked_to_end(&mut self) {
        self.signals.end().await;
    }
}

async fn wait(child: &mut Child, signals: &mut Forwarded) -> io::Result<ExitStatus> {
    let process = child.id();
    let mut reaping = std::pin::pin!(reap(process));
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => if let Some(process) = process {
                signal.pass_on(process);
            },
            () = reaping.as_mut() => {}
        }
    }
}
