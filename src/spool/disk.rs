//! The part of a queue that is on disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::places::{MOST_STRETCHES, Place, PlacesFile, Stretch};
use super::queue::{Bounds, Lane};
use crate::encode::point::Lines;
use crate::store::{self, OpenError, Records, Segment, records};
use crate::system;

/// What every segment begins with; the last byte is the format's version.
pub(super) const MAGIC: &[u8; 8] = b"TAFSPL\n\x01";
const EXTENSION: &str = "points";
/// Bytes of a record's payload before `ends`.
const HEAD: usize = 12;
const SMALLEST_SEGMENT: u64 = 64 << 10;
const LARGEST_SEGMENT: u64 = 4 << 20;
/// A bound is kept to by dropping whole segments: so much finer they are.
const SEGMENTS: u32 = 16;

/// A queue's folder.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    _lock: File,
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
    opened: Instant,
    pub(super) bounds: Bounds,
    pub(super) dropped: Dropped,
}

/// Points that were given up since the queue was opened, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) overflow: u64,
    pub(super) expired: u64,
    pub(super) damaged: u64,
}

/// What is known of a segment.
#[derive(Debug, Default)]
struct About {
    file_bytes: u64,
    /// Points that wait, and their bytes.
    points: u64,
    point_bytes: u64,
    /// When the first and the last record came in, in seconds since the queue was opened: before it below 0.
    oldest: i64,
    newest: i64,
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
    pub(super) fn open(folder: &Path, bounds: Bounds) -> Result<(Disk, Vec<String>), OpenError> {
        let failed = |what| move |reason| OpenError::Io { path: folder.to_owned(), what, reason };
        let lock = store::lock(folder)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        system::private(&mut options);
        let places = options.open(folder.join("places")).map_err(failed("places cannot be opened"))?;
        let (places, stretches) = PlacesFile::open(places).map_err(failed("places cannot be read"))?;
        let stretches = stretches.unwrap_or_else(|| vec![Stretch::ALL]);
        let mut damage = Vec::new();
        let mut segments = BTreeMap::new();
        let found = numbers(folder).map_err(failed("cannot be read"))?;
        for (index, number) in found.iter().enumerate() {
            let path = path_of(folder, *number);
            let is_last = index + 1 == found.len();
            segments.insert(*number, scan(&path, *number, is_last, &stretches, &mut damage)?);
        }
        // Beyond all places too, which may be behind what is deleted.
        let known = stretches.iter().flat_map(|stretch| [Some(stretch.begin), stretch.end]).flatten();
        let next = known.map(|place| place.segment).chain(found.last().copied()).max().map_or(1, |last| last + 1);
        let (opened, dropped) = (Instant::now(), Dropped::default());
        let mut disk = Disk {
            folder: folder.to_owned(),
            _lock: lock,
            places,
            stretches,
            segments,
            current: None,
            number: next,
            cached: None,
            is_unreadable: false,
            opened,
            bounds,
            dropped,
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
        records.push(&encode(lines)).map_err(io::Error::other)?;
        if let Err(error) = self.writable().and_then(|current| current.append(&records)) {
            // What is done with takes room that there is none of.
            if self.segments.get(&self.number).is_none_or(|about| about.points > 0) {
                return Err(error);
            }
            self.rotate();
            self.writable()?.append(&records)?;
        }
        let Some(current) = &self.current else { return Ok(()) };
        let (number, length, now) = (current.number(), current.length(), self.now());
        if let Some(about) = self.segments.get_mut(&number) {
            if about.points == 0 {
                about.oldest = now;
            }
            about.newest = now;
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
        let (mut lines, mut pieces) = (Lines::default(), Vec::new());
        let stretch = match lane {
            Lane::Fresh => self.stretches.last(),
            Lane::Backlog => self.stretches.first().filter(|stretch| stretch.end.is_some()),
        };
        let Some(stretch) = stretch.copied() else { return (lines, pieces) };
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
                    let path = path_of(&self.folder, place.segment);
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

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
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
        oldest.map_or(Duration::ZERO, |about| self.age(about.oldest))
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

    fn now(&self) -> i64 {
        self.opened.elapsed().as_secs() as i64
    }

    fn age(&self, since: i64) -> Duration {
        Duration::from_secs(self.now().saturating_sub(since).try_into().unwrap_or_default())
    }

    fn segment_size(&self) -> u64 {
        (self.bounds.bytes as u64 / u64::from(SEGMENTS)).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT)
    }

    fn wants_new_segment(&self) -> bool {
        let (Some(current), Some(about)) = (&self.current, self.segments.get(&self.number)) else { return false };
        let length = current.length();
        let is_done = about.points == 0 && length > self.segment_size() / 4;
        let is_old = about.points > 0 && self.age(about.oldest) > self.bounds.age / SEGMENTS;
        current.is_spoiled() || is_done || is_old || length >= self.segment_size()
    }

    /// What comes next goes into another segment.
    fn rotate(&mut self) {
        self.number += 1;
        self.current = None;
        self.delete_what_is_done();
    }

    /// The segment that is written, which is made if it is not there yet.
    fn writable(&mut self) -> io::Result<&mut Segment> {
        let current = match self.current.take() {
            Some(current) => current,
            None => {
                let new = Segment::new(&self.folder, self.number, EXTENSION, MAGIC)?;
                self.segments.insert(self.number, About { file_bytes: MAGIC.len() as u64, ..About::default() });
                new
            }
        };
        Ok(self.current.insert(current))
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
            if about.points == 0 || self.age(about.newest) <= self.bounds.age {
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
        self.segments.remove(&number);
        if self.cached.as_ref().is_some_and(|(place, ..)| place.segment == number) {
            self.cached = None;
        }
        // A file that stays is deleted when the queue is opened again: nothing in it waits.
        let _ = fs::remove_file(path_of(&self.folder, number));
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
            match read_record(&path_of(&self.folder, place.segment), place.offset, end)? {
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
}

fn bytes_of(lines: &Lines, first: usize, end: usize) -> u64 {
    let until = |index: usize| index.checked_sub(1).map_or(0, |before| lines.ends()[before]);
    u64::from(until(end) - until(first))
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.{EXTENSION}"))
}

/// The numbers of the segments in `folder`, in order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            numbers.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn encode(lines: &Lines) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let mut payload = Vec::with_capacity(HEAD + lines.count() * 4 + lines.bytes().len());
    payload.extend(now.to_le_bytes());
    payload.extend((lines.count() as u32).to_le_bytes());
    payload.extend(lines.ends().iter().flat_map(|end| end.to_le_bytes()));
    payload.extend_from_slice(lines.bytes());
    payload
}

/// A record's time and points.
fn decode(payload: &[u8]) -> Option<(i64, Lines)> {
    let time = i64::from_le_bytes(payload.get(..8)?.try_into().ok()?);
    let count = u32::from_le_bytes(payload.get(8..HEAD)?.try_into().ok()?) as usize;
    let start = HEAD.checked_add(count.checked_mul(4)?)?;
    let ends = payload.get(HEAD..start)?.chunks_exact(4);
    let ends = ends.map(|end| u32::from_le_bytes(end.try_into().unwrap_or_default())).collect();
    Some((time, Lines::from_parts(payload[start..].to_vec(), ends)?))
}

enum Found {
    /// Points, and the bytes that the record takes.
    Record(Lines, u64),
    /// Nothing whole here; perhaps at this offset.
    NextAt(u64),
    Nothing,
}

/// Reads the record at `offset` of a segment that is sound up to `end`.
fn read_record(path: &Path, offset: u64, end: u64) -> io::Result<Found> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        opened => opened?,
    };
    let mut head = [0; records::HEAD];
    if offset + head.len() as u64 > end || !is_read(&file, &mut head, offset)? {
        return Ok(Found::Nothing);
    }
    let length = u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]])) + records::HEAD as u64;
    if offset + length <= end {
        let mut bytes = vec![0; length as usize];
        if is_read(&file, &mut bytes, offset)?
            && let Some((payload, _)) = records::first(&bytes)
            && let Some((_, lines)) = decode(payload)
        {
            return Ok(Found::Record(lines, length));
        }
    }
    let mut rest = vec![0; (end - offset) as usize];
    let next = if is_read(&file, &mut rest, offset)? { records::next(&rest) } else { None };
    Ok(next.map_or(Found::Nothing, |skipped| Found::NextAt(offset + skipped as u64)))
}

/// Fills `bytes`, unless the file ends before.
fn is_read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    Ok(system::read_up_to(file, bytes, offset)? == bytes.len())
}

/// Reads a whole segment, and tells what of it waits. The end of the last one may be torn, which is then cut off.
fn scan(
    path: &Path,
    number: u64,
    may_be_torn: bool,
    stretches: &[Stretch],
    damage: &mut Vec<String>,
) -> Result<About, OpenError> {
    let failed = |reason| OpenError::Io { path: path.to_owned(), what: "cannot be read", reason };
    let bytes = fs::read(path).map_err(failed)?;
    let (same, version) = (MAGIC.len() - 1, bytes.get(MAGIC.len() - 1));
    if bytes.get(..same) == Some(&MAGIC[..same]) && version.is_some_and(|version| *version != MAGIC[same]) {
        return Err(OpenError::Version(path.to_owned()));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let mut about = About { oldest: i64::MAX, newest: i64::MIN, ..About::default() };
    let mut at = MAGIC.len().min(bytes.len());
    let is_cut_off = may_be_torn && MAGIC.starts_with(&bytes);
    if !is_cut_off && !bytes.starts_with(MAGIC) {
        damage.push(format!("{}: the start is damaged", path.display()));
    }
    while at < bytes.len() {
        let whole = records::first(&bytes[at..]).and_then(|(payload, length)| Some((decode(payload)?, length)));
        if let Some(((time, lines), length)) = whole {
            let place = Place { segment: number, offset: at as u64, points: 0 };
            if let Some(before) = stretches.iter().find_map(|stretch| stretch.has(place)) {
                let before = (before as usize).min(lines.count());
                about.points += (lines.count() - before) as u64;
                about.point_bytes += bytes_of(&lines, before, lines.count());
                let added = time.saturating_sub(now).min(0);
                (about.oldest, about.newest) = (about.oldest.min(added), about.newest.max(added));
            }
            at += length;
            continue;
        }
        match records::next(&bytes[at..]) {
            Some(skipped) => {
                damage.push(format!(
                    "{}: damaged from byte {at} to {}, which is passed over",
                    path.display(),
                    at + skipped
                ));
                at += skipped;
            }
            None => {
                if !may_be_torn {
                    damage.push(format!("{}: damaged from byte {at} to its end, which is passed over", path.display()));
                }
                break;
            }
        }
    }
    about.file_bytes = at as u64;
    Ok(about)
}
