//! `[[collectors.execd]]`: programs that run all the time, and write lines.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::format::{self, Format};
use super::process::{COMMAND, PROCESS_KEYS, Process, log_lines, status_of};
use super::results::{Outcome, Results, Shown, Snapshot, errors_of};
use super::series::Series;
use super::words::Words;
use super::{INTERVAL, NAME, Running, file_name, hash, named, sandbox};
use crate::collectors::foreign::Sources;
use crate::collectors::framework::background::Clock;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Key, KeyInfo, Section};
use crate::encode::{Family, FamilyWriter, PointWriter, Timestamp};
use crate::host::{Host, ReadError};
use crate::subprocess::{GroupSignal, Subprocess};

/// The collector.
pub(super) struct Execd {
    jobs: Vec<Arc<Job>>,
    sources: Sources,
    running: Option<Running>,
}

#[derive(Debug)]
struct Job {
    name: Arc<str>,
    settings: Settings,
}

#[derive(Debug)]
struct Settings {
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

const KEYS: [KeyInfo; 26] = {
    let own = [
        NAME.info(),
        COMMAND.info(),
        INTERVAL.info(),
        SIGNAL.info(),
        RESTART_DELAY.info(),
        STOP_ON_ERROR.info(),
        MAX_SERIES.info(),
        EXPIRE_AFTER.info(),
    ];
    let mut keys = [NAME.info(); 26];
    let mut index = 0;
    while index < keys.len() {
        keys[index] = match index {
            0..8 => own[index],
            8..11 => PROCESS_KEYS[index - 8],
            _ => format::KEYS[index - 11],
        };
        index += 1;
    }
    keys
};

impl Settings {
    fn new(section: &mut Section<'_>) -> Settings {
        let command = section.optional(&COMMAND).unwrap_or_else(|| {
            section.wrong("command", "required: the program to run, such as [\"/usr/local/bin/watch\", \"--all\"]");
            Words(vec![String::new()])
        });
        let signal = section.get(&SIGNAL);
        let signal = match signal.as_str() {
            "none" => None,
            "STDIN" => Some(Signal::Stdin),
            "SIGHUP" => Some(Signal::Group(GroupSignal::Hangup)),
            "SIGUSR1" => Some(Signal::Group(GroupSignal::User1)),
            "SIGUSR2" => Some(Signal::Group(GroupSignal::User2)),
            other => {
                section.wrong("signal", format!("expected none, STDIN, SIGHUP, SIGUSR1 or SIGUSR2, found {other:?}"));
                None
            }
        };
        let format = Format::new(section, "execd", "influx");
        if !format.is_by_line() {
            section.wrong("data_format", "expected a format of lines: influx, json or value");
        }
        Settings {
            command,
            interval: section.above_zero(&INTERVAL),
            signal,
            restart_delay: section.above_zero(&RESTART_DELAY),
            stop_on_error: section.get(&STOP_ON_ERROR),
            max_series: section.get(&MAX_SERIES),
            expire_after: section.above_zero(&EXPIRE_AFTER),
            process: Process::new(section),
            format,
        }
    }
}

impl Collector for Execd {
    const ABOUT: About = About {
        name: "execd",
        summary: "lines of programs that run all the time",
        reads: &["standard output of the programs"],
        needs: "the rights of the programs: the service's sandbox needs the drop-in exec.conf for sudo, devices and more",
        remarks: REMARKS,
        on_by_default: Vocabularies::BOTH,
        is_list: true,
        shows_failures: true,
        is_named_by_others: true,
        is_portable: true,
        keys: &KEYS,
        tables: &[format::TAGS],
        families: &[UP.info(), RESTARTS.info(), STATUS.info()],
        ..About::PLAIN
    };
    type Reading = ExecdReading;

    fn new(_: &Host, section: &mut Section<'_>) -> Self {
        let jobs = named(section, "execd", Settings::new, |settings| file_name(&settings.command.0[0]).to_owned());
        let jobs: Vec<_> = jobs.into_iter().map(|(name, settings)| Arc::new(Job { name, settings })).collect();
        if !jobs.is_empty() {
            sandbox::warn("execd");
        }
        Execd { jobs, sources: Sources::new("execd", "programs"), running: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ExecdReading) -> Result<(), ReadError> {
        let results = self.running().results.clone();
        reading.0 = results.read(&mut self.sources, cx.wanted.points, cx.problems);
        Ok(())
    }

    fn begin(&mut self, limit: Duration) {
        let jobs = self.jobs.len();
        self.running().results.wait(jobs, limit);
    }

    fn report(&mut self) -> Vec<String> {
        self.jobs.iter().map(|job| format!("{}: {}", job.name, job.settings.command.0[0])).collect()
    }
}

impl Execd {
    fn running(&mut self) -> &Running {
        let jobs = &self.jobs;
        self.running.get_or_insert_with(|| {
            let jobs = jobs.clone();
            Running::start("execd", move |results| async move {
                let daemons = jobs.iter().cloned().enumerate();
                let mut loops: JoinSet<()> =
                    daemons.map(|(index, job)| Daemon::new(job, index, results.clone()).run()).collect();
                while loops.join_next().await.is_some() {}
            })
        })
    }
}

/// A program that is kept running.
struct Daemon {
    job: Arc<Job>,
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

/// Bytes of a line. A longer one is left out.
const MAX_LINE: usize = 64 << 10;

impl Daemon {
    fn new(job: Arc<Job>, index: usize, results: Arc<Results>) -> Daemon {
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
        let (name, log) = (self.job.name.clone(), self.job.settings.process.log_stderr);
        let messages = tokio::spawn(follow_messages(stderr, name, log));
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
        let (mut lines, mut buffer, mut is_too_long) = (Vec::new(), vec![0; 16 << 10], false);
        loop {
            let count = stdout.read(&mut buffer).await?;
            lines.extend_from_slice(&buffer[..count]);
            let end = if count == 0 { lines.len() } else { memchr::memrchr(b'\n', &lines).map_or(0, |end| end + 1) };
            let mut whole: Vec<u8> = lines.drain(..end).collect();
            if is_too_long && end > 0 {
                whole.drain(..memchr::memchr(b'\n', &whole).map_or(whole.len(), |end| end + 1));
                is_too_long = false;
            }
            if lines.len() > MAX_LINE {
                lines.clear();
                if !is_too_long {
                    self.report(vec![format!("a line of more than {MAX_LINE} bytes is left out")]);
                }
                is_too_long = true;
            }
            self.take(&whole);
            if count == 0 {
                return Ok(());
            }
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

/// Reads standard error, logs it if `is_logged`, and returns the last line.
async fn follow_messages(stderr: Option<ChildStderr>, name: Arc<str>, is_logged: bool) -> Option<String> {
    let mut stderr = stderr?;
    let (mut buffer, mut text, mut last) = (vec![0; 4 << 10], Vec::new(), None);
    loop {
        let count = stderr.read(&mut buffer).await.unwrap_or(0);
        text.extend_from_slice(&buffer[..count]);
        let end = if count == 0 || text.len() > MAX_LINE {
            text.len()
        } else {
            memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1)
        };
        let lines = String::from_utf8_lossy(&text.drain(..end).collect::<Vec<u8>>()).into_owned();
        if is_logged {
            log_lines("execd", &name, &lines);
        }
        let line = lines.lines().rev().map(str::trim).find(|line| !line.is_empty());
        last = line.map(|line| line.chars().filter(|c| !c.is_control()).take(512).collect()).or(last);
        if count == 0 {
            return last;
        }
    }
}

const UP: Family<1> = Family::gauge("taffrail_execd_up", "Whether the program runs", ["name"]);
const RESTARTS: Family<1> =
    Family::counter("taffrail_execd_restarts_total", "Starts of the program after the first one", ["name"]);
const STATUS: Family<1> = Family::gauge("taffrail_execd_exit_status", "Exit status of the last end", ["name"]);

fn write_own(outcomes: &[Arc<Outcome>], out: &mut FamilyWriter<'_>) {
    type ValueOf = fn(&Outcome) -> Option<f64>;
    let families: [(&Family<1>, ValueOf); 3] = [
        (&UP, |outcome| Some(f64::from(u8::from(outcome.is_success)))),
        (&RESTARTS, |outcome| Some(outcome.restarts as f64)),
        (&STATUS, |outcome| outcome.status.map(f64::from)),
    ];
    for (family, value) in families {
        let mut samples = out.family(family);
        for outcome in outcomes {
            if let Some(value) = value(outcome) {
                samples.sample([&outcome.name], value);
            }
        }
    }
}

/// The results of the programs.
#[derive(Default)]
pub(super) struct ExecdReading(Snapshot);

impl Reading for ExecdReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.0.families(write_own, out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        self.0.points(write_own, since.map(|since| &since.previous.0), out);
    }
}

const REMARKS: &str = "\
The program is started with Taffrail and again after `restart_delay` whenever it ends. Each line of its output has points of its \
own; one that is invalid costs itself, and so does one of more than 64 KiB. Sinks get each point once. A scrape gets the \
newest value of each series until `expire_after`.

When Taffrail ends, the program's standard input is closed and its process group gets SIGTERM, and SIGKILL 5 s later.";
