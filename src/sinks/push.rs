//! Reads for push sinks, and queues the points.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::form::{Form, PointForm, SeriesForm};
use super::internal;
use super::prometheus::Exporter;
use super::schedule::Schedule;
use super::state::SinkState;
use crate::collectors::Vocabularies;
use crate::collectors::readers::{CollectorReading, write_points};
use crate::encode::lines::{Lines, Portions, RecordWriter};
use crate::encode::{FamilyWriter, PointWriter};

/// Reads at every tick, and queues the points, until `stop` is cancelled.
pub async fn gather(
    schedule: Schedule,
    exporter: Arc<Exporter>,
    sink: Arc<SinkState>,
    form: Arc<Form>,
    stop: CancellationToken,
) {
    let mut metadata_at = Instant::now();
    // Inherited from the sink before a reload, and passed on to the next.
    let previous = || sink.previous.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let now = exporter.readers.load().host().kernel.now();
        tokio::select! {
            () = sleep(schedule.until_next_tick(now)) => {}
            () = stop.cancelled() => return,
        }
        match &*form {
            Form::Points(form) => {
                let before = previous().clone();
                let accept = &mut portions(&sink);
                let readings = read_points(&exporter, &schedule, form, &before, schedule.interval, accept).await;
                drop(before);
                replace_previous(&mut previous(), readings);
            }
            Form::Series(form) => {
                let has_metadata = form.has_metadata_always || metadata_at <= Instant::now();
                if has_metadata {
                    metadata_at = Instant::now() + METADATA_INTERVAL;
                }
                let before = previous().clone();
                let mut readings = read_series(&exporter, &schedule, form, &sink, &before, has_metadata).await;
                drop(before);
                let mut previous = previous();
                // The series of a collector that is no longer configured have ended.
                previous.retain(|old| readings.iter().any(|reading| std::ptr::eq(old.about, reading.about)));
                // The others could not reuse their allocations.
                readings.retain(CollectorReading::has_history);
                replace_previous(&mut previous, readings);
            }
        }
    }
}

/// Queues points of a reading while it is encoded.
fn portions(sink: &SinkState) -> Portions<impl FnMut(Lines)> {
    Portions::new(|lines| {
        sink.accept(lines);
    })
}

/// How often types and help texts are sent. A server forgets them when it restarts.
const METADATA_INTERVAL: Duration = Duration::from_secs(300);

/// Queues one reading of everything as series, after the `previous` ones.
async fn read_series(
    exporter: &Exporter,
    schedule: &Schedule,
    form: &SeriesForm,
    sink: &SinkState,
    previous: &[CollectorReading],
    has_metadata: bool,
) -> Vec<CollectorReading> {
    let readers = exporter.readers.load_full();
    let time = readers.host().kernel.now().rounded_to(schedule.precision());
    let readings = readers.read(Vocabularies::FAMILIES, |_| true, schedule.interval).await;
    let mut lines = portions(sink);
    let mut encoder = form.encoder(&mut lines, time, has_metadata);
    exporter.write(&readings, Some(previous), &mut FamilyWriter::new(&mut encoder));
    let mut present = sink.present.lock().unwrap_or_else(PoisonError::into_inner);
    *present = encoder.end_missing(&present);
    drop(present);
    readings
}

/// One reading of everything, whose points are written to `lines`, with differences since `previous`. Readings that
/// take longer than `limit` are left out.
pub async fn read_points(
    exporter: &Exporter,
    schedule: &Schedule,
    form: &PointForm,
    previous: &[CollectorReading],
    limit: Duration,
    lines: &mut (dyn RecordWriter + Send),
) -> Vec<CollectorReading> {
    let readers = exporter.readers.load_full();
    let time = readers.host().kernel.now().rounded_to(schedule.precision());
    let readings = readers.read(Vocabularies::POINTS, |_| true, limit).await;
    let write = |out: &mut PointWriter<'_>| {
        write_points(&readings, previous, out);
        internal::write_points(&readers, &readings, &exporter.sinks.load(), out);
    };
    form.encode(time, write, lines);
    readings
}

/// Replaces the readings. A collector that failed retains its last one: its next rates span the gap.
fn replace_previous(previous: &mut Vec<CollectorReading>, readings: Vec<CollectorReading>) {
    for reading in readings {
        match previous.iter_mut().find(|old| std::ptr::eq(old.about, reading.about)) {
            Some(old) if reading.collected.is_ok() => *old = reading,
            Some(_) => {}
            None => previous.push(reading),
        }
    }
}
