//! Advice for a command line of `taffrail push` that lacks `--` or `--job`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use taffrail::job::program::{in_path, is_bare, is_program};

use super::Push;

/// What the arguments lack, the first of which is the program, if that makes `parse` accept them.
pub(crate) fn advice(arguments: &[OsString], parse: impl Fn(&[OsString]) -> Option<Push>) -> Option<String> {
    const FIRST: usize = 2;
    let options = arguments.get(FIRST..)?;
    if options.iter().any(|argument| argument == "--") {
        let with_job = [&arguments[..FIRST], &["--job".into()], options].concat();
        if let Some(push) = parse(&with_job).filter(|push| !push.command.is_empty()) {
            return Some(format!("--job is missing: {}", push.command_line(true)));
        }
    }
    for (index, word) in options.iter().enumerate() {
        if word.as_encoded_bytes().starts_with(b"-") {
            continue;
        }
        let (before, after) = options.split_at(index);
        // One that follows the command's name is misplaced.
        let command = match after.get(1).is_some_and(|next| next == "--") {
            true => [&after[..1], &after[2..]].concat(),
            false => after.to_vec(),
        };
        let with_separator = [&arguments[..FIRST], before, &["--".into()], &command].concat();
        let Some(push) = parse(&with_separator) else { continue };
        if !is_command(word) && !is_program(Path::new(word)) {
            return None;
        }
        let has_job_alone = before.len() <= 2;
        return Some(format!("put -- before the command: {}", push.command_line(has_job_alone)));
    }
    None
}

impl Push {
    /// The command line with the job and the command's name; dots stand for other arguments, which may be secret.
    fn command_line(&self, has_job_alone: bool) -> String {
        let job = self.job.as_deref().unwrap_or("NAME");
        let options = if has_job_alone { "" } else { " …" };
        let command = self.command.first().map(|name| as_command(name)).unwrap_or_default();
        let arguments = if self.command.len() > 1 { " …" } else { "" };
        format!("taffrail push --job {job}{options} -- {command}{arguments}")
    }
}

/// The name of a program as a shell runs it: `./NAME` for one of this folder.
pub(super) fn as_command(name: &OsStr) -> String {
    let folder = if is_bare(name) && !is_command(name) && Path::new(name).is_file() { "./" } else { "" };
    format!("{folder}{}", name.to_string_lossy())
}

/// Whether a shell would run a program for this name.
pub(super) fn is_command(name: &OsStr) -> bool {
    in_path(name).is_some()
}
