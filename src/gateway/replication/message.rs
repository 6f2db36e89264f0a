//! The messages of the stream.
//!
//! ```text
//! magic "TAFS" | version: u8 | kind: u8 | id: u128 | epoch: u64 | expected: u64 | chain: u64 |
//! part: u32 | parts: u32 | checksum: u32 | payload
//! ```
//!
//! Numbers are little-endian; the checksum is the crc32 of everything before and after it. The payload of a claim is the name
//! of the replica, that of a batch its records, or a part of them. That of a snapshot begins with the sequence of its groups.

/// Bytes of a message, at most. Servers accept 1 MiB by default, including headers.
pub const MAX_MESSAGE: usize = 900_000;

const MAGIC: &[u8; 4] = b"TAFS";
const VERSION: u8 = 1;
const CLAIM: u8 = 1;
const BATCH: u8 = 2;
const SNAPSHOT: u8 = 3;
/// Bytes of a snapshot's sequence.
const BASE_BYTES: usize = 8;
/// Bytes before the payload, at most.
pub const HEADER_BYTES: usize = 58 + BASE_BYTES;
const PAYLOAD_AT: usize = 58;
const CHECKSUM_AT: usize = PAYLOAD_AT - 4;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// Unique; the stream stores no message twice within its duplicate window.
    pub id: u128,
    /// The sequence of its writer's claim; 0 in a claim.
    pub epoch: u64,
    /// The last sequence of the stream before it.
    pub expected: u64,
    /// The digest of all messages before it.
    pub chain: u64,
    /// Its meaning.
    pub content: Content<'m>,
}

/// The meaning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'m> {
    /// The replica of this name writes from now on.
    Claim(&'m str),
    /// Records, or a part of them.
    Batch {
        /// The number of this part, from 0.
        part: u32,
        /// The number of all parts.
        parts: u32,
        /// Its bytes.
        payload: &'m [u8],
    },
    /// A part of all groups, for replicas that lack the messages before it.
    Snapshot {
        /// The groups are those after the message with this sequence.
        base: u64,
        /// The number of this part, from 0.
        part: u32,
        /// Whether it is the last part.
        is_last: bool,
        /// Its bytes.
        payload: &'m [u8],
    },
}

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another program wrote it.
    #[error("another program wrote it")]
    Foreign,
    /// A newer Taffrail wrote it.
    #[error("a newer version of Taffrail wrote it")]
    Version,
    /// It is damaged.
    #[error("it is damaged")]
    Damaged,
}

impl Message<'_> {
    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        let mut base: Option<u64> = None;
        let (kind, part, parts, payload) = match self.content {
            Content::Claim(name) => (CLAIM, 0, 1, name.as_bytes()),
            Content::Batch { part, parts, payload } => (BATCH, part, parts, payload),
            Content::Snapshot { base: of, part, is_last, payload } => {
                base = Some(of);
                (SNAPSHOT, part, if is_last { part + 1 } else { 0 }, payload)
            }
        };
        let payload = [base.map(u64::to_le_bytes).as_ref().map_or(&[][..], |base| base), payload].concat();
        let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, kind]);
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.expected.to_le_bytes());
        out.extend_from_slice(&self.chain.to_le_bytes());
        out.extend_from_slice(&part.to_le_bytes());
        out.extend_from_slice(&parts.to_le_bytes());
        let sum = checksum(&out, &payload);
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&payload);
        out
    }
}

/// Decodes a message.
///
/// # Errors
/// Why it cannot be read.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, Unreadable> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Unreadable::Foreign)?;
    let (head, payload) = bytes.split_at_checked(PAYLOAD_AT).ok_or(Unreadable::Damaged)?;
    if rest.first() != Some(&VERSION) {
        return Err(Unreadable::Version);
    }
    let (head, sum) = head.split_at(CHECKSUM_AT);
    if checksum(head, payload).to_le_bytes() != sum {
        return Err(Unreadable::Damaged);
    }
    let wide = |at: usize| u64::from_le_bytes(array(head, at));
    let number = |at: usize| u32::from_le_bytes(array(head, at));
    let content = match head[5] {
        CLAIM => Content::Claim(std::str::from_utf8(payload).map_err(|_| Unreadable::Damaged)?),
        BATCH => Content::Batch { part: number(46), parts: number(50), payload },
        SNAPSHOT => {
            let (base, payload) = payload.split_at_checked(BASE_BYTES).ok_or(Unreadable::Damaged)?;
            let (part, parts) = (number(46), number(50));
            Content::Snapshot { base: u64::from_le_bytes(array(base, 0)), part, is_last: parts > 0, payload }
        }
        _ => return Err(Unreadable::Version),
    };
    let id = u128::from_le_bytes(array(head, 6));
    Ok(Message { id, epoch: wide(22), expected: wide(30), chain: wide(38), content })
}

/// The digest of a message.
pub fn digest(message: &[u8]) -> u32 {
    crc32fast::hash(message)
}

/// The digest of all messages up to one, from that of the messages before it and its own.
pub fn chain(before: u64, digest: u32) -> u64 {
    // An odd number with bits in all places: each message changes all of the digest.
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    (before.rotate_left(23) ^ u64::from(digest)).wrapping_add(1).wrapping_mul(FACTOR)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let batch = Content::Batch { part: 2, parts: 3, payload: b"records" };
        let snapshot = Content::Snapshot { base: 9, part: 4, is_last: true, payload: b"groups" };
        for content in
            [Content::Claim("gateway-1"), snapshot, batch, Content::Batch { part: 0, parts: 1, payload: b"" }]
        {
            let message = Message { id: u128::MAX - 1, epoch: 7, expected: 1 << 40, chain: 1 << 50, content };
            let encoded = message.encode();
            assert_eq!(decode(&encoded), Ok(message));
            for at in 0..encoded.len() {
                let mut damaged = encoded.clone();
                damaged[at] ^= 1;
                let expected = match at {
                    0..4 => Unreadable::Foreign,
                    4 => Unreadable::Version,
                    _ => Unreadable::Damaged,
                };
                assert_eq!(decode(&damaged), Err(expected), "{at}");
                assert!(decode(&encoded[..at]).is_err(), "{at}");
            }
        }
    }
}
