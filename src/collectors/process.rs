//! What Taffrail itself costs, and which build it is.

use super::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, ReadError, SharedFile, Text, file, portable};

pub(super) struct Process {
    stat: HostFile,
    limits: HostFile,
    netstat: SharedFile,
    boot: SharedFile,
    boot_time_seconds: Option<u64>,
}

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
        summary: "what Taffrail itself costs, and which build it is",
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
            BUILD_INFO.info(),
        ],
        ..About::PLAIN
    };
    type Reading = ProcessReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Process {
            stat: host.proc("self/stat").one_record(),
            limits: host.proc("self/limits").one_record(),
            netstat: host.shared_proc("net/netstat"),
            boot: host.shared_proc("stat"),
            boot_time_seconds: None,
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ProcessReading) -> Result<(), ReadError> {
        *reading = ProcessReading::default();
        if let Some(portable) = cx.host.by_sysinfo() {
            reading.fill(portable.own().unwrap_or_default());
            return Ok(());
        }
        if self.boot_time_seconds.is_none() {
            self.boot_time_seconds = self.boot.read(cx.round, cx.buffer).ok().and_then(boot_time);
        }
        reading.boot_time_seconds = self.boot_time_seconds.unwrap_or(0);
        if let Some(limits) = cx.host.kernel.limits() {
            reading.max_fds = Some(highest(limits.files));
            reading.max_virtual_bytes = Some(highest(limits.address_space));
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
    fn fill(&mut self, own: portable::Own) {
        self.cpu_ticks = own.cpu_milliseconds / 10;
        (self.boot_time_seconds, self.started_ticks) = (own.started, 0);
        (self.virtual_bytes, self.resident_bytes) = (own.virtual_bytes, own.resident_bytes);
    }

    fn read_stat(&mut self, text: Text<'_>, page_size: u64) -> Result<(), ReadError> {
        let line = text.first_line();
        let name_ends = memchr::memrchr(b')', line.bytes()).unwrap_or(0);
        // The fields behind the name, counted from the state as 3.
        let fields: Vec<u64> = line
            .from(name_ends + 1)
            .fields()
            .map(|field| crate::host::text::Number::parse(field).unwrap_or(0))
            .collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let (Some(resident), Some(started), Some(size)) = (field(24), field(22), field(23)) else {
            return Err(line.malformed("at least 24 fields", line.bytes()));
        };
        self.cpu_ticks = field(14).unwrap_or(0).saturating_add(field(15).unwrap_or(0));
        (self.started_ticks, self.virtual_bytes) = (started, size);
        self.resident_bytes = resident.saturating_mul(page_size);
        Ok(())
    }
}

/// When the host was booted, in seconds of Unix time: `btime` of `/proc/stat`.
pub(super) fn boot_time(text: Text<'_>) -> Option<u64> {
    let line = text.lines().find(|line| line.bytes().starts_with(b"btime "))?;
    line.fields().nth(1).and_then(crate::host::text::Number::parse)
}

/// When a process was started, in ticks since boot: the 22nd field of `/proc/PID/stat`.
pub(super) fn started_ticks(text: Text<'_>) -> Option<u64> {
    let line = text.first_line();
    let name_ends = memchr::memrchr(b')', line.bytes())?;
    line.from(name_ends + 1).fields().nth(19).and_then(crate::host::text::Number::parse)
}

/// A limit; without one, the highest number that the kernel has.
fn highest(limit: Option<u64>) -> f64 {
    limit.unwrap_or(u64::MAX) as f64
}

/// A soft limit; `unlimited` is the highest number that the kernel has.
fn limit(text: Text<'_>, name: &[u8]) -> Option<f64> {
    let line = text.lines().find(|line| line.bytes().starts_with(name))?;
    match line.from(name.len()).fields().next()? {
        b"unlimited" => Some(highest(None)),
        number => crate::host::text::Number::parse(number),
    }
}

/// What the network namespace received and transmitted: `IpExt` of `/proc/self/net/netstat`.
fn octets(text: Text<'_>) -> (Option<u64>, Option<u64>) {
    let mut rows = text.lines().filter(|line| line.bytes().starts_with(b"IpExt:"));
    let (Some(names), Some(values)) = (rows.next(), rows.next()) else { return (None, None) };
    let of = |wanted: &[u8]| {
        let at = names.fields().position(|name| name == wanted)?;
        crate::host::text::Number::parse(values.fields().nth(at)?)
    };
    (of(b"InOctets"), of(b"OutOctets"))
}

const CPU_SECONDS: Family<0> =
    Family::counter("process_cpu_seconds_total", "CPU time that Taffrail used, in user and system mode.", []);
const MAX_FDS: Family<0> = Family::gauge("process_max_fds", "File descriptors that Taffrail may have open.", []);
const NETWORK_RECEIVE: Family<0> =
    Family::counter("process_network_receive_bytes_total", "Bytes that Taffrail's network namespace received.", []);
const NETWORK_TRANSMIT: Family<0> =
    Family::counter("process_network_transmit_bytes_total", "Bytes that Taffrail's network namespace transmitted.", []);
const OPEN_FDS: Family<0> = Family::gauge("process_open_fds", "File descriptors that Taffrail has open.", []);
const RESIDENT: Family<0> = Family::gauge("process_resident_memory_bytes", "Memory that Taffrail has resident.", []);
const START_TIME: Family<0> =
    Family::gauge("process_start_time_seconds", "When Taffrail was started, in Unix time.", []);
const VIRTUAL: Family<0> = Family::gauge("process_virtual_memory_bytes", "Memory that Taffrail has mapped.", []);
const VIRTUAL_MAX: Family<0> = Family::gauge("process_virtual_memory_max_bytes", "Memory that Taffrail may map.", []);
const BUILD_INFO: Family<3> =
    Family::gauge("taffrail_build_info", "The build that is running; always 1.", ["arch", "os", "version"]);

impl Reading for ProcessReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        const TICKS_PER_SECOND: f64 = 100.0;
        if self.virtual_bytes > 0 {
            out.value(&CPU_SECONDS, self.cpu_ticks as f64 / TICKS_PER_SECOND);
            out.value(&RESIDENT, self.resident_bytes);
            let started = self.boot_time_seconds as f64 + self.started_ticks as f64 / TICKS_PER_SECOND;
            out.value(&START_TIME, started);
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
        let build = [std::env::consts::ARCH, std::env::consts::OS, env!("CARGO_PKG_VERSION")];
        out.family(&BUILD_INFO).sample(build, 1u64);
    }
}
