//! The processes of `exec` and `execd`: their settings, statuses and messages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;

use super::words::Words;
use crate::collectors::framework::globs;
use crate::config::{Key, KeyInfo, Section};
use crate::subprocess::{Program, find_user};
use crate::system::regular_file::{READ_TIMEOUT, metadata_within};

/// The settings of a process, which `exec` and `execd` share.
#[derive(Clone, Debug)]
pub(super) struct Process {
    environment: Vec<(String, String)>,
    user: Option<String>,
    pub(super) log_stderr: bool,
}

pub(super) const COMMAND: Key<Words> = Key::optional("command", "A single program, as in `commands`.");
const ENVIRONMENT: Key<Vec<String>> = Key::new(
    "environment",
    "[]",
    "Variables as \"NAME=VALUE\", in addition to those of Taffrail. LC_ALL is C unless it is one of them.",
);
const USER: Key<String> = Key::optional(
    "user",
    "The user that runs the programs, with its primary group. Taffrail must be root for another one.",
);
const LOG_STDERR: Key<bool> = Key::new(
    "log_stderr",
    "false",
    "Logs what programs write to standard error: of a run of exec the first 4 KiB, of execd up to 1,000 lines a minute. A line that starts with `E!`, `W!`, `I!` or `D!` has that level.",
);

/// The settings of a process.
pub(super) const PROCESS_KEYS: [KeyInfo; 3] = [ENVIRONMENT.info(), USER.info(), LOG_STDERR.info()];

impl Process {
    pub(super) fn new(section: &mut Section<'_>) -> Process {
        let mut environment = Vec::new();
        for (index, variable) in section.get(&ENVIRONMENT).into_iter().enumerate() {
            match variable.split_once('=') {
                Some((name, value)) if !name.is_empty() && !variable.contains('\0') => {
                    environment.push((name.to_owned(), value.to_owned()));
                }
                _ => section.wrong_element("environment", index, "expected NAME=VALUE"),
            }
        }
        let user = section.optional(&USER);
        if let Some(name) = user.clone() {
            section.depends("user", move || find_user(&name));
        }
        Process { environment, user, log_stderr: section.get(&LOG_STDERR) }
    }

    /// What to start.
    pub(super) fn program(&self, words: Vec<String>) -> Program {
        Program {
            words: words.into_iter().map(OsString::from).collect(),
            environment: self.environment.clone(),
            user: self.user.clone(),
            has_stdin: false,
        }
    }
}

/// Registers the programs that the commands of `key` name by absolute paths without wildcards.
pub(super) fn depends_on_programs(section: &Section<'_>, key: &str, commands: &[Words]) {
    for Words(words) in commands {
        let path = PathBuf::from(&words[0]);
        if path.is_absolute() && !globs::has_wildcard(&words[0]) {
            section.depends(key, move || check_program(&path));
        }
    }
}

/// Checks that there is a program.
fn check_program(path: &Path) -> Result<(), String> {
    let file = metadata_within(path, READ_TIMEOUT).map_err(|error| error.to_string())?;
    #[cfg(unix)]
    let is_executable = std::os::unix::fs::PermissionsExt::mode(&file.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let is_executable = true;
    let found = match (file.is_file(), is_executable) {
        (true, true) => return Ok(()),
        (true, false) => "a file that is not executable",
        (false, _) if file.is_dir() => "a directory",
        (false, _) => "no regular file",
    };
    Err(format!("{}: expected a program, found {found}", path.display()))
}

/// The status of a program; 128 and the number of the signal that ended it.
pub(in crate::collectors) fn status_of(status: std::process::ExitStatus) -> i32 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    #[cfg(not(unix))]
    let signal = None;
    status.code().or(signal).unwrap_or(1)
}

/// Logs what a program writes to standard error, up to [`StderrLog::MAX_LINES`] a minute.
pub(super) struct StderrLog {
    /// The collector, the job, and the program if the job has several.
    source: String,
    minute: Instant,
    lines: usize,
    left_out: usize,
}

impl StderrLog {
    const MAX_LINES: usize = 1000;

    pub(super) fn new(source: String) -> StderrLog {
        StderrLog { source, minute: Instant::now(), lines: 0, left_out: 0 }
    }

    /// Logs lines with the levels that they name.
    pub(super) fn log(&mut self, text: &str) {
        if self.minute.elapsed() >= Duration::from_secs(60) {
            self.begin();
        }
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            match self.lines < Self::MAX_LINES {
                true => self.log_line(line),
                false => self.left_out += 1,
            }
            self.lines += 1;
        }
    }

    /// Begins another minute.
    fn begin(&mut self) {
        let (source, left_out) = (&self.source, self.left_out);
        if left_out > 0 {
            tracing::warn!(
                "{source}: log_stderr: {left_out} lines were left out, as there were more than {} in a minute",
                Self::MAX_LINES
            );
        }
        (self.minute, self.lines, self.left_out) = (Instant::now(), 0, 0);
    }

    fn log_line(&self, line: &str) {
        let source = &self.source;
        let (level, line) = line.split_at_checked(2).unwrap_or(("", line));
        let rest = line.trim_start();
        match level {
            "E!" => tracing::error!("{source}: {rest}"),
            "W!" => tracing::warn!("{source}: {rest}"),
            "I!" => tracing::info!("{source}: {rest}"),
            "D!" | "T!" => tracing::debug!("{source}: {rest}"),
            level => tracing::info!("{source}: {level}{line}"),
        }
    }
}

impl Drop for StderrLog {
    fn drop(&mut self) {
        self.begin();
    }
}

/// Bytes of a line. A longer one is left out.
pub(super) const MAX_LINE: usize = 64 << 10;

/// Reads standard error, logs it, and returns the last line.
pub(super) async fn follow_messages(stderr: Option<ChildStderr>, mut log: Option<StderrLog>) -> Option<String> {
    let mut stderr = stderr?;
    let (mut buffer, mut text, mut last) = (vec![0; 4 << 10], Vec::new(), None);
    loop {
        let count = stderr.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..count]);
        let end = if count == 0 || text.len() > MAX_LINE {
            text.len()
        } else {
            memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1)
        };
        let lines = String::from_utf8_lossy(&text.drain(..end).collect::<Vec<u8>>()).into_owned();
        if let Some(log) = &mut log {
            log.log(&lines);
        }
        let line = lines.lines().rev().map(str::trim).find(|line| !line.is_empty());
        last = line.map(|line| line.chars().filter(|c| !c.is_control()).take(512).collect()).or(last);
        if count == 0 {
            return last;
        }
    }
}
