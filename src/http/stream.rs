//! The bytes of a connection: timeouts between requests, and the end.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connections::Connection;

/// Timeouts between requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For the whole head of a request, from its first byte; for the first request, from the start of the connection.
    pub(super) head: Duration,
    /// For the first byte of the next request.
    pub(super) idle: Duration,
}

/// A stream that fails when a head times out, and reports flushes to its connection.
pub(super) struct Stream<S> {
    bytes: S,
    connection: Arc<Connection>,
    timeouts: Timeouts,
    deadline: Pin<Box<Sleep>>,
    head: Head,
    end: End,
}

/// How the connection ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// After a complete request, or not yet.
    Open,
    /// After a response to a request that was not read to its end.
    Early,
    /// Output is closed; input is discarded until the deadline.
    Lingering,
}

/// How long a connection lingers for the client to close it.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// The head of the next request.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    Nothing,
    /// Received in part, or completely.
    Some,
    /// Received in part; the deadline is set.
    Awaited,
}

impl<S> Stream<S> {
    /// A stream whose first head must be complete `by` then.
    pub(super) fn new(bytes: S, connection: Arc<Connection>, timeouts: Timeouts, by: Instant) -> Self {
        Stream { bytes, connection, timeouts, deadline: Box::pin(sleep_until(by)), head: Head::Awaited, end: End::Open }
    }

    /// To be called before a write.
    fn before_write(&mut self) {
        // An invalid head is answered while the connection counts as idle.
        let is_early = self.connection.is_idle() || self.connection.is_body_unread();
        self.end = if is_early { End::Early } else { End::Open };
    }

    /// Fails once the next head has timed out; wakes the task then.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.head == Head::Some {
            let by = Instant::now() + self.timeouts.head;
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
        let read = Pin::new(&mut stream.bytes).poll_read(cx, buffer);
        if read.is_pending() {
            stream.connection.read_blocked();
        }
        match read {
            Poll::Pending if stream.connection.is_idle() => stream.wait(cx),
            Poll::Ready(Ok(())) if stream.head == Head::Nothing && stream.connection.is_idle() => {
                stream.head = Head::Some;
                Poll::Ready(Ok(()))
            }
            read => read,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        stream.before_write();
        Pin::new(&mut stream.bytes).poll_write(cx, bytes)
    }

    /// Called when all output is written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(Pin::new(&mut stream.bytes).poll_flush(cx))?;
        if stream.connection.flush_completed() {
            stream.deadline.as_mut().reset(Instant::now() + stream.timeouts.idle);
            stream.head = Head::Nothing;
        }
        Poll::Ready(Ok(()))
    }

    /// Called at the end of the output. Unread input would make the kernel send a reset, which can discard the response
    /// at the client: it is read and discarded.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.end != End::Lingering {
            ready!(Pin::new(&mut stream.bytes).poll_shutdown(cx))?;
            if stream.end == End::Open {
                return Poll::Ready(Ok(()));
            }
            stream.end = End::Lingering;
            stream.deadline.as_mut().reset(Instant::now() + LINGER);
        }
        match poll_discard(&mut stream.bytes, cx) {
            Poll::Pending => stream.deadline.as_mut().poll(cx).map(Ok),
            Poll::Ready(()) => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, all: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        stream.before_write();
        Pin::new(&mut stream.bytes).poll_write_vectored(cx, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.bytes.is_write_vectored()
    }
}

/// Discards input up to its end.
pub(super) fn poll_discard<S: AsyncRead + Unpin>(bytes: &mut S, cx: &mut Context<'_>) -> Poll<()> {
    /// Reads before other tasks run.
    const READS: usize = 16;
    for _ in 0..READS {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut buffer = ReadBuf::uninit(&mut space);
        let read = ready!(Pin::new(&mut *bytes).poll_read(cx, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(());
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
