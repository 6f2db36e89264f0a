//! The newest values of a program that writes all the time, until they expire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::collectors::foreign::{Family, Labels};

/// The series of a program.
#[derive(Debug)]
pub(super) struct Series {
    families: BTreeMap<String, BTreeMap<Labels, (f64, Instant)>>,
    count: usize,
    max: usize,
    expire_after: Duration,
    /// What was built last, and when it must be built again at the latest.
    built: Option<(Arc<[Family]>, Instant)>,
}

impl Series {
    /// At most `max` series, each for this time after its last value.
    pub(super) fn new(max: usize, expire_after: Duration) -> Series {
        Series { families: BTreeMap::new(), count: 0, max, expire_after, built: None }
    }

    /// Stores the values of families. Returns the number of new series that there is no room for.
    pub(super) fn put(&mut self, families: &[Family], now: Instant) -> usize {
        let mut refused = 0;
        for family in families {
            for metric in family.metrics.iter() {
                metric
                    .samples(&mut |_, labels, value| refused += usize::from(!self.put_one(family, labels, value, now)));
            }
        }
        self.built = None;
        refused
    }

    fn put_one(&mut self, family: &Family, labels: &Labels, value: f64, now: Instant) -> bool {
        if let Some(known) = self.families.get_mut(&family.name).and_then(|series| series.get_mut(labels)) {
            *known = (value, now);
            return true;
        }
        if self.count >= self.max {
            self.expire(now);
        }
        let has_room = self.count < self.max;
        if has_room {
            self.families.entry(family.name.clone()).or_default().insert(labels.clone(), (value, now));
            self.count += 1;
        }
        has_room
    }

    fn expire(&mut self, now: Instant) {
        self.families.retain(|_, series| {
            series.retain(|_, (_, at)| now.duration_since(*at) < self.expire_after);
            !series.is_empty()
        });
        self.count = self.families.values().map(BTreeMap::len).sum();
    }

    /// All series that have not expired.
    pub(super) fn families(&mut self, now: Instant) -> Arc<[Family]> {
        if let Some((built, until)) = &self.built
            && now < *until
        {
            return built.clone();
        }
        self.expire(now);
        let oldest = self.families.values().flat_map(BTreeMap::values).map(|(_, at)| *at).min().unwrap_or(now);
        let family = |(name, series): (&String, &BTreeMap<Labels, (f64, Instant)>)| {
            let series = series.iter().map(|(labels, (value, _))| (labels.clone(), *value));
            Family::untyped(name.clone(), super::format::HELP, series)
        };
        let built: Arc<[Family]> = self.families.iter().map(family).collect();
        self.built = Some((built.clone(), oldest + self.expire_after));
        built
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(name: &str, value: f64) -> Family {
        Family::untyped(name.to_owned(), "", [(Labels::new(), value)])
    }

    #[test]
    fn series_expire_and_their_number_is_bounded() {
        let (mut series, start) = (Series::new(2, Duration::from_secs(10)), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(series.put(&[family("a", 1.0), family("b", 2.0), family("c", 3.0)], at(0)), 1);
        assert_eq!(series.put(&[family("a", 4.0)], at(5)), 0);
        let names = |series: &mut Series, now| {
            series.families(now).iter().map(|family| family.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&mut series, at(9)), ["a", "b"]);
        assert_eq!(names(&mut series, at(10)), ["a"]);
        assert_eq!(series.put(&[family("c", 3.0)], at(11)), 0);
        assert_eq!(names(&mut series, at(16)), ["c"]);
    }
}
