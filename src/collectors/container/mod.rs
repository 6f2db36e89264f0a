//! What every cgroup uses: containers, pods, virtual machines, and the units of systemd.
//!
//! The tree of cgroups is walked ([`tree`]), each cgroup is identified by its path ([`identity`]) and named by what
//! runtimes tell in the background ([`names`]); those that are shown are read ([`usage`], [`v1`], [`v2`]).

mod descriptors;
mod families;
mod hierarchy;
mod identity;
mod labels;
mod names;
mod network;
mod points;
mod reading;
mod sets;
mod tree;
mod usage;
mod v1;
mod v2;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use regex::Regex;

use self::hierarchy::{Hierarchies, Roots};
use self::identity::{Identity, Kind, identify};
use self::labels::Labels;
use self::names::{Names, PodNamed};
use self::network::Network;
use self::reading::{ContainerReading, Measured};
use self::sets::{SETS, Set, Sets};
use self::tree::{Tree, Visitor};
use self::usage::{Files, UNLIMITED, Usage, Wanted};
use super::process::{boot_time, started_ticks};
use super::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::text::Number;
use crate::host::{Directory, Host, HostFile, ReadError, SharedFile, Timestamp, file};

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
    is_over_limit: bool,
}

const KINDS: Key<Vec<String>> = Key::new(
    "kinds",
    "[\"host\", \"container\", \"pod\", \"machine\"]",
    "Kinds of cgroups that are shown. There are also service, scope and slice for the units of systemd, and other.",
);
const NAME_INCLUDE: Key<Regex> = Key::optional("name_include", "Only cgroups whose `name` matches are shown.");
const NAME_EXCLUDE: Key<Regex> = Key::optional("name_exclude", "Cgroups whose `name` matches are not shown.");
const NAMESPACE_INCLUDE: Key<Regex> =
    Key::optional("namespace_include", "Only cgroups whose Kubernetes namespace matches are shown.");
const NAMESPACE_EXCLUDE: Key<Regex> =
    Key::optional("namespace_exclude", "Cgroups whose Kubernetes namespace matches are not shown.");
const IMAGE_INCLUDE: Key<Regex> = Key::optional("image_include", "Only cgroups whose image matches are shown.");
const IMAGE_EXCLUDE: Key<Regex> = Key::optional("image_exclude", "Cgroups whose image matches are not shown.");
const PATH_INCLUDE: Key<Regex> = Key::optional("path_include", "Only cgroups whose path matches are shown.");
const PATH_EXCLUDE: Key<Regex> = Key::optional("path_exclude", "Cgroups whose path matches are not shown.");
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

const OWN_KEYS: [KeyInfo; 13] = [
    KINDS.info(),
    SETS.info(),
    NAME_INCLUDE.info(),
    NAME_EXCLUDE.info(),
    NAMESPACE_INCLUDE.info(),
    NAMESPACE_EXCLUDE.info(),
    IMAGE_INCLUDE.info(),
    IMAGE_EXCLUDE.info(),
    PATH_INCLUDE.info(),
    PATH_EXCLUDE.info(),
    DEPTH.info(),
    LIMIT.info(),
    INTERFACES_EXCLUDE.info(),
];
const KEYS: [KeyInfo; OWN_KEYS.len() + Names::KEYS.len()] = concat(&[&OWN_KEYS, Names::KEYS]);

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
            is_over_limit: false,
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
        let is_over = left_out > 0;
        if is_over && !self.is_over_limit {
            let limit = self.limit;
            tracing::warn!(
                collector = "container",
                left_out,
                "more than {limit} cgroups: the rest is not shown; see limit"
            );
        }
        self.is_over_limit = is_over;
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

/// What is known of a cgroup as long as it is there.
struct Known {
    path: String,
    identity: Identity,
    labels: Arc<Labels>,
    shown: bool,
    made: Option<Timestamp>,
    /// When its first process was started.
    started: Option<Timestamp>,
}

impl Known {
    fn name(&mut self, names: &Names, pods: &mut Pods) {
        let named = Some(&self.identity.container_id).filter(|id| !id.is_empty()).and_then(|id| names.container(id));
        let uid = &self.identity.pod_uid;
        if let Some(named) = named.as_deref().filter(|named| !uid.is_empty() && !named.pod.is_empty()) {
            pods.learn(uid, PodNamed { pod: named.pod.clone(), namespace: named.namespace.clone() });
        }
        let pod =
            if uid.is_empty() { None } else { names.pod(uid).map(|pod| (*pod).clone()).or_else(|| pods.get(uid)) };
        self.labels = Arc::new(Labels::new(&self.path, &self.identity, named, pod.as_ref()));
    }
}

/// The names of pods as their containers tell them.
#[derive(Default)]
struct Pods {
    by_uid: HashMap<String, PodNamed>,
}

impl Pods {
    fn learn(&mut self, uid: &str, pod: PodNamed) {
        self.by_uid.entry(uid.to_owned()).or_insert(pod);
    }

    fn get(&self, uid: &str) -> Option<PodNamed> {
        self.by_uid.get(uid).cloned()
    }

    fn forget(&mut self) {
        self.by_uid.clear();
    }
}

/// Which cgroups are shown.
struct Selection {
    kinds: Vec<Kind>,
    name: Filter,
    namespace: Filter,
    image: Filter,
    path: Filter,
}

impl Selection {
    fn from_section(section: &mut Section<'_>) -> Self {
        let mut kinds = Vec::new();
        for name in section.get(&KINDS) {
            match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
                Some(kind) => kinds.push(kind),
                None => {
                    let known = Kind::ALL.map(Kind::name).join(", ");
                    section.wrong(KINDS.info().name, format!("there is no kind {name:?}; there are {known}"));
                }
            }
        }
        let mut filter = |include, exclude| Filter::new(section.optional(include), section.optional(exclude));
        Selection {
            kinds,
            name: filter(&NAME_INCLUDE, &NAME_EXCLUDE),
            namespace: filter(&NAMESPACE_INCLUDE, &NAMESPACE_EXCLUDE),
            image: filter(&IMAGE_INCLUDE, &IMAGE_EXCLUDE),
            path: filter(&PATH_INCLUDE, &PATH_EXCLUDE),
        }
    }

    fn shows(&mut self, labels: &Labels) -> bool {
        self.kinds.contains(&labels.identity.kind)
            && self.path.wants(&labels.id)
            && self.name.wants(&labels.name)
            && self.namespace.wants(&labels.namespace)
            && self.image.wants(&labels.image)
    }
}

/// One walk over all cgroups.
struct Visit<'a> {
    names: &'a Names,
    pods: &'a mut Pods,
    selection: &'a mut Selection,
    limit: usize,
    roots: Roots<'a>,
    wanted: Wanted,
    boot_time: Option<u64>,
    host: &'a Host,
    files: Files<'a>,
    reading: &'a mut ContainerReading,
    /// Those that the walk is in and that do not just hold others: processes further below are theirs.
    leaves: Vec<usize>,
    /// Containers without a name.
    unknown: Vec<Arc<Labels>>,
}

impl Visitor<Known> for Visit<'_> {
    fn found(&mut self, path: &str, directory: &Directory) -> Known {
        let mut known = Known {
            path: path.to_owned(),
            identity: identify(path),
            labels: Arc::default(),
            shown: false,
            made: directory.made_at(),
            started: None,
        };
        known.name(self.names, self.pods);
        known.shown = self.selection.shows(&known.labels);
        known
    }

    fn visit(&mut self, known: &mut Known, directory: &mut Directory) {
        self.reading.cgroups += 1;
        while self.leaves.last().is_some_and(|leaf| !is_below(&known.path, &self.reading.measured[*leaf].labels.id)) {
            self.leaves.pop();
        }
        let holder = self.leaves.last().copied();
        let mut usage = Usage::default();
        if known.shown && self.reading.measured.len() < self.limit {
            self.roots.read(&known.path, directory, self.wanted, &mut self.files, &mut usage);
            self.add_processes(holder, known.identity.kind, &usage);
            self.add(known, usage);
        } else {
            self.reading.left_out += u64::from(known.shown);
            if holder.is_some() {
                self.files.processes(directory, self.wanted, &mut usage);
                self.add_processes(holder, known.identity.kind, &usage);
            }
        }
    }

    fn failed(&mut self, error: ReadError) {
        self.files.problem(error);
    }
}

impl Visit<'_> {
    fn add(&mut self, known: &mut Known, usage: Usage) {
        if known.identity.kind == Kind::Host {
            known.started = self.boot_time.and_then(Timestamp::from_seconds);
        }
        if known.started.is_none() {
            known.started = started(self.host, self.boot_time, usage.first_pid, self.files.buffer);
        }
        let labels = known.labels.clone();
        if matches!(known.identity.kind, Kind::Container | Kind::Machine | Kind::Service | Kind::Scope) {
            self.leaves.push(self.reading.measured.len());
        }
        if !known.identity.container_id.is_empty() && labels.named.is_none() {
            self.unknown.push(labels.clone());
        }
        let told = labels.named.as_deref().and_then(|named| named.started_at);
        let started = told.or(known.started);
        self.reading.measured.push(Measured { made: known.made, ..Measured::new(labels, started, usage) });
    }

    /// Adds the processes of a cgroup to the container that it is a part of.
    fn add_processes(&mut self, holder: Option<usize>, kind: Kind, usage: &Usage) {
        let is_part = !matches!(kind, Kind::Container | Kind::Pod | Kind::Machine);
        if let Some(holder) = holder.filter(|_| is_part) {
            let of_holder = &mut self.reading.measured[holder].usage;
            if let Some(processes) = usage.processes {
                of_holder.processes = Some(of_holder.processes.unwrap_or(0) + processes);
            }
            of_holder.pids.extend_from_slice(&usage.pids);
            of_holder.first_pid = of_holder.first_pid.or(usage.first_pid);
        }
    }
}

/// When a process was started.
fn started(host: &Host, boot_time: Option<u64>, pid: Option<u64>, buffer: &mut Vec<u8>) -> Option<Timestamp> {
    const NANOSECONDS_PER_TICK: u64 = 10_000_000;
    // The PIDs of another PID namespace are 0.
    let path = host.proc_path(format!("{}/stat", pid.filter(|pid| *pid > 0)?));
    let ticks = file::read_once(&path, buffer).ok().and_then(started_ticks)?;
    let since_boot = i64::try_from(ticks.checked_mul(NANOSECONDS_PER_TICK)?).ok()?;
    Timestamp::from_seconds(boot_time?)?.0.checked_add(since_boot).map(Timestamp)
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
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
