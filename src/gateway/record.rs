//! A change of one group as bytes, for the log.

use super::key::Key;
use super::state::{Change, Piece, State, Times};
use crate::encode::parse::model::Kind;

const VERSION: u8 = 1;

/// The types, by their numbers on disk.
const KINDS: [Kind; 6] =
    [Kind::Counter, Kind::Gauge, Kind::Untyped, Kind::Summary, Kind::Histogram, Kind::GaugeHistogram];

/// A change as it was read back.
#[derive(Debug, PartialEq)]
pub struct Record<'a> {
    /// The group.
    pub key: Key,
    /// Its times afterwards; nothing if it ended.
    pub times: Option<Times>,
    /// The families that went.
    pub removed: Vec<&'a str>,
    /// The families that came.
    pub added: Vec<Added<'a>>,
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

/// A change as a record.
pub fn encode(change: &Change) -> Vec<u8> {
    let names = change.removed.iter().map(|piece| piece.name.as_ref());
    encode_parts(&change.key, change.after, names, &change.added)
}

/// A whole group as a record.
pub fn encode_group(key: &Key, times: Times, pieces: &[Piece]) -> Vec<u8> {
    encode_parts(key, Some(times), std::iter::empty(), pieces)
}

fn encode_parts<'n>(
    key: &Key,
    times: Option<Times>,
    removed: impl Iterator<Item = &'n str>,
    added: &[Piece],
) -> Vec<u8> {
    let mut out = Writer(vec![VERSION]);
    out.number(key.labels().len());
    key.labels().iter().for_each(|(name, value)| {
        out.bytes(name.as_bytes());
        out.bytes(value.as_bytes());
    });
    let times = times.map(|times| [times.pushed, times.failed, times.expires.unwrap_or(f64::INFINITY)]);
    out.0.push(times.is_some().into());
    times.into_iter().flatten().for_each(|time| out.0.extend_from_slice(&time.to_le_bytes()));
    let removed: Vec<&str> = removed.collect();
    out.number(removed.len());
    removed.iter().for_each(|name| out.bytes(name.as_bytes()));
    out.number(added.len());
    for piece in added {
        out.bytes(piece.name.as_bytes());
        out.0.push(KINDS.iter().position(|kind| *kind == piece.kind).unwrap_or(2) as u8);
        out.bytes(piece.help.as_bytes());
        let (is_protobuf, body) = piece.block.whole();
        out.0.push(is_protobuf.into());
        out.bytes(body);
    }
    out.0
}

/// The record in `bytes`; nothing if it is none.
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let mut rest = Reader(bytes.strip_prefix(&[VERSION])?);
    let labels = (0..rest.number()?).map(|_| Some((rest.text()?.to_owned(), rest.text()?.to_owned())));
    let labels = labels.collect::<Option<Vec<_>>>()?;
    let key = Key::new(labels).ok()?;
    let times = match rest.byte()? {
        0 => None,
        _ => {
            let (pushed, failed, expires) = (rest.float()?, rest.float()?, rest.float()?);
            Some(Times { pushed, failed, expires: Some(expires).filter(|expires| expires.is_finite()) })
        }
    };
    let removed = (0..rest.number()?).map(|_| rest.text()).collect::<Option<Vec<_>>>()?;
    let added = (0..rest.number()?).map(|_| rest.added()).collect::<Option<Vec<_>>>()?;
    Some(Record { key, times, removed, added })
}

impl State {
    /// Does what a record says, which was checked when it was written.
    pub fn replay(&mut self, record: &Record<'_>) {
        let pieces = self.pieces(&record.key).unwrap_or_default();
        let is_gone = |piece: &Piece| match record.times {
            None => true,
            Some(_) => {
                record.removed.contains(&piece.name.as_ref())
                    || record.added.iter().any(|added| *added.name == *piece.name)
            }
        };
        let removed =
            pieces.into_iter().filter(|piece| !super::state::is_marker(&piece.name) && is_gone(piece)).collect();
        let mut added = Vec::with_capacity(record.added.len());
        for family in &record.added {
            super::block::read(family.name, family.kind, family.help, family.is_protobuf, family.body, &mut |read| {
                added.push(self.encode(read, &record.key));
            });
        }
        let before = self.times(&record.key);
        if before.is_none() && record.times.is_none() {
            return;
        }
        self.apply(&Change { key: record.key.clone(), removed, added, before, after: record.times });
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: usize) {
        self.0.extend_from_slice(&(number as u32).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
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

    fn added(&mut self) -> Option<Added<'a>> {
        let name = self.text()?;
        let kind = *KINDS.get(usize::from(self.byte()?))?;
        let help = self.text()?;
        let is_protobuf = self.byte()? != 0;
        Some(Added { name, kind, help, is_protobuf, body: self.bytes()? })
    }
}
