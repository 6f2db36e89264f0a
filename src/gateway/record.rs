//! What was done to groups as bytes, for the log.

use std::collections::HashSet;

use super::change::{Change, Piece, Times};
use super::key::Key;
use super::state::State;
use super::sweep::{Expired, Selection};
use crate::encode::parse::model::Kind;

/// What a record begins with: what it tells of, in the first version of the format.
const GROUP: u8 = 1;
const ENDED: u8 = 2;
const ALL_ENDED: u8 = 3;
const EXPIRED: u8 = 4;

/// What a record takes beside its families, about.
const ROOM_FOR_A_KEY: usize = 512;

/// The types, by their numbers on disk.
const KINDS: [Kind; 6] =
    [Kind::Counter, Kind::Gauge, Kind::Untyped, Kind::Summary, Kind::Histogram, Kind::GaugeHistogram];

/// What was done, as it was read back.
#[derive(Debug, PartialEq)]
pub enum Record<'a> {
    /// A group changed, or came.
    Group(Group<'a>),
    /// These groups ended.
    Ended(Vec<Key>),
    /// All groups ended.
    AllEnded,
    /// When groups of these jobs last ended by themselves, and what else there is to tell.
    Expired(Vec<(String, f64)>, Option<Box<Record<'a>>>),
}

/// The change of a group.
#[derive(Debug, PartialEq)]
pub struct Group<'a> {
    /// The group.
    pub key: Key,
    /// Its times afterwards; nothing if it ended.
    pub times: Option<Times>,
    /// The families that went.
    pub removed: Vec<&'a str>,
    /// The families that came.
    pub added: Vec<Added<'a>>,
    /// What pushes are known by if they come again.
    pub seen: Vec<u128>,
}

/// A family as it was written.
#[derive(Debug, PartialEq)]
pub struct Added<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub kind: Kind,
    /// Its help text.
    pub help: &'a str,
    /// Whether the body is a delimited message, and not lines.
    pub is_protobuf: bool,
    /// What it says.
    pub body: &'a [u8],
}

/// That a text or a list is longer than the 4 GiB that a record has a number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text or list of it is longer than 4 GiB")]
pub struct TooLong;

/// A change as a record.
///
/// # Errors
/// That it is too long.
pub fn encode(change: &Change) -> Result<Vec<u8>, TooLong> {
    let names = change.removed.iter().map(|piece| piece.name.as_ref());
    encode_parts(&change.key, change.after, names, &change.added, change.seen.as_slice())
}

/// The end of groups as a record.
///
/// # Errors
/// That it is too long.
pub fn encode_end(selection: &Selection, state: &State) -> Result<Vec<u8>, TooLong> {
    let mut out = Writer::default();
    if let Some(time) = selection.expired_at() {
        out.byte(EXPIRED);
        out.jobs(state.jobs(selection).into_iter().map(|job| (job, time)));
    }
    let Some(keys) = selection.keys() else {
        out.byte(ALL_ENDED);
        return out.finish();
    };
    out.byte(ENDED);
    out.number(keys.len());
    keys.iter().for_each(|key| out.key(key));
    out.finish()
}

/// A whole group as a record.
///
/// # Errors
/// That it is too long.
pub fn encode_group(key: &Key, times: Times, pieces: &[Piece], seen: &[u128]) -> Result<Vec<u8>, TooLong> {
    encode_parts(key, Some(times), std::iter::empty(), pieces, seen)
}

/// What is known of ends as a record.
///
/// # Errors
/// That it is too long.
pub fn encode_expired(expired: &Expired) -> Result<Vec<u8>, TooLong> {
    let mut out = Writer::default();
    out.byte(EXPIRED);
    out.jobs(expired.iter().map(|(job, time)| (job.as_str(), *time)));
    out.finish()
}

fn encode_parts<'n>(
    key: &Key,
    times: Option<Times>,
    removed: impl Iterator<Item = &'n str>,
    added: &[Piece],
    seen: &[u128],
) -> Result<Vec<u8>, TooLong> {
    let expected: usize =
        added.iter().map(|piece| piece.block.whole().1.len() + piece.name.len() + piece.help.len()).sum();
    let mut out = Writer { bytes: Vec::with_capacity(expected + ROOM_FOR_A_KEY), is_too_long: false };
    out.byte(GROUP);
    out.key(key);
    let times = times.map(|times| [times.pushed, times.failed, times.expires.unwrap_or(f64::INFINITY)]);
    out.byte(times.is_some().into());
    times.into_iter().flatten().for_each(|time| out.raw(&time.to_le_bytes()));
    let removed: Vec<&str> = removed.collect();
    out.number(removed.len());
    removed.iter().for_each(|name| out.bytes(name.as_bytes()));
    out.number(added.len());
    for piece in added {
        out.bytes(piece.name.as_bytes());
        out.byte(KINDS.iter().position(|kind| *kind == piece.kind).unwrap_or(2) as u8);
        out.bytes(piece.help.as_bytes());
        let (is_protobuf, body) = piece.block.whole();
        out.byte(is_protobuf.into());
        out.bytes(body);
    }
    out.number(seen.len());
    seen.iter().for_each(|push| out.raw(&push.to_le_bytes()));
    out.finish()
}

/// The record in `bytes`; nothing if it is none.
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let (kind, rest) = bytes.split_first()?;
    let mut rest = Reader(rest);
    match *kind {
        GROUP => Some(Record::Group(rest.group()?)),
        ENDED => Some(Record::Ended(rest.keys()?)),
        EXPIRED => {
            let jobs = (0..rest.number()?).map(|_| Some((rest.text()?.to_owned(), rest.float()?)));
            let jobs = jobs.collect::<Option<Vec<_>>>()?;
            let more = if rest.0.is_empty() { None } else { Some(Box::new(decode(rest.0)?)) };
            Some(Record::Expired(jobs, more))
        }
        ALL_ENDED => Some(Record::AllEnded),
        _ => None,
    }
}

impl State {
    /// Does what a record says, which was checked when it was written, and says whether all of it could be read.
    pub fn replay(&mut self, record: &Record<'_>) -> bool {
        let ended = match record {
            Record::Group(group) => return self.replay_group(group),
            Record::Ended(keys) => self.select_keys(keys),
            Record::AllEnded => self.select(|_, _| true),
            Record::Expired(jobs, more) => {
                self.tell_expired(jobs.iter().cloned());
                return more.iter().all(|record| self.replay(record));
            }
        };
        drop(self.sweep(&ended));
        true
    }

    fn replay_group(&mut self, group: &Group<'_>) -> bool {
        if group.times.is_none() {
            drop(self.sweep(&self.select_keys(std::slice::from_ref(&group.key))));
            return true;
        }
        let pieces = self.pieces(&group.key).unwrap_or_default();
        let names: HashSet<&str> = group.removed.iter().copied().chain(group.added.iter().map(|f| f.name)).collect();
        let is_gone = |piece: &Piece| !super::state::is_marker(&piece.name) && names.contains(piece.name.as_ref());
        let removed = pieces.into_iter().filter(is_gone).collect();
        let (mut added, mut is_whole) = (Vec::with_capacity(group.added.len()), true);
        for family in &group.added {
            let before = added.len();
            super::block::read(family.name, family.kind, family.help, family.is_protobuf, family.body, &mut |read| {
                added.push(self.encode(read, &group.key));
            });
            // One that cannot be read costs no other.
            is_whole &= added.len() > before || family.body.is_empty();
        }
        let before = self.times(&group.key);
        self.apply(&Change { key: group.key.clone(), removed, added, before, after: group.times, seen: None });
        group.seen.iter().for_each(|push| self.see(&group.key, *push));
        is_whole
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Writer {
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

    /// A text that is too long is not copied.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        if !self.is_too_long {
            self.raw(bytes);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
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

    fn group(&mut self) -> Option<Group<'a>> {
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
        Some(Group { key, times, removed, added, seen })
    }

    fn added(&mut self) -> Option<Added<'a>> {
        let name = self.text()?;
        let kind = *KINDS.get(usize::from(self.byte()?))?;
        let help = self.text()?;
        let is_protobuf = self.byte()? != 0;
        Some(Added { name, kind, help, is_protobuf, body: self.bytes()? })
    }
}
