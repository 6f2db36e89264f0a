//! The time that each CPU spent in each mode, and what the CPUs are.

mod info;

use super::cpu_list::cpu_list;
use super::{About, Collector, ReadContext, Reading, Since};
use crate::config::{Key, Section};
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, Line, ReadError, SharedFile, file, portable};

/// Ticks per second in `/proc/stat`: USER_HZ, which is 100 for every program on every architecture that counts.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct Cpu {
    stat: SharedFile,
    sets: CpuSets,
    throttles: Throttles,
    info: info::Source,
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
}

const PERCPU: Key<bool> = Key::new("percpu", "true", "A point for each CPU.");
const TOTALCPU: Key<bool> = Key::new("totalcpu", "true", "A point for all CPUs together, `cpu=cpu-total`.");
const COLLECT_CPU_TIME: Key<bool> = Key::new("collect_cpu_time", "false", "The `time_*` fields: seconds since boot.");
const REPORT_ACTIVE: Key<bool> =
    Key::new("report_active", "false", "The `usage_active` and `time_active` fields: all that is not idle.");

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

/// What `/proc/stat` and sysfs say of the CPUs.
#[derive(Default)]
pub(super) struct CpuReading {
    total: Option<Ticks>,
    cpus: Vec<CpuTimes>,
    online: Vec<(u32, bool)>,
    isolated: Vec<u32>,
    throttled_cores: Vec<Throttled>,
    throttled_packages: Vec<Throttled>,
    info: info::Info,
    points: PointSettings,
    /// Whether only busy and idle time is told, as user and idle.
    is_coarse: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct CpuTimes {
    number: u32,
    ticks: Ticks,
}

/// How often a core or a package was throttled for heat.
struct Throttled {
    package: String,
    core: String,
    count: u64,
}

impl Collector for Cpu {
    const ABOUT: About = About {
        name: "cpu",
        summary: "time that each CPU spent in each mode",
        reads: &["/proc/stat", "/proc/cpuinfo", "/sys/devices/system/cpu"],
        keys: &info::KEYS,
        point_keys: &[PERCPU.info(), TOTALCPU.info(), COLLECT_CPU_TIME.info(), REPORT_ACTIVE.info()],
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
        ..About::PLAIN
    };
    type Reading = CpuReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let mut points = section.table("points");
        Cpu {
            stat: host.shared_proc("stat"),
            sets: CpuSets::new(host),
            throttles: Throttles::default(),
            info: info::Source::new(host, section),
            last: Vec::new(),
            last_total: None,
            points: PointSettings {
                percpu: points.get(&PERCPU),
                totalcpu: points.get(&TOTALCPU),
                collect_cpu_time: points.get(&COLLECT_CPU_TIME),
                report_active: points.get(&REPORT_ACTIVE),
            },
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut CpuReading) -> Result<(), ReadError> {
        *reading = CpuReading { cpus: std::mem::take(&mut reading.cpus), points: self.points, ..CpuReading::default() };
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
        let info = self.info.read(cx);
        reading.info = cx.part(info).unwrap_or_default();
        Ok(())
    }
}

impl CpuReading {
    /// Takes over what is told of busy and idle CPUs.
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

    fn tells(&self, mode: Mode) -> bool {
        !self.is_coarse || matches!(mode, Mode::User | Mode::Idle)
    }
}

fn read_ticks(line: Line<'_>) -> Result<Ticks, ReadError> {
    let mut fields = line.fields();
    fields.next();
    let mut ticks = Ticks::default();
    for (column, tick) in ticks.iter_mut().enumerate() {
        // Kernels before 2.6.33 have fewer columns; no kernel has fewer than user to idle.
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
        for (place, cpu) in reading.cpus.iter_mut().enumerate() {
            // Nearly always it stands where it stood.
            let is_it = |last: &&CpuTimes| last.number == cpu.number;
            let last = self.last.get(place).filter(is_it).or_else(|| self.last.iter().find(is_it));
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
        self.throttles.read(cx, online.as_deref().unwrap_or_default(), reading);
    }
}

/// Which CPUs there are; they come and go with events.
struct CpuSets {
    files: [HostFile; 3],
    read_at: Option<u64>,
    online: Option<Vec<u32>>,
    present: Option<Vec<u32>>,
    isolated: Option<Vec<u32>>,
}

impl CpuSets {
    fn new(host: &Host) -> CpuSets {
        let files = ["online", "present", "isolated"].map(|name| host.sys(format!("devices/system/cpu/{name}")));
        CpuSets { files, read_at: None, online: None, present: None, isolated: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>) {
        let generation = Some(cx.host.changes().generation());
        if self.read_at != generation {
            let mut list = |file: &mut HostFile| cpu_list(&file.read(cx.buffer).ok()?.trimmed());
            [self.online, self.present, self.isolated] = self.files.each_mut().map(&mut list);
            self.read_at = generation;
        }
    }
}

/// Some kernels let idle and iowait go back a little; a counter that goes back looks like a restart. A CPU whose idle
/// time falls by much was taken out and put in again, and starts anew.
fn keep_from_going_back(now: &mut Ticks, last: &Ticks) {
    const NEW_START_TICKS: u64 = 300;
    let idle = Mode::Idle as usize;
    if last[idle].saturating_sub(now[idle]) < NEW_START_TICKS {
        now.iter_mut().zip(last).for_each(|(now, last)| *now = *last.max(now));
    }
}

/// The throttle counters, one per core and one per package; found again when the online CPUs change.
#[derive(Default)]
struct Throttles {
    of: Vec<u32>,
    cores: Vec<ThrottleFile>,
    packages: Vec<ThrottleFile>,
}

struct ThrottleFile {
    package: String,
    core: String,
    count: HostFile,
}

impl Throttles {
    fn read(&mut self, cx: &mut ReadContext<'_>, online: &[u32], reading: &mut CpuReading) {
        if self.of != online {
            self.find(cx, online);
        }
        let pairs =
            [(&mut self.cores, &mut reading.throttled_cores), (&mut self.packages, &mut reading.throttled_packages)];
        for (files, throttled) in pairs {
            for ThrottleFile { package, core, count } in files {
                if let Ok(count) = count.read(cx.buffer).and_then(|text| text.number("a count")) {
                    throttled.push(Throttled { package: package.clone(), core: core.clone(), count });
                }
            }
        }
    }

    fn find(&mut self, cx: &mut ReadContext<'_>, online: &[u32]) {
        *self = Throttles { of: online.to_vec(), ..Throttles::default() };
        for number in online {
            let cpu = cx.host.sys_path(format!("devices/system/cpu/cpu{number}"));
            let mut topology = |name: &str| {
                let path = cpu.join("topology").join(name);
                file::read_once(&path, cx.buffer).ok().map(|text| text.trimmed().into_owned())
            };
            let (Some(package), Some(core)) = (topology("physical_package_id"), topology("core_id")) else { continue };
            let throttle = cpu.join("thermal_throttle");
            if !throttle.exists() {
                continue;
            }
            let of_package = |file: &ThrottleFile| file.package == package;
            if !self.cores.iter().any(|file| of_package(file) && file.core == core) {
                let count = HostFile::new(throttle.join("core_throttle_count"));
                self.cores.push(ThrottleFile { package: package.clone(), core, count });
            }
            if !self.packages.iter().any(of_package) {
                let count = HostFile::new(throttle.join("package_throttle_count"));
                self.packages.push(ThrottleFile { package, core: String::new(), count });
            }
        }
    }
}

const SECONDS: Family<2> =
    Family::counter("node_cpu_seconds_total", "Time that each CPU spent in each mode.", ["cpu", "mode"]);
const GUEST_SECONDS: Family<2> = Family::counter(
    "node_cpu_guest_seconds_total",
    "Time that each CPU ran guests in each mode; node_cpu_seconds_total has it too, as user and nice.",
    ["cpu", "mode"],
);
const ONLINE: Family<1> = Family::gauge("node_cpu_online", "Whether the CPU is online.", ["cpu"]);
const ISOLATED: Family<1> = Family::gauge("node_cpu_isolated", "1 for a CPU that is kept from the scheduler.", ["cpu"]);
const CORE_THROTTLES: Family<2> = Family::counter(
    "node_cpu_core_throttles_total",
    "Times that the core was slowed down for heat.",
    ["core", "package"],
);
const PACKAGE_THROTTLES: Family<1> = Family::counter(
    "node_cpu_package_throttles_total",
    "Times that the package was slowed down for heat.",
    ["package"],
);

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
            for (mode, label) in MODE_LABELS.into_iter().filter(|(mode, _)| self.tells(*mode)) {
                family.sample([number, label], seconds(cpu.ticks[mode as usize]));
            }
        }
        drop(family);
        let mut family = out.family(&GUEST_SECONDS);
        for cpu in self.cpus.iter().filter(|_| self.tells(Mode::Guest)) {
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
                self.write_point(&name, &cpu.ticks, last.map(|last| &last.ticks), out);
            }
        }
        if let Some(total) = self.total.as_ref().filter(|_| self.points.totalcpu) {
            let last = since.and_then(|since| since.previous.total.as_ref());
            self.write_point("cpu-total", total, last, out);
        }
    }
}

impl CpuReading {
    fn write_point(&self, name: &str, ticks: &Ticks, last: Option<&Ticks>, out: &mut PointWriter<'_>) {
        let settings = self.points;
        let mut point = out.point(&CPU, [name]);
        if settings.collect_cpu_time {
            for (_, (_, time), part) in self.told_parts(ticks) {
                point.field(time, part / TICKS_PER_SECOND);
            }
            if settings.report_active {
                point.field(&TIME_ACTIVE, (total(ticks) - ticks[Mode::Idle as usize] as f64) / TICKS_PER_SECOND);
            }
        }
        let Some(grown) = last.and_then(|last| grown_since(ticks, last)) else { return };
        let elapsed = total(&grown);
        if elapsed == 0.0 {
            return;
        }
        for (_, (usage, _), part) in self.told_parts(&grown) {
            point.field(usage, 100.0 * part / elapsed);
        }
        if settings.report_active {
            point.field(&USAGE_ACTIVE, 100.0 * (elapsed - grown[Mode::Idle as usize] as f64) / elapsed);
        }
    }

    fn told_parts(&self, ticks: &Ticks) -> impl Iterator<Item = (usize, &'static (Field<f64>, Field<f64>), f64)> {
        let is_told = |place: usize| !self.is_coarse || [Mode::User as usize, Mode::Idle as usize].contains(&place);
        let told = PARTS.iter().zip(parts(ticks)).enumerate().filter(move |(place, _)| is_told(*place));
        told.map(|(place, (fields, part))| (place, fields, part))
    }
}

/// The ticks between two readings; nothing if any went back: the CPU started anew.
fn grown_since(now: &Ticks, last: &Ticks) -> Option<Ticks> {
    let went_back = now.iter().zip(last).any(|(now, last)| now < last);
    (!went_back).then(|| std::array::from_fn(|mode| now[mode] - last[mode]))
}

/// All time; guests' is in user and nice.
fn total(ticks: &Ticks) -> f64 {
    ticks[..Mode::Guest as usize].iter().map(|ticks| *ticks as f64).sum()
}

/// The ticks in the order of [`PARTS`], with guests' taken out of user and nice.
fn parts(ticks: &Ticks) -> [f64; MODES] {
    let mut parts = *ticks;
    for (mode, guests) in [(Mode::User, Mode::Guest), (Mode::Nice, Mode::GuestNice)] {
        // The kernel rounds each down on its own.
        parts[mode as usize] = parts[mode as usize].saturating_sub(ticks[guests as usize]);
    }
    parts.map(|ticks| ticks as f64)
}

const PARTS: [(Field<f64>, Field<f64>); MODES] = [
    (Field::new("usage_user", "% in user mode, without guests"), Field::new("time_user", "seconds")),
    (Field::new("usage_nice", "% in user mode at low priority, without guests"), Field::new("time_nice", "seconds")),
    (Field::new("usage_system", "% in the kernel"), Field::new("time_system", "seconds")),
    (Field::new("usage_idle", "% idle"), Field::new("time_idle", "seconds")),
    (Field::new("usage_iowait", "% idle while I/O was under way"), Field::new("time_iowait", "seconds")),
    (Field::new("usage_irq", "% serving interrupts"), Field::new("time_irq", "seconds")),
    (Field::new("usage_softirq", "% serving soft interrupts"), Field::new("time_softirq", "seconds")),
    (Field::new("usage_steal", "% taken by the hypervisor"), Field::new("time_steal", "seconds")),
    (Field::new("usage_guest", "% running guests"), Field::new("time_guest", "seconds")),
    (Field::new("usage_guest_nice", "% running guests at low priority"), Field::new("time_guest_nice", "seconds")),
];
const USAGE_ACTIVE: Field<f64> = Field::new("usage_active", "% not idle; with `report_active`");
const TIME_ACTIVE: Field<f64> = Field::new("time_active", "seconds; with `report_active` and `collect_cpu_time`");

const CPU: Measurement<1> = Measurement::new("cpu", ["cpu"], &CPU_FIELDS);
const CPU_FIELDS: [FieldInfo; 2 * MODES + 2] =
    concat(&[&infos!(PARTS.0), &[USAGE_ACTIVE.info()], &infos!(PARTS.1), &[TIME_ACTIVE.info()]]);

#[cfg(test)]
mod tests {
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
        assert_eq!(grown_since(&after(1100, 60), &last), Some(ticks(100, 10)));
        assert_eq!(grown_since(&after(5, 1), &last), None);
    }

    #[test]
    fn sums_of_any_ticks_are_not_negative() {
        let mut most = [u64::MAX; MODES];
        assert_eq!(total(&most), 8.0 * u64::MAX as f64);
        most[Mode::User as usize] = 7;
        assert_eq!(parts(&most)[..2], [0.0, 0.0]);
    }

    fn ticks(idle: u64, iowait: u64) -> Ticks {
        let mut ticks = Ticks::default();
        (ticks[Mode::Idle as usize], ticks[Mode::Iowait as usize]) = (idle, iowait);
        ticks
    }
}
