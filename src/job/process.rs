//! What a Unix does with processes: signals, statuses, what they used.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::report::Usage;

/// What a shell says of such an end.
pub(super) fn status_of(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Signals that are not for us but for the job.
pub(super) struct Forwarded(Vec<(tokio::signal::unix::Signal, Signal)>);

/// One that came.
pub(super) struct Came(Signal);

impl Came {
    /// Sends it to the process, which may have ended just now.
    pub(super) fn pass_on(self, process: u32) {
        if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, self.0);
        }
    }
}

impl Forwarded {
    pub(super) fn new() -> io::Result<Self> {
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

    pub(super) async fn next(&mut self) -> Came {
        std::future::poll_fn(|cx| {
            for (stream, number) in &mut self.0 {
                if stream.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(Came(*number));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// What all processes used that were waited for: the job, and those that it waited for.
pub(super) fn usage() -> Option<Usage> {
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
