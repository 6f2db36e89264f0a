//! What the stream has decided: the one rule that all replicas apply, from the stream alone.
//!
//! A message has an effect only if it is where its writer expected it, and if its writer has not been replaced by a later
//! claim. The first excludes that a message is stored twice or behind a gap. The second is needed because a writer sends
//! messages before the ones before them are acknowledged, with predicted sequences: if one is lost, the claim of another
//! replica may take its sequence, and the next message of the old writer then arrives where it was expected. For the same
//! reason a message without effect ends the writing: it takes the sequence of one that the writer may have sent.
//!
//! Each message has a digest of all messages before it. If servers have lost messages, and another replica has appended
//! others in their place, a replica that had applied the lost ones notices.

use super::message::{self, Content, Message, Unreadable};
use crate::gateway::groups::position::Position;

/// Reads the stream in order.
#[derive(Debug)]
pub struct Decided {
    position: Position,
    /// A batch whose last part has not been read.
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    id: u128,
    next: u32,
    records: Vec<u8>,
}

/// The effect of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None; the position moves, and there is no writer.
    None,
    /// None yet: a part of a batch.
    Part,
    /// None: a part of a snapshot, for others.
    Snapshot,
    /// Another writer.
    Claim {
        /// The id of the message.
        id: u128,
    },
    /// Records to apply.
    Batch(Vec<u8>),
}

/// Why a replica must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Messages are missing.
    #[error("the stream continues at message {found}, and message {wanted} was expected")]
    Gap {
        /// The next sequence.
        wanted: u64,
        /// That of the message.
        found: u64,
    },
    /// The writer of a message has read other messages before it.
    #[error("the stream has lost messages that this replica has applied, and has others before message {sequence}")]
    Other {
        /// The message.
        sequence: u64,
    },
    /// A message cannot be read.
    #[error("message {sequence} of the stream cannot be read: {reason}")]
    Unreadable {
        /// The message.
        sequence: u64,
        /// Why.
        reason: Unreadable,
    },
}

impl Decided {
    /// Continues after this position.
    pub fn new(position: Position) -> Decided {
        Decided { position, parts: None }
    }

    /// The position of the last message, including parts of a batch that is not complete.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Reads the message at `sequence`; none if it was read before.
    ///
    /// # Errors
    /// The replica must stop.
    pub fn read(&mut self, sequence: u64, bytes: &[u8]) -> Result<Option<Effect>, Violation> {
        let wanted = self.position.sequence + 1;
        if sequence < wanted {
            return Ok(None);
        }
        if sequence > wanted {
            return Err(Violation::Gap { wanted, found: sequence });
        }
        let message = match message::decode(bytes) {
            Ok(message) => Some(message),
            Err(Unreadable::Foreign) => None,
            Err(reason) => return Err(Violation::Unreadable { sequence, reason }),
        };
        let effect = match message.filter(|message| message.expected == sequence - 1) {
            Some(message) => self.effect(sequence, &message)?,
            None => Effect::None,
        };
        self.position.sequence = sequence;
        self.position.last = message::digest(bytes);
        self.position.chain = message::chain(self.position.chain, self.position.last);
        self.position.is_open &= effect != Effect::None;
        if effect != Effect::Part {
            self.parts = None;
        }
        Ok(Some(effect))
    }

    fn effect(&mut self, sequence: u64, message: &Message<'_>) -> Result<Effect, Violation> {
        let Position { claim, is_open, chain, .. } = self.position;
        let is_of_writer = match message.content {
            Content::Claim(_) => true,
            Content::Batch { .. } | Content::Snapshot { .. } => message.epoch == claim && is_open,
        };
        // A claim that this replica has not read, or other messages than it has read.
        if message.epoch > claim || (is_of_writer && message.chain != chain) {
            return Err(Violation::Other { sequence });
        }
        Ok(match message.content {
            Content::Batch { part, parts, payload } if is_of_writer => self.part(message.id, part, parts, payload),
            Content::Snapshot { .. } if is_of_writer => Effect::Snapshot,
            Content::Batch { .. } | Content::Snapshot { .. } => Effect::None,
            Content::Claim(_) => {
                (self.position.claim, self.position.is_open) = (sequence, true);
                Effect::Claim { id: message.id }
            }
        })
    }

    fn part(&mut self, id: u128, part: u32, parts: u32, payload: &[u8]) -> Effect {
        let known = self.parts.take().filter(|known| known.id == id && known.next == part);
        let mut records = match (part, known) {
            (0, _) => Vec::new(),
            (_, Some(known)) => known.records,
            (_, None) => return Effect::None,
        };
        let Some(next) = part.checked_add(1).filter(|next| *next <= parts) else { return Effect::None };
        records.extend_from_slice(payload);
        if next == parts {
            return Effect::Batch(records);
        }
        self.parts = Some(Parts { id, next, records });
        Effect::Part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::groups::position::Identity;

    #[test]
    fn a_part_after_the_last_one_has_no_effect() {
        for (part, parts) in [(0, 0), (3, 3), (u32::MAX, 3), (u32::MAX, u32::MAX)] {
            let mut decided = Decided::new(Position::start(Identity { id: 7, created: 1 }));
            decided.parts = Some(Parts { id: 1, next: part, records: Vec::new() });
            assert_eq!(decided.part(1, part, parts, b"records"), Effect::None, "{part} of {parts}");
        }
    }
}
