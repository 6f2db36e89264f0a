//! The memory of request bodies in flight, and which body is evicted when it runs out.
//!
//! A body reserves memory as it grows, whatever Content-Length it declares. Without free memory, the oldest bodies that have
//! been in transfer for [`GRACE`] are evicted; if these are too few, the new reservation fails. The first [`SMALL`] bytes of
//! each body are always available, so that large bodies cannot block small pushes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Bytes that each body may always reserve. The limit on connections limits their number.
pub const SMALL: usize = 64 << 10;

/// How long a body may be in transfer before it can be evicted.
pub const GRACE: Duration = Duration::from_secs(5);

/// The memory of all bodies in flight.
#[derive(Debug, Default)]
pub struct BodyMemory {
    in_flight: Mutex<InFlight>,
    /// Notified when memory is freed.
    freed: Notify,
}

/// A body cannot reserve memory, or was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bodies of requests under way take all the memory that they may: [gateway] max_bodies; try again later")]
pub struct MemoryExhausted;

#[derive(Debug, Default)]
struct InFlight {
    /// Bytes of all bodies.
    reserved: usize,
    /// Bytes of evicted bodies that are not freed yet.
    evicted: usize,
    /// The number of the next body.
    next: u64,
    /// Bodies in transfer, the oldest first.
    receiving: BTreeMap<u64, Receiving>,
}

#[derive(Debug)]
struct Receiving {
    since: Instant,
    bytes: usize,
    eviction: Arc<Notify>,
    is_evicted: bool,
}

/// The result of a reservation.
#[derive(Debug, PartialEq, Eq)]
enum Space {
    Reserved,
    /// Evicted bodies will free enough.
    Soon,
    None,
}

impl InFlight {
    /// Sets the bytes of a body.
    fn set(&mut self, number: u64, before: &mut usize, bytes: usize) {
        self.reserved = self.reserved - *before + bytes;
        if let Some(body) = self.receiving.get_mut(&number) {
            body.bytes = bytes;
            if body.is_evicted {
                self.evicted = self.evicted - *before + bytes;
            }
        }
        *before = bytes;
    }

    /// Grows a body from `bytes` to `wanted`; `limit` is that of all bodies.
    fn reserve(&mut self, number: u64, bytes: &mut usize, wanted: usize, limit: usize) -> Space {
        let more = wanted.saturating_sub(*bytes);
        if self.receiving.get(&number).is_some_and(|body| body.is_evicted) {
            return Space::None;
        }
        if wanted <= SMALL || self.reserved + more <= limit {
            self.set(number, bytes, *bytes + more);
            return Space::Reserved;
        }
        let missing = (self.reserved - self.evicted + more).saturating_sub(limit);
        if self.evict(number, missing) { Space::Soon } else { Space::None }
    }

    /// Evicts other bodies to free `missing` bytes; none if they cannot free that many. `number` is the growing body.
    fn evict(&mut self, number: u64, missing: usize) -> bool {
        let is_evictable = |other: u64, body: &Receiving| {
            other != number && !body.is_evicted && body.bytes > SMALL && body.since.elapsed() >= GRACE
        };
        let evictable = self.receiving.iter().filter(|(other, body)| is_evictable(**other, body));
        if evictable.map(|(_, body)| body.bytes).sum::<usize>() < missing {
            return false;
        }
        let mut evicted = 0;
        for (_, body) in self.receiving.iter_mut().filter(|(other, body)| is_evictable(**other, body)) {
            if evicted >= missing {
                break;
            }
            evicted += body.bytes;
            body.is_evicted = true;
            body.eviction.notify_one();
        }
        self.evicted += evicted;
        true
    }
}

impl BodyMemory {
    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes reserved by all bodies in flight.
    pub fn reserved(&self) -> usize {
        self.lock().reserved
    }

    /// Starts a body, which reserves nothing yet.
    pub fn begin(&self) -> Reservation<'_> {
        let mut in_flight = self.lock();
        let (number, eviction) = (in_flight.next, Arc::new(Notify::new()));
        in_flight.next += 1;
        let receiving = Receiving { since: Instant::now(), bytes: 0, eviction: eviction.clone(), is_evicted: false };
        in_flight.receiving.insert(number, receiving);
        Reservation { memory: self, number, bytes: 0, eviction }
    }
}

/// The memory of one body; freed on drop.
#[derive(Debug)]
pub struct Reservation<'m> {
    memory: &'m BodyMemory,
    number: u64,
    bytes: usize,
    eviction: Arc<Notify>,
}

impl Reservation<'_> {
    /// Notified when the body is evicted, which can happen until it is [`Reservation::received`].
    pub fn eviction(&self) -> Arc<Notify> {
        self.eviction.clone()
    }

    /// Reserves `bytes` in total, and waits for evicted bodies if necessary; `limit` is that of all bodies.
    ///
    /// # Errors
    /// No memory, or the body was evicted.
    pub async fn grow(&mut self, bytes: usize, limit: usize) -> Result<(), MemoryExhausted> {
        loop {
            let mut freed = std::pin::pin!(self.memory.freed.notified());
            // Registers before the check, so that no notification is missed.
            freed.as_mut().enable();
            let space = self.memory.lock().reserve(self.number, &mut self.bytes, bytes, limit);
            match space {
                Space::Reserved => return Ok(()),
                Space::Soon => freed.await,
                Space::None => return Err(MemoryExhausted),
            }
        }
    }

    /// Reserves up to `more` bytes without evicting others, at least [`SMALL`]; returns how many.
    pub fn grow_up_to(&mut self, more: usize, limit: usize) -> usize {
        let mut in_flight = self.memory.lock();
        let granted = more.min(limit.saturating_sub(in_flight.reserved).max(SMALL));
        let more = self.bytes + granted;
        in_flight.set(self.number, &mut self.bytes, more);
        granted
    }

    /// Frees all but `bytes`.
    pub fn shrink(&mut self, bytes: usize) {
        let less = bytes.min(self.bytes);
        self.memory.lock().set(self.number, &mut self.bytes, less);
        self.memory.freed.notify_waiters();
    }

    /// The body is complete, and cannot be evicted any more.
    ///
    /// # Errors
    /// It was evicted already.
    pub fn received(&mut self) -> Result<(), MemoryExhausted> {
        let mut in_flight = self.memory.lock();
        match in_flight.receiving.get(&self.number).is_some_and(|body| body.is_evicted) {
            true => Err(MemoryExhausted),
            false => {
                in_flight.receiving.remove(&self.number);
                Ok(())
            }
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.memory.lock();
        in_flight.set(self.number, &mut self.bytes, 0);
        in_flight.receiving.remove(&self.number);
        drop(in_flight);
        self.memory.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 10 * SMALL;

    /// The result of a future that is ready at once.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn is_evicted(body: &Reservation<'_>) -> bool {
        now(body.eviction().notified()).is_some()
    }

    fn grow(body: &mut Reservation<'_>, bytes: usize) -> Option<Result<(), MemoryExhausted>> {
        now(body.grow(bytes, MOST))
    }

    /// All bodies in transfer are past their grace period.
    fn wait(bodies: &BodyMemory) {
        bodies.lock().receiving.values_mut().for_each(|body| body.since -= GRACE);
    }

    #[test]
    fn the_first_that_have_had_their_time_make_way_and_no_more_than_are_needed() {
        let bodies = BodyMemory::default();
        let mut old = Vec::new();
        for _ in 0..5 {
            let mut body = bodies.begin();
            assert_eq!(grow(&mut body, 2 * SMALL), Some(Ok(())));
            old.push(body);
        }
        let mut new = bodies.begin();
        assert_eq!(grow(&mut new, 2 * SMALL), Some(Err(MemoryExhausted)), "no body is past its grace period");
        assert_eq!(grow(&mut new, SMALL), Some(Ok(())), "SMALL is always available");
        drop(new);
        wait(&bodies);
        let mut new = bodies.begin();
        {
            let mut grown = pin!(new.grow(3 * SMALL, MOST));
            assert_eq!(now(grown.as_mut()), None, "evicted bodies have not freed their memory yet");
            assert_eq!(old.iter().map(is_evicted).collect::<Vec<_>>(), [true, true, false, false, false]);
            assert_eq!(grow(&mut old[0], 3 * SMALL), Some(Err(MemoryExhausted)), "it was evicted");
            assert_eq!(old[1].received(), Err(MemoryExhausted));
            assert_eq!((bodies.reserved(), now(grown.as_mut())), (MOST, None));
            drop(old.drain(..2));
            assert_eq!(now(grown), Some(Ok(())));
        }
        assert_eq!(bodies.reserved(), 9 * SMALL);
        // A received body is not evicted.
        old.iter_mut().for_each(|body| body.received().unwrap());
        new.received().unwrap();
        assert_eq!(grow(&mut bodies.begin(), 3 * SMALL), Some(Err(MemoryExhausted)));
        drop((old, new));
        assert_eq!(bodies.reserved(), 0);
    }

    #[test]
    fn where_too_little_would_be_given_back_nobody_makes_way() {
        let bodies = BodyMemory::default();
        let (mut stuck, mut old) = (bodies.begin(), bodies.begin());
        assert_eq!(grow(&mut stuck, 6 * SMALL), Some(Ok(())));
        stuck.received().unwrap();
        assert_eq!(grow(&mut old, 4 * SMALL), Some(Ok(())));
        wait(&bodies);
        assert_eq!(grow(&mut bodies.begin(), 5 * SMALL), Some(Err(MemoryExhausted)));
        assert!(!is_evicted(&old));
        assert_eq!(old.received(), Ok(()));
    }

    /// An action on one of the bodies.
    #[derive(Clone, Copy, Debug)]
    enum Action {
        Begin,
        /// Aborts if it would wait.
        Grow(usize),
        GrowUpTo(usize),
        Shrink(usize),
        Received,
        End,
        Wait,
    }

    fn action() -> impl Strategy<Value = (usize, Action)> {
        let bytes = || 0..8 * SMALL;
        let action = prop_oneof![
            3 => Just(Action::Begin),
            6 => bytes().prop_map(Action::Grow),
            1 => bytes().prop_map(Action::GrowUpTo),
            1 => bytes().prop_map(Action::Shrink),
            1 => Just(Action::Received),
            2 => Just(Action::End),
            1 => Just(Action::Wait),
        ];
        (0..9_usize, action)
    }

    fn act<'b>(bodies: &'b BodyMemory, all: &mut Vec<Reservation<'b>>, which: usize, action: Action) {
        match (action, all.get_mut(which)) {
            (Action::Begin, _) => all.push(bodies.begin()),
            (Action::Wait, _) => wait(bodies),
            (Action::Grow(bytes), Some(body)) => drop(grow(body, bytes)),
            (Action::GrowUpTo(bytes), Some(body)) => drop(body.grow_up_to(bytes, MOST)),
            (Action::Shrink(bytes), Some(body)) => body.shrink(bytes),
            (Action::Received, Some(body)) => drop(body.received()),
            (Action::End, Some(_)) => drop(all.swap_remove(which)),
            (_, None) => {}
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_the_bound_holds_and_all_is_given_back(actions in prop::collection::vec(action(), 0..60)) {
            let bodies = BodyMemory::default();
            let mut all: Vec<Reservation<'_>> = Vec::new();
            let mut small = 0;
            for (which, action) in actions {
                // Each body may always reserve SMALL, once packed and once unpacked.
                small += 2 * SMALL;
                act(&bodies, &mut all, which, action);
                all.retain(|body| !is_evicted(body));
                prop_assert_eq!(bodies.reserved(), all.iter().map(|body| body.bytes).sum::<usize>());
                prop_assert!(bodies.reserved() <= MOST + small);
                prop_assert_eq!(bodies.lock().evicted, 0);
            }
            drop(all);
            prop_assert_eq!(bodies.reserved(), 0);
            prop_assert!(bodies.lock().receiving.is_empty());
        }
    }
}
