//! What all push sinks share: when they read, and how points get into their queue.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::prometheus::Exposition;
use super::stats;
use crate::collectors::readers::{Answer, write_points};
use crate::collectors::{Vocabularies, points_by_rule};
use crate::encode::PointWriter;
use crate::encode::point::{CommonTags, Lines};
use crate::host::Timestamp;
use crate::settings::Agent;
use crate::spool::Queue;

/// When a sink reads, and what its points carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// As in `[agent]`, or as the sink has it.
    pub agent: Agent,
}

/// Reads at every tick, and puts the points into `queue`; ends when told to `stop`.
pub async fn gather(
    schedule: Schedule,
    exposition: Arc<Exposition>,
    queue: Arc<Queue>,
    arrived: Arc<Notify>,
    stop: CancellationToken,
) {
    let tags = CommonTags::new(&schedule.agent.tags);
    let mut previous: Vec<Answer> = Vec::new();
    loop {
        let now = exposition.readers.load().host().kernel.now();
        tokio::select! {
            () = sleep(schedule.until_next_tick(now)) => {}
            () = stop.cancelled() => return,
        }
        let (lines, answers) = read_points(&exposition, &schedule, &tags, &previous).await;
        keep_as_previous(&mut previous, answers);
        queue.push(lines);
        arrived.notify_one();
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
    let answers = readers.read(Vocabularies::POINTS, |_| true, schedule.agent.interval).await;
    let mut lines = Lines::default();
    let mut out = PointWriter::new(&mut lines, tags, time);
    write_points(&answers, previous, &mut out);
    points_by_rule(|families| stats::write_families(&exposition.sinks.load(), families), &mut out);
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

impl Schedule {
    /// The unit that timestamps are rounded to, which follows from the interval as with Telegraf.
    pub fn precision(&self) -> Duration {
        let units = [Duration::from_secs(1), Duration::from_millis(1), Duration::from_micros(1)];
        units.into_iter().find(|unit| self.agent.interval >= *unit).unwrap_or(Duration::from_nanos(1))
    }

    fn until_next_tick(&self, now: Timestamp) -> Duration {
        let interval = self.agent.interval;
        let until_tick = if self.agent.round_interval {
            let nanoseconds = interval.as_nanos().max(1) as i64;
            Duration::from_nanos((nanoseconds - now.0.rem_euclid(nanoseconds)).unsigned_abs())
        } else {
            interval
        };
        until_tick + random_up_to(self.agent.collection_jitter)
    }
}

/// A random time up to `most`.
pub fn random_up_to(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(interval: Duration) -> Schedule {
        let agent = Agent {
            interval,
            round_interval: true,
            collection_jitter: Duration::ZERO,
            flush_interval: interval,
            flush_jitter: Duration::ZERO,
            metric_batch_size: 1,
            tags: Default::default(),
        };
        Schedule { agent }
    }

    #[test]
    fn ticks_fall_on_multiples_of_the_interval() {
        let ten = schedule(Duration::from_secs(10));
        assert_eq!(ten.until_next_tick(Timestamp(1_003_500_000_000)), Duration::from_millis(6500));
        assert_eq!(ten.until_next_tick(Timestamp(1_000_000_000_000)), Duration::from_secs(10));
    }

    #[test]
    fn jitter_puts_a_tick_off_and_never_forward() {
        let mut jittered = schedule(Duration::from_secs(10));
        jittered.agent.collection_jitter = Duration::from_secs(2);
        for _ in 0..100 {
            let wait = jittered.until_next_tick(Timestamp(0));
            assert!(wait >= Duration::from_secs(10) && wait <= Duration::from_secs(12), "{wait:?}");
        }
    }

    #[test]
    fn precision_follows_from_the_interval() {
        let of = |interval| schedule(interval).precision();
        assert_eq!(of(Duration::from_secs(10)), Duration::from_secs(1));
        assert_eq!(of(Duration::from_millis(500)), Duration::from_millis(1));
        assert_eq!(of(Duration::from_nanos(10)), Duration::from_nanos(1));
    }
}
