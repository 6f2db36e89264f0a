//! The points of Telegraf's `procstat`, summed by group.

use std::time::Duration;

use super::reading::{GroupReading, ProcstatReading, SingleProcess, TICKS_PER_SECOND};
use super::selection::Selector;
use super::usage::{Counters, Smaps};
use crate::collectors::framework::{Since, percent};
use crate::encode::point::{FieldInfo, MeasurementInfo};
use crate::encode::{Field, Measurement, Point, PointWriter};

const TAGS: [&str; 9] =
    ["cgroup", "exe", "filter", "pattern", "pid", "pidfile", "process_name", "systemd_unit", "user"];
const FIELDS: &[FieldInfo] = &[
    CHILD_MAJOR_FAULTS.info(),
    CHILD_MINOR_FAULTS.info(),
    COMMAND_LINE.info(),
    IOWAIT.info(),
    SYSTEM.info(),
    USER.info(),
    CPU_USAGE.info(),
    CREATED_AT.info(),
    STORAGE_READ.info(),
    STORAGE_WRITTEN.info(),
    INVOLUNTARY.info(),
    MAJOR_FAULTS.info(),
    MEMORY_ANONYMOUS.info(),
    MEMORY_PRIVATE_CLEAN.info(),
    MEMORY_PRIVATE_DIRTY.info(),
    MEMORY_PSS.info(),
    MEMORY_REFERENCED.info(),
    MEMORY_RSS.info(),
    MEMORY_SHARED_CLEAN.info(),
    MEMORY_SHARED_DIRTY.info(),
    MEMORY_SWAP.info(),
    MEMORY_USAGE.info(),
    MEMORY_VMS.info(),
    MINOR_FAULTS.info(),
    OPEN_FILES.info(),
    THREADS.info(),
    PARENT.info(),
    READ_BYTES.info(),
    READS.info(),
    STATUS.info(),
    USER_NAME.info(),
    VOLUNTARY.info(),
    WRITTEN_BYTES.info(),
    WRITES.info(),
];
const CHILD_MAJOR_FAULTS: Field<u64> =
    Field::new("child_major_faults", "major page faults of children that were waited for");
const CHILD_MINOR_FAULTS: Field<u64> =
    Field::new("child_minor_faults", "minor page faults of children that were waited for");
const COMMAND_LINE: Field<str> = Field::new("cmdline", "command line; of a single process");
const IOWAIT: Field<f64> =
    Field::new("cpu_time_iowait", "seconds of waiting for block devices; 0 without `kernel.task_delayacct`");
const SYSTEM: Field<f64> = Field::new("cpu_time_system", "seconds of CPU time in kernel mode");
const USER: Field<f64> = Field::new("cpu_time_user", "seconds of CPU time in user mode");
const CPU_USAGE: Field<f64> =
    Field::new("cpu_usage", "CPU time since the previous point in percent, of which a CPU has 100");
const CREATED_AT: Field<i64> = Field::new("created_at", "start of the oldest process in nanoseconds of Unix time");
const STORAGE_READ: Field<u64> = Field::new("disk_read_bytes", "bytes read from the storage layer");
const STORAGE_WRITTEN: Field<u64> = Field::new("disk_write_bytes", "bytes written to the storage layer");
const INVOLUNTARY: Field<u64> =
    Field::new("involuntary_context_switches", "involuntary context switches of main threads");
const MAJOR_FAULTS: Field<u64> = Field::new("major_faults", "major page faults");
const MEMORY_ANONYMOUS: Field<u64> = Field::new("memory_anonymous", "anonymous memory in KiB; with `smaps`");
const MEMORY_PRIVATE_CLEAN: Field<u64> = Field::new("memory_private_clean", "clean private pages in KiB; with `smaps`");
const MEMORY_PRIVATE_DIRTY: Field<u64> = Field::new("memory_private_dirty", "dirty private pages in KiB; with `smaps`");
const MEMORY_PSS: Field<u64> = Field::new("memory_pss", "proportional set size in KiB; with `smaps`");
const MEMORY_REFERENCED: Field<u64> = Field::new("memory_referenced", "referenced memory in KiB; with `smaps`");
const MEMORY_RSS: Field<u64> = Field::new("memory_rss", "resident memory in bytes");
const MEMORY_SHARED_CLEAN: Field<u64> = Field::new("memory_shared_clean", "clean shared pages in KiB; with `smaps`");
const MEMORY_SHARED_DIRTY: Field<u64> = Field::new("memory_shared_dirty", "dirty shared pages in KiB; with `smaps`");
const MEMORY_SWAP: Field<u64> = Field::new("memory_swap", "swapped memory in KiB; with `smaps`");
const MEMORY_USAGE: Field<f64> = Field::new("memory_usage", "resident memory in percent of the host's memory");
const MEMORY_VMS: Field<u64> = Field::new("memory_vms", "virtual memory in bytes");
const MINOR_FAULTS: Field<u64> = Field::new("minor_faults", "minor page faults");
const OPEN_FILES: Field<u64> = Field::new("num_fds", "open file descriptors; if they can be counted");
const THREADS: Field<u64> = Field::new("num_threads", "threads");
const PARENT: Field<u64> = Field::new("ppid", "PID of the parent; of a single process");
const READ_BYTES: Field<u64> = Field::new("read_bytes", "bytes read by system calls; if `io` can be read");
const READS: Field<u64> = Field::new("read_count", "system calls that read");
const STATUS: Field<str> = Field::new("status", "state; of a single process");
const USER_NAME: Field<str> = Field::new("user", "effective user; of a single process, unless it is a tag");
const VOLUNTARY: Field<u64> = Field::new("voluntary_context_switches", "voluntary context switches of main threads");
const WRITTEN_BYTES: Field<u64> = Field::new("write_bytes", "bytes written by system calls");
const WRITES: Field<u64> = Field::new("write_count", "system calls that write");
const PROCSTAT: Measurement<9> = Measurement::new("procstat", TAGS, FIELDS);

const FOUND: Field<u64> = Field::new("pid_count", "processes that were found");
const RUNNING: Field<u64> = Field::new("running", "processes that were still running when they were read");
const RESULT_CODE: Field<u64> = Field::new("result_code", "0, or 1 if a PID file could not be read");
const LOOKUP: Measurement<9> = Measurement::new(
    "procstat_lookup",
    ["cgroup", "exe", "filter", "pattern", "pid_finder", "pidfile", "result", "systemd_unit", "user"],
    &[FOUND.info(), RUNNING.info(), RESULT_CODE.info()],
);

pub(super) const MEASUREMENTS: &[MeasurementInfo] = &[PROCSTAT.info(), LOOKUP.info()];

impl ProcstatReading {
    pub(super) fn write_points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for group in &self.groups {
            let [cgroup, exe, filter, pattern, pidfile, unit, user] = self.tags(group.selection);
            let tags = [cgroup, exe, filter, pattern, "", pidfile, &group.name, unit, user];
            self.write_group(group, since, &mut out.point(&PROCSTAT, tags));
        }
        for process in &self.single {
            let [cgroup, exe, filter, pattern, pidfile, unit, user] = self.tags(process.selection);
            let pid = process.stat.pid.to_string();
            let tags = [cgroup, exe, filter, pattern, &pid, pidfile, &process.stat.name, unit, user];
            self.write_single(process, user.is_empty(), since, &mut out.point(&PROCSTAT, tags));
        }
        for (index, lookup) in self.lookups.iter().enumerate() {
            let [cgroup, exe, filter, pattern, pidfile, unit, user] = self.tags(index);
            let result = if lookup.has_failed { "lookup_error" } else { "success" };
            let tags = [cgroup, exe, filter, pattern, "native", pidfile, result, unit, user];
            let mut point = out.point(&LOOKUP, tags);
            point.field(&FOUND, lookup.found).field(&RUNNING, lookup.running);
            point.field(&RESULT_CODE, lookup.has_failed.into());
        }
    }

    /// The tags of a selection: one of them has a value.
    fn tags(&self, selection: usize) -> [&str; 7] {
        let selector = self.selections.get(selection).map(|selection| &selection.tag);
        let order = [
            Selector::Cgroup,
            Selector::Executable,
            Selector::Filter,
            Selector::Pattern,
            Selector::PidFile,
            Selector::Unit,
            Selector::User,
        ];
        order.map(|tag| selector.filter(|(known, _)| *known == tag).map_or("", |(_, value)| value))
    }

    fn write_group(&self, group: &GroupReading, since: Option<Since<'_, Self>>, point: &mut Point<'_>) {
        let earlier = since.and_then(|since| {
            let groups = &since.previous.groups;
            let index = groups.binary_search_by(|other| other.name.cmp(&group.name)).ok()?;
            Some((groups[index].counters, since.elapsed))
        });
        write_counters(&group.counters, group.has_io, earlier, point);
        let created_at = group.oldest_start_ticks.and_then(|ticks| self.created_at(ticks));
        point.some(&CREATED_AT, created_at).some(&OPEN_FILES, group.open_files);
        point.field(&THREADS, group.threads).field(&MEMORY_VMS, group.virtual_bytes);
        self.write_resident(group.resident_bytes, point);
        write_smaps(group.smaps.as_ref(), point);
    }

    fn write_single(
        &self,
        process: &SingleProcess,
        with_user: bool,
        since: Option<Since<'_, Self>>,
        point: &mut Point<'_>,
    ) {
        let SingleProcess { stat, usage, user, command_line, .. } = process;
        let earlier = since.and_then(|since| {
            let processes = &since.previous.single;
            let index = processes.binary_search_by_key(&stat.pid, |other| other.stat.pid).ok()?;
            let same = processes.get(index).filter(|other| other.stat.started_ticks == stat.started_ticks)?;
            Some((same.usage.counters, since.elapsed))
        });
        write_counters(&usage.counters, usage.has_io, earlier, point);
        point.some(&CREATED_AT, self.created_at(stat.started_ticks)).some(&OPEN_FILES, usage.open_files);
        point.field(&THREADS, stat.threads).field(&MEMORY_VMS, stat.virtual_bytes);
        self.write_resident(usage.resident_bytes, point);
        write_smaps(usage.smaps.as_ref(), point);
        point.field(&COMMAND_LINE, command_line).field(&PARENT, stat.parent.into());
        point.field(&STATUS, status(stat.state)).some(&USER_NAME, with_user.then_some(user.as_str()));
    }

    fn created_at(&self, ticks: u64) -> Option<i64> {
        const NANOSECONDS: u64 = 1_000_000_000;
        let since_boot = ticks.checked_mul(NANOSECONDS / TICKS_PER_SECOND)?;
        let boot = self.boot_time_seconds?.checked_mul(NANOSECONDS)?;
        boot.checked_add(since_boot)?.try_into().ok()
    }

    fn write_resident(&self, bytes: u64, point: &mut Point<'_>) {
        point.field(&MEMORY_RSS, bytes);
        point.some(&MEMORY_USAGE, self.memory_bytes.map(|memory| percent(bytes, memory)));
    }
}

/// The counters, and the CPU time since the earlier ones.
fn write_counters(counters: &Counters, has_io: bool, earlier: Option<(Counters, Duration)>, point: &mut Point<'_>) {
    let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND as f64;
    let io = has_io.then_some(&counters.io);
    point.field(&CHILD_MAJOR_FAULTS, counters.child_major_faults);
    point.field(&CHILD_MINOR_FAULTS, counters.child_minor_faults);
    point.field(&MAJOR_FAULTS, counters.major_faults).field(&MINOR_FAULTS, counters.minor_faults);
    point.field(&IOWAIT, seconds(counters.io_delay_ticks));
    point.field(&SYSTEM, seconds(counters.system_ticks)).field(&USER, seconds(counters.user_ticks));
    point.field(&VOLUNTARY, counters.voluntary_switches).field(&INVOLUNTARY, counters.involuntary_switches);
    point.some(&READ_BYTES, io.map(|io| io.read_bytes)).some(&WRITTEN_BYTES, io.map(|io| io.written_bytes));
    point.some(&READS, io.map(|io| io.reads)).some(&WRITES, io.map(|io| io.writes));
    point.some(&STORAGE_READ, io.map(|io| io.storage_read_bytes));
    point.some(&STORAGE_WRITTEN, io.map(|io| io.storage_written_bytes));
    if let Some((earlier, elapsed)) = earlier {
        let used = counters.since(&earlier);
        point.field(&CPU_USAGE, seconds(used.user_ticks + used.system_ticks) / elapsed.as_secs_f64() * 100.0);
    }
}

fn write_smaps(smaps: Option<&Smaps>, point: &mut Point<'_>) {
    let Some(smaps) = smaps else { return };
    for (field, kib) in [
        (&MEMORY_ANONYMOUS, smaps.anonymous),
        (&MEMORY_PRIVATE_CLEAN, smaps.private_clean),
        (&MEMORY_PRIVATE_DIRTY, smaps.private_dirty),
        (&MEMORY_PSS, smaps.pss),
        (&MEMORY_REFERENCED, smaps.referenced),
        (&MEMORY_SHARED_CLEAN, smaps.shared_clean),
        (&MEMORY_SHARED_DIRTY, smaps.shared_dirty),
        (&MEMORY_SWAP, smaps.swap),
    ] {
        point.field(field, kib);
    }
}

/// Telegraf's word for a state: that of gopsutil.
fn status(state: char) -> &'static str {
    match state {
        'R' => "running",
        'S' => "sleep",
        'D' => "blocked",
        'T' | 't' => "stop",
        'I' => "idle",
        'Z' => "zombie",
        'W' => "wait",
        'L' => "lock",
        _ => "",
    }
}
