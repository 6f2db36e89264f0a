//! The protocol of one replica, without I/O: what happens goes in, [`Action`]s come out.
//!
//! A replica follows the stream until it holds the lease. Then it claims to be the writer. A claim succeeds only where the
//! replica has applied the whole stream. The writer has at most [`MAX_IN_FLIGHT`] messages in flight; their outcomes count in
//! order. The first one that is not stored where it was expected, or is unknown for too long, ends the writing: everything
//! in flight is undone, and the replica follows. A message that the stream stores nevertheless is applied like any other.
//!
//! The lease only keeps replicas from competing. Nothing that is lost or applied twice depends on it, or on clocks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::decided::{Decided, Effect, Violation};
use super::message::{self, Content, HEADER_BYTES, MAX_MESSAGE, Message};
use crate::gateway::groups::position::Position;
use crate::gateway::persistence::replica::{Batch, ReplicaStore};

/// Messages in flight.
pub const MAX_IN_FLIGHT: usize = 4;

/// How long a message may be unknown. Below the duplicate window of the stream, which is two minutes.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Pause before a message is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Pause before another claim.
const CLAIM_PAUSE: Duration = Duration::from_millis(250);

/// The groups, as the protocol sees them.
pub trait Store {
    /// The changes that are in no batch yet, about `max` bytes of them.
    fn next_batch(&mut self, max: usize) -> Option<Batch>;
    /// Bytes of these changes.
    fn waiting_bytes(&self) -> usize;
    /// A batch of this replica is decided.
    fn acknowledge(&mut self, batch: &Batch, position: Position);
    /// Applies decided records of another writer; returns whether they were readable.
    fn apply(&mut self, position: Position, records: &[u8]) -> bool;
    /// Begins a snapshot of the decided groups, in parts of at most `max` bytes; returns the sequence of their position.
    fn begin_snapshot(&mut self, max: usize) -> u64;
    /// The next part of the snapshot, and whether it is the last; none if it is not ready, or failed.
    fn next_part(&mut self) -> Option<(Vec<u8>, bool)>;
    /// Accepts changes from now on.
    fn begin_writing(&mut self);
    /// Undoes all changes that are not decided, and accepts no others.
    fn stop_writing(&mut self, reason: &str);
}

impl Store for ReplicaStore {
    fn waiting_bytes(&self) -> usize {
        ReplicaStore::waiting_bytes(self)
    }

    fn next_batch(&mut self, max: usize) -> Option<Batch> {
        ReplicaStore::next_batch(self, max)
    }

    fn acknowledge(&mut self, batch: &Batch, position: Position) {
        ReplicaStore::acknowledge(self, batch, position);
    }

    fn apply(&mut self, position: Position, records: &[u8]) -> bool {
        ReplicaStore::apply(self, position, records)
    }

    fn begin_snapshot(&mut self, max: usize) -> u64 {
        ReplicaStore::begin_snapshot(self, max)
    }

    fn next_part(&mut self) -> Option<(Vec<u8>, bool)> {
        ReplicaStore::next_part(self)
    }

    fn begin_writing(&mut self) {
        ReplicaStore::begin_writing(self);
    }

    fn stop_writing(&mut self, reason: &str) {
        ReplicaStore::stop_writing(self, reason);
    }
}

/// What a replica does at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It applies the stream.
    Following,
    /// It applies the stream, and has sent a claim.
    Claiming,
    /// It appends to the stream.
    Writing,
    /// It does nothing until a person acts.
    Stopped(String),
}

/// The outcome of a message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the stream, at this sequence.
    Stored(u64),
    /// The stream has another last sequence than expected.
    Refused,
    /// No answer, or none that says which.
    Unknown,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this message, after a pause.
    Publish {
        /// Its id.
        id: u128,
        /// The last sequence that it expects.
        expected: u64,
        /// Its bytes.
        message: Arc<[u8]>,
        /// How long to wait before.
        pause: Duration,
    },
    /// Read the stream from the message after this one.
    Follow(u64),
    /// Read it no longer.
    Unfollow,
    /// Remove messages up to this one from the stream: a snapshot replaces them.
    Purge(u64),
    /// Begin with a snapshot in the stream: messages that this replica needs were removed.
    Load,
}

/// A message that was sent, and whose outcome has not been counted.
struct InFlight {
    id: u128,
    expected: u64,
    message: Arc<[u8]>,
    /// The batch that is decided with it; none of a claim, or of a part that is not the last.
    batch: Option<Batch>,
    outcome: Option<Outcome>,
    deadline: Duration,
    /// The digest of all messages up to this one.
    chain: u64,
    /// With this last part of a snapshot, messages up to this one are not needed.
    purge: Option<u64>,
}

/// A message to be sent.
struct Prepared {
    part: u32,
    parts: u32,
    id: u128,
    payload: Vec<u8>,
    batch: Option<Batch>,
}

/// A snapshot that is being sent.
struct Snapshot {
    id: u128,
    base: u64,
    part: u32,
}

/// One replica. `now` is the time since an arbitrary moment.
pub struct Replica<S> {
    name: String,
    store: S,
    decided: Decided,
    role: Role,
    /// Until when the lease is held for certain; none if it is not, or not since the last [`Role::Writing`].
    lease_until: Option<Duration>,
    /// When it may claim.
    claim_at: Duration,
    in_flight: VecDeque<InFlight>,
    prepared: VecDeque<Prepared>,
    snapshot: Option<Snapshot>,
    /// Whether the last message was a part of the snapshot: parts and batches take turns.
    was_part: bool,
    new_id: Box<dyn FnMut() -> u128 + Send>,
    max_message: usize,
    actions: Vec<Action>,
}

impl<S: Store> Replica<S> {
    /// A replica whose groups are at this position. `new_id` returns a random number, never the same one twice.
    pub fn new(name: &str, store: S, position: Position, new_id: Box<dyn FnMut() -> u128 + Send>) -> Replica<S> {
        Replica {
            name: name.to_owned(),
            store,
            decided: Decided::new(position),
            role: Role::Following,
            lease_until: None,
            claim_at: Duration::ZERO,
            in_flight: VecDeque::new(),
            prepared: VecDeque::new(),
            snapshot: None,
            was_part: false,
            new_id,
            max_message: MAX_MESSAGE,
            actions: vec![Action::Follow(position.sequence)],
        }
    }

    /// Limits messages to this many bytes of payload.
    #[cfg(test)]
    pub(super) fn set_max_payload(&mut self, bytes: usize) {
        self.max_message = HEADER_BYTES + bytes;
    }

    /// Its role.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The position of the last message that it has read.
    pub fn position(&self) -> Position {
        self.decided.position()
    }

    /// The groups.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The groups, for the caller's own changes.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// What is to be done since the last call.
    pub fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The lease was acquired or renewed until this time, or lost.
    pub fn lease(&mut self, until: Option<Duration>, now: Duration) {
        self.lease_until = until;
        if until.is_none() && matches!(self.role, Role::Writing | Role::Claiming) {
            self.follow("another replica writes now", now);
        }
        self.advance(now);
    }

    /// There may be changes to send, or some time has passed.
    pub fn advance(&mut self, now: Duration) {
        match self.role {
            Role::Following if now >= self.claim_at && self.lease_until.is_some_and(|until| now < until) => {
                self.claim(now)
            }
            Role::Writing => self.send(now),
            _ => {}
        }
    }

    /// The stream has this message.
    pub fn read(&mut self, sequence: u64, bytes: &[u8], now: Duration) {
        // The writer knows its messages by their outcomes.
        if !matches!(self.role, Role::Following | Role::Claiming) {
            return;
        }
        let effect = match self.decided.read(sequence, bytes) {
            Ok(None) => return,
            Ok(Some(effect)) => effect,
            Err(Violation::Gap { .. }) => {
                self.actions.push(Action::Load);
                return;
            }
            Err(violation) => return self.stop(violation.to_string()),
        };
        let (records, claim) = match effect {
            Effect::Part => return,
            Effect::None | Effect::Snapshot => (Vec::new(), None),
            Effect::Claim { id } => (Vec::new(), Some(id)),
            Effect::Batch(records) => (records, None),
        };
        if !self.store.apply(self.decided.position(), &records) {
            return self.stop(format!("message {sequence} of the stream has records that this version cannot read"));
        }
        if self.in_flight.front().is_some_and(|sent| Some(sent.id) == claim) {
            return self.write(now);
        }
        self.advance(now);
    }

    /// The outcome of the message with this id.
    pub fn published(&mut self, id: u128, outcome: Outcome, now: Duration) {
        let Some(sent) = self.in_flight.iter_mut().find(|sent| sent.id == id && sent.outcome.is_none()) else { return };
        if outcome == Outcome::Unknown {
            if now < sent.deadline {
                let (expected, message) = (sent.expected, sent.message.clone());
                return self.actions.push(Action::Publish { id, expected, message, pause: RETRY_PAUSE });
            }
            return self.follow("the stream did not acknowledge it in time", now);
        }
        sent.outcome = Some(outcome);
        while let Some(outcome) = self.in_flight.front().and_then(|sent| sent.outcome) {
            let is_in_place = |sent: &InFlight| outcome == Outcome::Stored(sent.expected + 1);
            match self.in_flight.front() {
                Some(sent) if is_in_place(sent) => self.stored(now),
                _ => return self.follow("another replica writes now", now),
            }
        }
        self.advance(now);
    }

    /// Stops: a person has to act.
    pub fn stop(&mut self, reason: String) {
        if !matches!(self.role, Role::Stopped(_)) {
            self.clear();
            self.store.stop_writing(&reason);
            self.role = Role::Stopped(reason);
            self.actions.push(Action::Unfollow);
        }
    }

    /// Ends the writing, as for a drain.
    pub fn end(&mut self, now: Duration) {
        self.lease_until = None;
        if matches!(self.role, Role::Writing | Role::Claiming) {
            self.follow("the gateway is ending", now);
        }
    }

    /// Whether it has sent everything, and knows what became of it.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.prepared.is_empty()
    }

    /// The first message in flight is stored where it was expected.
    fn stored(&mut self, now: Duration) {
        let Some(sent) = self.in_flight.pop_front() else { return };
        match self.decided.read(sent.expected + 1, &sent.message) {
            Ok(Some(Effect::Claim { .. })) => {
                self.store.apply(self.decided.position(), &[]);
                self.write(now);
            }
            Ok(Some(Effect::Batch(_))) if sent.batch.is_some() => {
                let position = self.decided.position();
                sent.batch.iter().for_each(|batch| self.store.acknowledge(batch, position));
            }
            Ok(Some(Effect::Part)) => {}
            Ok(Some(Effect::Snapshot)) => self.actions.extend(sent.purge.map(Action::Purge)),
            // A claim that was read from the stream before.
            Ok(None) if self.role == Role::Claiming => self.follow("another replica writes now", now),
            other => self.stop(format!("message {} of the stream is not what was sent: {other:?}", sent.expected + 1)),
        }
    }

    fn claim(&mut self, now: Duration) {
        self.role = Role::Claiming;
        let (name, id) = (self.name.clone(), (self.new_id)());
        self.publish(id, Message { id, epoch: 0, expected: 0, chain: 0, content: Content::Claim(&name) }, None, now);
    }

    /// The claim is in the stream.
    fn write(&mut self, now: Duration) {
        self.in_flight.clear();
        self.role = Role::Writing;
        self.actions.push(Action::Unfollow);
        self.store.begin_writing();
        self.advance(now);
    }

    /// Writes a snapshot to the stream, so that the messages before it can be removed.
    pub fn snapshot(&mut self, now: Duration) {
        if self.role == Role::Writing && self.snapshot.is_none() {
            let base = self.store.begin_snapshot(self.max_message - HEADER_BYTES);
            self.snapshot = Some(Snapshot { id: (self.new_id)(), base, part: 0 });
            self.advance(now);
        }
    }

    /// Sends the next part of the snapshot; returns whether there was one.
    fn send_part(&mut self, now: Duration) -> bool {
        let Some(Snapshot { id, base, part }) = self.snapshot else { return false };
        let Some((payload, is_last)) = self.store.next_part() else { return false };
        let content = Content::Snapshot { base, part, is_last, payload: &payload };
        let epoch = self.decided.position().claim;
        self.publish(id ^ u128::from(part), Message { id, epoch, expected: 0, chain: 0, content }, None, now);
        if is_last && let Some(last) = self.in_flight.back_mut() {
            last.purge = Some(base);
        }
        self.snapshot = (!is_last).then_some(Snapshot { id, base, part: part + 1 });
        true
    }

    fn send(&mut self, now: Duration) {
        while self.in_flight.len() < MAX_IN_FLIGHT && self.is_worthwhile() {
            // The parts of a batch follow one another.
            self.was_part = self.prepared.is_empty() && !self.was_part && self.send_part(now);
            if self.was_part {
                continue;
            }
            if self.prepared.is_empty() {
                match self.store.next_batch(self.max_message - HEADER_BYTES) {
                    Some(batch) => self.prepare(batch),
                    None if self.send_part(now) => continue,
                    None => return,
                }
            }
            let Some(Prepared { part, parts, id, payload, batch }) = self.prepared.pop_front() else { return };
            let content = Content::Batch { part, parts, payload: &payload };
            let epoch = self.decided.position().claim;
            // Parts share the id of their batch; each message has one of its own.
            let message_id = id ^ u128::from(part);
            self.publish(message_id, Message { id, epoch, expected: 0, chain: 0, content }, batch, now);
        }
    }

    /// Whether another message is to be sent now. The servers' work for a message is the same for one change and for hundreds, so
    /// behind other messages, changes wait until they have as many bytes as those, or fill a message.
    fn is_worthwhile(&self) -> bool {
        let in_flight: usize = self.in_flight.iter().map(|sent| sent.message.len()).sum();
        let has_parts = !self.prepared.is_empty() || self.snapshot.is_some();
        has_parts || self.store.waiting_bytes() >= in_flight.min(self.max_message)
    }

    fn prepare(&mut self, batch: Batch) {
        let max = self.max_message - HEADER_BYTES;
        let parts = batch.records.len().div_ceil(max).max(1) as u32;
        let id = (self.new_id)();
        for part in 0..parts {
            let (from, is_last) = (part as usize * max, part + 1 == parts);
            let payload = batch.records[from..batch.records.len().min(from + max)].to_vec();
            let batch = is_last.then(|| batch.clone());
            self.prepared.push_back(Prepared { part, parts, id, payload, batch });
        }
    }

    /// Sends a message where the last one in flight will be.
    fn publish(&mut self, id: u128, message: Message<'_>, batch: Option<Batch>, now: Duration) {
        let position = self.decided.position();
        let expected = position.sequence + self.in_flight.len() as u64;
        let before = self.in_flight.back().map_or(position.chain, |last| last.chain);
        let message: Arc<[u8]> = Message { expected, chain: before, ..message }.encode().into();
        let chain = message::chain(before, message::digest(&message));
        self.actions.push(Action::Publish { id, expected, message: message.clone(), pause: Duration::ZERO });
        self.in_flight.push_back(InFlight {
            id,
            expected,
            message,
            batch,
            outcome: None,
            deadline: now + DEADLINE,
            chain,
            purge: None,
        });
    }

    /// Undoes what is in flight, and reads the stream.
    fn follow(&mut self, reason: &str, now: Duration) {
        let was_writing = self.role == Role::Writing;
        self.clear();
        self.role = Role::Following;
        // Until the next renewal: another replica may hold the lease by now, and expose the groups.
        self.lease_until = None;
        self.claim_at = now + CLAIM_PAUSE;
        self.store.stop_writing(reason);
        if was_writing {
            self.actions.push(Action::Follow(self.decided.position().sequence));
        }
    }

    fn clear(&mut self) {
        self.in_flight.clear();
        self.prepared.clear();
        self.snapshot = None;
    }
}
