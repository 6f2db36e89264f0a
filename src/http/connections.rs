//! Which connections are open, and which of them makes way when there are as many as there may be.
//!
//! Nobody is shut out by those who hold connections and ask nothing: a new connection always gets a seat. Where there is
//! none left, the connection that has been idle longest makes way; where none is idle, the one that has kept us waiting
//! longest, for the rest of its request or to take its answer. Those that we work for are never cut off; if all are such,
//! a new one gets an extra seat, in which probes alone are answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::descriptors::Shares;
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};

/// All connections that were accepted.
pub(super) struct Connections {
    /// How many there may be at all doors together, as a process has few descriptors.
    most: fn() -> usize,
    /// Numbers moments.
    moments: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seats: BTreeMap<u64, Arc<Seat>>,
    /// Seats of all doors but extra ones, as far as their connections were not told to leave.
    taken: usize,
    /// Those whose answer is made while it is sent.
    streams: BTreeMap<u64, Arc<Seat>>,
    doors: BTreeMap<u64, Arc<DoorState>>,
    /// The number of the last of any of these.
    last: u64,
}

/// What is known of an address that is listened on.
struct DoorState {
    id: u64,
    address: SocketAddr,
    limit: AtomicUsize,
    /// Usual seats and extra ones that are taken, as far as their connections were not told to leave. Changed under the lock.
    taken: [AtomicUsize; 2],
    made_way: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// The connections of this process.
pub(super) static OF_THE_PROCESS: Connections = Connections::new(|| Shares::in_force().connections);

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has asked nothing, or has its answer.
    Idle,
    /// It is to send the rest of its request, or to take its answer.
    Awaited,
    /// Its answer is being made.
    Served,
}

/// The place of a connection, until it is dropped.
pub(super) struct Seat {
    id: u64,
    door: Arc<DoorState>,
    /// Whether it is beyond the limit: probes alone are answered.
    pub(super) is_extra: bool,
    /// A [`Standing`], and the moment since when: what is lower makes way first.
    standing: AtomicU64,
    /// Whether the last byte of its answer has been handed over to be sent.
    is_answered: AtomicBool,
    leave: Notify,
    all: &'static Connections,
}

const KIND: u64 = 1 << 62;
const SERVED: u64 = 2 * KIND;
const LEAVING: u64 = 3 * KIND;

impl Connections {
    /// Extra seats of each door.
    const EXTRA: usize = 8;
    /// Answers that are made while they are sent: each takes a thread, which waits for whoever asked.
    const STREAMS: usize = 32;

    pub(super) const fn new(most: fn() -> usize) -> Connections {
        let inner =
            Inner { seats: BTreeMap::new(), taken: 0, streams: BTreeMap::new(), doors: BTreeMap::new(), last: 0 };
        Connections { most, moments: AtomicU64::new(0), inner: Mutex::new(inner) }
    }

    /// From now on, connections come at `address`, of which there may be `limit`.
    pub(super) fn open(&'static self, address: SocketAddr, limit: usize) -> Door {
        let mut inner = self.lock();
        let state = Arc::new(DoorState {
            id: inner.number(),
            address,
            limit: AtomicUsize::new(limit),
            taken: [const { AtomicUsize::new(0) }; 2],
            made_way: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        inner.doors.insert(state.id, state.clone());
        Door { all: self, state }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self, standing: Standing) -> u64 {
        let now = || self.moments.fetch_add(1, Relaxed);
        match standing {
            Standing::Idle => now(),
            Standing::Awaited => KIND | now(),
            Standing::Served => SERVED,
        }
    }

    /// Tells of all doors.
    pub(super) fn write(&self, out: &mut FamilyWriter<'_>) {
        let inner = self.lock();
        let mut doors: Vec<_> = inner.doors.values().map(|door| (door, door.address.to_string())).collect();
        doors.sort_by_key(|(door, _)| door.address);
        let mut connections = out.family(&OPEN);
        for (door, address) in &doors {
            let of_it = || inner.seats.values().filter(|seat| seat.door.id == door.id);
            let idle = of_it().filter(|seat| seat.is_idle()).count();
            connections.sample([address, "active"], (of_it().count() - idle) as u64);
            connections.sample([address, "idle"], idle as u64);
        }
        drop(connections);
        let most = (self.most)();
        let mut write = |family, count: &dyn Fn(&DoorState) -> u64| {
            let mut samples = out.family(family);
            for (door, address) in &doors {
                samples.sample([address], count(door));
            }
        };
        write(&LIMIT, &|door| door.limit.load(Relaxed).min(most) as u64);
        write(&MADE_WAY, &|door| door.made_way.load(Relaxed));
        write(&REFUSED, &|door| door.refused.load(Relaxed));
        write(&FAILED, &|door| door.failed.load(Relaxed));
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Has somebody in usual seats make way until fewer than `most` are taken at all, and fewer than `limit` at this door.
    /// Fails if nobody can.
    fn make_room(&mut self, door: &DoorState, limit: usize, most: usize) -> bool {
        while self.taken >= most {
            if !self.make_way(SERVED, |seat| !seat.is_extra) {
                return false;
            }
        }
        while door.taken(false) >= limit {
            if !self.make_way(SERVED, |seat| !seat.is_extra && seat.door.id == door.id) {
                return false;
            }
        }
        true
    }

    /// Has the first of the seats `which` whose standing is `below` this make way.
    fn make_way(&mut self, below: u64, which: impl Fn(&Seat) -> bool) -> bool {
        let first = dismiss_first(self.seats.values().filter(|seat| which(seat)), below).cloned();
        first.is_some_and(|seat| self.is_dismissed(&seat))
    }

    /// Counts that a connection was told to leave.
    fn is_dismissed(&mut self, seat: &Seat) -> bool {
        seat.door.made_way.fetch_add(1, Relaxed);
        if self.seats.contains_key(&seat.id) {
            self.count(seat, usize::wrapping_sub);
        }
        true
    }

    /// Counts a seat, or counts it no more.
    fn count(&mut self, seat: &Seat, change: fn(usize, usize) -> usize) {
        let of_the_door = &seat.door.taken[usize::from(seat.is_extra)];
        of_the_door.store(change(of_the_door.load(Relaxed), 1), Relaxed);
        if !seat.is_extra {
            self.taken = change(self.taken, 1);
        }
    }
}

impl DoorState {
    fn taken(&self, is_extra: bool) -> usize {
        self.taken[usize::from(is_extra)].load(Relaxed)
    }
}

/// Tells the first of these seats whose standing is `below` this to leave.
fn dismiss_first<'s>(seats: impl Iterator<Item = &'s Arc<Seat>> + Clone, below: u64) -> Option<&'s Arc<Seat>> {
    let standing = |seat: &&Arc<Seat>| seat.standing.load(Relaxed);
    loop {
        let first = seats.clone().filter(|seat| standing(seat) < below).min_by_key(standing)?;
        // What has come to be served meanwhile stays.
        if first.dismiss(below) {
            return Some(first);
        }
    }
}

/// An address that is listened on.
pub(super) struct Door {
    all: &'static Connections,
    state: Arc<DoorState>,
}

impl Door {
    /// A seat for a new connection. `limit` is how many this door may have.
    ///
    /// Tells too whether another one makes way for it.
    pub(super) fn enter(&self, limit: usize) -> (Taken, bool) {
        let (all, door) = (self.all, &self.state);
        door.limit.store(limit, Relaxed);
        let mut inner = all.lock();
        let before = door.made_way.load(Relaxed);
        let has_room = inner.make_room(door, limit, (all.most)());
        // In extra seats nobody is served for long, and so there is always one who makes way.
        let is_here = |seat: &Seat| seat.is_extra && seat.door.id == door.id;
        while !has_room && door.taken(true) >= Connections::EXTRA && inner.make_way(SERVED, is_here) {}
        let id = inner.number();
        let seat = Arc::new(Seat {
            id,
            door: door.clone(),
            is_extra: !has_room,
            standing: AtomicU64::new(all.standing(Standing::Idle)),
            is_answered: AtomicBool::new(false),
            leave: Notify::new(),
            all,
        });
        inner.seats.insert(id, seat.clone());
        inner.count(&seat, usize::wrapping_add);
        (Taken { seat }, door.made_way.load(Relaxed) > before)
    }

    /// Has the connection that has been idle longest, at whatever door, make way for one that cannot be accepted.
    pub(super) fn make_way(&self) -> bool {
        self.all.lock().make_way(KIND, |_| true)
    }

    /// A connection could not be accepted.
    pub(super) fn failed(&self) {
        self.state.failed.fetch_add(1, Relaxed);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.all.lock().doors.remove(&self.state.id);
    }
}

/// That a seat is taken; it is free when this is dropped.
pub(super) struct Taken {
    pub(super) seat: Arc<Seat>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut inner = self.seat.all.lock();
        if inner.seats.remove(&self.seat.id).is_some_and(|seat| !seat.is_leaving()) {
            inner.count(&self.seat, usize::wrapping_sub);
        }
    }
}

impl Seat {
    /// From now on, this is what the connection does. Fails if it is to leave.
    pub(super) fn stand(&self, standing: Standing) -> bool {
        self.stand_at(self.all.standing(standing))
    }

    fn stand_at(&self, new: u64) -> bool {
        self.standing.fetch_update(Relaxed, Relaxed, |old| (old != LEAVING).then_some(new)).is_ok()
    }

    /// A request has come, whose body `is_whole` or is awaited. What comes back tells this awaiting from others.
    pub(super) fn ask(&self, is_whole: bool) -> u64 {
        self.is_answered.store(false, Relaxed);
        let asked = self.all.standing(if is_whole { Standing::Served } else { Standing::Awaited });
        self.stand_at(asked);
        asked
    }

    /// The body that was awaited since `asked` is there, or nobody waits for it any more.
    pub(super) fn serve(&self, asked: u64) {
        let _ = self.standing.compare_exchange(asked, SERVED, Relaxed, Relaxed);
    }

    /// The answer is made; what is left is to send it.
    pub(super) fn answered(&self) {
        self.is_answered.store(true, Relaxed);
    }

    /// What there was to send is sent. Tells whether the connection is idle from now on.
    pub(super) fn sent(&self) -> bool {
        self.is_answered.swap(false, Relaxed) && self.stand(Standing::Idle)
    }

    /// Whether nothing was asked that is not answered.
    pub(super) fn is_idle(&self) -> bool {
        self.standing.load(Relaxed) < KIND
    }

    fn is_leaving(&self) -> bool {
        self.standing.load(Relaxed) == LEAVING
    }

    fn dismiss(&self, below: u64) -> bool {
        let leaving = |standing| (standing < below).then_some(LEAVING);
        let is_told = self.standing.fetch_update(Relaxed, Relaxed, leaving).is_ok();
        if is_told {
            self.leave.notify_one();
        }
        is_told
    }

    /// The answer is made while it is sent, until what comes back is dropped. Of those whose answers are, the one that has
    /// kept us waiting longest makes way when there are too many.
    pub(super) fn stream(self: &Arc<Self>) -> Streaming {
        let mut inner = self.all.lock();
        while inner.streams.values().filter(|seat| !seat.is_leaving()).count() >= Connections::STREAMS {
            let Some(first) = dismiss_first(inner.streams.values(), SERVED).cloned() else { break };
            inner.is_dismissed(&first);
        }
        let id = inner.number();
        inner.streams.insert(id, self.clone());
        Streaming { id, all: self.all }
    }

    /// Waits until the connection is to make way.
    pub(super) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    /// A request was refused, as this is an extra seat.
    pub(super) fn refuse(&self) {
        self.door.refused.fetch_add(1, Relaxed);
    }
}

/// That an answer is made while it is sent.
pub(super) struct Streaming {
    id: u64,
    all: &'static Connections,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.all.lock().streams.remove(&self.id);
    }
}

const OPEN: Family<2> = Family::gauge(
    "taffrail_connections",
    "Connections that are open: idle ones have asked nothing that is not answered.",
    ["address", "state"],
);
const LIMIT: Family<1> =
    Family::gauge("taffrail_connections_limit", "Connections that may be open at the address.", ["address"]);
const MADE_WAY: Family<1> = Family::counter(
    "taffrail_connections_made_way_total",
    "Connections that were closed to make way for others: those that were idle longest, or kept Taffrail waiting longest.",
    ["address"],
);
const REFUSED: Family<1> = Family::counter(
    "taffrail_connections_refused_total",
    "Requests that were refused as all connections were being served.",
    ["address"],
);
const FAILED: Family<1> = Family::counter(
    "taffrail_accept_failures_total",
    "Times that no connection could be accepted, as for want of descriptors.",
    ["address"],
);

/// The families that tell of connections.
pub const FAMILIES: &[FamilyInfo] = &[OPEN.info(), LIMIT.info(), MADE_WAY.info(), REFUSED.info(), FAILED.info()];

/// Tells of the connections of this process.
pub fn write_families(out: &mut FamilyWriter<'_>) {
    OF_THE_PROCESS.write(out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 5;
    const LIMIT: usize = 3;

    #[derive(Clone, Debug)]
    enum Step {
        /// Somebody comes to one of two doors.
        Enter(bool),
        Ask(prop::sample::Index, bool),
        BodyIsThere(prop::sample::Index),
        Answer(prop::sample::Index),
        Send(prop::sample::Index),
        Leave(prop::sample::Index),
        MakeWay,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<bool>().prop_map(Step::Enter),
            3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, is_whole)| Step::Ask(which, is_whole)),
            1 => any::<prop::sample::Index>().prop_map(Step::BodyIsThere),
            1 => any::<prop::sample::Index>().prop_map(Step::Answer),
            2 => any::<prop::sample::Index>().prop_map(Step::Send),
            1 => any::<prop::sample::Index>().prop_map(Step::Leave),
            1 => Just(Step::MakeWay),
        ]
    }

    /// What a connection is by the words of the documentation.
    struct Expected {
        taken: Taken,
        door: usize,
        /// Since which step; those that leave have none.
        standing: Option<(Standing, usize)>,
        asked: Option<u64>,
    }

    impl Expected {
        fn stands(&mut self, standing: Standing, step: usize) {
            self.standing = self.standing.map(|_| (standing, step));
        }
    }

    /// Who of these makes way first.
    fn first(all: &[Expected], which: impl Fn(&Expected) -> bool) -> Option<usize> {
        let kind = |standing| [Standing::Idle, Standing::Awaited].iter().position(|kind| *kind == standing);
        let rank = |one: &Expected| one.standing.and_then(|(standing, since)| Some((kind(standing)?, since)));
        let ranked = all.iter().enumerate().filter(|(_, one)| which(one));
        ranked.filter_map(|(index, one)| Some((rank(one)?, index))).min().map(|(_, index)| index)
    }

    fn leaves(all: &mut [Expected], which: impl Fn(&Expected) -> bool, most: usize) -> bool {
        while all.iter().filter(|one| one.standing.is_some() && which(one)).count() >= most {
            let Some(index) = first(all, &which) else { return false };
            all[index].standing = None;
        }
        true
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever connections do: everybody who comes gets a seat, there are no more of them than there may be, and who
        /// makes way is who the documentation says.
        #[test]
        fn those_who_keep_us_waiting_longest_make_way(steps in proptest::collection::vec(step(), 0..80)) {
            let all: &'static Connections = Box::leak(Box::new(Connections::new(|| MOST)));
            let address = "127.0.0.1:1".parse().unwrap();
            let doors = [all.open(address, LIMIT), all.open(address, LIMIT)];
            let mut seats: Vec<Expected> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let at = |which: prop::sample::Index, seats: &[Expected]| match seats.len() {
                    0 => None,
                    length => Some(which.index(length)),
                };
                match step {
                    Step::Enter(door) => {
                        let door = usize::from(door);
                        let has_room = leaves(&mut seats, |one| !one.taken.seat.is_extra, MOST)
                            && leaves(&mut seats, |one| one.door == door && !one.taken.seat.is_extra, LIMIT);
                        if !has_room {
                            leaves(&mut seats, |one| one.door == door && one.taken.seat.is_extra, Connections::EXTRA);
                        }
                        let (taken, _) = doors[door].enter(LIMIT);
                        prop_assert_eq!(taken.seat.is_extra, !has_room);
                        seats.push(Expected { taken, door, standing: Some((Standing::Idle, number)), asked: None });
                    }
                    Step::MakeWay => {
                        let is_idle = |one: &Expected| one.standing.is_some_and(|(standing, _)| standing == Standing::Idle);
                        let expected = first(&seats, is_idle);
                        if let Some(index) = expected {
                            seats[index].standing = None;
                        }
                        prop_assert_eq!(doors[0].make_way(), expected.is_some());
                    }
                    Step::Ask(which, is_whole) => if let Some(index) = at(which, &seats) {
                        seats[index].asked = Some(seats[index].taken.seat.ask(is_whole));
                        seats[index].stands(if is_whole { Standing::Served } else { Standing::Awaited }, number);
                    },
                    Step::BodyIsThere(which) => if let Some(index) = at(which, &seats) {
                        // Of an earlier request it means nothing.
                        if let Some(asked) = seats[index].asked.take() {
                            seats[index].taken.seat.serve(asked);
                            seats[index].stands(Standing::Served, number);
                        }
                    },
                    Step::Answer(which) => if let Some(index) = at(which, &seats) {
                        seats[index].taken.seat.stand(Standing::Awaited);
                        seats[index].taken.seat.answered();
                        seats[index].asked = None;
                        seats[index].stands(Standing::Awaited, number);
                    },
                    Step::Send(which) => if let Some(index) = at(which, &seats)
                        && seats[index].taken.seat.sent()
                    {
                        seats[index].stands(Standing::Idle, number);
                    },
                    Step::Leave(which) => if let Some(index) = at(which, &seats) {
                        seats.swap_remove(index);
                    },
                }
                for one in &seats {
                    prop_assert_eq!(one.taken.seat.is_leaving(), one.standing.is_none());
                    let is_idle = one.standing.is_some_and(|(standing, _)| standing == Standing::Idle);
                    prop_assert_eq!(one.taken.seat.is_idle(), is_idle);
                }
                let count = |which: &dyn Fn(&Expected) -> bool| {
                    seats.iter().filter(|one| one.standing.is_some() && which(one)).count()
                };
                prop_assert!(count(&|one| !one.taken.seat.is_extra) <= MOST);
                for door in 0..2 {
                    prop_assert!(count(&|one| one.door == door && !one.taken.seat.is_extra) <= LIMIT);
                }
            }
            drop((seats, doors));
            let inner = all.lock();
            prop_assert_eq!((inner.seats.len(), inner.doors.len(), inner.taken), (0, 0, 0));
        }
    }

    #[test]
    fn those_that_are_served_stay_and_those_who_come_then_get_extra_seats() {
        let all: &'static Connections = Box::leak(Box::new(Connections::new(|| MOST)));
        let door = all.open("127.0.0.1:1".parse().unwrap(), 2);
        let mut seats: Vec<Taken> = (0..2).map(|_| door.enter(2).0).collect();
        for taken in &seats {
            taken.seat.ask(true);
        }
        for _ in 0..3 * Connections::EXTRA {
            let (taken, _) = door.enter(2);
            assert!(taken.seat.is_extra);
            seats.push(taken);
        }
        assert_eq!(seats.iter().filter(|taken| !taken.seat.is_leaving()).count(), 2 + Connections::EXTRA);
        assert!(!seats[0].seat.is_leaving() && !seats[1].seat.is_leaving());
        seats[1].seat.stand(Standing::Idle);
        let (taken, makes_way) = door.enter(2);
        assert!(!taken.seat.is_extra && makes_way && seats[1].seat.is_leaving());
    }

    #[test]
    fn of_answers_that_nobody_takes_the_oldest_makes_way_for_another() {
        let all: &'static Connections = Box::leak(Box::new(Connections::new(|| 1000)));
        let door = all.open("127.0.0.1:1".parse().unwrap(), 1000);
        let ask = || {
            let (taken, _) = door.enter(1000);
            taken.seat.ask(true);
            taken.seat.stand(Standing::Awaited);
            let streaming = taken.seat.stream();
            (taken, streaming)
        };
        let mut asking: Vec<_> = (0..Connections::STREAMS).map(|_| ask()).collect();
        assert!(asking.iter().all(|(taken, _)| !taken.seat.is_leaving()));
        asking.push(ask());
        asking.push(ask());
        let leaving: Vec<bool> = asking.iter().map(|(taken, _)| taken.seat.is_leaving()).collect();
        assert!(leaving[..2].iter().all(|leaving| *leaving) && leaving[2..].iter().all(|leaving| !leaving));
        asking.truncate(10);
        assert_eq!(all.lock().streams.len(), 10);
    }
}
