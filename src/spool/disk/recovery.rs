//! Recovers waiting points when the folder, or a file in it, was removed or replaced.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, SystemTime};

use super::super::checkpoint::{Checkpoint, Position, Span};
use super::super::segments::SegmentInfo;
use super::{Disk, lock};
use crate::encode::lines::Lines;
use crate::store::Segment;
use crate::system::PathState;

/// Coarsest resolution of modification times on any file system.
const MTIME_GRANULARITY: Duration = Duration::from_secs(3);
/// Points that are copied at a time.
const MAX_BATCH_POINTS: usize = 5000;

/// The state of a queue's folder.
#[derive(Debug)]
pub(in crate::spool) enum Inspection {
    /// Everything is in place.
    Sound,
    /// Files were damaged, removed or replaced.
    Repaired {
        /// Points in them that are lost.
        lost: u64,
        /// Points in them that can still be read.
        remaining: u64,
        /// Those that are in no file any more.
        rescued: Vec<Lines>,
        /// Errors of files that could not be recreated.
        failures: Vec<String>,
    },
    /// The folder is not at its path; says what happened to it.
    Away(String),
}

impl Disk {
    /// Checks that the folder and its files are in place, if the folder changed or `anyway`.
    pub(in crate::spool) fn inspect(&mut self, anyway: bool) -> Inspection {
        match self.folder.path_state() {
            PathState::Missing => Inspection::Away("was removed".to_owned()),
            PathState::Replaced(what) => Inspection::Away(format!("was replaced by {what}")),
            PathState::Unchanged(changed) if !anyway && changed.is_some() && changed == self.seen => Inspection::Sound,
            PathState::Unchanged(changed) => {
                // A later change within the clock's resolution has the same time.
                let is_past = |time: &SystemTime| time.elapsed().is_ok_and(|elapsed| elapsed > MTIME_GRANULARITY);
                self.seen = changed.filter(is_past);
                self.repair()
            }
        }
    }

    /// Recreates missing files, and abandons segments that cannot be recovered.
    fn repair(&mut self) -> Inspection {
        let failures: Vec<String> =
            [self.repair_checkpoint(), self.repair_lock()].into_iter().filter_map(Result::err).collect();
        if !failures.is_empty() {
            // Inspect again until it is repaired.
            self.seen = None;
        }
        let current = self.current.as_ref().map(Segment::number);
        let is_well = |number: u64, info: &SegmentInfo| match Some(number) == current {
            true => info.is_in(&self.folder, number, true) && !self.is_cut_off(info),
            false => info.is_as_it_was(&self.folder, number),
        };
        let changed = self.segments.iter().filter(|(number, info)| !is_well(**number, info));
        let changed: Vec<u64> = changed.map(|(number, _)| *number).collect();
        if changed.is_empty() && failures.is_empty() {
            return Inspection::Sound;
        }
        let (mut lost, mut remaining, mut rescued) = (0, 0, Vec::new());
        for number in changed {
            let is_away = Some(number) == current
                && self.segments.get(&number).is_some_and(|info| !info.is_in(&self.folder, number, true));
            if let Ok(Some(found)) = self.survey(number, 0) {
                lost += self.apply_survey(number, &found);
                remaining += found.0.points;
            }
            if is_away {
                rescued = self.points_of(number);
                self.number += 1;
                self.current = None;
                self.forget(number);
            }
        }
        self.dropped.damaged += lost;
        self.remove_empty_spans();
        self.write_checkpoint();
        Inspection::Repaired { lost, remaining, rescued, failures }
    }

    /// Whether the open segment is shorter than what was written.
    fn is_cut_off(&self, info: &SegmentInfo) -> bool {
        let found = self.current.as_ref().and_then(|current| current.file().metadata().ok());
        found.is_some_and(|found| found.len() < info.file_bytes)
    }

    /// Logs which files could not be recreated, when that begins, changes and ends.
    pub(in crate::spool) fn log_repair_failures(&mut self, failures: &[String]) {
        let folder = self.folder.path().display();
        if failures.is_empty() {
            if let Some(over) = self.repair_failures.recovered() {
                tracing::info!("the spool {folder} is whole again {over}");
            }
        } else if self.repair_failures.fails(failures.join("; ")) {
            tracing::error!(
                "the spool {folder} is damaged: {}; remove what stands there: points go on waiting, but it could not be opened by the next start",
                failures.join("; ")
            );
        }
    }

    fn repair_checkpoint(&mut self) -> Result<(), String> {
        if !self.checkpoint.is_in(&self.folder) {
            let failed = |error: io::Error| format!("places cannot be made again: {error}");
            let (mut checkpoint, _) = Checkpoint::open(&self.folder).map_err(failed)?;
            checkpoint.write(&self.spans).map_err(failed)?;
            self.checkpoint = checkpoint;
        }
        Ok(())
    }

    fn repair_lock(&mut self) -> Result<(), String> {
        if self.folder.stamp("lock").map(|stamp| stamp.identity()) != self.lock.1 {
            self.lock = lock(&self.folder).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The waiting points of one segment.
    fn points_of(&mut self, number: u64) -> Vec<Lines> {
        let end = Position { segment: number + 1, offset: 0, points: 0 };
        let start = Position { segment: number, offset: 0, points: 0 };
        let mut found = Vec::new();
        for span in self.spans.clone() {
            let part = Span {
                begin: span.begin.max(start),
                end: Some(span.end.map_or(end, |of_stretch| of_stretch.min(end))),
            };
            self.for_each_batch(part, &mut |lines| found.push(lines));
        }
        found
    }

    fn for_each_batch(&mut self, mut rest: Span, take: &mut dyn FnMut(Lines)) {
        loop {
            let (lines, parts) = self.read(rest, MAX_BATCH_POINTS);
            let Some(last) = parts.last() else { return };
            rest.begin = last.after;
            take(lines);
        }
    }

    /// Copies all readable points to `other`, span by span. Returns the number of points that survive, and those that
    /// `other` did not accept: the newest that fit in `max_bytes`.
    pub(in crate::spool) fn copy_into(&mut self, mut other: Option<&mut Disk>, max_bytes: usize) -> (u64, Vec<Lines>) {
        let (mut count, mut remaining, mut bytes) = (0, VecDeque::new(), 0);
        for span in self.spans.clone() {
            self.for_each_batch(span, &mut |lines| {
                count += lines.count() as u64;
                let is_written =
                    other.as_mut().is_some_and(|other| remaining.is_empty() && other.append(&lines).is_ok());
                if !is_written {
                    bytes += lines.bytes().len();
                    remaining.push_back(lines);
                }
                while bytes > max_bytes
                    && let Some(oldest) = remaining.pop_front()
                {
                    bytes -= oldest.bytes().len();
                    count -= oldest.count() as u64;
                }
            });
            if let Some(other) = other.as_mut().filter(|_| span.end.is_some()) {
                other.split_backlog();
            }
        }
        (count, remaining.into())
    }

    /// Marks everything as sent, as it now lives elsewhere: if the folder comes back, nothing is sent again.
    pub(in crate::spool) fn mark_drained(mut self) {
        let begin = Position { segment: self.number + 1, offset: 0, points: 0 };
        self.spans = vec![Span { begin, end: None }];
        self.sync();
    }
}
