//! The data of the window for one job and target, and which of them are new.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use super::id::{Id, Seconds};
use super::log::Datum;
use super::metric::Metric;

/// The metrics that are fetched, with their data.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Sorted by id.
    known: Vec<Known>,
    /// The position of an earlier run, until metrics are known.
    resume: Option<Seconds>,
}

/// A metric with its data.
#[derive(Debug)]
pub(super) struct Known {
    /// The metric.
    pub(super) metric: Arc<Metric>,
    /// The data points of each statistic, oldest first: start of the period, and value.
    datums: Vec<Vec<(Seconds, f64)>>,
    /// The end of the last range that was fetched.
    pub(super) fetched_until: Option<Seconds>,
    /// The tick at which it was fetched.
    fetched_at: Seconds,
    /// The end of the data that have been fetched, but for the gap.
    complete_until: Option<Seconds>,
    /// A range before it that was missed: start and end.
    gap: Option<(Seconds, Seconds)>,
    /// While it is polled: the time after the end of a period at which the first request may succeed.
    first_request: Seconds,
}

impl Known {
    /// The data points of a statistic, oldest first.
    pub(super) fn all(&self, statistic: usize) -> &[(Seconds, f64)] {
        &self.datums[statistic]
    }

    /// The newest data point of a statistic.
    pub(super) fn newest(&self, statistic: usize) -> Option<(Seconds, f64)> {
        self.datums[statistic].last().copied()
    }

    fn is_due(&self, now: SystemTime) -> bool {
        let schedule = &self.metric.terms.schedule;
        let (until, tick) = (schedule.due(now), schedule.tick(now));
        match self.fetched_until {
            None => true,
            Some(fetched) if fetched < until => tick - until >= self.first_request,
            Some(_) => schedule.polls() && tick > self.fetched_at && self.lacks_newest(until),
        }
    }

    /// Whether the data point of the period that ends at `until` is not published, but was before.
    fn lacks_newest(&self, until: Seconds) -> bool {
        let newest = self.datums.iter().filter_map(|datums| datums.last()).map(|(at, _)| *at).max();
        newest.is_some_and(|at| at < until - self.metric.terms.schedule.period.as_secs() as Seconds)
    }

    /// Records a response to the request of `now` for `range`. What lies between the last one and this one was missed,
    /// as far back as `oldest`.
    fn fetched(&mut self, range: Range<Seconds>, oldest: Seconds, now: SystemTime) {
        let until = range.end;
        let missed_from = self.complete_until.map(|from| from.max(oldest)).filter(|from| *from < range.start);
        if let Some(from) = missed_from {
            self.gap = Some((self.gap.map_or(from, |(earlier, _)| earlier.min(from)), range.start));
        }
        self.complete_until = Some(until);
        let schedule = &self.metric.terms.schedule;
        let (after, interval) = (schedule.tick(now) - until, schedule.interval.as_secs() as Seconds);
        if schedule.polls() && !self.lacks_newest(until) {
            if self.fetched_until == Some(until) {
                self.first_request = after - interval;
            } else if after == self.first_request {
                // It may have been published earlier.
                self.first_request = (after - interval).max(0);
            }
        }
        self.fetched_until = Some(until);
        self.fetched_at = schedule.tick(now);
    }
}

impl Store {
    /// A store of a run that continues an earlier one at `resume`.
    pub(super) fn new(resume: Option<Seconds>) -> Store {
        Store { known: Vec::new(), resume }
    }

    /// The end of the data that have been fetched of all metrics; `None` before the first.
    pub(super) fn position(&self) -> Option<Seconds> {
        let of = |known: &Known| known.gap.map(|(from, _)| from).or(known.complete_until);
        self.known.iter().filter_map(of).min().or(self.resume)
    }

    /// The end of the data that have been fetched of this metric.
    pub(super) fn complete_until(&self, id: &Id) -> Option<Seconds> {
        let index = self.known.binary_search_by(|known| known.metric.id.cmp(id)).ok()?;
        self.known[index].complete_until
    }

    /// Metrics that miss the same range, and the range.
    pub(super) fn gap(&self) -> Option<(Range<Seconds>, Vec<Arc<Metric>>)> {
        let first = self.known.iter().find(|known| known.gap.is_some())?;
        let is_same = |known: &&Known| known.gap == first.gap && known.metric.terms == first.metric.terms;
        let (start, end) = first.gap?;
        Some((start..end, self.known.iter().filter(is_same).map(|known| known.metric.clone()).collect()))
    }

    /// Whether any metric misses a range.
    pub(super) fn has_gaps(&self) -> bool {
        self.known.iter().any(|known| known.gap.is_some())
    }

    /// Records that the range that a metric missed was fetched.
    pub(super) fn filled(&mut self, id: &Id) {
        if let Some(known) = self.find(id) {
            known.gap = None;
        }
    }

    /// Gives up all missed ranges. Returns the number of metrics.
    pub(super) fn forget_gaps(&mut self) -> usize {
        self.known.iter_mut().filter_map(|known| known.gap.take()).count()
    }

    /// Replaces the metrics. Metrics that stay keep their data. While there is something to catch up on, metrics that
    /// were not known before take part in it.
    pub(super) fn replace(&mut self, metrics: impl IntoIterator<Item = Arc<Metric>>) {
        let mut metrics: Vec<Arc<Metric>> = metrics.into_iter().collect();
        metrics.sort_by(|a, b| a.id.cmp(&b.id));
        metrics.dedup_by(|a, b| a.id == b.id);
        let gap_start = self.known.iter().filter_map(|known| known.gap).map(|(from, _)| from).min();
        let complete_until = self.resume.take().or(gap_start);
        let before = std::mem::replace(&mut self.known, Vec::with_capacity(metrics.len()));
        let mut before = before.into_iter().peekable();
        for metric in metrics {
            while before.next_if(|known| known.metric.id < metric.id).is_some() {}
            self.known.push(match before.next_if(|known| known.metric.id == metric.id) {
                Some(known) => Known { metric, ..known },
                None => {
                    let datums = vec![Vec::new(); metric.names.len()];
                    Known {
                        metric,
                        datums,
                        fetched_until: None,
                        fetched_at: 0,
                        complete_until,
                        gap: None,
                        first_request: 0,
                    }
                }
            });
        }
    }

    fn find(&mut self, id: &Id) -> Option<&mut Known> {
        let index = self.known.binary_search_by(|known| known.metric.id.cmp(id)).ok()?;
        self.known.get_mut(index)
    }

    /// All metrics, sorted by id.
    pub(super) fn all(&self) -> impl Iterator<Item = &Known> {
        self.known.iter()
    }

    /// Number of metrics.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The metrics with data that are due at `now`, those that waited longest first.
    pub(super) fn due(&self, now: SystemTime) -> Vec<Arc<Metric>> {
        let mut due: Vec<&Known> = self.known.iter().filter(|known| known.is_due(now)).collect();
        due.sort_by_key(|known| known.fetched_until);
        due.into_iter().map(|known| known.metric.clone()).collect()
    }

    /// Records that the data of a metric in `range` were fetched by the request of `now`. What was missed before is
    /// to be fetched too, as far back as `oldest`.
    pub(super) fn fetched(&mut self, id: &Id, range: Range<Seconds>, oldest: Seconds, now: SystemTime) {
        if let Some(known) = self.find(id) {
            known.fetched(range, oldest, now);
        }
    }

    /// Adds a response. New and corrected data points are appended to `new`.
    pub(super) fn take(&mut self, id: &Id, statistic: usize, datums: &[(Seconds, f64)], new: &mut Vec<Datum>) {
        let Some(known) = self.find(id) else { return };
        let metric = known.metric.clone();
        let Some(own) = known.datums.get_mut(statistic) else { return };
        if own.is_empty() {
            // Most hold little, and there are many.
            own.reserve_exact(datums.len());
        }
        for &(at, value) in datums {
            match own.binary_search_by_key(&at, |(at, _)| *at) {
                Ok(index) if own[index].1 == value => continue,
                Ok(index) => own[index].1 = value,
                Err(index) => own.insert(index, (at, value)),
            }
            new.push(Datum { metric: metric.clone(), statistic, at, value });
        }
    }

    /// Removes the data that at `now` are older than the window.
    pub(super) fn forget_old(&mut self, now: SystemTime) {
        for known in &mut self.known {
            let schedule = &known.metric.terms.schedule;
            let first = schedule.due(now) - schedule.window.as_secs() as Seconds;
            for datums in &mut known.datums {
                let old = datums.partition_point(|(at, _)| *at < first);
                datums.drain(..old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::collectors::cloudwatch::metric::Names;
    use crate::collectors::cloudwatch::schedule::Schedule;
    use crate::collectors::cloudwatch::terms::Terms;

    fn id(name: &str) -> Id {
        Id { name: name.to_owned(), dimensions: Vec::new(), owner: None }
    }

    fn metric(name: &str) -> Arc<Metric> {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        scheduled(
            name,
            Schedule { period: minutes(5), interval: minutes(5), window: minutes(15), ..Schedule::default() },
        )
    }

    fn scheduled(name: &str, schedule: Schedule) -> Arc<Metric> {
        let names = Names { family: name.to_owned(), help: String::new(), field: name.to_owned() };
        let terms = Arc::new(Terms { schedule, ..Terms::default() });
        Arc::new(Metric { id: id(name), terms, names: [names].into(), ..Metric::default() })
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_datum_is_new_once_and_again_when_it_is_corrected() {
        let mut store = Store::default();
        store.replace([metric("a")]);
        let mut take = |datums: &[(Seconds, f64)]| {
            let mut new = Vec::new();
            store.take(&id("a"), 0, datums, &mut new);
            new.into_iter().map(|datum| (datum.at, datum.value)).collect::<Vec<_>>()
        };
        assert_eq!(take(&[(600, 2.0), (300, 1.0)]), [(600, 2.0), (300, 1.0)]);
        assert_eq!(take(&[(600, 2.0), (300, 1.0)]), []);
        assert_eq!(take(&[(900, 3.0), (600, 2.5), (450, 1.5)]), [(900, 3.0), (600, 2.5), (450, 1.5)]);
        assert_eq!(store.all().next().unwrap().newest(0), Some((900, 3.0)));
        store.forget_old(at(1500));
        assert_eq!(store.all().next().unwrap().datums[0], [(600, 2.5), (900, 3.0)]);
    }

    #[test]
    fn those_that_waited_longest_are_due_first() {
        let mut store = Store::default();
        store.replace([metric("a"), metric("b"), metric("c"), metric("d")]);
        store.fetched(&id("a"), 0..900, 0, at(900));
        store.fetched(&id("b"), 0..600, 0, at(900));
        store.fetched(&id("c"), 0..300, 0, at(900));
        let due = store.due(at(900));
        assert_eq!(due.iter().map(|metric| metric.id.name.as_str()).collect::<Vec<_>>(), ["d", "c", "b"]);
        store.replace([metric("a"), metric("e")]);
        assert_eq!(store.all().map(|known| known.fetched_until).collect::<Vec<_>>(), [Some(900), None]);
    }

    #[test]
    fn a_daily_datum_is_polled_until_it_is_there_and_its_time_is_learnt() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        let hours = |count: u64| Duration::from_secs(count * HOUR);
        let schedule = Schedule { period: hours(24), interval: hours(1), window: hours(72), ..Schedule::default() };
        let mut store = Store::default();
        store.replace([scheduled("bucket", schedule), scheduled("deleted", schedule)]);
        // What is of a day is published ten and a half hours after it, and from the fifth day on, after seven.
        let published = |day: u64| day * DAY + if day < 5 { 10 * HOUR + HOUR / 2 } else { 7 * HOUR };
        let mut requests = Vec::new();
        // It starts in an afternoon. Each request is a few seconds late, and discoveries refresh between them.
        for quarter in (DAY + 14 * HOUR) / 900..(8 * DAY) / 900 {
            let now = quarter * 900 + 5;
            for metric in store.due(at(now)) {
                let until = schedule.due(at(now));
                let newest = (until - DAY as Seconds, 1.0);
                if metric.id.name == "bucket" {
                    let datums = if now >= published(now / DAY) { newest } else { (newest.0 - DAY as Seconds, 1.0) };
                    store.take(&metric.id, 0, &[datums], &mut Vec::new());
                }
                store.fetched(&metric.id, 0..until, 0, at(now));
                requests.push((metric.id.name.clone(), now / DAY, now % DAY / HOUR));
            }
        }
        let of = |name: &str, day: u64| {
            let of_day = requests.iter().filter(|(own, of, _)| own == name && *of == day);
            of_day.map(|(_, _, hour)| *hour).collect::<Vec<_>>()
        };
        assert_eq!(of("bucket", 1), [14], "it is there at once");
        assert_eq!(of("bucket", 2), (0..=11).collect::<Vec<_>>(), "when it is published is not known yet");
        assert_eq!((of("bucket", 3), of("bucket", 4)), (vec![10, 11], vec![10, 11]));
        assert_eq!([of("bucket", 5), of("bucket", 6), of("bucket", 7)], [vec![10], vec![9], vec![8]]);
        assert!((2..8).all(|day| of("deleted", day) == [0]), "what has no data is not polled");
    }

    #[test]
    fn what_lies_between_two_requests_is_a_gap_up_to_a_bound() {
        let mut store = Store::new(Some(600));
        store.replace([metric("a"), metric("b")]);
        assert_eq!((store.position(), store.has_gaps()), (Some(600), false));
        store.fetched(&id("a"), 6000..6900, 3000, at(6900));
        store.fetched(&id("b"), 500..6900, 3000, at(6900));
        let (range, metrics) = store.gap().unwrap();
        assert_eq!((range, metrics.len()), (3000..6000, 1), "b was fetched without a gap");
        assert_eq!(store.position(), Some(3000));
        // It failed, and another outage came; a metric that was found meanwhile takes part.
        store.replace([metric("a"), metric("b"), metric("c")]);
        for name in ["a", "c"] {
            store.fetched(&id(name), 9000..9900, 0, at(9900));
        }
        let (range, metrics) = store.gap().unwrap();
        assert_eq!((range, metrics.len()), (3000..9000, 2));
        store.filled(&id("a"));
        assert_eq!(store.forget_gaps(), 1);
        store.fetched(&id("b"), 9000..9900, 9900, at(9900));
        assert_eq!((store.position(), store.has_gaps()), (Some(9900), false), "nothing is caught up on");
    }
}
