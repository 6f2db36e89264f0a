//! What all push sinks share: how points get into their queue.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::form::{Form, SeriesForm};
use super::prometheus::Exposition;
use super::schedule::Schedule;
use super::state::{self, SinkState};
use crate::collectors::readers::{Answer, write_points};
use crate::collectors::{Vocabularies, points_by_rule};
use crate::encode::point::{CommonTags, Lines};
use crate::encode::{FamilyWriter, PointWriter};

/// Reads at every tick, and puts the points into the queue of `sink`; ends when told to `stop`.
pub async fn gather(
    schedule: Schedule,
    exposition: Arc<Exposition>,
    sink: Arc<SinkState>,
    form: Form,
    stop: CancellationToken,
) {
    let mut metadata_at = Instant::now();
    // Left by the sink whose place this one takes at a reload, and left to the next.
    let previous = || sink.previous.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = exposition.readers.load().host().kernel.now();
        tokio::select! {
            () = sleep(schedule.until_next_tick(now)) => {}
            () = stop.cancelled() => return,
        }
        match &form {
            Form::Points(tags) => {
                let before = previous().clone();
                let (lines, answers) = read_points(&exposition, &schedule, tags, &before).await;
                drop(before);
                keep_as_previous(&mut previous(), answers);
                sink.take(lines);
            }
            Form::Series(form) => {
                let has_metadata = form.has_metadata_always || metadata_at <= Instant::now();
                if has_metadata {
                    metadata_at = Instant::now() + METADATA_INTERVAL;
                }
                sink.take(read_series(&exposition, &schedule, form, has_metadata).await);
            }
        }
    }
}

/// A server forgets types and help texts when it is started anew.
const METADATA_INTERVAL: Duration = Duration::from_secs(300);

/// One reading of everything as series.
async fn read_series(exposition: &Exposition, schedule: &Schedule, form: &SeriesForm, has_metadata: bool) -> Lines {
    let readers = exposition.readers.load_full();
    let time = readers.host().kernel.now().rounded_to(schedule.precision());
    let answers = readers.read(Vocabularies::FAMILIES, |_| true, schedule.interval).await;
    let mut lines = Lines::default();
    let mut encoder = form.encoder(&mut lines, time, has_metadata);
    exposition.write(&answers, &mut FamilyWriter::new(&mut encoder));
    lines
}

/// One reading of everything as points, with differences since `previous`.
pub async fn read_points(
    exposition: &Exposition,
    schedule: &Schedule,
    tags: &CommonTags,
    previous: &[Answer],
) -> (Lines, Vec<Answer>) {
    let readers = exposition.readers.load_full();
    let time = readers.host().kernel.now().rounded_to(schedule.precision());
    let answers = readers.read(Vocabularies::POINTS, |_| true, schedule.interval).await;
    let mut lines = Lines::default();
    let mut out = PointWriter::new(&mut lines, tags, time);
    let write_own = |families: &mut FamilyWriter<'_>| {
        readers.write_families(families);
        state::write_families(&exposition.sinks.load(), families);
    };
    points_by_rule(write_own, &mut out);
    // After all that is ours, as somebody else may have called his families the same.
    write_points(&answers, previous, &mut out);
    (lines, answers)
}

/// Keeps the new readings, and of a collector that failed the last one before: its rates then span the gap.
fn keep_as_previous(previous: &mut Vec<Answer>, answers: Vec<Answer>) {
    for answer in answers {
        match previous.iter_mut().find(|old| std::ptr::eq(old.about, answer.about)) {
            Some(old) if answer.taken.is_ok() => *old = answer,
            Some(_) => {}
            None => previous.push(answer),
        }
    }
}
