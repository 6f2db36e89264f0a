//! The binary encoding of changes and groups, for the log and its snapshots.

use std::collections::BTreeSet;

use super::change::{Change, GroupFamily};
use super::position::{Identity, Position};
use super::selection::{ExpiryTimes, Selection};
use super::times::Times;
use crate::encode::parse::model::Kind;
use crate::gateway::key::Key;

/// The first byte of a record: its kind, in version 1 of the format.
const GROUP: u8 = 1;
const REMOVED: u8 = 2;
const ALL_REMOVED: u8 = 3;
const EXPIRED: u8 = 4;
const DECIDED: u8 = 5;

/// Bytes of a record besides its families, approximately.
const KEY_CAPACITY: usize = 512;

/// The types; a type's index is its number on disk.
const KINDS: [Kind; 6] =
    [Kind::Counter, Kind::Gauge, Kind::Untyped, Kind::Summary, Kind::Histogram, Kind::GaugeHistogram];

/// A decoded record.
#[derive(Debug, PartialEq)]
pub enum Record<'a> {
    /// A group was changed or created.
    Group(GroupRecord<'a>),
    /// These groups were removed.
    Removed(Vec<Key>),
    /// All groups were removed.
    AllRemoved,
    /// When groups of these jobs last expired, and the record that follows in the same payload.
    Expired(Vec<(String, f64)>, Option<Box<Record<'a>>>),
    /// Records that a stream decided.
    Decided(DecidedRecord<'a>),
}

/// The records of one batch of a stream, and its position.
#[derive(Debug, PartialEq)]
pub struct DecidedRecord<'a> {
    /// The sequence of the position before; that of `position` if this is the end of a snapshot.
    pub previous: u64,
    /// The position after.
    pub position: Position,
    /// Records, each with its length before it.
    pub batch: &'a [u8],
}

/// The change of a group.
#[derive(Debug, PartialEq)]
pub struct GroupRecord<'a> {
    /// The group.
    pub key: Key,
    /// Its times after the change; none if it was removed.
    pub times: Option<Times>,
    /// The names of removed families.
    pub removed: Vec<&'a str>,
    /// Added families.
    pub added: Vec<FamilyRecord<'a>>,
    /// Digests of the idempotency keys of its pushes.
    pub seen: Vec<u128>,
}

/// A decoded family.
#[derive(Debug, PartialEq)]
pub struct FamilyRecord<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub kind: Kind,
    /// Its help text.
    pub help: &'a str,
    /// Whether the body is a delimited protobuf message; else it is lines of text.
    pub is_protobuf: bool,
    /// Its metrics.
    pub body: &'a [u8],
}

/// A text or list is longer than 4 GiB, the limit of a record's length fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text or list of it is longer than 4 GiB")]
pub struct TooLong;

/// Encodes a change.
///
/// # Errors
/// A text or list is too long.
pub fn encode(change: &Change) -> Result<Vec<u8>, TooLong> {
    let names = change.removed.iter().map(|family| family.name.as_ref());
    encode_parts(&change.key, change.after, names, &change.added, change.seen.as_slice())
}

/// Encodes the removal of groups; `jobs` are their jobs.
///
/// # Errors
/// A text or list is too long.
pub fn encode_removal(selection: &Selection, jobs: &BTreeSet<&str>) -> Result<Vec<u8>, TooLong> {
    let mut out = Encoder::default();
    if let Some(time) = selection.expired_at() {
        out.byte(EXPIRED);
        out.jobs(jobs.iter().map(|job| (*job, time)));
    }
    let Some(keys) = selection.keys() else {
        out.byte(ALL_REMOVED);
        return out.finish();
    };
    out.byte(REMOVED);
    out.number(keys.len());
    keys.iter().for_each(|key| out.key(key));
    out.finish()
}

/// Encodes a whole group.
///
/// # Errors
/// A text or list is too long.
pub fn encode_group(key: &Key, times: Times, families: &[GroupFamily], seen: &[u128]) -> Result<Vec<u8>, TooLong> {
    encode_parts(key, Some(times), std::iter::empty(), families, seen)
}

/// Encodes the expiry times.
///
/// # Errors
/// A text or list is too long.
pub fn encode_expired(expired: &ExpiryTimes) -> Result<Vec<u8>, TooLong> {
    let mut out = Encoder::default();
    out.byte(EXPIRED);
    out.jobs(expired.iter().map(|(job, time)| (job.as_str(), *time)));
    out.finish()
}

/// Encodes a batch that a stream decided.
pub fn encode_decided(previous: u64, position: Position, batch: &[u8]) -> Vec<u8> {
    let Position { identity, sequence, claim, is_open, last, chain } = position;
    let mut out = Encoder::default();
    out.byte(DECIDED);
    out.raw(&identity.id.to_le_bytes());
    out.raw(&identity.created.to_le_bytes());
    [previous, sequence, claim, chain].iter().for_each(|number| out.raw(&number.to_le_bytes()));
    out.byte(is_open.into());
    out.raw(&last.to_le_bytes());
    out.raw(batch);
    out.bytes
}

/// Appends a record to a batch, with its length before it.
///
/// # Errors
/// The record is too long.
pub fn push_to_batch(batch: &mut Vec<u8>, record: &[u8]) -> Result<(), TooLong> {
    let length = u32::try_from(record.len()).map_err(|_| TooLong)?;
    batch.extend_from_slice(&length.to_le_bytes());
    batch.extend_from_slice(record);
    Ok(())
}

/// The records of a batch; none in place of a malformed one, which ends it.
pub fn records_of_batch(batch: &[u8]) -> impl Iterator<Item = Option<Record<'_>>> {
    let mut rest = Some(Decoder(batch));
    std::iter::from_fn(move || {
        let decoder = rest.as_mut().filter(|rest| !rest.0.is_empty())?;
        let record = decoder.bytes().and_then(decode);
        if record.is_none() {
            rest = None;
        }
        Some(record)
    })
}

/// Bytes of a family in its group's record, without its metrics.
pub fn family_overhead(name: &str, help: &str) -> usize {
    /// The lengths of three texts, the type, and the encoding.
    const NUMBERS: usize = 3 * 4 + 2;
    NUMBERS + name.len() + help.len()
}

/// Bytes of a group in a snapshot, without its families, with the heads of its first part. Approximate: the lengths in a key
/// are binary here, and decimal digits in [`Key::length`].
pub fn group_overhead(key: &Key, seen: usize) -> usize {
    /// The head, the kind, the times, and the lengths of four lists.
    const NUMBERS: usize = 8 + 2 + 3 * 8 + 4 * 4;
    const LABEL_LENGTHS: usize = 2 * 4;
    NUMBERS + key.length() + key.labels().count() * LABEL_LENGTHS + seen * size_of::<u128>()
}

fn encode_parts<'n>(
    key: &Key,
    times: Option<Times>,
    removed: impl Iterator<Item = &'n str>,
    added: &[GroupFamily],
    seen: &[u128],
) -> Result<Vec<u8>, TooLong> {
    let expected: usize =
        added.iter().map(|family| family.block.whole().1.len() + family.name.len() + family.help.len()).sum();
    let mut out = Encoder { bytes: Vec::with_capacity(expected + KEY_CAPACITY), is_too_long: false };
    out.byte(GROUP);
    out.key(key);
    let times = times.map(|times| [times.pushed, times.failed, times.expires.unwrap_or(f64::INFINITY)]);
    out.byte(times.is_some().into());
    times.into_iter().flatten().for_each(|time| out.raw(&time.to_le_bytes()));
    let removed: Vec<&str> = removed.collect();
    out.number(removed.len());
    removed.iter().for_each(|name| out.bytes(name.as_bytes()));
    out.number(added.len());
    for family in added {
        out.bytes(family.name.as_bytes());
        out.byte(KINDS.iter().position(|kind| *kind == family.kind).unwrap_or(2) as u8);
        out.bytes(family.help.as_bytes());
        let (is_protobuf, body) = family.block.whole();
        out.byte(is_protobuf.into());
        out.bytes(body);
    }
    out.number(seen.len());
    seen.iter().for_each(|push| out.raw(&push.to_le_bytes()));
    out.finish()
}

/// Decodes a record; none if it is malformed.
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let (kind, rest) = bytes.split_first()?;
    let mut rest = Decoder(rest);
    match *kind {
        GROUP => Some(Record::Group(rest.group()?)),
        REMOVED => Some(Record::Removed(rest.keys()?)),
        EXPIRED => {
            let jobs = (0..rest.number()?).map(|_| Some((rest.text()?.to_owned(), rest.float()?)));
            let jobs = jobs.collect::<Option<Vec<_>>>()?;
            let next = if rest.0.is_empty() { None } else { Some(Box::new(decode(rest.0)?)) };
            Some(Record::Expired(jobs, next))
        }
        ALL_REMOVED => Some(Record::AllRemoved),
        DECIDED => Some(Record::Decided(rest.decided()?)),
        _ => None,
    }
}

#[derive(Default)]
struct Encoder {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Encoder {
    fn finish(self) -> Result<Vec<u8>, TooLong> {
        if self.is_too_long { Err(TooLong) } else { Ok(self.bytes) }
    }

    fn key(&mut self, key: &Key) {
        self.number(key.labels().count());
        key.labels().for_each(|(name, value)| {
            self.bytes(name.as_bytes());
            self.bytes(value.as_bytes());
        });
    }

    fn jobs<'j>(&mut self, jobs: impl ExactSizeIterator<Item = (&'j str, f64)>) {
        self.number(jobs.len());
        for (job, time) in jobs {
            self.bytes(job.as_bytes());
            self.raw(&time.to_le_bytes());
        }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn number(&mut self, number: usize) {
        let number = u32::try_from(number);
        self.is_too_long |= number.is_err();
        self.raw(&number.unwrap_or_default().to_le_bytes());
    }

    /// Appends the length and the bytes; only the length if that is out of range.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        if !self.is_too_long {
            self.raw(bytes);
        }
    }
}

struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?) as usize)
    }

    fn float(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn keys(&mut self) -> Option<Vec<Key>> {
        (0..self.number()?).map(|_| self.key()).collect()
    }

    fn key(&mut self) -> Option<Key> {
        let labels = (0..self.number()?).map(|_| Some((self.text()?.to_owned(), self.text()?.to_owned())));
        Key::new(labels.collect::<Option<Vec<_>>>()?).ok()
    }

    fn wide(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn decided(&mut self) -> Option<DecidedRecord<'a>> {
        let id = u128::from_le_bytes(self.take(16)?.try_into().ok()?);
        let identity = Identity { id, created: self.wide()? as i64 };
        let (previous, sequence, claim, chain) = (self.wide()?, self.wide()?, self.wide()?, self.wide()?);
        let is_open = self.byte()? != 0;
        let last = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        let batch = self.take(self.0.len())?;
        let position = Position { identity, sequence, claim, is_open, last, chain };
        Some(DecidedRecord { previous, position, batch })
    }

    fn group(&mut self) -> Option<GroupRecord<'a>> {
        let key = self.key()?;
        let times = match self.byte()? {
            0 => None,
            _ => {
                let (pushed, failed, expires) = (self.float()?, self.float()?, self.float()?);
                Some(Times { pushed, failed, expires: Some(expires).filter(|expires| expires.is_finite()) })
            }
        };
        let removed = (0..self.number()?).map(|_| self.text()).collect::<Option<Vec<_>>>()?;
        let added = (0..self.number()?).map(|_| self.added()).collect::<Option<Vec<_>>>()?;
        let seen = (0..self.number()?).map(|_| Some(u128::from_le_bytes(self.take(16)?.try_into().ok()?)));
        let seen = seen.collect::<Option<Vec<_>>>()?;
        Some(GroupRecord { key, times, removed, added, seen })
    }

    fn added(&mut self) -> Option<FamilyRecord<'a>> {
        let name = self.text()?;
        let kind = *KINDS.get(usize::from(self.byte()?))?;
        let help = self.text()?;
        let is_protobuf = self.byte()? != 0;
        Some(FamilyRecord { name, kind, help, is_protobuf, body: self.bytes()? })
    }
}
