//! Failures as reported in the log: each kind of failure of each step once, until it ends.

use std::collections::HashMap;

use crate::aws::{Kind, Problem};
use crate::config::Secrets;
use crate::log::Episode;

/// The failures reported for one job and target.
#[derive(Debug)]
pub(super) struct Reported {
    job: String,
    /// Secrets that AWS may repeat and the log must not show.
    secrets: Secrets,
    steps: HashMap<&'static str, Episode<Kind>>,
    dropping: Episode<()>,
}

impl Reported {
    /// Nothing reported yet.
    pub(super) fn new(job: &str, secrets: Secrets) -> Self {
        Reported { job: job.to_owned(), secrets, steps: HashMap::new(), dropping: Episode::default() }
    }

    /// Records a failure of a step.
    pub(super) fn failed(&mut self, step: &'static str, problem: &Problem) {
        if self.steps.entry(step).or_default().fails(problem.kind) {
            tracing::warn!(job = self.job, "cloudwatch: {}", self.secrets.hide(&problem.message));
        }
    }

    /// Records the success of a step.
    pub(super) fn succeeded(&mut self, step: &'static str) {
        if let Some(over) = self.steps.get_mut(step).and_then(Episode::recovered) {
            tracing::info!(job = self.job, "cloudwatch: {step}: recovered {over}");
        }
    }

    /// Records data points that were dropped because a push sink did not read them; normally 0. The number is logged
    /// when dropping starts.
    pub(super) fn dropped(&mut self, datums: usize) {
        if datums == 0 {
            if let Some(over) = self.dropping.recovered() {
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
