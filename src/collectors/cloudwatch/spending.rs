//! What one job asks of AWS in one place: bounded by the job's budget, and counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::budget::{Cost, Purse};
use crate::aws::{Kind, Problem};

/// What is spent in one place out of the purse that all places of the job share.
#[derive(Debug)]
pub(super) struct Spending {
    purse: Arc<Mutex<Purse>>,
    /// Queries: each statistic of each metric.
    pub(super) queries: AtomicU64,
    /// Metrics as they are billed.
    pub(super) billed: AtomicU64,
    /// Metrics that were put off because the budget was used up.
    pub(super) deferred: AtomicU64,
}

impl Spending {
    /// Nothing spent yet, of `purse`.
    pub(super) fn new(purse: Arc<Mutex<Purse>>) -> Self {
        let [queries, billed, deferred] = [const { AtomicU64::new(0) }; 3];
        Spending { purse, queries, billed, deferred }
    }

    /// Spends `cost`.
    ///
    /// # Errors
    /// If the budget is used up.
    pub(super) fn spend(&self, cost: Cost) -> Result<(), Problem> {
        let is_allowed = self.purse.lock().unwrap_or_else(PoisonError::into_inner).spend(cost, Instant::now());
        if !is_allowed {
            let message = "the job's budget of this hour is used up: it asks for less often than it is told to";
            return Err(Problem { kind: Kind::Budget, message: message.to_owned() });
        }
        self.billed.fetch_add(cost.metrics as u64, Relaxed);
        Ok(())
    }
}
