//! Pushed groups on their way to the push sinks: each push as points of its own time, so that a job's history is a history.
//!
//! Points are made by the rule of [`crate::encode::by_rule`]: one measurement, labels as tags, each sample a field of its
//! own name; a histogram's buckets and a summary's quantiles are samples as in the text format.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::block::shown_labels;
use super::key::Key;
use crate::encode::by_rule::MEASUREMENT;
use crate::encode::parse::model::{Exposition, Family};
use crate::encode::point::{Lines, PointWriter};
use crate::encode::pushed::go_float;
use crate::host::Timestamp;
use crate::sinks::form::{Form, SeriesForm};
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
        sink.take(match form {
            Form::Points(tags) => {
                let mut lines = Lines::default();
                let mut out = PointWriter::new(&mut lines, tags, time);
                for (labels, values) in &points {
                    let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                    let mut point = out.free_point(MEASUREMENT, labels);
                    for (name, value) in values {
                        point.free_field::<f64>(&[name], *value);
                    }
                }
                lines
            }
            Form::Series(form) => series(form, key, pushed, time),
        });
    }
}

fn series(form: &SeriesForm, key: &Key, pushed: &Exposition<'_>, time: Timestamp) -> Lines {
    let mut lines = Lines::default();
    let mut out = form.encoder(&mut lines, time, true);
    for family in families(pushed) {
        out.metadata(&family.name, family.kind, &family.help);
        for metric in &family.metrics {
            out.metric(&family.name, family.kind, &shown_labels(metric, key), metric);
        }
    }
    lines
}

fn families<'p, 'a>(pushed: &'p Exposition<'a>) -> impl Iterator<Item = &'p Family<'a>> {
    pushed.families.iter().filter(|family| !super::state::is_marker(&family.name))
}

fn points(key: &Key, pushed: &Exposition<'_>) -> Points {
    let mut points = Points::new();
    for family in families(pushed) {
        for metric in &family.metrics {
            let labels = shown_labels(metric, key).into_iter().filter(|(_, value)| !value.is_empty());
            let labels: Vec<(String, String)> =
                labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let mut put = |suffix: &str, more: Option<(&'static str, f64)>, value: f64| {
                let mut tags = labels.clone();
                tags.extend(more.map(|(name, value)| (name.to_owned(), go_float(value))));
                tags.sort_unstable();
                points.entry(tags).or_default().push((format!("{}{suffix}", family.name), value));
            };
            metric.measure.samples(&mut put);
        }
    }
    points
}
