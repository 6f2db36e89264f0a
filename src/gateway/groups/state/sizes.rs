//! The size of the state in memory and in a snapshot, and how much a change adds.

use std::sync::Arc;

use super::{FamilyEntry, Group, State};
use crate::gateway::groups::block::Block;
use crate::gateway::groups::change::{Change, GroupFamily};
use crate::gateway::groups::history::History;
use crate::gateway::groups::record;
use crate::gateway::groups::size::{self, Size};
use crate::gateway::key::Key;
use crate::store;

/// Memory of a family besides its texts and blocks.
const FAMILY_BYTES: usize = size::tree_entry::<Arc<str>, FamilyEntry>();

impl FamilyEntry {
    /// Its size including all blocks. In a snapshot, each group repeats the name and the help text.
    pub fn size(&self, name: &str) -> Size {
        let memory = size::arc_bytes(name.len()) + size::arc_bytes(self.help.len()) + FAMILY_BYTES;
        let snapshot = self.blocks.len() * record::family_overhead(name, &self.help);
        self.blocks.size() + Size { memory, snapshot }
    }
}

impl Group {
    /// Its size without its slot in the index.
    pub fn size(&self) -> Size {
        let names = self.families.capacity() * size_of::<Arc<str>>();
        let snapshot = record::group_overhead(&self.key, self.history.seen().len());
        Size { memory: size::arc_bytes(self.key.length()) + names, snapshot } + self.history.size()
    }
}

impl State {
    /// Bytes of memory of the whole state.
    pub fn bytes(&self) -> usize {
        let lists = self.groups.capacity() * size_of::<Option<Group>>() + self.free.capacity() * size_of::<u32>();
        self.size.memory + self.expired_bytes + lists + self.by_key.bytes() + self.metrics.bytes()
    }

    /// Bytes of a snapshot of the whole state, approximately.
    pub fn snapshot_bytes(&self) -> u64 {
        // An expiry time is not longer on disk than in memory.
        store::with_headers(self.size.snapshot + self.expired_bytes) as u64
    }

    /// Bytes and metrics of a group without its markers; the bytes as if it were the only group.
    pub fn size_of(&self, key: &Key) -> (usize, usize) {
        let Some((number, group)) = self.group(key) else { return (0, 0) };
        let entries = group.families.iter().filter_map(|name| Some((name, self.families.get(name)?)));
        entries.fold((0, 0), |(bytes, metrics), (name, entry)| match entry.blocks.get(number) {
            Some(block) => (bytes + bytes_of(name, &entry.help, block), metrics + block.metrics()),
            None => (bytes, metrics),
        })
    }

    /// Bytes that a family adds to the state; a name or help text that the state already has is shared.
    pub fn added_bytes(&self, family: &GroupFamily) -> usize {
        match self.families.get(&family.name) {
            Some(entry) => indexed_bytes(&family.block) + family.help.len().saturating_sub(entry.help.len()),
            None => bytes_of(&family.name, &family.help, &family.block),
        }
    }

    /// Bytes that a group adds to remember a push.
    pub fn added_history_bytes(&self, change: &Change) -> usize {
        let added = |history: &History| history.added_bytes(change.seen.is_some(), change.duration().is_some());
        self.group(&change.key).map_or_else(|| added(&History::default()), |(_, group)| added(&group.history))
    }

    /// Whether the running total equals a fresh count.
    #[cfg(test)]
    pub(in crate::gateway) fn is_size_exact(&self) -> bool {
        let families: Size = self.families.iter().map(|(name, entry)| entry.size(name)).sum();
        let groups: Size = self.numbered_groups().map(|(_, group)| group.size()).sum();
        self.size == families + groups
    }
}

/// Memory of a family of a group that no other group has.
pub fn bytes_of(name: &str, help: &str, block: &Block) -> usize {
    /// Its chunk, the list of chunks, and its name in the group's list.
    const LISTS: usize = 128;
    size::arc_bytes(name.len()) + size::arc_bytes(help.len()) + FAMILY_BYTES + LISTS + indexed_bytes(block)
}

/// Memory of a group without its families.
pub fn bytes_of_group(key: &Key) -> usize {
    /// A third of the lists and tables of groups is free on average.
    const SLOT: usize = (size_of::<Option<Group>>() + size_of::<(Key, u32)>()) * 3 / 2;
    size::arc_bytes(key.length()) + SLOT
}

/// A block with its index entries. A third of the index is free on average.
fn indexed_bytes(block: &Block) -> usize {
    const INDEX_ENTRY: usize = (size_of::<(u64, u32)>() + 1) * 3 / 2;
    block.bytes() + block.metrics() * INDEX_ENTRY
}
