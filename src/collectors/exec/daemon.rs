//! `[[collectors.execd]]`: programs that run all the time, and write lines.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::sleep;

use super::format::{self, Format};
use super::job::{INTERVAL, Job, Kind, NAME, ValueOf, all_of, write_families};
use super::process::{
    COMMAND, MAX_LINE, PROCESS_KEYS, Process, StderrLog, depends_on_programs, follow_messages, status_of,
};
use super::results::{Outcome, Results, Shown, errors_of};
use super::series::Series;
use super::words::Words;
use super::{file_name, hash, sandbox};
use crate::collectors::framework::About;
use crate::collectors::framework::background::Clock;
use crate::collectors::framework::lines::Lines;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::{Family, FamilyWriter, Timestamp};
use crate::host::Host;
use crate::nats::settings::LEASE_KEYS;
use crate::subprocess::{GroupSignal, Subprocess};

/// The settings of a job.
#[derive(Debug)]
pub(super) struct Execd {
    command: Words,
    interval: Duration,
    signal: Option<Signal>,
    restart_delay: Duration,
    stop_on_error: bool,
    max_series: usize,
    expire_after: Duration,
    process: Process,
    format: Format,
}

/// What asks a program for its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// An empty line on its standard input.
    Stdin,
    Group(GroupSignal),
}

const SIGNAL: Key<String> = Key::new(
    "signal",
    "\"none\"",
    "What the program gets at each interval: none, STDIN (an empty line), SIGHUP, SIGUSR1 or SIGUSR2.",
);
const RESTART_DELAY: Key<Duration> =
    Key::new("restart_delay", "\"10s\"", "The time between the end of the program and its next start.");
const STOP_ON_ERROR: Key<bool> =
    Key::new("stop_on_error", "false", "Does not start the program again after it ended with another status than 0.");
const MAX_SERIES: Key<usize> =
    Key::new("max_series", "10000", "Series that are retained for scrapes. Further ones are only pushed.");
const EXPIRE_AFTER: Key<Duration> =
    Key::new("expire_after", "\"5m\"", "How long a series is exposed after its last value.");

const KEYS: [KeyInfo; 26 + LEASE_KEYS.len()] = all_of(&[
    &[
        NAME.info(),
        COMMAND.info(),
        INTERVAL.info(),
        SIGNAL.info(),
        RESTART_DELAY.info(),
        STOP_ON_ERROR.info(),
        MAX_SERIES.info(),
        EXPIRE_AFTER.info(),
    ],
    &PROCESS_KEYS,
    &format::KEYS,
    LEASE_KEYS,
]);

impl Kind for Execd {
    const ABOUT: About = About {
        name: "execd",
        summary: "lines of programs that run all the time",
        reads: &["standard output of the programs"],
        needs: "the rights of the programs: the service's sandbox needs the drop-in exec.conf for sudo, devices and more",
        remarks: REMARKS,
        keys: &KEYS,
        tables: &[format::TAGS],
        families: &[UP.info(), RESTARTS.info(), STATUS.info()],
        ..About::PLAIN
    };
    const SOURCES: &'static str = "programs";
    const MAY_HAVE_LEASE: bool = true;

    fn new(_: &Host, table: &mut Section<'_>) -> Self {
        let command = table.optional(&COMMAND).unwrap_or_else(|| {
            table.wrong("command", "required: the program to run, such as [\"/usr/local/bin/watch\", \"--all\"]");
            Words(vec![String::new()])
        });
        depends_on_programs(table, "command", std::slice::from_ref(&command));
        let signal = table.get(&SIGNAL);
        let signal = match signal.as_str() {
            "none" => None,
            "STDIN" => Some(Signal::Stdin),
            "SIGHUP" => Some(Signal::Group(GroupSignal::Hangup)),
            "SIGUSR1" => Some(Signal::Group(GroupSignal::User1)),
            "SIGUSR2" => Some(Signal::Group(GroupSignal::User2)),
            other => {
                table.wrong("signal", format!("expected none, STDIN, SIGHUP, SIGUSR1 or SIGUSR2, found {other:?}"));
                None
            }
        };
        let format = Format::new(table, "execd", "influx");
        if !format.is_by_line() {
            table.wrong("data_format", "expected a format of lines: influx, json or value");
        }
        Execd {
            command,
            interval: table.above_zero(&INTERVAL),
            signal,
            restart_delay: table.above_zero(&RESTART_DELAY),
            stop_on_error: table.get(&STOP_ON_ERROR),
            max_series: table.get(&MAX_SERIES),
            expire_after: table.above_zero(&EXPIRE_AFTER),
            process: Process::new(table),
            format,
        }
    }

    fn default_name(&self) -> String {
        file_name(&self.command.0[0]).to_owned()
    }

    fn commands(&self) -> usize {
        1
    }

    fn describe(&self) -> String {
        self.command.0[0].clone()
    }

    fn work(job: Arc<Job<Self>>, (index, _): (usize, usize), results: Arc<Results>) -> impl Future<Output = ()> + Send {
        Daemon::new(job, index, results).run()
    }

    fn families(outcomes: &[Arc<Outcome>], out: &mut FamilyWriter<'_>) {
        let families: [(&Family<1>, ValueOf); 3] = [
            (&UP, |outcome| Some(f64::from(u8::from(outcome.is_success)))),
            (&RESTARTS, |outcome| Some(outcome.restarts as f64)),
            (&STATUS, |outcome| outcome.status.map(f64::from)),
        ];
        write_families(&families, |outcome| [&outcome.name], outcomes, out);
    }

    fn warn() {
        sandbox::warn("execd");
    }
}

/// A program that is kept running.
struct Daemon {
    job: Arc<Job<Execd>>,
    index: usize,
    results: Arc<Results>,
    series: Arc<Mutex<Series>>,
    started: Instant,
    restarts: u64,
    /// The status of its last end.
    status: Option<i32>,
    /// What is wrong with its lines since it was last reported.
    errors: Vec<String>,
}

impl Daemon {
    fn new(job: Arc<Job<Execd>>, index: usize, results: Arc<Results>) -> Daemon {
        let series = Arc::new(Mutex::new(Series::new(job.settings.max_series, job.settings.expire_after)));
        let (started, restarts, status, errors) = (Instant::now(), 0, None, Vec::new());
        Daemon { job, index, results, series, started, restarts, status, errors }
    }

    /// Runs it forever, or until it fails if that ends it.
    async fn run(mut self) {
        let settings = &self.job.clone().settings;
        loop {
            let Words(words) = &settings.command;
            let mut program = settings.process.program(words.clone());
            program.has_stdin = true;
            self.started = Instant::now();
            let failed = match Subprocess::start(program).await {
                Ok(process) => self.follow(process).await,
                Err(error) => format!("not started: {error}"),
            };
            let said = std::mem::take(&mut self.errors);
            let hint = sandbox::hint_of_text(&failed).map(|hint| format!("; {hint}")).unwrap_or_default();
            let is_last = settings.stop_on_error && self.status != Some(0);
            let then = match is_last {
                true => "not started again, as stop_on_error is set".to_owned(),
                false => format!("started again in {}", humantime::format_duration(settings.restart_delay)),
            };
            let failed = format!("{failed}; {then}{hint}");
            self.publish(false, [vec![failed], said].concat());
            if is_last {
                return;
            }
            sleep(settings.restart_delay).await;
            self.restarts += 1;
        }
    }

    /// Reads the lines of the program until it ends, and returns how it ended.
    async fn follow(&mut self, mut process: Subprocess) -> String {
        let (stdout, stderr, mut stdin) = (process.stdout.take(), process.stderr.take(), process.stdin.take());
        let log = self.job.settings.process.log_stderr.then(|| StderrLog::new(format!("execd: {}", self.job.name)));
        let messages = tokio::spawn(follow_messages(stderr, log));
        let mut clock = Clock::new(self.job.settings.interval, hash(&self.job.name));
        let signal = self.job.settings.signal;
        self.publish(true, Vec::new());
        let ended = {
            let mut lines = std::pin::pin!(self.read_lines(stdout));
            loop {
                let mut tick = std::pin::pin!(clock.tick());
                tokio::select! {
                    ended = &mut lines => break ended,
                    () = &mut tick => match signal {
                        None => {}
                        Some(Signal::Group(signal)) => process.signal(signal),
                        Some(Signal::Stdin) => ask(&mut stdin).await,
                    },
                }
            }
        };
        drop(stdin);
        // Its output has ended; the program gets the time of an ordered end.
        let status = match tokio::time::timeout(crate::subprocess::GRACE, process.ended()).await {
            Ok(Ok(())) => process.end().await,
            _ => process.end().await,
        };
        self.status = status.ok().map(status_of);
        let last = tokio::time::timeout(Duration::from_millis(100), messages).await.ok().and_then(Result::ok).flatten();
        let last = last.map(|line| format!(": {line}")).unwrap_or_default();
        let reason = ended.err().map(|error| format!(" ({error})")).unwrap_or_default();
        match self.status {
            Some(status) if status > 128 => format!("ended by signal {}{reason}{last}", status - 128),
            Some(status) => format!("ended with exit status {status}{reason}{last}"),
            None => format!("ended{reason}{last}"),
        }
    }

    /// Reads lines until the output ends.
    async fn read_lines(&mut self, stdout: Option<ChildStdout>) -> io::Result<()> {
        let Some(mut stdout) = stdout else { return Ok(()) };
        let (mut lines, mut buffer) = (Lines::new(MAX_LINE), vec![0; 16 << 10]);
        loop {
            let count = stdout.read(&mut buffer).await?;
            let mut whole = Vec::new();
            let mut append = |text: &[u8]| whole.extend_from_slice(text);
            if count == 0 {
                lines.end(&mut append);
                self.take(&whole);
                return Ok(());
            }
            if lines.push(&buffer[..count], &mut append) > 0 {
                self.report(vec![format!("a line of more than {MAX_LINE} bytes is left out")]);
            }
            self.take(&whole);
        }
    }

    /// Uses whole lines.
    fn take(&mut self, lines: &[u8]) {
        if lines.trim_ascii().is_empty() {
            return;
        }
        let format = &self.job.settings.format;
        let now = Timestamp::from(SystemTime::now());
        // Line protocol may have line feeds in strings.
        let parts: Vec<&[u8]> =
            if format.is_line_protocol() { vec![lines] } else { lines.split(|byte| *byte == b'\n').collect() };
        let (mut points, mut errors) = (Vec::new(), Vec::new());
        for part in parts.into_iter().filter(|part| !part.trim_ascii().is_empty()) {
            let (mut content, found) = errors_of(format.read(part, None, &[]));
            errors.extend(found);
            points.append(&mut content.points);
            let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
            if series.put(&content.families, Instant::now()) > 0 {
                errors.push(format!("more series than max_series = {}", self.job.settings.max_series));
            }
        }
        self.results.push(points, now);
        self.report(errors);
    }

    /// Publishes errors in its lines.
    fn report(&mut self, mut errors: Vec<String>) {
        errors.dedup();
        errors.truncate(8);
        if errors != self.errors {
            self.errors.clone_from(&errors);
            self.publish(true, errors);
        }
    }

    fn publish(&self, is_running: bool, errors: Vec<String>) {
        let outcome = Outcome {
            name: self.job.name.clone(),
            source: self.job.name.clone(),
            is_success: is_running,
            status: self.status,
            duration: self.started.elapsed(),
            at: Instant::now(),
            restarts: self.restarts,
            shown: Shown::Live(self.series.clone()),
            errors,
        };
        self.results.publish((self.index, 0, String::new()), outcome);
    }
}

/// Writes an empty line to the standard input of a program, which may have closed it.
async fn ask(stdin: &mut Option<ChildStdin>) {
    const TIMEOUT: Duration = Duration::from_secs(1);
    if let Some(pipe) = stdin
        && let Ok(Err(_)) = tokio::time::timeout(TIMEOUT, pipe.write_all(b"\n")).await
    {
        *stdin = None;
    }
}

const UP: Family<1> = Family::gauge("taffrail_execd_up", "Whether the program runs", ["name"]);
const RESTARTS: Family<1> =
    Family::counter("taffrail_execd_restarts_total", "Starts of the program after the first one", ["name"]);
const STATUS: Family<1> = Family::gauge("taffrail_execd_exit_status", "Exit status of the last end", ["name"]);

const REMARKS: &str = "\
The program is started with Taffrail and again after `restart_delay` whenever it ends. Each line of its output has points of its \
own; one that is invalid costs itself, and so does one of more than 64 KiB. Sinks get each point once. A scrape gets the \
newest value of each series until `expire_after`.

When Taffrail ends, the program's standard input is closed and its process group gets SIGTERM, and SIGKILL 5 s later.";
