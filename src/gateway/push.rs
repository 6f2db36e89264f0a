//! One push, from the request to the disk.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::answer::Refused;
use super::base::{Gateway, now, text_of};
use super::body::{BodyError, unpack};
use super::change::{Plan, Times};
use super::core::Unkept;
use super::forward::forward;
use super::key::Key;
use super::merge::Mode;
use super::options::Options;
use super::own::count;
use super::refusal::Refusal;
use super::settings::Settings;
use super::state::State;
use crate::encode::parse::model::Exposition;
use crate::encode::parse::{self, Format};
use crate::host::Timestamp;
use crate::http::timed::TooSlow;

/// Why a push was not taken.
enum NotTaken {
    /// Its body did not come whole: nobody knows what it would have been.
    Unread(Unread),
    /// It is not what it should be, or there is no room for it.
    Refused(Refused),
    /// It would have been, but cannot be kept.
    Unkept(Unkept),
}

impl From<Refused> for NotTaken {
    fn from(refused: Refused) -> Self {
        NotTaken::Refused(refused)
    }
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        let message = format!("pushed metrics are invalid or inconsistent with existing metrics: {refusal}");
        NotTaken::Refused(Refused::bad(message))
    }
}

impl Gateway {
    /// Takes the push that is the body of `request`; answers once it is kept. One that is refused marks its group, whatever
    /// was wrong with it.
    pub(super) async fn push(&self, key: Key, request: Request) -> Result<Response, Refused> {
        let settings = self.settings.load_full();
        let (refused, is_whole) = match self.try_push(&key, request, &settings).await {
            Ok(response) => return Ok(response),
            Err(NotTaken::Unkept(unkept)) => {
                count(&self.counts.unkept);
                return Err(unkept.into());
            }
            Err(NotTaken::Refused(refused)) => (refused, true),
            Err(NotTaken::Unread(unread)) => (Refused::from(unread), false),
        };
        count(&self.counts.refused);
        self.note_failure(&key, is_whole, &settings).await;
        Err(refused)
    }

    async fn try_push(&self, key: &Key, request: Request, settings: &Arc<Settings>) -> Result<Response, NotTaken> {
        let (query, method) = (request.uri().query().unwrap_or_default(), request.method());
        let options = Options::new(key, method, query, request.headers(), &settings.rules)?;
        let format = Format::from_content_type(text_of(request.headers(), &header::CONTENT_TYPE));
        let body = match read_body(request, settings.max_body).await {
            Ok(body) => body,
            Err(Unread::Body(error)) => return Err(Refused::from(error).into()),
            Err(unread) => return Err(NotTaken::Unread(unread)),
        };
        let pushed = parse::parse(format, &body, &settings.limits).map_err(Refused::from)?;
        self.take(key, pushed, &options, settings).await
    }

    async fn take(
        &self,
        key: &Key,
        pushed: Exposition<'_>,
        options: &Options,
        settings: &Arc<Settings>,
    ) -> Result<Response, NotTaken> {
        let (now, mut is_repeated, mut kept) = (now(), false, None);
        settings.kept.check_size(key, &pushed)?;
        let points = self.points.bytes();
        let plan = |state: &State| -> Result<Plan, NotTaken> {
            is_repeated = options.repeats.is_some_and(|push| state.has_seen(key, push));
            if is_repeated {
                return Ok(Plan::Nothing);
            }
            let failed = state.times(key).unwrap_or_default().failed;
            let times = Times { pushed: now, failed, expires: options.ttl.map(|ttl| now + ttl) };
            let pushed = match options.mode {
                Mode::Families => pushed,
                mode => state.merged(key, pushed, mode)?,
            };
            let mut change = state.plan(key, &pushed, options.replace, times)?;
            change.seen = options.repeats;
            settings.kept.check(state, &change, points)?;
            kept = Some(pushed);
            Ok(Plan::Change(change))
        };
        self.core.change(plan).await.map_err(NotTaken::Unkept)??;
        if is_repeated {
            count(&self.counts.repeated);
            return Ok([("x-taffrail-repeated", HeaderValue::from_static("true"))].into_response());
        }
        count(&self.counts.taken);
        if let Some(pushed) = kept.filter(|_| settings.forward) {
            forward(&self.forwards.load(), key, &pushed, Timestamp((now * 1e9) as i64));
        }
        Ok(StatusCode::OK.into_response())
    }

    /// Marks the group. One that was never pushed to is made for it, within the limits, if the push was `whole`.
    async fn note_failure(&self, key: &Key, whole: bool, settings: &Settings) {
        let (now, points) = (now(), self.points.bytes());
        let plan = |state: &State| -> Result<Plan, Refused> {
            if !whole && state.times(key).is_none() {
                return Ok(Plan::Nothing);
            }
            let change = state.plan_failure(key, now);
            settings.kept.check(state, &change, points)?;
            Ok(Plan::Change(change))
        };
        // The push is refused anyway.
        drop(self.core.change(plan).await);
    }
}

/// Why a body cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// It is not what it says, or too long.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Whoever sent it went away.
    #[error("the body was cut off")]
    CutOff,
    /// It comes too slowly.
    #[error(transparent)]
    TooSlow(#[from] TooSlow),
}

impl From<Unread> for Refused {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Body(error) => error.into(),
            Unread::CutOff => Refused::bad(unread.to_string()),
            Unread::TooSlow(_) => Refused(StatusCode::REQUEST_TIMEOUT, unread.to_string()),
        }
    }
}

/// The whole body, unpacked; one that was cut off is none.
///
/// # Errors
/// What is wrong with it, or that it is longer than `limit`.
pub(super) async fn read_body(request: Request, limit: usize) -> Result<Vec<u8>, Unread> {
    let encoding = text_of(request.headers(), &header::CONTENT_ENCODING).to_owned();
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(BodyError::TooLong(limit).into());
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(collected) => Ok(unpack(collected.to_bytes().into(), &encoding, limit)?),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLong(limit).into()),
        Err(error) if is_too_slow(&*error) => Err(Unread::TooSlow(TooSlow)),
        Err(_) => Err(Unread::CutOff),
    }
}

fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<TooSlow>() || error.source().is_some_and(is_too_slow)
}
