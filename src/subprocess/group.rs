//! Process groups on Unix.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::signal::unix::{SignalKind, signal as listen};

use super::User;

/// A signal for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSignal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

/// Lets the command start in a group of its own, as `user`.
pub(super) fn isolate(command: &mut Command, user: Option<&User>) {
    command.process_group(0);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Sends a signal to the child's group. The child must not be reaped yet.
pub(super) fn signal(child: &mut Child, signal: GroupSignal) {
    let signal = match signal {
        GroupSignal::Terminate => Signal::TERM,
        GroupSignal::Kill => Signal::KILL,
        GroupSignal::Hangup => Signal::HUP,
        GroupSignal::User1 => Signal::USR1,
        GroupSignal::User2 => Signal::USR2,
    };
    if let Some(pid) = pid(child) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Whether the child has ended. It is not reaped.
pub(super) fn has_ended(child: &mut Child) -> io::Result<bool> {
    let Some(pid) = pid(child) else { return Ok(true) };
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    Ok(waitid(WaitId::Pid(pid), look)?.is_some())
}

/// Whether the child's group has other processes that run. Elsewhere than on Linux it is not known, and false.
pub(super) fn has_others(child: &Child) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let id = child.id().to_string();
    let names = processes.flatten().filter_map(|process| process.file_name().into_string().ok());
    let mut others = names.filter(|name| *name != id && name.bytes().all(|byte| byte.is_ascii_digit()));
    others.any(|name| {
        let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        // PID (NAME) STATE PARENT GROUP
        let mut parts = stat.rsplit_once(") ").map_or("", |(_, after)| after).split(' ');
        parts.next().is_some_and(|state| state != "Z") && parts.nth(1) == Some(&id)
    })
}

/// The ends of children of this process.
pub(super) struct Changes(tokio::signal::unix::Signal);

impl Changes {
    pub(super) fn new() -> io::Result<Changes> {
        Ok(Changes(listen(SignalKind::child())?))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}
