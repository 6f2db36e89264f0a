//! A record of families and series written, to detect duplicates.

use std::hash::BuildHasher;

use crate::encode::Timestamp;
use crate::encode::family::Kind;
use crate::encode::hashed::HashedSet;

/// The set of all families and series written.
#[derive(Default)]
pub struct Written {
    hasher: foldhash::fast::RandomState,
    /// Their hashes: 64 bits with a random key, so that collisions are not expected in the lifetime of a host.
    hashes: HashedSet,
}

impl Written {
    /// An empty set with capacity for a typical host.
    pub(super) fn with_capacity() -> Self {
        /// Approximate number of families and series of a typical host.
        const USUAL_SERIES: usize = 800;
        let mut written = Written::default();
        written.hashes.reserve(USUAL_SERIES);
        written
    }

    /// Whether a family, or a part of one, has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(name))
    }

    /// As [`Written::has`], for a name in two parts.
    pub(super) fn has_with(&self, name: &str, suffix: &str) -> bool {
        let mut whole = String::with_capacity(name.len() + suffix.len());
        whole.extend([name, suffix]);
        self.has(&whole)
    }

    /// Whether a family of this name and type would collide with one that was written or reserved.
    pub(super) fn is_taken(&self, name: &str, kind: Kind) -> bool {
        self.has(name)
            || self.is_reserved(name)
            || parts(kind).iter().any(|part| self.has_with(name, part))
            // OpenMetrics names that counter without `_total`.
            || self.has_with(name, "_total")
    }

    /// Whether a name is reserved.
    pub(super) fn is_reserved(&self, name: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one((RESERVED, name)))
    }

    /// Reserves a name for a family to be written later.
    pub(super) fn reserve(&mut self, name: &str) {
        self.hashes.insert(self.hasher.hash_one((RESERVED, name)));
    }

    /// Ends the reservation of a name.
    pub(super) fn release(&mut self, name: &str) {
        self.hashes.remove(&self.hasher.hash_one((RESERVED, name)));
    }

    /// Enters a family with the names of its parts. Returns the key for its series, or none if one of the names is
    /// taken.
    pub(super) fn enter(&mut self, name: &str, kind: Kind) -> Option<u64> {
        let (hash, parts) = (self.hasher.hash_one(name), parts(kind));
        if parts.is_empty() {
            return self.hashes.insert(hash).then_some(hash);
        }
        if self.hashes.contains(&hash) || parts.iter().any(|part| self.has_with(name, part)) {
            return None;
        }
        for part in parts {
            self.hashes.insert(self.hasher.hash_one([name, part].concat().as_str()));
        }
        self.hashes.insert(hash);
        Some(hash)
    }

    /// Enters a series of a family with fixed label names, by its label values. Returns whether it is new.
    pub(super) fn enter_values(&mut self, family: u64, values: &[&str]) -> bool {
        self.hashes.insert(self.hasher.hash_one((family, values)))
    }

    /// Enters a series of a part of a family, with any labels, or one at `time`. Returns whether it is new.
    pub(super) fn enter_series(
        &mut self,
        family: u64,
        suffix: &str,
        names: &[&str],
        values: &[&str],
        time: Option<Timestamp>,
    ) -> bool {
        let series = (family, suffix, names, values);
        self.hashes.insert(match time {
            None => self.hasher.hash_one(series),
            Some(Timestamp(time)) => self.hasher.hash_one((series, time)),
        })
    }

    /// Whether a series of a part of a family was entered by [`Written::enter_series`], without a time.
    pub(super) fn has_series(&self, family: u64, suffix: &str, names: &[&str], values: &[&str]) -> bool {
        self.hashes.contains(&self.hasher.hash_one((family, suffix, names, values)))
    }

    /// Enters a series of a family whose series all have identifiers, or one at `time`. Returns whether it is new.
    pub(super) fn enter_identified(&mut self, family: u64, id: u64, time: Option<Timestamp>) -> bool {
        self.hashes.insert(match time {
            None => self.hasher.hash_one((family, id)),
            Some(Timestamp(time)) => self.hasher.hash_one((family, id, time)),
        })
    }
}

/// The suffixes of the samples of a family of this type.
pub(super) fn parts(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Counter | Kind::Gauge | Kind::Untyped => &[],
        Kind::Histogram => &["_bucket", "_sum", "_count"],
        Kind::Summary => &["_sum", "_count"],
    }
}

/// Distinguishes hashes of reserved names from those of written ones.
const RESERVED: u8 = 0;
