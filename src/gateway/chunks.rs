//! A map from group to block that can be looked at while it changes: chunks are shared, and only one that is looked at is
//! copied when it changes.

use std::sync::Arc;

use super::block::Block;

/// The blocks of one family, by the number of their group.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    chunks: Vec<Arc<Chunk>>,
    length: usize,
    /// What all chunks take of memory, with their blocks.
    bytes: usize,
}

type Chunk = Vec<(u32, Block)>;

/// How many blocks a chunk holds, at the most.
const CHUNK: usize = 128;

/// What a chunk takes, without its blocks.
fn room(chunk: &Chunk) -> usize {
    super::room::shared(size_of::<Chunk>()) + chunk.capacity() * size_of::<(u32, Block)>()
}

impl Chunks {
    /// How many blocks there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What they take of memory.
    pub fn bytes(&self) -> usize {
        self.bytes + self.chunks.capacity() * size_of::<Arc<Chunk>>()
    }

    /// All blocks, by the numbers of their groups.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Block)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(group, block)| (*group, block))
    }

    /// The block of a group.
    pub fn get(&self, group: u32) -> Option<&Block> {
        let chunk = self.chunks.get(self.chunk_of(group))?;
        chunk.binary_search_by_key(&group, |(of, _)| *of).ok().map(|at| &chunk[at].1)
    }

    /// Puts the block of a group in, and gives back the one that it replaces.
    pub fn insert(&mut self, group: u32, block: Block) -> Option<Block> {
        let index = self.chunk_of(group);
        self.bytes += block.bytes();
        let Some(shared) = self.chunks.get_mut(index) else {
            let chunk = vec![(group, block)];
            self.bytes += room(&chunk);
            self.chunks.push(Arc::new(chunk));
            self.length += 1;
            return None;
        };
        self.bytes -= room(shared);
        let chunk = Arc::make_mut(shared);
        let (mut replaced, mut upper) = (None, None);
        match chunk.binary_search_by_key(&group, |(of, _)| *of) {
            Ok(at) => replaced = Some(std::mem::replace(&mut chunk[at].1, block)),
            Err(at) => {
                chunk.insert(at, (group, block));
                self.length += 1;
                if chunk.len() > CHUNK {
                    upper = Some(chunk.split_off(CHUNK / 2));
                    chunk.shrink_to_fit();
                }
            }
        }
        self.bytes += room(chunk) + upper.as_ref().map_or(0, room);
        self.bytes -= replaced.as_ref().map_or(0, Block::bytes);
        upper.into_iter().for_each(|upper| self.chunks.insert(index + 1, Arc::new(upper)));
        replaced
    }

    /// Takes the block of a group out.
    pub fn remove(&mut self, group: u32) -> Option<Block> {
        let index = self.chunk_of(group);
        let shared = self.chunks.get_mut(index)?;
        let at = shared.binary_search_by_key(&group, |(of, _)| *of).ok()?;
        self.bytes -= room(shared);
        let chunk = Arc::make_mut(shared);
        let (_, block) = chunk.remove(at);
        super::room::shrink(chunk);
        self.length -= 1;
        self.bytes -= block.bytes();
        if chunk.is_empty() {
            self.chunks.remove(index);
            super::room::shrink(&mut self.chunks);
        } else {
            self.bytes += room(chunk);
        }
        Some(block)
    }

    /// Takes the blocks of these groups out. Chunks that go as a whole are not copied.
    pub fn extract(&mut self, is_wanted: impl Fn(u32) -> bool) -> Chunks {
        let mut extracted = Chunks::default();
        let mut before = 0;
        let mut after = 0;
        let keep = |chunk: &mut Arc<Chunk>| {
            let wanted = chunk.iter().filter(|(group, _)| is_wanted(*group)).count();
            if wanted == 0 {
                return true;
            }
            before += room(chunk);
            let taken = match wanted == chunk.len() {
                true => std::mem::take(chunk),
                false => {
                    let rest = Arc::make_mut(chunk);
                    let taken = Arc::new(rest.extract_if(.., |(group, _)| is_wanted(*group)).collect());
                    super::room::shrink(rest);
                    after += room(rest);
                    taken
                }
            };
            let blocks: usize = taken.iter().map(|(_, block)| block.bytes()).sum();
            before += blocks;
            extracted.bytes += room(&taken) + blocks;
            extracted.length += taken.len();
            extracted.chunks.push(taken);
            !chunk.is_empty()
        };
        self.chunks.retain_mut(keep);
        super::room::shrink(&mut self.chunks);
        self.length -= extracted.length;
        self.bytes = self.bytes + after - before;
        extracted
    }

    /// The chunk in which a group is, or would be.
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
    use super::super::key::Key;
    use super::*;

    fn block(number: u64) -> Block {
        let key = Key::from_path("job/x").unwrap();
        Block::new(&gauge("a", "", number as f64), &key, &mut |_, _| number)
    }

    /// What they take, counted anew.
    fn counted(chunks: &Chunks) -> usize {
        let blocks: usize = chunks.iter().map(|(_, block)| block.bytes()).sum();
        let rooms: usize = chunks.chunks.iter().map(|chunk| room(chunk)).sum();
        blocks + rooms + chunks.chunks.capacity() * size_of::<Arc<Chunk>>()
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
                    prop_assert_eq!(extracted.bytes(), counted(&extracted));
                    let taken: Vec<_> = extracted.iter().map(|(number, b)| (number, b.clone())).collect();
                    prop_assert_eq!(taken, model.extract_if(.., |number, _| is_wanted(*number)).collect::<Vec<_>>());
                }
                let (was, should) = match value {
                    Some(value) => (chunks.insert(group, block(value)), model.insert(group, block(value))),
                    None => (chunks.remove(group), model.remove(&group)),
                };
                prop_assert_eq!(was, should);
                prop_assert_eq!(chunks.len(), model.len());
                prop_assert_eq!(chunks.bytes(), counted(&chunks));
                prop_assert_eq!(chunks.get(group), model.get(&group));
                prop_assert!(snapshot.0.iter().eq(snapshot.1.iter().map(|(group, block)| (*group, block))));
            }
            prop_assert!(chunks.iter().eq(model.iter().map(|(group, block)| (*group, block))));
        }
    }
}
