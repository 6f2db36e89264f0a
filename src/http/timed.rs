//! Bodies that must have come by a certain time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A body that fails with [`TooSlow`] if it is not complete in time.
pub struct Timed {
    body: Body,
    deadline: Pin<Box<Sleep>>,
}

/// A body did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the request's body was not complete in time: [http] idle_timeout")]
pub struct TooSlow;

impl Timed {
    /// `body`, if it is there within `time`; one that has no bytes is left as it is.
    pub fn within<B>(time: Duration, body: B) -> Body
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(Timed { body: Body::new(body), deadline: Box::pin(sleep(time)) })
    }
}

impl hyper::body::Body for Timed {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut frame = std::pin::pin!(self.body.frame());
        match frame.as_mut().poll(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
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
