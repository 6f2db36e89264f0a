//! `[[collectors.exec]]`: programs that are run at an interval.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::{JoinSet, spawn_blocking};

use super::format::{self, Format};
use super::process::{COMMAND, PROCESS_KEYS, Process, log_lines, status_of};
use super::results::{Outcome, Results, Shown, Snapshot, errors_of};
use super::run::{Bounds, End, Run, run};
use super::words::Words;
use super::{INTERVAL, NAME, Running, file_name, globs, hash, named, sandbox};
use crate::collectors::foreign::Sources;
use crate::collectors::framework::background::Clock;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::{Family, FamilyWriter, PointWriter, Timestamp};
use crate::host::{Host, ReadError};

/// The collector.
pub(super) struct Exec {
    jobs: Vec<Arc<Job>>,
    sources: Sources,
    running: Option<Running>,
}

/// A section.
#[derive(Debug)]
struct Job {
    name: Arc<str>,
    settings: Settings,
}

#[derive(Debug)]
struct Settings {
    commands: Vec<Words>,
    interval: Duration,
    bounds: Bounds,
    process: Process,
    ignore_error: bool,
    format: Format,
}

const COMMANDS: Key<Vec<Words>> = Key::optional(
    "commands",
    "The programs: each a string, which is split at white space as a shell does, or a list of strings. The program may be a glob \
     pattern, which is expanded at each run. Variables, pipes and redirections need [\"/bin/sh\", \"-c\", \"…\"].",
);
const TIMEOUT: Key<Duration> = Key::new(
    "timeout",
    "\"5s\"",
    "How long a program may run. Then its process group gets SIGTERM, and SIGKILL 5 s later.",
);
const MAX_OUTPUT: Key<ByteSize> = Key::new(
    "max_output",
    "\"4MiB\"",
    "Bytes that a program may write. One that writes more is ended, and its output not used.",
);
const IGNORE_ERROR: Key<bool> =
    Key::new("ignore_error", "false", "Uses the output of programs whose exit status is not 0.");
const KEYS: [KeyInfo; 25] = {
    let mut keys = [NAME.info(); 25];
    let own = [
        NAME.info(),
        COMMANDS.info(),
        COMMAND.info(),
        INTERVAL.info(),
        TIMEOUT.info(),
        MAX_OUTPUT.info(),
        IGNORE_ERROR.info(),
    ];
    let mut index = 0;
    while index < keys.len() {
        keys[index] = match index {
            0..7 => own[index],
            7..10 => PROCESS_KEYS[index - 7],
            _ => format::KEYS[index - 10],
        };
        index += 1;
    }
    keys
};

/// Programs that one pattern may match.
const MAX_PROGRAMS: usize = 100;

impl Settings {
    fn new(section: &mut Section<'_>) -> Settings {
        let mut commands = section.optional(&COMMANDS).unwrap_or_default();
        commands.extend(section.optional(&COMMAND));
        if commands.is_empty() {
            section.wrong("commands", "required: the programs to run, such as [\"/usr/local/bin/check\"]");
        }
        for (index, Words(words)) in commands.iter().enumerate() {
            if globs::has_wildcard(&words[0])
                && let Err(what) = globs::check(&words[0])
            {
                section.wrong_element("commands", index, what);
            }
        }
        Settings {
            interval: section.above_zero(&INTERVAL),
            bounds: Bounds { timeout: section.above_zero(&TIMEOUT), max_output: section.get(&MAX_OUTPUT).0 },
            process: Process::new(section),
            ignore_error: section.get(&IGNORE_ERROR),
            format: Format::new(section, "exec", "json"),
            commands,
        }
    }
}

impl Collector for Exec {
    const ABOUT: About = About {
        name: "exec",
        summary: "output of programs that are run at an interval",
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
        families: &[SUCCESS.info(), STATUS.info(), DURATION.info(), AGE.info()],
        ..About::PLAIN
    };
    type Reading = ExecReading;

    fn new(_: &Host, section: &mut Section<'_>) -> Self {
        let first = |settings: &Settings| {
            settings.commands.first().map_or("exec", |Words(words)| file_name(&words[0])).to_owned()
        };
        let jobs = named(section, "exec", Settings::new, first);
        let jobs: Vec<_> = jobs.into_iter().map(|(name, settings)| Arc::new(Job { name, settings })).collect();
        if !jobs.is_empty() {
            sandbox::warn("exec");
        }
        Exec { jobs, sources: Sources::new("exec", "programs"), running: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ExecReading) -> Result<(), ReadError> {
        let results = self.running().results.clone();
        reading.0 = results.read(&mut self.sources, cx.wanted.points, cx.problems);
        Ok(())
    }

    fn begin(&mut self, limit: Duration) {
        let commands = self.jobs.iter().map(|job| job.settings.commands.len()).sum();
        self.running().results.wait(commands, limit);
    }

    fn report(&mut self) -> Vec<String> {
        let line = |job: &Arc<Job>| {
            let every = humantime::format_duration(job.settings.interval);
            format!("{}: {} programs, every {every}", job.name, job.settings.commands.len())
        };
        self.jobs.iter().map(line).collect()
    }
}

impl Exec {
    fn running(&mut self) -> &Running {
        let jobs = &self.jobs;
        self.running.get_or_insert_with(|| {
            let jobs = jobs.clone();
            Running::start("exec", move |results| async move {
                let mut loops = JoinSet::new();
                for (index, job) in jobs.iter().enumerate() {
                    for command in 0..job.settings.commands.len() {
                        let command = Command { job: job.clone(), at: (index, command), results: results.clone() };
                        loops.spawn(command.run());
                    }
                }
                loops.join_all().await;
            })
        })
    }
}

/// A command of a job.
#[derive(Clone)]
struct Command {
    job: Arc<Job>,
    /// The indexes of the job and of the command in it.
    at: (usize, usize),
    results: Arc<Results>,
}

impl Command {
    /// Runs its programs forever, none twice at a time.
    async fn run(self) {
        let Words(words) = &self.job.settings.commands[self.at.1];
        let mut clock = Clock::new(self.job.settings.interval, hash(&format!("{} {words:?}", self.job.name)));
        let (mut running, mut in_flight) = (JoinSet::new(), HashSet::new());
        loop {
            let mut tick = pin!(clock.tick());
            loop {
                tokio::select! {
                    () = &mut tick => break,
                    Some(ended) = running.join_next() => {
                        in_flight.remove(&ended.unwrap_or_default());
                    }
                }
            }
            for (program, source) in self.programs().await {
                if in_flight.insert(program.clone()) {
                    running.spawn(self.clone().run_once(program, source));
                }
            }
        }
    }

    /// The programs, with the names of their sources.
    async fn programs(&self) -> BTreeMap<String, Arc<str>> {
        let Words(words) = &self.job.settings.commands[self.at.1];
        let pattern = words[0].clone();
        let mut found = Vec::new();
        if globs::has_wildcard(&pattern) {
            let of = pattern.clone();
            let matches = spawn_blocking(move || globs::matches(Path::new(&of))).await.unwrap_or_default();
            found = matches.into_iter().filter_map(|path| path.into_os_string().into_string().ok()).collect();
            if found.len() > MAX_PROGRAMS {
                tracing::warn!(
                    "exec: {}: {pattern} of commands matches more than {MAX_PROGRAMS} programs; the others are not run",
                    self.job.name
                );
                found.truncate(MAX_PROGRAMS);
            }
        }
        // Without a match it is the name of a program in PATH, as in Telegraf.
        let found = if found.is_empty() { vec![pattern] } else { found };
        let paths: BTreeSet<String> = found.iter().cloned().collect();
        self.results.retain(self.at.0, self.at.1, &paths);
        let commands = &self.job.settings.commands;
        let earlier =
            |name: &str| commands[..self.at.1].iter().filter(|Words(other)| file_name(&other[0]) == name).count();
        let source = |path: &String| match (file_name(path), earlier(file_name(path))) {
            (name, 0) => Arc::from(name),
            (name, earlier) => Arc::from(format!("{name}#{}", earlier + 1)),
        };
        found.iter().map(|path| (path.clone(), source(path))).collect()
    }

    async fn run_once(self, program: String, source: Arc<str>) -> String {
        let settings = &self.job.settings;
        let Words(words) = &settings.commands[self.at.1];
        let words = [&program].into_iter().chain(&words[1..]).cloned().collect();
        let now = Timestamp::from(SystemTime::now());
        let run = run(settings.process.program(words), settings.bounds).await;
        if settings.process.log_stderr {
            log_lines("exec", &self.job.name, &run.messages.text());
        }
        let (mut outcome, points) = outcome(settings, &program, &run);
        (outcome.name, outcome.source) = (self.job.name.clone(), source);
        let dropped = self.results.push(points, now);
        if dropped > 0 {
            outcome.errors.push("points were dropped, as no sink read them for too long".to_owned());
        }
        self.results.publish((self.at.0, self.at.1, program.clone()), outcome);
        program
    }
}

/// The result of a run, and its points.
fn outcome(
    settings: &Settings,
    program: &str,
    run: &Run,
) -> (Outcome, Vec<crate::encode::parse::line::Point<'static>>) {
    let status = match &run.end {
        End::Exited(status) => Some(status_of(*status)),
        _ => None,
    };
    let mut errors = Vec::new();
    let failed = match &run.end {
        End::Exited(_) if status == Some(0) => None,
        End::Exited(_) => status.map(|status| {
            if status > 128 { format!("ended by signal {}", status - 128) } else { format!("exit status {status}") }
        }),
        End::TimedOut(after) => {
            Some(format!("not ended within timeout = {}, and killed", humantime::format_duration(*after)))
        }
        End::TooMuch(max) => Some(format!("wrote more than max_output = {max} bytes, and was killed")),
        End::NotStarted(error) => Some(format!("not started: {error}")),
    };
    let is_used = match (&run.end, status) {
        (End::Exited(_), Some(0)) => true,
        (End::Exited(_), _) => settings.ignore_error || settings.format.is_nagios(),
        (End::NotStarted(_) | End::TimedOut(_), _) => settings.format.is_nagios(),
        (End::TooMuch(_), _) => false,
    };
    // The status of a Nagios plugin is its state.
    let is_state = settings.format.is_nagios() && status.is_some_and(|status| (0..=3).contains(&status));
    let is_ignored = is_state || settings.ignore_error && matches!(run.end, End::Exited(_));
    if let Some(failed) = failed.filter(|_| !is_ignored) {
        let said = run.messages.first_line();
        let said = said.map(|line| format!(": {line}")).unwrap_or_default();
        let hint =
            sandbox::hint(program, &run.end, &run.messages.text()).map(|hint| format!("; {hint}")).unwrap_or_default();
        errors.push(format!("{failed}{said}{hint}"));
    }
    let output = if is_used { run.output.as_slice() } else { &[] };
    let (content, found) = match is_used {
        true => errors_of(settings.format.read(output, status, &[])),
        false => Default::default(),
    };
    errors.extend(found);
    let outcome = Outcome {
        name: "".into(),
        source: "".into(),
        is_success: errors.is_empty(),
        status,
        duration: run.duration,
        at: Instant::now(),
        restarts: 0,
        shown: Shown::Fixed(content.families),
        errors,
    };
    (outcome, content.points)
}

const LABELS: [&str; 2] = ["name", "program"];
const SUCCESS: Family<2> =
    Family::gauge("taffrail_exec_success", "Whether the last run ended well and all of its output was used", LABELS);
const STATUS: Family<2> = Family::gauge("taffrail_exec_exit_status", "Exit status of the last run", LABELS);
const DURATION: Family<2> = Family::gauge("taffrail_exec_duration_seconds", "Duration of the last run", LABELS);
const AGE: Family<2> = Family::gauge("taffrail_exec_result_age_seconds", "Time since the end of the last run", LABELS);
fn write_own(outcomes: &[Arc<Outcome>], out: &mut FamilyWriter<'_>) {
    type ValueOf = fn(&Outcome) -> Option<f64>;
    let families: [(&Family<2>, ValueOf); 4] = [
        (&SUCCESS, |outcome| Some(f64::from(u8::from(outcome.is_success)))),
        (&STATUS, |outcome| outcome.status.map(f64::from)),
        (&DURATION, |outcome| Some(outcome.duration.as_secs_f64())),
        (&AGE, |outcome| Some(outcome.at.elapsed().as_secs_f64())),
    ];
    for (family, value) in families {
        let mut samples = out.family(family);
        for outcome in outcomes {
            if let Some(value) = value(outcome) {
                samples.sample([&outcome.name, &outcome.source], value);
            }
        }
    }
}

/// The results of the programs.
#[derive(Default)]
pub(super) struct ExecReading(Snapshot);

impl Reading for ExecReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.0.families(write_own, out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        self.0.points(write_own, since.map(|since| &since.previous.0), out);
    }
}

const REMARKS: &str = "\
Programs run in the background at their interval, and never because of a scrape. A scrape gets the result of the last run, \
with its age in `taffrail_exec_result_age_seconds`; a sink gets the points of each run once. After a run that failed, the \
series of the run before are gone.

Each program has a process group, its own clock and its own deadline, and runs at most once at a time. At the deadline the \
group gets SIGTERM, and SIGKILL 5 s later; so it does when Taffrail ends. An invalid line, object or family of the output \
costs itself, `taffrail_exec_success` is 0, and the log says what is wrong.

Points have Telegraf's names and types. Numbers of JSON are floats, and a value has the type of `data_type`: no type depends \
on a value. Series from points are named `measurement_field`, or `measurement` if the field is `value`. A family with the name \
of one of Taffrail's own is left out.

See docs/exec.md for formats, the sandbox of the service, and differences from Telegraf.";
