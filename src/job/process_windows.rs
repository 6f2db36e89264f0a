//! Processes where there are no signals: keys reach the job without us, and what it used nobody tells.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::process::ExitStatus;

use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

use super::report::Usage;

pub(super) fn status_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or(1)
}

/// Keys that would end us, who stay to tell how the job ended.
pub(super) struct Forwarded {
    listened: (CtrlC, CtrlBreak),
}

/// What never comes.
pub(super) struct Came(Infallible);

impl Came {
    pub(super) fn pass_on(self, _: u32) {
        match self.0 {}
    }
}

impl Forwarded {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Forwarded { listened: (ctrl_c()?, ctrl_break()?) })
    }

    pub(super) async fn next(&mut self) -> Came {
        pending().await
    }

    /// Comes back when we are asked to end ourselves, once there is no job any more.
    pub(super) async fn end(&mut self) {
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

/// There is nobody to wait for.
pub(super) async fn reap(_: Option<u32>) {
    pending().await
}
