//! What all push sinks share: how points get into their queue.

use std::sync::{Arc, PoisonError};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::prometheus::Exposition;
use super::schedule::Schedule;
use super::state::{self, SinkState};
use crate::collectors::readers::{Answer, write_points};
use crate::collectors::{Vocabularies, points_by_rule};
use crate::encode::PointWriter;
use crate::encode::point::{CommonTags, Lines};

/// Reads at every tick, and puts the points into the queue of `sink`; ends when told to `stop`.
pub async fn gather(schedule: Schedule, exposition: Arc<Exposition>, sink: Arc<SinkState>, stop: CancellationToken) {
    let tags = CommonTags::new(&schedule.tags);
    // Left by the sink whose place this one takes at a reload, and left to the next.
    let previous = || sink.previous.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = exposition.readers.load().host().kernel.now();
        tokio::select! {
            () = sleep(schedule.until_next_tick(now)) => {}
            () = stop.cancelled() => return,
        }
        let before = previous().clone();
        let (lines, answers) = read_points(&exposition, &schedule, &tags, &before).await;
        drop(before);
        keep_as_previous(&mut previous(), answers);
        sink.take(lines);
    }
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
    write_points(&answers, previous, &mut out);
    points_by_rule(|families| state::write_families(&exposition.sinks.load(), families), &mut out);
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
