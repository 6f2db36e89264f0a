//! What all endpoints share: the groups, the settings, the counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::change::{Plan, Times};
use super::core::Core;
use super::forward::Forward;
use super::key::Key;
use super::own::Counts;
use super::points::Points;
use super::refusal::Refusal;
use super::settings::Settings;
use super::state::State;
use super::told::Refusals;

/// What the endpoints answer from.
pub struct Gateway {
    pub(super) core: Arc<Core>,
    /// What a reload changes is swapped in.
    pub settings: ArcSwap<Settings>,
    pub(super) started: SystemTime,
    /// Told when the process is asked to end.
    pub(super) quit: tokio::sync::Notify,
    pub(super) counts: Counts,
    pub(super) points: Points,
    /// The sinks that pushes go on to.
    pub forwards: ArcSwap<Vec<Forward>>,
    /// What was refused, for the log.
    pub(super) refusals: Refusals,
}

impl Gateway {
    /// A gateway with the groups of `core`.
    pub fn new(core: Arc<Core>, settings: Settings) -> Arc<Self> {
        Arc::new(Gateway {
            core,
            settings: ArcSwap::from_pointee(settings),
            started: SystemTime::now(),
            quit: tokio::sync::Notify::new(),
            counts: Counts::default(),
            points: Points::default(),
            forwards: ArcSwap::default(),
            refusals: Refusals::default(),
        })
    }

    /// Waits until a request asks for the end.
    pub async fn asked_to_quit(&self) {
        self.quit.notified().await;
    }

    /// Lets go of the disk once everything is written.
    pub fn close(&self) {
        self.core.close();
    }

    /// What is to be done every second: ends the groups whose time has come, and says how many.
    pub async fn expire(&self) -> usize {
        self.points.collect(Instant::now());
        self.refusals.tell_rest();
        if !self.core.look(State::is_any_expiring) {
            return 0;
        }
        let now = now();
        let is_over = |_: &Key, times: Times| times.expires.is_some_and(|expires| expires <= now);
        let plan = |state: &State| Ok::<_, Refusal>(Plan::Sweep(state.select(is_over).expired(now)));
        let ended = self.core.change(plan).await.ok().and_then(Result::ok).unwrap_or(0);
        self.counts.expired.fetch_add(ended as u64, Ordering::Relaxed);
        ended
    }
}

/// Seconds of Unix time.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A header's value; empty if it is not there, or not text.
pub(super) fn text_of<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(super) fn json_answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
