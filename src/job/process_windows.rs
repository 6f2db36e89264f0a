//! Processes without signals: keys reach the job directly, and resource usage is unknown.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::process::ExitStatus;

use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

use super::report::Usage;

pub(super) fn status_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

/// Console keys, which must not end us before the job's end is reported.
pub(super) struct Forwarded {
    listened: (CtrlC, CtrlBreak),
}

/// A signal; never occurs here.
pub(super) struct ReceivedSignal(Infallible);

impl ReceivedSignal {
    pub(super) fn forward(self, _: u32) {
        match self.0 {}
    }
}

impl Forwarded {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Forwarded { listened: (ctrl_c()?, ctrl_break()?) })
    }

    pub(super) async fn next(&mut self) -> ReceivedSignal {
        pending().await
    }

    /// Waits for a termination request to ourselves, after the job has ended.
    pub(super) async fn termination(&mut self) {
        let (key, end) = &mut self.listened;
        tokio::select! {
            _ = key.recv() => {}
            _ = end.recv() => {}
        }
    }
}

pub(super) fn usage() -> Option<Usage> {
    None
}

/// Does nothing: there are no orphans to reap.
pub(super) async fn reap(_: Option<u32>) {
    pending().await
}
