//! Lines that wait to be written, and the thread that writes them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes may wait. Far more than is logged at a time: they run out when nobody reads what is written.
const MOST: usize = 512 << 10;
/// How often it is tried to tell how many lines were dropped, while nothing else is to be written.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// How long a pipe that takes nothing for now, and would not block, is left alone.
const WAIT: Duration = Duration::from_millis(50);

/// Lines that wait to be written. Whoever adds one waits for nothing; where there is no room, or it cannot be written, it
/// is dropped and counted.
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
    /// Lines that found no room since the last that did.
    dropped: u64,
    /// Whether the thread holds a line.
    is_writing: bool,
}

struct Entry {
    /// How many lines before this one found no room.
    dropped_before: u64,
    line: Vec<u8>,
}

impl Queue {
    /// Starts the thread that writes into `out`.
    pub(super) fn start(&'static self, out: impl Write + Send + 'static) -> io::Result<()> {
        let write = move || Writer { queue: self, out, untold: 0, is_torn: false }.run();
        thread::Builder::new().name("log".to_owned()).spawn(write).map(drop)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, with its end.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut waiting = self.waiting();
        if !waiting.lines.is_empty() && waiting.bytes + line.len() > MOST {
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

    /// How many lines were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Waits until nothing is to be written, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        drop(self.changed.wait_timeout_while(self.waiting(), patience, is_busy));
    }

    /// The next line, and how many found no room since the last; no line if they are all that there is, or if for a while
    /// there was none.
    fn next(&self, patience: Option<Duration>) -> (Option<Vec<u8>>, u64) {
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        self.changed.notify_all();
        let deadline = patience.map(|patience| Instant::now() + patience);
        while waiting.lines.is_empty() && waiting.dropped == 0 {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            waiting = match left {
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
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
    /// Lines that were dropped, and of which nothing was told yet.
    untold: u64,
    /// Whether a line was broken off.
    is_torn: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        loop {
            let (line, dropped_before) = self.queue.next((self.untold > 0).then_some(TELL_AGAIN));
            self.untold += dropped_before;
            if self.tell().is_ok() && line.as_ref().is_none_or(|line| self.write(line).is_ok()) {
                continue;
            }
            if line.is_some() {
                self.untold += 1;
                self.queue.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Tells how many lines were dropped, if any were.
    fn tell(&mut self) -> io::Result<()> {
        if self.untold > 0 {
            let (end, count) = (if self.is_torn { "\n" } else { "" }, self.untold);
            let lines = if count == 1 { "line" } else { "lines" };
            self.write(
                format!("{end} WARN {count} {lines} of the log could not be written, and were dropped\n").as_bytes(),
            )?;
            self.untold = 0;
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
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(WAIT),
                Err(error) => return self.failed(bytes.len() < whole, error),
            }
        }
        self.is_torn = false;
        Ok(())
    }

    fn failed(&mut self, is_begun: bool, error: io::Error) -> io::Result<()> {
        self.is_torn |= is_begun;
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Long enough for what must happen to happen.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// What can be written to as long as the test says so.
    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Written>>);

    #[derive(Default)]
    struct Written {
        text: String,
        /// How many bytes still fit; any number, if none.
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
            queue.flush(PATIENCE);
        };
        say("one");
        out.set_room(Some(2));
        say("two");
        say("three");
        assert_eq!((out.text().as_str(), queue.dropped()), ("one\ntw", 2));
        out.set_room(None);
        say("four");
        let told = "one\ntw\n WARN 2 lines of the log could not be written, and were dropped\nfour\n";
        assert_eq!((out.text().as_str(), queue.dropped()), (told, 2));
    }

    /// What takes a line only when the test lets it.
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
        let line = vec![b'x'; MOST / 4];
        queue.push(line.clone());
        // It is in the thread's hands, or about to be.
        while !queue.waiting().lines.is_empty() {
            thread::yield_now();
        }
        (0..7).for_each(|_| queue.push(line.clone()));
        assert_eq!(queue.dropped(), 3);
        queue.flush(Duration::from_millis(1));
        (0..3).for_each(|_| open.send(()).unwrap());
        (0..3).for_each(|_| assert_eq!(written.recv_timeout(PATIENCE).unwrap(), line));
        queue.push(b"last\n".to_vec());
        (0..4).for_each(|_| open.send(()).unwrap());
        (0..2).for_each(|_| assert_eq!(written.recv_timeout(PATIENCE).unwrap(), line));
        let told = String::from_utf8(written.recv_timeout(PATIENCE).unwrap()).unwrap();
        assert!(told.contains("3 lines of the log could not be written"), "{told}");
        assert_eq!(written.recv_timeout(PATIENCE).unwrap(), b"last\n");
    }
}
