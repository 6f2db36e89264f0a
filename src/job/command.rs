//! Running the job: signals go on to it, and its end is seen.

use std::io;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::report::{Run, Usage};

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
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => if let Some(pid) = pid {
                // It may have ended just now.
                let _ = kill_process(pid, signal);
            },
        }
    }
}

/// What a shell says of such an end.
fn status_of(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

struct Forwarded(Vec<(tokio::signal::unix::Signal, Signal)>);

impl Forwarded {
    fn new() -> io::Result<Self> {
        let mut all = vec![
            (SignalKind::terminate(), Signal::TERM),
            (SignalKind::hangup(), Signal::HUP),
            (SignalKind::user_defined1(), Signal::USR1),
            (SignalKind::user_defined2(), Signal::USR2),
        ];
        let mut keys = vec![(SignalKind::interrupt(), Signal::INT), (SignalKind::quit(), Signal::QUIT)];
        // A terminal sends these to the job as well; it need not have them twice, and we stay to tell how it ended.
        let is_at_terminal = io::stdin().is_terminal();
        let mut listened = Vec::new();
        all.append(&mut keys);
        for (kind, number) in all {
            let is_key = matches!(number, Signal::INT | Signal::QUIT);
            let stream = signal(kind)?;
            if !(is_key && is_at_terminal) {
                listened.push((stream, number));
            }
        }
        Ok(Forwarded(listened))
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            for (stream, number) in &mut self.0 {
                if stream.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// What all processes used that were waited for: the job, and those that it waited for.
fn usage() -> Option<Usage> {
    /// The unit of ru_inblock and ru_oublock; getrusage(2) does not say, task_io_accounting in the kernel does.
    const BLOCK: u64 = 512;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let duration = |time: nix::sys::time::TimeVal| {
        Duration::new(u64::try_from(time.tv_sec()).unwrap_or(0), 1000 * u32::try_from(time.tv_usec()).unwrap_or(0))
    };
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Some(Usage {
        user: duration(usage.user_time()),
        system: duration(usage.system_time()),
        peak_memory: 1024 * count(usage.max_rss()),
        read: BLOCK * count(usage.block_reads()),
        written: BLOCK * count(usage.block_writes()),
    })
}
