//! Child processes, each in a process group of its own, which ends as a whole: SIGTERM, and SIGKILL after
//! [`GRACE`].
//!
//! All groups are listed here, so that none survives this process. The first process of a group is not reaped before
//! its group has ended: its number cannot become that of another group.

#[cfg_attr(windows, path = "group_windows.rs")]
mod group;
mod registry;
mod user;

use std::ffi::OsString;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::backoff::Backoff;

pub use self::group::GroupSignal;
pub use self::registry::end_all;
use self::user::User;

/// The time between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);

/// Variables of the service manager for this process alone.
const OWN_VARIABLES: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
];

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The program, by its path or by its name in `PATH`, and its arguments.
    pub words: Vec<OsString>,
    /// Variables in addition to those of this process. `LC_ALL` is `C` unless it is one of them.
    pub environment: Vec<(String, String)>,
    /// The name or number of the user, if it is another.
    pub user: Option<String>,
    /// Whether it has a pipe as standard input; otherwise it has `/dev/null`.
    pub has_stdin: bool,
}

/// Checks that there is a user with this name or number.
///
/// # Errors
/// There is none.
pub fn find_user(name: &str) -> Result<(), String> {
    User::named(name).map(drop)
}

/// A running program and its group. Dropping it ends the group in a thread of its own.
#[derive(Debug)]
pub struct Subprocess {
    /// `None` once it is reaped, or the thread has it.
    child: Option<Child>,
    /// Standard output.
    pub stdout: Option<ChildStdout>,
    /// Standard error.
    pub stderr: Option<ChildStderr>,
    /// Standard input.
    pub stdin: Option<ChildStdin>,
}

impl Subprocess {
    /// Starts a program, in a thread for calls that block: its file system may hang.
    ///
    /// # Errors
    /// It cannot be started, or this process is ending.
    pub async fn start(program: Program) -> io::Result<Subprocess> {
        tokio::task::spawn_blocking(move || Self::start_now(&program)).await.map_err(io::Error::other)?
    }

    fn start_now(program: &Program) -> io::Result<Subprocess> {
        let (name, arguments) = program.words.split_first().ok_or_else(|| io::Error::other("no program"))?;
        let mut command = Command::new(name);
        command.args(arguments).env("LC_ALL", "C");
        for name in OWN_VARIABLES {
            command.env_remove(name);
        }
        command.envs(program.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(if program.has_stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let own = crate::system::user_id();
        let user = program.user.as_deref().map(User::named).transpose().map_err(io::Error::other)?;
        let user = user.filter(|user| user.uid != own);
        if user.is_some() && own != 0 {
            return Err(io::Error::other("only root can run programs as another user, and Taffrail is not root"));
        }
        group::isolate(&mut command, user.as_ref());
        let mut child = registry::start(&mut command)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut started = Subprocess { child: Some(child), stdout: None, stderr: None, stdin: None };
        started.stdin = stdin.map(ChildStdin::from_std).transpose()?;
        started.stdout = stdout.map(ChildStdout::from_std).transpose()?;
        started.stderr = stderr.map(ChildStderr::from_std).transpose()?;
        Ok(started)
    }

    /// Waits until the program has ended, without reaping it.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn ended(&mut self) -> io::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let mut changes = group::Changes::new()?;
        while !group::has_ended(child)? {
            changes.next().await;
        }
        Ok(())
    }

    /// Sends a signal to the whole group.
    pub fn signal(&mut self, signal: GroupSignal) {
        if let Some(child) = &mut self.child {
            group::signal(child, signal);
        }
    }

    /// Reaps the program, which has ended, and returns its status. The rest of its group goes on.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        let mut child = self.child.take().ok_or_else(|| io::Error::other("it is reaped already"))?;
        let status = child.wait();
        registry::remove(child.id());
        status
    }

    /// Ends the group, and returns the status of the program.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn end(mut self) -> io::Result<ExitStatus> {
        self.signal(GroupSignal::Terminate);
        let deadline = Instant::now() + GRACE;
        let _ = tokio::time::timeout(GRACE, self.ended()).await;
        if let Some(child) = &self.child {
            let mut pauses = pauses();
            while Instant::now() < deadline && group::has_others(child) {
                tokio::time::sleep(pauses.pause()).await;
            }
        }
        self.signal(GroupSignal::Kill);
        self.ended().await?;
        self.reap()
    }
}

/// The pauses between looks at a group that is ending: each is a pass over all processes.
fn pauses() -> Backoff {
    Backoff::new(Duration::from_millis(10), Duration::from_secs(1))
}

impl Drop for Subprocess {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        group::signal(&mut child, GroupSignal::Terminate);
        let end = move || {
            let (deadline, mut pauses) = (Instant::now() + GRACE, pauses());
            let mut is_running = || !group::has_ended(&mut child).unwrap_or(true) || group::has_others(&child);
            while Instant::now() < deadline && is_running() {
                thread::sleep(pauses.pause());
            }
            group::signal(&mut child, GroupSignal::Kill);
            let _ = child.wait();
            registry::remove(child.id());
        };
        if thread::Builder::new().name("end-process".to_owned()).spawn(end).is_err() {
            tracing::error!("no thread to end a process with; it ends with Taffrail");
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
