//! Appends points to a queue on disk.

use std::io;

use super::super::age::{Arrival, time_of_day};
use super::super::segments::{MAGIC, MAX_SEGMENT_BYTES, SegmentInfo, encode, name_of};
use super::Disk;
use crate::encode::lines::Lines;
use crate::store::{Records, Segment};
use crate::system::{Stamp, Use};

const MIN_SEGMENT_BYTES: u64 = 64 << 10;
/// Segments in a full queue. Limits are enforced by dropping whole segments.
const SEGMENTS_PER_QUEUE: u32 = 16;

impl Disk {
    /// Appends points, and waits until they are on disk.
    pub(in crate::spool) fn append(&mut self, lines: &Lines) -> io::Result<()> {
        self.drop_expired();
        if self.wants_new_segment() {
            self.rotate();
        }
        let mut records = Records::default();
        records.push(&encode(lines, time_of_day())).map_err(io::Error::other)?;
        if let Err(error) = self.writable().and_then(|current| current.append(&records)) {
            // The open segment is drained: rotating deletes it, which frees space on a full disk.
            if self.segments.get(&self.number).is_none_or(|info| info.points > 0) {
                return Err(error);
            }
            self.rotate();
            self.writable()?.append(&records)?;
        }
        let Some(current) = &self.current else { return Ok(()) };
        let (number, length, now) = (current.number(), current.length(), self.clock.now());
        if let Some(info) = self.segments.get_mut(&number) {
            let oldest = match info.written {
                Arrival::Here { oldest, .. } if info.points > 0 => oldest,
                _ => now,
            };
            info.written = Arrival::Here { oldest, newest: now };
            info.file_bytes = length;
            info.points += lines.count() as u64;
            info.point_bytes += lines.bytes().len() as u64;
        }
        self.drop_overflow();
        Ok(())
    }

    fn segment_size(&self) -> u64 {
        (self.limits.bytes as u64 / u64::from(SEGMENTS_PER_QUEUE)).clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES)
    }

    fn wants_new_segment(&self) -> bool {
        let (Some(current), Some(info)) = (&self.current, self.segments.get(&self.number)) else { return false };
        let length = current.length();
        let is_done = info.points == 0 && length > self.segment_size() / 4;
        let is_old = info.points > 0 && self.clock.age(info.written) > self.limits.age / SEGMENTS_PER_QUEUE;
        current.needs_repair() || is_done || is_old || length >= self.segment_size()
    }

    /// Starts a new segment for what comes next.
    pub(super) fn rotate(&mut self) {
        if let Some(current) = self.current.take()
            && let Some(info) = self.segments.get_mut(&current.number())
        {
            info.stamp = current.file().metadata().ok().map(|found| Stamp::from(&found));
        }
        self.number += 1;
        self.delete_drained_segments();
    }

    /// The open segment, created if missing.
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
        let segment = Segment::begin(file, self.number, MAGIC);
        let segment = segment.and_then(|created| self.folder.sync().map(|()| created)).inspect_err(|_| {
            // On a full disk, each attempt would leave a file behind.
            let _ = self.folder.remove(&name);
        })?;
        let written = Arrival::Here { oldest: 0, newest: 0 };
        let info = SegmentInfo {
            stamp: Some(stamp),
            file_bytes: MAGIC.len() as u64,
            points: 0,
            point_bytes: 0,
            written,
            surveys: 0,
        };
        self.segments.insert(self.number, info);
        Ok(segment)
    }
}
