//! Whether a collector fails for scrapes and for pushes, as the log reports it.

use std::time::Instant;

use crate::collectors::framework::Vocabularies;
use crate::log::{Episode, Outage};

/// Failure in either vocabulary or in both, possibly of different kinds: each vocabulary may read files that the other
/// does not. The log gets one line for each kind, and one for the recovery.
#[derive(Debug)]
pub(super) struct Condition<K> {
    families: Episode<K>,
    points: Episode<K>,
}

impl<K> Default for Condition<K> {
    fn default() -> Self {
        Condition { families: Episode::default(), points: Episode::default() }
    }
}

impl<K: Clone + PartialEq> Condition<K> {
    /// Records a failure in `of`. Returns whether to log it.
    #[must_use]
    pub(super) fn fails_at(&mut self, of: Vocabularies, kind: &K, now: Instant) -> bool {
        let is_known = [&self.families, &self.points].iter().any(|episode| episode.reported() == Some(kind));
        let mut is_news = false;
        for episode in self.of(of) {
            is_news |= episode.fails_at(kind.clone(), now);
        }
        is_news && !is_known
    }

    /// Records success in `of`. Returns the outage that has ended, if its start was logged and nothing fails any more.
    pub(super) fn is_well_at(&mut self, of: Vocabularies, now: Instant) -> Option<Outage> {
        let over = self.of(of).filter_map(|episode| episode.recovered_at(now)).last();
        over.filter(|_| !self.is_reported())
    }

    /// As [`Self::is_well_at`], now. It reads the clock only if there is a failure.
    pub(super) fn is_well(&mut self, of: Vocabularies) -> Option<Outage> {
        let is_failing = self.families.is_failing() || self.points.is_failing();
        is_failing.then(Instant::now).and_then(|now| self.is_well_at(of, now))
    }

    /// Whether a failure was logged, and no recovery since.
    pub(super) fn is_reported(&self) -> bool {
        self.families.reported().is_some() || self.points.reported().is_some()
    }

    fn of(&mut self, of: Vocabularies) -> impl Iterator<Item = &mut Episode<K>> {
        let families = of.families.then_some(&mut self.families);
        families.into_iter().chain(of.points.then_some(&mut self.points))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FAMILIES: Vocabularies = Vocabularies::FAMILIES;
    const POINTS: Vocabularies = Vocabularies::POINTS;

    /// What is logged for these readings, one a second, each with its failure.
    fn log(readings: impl IntoIterator<Item = (Vocabularies, &'static str)>) -> Vec<String> {
        let (mut condition, begun) = (Condition::default(), Instant::now());
        let line = |(second, (of, failure)): (u64, (Vocabularies, &'static str))| {
            let now = begun + Duration::from_secs(second);
            match failure {
                "" => condition.is_well_at(of, now).map(|_| "well".to_owned()),
                kind => condition.fails_at(of, &kind, now).then(|| kind.to_owned()),
            }
        };
        (0..).zip(readings).filter_map(line).collect()
    }

    #[test]
    fn what_fails_in_one_vocabulary_alone_fails_once() {
        let rounds = [(FAMILIES, ""), (POINTS, "vmstat")];
        let readings = rounds.into_iter().cycle().take(1000).chain([(FAMILIES, ""), (POINTS, ""), (FAMILIES, "")]);
        assert_eq!(log(readings), ["vmstat", "well"]);
    }

    #[test]
    fn what_fails_otherwise_in_the_other_vocabulary_is_told_of_both() {
        let rounds = [(FAMILIES, "meminfo"), (POINTS, "meminfo; vmstat")];
        let readings = rounds.into_iter().cycle().take(1000).chain([(POINTS, ""), (FAMILIES, ""), (POINTS, "")]);
        assert_eq!(log(readings), ["meminfo", "meminfo; vmstat", "well"]);
    }

    #[test]
    fn what_fails_in_both_alike_is_told_once() {
        let rounds = [(FAMILIES, "meminfo"), (POINTS, "meminfo"), (Vocabularies::BOTH, "meminfo")];
        let readings = rounds.into_iter().cycle().take(999).chain([(Vocabularies::BOTH, ""), (POINTS, "")]);
        assert_eq!(log(readings), ["meminfo", "well"]);
    }
}
