//! Records, one after the other. What is longer than a part is several records, which count together or not at all.

/// The longest record that is written whole, in bytes.
pub const MAX_RECORD: usize = 256 << 20;

/// The longest part of what is written in parts; tests have many parts of little.
pub(crate) const PART: usize = if cfg!(test) { 64 } else { 4 << 20 };

/// The bytes before a record's payload: its length and its checksum.
pub(crate) const HEAD: usize = 8;

/// In the length of a record: the next one goes on with it.
const GOES_ON: u32 = 1 << 31;
/// In the length of a record: it goes on with the one before.
const GOES_BACK: u32 = 1 << 30;

/// Records that are written together.
#[derive(Clone, Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    has_parts: bool,
}

/// That a record would be longer than [`MAX_RECORD`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of {0} bytes, where {MAX_RECORD} can be kept at a time")]
pub struct TooLong(pub usize);

impl Records {
    /// Appends one record.
    ///
    /// # Errors
    /// That it is longer than [`MAX_RECORD`]; then nothing is appended.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), TooLong> {
        if payload.len() > MAX_RECORD {
            return Err(TooLong(payload.len()));
        }
        self.push_part(payload, 0);
        Ok(())
    }

    /// Appends what may have any length: in parts, if it is longer than one.
    pub fn push_any(&mut self, payload: &[u8]) {
        let count = payload.len().div_ceil(PART).max(1);
        self.has_parts |= count > 1;
        for index in 0..count {
            let part = &payload[index * PART..payload.len().min((index + 1) * PART)];
            let goes_on = if index + 1 < count { GOES_ON } else { 0 };
            self.push_part(part, goes_on | if index > 0 { GOES_BACK } else { 0 });
        }
    }

    fn push_part(&mut self, payload: &[u8], flags: u32) {
        let head = (payload.len() as u32 | flags).to_le_bytes();
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(&checksum(&head, payload).to_le_bytes());
        self.bytes.extend_from_slice(payload);
    }

    /// Lets go of all records, and keeps the room for as many again, if that is not too much.
    pub fn clear(&mut self) {
        const KEPT: usize = 4 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.has_parts = false;
    }

    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether one of them is in parts, which the first version of the format does not know.
    pub fn has_parts(&self) -> bool {
        self.has_parts
    }
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// A sound record, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) payload: &'a [u8],
    /// The bytes that it takes.
    pub(crate) length: usize,
    /// Whether it goes on with what is before it.
    pub(crate) goes_back: bool,
    /// Whether what is behind it goes on with it.
    pub(crate) goes_on: bool,
}

/// What stands at the start of `bytes`; nothing if that is not sound.
pub(crate) fn part(bytes: &[u8]) -> Option<Part<'_>> {
    let head = bytes.get(..4)?;
    let flagged = u32::from_le_bytes(head.try_into().ok()?);
    let length = (flagged & !(GOES_ON | GOES_BACK)) as usize;
    let sum = u32::from_le_bytes(bytes.get(4..HEAD)?.try_into().ok()?);
    let end = HEAD.checked_add(length)?;
    let payload = bytes.get(HEAD..end)?;
    let is_sound = length <= MAX_RECORD && checksum(head, payload) == sum;
    let (goes_back, goes_on) = (flagged & GOES_BACK != 0, flagged & GOES_ON != 0);
    is_sound.then_some(Part { payload, length: end, goes_back, goes_on })
}

/// The record at the start of `bytes`, and how many bytes it takes; nothing if none that is whole stands there.
pub(crate) fn first(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let part = part(bytes).filter(|part| !part.goes_back && !part.goes_on)?;
    Some((part.payload, part.length))
}

/// Where the next sound record or part begins behind the start of `bytes`.
pub(crate) fn next(bytes: &[u8]) -> Option<usize> {
    // Eight zeros would be an empty record by their length, but not by their checksum.
    (1..bytes.len().saturating_sub(HEAD - 1)).find(|start| part(&bytes[*start..]).is_some())
}
