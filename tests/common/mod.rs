//! Recorded hosts, as the tests read them.
//!
//! A host is a folder below `tests/hosts`; the README there says what is in it.

// Each test uses its own part of this module.
#![allow(dead_code, unreachable_pub)]

pub mod bus;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io};

#[allow(unused_imports)]
pub use crate::harness::recorded::{host as recorded_host, hosts as recorded_hosts, unpacked};
use rustix::io::Errno;
use taffrail::collectors::framework::Configured;
use taffrail::collectors::list as known;
use taffrail::collectors::readers::{CollectorReading, Readers};
use taffrail::collectors::settings::configure;
use taffrail::collectors::{Vocabularies, readers};
use taffrail::config::{Document, Section};
use taffrail::encode::Timestamp;
use taffrail::encode::line::LineEncoder;
use taffrail::encode::lines::Lines;
use taffrail::encode::tags::CommonTags;
use taffrail::encode::text::{Dialect, TextEncoder};
use taffrail::encode::{FamilyWriter, PointWriter};
use taffrail::host::btrfs::{Volume, VolumeDevice};
use taffrail::host::ethtool::{Driver, Ethtool, Link};
use taffrail::host::netlink::Question;
use taffrail::host::perf::{Count, Counter, Event};
use taffrail::host::timex::Timex;
use taffrail::host::{FsStat, Host, Kernel, Roots};
use toml::de::{DeTable, DeValue};

/// The host recorded in `tree`, a `before` or an `after`.
pub fn host_of(tree: &Path) -> Host {
    let roots = roots_of(tree, &tree.with_file_name("after"));
    let kernel = RecordedKernel::new(tree, &roots.root);
    Host::new(roots, Arc::new(kernel))
}

fn roots_of(changing: &Path, fixed: &Path) -> Roots {
    Roots {
        proc: changing.join("proc"),
        sys: changing.join("sys"),
        root: fixed.join("root"),
        udev: fixed.join("udev/data"),
    }
}

/// A kernel that answers as `kernel.toml` says.
pub struct RecordedKernel {
    root: PathBuf,
    /// What services answer.
    bus: Option<Arc<bus::Recording>>,
    reported: Mutex<Reported>,
}

struct Reported {
    now: Timestamp,
    machine: String,
    hostname: String,
    page_size: u64,
    sizes: BTreeMap<PathBuf, FsStat>,
    timex: Option<Timex>,
    ethtool: BTreeMap<String, Ethtool>,
    counts: Vec<(Event, u32, Count)>,
    volumes: BTreeMap<PathBuf, Volume>,
    dumps: Vec<RecordedDump>,
}

/// What the kernel answered to a question by netlink.
struct RecordedDump {
    peer: String,
    kind: u16,
    body: Vec<u8>,
    answers: Vec<Vec<u8>>,
}

impl RecordedKernel {
    /// The kernel that `tree` describes; paths that it is asked for begin with `root`.
    pub fn new(tree: &Path, root: &Path) -> Self {
        let bus = fs::read_to_string(root.with_file_name("bus")).ok().map(|text| Arc::new(bus::read(&text)));
        RecordedKernel { root: root.to_owned(), bus, reported: Mutex::new(Reported::read(tree)) }
    }

    /// From here on it answers as `tree` describes.
    pub fn go_on_to(&self, tree: &Path) {
        *self.reported.lock().unwrap() = Reported::read(tree);
    }
}

/// Of small hosts that say nothing of system calls.
const SMALL_KERNEL: &str = "now = 1700000000\nmachine = \"x86_64\"\nhostname = \"small\"\n";

impl Reported {
    fn read(tree: &Path) -> Reported {
        let path = tree.join("kernel.toml");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => SMALL_KERNEL.to_owned(),
            text => text.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        };
        let parsed = DeTable::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let table = parsed.get_ref();
        let statfs = match table.get("statfs").map(toml::Spanned::get_ref) {
            Some(DeValue::Array(mounts)) => mounts.iter().map(|mount| size_of(mount.get_ref())).collect(),
            _ => BTreeMap::new(),
        };
        Reported {
            now: timestamp(number(table, "now").expect("now")),
            machine: string(table, "machine"),
            hostname: string(table, "hostname"),
            page_size: number(table, "page_size").map_or(4096, |size| size.parse().unwrap()),
            sizes: statfs,
            timex: match table.get("timex").map(toml::Spanned::get_ref) {
                Some(DeValue::Table(reported)) => Some(timex_of(reported)),
                _ => None,
            },
            ethtool: tables(table, "ethtool")
                .map(|reported| (string(reported, "device"), ethtool_of(reported)))
                .collect(),
            counts: tables(table, "counter").map(count_of).collect(),
            volumes: volumes_of(tables(table, "btrfs")),
            dumps: tables(table, "dump").map(dump_of).collect(),
        }
    }
}

fn tables<'t>(table: &'t DeTable<'_>, key: &str) -> impl Iterator<Item = &'t DeTable<'t>> {
    let items = match table.get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::Array(items)) => items.iter().collect(),
        _ => Vec::new(),
    };
    items.into_iter().map(|item| match item.get_ref() {
        DeValue::Table(table) => table,
        other => panic!("{other:?} is no table"),
    })
}

/// What a table holds as JSON would: its lists are easier to read so.
fn list(table: &DeTable<'_>, key: &str) -> Vec<String> {
    match table.get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::Array(items)) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.as_str().to_owned(),
                other => panic!("{other:?}"),
            })
            .collect(),
        None => Vec::new(),
        other => panic!("{key} is {other:?}"),
    }
}

fn ethtool_of(reported: &DeTable<'_>) -> Ethtool {
    let driver = reported.contains_key("driver").then(|| Driver {
        name: string(reported, "driver"),
        version: string(reported, "version"),
        firmware: string(reported, "firmware"),
        bus: string(reported, "bus"),
        expansion_rom: String::new(),
    });
    let counters = list(reported, "counters");
    let counter = |line: &String| {
        let (name, count) = line.rsplit_once(": ").unwrap();
        (name.to_owned(), count.parse().unwrap())
    };
    let bits = |key| {
        let mut words = vec![0; 4];
        list(reported, key)
            .iter()
            .map(|bit| bit.parse::<usize>().unwrap())
            .for_each(|bit| words[bit / 32] |= 1 << (bit % 32));
        words
    };
    let link = reported.contains_key("supported").then(|| Link {
        autonegotiates: reported.contains_key("autonegotiates"),
        supported: bits("supported"),
        advertised: bits("advertised"),
    });
    Ethtool { driver, counters: counters.iter().map(counter).collect(), link }
}

/// `[[btrfs]]`: a device for each table; those with one `path` are of the file system that is mounted there.
fn volumes_of<'t>(reported: impl Iterator<Item = &'t DeTable<'t>>) -> BTreeMap<PathBuf, Volume> {
    let mut volumes: BTreeMap<PathBuf, Volume> = BTreeMap::new();
    for device in reported {
        let value = |text: &str| text.parse::<u64>().unwrap();
        let volume = volumes.entry(string(device, "path").into()).or_default();
        volume.uuid = string(device, "uuid");
        volume.devices.push(VolumeDevice {
            uuid: string(device, "device_uuid"),
            path: string(device, "device"),
            size: value(number(device, "size").unwrap()),
            allocated: value(number(device, "allocated").unwrap()),
            errors: std::array::from_fn(|kind| value(&list(device, "errors")[kind])),
        });
    }
    volumes
}

fn count_of(reported: &DeTable<'_>) -> (Event, u32, Count) {
    let value = |key| number(reported, key).unwrap_or("0").parse::<u64>().unwrap();
    let count =
        Count { events: value("events"), enabled_nanoseconds: value("enabled"), running_nanoseconds: value("running") };
    (Event { kind: value("kind") as u32, number: value("number") }, value("cpu") as u32, count)
}

fn dump_of(reported: &DeTable<'_>) -> RecordedDump {
    let hex = |text: &String| {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect::<Vec<u8>>()
    };
    RecordedDump {
        peer: string(reported, "peer"),
        kind: number(reported, "kind").unwrap().parse().unwrap(),
        body: hex(&string(reported, "body")),
        answers: list(reported, "answers").iter().map(hex).collect(),
    }
}

struct RecordedCounter(Count);

impl Counter for RecordedCounter {
    fn read(&mut self) -> Result<Count, Errno> {
        Ok(self.0)
    }
}

fn size_of(mount: &DeValue<'_>) -> (PathBuf, FsStat) {
    let DeValue::Table(mount) = mount else { panic!("statfs is not a list of tables") };
    let count = |key| number(mount, key).unwrap_or("0").parse().unwrap();
    let size = FsStat {
        block_size: count("block_size"),
        blocks: count("blocks"),
        blocks_free: count("blocks_free"),
        blocks_available: count("blocks_available"),
        files: count("files"),
        files_free: count("files_free"),
        read_only: mount.contains_key("read_only"),
    };
    (string(mount, "path").into(), size)
}

fn timex_of(reported: &DeTable<'_>) -> Timex {
    let value = |key| number(reported, key).map_or(0, |value| value.parse().unwrap());
    Timex {
        state: value("state") as i32,
        status: value("status") as i32,
        offset: value("offset"),
        freq: value("freq"),
        maxerror: value("maxerror"),
        esterror: value("esterror"),
        constant: value("constant"),
        tick: value("tick"),
        ppsfreq: value("ppsfreq"),
        jitter: value("jitter"),
        shift: value("shift") as i32,
        stabil: value("stabil"),
        jitcnt: value("jitcnt"),
        calcnt: value("calcnt"),
        errcnt: value("errcnt"),
        stbcnt: value("stbcnt"),
        tai: value("tai") as i32,
    }
}

fn string(table: &DeTable<'_>, key: &str) -> String {
    match table.get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::String(text)) => text.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

fn number<'t>(table: &'t DeTable<'_>, key: &str) -> Option<&'t str> {
    match table.get(key)?.get_ref() {
        DeValue::Integer(number) => Some(number.as_str()),
        DeValue::Float(number) => Some(number.as_str()),
        other => panic!("{key} is {other:?}"),
    }
}

/// Seconds with up to nine digits behind the point, exactly.
fn timestamp(seconds: &str) -> Timestamp {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    Timestamp(format!("{whole}{fraction:0<9.9}").parse().unwrap())
}

impl Kernel for RecordedKernel {
    fn now(&self) -> Timestamp {
        self.reported.lock().unwrap().now
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.now().0.unsigned_abs())
    }

    fn statfs(&self, path: &Path) -> Result<FsStat, Errno> {
        let below = path.strip_prefix(&self.root).map_err(|_| Errno::NOENT)?;
        self.reported.lock().unwrap().sizes.get(&Path::new("/").join(below)).copied().ok_or(Errno::ACCESS)
    }

    fn machine(&self) -> String {
        self.reported.lock().unwrap().machine.clone()
    }

    fn hostname(&self) -> String {
        self.reported.lock().unwrap().hostname.clone()
    }

    fn page_size(&self) -> u64 {
        self.reported.lock().unwrap().page_size
    }

    fn timex(&self) -> Result<Timex, Errno> {
        self.reported.lock().unwrap().timex.ok_or(Errno::PERM)
    }

    fn dump(&self, question: Question<'_>, _: &mut Vec<u8>, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        let reported = self.reported.lock().unwrap();
        let peer = format!("{:?}", question.peer);
        let is_it =
            |dump: &&RecordedDump| dump.peer == peer && dump.kind == question.kind && dump.body == question.body;
        match reported.dumps.iter().find(is_it) {
            Some(dump) => dump.answers.iter().for_each(|answer| each(answer)),
            None => return Err(Errno::OPNOTSUPP),
        }
        Ok(())
    }

    fn ethtool(&self, device: &str) -> Result<Ethtool, Errno> {
        self.reported.lock().unwrap().ethtool.get(device).cloned().ok_or(Errno::OPNOTSUPP)
    }

    fn btrfs(&self, mount_point: &Path) -> Result<Volume, Errno> {
        let below = Path::new("/").join(mount_point.strip_prefix(&self.root).map_err(|_| Errno::NOENT)?);
        self.reported.lock().unwrap().volumes.get(&below).cloned().ok_or(Errno::NOTTY)
    }

    fn counter(&self, event: Event, cpu: u32) -> Result<Box<dyn Counter>, Errno> {
        let reported = self.reported.lock().unwrap();
        let found = reported.counts.iter().find(|(known, on, _)| *known == event && *on == cpu);
        found.map(|(_, _, count)| Box::new(RecordedCounter(*count)) as Box<dyn Counter>).ok_or(Errno::NOENT)
    }

    fn connect(&self, socket: &Path, _: Duration) -> io::Result<UnixStream> {
        assert!(socket.ends_with("run/dbus/system_bus_socket"), "{}", socket.display());
        self.bus.as_ref().map(bus::connect).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A recorded host that is read twice by the same collectors: as it was before, then as it was after.
pub struct Replay {
    /// The host; its trees are at the end of a symbolic link.
    pub host: Host,
    kernel: Arc<RecordedKernel>,
    /// The folder of its trees.
    recording: PathBuf,
    link: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Replay {
    /// One of [`recorded_hosts`], as it was before, if that was recorded.
    pub fn new(host: &Path) -> Self {
        Replay::of(unpacked(host))
    }

    /// The same, of the folder with its trees.
    pub fn of(recording: PathBuf) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let link = temporary.path().join("host");
        let after = recording.join("after");
        let first = Some(recording.join("before")).filter(|before| before.is_dir()).unwrap_or_else(|| after.clone());
        symlink(&first, &link).unwrap();
        let roots = roots_of(&link, &after);
        let kernel = Arc::new(RecordedKernel::new(&first, &roots.root));
        let host = Host::new(roots, kernel.clone());
        Replay { host, kernel, recording, link, _temporary: temporary }
    }

    /// Whether it was recorded twice.
    pub fn has_before(&self) -> bool {
        self.recording.join("before").is_dir()
    }

    /// From here on it is as it was after.
    pub fn go_on(&self) {
        self.go_on_to(&self.recording.join("after"));
    }

    /// From here on it is as `tree` describes, but for what is below its root.
    pub fn go_on_to(&self, tree: &Path) {
        fs::remove_file(&self.link).unwrap();
        symlink(tree, &self.link).unwrap();
        self.kernel.go_on_to(tree);
    }

    /// `text` with the paths of the trees replaced by `HOST`.
    pub fn without_paths(&self, text: &str) -> String {
        let fixed = self.recording.join("after");
        text.replace(&*self.link.to_string_lossy(), "HOST").replace(&*fixed.to_string_lossy(), "HOST")
    }
}

/// All collectors, on for both vocabularies, as `toml` sets them.
pub fn collectors(host: &Host, toml: &str) -> Vec<Configured> {
    let document = Document::parse("test", toml, &|_| None).unwrap();
    Section::check(&document, |root| configure(host, &[], &mut root.table("collectors"))).unwrap()
}

/// Everything that is read of a host, also what is off by default, with all that can be asked for.
pub fn all_on() -> String {
    // These query servers, which recorded hosts lack, or read what is configured.
    const OF_OTHERS: [&str; 7] = ["cloudwatch", "docker_state", "ntp", "nvidia", "procstat", "statsd", "supervisord"];
    let names: Vec<String> =
        known::names().filter(|name| !OF_OTHERS.contains(name)).map(|name| format!("{name:?}")).collect();
    format!("[collectors]\nenable = [{}]\n{MORE}", names.join(", "))
}

const MORE: &str = r#"
[collectors.container]
kinds = ["host", "container", "pod", "kubepods", "machine", "service", "scope", "slice"]
sets = ["cpu", "cpu_details", "memory", "memory_details", "io", "io_details", "disk", "network", "processes", "descriptors",
    "pressure", "oom", "hugetlb", "spec", "times", "info"]
[collectors.bcache]
priority_stats = true
[collectors.cpu]
info = true
info_flags_include = "^(fpu|sse.*|asimd)$"
info_bugs_include = ".*"
[collectors.cpufreq.points]
metrics = ["cpufreq", "thermal"]
[collectors.hwmon.points]
add_device_tag = true
[collectors.netclass]
altnames = true
[collectors.netdev]
address_info = true
[collectors.perf]
tracepoint = ["sched:sched_process_fork"]
[collectors.sysctl]
include = ["kernel.threads-max", "kernel.pid_max", "fs.file-nr", "fs.file-nr:total,current,max", "kernel.odd"]
include_info = ["kernel.core_pattern"]
[collectors.systemd]
enable_task_metrics = true
enable_restarts_metrics = true
enable_start_time_metrics = true
points.details = true
[collectors.textfile]
directory = ["/var/lib/textfil[e]"]
"#;

/// One reading by all collectors.
pub fn read(readers: &Readers) -> Vec<CollectorReading> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(readers.read(Vocabularies::BOTH, |_| true, Duration::from_secs(60)))
}

/// The readings as a text exposition.
pub fn exposition(answers: &[CollectorReading], dialect: Dialect) -> String {
    let mut encoder = TextEncoder::new(dialect, Vec::new());
    readers::write_families(answers, None, &mut FamilyWriter::new(&mut encoder));
    String::from_utf8(encoder.finish()).unwrap()
}

/// The readings as line protocol, with what has changed since `previous`.
pub fn line_protocol(answers: &[CollectorReading], previous: &[CollectorReading], host: &Host) -> String {
    let tags = CommonTags::new(&BTreeMap::from([("host".to_owned(), host.kernel.hostname())]));
    let at = host.kernel.now().rounded_to(Duration::from_secs(1));
    let mut lines = Lines::default();
    readers::write_points(answers, previous, &mut PointWriter::new(&mut LineEncoder::new(&mut lines), &tags, at));
    String::from_utf8(lines.bytes().to_vec()).unwrap()
}

/// Copies the folder `from` to `to`; links stay links.
pub fn copy_tree(from: &Path, to: &Path, wanted: &impl Fn(&OsStr) -> bool) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| wanted(&entry.file_name())) {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_tree(&entry.path(), &target, wanted);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The lines in which `expected` and `actual` differ, each with its number; nothing if they are the same.
pub fn line_diff(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let mut common = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for (i, j) in (0..old.len()).rev().flat_map(|i| (0..new.len()).rev().map(move |j| (i, j))) {
        let skipped = common[i + 1][j].max(common[i][j + 1]);
        common[i][j] = if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { skipped };
    }
    let (mut i, mut j, mut diff) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            diff += &format!("  {:5} - {}\n", i + 1, old[i]);
            i += 1;
        } else {
            diff += &format!("  {:5} + {}\n", j + 1, new[j]);
            j += 1;
        }
    }
    diff
}
