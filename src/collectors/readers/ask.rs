//! Somebody who asks for readings, and what he has got so far.

use std::time::Instant;

use tokio::sync::oneshot;

use super::answer::Outcome;
use crate::collectors::Vocabularies;

/// Rings when the ask waits for nothing any more.
pub(super) type Bell = oneshot::Sender<()>;

/// Somebody who waits for readings.
pub(super) struct Ask {
    /// Later ones have higher numbers.
    pub(super) number: u64,
    pub(super) wanted: Vocabularies,
    pub(super) asked: Instant,
    /// He goes on without what has not come by then.
    pub(super) until: Instant,
    /// One for each slot.
    pub(super) parts: Vec<Part>,
    /// How many parts are wanted and have not come.
    pub(super) open: usize,
    pub(super) bell: Option<Bell>,
}

/// What one ask wants of one collector.
#[derive(Clone)]
pub(super) enum Part {
    /// Nothing.
    Unasked,
    /// A reading, which has not come.
    Open,
    /// This, which has come.
    Read(Outcome),
}
