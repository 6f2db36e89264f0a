//! Metrics of a job's run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};
use crate::sinks::negotiate::Format;
use crate::sinks::render;

const CPU: Family<1> = Family::gauge(
    "job_cpu_seconds",
    "CPU time used by the last run and its child processes that were waited for",
    ["mode"],
);
/// The duration of the last run in seconds.
pub const DURATION: Family<0> = Family::gauge("job_duration_seconds", "Duration of the last run", []);
/// The end of the last run.
pub const END: Family<0> = Family::gauge("job_end_timestamp_seconds", "End of the last run, in Unix time", []);
/// The exit status of the last run.
pub const EXIT_STATUS: Family<0> = Family::gauge(
    "job_exit_status",
    "Exit status of the last run; 128 plus the signal number if a signal ended it",
    [],
);
/// The interval at which the job runs, in seconds.
pub const INTERVAL: Family<0> =
    Family::gauge("job_interval_seconds", "Interval at which the job runs, from --every", []);
/// The end of the last successful run.
pub const LAST_SUCCESS: Family<0> =
    Family::gauge("job_last_success_timestamp_seconds", "End of the last successful run, in Unix time", []);
const PEAK_MEMORY: Family<0> = Family::gauge(
    "job_peak_memory_bytes",
    "Largest resident memory of one process of the last run, including Taffrail's own",
    [],
);
const READ: Family<0> = Family::gauge("job_read_bytes", "Bytes that the last run read from disk", []);
/// Whether the job is running.
pub const RUNNING: Family<0> = Family::gauge("job_running", "Whether the job is running", []);
/// The start of the last run.
pub const START: Family<0> = Family::gauge("job_start_timestamp_seconds", "Start of the last run, in Unix time", []);
/// Whether the last run succeeded.
pub const SUCCESS: Family<0> = Family::gauge("job_success", "Whether the last run exited with status 0", []);
const WRITTEN: Family<0> = Family::gauge("job_written_bytes", "Bytes that the last run wrote to disk", []);

/// The families that `taffrail push` pushes of a command.
pub const FAMILIES: &[FamilyInfo] = &[
    CPU.info(),
    DURATION.info(),
    END.info(),
    EXIT_STATUS.info(),
    INTERVAL.info(),
    LAST_SUCCESS.info(),
    PEAK_MEMORY.info(),
    READ.info(),
    RUNNING.info(),
    START.info(),
    SUCCESS.info(),
    WRITTEN.info(),
];

/// Whether a job may have run for that long, or run at that interval, in seconds: not negative, and at most 100 years.
pub fn is_duration(seconds: f64) -> bool {
    const MAX: f64 = 100.0 * 365.25 * 86400.0;
    (0.0..=MAX).contains(&seconds)
}

/// A finished run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Start time.
    pub start: SystemTime,
    /// Duration.
    pub duration: Duration,
    /// Exit status; 128 plus the signal number if a signal ended it.
    pub status: i32,
    /// Resource usage; `None` if it failed to start.
    pub usage: Option<Usage>,
}

/// Resource usage of a run, from getrusage(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Bytes.
    pub peak_memory: u64,
    /// Bytes.
    pub read: u64,
    /// Bytes.
    pub written: u64,
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The report that a run has started, of a job that runs at the interval `every`.
pub fn started(start: SystemTime, every: Option<Duration>) -> Vec<u8> {
    render::whole(Format::Text, 0, |out| {
        write_interval(out, every);
        out.value(&RUNNING, 1u64);
        out.value(&START, unix(start));
    })
}

/// The report of a finished run, while `others` of the same group are in progress, of a job that runs at the interval
/// `every`. A failed run does not report `job_last_success_timestamp_seconds`, so that the previous value stays.
pub fn finished(run: &Run, others: usize, every: Option<Duration>) -> Vec<u8> {
    let end = unix(run.start + run.duration);
    render::whole(Format::Text, 0, |out| {
        if let Some(usage) = &run.usage {
            write_usage(out, usage);
        }
        out.value(&DURATION, run.duration.as_secs_f64());
        out.value(&END, end);
        out.value(&EXIT_STATUS, i64::from(run.status));
        write_interval(out, every);
        if run.status == 0 {
            out.value(&LAST_SUCCESS, end);
        }
        out.value(&RUNNING, u64::from(others > 0));
        out.value(&START, unix(run.start));
        out.value(&SUCCESS, u64::from(run.status == 0));
    })
}

fn write_interval(out: &mut FamilyWriter<'_>, every: Option<Duration>) {
    if let Some(every) = every {
        out.value(&INTERVAL, every.as_secs_f64());
    }
}

fn write_usage(out: &mut FamilyWriter<'_>, usage: &Usage) {
    let mut cpu = out.family(&CPU);
    cpu.sample(["system"], usage.system.as_secs_f64());
    cpu.sample(["user"], usage.user.as_secs_f64());
    drop(cpu);
    out.value(&PEAK_MEMORY, usage.peak_memory);
    out.value(&READ, usage.read);
    out.value(&WRITTEN, usage.written);
}
