//! What the log was told: each kind of failure of each step once, until it is over.

use std::collections::HashMap;

use crate::aws::{Kind, Problem};
use crate::log::Episode;

/// What the log was last told of one job in one place.
#[derive(Debug)]
pub(super) struct Told {
    job: String,
    steps: HashMap<&'static str, Episode<Kind>>,
    dropping: Episode<()>,
}

impl Told {
    /// Nothing was told yet.
    pub(super) fn new(job: &str) -> Self {
        Told { job: job.to_owned(), steps: HashMap::new(), dropping: Episode::default() }
    }

    /// A step failed.
    pub(super) fn failed(&mut self, step: &'static str, problem: &Problem) {
        if self.steps.entry(step).or_default().fails(problem.kind) {
            tracing::warn!(job = self.job, "cloudwatch: {problem}");
        }
    }

    /// A step went well.
    pub(super) fn went_well(&mut self, step: &'static str) {
        if let Some(over) = self.steps.get_mut(step).and_then(Episode::is_well) {
            tracing::info!(job = self.job, "cloudwatch: {step}: all is well again {over}");
        }
    }

    /// So many datums were dropped that a push sink did not come for; none, as a rule. How many is said when it begins.
    pub(super) fn dropped(&mut self, datums: usize) {
        if datums == 0 {
            if let Some(over) = self.dropping.is_well() {
                tracing::info!(job = self.job, "cloudwatch: datums are no longer dropped {over}");
            }
        } else if self.dropping.fails(()) {
            tracing::warn!(
                job = self.job,
                "cloudwatch: {datums} datums were dropped, as no sink read them for too long"
            );
        }
    }
}
