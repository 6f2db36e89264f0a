//! Events of the CPUs as perf counts them.

mod events;

use std::collections::BTreeMap;

use self::events::{Group, PROFILERS};
use super::cpu_list::cpu_list;
use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
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
    /// Nothing for all that are online.
    cpus: Option<Vec<u32>>,
    /// Which of [`PROFILERS`].
    profilers: Vec<usize>,
    tracepoints: Vec<Tracepoint>,
    counters: BTreeMap<u32, Vec<Opened>>,
}

struct Tracepoint {
    /// `subsystem_event`.
    name: String,
    /// Where its number stands: below tracefs, or below debugfs on old kernels.
    numbers: [HostFile; 2],
}

/// An open counter, and what it counts.
struct Opened {
    of: Of,
    counter: Box<dyn Counter>,
}

#[derive(Clone, Copy)]
enum Of {
    Profiler(usize),
    Tracepoint(usize),
}

const CPUS: Key<String> =
    Key::new("cpus", "\"\"", "The CPUs whose events are counted, such as 0-7,16-31:2; all that are online if empty.");
const TRACEPOINT: Key<Vec<String>> =
    Key::new("tracepoint", "[]", "Tracepoints that are counted, as subsystem:event: sched:sched_process_fork.");
const DISABLE: [Key<bool>; 3] = [
    Key::new("disable_hardware_profilers", "false", "Whether no events of the CPU's own are counted."),
    Key::new("disable_software_profilers", "false", "Whether no events of the kernel's are counted."),
    Key::new("disable_cache_profilers", "false", "Whether no events of the CPU's caches are counted."),
];
const CHOOSE: [Key<Vec<String>>; 3] = [
    Key::new("hardware_profilers", "[]", "The CPU's own events that are counted, such as CpuCycles; all if empty."),
    Key::new("software_profilers", "[]", "The kernel's events that are counted, such as PageFault; all if empty."),
    Key::new("cache_profilers", "[]", "The events of caches that are counted, such as LLReadMiss; all if empty."),
];
const KEYS: [KeyInfo; 8] = concat(&[&[CPUS.info(), TRACEPOINT.info()], &infos!(DISABLE), &infos!(CHOOSE)]);

impl Collector for Perf {
    const ABOUT: About = About {
        name: "perf",
        summary: "events of the CPUs: cycles, instructions, misses of caches, faults, tracepoints",
        reads: &["perf_event_open(2)", "/sys/devices/system/cpu/online", "/sys/kernel/tracing/events/*/*/id"],
        needs: "CAP_PERFMON, or kernel.perf_event_paranoid at 0 or below; a descriptor for each event on each CPU",
        on_by_default: Vocabularies::NONE,
        keys: &KEYS,
        families: &concat::<_, 31>(&[&infos!(PROFILERS.family), &[TRACED.info()]]),
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
        for (group, (disable, choose)) in Group::ALL.into_iter().zip(DISABLE.iter().zip(&CHOOSE)) {
            let (is_disabled, chosen) = (section.get(disable), section.get(choose));
            let of_group = || PROFILERS.iter().enumerate().filter(move |(_, profiler)| profiler.group == group);
            for name in chosen.iter().filter(|name| !of_group().any(|(_, profiler)| profiler.name == **name)) {
                let known = of_group().map(|(_, profiler)| profiler.name).collect::<Vec<_>>().join(", ");
                section.wrong(choose.info().name, format!("there is no {name:?}; there are {known}"));
            }
            let is_wanted =
                |name: &str| !is_disabled && (chosen.is_empty() || chosen.iter().any(|other| other == name));
            profilers.extend(of_group().filter(|(_, profiler)| is_wanted(profiler.name)).map(|(number, _)| number));
        }
        let mut tracepoints = Vec::new();
        for name in section.get(&TRACEPOINT) {
            match name
                .split_once(':')
                .filter(|(subsystem, event)| ![*subsystem, *event].iter().any(|part| is_odd(part)))
            {
                Some((subsystem, event)) => tracepoints.push(Tracepoint::new(host, subsystem, event)),
                None => section.wrong(TRACEPOINT.info().name, format!("expected subsystem:event, found {name:?}")),
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
            None => cpu_list(&self.online.read(cx.buffer)?.trimmed()).unwrap_or_default(),
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
            for Opened { of, counter } in counters {
                // What was never counted has no value.
                let Some(count) = counter.read().ok().and_then(|count| count.scaled()) else { continue };
                match of {
                    Of::Profiler(number) => reading.put(&PROFILERS[*number].family, [&cpu], count),
                    Of::Tracepoint(number) => {
                        reading.put_keyed(&TRACED, &self.tracepoints[*number].name, [&cpu], count);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Perf {
    /// Opens what can be counted on a CPU. What the CPU cannot count is left out; what we may not count is an error.
    fn open(&mut self, cx: &mut ReadContext<'_>, cpu: u32) -> Result<Vec<Opened>, ReadError> {
        const TRACEPOINTS: u32 = 2;
        let mut wanted: Vec<(Of, Event)> =
            self.profilers.iter().map(|number| (Of::Profiler(*number), PROFILERS[*number].event)).collect();
        for (number, tracepoint) in self.tracepoints.iter_mut().enumerate() {
            let [first, second] = &mut tracepoint.numbers;
            let mut number_in = |file: &mut HostFile| file.read(cx.buffer).and_then(|text| text.number("a number"));
            let event = number_in(first).or_else(|error| number_in(second).map_err(|_| error))?;
            wanted.push((Of::Tracepoint(number), Event { kind: TRACEPOINTS, number: event }));
        }
        let mut opened = Vec::new();
        let mut all_absent = None;
        for (of, event) in wanted {
            match cx.host.kernel.counter(event, cpu) {
                Ok(counter) => opened.push(Opened { of, counter }),
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

/// Why no more counters can be had, and what to do.
fn too_many() -> ReadError {
    let most = COUNTERS.most();
    let reason = format!(
        "the limit of open files leaves room for {most} counters, and each event on each CPU is one; raise it \
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

/// Whether this cannot be the name of a directory in tracefs.
fn is_odd(name: &str) -> bool {
    name.is_empty() || name.contains('/') || name.starts_with('.')
}

const TRACED: Family<1> = Family::untyped("node_perf_KEY", "Times that the tracepoint was passed.", ["cpu"]);
