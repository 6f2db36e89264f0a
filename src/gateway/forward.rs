//! Pushed groups on their way to the push sinks: each push as points of its own time, so that a job's history is a history.
//!
//! Points are made by the rule of [`crate::encode::by_rule`]: one measurement, labels as tags, each sample a field of its
//! own name; a histogram's buckets and a summary's quantiles are samples as in the text format.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::block::shown_labels;
use super::key::Key;
use crate::encode::parse::model::{Exposition, Measure};
use crate::encode::pushed::go_float;
use crate::host::Timestamp;
use crate::sinks::form::Form;
use crate::sinks::state::SinkState;

/// A sink that pushes go on to.
pub struct Forward {
    /// In which form it takes them.
    pub form: Form,
    /// Its queue.
    pub sink: Arc<SinkState>,
}

/// The fields of a point, by its tags.
type Points = BTreeMap<Vec<(String, String)>, Vec<(String, f64)>>;

/// Puts what was pushed to a group into the queues.
pub fn forward(to: &[Forward], key: &Key, pushed: &Exposition<'_>, time: Timestamp) {
    if to.is_empty() {
        return;
    }
    let points = points(key, pushed);
    for Forward { form, sink } in to {
        sink.take(form.of_samples(points.iter(), time));
    }
}

fn points(key: &Key, pushed: &Exposition<'_>) -> Points {
    let mut points = Points::new();
    for family in pushed.families.iter().filter(|family| !super::state::is_marker(&family.name)) {
        for metric in &family.metrics {
            let labels = shown_labels(metric, key).into_iter().filter(|(_, value)| !value.is_empty());
            let labels: Vec<(String, String)> =
                labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let mut put = |suffix: &str, more: Option<(&str, f64)>, value: f64| {
                let mut tags = labels.clone();
                tags.extend(more.map(|(name, value)| (name.to_owned(), go_float(value))));
                tags.sort_unstable();
                points.entry(tags).or_default().push((format!("{}{suffix}", family.name), value));
            };
            match &metric.measure {
                Measure::Number(value) => put("", None, *value),
                Measure::Summary { count, sum, quantiles } => {
                    quantiles.iter().for_each(|(quantile, value)| put("", Some(("quantile", *quantile)), *value));
                    put("_sum", None, *sum);
                    put("_count", None, *count);
                }
                Measure::Histogram(histogram) => {
                    let buckets = histogram.buckets.iter();
                    buckets.for_each(|(bound, count)| put("_bucket", Some(("le", *bound)), *count));
                    put("_sum", None, histogram.sum);
                    put("_count", None, histogram.count);
                }
            }
        }
    }
    points
}
