//! What the log was told: each kind of failure of each step once, until it is over.

use std::collections::HashMap;

use crate::aws::{Kind, Problem};

/// What the log was last told of one job in one place.
#[derive(Debug)]
pub(super) struct Told {
    job: String,
    of: HashMap<&'static str, Kind>,
}

impl Told {
    /// Nothing was told yet.
    pub(super) fn new(job: &str) -> Self {
        Told { job: job.to_owned(), of: HashMap::new() }
    }

    /// A step failed.
    pub(super) fn failed(&mut self, step: &'static str, problem: &Problem) {
        if self.of.insert(step, problem.kind) != Some(problem.kind) {
            tracing::warn!(job = self.job, "cloudwatch: {problem}");
        }
    }

    /// A step went well.
    pub(super) fn went_well(&mut self, step: &'static str) {
        if self.of.remove(step).is_some() {
            tracing::info!(job = self.job, "cloudwatch: {step}: all is well again");
        }
    }

    /// Datums were dropped that a push sink did not come for.
    pub(super) fn dropped(&self, datums: usize) {
        tracing::warn!(job = self.job, "cloudwatch: {datums} datums were dropped, as no sink read them for too long");
    }
}
