//! Forwarding of pushes to the push sinks. Each push becomes points with its own time, so a job's whole history is sent.
//!
//! Points follow the generic mapping of [`crate::encode::generic_points`]: one measurement, labels as tags, each sample a field
//! named after it. A histogram's buckets and a summary's quantiles are samples as in the text format.

pub(super) mod sequencer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::groups::block::shown_labels;
use super::groups::markers::is_marker;
use super::key::Key;
use crate::encode::PointWriter;
use crate::encode::Timestamp;
use crate::encode::generic_points::MEASUREMENT;
use crate::encode::lines::Lines;
use crate::encode::number::go_float;
use crate::encode::parse::model::{Exposition, Family};
use crate::sinks::form::{Form, SeriesForm};
use crate::sinks::state::SinkState;

/// How long a push waits for the sinks to persist it.
pub(super) const PERSIST_TIMEOUT: Duration = Duration::from_secs(1);

/// A sink that receives pushes.
pub struct Forward {
    /// The form of its points.
    pub form: Arc<Form>,
    /// Its queue.
    pub sink: Arc<SinkState>,
}

/// The fields of a point, by its tags.
type Points = BTreeMap<Vec<(String, String)>, Vec<(String, f64)>>;

/// The queues that have a push, each with the position after it.
pub(super) struct Queued(Vec<(Arc<SinkState>, u64)>);

impl Queued {
    /// Waits until all queues have persisted the push, but at most until `deadline`.
    pub(super) async fn persisted(self, deadline: impl Future<Output = ()>) {
        // All are created before the first is awaited: each counts its sink's rounds from now on.
        let waits: Vec<_> = self.0.iter().map(|(sink, end)| sink.persisted(*end)).collect();
        let all = async {
            for wait in waits {
                wait.await;
            }
        };
        tokio::select! {
            biased;
            () = all => {}
            () = deadline => {}
        }
    }
}

/// Adds a push to a group to the queues of all sinks.
pub(super) fn forward(to: &[Forward], key: &Key, pushed: &Exposition<'_>, time: Timestamp) -> Queued {
    if to.is_empty() {
        return Queued(Vec::new());
    }
    let points = points(key, pushed);
    let queued = to.iter().filter_map(|Forward { form, sink }| {
        let end = sink.accept(match &**form {
            Form::Points(form) => {
                let mut lines = Lines::default();
                form.encode(time, |out| write(&points, out), &mut lines);
                lines
            }
            Form::Series(form) => series(form, key, pushed, time),
        });
        Some((sink.clone(), end?))
    });
    Queued(queued.collect())
}

fn write(points: &Points, out: &mut PointWriter<'_>) {
    for (labels, values) in points {
        let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut point = out.free_point(MEASUREMENT, labels);
        for (name, value) in values {
            point.free_field::<f64>(&[name], *value);
        }
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
    pushed.families.iter().filter(|family| !is_marker(&family.name))
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::encode::lines::RecordWriter;
    use crate::spool::{Limits, Queue};

    /// A sink with one point in its queue. Its disk never persists it.
    fn sink(folder: &Path) -> (Arc<SinkState>, u64) {
        let limits = Limits { memory: 1 << 20, bytes: 1 << 20, age: Duration::from_secs(60) };
        let sink = SinkState::new(Queue::on_disk(folder, limits));
        let mut lines = Lines::default();
        lines.push(b"m f=1 1\n");
        let end = sink.accept(lines).unwrap();
        (Arc::new(sink), end)
    }

    fn is_ready(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()))
    }

    #[test]
    fn one_deadline_ends_the_wait_for_all_sinks() {
        let folder = tempfile::tempdir().unwrap();
        let sinks = ["a", "b", "c"].map(|name| sink(&folder.path().join(name)));
        let (fire, deadline) = tokio::sync::oneshot::channel::<()>();
        let mut wait = pin!(Queued(sinks.into()).persisted(async { drop(deadline.await) }));
        assert!(!is_ready(wait.as_mut()));
        drop(fire);
        assert!(is_ready(wait));
    }

    #[test]
    fn a_hanging_disk_delays_no_other_sink() {
        let folder = tempfile::tempdir().unwrap();
        let [hanging, other] = ["a", "b"].map(|name| sink(&folder.path().join(name)));
        let mut wait = pin!(Queued(vec![hanging.clone(), other.clone()]).persisted(std::future::pending()));
        assert!(!is_ready(wait.as_mut()));
        // The other sink's rounds pass while the first one hangs.
        other.0.report_persisted();
        other.0.report_persisted();
        assert!(!is_ready(wait.as_mut()));
        hanging.0.report_persisted();
        assert!(!is_ready(wait.as_mut()));
        hanging.0.report_persisted();
        assert!(is_ready(wait));
    }
}
