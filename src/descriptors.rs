//! File descriptors, of which a process may have few (`RLIMIT_NOFILE`, getrlimit(2)): who may keep how many of them.
//!
//! What lasts as long as the process and grows with the host is kept by a permit alone ([`Kept`]), so that connections,
//! sinks and files that are open for a moment always have some left.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};
use crate::system;

/// How many descriptors there are for what, all of them together no more than the process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Files of the host that stay open between readings: they could be opened each time, at a cost.
    pub files: usize,
    /// Counters of the CPUs' events, which count only while they are open.
    pub counters: usize,
    /// Connections of those who ask, at all addresses.
    pub connections: usize,
    /// The rest: sinks, their spools, the gateway's state, listeners, files that are open for a moment.
    pub rest: usize,
}

impl Shares {
    /// What the bound of the files is where there is plenty.
    const FILES: usize = 640;
    /// Below this there is nothing to share out.
    const SMALLEST_REST: usize = 32;

    /// The shares of a process that may have `limit` descriptors.
    pub const fn of(limit: usize) -> Shares {
        let eighth = limit / 8;
        let rest = if eighth < Self::SMALLEST_REST { Self::SMALLEST_REST } else { eighth };
        let (shared, rest) = match limit.checked_sub(rest) {
            Some(shared) => (shared, rest),
            None => (0, limit),
        };
        let connections = shared * 4 / 7;
        let kept = shared - connections;
        let two_thirds = kept * 2 / 3;
        let files = if two_thirds < Self::FILES { two_thirds } else { Self::FILES };
        Shares { files, counters: kept - files, connections, rest }
    }

    /// The shares of this process, as they were when they were first asked for.
    pub fn in_force() -> Shares {
        static SHARES: OnceLock<Shares> = OnceLock::new();
        /// Without a limit; more would be too many to reckon with.
        const PLENTY: usize = 1 << 24;
        *SHARES.get_or_init(|| Shares::of(system::descriptor_limit().min(PLENTY)))
    }
}

/// Lets the process have as many descriptors as it may ask for, as Go's programs do: the soft limit of 1,024 is there for
/// those that use select(2). To be called before anything asks for its share.
pub fn raise_limit() {
    system::raise_descriptor_limit();
}

/// What is kept open, and bounded.
#[derive(Debug)]
pub struct Purse {
    most: fn(Shares) -> usize,
    taken: AtomicUsize,
}

/// Files of the host that stay open between readings.
pub static FILES: Purse = Purse::new(|shares| shares.files);
/// Counters of the CPUs' events.
pub static COUNTERS: Purse = Purse::new(|shares| shares.counters);

impl Purse {
    /// One of which no more than `most` may be taken at a time.
    pub const fn new(most: fn(Shares) -> usize) -> Purse {
        Purse { most, taken: AtomicUsize::new(0) }
    }

    /// How many may be taken at a time.
    pub fn most(&self) -> usize {
        (self.most)(Shares::in_force())
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Takes one, if there is one left.
    pub fn take(&'static self) -> Option<Permit> {
        let most = self.most();
        let one_more = |taken: usize| (taken < most).then(|| taken + 1);
        let before = self.taken.fetch_update(Relaxed, Relaxed, one_more);
        // Only what was counted may be given back: nothing is made here before it is.
        before.ok().map(|_| Permit(self))
    }
}

/// That one descriptor may be kept; given back when it is dropped.
#[derive(Debug)]
pub struct Permit(&'static Purse);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// What holds a descriptor, with the permit to keep it.
#[derive(Debug)]
pub struct Kept<T> {
    // Closed before the permit is given back.
    held: T,
    _permit: Permit,
}

impl<T> Kept<T> {
    /// Keeps what is open.
    pub fn new(held: T, permit: Permit) -> Kept<T> {
        Kept { held, _permit: permit }
    }

    /// What is kept.
    pub fn get(&self) -> &T {
        &self.held
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

const KEPT: Family<1> = Family::gauge(
    "taffrail_kept_descriptors",
    "File descriptors that stay open between readings: files of the host, and counters of the CPUs' events.",
    ["of"],
);
const KEPT_LIMIT: Family<1> = Family::gauge(
    "taffrail_kept_descriptors_limit",
    "File descriptors that may stay open between readings: files beyond are opened each time, counters are not there.",
    ["of"],
);

/// The families that tell of descriptors.
pub const FAMILIES: &[FamilyInfo] = &[KEPT.info(), KEPT_LIMIT.info()];

/// Tells what is kept.
pub fn write_families(out: &mut FamilyWriter<'_>) {
    let mut kept = out.family(&KEPT);
    kept.sample(["counters"], COUNTERS.taken() as u64);
    kept.sample(["files"], FILES.taken() as u64);
    drop(kept);
    let mut limit = out.family(&KEPT_LIMIT);
    limit.sample(["counters"], COUNTERS.most() as u64);
    limit.sample(["files"], FILES.most() as u64);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_no_more_than_there_is(limit in 0usize..2_000_000) {
            let Shares { files, counters, connections, rest } = Shares::of(limit);
            prop_assert_eq!(files + counters + connections + rest, limit);
            prop_assert!(files <= 640 && rest >= limit.min(32));
            // From the smallest limit on with which the process can do anything, everybody has something.
            prop_assert!(limit < 48 || connections > 0 && files > 0);
        }

        /// Whatever is taken and given back: as many are taken as permits are held, and never more than there are.
        #[test]
        fn as_many_are_taken_as_are_held(steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200)) {
            const MOST: usize = 7;
            let purse: &'static Purse = Box::leak(Box::new(Purse::new(|_| MOST)));
            let mut held = Vec::new();
            for (takes, which) in steps {
                if takes {
                    let permit = purse.take();
                    prop_assert_eq!(permit.is_some(), held.len() < MOST);
                    held.extend(permit);
                } else if !held.is_empty() {
                    held.swap_remove(which.index(held.len()));
                }
                prop_assert_eq!(purse.taken(), held.len());
            }
        }
    }

    #[test]
    fn the_usual_limits_are_shared_out() {
        let of = |limit| {
            let shares = Shares::of(limit);
            (shares.files, shares.counters, shares.connections, shares.rest)
        };
        assert_eq!(of(64), (9, 5, 18, 32));
        assert_eq!(of(1024), (256, 128, 512, 128));
        assert_eq!(of(524_288), (640, 195_968, 262_144, 65_536));
    }
}
