//! Removes points from a queue on disk: acknowledged or dropped.

use super::super::checkpoint::{Position, Span};
use super::super::segments::{SegmentInfo, bytes_of, name_of};
use super::{BatchPart, Disk};
use crate::encode::lines::Lines;

impl Disk {
    /// Removes the first `count` points of a batch of [`Disk::front`], if they are still there.
    pub(in crate::spool) fn remove(&mut self, lines: &Lines, parts: &[BatchPart], count: usize) {
        let mut passed = 0;
        for part in parts {
            let taken = (part.count as usize).min(count - passed);
            if taken == 0 {
                break;
            }
            let new = match taken == part.count as usize {
                true => part.after,
                false => Position { points: part.first + taken as u32, ..part.record },
            };
            self.pass(part, new, bytes_of(lines, passed, passed + taken), taken as u64);
            passed += taken;
        }
        self.remove_empty_spans();
        self.delete_drained_segments();
        self.write_checkpoint();
    }

    fn pass(&mut self, part: &BatchPart, new: Position, bytes: u64, points: u64) {
        let span = self.spans.iter_mut().find(|span| span.has(part.record).is_some());
        let Some(span) = span.filter(|span| span.begin < new) else { return };
        span.begin = new;
        let number = part.record.segment;
        let Some(info) = self.segments.get_mut(&number) else { return };
        if info.surveys == part.surveys {
            info.points = info.points.saturating_sub(points);
            info.point_bytes = info.point_bytes.saturating_sub(bytes);
        } else if let Ok(Some(found)) = self.survey(number, 0) {
            // It is unknown whether these points were among the readable ones.
            self.apply_survey(number, &found);
        }
    }

    /// A span without any record is empty too.
    pub(super) fn remove_empty_spans(&mut self) {
        let spans = std::mem::take(&mut self.spans);
        let has_records = |disk: &mut Disk, span: &Span| match span.end {
            Some(end) if span.begin >= end => false,
            Some(end) => match disk.load(span.begin.record()) {
                Ok(record) => record.is_some_and(|record| record < end),
                Err(_) => true,
            },
            None => true,
        };
        let kept = spans.into_iter().filter(|span| has_records(self, span)).collect();
        self.spans = kept;
    }

    pub(super) fn drop_overflow(&mut self) {
        let bytes = |disk: &Disk| disk.segments.values().map(|info| info.file_bytes).sum::<u64>();
        while bytes(self) > self.limits.bytes as u64 {
            let Some(points) = self.drop_oldest_segment() else { break };
            self.dropped.overflow += points;
        }
    }

    pub(super) fn drop_expired(&mut self) {
        while let Some((number, info)) = self.segments.first_key_value() {
            let bound = self.limits.age;
            if info.points == 0 || self.clock.min_age(info.written, bound) <= bound {
                break;
            }
            if *number == self.number {
                self.rotate();
            }
            let Some(points) = self.drop_oldest_segment() else { break };
            self.dropped.expired += points;
        }
    }

    /// Drops the oldest segment unless it is open, and returns the number of points in it.
    fn drop_oldest_segment(&mut self) -> Option<u64> {
        let (number, info) = self.segments.first_key_value().map(|(number, info)| (*number, info.points))?;
        if number == self.number {
            return None;
        }
        self.forget(number);
        self.remove_empty_spans();
        Some(info)
    }

    /// Deletes segments without waiting points, and counts the missing points of segments that were passed.
    pub(super) fn delete_drained_segments(&mut self) {
        let current = self.number;
        let is_passed = |number: u64, info: &SegmentInfo| {
            let has_more = |span: &Span| {
                let begins_before_its_end =
                    span.begin < Position { segment: number, offset: info.file_bytes, points: 0 };
                begins_before_its_end && span.end.is_none_or(|end| end.segment >= number)
            };
            !self.spans.iter().any(has_more)
        };
        let done: Vec<u64> = self
            .segments
            .iter()
            .filter(|(number, info)| **number != current && (info.points == 0 || is_passed(**number, info)))
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            self.dropped.damaged += self.segments[&number].points;
            self.forget(number);
        }
    }

    pub(super) fn forget(&mut self, number: u64) {
        let info = self.segments.remove(&number);
        if self.cached.as_ref().is_some_and(|(position, ..)| position.segment == number) {
            self.cached = None;
        }
        // A file that something else put in its place stays there.
        if info.is_some_and(|info| info.is_in(&self.folder, number, false)) {
            // If this fails, the file is deleted at the next open: no point in it waits.
            let _ = self.folder.remove(&name_of(number));
        }
    }
}
