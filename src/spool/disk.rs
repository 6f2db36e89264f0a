//! The part of a queue that is on disk.

mod standing;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use super::age::{Clock, Written, time_of_day};
use super::places::{MOST_STRETCHES, Place, PlacesFile, Stretch};
use super::queue::{Bounds, Lane};
use super::segments::{About, Found, LARGEST_SEGMENT, MAGIC, bytes_of, encode, name_of, numbers, read_record, scan};
use crate::encode::point::Lines;
use crate::store::{OpenError, Records, Segment};
use crate::system::{self, Identity, OwnFolder, Stamp, Use};

pub(super) use self::standing::Look;

const SMALLEST_SEGMENT: u64 = 64 << 10;
/// A bound is kept to by dropping whole segments: so much finer they are.
const SEGMENTS: u32 = 16;

/// A queue's folder.
#[derive(Debug)]
pub(super) struct Disk {
    /// Tells it from others, also from the next one at the same path.
    pub(super) number_of_disk: u64,
    folder: OwnFolder,
    /// When the folder's entries had changed, as it was last looked at.
    seen: Option<SystemTime>,
    lock: (File, Option<Identity>),
    places: PlacesFile,
    /// Oldest first; the last one grows.
    stretches: Vec<Stretch>,
    segments: BTreeMap<u64, About>,
    /// The segment that is written, once something is: a queue on a full disk can be read.
    current: Option<Segment>,
    /// Its number, also before it is there.
    number: u64,
    /// The record that was read last, and where the next one is.
    cached: Option<(Place, Lines, Place)>,
    /// Whether a record could not be read, as the log was told.
    is_unreadable: bool,
    clock: Clock,
    pub(super) bounds: Bounds,
    pub(super) dropped: Dropped,
}

/// Points that were given up, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) overflow: u64,
    pub(super) expired: u64,
    pub(super) damaged: u64,
}

/// The points of a batch that are of one record.
#[derive(Debug)]
pub(super) struct Piece {
    record: Place,
    /// The first of them in the record.
    first: u32,
    count: u32,
    /// Where the points behind them are.
    after: Place,
}

impl Disk {
    /// Opens a queue's folder, which is made if it is not there. Also gives what was damaged, each in a line.
    pub(super) fn open(path: &Path, bounds: Bounds) -> Result<(Disk, Vec<String>), OpenError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |what| move |reason| OpenError::Io { path: path.to_owned(), what, reason };
        let folder = OwnFolder::open(path).map_err(failed("cannot be used"))?;
        let lock = lock(&folder)?;
        let (places, stretches) = PlacesFile::open(&folder).map_err(failed("places cannot be read"))?;
        let stretches = stretches.unwrap_or_else(|| vec![Stretch::ALL]);
        let mut damage = Vec::new();
        let mut segments = BTreeMap::new();
        let found = numbers(&folder).map_err(failed("cannot be read"))?;
        for (index, number) in found.iter().enumerate() {
            let is_last = index + 1 == found.len();
            segments.extend(scan(&folder, *number, is_last, &stretches, &mut damage)?.map(|about| (*number, about)));
        }
        // Beyond all places too, which may be behind what is deleted.
        let known = stretches.iter().flat_map(|stretch| [Some(stretch.begin), stretch.end]).flatten();
        let next = known.map(|place| place.segment).chain(found.last().copied()).max().map_or(1, |last| last + 1);
        let mut disk = Disk {
            number_of_disk: NUMBER.fetch_add(1, Relaxed),
            folder,
            seen: None,
            lock,
            places,
            stretches,
            segments,
            current: None,
            number: next,
            cached: None,
            is_unreadable: false,
            clock: Clock::start(),
            bounds,
            dropped: Dropped::default(),
        };
        disk.remove_empty_stretches();
        disk.delete_what_is_done();
        Ok((disk, damage))
    }

    /// Puts points at the end, and waits until they are on disk.
    pub(super) fn append(&mut self, lines: &Lines) -> io::Result<()> {
        self.drop_expired();
        if self.wants_new_segment() {
            self.rotate();
        }
        let mut records = Records::default();
        records.push(&encode(lines, time_of_day())).map_err(io::Error::other)?;
        if let Err(error) = self.writable().and_then(|current| current.append(&records)) {
            // What is done with takes room that there is none of.
            if self.segments.get(&self.number).is_none_or(|about| about.points > 0) {
                return Err(error);
            }
            self.rotate();
            self.writable()?.append(&records)?;
        }
        let Some(current) = &self.current else { return Ok(()) };
        let (number, length, now) = (current.number(), current.length(), self.clock.now());
        if let Some(about) = self.segments.get_mut(&number) {
            let oldest = match about.written {
                Written::Here { oldest, .. } if about.points > 0 => oldest,
                _ => now,
            };
            about.written = Written::Here { oldest, newest: now };
            about.file_bytes = length;
            about.points += lines.count() as u64;
            about.point_bytes += lines.bytes().len() as u64;
        }
        self.drop_overflow();
        Ok(())
    }

    /// The oldest points of a lane, `count` at the most, and where they are.
    pub(super) fn front(&mut self, lane: Lane, count: usize) -> (Lines, Vec<Piece>) {
        self.drop_expired();
        let stretch = match lane {
            Lane::Fresh => self.stretches.last(),
            Lane::Backlog => self.stretches.first().filter(|stretch| stretch.end.is_some()),
        };
        let Some(stretch) = stretch.copied() else { return (Lines::default(), Vec::new()) };
        self.read(stretch, count)
    }

    /// The first points of a stretch, `count` at the most, and where they are.
    fn read(&mut self, stretch: Stretch, count: usize) -> (Lines, Vec<Piece>) {
        let (mut lines, mut pieces) = (Lines::default(), Vec::new());
        let mut place = stretch.begin;
        while lines.count() < count {
            let Some(record) = self.load_or_tell(place.record()) else { break };
            let Some((_, points, next)) = &self.cached else { break };
            if stretch.end.is_some_and(|end| record >= end) {
                break;
            }
            let first = if record == place.record() { place.points as usize } else { 0 };
            let end = points.count().min(first + count - lines.count());
            lines.append_some(points, first, end);
            let after = if end == points.count() { *next } else { Place { points: end as u32, ..record } };
            if end > first {
                pieces.push(Piece { record, first: first as u32, count: (end - first) as u32, after });
            }
            place = after;
        }
        (lines, pieces)
    }

    /// As [`Disk::load`]. What cannot be read now may be readable later; the log is told once.
    fn load_or_tell(&mut self, place: Place) -> Option<Place> {
        match self.load(place) {
            Ok(record) => {
                self.is_unreadable = false;
                record
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_unreadable, true) {
                    let path = self.folder.path().join(name_of(place.segment));
                    tracing::error!("points wait, as the spool cannot be read: {}: {error}", path.display());
                }
                None
            }
        }
    }

    /// Takes the first `count` points of what [`Disk::front`] gave out, as far as they are still there.
    pub(super) fn remove(&mut self, lines: &Lines, pieces: &[Piece], count: usize) {
        let mut passed = 0;
        for piece in pieces {
            let taken = (piece.count as usize).min(count - passed);
            if taken == 0 {
                break;
            }
            let new = match taken == piece.count as usize {
                true => piece.after,
                false => Place { points: piece.first + taken as u32, ..piece.record },
            };
            self.pass(piece, new, bytes_of(lines, passed, passed + taken), taken as u64);
            passed += taken;
        }
        self.remove_empty_stretches();
        self.delete_what_is_done();
        self.write_places();
    }

    fn pass(&mut self, piece: &Piece, new: Place, bytes: u64, points: u64) {
        let stretch = self.stretches.iter_mut().find(|stretch| stretch.has(piece.record).is_some());
        let Some(stretch) = stretch.filter(|stretch| stretch.begin < new) else { return };
        stretch.begin = new;
        if let Some(about) = self.segments.get_mut(&piece.record.segment) {
            about.points = about.points.saturating_sub(points);
            about.point_bytes = about.point_bytes.saturating_sub(bytes);
        }
    }

    /// Closes what waits now: it is the backlog from here on.
    pub(super) fn set_backlog_apart(&mut self) {
        let length = self.current.as_ref().map_or(MAGIC.len() as u64, Segment::length);
        let end = Place { segment: self.number, offset: length, points: 0 };
        let has_room = self.stretches.len() < MOST_STRETCHES;
        if has_room && let Some(last) = self.stretches.last_mut() {
            last.end = Some(end);
            self.stretches.push(Stretch { begin: end, end: None });
            self.remove_empty_stretches();
            self.write_places();
        }
    }

    /// A stretch is empty as well if there is no record in it.
    fn remove_empty_stretches(&mut self) {
        let stretches = std::mem::take(&mut self.stretches);
        let has_records = |disk: &mut Disk, stretch: &Stretch| match stretch.end {
            Some(end) if stretch.begin >= end => false,
            Some(end) => match disk.load(stretch.begin.record()) {
                Ok(record) => record.is_some_and(|record| record < end),
                Err(_) => true,
            },
            None => true,
        };
        let kept = stretches.into_iter().filter(|stretch| has_records(self, stretch)).collect();
        self.stretches = kept;
    }

    /// For tests that have it fail.
    #[cfg(test)]
    pub(super) fn segment(&mut self) -> Option<&mut Segment> {
        self.current.as_mut()
    }

    /// For tests that have files vanish.
    #[cfg(test)]
    pub(super) fn forget_cached(&mut self) {
        self.cached = None;
    }

    /// The same, to look into it.
    pub(super) fn own_folder(&self) -> &OwnFolder {
        &self.folder
    }

    /// Gives the folder another path, where nothing may be.
    pub(super) fn rename(&mut self, path: &Path) -> io::Result<()> {
        self.folder.rename(path)
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether there is a backlog apart from the fresh lane.
    pub(super) fn has_backlog(&self) -> bool {
        self.stretches.len() > 1
    }

    /// Points that wait, and their bytes.
    pub(super) fn waiting(&self) -> (u64, u64) {
        let sum = |of: fn(&About) -> u64| self.segments.values().map(of).sum();
        (sum(|about| about.points), sum(|about| about.point_bytes))
    }

    /// How long the oldest points have waited, about: that of the oldest segment's first record.
    pub(super) fn oldest(&self) -> Duration {
        let oldest = self.segments.values().find(|about| about.points > 0);
        oldest.map_or(Duration::ZERO, |about| self.clock.age(about.written))
    }

    /// Waits until also what was taken out is on disk.
    pub(super) fn sync(&mut self) {
        self.write_places();
        // What is lost then is sent twice.
        let _ = self.places.sync();
    }

    fn write_places(&mut self) {
        // An older place is as good, but for points that are sent twice.
        let _ = self.places.write(&self.stretches);
    }

    fn segment_size(&self) -> u64 {
        (self.bounds.bytes as u64 / u64::from(SEGMENTS)).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT)
    }

    fn wants_new_segment(&self) -> bool {
        let (Some(current), Some(about)) = (&self.current, self.segments.get(&self.number)) else { return false };
        let length = current.length();
        let is_done = about.points == 0 && length > self.segment_size() / 4;
        let is_old = about.points > 0 && self.clock.age(about.written) > self.bounds.age / SEGMENTS;
        current.is_spoiled() || is_done || is_old || length >= self.segment_size()
    }

    /// What comes next goes into another segment.
    fn rotate(&mut self) {
        if let Some(current) = self.current.take()
            && let Some(about) = self.segments.get_mut(&current.number())
        {
            about.stamp = current.file().metadata().ok().map(|found| Stamp::from(&found));
        }
        self.number += 1;
        self.delete_what_is_done();
    }

    /// The segment that is written, which is made if it is not there yet.
    fn writable(&mut self) -> io::Result<&mut Segment> {
        let current = match self.current.take() {
            Some(current) => current,
            None => self.begin_segment()?,
        };
        Ok(self.current.insert(current))
    }

    fn begin_segment(&mut self) -> io::Result<Segment> {
        let name = name_of(self.number);
        let file = self.folder.file(&name, Use::New)?;
        let stamp = Stamp::from(&file.metadata()?);
        let begun = Segment::begin(file, self.number, MAGIC);
        let begun = begun.and_then(|segment| self.folder.sync().map(|()| segment)).inspect_err(|_| {
            // On a full disk one would be left at every attempt.
            let _ = self.folder.remove(&name);
        })?;
        let written = Written::Here { oldest: 0, newest: 0 };
        let about = About { stamp: Some(stamp), file_bytes: MAGIC.len() as u64, points: 0, point_bytes: 0, written };
        self.segments.insert(self.number, about);
        Ok(begun)
    }

    fn drop_overflow(&mut self) {
        let bytes = |disk: &Disk| disk.segments.values().map(|about| about.file_bytes).sum::<u64>();
        while bytes(self) > self.bounds.bytes as u64 {
            let Some(points) = self.drop_oldest_segment() else { break };
            self.dropped.overflow += points;
        }
    }

    fn drop_expired(&mut self) {
        while let Some((number, about)) = self.segments.first_key_value() {
            let bound = self.bounds.age;
            if about.points == 0 || self.clock.least_age(about.written, bound) <= bound {
                break;
            }
            if *number == self.number {
                self.rotate();
            }
            let Some(points) = self.drop_oldest_segment() else { break };
            self.dropped.expired += points;
        }
    }

    /// Drops the oldest segment, unless it is written, and says how many points waited in it.
    fn drop_oldest_segment(&mut self) -> Option<u64> {
        let (number, about) = self.segments.first_key_value().map(|(number, about)| (*number, about.points))?;
        if number == self.number {
            return None;
        }
        self.forget(number);
        self.remove_empty_stretches();
        Some(about)
    }

    /// Deletes segments in which nothing waits, and counts what could not be found again in those that were passed.
    fn delete_what_is_done(&mut self) {
        let current = self.number;
        let is_passed = |number: u64, about: &About| {
            let has_more = |stretch: &Stretch| {
                let begins_before_its_end =
                    stretch.begin < Place { segment: number, offset: about.file_bytes, points: 0 };
                begins_before_its_end && stretch.end.is_none_or(|end| end.segment >= number)
            };
            !self.stretches.iter().any(has_more)
        };
        let done: Vec<u64> = self
            .segments
            .iter()
            .filter(|(number, about)| **number != current && (about.points == 0 || is_passed(**number, about)))
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            self.dropped.damaged += self.segments[&number].points;
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        let about = self.segments.remove(&number);
        if self.cached.as_ref().is_some_and(|(place, ..)| place.segment == number) {
            self.cached = None;
        }
        // What somebody else put in its place is his.
        if about.is_some_and(|about| about.is_in(&self.folder, number, false)) {
            // A file that stays is deleted when the queue is opened again: nothing in it waits.
            let _ = self.folder.remove(&name_of(number));
        }
    }

    /// Reads the record at `place`, or the next whole one behind it, into the cache, and says where it is.
    fn load(&mut self, mut place: Place) -> io::Result<Option<Place>> {
        loop {
            let Some((number, about)) = self.segments.range(place.segment..).next() else { return Ok(None) };
            if *number != place.segment {
                place = Place { segment: *number, ..Place::default() };
            }
            place.offset = place.offset.max(MAGIC.len() as u64);
            if let Some((cached, ..)) = &self.cached
                && *cached == place
            {
                return Ok(Some(place));
            }
            if place.offset >= about.file_bytes {
                place = Place { segment: place.segment + 1, ..Place::default() };
                continue;
            }
            let end = about.file_bytes;
            match self.read_record(place, end)? {
                Found::Record(lines, length) => {
                    let next = Place { offset: place.offset + length, ..place };
                    self.cached = Some((place, lines, next));
                    return Ok(Some(place));
                }
                Found::NextAt(offset) => place.offset = offset,
                Found::Nothing => place = Place { segment: place.segment + 1, ..Place::default() },
            }
        }
    }

    fn read_record(&self, place: Place, end: u64) -> io::Result<Found> {
        if let Some(current) = self.current.as_ref().filter(|current| current.number() == place.segment) {
            return read_record(current.file(), place.offset, end);
        }
        match self.folder.file(&name_of(place.segment), Use::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            opened => read_record(&opened?, place.offset, end),
        }
    }
}

/// Sees to it that no other process has the folder, for as long as the file is open.
fn lock(folder: &OwnFolder) -> Result<(File, Option<Identity>), OpenError> {
    let failed = |what| move |reason| OpenError::Io { path: folder.path().to_owned(), what, reason };
    let lock = folder.file("lock", Use::Write).map_err(failed("the lock file cannot be made"))?;
    let identity = lock.metadata().map(|found| system::identity(&found)).ok();
    match system::lock(&lock).map_err(failed("cannot be locked"))? {
        true => Ok((lock, identity)),
        false => Err(OpenError::InUse(folder.path().to_owned())),
    }
}
