//! Positions of the waiting points in the segments, and the file that persists them.

use std::fs::File;
use std::io;

use crate::system::{self, Identity, PrivateFolder, Use, read_up_to, write_all_at};

/// A position in the segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u64,
    /// Offset of the record's first byte.
    pub(super) offset: u64,
    /// Points of the record before the position.
    pub(super) points: u32,
}

impl Position {
    /// The start of its record.
    pub(super) fn record(self) -> Position {
        Position { points: 0, ..self }
    }
}

/// A run of waiting points, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) begin: Position,
    /// The start of a record; `None` in the last span, which grows.
    pub(super) end: Option<Position>,
}

impl Span {
    /// Everything.
    pub(super) const ALL: Span = Span { begin: Position { segment: 0, offset: 0, points: 0 }, end: None };

    /// If the record at `position` has points in the span, the number of its points before the span.
    pub(super) fn has(&self, position: Position) -> Option<u32> {
        let is_inside = position >= self.begin.record() && self.end.is_none_or(|end| position < end);
        is_inside.then_some(if position == self.begin.record() { self.begin.points } else { 0 })
    }
}

/// With more outages in a row, each while the previous backlog drains, the last ones share a span.
pub(super) const MAX_SPANS: usize = 16;
const SLOT_BYTES: usize = 1024;
const POSITION_BYTES: usize = 20;
const HEAD: usize = 12;

const NAME: &str = "places";

/// The file `places`.
#[derive(Debug)]
pub(super) struct Checkpoint {
    file: File,
    identity: Option<Identity>,
    number: u64,
}

impl Checkpoint {
    /// Opens the file, and reads its spans; `None` if neither slot is valid.
    pub(super) fn open(folder: &PrivateFolder) -> io::Result<(Checkpoint, Option<Vec<Span>>)> {
        let file = folder.file(NAME, Use::Write)?;
        let identity = file.metadata().map(|found| system::identity(&found)).ok();
        let mut newest = (0, None);
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            let read = read_up_to(&file, &mut bytes, slot * SLOT_BYTES as u64)?;
            if let Some((number, spans)) = decode(&bytes[..read])
                && number > newest.0
            {
                newest = (number, Some(spans));
            }
        }
        Ok((Checkpoint { file, identity, number: newest.0 }, newest.1))
    }

    /// Writes the spans, without waiting for the disk.
    pub(super) fn write(&mut self, spans: &[Span]) -> io::Result<()> {
        self.number += 1;
        write_all_at(&self.file, &encode(self.number, spans), self.number % 2 * SLOT_BYTES as u64)
    }

    /// Whether it is still in its folder.
    pub(super) fn is_in(&self, folder: &PrivateFolder) -> bool {
        folder.stamp(NAME).map(|stamp| stamp.identity()) == self.identity
    }

    /// Waits until what was written is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn encode(number: u64, spans: &[Span]) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((spans.len() as u32).to_le_bytes());
    for span in spans {
        // No segment has this number: the span grows.
        let end = span.end.unwrap_or(Position { segment: u64::MAX, offset: 0, points: 0 });
        for position in [span.begin, end] {
            bytes.extend(position.segment.to_le_bytes());
            bytes.extend(position.offset.to_le_bytes());
            bytes.extend(position.points.to_le_bytes());
        }
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u64, Vec<Span>)> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let short = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let count = short(8)? as usize;
    let end = HEAD + count.checked_mul(2 * POSITION_BYTES)?;
    if count == 0 || count > MAX_SPANS || short(end)? != crc32fast::hash(bytes.get(..end)?) {
        return None;
    }
    let position =
        |at: usize| Some(Position { segment: number(at)?, offset: number(at + 8)?, points: short(at + 16)? });
    let span = |index: usize| {
        let (begin, end) = (
            position(HEAD + index * 2 * POSITION_BYTES)?,
            position(HEAD + index * 2 * POSITION_BYTES + POSITION_BYTES)?,
        );
        Some(Span { begin, end: (end.segment != u64::MAX).then_some(end) })
    };
    let spans: Vec<Span> = (0..count).map(span).collect::<Option<_>>()?;
    let grows = spans.iter().filter(|span| span.end.is_none()).count();
    (grows == 1 && spans.last()?.end.is_none()).then_some((number(0)?, spans))
}
