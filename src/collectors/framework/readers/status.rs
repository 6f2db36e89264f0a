//! The state of the collectors, for people.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Readers;
use crate::collectors::framework::{About, Failure, Vocabularies};

/// The last completed reading of a collector.
pub(super) struct LastReading {
    pub(super) began: Instant,
    pub(super) took: Duration,
    pub(super) failure: Option<Arc<Failure>>,
}

/// The state of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectorState {
    /// No request has read it yet.
    Unread,
    /// The last reading was complete.
    Ok,
    /// The host has no such subsystem or device.
    Absent,
    /// The last reading was incomplete.
    Failing,
    /// Its reading takes longer than its timeout.
    Late,
    /// Its reading is blocked in a call that does not return.
    Hung,
}

impl CollectorState {
    /// Its name in `/status.json`.
    pub fn name(self) -> &'static str {
        match self {
            CollectorState::Unread => "unread",
            CollectorState::Ok => "ok",
            CollectorState::Absent => "absent",
            CollectorState::Failing => "failing",
            CollectorState::Late => "late",
            CollectorState::Hung => "hung",
        }
    }
}

/// A collector's state and last reading, for scrapes and sinks alike.
#[derive(Clone, Debug)]
pub struct CollectorStatus {
    /// The collector.
    pub about: &'static About,
    /// The vocabularies for which it is on.
    pub on: Vocabularies,
    /// Its state.
    pub state: CollectorState,
    /// The duration of its last completed reading.
    pub took: Option<Duration>,
    /// The time since that reading started.
    pub age: Option<Duration>,
    /// The time since its last complete reading started.
    pub success_age: Option<Duration>,
    /// Why the last reading is incomplete, or late.
    pub error: Option<String>,
}

impl Readers {
    /// The state of each collector that is on. Reads none of them.
    pub fn status(&self) -> Vec<CollectorStatus> {
        self.shared.check_progress();
        self.shared.step(|state, now| state.slots.iter().map(|slot| slot.status(now)).collect())
    }
}
