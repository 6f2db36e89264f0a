//! The log: lines on standard error that never end the process and never hold it up.
//!
//! Lines wait in a bounded queue for a thread that writes them ([`queue`]). What cannot be written, since the disk is full,
//! nobody reads the pipe or it is closed, is counted, and told as soon as something can be written again. [`Episode`] and
//! [`Limited`] keep what repeats from filling the log.

mod episode;
mod limited;
mod panics;
mod queue;

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use self::episode::{Episode, Over};
pub use self::limited::{LeftOut, Limited};
use self::queue::Queue;
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};

/// The queue in front of standard error, from [`start`] on.
static QUEUE: OnceLock<&'static Queue> = OnceLock::new();

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No thread to write with.
    #[error("no thread to write the log with: {0}")]
    Thread(#[from] io::Error),
    /// There is one already.
    #[error("the log: {0}")]
    Twice(#[from] TryInitError),
}

/// Starts the log: what is traced up to `level`, what [`say`] is told, and panics.
///
/// Libraries are left out: they speak of single requests, and of credentials.
///
/// # Errors
/// That no thread can be started, or that there is a log already.
pub fn start(level: Level) -> Result<(), StartError> {
    let queue: &'static Queue = Box::leak(Box::default());
    queue.start(io::stderr())?;
    let queue = *QUEUE.get_or_init(|| queue);
    // The journal has the time already, and no use for colours.
    let lines = tracing_subscriber::fmt().with_max_level(level).with_target(false).without_time().with_ansi(false);
    let lines = lines.log_internal_errors(false).with_writer(move || Line(queue)).finish();
    lines.with(filter_fn(|metadata| is_ours(metadata.target()))).try_init()?;
    panics::tell();
    Ok(())
}

fn is_ours(target: &str) -> bool {
    target.split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

/// Says something on standard error, whether the log was started or not; it is written as for [`format!`]. That it cannot
/// be said is no failure.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::log::say_all(::std::format_args!($($words)*)) };
}

/// What [`say!`] stands for.
pub fn say_all(words: fmt::Arguments<'_>) {
    let line = format!("{words}\n");
    match QUEUE.get() {
        Some(queue) => queue.push(line.into_bytes()),
        None => {
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }
}

/// Waits until everything is written, but no longer than `patience`: standard error may be a pipe that nobody reads.
pub fn flush(patience: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(patience);
    }
}

/// One line of the log; what is written into it at once is one.
struct Line(&'static Queue);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const DROPPED: Family<0> = Family::counter(
    "taffrail_log_lines_dropped_total",
    "Lines of the log that could not be written to standard error.",
    [],
);

/// The families that tell of the log.
pub const FAMILIES: &[FamilyInfo] = &[DROPPED.info()];

/// Writes them.
pub fn write_families(out: &mut FamilyWriter<'_>) {
    out.value(&DROPPED, QUEUE.get().map_or(0, |queue| queue.dropped()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_left_out() {
        let ours = ["taffrail", "taffrail::sinks::sender"];
        let others = ["aws_config::profile", "aws_smithy_runtime", "hyper", "reqwest::connect", "taffrails"];
        assert!(ours.into_iter().all(is_ours) && !others.into_iter().any(is_ours));
    }
}
