//! What only a replica has: changes on their way to the stream, and the position of its log.

use std::collections::VecDeque;

use crate::gateway::groups::position::Position;
use crate::gateway::groups::record::{self, Record};
use crate::gateway::groups::state::State;

/// The part of the shared state that only a replica has.
#[derive(Default)]
pub(super) struct Replicated {
    /// Records of changes that are in no batch yet, with their numbers.
    pub(super) unsent: VecDeque<(u64, Vec<u8>)>,
    pub(super) unsent_bytes: usize,
    /// Whether changes are accepted: this replica is the writer.
    pub(super) is_writing: bool,
    /// The position of the decided state; none before the first message of a new replica.
    pub(super) decided: Option<Position>,
    /// The sequence up to which the log is a copy.
    pub(super) persisted: u64,
    /// Whether the log lacks decided batches, and gets no others until a snapshot.
    pub(super) lacks_batches: bool,
    /// Why the log cannot be written, and what to do, while that lasts.
    pub(super) failure: Option<String>,
}

impl Replicated {
    /// Continues with what the directory held.
    pub(super) fn opened(mut self, copy: Copy) -> Replicated {
        if let Copy::At(position) = copy {
            (self.decided, self.persisted) = (Some(position), position.sequence);
        }
        self
    }

    pub(super) fn append(&mut self, change: u64, record: Vec<u8>) {
        self.unsent_bytes += record.len();
        self.unsent.push_back((change, record));
    }

    pub(super) fn clear_unsent(&mut self) {
        (self.unsent, self.unsent_bytes) = (VecDeque::new(), 0);
    }

    pub(super) fn sequence(&self) -> u64 {
        self.decided.map_or(0, |position| position.sequence)
    }

    pub(super) fn persisted_up_to(&mut self, sequence: u64) {
        self.persisted = sequence;
    }
}

/// What a replica's directory held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// No groups and no position.
    Empty,
    /// A copy up to this position.
    At(Position),
    /// Groups that belong to no stream.
    Foreign,
    /// A damaged copy.
    Damaged,
}

/// Finds the position of a log while it is replayed.
#[derive(Default)]
pub(super) struct Replay {
    position: Option<Position>,
    /// Whether a batch is missing: later ones do not count.
    has_gap: bool,
}

impl Replay {
    /// Applies a record to the state; returns whether it was readable.
    pub(super) fn replay(&mut self, state: &mut State, payload: &[u8]) -> bool {
        let Some(record) = record::decode(payload) else { return false };
        let Record::Decided(decided) = &record else {
            // A single gateway wrote it.
            self.position = None;
            return state.replay(&record);
        };
        let (sequence, previous) = (decided.position.sequence, decided.previous);
        let known = self.position.map_or(0, |position| position.sequence);
        let is_end_of_snapshot = sequence == previous && decided.batch.is_empty();
        let is_next = previous == known && self.position.is_none_or(|at| at.identity == decided.position.identity);
        if !is_end_of_snapshot && (self.has_gap || !is_next) {
            self.has_gap = true;
            return true;
        }
        self.position = Some(decided.position);
        state.replay(&record)
    }

    pub(super) fn copy(&self, state: &State, is_damaged: bool) -> Copy {
        match self.position {
            _ if is_damaged => Copy::Damaged,
            Some(position) => Copy::At(position),
            None if state.groups() == 0 => Copy::Empty,
            None => Copy::Foreign,
        }
    }
}
