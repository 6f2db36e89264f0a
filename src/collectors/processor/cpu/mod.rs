//! CPU time by mode, CPU sets, thermal throttling and CPU models.

mod info;
mod points;
mod sysfs;

use std::collections::HashMap;
use std::sync::Arc;

use self::points::CPU;
use self::sysfs::{Core, CpuSets, Throttled, Throttles, Topology};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::{Key, Section};
use crate::encode::infos::concat;
use crate::encode::{Family, FamilyWriter, PointWriter};
use crate::host::{Host, Line, ReadError, SharedFile, portable};

/// Ticks per second in `/proc/stat`: USER_HZ, which is 100 on every supported architecture.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct Cpu {
    stat: SharedFile,
    sets: CpuSets,
    throttles: Throttles,
    topology: Topology,
    info: info::Source,
    shows_guest: bool,
    last: Vec<CpuTimes>,
    last_total: Option<Ticks>,
    points: PointSettings,
}

#[derive(Clone, Copy, Debug, Default)]
struct PointSettings {
    percpu: bool,
    totalcpu: bool,
    collect_cpu_time: bool,
    report_active: bool,
    core_tags: bool,
}

const GUEST: Key<bool> = Key::new("guest", "true", "CPU time of guests: node_cpu_guest_seconds_total.");
const PERCPU: Key<bool> = Key::new("percpu", "true", "A point for each CPU.");
const TOTALCPU: Key<bool> = Key::new("totalcpu", "true", "A point for the sum of all CPUs, `cpu=cpu-total`.");
const COLLECT_CPU_TIME: Key<bool> = Key::new("collect_cpu_time", "false", "The `time_*` fields: seconds since boot.");
const REPORT_ACTIVE: Key<bool> =
    Key::new("report_active", "false", "The `usage_active` and `time_active` fields: all modes but idle.");

const CORE_TAGS: Key<bool> = Key::new("core_tags", "false", "The tags `core_id` and `physical_id`.");

/// The modes in the order of `/proc/stat`'s columns: fs/proc/stat.c, `show_stat`.
#[derive(Clone, Copy)]
enum Mode {
    User,
    Nice,
    System,
    Idle,
    Iowait,
    Irq,
    Softirq,
    Steal,
    Guest,
    GuestNice,
}

const MODES: usize = 10;
type Ticks = [u64; MODES];

/// Content of `/proc/stat`, and of sysfs for the CPUs.
#[derive(Default)]
pub(super) struct CpuReading {
    total: Option<Ticks>,
    cpus: Vec<CpuTimes>,
    online: Vec<(u32, bool)>,
    isolated: Vec<u32>,
    throttled_cores: Vec<Throttled>,
    throttled_packages: Vec<Throttled>,
    /// The core of each CPU, with `core_tags`.
    cores: Arc<HashMap<u32, Core>>,
    info: info::Info,
    points: PointSettings,
    shows_guest: bool,
    /// Whether the source has busy and idle time only, exported as user and idle.
    is_coarse: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct CpuTimes {
    number: u32,
    ticks: Ticks,
}

impl Collector for Cpu {
    const ABOUT: About = About {
        name: "cpu",
        summary: "CPU time by mode",
        reads: &["/proc/stat", "/proc/cpuinfo", "/sys/devices/system/cpu"],
        keys: &concat::<_, 4>(&[&[GUEST.info()], &info::KEYS]),
        point_keys: &[PERCPU.info(), TOTALCPU.info(), COLLECT_CPU_TIME.info(), REPORT_ACTIVE.info(), CORE_TAGS.info()],
        families: &[
            SECONDS.info(),
            GUEST_SECONDS.info(),
            ONLINE.info(),
            ISOLATED.info(),
            CORE_THROTTLES.info(),
            PACKAGE_THROTTLES.info(),
            info::CPU_INFO.info(),
            info::FLAG_INFO.info(),
            info::BUG_INFO.info(),
        ],
        measurements: &[CPU.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = CpuReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let mut points = section.table("points");
        Cpu {
            stat: host.shared_proc("stat"),
            sets: CpuSets::new(host),
            throttles: Throttles::default(),
            topology: Topology::default(),
            info: info::Source::new(host, section),
            shows_guest: section.get(&GUEST),
            last: Vec::new(),
            last_total: None,
            points: PointSettings {
                percpu: points.get(&PERCPU),
                totalcpu: points.get(&TOTALCPU),
                collect_cpu_time: points.get(&COLLECT_CPU_TIME),
                report_active: points.get(&REPORT_ACTIVE),
                core_tags: points.get(&CORE_TAGS),
            },
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut CpuReading) -> Result<(), ReadError> {
        let (cpus, points, shows_guest) = (std::mem::take(&mut reading.cpus), self.points, self.shows_guest);
        *reading = CpuReading { cpus, points, shows_guest, ..CpuReading::default() };
        reading.cpus.clear();
        if let Some(portable) = cx.host.by_sysinfo() {
            reading.fill(&portable.cpus());
            return Ok(());
        }
        let text = self.stat.read(cx.round, cx.buffer)?;
        for line in text.lines() {
            let Some(name) = line.fields().next().filter(|name| name.starts_with(b"cpu")) else { break };
            match read_ticks(line) {
                Ok(ticks) if name == b"cpu" => reading.total = Some(ticks),
                Ok(ticks) => {
                    match crate::host::text::Number::parse(&name[3..]).and_then(|n: u64| u32::try_from(n).ok()) {
                        Some(number) => reading.cpus.push(CpuTimes { number, ticks }),
                        None => cx.problems.push(line.malformed("a CPU's number behind cpu", name)),
                    }
                }
                Err(error) => cx.problems.push(error),
            }
        }
        if reading.cpus.is_empty() {
            cx.problems.push(text.first_line().malformed("lines of CPUs", text.first_line().bytes()));
        }
        self.keep_from_going_back(reading);
        if cx.wanted.families {
            self.read_sysfs(cx, reading);
        }
        if cx.wanted.points && self.points.core_tags {
            reading.cores = self.topology.read(cx, reading.cpus.iter().map(|cpu| cpu.number));
        }
        let info = self.info.read(cx);
        reading.info = cx.part(info).unwrap_or_default();
        Ok(())
    }
}

impl CpuReading {
    /// Fills the reading from busy and idle times.
    fn fill(&mut self, cpus: &[portable::CpuTime]) {
        self.is_coarse = true;
        let mut total = Ticks::default();
        for (number, cpu) in cpus.iter().enumerate() {
            let mut ticks = Ticks::default();
            ticks[Mode::User as usize] = (cpu.busy_seconds * TICKS_PER_SECOND) as u64;
            ticks[Mode::Idle as usize] = (cpu.idle_seconds * TICKS_PER_SECOND) as u64;
            total.iter_mut().zip(ticks).for_each(|(total, ticks)| *total += ticks);
            self.cpus.push(CpuTimes { number: number as u32, ticks });
        }
        self.total = Some(total);
    }

    fn has_mode(&self, mode: Mode) -> bool {
        !self.is_coarse || matches!(mode, Mode::User | Mode::Idle)
    }
}

fn read_ticks(line: Line<'_>) -> Result<Ticks, ReadError> {
    let mut fields = line.fields();
    fields.next();
    let mut ticks = Ticks::default();
    for (column, tick) in ticks.iter_mut().enumerate() {
        // Kernels before 2.6.33 have fewer columns. Every kernel has user to idle.
        match fields.optional("a number of ticks")? {
            Some(value) => *tick = value,
            None if column > Mode::Idle as usize => break,
            None => return Err(line.malformed("at least four numbers of ticks", b"")),
        }
    }
    Ok(ticks)
}

impl Cpu {
    fn keep_from_going_back(&mut self, reading: &mut CpuReading) {
        for (index, cpu) in reading.cpus.iter_mut().enumerate() {
            // The order of the CPUs seldom changes.
            let is_same_cpu = |last: &&CpuTimes| last.number == cpu.number;
            let last = self.last.get(index).filter(is_same_cpu).or_else(|| self.last.iter().find(is_same_cpu));
            if let Some(last) = last {
                keep_from_going_back(&mut cpu.ticks, &last.ticks);
            }
        }
        if let (Some(total), Some(last)) = (&mut reading.total, &self.last_total) {
            keep_from_going_back(total, last);
        }
        self.last.clone_from(&reading.cpus);
        self.last_total = reading.total;
    }

    fn read_sysfs(&mut self, cx: &mut ReadContext<'_>, reading: &mut CpuReading) {
        self.sets.read(cx);
        let CpuSets { online, present, isolated, .. } = &self.sets;
        if let (Some(present), Some(online)) = (present, online) {
            reading.online.extend(present.iter().map(|number| (*number, online.binary_search(number).is_ok())));
        }
        reading.isolated.extend(isolated.iter().flatten());
        let online = online.as_deref().unwrap_or_default();
        self.throttles.read(cx, online, &mut reading.throttled_cores, &mut reading.throttled_packages);
    }
}

/// On some kernels idle and iowait decrease slightly, which a reader of the counter takes for a restart. A large
/// decrease of idle means that the CPU was hot-plugged: its counters restart.
fn keep_from_going_back(now: &mut Ticks, last: &Ticks) {
    const RESTART_TICKS: u64 = 300;
    let idle = Mode::Idle as usize;
    if last[idle].saturating_sub(now[idle]) < RESTART_TICKS {
        now.iter_mut().zip(last).for_each(|(now, last)| *now = *last.max(now));
    }
}

const SECONDS: Family<2> = Family::counter("node_cpu_seconds_total", "CPU time in each mode", ["cpu", "mode"]);
const GUEST_SECONDS: Family<2> = Family::counter(
    "node_cpu_guest_seconds_total",
    "CPU time spent running guests; included in user and nice of node_cpu_seconds_total",
    ["cpu", "mode"],
);
const ONLINE: Family<1> = Family::gauge("node_cpu_online", "1 if the CPU is online", ["cpu"]);
const ISOLATED: Family<1> =
    Family::gauge("node_cpu_isolated", "1 if the CPU is isolated from the scheduler (isolcpus)", ["cpu"]);
const CORE_THROTTLES: Family<2> =
    Family::counter("node_cpu_core_throttles_total", "Thermal throttle events of the core", ["core", "package"]);
const PACKAGE_THROTTLES: Family<1> =
    Family::counter("node_cpu_package_throttles_total", "Thermal throttle events of the package", ["package"]);

const MODE_LABELS: [(Mode, &str); 8] = [
    (Mode::User, "user"),
    (Mode::Nice, "nice"),
    (Mode::System, "system"),
    (Mode::Idle, "idle"),
    (Mode::Iowait, "iowait"),
    (Mode::Irq, "irq"),
    (Mode::Softirq, "softirq"),
    (Mode::Steal, "steal"),
];

impl Reading for CpuReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut digits = itoa::Buffer::new();
        let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
        let mut family = out.family(&SECONDS);
        for cpu in &self.cpus {
            let number = digits.format(cpu.number);
            for (mode, label) in MODE_LABELS.into_iter().filter(|(mode, _)| self.has_mode(*mode)) {
                family.sample([number, label], seconds(cpu.ticks[mode as usize]));
            }
        }
        drop(family);
        let mut family = out.family(&GUEST_SECONDS);
        for cpu in self.cpus.iter().filter(|_| self.shows_guest && self.has_mode(Mode::Guest)) {
            let number = digits.format(cpu.number);
            family.sample([number, "user"], seconds(cpu.ticks[Mode::Guest as usize]));
            family.sample([number, "nice"], seconds(cpu.ticks[Mode::GuestNice as usize]));
        }
        drop(family);
        let mut family = out.family(&ONLINE);
        self.online.iter().for_each(|(number, online)| family.sample([digits.format(*number)], *online));
        drop(family);
        let mut family = out.family(&ISOLATED);
        self.isolated.iter().for_each(|number| family.sample([digits.format(*number)], 1u64));
        drop(family);
        let mut family = out.family(&CORE_THROTTLES);
        self.throttled_cores.iter().for_each(|t| family.sample([&t.core, &t.package], t.count));
        drop(family);
        let mut family = out.family(&PACKAGE_THROTTLES);
        self.throttled_packages.iter().for_each(|t| family.sample([&t.package], t.count));
        drop(family);
        self.info.families(out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        if self.points.percpu {
            for cpu in &self.cpus {
                let last = since.and_then(|since| since.previous.cpus.iter().find(|last| last.number == cpu.number));
                let name = format!("cpu{}", cpu.number);
                self.write_point(&name, self.cores.get(&cpu.number), &cpu.ticks, last.map(|last| &last.ticks), out);
            }
        }
        if let Some(total) = self.total.as_ref().filter(|_| self.points.totalcpu) {
            let last = since.and_then(|since| since.previous.total.as_ref());
            self.write_point("cpu-total", None, total, last, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::points::{delta_since, parts, total};
    use super::*;

    #[test]
    fn a_counter_that_goes_back_a_little_stands_and_a_cpu_put_in_again_starts_anew() {
        let last = ticks(1000, 50);
        let after = |idle, iowait| {
            let mut now = ticks(idle, iowait);
            keep_from_going_back(&mut now, &last);
            now
        };
        assert_eq!(after(999, 40), ticks(1000, 50));
        assert_eq!(after(1100, 60), ticks(1100, 60));
        assert_eq!(after(5, 1), ticks(5, 1));
        assert_eq!(delta_since(&after(1100, 60), &last), Some(ticks(100, 10)));
        assert_eq!(delta_since(&after(5, 1), &last), None);
    }

    #[test]
    fn sums_of_any_ticks_are_not_negative() {
        let mut largest = [u64::MAX; MODES];
        assert_eq!(total(&largest), 8.0 * u64::MAX as f64);
        largest[Mode::User as usize] = 7;
        assert_eq!(parts(&largest)[..2], [0.0, 0.0]);
    }

    fn ticks(idle: u64, iowait: u64) -> Ticks {
        let mut ticks = Ticks::default();
        (ticks[Mode::Idle as usize], ticks[Mode::Iowait as usize]) = (idle, iowait);
        ticks
    }
}
