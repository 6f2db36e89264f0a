//! CPU models, flags and bugs from `/proc/cpuinfo`: arch/x86/kernel/cpu/proc.c and its counterparts.

use regex::Regex;

use crate::collectors::framework::ReadContext;
use crate::config::{Filter, Key, KeyInfo, Section};
use crate::encode::{Family, FamilyWriter};
use crate::host::text::Number;
use crate::host::{Host, HostFile, ReadError};

/// Reads `/proc/cpuinfo` if the `info` setting is on.
pub(super) struct Source {
    cpuinfo: HostFile,
    is_wanted: bool,
    flags: Option<Filter>,
    bugs: Option<Filter>,
}

/// Model, flags and bugs of the CPUs.
#[derive(Default)]
pub(super) struct Info {
    cpus: Vec<[String; LABELS.len()]>,
    /// Of the CPUs that report one, with their indexes in `cpus`.
    megahertz: Vec<(usize, f64)>,
    /// Of the first CPU. The others have the same.
    flags: Vec<String>,
    bugs: Vec<String>,
}

const INFO: Key<bool> =
    Key::new("info", "false", "Model and frequency of each CPU: node_cpu_info and node_cpu_frequency_hertz.");
const INFO_FLAGS_INCLUDE: Key<Regex> =
    Key::optional("info_flags_include", "CPU flags exported as node_cpu_flag_info; with `info`.");
const INFO_BUGS_INCLUDE: Key<Regex> =
    Key::optional("info_bugs_include", "CPU bugs exported as node_cpu_bug_info; with `info`.");
pub(super) const KEYS: [KeyInfo; 3] = [INFO.info(), INFO_FLAGS_INCLUDE.info(), INFO_BUGS_INCLUDE.info()];

impl Source {
    pub(super) fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let filter = |include: Option<Regex>| include.map(|include| Filter::new(Some(include), None));
        Source {
            cpuinfo: host.proc("cpuinfo"),
            is_wanted: section.get(&INFO),
            flags: filter(section.optional(&INFO_FLAGS_INCLUDE)),
            bugs: filter(section.optional(&INFO_BUGS_INCLUDE)),
        }
    }

    /// Reads the file. Empty if families are not wanted or `info` is off.
    pub(super) fn read(&mut self, cx: &mut ReadContext<'_>) -> Result<Info, ReadError> {
        let mut info = Info::default();
        if !self.is_wanted || !cx.wanted.families {
            return Ok(info);
        }
        for line in self.cpuinfo.read(cx.buffer)?.lines() {
            let Some((key, value)) = line.key_and_rest() else { continue };
            let value = || String::from_utf8_lossy(value.bytes().trim_ascii()).into_owned();
            if key == b"processor" {
                info.cpus.push(Default::default());
            }
            let is_first = info.cpus.len() == 1;
            match key {
                b"flags" | b"Features" if is_first => info.flags = select(&mut self.flags, &value()),
                b"bugs" if is_first => info.bugs = select(&mut self.bugs, &value()),
                b"cpu MHz" => match f64::parse(value().as_bytes()) {
                    Some(megahertz) => info.megahertz.push((info.cpus.len().saturating_sub(1), megahertz)),
                    None => cx.problems.push(line.malformed("megahertz", value().as_bytes())),
                },
                _ => {
                    let index = LABELS.iter().position(|(_, field)| field.as_bytes() == key);
                    if let (Some(index), Some(cpu)) = (index, info.cpus.last_mut()) {
                        cpu[index] = value();
                    }
                }
            }
        }
        if is_measured(cx, &info) {
            info.megahertz.clear();
        }
        Ok(info)
    }
}

/// Whether `cpufreq` exports the frequency that the hardware measures, under the same name.
fn is_measured(cx: &ReadContext<'_>, info: &Info) -> bool {
    info.cpus.first().is_some_and(|cpu| {
        let path = cx.host.sys_path(format!("devices/system/cpu/cpu{}/cpufreq/cpuinfo_cur_freq", cpu[CPU]));
        std::fs::File::open(path).is_ok()
    })
}

fn select(filter: &mut Option<Filter>, text: &str) -> Vec<String> {
    let Some(filter) = filter else { return Vec::new() };
    text.split_ascii_whitespace().filter(|item| filter.wants(item)).map(str::to_owned).collect()
}

/// Each label, and the key of its line.
const LABELS: [(&str, &str); 10] = [
    ("cachesize", "cache size"),
    ("core", "core id"),
    ("cpu", "processor"),
    ("family", "cpu family"),
    ("microcode", "microcode"),
    ("model", "model"),
    ("model_name", "model name"),
    ("package", "physical id"),
    ("stepping", "stepping"),
    ("vendor", "vendor_id"),
];
const CORE: usize = 1;
const CPU: usize = 2;
const PACKAGE: usize = 7;
pub(super) const CPU_INFO: Family<10> =
    Family::gauge("node_cpu_info", "CPU model from /proc/cpuinfo, always 1", names());
/// Owned by `cpufreq`, which exports it where the hardware measures it.
const FREQUENCY: Family<3> = Family::gauge(
    "node_cpu_frequency_hertz",
    "CPU frequency in hertz from /proc/cpuinfo",
    [LABELS[CORE].0, LABELS[CPU].0, LABELS[PACKAGE].0],
);
pub(super) const FLAG_INFO: Family<1> =
    Family::gauge("node_cpu_flag_info", "CPU flag from /proc/cpuinfo, always 1", ["flag"]);
pub(super) const BUG_INFO: Family<1> =
    Family::gauge("node_cpu_bug_info", "CPU bug from /proc/cpuinfo, always 1", ["bug"]);

const fn names() -> [&'static str; LABELS.len()] {
    let mut names = [""; LABELS.len()];
    let mut index = 0;
    while index < LABELS.len() {
        names[index] = LABELS[index].0;
        index += 1;
    }
    names
}

impl Info {
    pub(super) fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut cpus = out.family(&CPU_INFO);
        self.cpus.iter().for_each(|cpu| cpus.sample(cpu.each_ref().map(String::as_str), 1u64));
        drop(cpus);
        let mut frequencies = out.family(&FREQUENCY);
        for (index, megahertz) in &self.megahertz {
            if let Some(cpu) = self.cpus.get(*index) {
                frequencies.sample([CORE, CPU, PACKAGE].map(|label| cpu[label].as_str()), megahertz * 1e6);
            }
        }
        drop(frequencies);
        for (family, text) in [(&FLAG_INFO, &self.flags), (&BUG_INFO, &self.bugs)] {
            let mut samples = out.family(family);
            text.iter().for_each(|item| samples.sample([item], 1u64));
        }
    }
}
