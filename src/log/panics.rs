//! Logs panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use tracing::Level;

use super::Limited;
use super::record::Record;

/// Number of source locations that are distinguished.
const MAX_LOCATIONS: usize = 64;

/// Installs a hook that logs panics; repeated ones at the same location once a minute.
pub(super) fn install() {
    let locations = Limited::new(MAX_LOCATIONS);
    panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        if let Some(suppressed) = locations.allow(&location) {
            super::write(&Record::new(Level::ERROR, format!("{}{suppressed}", line(panic, &location))));
        }
    }));
}

fn line(panic: &PanicHookInfo<'_>, location: &str) -> String {
    let thread = thread::current();
    let words = panic.payload_as_str().unwrap_or("no reason is given");
    let line = format!("the thread {} panicked at {location}: {words}", thread.name().unwrap_or("without a name"));
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured { format!("{line}\n{trace}") } else { line }
}
