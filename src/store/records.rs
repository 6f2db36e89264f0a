//! Consecutive records. A payload longer than one part is split into several records, which count together or not at
//! all.

/// Maximum size of an unsplit record, in bytes.
pub const MAX_RECORD: usize = 256 << 20;

/// Maximum size of a part, in bytes; small in tests, so that many parts occur.
pub(crate) const PART: usize = if cfg!(test) { 64 } else { 4 << 20 };

/// Bytes before a record's payload: length and checksum.
pub(crate) const HEADER_BYTES: usize = 8;

/// Flag in a record's length: the next record continues this one.
const CONTINUES: u32 = 1 << 31;
/// Flag in a record's length: this record continues the previous one.
const IS_CONTINUATION: u32 = 1 << 30;

/// Records that are written together.
#[derive(Clone, Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    has_parts: bool,
}

/// A record longer than [`MAX_RECORD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of {0} bytes, where {MAX_RECORD} can be kept at a time")]
pub struct TooLong(pub usize);

impl Records {
    /// Appends one record.
    ///
    /// # Errors
    /// If it is longer than [`MAX_RECORD`]; nothing is appended.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), TooLong> {
        if payload.len() > MAX_RECORD {
            return Err(TooLong(payload.len()));
        }
        self.push_part(payload, 0);
        Ok(())
    }

    /// Appends a payload of any length, in parts if necessary.
    pub fn push_any(&mut self, payload: &[u8]) {
        let count = payload.len().div_ceil(PART).max(1);
        self.has_parts |= count > 1;
        for index in 0..count {
            let part = &payload[index * PART..payload.len().min((index + 1) * PART)];
            let continues = if index + 1 < count { CONTINUES } else { 0 };
            self.push_part(part, continues | if index > 0 { IS_CONTINUATION } else { 0 });
        }
    }

    fn push_part(&mut self, payload: &[u8], flags: u32) {
        let head = (payload.len() as u32 | flags).to_le_bytes();
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(&checksum(&head, payload).to_le_bytes());
        self.bytes.extend_from_slice(payload);
    }

    /// Removes all records, and retains up to 4 MiB of capacity.
    pub fn clear(&mut self) {
        const RETAINED_BYTES: usize = 4 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(RETAINED_BYTES);
        self.has_parts = false;
    }

    /// The encoded records.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether a record is in parts, which version 1 of the format does not know.
    pub fn has_parts(&self) -> bool {
        self.has_parts
    }
}

/// Approximate size of this many bytes with the headers of their parts.
pub fn with_headers(bytes: usize) -> usize {
    bytes + bytes / PART * HEADER_BYTES
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// An intact record, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) payload: &'a [u8],
    /// Bytes including the header.
    pub(crate) length: usize,
    /// Whether it continues the previous record.
    pub(crate) is_continuation: bool,
    /// Whether the next record continues it.
    pub(crate) continues: bool,
}

/// The record at the start of `bytes`; `None` if it is not intact.
pub(crate) fn part(bytes: &[u8]) -> Option<Part<'_>> {
    let head = bytes.get(..4)?;
    let flagged = u32::from_le_bytes(head.try_into().ok()?);
    let length = (flagged & !(CONTINUES | IS_CONTINUATION)) as usize;
    let sum = u32::from_le_bytes(bytes.get(4..HEADER_BYTES)?.try_into().ok()?);
    let end = HEADER_BYTES.checked_add(length)?;
    let payload = bytes.get(HEADER_BYTES..end)?;
    let is_sound = length <= MAX_RECORD && checksum(head, payload) == sum;
    let (is_continuation, continues) = (flagged & IS_CONTINUATION != 0, flagged & CONTINUES != 0);
    is_sound.then_some(Part { payload, length: end, is_continuation, continues })
}

/// The unsplit record at the start of `bytes`, and its length with the header; `None` if there is none.
pub(crate) fn first(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let part = part(bytes).filter(|part| !part.is_continuation && !part.continues)?;
    Some((part.payload, part.length))
}

/// Searches for intact records after damaged ones. The time is linear in the file's size, regardless of its contents
/// and the number of searches: a possible long record is not read for each offset at which it might begin.
pub(crate) struct Finder<'a> {
    bytes: &'a [u8],
    /// Checksums of the data before each multiple of [`STRIDE`], computed as needed.
    sums: Vec<u32>,
}

/// The bits of a length's highest byte that are not flags.
const LENGTH_IN_HIGHEST: u8 = !(((CONTINUES | IS_CONTINUATION) >> 24) as u8);
/// Bytes between stored checksums; shorter records are checked directly.
const STRIDE: usize = 128;

impl<'a> Finder<'a> {
    /// A finder for `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Finder { bytes, sums: vec![0] }
    }

    /// Offset of the next intact record or part after `start`.
    pub(crate) fn next(&mut self, start: usize) -> Option<usize> {
        let last = self.bytes.len().checked_sub(HEADER_BYTES)?;
        // At most offsets, the highest byte of the length rules out a record.
        let highest = (self.bytes.len().min(MAX_RECORD) >> 24) as u8;
        let bytes = self.bytes;
        let may_begin = |at: &usize| bytes[at + 3] & LENGTH_IN_HIGHEST <= highest;
        (start + 1..=last).filter(may_begin).find(|at| self.is_sound(*at))
    }

    fn is_sound(&mut self, at: usize) -> bool {
        let number = |at: usize| {
            let four = self.bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            u32::from_le_bytes(four.unwrap_or_default())
        };
        let length = (number(at) & !(CONTINUES | IS_CONTINUATION)) as usize;
        let begin = at + HEADER_BYTES;
        if length > self.bytes.len() - begin || length > MAX_RECORD {
            return false;
        }
        let (head, sum) = (&self.bytes[at..at + 4], number(at + 4));
        match length <= STRIDE {
            true => checksum(head, &self.bytes[begin..begin + length]) == sum,
            false => self.checksum_of_long(head, begin, begin + length) == sum,
        }
    }

    /// The checksum of `head` and the data from `begin` to `end`. CRCs are linear: appending the same bytes to two
    /// prefixes changes the difference of their checksums as appending that many zeros does.
    fn checksum_of_long(&mut self, head: &[u8], begin: usize, end: usize) -> u32 {
        let before = self.sum_until(begin) ^ crc32fast::hash(head);
        let mut with_zeros = crc32fast::Hasher::new_with_initial_len(before, 0);
        with_zeros.combine(&crc32fast::Hasher::new_with_initial_len(0, (end - begin) as u64));
        with_zeros.finalize() ^ self.sum_until(end)
    }

    fn sum_until(&mut self, end: usize) -> u32 {
        let whole = end / STRIDE;
        for index in self.sums.len() - 1..whole {
            self.sums.push(extend_sum(self.sums[index], &self.bytes[index * STRIDE..(index + 1) * STRIDE]));
        }
        extend_sum(self.sums[whole], &self.bytes[whole * STRIDE..end])
    }
}

/// Extends a checksum by `bytes`.
fn extend_sum(sum: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(sum);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The reference: byte by byte, and each record read in full.
    fn next(bytes: &[u8], start: usize) -> Option<usize> {
        (start + 1..bytes.len()).find(|at| part(&bytes[*at..]).is_some())
    }

    proptest! {
        #[test]
        fn what_is_sound_is_found_behind_anything(
            pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), 0usize..700, any::<bool>()), 0..6),
            flip in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            for (junk, length, is_zeros) in pieces {
                bytes.extend(if is_zeros { vec![0; junk.len()] } else { junk });
                let mut records = Records::default();
                records.push_any(&vec![length as u8; length]);
                bytes.extend(records.bytes());
            }
            if !bytes.is_empty() {
                let place = flip.index(bytes.len());
                bytes[place] ^= 1;
            }
            let mut finder = Finder::new(&bytes);
            for start in 0..bytes.len() {
                prop_assert_eq!(finder.next(start), next(&bytes, start));
            }
        }
    }

    /// Every fourth byte looks like the start of a record that reaches to the end: reading each would take a hundred
    /// times as long.
    #[cfg(unix)]
    #[test]
    fn the_search_takes_time_in_proportion_to_the_bytes() {
        let cost = |size: usize| {
            let words = (0..size / 4).map(|word| (size.saturating_sub(4 * word + 2 * HEADER_BYTES)) as u32);
            let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
            let begun = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            assert_eq!(Finder::new(&bytes).next(0), None);
            let ended = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            (ended.tv_sec - begun.tv_sec) as f64 + (ended.tv_nsec - begun.tv_nsec) as f64 / 1e9
        };
        // A quadratic search would take 64 times as long.
        let (small, large) = (cost(64 << 10), cost(512 << 10));
        assert!(large < 24.0 * small, "{small} s, and {large} s for 8 times as much");
    }
}
