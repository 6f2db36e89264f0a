//! What becomes of what waits when somebody takes the folder away, or a file in it.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, SystemTime};

use super::super::places::{Place, PlacesFile, Stretch};
use super::super::segments::About;
use super::{Disk, lock};
use crate::encode::point::Lines;
use crate::store::Segment;
use crate::system::Standing;

/// File systems tell times as exactly as this at the least.
const MOMENT: Duration = Duration::from_secs(3);
/// Points that are read at once to be written elsewhere.
const PORTION: usize = 5000;

/// What was found of a queue's folder.
#[derive(Debug)]
pub(in crate::spool) enum Look {
    /// Everything is where it was.
    Sound,
    /// Files were taken away, or others put in their place.
    Mended {
        /// Points that were in them, and are lost.
        lost: u64,
        /// Points that could still be read; they are in no file any more.
        rescued: Vec<Lines>,
        /// What could not be made again.
        trouble: Vec<String>,
    },
    /// The folder itself is not at its path: what happened to it.
    Away(String),
}

impl Disk {
    /// Looks whether folder and files are still where they were, if it seems that anything changed; or `anyway`.
    pub(in crate::spool) fn look(&mut self, anyway: bool) -> Look {
        match self.folder.standing() {
            Standing::Gone => Look::Away("was removed".to_owned()),
            Standing::Other(what) => Look::Away(format!("was replaced by {what}")),
            Standing::Same(changed) if !anyway && changed.is_some() && changed == self.seen => Look::Sound,
            Standing::Same(changed) => {
                // What changes within the same moment bears the same time.
                let is_past = |time: &SystemTime| time.elapsed().is_ok_and(|elapsed| elapsed > MOMENT);
                self.seen = changed.filter(is_past);
                self.mend()
            }
        }
    }

    /// Makes again what is not there, and lets go of what cannot be.
    fn mend(&mut self) -> Look {
        let (mut lost, mut rescued) = (0, Vec::new());
        let trouble: Vec<String> = [self.mend_places(), self.mend_lock()].into_iter().filter_map(Result::err).collect();
        let current = self.current.as_ref().map(Segment::number);
        let is_there = |number: u64, about: &About| about.is_in(&self.folder, number, Some(number) == current);
        let gone = self.segments.iter().filter(|(number, about)| !is_there(**number, about));
        let gone: Vec<u64> = gone.map(|(number, _)| *number).collect();
        if gone.is_empty() && trouble.is_empty() {
            return Look::Sound;
        }
        for number in gone {
            let waited = self.segments.get(&number).map_or(0, |about| about.points);
            let mut found = 0;
            if Some(number) == current {
                rescued = self.points_of(number);
                found = rescued.iter().map(|lines| lines.count() as u64).sum();
                self.number += 1;
                self.current = None;
            }
            lost += waited.saturating_sub(found);
            self.forget(number);
        }
        self.dropped.damaged += lost;
        self.remove_empty_stretches();
        self.write_places();
        Look::Mended { lost, rescued, trouble }
    }

    fn mend_places(&mut self) -> Result<(), String> {
        if !self.places.is_in(&self.folder) {
            let failed = |error: io::Error| format!("places cannot be made again: {error}");
            let (mut places, _) = PlacesFile::open(&self.folder).map_err(failed)?;
            places.write(&self.stretches).map_err(failed)?;
            self.places = places;
        }
        Ok(())
    }

    fn mend_lock(&mut self) -> Result<(), String> {
        if self.folder.stamp("lock").map(|stamp| stamp.identity()) != self.lock.1 {
            self.lock = lock(&self.folder).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The points of one segment that wait.
    fn points_of(&mut self, number: u64) -> Vec<Lines> {
        let end = Place { segment: number + 1, offset: 0, points: 0 };
        let start = Place { segment: number, offset: 0, points: 0 };
        let mut found = Vec::new();
        for stretch in self.stretches.clone() {
            let part = Stretch {
                begin: stretch.begin.max(start),
                end: Some(stretch.end.map_or(end, |of_stretch| of_stretch.min(end))),
            };
            self.hand_out(part, &mut |lines| found.push(lines));
        }
        found
    }

    fn hand_out(&mut self, mut rest: Stretch, take: &mut dyn FnMut(Lines)) {
        loop {
            let (lines, pieces) = self.read(rest, PORTION);
            let Some(last) = pieces.last() else { return };
            rest.begin = last.after;
            take(lines);
        }
    }

    /// Writes everything that waits, and can still be read, to `other`, lane by lane. Gives those that it did not take, of
    /// them the newest, as many as `most` bytes hold; says how many points that were together.
    pub(in crate::spool) fn pour_into(&mut self, mut other: Option<&mut Disk>, most: usize) -> (u64, Vec<Lines>) {
        let (mut count, mut left, mut bytes) = (0, VecDeque::new(), 0);
        for stretch in self.stretches.clone() {
            self.hand_out(stretch, &mut |lines| {
                count += lines.count() as u64;
                let is_written = other.as_mut().is_some_and(|other| left.is_empty() && other.append(&lines).is_ok());
                if !is_written {
                    bytes += lines.bytes().len();
                    left.push_back(lines);
                }
                while bytes > most
                    && let Some(oldest) = left.pop_front()
                {
                    bytes -= oldest.bytes().len();
                    count -= oldest.count() as u64;
                }
            });
            if let Some(other) = other.as_mut().filter(|_| stretch.end.is_some()) {
                other.set_backlog_apart();
            }
        }
        (count, left.into())
    }

    /// Nothing in it waits any more: it is elsewhere. Should the folder come back, it is not sent again.
    pub(in crate::spool) fn be_done(mut self) {
        let begin = Place { segment: self.number + 1, offset: 0, points: 0 };
        self.stretches = vec![Stretch { begin, end: None }];
        self.sync();
    }
}
