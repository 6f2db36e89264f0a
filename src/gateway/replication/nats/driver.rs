//! Carries out the protocol of a replica, in a thread of its own: a long scrape delays neither messages nor the lease.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{Context, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::admin::INCOMPLETE;
use super::announcements;
use super::connection::{self, Description, LEASE_KEY, subject};
use super::loading::{self, LoadError};
use super::monitoring;
use super::reader::Reader;
use super::trouble::Trouble;
use crate::gateway::groups::position::Position;
use crate::gateway::persistence::replica::ReplicaStore;
use crate::gateway::persistence::replicated::Copy;
use crate::gateway::replication::message;
use crate::gateway::replication::replica::{Action, Outcome, Replica, Role};
use crate::gateway::replication::settings::Settings;
use crate::gateway::replication::shared::Shared;
use crate::gateway::replication::status::{self, Status};
use crate::log::Episode;
use crate::nats::connection::{Connection, connect};
use crate::nats::lease::{self, Holder, Lease, View};

/// How often the stream is described, and time passes for the protocol.
const TICK: Duration = Duration::from_millis(250);
const DESCRIBED: Duration = Duration::from_secs(2);

/// A reader that gets nothing of what the stream has for this long is replaced.
const STALLED: Duration = Duration::from_secs(10);

/// How long a description must say the same before a replica stops. Messages are checked in any case.
const CONFIRMED: Duration = Duration::from_secs(5);

/// Bytes that the stream may take in addition to four snapshots.
const MIN_STREAM_BYTES: u64 = 64 << 20;

/// Pause between two snapshots.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(60);

/// How long a drained replica waits for its last messages and the release of its lease.
const GRACE: Duration = Duration::from_secs(3);

/// A running driver.
#[derive(Debug)]
pub struct Driver {
    ended: oneshot::Receiver<()>,
}

impl Driver {
    /// Starts it. It ends when the store is closed.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(settings: Settings, store: ReplicaStore, copy: Copy, status: Arc<Shared>) -> io::Result<Driver> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, ended) = oneshot::channel();
        thread::Builder::new().name("gateway-stream".to_owned()).spawn(move || {
            runtime.block_on(run(&settings, store, copy, &status));
            let _ = sender.send(());
        })?;
        Ok(Driver { ended })
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        let _ = timeout(GRACE + TICK, self.ended).await;
    }
}

async fn run(settings: &Settings, store: ReplicaStore, mut copy: Copy, status: &Arc<Shared>) {
    let applied = store.decided().map_or(0, |position| position.sequence);
    status.set(Status { applied, persisted: store.persisted(), ..Status::default() });
    let connection = match connect(&settings.nats, &settings.name).await {
        Ok(connection) => connection,
        Err(reason) => return stop(reason, &store, status).await,
    };
    // These end with the runtime.
    let Connection { client, context, .. } = connection.clone();
    tokio::spawn(announcements::run(client.clone(), settings.clone(), status.clone()));
    tokio::spawn(monitoring::run(client, context, settings.clone(), status.clone()));
    loop {
        let outcome = tokio::select! {
            outcome = open(&connection, settings, &store, copy, status) => outcome,
            () = is_closed(&store) => return,
        };
        match outcome {
            Ok(opened) => opened.run(settings, store.clone(), status).await,
            Err(reason) => stop(reason, &store, status).await,
        }
        if store.is_closed() {
            return;
        }
        // It lacks messages that were removed from the stream.
        copy = store.decided().map_or(Copy::Empty, Copy::At);
    }
}

/// Reports that the replica has stopped, until it is closed.
async fn stop(reason: String, store: &ReplicaStore, status: &Shared) {
    tracing::error!("this replica has stopped: {reason}");
    status.set(status.get().without_stream(status::Role::Stopped, reason));
    is_closed(store).await;
}

async fn is_closed(store: &ReplicaStore) {
    while !store.is_closed() {
        sleep(TICK).await;
    }
}

/// What is needed to follow the stream.
struct Opened {
    connection: Connection,
    stream: Stream,
    lease: async_nats::jetstream::kv::Store,
    position: Position,
    last: u64,
}

/// Finds the stream, for as long as it takes.
///
/// # Errors
/// The replica must stop.
async fn open(
    connection: &Connection,
    settings: &Settings,
    store: &ReplicaStore,
    copy: Copy,
    status: &Shared,
) -> Result<Opened, String> {
    let name = &settings.stream;
    let known = match copy {
        Copy::Empty => None,
        Copy::At(position) => Some(position),
        Copy::Foreign => {
            return Err(format!(
                "its directory has groups that belong to no stream; move it away, and start again to follow {name}, or stop all \
                 replicas and put them into the stream by `taffrail gateway stream create --replace --from DIRECTORY`"
            ));
        }
        Copy::Damaged => {
            return Err("its directory is damaged; move it away, and start again to follow the stream anew".to_owned());
        }
    };
    let Connection { client, context, .. } = connection;
    let (mut trouble, mut refused) = (Episode::default(), None::<Instant>);
    loop {
        let (stream, description) = match connection::describe(context, name).await {
            Ok(found) => found,
            Err(reason) => {
                retry(connection.explain(reason), status, &mut trouble).await;
                continue;
            }
        };
        let Some(identity) = description.identity else {
            return Err(format!(
                "another program created the stream {name}; `taffrail gateway stream create` creates one"
            ));
        };
        let lease = match context.get_key_value(connection::bucket(name)).await {
            Ok(lease) => lease,
            Err(error) => {
                let reason = format!("the bucket {}: {error}{INCOMPLETE}", connection::bucket(name));
                retry(connection.explain(reason), status, &mut trouble).await;
                continue;
            }
        };
        connection::check_size(client)?;
        let mut position = known.unwrap_or(Position::start(identity));
        let (applied, persisted, last) = (position.sequence, store.persisted(), description.last);
        status.set(Status { applied, last, persisted, seen: Some(Instant::now()), ..Status::default() });
        if let Err(reason) = description.check(name, position) {
            if refused.get_or_insert_with(Instant::now).elapsed() >= CONFIRMED {
                return Err(reason);
            }
            retry(reason, status, &mut trouble).await;
            continue;
        }
        if description.lacks_next(position) {
            tracing::info!("this replica begins with the snapshot in the stream, before message {}", description.first);
            position = match loading::load(&stream, &description, identity, store).await {
                Ok(position) => position,
                Err(LoadError::Stop(reason)) => return Err(reason),
                Err(LoadError::Retry(reason)) => {
                    retry(reason, status, &mut trouble).await;
                    continue;
                }
            };
        }
        connection::warn(client);
        return Ok(Opened { connection: connection.clone(), stream, lease, position, last: description.last });
    }
}

async fn retry(reason: String, status: &Shared, trouble: &mut Episode<String>) {
    if trouble.fails(reason.clone()) {
        tracing::warn!("this replica waits for the stream: {reason}");
    }
    status.set(status.get().without_stream(status::Role::default(), reason));
    sleep(Duration::from_secs(1)).await;
}

impl Opened {
    async fn run(self, settings: &Settings, store: ReplicaStore, status: &Shared) {
        let life = format!("{:032x}", fastrand::u128(..));
        let me = Holder { name: settings.name.clone(), url: settings.url.clone(), life };
        let (view_sender, view) = watch::channel(View::default());
        let (wanted, is_wanted) = watch::channel(false);
        let lease = tokio::spawn(Lease::new(self.lease.clone(), LEASE_KEY, me, view_sender).run(is_wanted));
        let replica = Replica::new(&settings.name, store.clone(), self.position, Box::new(|| fastrand::u128(..)));
        let now = Instant::now();
        let mut driver = Running {
            settings,
            status,
            replica,
            store,
            view,
            wanted,
            reader: None,
            published: JoinSet::new(),
            described: JoinSet::new(),
            started: now,
            progress: now,
            progress_at: 0,
            described_at: now,
            trouble: Trouble::new(now),
            repaired_at: now,
            last: self.last,
            refused: None,
            snapshot_at: None,
            loads: false,
            subject: subject(&settings.stream),
            opened: self,
        };
        driver.run().await;
        driver.end(lease).await;
    }
}

struct Running<'s> {
    settings: &'s Settings,
    status: &'s Shared,
    opened: Opened,
    replica: Replica<ReplicaStore>,
    store: ReplicaStore,
    view: watch::Receiver<View>,
    /// Whether this replica wants the lease.
    wanted: watch::Sender<bool>,
    reader: Option<Reader>,
    published: JoinSet<(u128, Result<Outcome, String>)>,
    /// Descriptions of the stream, with the sequence that was applied when they were asked for.
    described: JoinSet<(u64, Result<Description, String>)>,
    started: Instant,
    /// When it last applied something, or had nothing to apply.
    progress: Instant,
    /// The sequence that was applied then.
    progress_at: u64,
    described_at: Instant,
    trouble: Trouble,
    /// When it last created the bucket of the lease again.
    repaired_at: Instant,
    /// The last sequence of the stream, as last reported.
    last: u64,
    /// Since when the description is of a stream that this replica must not follow.
    refused: Option<Instant>,
    /// When it last wrote a snapshot to the stream.
    snapshot_at: Option<Instant>,
    /// Whether it has to begin with the snapshot in the stream.
    loads: bool,
    subject: String,
}

impl Running<'_> {
    async fn run(&mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.carry_out().await;
        while !self.store.is_closed() && !self.loads {
            let started = self.started;
            let now = || started.elapsed();
            tokio::select! {
                biased;
                Some(Ok((id, outcome))) = self.published.join_next(), if !self.published.is_empty() => {
                    let outcome = self.trouble.counted(outcome);
                    self.replica.published(id, outcome, now());
                }
                Some((sequence, message)) = next(&mut self.reader) => {
                    self.replica.read(sequence, &message, self.started.elapsed());
                }
                Ok(()) = self.view.changed() => {
                    let until = self.view.borrow_and_update().valid_until;
                    self.replica.lease(until.map(|until| until.saturating_duration_since(self.started)), now());
                }
                () = self.store.changed() => self.replica.advance(now()),
                Some(Ok((applied, found))) = self.described.join_next(), if !self.described.is_empty() => {
                    self.check(applied, found);
                }
                _ = tick.tick() => {
                    self.replica.advance(now());
                    self.watch();
                }
            }
            self.carry_out().await;
            self.report();
        }
    }

    async fn carry_out(&mut self) {
        for action in self.replica.actions() {
            match action {
                Action::Follow(after) => {
                    self.progress = Instant::now();
                    self.reader = Some(Reader::new(self.opened.stream.clone(), after));
                }
                Action::Unfollow => self.reader = None,
                Action::Load => self.loads = true,
                Action::Purge(up_to) => {
                    let stream = self.opened.stream.clone();
                    tokio::spawn(async move {
                        if let Err(error) = stream.purge().sequence(up_to + 1).await {
                            tracing::warn!(
                                "messages that a snapshot replaces cannot be removed from the stream: {error}"
                            );
                        }
                    });
                }
                Action::Publish { id, expected, message, pause } => {
                    let sending = Sending {
                        context: self.opened.connection.context.clone(),
                        stream: self.opened.stream.clone(),
                        subject: self.subject.clone(),
                        id,
                        expected,
                        message: Bytes::from_owner(message),
                    };
                    let position = self.replica.position();
                    if *self.replica.role() == Role::Claiming && sending.follows_another(position).await {
                        let reason = format!("message {expected} of the stream is not the one that was applied");
                        return self.replica.stop(reason);
                    }
                    // In this order: the server refuses a message that overtakes another.
                    let sent = if pause.is_zero() { Some(sending.send().await) } else { None };
                    self.published.spawn(async move {
                        let sent = match sent {
                            Some(sent) => sent,
                            None => {
                                sleep(pause).await;
                                sending.send().await
                            }
                        };
                        (sending.id, sending.outcome(sent).await)
                    });
                }
            }
        }
    }

    /// Asks for the description of the stream from time to time, and replaces a reader that has stalled.
    fn watch(&mut self) {
        let applied = self.replica.position().sequence;
        if self.described.is_empty() && self.described_at.elapsed() >= DESCRIBED {
            self.described_at = Instant::now();
            let stream = self.opened.stream.clone();
            self.described.spawn(async move {
                let info = stream.get_info().await.map_err(|error| error.to_string());
                (applied, info.map(|info| Description::new(&info)))
            });
        }
        self.repair();
        if applied >= self.last || applied != self.progress_at {
            (self.progress, self.progress_at) = (Instant::now(), applied);
        } else if self.reader.is_some() && self.progress.elapsed() >= STALLED {
            self.progress = Instant::now();
            self.reader = Some(Reader::new(self.opened.stream.clone(), applied));
        }
    }

    /// Stops if the stream is not the one that was followed, or lacks what is applied.
    fn check(&mut self, applied: u64, found: Result<Description, String>) {
        let found = match found {
            Ok(found) => found,
            Err(reason) => return self.trouble.unseen(reason),
        };
        self.trouble.seen(Instant::now());
        self.last = found.last;
        let position = Position { sequence: applied, ..self.replica.position() };
        match found.check(&self.settings.stream, position) {
            Ok(()) => self.refused = None,
            Err(reason) if self.refused.get_or_insert_with(Instant::now).elapsed() >= CONFIRMED => {
                return self.replica.stop(reason);
            }
            Err(_) => return,
        }
        match self.replica.role() {
            // Unless it has read them meanwhile.
            Role::Following => self.loads |= found.lacks_next(self.replica.position()),
            Role::Writing if self.is_snapshot_due(&found) => {
                self.snapshot_at = Some(Instant::now());
                self.replica.snapshot(self.started.elapsed());
            }
            _ => {}
        }
    }

    /// Whether the stream is much longer than a snapshot.
    fn is_snapshot_due(&self, found: &Description) -> bool {
        let is_long = found.bytes > MIN_STREAM_BYTES + 4 * self.store.snapshot_bytes();
        is_long && self.snapshot_at.is_none_or(|at| at.elapsed() >= SNAPSHOT_PAUSE)
    }

    /// Creates the bucket of the lease again if the servers have lost it. No promise depends on what it held.
    fn repair(&mut self) {
        let lasts = |(since, _): &(Instant, String)| since.elapsed() >= status::UNSEEN;
        let is_lost = self.trouble.is_seen() && self.view.borrow().failure.as_ref().is_some_and(lasts);
        if is_lost && self.repaired_at.elapsed() >= status::UNSEEN {
            self.repaired_at = Instant::now();
            let (connection, name) = (self.opened.connection.clone(), connection::bucket(&self.settings.stream));
            tokio::spawn(async move { lease::bucket(&connection, &name).await.map(drop) });
        }
    }

    fn report(&mut self) {
        let before = self.status.get();
        let view = self.view.borrow().clone();
        let position = self.replica.position();
        let trouble = self.trouble.current(&view, |reason| self.opened.connection.explain(reason));
        let (role, reason) = match self.replica.role() {
            Role::Following | Role::Claiming => (status::Role::Follower, trouble),
            Role::Writing => (status::Role::Writer, trouble),
            Role::Stopped(reason) => (status::Role::Stopped, Some(reason.clone())),
        };
        if role != before.role || (before.identity.is_none() && role != status::Role::Stopped) {
            match (role, &reason) {
                (status::Role::Stopped, Some(reason)) => tracing::error!("this replica has stopped: {reason}"),
                _ => tracing::info!("this replica is a {role}, at message {}", position.sequence),
            }
        }
        self.last = self.last.max(position.sequence);
        let is_ready = role != status::Role::Stopped && position.sequence >= self.last;
        let wanted = is_ready || role == status::Role::Writer || (view.is_held() && role != status::Role::Stopped);
        self.wanted.send_if_modified(|before| std::mem::replace(before, wanted) != wanted);
        self.status.set(Status {
            role,
            exposes_until: view.valid_until.filter(|_| role == status::Role::Writer),
            reason,
            copy_failure: self.store.copy_failure(),
            writer: view.holder.as_ref().map(|holder| holder.name.clone()),
            writer_url: view.holder.map(|holder| holder.url),
            identity: Some(position.identity),
            seen: Some(self.trouble.seen_at()),
            applied: position.sequence,
            last: self.last,
            persisted: self.store.persisted(),
        });
    }

    /// Waits for the last messages, and releases the lease.
    async fn end(mut self, lease: JoinHandle<()>) {
        let deadline = Instant::now() + GRACE;
        while !self.store.is_idle() && Instant::now() < deadline {
            let done = timeout(TICK, self.published.join_next()).await;
            if let Ok(Some(Ok((id, outcome)))) = done {
                let outcome = self.trouble.counted(outcome);
                self.replica.published(id, outcome, self.started.elapsed());
            }
            self.carry_out().await;
        }
        self.replica.end(self.started.elapsed());
        let Running { wanted, opened, .. } = self;
        drop(wanted);
        let _ = timeout(GRACE, lease).await;
        let _ = timeout(TICK, opened.connection.client.flush()).await;
    }
}

/// The next message of a reader; waits for ever without one.
async fn next(reader: &mut Option<Reader>) -> Option<(u64, Bytes)> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

/// A message to be stored.
struct Sending {
    context: Context,
    stream: Stream,
    subject: String,
    id: u128,
    expected: u64,
    message: Bytes,
}

type Sent = Result<async_nats::jetstream::context::PublishAckFuture, PublishError>;

impl Sending {
    /// Whether the last message of the stream is another than this replica has applied: servers have lost messages.
    async fn follows_another(&self, position: Position) -> bool {
        let last = self.stream.get_raw_message(position.sequence).await;
        last.is_ok_and(|last| message::digest(&last.payload) != position.last)
    }

    async fn send(&self) -> Sent {
        let publish = PublishMessage::build()
            .payload(self.message.clone())
            .message_id(format!("{:032x}", self.id))
            .expected_last_sequence(self.expected);
        self.context.send_publish(self.subject.clone(), publish).await
    }

    /// Its outcome, or why that is unknown.
    async fn outcome(&self, sent: Sent) -> Result<Outcome, String> {
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(PublishAck { sequence, duplicate: false, .. }) => Ok(Outcome::Stored(sequence)),
            Ok(PublishAck { sequence, .. }) if self.is_at(sequence).await => Ok(Outcome::Stored(sequence)),
            Ok(PublishAck { sequence, .. }) => Err(format!("it is not the duplicate of message {sequence}")),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(Outcome::Refused),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the stream has the message. Servers have reported messages as duplicates of ones that they lost.
    async fn is_at(&self, sequence: u64) -> bool {
        let stored = self.stream.get_raw_message(sequence).await;
        stored.is_ok_and(|stored| stored.payload == self.message)
    }
}
