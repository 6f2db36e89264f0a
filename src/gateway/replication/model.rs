//! The protocol, checked by random schedules: messages are delayed, reordered, lost and sent twice, acknowledgements are
//! lost, readers start over, replicas crash and continue with an old copy, and any number of replicas hold the lease.
//!
//! Each change carries a digest of all changes before it. A replica that applies one after any others than those that it
//! was planned on fails the test.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::decided::{Decided, Effect};
use super::message::{self, Content};
use super::replica::{Action, DEADLINE, Outcome, Replica, Role, Store};
use crate::gateway::groups::position::{Identity, Position};
use crate::gateway::groups::record::push_to_batch;
use crate::gateway::persistence::replica::Batch;

const IDENTITY: Identity = Identity { id: 7, created: 1 };
/// How long a renewal of the lease is valid.
const LEASE: Duration = Duration::from_secs(4);

/// Payload of a message, at most: some changes are larger.
const MAX_PAYLOAD: usize = 64;

/// Groups that hold nothing but the numbers of their changes.
#[derive(Default)]
struct Groups {
    hasher: RandomState,
    decided: Vec<u64>,
    /// Changes that are not decided, with their numbers in this replica.
    pending: VecDeque<(u64, u64)>,
    unsent: VecDeque<(u64, Vec<u8>)>,
    last: u64,
    is_writing: bool,
    acknowledged: Vec<u64>,
    /// The position of `decided`.
    position: Option<Position>,
    /// The parts of a snapshot.
    parts: VecDeque<Vec<u8>>,
    /// Every position that the log was at, with the number of changes.
    positions: Vec<(Position, usize)>,
}

impl Groups {
    fn digest(&self, changes: impl Iterator<Item = u64>) -> u64 {
        changes.fold(0, |digest, change| self.hasher.hash_one((digest, change)))
    }

    /// Plans the change of this number, which takes `bytes` more than needed.
    fn plan(&mut self, change: u64, bytes: usize) {
        let pending: Vec<u64> = self.pending.iter().map(|(_, change)| *change).collect();
        let digest = self.digest(self.decided.iter().copied().chain(pending));
        let mut record = [change.to_le_bytes(), digest.to_le_bytes()].concat();
        record.resize(16 + bytes, 0);
        self.last += 1;
        self.pending.push_back((self.last, change));
        self.unsent.push_back((self.last, record));
    }

    fn apply_records(&mut self, mut records: &[u8]) -> Vec<u64> {
        let mut changes = Vec::new();
        while let Some((length, rest)) = records.split_at_checked(4) {
            let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
            let number = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
            assert_eq!(number(8), self.digest(self.decided.iter().copied()), "applied after others than planned on");
            self.decided.push(number(0));
            changes.push(number(0));
            records = &rest[length..];
        }
        changes
    }
}

impl Store for Groups {
    /// Enough for another message: as many messages are in flight as possible.
    fn waiting_bytes(&self) -> usize {
        usize::MAX
    }

    fn next_batch(&mut self, max: usize) -> Option<Batch> {
        let mut batch = Batch { last_change: self.unsent.front()?.0, records: Vec::new() };
        while let Some((change, record)) = self.unsent.front() {
            if !batch.records.is_empty() && batch.records.len() + record.len() + 4 > max {
                break;
            }
            push_to_batch(&mut batch.records, record).unwrap();
            batch.last_change = *change;
            self.unsent.pop_front();
        }
        Some(batch)
    }

    fn acknowledge(&mut self, batch: &Batch, position: Position) {
        let decided = self.apply_records(&batch.records);
        for change in decided {
            assert_eq!(self.pending.pop_front().map(|(_, pending)| pending), Some(change));
            self.acknowledged.push(change);
        }
        self.positions.push((position, self.decided.len()));
        self.position = Some(position);
    }

    fn apply(&mut self, position: Position, records: &[u8]) -> bool {
        assert!(self.pending.is_empty() && !self.is_writing);
        self.apply_records(records);
        self.positions.push((position, self.decided.len()));
        self.position = Some(position);
        true
    }

    fn begin_snapshot(&mut self, max: usize) -> u64 {
        let bytes: Vec<u8> = self.decided.iter().flat_map(|change| change.to_le_bytes()).collect();
        self.parts = bytes.chunks(max).map(<[u8]>::to_vec).collect();
        if self.parts.is_empty() {
            self.parts.push_back(Vec::new());
        }
        self.position.unwrap().sequence
    }

    fn next_part(&mut self) -> Option<(Vec<u8>, bool)> {
        let part = self.parts.pop_front()?;
        Some((part, self.parts.is_empty()))
    }

    fn begin_writing(&mut self) {
        self.is_writing = true;
    }

    fn stop_writing(&mut self, _: &str) {
        self.is_writing = false;
        self.pending.clear();
        self.unsent.clear();
    }
}

/// A message on its way to the stream.
struct Sent {
    replica: usize,
    life: u64,
    id: u128,
    expected: u64,
    message: Arc<[u8]>,
    /// The digest of the last message that its sender has applied.
    last: u32,
}

#[derive(Default)]
struct Stream {
    /// All messages, also those that were purged.
    messages: Vec<Arc<[u8]>>,
    /// How many were purged.
    purged: u64,
    /// The ids of the duplicate window.
    ids: HashMap<u128, u64>,
}

impl Stream {
    fn store(&mut self, sent: &Sent) -> Outcome {
        if let Some(sequence) = self.ids.get(&sent.id) {
            return Outcome::Stored(*sequence);
        }
        if sent.expected != self.messages.len() as u64 {
            return Outcome::Refused;
        }
        // The driver does not send a claim after another message than the last one that was applied.
        let is_claim = matches!(message::decode(&sent.message).unwrap().content, Content::Claim(_));
        if is_claim && self.messages.last().is_some_and(|last| message::digest(last) != sent.last) {
            return Outcome::Refused;
        }
        self.messages.push(sent.message.clone());
        self.ids.insert(sent.id, self.messages.len() as u64);
        Outcome::Stored(self.messages.len() as u64)
    }

    /// The changes that count.
    fn decided(&self) -> Vec<u64> {
        let mut decided = Decided::new(Position::start(IDENTITY));
        let mut changes = Vec::new();
        for (index, message) in self.messages.iter().enumerate() {
            match decided.read(index as u64 + 1, message) {
                Ok(Some(Effect::Batch(records))) => changes.extend(numbers(&records)),
                Ok(_) => {}
                // Every replica stops here.
                Err(_) => break,
            }
        }
        changes
    }
}

/// The numbers of the changes in these records.
fn numbers(mut records: &[u8]) -> Vec<u64> {
    let mut changes = Vec::new();
    while let Some((length, rest)) = records.split_at_checked(4) {
        changes.push(u64::from_le_bytes(rest[..8].try_into().unwrap()));
        records = &rest[u32::from_le_bytes(length.try_into().unwrap()) as usize..];
    }
    changes
}

struct Member {
    replica: Replica<Groups>,
    /// Counts restarts.
    life: u64,
    /// The last message that its reader has passed on; none if it does not read.
    read: Option<u64>,
}

struct Model {
    random: fastrand::Rng,
    now: Duration,
    hasher: RandomState,
    stream: Stream,
    members: Vec<Member>,
    sent: Vec<Sent>,
    outcomes: Vec<(usize, u64, u128, Outcome)>,
    changes: u64,
    /// All changes that were acknowledged, by any life of any replica.
    acknowledged: BTreeSet<u64>,
    /// Whether the servers may lose messages.
    is_lossy: bool,
    /// How often each thing happened.
    seen: BTreeMap<&'static str, u64>,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut model = Model {
            random: fastrand::Rng::with_seed(seed),
            now: Duration::ZERO,
            hasher: RandomState::new(),
            stream: Stream::default(),
            members: Vec::new(),
            sent: Vec::new(),
            outcomes: Vec::new(),
            changes: 0,
            acknowledged: BTreeSet::new(),
            is_lossy: false,
            seen: BTreeMap::new(),
        };
        for _ in 0..3 {
            let replica = model.replica(Position::start(IDENTITY), Vec::new());
            model.members.push(Member { replica, life: 0, read: None });
        }
        model
    }

    fn replica(&mut self, position: Position, decided: Vec<u64>) -> Replica<Groups> {
        let groups = Groups { hasher: self.hasher.clone(), decided, ..Groups::default() };
        let mut ids = self.random.fork();
        // The lowest bits number the parts.
        let mut replica = Replica::new("replica", groups, position, Box::new(move || ids.u128(..) << 8));
        replica.set_max_payload(MAX_PAYLOAD);
        replica
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Carries out the actions of a replica, and collects its acknowledgements.
    fn carry_out(&mut self, index: usize) {
        let mut loads = false;
        let member = &mut self.members[index];
        for action in member.replica.actions() {
            match action {
                Action::Publish { id, expected, message, .. } => {
                    let (life, last) = (member.life, member.replica.position().last);
                    self.sent.push(Sent { replica: index, life, id, expected, message, last });
                }
                Action::Follow(after) => member.read = Some(after),
                Action::Unfollow => member.read = None,
                Action::Purge(up_to) => self.stream.purged = self.stream.purged.max(up_to),
                Action::Load => loads = true,
            }
        }
        self.acknowledged.extend(member.replica.store_mut().acknowledged.drain(..));
        let has_stopped = matches!(member.replica.role(), Role::Stopped(_));
        assert!(!has_stopped || self.is_lossy, "{:?}", member.replica.role());
        if loads {
            self.load(index);
        }
    }

    fn step(&mut self) {
        let index = self.random.usize(0..self.members.len());
        match self.random.u8(0..100) {
            0..18 => {
                let bytes = if self.random.u8(0..6) == 0 { self.random.usize(0..200) } else { 0 };
                let groups = self.members[index].replica.store_mut();
                if groups.is_writing {
                    self.changes += 1;
                    groups.plan(self.changes, bytes);
                }
            }
            18 if !self.is_lossy => self.members[index].replica.snapshot(self.now),
            18 => {}
            19..30 => self.members[index].replica.advance(self.now),
            30..52 => self.deliver(),
            52..66 => self.answer(),
            66..88 => self.read(index),
            88..93 => {
                let until =
                    (self.random.u8(0..3) > 0).then(|| self.now + Duration::from_millis(self.random.u64(0..4000)));
                self.members[index].replica.lease(until, self.now);
            }
            93..97 => self.now += Duration::from_millis(self.random.u64(0..8000)),
            97 => self.stream.ids.clear(),
            98 if self.random.u8(0..3) == 0 => self.crash(index),
            _ => {
                // Its reader starts over.
                let member = &mut self.members[index];
                member.read = member.read.map(|read| self.random.u64(0..=read));
            }
        }
        self.carry_out(index);
    }

    /// A message arrives at the stream, in any order, or is lost, or its outcome is unknown.
    fn deliver(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = if self.random.bool() { 0 } else { self.random.usize(0..self.sent.len()) };
        let (replica, life, id) = (self.sent[at].replica, self.sent[at].life, self.sent[at].id);
        match self.random.u8(0..20) {
            // It is late: it arrives after its sender has given it up.
            0 => self.outcomes.push((replica, life, id, Outcome::Unknown)),
            1 => {
                self.count("lost");
                self.sent.remove(at);
                self.outcomes.push((replica, life, id, Outcome::Unknown));
            }
            2 => {
                self.count("acknowledgement lost");
                self.stream.store(&self.sent[at]);
                self.sent.remove(at);
                self.outcomes.push((replica, life, id, Outcome::Unknown));
            }
            _ => {
                let sent = self.sent.remove(at);
                let outcome = self.stream.store(&sent);
                self.count(if outcome == Outcome::Refused { "refused" } else { "stored" });
                self.outcomes.push((replica, life, id, outcome));
            }
        }
    }

    fn answer(&mut self) {
        if self.outcomes.is_empty() {
            return;
        }
        let at = if self.random.bool() { 0 } else { self.random.usize(0..self.outcomes.len()) };
        let (index, life, id, outcome) = self.outcomes.remove(at);
        if self.members[index].life == life {
            self.members[index].replica.published(id, outcome, self.now);
            self.carry_out(index);
        }
    }

    fn read(&mut self, index: usize) {
        let member = &mut self.members[index];
        let Some(read) = &mut member.read else { return };
        *read = (*read).max(self.stream.purged);
        if let Some(message) = self.stream.messages.get(*read as usize) {
            *read += 1;
            member.replica.read(*read, message, self.now);
        }
    }

    /// The replica begins with the snapshot of the first message that the stream still has.
    fn load(&mut self, index: usize) {
        let base = self.stream.purged;
        let (mut parts, mut found): (BTreeMap<u128, Vec<u8>>, _) = (BTreeMap::new(), None);
        for message in &self.stream.messages[base as usize..] {
            let message = message::decode(message).unwrap();
            if let Content::Snapshot { base: of, is_last, payload, .. } = message.content
                && of == base
            {
                // The lowest bits number the parts.
                let snapshot = parts.entry(message.id >> 8).or_default();
                snapshot.extend_from_slice(payload);
                if is_last {
                    found = Some(snapshot.clone());
                    break;
                }
            }
        }
        self.count("load");
        let bytes = found.expect("the stream has no snapshot");
        let decided: Vec<u64> = bytes.chunks(8).map(|change| u64::from_le_bytes(change.try_into().unwrap())).collect();
        let mut known = Decided::new(Position::start(IDENTITY));
        for (message, sequence) in self.stream.messages.iter().zip(1..=base) {
            known.read(sequence, message).unwrap();
        }
        let positions = vec![(known.position(), decided.len())];
        let replica = self.replica(known.position(), decided);
        self.members[index].replica = replica;
        self.members[index].life += 1;
        let groups = self.members[index].replica.store_mut();
        (groups.position, groups.positions) = (Some(known.position()), positions);
        self.carry_out(index);
    }

    /// The replica continues with a copy of any age.
    fn crash(&mut self, index: usize) {
        self.count("crash");
        if !self.is_lossy {
            self.check(index);
        }
        let groups = self.members[index].replica.store();
        let mut positions = groups.positions.clone();
        positions.push((Position::start(IDENTITY), 0));
        let (position, count) = positions[self.random.usize(0..positions.len())];
        let decided = groups.decided[..count].to_vec();
        let replica = self.replica(position, decided);
        let groups = &mut self.members[index];
        groups.replica = replica;
        groups.life += 1;
        let kept: Vec<_> = positions.into_iter().filter(|(_, changes)| *changes <= count).collect();
        self.members[index].replica.store_mut().positions = kept;
    }

    /// What a replica has decided is the beginning of what the stream holds.
    fn check(&self, index: usize) {
        let (decided, groups) = (self.stream.decided(), self.members[index].replica.store());
        assert!(decided.starts_with(&groups.decided), "{decided:?} {:?}", groups.decided);
    }

    /// Everything works again: one replica has the lease, and all messages arrive.
    fn heal(&mut self) {
        for index in 0..self.members.len() {
            self.members[index].replica.lease(None, self.now);
            self.carry_out(index);
        }
        for round in 0..2000 {
            self.now += Duration::from_millis(100);
            self.members[0].replica.lease(Some(self.now + LEASE), self.now);
            for sent in std::mem::take(&mut self.sent) {
                let outcome = self.stream.store(&sent);
                self.outcomes.push((sent.replica, sent.life, sent.id, outcome));
            }
            for (index, life, id, outcome) in std::mem::take(&mut self.outcomes) {
                if self.members[index].life == life {
                    self.members[index].replica.published(id, outcome, self.now);
                }
            }
            for index in 0..self.members.len() {
                self.read(index);
                self.members[index].replica.advance(self.now);
                self.carry_out(index);
            }
            let groups = self.members[0].replica.store_mut();
            if round == 1900 {
                assert!(groups.is_writing, "there is no writer");
                self.changes += 1;
                groups.plan(self.changes, 300);
            }
        }
        assert!(self.acknowledged.contains(&self.changes), "a change is not acknowledged");
    }

    fn end(&self) {
        let decided = self.stream.decided();
        let unique: BTreeSet<u64> = decided.iter().copied().collect();
        assert_eq!(unique.len(), decided.len(), "applied twice: {decided:?}");
        let lost: Vec<_> = self.acknowledged.difference(&unique).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        for member in &self.members {
            assert_eq!(member.replica.store().decided, decided);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_applied_twice() {
    let schedules = std::env::var("TAFFRAIL_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..schedules {
        let mut model = Model::new(seed);
        for _ in 0..600 {
            model.step();
        }
        model.heal();
        model.end();
        *seen.entry("acknowledged").or_default() += model.acknowledged.len() as u64;
        model.seen.iter().for_each(|(what, count)| *seen.entry(what).or_default() += count);
    }
    assert!(seen["load"] > schedules / 4, "{seen:?}");
    for what in ["acknowledged", "acknowledgement lost", "crash", "lost", "refused", "stored"] {
        assert!(seen.get(what).is_some_and(|count| *count > schedules), "{what} is too rare: {seen:?}");
    }
}

/// After a pause of its process, a replica that was the writer may learn that its messages have no outcome before it learns
/// that its lease has expired.
#[test]
fn a_former_writer_claims_only_after_another_renewal_of_its_lease() {
    let mut model = Model::new(0);
    let publishes = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Publish { .. }));
    let id = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Publish { id, .. } => Some(*id),
            _ => None,
        })
    };
    let mut replica = model.replica(Position::start(IDENTITY), Vec::new());
    replica.lease(Some(model.now + LEASE), model.now);
    let claim = id(&replica.actions()).unwrap();
    replica.published(claim, Outcome::Stored(1), model.now);
    assert_eq!(*replica.role(), Role::Writing);
    replica.store_mut().plan(1, 0);
    replica.advance(model.now);
    let change = id(&replica.actions()).unwrap();

    model.now += DEADLINE + Duration::from_secs(1);
    replica.published(change, Outcome::Unknown, model.now);
    model.now += Duration::from_secs(1);
    replica.advance(model.now);
    assert_eq!(*replica.role(), Role::Following);
    assert!(!publishes(&replica.actions()));

    replica.lease(Some(model.now + LEASE), model.now);
    assert_eq!(*replica.role(), Role::Claiming);
    assert!(publishes(&replica.actions()));
}

/// The lease was acquired during the pause after another claim, and no answer has renewed it since.
#[test]
fn a_lease_that_has_expired_is_not_claimed_with() {
    let mut model = Model::new(0);
    let mut replica = model.replica(Position::start(IDENTITY), Vec::new());
    replica.lease(Some(model.now), model.now);
    assert_eq!(*replica.role(), Role::Following);
    replica.lease(Some(model.now + LEASE), model.now + LEASE);
    replica.advance(model.now + LEASE);
    assert_eq!(*replica.role(), Role::Following);
    replica.advance(model.now);
    assert_eq!(*replica.role(), Role::Claiming);
}

/// A power cut of servers that do not sync.
#[test]
fn replicas_that_applied_what_servers_lost_stop() {
    let (mut stopped, mut unread) = (0, 0);
    for seed in 0..300 {
        let mut model = Model::new(seed);
        model.is_lossy = true;
        for step in 0..2000 {
            model.step();
            if step == 400 {
                let left = model.random.usize(0..=model.stream.messages.len());
                model.stream.messages.truncate(left);
                model.stream.ids.retain(|_, sequence| *sequence <= left as u64);
            }
        }
        for index in (0..3).cycle().take(3000) {
            model.members[index].replica.lease(None, model.now);
            model.carry_out(index);
            model.read(index);
            model.carry_out(index);
        }
        let (decided, last) = (model.stream.decided(), model.stream.messages.len() as u64);
        for member in &model.members {
            let (groups, read) = (member.replica.store(), member.replica.position().sequence);
            match member.replica.role() {
                Role::Stopped(_) => stopped += 1,
                // The next claim finds other messages, or the driver that there are more than in the stream.
                _ if read >= last => unread += u64::from(!decided.starts_with(&groups.decided)),
                role => panic!("{role:?}, {read} of {last}"),
            }
        }
    }
    assert!(stopped > unread, "{stopped} have stopped, and {unread} have read nothing since");
}
