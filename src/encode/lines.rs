//! Encoded records, as sinks queue and send them.

use std::mem;

/// Takes encoded records, one after the other.
pub trait RecordWriter {
    /// The buffer for the next record. [`RecordWriter::close`] completes the record, [`RecordWriter::discard`] removes
    /// it.
    fn open(&mut self) -> &mut Vec<u8>;

    /// Completes the open record.
    fn close(&mut self);

    /// Removes the open record.
    fn discard(&mut self);

    /// Writes an encoded record.
    fn push(&mut self, record: &[u8]) {
        self.open().extend_from_slice(record);
        self.close();
    }
}

/// Records, one for each point, in the form of their sink. A record of line protocol ends with a line end, and may
/// contain more in string fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// An open record follows the last end.
    bytes: Vec<u8>,
    /// End offsets of the records.
    ends: Vec<u32>,
}

impl Lines {
    /// All records, concatenated.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of records.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Removes the first `count` records.
    pub fn remove_first(&mut self, count: usize) {
        let count = count.min(self.count());
        let Some(end) = count.checked_sub(1).map(|last| self.ends[last]) else { return };
        self.bytes.drain(..end as usize);
        self.ends.drain(..count);
        self.ends.iter_mut().for_each(|later| *later -= end);
    }

    /// Frees unused capacity.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Appends the records of `more`.
    pub fn append(&mut self, more: &Lines) {
        self.append_some(more, 0, more.count());
    }

    /// Appends the records `first..end` of `more`, as far as they exist.
    pub fn append_some(&mut self, more: &Lines, first: usize, end: usize) {
        let end = end.min(more.count());
        if first >= end {
            return;
        }
        let from = first.checked_sub(1).map_or(0, |before| more.ends[before]);
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&more.bytes[from as usize..more.ends[end - 1] as usize]);
        self.ends.extend(more.ends[first..end].iter().map(|end| start + end - from));
    }

    /// Removes all but the first `count` records.
    pub fn truncate(&mut self, count: usize) {
        if count < self.count() {
            self.ends.truncate(count);
            self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
        }
    }

    /// The records, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start as usize..*end as usize])
    }

    /// End offsets of the records.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The records of `bytes` with the end offsets `ends`. None if they do not match.
    pub fn from_parts(bytes: Vec<u8>, ends: Vec<u32>) -> Option<Lines> {
        let is_valid = ends.is_sorted() && ends.last().map_or(0, |end| *end as usize) == bytes.len();
        is_valid.then_some(Lines { bytes, ends })
    }
}

impl RecordWriter for Lines {
    fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Drops the record if its end exceeds 4 GiB; batches are closed long before.
    fn close(&mut self) {
        match u32::try_from(self.bytes.len()) {
            Ok(end) => self.ends.push(end),
            Err(_) => self.discard(),
        }
    }

    fn discard(&mut self) {
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }
}

/// Passes records on in portions, so that a large reading is never in one buffer.
pub struct Portions<F: FnMut(Lines)> {
    open: Lines,
    pass: F,
}

/// The bytes of a full portion. Larger buffers would be mapped and unmapped each time.
const PORTION_BYTES: usize = 64 << 10;

impl<F: FnMut(Lines)> Portions<F> {
    /// Calls `pass` with each full portion, and at the end with the last one.
    pub fn new(pass: F) -> Self {
        Portions { open: Lines::default(), pass }
    }
}

impl<F: FnMut(Lines)> RecordWriter for Portions<F> {
    fn open(&mut self) -> &mut Vec<u8> {
        self.open.open()
    }

    fn close(&mut self) {
        /// Space for the record that exceeds the portion.
        const MARGIN: usize = 1 << 10;
        self.open.close();
        if self.open.bytes.len() >= PORTION_BYTES {
            let next = Lines {
                bytes: Vec::with_capacity(PORTION_BYTES + MARGIN),
                ends: Vec::with_capacity(self.open.ends.len()),
            };
            (self.pass)(mem::replace(&mut self.open, next));
        }
    }

    fn discard(&mut self) {
        self.open.discard();
    }
}

impl<F: FnMut(Lines)> Drop for Portions<F> {
    fn drop(&mut self) {
        if !self.open.is_empty() {
            (self.pass)(mem::take(&mut self.open));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_reading_passes_in_portions_and_in_order() {
        let (mut portions, mut whole) = (Vec::new(), Lines::default());
        let mut writer = Portions::new(|lines| portions.push(lines));
        for number in 0..3000 {
            let record = format!("{number:0100}");
            writer.push(record.as_bytes());
            whole.push(record.as_bytes());
            writer.open().extend_from_slice(b"of no use");
            writer.discard();
        }
        drop(writer);
        assert_eq!(portions.len(), 300_000 / PORTION_BYTES + 1);
        assert!(portions.iter().all(|lines| lines.bytes().len() <= PORTION_BYTES + 100));
        let mut joined = Lines::default();
        portions.iter().for_each(|lines| joined.append(lines));
        assert_eq!(joined, whole);
    }
}
