//! Processes on Unix: signals, statuses, resource usage.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
#[cfg(target_os = "linux")]
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::report::Usage;

/// The status that a shell reports for this end.
pub(super) fn status_of(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Signals that are forwarded to the job while it runs.
pub(super) struct Forwarded {
    listened: Vec<(tokio::signal::unix::Signal, Signal)>,
    /// At a terminal the job receives its keys directly; they are not forwarded, and do not end us, as the end must
    /// be reported.
    is_at_terminal: bool,
}

/// A received signal.
pub(super) struct ReceivedSignal(Signal);

impl ReceivedSignal {
    /// Sends it to the process, which may have ended just now.
    pub(super) fn forward(self, process: u32) {
        if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, self.0);
        }
    }
}

impl Forwarded {
    pub(super) fn new() -> io::Result<Self> {
        let all = [
            (SignalKind::terminate(), Signal::TERM),
            (SignalKind::hangup(), Signal::HUP),
            (SignalKind::user_defined1(), Signal::USR1),
            (SignalKind::user_defined2(), Signal::USR2),
            (SignalKind::interrupt(), Signal::INT),
            (SignalKind::quit(), Signal::QUIT),
        ];
        let listened = all.into_iter().map(|(kind, number)| Ok((signal(kind)?, number)));
        let listened = listened.collect::<io::Result<Vec<_>>>()?;
        Ok(Forwarded { listened, is_at_terminal: io::stdin().is_terminal() })
    }

    /// The next signal to forward.
    pub(super) async fn next(&mut self) -> ReceivedSignal {
        loop {
            let number = self.any().await;
            let is_key = matches!(number, Signal::INT | Signal::QUIT);
            if !(is_key && self.is_at_terminal) {
                return ReceivedSignal(number);
            }
        }
    }

    /// Waits for a termination signal to ourselves, after the job has ended.
    pub(super) async fn termination(&mut self) {
        while matches!(self.any().await, Signal::USR1 | Signal::USR2) {}
    }

    async fn any(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            for (stream, number) in &mut self.listened {
                if stream.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// As process 1 of a container, we inherit orphaned processes. Reaps them until `job` ends, so that they do not stay
/// zombies. Never returns.
#[cfg(target_os = "linux")]
pub(super) async fn reap(job: Option<u32>) {
    let children = (rustix::process::getpid() == Pid::INIT).then(|| signal(SignalKind::child()).ok()).flatten();
    let Some(mut children) = children else { return std::future::pending().await };
    loop {
        let _ = children.recv().await;
        reap_but(job);
    }
}

/// Does nothing on other systems. Never returns.
#[cfg(not(target_os = "linux"))]
pub(super) async fn reap(_: Option<u32>) {
    std::future::pending().await
}

/// Reaps ended children up to the job, whose status its own waiter collects.
#[cfg(target_os = "linux")]
fn reap_but(job: Option<u32>) {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Some(ended) = waitid(Id::All, look).ok().and_then(|status| status.pid()) {
        if u32::try_from(ended.as_raw()).ok() == job || waitpid(ended, Some(WaitPidFlag::WNOHANG)).is_err() {
            return;
        }
    }
}

/// Resource usage of all reaped processes: the job, and its children that it waited for.
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
