//! The keys of open-ended files.

use std::sync::Arc;

/// The keys of a file that lists `key value` lines, with what was made of each. The same key stands in the same place
/// at the next reading, so it is found again by one comparison.
#[derive(Debug)]
pub(super) struct Keys<T> {
    by_place: Vec<Arc<Known<T>>>,
}

/// A key and what was made of it.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) key: String,
    pub(super) made: T,
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Keys { by_place: Vec::new() }
    }
}

impl<T> Keys<T> {
    /// The key that `parts` make together and that stands at `place` in its file.
    pub(super) fn at(&mut self, place: usize, parts: &[&[u8]], make: impl FnOnce(&str) -> T) -> &Arc<Known<T>> {
        if self.by_place.get(place).is_some_and(|known| is_made_of(&known.key, parts)) {
            return &self.by_place[place];
        }
        let key = String::from_utf8_lossy(&parts.concat()).into_owned();
        let made = make(&key);
        let known = Arc::new(Known { key, made });
        let place = place.min(self.by_place.len());
        self.by_place.truncate(place);
        self.by_place.push(known);
        &self.by_place[place]
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
        let mut key = |place, parts: &[&[u8]]| {
            let known = keys.at(place, parts, |_| made += 1);
            known.key.clone()
        };
        let keys =
            [key(0, &[b"a"]), key(1, &[b"b", b"_", b"c"]), key(0, &[b"a"]), key(1, &[b"b_", b"c"]), key(1, &[b"b"])];
        assert_eq!(keys, ["a", "b_c", "a", "b_c", "b"]);
        assert_eq!(made, 3);
    }
}
