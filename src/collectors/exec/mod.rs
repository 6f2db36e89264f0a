//! Programs and files that have metrics: `exec` runs programs, `execd` keeps them running, `file` reads files.
//!
//! They work in the background, each command on its own clock ([`commands`], [`daemon`], [`files`]). A scrape or tick
//! gets what is there, and starts nothing ([`results`]).

mod commands;
mod daemon;
mod files;
mod format;
mod globs;
mod process;
mod results;
mod run;
mod sandbox;
mod series;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::framework::Entry;
use super::framework::background::Background;
use crate::config::{Key, Section};
use results::Results;

/// The collectors of this folder.
pub(super) const COLLECTORS: &[Entry] =
    &[Entry::of::<commands::Exec>(), Entry::of::<daemon::Execd>(), Entry::of::<files::Files>()];

const NAME: Key<String> = Key::optional(
    "name",
    "The label `name` of the metrics about it, and its name in the log; if absent, the file name of the program, or the pattern of \
     the files.",
);
const INTERVAL: Key<Duration> = Key::new("interval", "\"10s\"", "How often it is run, read or signalled.");

/// The background work of a collector, which ends when this is dropped.
struct Running {
    results: Arc<Results>,
    _background: Background,
}

impl Running {
    fn start<W: Future<Output = ()>>(
        name: &'static str,
        work: impl FnOnce(Arc<Results>) -> W + Send + 'static,
    ) -> Running {
        let results = Results::new();
        let shared = results.clone();
        Running { results, _background: Background::start(name, move || work(shared)) }
    }
}

/// The tables of a list, and the names of its jobs. A name that is not configured is `default_name` of the job, and is
/// numbered if another job has it.
fn named<J>(
    section: &mut Section<'_>,
    list: &'static str,
    mut read: impl FnMut(&mut Section<'_>) -> J,
    default_name: impl Fn(&J) -> String,
) -> Vec<(Arc<str>, J)> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut jobs: Vec<(Arc<str>, J)> = Vec::new();
    for mut table in section.tables(list) {
        let name = table.optional(&NAME);
        let job = read(&mut table);
        if let Some(given) = &name
            && names.contains_key(given)
        {
            table.wrong("name", format!("another {list} has the name {given:?}"));
        }
        let name = name.unwrap_or_else(|| default_name(&job));
        let count = names.entry(name.clone()).or_default();
        *count += 1;
        jobs.push((if *count > 1 { format!("{name}#{count}") } else { name }.into(), job));
    }
    jobs
}

/// The file name of a program.
fn file_name(program: &str) -> &str {
    program.rsplit('/').find(|part| !part.is_empty()).unwrap_or(program)
}

/// A number that spreads the clocks of jobs.
fn hash(text: &str) -> u64 {
    // FNV-1a: the same at each start.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
