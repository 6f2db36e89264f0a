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
    /// The key `bytes`, which stands at `place` in its file.
    pub(super) fn at(&mut self, place: usize, bytes: &[u8], make: impl FnOnce(&str) -> T) -> Arc<Known<T>> {
        if let Some(known) = self.by_place.get(place).filter(|known| known.key.as_bytes() == bytes) {
            return known.clone();
        }
        let key = String::from_utf8_lossy(bytes).into_owned();
        let made = make(&key);
        let known = Arc::new(Known { key, made });
        self.by_place.truncate(place);
        if self.by_place.len() == place {
            self.by_place.push(known.clone());
        }
        known
    }
}
