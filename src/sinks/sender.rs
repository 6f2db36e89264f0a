//! A running sink: one task reads at every tick, another sends what waits.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
#[cfg(feature = "cloudwatch")]
use super::cloudwatch;
use super::delivery::Delivery;
use super::influxdb::{self, ClientError};
use super::prometheus::Exposition;
use super::push::{Prepare, gather};
use super::settings::{Settings, Target};
use super::state::SinkState;
use crate::backoff::{Backoff, random_up_to};
use crate::encode::point::Lines;

/// How long a reading is waited for when its sink stops. A sound one takes milliseconds; one that hangs is left out.
const LAST_READING: Duration = Duration::from_secs(1);

/// A sink that runs.
pub struct Sink {
    /// Its settings.
    pub settings: Settings,
    /// What it holds and counts. At a reload it is left to the sink that takes this one's place.
    pub state: Arc<SinkState>,
    gathering: Stoppable,
    sending: Stoppable,
}

struct Stoppable {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Stoppable {
    fn start<F: Future<Output = ()> + Send + 'static>(task: impl FnOnce(CancellationToken) -> F) -> Self {
        let stop = CancellationToken::new();
        Stoppable { task: tokio::spawn(task(stop.clone())), stop }
    }

    /// Stops, and does not wait any longer than this.
    async fn stop_within(mut self, time: Duration) {
        self.stop.cancel();
        if timeout(time, &mut self.task).await.is_err() {
            self.task.abort();
            let _ = self.task.await;
        }
    }
}

impl Sink {
    /// Checks that a sink with these settings could run.
    ///
    /// # Errors
    /// That its TLS settings cannot be used.
    pub fn check(settings: &Settings) -> Result<(), ClientError> {
        Connection::new(settings).map(drop)
    }

    /// Starts a sink, with what an earlier one of its name has left.
    ///
    /// # Errors
    /// As [`Sink::check`].
    pub fn start(
        settings: Settings,
        exposition: &Arc<Exposition>,
        left: Option<Arc<SinkState>>,
    ) -> Result<Sink, ClientError> {
        let connection = Connection::new(&settings)?;
        let delivery = settings.delivery.clone();
        let state = left.unwrap_or_else(|| Arc::new(SinkState::new(delivery.buffer_size)));
        state.queue.set_max_bytes(delivery.buffer_size);
        let arrived = Arc::new(Notify::new());
        let (schedule, prepare) = (delivery.schedule.clone(), preparation(&settings.target));
        let gathering = Stoppable::start(|stop| {
            gather(schedule, exposition.clone(), state.clone(), prepare, arrived.clone(), stop)
        });
        let sender = Sender {
            batch_size: delivery.schedule.metric_batch_size,
            backoff: Backoff::new(delivery.retry_min, delivery.retry_max),
            delivery,
            connection,
            sink: state.clone(),
            told: Told::Fine,
            told_of_drop: String::new(),
        };
        let sending = Stoppable::start(|stop| sender.run(arrived, stop));
        Ok(Sink { settings, state, gathering, sending })
    }

    /// Stops reading, sends what waits as long as the server takes it, but no longer than `time`, and leaves the rest.
    pub async fn stop(self, time: Duration) -> Arc<SinkState> {
        // In this order, so that what was read last is sent too.
        self.gathering.stop_within(LAST_READING).await;
        self.sending.stop_within(time).await;
        self.state
    }

    /// Stops, and leaves what waits to the sink that takes this one's place. A write that is under way is broken off: its
    /// points wait until they are acknowledged.
    pub async fn hand_over(self) -> Arc<SinkState> {
        self.stop(Duration::ZERO).await
    }
}

fn preparation(target: &Target) -> Option<Prepare> {
    match target {
        Target::InfluxDb(_) => None,
        #[cfg(feature = "cloudwatch")]
        Target::CloudWatch(settings) => Some(cloudwatch::preparation(settings)),
    }
}

/// What sends to a sink's target.
enum Connection {
    InfluxDb(influxdb::Connection),
    #[cfg(feature = "cloudwatch")]
    CloudWatch(Box<cloudwatch::Connection>),
}

impl Connection {
    fn new(settings: &Settings) -> Result<Connection, ClientError> {
        Ok(match &settings.target {
            Target::InfluxDb(settings) => Connection::InfluxDb(influxdb::Connection::new(settings)?),
            #[cfg(feature = "cloudwatch")]
            Target::CloudWatch(settings) => Connection::CloudWatch(Box::new(cloudwatch::Connection::new(settings))),
        })
    }

    /// Sends points, or as many of the first as go into one request, and says how many the answer is about.
    async fn write(&mut self, lines: &Lines) -> (usize, Answer) {
        match self {
            Connection::InfluxDb(connection) => (lines.count(), connection.write(lines.bytes()).await),
            #[cfg(feature = "cloudwatch")]
            Connection::CloudWatch(connection) => connection.write(lines).await,
        }
    }
}

struct Sender {
    delivery: Delivery,
    connection: Connection,
    sink: Arc<SinkState>,
    /// Points in the next write; fewer than the setting while large or wrong batches are cut up.
    batch_size: usize,
    backoff: Backoff,
    told: Told,
    /// Why points were dropped, as the log was last told.
    told_of_drop: String,
}

/// What the log was last told of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Fine,
    Failing,
    Refusing,
}

/// What to do after a write.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Pause(Duration),
}

impl Sender {
    async fn run(mut self, arrived: Arc<Notify>, stop: CancellationToken) {
        let mut flush_at = self.next_flush();
        loop {
            tokio::select! {
                () = sleep_until(flush_at) => {}
                () = arrived.notified() => {
                    if self.sink.queue.counts().points < self.delivery.schedule.metric_batch_size {
                        continue;
                    }
                }
                () = stop.cancelled() => break,
            }
            while let Some(Next::Pause(pause)) = self.send_all().await {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = stop.cancelled() => break,
                }
            }
            flush_at = self.next_flush();
        }
        // The last chance: what the server does not take now waits for the sink's successor, or is lost.
        let _ = self.send_all().await;
    }

    fn next_flush(&self) -> Instant {
        let schedule = &self.delivery.schedule;
        Instant::now() + schedule.flush_interval + random_up_to(schedule.flush_jitter)
    }

    /// Sends until nothing waits, or the server wants a pause.
    async fn send_all(&mut self) -> Option<Next> {
        while let Some(batch) = self.sink.queue.front(self.batch_size) {
            let (count, answer) = self.connection.write(&batch.lines).await;
            match self.settle(&answer, count) {
                Settled::Done => self.sink.queue.remove_first(&batch, count),
                Settled::Again(Next::Continue) => {}
                Settled::Again(pause) => return Some(pause),
            }
        }
        None
    }

    /// Counts and logs an answer to a batch of `count` points, and says what becomes of the batch.
    fn settle(&mut self, answer: &Answer, count: usize) -> Settled {
        let sink = self.delivery.name.as_str();
        match answer {
            Answer::Delivered => {
                self.sink.sent.fetch_add(count as u64, Relaxed);
                self.went_well();
                Settled::Done
            }
            Answer::Partial { dropped, message } => {
                let dropped = dropped.unwrap_or(1).min(count as u64);
                self.sink.sent.fetch_add(count as u64 - dropped, Relaxed);
                self.sink.dropped_rejected.fetch_add(dropped, Relaxed);
                self.tell_of_drop(&format!("the server did not take all points: {message}"));
                self.went_well();
                Settled::Done
            }
            Answer::Rejected { .. } | Answer::TooLarge if count > 1 => {
                self.batch_size = count.div_ceil(2);
                Settled::Again(Next::Continue)
            }
            Answer::Rejected { .. } | Answer::TooLarge => {
                let message = match answer {
                    Answer::Rejected { message } => message,
                    _ => "the point is larger than the server takes",
                };
                self.sink.dropped_rejected.fetch_add(1, Relaxed);
                self.tell_of_drop(&format!("a point was dropped: {message}"));
                Settled::Done
            }
            Answer::Refused { message } => {
                self.sink.retries.fetch_add(1, Relaxed);
                if self.told != Told::Refusing {
                    let pause = humantime::format_duration(self.delivery.refused_retry);
                    tracing::error!(
                        sink,
                        "the server refuses writes; the points are kept, and it is tried again every {pause}: {message}"
                    );
                    self.told = Told::Refusing;
                }
                Settled::Again(Next::Pause(self.delivery.refused_retry))
            }
            Answer::Later { after, message } => {
                self.sink.retries.fetch_add(1, Relaxed);
                if self.told == Told::Fine {
                    tracing::warn!(sink, "a write failed; the points are kept, and it is tried again: {message}");
                    self.told = Told::Failing;
                }
                Settled::Again(Next::Pause(self.backoff.pause().max(after.unwrap_or_default())))
            }
        }
    }

    /// Tells the log why points were dropped, once for each reason that differs from the last. How many is a metric.
    fn tell_of_drop(&mut self, reason: &str) {
        if self.told_of_drop != reason {
            tracing::warn!(sink = self.delivery.name, "{reason}");
            reason.clone_into(&mut self.told_of_drop);
        }
    }

    fn went_well(&mut self) {
        if self.told != Told::Fine {
            tracing::info!(sink = self.delivery.name, "the server takes writes again");
            self.told = Told::Fine;
        }
        self.backoff.reset();
        // Grows back step by step, for the point that made the batch too large may be one of several.
        let whole = self.delivery.schedule.metric_batch_size;
        self.batch_size = self.batch_size.saturating_mul(2).min(whole);
    }
}

enum Settled {
    /// The batch is done with.
    Done,
    /// The batch stays.
    Again(Next),
}
