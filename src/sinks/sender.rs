//! A running sink: one task reads at every tick, one persists the points, and one sends them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::batch_size::BatchSize;
use super::delivery::Delivery;
use super::failure_log::FailureLog;
use super::folders::{Location, TIMEOUT};
use super::form::Form;
use super::kind::Client;
use super::prometheus::Exporter;
use super::push::gather;
use super::reconnect::{Reconnect, watch};
use super::settings::Prepared;
use super::settings::Settings;
use super::state::{SinkState, WriteResult};
use super::verdict::Verdict;
use crate::backoff::{self, Backoff, random_up_to};
use crate::spool::folders::SinkId;
use crate::spool::{Limits, Queue, SubQueue};

/// For the last reading when a sink stops. It takes milliseconds; one that hangs is left out.
const READING_TIMEOUT: Duration = Duration::from_secs(1);

/// A sink that runs.
pub struct Sink {
    /// Its settings.
    pub settings: Settings,
    /// The form of its records.
    pub form: Arc<Form>,
    /// Its queue and counters. At a reload its successor inherits them.
    pub state: Arc<SinkState>,
    /// Its identifier in the spool.
    pub owner: SinkId,
    reconnect: Arc<Reconnect>,
    /// Checks files, if the settings name any.
    watching: Option<Stoppable>,
    gathering: Stoppable,
    persisting: Stoppable,
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

    /// Stops the task, and aborts it after `time`.
    async fn stop_within(mut self, time: Duration) {
        self.stop.cancel();
        if timeout(time, &mut self.task).await.is_err() {
            self.task.abort();
            let _ = self.task.await;
        }
    }
}

impl Sink {
    /// Starts a sink with the state that it inherits, or else with the queue at its location, which it sends once it
    /// has been read.
    pub async fn start(
        prepared: Prepared,
        exporter: &Arc<Exporter>,
        inherited: Option<Arc<SinkState>>,
        location: Location,
    ) -> Sink {
        let Prepared { settings, client, files } = prepared;
        let delivery = settings.delivery.clone();
        let owner = location.owner.clone();
        let (state, opening) = match inherited {
            Some(state) => {
                state.queue.set_limits(limits(&delivery));
                move_queue(&state, location).await;
                (state, None)
            }
            None => {
                let state = Arc::new(SinkState::new(Queue::in_memory(limits(&delivery))));
                let opening = open_queue(state.clone(), location);
                (state, opening)
            }
        };
        let schedule = delivery.schedule.clone();
        let form = Arc::new(settings.form());
        let gathering = Stoppable::start(|stop| gather(schedule, exporter.clone(), state.clone(), form.clone(), stop));
        let persisting = Stoppable::start(|stop| persist(state.clone(), stop));
        let is_watched = !files.is_empty();
        let reconnect = Arc::new(Reconnect::new(files));
        let watching = is_watched.then(|| {
            let watch = watch(settings.clone(), reconnect.clone());
            Stoppable::start(|stop| async move { _ = stop.run_until_cancelled(watch).await })
        });
        let sender = Sender {
            batch_size: BatchSize::new(delivery.schedule.metric_batch_size, delivery.schedule.flush_interval),
            backoff: Backoff::new(delivery.retry_min, delivery.retry_max),
            delivery,
            takes_any_order: settings.target.takes_any_order(),
            cut_offs: 0,
            client,
            reconnect: reconnect.clone(),
            sink: state.clone(),
            failures: FailureLog::new(&settings),
        };
        let sending = Stoppable::start(|stop| async {
            if let Some(opening) = opening {
                opening.await;
            }
            sender.run(stop).await;
        });
        Sink { settings, form, state, owner, reconnect, watching, gathering, persisting, sending }
    }

    /// Changes its identifier after its position in the configuration has changed.
    pub async fn set_owner(&mut self, owner: SinkId) {
        if self.owner != owner {
            self.owner = owner.clone();
            move_queue(&self.state, Location { owner, folder: None }).await;
        }
    }

    /// Connects anew if the contents of the files that its settings name have changed. Returns whether they have.
    ///
    /// `prepared` must have the sink's settings.
    pub fn reconnect(&self, prepared: Prepared) -> bool {
        self.reconnect.offer(prepared)
    }

    /// Stops reading, sends the queue for up to `time` while the server accepts it, and persists the remainder, if
    /// there is a disk. Returns how many points are not persisted.
    pub async fn stop(self, time: Duration) -> (Arc<SinkState>, usize) {
        if let Some(watching) = self.watching {
            watching.stop_within(Duration::ZERO).await;
        }
        // In this order, so that the last reading is sent too.
        self.gathering.stop_within(READING_TIMEOUT).await;
        self.sending.stop_within(time).await;
        self.persisting.stop_within(time).await;
        let unpersisted = blocking(&self.state, |sink| sink.queue.close()).await;
        (self.state, unpersisted)
    }

    /// Stops at once, for a successor that inherits the state. A write in flight is aborted: its points stay queued
    /// until they are acknowledged.
    pub async fn into_state(self) -> Arc<SinkState> {
        self.stop(Duration::ZERO).await.0
    }
}

fn limits(delivery: &Delivery) -> Limits {
    let spool = &delivery.schedule.spool;
    Limits { memory: delivery.buffer_size, bytes: spool.size, age: spool.age }
}

/// Starts to open a new sink's folder. Returns a future that waits for it with a timeout. The sink accepts points
/// meanwhile, however much its folder holds.
fn open_queue(state: Arc<SinkState>, Location { owner, folder }: Location) -> Option<impl Future<Output = ()> + Send> {
    let Some(folder) = folder else {
        // In memory alone: there is no disk to wait for.
        state.queue.assign(owner, None);
        return None;
    };
    let (sink, named) = (owner.name.clone(), folder.display().to_string());
    let opening = spawn_blocking(move || {
        state.queue.assign(owner, None);
        state.queue.attach(&folder);
        // Points that arrived meanwhile can be persisted.
        state.arrived.notify_one();
    });
    Some(async move {
        if timeout(TIMEOUT, opening).await.is_err() {
            tracing::error!(sink, "points are kept in memory only until the spool {named} responds");
        }
    })
}

/// Moves an inherited queue to the sink's location.
async fn move_queue(state: &Arc<SinkState>, Location { owner, folder }: Location) {
    let (sink, state) = (owner.name.clone(), state.clone());
    let moving = off_the_thread(move || state.queue.assign(owner, folder));
    if timeout(TIMEOUT, moving).await.is_err() {
        tracing::error!(sink, "the disk does not answer, on which points wait");
    }
}

/// Persists points as they arrive.
async fn persist(sink: Arc<SinkState>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = sink.arrived.notified() => {}
            () = stop.cancelled() => return,
        }
        blocking(&sink, |sink| sink.queue.persist()).await;
        sink.report_persisted();
    }
}

/// Does work on a sink's queue that may wait for the disk.
async fn blocking<T: Send + 'static>(sink: &Arc<SinkState>, work: impl FnOnce(&SinkState) -> T + Send + 'static) -> T {
    if !sink.queue.is_on_disk() {
        return work(sink);
    }
    let sink = sink.clone();
    off_the_thread(move || work(&sink)).await
}

async fn off_the_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

struct Sender {
    delivery: Delivery,
    takes_any_order: bool,
    client: Box<dyn Client>,
    reconnect: Arc<Reconnect>,
    sink: Arc<SinkState>,
    /// The size of the next write: less than the setting while large or rejected batches are split.
    batch_size: BatchSize,
    backoff: Backoff,
    /// Successive writes during which the connection was closed.
    cut_offs: u32,
    failures: FailureLog,
}

impl Sender {
    async fn run(mut self, stop: CancellationToken) {
        self.split_backlog().await;
        // At a random time of the interval: agents that start together do not write together from then on.
        let mut flush_at = Instant::now() + random_up_to(self.delivery.schedule.flush_interval);
        let mut is_pausing = false;
        let mut backlog_at = self.backlog_start();
        loop {
            let has_backlog = !is_pausing && self.sink.queue.has_backlog();
            tokio::select! {
                () = sleep_until(flush_at) => {}
                () = self.sink.persist_done.notified(), if !is_pausing => {
                    if self.sink.queue.counts().points < self.delivery.schedule.metric_batch_size {
                        continue;
                    }
                }
                () = sleep_until(backlog_at), if has_backlog => {
                    match self.send_one(SubQueue::Backlog).await {
                        Sent::Points(count) => backlog_at = Instant::now() + self.backlog_pause(count),
                        Sent::Nothing => {}
                        Sent::Pause(pause) => (flush_at, is_pausing) = (Instant::now() + pause, true),
                    }
                    continue;
                }
                // The server may require the new certificates.
                () = self.reconnect.changed() => {}
                () = stop.cancelled() => break,
            }
            let was_well = self.failures.is_well();
            (flush_at, is_pausing) = match self.send_fresh().await {
                None => (self.next_flush(), false),
                Some(pause) => (Instant::now() + pause, true),
            };
            if !was_well && self.failures.is_well() {
                backlog_at = self.backlog_start();
            }
        }
        // Points that the server does not accept now stay on disk, pass to a successor, or are dropped.
        let _ = self.send_fresh().await;
    }

    fn next_flush(&self) -> Instant {
        let schedule = &self.delivery.schedule;
        Instant::now() + schedule.flush_interval + random_up_to(schedule.flush_jitter)
    }

    /// After a random delay, since a server that recovers has many agents.
    fn backlog_start(&self) -> Instant {
        Instant::now() + random_up_to(self.delivery.schedule.flush_interval)
    }

    /// The time for `count` points at the limit of the rate for backlogs.
    fn backlog_pause(&self, count: usize) -> Duration {
        Duration::from_secs_f64(count as f64 / self.delivery.schedule.spool.rate.max(1) as f64)
    }

    /// Splits off the backlog of an outage, to send it in parallel with fresh points, if the server accepts points in
    /// any order.
    async fn split_backlog(&mut self) {
        if self.takes_any_order && self.sink.queue.counts().points > self.delivery.schedule.metric_batch_size {
            blocking(&self.sink, |sink| sink.queue.split_backlog()).await;
        }
    }

    /// Sends until the queue has no fresh points, or returns the pause before the next attempt.
    async fn send_fresh(&mut self) -> Option<Duration> {
        loop {
            let was_well = self.failures.is_well();
            match self.send_one(SubQueue::Fresh).await {
                Sent::Points(_) if !was_well && self.failures.is_well() => self.split_backlog().await,
                Sent::Points(_) => {}
                Sent::Nothing => return None,
                Sent::Pause(pause) => return Some(pause),
            }
        }
    }

    /// Sends one batch.
    async fn send_one(&mut self, sub_queue: SubQueue) -> Sent {
        let size = self.batch_size.size();
        let Some(batch) = blocking(&self.sink, move |sink| sink.queue.front(sub_queue, size)).await else {
            return Sent::Nothing;
        };
        if let Some(client) = self.reconnect.take() {
            self.client = client;
        }
        let started = Instant::now();
        let (count, verdict) = self.client.write(&batch.lines).await;
        self.sink.count_write(started.elapsed());
        self.sink.record_result(WriteResult {
            at: SystemTime::now(),
            is_success: verdict.is_success(),
            message: verdict.message().map(|message| self.failures.hide(message)),
        });
        let Resolution { is_complete, pause } = self.resolve(&verdict, count);
        if is_complete {
            blocking(&self.sink, move |sink| sink.queue.remove(&batch, count)).await;
        }
        match pause {
            None => Sent::Points(if is_complete { count } else { 0 }),
            Some(pause) => Sent::Pause(pause),
        }
    }

    /// Counts and logs the verdict on a batch of `count` points, and decides the next step for the batch.
    fn resolve(&mut self, verdict: &Verdict, count: usize) -> Resolution {
        match verdict {
            Verdict::Delivered => {
                self.sink.sent.fetch_add(count as u64, Relaxed);
                self.succeeded();
                Resolution::DONE
            }
            Verdict::Partial { dropped, message } => {
                let dropped = dropped.unwrap_or(1).min(count as u64);
                self.sink.sent.fetch_add(count as u64 - dropped, Relaxed);
                self.sink.dropped_rejected.fetch_add(dropped, Relaxed);
                self.failures.dropped(&format!("the server did not take all points: {message}"));
                self.succeeded();
                Resolution::DONE
            }
            Verdict::Rejected { .. } | Verdict::TooLarge { .. } if count > 1 => {
                self.batch_size.halve(count, matches!(verdict, Verdict::TooLarge { .. }));
                Resolution { is_complete: false, pause: self.batch_size.failed(Instant::now().into_std()) }
            }
            Verdict::TooLarge { is_foreign: true, message } => self.refused(message),
            Verdict::TooLarge { .. } => self.dropped("the point is larger than the server takes"),
            Verdict::Rejected { message } => self.dropped(message),
            Verdict::Refused { message } => self.refused(message),
            Verdict::Later { after, message, was_cut_off } => {
                self.sink.retries.fetch_add(1, Relaxed);
                self.cut_offs = if *was_cut_off { self.cut_offs + 1 } else { 0 };
                // A server may respond with 413 and close during the request, so that the response is lost.
                if self.cut_offs > 1 {
                    self.batch_size.halve(count, true);
                }
                let (own, requested) = (self.backoff.pause(), after.unwrap_or_default());
                let pause = backoff::at_least(own, requested);
                self.failures.failed(message, pause, requested > own);
                Resolution::retry_in(pause)
            }
        }
    }

    /// A single point that the server will never accept.
    fn dropped(&mut self, message: &str) -> Resolution {
        self.sink.dropped_rejected.fetch_add(1, Relaxed);
        self.failures.dropped(&format!("a point was dropped: {message}"));
        Resolution { is_complete: true, pause: self.batch_size.failed(Instant::now().into_std()) }
    }

    fn refused(&mut self, message: &str) -> Resolution {
        self.sink.retries.fetch_add(1, Relaxed);
        self.failures.refused(message, self.delivery.refused_retry);
        Resolution::retry_in(self.delivery.refused_retry)
    }

    fn succeeded(&mut self) {
        self.failures.succeeded();
        self.backoff.reset();
        self.cut_offs = 0;
        self.batch_size.passed();
    }
}

enum Sent {
    /// Points that were sent or dropped.
    Points(usize),
    /// The queue is empty.
    Nothing,
    /// The pause before the next attempt.
    Pause(Duration),
}

/// The next step for a batch, and the pause after it.
struct Resolution {
    is_complete: bool,
    pause: Option<Duration>,
}

impl Resolution {
    const DONE: Resolution = Resolution { is_complete: true, pause: None };

    fn retry_in(pause: Duration) -> Resolution {
        Resolution { is_complete: false, pause: Some(pause) }
    }
}
