//! Resource usage and build of Taffrail itself.

use crate::build_info;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::{Key, Section};
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::text::Number;
use crate::host::{Host, HostFile, ReadError, SharedFile, Text, file, portable};

pub(super) struct Process {
    stat: HostFile,
    limits: HostFile,
    netstat: SharedFile,
    boot: SharedFile,
    boot_time_seconds: Option<u64>,
    has_usage: bool,
}

const USAGE: Key<bool> =
    Key::new("usage", "true", "CPU time, memory and descriptors; without them, only the build is reported.");

/// `/proc/self`: proc_pid_stat(5), proc_pid_limits(5), proc_pid_fd(5).
#[derive(Default)]
pub(super) struct ProcessReading {
    cpu_ticks: u64,
    started_ticks: u64,
    boot_time_seconds: u64,
    virtual_bytes: u64,
    resident_bytes: u64,
    open_fds: Option<u64>,
    max_fds: Option<f64>,
    max_virtual_bytes: Option<f64>,
    received_bytes: Option<u64>,
    transmitted_bytes: Option<u64>,
}

impl Collector for Process {
    const ABOUT: About = About {
        name: "process",
        summary: "resource usage and build of Taffrail itself",
        reads: &["getrlimit(2)", "/proc/self/{stat,limits,fd}", "/proc/net/netstat", "/proc/stat"],
        families: &[
            CPU_SECONDS.info(),
            MAX_FDS.info(),
            NETWORK_RECEIVE.info(),
            NETWORK_TRANSMIT.info(),
            OPEN_FDS.info(),
            RESIDENT.info(),
            START_TIME.info(),
            VIRTUAL.info(),
            VIRTUAL_MAX.info(),
            build_info::FAMILY.info(),
            NODE_EXPORTER.info(),
        ],
        keys: &[USAGE.info()],
        measurements: &[MEMSTATS.info(), PROCESS.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = ProcessReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Process {
            stat: host.proc("self/stat").one_record(),
            limits: host.proc("self/limits").one_record(),
            netstat: host.shared_proc("net/netstat"),
            boot: host.shared_proc("stat"),
            boot_time_seconds: None,
            has_usage: section.get(&USAGE),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ProcessReading) -> Result<(), ReadError> {
        *reading = ProcessReading::default();
        if !self.has_usage {
            return Ok(());
        }
        if let Some(portable) = cx.host.by_sysinfo() {
            reading.fill(portable.own().unwrap_or_default());
            return Ok(());
        }
        if self.boot_time_seconds.is_none() {
            self.boot_time_seconds = self.boot.read(cx.round, cx.buffer).ok().and_then(boot_time);
        }
        reading.boot_time_seconds = self.boot_time_seconds.unwrap_or(0);
        if let Some(limits) = cx.host.kernel.limits() {
            reading.max_fds = Some(or_maximum(limits.files));
            reading.max_virtual_bytes = Some(or_maximum(limits.address_space));
        } else if let Ok(text) = self.limits.read(cx.buffer) {
            reading.max_fds = limit(text, b"Max open files");
            reading.max_virtual_bytes = limit(text, b"Max address space");
        }
        if let Ok(text) = self.netstat.read(cx.round, cx.buffer) {
            (reading.received_bytes, reading.transmitted_bytes) = octets(text);
        }
        reading.open_fds = file::count_entries(&cx.host.proc_path("self/fd")).ok();
        reading.read_stat(self.stat.read(cx.buffer)?, cx.host.kernel.page_size())
    }
}

impl ProcessReading {
    fn fill(&mut self, usage: portable::Own) {
        self.cpu_ticks = usage.cpu_milliseconds / 10;
        (self.boot_time_seconds, self.started_ticks) = (usage.started, 0);
        (self.virtual_bytes, self.resident_bytes) = (usage.virtual_bytes, usage.resident_bytes);
    }

    fn read_stat(&mut self, text: Text<'_>, page_size: u64) -> Result<(), ReadError> {
        let line = text.first_line();
        let name_ends = memchr::memrchr(b')', line.bytes()).unwrap_or(0);
        // Fields after the name. The state is field 3.
        let fields: Vec<&[u8]> = line.from(name_ends + 1).fields().collect();
        let field = |number: usize| match fields.get(number - 3) {
            Some(field) => u64::parse(field).ok_or_else(|| line.malformed("a number", field)),
            None => Err(line.malformed("at least 24 fields", line.bytes())),
        };
        self.cpu_ticks = field(14)?.saturating_add(field(15)?);
        (self.started_ticks, self.virtual_bytes) = (field(22)?, field(23)?);
        self.resident_bytes = field(24)?.saturating_mul(page_size);
        Ok(())
    }
}

/// Boot time in seconds of Unix time: `btime` of `/proc/stat`.
pub(in crate::collectors) fn boot_time(text: Text<'_>) -> Option<u64> {
    let line = text.lines().find(|line| line.bytes().starts_with(b"btime "))?;
    line.fields().nth(1).and_then(u64::parse)
}

/// A limit. `None` becomes the kernel's maximum.
fn or_maximum(limit: Option<u64>) -> f64 {
    limit.unwrap_or(u64::MAX) as f64
}

/// A soft limit. `unlimited` becomes the kernel's maximum.
fn limit(text: Text<'_>, name: &[u8]) -> Option<f64> {
    let line = text.lines().find(|line| line.bytes().starts_with(name))?;
    match line.from(name.len()).fields().next()? {
        b"unlimited" => Some(or_maximum(None)),
        number => f64::parse(number),
    }
}

/// Octets received and transmitted in the network namespace: `IpExt` of `/proc/self/net/netstat`.
fn octets(text: Text<'_>) -> (Option<u64>, Option<u64>) {
    let mut rows = text.lines().filter(|line| line.bytes().starts_with(b"IpExt:"));
    let (Some(names), Some(values)) = (rows.next(), rows.next()) else { return (None, None) };
    let of = |wanted: &[u8]| {
        let at = names.fields().position(|name| name == wanted)?;
        u64::parse(values.fields().nth(at)?)
    };
    (of(b"InOctets"), of(b"OutOctets"))
}

const CPU_SECONDS: Family<0> = Family::counter("process_cpu_seconds_total", "User and system CPU time of Taffrail", []);
const MAX_FDS: Family<0> = Family::gauge("process_max_fds", "Maximum number of open file descriptors of Taffrail", []);
const NETWORK_RECEIVE: Family<0> =
    Family::counter("process_network_receive_bytes_total", "Bytes received in the network namespace of Taffrail", []);
const NETWORK_TRANSMIT: Family<0> = Family::counter(
    "process_network_transmit_bytes_total",
    "Bytes transmitted in the network namespace of Taffrail",
    [],
);
const OPEN_FDS: Family<0> = Family::gauge("process_open_fds", "Open file descriptors of Taffrail", []);
const RESIDENT: Family<0> = Family::gauge("process_resident_memory_bytes", "Resident memory of Taffrail in bytes", []);
const START_TIME: Family<0> = Family::gauge("process_start_time_seconds", "Start time of Taffrail in Unix time", []);
const VIRTUAL: Family<0> = Family::gauge("process_virtual_memory_bytes", "Virtual memory of Taffrail in bytes", []);
const VIRTUAL_MAX: Family<0> =
    Family::gauge("process_virtual_memory_max_bytes", "Maximum virtual memory of Taffrail in bytes", []);

/// The version of node_exporter whose families are those of Taffrail.
const COMPATIBLE: &str = "1.12.1";
const NODE_EXPORTER: Family<4> = Family::gauge(
    "node_exporter_build_info",
    "Version of node_exporter that Taffrail is compatible with, always 1",
    ["exporter", "goarch", "goos", "version"],
);

/// Go's name of an architecture.
fn goarch(arch: &'static str) -> &'static str {
    match arch {
        "aarch64" => "arm64",
        "loongarch64" => "loong64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "x86" => "386",
        "x86_64" => "amd64",
        other => other,
    }
}

/// Go's name of an operating system.
fn goos(os: &'static str) -> &'static str {
    if os == "macos" { "darwin" } else { os }
}

/// Telegraf's `inputs.internal` has the memory of Go's runtime there.
const SYS_BYTES: Field<u64> = Field::new("sys_bytes", "resident memory of Taffrail in bytes");
const VIRTUAL_BYTES: Field<u64> = Field::new("virtual_bytes", "virtual memory of Taffrail in bytes");
const MEMSTATS: Measurement<0> = Measurement::new("internal_memstats", [], &[SYS_BYTES.info(), VIRTUAL_BYTES.info()]);
const CPU: Field<f64> = Field::new("cpu_seconds", "user and system CPU time of Taffrail");
const STARTED: Field<f64> = Field::new("start_time_seconds", "start time of Taffrail in Unix time");
const FDS: Field<u64> = Field::new("open_fds", "open file descriptors of Taffrail");
const FDS_MAX: Field<f64> = Field::new("max_fds", "maximum number of open file descriptors of Taffrail");
const RECEIVED: Field<u64> = Field::new("network_receive_bytes", "bytes received in the network namespace of Taffrail");
const TRANSMITTED: Field<u64> =
    Field::new("network_transmit_bytes", "bytes transmitted in the network namespace of Taffrail");
const PROCESS: Measurement<3> = Measurement::new(
    "internal_process",
    ["arch", "os", "version"],
    &[CPU.info(), STARTED.info(), FDS.info(), FDS_MAX.info(), RECEIVED.info(), TRANSMITTED.info()],
);

const TICKS_PER_SECOND: f64 = 100.0;

impl ProcessReading {
    /// Whether `/proc/self/stat` was read.
    fn has_usage(&self) -> bool {
        self.virtual_bytes > 0
    }

    fn cpu_seconds(&self) -> f64 {
        self.cpu_ticks as f64 / TICKS_PER_SECOND
    }

    fn start_time_seconds(&self) -> f64 {
        self.boot_time_seconds as f64 + self.started_ticks as f64 / TICKS_PER_SECOND
    }
}

impl Reading for ProcessReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if self.has_usage() {
            out.value(&CPU_SECONDS, self.cpu_seconds());
            out.value(&RESIDENT, self.resident_bytes);
            out.value(&START_TIME, self.start_time_seconds());
            out.value(&VIRTUAL, self.virtual_bytes);
        }
        for (family, count) in [
            (&NETWORK_RECEIVE, self.received_bytes),
            (&NETWORK_TRANSMIT, self.transmitted_bytes),
            (&OPEN_FDS, self.open_fds),
        ] {
            if let Some(count) = count {
                out.value(family, count);
            }
        }
        for (family, limit) in [(&MAX_FDS, self.max_fds), (&VIRTUAL_MAX, self.max_virtual_bytes)] {
            if let Some(limit) = limit {
                out.value(family, limit);
            }
        }
        build_info::write(out);
        let [arch, os, _] = build_info::BUILD;
        out.family(&NODE_EXPORTER)
            .sample([concat!("Taffrail ", env!("CARGO_PKG_VERSION")), goarch(arch), goos(os), COMPATIBLE], 1u64);
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let of_usage = self.has_usage().then_some(self);
        let mut memory = out.point(&MEMSTATS, []);
        memory.some(&SYS_BYTES, of_usage.map(|usage| usage.resident_bytes));
        memory.some(&VIRTUAL_BYTES, of_usage.map(|usage| usage.virtual_bytes));
        drop(memory);
        let mut process = out.point(&PROCESS, build_info::BUILD);
        process.some(&CPU, of_usage.map(Self::cpu_seconds)).some(&STARTED, of_usage.map(Self::start_time_seconds));
        process.some(&FDS, self.open_fds).some(&FDS_MAX, self.max_fds);
        process.some(&RECEIVED, self.received_bytes).some(&TRANSMITTED, self.transmitted_bytes);
    }
}
