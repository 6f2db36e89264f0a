//! What a job may cost, and what it has cost. Prices are AWS's published ones of most regions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::{Key, KeyInfo, Section};

/// What GetMetricData costs for one metric of up to five statistics.
pub(super) const DOLLARS_PER_METRIC: f64 = 0.01 / 1000.0;
/// What one request costs of ListMetrics and PutMetricData.
pub(super) const DOLLARS_PER_REQUEST: f64 = 0.01 / 1000.0;
/// How many statistics of a metric are billed as one metric.
pub(super) const STATISTICS_PER_METRIC: usize = 5;
/// What AWS takes for a month.
pub(super) const HOURS_PER_MONTH: f64 = 730.0;

const HOUR: Duration = Duration::from_secs(3600);

/// What may be spent in an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Budget {
    /// Requests of any kind.
    pub(super) requests_per_hour: Option<usize>,
    /// Metrics as they are billed.
    pub(super) metrics_per_hour: Option<usize>,
    /// Dollars in a month, in equal parts for each hour.
    pub(super) dollars_per_month: Option<f64>,
}

const REQUESTS: Key<usize> = Key::optional("requests_per_hour", "Requests to AWS in any hour, at the most.");
const METRICS: Key<usize> = Key::optional(
    "metrics_per_hour",
    "Metrics asked for in any hour, at the most, as they are billed: up to five statistics are one.",
);
const DOLLARS: Key<f64> = Key::optional(
    "dollars_per_month",
    "Dollars in a month, at the most, by AWS's published prices; each hour has its part.",
);

/// The settings of `[collectors.cloudwatch.budget]`.
pub(super) const KEYS: &[KeyInfo] = &[REQUESTS.info(), METRICS.info(), DOLLARS.info()];

/// What something costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// Requests.
    pub(super) requests: usize,
    /// Metrics as they are billed.
    pub(super) metrics: usize,
    /// Dollars.
    pub(super) dollars: f64,
}

impl Cost {
    /// A request of GetMetricData for this many metrics, as they are billed.
    pub(super) fn of_data(metrics: usize) -> Cost {
        Cost { requests: 1, metrics, dollars: metrics as f64 * DOLLARS_PER_METRIC }
    }

    /// A request of ListMetrics.
    pub(super) fn of_list() -> Cost {
        Cost { requests: 1, metrics: 0, dollars: DOLLARS_PER_REQUEST }
    }

    /// A request that is not billed.
    pub(super) fn free() -> Cost {
        Cost { requests: 1, metrics: 0, dollars: 0.0 }
    }

    fn plus(self, other: Cost) -> Cost {
        Cost {
            requests: self.requests + other.requests,
            metrics: self.metrics + other.metrics,
            dollars: self.dollars + other.dollars,
        }
    }
}

impl Budget {
    /// The budget in `section`.
    pub(super) fn new(section: &mut Section<'_>) -> Budget {
        Budget {
            requests_per_hour: section.optional(&REQUESTS),
            metrics_per_hour: section.optional(&METRICS),
            dollars_per_month: section.optional(&DOLLARS),
        }
    }

    /// Whether `spent` may be spent in an hour.
    fn allows(&self, spent: Cost) -> bool {
        // A fraction of a cent is a matter of rounding.
        const ROUNDING: f64 = 1e-9;
        self.requests_per_hour.is_none_or(|most| spent.requests <= most)
            && self.metrics_per_hour.is_none_or(|most| spent.metrics <= most)
            && self.dollars_per_month.is_none_or(|most| spent.dollars <= most / HOURS_PER_MONTH + ROUNDING)
    }

    /// How many metrics, as they are billed, one hour allows.
    pub(super) fn metrics_in_an_hour(&self) -> Option<usize> {
        let by_dollars = self.dollars_per_month.map(|most| (most / HOURS_PER_MONTH / DOLLARS_PER_METRIC) as usize);
        self.metrics_per_hour.into_iter().chain(by_dollars).min()
    }
}

/// What was spent in the last hour.
#[derive(Debug, Default)]
pub(super) struct Purse {
    budget: Budget,
    /// Oldest first.
    spent: VecDeque<(Instant, Cost)>,
}

impl Purse {
    /// A purse of which nothing was spent.
    pub(super) fn new(budget: Budget) -> Self {
        Purse { budget, spent: VecDeque::new() }
    }

    /// Spends `cost` at `now`, if any hour's budget allows it.
    pub(super) fn spend(&mut self, cost: Cost, now: Instant) -> bool {
        if self.budget == Budget::default() {
            return true;
        }
        while self.spent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= HOUR) {
            self.spent.pop_front();
        }
        let spent = self.spent.iter().fold(cost, |sum, (_, cost)| sum.plus(*cost));
        let is_allowed = self.budget.allows(spent);
        if is_allowed {
            self.spent.push_back((now, cost));
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_hour_allows_is_spent_and_no_more() {
        let mut purse = Purse::new(Budget { metrics_per_hour: Some(1000), ..Budget::default() });
        let start = Instant::now();
        assert!(purse.spend(Cost::of_data(600), start));
        assert!(!purse.spend(Cost::of_data(500), start + Duration::from_secs(60)));
        assert!(purse.spend(Cost::of_data(400), start + Duration::from_secs(60)));
        assert!(!purse.spend(Cost::of_data(1), start + Duration::from_secs(3599)));
        assert!(purse.spend(Cost::of_data(600), start + Duration::from_secs(3600)));
    }

    #[test]
    fn dollars_and_requests_are_bounds_too() {
        let now = Instant::now();
        let mut dollars = Purse::new(Budget { dollars_per_month: Some(7.3), ..Budget::default() });
        assert!(dollars.spend(Cost::of_data(1000), now) && !dollars.spend(Cost::of_data(1), now));
        assert!(dollars.spend(Cost::free(), now));
        let mut requests = Purse::new(Budget { requests_per_hour: Some(2), ..Budget::default() });
        assert!(requests.spend(Cost::free(), now) && requests.spend(Cost::of_list(), now));
        assert!(!requests.spend(Cost::free(), now));
        let mut unbounded = Purse::new(Budget::default());
        assert!((0..100).all(|_| unbounded.spend(Cost::of_data(usize::MAX / 1000), now)));
    }
}
