//! What the kernel's files say of a cgroup, under the names that Taffrail gives it: live, or copied from a guest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::series::Exposition;

/// The trees of control groups.
pub struct Hierarchies {
    root: PathBuf,
    /// Links from the devices' numbers to what has their names.
    devices: PathBuf,
    unified: bool,
}

/// A value of a cgroup.
#[derive(Debug)]
pub struct Fact {
    family: &'static str,
    label: Option<(&'static str, String)>,
    value: f64,
    /// Only compared if the family is there: the settings may leave it out.
    optional: bool,
}

impl Hierarchies {
    /// Those of this host.
    pub fn live() -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        Hierarchies { root: root.to_owned(), devices: "/sys/dev/block".into(), unified }
    }

    /// Those of version 2 that were copied to `root`, along with the links of /sys/dev/block.
    pub fn copied(root: &Path) -> Self {
        Hierarchies { root: root.to_owned(), devices: root.join("devices"), unified: true }
    }

    /// Whether version 2 has the controllers.
    pub fn are_unified(&self) -> bool {
        self.unified
    }

    /// The folders that a new cgroup has: one, or one for each of version 1's hierarchies that Taffrail reads.
    pub fn folders(&self, path: &str) -> Vec<PathBuf> {
        if self.unified {
            return vec![self.folder("", path)];
        }
        let hierarchies = ["cpu", "cpuacct", "memory", "blkio", "pids", "unified"];
        hierarchies.iter().filter(|name| self.root.join(name).is_dir()).map(|name| self.folder(name, path)).collect()
    }

    fn folder(&self, controller: &str, path: &str) -> PathBuf {
        let root = if self.unified { self.root.clone() } else { self.root.join(controller) };
        root.join(path.trim_start_matches('/'))
    }

    /// What a file of a cgroup holds; on version 2 all controllers share the folder.
    pub fn read(&self, controller: &str, path: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.folder(controller, path).join(file)).ok()
    }

    fn number(&self, controller: &str, path: &str, file: &str) -> Option<f64> {
        self.read(controller, path, file)?.trim().parse().ok()
    }

    /// How many processes the kernel killed in this cgroup for want of memory.
    pub fn oom_kills(&self, path: &str) -> Option<f64> {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        value(&self.read("memory", path, file)?, "oom_kill")
    }

    /// All that its files say of the cgroup at `path`.
    pub fn facts(&self, path: &str) -> Vec<Fact> {
        let mut facts = Facts::default();
        if self.unified {
            self.version_2(path, &mut facts)
        } else {
            self.version_1(path, &mut facts)
        }
        facts.required("container_oom_events_total", self.oom_kills(path));
        let processes = self.read("memory", path, "cgroup.procs").map(|pids| pids.lines().count() as f64);
        facts.required("container_processes", processes.filter(|count| *count > 0.0));
        facts.required("container_threads", self.number("pids", path, "pids.current"));
        facts.optional("container_threads_max", self.limit("pids", path, "pids.max"));
        for (file, waiting, stalled) in [
            ("cpu", "container_pressure_cpu_waiting_seconds_total", "container_pressure_cpu_stalled_seconds_total"),
            (
                "memory",
                "container_pressure_memory_waiting_seconds_total",
                "container_pressure_memory_stalled_seconds_total",
            ),
            ("io", "container_pressure_io_waiting_seconds_total", "container_pressure_io_stalled_seconds_total"),
        ] {
            let pressure = self.read("unified", path, &format!("{file}.pressure"));
            facts.required(waiting, pressure.as_deref().and_then(|text| total(text, "some")));
            facts.required(stalled, pressure.as_deref().and_then(|text| total(text, "full")));
        }
        facts.0
    }

    /// A limit; none is 0, as with cAdvisor.
    fn limit(&self, controller: &str, path: &str, file: &str) -> Option<f64> {
        let text = self.read(controller, path, file)?;
        match text.trim() {
            "max" => Some(0.0),
            number => number.parse().ok().map(|limit: f64| if limit > 4e18 { 0.0 } else { limit }),
        }
    }

    /// What a device's number stands for.
    fn device_name(&self, number: &str) -> String {
        match fs::read_link(self.devices.join(number)) {
            Ok(link) => format!("/dev/{}", link.file_name().unwrap().to_string_lossy()),
            Err(error) => panic!("the device {number}: {error}"),
        }
    }

    fn version_1(&self, path: &str, facts: &mut Facts) {
        let usage = self.number("cpuacct", path, "cpuacct.usage").map(|nanoseconds| nanoseconds / 1e9);
        facts.labelled("container_cpu_usage_seconds_total", "cpu", "total", usage);
        let ticks = self.read("cpuacct", path, "cpuacct.stat").unwrap_or_default();
        facts.optional("container_cpu_user_seconds_total", value(&ticks, "user").map(|ticks| ticks / 100.0));
        facts.optional("container_cpu_system_seconds_total", value(&ticks, "system").map(|ticks| ticks / 100.0));
        let quota = self.number("cpu", path, "cpu.cfs_quota_us").filter(|quota| *quota > 0.0);
        let period = self.number("cpu", path, "cpu.cfs_period_us");
        facts.quota(quota, period, &self.read("cpu", path, "cpu.stat").unwrap_or_default(), "throttled_time", 1e9);
        facts.optional("container_spec_cpu_shares", self.number("cpu", path, "cpu.shares"));

        let memory = self.read("memory", path, "memory.stat").unwrap_or_default();
        facts.memory(
            self.number("memory", path, "memory.usage_in_bytes"),
            &memory,
            ["total_inactive_file", "total_rss", "total_cache", "total_mapped_file"],
        );
        facts.optional("container_memory_max_usage_bytes", self.number("memory", path, "memory.max_usage_in_bytes"));
        facts.optional("container_memory_failcnt", self.number("memory", path, "memory.failcnt"));
        let limit = |file| self.limit("memory", path, file);
        facts.optional("container_spec_memory_limit_bytes", limit("memory.limit_in_bytes"));
        facts.optional("container_spec_memory_reservation_limit_bytes", limit("memory.soft_limit_in_bytes"));

        // Only some of them count anything; which, depends on the scheduler of the device.
        let bytes = ["blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"];
        let read = bytes.iter().filter_map(|file| self.read("blkio", path, file));
        for line in read.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()) {
            let mut words = line.split(' ');
            let (Some(device), Some(operation), Some(bytes)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let family = match operation {
                "Read" => "container_fs_reads_bytes_total",
                "Write" => "container_fs_writes_bytes_total",
                _ => continue,
            };
            facts.labelled(family, "device", &self.device_name(device), bytes.parse().ok());
        }
    }

    fn version_2(&self, path: &str, facts: &mut Facts) {
        let cpu = self.read("", path, "cpu.stat").unwrap_or_default();
        let seconds = |key| value(&cpu, key).map(|microseconds| microseconds / 1e6);
        facts.labelled("container_cpu_usage_seconds_total", "cpu", "total", seconds("usage_usec"));
        facts.optional("container_cpu_user_seconds_total", seconds("user_usec"));
        facts.optional("container_cpu_system_seconds_total", seconds("system_usec"));
        let max = self.read("", path, "cpu.max").unwrap_or_default();
        let mut max = max.split_whitespace().map(|word| word.parse().ok());
        facts.quota(max.next().flatten(), max.next().flatten(), &cpu, "throttled_usec", 1e6);

        let memory = self.read("", path, "memory.stat").unwrap_or_default();
        let current = self.number("", path, "memory.current");
        facts.memory(current, &memory, ["inactive_file", "anon", "file", "file_mapped"]);
        facts.optional("container_memory_max_usage_bytes", self.number("", path, "memory.peak"));
        facts.optional("container_spec_memory_limit_bytes", self.limit("", path, "memory.max"));

        for line in self.read("", path, "io.stat").unwrap_or_default().lines() {
            let (device, counts) = line.split_once(' ').unwrap_or_default();
            for count in counts.split(' ').filter_map(|count| count.split_once('=')) {
                let family = match count.0 {
                    "rbytes" => "container_fs_reads_bytes_total",
                    "wbytes" => "container_fs_writes_bytes_total",
                    _ => continue,
                };
                facts.labelled(family, "device", &self.device_name(device), count.1.parse().ok());
            }
        }
    }
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, family: &'static str, label: Option<(&'static str, String)>, value: Option<f64>, optional: bool) {
        self.0.extend(value.map(|value| Fact { family, label, value, optional }));
    }

    fn required(&mut self, family: &'static str, value: Option<f64>) {
        self.add(family, None, value, false);
    }

    fn optional(&mut self, family: &'static str, value: Option<f64>) {
        self.add(family, None, value, true);
    }

    fn labelled(&mut self, family: &'static str, label: &'static str, of: &str, value: Option<f64>) {
        self.add(family, Some((label, of.to_owned())), value, false);
    }

    fn quota(&mut self, quota: Option<f64>, period: Option<f64>, stat: &str, throttled: &str, second: f64) {
        let Some(quota) = quota else { return };
        self.required("container_cpu_cfs_periods_total", value(stat, "nr_periods"));
        self.required("container_cpu_cfs_throttled_periods_total", value(stat, "nr_throttled"));
        self.optional("container_cpu_cfs_throttled_seconds_total", value(stat, throttled).map(|time| time / second));
        self.optional("container_spec_cpu_quota", Some(quota));
        self.optional("container_spec_cpu_period", period);
    }

    fn memory(&mut self, usage: Option<f64>, stat: &str, [inactive, rss, cache, mapped]: [&str; 4]) {
        let working_set = usage.zip(value(stat, inactive)).map(|(usage, inactive)| (usage - inactive).max(0.0));
        self.required("container_memory_usage_bytes", usage);
        self.required("container_memory_working_set_bytes", working_set);
        self.required("container_memory_rss", value(stat, rss));
        self.required("container_memory_cache", value(stat, cache));
        self.optional("container_memory_mapped_file", value(stat, mapped));
    }
}

/// The number behind `key` in a file of lines such as `nr_periods 12`.
fn value(text: &str, key: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The total of a line of a pressure file, in seconds.
fn total(text: &str, kind: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(kind))?;
    Some(line.rsplit_once("total=")?.1.parse::<f64>().ok()? / 1e6)
}

/// What the exposition says otherwise than the files: its values must lie between those of `before` and of `after`.
pub fn disagreements(before: &[Fact], ours: &Exposition, after: &[Fact], id: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for first in before {
        let Some(last) = after.iter().find(|last| last.family == first.family && last.label == first.label) else {
            continue;
        };
        let mut labels = vec![("id", id)];
        labels.extend(first.label.as_ref().map(|(label, of)| (*label, of.as_str())));
        let key = format!("{} {labels:?}", first.family);
        let rounding = first.value.abs() * 1e-9;
        let (low, high) = (first.value.min(last.value) - rounding, first.value.max(last.value) + rounding);
        match ours.value(first.family, &labels) {
            Some(value) if (low..=high).contains(&value) => {}
            Some(value) => {
                found.insert(key, format!("{value} is not between {} and {}", first.value, last.value));
            }
            None if first.optional && ours.all(first.family, &[]).is_empty() => {}
            None => {
                found.insert(key, format!("is missing, the file says {}", first.value));
            }
        }
    }
    found
}

/// Compares until every series agreed in one of some rounds: a gauge may go up and down between two readings.
///
/// `round` gives what disagreed in the round of this number, from 1 on.
pub fn agree_in_one_of(rounds: usize, mut round: impl FnMut(usize) -> BTreeMap<String, String>) {
    let mut disagreeing = round(1);
    for number in 2..=rounds {
        if disagreeing.is_empty() {
            return;
        }
        let found = round(number);
        disagreeing.retain(|series, _| found.contains_key(series));
    }
    assert!(disagreeing.is_empty(), "not equal and not between two readings in any round: {disagreeing:#?}");
}
