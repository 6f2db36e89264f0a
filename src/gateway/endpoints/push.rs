//! The push endpoint: one push, from the request to the disk and the sinks.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::sleep;

use super::gateway::{Gateway, text_of};
use crate::encode::Timestamp;
use crate::encode::parse::model::Exposition;
use crate::encode::parse::{self, Format};
use crate::gateway::forward::{PERSIST_TIMEOUT, forward};
use crate::gateway::groups::change::Plan;
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::limits::LimitError;
use crate::gateway::groups::merge::Mode;
use crate::gateway::groups::state::State;
use crate::gateway::groups::times::{Times, push_time, unix_now};
use crate::gateway::key::Key;
use crate::gateway::persistence::group_store::PersistError;
use crate::gateway::request::push_options::PushOptions;
use crate::gateway::request::receive::ReceiveError;
use crate::gateway::request::refusal::{Reason, Refusal};
use crate::gateway::self_metrics::count;
use crate::gateway::settings::Settings;

/// Why a push failed.
enum PushError {
    /// Its body is incomplete, so its content is unknown.
    Receive(ReceiveError),
    /// It is invalid, in conflict with other groups, or over a limit.
    Refused(Refusal),
    /// It is valid, but was not persisted.
    Persist(PersistError),
}

impl From<Refusal> for PushError {
    fn from(refusal: Refusal) -> Self {
        PushError::Refused(refusal)
    }
}

impl From<LimitError> for PushError {
    fn from(error: LimitError) -> Self {
        PushError::Refused(error.into())
    }
}

impl From<Conflict> for PushError {
    fn from(conflict: Conflict) -> Self {
        let message = format!("pushed metrics are invalid or inconsistent with existing metrics: {conflict}");
        PushError::Refused(Refusal(Reason::Conflict, message))
    }
}

impl Gateway {
    /// Accepts the push in the body of `request`; answers once it is persisted. A refused push sets its group's failure time.
    pub(super) async fn push(&self, key: Key, request: Request) -> Result<Response, Refusal> {
        let settings = self.settings.load_full();
        let (refusal, is_whole) = match self.try_push(&key, request, &settings).await {
            Ok(response) => return Ok(response),
            Err(PushError::Persist(error)) => {
                count(&self.counters.not_persisted);
                return Err(error.into());
            }
            Err(PushError::Refused(refusal)) => (refusal, true),
            Err(PushError::Receive(error)) => (Refusal::from(error), false),
        };
        // Not refused for its content: a lack of memory has its own counter.
        if refusal.0 != Reason::Memory {
            count(&self.counters.refused);
        }
        self.record_failure(&key, is_whole, &refusal.1, &settings).await;
        Err(refusal)
    }

    async fn try_push(&self, key: &Key, request: Request, settings: &Arc<Settings>) -> Result<Response, PushError> {
        let (query, method) = (request.uri().query().unwrap_or_default(), request.method());
        let options = PushOptions::new(key, method, query, request.headers(), &settings.rules)?;
        let format = Format::from_content_type(text_of(request.headers(), &header::CONTENT_TYPE));
        let body = match self.receive(request, settings).await {
            Ok(body) => body,
            Err(ReceiveError::Body(error)) => return Err(Refusal::from(error).into()),
            Err(error) => return Err(PushError::Receive(error)),
        };
        let pushed = parse::parse(format, &body, &settings.push_limits).map_err(Refusal::from)?;
        self.accept(key, pushed, &options, settings).await
    }

    async fn accept(
        &self,
        key: &Key,
        pushed: Exposition<'_>,
        options: &PushOptions,
        settings: &Arc<Settings>,
    ) -> Result<Response, PushError> {
        let (mut time, mut is_repeated, mut to_forward) = (0.0, false, None);
        settings.group_limits.check_size(key, &pushed)?;
        let point_bytes = self.points.bytes();
        let plan = |state: &State| -> Result<Plan, PushError> {
            is_repeated = options.idempotency.is_some_and(|push| state.has_seen(key, push));
            if is_repeated {
                return Ok(Plan::Nothing);
            }
            let before = state.times(key).unwrap_or_default();
            let now = unix_now();
            time = push_time(before.pushed, now);
            let times = Times { pushed: time, failed: before.failed, expires: options.ttl.map(|ttl| now + ttl) };
            let pushed = match options.mode {
                Mode::Families => pushed,
                mode => state.merged(key, pushed, mode)?,
            };
            let mut change = state.plan(key, &pushed, options.replace, times)?;
            change.seen = options.idempotency;
            settings.group_limits.check(state, &change, point_bytes)?;
            to_forward = Some((pushed, self.sequencer.ticket()));
            Ok(Plan::Change(change))
        };
        self.store.change(plan).await.map_err(PushError::Persist)??;
        if is_repeated {
            count(&self.counters.repeated);
            return Ok([("x-taffrail-repeated", HeaderValue::from_static("true"))].into_response());
        }
        count(&self.counters.accepted);
        if let Some((pushed, ticket)) = to_forward.filter(|_| settings.forward) {
            ticket.admitted().await;
            let queued = forward(&self.forwards.load(), key, &pushed, Timestamp((time * 1e9) as i64));
            drop(ticket);
            queued.persisted(sleep(PERSIST_TIMEOUT)).await;
        }
        Ok(StatusCode::OK.into_response())
    }

    /// Sets the failure time of a group, and retains the reason. A new group is created for it, within the limits, if the
    /// push was whole.
    async fn record_failure(&self, key: &Key, is_whole: bool, reason: &str, settings: &Settings) {
        let (now, point_bytes) = (unix_now(), self.points.bytes());
        let plan = |state: &State| -> Result<Plan, LimitError> {
            if !is_whole && state.times(key).is_none() {
                return Ok(Plan::Nothing);
            }
            let change = state.plan_failure(key, now);
            settings.group_limits.check(state, &change, point_bytes)?;
            self.last_refusals.record(key, now, reason);
            Ok(Plan::Change(change))
        };
        // The push is refused in any case.
        drop(self.store.change(plan).await);
    }
}
