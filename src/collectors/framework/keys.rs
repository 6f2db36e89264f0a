//! The keys of files with an open set of keys.

use std::sync::Arc;

/// The keys of a file of `key value` lines, with a value computed for each. A key has the same position in the next
/// reading, so one comparison finds it again.
#[derive(Debug)]
pub(in crate::collectors) struct Keys<T> {
    by_place: Vec<Arc<Known<T>>>,
}

/// A key, and the value computed for it.
#[derive(Debug)]
pub(in crate::collectors) struct Known<T> {
    pub(in crate::collectors) key: String,
    pub(in crate::collectors) made: T,
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Keys { by_place: Vec::new() }
    }
}

impl<T> Keys<T> {
    /// The key that `parts` form, at position `place` of its file.
    pub(in crate::collectors) fn at(
        &mut self,
        position: usize,
        parts: &[&[u8]],
        make: impl FnOnce(&str) -> T,
    ) -> &Arc<Known<T>> {
        if self.by_place.get(position).is_some_and(|known| is_made_of(&known.key, parts)) {
            return &self.by_place[position];
        }
        let key = String::from_utf8_lossy(&parts.concat()).into_owned();
        let made = make(&key);
        let known = Arc::new(Known { key, made });
        let position = position.min(self.by_place.len());
        self.by_place.truncate(position);
        self.by_place.push(known);
        &self.by_place[position]
    }
}

fn is_made_of(key: &str, parts: &[&[u8]]) -> bool {
    let mut rest = key.as_bytes();
    parts.iter().all(|part| rest.strip_prefix(*part).map(|after| rest = after).is_some()) && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_again_when_another_takes_its_place() {
        let (mut keys, mut made) = (Keys::default(), 0);
        let mut key = |position, parts: &[&[u8]]| {
            let known = keys.at(position, parts, |_| made += 1);
            known.key.clone()
        };
        let keys =
            [key(0, &[b"a"]), key(1, &[b"b", b"_", b"c"]), key(0, &[b"a"]), key(1, &[b"b_", b"c"]), key(1, &[b"b"])];
        assert_eq!(keys, ["a", "b_c", "a", "b_c", "b"]);
        assert_eq!(made, 3);
    }
}
