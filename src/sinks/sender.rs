//! A running sink: one task reads at every tick, one puts on disk what came, and one sends what waits.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
#[cfg(feature = "cloudwatch")]
use super::cloudwatch;
use super::connection::{Connection, Prepared};
use super::cutting::Cutting;
use super::delivery::Delivery;
use super::folders::{PATIENCE, Place};
use super::prometheus::Exposition;
use super::push::gather;
use super::renewal::{Renewal, watch};
use super::settings::{Settings, Target};
use super::state::{Prepare, SinkState};
use super::telling::Telling;
use crate::backoff::{Backoff, random_up_to};
use crate::spool::owners::Owner;
use crate::spool::{Bounds, Lane, Queue};

/// How long a reading is waited for when its sink stops. A sound one takes milliseconds; one that hangs is left out.
const LAST_READING: Duration = Duration::from_secs(1);

/// A sink that runs.
pub struct Sink {
    /// Its settings.
    pub settings: Settings,
    /// What it holds and counts. At a reload it is left to the sink that takes this one's place.
    pub state: Arc<SinkState>,
    /// It, as the spool knows it.
    pub owner: Owner,
    renewal: Arc<Renewal>,
    /// Looks at files, if the settings name any.
    watching: Option<Stoppable>,
    gathering: Stoppable,
    keeping: Stoppable,
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
    /// Starts a sink, with what the one before it has left; otherwise with what waits in its place.
    pub async fn start(
        prepared: Prepared,
        exposition: &Arc<Exposition>,
        left: Option<Arc<SinkState>>,
        place: Place,
    ) -> Sink {
        let Prepared { settings, connection, files } = prepared;
        let delivery = settings.delivery.clone();
        let owner = place.owner.clone();
        let state = match left {
            Some(left) => {
                left.queue.set_bounds(bounds(&delivery));
                move_queue(&left, place).await;
                left
            }
            None => Arc::new(SinkState::new(open_queue(&delivery, place).await)),
        };
        state.prepare_with(preparation(&settings));
        let schedule = delivery.schedule.clone();
        let form = settings.form();
        let gathering = Stoppable::start(|stop| gather(schedule, exposition.clone(), state.clone(), form, stop));
        let keeping = Stoppable::start(|stop| keep(state.clone(), stop));
        let is_watched = !files.is_empty();
        let renewal = Arc::new(Renewal::new(files));
        let watching = is_watched.then(|| {
            let watch = watch(settings.clone(), renewal.clone());
            Stoppable::start(|stop| async move { _ = stop.run_until_cancelled(watch).await })
        });
        let sender = Sender {
            cutting: Cutting::new(delivery.schedule.metric_batch_size, delivery.schedule.flush_interval),
            backoff: Backoff::new(delivery.retry_min, delivery.retry_max),
            delivery,
            takes_any_order: settings.takes_any_order(),
            cut_offs: 0,
            connection,
            renewal: renewal.clone(),
            sink: state.clone(),
            telling: Telling::new(&settings),
        };
        let sending = Stoppable::start(|stop| sender.run(stop));
        Sink { settings, state, owner, renewal, watching, gathering, keeping, sending }
    }

    /// Stands elsewhere in the configuration from here on.
    pub async fn stands(&mut self, owner: Owner) {
        if self.owner != owner {
            self.owner = owner.clone();
            move_queue(&self.state, Place { owner, folder: None }).await;
        }
    }

    /// Takes what the files that its settings name hold now, if that has changed. Says whether it has.
    ///
    /// `prepared` must be of the settings that the sink has.
    pub fn renew(&self, prepared: Prepared) -> bool {
        self.renewal.renew(prepared)
    }

    /// Stops reading, sends what waits as long as the server takes it, but no longer than `time`, and leaves the rest on
    /// disk, as far as that is there. Says how many points are in memory alone then.
    pub async fn stop(self, time: Duration) -> (Arc<SinkState>, usize) {
        if let Some(watching) = self.watching {
            watching.stop_within(Duration::ZERO).await;
        }
        // In this order, so that what was read last is sent too.
        self.gathering.stop_within(LAST_READING).await;
        self.sending.stop_within(time).await;
        self.keeping.stop_within(time).await;
        let unkept = blocking(&self.state, |sink| sink.queue.close()).await;
        (self.state, unkept)
    }

    /// Stops, and leaves what waits to the sink that takes this one's place. A write that is under way is broken off: its
    /// points wait until they are acknowledged.
    pub async fn hand_over(self) -> Arc<SinkState> {
        self.stop(Duration::ZERO).await.0
    }
}

fn bounds(delivery: &Delivery) -> Bounds {
    let spool = &delivery.schedule.spool;
    Bounds { memory: delivery.buffer_size, bytes: spool.size, age: spool.age }
}

async fn open_queue(delivery: &Delivery, Place { owner, folder }: Place) -> Queue {
    let bounds = bounds(delivery);
    let Some(folder) = folder else { return Queue::in_memory(bounds) };
    let named = folder.clone();
    let opening = off_the_thread(move || {
        let queue = Queue::on_disk(&folder, bounds);
        queue.belongs_to(owner, None);
        queue
    });
    timeout(PATIENCE, opening).await.unwrap_or_else(|_| {
        let (sink, folder) = (&delivery.name, named.display());
        tracing::error!(
            sink,
            "points are kept in memory alone until the next start: the spool {folder} does not answer"
        );
        Queue::in_memory(bounds)
    })
}

/// Lets what another sink has left wait where this one's points do.
async fn move_queue(left: &Arc<SinkState>, Place { owner, folder }: Place) {
    let (sink, left) = (owner.name.clone(), left.clone());
    let moving = off_the_thread(move || left.queue.belongs_to(owner, folder));
    if timeout(PATIENCE, moving).await.is_err() {
        tracing::error!(sink, "the disk does not answer, on which points wait");
    }
}

/// Puts on disk whatever comes.
async fn keep(sink: Arc<SinkState>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = sink.arrived.notified() => {}
            () = stop.cancelled() => return,
        }
        blocking(&sink, |sink| sink.queue.settle()).await;
        sink.kept.notify_one();
    }
}

/// Does with a sink's queue what may have to wait for the disk.
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

fn preparation(settings: &Settings) -> Option<Prepare> {
    let filter = Some(settings.delivery.filter.clone()).filter(|filter| !filter.is_plain());
    let mut of_target: Option<Prepare> = match &settings.target {
        Target::InfluxDb(settings) => settings.preparation(),
        Target::Elasticsearch(_) => None,
        // Series are filtered as they are encoded.
        Target::RemoteWrite(_) => return None,
        Target::File(settings) if settings.takes_series() => return None,
        Target::File(_) => None,
        #[cfg(feature = "cloudwatch")]
        Target::CloudWatch(settings) => Some(cloudwatch::preparation(settings)),
    };
    let Some(filter) = filter else { return of_target };
    Some(Box::new(move |lines| {
        let left = filter.apply(&lines);
        match &mut of_target {
            Some(prepare) => prepare(left),
            None => left,
        }
    }))
}

struct Sender {
    delivery: Delivery,
    takes_any_order: bool,
    connection: Connection,
    renewal: Arc<Renewal>,
    sink: Arc<SinkState>,
    /// How many points the next write has; fewer than the setting while large or wrong batches are cut up.
    cutting: Cutting,
    backoff: Backoff,
    /// Writes one after the other during which the connection was cut off.
    cut_offs: u32,
    telling: Telling,
}

impl Sender {
    async fn run(mut self, stop: CancellationToken) {
        self.set_backlog_apart().await;
        let mut flush_at = self.next_flush();
        let mut is_pausing = false;
        let mut backlog_at = self.beginning_of_backlog();
        loop {
            let has_backlog = !is_pausing && self.sink.queue.has_backlog();
            tokio::select! {
                () = sleep_until(flush_at) => {}
                () = self.sink.kept.notified(), if !is_pausing => {
                    if self.sink.queue.counts().points < self.delivery.schedule.metric_batch_size {
                        continue;
                    }
                }
                () = sleep_until(backlog_at), if has_backlog => {
                    match self.send_one(Lane::Backlog).await {
                        Sent::Points(count) => backlog_at = Instant::now() + self.share_of_a_second(count),
                        Sent::Nothing => {}
                        Sent::Pause(pause) => (flush_at, is_pausing) = (Instant::now() + pause, true),
                    }
                    continue;
                }
                // It may be what the server was waiting for.
                () = self.renewal.came() => {}
                () = stop.cancelled() => break,
            }
            let was_well = self.telling.is_well();
            (flush_at, is_pausing) = match self.send_fresh().await {
                None => (self.next_flush(), false),
                Some(pause) => (Instant::now() + pause, true),
            };
            if !was_well && self.telling.is_well() {
                backlog_at = self.beginning_of_backlog();
            }
        }
        // The last chance: what the server does not take now waits on disk, for the sink's successor, or is lost.
        let _ = self.send_fresh().await;
    }

    fn next_flush(&self) -> Instant {
        let schedule = &self.delivery.schedule;
        Instant::now() + schedule.flush_interval + random_up_to(schedule.flush_jitter)
    }

    /// Not at once: a server that comes back has many agents.
    fn beginning_of_backlog(&self) -> Instant {
        Instant::now() + random_up_to(self.delivery.schedule.flush_interval)
    }

    /// How long it takes to send so many points of a backlog.
    fn share_of_a_second(&self, count: usize) -> Duration {
        Duration::from_secs_f64(count as f64 / self.delivery.schedule.spool.rate.max(1) as f64)
    }

    /// What waits from an outage is sent beside what is measured now, where a server takes points in any order.
    async fn set_backlog_apart(&mut self) {
        if self.takes_any_order && self.sink.queue.counts().points > self.delivery.schedule.metric_batch_size {
            blocking(&self.sink, |sink| sink.queue.set_backlog_apart()).await;
        }
    }

    /// Sends until nothing fresh waits, or the server wants a pause.
    async fn send_fresh(&mut self) -> Option<Duration> {
        loop {
            let was_well = self.telling.is_well();
            match self.send_one(Lane::Fresh).await {
                Sent::Points(_) if !was_well && self.telling.is_well() => self.set_backlog_apart().await,
                Sent::Points(_) => {}
                Sent::Nothing => return None,
                Sent::Pause(pause) => return Some(pause),
            }
        }
    }

    /// Sends one batch.
    async fn send_one(&mut self, lane: Lane) -> Sent {
        let size = self.cutting.size();
        let Some(batch) = blocking(&self.sink, move |sink| sink.queue.front(lane, size)).await else {
            return Sent::Nothing;
        };
        if let Some(connection) = self.renewal.take() {
            self.connection = connection;
        }
        let begun = Instant::now();
        let (count, answer) = self.connection.write(&batch.lines).await;
        self.sink.wrote_in(begun.elapsed());
        let Settled { is_done, pause } = self.settle(&answer, count);
        if is_done {
            blocking(&self.sink, move |sink| sink.queue.remove(&batch, count)).await;
        }
        match pause {
            None => Sent::Points(if is_done { count } else { 0 }),
            Some(pause) => Sent::Pause(pause),
        }
    }

    /// Counts and logs an answer to a batch of `count` points, and says what becomes of the batch.
    fn settle(&mut self, answer: &Answer, count: usize) -> Settled {
        match answer {
            Answer::Delivered => {
                self.sink.sent.fetch_add(count as u64, Relaxed);
                self.went_well();
                Settled::DONE
            }
            Answer::Partial { dropped, message } => {
                let dropped = dropped.unwrap_or(1).min(count as u64);
                self.sink.sent.fetch_add(count as u64 - dropped, Relaxed);
                self.sink.dropped_rejected.fetch_add(dropped, Relaxed);
                self.telling.dropped(&format!("the server did not take all points: {message}"));
                self.went_well();
                Settled::DONE
            }
            Answer::Rejected { .. } | Answer::TooLarge { .. } if count > 1 => {
                self.cutting.halve(count, matches!(answer, Answer::TooLarge { .. }));
                Settled { is_done: false, pause: self.cutting.failed(Instant::now().into_std()) }
            }
            Answer::TooLarge { is_foreign: true, message } => self.refused(message),
            Answer::TooLarge { .. } => self.dropped("the point is larger than the server takes"),
            Answer::Rejected { message } => self.dropped(message),
            Answer::Refused { message } => self.refused(message),
            Answer::Later { after, message, was_cut_off } => {
                self.sink.retries.fetch_add(1, Relaxed);
                self.cut_offs = if *was_cut_off { self.cut_offs + 1 } else { 0 };
                // A server may say 413 and close while it is sent to, so that its answer is lost.
                if self.cut_offs > 1 {
                    self.cutting.halve(count, true);
                }
                self.telling.failed(message);
                Settled::again_in(self.backoff.pause().max(after.unwrap_or_default()))
            }
        }
    }

    /// A point alone that the server will never take.
    fn dropped(&mut self, message: &str) -> Settled {
        self.sink.dropped_rejected.fetch_add(1, Relaxed);
        self.telling.dropped(&format!("a point was dropped: {message}"));
        Settled { is_done: true, pause: self.cutting.failed(Instant::now().into_std()) }
    }

    fn refused(&mut self, message: &str) -> Settled {
        self.sink.retries.fetch_add(1, Relaxed);
        self.telling.refused(message, self.delivery.refused_retry);
        Settled::again_in(self.delivery.refused_retry)
    }

    fn went_well(&mut self) {
        self.telling.went_well();
        self.backoff.reset();
        self.cut_offs = 0;
        self.cutting.passed();
    }
}

enum Sent {
    /// So many points are done with.
    Points(usize),
    /// Nothing waits.
    Nothing,
    /// The server wants to be left alone for this long.
    Pause(Duration),
}

/// What becomes of a batch, and how long the server is left alone then.
struct Settled {
    is_done: bool,
    pause: Option<Duration>,
}

impl Settled {
    const DONE: Settled = Settled { is_done: true, pause: None };

    fn again_in(pause: Duration) -> Settled {
        Settled { is_done: false, pause: Some(pause) }
    }
}
