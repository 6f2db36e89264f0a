//! Panics, as lines of the log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use super::Limited;

/// How many places are told apart.
const PLACES: usize = 64;

/// From here on, a panic is told in the log; one that comes again and again at the same place, once a minute.
pub(super) fn tell() {
    let places = Limited::new(PLACES);
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        if let Some(left_out) = places.tell(&place) {
            crate::say!("ERROR {}{left_out}", line(panic, &place));
        }
    }));
}

fn line(panic: &PanicHookInfo<'_>, place: &str) -> String {
    let thread = thread::current();
    let words = panic.payload_as_str().unwrap_or("no reason is given");
    let line = format!("the thread {} panicked at {place}: {words}", thread.name().unwrap_or("without a name"));
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured { format!("{line}\n{trace}") } else { line }
}
