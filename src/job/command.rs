//! Running the job: signals go on to it, and its end is seen.

use std::io;
use std::process::ExitStatus;
use std::time::{Instant, SystemTime};

use tokio::process::{Child, Command};

use super::process::{Forwarded, status_of, usage};
use super::report::Run;

/// Statuses that a shell gives a command that it could not start.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Runs a command to its end. Its input and output are ours; signals that ask us to end, or tell us something, go on to it.
///
/// # Errors
/// That signals cannot be listened to. A command that cannot be started is a run too, with the status of a shell.
pub async fn run(command: &[String]) -> io::Result<(Run, Option<io::Error>)> {
    let mut signals = Forwarded::new()?;
    let (start, begun) = (SystemTime::now(), Instant::now());
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
    let mut child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => {
            let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
            return Ok((Run { start, duration: begun.elapsed(), status, usage: None }, Some(error)));
        }
    };
    let status = wait(&mut child, &mut signals).await?;
    let run = Run { start, duration: begun.elapsed(), status: status_of(status), usage: usage() };
    Ok((run, None))
}

async fn wait(child: &mut Child, signals: &mut Forwarded) -> io::Result<ExitStatus> {
    let process = child.id();
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => if let Some(process) = process {
                signal.pass_on(process);
            },
        }
    }
}
