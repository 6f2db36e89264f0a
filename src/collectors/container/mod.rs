//! What every cgroup uses: containers, pods, virtual machines, and the units of systemd.
//!
//! The tree of cgroups is walked ([`tree`], [`visit`]), each cgroup is identified by its path ([`identity`]) and named by
//! what runtimes tell in the background ([`names`]); those that are shown ([`selection`]) are read ([`usage`], [`v1`],
//! [`v2`]).

mod descriptors;
mod families;
mod hierarchy;
mod identity;
mod labels;
mod names;
mod network;
mod points;
mod reading;
mod selection;
mod sets;
mod tree;
mod usage;
mod v1;
mod v2;
mod visit;

use std::path::PathBuf;

use regex::Regex;

use self::hierarchy::Hierarchies;
use self::names::Names;
use self::network::Network;
use self::reading::ContainerReading;
use self::selection::Selection;
use self::sets::{SETS, Set, Sets};
use self::tree::Tree;
use self::usage::{Files, UNLIMITED, Wanted};
use self::visit::{Known, Pods, Visit, started};
use super::process::boot_time;
use super::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::text::Number;
use crate::host::{Directory, Host, HostFile, ReadError, SharedFile, Timestamp};
use crate::log::Episode;

pub(super) struct Container {
    sys: PathBuf,
    hierarchies: Option<Hierarchies>,
    tree: Tree<Known>,
    names: Names,
    /// Up to which of the names' changes all labels are.
    generation: u64,
    pods: Pods,
    selection: Selection,
    sets: Sets,
    limit: usize,
    network: Network,
    stat: SharedFile,
    meminfo: HostFile,
    boot_time: Option<u64>,
    over_limit: Episode<()>,
}

const DEPTH: Key<usize> = Key::new("depth", "32", "How far from the root cgroups are looked for.");
const LIMIT: Key<usize> = Key::new(
    "limit",
    "5000",
    "How many cgroups are shown, at the most; `taffrail_containers_left_out` counts the rest.",
);
const INTERFACES_EXCLUDE: Key<Regex> = Key::new(
    "interfaces_exclude",
    "\"^(lo|veth|docker|nerdctl|cali|cilium|cni|lxc|nodelocaldns|tunl)\"",
    "Network interfaces without series.",
);

const OWN_KEYS: [KeyInfo; 4] = [SETS.info(), DEPTH.info(), LIMIT.info(), INTERFACES_EXCLUDE.info()];
const KEYS: [KeyInfo; selection::KEYS.len() + OWN_KEYS.len() + Names::KEYS.len()] =
    concat(&[&selection::KEYS, &OWN_KEYS, Names::KEYS]);

impl Collector for Container {
    const ABOUT: About = About {
        name: "container",
        summary: "what containers, pods, virtual machines and systemd's units use, by cgroup; pushed as `docker_container_*` and `cgroup`",
        reads: &[
            "/sys/fs/cgroup",
            "/sys/dev/block",
            "/proc/*/net/dev",
            "/proc/*/{stat,limits,fd}",
            "/proc/stat",
            "/proc/meminfo",
        ],
        needs: "nothing; names and images come from the sources that it may read, and descriptor counts take CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        on_by_default: Vocabularies::BOTH,
        keys: &KEYS,
        families: &families::INFOS,
        measurements: &points::INFOS,
        ..About::PLAIN
    };
    type Reading = ContainerReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let interfaces = Filter::new(None, Some(section.get(&INTERFACES_EXCLUDE)));
        Container {
            sys: host.sys_path(""),
            hierarchies: None,
            tree: Tree::new(section.get(&DEPTH)),
            names: Names::new(host, section),
            generation: 0,
            pods: Pods::default(),
            selection: Selection::from_section(section),
            sets: Sets::from_section(section),
            limit: section.get(&LIMIT),
            network: Network::new(interfaces),
            stat: host.shared_proc("stat"),
            meminfo: host.proc("meminfo").one_record(),
            boot_time: None,
            over_limit: Episode::default(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ContainerReading) -> Result<(), ReadError> {
        reading.clear(cx.host.kernel.now(), self.sets);
        if self.hierarchies.is_none() {
            self.hierarchies = Hierarchies::find(&self.sys);
        }
        let absent = || ReadError::Absent(self.sys.join("fs/cgroup"));
        let Some(hierarchies) = &self.hierarchies else { return Err(absent()) };
        let walked = hierarchies.walked().ok_or_else(absent)?.to_owned();
        let root = Directory::open(walked).inspect_err(|_| self.hierarchies = None)?;

        self.names.begin();
        self.rename();
        self.read_host(cx, reading);
        self.walk(cx, root, reading);
        self.tell_limit(reading.left_out);
        reading.find_device_names(cx.host);
        reading.find_starts(cx.host, self.boot_time, cx.buffer);
        if cx.wanted.points || self.sets.has(Set::Network) {
            self.network.read(cx.host, cx.buffer, cx.problems, &mut reading.measured);
        }
        if cx.wanted.families && self.sets.has(Set::Spec) {
            descriptors::read_limits(cx, &mut reading.measured);
        }
        if cx.wanted.families && self.sets.has(Set::Descriptors) {
            descriptors::count_open(cx, &mut reading.measured);
        }
        Ok(())
    }

    fn report(&mut self) -> Vec<String> {
        self.names.report()
    }
}

impl Container {
    /// Gives all cgroups the names that were learnt since the last reading.
    fn rename(&mut self) {
        let generation = self.names.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let Container { tree, names, pods, selection, .. } = self;
        pods.forget();
        // What is known of a pod may be known from its containers alone, which come later.
        tree.for_each(&mut |known| known.name(names, pods));
        tree.for_each(&mut |known| {
            known.name(names, pods);
            known.shown = selection.shows(&known.labels);
        });
    }

    fn walk(&mut self, cx: &mut ReadContext<'_>, root: Directory, reading: &mut ContainerReading) {
        let Some(hierarchies) = &self.hierarchies else { return };
        let roots = hierarchies.open(cx.buffer);
        let mut visit = Visit {
            names: &self.names,
            pods: &mut self.pods,
            selection: &mut self.selection,
            limit: self.limit,
            roots,
            wanted: wanted(cx.wanted, self.sets),
            boot_time: self.boot_time,
            host: cx.host,
            files: Files { buffer: cx.buffer, problems: cx.problems },
            reading,
            leaves: Vec::new(),
            unknown: Vec::new(),
        };
        self.tree.walk(root, &mut visit);
        let unknown = std::mem::take(&mut visit.unknown);
        self.names.want(unknown.iter().map(|labels| labels.identity.container_id.as_str()));
    }

    /// What is of the whole host, and what a container's share is taken of.
    fn read_host(&mut self, cx: &mut ReadContext<'_>, reading: &mut ContainerReading) {
        if self.boot_time.is_none() || cx.wanted.points {
            const NANOSECONDS: u64 = 10_000_000;
            if let Ok(text) = self.stat.read(cx.round, cx.buffer) {
                self.boot_time = self.boot_time.or_else(|| boot_time(text));
                // Guest time, behind the eighth, is in user time already.
                let ticks = text.first_line().fields().skip(1).take(8).filter_map(u64::parse);
                reading.host_cpu_time = Some(ticks.fold(0, u64::saturating_add).saturating_mul(NANOSECONDS));
            }
        }
        if cx.wanted.points
            && let Ok(text) = self.meminfo.read(cx.buffer)
        {
            let kilobytes =
                text.lines().find_map(|line| line.bytes().strip_prefix(b"MemTotal:")).map(<[u8]>::trim_ascii);
            let number = kilobytes.and_then(|text| u64::parse(text.strip_suffix(b" kB")?));
            reading.memory_total = number.map(|number| number.saturating_mul(1024));
        }
    }

    fn tell_limit(&mut self, left_out: u64) {
        if left_out == 0 {
            if let Some(over) = self.over_limit.is_well() {
                tracing::info!(collector = "container", "all cgroups are shown again {over}");
            }
        } else if self.over_limit.fails(()) {
            let limit = self.limit;
            tracing::warn!(
                collector = "container",
                left_out,
                "more than {limit} cgroups: the rest is not shown; see limit"
            );
        }
    }
}

/// What is to be read of each cgroup for the sets that are on, and for points.
fn wanted(vocabularies: Vocabularies, sets: Sets) -> Wanted {
    let has = |set| vocabularies.families && sets.has(set);
    let points = vocabularies.points;
    Wanted {
        cpu: points || has(Set::Cpu) || has(Set::CpuDetails),
        cpu_quota: points || has(Set::Cpu) || has(Set::CpuDetails) || has(Set::Spec),
        cpu_shares: has(Set::Spec),
        memory: points || has(Set::Memory) || has(Set::MemoryDetails),
        memory_kernel: has(Set::Memory),
        memory_events: points || has(Set::Memory) || has(Set::Oom),
        memory_limit: points || has(Set::Spec),
        memory_spec: has(Set::Spec),
        io: points || has(Set::Io) || has(Set::IoDetails),
        huge_pages: has(Set::Hugetlb),
        pids: has(Set::Descriptors),
        threads: points || has(Set::Processes) || has(Set::Spec),
        threads_max: has(Set::Spec),
        pressure: points || has(Set::Pressure),
    }
}

impl ContainerReading {
    fn clear(&mut self, now: Timestamp, sets: Sets) {
        let mut measured = std::mem::take(&mut self.measured);
        measured.clear();
        *self = ContainerReading { measured, now, sets, ..ContainerReading::default() };
    }

    /// Where the first process is in a cgroup further below, it is only known after the walk.
    fn find_starts(&mut self, host: &Host, boot_time: Option<u64>, buffer: &mut Vec<u8>) {
        for one in self.measured.iter_mut().filter(|one| one.started.is_none()) {
            one.started = started(host, boot_time, one.usage.first_pid, buffer).or(one.made);
        }
    }

    fn find_device_names(&mut self, host: &Host) {
        let devices = self.measured.iter().flat_map(|measured| &measured.usage.devices);
        for number @ (major, minor) in devices.map(|device| device.number) {
            self.device_names.entry(number).or_insert_with(|| {
                let link = std::fs::read_link(host.sys_path(format!("dev/block/{major}:{minor}")));
                let name = link.ok().and_then(|link| Some(link.file_name()?.to_str()?.to_owned()));
                name.map(|name| format!("/dev/{name}")).unwrap_or_default()
            });
        }
    }
}

impl Reading for ContainerReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        families::write(self, out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        points::write(self, since, out);
    }
}

/// A limit as cAdvisor shows it: none is 0.
fn shown_limit(limit: u64) -> u64 {
    if limit == UNLIMITED { 0 } else { limit }
}
