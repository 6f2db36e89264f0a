//! The families of process-exporter.

use super::reading::{GroupReading, ProcstatReading, STATES, TICKS_PER_SECOND};
use super::threads::NamedThreads;
use crate::collectors::framework::{Reading, Since};
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter, PointWriter};

const GROUP: [&str; 1] = ["groupname"];
const PROCESSES: Family<1> = Family::gauge("namedprocess_namegroup_num_procs", "Processes in the group", GROUP);
const CPU: Family<2> =
    Family::counter("namedprocess_namegroup_cpu_seconds_total", "CPU time by mode", ["groupname", "mode"]);
const READ: Family<1> =
    Family::counter("namedprocess_namegroup_read_bytes_total", "Bytes read from the storage layer", GROUP);
const WRITTEN: Family<1> =
    Family::counter("namedprocess_namegroup_write_bytes_total", "Bytes written to the storage layer", GROUP);
const MAJOR_FAULTS: Family<1> =
    Family::counter("namedprocess_namegroup_major_page_faults_total", "Major page faults", GROUP);
const MINOR_FAULTS: Family<1> =
    Family::counter("namedprocess_namegroup_minor_page_faults_total", "Minor page faults", GROUP);
const SWITCHES: Family<2> = Family::counter(
    "namedprocess_namegroup_context_switches_total",
    "Context switches of main threads",
    ["groupname", "ctxswitchtype"],
);
const MEMORY: Family<2> =
    Family::gauge("namedprocess_namegroup_memory_bytes", "Memory in use by type", ["groupname", "memtype"]);
const OPEN_FILES: Family<1> = Family::gauge("namedprocess_namegroup_open_filedesc", "Open file descriptors", GROUP);
const WORST_OPEN_FILES: Family<1> = Family::gauge(
    "namedprocess_namegroup_worst_fd_ratio",
    "Largest ratio of open file descriptors to the soft limit, of all processes",
    GROUP,
);
const OLDEST_START: Family<1> = Family::gauge(
    "namedprocess_namegroup_oldest_start_time_seconds",
    "Unix time of the start of the oldest process",
    GROUP,
);
const THREADS: Family<1> = Family::gauge("namedprocess_namegroup_num_threads", "Threads", GROUP);
const STATE: Family<2> = Family::gauge("namedprocess_namegroup_states", "Processes by state", ["groupname", "state"]);
const THREAD: [&str; 2] = ["groupname", "threadname"];
const THREAD_COUNT: Family<2> = Family::gauge("namedprocess_namegroup_thread_count", "Threads by name", THREAD);
const THREAD_CPU: Family<3> = Family::counter(
    "namedprocess_namegroup_thread_cpu_seconds_total",
    "CPU time of threads by name and mode",
    ["groupname", "threadname", "mode"],
);
const THREAD_IO: Family<3> = Family::counter(
    "namedprocess_namegroup_thread_io_bytes_total",
    "Bytes that threads transferred from and to the storage layer, by name",
    ["groupname", "threadname", "iomode"],
);
const THREAD_MAJOR_FAULTS: Family<2> = Family::counter(
    "namedprocess_namegroup_thread_major_page_faults_total",
    "Major page faults of threads by name",
    THREAD,
);
const THREAD_MINOR_FAULTS: Family<2> = Family::counter(
    "namedprocess_namegroup_thread_minor_page_faults_total",
    "Minor page faults of threads by name",
    THREAD,
);
const THREAD_SWITCHES: Family<3> = Family::counter(
    "namedprocess_namegroup_thread_context_switches_total",
    "Context switches of threads by name",
    ["groupname", "threadname", "ctxswitchtype"],
);
const WAITS: Family<2> = Family::gauge(
    "namedprocess_namegroup_threads_wchan",
    "Threads by the kernel function that they wait in",
    ["groupname", "wchan"],
);
const READING_ERRORS: Family<0> = Family::counter("namedprocess_scrape_errors", "Readings that failed as a whole", []);
const PROCESS_ERRORS: Family<0> =
    Family::counter("namedprocess_scrape_procread_errors", "Processes that could not be read", []);
const PART_ERRORS: Family<0> = Family::counter(
    "namedprocess_scrape_partial_errors",
    "Processes whose I/O or open descriptors could not be read",
    [],
);

pub(super) const FAMILIES: &[FamilyInfo] = &[
    CPU.info(),
    SWITCHES.info(),
    MAJOR_FAULTS.info(),
    MEMORY.info(),
    MINOR_FAULTS.info(),
    PROCESSES.info(),
    THREADS.info(),
    OLDEST_START.info(),
    OPEN_FILES.info(),
    READ.info(),
    STATE.info(),
    THREAD_SWITCHES.info(),
    THREAD_COUNT.info(),
    THREAD_CPU.info(),
    THREAD_IO.info(),
    THREAD_MAJOR_FAULTS.info(),
    THREAD_MINOR_FAULTS.info(),
    WAITS.info(),
    WORST_OPEN_FILES.info(),
    WRITTEN.info(),
    READING_ERRORS.info(),
    PART_ERRORS.info(),
    PROCESS_ERRORS.info(),
];

/// Gets a value of a group; None if it could not be read.
type Value = fn(&GroupReading) -> Option<u64>;

impl Reading for ProcstatReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.cpu_and_memory(out);
        let counters: [(_, Value); 4] = [
            (&MAJOR_FAULTS, |group| Some(group.counters.major_faults)),
            (&MINOR_FAULTS, |group| Some(group.counters.minor_faults)),
            (&READ, |group| group.has_io.then_some(group.counters.io.storage_read_bytes)),
            (&WRITTEN, |group| group.has_io.then_some(group.counters.io.storage_written_bytes)),
        ];
        let gauges: [(_, Value); 3] = [
            (&PROCESSES, |group| Some(group.processes)),
            (&THREADS, |group| Some(group.threads)),
            (&OPEN_FILES, |group| group.open_files),
        ];
        for (family, value) in counters.into_iter().chain(gauges) {
            let mut samples = out.family(family);
            for group in &self.groups {
                if let Some(value) = value(group) {
                    samples.sample([&group.name], value);
                }
            }
        }
        let boot = self.boot_time_seconds;
        let mut samples = out.family(&OLDEST_START);
        for group in &self.groups {
            if let (Some(boot), Some(ticks)) = (boot, group.oldest_start_ticks) {
                samples.sample([&group.name], boot + ticks / TICKS_PER_SECOND);
            }
        }
        drop(samples);
        let mut samples = out.family(&WORST_OPEN_FILES);
        for group in &self.groups {
            if let Some(worst) = group.worst_open_files {
                samples.sample([&group.name], worst);
            }
        }
        drop(samples);
        let mut samples = out.family(&STATE);
        for group in &self.groups {
            for ((state, _), count) in STATES.iter().zip(group.states) {
                samples.sample([&group.name, state], count);
            }
        }
        drop(samples);
        self.threads(out);
        if let Some(errors) = self.errors {
            out.value(&READING_ERRORS, errors.readings);
            out.value(&PART_ERRORS, errors.parts);
            out.value(&PROCESS_ERRORS, errors.processes);
        }
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        self.write_points(since, out);
    }
}

impl ProcstatReading {
    fn cpu_and_memory(&self, out: &mut FamilyWriter<'_>) {
        let mut samples = out.family(&CPU);
        for group in &self.groups {
            samples.sample([&group.name, "user"], seconds(group.counters.user_ticks));
            samples.sample([&group.name, "system"], seconds(group.counters.system_ticks));
        }
        drop(samples);
        let mut samples = out.family(&SWITCHES);
        for group in &self.groups {
            samples.sample([&group.name, "voluntary"], group.counters.voluntary_switches);
            samples.sample([&group.name, "nonvoluntary"], group.counters.involuntary_switches);
        }
        drop(samples);
        const KIB: u64 = 1024;
        let mut samples = out.family(&MEMORY);
        for group in &self.groups {
            samples.sample([&group.name, "resident"], group.resident_pages.saturating_mul(self.page_size));
            samples.sample([&group.name, "virtual"], group.virtual_bytes);
            samples.sample([&group.name, "swapped"], group.swapped_bytes);
            if let Some(smaps) = &group.smaps {
                samples.sample([&group.name, "proportionalResident"], smaps.pss.saturating_mul(KIB));
                samples.sample([&group.name, "proportionalSwapped"], smaps.swap_pss.saturating_mul(KIB));
            }
        }
    }

    fn threads(&self, out: &mut FamilyWriter<'_>) {
        let all = || self.groups.iter().flat_map(GroupReading::named_threads);
        let mut samples = out.family(&THREAD_COUNT);
        all().for_each(|(group, name, threads)| samples.sample([group, name], threads.count));
        drop(samples);
        let mut samples = out.family(&THREAD_CPU);
        for (group, name, threads) in all() {
            samples.sample([group, name, "user"], seconds(threads.counters.user_ticks));
            samples.sample([group, name, "system"], seconds(threads.counters.system_ticks));
        }
        drop(samples);
        let mut samples = out.family(&THREAD_IO);
        for (group, name, threads) in all().filter(|(.., threads)| threads.has_io) {
            samples.sample([group, name, "read"], threads.counters.io.storage_read_bytes);
            samples.sample([group, name, "write"], threads.counters.io.storage_written_bytes);
        }
        drop(samples);
        let mut samples = out.family(&THREAD_MAJOR_FAULTS);
        all().for_each(|(group, name, threads)| samples.sample([group, name], threads.counters.major_faults));
        drop(samples);
        let mut samples = out.family(&THREAD_MINOR_FAULTS);
        all().for_each(|(group, name, threads)| samples.sample([group, name], threads.counters.minor_faults));
        drop(samples);
        let mut samples = out.family(&THREAD_SWITCHES);
        for (group, name, threads) in all() {
            samples.sample([group, name, "voluntary"], threads.counters.voluntary_switches);
            samples.sample([group, name, "nonvoluntary"], threads.counters.involuntary_switches);
        }
        drop(samples);
        let mut samples = out.family(&WAITS);
        for group in &self.groups {
            group.waits.iter().for_each(|(function, count)| samples.sample([&group.name, function], *count));
        }
    }
}

impl GroupReading {
    /// The names of the group and of its threads, with the threads.
    fn named_threads(&self) -> impl Iterator<Item = (&str, &str, &NamedThreads)> {
        self.threads_by_name.iter().map(|(name, threads)| (&*self.name, name.as_str(), threads))
    }
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SECOND as f64
}
