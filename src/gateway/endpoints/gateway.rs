//! The state that all endpoints share.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};

use super::refusal_log::RefusalLog;
use crate::gateway::forward::Forward;
use crate::gateway::forward::sequencer::Sequencer;
use crate::gateway::groups::change::Plan;
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::state::State;
use crate::gateway::groups::times::unix_now;
use crate::gateway::last_refusals::LastRefusals;
use crate::gateway::persistence::group_store::GroupStore;
use crate::gateway::points::Points;
use crate::gateway::replication::shared::Replication;
use crate::gateway::replication::status::Role;
use crate::gateway::request::body_memory::BodyMemory;
use crate::gateway::request::receive::{BodyLimits, ReceiveError, Received};
use crate::gateway::self_metrics::{Counters, count, count_by};
use crate::gateway::settings::Settings;

/// The state of the gateway.
pub struct Gateway {
    pub(super) store: Arc<GroupStore>,
    /// What it shares with other replicas; none if it is alone.
    pub(super) replication: Option<Replication>,
    /// The settings, which a reload replaces.
    pub settings: ArcSwap<Settings>,
    pub(super) started: SystemTime,
    /// Notified by a request to stop the process.
    pub(super) quit: tokio::sync::Notify,
    pub(super) counters: Counters,
    pub(super) points: Points,
    /// The memory of the bodies in flight.
    pub(super) bodies: BodyMemory,
    /// The sinks that receive pushes.
    pub forwards: ArcSwap<Vec<Forward>>,
    /// The order in which pushes reach them.
    pub(super) sequencer: Sequencer,
    /// The log of refused requests.
    pub(in crate::gateway) refusals: RefusalLog,
    /// Why the last pushes were refused.
    pub(super) last_refusals: LastRefusals,
}

impl Gateway {
    /// A gateway with the groups of `store`.
    pub fn new(store: Arc<GroupStore>, replication: Option<Replication>, settings: Settings) -> Arc<Self> {
        Arc::new(Gateway {
            store,
            replication,
            settings: ArcSwap::from_pointee(settings),
            started: SystemTime::now(),
            quit: tokio::sync::Notify::new(),
            counters: Counters::default(),
            points: Points::default(),
            bodies: BodyMemory::default(),
            forwards: ArcSwap::default(),
            sequencer: Sequencer::default(),
            refusals: RefusalLog::default(),
            last_refusals: LastRefusals::default(),
        })
    }

    /// Waits for a request to stop the process.
    pub async fn quit_requested(&self) {
        self.quit.notified().await;
    }

    /// Closes the store after its last write.
    pub fn close(&self) {
        self.store.close();
    }

    /// Runs every second: removes expired points and groups; returns the number of groups.
    pub async fn expire(&self) -> usize {
        self.points.clean_up(Instant::now());
        self.refusals.log_overdue();
        // The writer removes the groups of all replicas.
        let is_writer = self.replication.as_ref().is_none_or(|replica| replica.status.get().role == Role::Writer);
        if !is_writer || !self.store.read_pending(State::has_expiring) {
            return 0;
        }
        let now = unix_now();
        let plan = |state: &State| Ok::<_, Conflict>(Plan::Sweep(state.select_expired(now)));
        let expired = self.store.change(plan).await.ok().and_then(Result::ok).unwrap_or(0);
        count_by(&self.counters.expired, expired as u64);
        expired
    }

    /// Receives the whole body of a request, decompressed.
    ///
    /// # Errors
    /// The body is invalid, truncated, too slow or too long, or there is no memory for it.
    pub(super) async fn receive(&self, request: Request, settings: &Settings) -> Result<Received<'_>, ReceiveError> {
        let limits = BodyLimits::new(settings.max_body, settings.max_bodies);
        self.counted(self.bodies.receive(request, limits).await)
    }

    /// Receives the whole body of a request as it was sent.
    ///
    /// # Errors
    /// The body is truncated, too slow or too long, or there is no memory for it.
    pub(super) async fn receive_as_sent(&self, headers: &HeaderMap, body: Body) -> Result<Received<'_>, ReceiveError> {
        let settings = self.settings.load();
        let limits = BodyLimits::new(settings.max_body, settings.max_bodies);
        drop(settings);
        self.counted(self.bodies.receive_as_sent(headers, body, limits).await)
    }

    fn counted<'m>(&self, received: Result<Received<'m>, ReceiveError>) -> Result<Received<'m>, ReceiveError> {
        if matches!(received, Err(ReceiveError::Memory(_))) {
            count(&self.counters.memory_exhausted);
        }
        received
    }
}

/// The value of a header; empty if it is absent or not text.
pub(super) fn text_of<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
