//! How many processes and threads there are, by state.

use std::collections::{BTreeMap, HashMap};

use super::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::Section;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, ReadError, Text, file};

pub(super) struct Processes {
    threads_max: HostFile,
    pid_max: HostFile,
    /// The `stat` files of processes that were there last time, by number: some, as descriptors are few.
    stats: HashMap<String, HostFile>,
}

/// So that other collectors have descriptors left.
const MOST_KEPT: usize = 256;

/// The `stat` files of all processes, and for families of their threads: proc_pid_stat(5).
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
        needs: "the host's process namespace; the more processes there are, the more it costs",
        // Telegraf has it on, node_exporter off.
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
            stats: HashMap::new(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ProcessesReading) -> Result<(), ReadError> {
        *reading = ProcessesReading::default();
        let limit =
            |file: &mut HostFile, buffer: &mut Vec<u8>| file.read(buffer).and_then(|text| text.number("a limit"));
        let max_threads = limit(&mut self.threads_max, cx.buffer);
        reading.max_threads = cx.part(max_threads);
        let max_processes = limit(&mut self.pid_max, cx.buffer);
        reading.max_processes = cx.part(max_processes);

        let root = cx.host.proc_path("");
        let mut known = std::mem::take(&mut self.stats);
        for pid in file::list(&root)?.into_iter().filter(|name| is_number(name)) {
            let folder = root.join(&pid);
            let kept = known.remove(&pid);
            let mut stat = kept.unwrap_or_else(|| HostFile::new(folder.join("stat")).one_record());
            // Processes come and go while they are listed.
            let Ok(Some((state, threads))) = stat.read(cx.buffer).map(state_and_threads) else { continue };
            if self.stats.len() < MOST_KEPT {
                self.stats.insert(pid, stat);
            }
            *reading.states.entry(state).or_default() += 1;
            reading.threads = reading.threads.saturating_add(threads);
            if cx.wanted.families {
                let tasks = folder.join("task");
                for task in file::list(&tasks).unwrap_or_default() {
                    if let Some((state, _)) = read_stat(cx, &tasks.join(task)) {
                        *reading.thread_states.entry(state).or_default() += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

fn read_stat(cx: &mut ReadContext<'_>, folder: &std::path::Path) -> Option<(char, u64)> {
    match file::read_once(&folder.join("stat"), cx.buffer).map(state_and_threads) {
        Ok(Some(found)) => Some(found),
        Ok(None) | Err(_) => None,
    }
}

/// The state, and the number of threads, of a `stat` file. The name before them may hold anything, parentheses too.
fn state_and_threads(text: Text<'_>) -> Option<(char, u64)> {
    const STATE_TO_THREADS: usize = 16;
    let name_ends = memchr::memrchr(b')', text.bytes())?;
    let mut fields = std::str::from_utf8(&text.bytes()[name_ends + 1..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let threads = fields.nth(STATE_TO_THREADS)?.parse().ok()?;
    Some((state, threads))
}

const MAX_PROCESSES: Family<0> =
    Family::gauge("node_processes_max_processes", "Process numbers that the kernel gives out at the most.", []);
const MAX_THREADS: Family<0> =
    Family::gauge("node_processes_max_threads", "Threads that the kernel allows at the most.", []);
const PIDS: Family<0> = Family::gauge("node_processes_pids", "Processes.", []);
const STATE: Family<1> = Family::gauge("node_processes_state", "Processes by state.", ["state"]);
const THREADS: Family<0> = Family::gauge("node_processes_threads", "Threads of all processes.", []);
const THREADS_STATE: Family<1> = Family::gauge("node_processes_threads_state", "Threads by state.", ["thread_state"]);

/// Which states count as which field; a state that is none of them is unknown.
const BY_STATE: [(&str, Field<i64>); 8] = [
    ("R", Field::new("running", "processes that run or could run")),
    ("S", Field::new("sleeping", "processes that wait and can be interrupted")),
    ("D", Field::new("blocked", "processes that wait and cannot be interrupted")),
    ("Z", Field::new("zombies", "processes that ended and were not waited for")),
    ("X", Field::new("dead", "processes that are about to vanish")),
    ("Tt", Field::new("stopped", "processes that were stopped")),
    ("W", Field::new("paging", "processes that wait for their memory; none since Linux 2.6")),
    ("I", Field::new("idle", "idle threads of the kernel")),
];
const PARKED: Field<i64> = Field::new("parked", "parked threads of the kernel; only while there are any");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = b"7 (odd) S (na\nme) Z 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 3 0 99";
        assert_eq!(state_and_threads(Text::new("stat".as_ref(), stat)), Some(('Z', 3)));
        assert_eq!(state_and_threads(Text::new("stat".as_ref(), b"7 (cut")), None);
    }
}
