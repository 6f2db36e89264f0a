//! Sets and maps whose keys are hashes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map by hashes.
pub(crate) type HashedMap<T> = HashMap<u64, T, BuildHasherDefault<Identity>>;

/// A set of hashes.
pub(crate) type HashedSet = HashSet<u64, BuildHasherDefault<Identity>>;

/// A hasher for values that are hashes already.
#[derive(Debug, Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole u64 are hashed")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
