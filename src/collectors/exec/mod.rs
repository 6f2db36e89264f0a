//! Programs and files that have metrics: `exec` runs programs, `execd` keeps them running, `file` reads files.
//!
//! They work in the background, each command on its own clock ([`commands`], [`daemon`], [`files`]). A scrape or tick
//! gets what is there, and starts nothing ([`results`]).

mod commands;
mod daemon;
mod files;
mod format;
mod job;
pub(super) mod process;
mod results;
pub(super) mod run;
pub(super) mod sandbox;
mod series;
mod words;

use super::framework::Entry;
use job::Jobs;

/// The collectors of this folder.
pub(super) const COLLECTORS: &[Entry] =
    &[Entry::of::<Jobs<commands::Exec>>(), Entry::of::<Jobs<daemon::Execd>>(), Entry::of::<Jobs<files::Files>>()];

/// The file name of a program.
pub(super) fn file_name(program: &str) -> &str {
    program.rsplit('/').find(|part| !part.is_empty()).unwrap_or(program)
}

/// A number that spreads the clocks of jobs.
pub(super) fn hash(text: &str) -> u64 {
    // FNV-1a: the same at each start.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
