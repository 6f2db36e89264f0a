//! Whether devices or modules have come or gone: the kernel tells everybody who listens, by netlink
//! (`NETLINK_KOBJECT_UEVENT`, lib/kobject_uevent.c). While nothing happens, what was not there need not be looked for,
//! and directories of devices need not be listed: on a usual host that is half of a reading's cost.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::netlink::Socket;

/// Counts the changes. What was seen at one number is as it was at that number again.
#[derive(Debug, Default)]
pub struct Changes {
    generation: AtomicU64,
    /// Whether the kernel's events are heard; otherwise everything may change at any time.
    is_heard: bool,
    events: Mutex<Events>,
}

#[derive(Debug, Default)]
struct Events {
    socket: Option<Socket>,
    looks: u64,
}

impl Changes {
    /// For the running kernel's own trees.
    pub fn of_the_kernel() -> Self {
        let socket = Socket::hear_changes().ok();
        let is_heard = socket.is_some();
        Changes { generation: AtomicU64::new(0), is_heard, events: Mutex::new(Events { socket, looks: 0 }) }
    }

    /// Looks whether something has happened; to be called before each round of readings.
    pub fn look(&self) {
        /// Some files come without an event. They are looked for at every so-many-th round.
        const ROUNDS_WITHOUT_LOOKING: u64 = 64;
        if !self.is_heard {
            return;
        }
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.looks += 1;
        let nothing_came = events.socket.as_ref().is_some_and(Socket::is_silent);
        if !nothing_came {
            // A new socket has none of the events that wait in the old one: what they are does not matter.
            // Without one, the old one is not silent at the next look either, and another is asked for again.
            if let Ok(socket) = Socket::hear_changes() {
                events.socket = Some(socket);
            }
        }
        if !nothing_came || events.looks.is_multiple_of(ROUNDS_WITHOUT_LOOKING) {
            self.generation.fetch_add(1, Relaxed);
        }
    }

    /// How many changes there were; another number each time where the kernel's events are not heard.
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
