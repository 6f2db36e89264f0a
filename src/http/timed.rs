//! Bodies: of requests, with a timeout, and of responses, whose end is reported to the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::connections::{Connection, Streaming};

/// A body that fails with [`TooSlow`] after a timeout.
pub struct Timed {
    body: Body,
    deadline: Pin<Box<Sleep>>,
    connection: Arc<Connection>,
    request: u64,
}

/// A body was not complete in time.
#[derive(Debug, thiserror::Error)]
#[error("the request's body was not complete in time: [http] idle_timeout")]
pub struct TooSlow;

impl Timed {
    /// The body of `request` on `connection`, with a timeout. An empty body has none.
    pub(super) fn body<B>(timeout: Duration, body: B, connection: &Arc<Connection>, request: u64) -> Body
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if body.is_end_stream() {
            return Body::empty();
        }
        let deadline = Box::pin(sleep(timeout));
        Body::new(Timed { body: Body::new(body), deadline, connection: connection.clone(), request })
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.connection.body_is_read();
        }
        self.connection.body_is_received(self.request);
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
                self.connection.body_is_read();
                self.connection.body_is_received(self.request);
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

/// The body of a response. Reports to its connection when it is queued.
pub(super) struct ResponseBody {
    body: Body,
    connection: Arc<Connection>,
    /// For a response of unknown length.
    _streaming: Option<Streaming>,
}

impl ResponseBody {
    pub(super) fn new(body: Body, connection: &Arc<Connection>) -> Self {
        let has_known_length = body.size_hint().exact().is_some();
        ResponseBody {
            body,
            connection: connection.clone(),
            _streaming: (!has_known_length).then(|| connection.stream()),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.connection.response_is_queued();
    }
}

impl hyper::body::Body for ResponseBody {
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
