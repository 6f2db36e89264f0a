//! What things take of memory, as the allocator is asked for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Deref;

use foldhash::fast::RandomState;

/// A text, or bytes, with the two counts that are shared with it.
pub fn shared(length: usize) -> usize {
    const COUNTS: usize = 16;
    (COUNTS + length).next_multiple_of(8)
}

/// An entry of a tree, about: its nodes are between half full and full.
pub const fn in_tree<K, V>() -> usize {
    (size_of::<K>() + size_of::<V>()) * 8 / 5
}

/// A hash table that knows what it takes, and gives back what it does not need any more.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    map: HashMap<K, V, RandomState>,
    /// The entries that there is room for: the most since it was made, for what was removed may still take places.
    capacity: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { map: HashMap::default(), capacity: 0 }
    }
}

impl<K, V> Deref for Table<K, V> {
    type Target = HashMap<K, V, RandomState>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// As in a map.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.map.insert(key, value);
        self.capacity = self.capacity.max(self.map.capacity());
        before
    }

    /// As in a map.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.map.get_mut(key)
    }

    /// As in a map.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let removed = self.map.remove(key);
        self.shrink();
        removed
    }

    /// As in a map.
    pub fn retain(&mut self, is_kept: impl FnMut(&K, &mut V) -> bool) {
        self.map.retain(is_kept);
        self.shrink();
    }

    /// Gives back what it does not need, if that is most of it.
    fn shrink(&mut self) {
        const SMALL: usize = 64;
        let is_sparse = self.capacity > SMALL && self.map.len() < self.capacity / 8;
        if is_sparse || self.map.is_empty() {
            self.map.shrink_to(self.map.len() * 2);
            self.capacity = self.map.capacity();
        }
    }

    /// What it takes, without what its keys and values point to.
    pub fn bytes(&self) -> usize {
        /// Beside each entry a byte, and at the end as many as are looked at together.
        const TOGETHER: usize = 16;
        let buckets = match self.capacity {
            0 => return 0,
            1..=3 => 4,
            4..=7 => 8,
            // At most seven of eight are taken.
            more => (more * 8 / 7).next_power_of_two(),
        };
        buckets * (size_of::<(K, V)>() + 1) + TOGETHER
    }
}

/// Gives back what a list does not need, if that is most of it.
pub fn shrink<T>(list: &mut Vec<T>) {
    const SMALL: usize = 8;
    if list.capacity() > SMALL && list.len() < list.capacity() / 4 {
        list.shrink_to(list.len() * 2);
    }
}
