//! Sizes in memory, as requested from the allocator, and in a snapshot.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::{Add, AddAssign, Deref, Sub, SubAssign};

use foldhash::fast::RandomState;

/// A size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of memory.
    pub memory: usize,
    /// Bytes of a snapshot on disk.
    pub snapshot: usize,
}

impl Size {
    /// The size of what a snapshot does not contain.
    pub fn memory_only(memory: usize) -> Size {
        Size { memory, snapshot: 0 }
    }
}

impl Add for Size {
    type Output = Size;

    fn add(self, other: Size) -> Size {
        Size { memory: self.memory + other.memory, snapshot: self.snapshot + other.snapshot }
    }
}

impl Sub for Size {
    type Output = Size;

    fn sub(self, other: Size) -> Size {
        Size { memory: self.memory - other.memory, snapshot: self.snapshot - other.snapshot }
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Size) {
        *self = *self + other;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Size) {
        *self = *self - other;
    }
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Size>>(sizes: I) -> Size {
        sizes.fold(Size::default(), Add::add)
    }
}

/// An `Arc` of text or bytes: the content and two reference counts.
pub fn arc_bytes(length: usize) -> usize {
    const COUNTS: usize = 16;
    (COUNTS + length).next_multiple_of(8)
}

/// An entry of a B-tree, approximately: its nodes are between half full and full.
pub const fn tree_entry<K, V>() -> usize {
    (size_of::<K>() + size_of::<V>()) * 8 / 5
}

/// A hash map that knows its memory and shrinks when most of it is unused.
#[derive(Clone, Debug)]
pub struct MeasuredMap<K, V> {
    map: HashMap<K, V, RandomState>,
    /// Its real capacity. `HashMap::capacity` is smaller while removed entries still occupy slots.
    capacity: usize,
}

impl<K, V> Default for MeasuredMap<K, V> {
    fn default() -> Self {
        MeasuredMap { map: HashMap::default(), capacity: 0 }
    }
}

impl<K, V> Deref for MeasuredMap<K, V> {
    type Target = HashMap<K, V, RandomState>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl<K: Hash + Eq, V> MeasuredMap<K, V> {
    /// As [`HashMap::insert`].
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.map.insert(key, value);
        self.capacity = self.capacity.max(self.map.capacity());
        before
    }

    /// As [`HashMap::get_mut`].
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.map.get_mut(key)
    }

    /// As [`HashMap::remove`].
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let removed = self.map.remove(key);
        self.shrink();
        removed
    }

    /// As [`HashMap::retain`].
    pub fn retain(&mut self, is_kept: impl FnMut(&K, &mut V) -> bool) {
        self.map.retain(is_kept);
        self.shrink();
    }

    /// Frees the unused capacity if that is most of it.
    fn shrink(&mut self) {
        const SMALL: usize = 64;
        let is_sparse = self.capacity > SMALL && self.map.len() < self.capacity / 8;
        if is_sparse || self.map.is_empty() {
            self.map.shrink_to(self.map.len() * 2);
            self.capacity = self.map.capacity();
        }
    }

    /// Bytes of memory, without what keys and values point to.
    pub fn bytes(&self) -> usize {
        /// Control bytes: one per bucket, and one group of them at the end.
        const GROUP: usize = 16;
        let buckets = match self.capacity {
            0 => return 0,
            1..=3 => 4,
            4..=7 => 8,
            // The load factor is at most 7/8.
            more => (more * 8 / 7).next_power_of_two(),
        };
        buckets * (size_of::<(K, V)>() + 1) + GROUP
    }
}

/// Frees the unused capacity of a list if that is most of it.
pub fn shrink<T>(list: &mut Vec<T>) {
    const SMALL: usize = 8;
    if list.capacity() > SMALL && list.len() < list.capacity() / 4 {
        list.shrink_to(list.len() * 2);
    }
}
