//! Finds the series that ended between two ticks.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use crate::encode::wire::push_varint;

/// The series of one tick, by their encoded labels. Labels of adjacent series mostly share their start, which is stored
/// once: a series takes some 40 bytes.
#[derive(Debug, Default)]
pub struct Present {
    /// The hash of each series, in their order. A collision would lose one stale marker.
    hashes: Vec<u64>,
    /// For each series, the length of the start that it shares with the one before, and of the remainder; both varints;
    /// then the remainder.
    texts: Vec<u8>,
    last: Vec<u8>,
}

static HASHER: LazyLock<foldhash::fast::RandomState> = LazyLock::new(Default::default);

impl Present {
    /// Adds a series with these encoded labels.
    pub(super) fn add(&mut self, labels: &[u8]) {
        self.hashes.push(HASHER.hash_one(labels));
        let shared = shared_length(&self.last, labels);
        push_varint(&mut self.texts, shared as u64);
        push_varint(&mut self.texts, (labels.len() - shared) as u64);
        self.texts.extend_from_slice(&labels[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&labels[shared..]);
    }

    /// Calls `each` with the labels of every series that is not in `now`.
    pub(super) fn each_missing_in(&self, now: &Present, mut each: impl FnMut(&[u8])) {
        if self.hashes == now.hashes {
            return;
        }
        let current: HashSet<u64> = now.hashes.iter().copied().collect();
        let (mut texts, mut labels) = (self.texts.as_slice(), Vec::new());
        for hash in &self.hashes {
            let (Some(shared), Some(length)) = (varint(&mut texts), varint(&mut texts)) else { return };
            let Some((rest, after)) = texts.split_at_checked(length) else { return };
            labels.truncate(shared);
            labels.extend_from_slice(rest);
            texts = after;
            if !current.contains(hash) {
                each(&labels);
            }
        }
    }
}

/// The length of the start that both share.
fn shared_length(one: &[u8], other: &[u8]) -> usize {
    const AT_ONCE: usize = 8;
    let chunks = one.chunks_exact(AT_ONCE).zip(other.chunks_exact(AT_ONCE));
    let start = AT_ONCE * chunks.take_while(|(one, other)| one == other).count();
    start + one[start..].iter().zip(&other[start..]).take_while(|(one, other)| one == other).count()
}

fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let (mut value, mut shift) = (0usize, 0u32);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if *byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(series: &[&str]) -> Present {
        let mut present = Present::default();
        series.iter().for_each(|labels| present.add(labels.as_bytes()));
        present
    }

    fn missing(before: &[&str], now: &[&str]) -> Vec<String> {
        let mut missing = Vec::new();
        present(before)
            .each_missing_in(&present(now), |labels| missing.push(String::from_utf8(labels.to_vec()).unwrap()));
        missing
    }

    #[test]
    fn series_that_are_gone_are_found() {
        let long = "x".repeat(300);
        let all = ["cpu 0 idle", "cpu 0 user", "cpu 1 idle", &long, "load", ""];
        assert_eq!(missing(&all, &all), [""; 0]);
        assert_eq!(missing(&all, &["load", "cpu 0 idle", "new"]), ["cpu 0 user", "cpu 1 idle", &long, ""]);
        assert_eq!(missing(&all, &[]), all);
        assert_eq!(missing(&[], &all), [""; 0]);
    }
}
