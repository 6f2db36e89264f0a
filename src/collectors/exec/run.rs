//! One run of a program: its output within bounds, and its end.

use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{sleep, sleep_until};

use crate::subprocess::{Program, Subprocess};

/// The bounds of a run.
#[derive(Clone, Copy, Debug)]
pub(in crate::collectors) struct Bounds {
    /// How long it may take.
    pub(in crate::collectors) timeout: Duration,
    /// Bytes that it may write to standard output.
    pub(in crate::collectors) max_output: usize,
}

/// A run that has ended.
#[derive(Debug)]
pub(in crate::collectors) struct Run {
    /// What it wrote to standard output.
    pub(in crate::collectors) output: Vec<u8>,
    /// What it wrote to standard error, see [`Messages`].
    pub(in crate::collectors) messages: Messages,
    /// How long it took.
    pub(in crate::collectors) duration: Duration,
    /// How it ended.
    pub(in crate::collectors) end: End,
}

/// How a run ended.
#[derive(Debug)]
pub(in crate::collectors) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It took longer than this, and was ended.
    TimedOut(Duration),
    /// It wrote more than this number of bytes, and was ended.
    TooMuch(usize),
    /// It was not started.
    NotStarted(io::Error),
}

impl End {
    /// Why there is no exit status.
    pub(in crate::collectors) fn failure(&self) -> Option<String> {
        Some(match self {
            End::Exited(_) => return None,
            End::TimedOut(after) => {
                format!("not ended within timeout = {}, and killed", humantime::format_duration(*after))
            }
            End::TooMuch(max) => format!("wrote more than max_output = {max} bytes, and was killed"),
            End::NotStarted(error) => format!("not started: {error}"),
        })
    }
}

/// What a program wrote to standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::collectors) struct Messages {
    /// The beginning, at most [`Messages::MAX`] bytes.
    text: Vec<u8>,
}

impl Messages {
    /// More is not retained.
    const MAX: usize = 4096;
    /// Bytes of the first line in an error, as in Telegraf.
    const MAX_LINE: usize = 512;

    fn push(&mut self, bytes: &[u8]) {
        let room = Self::MAX - self.text.len();
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The text.
    pub(in crate::collectors) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// The first line that is not empty, for an error.
    pub(in crate::collectors) fn first_line(&self) -> Option<String> {
        let text = self.text();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        let end = line.char_indices().map(|(at, _)| at).find(|at| *at >= Self::MAX_LINE).unwrap_or(line.len());
        Some(line[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

/// The time in which the output must end after the program.
const AFTER_END: Duration = Duration::from_secs(1);

/// Runs a program. It ends in time, or is ended with all processes of its group. A process that it leaves in the group
/// with the output open is ended, too.
pub(in crate::collectors) async fn run(program: Program, bounds: Bounds) -> Run {
    let start = Instant::now();
    let (mut output, mut messages) = (Vec::new(), Messages::default());
    let end = match Subprocess::start(program).await {
        Ok(process) => ended(process, bounds, &mut output, &mut messages).await,
        Err(error) => End::NotStarted(error),
    };
    Run { output, messages, duration: start.elapsed(), end }
}

async fn ended(mut process: Subprocess, bounds: Bounds, output: &mut Vec<u8>, messages: &mut Messages) -> End {
    let deadline = tokio::time::Instant::now() + bounds.timeout;
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let why = {
        let max = bounds.max_output;
        let reading = async {
            let read = read_up_to(stdout, max, |bytes| output.extend_from_slice(bytes));
            tokio::try_join!(read, read_up_to(stderr, usize::MAX, |bytes| messages.push(bytes)))
        };
        let ending = async {
            let ended = process.ended().await;
            sleep(AFTER_END).await;
            ended
        };
        tokio::pin!(reading, ending);
        tokio::select! {
            read = &mut reading => read.err().map(|TooMuch| End::TooMuch(max)),
            // The output is complete as far as the program itself wrote it.
            _ = &mut ending => Some(End::Exited(ExitStatus::default())),
            () = sleep_until(deadline) => Some(End::TimedOut(bounds.timeout)),
        }
    };
    let status = match &why {
        // The output has ended; the program should, too.
        None => tokio::select! {
            ended = process.ended() => ended.and_then(|()| process.reap()),
            () = sleep_until(deadline) => {
                let _ = process.end().await;
                return End::TimedOut(bounds.timeout);
            }
        },
        Some(_) => process.end().await,
    };
    match (why, status) {
        (Some(why @ (End::TimedOut(_) | End::TooMuch(_))), _) => why,
        (_, Ok(status)) => End::Exited(status),
        (_, Err(error)) => End::NotStarted(error),
    }
}

/// More was written than may be.
#[derive(Debug)]
struct TooMuch;

/// Passes all bytes of a pipe to `take`, at most `max`.
async fn read_up_to(
    pipe: Option<impl AsyncRead + Unpin>,
    max: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<(), TooMuch> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 16 << 10];
    let mut left = max;
    loop {
        // A pipe that cannot be read has ended.
        let count = pipe.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return Ok(());
        }
        take(&buffer[..count.min(left)]);
        left = left.checked_sub(count).ok_or(TooMuch)?;
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(60), max_output: 1000 };

    fn run(script: &str, bounds: Bounds) -> Run {
        let words = ["/bin/sh", "-c", script].map(OsString::from).to_vec();
        let program = Program { words, ..Program::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(super::run(program, bounds))
    }

    #[test]
    fn output_messages_and_status_are_read() {
        let run = run("echo out; echo >&2; echo one >&2; echo two >&2; exit 3", BOUNDS);
        assert!(matches!(&run.end, End::Exited(status) if status.code() == Some(3)), "{:?}", run.end);
        assert_eq!((run.output.as_slice(), run.messages.first_line().as_deref()), (b"out\n".as_slice(), Some("one")));
    }

    #[test]
    fn a_run_that_hangs_is_ended_with_its_children() {
        let bounds = Bounds { timeout: Duration::from_millis(300), ..BOUNDS };
        let run = run("sleep 1000 & echo $!; sleep 1000", bounds);
        assert!(matches!(run.end, End::TimedOut(_)), "{:?}", run.end);
        let child = String::from_utf8(run.output).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn output_without_end_is_cut_and_ended() {
        let run = run("yes", BOUNDS);
        assert!(matches!(run.end, End::TooMuch(1000)), "{:?}", run.end);
        assert_eq!(run.output.len(), 1000);
    }

    #[test]
    fn a_child_that_keeps_the_output_open_does_not_delay_the_result() {
        let run = run("echo 1; sleep 1000 &", BOUNDS);
        assert!(matches!(&run.end, End::Exited(status) if status.success()), "{:?}", run.end);
        assert_eq!(run.output, b"1\n");
    }

    #[test]
    fn a_program_that_closes_its_output_and_goes_on_is_waited_for() {
        let run = run("exec >&- 2>&-; sleep 0.2; exit 4", BOUNDS);
        assert!(matches!(&run.end, End::Exited(status) if status.code() == Some(4)), "{:?}", run.end);
        let bounds = Bounds { timeout: Duration::from_millis(200), ..BOUNDS };
        assert!(matches!(super::tests::run("exec >&- 2>&-; sleep 1000", bounds).end, End::TimedOut(_)));
    }
}
