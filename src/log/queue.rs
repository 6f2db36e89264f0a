//! The queue of log lines, and the thread that writes them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::Level;

use super::record::Record;

/// Maximum bytes in the queue. Far more than is logged at a time: it fills up only when the output is not read.
const MAX_BYTES: usize = 512 << 10;
/// Interval of attempts to report dropped lines while there is nothing else to write.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Delay before retrying a non-blocking pipe that is full.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The queue of log lines. Adding a line never blocks; a line that does not fit, or cannot be written, is dropped and
/// counted.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Entry>,
    bytes: usize,
    /// Lines dropped since the last one that fit.
    dropped: u64,
    /// Whether the thread is writing a line.
    is_writing: bool,
}

struct Entry {
    /// Lines dropped before this one.
    dropped_before: u64,
    line: Vec<u8>,
}

impl Queue {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(&'static self, out: impl Write + Send + 'static) -> io::Result<()> {
        let write = move || Writer { queue: self, out, unreported: 0, is_torn: false }.run();
        thread::Builder::new().name("log".to_owned()).spawn(write).map(drop)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, including its newline.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut waiting = self.waiting();
        if !waiting.lines.is_empty() && waiting.bytes + line.len() > MAX_BYTES {
            waiting.dropped += 1;
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.bytes += line.len();
        let dropped_before = std::mem::take(&mut waiting.dropped);
        waiting.lines.push_back(Entry { dropped_before, line });
        drop(waiting);
        self.changed.notify_all();
    }

    /// Number of lines dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Waits until the queue is empty, for at most `timeout`.
    pub(super) fn flush(&self, timeout: Duration) {
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        drop(self.changed.wait_timeout_while(self.waiting(), timeout, is_busy));
    }

    /// The next line, and the number of lines dropped before it. No line if only drops are left, or after `timeout`.
    fn next(&self, timeout: Option<Duration>) -> (Option<Vec<u8>>, u64) {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        self.changed.notify_all();
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        while waiting.lines.is_empty() && waiting.dropped == 0 {
            let remaining = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            waiting = match remaining {
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(remaining) => {
                    self.changed.wait_timeout(waiting, remaining).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        waiting.is_writing = true;
        match waiting.lines.pop_front() {
            Some(entry) => {
                waiting.bytes -= entry.line.len();
                (Some(entry.line), entry.dropped_before)
            }
            None => (None, std::mem::take(&mut waiting.dropped)),
        }
    }
}

struct Writer<W> {
    queue: &'static Queue,
    out: W,
    /// Dropped lines that are not reported yet.
    unreported: u64,
    /// Whether a line was written in part.
    is_torn: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        loop {
            let (line, dropped_before) = self.queue.next((self.unreported > 0).then_some(REPORT_INTERVAL));
            self.unreported += dropped_before;
            if self.report_dropped().is_ok() && line.as_ref().is_none_or(|line| self.write(line).is_ok()) {
                continue;
            }
            if line.is_some() {
                self.unreported += 1;
                self.queue.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Reports the number of dropped lines, if any.
    fn report_dropped(&mut self) -> io::Result<()> {
        if self.unreported > 0 {
            let (end, count) = (if self.is_torn { "\n" } else { "" }, self.unreported);
            let lines = if count == 1 { "line" } else { "lines" };
            let message = format!("{count} {lines} of the log could not be written, and were dropped");
            let line = super::bytes(Level::WARN, super::line(&Record::new(Level::WARN, message)));
            self.write(&[end.as_bytes(), &line].concat())?;
            self.unreported = 0;
        }
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return self.failed(bytes.len() < whole, ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
                Err(error) => return self.failed(bytes.len() < whole, error),
            }
        }
        self.is_torn = false;
        Ok(())
    }

    fn failed(&mut self, is_partial: bool, error: io::Error) -> io::Result<()> {
        self.is_torn |= is_partial;
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Generous timeout for what must happen.
    const TIMEOUT: Duration = Duration::from_secs(30);

    /// An output whose free space the test controls.
    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Written>>);

    #[derive(Default)]
    struct Written {
        text: String,
        /// Bytes that still fit; `None`: unlimited.
        room: Option<usize>,
    }

    impl Out {
        fn set_room(&self, room: Option<usize>) {
            self.0.lock().unwrap().room = room;
        }

        fn text(&self) -> String {
            self.0.lock().unwrap().text.clone()
        }
    }

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().unwrap();
            let count = written.room.unwrap_or(usize::MAX).min(bytes.len());
            if count == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            written.room = written.room.map(|room| room - count);
            written.text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue(out: impl Write + Send + 'static) -> &'static Queue {
        let queue: &'static Queue = Box::leak(Box::default());
        queue.start(out).unwrap();
        queue
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_later() {
        let out = Out::default();
        let queue = queue(out.clone());
        let say = |line: &str| {
            queue.push(format!("{line}\n").into_bytes());
            queue.flush(TIMEOUT);
        };
        say("one");
        out.set_room(Some(2));
        say("two");
        say("three");
        assert_eq!((out.text().as_str(), queue.dropped()), ("one\ntw", 2));
        out.set_room(None);
        say("four");
        let expected = "one\ntw\n WARN 2 lines of the log could not be written, and were dropped\nfour\n";
        assert_eq!((out.text().as_str(), queue.dropped()), (expected, 2));
    }

    /// An output that accepts a line only when the test lets it.
    struct Gate(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| ErrorKind::BrokenPipe)?;
            self.1.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_nobody_reads() {
        let (open, opened) = channel();
        let (wrote, written) = channel();
        let queue = queue(Gate(opened, wrote));
        let line = vec![b'x'; MAX_BYTES / 4];
        queue.push(line.clone());
        // The thread has it, or is about to take it.
        while !queue.waiting().lines.is_empty() {
            thread::yield_now();
        }
        (0..7).for_each(|_| queue.push(line.clone()));
        assert_eq!(queue.dropped(), 3);
        queue.flush(Duration::from_millis(1));
        (0..3).for_each(|_| open.send(()).unwrap());
        (0..3).for_each(|_| assert_eq!(written.recv_timeout(TIMEOUT).unwrap(), line));
        queue.push(b"last\n".to_vec());
        (0..4).for_each(|_| open.send(()).unwrap());
        (0..2).for_each(|_| assert_eq!(written.recv_timeout(TIMEOUT).unwrap(), line));
        let expected = String::from_utf8(written.recv_timeout(TIMEOUT).unwrap()).unwrap();
        assert!(expected.contains("3 lines of the log could not be written"), "{expected}");
        assert_eq!(written.recv_timeout(TIMEOUT).unwrap(), b"last\n");
    }
}
