//! Records, one after the other.

/// The longest record that is written, in bytes.
pub const MAX_RECORD: usize = 256 << 20;

/// The bytes before a record's payload: its length and its checksum.
pub(crate) const HEAD: usize = 8;

/// Records that are written together.
#[derive(Clone, Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
}

impl Records {
    /// Appends a record; one that is longer than [`MAX_RECORD`] is left out, which the result says.
    pub fn push(&mut self, payload: &[u8]) -> bool {
        let fits = payload.len() <= MAX_RECORD;
        if fits {
            let length = (payload.len() as u32).to_le_bytes();
            self.bytes.extend_from_slice(&length);
            self.bytes.extend_from_slice(&checksum(&length, payload).to_le_bytes());
            self.bytes.extend_from_slice(payload);
        }
        fits
    }

    /// Lets go of all records, and keeps the room for as many again, if that is not too much.
    pub fn clear(&mut self) {
        const KEPT: usize = 4 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }

    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

fn checksum(length: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(payload);
    hasher.finalize()
}

/// The record at the start of `bytes`, and how many bytes it takes; nothing if none that is whole stands there.
pub(crate) fn first(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let length_bytes = bytes.get(..4)?;
    let length = u32::from_le_bytes(length_bytes.try_into().ok()?) as usize;
    let sum = u32::from_le_bytes(bytes.get(4..HEAD)?.try_into().ok()?);
    let end = HEAD.checked_add(length)?;
    let payload = bytes.get(HEAD..end)?;
    (length <= MAX_RECORD && checksum(length_bytes, payload) == sum).then_some((payload, end))
}

/// Where the next whole record begins behind the start of `bytes`.
pub(crate) fn next(bytes: &[u8]) -> Option<usize> {
    // Eight zeros would be an empty record by their length, but not by their checksum.
    (1..bytes.len().saturating_sub(HEAD - 1)).find(|start| first(&bytes[*start..]).is_some())
}
