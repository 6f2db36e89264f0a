//! Finds and starts programs as a shell does.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tokio::process::{Child, Command};

use crate::system::read_up_to;

/// Bytes at the start of a file that show what it is: the kernel reads as many.
const START: usize = 256;

/// Whether a file may be executed.
pub fn is_program(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    path.extension().is_some_and(|extension| ["exe", "bat", "cmd"].iter().any(|known| extension == *known))
}

/// Whether a name has no directory, so that a shell searches `PATH` for it.
pub fn is_bare(name: &OsStr) -> bool {
    // `./x` has two components, `x/` none of a name.
    Path::new(name).components().count() == 1 && !name.as_encoded_bytes().contains(&b'/')
}

/// The program of this bare name in `PATH`.
pub fn in_path(name: &OsStr) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_bare(name) && is_program(path))
}

/// The program and its argument after `#!` at the start of a script; `None` if there is none, or it is not text.
pub fn interpreter(start: &[u8]) -> Option<&str> {
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.get(..START).unwrap_or(line)).ok()?.trim();
    (!line.is_empty() && !line.contains(char::is_control)).then_some(line)
}

/// Starts a program. An executable script without `#!` runs in /bin/sh, as with execvp(3).
pub(super) fn spawn(program: &OsStr, arguments: &[OsString]) -> io::Result<Child> {
    let spawned = Command::new(program).args(arguments).spawn();
    #[cfg(unix)]
    if spawned.as_ref().is_err_and(|error| error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()))
        && let Some(script) = located(program)
        && start_of(&script).is_some_and(|start| !start.contains(&0))
    {
        return Command::new("/bin/sh").arg(script).args(arguments).spawn();
    }
    spawned
}

/// What the user can do if a program cannot be started for this reason.
pub fn hint(program: &OsStr, error: &io::Error) -> Option<String> {
    if error.kind() != ErrorKind::NotFound {
        return None;
    }
    if let Some(start) = located(program).and_then(|path| start_of(&path)) {
        return interpreter(&start).map(|line| format!("its first line has the interpreter {line}"));
    }
    let is_quoted = program.as_encoded_bytes().contains(&b' ');
    is_quoted.then(|| "the command is one word with spaces: remove the quotes, or run it with sh -c".to_owned())
}

fn located(program: &OsStr) -> Option<PathBuf> {
    if is_bare(program) { in_path(program) } else { Some(program.into()) }
}

fn start_of(path: &Path) -> Option<Vec<u8>> {
    let mut start = vec![0; START];
    let read = File::open(path).and_then(|file| read_up_to(&file, &mut start, 0)).ok()?;
    start.truncate(read);
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_script_is_its_first_line() {
        for (start, expected) in [
            (&b"#!/bin/bash\na=(1 2)\n"[..], Some("/bin/bash")),
            (b"#! /usr/bin/env python3\r\nprint()\n", Some("/usr/bin/env python3")),
            (b"#!/bin/sh -e", Some("/bin/sh -e")),
            (b"#!\nexit\n", None),
            (b"#!/bin/\x1b[1m\n", None),
            (b"#!\xff\n", None),
            (b"# HELP x y\n", None),
            (b"", None),
        ] {
            assert_eq!(interpreter(start), expected);
        }
    }
}
