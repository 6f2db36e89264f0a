//! Resource usage of cgroups: containers, pods, virtual machines, systemd units.
//!
//! Each reading walks the cgroup tree ([`tree`], [`visit`]) and identifies each cgroup by its path ([`identity`]).
//! Runtimes provide names in the background ([`names`]). Selected cgroups ([`selection`]) are read ([`usage`], [`v1`],
//! [`v2`]).

mod descriptors;
pub(super) mod docker;
mod families;
mod file_systems;
mod hierarchy;
mod identity;
mod init;
mod labels;
mod lifecycle;
mod names;
mod network;
mod point_settings;
mod points;
mod reading;
mod running;
mod selection;
mod sets;
mod tree;
mod usage;
mod v1;
mod v2;
mod visit;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use regex::Regex;

use self::hierarchy::Hierarchies;
use self::identity::{Identity, Kind, identify};
use self::labels::Labels;
use self::lifecycle::{Counting, Inputs, KernelLog, Lifecycle};
use self::names::Names;
use self::network::Network;
use self::point_settings::PointSettings;
use self::reading::ContainerReading;
use self::selection::Selection;
use self::sets::{SETS, Set, Sets};
use self::tree::Tree;
use self::usage::{Files, UNLIMITED, Wanted};
use self::visit::{CgroupState, Pods, Visit, label};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::collectors::kernel::process::boot_time;
use crate::collectors::storage::DeviceSizes;
use crate::config::{Filter, Key, KeyInfo, Section};
use crate::encode::Timestamp;
use crate::encode::infos::concat;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::text::Number;
use crate::host::{Directory, Host, HostFile, ReadError, SharedFile};
use crate::log::Episode;

pub(super) struct Container {
    sys: PathBuf,
    hierarchies: Option<Hierarchies>,
    tree: Tree<CgroupState>,
    names: Names,
    /// Generation of the names that the labels were made from.
    generation: u64,
    pods: Pods,
    counting: Arc<Mutex<Counting>>,
    /// Whether the counters know the settings.
    is_adopted: bool,
    /// Generation of the names that the lifecycle was compared with.
    listed: Option<u64>,
    selection: Selection,
    sets: Sets,
    limit: usize,
    network: Network,
    stat: SharedFile,
    meminfo: HostFile,
    devices: DeviceSizes,
    boot_time: Option<u64>,
    over_limit: Episode<()>,
    points: PointSettings,
}

const DEPTH: Key<usize> = Key::new("depth", "32", "Maximum depth of exported cgroups below the root.");
const LIMIT: Key<usize> =
    Key::new("limit", "5000", "Maximum number of exported cgroups; `taffrail_containers_left_out` counts the others.");
const INTERFACES_EXCLUDE: Key<Regex> = Key::new(
    "interfaces_exclude",
    "\"^(lo|veth|docker|nerdctl|cali|cilium|cni|lxc|nodelocaldns|tunl)\"",
    "Network interfaces to leave out.",
);

const REMARKS: &str = "\
`taffrail_container_restarts_total` and `taffrail_container_oom_events_total` outlive the cgroups: on Kubernetes, a container has \
a new cgroup and a new id after each start. They are labelled with namespace, pod and container, or with `name` for other \
containers. Without names they are labelled with `id`, the path of the cgroup (on Kubernetes that of the pod). They belong to no \
set. They start at 0 with Taffrail: earlier restarts and kills are not counted. A new container starts at 0 for one reading, so that \
an increase is visible. They are dropped an hour after the last cgroup, and their number is at most `limit`.

A restart is a new cgroup of the same container, or a changed start time. The restart counts of the kubelet, the API server and \
Docker add restarts between two readings. A new pod with the name of an old one is not a restart. OOM kills come from the cgroup, \
on cgroup v2 from its pod, from the kubelet or the API server (`OOMKilled`), from Docker, and from the kernel's log; none is \
counted twice. If a container ends with its OOM kill, cgroup v2 reports the kill only for the pod, and cgroup v1 not at all: the \
kernel's log is then the only source without Kubernetes' API. `/dev/kmsg` is read if permitted: that needs CAP_SYSLOG if \
`kernel.dmesg_restrict` is 1, and access to the device, which `PrivateDevices=` and `ProtectKernelLogs=` of systemd, and \
unprivileged containers, do not allow. If several containers of a pod end between two readings and no source says which was \
killed, the kill is counted for the pod, with an empty `container`.";

const READING_KEYS: [KeyInfo; 4] = [SETS.info(), DEPTH.info(), LIMIT.info(), INTERFACES_EXCLUDE.info()];
const KEYS: [KeyInfo; selection::KEYS.len() + READING_KEYS.len() + Names::KEYS.len()] =
    concat(&[&selection::KEYS, &READING_KEYS, Names::KEYS]);

impl Collector for Container {
    const ABOUT: About = About {
        name: "container",
        summary: "resource usage of containers, pods, virtual machines and systemd units, by cgroup; pushed as `docker`, `docker_container_*` and `cgroup`",
        reads: &[
            "/sys/fs/cgroup",
            "/sys/dev/block",
            "/proc/*/net/dev",
            "/proc/*/{stat,limits,fd}",
            "/proc/stat",
            "/proc/meminfo",
            "/proc/{1,self}/mountinfo",
            "statfs(2)",
            "/dev/kmsg",
        ],
        needs: "nothing; names and images need access to their sources, file-system usage of containers needs Docker's socket or the kubelet with `get` on nodes/stats, descriptor counts need CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, the kernel's log needs CAP_SYSLOG",
        remarks: REMARKS,
        on_by_default: Vocabularies::BOTH,
        keys: &KEYS,
        point_keys: point_settings::KEYS,
        families: &families::INFOS,
        measurements: &points::INFOS,
        ..About::PLAIN
    };
    type Reading = ContainerReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let sets = Sets::from_section(section);
        let interfaces = Filter::new(None, Some(section.get(&INTERFACES_EXCLUDE)));
        Container {
            sys: host.sys_path(""),
            hierarchies: None,
            tree: Tree::new(section.get(&DEPTH)),
            names: Names::new(host, section, sets.has(Set::Disk)),
            generation: 0,
            pods: Pods::default(),
            counting: host.retained(|| Counting {
                lifecycle: Lifecycle::new(section.get(&LIMIT)),
                kernel_log: KernelLog::new(host.root_path("dev/kmsg")),
            }),
            is_adopted: false,
            listed: None,
            selection: Selection::from_section(section),
            sets,
            limit: section.get(&LIMIT),
            network: Network::new(interfaces),
            stat: host.shared_proc("stat"),
            meminfo: host.proc("meminfo").one_record(),
            devices: DeviceSizes::new(host),
            boot_time: None,
            over_limit: Episode::default(),
            points: PointSettings::new(&mut section.table("points")),
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
        let root = Directory::open(walked.clone()).inspect_err(|_| self.hierarchies = None)?;
        if !self.names.has_begun() {
            let containers = running::containers(Directory::open(walked)?, self.tree.max_depth());
            self.names.begin(containers.iter().map(|(labels, cgroup)| labels.running(*cgroup)));
        }

        self.update_labels();
        self.read_host(cx, reading);
        let counting = self.counting.clone();
        let mut counting = counting.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut self.is_adopted, true) {
            counting.lifecycle.adopt(self.limit, &mut |labels| self.selection.shows(labels));
        }
        self.walk(cx, root, &mut counting.lifecycle, reading);
        self.count_lifecycle(&mut counting, reading);
        drop(counting);
        self.log_limit(reading.left_out);
        reading.engines = self.names.engines();
        reading.points = self.points;
        reading.find_device_names(cx.host);
        if cx.wanted.points || self.sets.has(Set::Network) {
            self.network.read(cx.host, cx.buffer, cx.problems, &mut reading.measured);
        }
        if cx.wanted.families && self.sets.has(Set::Disk) {
            file_systems::read(&mut self.devices, &self.names.sizes(), cx, &mut reading.measured);
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
    /// Updates the labels of all cgroups after a change of the names.
    fn update_labels(&mut self) {
        let generation = self.names.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let Container { tree, names, pods, selection, .. } = self;
        pods.clear();
        // The names of a pod may come from its containers only, which follow it in the tree.
        tree.for_each(&mut |state| state.name(names, pods));
        tree.for_each(&mut |state| {
            state.name(names, pods);
            state.is_selected = selection.shows(&state.labels);
        });
    }

    fn walk(
        &mut self,
        cx: &mut ReadContext<'_>,
        root: Directory,
        lifecycle: &mut Lifecycle,
        reading: &mut ContainerReading,
    ) {
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
            lifecycle,
            leaves: Vec::new(),
            running: Vec::new(),
        };
        self.tree.walk(root, &mut visit);
        let running = std::mem::take(&mut visit.running);
        self.names.want(running.iter().map(|(labels, cgroup)| labels.running(*cgroup)));
    }

    /// Counts restarts and OOM kills since the last reading.
    fn count_lifecycle(&mut self, counting: &mut Counting, reading: &mut ContainerReading) {
        let Container { names, pods, selection, hierarchies, .. } = self;
        let is_nested = hierarchies.as_ref().is_some_and(|hierarchies| hierarchies.is_nested);
        let selection = RefCell::new(selection);
        let is_listed = self.listed.replace(self.generation) == Some(self.generation);
        reading.counted = counting.lifecycle.count(Inputs {
            now: reading.now,
            instant: Instant::now(),
            killed: counting.kernel_log.killed(),
            is_nested,
            listed: (!is_listed).then(|| names.containers()),
            labels: &mut |path| {
                let labels = label(path, &identify(path), names, pods);
                selection.borrow_mut().shows(&labels).then_some(labels)
            },
            is_exported: &mut |named| {
                let identity = Identity { kind: Kind::Container, ..Identity::default() };
                selection.borrow_mut().shows(&Labels::new("", &identity, Some(named.clone()), None))
            },
        });
    }

    /// Reads CPU time, boot time and memory of the host, the base of the percentages.
    fn read_host(&mut self, cx: &mut ReadContext<'_>, reading: &mut ContainerReading) {
        if self.boot_time.is_none() || cx.wanted.points {
            const NANOSECONDS: u64 = 10_000_000;
            if let Ok(text) = self.stat.read(cx.round, cx.buffer) {
                self.boot_time = self.boot_time.or_else(|| boot_time(text));
                // Column 9 and 10 are guest time, which user time includes.
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

    fn log_limit(&mut self, left_out: u64) {
        if left_out == 0 {
            if let Some(over) = self.over_limit.recovered() {
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

/// Which files to read for the enabled sets and for points.
fn wanted(vocabularies: Vocabularies, sets: Sets) -> Wanted {
    let has = |set| vocabularies.families && sets.has(set);
    let points = vocabularies.points;
    Wanted {
        cpu: points || has(Set::Cpu) || has(Set::CpuDetails),
        cpu_quota: points || has(Set::Cpu) || has(Set::CpuDetails) || has(Set::Spec),
        cpu_shares: has(Set::Spec),
        memory: points || has(Set::Memory) || has(Set::MemoryDetails),
        memory_kernel: has(Set::Memory),
        // The counters of OOM kills are in no set.
        memory_events: true,
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

/// A limit as in cAdvisor: 0 if unlimited.
fn exported_limit(limit: u64) -> u64 {
    if limit == UNLIMITED { 0 } else { limit }
}
