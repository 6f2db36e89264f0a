//! Where in the segments the points are that wait, and the file that keeps it.

use std::fs::File;
use std::io;

use crate::system::{self, Identity, OwnFolder, Use, read_up_to, write_all_at};

/// A place in the segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) segment: u64,
    /// Of the record's first byte.
    pub(super) offset: u64,
    /// Points of the record before the place.
    pub(super) points: u32,
}

impl Place {
    /// The start of the record that it is in.
    pub(super) fn record(self) -> Place {
        Place { points: 0, ..self }
    }
}

/// A stretch of points that wait, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) begin: Place,
    /// The start of a record; none in the last stretch, which grows.
    pub(super) end: Option<Place>,
}

impl Stretch {
    /// All there is.
    pub(super) const ALL: Stretch = Stretch { begin: Place { segment: 0, offset: 0, points: 0 }, end: None };

    /// Whether the record that starts at `place` has points in it, and how many of its points are before it.
    pub(super) fn has(&self, place: Place) -> Option<u32> {
        let is_inside = place >= self.begin.record() && self.end.is_none_or(|end| place < end);
        is_inside.then_some(if place == self.begin.record() { self.begin.points } else { 0 })
    }
}

/// More outages than this in a row, each while the last one's backlog drains, are one.
pub(super) const MOST_STRETCHES: usize = 16;
const SLOT: usize = 1024;
const PLACE: usize = 20;
const HEAD: usize = 12;

const NAME: &str = "places";

/// The file `places`.
#[derive(Debug)]
pub(super) struct PlacesFile {
    file: File,
    identity: Option<Identity>,
    number: u64,
}

impl PlacesFile {
    /// The file, and the stretches that it tells; none if it tells nothing sound.
    pub(super) fn open(folder: &OwnFolder) -> io::Result<(PlacesFile, Option<Vec<Stretch>>)> {
        let file = folder.file(NAME, Use::Write)?;
        let identity = file.metadata().map(|found| system::identity(&found)).ok();
        let mut newest = (0, None);
        for slot in 0..2 {
            let mut bytes = [0; SLOT];
            let read = read_up_to(&file, &mut bytes, slot * SLOT as u64)?;
            if let Some((number, stretches)) = decode(&bytes[..read])
                && number > newest.0
            {
                newest = (number, Some(stretches));
            }
        }
        Ok((PlacesFile { file, identity, number: newest.0 }, newest.1))
    }

    /// Writes the stretches, without waiting for the disk.
    pub(super) fn write(&mut self, stretches: &[Stretch]) -> io::Result<()> {
        self.number += 1;
        write_all_at(&self.file, &encode(self.number, stretches), self.number % 2 * SLOT as u64)
    }

    /// Whether it is still in its folder.
    pub(super) fn is_in(&self, folder: &OwnFolder) -> bool {
        folder.stamp(NAME).map(|stamp| stamp.identity()) == self.identity
    }

    /// Waits until what was written is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn encode(number: u64, stretches: &[Stretch]) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((stretches.len() as u32).to_le_bytes());
    for stretch in stretches {
        // No segment has this number: the stretch grows.
        let end = stretch.end.unwrap_or(Place { segment: u64::MAX, offset: 0, points: 0 });
        for place in [stretch.begin, end] {
            bytes.extend(place.segment.to_le_bytes());
            bytes.extend(place.offset.to_le_bytes());
            bytes.extend(place.points.to_le_bytes());
        }
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u64, Vec<Stretch>)> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let short = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let count = short(8)? as usize;
    let end = HEAD + count.checked_mul(2 * PLACE)?;
    if count == 0 || count > MOST_STRETCHES || short(end)? != crc32fast::hash(bytes.get(..end)?) {
        return None;
    }
    let place = |at: usize| Some(Place { segment: number(at)?, offset: number(at + 8)?, points: short(at + 16)? });
    let stretch = |index: usize| {
        let (begin, end) = (place(HEAD + index * 2 * PLACE)?, place(HEAD + index * 2 * PLACE + PLACE)?);
        Some(Stretch { begin, end: (end.segment != u64::MAX).then_some(end) })
    };
    let stretches: Vec<Stretch> = (0..count).map(stretch).collect::<Option<_>>()?;
    let grows = stretches.iter().filter(|stretch| stretch.end.is_none()).count();
    (grows == 1 && stretches.last()?.end.is_none()).then_some((number(0)?, stretches))
}
