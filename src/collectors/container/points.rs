//! Containers as points of Telegraf's `inputs.docker`, all other cgroups as points of `inputs.cgroup`.

use std::collections::HashMap;

use super::identity::Kind;
use super::names::{EngineState, Health};
use super::point_settings::PointSettings;
use super::reading::{ContainerReading, Measured};
use super::usage::{Device, Memory, UNLIMITED};
use crate::collectors::framework::{Since, percent};
use crate::collectors::memory::pressure::Stall;
use crate::encode::Point;
use crate::encode::infos::{concat, infos};
use crate::encode::point::{FieldInfo, MeasurementInfo};
use crate::encode::{Field, Measurement, PointWriter};
use crate::host::links::Link;

type EngineField = (Field<i64>, fn(&EngineState) -> Option<i64>);

const ENGINE_FIELDS: [EngineField; 10] = [
    (Field::new("n_cpus", "CPUs of the host"), |e| e.cpus),
    (Field::new("n_used_file_descriptors", "file descriptors of the engine; in debug mode only"), |e| {
        e.file_descriptors
    }),
    (Field::new("n_containers", "containers in any state"), |e| e.containers),
    (Field::new("n_containers_running", "running containers"), |e| e.running),
    (Field::new("n_containers_stopped", "stopped containers"), |e| e.stopped),
    (Field::new("n_containers_paused", "paused containers"), |e| e.paused),
    (Field::new("n_images", "images"), |e| e.images),
    (Field::new("n_goroutines", "goroutines of the engine; in debug mode only"), |e| e.goroutines),
    (Field::new("n_listener_events", "subscribers to events of the engine"), |e| e.event_listeners),
    (Field::new("memory_total", "memory of the host in bytes"), |e| e.memory_bytes),
];
const ENGINE_FIELD_INFOS: [FieldInfo; ENGINE_FIELDS.len()] = infos!(ENGINE_FIELDS.0);
const ENGINE: Measurement<2> = Measurement::new("docker", ["engine_host", "server_version"], &ENGINE_FIELD_INFOS);

const CONTAINER_ID: Field<str> = Field::new("container_id", "container ID of the runtime");

const USAGE_TOTAL: Field<u64> = Field::new("usage_total", "CPU time in nanoseconds");
const USAGE_USER: Field<u64> = Field::new("usage_in_usermode", "user CPU time in nanoseconds");
const USAGE_KERNEL: Field<u64> = Field::new("usage_in_kernelmode", "system CPU time in nanoseconds");
const USAGE_SYSTEM: Field<u64> = Field::new("usage_system", "CPU time of the host including idle, in nanoseconds");
const PERIODS: Field<u64> = Field::new("throttling_periods", "elapsed CFS enforcement periods");
const THROTTLED_PERIODS: Field<u64> = Field::new("throttling_throttled_periods", "throttled CFS enforcement periods");
const THROTTLED_TIME: Field<u64> = Field::new("throttling_throttled_time", "throttled time in nanoseconds");
const USAGE_PERCENT: Field<f64> = Field::new("usage_percent", "% of one CPU since the last reading");
const CPU: Measurement<3> = Measurement::new(
    "docker_container_cpu",
    ["container_image", "container_name", "cpu"],
    &[
        CONTAINER_ID.info(),
        USAGE_TOTAL.info(),
        USAGE_USER.info(),
        USAGE_KERNEL.info(),
        USAGE_SYSTEM.info(),
        PERIODS.info(),
        THROTTLED_PERIODS.info(),
        THROTTLED_TIME.info(),
        USAGE_PERCENT.info(),
    ],
);

type MemoryField = (Field<u64>, fn(&Memory) -> Option<u64>);

/// Values including the cgroups below. On cgroup v1 Docker has the same values in `total_` fields.
const MEMORY_FIELDS: [MemoryField; 10] = [
    (Field::new("active_anon", "bytes"), |m| m.active_anon),
    (Field::new("active_file", "bytes"), |m| m.active_file),
    (Field::new("cache", "page cache in bytes"), |m| m.file),
    (Field::new("inactive_anon", "bytes"), |m| m.inactive_anon),
    (Field::new("inactive_file", "bytes"), |m| m.inactive_file),
    (Field::new("mapped_file", "bytes"), |m| m.mapped_file),
    (Field::new("pgfault", "page faults"), |m| m.page_faults),
    (Field::new("pgmajfault", "major page faults"), |m| m.major_faults),
    (Field::new("rss", "anonymous memory in bytes"), |m| m.anon),
    (Field::new("unevictable", "bytes"), |m| m.unevictable),
];
const MEMORY_FIELD_INFOS: [FieldInfo; MEMORY_FIELDS.len()] = infos!(MEMORY_FIELDS.0);
const TOTAL_FIELDS: FieldInfo = Field::<u64>::new("total_KEY", "the same, on cgroup v1").info();
const MEM_LIMIT: Field<u64> = Field::new("limit", "memory limit in bytes; the host's memory without a limit");
const MEM_MAX_USAGE: Field<u64> = Field::new("max_usage", "maximum memory usage recorded, in bytes");
const MEM_USAGE: Field<u64> = Field::new("usage", "memory usage in bytes, excluding inactive file pages");
const MEM_USAGE_PERCENT: Field<f64> = Field::new("usage_percent", "% of the limit");
const MEM_FAIL_COUNT: Field<u64> = Field::new("fail_count", "times usage hit the limit; absent if never");
const MEM_VALUES: [FieldInfo; 6] = [
    CONTAINER_ID.info(),
    MEM_LIMIT.info(),
    MEM_MAX_USAGE.info(),
    MEM_USAGE.info(),
    MEM_USAGE_PERCENT.info(),
    MEM_FAIL_COUNT.info(),
];
const MEM_FIELDS: [FieldInfo; MEM_VALUES.len() + MEMORY_FIELDS.len() + 1] =
    concat(&[&MEM_VALUES, &MEMORY_FIELD_INFOS, &[TOTAL_FIELDS]]);
const MEM: Measurement<2> =
    Measurement::new("docker_container_mem", ["container_image", "container_name"], &MEM_FIELDS);

type LinkField = (Field<u64>, fn(&Link) -> u64);

const LINK_FIELDS: [LinkField; 8] = [
    (Field::new("rx_bytes", "bytes received"), |l| l.receive.bytes),
    (Field::new("rx_dropped", "packets dropped on receive"), |l| l.receive.drop),
    (Field::new("rx_errors", "receive errors"), |l| l.receive.errs),
    (Field::new("rx_packets", "packets received"), |l| l.receive.packets),
    (Field::new("tx_bytes", "bytes transmitted"), |l| l.transmit.bytes),
    (Field::new("tx_dropped", "packets dropped on transmit"), |l| l.transmit.drop),
    (Field::new("tx_errors", "transmit errors"), |l| l.transmit.errs),
    (Field::new("tx_packets", "packets transmitted"), |l| l.transmit.packets),
];
const LINK_FIELD_INFOS: [FieldInfo; LINK_FIELDS.len()] = infos!(LINK_FIELDS.0);
const NET_FIELDS: [FieldInfo; 1 + LINK_FIELDS.len()] = concat(&[&[CONTAINER_ID.info()], &LINK_FIELD_INFOS]);
const NET: Measurement<3> =
    Measurement::new("docker_container_net", ["container_image", "container_name", "network"], &NET_FIELDS);

type DeviceField = (Field<u64>, fn(&Device) -> Option<u64>);

const DEVICE_FIELDS: [DeviceField; 6] = [
    (Field::new("io_service_bytes_recursive_discard", "bytes discarded"), |d| d.discarded_bytes),
    (Field::new("io_service_bytes_recursive_read", "bytes read"), |d| d.read_bytes),
    (Field::new("io_service_bytes_recursive_write", "bytes written"), |d| d.written_bytes),
    (Field::new("io_serviced_recursive_discard", "discards"), |d| d.discards),
    (Field::new("io_serviced_recursive_read", "reads"), |d| d.reads),
    (Field::new("io_serviced_recursive_write", "writes"), |d| d.writes),
];
const DEVICE_FIELD_INFOS: [FieldInfo; DEVICE_FIELDS.len()] = infos!(DEVICE_FIELDS.0);
const BLKIO_FIELDS: [FieldInfo; 1 + DEVICE_FIELDS.len()] = concat(&[&[CONTAINER_ID.info()], &DEVICE_FIELD_INFOS]);
const BLKIO: Measurement<3> =
    Measurement::new("docker_container_blkio", ["container_image", "container_name", "device"], &BLKIO_FIELDS);

const OOM_KILLED: Field<bool> = Field::new("oomkilled", "whether the last exit was an OOM kill");
const PID: Field<i64> = Field::new("pid", "PID of the first process");
const EXIT_CODE: Field<i64> = Field::new("exitcode", "last exit code");
const RESTART_COUNT: Field<i64> = Field::new("restart_count", "restarts by the runtime");
const STARTED_AT: Field<i64> = Field::new("started_at", "start time, nanoseconds of Unix time");
const UPTIME: Field<i64> = Field::new("uptime_ns", "uptime in nanoseconds");
const STATUS: Measurement<2> = Measurement::new(
    "docker_container_status",
    ["container_image", "container_name"],
    &[
        CONTAINER_ID.info(),
        OOM_KILLED.info(),
        PID.info(),
        EXIT_CODE.info(),
        RESTART_COUNT.info(),
        STARTED_AT.info(),
        UPTIME.info(),
    ],
);
const HEALTH_STATUS: Field<str> = Field::new("health_status", "healthy, unhealthy or starting");
const HEALTH: Measurement<2> = Measurement::new(
    "docker_container_health",
    ["container_image", "container_name"],
    &[CONTAINER_ID.info(), HEALTH_STATUS.info()],
);

/// Fields of `cgroup`, named by the kernel's files and keys of cgroup v2 and v1.
struct FileField {
    v2: Field<u64>,
    v1: &'static str,
    value: fn(&Measured) -> Option<u64>,
}

const fn of_files(
    v2: &'static str,
    v1: &'static str,
    help: &'static str,
    value: fn(&Measured) -> Option<u64>,
) -> FileField {
    FileField { v2: Field::new(v2, help), v1, value }
}

fn microseconds(nanoseconds: Option<u64>, is_v1: bool) -> Option<u64> {
    nanoseconds.map(|nanoseconds| if is_v1 { nanoseconds } else { nanoseconds / 1000 })
}

const FILE_FIELDS: [FileField; 27] = [
    of_files("cpu.stat.usage_usec", "cpuacct.usage", "microseconds; nanoseconds on v1", |m| {
        microseconds(m.usage.cpu.usage, m.usage.memory.is_v1)
    }),
    of_files("cpu.stat.user_usec", "", "microseconds", |m| microseconds(m.usage.cpu.user, false)),
    of_files("cpu.stat.system_usec", "", "microseconds", |m| microseconds(m.usage.cpu.system, false)),
    of_files("cpu.stat.nr_periods", "cpu.stat.nr_periods", "periods", |m| m.usage.cpu.periods),
    of_files("cpu.stat.nr_throttled", "cpu.stat.nr_throttled", "periods", |m| m.usage.cpu.throttled_periods),
    of_files("cpu.stat.throttled_usec", "cpu.stat.throttled_time", "microseconds; nanoseconds on v1", |m| {
        microseconds(m.usage.cpu.throttled, m.usage.memory.is_v1)
    }),
    of_files("memory.current", "memory.usage_in_bytes", "bytes", |m| m.usage.memory.usage),
    of_files("memory.peak", "memory.max_usage_in_bytes", "bytes", |m| m.usage.memory.max_usage),
    of_files("memory.max", "memory.limit_in_bytes", "bytes; the maximum integer without a limit", |m| {
        m.usage.memory.limit
    }),
    of_files("memory.swap.current", "memory.stat.total_swap", "bytes", |m| m.usage.memory.swap),
    of_files("memory.stat.anon", "memory.stat.total_rss", "bytes", |m| m.usage.memory.anon),
    of_files("memory.stat.file", "memory.stat.total_cache", "bytes", |m| m.usage.memory.file),
    of_files("memory.stat.kernel", "", "bytes", |m| m.usage.memory.kernel),
    of_files("memory.stat.active_file", "memory.stat.total_active_file", "bytes", |m| m.usage.memory.active_file),
    of_files("memory.stat.inactive_file", "memory.stat.total_inactive_file", "bytes", |m| m.usage.memory.inactive_file),
    of_files("memory.stat.file_mapped", "memory.stat.total_mapped_file", "bytes", |m| m.usage.memory.mapped_file),
    of_files("memory.stat.file_dirty", "memory.stat.total_dirty", "bytes", |m| m.usage.memory.dirty),
    of_files("memory.stat.file_writeback", "memory.stat.total_writeback", "bytes", |m| m.usage.memory.writeback),
    of_files("memory.stat.active_anon", "memory.stat.total_active_anon", "bytes", |m| m.usage.memory.active_anon),
    of_files("memory.stat.inactive_anon", "memory.stat.total_inactive_anon", "bytes", |m| m.usage.memory.inactive_anon),
    of_files("memory.stat.unevictable", "memory.stat.total_unevictable", "bytes", |m| m.usage.memory.unevictable),
    of_files("memory.stat.pgfault", "memory.stat.total_pgfault", "page faults", |m| m.usage.memory.page_faults),
    of_files("memory.stat.pgmajfault", "memory.stat.total_pgmajfault", "page faults", |m| m.usage.memory.major_faults),
    of_files("memory.events.high", "", "count", |m| m.usage.memory.high_hits),
    of_files("memory.events.max", "memory.failcnt", "count", |m| m.usage.memory.limit_hits),
    of_files("memory.events.oom_kill", "memory.oom_control.oom_kill", "processes", |m| m.usage.memory.oom_kills),
    of_files("pids.current", "pids.current", "threads", |m| m.usage.threads),
];
const PRESSURE_KEYS: FieldInfo =
    Field::<f64>::new("RESOURCE.pressure.KIND.avg10", "% of the last 10 seconds stalled; also avg60 and avg300").info();
const PRESSURE_TOTAL: FieldInfo =
    Field::<u64>::new("RESOURCE.pressure.KIND.total", "stall time in microseconds").info();
const IO_KEYS: FieldInfo =
    Field::<u64>::new("io.stat.MAJOR:MINOR.KEY", "rbytes, wbytes, dbytes, rios, wios and dios by device").info();
const FILE_FIELD_INFOS: [FieldInfo; FILE_FIELDS.len()] = infos!(FILE_FIELDS.v2);
const CGROUP_FIELDS: [FieldInfo; FILE_FIELDS.len() + 3] =
    concat(&[&FILE_FIELD_INFOS, &[IO_KEYS, PRESSURE_KEYS, PRESSURE_TOTAL]]);
const CGROUP: Measurement<1> = Measurement::new("cgroup", ["path"], &CGROUP_FIELDS);

const RESTARTS: Field<u64> = Field::new("restarts_total", "restarts, counted since Taffrail started");
const OOM_KILLS: Field<u64> = Field::new("oom_events_total", "out-of-memory kills, counted since Taffrail started");
const COUNTED: Measurement<5> = Measurement::new(
    "taffrail_container",
    ["container_name", "io.kubernetes.container.name", "io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "path"],
    &[RESTARTS.info(), OOM_KILLS.info()],
);

/// All measurements.
pub(super) const INFOS: [MeasurementInfo; 9] = [
    COUNTED.info(),
    ENGINE.info(),
    CGROUP.info(),
    CPU.info(),
    MEM.info(),
    NET.info(),
    BLKIO.info(),
    STATUS.info(),
    HEALTH.info(),
];

pub(super) fn write(reading: &ContainerReading, since: Option<Since<'_, ContainerReading>>, out: &mut PointWriter<'_>) {
    for engine in &reading.engines {
        let mut point = out.point(&ENGINE, [&engine.host, &engine.version]);
        for (field, value) in &ENGINE_FIELDS {
            point.some(field, value(engine));
        }
    }
    for counted in &reading.counted {
        let [container, id, name, namespace, pod] = counted.subject.series();
        let mut point = out.point(&COUNTED, [name, container, pod, namespace, id]);
        point.field(&RESTARTS, counted.restarts).field(&OOM_KILLS, counted.oom_kills);
    }
    let mut before: HashMap<&str, &Measured> = HashMap::new();
    before.extend(
        since.iter().flat_map(|since| &since.previous.measured).map(|cgroup| (cgroup.labels.id.as_str(), cgroup)),
    );
    for cgroup in &reading.measured {
        match cgroup.labels.identity.kind {
            Kind::Container => {
                // A restarted container starts at zero.
                let before = before.get(cgroup.labels.id.as_str()).filter(|before| before.started == cgroup.started);
                let since = since.zip(before).map(|(since, before)| (*before, since.elapsed.as_nanos() as f64));
                write_container(reading, cgroup, since, out);
            }
            kind => {
                write_cgroup(cgroup, out);
                // The containers of a pod share its network.
                if kind == Kind::Pod {
                    write_network(reading.points, cgroup, out);
                }
            }
        }
    }
}

fn write_container(
    reading: &ContainerReading,
    cgroup: &Measured,
    since: Option<(&Measured, f64)>,
    out: &mut PointWriter<'_>,
) {
    if reading.points.cpu_total {
        write_cpu(reading, cgroup, since, out);
    }
    write_memory(reading, cgroup, out);
    write_network(reading.points, cgroup, out);
    write_block_io(reading.points, cgroup, out);
    write_status(reading, cgroup, out);
}

fn write_cpu(
    reading: &ContainerReading,
    cgroup: &Measured,
    since: Option<(&Measured, f64)>,
    out: &mut PointWriter<'_>,
) {
    let id = cgroup.labels.identity.container_id.as_str();
    let cpu = &cgroup.usage.cpu;
    let mut point = out.point_tagged(&CPU, &tags(reading.points, cgroup, Some(("cpu", "cpu-total"))));
    point.field(&CONTAINER_ID, id).some(&USAGE_TOTAL, cpu.usage);
    point.some(&USAGE_USER, cpu.user).some(&USAGE_KERNEL, cpu.system).some(&USAGE_SYSTEM, reading.host_cpu_time);
    point.some(&PERIODS, cpu.periods).some(&THROTTLED_PERIODS, cpu.throttled_periods);
    point.some(&THROTTLED_TIME, cpu.throttled);
    let used = since
        .and_then(|(before, elapsed)| Some(cpu.usage?.checked_sub(before.usage.cpu.usage?)? as f64 / elapsed * 100.0));
    point.some(&USAGE_PERCENT, used);
}

/// Tags of a cgroup's points with one more, sorted.
fn tags<'t>(
    settings: PointSettings,
    cgroup: &'t Measured,
    more: Option<(&'t str, &'t str)>,
) -> Vec<(&'t str, &'t str)> {
    /// As in the host name that Docker gives a container.
    const SHORT_ID: usize = 12;
    let mut tags = cgroup.labels.tags();
    let id = cgroup.labels.identity.container_id.as_str();
    let source = Some(("source", id.get(..SHORT_ID).unwrap_or(id))).filter(|_| settings.has_source && !id.is_empty());
    for more in [more, source].into_iter().flatten() {
        tags.retain(|(key, _)| *key != more.0);
        tags.insert(tags.partition_point(|(key, _)| *key < more.0), more);
    }
    tags
}

fn write_memory(reading: &ContainerReading, cgroup: &Measured, out: &mut PointWriter<'_>) {
    let memory = &cgroup.usage.memory;
    let host = reading.memory_total.unwrap_or(UNLIMITED);
    let limit = memory.limit.map(|limit| limit.min(host)).filter(|limit| *limit != UNLIMITED);
    let usage = memory.working_set();
    let mut point = out.point_tagged(&MEM, &tags(reading.points, cgroup, None));
    point.field(&CONTAINER_ID, &cgroup.labels.identity.container_id);
    point.some(&MEM_LIMIT, limit).some(&MEM_MAX_USAGE, memory.max_usage).some(&MEM_USAGE, usage);
    point.some(&MEM_USAGE_PERCENT, usage.zip(limit).map(|(usage, limit)| percent(usage, limit)));
    point.some(&MEM_FAIL_COUNT, memory.limit_hits.filter(|hits| *hits > 0));
    for (field, value) in &MEMORY_FIELDS {
        let Some(value) = value(memory) else { continue };
        point.field(field, value);
        if memory.is_v1 {
            point.free_field::<u64>(&["total_", field.name()], value);
        }
    }
}

fn write_network(settings: PointSettings, cgroup: &Measured, out: &mut PointWriter<'_>) {
    let by_interface = cgroup.interfaces.iter().map(|link| (&*link.name, std::slice::from_ref(link)));
    let by_interface = by_interface.filter(|_| settings.network_by_interface);
    let total = (settings.network_total && !cgroup.interfaces.is_empty()).then_some(("total", &*cgroup.interfaces));
    let id = Some(cgroup.labels.identity.container_id.as_str()).filter(|id| !id.is_empty());
    for (name, links) in by_interface.chain(total) {
        let mut point = out.point_tagged(&NET, &tags(settings, cgroup, Some(("network", name))));
        point.some(&CONTAINER_ID, id);
        for (field, value) in &LINK_FIELDS {
            point.field(field, links.iter().map(value).fold(0, u64::saturating_add));
        }
    }
}

fn write_block_io(settings: PointSettings, cgroup: &Measured, out: &mut PointWriter<'_>) {
    let devices = &cgroup.usage.devices;
    let id = &cgroup.labels.identity.container_id;
    for device in cgroup.busy_devices().filter(|_| settings.block_io_by_device) {
        let name = format!("{}:{}", device.number.0, device.number.1);
        let mut point = out.point_tagged(&BLKIO, &tags(settings, cgroup, Some(("device", &name))));
        point.field(&CONTAINER_ID, id);
        for (field, value) in &DEVICE_FIELDS {
            point.some(field, value(device));
        }
    }
    if devices.is_empty() || !settings.block_io_total {
        return;
    }
    let mut point = out.point_tagged(&BLKIO, &tags(settings, cgroup, Some(("device", "total"))));
    point.field(&CONTAINER_ID, id);
    for (field, value) in &DEVICE_FIELDS {
        point.some(field, devices.iter().filter_map(value).reduce(u64::saturating_add));
    }
}

fn write_status(reading: &ContainerReading, cgroup: &Measured, out: &mut PointWriter<'_>) {
    let id = &cgroup.labels.identity.container_id;
    let named = cgroup.labels.named.as_deref();
    let mut point = out.point_tagged(&STATUS, &tags(reading.points, cgroup, None));
    point.field(&CONTAINER_ID, id);
    point.some(&OOM_KILLED, named.and_then(|named| named.oom_killed));
    // After a restart the name's PID may be that of before.
    let init = cgroup.usage.init_pid.and_then(|pid| i64::try_from(pid).ok());
    point.some(&PID, init.or_else(|| named.and_then(|named| named.pid)));
    point.some(&EXIT_CODE, named.and_then(|named| named.exit_code));
    point.some(&RESTART_COUNT, named.and_then(|named| named.restart_count));
    let started = cgroup.started.map(|started| started.0);
    point.some(&STARTED_AT, started).some(&UPTIME, started.map(|started| reading.now.0.saturating_sub(started)));
    drop(point);
    if let Some(health) = named.and_then(|named| named.health) {
        let status = match health {
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Starting => "starting",
        };
        let tags = tags(reading.points, cgroup, None);
        out.point_tagged(&HEALTH, &tags).field(&CONTAINER_ID, id).field(&HEALTH_STATUS, status);
    }
}

fn write_cgroup(cgroup: &Measured, out: &mut PointWriter<'_>) {
    if cgroup.usage.memory.is_v1 {
        return write_cgroup_v1(cgroup, out);
    }
    let mut point = out.point(&CGROUP, [&path("", cgroup)]);
    for FileField { v2, value, .. } in &FILE_FIELDS {
        point.some(v2, value(cgroup));
    }
    for device in cgroup.busy_devices() {
        let name = format!("io.stat.{}:{}.", device.number.0, device.number.1);
        let fields = [
            ("rbytes", device.read_bytes),
            ("wbytes", device.written_bytes),
            ("rios", device.reads),
            ("wios", device.writes),
            ("dbytes", device.discarded_bytes),
            ("dios", device.discards),
        ];
        for (key, value) in fields {
            if let Some(value) = value {
                point.free_field::<u64>(&[&name, key], value);
            }
        }
    }
    write_pressure(&mut point, cgroup);
}

/// The path of a cgroup as `inputs.cgroup` is told to read it; of cgroup v1 in the hierarchy of a controller.
fn path(controller: &str, cgroup: &Measured) -> String {
    let path = format!("/sys/fs/cgroup/{controller}{}", cgroup.labels.id).replace("//", "/");
    path.strip_suffix('/').map(str::to_owned).unwrap_or(path)
}

/// One point for each controller, as each has a hierarchy of its own.
fn write_cgroup_v1(cgroup: &Measured, out: &mut PointWriter<'_>) {
    for controller in ["cpu", "cpuacct", "memory", "pids"] {
        let mut point = out.point(&CGROUP, [&path(controller, cgroup)]);
        let is_its = |name: &str| name.split('.').next() == Some(controller);
        for FileField { v1, value, .. } in FILE_FIELDS.iter().filter(|field| is_its(field.v1)) {
            if let Some(value) = value(cgroup) {
                point.free_field::<u64>(&[v1], value);
            }
        }
    }
    let mut point = out.point(&CGROUP, [&path("blkio", cgroup)]);
    for device in cgroup.busy_devices() {
        let number = format!("{}:{}", device.number.0, device.number.1);
        let fields = [
            ("io_service_bytes", "Read", device.read_bytes),
            ("io_service_bytes", "Write", device.written_bytes),
            ("io_serviced", "Read", device.reads),
            ("io_serviced", "Write", device.writes),
        ];
        for (file, operation, value) in fields {
            if let Some(value) = value {
                point.free_field::<u64>(&["blkio.throttle.", file, ".", &number, ".", operation], value);
            }
        }
    }
    drop(point);
    // Pressure is in the unified hierarchy, which systemd mounts beside those of cgroup v1.
    write_pressure(&mut out.point(&CGROUP, [&path("unified", cgroup)]), cgroup);
}

fn write_pressure(point: &mut Point<'_>, cgroup: &Measured) {
    for (resource, stalls) in ["cpu", "memory", "io"].into_iter().zip(&cgroup.usage.pressure) {
        for (kind, stall) in [("some", stalls.some), ("full", stalls.full)] {
            write_stall(point, resource, kind, stall);
        }
    }
}

fn write_stall(point: &mut Point<'_>, resource: &str, kind: &str, stall: Option<Stall>) {
    let Some(stall) = stall else { return };
    for (key, average) in ["avg10", "avg60", "avg300"].into_iter().zip(stall.averages) {
        point.free_field::<f64>(&[resource, ".pressure.", kind, ".", key], average);
    }
    point.free_field::<u64>(&[resource, ".pressure.", kind, ".total"], stall.total_microseconds);
}
