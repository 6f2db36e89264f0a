//! Shares out file descriptors, whose number is limited (`RLIMIT_NOFILE`, getrlimit(2)).
//!
//! Long-lived descriptors whose number grows with the host need a permit ([`Permitted`]), so that connections, sinks
//! and short-lived files always have some left.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};
use crate::system;

/// Numbers of descriptors by purpose. Their sum is at most the process's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Files of the host kept open between readings, to save the cost of opening them.
    pub files: usize,
    /// CPU event counters, which count only while they are open.
    pub counters: usize,
    /// Client connections, at all addresses.
    pub connections: usize,
    /// Everything else: sinks, spools, the gateway's state, listeners, short-lived files.
    pub other: usize,
}

impl Shares {
    /// Maximum share of files.
    const MAX_FILES: usize = 640;
    /// Minimum share for everything else.
    const MIN_OTHER: usize = 32;
    /// Minimum limit that Taffrail is designed for. It starts with less, and some operations fail then.
    pub const MIN_LIMIT: usize = 128;

    /// The shares for a process with this limit.
    pub const fn of(limit: usize) -> Shares {
        let eighth = limit / 8;
        let other = if eighth < Self::MIN_OTHER { Self::MIN_OTHER } else { eighth };
        let (shared, other) = match limit.checked_sub(other) {
            Some(shared) => (shared, other),
            None => (0, limit),
        };
        let connections = shared * 4 / 7;
        let kept = shared - connections;
        let two_thirds = kept * 2 / 3;
        let files = if two_thirds < Self::MAX_FILES { two_thirds } else { Self::MAX_FILES };
        Shares { files, counters: kept - files, connections, other }
    }

    /// The shares of this process, fixed at the first call.
    pub fn current() -> Shares {
        static SHARES: OnceLock<Shares> = OnceLock::new();
        /// Stands for no limit; avoids overflow in sums.
        const MAX_LIMIT: usize = 1 << 24;
        *SHARES.get_or_init(|| Shares::of(system::descriptor_limit().min(MAX_LIMIT)))
    }
}

/// Raises the soft limit to the hard limit, as Go programs do: the default of 1,024 exists for programs that use
/// select(2). Call this before any share is used.
pub fn raise_limit() {
    system::raise_descriptor_limit();
    let limit = system::descriptor_limit();
    if limit < Shares::MIN_LIMIT {
        let least = Shares::MIN_LIMIT;
        tracing::warn!(
            "{limit} file descriptors may be open, and at least {least} are needed: readings and connections will fail; \
             raise the hard limit (LimitNOFILE= of the unit, ulimit -Hn)"
        );
    }
}

/// A limit on descriptors of one kind.
#[derive(Debug)]
pub struct Quota {
    limit: fn(Shares) -> usize,
    in_use: AtomicUsize,
}

/// Files of the host kept open between readings.
pub static FILES: Quota = Quota::new(|shares| shares.files);
/// CPU event counters.
pub static COUNTERS: Quota = Quota::new(|shares| shares.counters);

impl Quota {
    /// A quota with the limit from the process's shares.
    pub const fn new(limit: fn(Shares) -> usize) -> Quota {
        Quota { limit, in_use: AtomicUsize::new(0) }
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        (self.limit)(Shares::current())
    }

    /// The number in use.
    pub fn in_use(&self) -> usize {
        self.in_use.load(Relaxed)
    }

    /// Acquires a permit, if one is left.
    pub fn acquire(&'static self) -> Option<Permit> {
        let limit = self.limit();
        let one_more = |in_use: usize| (in_use < limit).then(|| in_use + 1);
        let before = self.in_use.fetch_update(Relaxed, Relaxed, one_more);
        // Create the permit only after counting it: its drop decrements the count.
        before.ok().map(|_| Permit(self))
    }
}

/// The right to keep one descriptor open, returned on drop.
#[derive(Debug)]
pub struct Permit(&'static Quota);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Relaxed);
    }
}

/// A value that holds a descriptor, with its permit.
#[derive(Debug)]
pub struct Permitted<T> {
    // Declared first, so that it is closed before the permit is returned.
    held: T,
    _permit: Permit,
}

impl<T> Permitted<T> {
    /// Wraps an open value.
    pub fn new(held: T, permit: Permit) -> Permitted<T> {
        Permitted { held, _permit: permit }
    }

    /// The value.
    pub fn get(&self) -> &T {
        &self.held
    }

    /// The value, mutably.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

const KEPT: Family<1> =
    Family::gauge("taffrail_kept_descriptors", "File descriptors kept open between readings", ["of"]);
const KEPT_LIMIT: Family<1> =
    Family::gauge("taffrail_kept_descriptors_limit", "Maximum file descriptors kept open between readings", ["of"]);

/// The self-metrics of descriptors.
pub const FAMILIES: &[FamilyInfo] = &[KEPT.info(), KEPT_LIMIT.info()];

/// Writes the self-metrics.
pub fn write_families(out: &mut FamilyWriter<'_>) {
    let mut kept = out.family(&KEPT);
    kept.sample(["counters"], COUNTERS.in_use() as u64);
    kept.sample(["files"], FILES.in_use() as u64);
    drop(kept);
    let mut limit = out.family(&KEPT_LIMIT);
    limit.sample(["counters"], COUNTERS.limit() as u64);
    limit.sample(["files"], FILES.limit() as u64);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_are_no_more_than_there_is(limit in 0usize..2_000_000) {
            let Shares { files, counters, connections, other } = Shares::of(limit);
            prop_assert_eq!(files + counters + connections + other, limit);
            prop_assert!(files <= 640 && other >= limit.min(32));
            // From the smallest usable limit on, every purpose has a share.
            prop_assert!(limit < 48 || connections > 0 && files > 0);
        }

        /// The number in use always equals the number of permits held, and never exceeds the limit.
        #[test]
        fn as_many_are_taken_as_are_held(steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200)) {
            const LIMIT: usize = 7;
            let quota: &'static Quota = Box::leak(Box::new(Quota::new(|_| LIMIT)));
            let mut held = Vec::new();
            for (takes, which) in steps {
                if takes {
                    let permit = quota.acquire();
                    prop_assert_eq!(permit.is_some(), held.len() < LIMIT);
                    held.extend(permit);
                } else if !held.is_empty() {
                    held.swap_remove(which.index(held.len()));
                }
                prop_assert_eq!(quota.in_use(), held.len());
            }
        }
    }

    #[test]
    fn the_usual_limits_are_shared_out() {
        let of = |limit| {
            let shares = Shares::of(limit);
            (shares.files, shares.counters, shares.connections, shares.other)
        };
        assert_eq!(of(64), (9, 5, 18, 32));
        assert_eq!(of(1024), (256, 128, 512, 128));
        assert_eq!(of(524_288), (640, 195_968, 262_144, 65_536));
    }
}
