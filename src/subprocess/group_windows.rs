//! Processes on Windows, which has no process groups and no signals: only the program itself ends.

use std::io;
use std::process::{Child, Command};
use std::time::Duration;

use super::User;

/// A signal for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSignal {
    /// Has no effect.
    Terminate,
    /// Ends the program.
    Kill,
    /// Has no effect.
    Hangup,
    /// Has no effect.
    User1,
    /// Has no effect.
    User2,
}

const POLL_INTERVAL: Duration = Duration::from_millis(50);

pub(super) fn isolate(_: &mut Command, _: Option<&User>) {}

pub(super) fn signal(child: &mut Child, signal: GroupSignal) {
    if signal == GroupSignal::Kill {
        let _ = child.kill();
    }
}

pub(super) fn has_ended(child: &mut Child) -> io::Result<bool> {
    Ok(child.try_wait()?.is_some())
}

pub(super) fn has_others(_: &Child) -> bool {
    false
}

/// The ends of children of this process.
pub(super) struct Changes;

impl Changes {
    pub(super) fn new() -> io::Result<Changes> {
        Ok(Changes)
    }

    pub(super) async fn next(&mut self) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
