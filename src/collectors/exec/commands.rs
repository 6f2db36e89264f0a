//! `[[collectors.exec]]`: programs that are run at an interval.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::{JoinSet, spawn_blocking};

use super::format::{self, Format};
use super::job::{INTERVAL, Job, Kind, NAME, ValueOf, all_of, write_families};
use super::process::{COMMAND, PROCESS_KEYS, Process, StderrLog, depends_on_programs, status_of};
use super::results::{Outcome, Results, Shown, errors_of};
use super::run::{Bounds, End, Run, run};
use super::words::Words;
use super::{file_name, hash, sandbox};
use crate::collectors::framework::About;
use crate::collectors::framework::background::Clock;
use crate::collectors::framework::globs;
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::parse::line::Point;
use crate::encode::{Family, FamilyWriter, Timestamp};
use crate::host::Host;
use crate::nats::settings::LEASE_KEYS;

/// The settings of a job.
#[derive(Debug)]
pub(super) struct Exec {
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
const KEYS: [KeyInfo; 25 + LEASE_KEYS.len()] = all_of(&[
    &[
        NAME.info(),
        COMMANDS.info(),
        COMMAND.info(),
        INTERVAL.info(),
        TIMEOUT.info(),
        MAX_OUTPUT.info(),
        IGNORE_ERROR.info(),
    ],
    &PROCESS_KEYS,
    &format::KEYS,
    LEASE_KEYS,
]);

/// Programs that one pattern may match.
const MAX_PROGRAMS: usize = 100;

impl Kind for Exec {
    const ABOUT: About = About {
        name: "exec",
        summary: "output of programs that are run at an interval",
        reads: &["standard output of the programs"],
        needs: "the rights of the programs: the service's sandbox needs the drop-in exec.conf for sudo, devices and more",
        remarks: REMARKS,
        keys: &KEYS,
        tables: &[format::TAGS],
        families: &[SUCCESS.info(), STATUS.info(), DURATION.info(), AGE.info()],
        ..About::PLAIN
    };
    const SOURCES: &'static str = "programs";
    const MAY_HAVE_LEASE: bool = true;

    fn new(_: &Host, table: &mut Section<'_>) -> Self {
        let mut commands = table.optional(&COMMANDS).unwrap_or_default();
        depends_on_programs(table, "commands", &commands);
        if let Some(command) = table.optional(&COMMAND) {
            depends_on_programs(table, "command", std::slice::from_ref(&command));
            commands.push(command);
        }
        if commands.is_empty() {
            table.wrong("commands", "required: the programs to run, such as [\"/usr/local/bin/check\"]");
        }
        for (index, Words(words)) in commands.iter().enumerate() {
            if globs::has_wildcard(&words[0])
                && let Err(what) = globs::check(&words[0])
            {
                table.wrong_element("commands", index, what);
            }
        }
        Exec {
            interval: table.above_zero(&INTERVAL),
            bounds: Bounds { timeout: table.above_zero(&TIMEOUT), max_output: table.get(&MAX_OUTPUT).0 },
            process: Process::new(table),
            ignore_error: table.get(&IGNORE_ERROR),
            format: Format::new(table, "exec", "json"),
            commands,
        }
    }

    fn default_name(&self) -> String {
        self.commands.first().map_or("exec", |Words(words)| file_name(&words[0])).to_owned()
    }

    fn commands(&self) -> usize {
        self.commands.len()
    }

    fn describe(&self) -> String {
        format!("{} programs, every {}", self.commands.len(), humantime::format_duration(self.interval))
    }

    fn work(job: Arc<Job<Self>>, at: (usize, usize), results: Arc<Results>) -> impl Future<Output = ()> + Send {
        Command { job, at, results }.run()
    }

    fn families(outcomes: &[Arc<Outcome>], out: &mut FamilyWriter<'_>) {
        let families: [(&Family<2>, ValueOf); 4] = [
            (&SUCCESS, |outcome| Some(f64::from(u8::from(outcome.is_success)))),
            (&STATUS, |outcome| outcome.status.map(f64::from)),
            (&DURATION, |outcome| Some(outcome.duration.as_secs_f64())),
            (&AGE, |outcome| Some(outcome.at.elapsed().as_secs_f64())),
        ];
        write_families(&families, |outcome| [&outcome.name, &outcome.source], outcomes, out);
    }

    fn warn() {
        sandbox::warn("exec");
    }
}

/// A command of a job.
#[derive(Clone)]
struct Command {
    job: Arc<Job<Exec>>,
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
            let job = &self.job.name;
            let source = if *job == source { format!("exec: {job}") } else { format!("exec: {job}: {source}") };
            StderrLog::new(source).log(&run.messages.text());
        }
        let (mut outcome, points) = outcome(settings, [&self.job.name, &source], &program, &run);
        let dropped = self.results.push(points, now);
        if dropped > 0 {
            outcome.errors.push("points were dropped, as no sink read them for too long".to_owned());
        }
        self.results.publish((self.at.0, self.at.1, program.clone()), outcome);
        program
    }
}

/// The result of a run, and its points. The names are those of the job and of the source.
fn outcome(settings: &Exec, names: [&Arc<str>; 2], program: &str, run: &Run) -> (Outcome, Vec<Point<'static>>) {
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
        end => end.failure(),
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
    let (mut content, found) = match is_used {
        true => errors_of(settings.format.read(output, status, &[])),
        false => Default::default(),
    };
    errors.extend(found);
    if settings.format.is_nagios() {
        // All plugins have the same names.
        content.label([(LABELS[0], names[0]), (LABELS[1], names[1])]);
    }
    let outcome = Outcome {
        name: names[0].clone(),
        source: names[1].clone(),
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

const REMARKS: &str = "\
Programs run in the background at their interval, and never because of a scrape. A scrape gets the result of the last run, \
with its age in `taffrail_exec_result_age_seconds`; a sink gets the points of each run once. After a run that failed, the \
series of the run before are gone.

Each program has a process group, its own clock and its own deadline, and runs at most once at a time. At the deadline the \
group gets SIGTERM, and SIGKILL 5 s later; so it does when Taffrail ends. An invalid line, object or family of the output \
costs itself, `taffrail_exec_success` is 0, and the log says what is wrong.

Points have Telegraf's names and types. Numbers of JSON are floats, and a value has the type of `data_type`: no type depends \
on a value. Series from points are named `measurement_field`, or `measurement` if the field is `value`. Those of Nagios plugins, \
which all have the same names, have the labels `name` and `program`, too. A family with the name \
of one of Taffrail's own is left out.

See docs/exec.md for formats, the sandbox of the service, and differences from Telegraf.";
