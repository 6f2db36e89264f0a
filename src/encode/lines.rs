//! Encoded records, as sinks queue and send them.

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

    /// The buffer for the next record. [`Lines::close`] completes the record, [`Lines::discard`] removes it.
    pub(super) fn open(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Completes the open record. Drops it if its end exceeds 4 GiB; batches are closed long before.
    pub(super) fn close(&mut self) {
        match u32::try_from(self.bytes.len()) {
            Ok(end) => self.ends.push(end),
            Err(_) => self.discard(),
        }
    }

    /// Removes the open record.
    pub(super) fn discard(&mut self) {
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// Removes and returns the first `count` records.
    pub fn take_first(&mut self, count: usize) -> Lines {
        let count = count.min(self.count());
        let Some(&end) = count.checked_sub(1).and_then(|last| self.ends.get(last)) else {
            return Lines::default();
        };
        let rest = Lines {
            bytes: self.bytes.split_off(end as usize),
            ends: self.ends.split_off(count).iter().map(|later| later - end).collect(),
        };
        std::mem::replace(self, rest)
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

    /// Appends an encoded record.
    pub fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.close();
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
