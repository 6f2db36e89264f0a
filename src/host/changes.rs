//! Detects added and removed devices and modules by the kernel's netlink events (`NETLINK_KOBJECT_UEVENT`,
//! lib/kobject_uevent.c). Without an event, absent files are not opened and device directories are not listed: half of the
//! cost of a reading on a typical host.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::netlink::Socket;

/// Counts changes. Within a generation, the devices are the same.
#[derive(Debug, Default)]
pub struct Changes {
    generation: AtomicU64,
    /// The event socket; without one, everything may change at any time.
    is_heard: bool,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    socket: Option<Socket>,
    looks: u64,
}

impl Changes {
    /// For the trees of the running kernel.
    pub fn of_the_kernel() -> Self {
        let socket = Socket::hear_changes().ok();
        let is_heard = socket.is_some();
        Changes { generation: AtomicU64::new(0), is_heard, events: Mutex::new(Events { socket, looks: 0 }) }
    }

    /// Checks for events; to be called before each round of readings.
    pub fn look(&self) {
        /// Some files appear without an event. Every round with this number searches for them.
        const ROUNDS_WITHOUT_LOOKING: u64 = 64;
        if !self.is_heard {
            return;
        }
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.looks += 1;
        let nothing_came = events.socket.as_ref().is_some_and(Socket::is_silent);
        if !nothing_came {
            // A new socket discards the pending events, whose content does not matter. If it cannot be opened, the events
            // stay pending and the next check retries.
            if let Ok(socket) = Socket::hear_changes() {
                events.socket = Some(socket);
            }
        }
        if !nothing_came || events.looks.is_multiple_of(ROUNDS_WITHOUT_LOOKING) {
            self.generation.fetch_add(1, Relaxed);
        }
    }

    /// The number of changes; a new number at each call without events.
    pub fn generation(&self) -> u64 {
        if self.is_heard { self.generation.load(Relaxed) } else { self.generation.fetch_add(1, Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_events_everything_may_have_changed() {
        let changes = Changes::default();
        assert_ne!(changes.generation(), changes.generation());
        changes.look();
        assert_ne!(changes.generation(), changes.generation());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_number_changes_now_and_then_without_an_event() {
        let changes = Changes::of_the_kernel();
        assert!(changes.is_heard);
        let first = changes.generation();
        for _ in 0..64 {
            changes.look();
        }
        assert_ne!(changes.generation(), first);
    }
}
