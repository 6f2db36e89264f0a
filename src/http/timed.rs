//! Bodies of requests, that must have come by a certain time, and of answers, whose end is told.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::connections::{Seat, Streaming};

/// A body that fails with [`TooSlow`] if it is not complete in time.
pub struct Timed {
    body: Body,
    deadline: Pin<Box<Sleep>>,
    /// Who waits for it.
    seat: Arc<Seat>,
    asked: u64,
}

/// A body did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the request's body was not complete in time: [http] idle_timeout")]
pub struct TooSlow;

impl Timed {
    /// The body of the request that `seat` has been waiting for since `asked`, if it is there within `time`; one that has
    /// no bytes is left as it is.
    pub(super) fn within<B>(time: Duration, body: B, seat: &Arc<Seat>, asked: u64) -> Body
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if body.is_end_stream() {
            return Body::empty();
        }
        let deadline = Box::pin(sleep(time));
        Body::new(Timed { body: Body::new(body), deadline, seat: seat.clone(), asked })
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.seat.serve(self.asked);
    }
}

impl hyper::body::Body for Timed {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut frame = std::pin::pin!(self.body.frame());
        match frame.as_mut().poll(cx) {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(frame.map_err(Into::into))),
            Poll::Ready(None) => {
                self.seat.serve(self.asked);
                Poll::Ready(None)
            }
            Poll::Pending => self.deadline.as_mut().poll(cx).map(|()| Some(Err(TooSlow.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer: tells its seat when it has been handed over to be sent.
pub(super) struct Answered {
    body: Body,
    seat: Arc<Seat>,
    /// If nobody knows yet how long it will be.
    _streaming: Option<Streaming>,
}

impl Answered {
    pub(super) fn new(body: Body, seat: &Arc<Seat>) -> Self {
        let is_whole = body.size_hint().exact().is_some();
        Answered { body, seat: seat.clone(), _streaming: (!is_whole).then(|| seat.stream()) }
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.seat.answered();
    }
}

impl hyper::body::Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
