//! Reads points from a queue on disk, and handles unreadable ones.

use std::io;

use super::super::checkpoint::{Position, Span};
use super::super::segments::{self, MAGIC, Survey, is_foreign, name_of, read_record};
use super::super::types::SubQueue;
use super::{BatchPart, Disk};
use crate::encode::lines::Lines;
use crate::system::{Stamp, Use};

/// The readable part of a segment and the file's stamp; no stamp for the open segment.
pub(super) type Found = (Survey, Option<Stamp>);

impl Disk {
    /// The oldest points of a sub-queue, at most `count`, and their positions.
    pub(in crate::spool) fn front(&mut self, lane: SubQueue, count: usize) -> (Lines, Vec<BatchPart>) {
        self.drop_expired();
        let span = match lane {
            SubQueue::Fresh => self.spans.last(),
            SubQueue::Backlog => self.spans.first().filter(|span| span.end.is_some()),
        };
        let Some(span) = span.copied() else { return (Lines::default(), Vec::new()) };
        self.read(span, count)
    }

    /// The first points of a span, at most `count`, and their positions.
    pub(super) fn read(&mut self, span: Span, count: usize) -> (Lines, Vec<BatchPart>) {
        let (mut lines, mut parts) = (Lines::default(), Vec::new());
        let mut position = span.begin;
        while lines.count() < count {
            let Some(record) = self.load_or_log(position.record()) else { break };
            if span.end.is_some_and(|end| record >= end) {
                break;
            }
            if record != position.record() {
                self.skip(position, record);
            }
            let Some((_, points, next)) = &self.cached else { break };
            let surveys = self.segments.get(&record.segment).map_or(0, |info| info.surveys);
            let first = if record == position.record() { position.points as usize } else { 0 };
            let end = points.count().min(first + count - lines.count());
            lines.append_some(points, first, end);
            let after = if end == points.count() { *next } else { Position { points: end as u32, ..record } };
            if end > first {
                parts.push(BatchPart { record, first: first as u32, count: (end - first) as u32, after, surveys });
            }
            position = after;
        }
        (lines, parts)
    }

    /// Moves the start of a span past unreadable data, so that it is read only once.
    fn skip(&mut self, from: Position, to: Position) {
        if let Some(span) = self.spans.iter_mut().find(|span| span.begin == from) {
            span.begin = to;
        }
    }

    /// Like [`Disk::load`]. Logs a failure once: the record may become readable later.
    fn load_or_log(&mut self, position: Position) -> Option<Position> {
        match self.load(position) {
            Ok(record) => {
                if let Some(over) = self.unreadable.recovered() {
                    tracing::info!("the spool can be read again {over}: {}", self.folder().display());
                }
                record
            }
            Err(error) => {
                if self.unreadable.fails(error.to_string()) {
                    let path = self.folder().join(name_of(position.segment));
                    tracing::error!("points wait, as the spool cannot be read: {}: {error}", path.display());
                }
                None
            }
        }
    }

    /// Loads the record at `position`, or the next intact one, into the cache, and returns its position.
    pub(super) fn load(&mut self, mut position: Position) -> io::Result<Option<Position>> {
        loop {
            let Some((number, info)) = self.segments.range(position.segment..).next() else { return Ok(None) };
            if *number != position.segment {
                position = Position { segment: *number, ..Position::default() };
            }
            position.offset = position.offset.max(MAGIC.len() as u64);
            if let Some((cached, ..)) = &self.cached
                && *cached == position
            {
                return Ok(Some(position));
            }
            let end = info.file_bytes;
            let found = if position.offset < end { self.read_record(position, end)? } else { None };
            if let Some((lines, length)) = found {
                let next = Position { offset: position.offset + length, ..position };
                self.cached = Some((position, lines, next));
                return Ok(Some(position));
            }
            let next = if position.offset < end { self.skip_damage(position)? } else { None };
            position = match next {
                Some(offset) => Position { offset, ..position },
                None => Position { segment: position.segment + 1, ..Position::default() },
            };
        }
    }

    fn read_record(&self, position: Position, end: u64) -> io::Result<Option<(Lines, u64)>> {
        if let Some(current) = self.current.as_ref().filter(|current| current.number() == position.segment) {
            return read_record(current.file(), position.offset, end);
        }
        match self.folder.file(&name_of(position.segment), Use::Read) {
            Err(error) if is_missing(&error) => Ok(None),
            opened => read_record(&opened?, position.offset, end),
        }
    }

    /// Accounts for a segment that lost data, and returns the offset of the next intact record.
    fn skip_damage(&mut self, position: Position) -> io::Result<Option<u64>> {
        let path = self.folder().join(name_of(position.segment));
        // There is no intact record at the position itself.
        let Some(found) = self.survey(position.segment, position.offset + 1)? else { return Ok(None) };
        let lost = self.apply_survey(position.segment, &found);
        self.dropped.damaged += lost;
        if lost > 0 {
            let (left, what) = (found.0.points, found.0.damage.as_deref().unwrap_or("it holds other points"));
            self.damage.push(format!(
                "{}: {what}: {lost} points that waited are lost, and {left} can still be read",
                path.display()
            ));
        }
        Ok(found.0.next)
    }

    /// Reads the whole segment. [`Survey::next`] is the first intact record at or after `from`. `None` if the segment
    /// is unknown.
    pub(super) fn survey(&self, number: u64, from: u64) -> io::Result<Option<Found>> {
        let Some(info) = self.segments.get(&number) else { return Ok(None) };
        let read = match self.current.as_ref().filter(|current| current.number() == number) {
            Some(current) => segments::read_until(current.file(), info.file_bytes).map(|bytes| (bytes, None)),
            None => segments::read(&self.folder, number).map(|(bytes, stamp)| (bytes, Some(stamp))),
        };
        let (mut bytes, stamp) = match read {
            Err(error) if is_missing(&error) => {
                return Ok(Some((Survey { damage: Some(error.to_string()), ..Survey::default() }, None)));
            }
            read => read?,
        };
        bytes.truncate(info.file_bytes as usize);
        let mut found = segments::survey(&bytes, number, false, &self.spans, from);
        if (bytes.len() as u64) < info.file_bytes {
            let and = found.damage.map_or(String::new(), |damage| format!(", and {damage}"));
            found.damage = Some(format!("cut off at byte {}{and}", bytes.len()));
        }
        Ok(Some((found, stamp)))
    }

    /// Stores the result of a survey, and returns the number of points that were lost.
    pub(super) fn apply_survey(&mut self, number: u64, (found, stamp): &Found) -> u64 {
        if self.cached.as_ref().is_some_and(|(position, ..)| position.segment == number) {
            self.cached = None;
        }
        let is_written = self.current.as_ref().is_some_and(|current| current.number() == number);
        let Some(info) = self.segments.get_mut(&number) else { return 0 };
        let lost = info.points.saturating_sub(found.points);
        (info.points, info.point_bytes) = (found.points, found.point_bytes);
        info.surveys += 1;
        if !is_written {
            // A file that something else put in its place stays there.
            info.stamp = stamp.filter(|_| found.is_ours || found.points > 0);
            info.file_bytes = found.end;
            if found.points == 0 {
                self.forget(number);
            }
        }
        lost
    }
}

/// Whether a file is missing, or was not written by this program.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || is_foreign(error)
}
