//! What is known of the metrics of a job in one place: their datums within the window, and which are new.

use std::sync::Arc;

use super::id::{Id, Seconds};
use super::log::Datum;
use super::metric::Metric;

/// The metrics that are asked for, with their datums.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// In the order of their ids.
    known: Vec<Known>,
}

/// A metric with its datums.
#[derive(Debug)]
pub(super) struct Known {
    /// The metric.
    pub(super) metric: Arc<Metric>,
    /// Of each statistic the datums, oldest first: the beginning of the period, and the value.
    datums: Vec<Vec<(Seconds, f64)>>,
    /// Up to when it was asked for.
    pub(super) asked_until: Option<Seconds>,
}

impl Known {
    /// The newest datum of a statistic.
    pub(super) fn newest(&self, statistic: usize) -> Option<(Seconds, f64)> {
        self.datums[statistic].last().copied()
    }
}

impl Store {
    /// Takes `metrics` in place of those before. Those that were there keep their datums.
    pub(super) fn replace(&mut self, metrics: impl IntoIterator<Item = Arc<Metric>>) {
        let mut metrics: Vec<Arc<Metric>> = metrics.into_iter().collect();
        metrics.sort_by(|a, b| a.id.cmp(&b.id));
        metrics.dedup_by(|a, b| a.id == b.id);
        let mut before = std::mem::take(&mut self.known).into_iter().peekable();
        for metric in metrics {
            while before.next_if(|known| known.metric.id < metric.id).is_some() {}
            self.known.push(match before.next_if(|known| known.metric.id == metric.id) {
                Some(known) => Known { metric, ..known },
                None => Known { datums: vec![Vec::new(); metric.names.len()], asked_until: None, metric },
            });
        }
    }

    fn find(&mut self, id: &Id) -> Option<&mut Known> {
        let index = self.known.binary_search_by(|known| known.metric.id.cmp(id)).ok()?;
        self.known.get_mut(index)
    }

    /// All of them, in the order of their ids.
    pub(super) fn all(&self) -> impl Iterator<Item = &Known> {
        self.known.iter()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Those that were not asked for up to `until`, the ones that waited longest first.
    pub(super) fn due(&self, until: Seconds) -> Vec<Arc<Metric>> {
        let mut due: Vec<&Known> =
            self.known.iter().filter(|known| known.asked_until.is_none_or(|asked| asked < until)).collect();
        due.sort_by_key(|known| known.asked_until);
        due.into_iter().map(|known| known.metric.clone()).collect()
    }

    /// A metric was asked for up to `until`.
    pub(super) fn asked(&mut self, id: &Id, until: Seconds) {
        if let Some(known) = self.find(id) {
            known.asked_until = Some(until);
        }
    }

    /// Takes an answer; datums that are not known, or were corrected, are added to `new`.
    pub(super) fn take(&mut self, id: &Id, statistic: usize, datums: &[(Seconds, f64)], new: &mut Vec<Datum>) {
        let Some(known) = self.find(id) else { return };
        let metric = known.metric.clone();
        let Some(own) = known.datums.get_mut(statistic) else { return };
        for &(at, value) in datums {
            match own.binary_search_by_key(&at, |(at, _)| *at) {
                Ok(index) if own[index].1 == value => continue,
                Ok(index) => own[index].1 = value,
                Err(index) => own.insert(index, (at, value)),
            }
            new.push(Datum { metric: metric.clone(), statistic, at, value });
        }
    }

    /// Forgets datums from before `first`.
    pub(super) fn forget_before(&mut self, first: Seconds) {
        for datums in self.known.iter_mut().flat_map(|known| &mut known.datums) {
            let old = datums.partition_point(|(at, _)| *at < first);
            datums.drain(..old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::cloudwatch::metric::Names;

    fn id(name: &str) -> Id {
        Id { name: name.to_owned(), dimensions: Vec::new(), owner: None }
    }

    fn metric(name: &str) -> Arc<Metric> {
        let names = Names { family: name.to_owned(), help: String::new(), field: name.to_owned() };
        Arc::new(Metric { id: id(name), names: [names].into(), ..Metric::default() })
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
        store.forget_before(600);
        assert_eq!(store.all().next().unwrap().datums[0], [(600, 2.5), (900, 3.0)]);
    }

    #[test]
    fn those_that_waited_longest_are_due_first() {
        let mut store = Store::default();
        store.replace([metric("a"), metric("b"), metric("c"), metric("d")]);
        store.asked(&id("a"), 900);
        store.asked(&id("b"), 600);
        store.asked(&id("c"), 300);
        let due = store.due(900);
        assert_eq!(due.iter().map(|metric| metric.id.name.as_str()).collect::<Vec<_>>(), ["d", "c", "b"]);
        store.replace([metric("a"), metric("e")]);
        assert_eq!(store.all().map(|known| known.asked_until).collect::<Vec<_>>(), [Some(900), None]);
    }
}
