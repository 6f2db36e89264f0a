//! What the CPUs are: `/proc/cpuinfo`, arch/x86/kernel/cpu/proc.c and its kin.

use regex::Regex;

use crate::collectors::ReadContext;
use crate::config::{Filter, Key, KeyInfo, Section};
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, ReadError};

/// Reads what the CPUs are, if that is asked for.
pub(super) struct Source {
    cpuinfo: HostFile,
    is_wanted: bool,
    flags: Option<Filter>,
    bugs: Option<Filter>,
}

/// What they are.
#[derive(Default)]
pub(super) struct Info {
    cpus: Vec<[String; LABELS.len()]>,
    /// Of the first CPU: the others have the same.
    flags: Vec<String>,
    bugs: Vec<String>,
}

const INFO: Key<bool> = Key::new("info", "false", "What each CPU is: node_cpu_info.");
const INFO_FLAGS_INCLUDE: Key<Regex> =
    Key::optional("info_flags_include", "Flags of the CPU that have samples of node_cpu_flag_info; with `info`.");
const INFO_BUGS_INCLUDE: Key<Regex> =
    Key::optional("info_bugs_include", "Bugs of the CPU that have samples of node_cpu_bug_info; with `info`.");
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

    /// Reads it; nothing if nobody wants it.
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
                b"flags" | b"Features" if is_first => info.flags = chosen(&mut self.flags, &value()),
                b"bugs" if is_first => info.bugs = chosen(&mut self.bugs, &value()),
                _ => {
                    let place = LABELS.iter().position(|(_, field)| field.as_bytes() == key);
                    if let (Some(place), Some(cpu)) = (place, info.cpus.last_mut()) {
                        cpu[place] = value();
                    }
                }
            }
        }
        Ok(info)
    }
}

fn chosen(filter: &mut Option<Filter>, words: &str) -> Vec<String> {
    let Some(filter) = filter else { return Vec::new() };
    words.split_ascii_whitespace().filter(|word| filter.wants(word)).map(str::to_owned).collect()
}

/// Each label and the line that tells it.
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
pub(super) const CPU_INFO: Family<10> = Family::gauge("node_cpu_info", "What the CPU is; 1.", names());
pub(super) const FLAG_INFO: Family<1> = Family::gauge("node_cpu_flag_info", "A flag that the CPUs have; 1.", ["flag"]);
pub(super) const BUG_INFO: Family<1> = Family::gauge("node_cpu_bug_info", "A bug that the CPUs have; 1.", ["bug"]);

const fn names() -> [&'static str; LABELS.len()] {
    let mut names = [""; LABELS.len()];
    let mut place = 0;
    while place < LABELS.len() {
        names[place] = LABELS[place].0;
        place += 1;
    }
    names
}

impl Info {
    pub(super) fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut cpus = out.family(&CPU_INFO);
        self.cpus.iter().for_each(|cpu| cpus.sample(cpu.each_ref().map(String::as_str), 1u64));
        drop(cpus);
        for (family, words) in [(&FLAG_INFO, &self.flags), (&BUG_INFO, &self.bugs)] {
            let mut samples = out.family(family);
            words.iter().for_each(|word| samples.sample([word], 1u64));
        }
    }
}
