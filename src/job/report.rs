//! What anyone wants to know of a job's run, as families.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};
use crate::sinks::negotiate::Format;
use crate::sinks::render;

const CPU: Family<1> = Family::gauge(
    "job_cpu_seconds",
    "Processor time that the job's last run used, with that of all processes that it waited for.",
    ["mode"],
);
const DURATION: Family<0> = Family::gauge("job_duration_seconds", "How long the job's last run took.", []);
const END: Family<0> = Family::gauge("job_end_timestamp_seconds", "When the job's last run ended, in Unix time.", []);
const EXIT_STATUS: Family<0> = Family::gauge(
    "job_exit_status",
    "The exit status of the job's last run; of one that a signal ended, 128 and the signal's number.",
    [],
);
const LAST_SUCCESS: Family<0> =
    Family::gauge("job_last_success_timestamp_seconds", "When the job last ended with status 0, in Unix time.", []);
const PEAK_MEMORY: Family<0> = Family::gauge(
    "job_peak_memory_bytes",
    "The largest resident memory of one process of the job's last run, or Taffrail's own, which started it, if that was larger.",
    [],
);
const READ: Family<0> =
    Family::gauge("job_read_bytes", "What the job's last run read from disks, as far as it was not in memory.", []);
const RUNNING: Family<0> = Family::gauge("job_running", "Whether a run of the job is under way (1) or not (0).", []);
const START: Family<0> =
    Family::gauge("job_start_timestamp_seconds", "When the job's last run began, in Unix time.", []);
const SUCCESS: Family<0> =
    Family::gauge("job_success", "Whether the job's last run ended with status 0 (1) or not (0).", []);
const WRITTEN: Family<0> = Family::gauge("job_written_bytes", "What the job's last run wrote to disks.", []);

/// The families that `taffrail push` pushes of a command.
pub const FAMILIES: &[FamilyInfo] = &[
    CPU.info(),
    DURATION.info(),
    END.info(),
    EXIT_STATUS.info(),
    LAST_SUCCESS.info(),
    PEAK_MEMORY.info(),
    READ.info(),
    RUNNING.info(),
    START.info(),
    SUCCESS.info(),
    WRITTEN.info(),
];

/// A run that is over.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// How it ended: 128 and the number of a signal.
    pub status: i32,
    /// What it used; nothing if it could not be started.
    pub usage: Option<Usage>,
}

/// What a run used, by getrusage(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time of the program.
    pub user: Duration,
    /// Processor time of the kernel on its behalf.
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

/// That a run has begun.
pub fn begun(start: SystemTime) -> Vec<u8> {
    render::whole(Format::Text, 0, |out| {
        out.value(&RUNNING, 1u64);
        out.value(&START, unix(start));
    })
}

/// How a run ended, while so many `others` of the same group are under way. A success that was is not told of, so that
/// the last one stays.
pub fn ended(run: &Run, others: usize) -> Vec<u8> {
    let end = unix(run.start + run.duration);
    render::whole(Format::Text, 0, |out| {
        if let Some(usage) = &run.usage {
            write_usage(out, usage);
        }
        out.value(&DURATION, run.duration.as_secs_f64());
        out.value(&END, end);
        out.value(&EXIT_STATUS, i64::from(run.status));
        if run.status == 0 {
            out.value(&LAST_SUCCESS, end);
        }
        out.value(&RUNNING, u64::from(others > 0));
        out.value(&START, unix(run.start));
        out.value(&SUCCESS, u64::from(run.status == 0));
    })
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
