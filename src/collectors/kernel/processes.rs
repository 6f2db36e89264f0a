//! Processes and threads by state.

use std::collections::BTreeMap;

use crate::collectors::framework::{About, Collector, Problems, ReadContext, Reading, Since, Vocabularies};
use crate::config::Section;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, ProcessStat, ReadError, file};

pub(super) struct Processes {
    threads_max: HostFile,
    pid_max: HostFile,
    thread: ProcessStat,
}

/// `stat` files of all processes, and for families of their threads: proc_pid_stat(5).
#[derive(Default)]
pub(super) struct ProcessesReading {
    states: BTreeMap<char, u64>,
    threads: u64,
    thread_states: BTreeMap<char, u64>,
    max_threads: Option<u64>,
    max_processes: Option<u64>,
}

impl Collector for Processes {
    const ABOUT: About = About {
        name: "processes",
        summary: "processes and threads by state",
        reads: &["/proc/*/stat", "/proc/*/task/*/stat", "/proc/sys/kernel/{threads-max,pid_max}"],
        needs: "the PID namespace of the host; the cost grows with the number of processes",
        // Telegraf enables it by default, node_exporter does not.
        on_by_default: Vocabularies::POINTS,
        families: &[
            MAX_PROCESSES.info(),
            MAX_THREADS.info(),
            PIDS.info(),
            STATE.info(),
            THREADS.info(),
            THREADS_STATE.info(),
        ],
        measurements: &[PROCESSES.info()],
        ..About::PLAIN
    };
    type Reading = ProcessesReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Processes {
            threads_max: host.proc("sys/kernel/threads-max").one_record(),
            pid_max: host.proc("sys/kernel/pid_max").one_record(),
            thread: ProcessStat::default(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ProcessesReading) -> Result<(), ReadError> {
        *reading = ProcessesReading::default();
        let limit =
            |file: &mut HostFile, buffer: &mut Vec<u8>| file.read(buffer).and_then(|text| text.number("a limit"));
        let max_threads = limit(&mut self.threads_max, cx.buffer);
        // Every kernel has the limits.
        reading.max_threads = max_threads.map_err(|error| cx.problem(error)).ok();
        let max_processes = limit(&mut self.pid_max, cx.buffer);
        reading.max_processes = max_processes.map_err(|error| cx.problem(error)).ok();

        let ReadContext { round, host, buffer, problems, .. } = cx;
        let mut pids = cx.wanted.families.then(Vec::new);
        host.processes().each(*round, buffer, problems, |process| {
            *reading.states.entry(process.state).or_default() += 1;
            reading.threads = reading.threads.saturating_add(process.threads);
            pids.iter_mut().for_each(|pids| pids.push(process.pid));
        })?;
        for pid in pids.unwrap_or_default() {
            let tasks = cx.host.proc_path(format!("{pid}/task"));
            for task in file::list(&tasks).unwrap_or_default() {
                // A thread can end while the threads are listed.
                let path = tasks.join(task).join("stat");
                let Ok(text) = file::read_once(&path, cx.buffer) else { continue };
                if cx.problems.part(self.thread.parse(text)).is_some() {
                    *reading.thread_states.entry(self.thread.state).or_default() += 1;
                }
            }
        }
        Ok(())
    }
}

const MAX_PROCESSES: Family<0> = Family::gauge("node_processes_max_processes", "Maximum PID (kernel.pid_max)", []);
const MAX_THREADS: Family<0> =
    Family::gauge("node_processes_max_threads", "Maximum number of threads (kernel.threads-max)", []);
const PIDS: Family<0> = Family::gauge("node_processes_pids", "Processes", []);
const STATE: Family<1> = Family::gauge("node_processes_state", "Processes by state", ["state"]);
const THREADS: Family<0> = Family::gauge("node_processes_threads", "Threads", []);
const THREADS_STATE: Family<1> = Family::gauge("node_processes_threads_state", "Threads by state", ["thread_state"]);

/// State letters and their fields. Any other state counts as unknown.
const BY_STATE: [(&str, Field<i64>); 8] = [
    ("R", Field::new("running", "running or runnable processes")),
    ("S", Field::new("sleeping", "processes in interruptible sleep")),
    ("D", Field::new("blocked", "processes in uninterruptible sleep")),
    ("Z", Field::new("zombies", "zombies: terminated, not reaped by the parent")),
    ("X", Field::new("dead", "dead processes")),
    ("Tt", Field::new("stopped", "stopped or traced processes")),
    ("W", Field::new("paging", "paging processes; none since Linux 2.6")),
    ("I", Field::new("idle", "idle kernel threads")),
];
const PARKED: Field<i64> = Field::new("parked", "parked kernel threads; absent if there are none");
const UNKNOWN: Field<i64> = Field::new("unknown", "processes in any other state");
const TOTAL: Field<i64> = Field::new("total", "processes");
const TOTAL_THREADS: Field<i64> = Field::new("total_threads", "threads of all processes");
const PROCESSES: Measurement<0> = Measurement::new("processes", [], &PROCESSES_FIELDS);
const PROCESSES_FIELDS: [FieldInfo; BY_STATE.len() + 4] =
    concat(&[&infos!(BY_STATE.1), &[PARKED.info(), UNKNOWN.info(), TOTAL.info(), TOTAL_THREADS.info()]]);

impl Reading for ProcessesReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if self.states.is_empty() {
            return;
        }
        for (family, limit) in [(&MAX_PROCESSES, self.max_processes), (&MAX_THREADS, self.max_threads)] {
            if let Some(limit) = limit {
                out.value(family, limit);
            }
        }
        out.value(&PIDS, self.states.values().sum::<u64>());
        let mut letter = [0; 4];
        let mut samples = out.family(&STATE);
        for (state, count) in &self.states {
            samples.sample([state.encode_utf8(&mut letter)], *count);
        }
        drop(samples);
        out.value(&THREADS, self.threads);
        let mut samples = out.family(&THREADS_STATE);
        for (state, count) in &self.thread_states {
            samples.sample([state.encode_utf8(&mut letter)], *count);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        if self.states.is_empty() {
            return;
        }
        let count = |letters: &str| {
            let counts = self.states.iter().filter(|(state, _)| letters.contains(**state));
            counts.map(|(_, count)| *count as i64).sum::<i64>()
        };
        let mut point = out.point(&PROCESSES, []);
        let total = self.states.values().sum::<u64>() as i64;
        let parked = count("P");
        let mut unknown = total - parked;
        for (letters, field) in &BY_STATE {
            unknown -= count(letters);
            point.field(field, count(letters));
        }
        point.some(&PARKED, (parked > 0).then_some(parked));
        point.field(&UNKNOWN, unknown).field(&TOTAL, total).field(&TOTAL_THREADS, self.threads as i64);
    }
}
