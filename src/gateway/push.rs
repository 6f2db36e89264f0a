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

/// Why a push that could be read was not taken.
enum NotTaken {
    Inconsistent(Refusal),
    Limit(Refused),
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        NotTaken::Inconsistent(refusal)
    }
}

impl Gateway {
    /// Takes the push that is the body of `request`; answers once it is kept.
    pub(super) async fn push(&self, key: Key, request: Request) -> Result<Response, Refused> {
        let settings = self.settings.load_full();
        let (query, method) = (request.uri().query().unwrap_or_default(), request.method());
        let options = Options::new(&key, method, query, request.headers(), &settings.rules)?;
        let format = Format::from_content_type(text_of(request.headers(), &header::CONTENT_TYPE));
        let body = read_body(request, settings.max_body).await?;
        let pushed = parse::parse(format, &body, &settings.limits).inspect_err(|_| count(&self.counts.refused))?;
        self.take(&key, pushed, &options, &settings).await
    }

    async fn take(
        &self,
        key: &Key,
        pushed: Exposition<'_>,
        options: &Options,
        settings: &Arc<Settings>,
    ) -> Result<Response, Refused> {
        let (now, mut is_repeated, mut kept) = (now(), false, None);
        settings.kept.check_size(key, &pushed).inspect_err(|_| count(&self.counts.refused))?;
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
            settings.kept.check(state, &change, points).map_err(NotTaken::Limit)?;
            kept = Some(pushed);
            Ok(Plan::Change(change))
        };
        match self.core.change(plan).await.inspect_err(|_| count(&self.counts.unkept))? {
            Ok(_) if is_repeated => {
                count(&self.counts.repeated);
                Ok([("x-taffrail-repeated", HeaderValue::from_static("true"))].into_response())
            }
            Ok(_) => {
                count(&self.counts.taken);
                if let Some(pushed) = kept.filter(|_| settings.forward) {
                    forward(&self.forwards.load(), key, &pushed, Timestamp((now * 1e9) as i64));
                }
                Ok(StatusCode::OK.into_response())
            }
            Err(NotTaken::Limit(refused)) => {
                count(&self.counts.refused);
                Err(refused)
            }
            Err(NotTaken::Inconsistent(refusal)) => {
                count(&self.counts.refused);
                self.note_failure(key, now, settings).await;
                let message = format!("pushed metrics are invalid or inconsistent with existing metrics: {refusal}");
                Err(Refused::bad(message))
            }
        }
    }

    /// Marks the group; one that was never pushed to is made for it, within the limits.
    async fn note_failure(&self, key: &Key, now: f64, settings: &Settings) {
        let points = self.points.bytes();
        let plan = |state: &State| -> Result<Plan, Refused> {
            let change = state.plan_failure(key, now);
            settings.kept.check(state, &change, points)?;
            Ok(Plan::Change(change))
        };
        // The push is refused anyway.
        drop(self.core.change(plan).await);
    }
}

/// The whole body, unpacked; one that was cut off is none.
///
/// # Errors
/// What is wrong with it, or that it is longer than `limit`.
pub(super) async fn read_body(request: Request, limit: usize) -> Result<Vec<u8>, Refused> {
    let encoding = text_of(request.headers(), &header::CONTENT_ENCODING).to_owned();
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(BodyError::TooLong(limit).into());
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(collected) => Ok(unpack(collected.to_bytes().into(), &encoding, limit)?),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLong(limit).into()),
        Err(error) if is_too_slow(&*error) => Err(Refused(StatusCode::REQUEST_TIMEOUT, TooSlow.to_string())),
        Err(_) => Err(Refused::bad("the body was cut off")),
    }
}

fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<TooSlow>() || error.source().is_some_and(is_too_slow)
}
