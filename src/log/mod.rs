//! The log: lines on standard error. Logging never ends the process and never blocks it.
//!
//! Lines wait in a bounded queue for a thread that writes them ([`queue`]). Lines that cannot be written, because the
//! disk is full or the pipe is closed or not read, are counted, and reported as soon as writing succeeds again.
//! [`Episode`] and [`Limited`] limit repeated lines.

mod episode;
mod journal;
mod limited;
mod panics;
mod queue;
mod record;
pub mod settings;
mod subscriber;

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tracing::Level;
use tracing::subscriber::SetGlobalDefaultError;

pub use self::episode::{Episode, Outage};
pub use self::limited::{Limited, Suppressed};
use self::queue::Queue;
use self::record::Record;
pub use self::settings::{Format, Levels, Settings};
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};

/// The queue in front of standard error, from [`start`] on.
static QUEUE: OnceLock<&'static Queue> = OnceLock::new();
/// The settings in force.
static SETTINGS: LazyLock<ArcSwap<Settings>> = LazyLock::new(ArcSwap::default);
/// Whether lines need priorities, from [`start`] on.
static IS_JOURNAL: AtomicBool = AtomicBool::new(false);

/// Why the log did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The writer thread could not be started.
    #[error("no thread to write the log with: {0}")]
    Thread(#[from] io::Error),
    /// A log exists already.
    #[error("the log: {0}")]
    Twice(#[from] SetGlobalDefaultError),
}

/// Starts the log: traces of these levels, lines of [`say!`](crate::say), and panics.
///
/// Traces of libraries are excluded: they log single requests, and credentials.
///
/// # Errors
/// If no thread can be started, or a log exists already.
pub fn start(levels: impl Into<Levels>) -> Result<(), StartError> {
    IS_JOURNAL.store(journal::is_connected(), Relaxed);
    apply(Settings { levels: levels.into(), ..Settings::default() });
    let queue: &'static Queue = Box::leak(Box::default());
    queue.start(io::stderr())?;
    QUEUE.get_or_init(|| queue);
    tracing::subscriber::set_global_default(subscriber::Subscriber)?;
    panics::install();
    Ok(())
}

/// Applies other settings to all lines from now on.
pub fn apply(settings: Settings) {
    SETTINGS.store(Arc::new(settings));
}

/// Prints a line to standard error, whether the log was started or not; arguments as for [`format!`]. Failures are
/// ignored.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::log::say_all(::std::format_args!($($words)*)) };
}

/// The function behind [`say!`](crate::say).
pub fn say_all(words: fmt::Arguments<'_>) {
    push(Level::INFO, words.to_string());
}

/// Prints why the process ends: `error: REASON`, or a record in the log's format.
pub fn say_failure(reason: &str) {
    match SETTINGS.load().format {
        Format::Text if reason.starts_with("error: ") => push(Level::ERROR, reason.to_owned()),
        Format::Text => push(Level::ERROR, format!("error: {reason}")),
        _ => write(&Record::new(Level::ERROR, reason.to_owned())),
    }
}

/// Writes a record in the log's format.
fn write(record: &Record<'_>) {
    push(record.level, line(record));
}

fn line(record: &Record<'_>) -> String {
    record.line(SETTINGS.load().format, SystemTime::now())
}

fn push(level: Level, line: String) {
    let line = bytes(level, line);
    match QUEUE.get() {
        Some(queue) => queue.push(line),
        None => {
            let _ = io::stderr().lock().write_all(&line);
        }
    }
}

/// The bytes of a line, with its newline.
fn bytes(level: Level, mut line: String) -> Vec<u8> {
    if IS_JOURNAL.load(Relaxed) {
        line = journal::with_priority(level, &line);
    }
    line.push('\n');
    line.into_bytes()
}

/// Waits until all lines are written, for at most `timeout`: no process may be reading the pipe.
pub fn flush(timeout: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(timeout);
    }
}

const DROPPED: Family<0> = Family::counter(
    "taffrail_log_lines_dropped_total",
    "Log lines dropped because standard error could not be written",
    [],
);

/// The log's self-metrics.
pub const FAMILIES: &[FamilyInfo] = &[DROPPED.info()];

/// Writes the self-metrics.
pub fn write_families(out: &mut FamilyWriter<'_>) {
    out.value(&DROPPED, QUEUE.get().map_or(0, |queue| queue.dropped()));
}
