//! A map from group to block with cheap snapshots: chunks are shared, and a change copies only its own chunk, and only if a
//! snapshot shares it.

use std::sync::Arc;

use super::block::Block;
use super::size::{self, Size};

/// The blocks of one family, by the number of their group.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    chunks: Vec<Arc<Chunk>>,
    length: usize,
    /// The size of all chunks with their blocks.
    size: Size,
}

type Chunk = Vec<(u32, Block)>;

/// Blocks of a chunk, at most.
const MAX_BLOCKS: usize = 128;

/// The size of a chunk without its blocks.
fn chunk_size(chunk: &Chunk) -> Size {
    Size::memory_only(size::arc_bytes(size_of::<Chunk>()) + chunk.capacity() * size_of::<(u32, Block)>())
}

impl Chunks {
    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The size of the whole map.
    pub fn size(&self) -> Size {
        self.size + Size::memory_only(self.chunks.capacity() * size_of::<Arc<Chunk>>())
    }

    /// All blocks with the numbers of their groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Block)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(group, block)| (*group, block))
    }

    /// The block of a group.
    pub fn get(&self, group: u32) -> Option<&Block> {
        let chunk = self.chunks.get(self.chunk_of(group))?;
        chunk.binary_search_by_key(&group, |(of, _)| *of).ok().map(|at| &chunk[at].1)
    }

    /// Inserts the block of a group; returns the one that it replaces.
    pub fn insert(&mut self, group: u32, block: Block) -> Option<Block> {
        let index = self.chunk_of(group);
        self.size += block.size();
        let Some(shared) = self.chunks.get_mut(index) else {
            let chunk = vec![(group, block)];
            self.size += chunk_size(&chunk);
            self.chunks.push(Arc::new(chunk));
            self.length += 1;
            return None;
        };
        self.size -= chunk_size(shared);
        let chunk = Arc::make_mut(shared);
        let (mut replaced, mut upper) = (None, None);
        match chunk.binary_search_by_key(&group, |(of, _)| *of) {
            Ok(at) => replaced = Some(std::mem::replace(&mut chunk[at].1, block)),
            Err(at) => {
                chunk.insert(at, (group, block));
                self.length += 1;
                if chunk.len() > MAX_BLOCKS {
                    upper = Some(chunk.split_off(MAX_BLOCKS / 2));
                    chunk.shrink_to_fit();
                }
            }
        }
        self.size += chunk_size(chunk) + upper.as_ref().map(chunk_size).unwrap_or_default();
        self.size -= replaced.as_ref().map(Block::size).unwrap_or_default();
        upper.into_iter().for_each(|upper| self.chunks.insert(index + 1, Arc::new(upper)));
        replaced
    }

    /// Removes the block of a group.
    pub fn remove(&mut self, group: u32) -> Option<Block> {
        let index = self.chunk_of(group);
        let shared = self.chunks.get_mut(index)?;
        let at = shared.binary_search_by_key(&group, |(of, _)| *of).ok()?;
        self.size -= chunk_size(shared);
        let chunk = Arc::make_mut(shared);
        let (_, block) = chunk.remove(at);
        size::shrink(chunk);
        self.length -= 1;
        self.size -= block.size();
        if chunk.is_empty() {
            self.chunks.remove(index);
            size::shrink(&mut self.chunks);
        } else {
            self.size += chunk_size(chunk);
        }
        Some(block)
    }

    /// Removes the blocks of the wanted groups and returns them. A chunk that is removed whole is not copied.
    pub fn extract(&mut self, is_wanted: impl Fn(u32) -> bool) -> Chunks {
        let mut extracted = Chunks::default();
        let (mut before, mut after) = (Size::default(), Size::default());
        let retain = |chunk: &mut Arc<Chunk>| {
            let wanted = chunk.iter().filter(|(group, _)| is_wanted(*group)).count();
            if wanted == 0 {
                return true;
            }
            before += chunk_size(chunk);
            let taken = match wanted == chunk.len() {
                true => std::mem::take(chunk),
                false => {
                    let rest = Arc::make_mut(chunk);
                    let taken = Arc::new(rest.extract_if(.., |(group, _)| is_wanted(*group)).collect());
                    size::shrink(rest);
                    after += chunk_size(rest);
                    taken
                }
            };
            let blocks: Size = taken.iter().map(|(_, block)| block.size()).sum();
            before += blocks;
            extracted.size += chunk_size(&taken) + blocks;
            extracted.length += taken.len();
            extracted.chunks.push(taken);
            !chunk.is_empty()
        };
        self.chunks.retain_mut(retain);
        size::shrink(&mut self.chunks);
        self.length -= extracted.length;
        self.size = self.size + after - before;
        extracted
    }

    /// The index of the chunk that has, or would get, a group.
    fn chunk_of(&self, group: u32) -> usize {
        let after = self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| *first <= group));
        after.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::block::gauge;
    use super::*;
    use crate::gateway::key::Key;

    fn block(number: u64) -> Block {
        let key = Key::from_path("job/x").unwrap();
        Block::new(&gauge("a", "", number as f64), &key, &mut |_, _| number)
    }

    /// A fresh count of the size.
    fn counted(chunks: &Chunks) -> Size {
        let blocks: Size = chunks.iter().map(|(_, block)| block.size()).sum();
        let heads: Size = chunks.chunks.iter().map(|chunk| chunk_size(chunk)).sum();
        blocks + heads + Size::memory_only(chunks.chunks.capacity() * size_of::<Arc<Chunk>>())
    }

    proptest! {
        #[test]
        fn they_are_a_map(actions in prop::collection::vec((0u32..400, prop::option::of(0u64..9)), 0..600)) {
            let (mut chunks, mut model) = (Chunks::default(), BTreeMap::new());
            for (group, value) in actions {
                let snapshot = (chunks.clone(), model.clone());
                if value == Some(0) {
                    let is_wanted = |number: u32| number / 40 == group / 40;
                    let extracted = chunks.extract(is_wanted);
                    prop_assert_eq!(extracted.size(), counted(&extracted));
                    let taken: Vec<_> = extracted.iter().map(|(number, b)| (number, b.clone())).collect();
                    prop_assert_eq!(taken, model.extract_if(.., |number, _| is_wanted(*number)).collect::<Vec<_>>());
                }
                let (was, should) = match value {
                    Some(value) => (chunks.insert(group, block(value)), model.insert(group, block(value))),
                    None => (chunks.remove(group), model.remove(&group)),
                };
                prop_assert_eq!(was, should);
                prop_assert_eq!(chunks.len(), model.len());
                prop_assert_eq!(chunks.size(), counted(&chunks));
                prop_assert_eq!(chunks.get(group), model.get(&group));
                prop_assert!(snapshot.0.iter().eq(snapshot.1.iter().map(|(group, block)| (*group, block))));
            }
            prop_assert!(chunks.iter().eq(model.iter().map(|(group, block)| (*group, block))));
        }
    }
}
