//! What a job may cost, and has cost. Prices are those that AWS publishes for most regions.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::aws::{Kind, Problem};
use crate::config::{Key, KeyInfo, Section};

/// Price of GetMetricData for one metric with up to five statistics.
pub(super) const DOLLARS_PER_METRIC: f64 = 0.01 / 1000.0;
/// Price of one ListMetrics or PutMetricData request.
pub(super) const DOLLARS_PER_REQUEST: f64 = 0.01 / 1000.0;
/// Number of statistics of a metric that are billed as one metric.
pub(super) const STATISTICS_PER_METRIC: usize = 5;
/// Hours in a month, as AWS counts them.
pub(super) const HOURS_PER_MONTH: f64 = 730.0;

const HOUR: Duration = Duration::from_secs(3600);

/// A spending limit for each hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Budget {
    /// Requests of any type.
    pub(super) requests_per_hour: Option<usize>,
    /// Billed metrics.
    pub(super) metrics_per_hour: Option<usize>,
    /// Dollars a month, divided evenly over its hours.
    pub(super) dollars_per_month: Option<f64>,
    /// Dollars for the data that one outage or stop missed.
    pub(super) dollars_per_catch_up: Option<f64>,
}

const REQUESTS: Key<usize> = Key::optional("requests_per_hour", "Maximum number of requests to AWS in any hour.");
const METRICS: Key<usize> = Key::optional(
    "metrics_per_hour",
    "Maximum number of metrics requested in any hour, as billed: up to five statistics count as one.",
);
const DOLLARS: Key<f64> = Key::optional(
    "dollars_per_month",
    "Maximum cost per month in dollars, by AWS's published prices; each hour gets an equal part.",
);

const CATCH_UP_DOLLARS: Key<f64> = Key::optional(
    "dollars_per_catch_up",
    "Maximum cost in dollars of catching up after one outage or stop, see `catch_up`. Each metric is billed once, regardless of the length.",
);

/// The settings of `[collectors.cloudwatch.budget]`.
pub(super) const KEYS: &[KeyInfo] = &[REQUESTS.info(), METRICS.info(), DOLLARS.info(), CATCH_UP_DOLLARS.info()];

/// A cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// Requests.
    pub(super) requests: usize,
    /// Billed metrics.
    pub(super) metrics: usize,
    /// Dollars.
    pub(super) dollars: f64,
}

impl Cost {
    /// The cost of a GetMetricData request for this number of billed metrics.
    pub(super) fn of_data(metrics: usize) -> Cost {
        Cost { requests: 1, metrics, dollars: metrics as f64 * DOLLARS_PER_METRIC }
    }

    /// The cost of a ListMetrics request.
    pub(super) fn of_list() -> Cost {
        Cost { requests: 1, metrics: 0, dollars: DOLLARS_PER_REQUEST }
    }

    /// The cost of a request that is free.
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
            dollars_per_catch_up: section.optional(&CATCH_UP_DOLLARS),
        }
    }

    /// Whether `spent` is within the limit for an hour.
    fn allows(&self, spent: Cost) -> bool {
        // Tolerates rounding below a cent.
        const ROUNDING: f64 = 1e-9;
        self.requests_per_hour.is_none_or(|max| spent.requests <= max)
            && self.metrics_per_hour.is_none_or(|max| spent.metrics <= max)
            && self.dollars_per_month.is_none_or(|max| spent.dollars <= max / HOURS_PER_MONTH + ROUNDING)
    }

    /// Maximum billed metrics in an hour.
    pub(super) fn metrics_in_an_hour(&self) -> Option<usize> {
        let by_dollars = self.dollars_per_month.map(|max| (max / HOURS_PER_MONTH / DOLLARS_PER_METRIC) as usize);
        self.metrics_per_hour.into_iter().chain(by_dollars).min()
    }
}

/// Spending in the last hour.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    budget: Budget,
    /// Oldest first.
    spent: VecDeque<(Instant, Cost)>,
}

impl Ledger {
    /// An account without spending.
    pub(super) fn new(budget: Budget) -> Self {
        Ledger { budget, spent: VecDeque::new() }
    }

    /// Spends `cost` at `now`, if the limit of every hour allows it.
    pub(super) fn spend(&mut self, cost: Cost, now: Instant) -> bool {
        if self.budget == (Budget { dollars_per_catch_up: self.budget.dollars_per_catch_up, ..Budget::default() }) {
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

/// Spending of one target, from the budget that all targets of the job share.
#[derive(Debug)]
pub(super) struct Spending {
    ledger: Arc<Mutex<Ledger>>,
    /// Queries: each statistic of each metric.
    pub(super) queries: AtomicU64,
    /// Billed metrics.
    pub(super) billed: AtomicU64,
    /// Metrics that were deferred because the budget was exhausted.
    pub(super) deferred: AtomicU64,
}

impl Spending {
    /// No spending yet, within `ledger`.
    pub(super) fn new(ledger: Arc<Mutex<Ledger>>) -> Self {
        let [queries, billed, deferred] = [const { AtomicU64::new(0) }; 3];
        Spending { ledger, queries, billed, deferred }
    }

    /// Spends `cost`.
    ///
    /// # Errors
    /// The budget is exhausted.
    pub(super) fn spend(&self, cost: Cost) -> Result<(), Problem> {
        let is_allowed = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).spend(cost, Instant::now());
        if !is_allowed {
            let message = "the job's budget of this hour is used up: it asks for less often than it is told to";
            return Err(Problem { kind: Kind::Budget, message: message.to_owned() });
        }
        self.billed.fetch_add(cost.metrics as u64, Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_hour_allows_is_spent_and_no_more() {
        let mut ledger = Ledger::new(Budget { metrics_per_hour: Some(1000), ..Budget::default() });
        let start = Instant::now();
        assert!(ledger.spend(Cost::of_data(600), start));
        assert!(!ledger.spend(Cost::of_data(500), start + Duration::from_secs(60)));
        assert!(ledger.spend(Cost::of_data(400), start + Duration::from_secs(60)));
        assert!(!ledger.spend(Cost::of_data(1), start + Duration::from_secs(3599)));
        assert!(ledger.spend(Cost::of_data(600), start + Duration::from_secs(3600)));
    }

    #[test]
    fn dollars_and_requests_are_bounds_too() {
        let now = Instant::now();
        let mut dollars = Ledger::new(Budget { dollars_per_month: Some(7.3), ..Budget::default() });
        assert!(dollars.spend(Cost::of_data(1000), now) && !dollars.spend(Cost::of_data(1), now));
        assert!(dollars.spend(Cost::free(), now));
        let mut requests = Ledger::new(Budget { requests_per_hour: Some(2), ..Budget::default() });
        assert!(requests.spend(Cost::free(), now) && requests.spend(Cost::of_list(), now));
        assert!(!requests.spend(Cost::free(), now));
        let mut unbounded = Ledger::new(Budget::default());
        assert!((0..100).all(|_| unbounded.spend(Cost::of_data(usize::MAX / 1000), now)));
    }
}
