//! A request for readings, and what has arrived for it so far.

use std::time::Instant;

use tokio::sync::oneshot;

use super::reading::Outcome;
use crate::collectors::framework::Vocabularies;

/// Fires when the request has nothing left to wait for.
pub(super) type Completion = oneshot::Sender<()>;

/// A request for readings that is waiting.
pub(super) struct Request {
    /// Increases with each request.
    pub(super) number: u64,
    pub(super) wanted: Vocabularies,
    pub(super) asked: Instant,
    /// The deadline: the request completes without the readings that are still missing.
    pub(super) until: Instant,
    /// One for each slot.
    pub(super) parts: Vec<Part>,
    /// Number of parts that are still pending.
    pub(super) pending: usize,
    pub(super) completion: Option<Completion>,
}

/// One collector's part of a request.
#[derive(Clone)]
pub(super) enum Part {
    /// This collector was not requested.
    NotRequested,
    /// A reading that has not arrived.
    Pending,
    /// A reading that has arrived.
    Read(Outcome),
}
