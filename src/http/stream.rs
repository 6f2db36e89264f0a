//! A connection's bytes, and how long it may be idle.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connections::Seat;

/// How long a connection that asks nothing is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// For the whole head of a request, from its first byte on; for the first one, from the beginning of the connection.
    pub(super) head: Duration,
    /// For the next request.
    pub(super) idle: Duration,
}

/// A stream that fails when a head does not come in time, and tells its seat when what was to be sent is sent.
pub(super) struct Stream<S> {
    bytes: S,
    seat: Arc<Seat>,
    waits: Waits,
    deadline: Pin<Box<Sleep>>,
    head: Head,
}

/// What there is of the next request's head.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    Nothing,
    /// Some bytes, or all.
    Some,
    /// Some bytes, but not all: the deadline is that of the rest.
    Awaited,
}

impl<S> Stream<S> {
    /// The stream `bytes`, whose first head is to be there `by` then.
    pub(super) fn new(bytes: S, seat: Arc<Seat>, waits: Waits, by: Instant) -> Self {
        Stream { bytes, seat, waits, deadline: Box::pin(sleep_until(by)), head: Head::Awaited }
    }

    /// Fails when the time for the next head is over; until then, wakes whoever asks when it is.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.head == Head::Some {
            let by = Instant::now() + self.waits.head;
            if by < self.deadline.deadline() {
                self.deadline.as_mut().reset(by);
            }
            self.head = Head::Awaited;
        }
        self.deadline.as_mut().poll(cx).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        match Pin::new(&mut stream.bytes).poll_read(cx, buffer) {
            Poll::Pending if stream.seat.is_idle() => stream.wait(cx),
            Poll::Ready(Ok(())) if stream.head == Head::Nothing && stream.seat.is_idle() => {
                stream.head = Head::Some;
                Poll::Ready(Ok(()))
            }
            read => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().bytes).poll_write(cx, bytes)
    }

    /// Called when all was written that there was to write.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(Pin::new(&mut stream.bytes).poll_flush(cx))?;
        if stream.seat.sent() {
            stream.deadline.as_mut().reset(Instant::now() + stream.waits.idle);
            stream.head = Head::Nothing;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().bytes).poll_shutdown(cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, all: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().bytes).poll_write_vectored(cx, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.bytes.is_write_vectored()
    }
}
