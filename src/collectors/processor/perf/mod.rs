//! CPU events counted by perf.

mod events;

use std::collections::BTreeMap;

use self::events::{Group, PROFILERS};
use super::cpu_list::{cpu_list, read_cpu_list};
use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Key, KeyInfo, Section};
use crate::descriptors::COUNTERS;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::errno::Errno;
use crate::host::perf::{Counter, Event};
use crate::host::{Host, HostFile, ReadError};

/// perf_event_open(2) on each CPU. The counters are opened at the first reading, and count from then on.
pub(super) struct Perf {
    online: HostFile,
    /// `None` for all online CPUs.
    cpus: Option<Vec<u32>>,
    /// Indexes into [`PROFILERS`].
    profilers: Vec<usize>,
    tracepoints: Vec<Tracepoint>,
    counters: BTreeMap<u32, Vec<OpenCounter>>,
}

struct Tracepoint {
    /// `subsystem_event`.
    name: String,
    /// File with its event ID: in tracefs, or in debugfs on old kernels.
    numbers: [HostFile; 2],
}

/// An open counter, and its event.
struct OpenCounter {
    event: EventIndex,
    counter: Box<dyn Counter>,
}

#[derive(Clone, Copy)]
enum EventIndex {
    Profiler(usize),
    Tracepoint(usize),
}

const CPUS: Key<String> =
    Key::new("cpus", "\"\"", "CPUs to count events on, such as 0-7,16-31:2; all online CPUs if empty.");
const TRACEPOINT: Key<Vec<String>> =
    Key::new("tracepoint", "[]", "Tracepoints to count, as subsystem:event, such as sched:sched_process_fork.");
const DISABLE: [Key<bool>; 3] = [
    Key::new("disable_hardware_profilers", "false", "Turns off hardware events."),
    Key::new("disable_software_profilers", "false", "Turns off software events."),
    Key::new("disable_cache_profilers", "false", "Turns off hardware cache events."),
];
const SELECT: [Key<Vec<String>>; 3] = [
    Key::new("hardware_profilers", "[]", "Hardware events to count, such as CpuCycles; all if empty."),
    Key::new("software_profilers", "[]", "Software events to count, such as PageFault; all if empty."),
    Key::new("cache_profilers", "[]", "Hardware cache events to count, such as LLReadMiss; all if empty."),
];
const KEYS: [KeyInfo; 8] = concat(&[&[CPUS.info(), TRACEPOINT.info()], &infos!(DISABLE), &infos!(SELECT)]);

impl Collector for Perf {
    const ABOUT: About = About {
        name: "perf",
        summary: "perf events of the CPUs: cycles, instructions, cache misses, page faults, tracepoints",
        reads: &["perf_event_open(2)", "/sys/devices/system/cpu/online", "/sys/kernel/tracing/events/*/*/id"],
        needs: "CAP_PERFMON, or kernel.perf_event_paranoid at 0 or below; one file descriptor per event and CPU",
        on_by_default: Vocabularies::NONE,
        keys: &KEYS,
        families: &concat::<_, 31>(&[&infos!(PROFILERS.family), &[TRACEPOINT_HITS.info()]]),
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let cpus = section.get(&CPUS);
        let listed = cpu_list(&cpus);
        if listed.is_none() {
            section.wrong(CPUS.info().name, format!("expected CPUs such as 0-7,16-31:2, found {cpus:?}"));
        }
        let mut profilers = Vec::new();
        for (group, (disable, select)) in Group::ALL.into_iter().zip(DISABLE.iter().zip(&SELECT)) {
            let is_disabled = section.get(disable);
            let in_group = || PROFILERS.iter().enumerate().filter(move |(_, profiler)| profiler.group == group);
            let names: Vec<&str> = in_group().map(|(_, profiler)| profiler.name).collect();
            let selected = section.some_of(select, &names);
            let is_wanted =
                |name: &str| !is_disabled && (selected.is_empty() || selected.iter().any(|other| other == name));
            profilers.extend(in_group().filter(|(_, profiler)| is_wanted(profiler.name)).map(|(number, _)| number));
        }
        let mut tracepoints = Vec::new();
        for (index, name) in section.get(&TRACEPOINT).into_iter().enumerate() {
            match name
                .split_once(':')
                .filter(|(subsystem, event)| ![*subsystem, *event].iter().any(|part| is_invalid_name(part)))
            {
                Some((subsystem, event)) => tracepoints.push(Tracepoint::new(host, subsystem, event)),
                None => {
                    let message = format!("expected subsystem:event, found {name:?}");
                    section.wrong_element(TRACEPOINT.info().name, index, message);
                }
            }
        }
        Perf {
            online: host.sys("devices/system/cpu/online"),
            cpus: listed.filter(|listed| !listed.is_empty()),
            profilers,
            tracepoints,
            counters: BTreeMap::new(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let cpus = match &self.cpus {
            Some(cpus) => cpus.clone(),
            None => read_cpu_list(self.online.read(cx.buffer)?)?,
        };
        self.counters.retain(|cpu, _| cpus.contains(cpu));
        for cpu in cpus {
            if !self.counters.contains_key(&cpu) {
                let opened = self.open(cx, cpu)?;
                self.counters.insert(cpu, opened);
            }
        }
        for (cpu, counters) in &mut self.counters {
            let cpu = cpu.to_string();
            for OpenCounter { event, counter } in counters {
                // A counter that was never scheduled has no value.
                let Some(count) = counter.read().ok().and_then(|count| count.scaled()) else { continue };
                match event {
                    EventIndex::Profiler(number) => reading.put(&PROFILERS[*number].family, [&cpu], count),
                    EventIndex::Tracepoint(number) => {
                        reading.put_keyed(&TRACEPOINT_HITS, &self.tracepoints[*number].name, [&cpu], count);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Perf {
    /// Opens the counters of a CPU. Skips events that the CPU does not support. A lack of permission is an error.
    fn open(&mut self, cx: &mut ReadContext<'_>, cpu: u32) -> Result<Vec<OpenCounter>, ReadError> {
        const TRACEPOINTS: u32 = 2;
        let mut wanted: Vec<(EventIndex, Event)> =
            self.profilers.iter().map(|number| (EventIndex::Profiler(*number), PROFILERS[*number].event)).collect();
        for (number, tracepoint) in self.tracepoints.iter_mut().enumerate() {
            let [first, second] = &mut tracepoint.numbers;
            let mut number_in = |file: &mut HostFile| file.read(cx.buffer).and_then(|text| text.number("a number"));
            let event = number_in(first).or_else(|error| number_in(second).map_err(|_| error))?;
            wanted.push((EventIndex::Tracepoint(number), Event { kind: TRACEPOINTS, number: event }));
        }
        let mut opened = Vec::new();
        let mut all_absent = None;
        for (event, request) in wanted {
            match cx.host.kernel.counter(request, cpu) {
                Ok(counter) => opened.push(OpenCounter { event, counter }),
                Err(Errno::MFILE) => return Err(too_many()),
                Err(error) => {
                    let refused = cx.host.refused("perf_event_open(2)", error);
                    if !refused.is_absent() {
                        return Err(refused);
                    }
                    all_absent = Some(refused);
                }
            }
        }
        match all_absent {
            Some(absent) if opened.is_empty() => Err(absent),
            _ => Ok(opened),
        }
    }
}

/// The error when the descriptor limit is reached, with its remedy.
fn too_many() -> ReadError {
    let max = COUNTERS.limit();
    let reason = format!(
        "the limit of open files leaves room for {max} counters, and each event on each CPU is one; raise it \
         (LimitNOFILE= of the service), or count fewer events"
    );
    ReadError::Refused { what: "perf_event_open(2)".to_owned(), reason }
}

impl Tracepoint {
    fn new(host: &Host, subsystem: &str, event: &str) -> Tracepoint {
        let number = |mount: &str| host.sys(format!("kernel/{mount}/events/{subsystem}/{event}/id"));
        Tracepoint { name: format!("{subsystem}_{event}"), numbers: [number("tracing"), number("debug/tracing")] }
    }
}

/// Whether the name is not a valid directory name in tracefs.
fn is_invalid_name(name: &str) -> bool {
    name.is_empty() || name.contains('/') || name.starts_with('.')
}

const TRACEPOINT_HITS: Family<1> = Family::untyped("node_perf_KEY", "Tracepoint hits", ["cpu"]);
