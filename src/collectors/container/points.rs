//! Containers as the points of Telegraf's `inputs.docker`, all other cgroups as those of its `inputs.cgroup`.

use std::collections::HashMap;

use super::super::{Since, percent};
use super::identity::Kind;
use super::names::Health;
use super::reading::{ContainerReading, Measured};
use super::usage::{Device, Memory, UNLIMITED};
use crate::collectors::pressure::Stall;
use crate::encode::infos::{concat, infos};
use crate::encode::point::{FieldInfo, MeasurementInfo, Point};
use crate::encode::{Field, Measurement, PointWriter};
use crate::host::links::Link;

const CONTAINER_ID: Field<str> = Field::new("container_id", "the runtime's id");

const USAGE_TOTAL: Field<u64> = Field::new("usage_total", "CPU time used, in nanoseconds");
const USAGE_USER: Field<u64> = Field::new("usage_in_usermode", "outside the kernel, in nanoseconds");
const USAGE_KERNEL: Field<u64> = Field::new("usage_in_kernelmode", "in the kernel, in nanoseconds");
const USAGE_SYSTEM: Field<u64> = Field::new("usage_system", "CPU time of the whole host, idle too, in nanoseconds");
const PERIODS: Field<u64> = Field::new("throttling_periods", "periods in which the quota could be used");
const THROTTLED_PERIODS: Field<u64> = Field::new("throttling_throttled_periods", "periods in which it was used up");
const THROTTLED_TIME: Field<u64> = Field::new("throttling_throttled_time", "time stood still for it, in nanoseconds");
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

/// What the field says of the cgroup and all below it; Docker's `total_` fields are the same, on cgroup v1.
const MEMORY_FIELDS: [MemoryField; 10] = [
    (Field::new("active_anon", "bytes"), |m| m.active_anon),
    (Field::new("active_file", "bytes"), |m| m.active_file),
    (Field::new("cache", "file pages, in bytes"), |m| m.file),
    (Field::new("inactive_anon", "bytes"), |m| m.inactive_anon),
    (Field::new("inactive_file", "bytes"), |m| m.inactive_file),
    (Field::new("mapped_file", "bytes"), |m| m.mapped_file),
    (Field::new("pgfault", "page faults"), |m| m.page_faults),
    (Field::new("pgmajfault", "page faults that had to read"), |m| m.major_faults),
    (Field::new("rss", "anonymous memory, in bytes"), |m| m.anon),
    (Field::new("unevictable", "bytes"), |m| m.unevictable),
];
const MEMORY_FIELD_INFOS: [FieldInfo; MEMORY_FIELDS.len()] = infos!(MEMORY_FIELDS.0);
const TOTAL_FIELDS: FieldInfo = Field::<u64>::new("total_KEY", "the same, on cgroup v1").info();
const MEM_LIMIT: Field<u64> = Field::new("limit", "the limit, or the host's memory if there is none, in bytes");
const MEM_MAX_USAGE: Field<u64> = Field::new("max_usage", "the most that was used at once, in bytes");
const MEM_USAGE: Field<u64> = Field::new("usage", "without file pages not in use of late, in bytes");
const MEM_USAGE_PERCENT: Field<f64> = Field::new("usage_percent", "% of the limit");
const MEM_FAIL_COUNT: Field<u64> = Field::new("fail_count", "how often the limit was hit, if it was");
const MEM_OWN: [FieldInfo; 6] = [
    CONTAINER_ID.info(),
    MEM_LIMIT.info(),
    MEM_MAX_USAGE.info(),
    MEM_USAGE.info(),
    MEM_USAGE_PERCENT.info(),
    MEM_FAIL_COUNT.info(),
];
const MEM_FIELDS: [FieldInfo; MEM_OWN.len() + MEMORY_FIELDS.len() + 1] =
    concat(&[&MEM_OWN, &MEMORY_FIELD_INFOS, &[TOTAL_FIELDS]]);
const MEM: Measurement<2> =
    Measurement::new("docker_container_mem", ["container_image", "container_name"], &MEM_FIELDS);

type LinkField = (Field<u64>, fn(&Link) -> u64);

const LINK_FIELDS: [LinkField; 8] = [
    (Field::new("rx_bytes", "bytes received"), |l| l.receive.bytes),
    (Field::new("rx_dropped", "received packets that were dropped"), |l| l.receive.drop),
    (Field::new("rx_errors", "errors in receiving"), |l| l.receive.errs),
    (Field::new("rx_packets", "packets received"), |l| l.receive.packets),
    (Field::new("tx_bytes", "bytes transmitted"), |l| l.transmit.bytes),
    (Field::new("tx_dropped", "packets to transmit that were dropped"), |l| l.transmit.drop),
    (Field::new("tx_errors", "errors in transmitting"), |l| l.transmit.errs),
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

const OOM_KILLED: Field<bool> = Field::new("oomkilled", "whether its last end was an OOM kill");
const PID: Field<i64> = Field::new("pid", "its first process");
const EXIT_CODE: Field<i64> = Field::new("exitcode", "of its last end");
const RESTART_COUNT: Field<i64> = Field::new("restart_count", "how often the runtime restarted it");
const STARTED_AT: Field<i64> = Field::new("started_at", "in nanoseconds of Unix time");
const UPTIME: Field<i64> = Field::new("uptime_ns", "nanoseconds since it was started");
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

/// The fields of `cgroup` as cgroup v2 and cgroup v1 call them: by the kernel's files and keys.
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

const FILE_FIELDS: [FileField; 21] = [
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
    of_files("memory.max", "memory.limit_in_bytes", "bytes; the greatest integer without a limit", |m| {
        m.usage.memory.limit
    }),
    of_files("memory.swap.current", "memory.stat.total_swap", "bytes", |m| m.usage.memory.swap),
    of_files("memory.stat.anon", "memory.stat.total_rss", "bytes", |m| m.usage.memory.anon),
    of_files("memory.stat.file", "memory.stat.total_cache", "bytes", |m| m.usage.memory.file),
    of_files("memory.stat.kernel", "", "bytes", |m| m.usage.memory.kernel),
    of_files("memory.stat.active_file", "memory.stat.total_active_file", "bytes", |m| m.usage.memory.active_file),
    of_files("memory.stat.inactive_file", "memory.stat.total_inactive_file", "bytes", |m| m.usage.memory.inactive_file),
    of_files("memory.stat.pgfault", "memory.stat.total_pgfault", "page faults", |m| m.usage.memory.page_faults),
    of_files("memory.stat.pgmajfault", "memory.stat.total_pgmajfault", "page faults", |m| m.usage.memory.major_faults),
    of_files("memory.events.high", "", "how often", |m| m.usage.memory.high_hits),
    of_files("memory.events.max", "memory.failcnt", "how often", |m| m.usage.memory.limit_hits),
    of_files("memory.events.oom_kill", "memory.oom_control.oom_kill", "processes", |m| m.usage.memory.oom_kills),
    of_files("pids.current", "pids.current", "threads", |m| m.usage.threads),
];
const PRESSURE_KEYS: FieldInfo =
    Field::<f64>::new("RESOURCE.pressure.KIND.avg10", "% of the last 10 seconds; also avg60 and avg300").info();
const PRESSURE_TOTAL: FieldInfo = Field::<u64>::new("RESOURCE.pressure.KIND.total", "microseconds of waiting").info();
const IO_KEYS: FieldInfo =
    Field::<u64>::new("io.stat.MAJOR:MINOR.KEY", "rbytes, wbytes, rios and wios of a device").info();
const FILE_FIELD_INFOS: [FieldInfo; FILE_FIELDS.len()] = infos!(FILE_FIELDS.v2);
const CGROUP_FIELDS: [FieldInfo; FILE_FIELDS.len() + 3] =
    concat(&[&FILE_FIELD_INFOS, &[IO_KEYS, PRESSURE_KEYS, PRESSURE_TOTAL]]);
const CGROUP: Measurement<1> = Measurement::new("cgroup", ["path"], &CGROUP_FIELDS);

/// All measurements.
pub(super) const INFOS: [MeasurementInfo; 7] =
    [CGROUP.info(), CPU.info(), MEM.info(), NET.info(), BLKIO.info(), STATUS.info(), HEALTH.info()];

pub(super) fn write(reading: &ContainerReading, since: Option<Since<'_, ContainerReading>>, out: &mut PointWriter<'_>) {
    let mut before: HashMap<&str, &Measured> = HashMap::new();
    before.extend(since.iter().flat_map(|since| &since.previous.measured).map(|one| (one.labels.id.as_str(), one)));
    for one in &reading.measured {
        match one.labels.identity.kind {
            Kind::Container => {
                // One that was restarted counts anew.
                let before = before.get(one.labels.id.as_str()).filter(|before| before.started == one.started);
                let since = since.zip(before).map(|(since, before)| (*before, since.elapsed.as_nanos() as f64));
                write_container(reading, one, since, out);
            }
            kind => {
                write_cgroup(one, out);
                // Its containers share it.
                if kind == Kind::Pod {
                    write_network(one, out);
                }
            }
        }
    }
}

fn write_container(
    reading: &ContainerReading,
    one: &Measured,
    since: Option<(&Measured, f64)>,
    out: &mut PointWriter<'_>,
) {
    let id = one.labels.identity.container_id.as_str();
    let cpu = &one.usage.cpu;
    let mut point = out.point_tagged(&CPU, &tags(one, Some(("cpu", "cpu-total"))));
    point.field(&CONTAINER_ID, id).some(&USAGE_TOTAL, cpu.usage);
    point.some(&USAGE_USER, cpu.user).some(&USAGE_KERNEL, cpu.system).some(&USAGE_SYSTEM, reading.host_cpu_time);
    point.some(&PERIODS, cpu.periods).some(&THROTTLED_PERIODS, cpu.throttled_periods);
    point.some(&THROTTLED_TIME, cpu.throttled);
    let used = since
        .and_then(|(before, elapsed)| Some(cpu.usage?.checked_sub(before.usage.cpu.usage?)? as f64 / elapsed * 100.0));
    point.some(&USAGE_PERCENT, used);
    drop(point);

    write_memory(reading, one, out);
    write_network(one, out);
    write_block_io(one, out);
    write_status(reading, one, out);
}

/// The tags of a cgroup's points with one more, in order.
fn tags<'t>(one: &'t Measured, more: Option<(&'t str, &'t str)>) -> Vec<(&'t str, &'t str)> {
    let mut tags = one.labels.tags();
    if let Some(more) = more {
        tags.retain(|(key, _)| *key != more.0);
        tags.insert(tags.partition_point(|(key, _)| *key < more.0), more);
    }
    tags
}

fn write_memory(reading: &ContainerReading, one: &Measured, out: &mut PointWriter<'_>) {
    let memory = &one.usage.memory;
    let host = reading.memory_total.unwrap_or(UNLIMITED);
    let limit = memory.limit.map(|limit| limit.min(host)).filter(|limit| *limit != UNLIMITED);
    let usage = memory.working_set();
    let mut point = out.point_tagged(&MEM, &tags(one, None));
    point.field(&CONTAINER_ID, &one.labels.identity.container_id);
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

fn write_network(one: &Measured, out: &mut PointWriter<'_>) {
    if one.interfaces.is_empty() {
        return;
    }
    let mut point = out.point_tagged(&NET, &tags(one, Some(("network", "total"))));
    let id = Some(one.labels.identity.container_id.as_str()).filter(|id| !id.is_empty());
    point.some(&CONTAINER_ID, id);
    for (field, value) in &LINK_FIELDS {
        point.field(field, one.interfaces.iter().map(value).fold(0, u64::saturating_add));
    }
}

fn write_block_io(one: &Measured, out: &mut PointWriter<'_>) {
    let devices = &one.usage.devices;
    let id = &one.labels.identity.container_id;
    for device in one.busy_devices() {
        let name = format!("{}:{}", device.number.0, device.number.1);
        let mut point = out.point_tagged(&BLKIO, &tags(one, Some(("device", &name))));
        point.field(&CONTAINER_ID, id);
        for (field, value) in &DEVICE_FIELDS {
            point.some(field, value(device));
        }
    }
    if devices.is_empty() {
        return;
    }
    let mut point = out.point_tagged(&BLKIO, &tags(one, Some(("device", "total"))));
    point.field(&CONTAINER_ID, id);
    for (field, value) in &DEVICE_FIELDS {
        point.some(field, devices.iter().filter_map(value).reduce(u64::saturating_add));
    }
}

fn write_status(reading: &ContainerReading, one: &Measured, out: &mut PointWriter<'_>) {
    let id = &one.labels.identity.container_id;
    let named = one.labels.named.as_deref();
    let mut point = out.point_tagged(&STATUS, &tags(one, None));
    point.field(&CONTAINER_ID, id);
    point.some(&OOM_KILLED, named.and_then(|named| named.oom_killed));
    let first = one.usage.first_pid.filter(|pid| *pid > 0).and_then(|pid| i64::try_from(pid).ok());
    point.some(&PID, named.and_then(|named| named.pid).or(first));
    point.some(&EXIT_CODE, named.and_then(|named| named.exit_code));
    point.some(&RESTART_COUNT, named.and_then(|named| named.restart_count));
    let started = one.started.map(|started| started.0);
    point.some(&STARTED_AT, started).some(&UPTIME, started.map(|started| reading.now.0.saturating_sub(started)));
    drop(point);
    if let Some(health) = named.and_then(|named| named.health) {
        let status = match health {
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Starting => "starting",
        };
        out.point_tagged(&HEALTH, &tags(one, None)).field(&CONTAINER_ID, id).field(&HEALTH_STATUS, status);
    }
}

fn write_cgroup(one: &Measured, out: &mut PointWriter<'_>) {
    let is_v1 = one.usage.memory.is_v1;
    let mut point = out.point_tagged(&CGROUP, &[("path", one.labels.id.as_str())]);
    for FileField { v2, v1, value } in &FILE_FIELDS {
        match value(one) {
            Some(value) if !is_v1 => drop(point.field(v2, value)),
            Some(value) if !v1.is_empty() => drop(point.free_field::<u64>(&[v1], value)),
            _ => {}
        }
    }
    for device in one.busy_devices() {
        let name = format!("io.stat.{}:{}.", device.number.0, device.number.1);
        let fields = [
            ("rbytes", device.read_bytes),
            ("wbytes", device.written_bytes),
            ("rios", device.reads),
            ("wios", device.writes),
        ];
        for (key, value) in fields {
            if let Some(value) = value {
                point.free_field::<u64>(&[&name, key], value);
            }
        }
    }
    for (resource, stalls) in ["cpu", "memory", "io"].into_iter().zip(&one.usage.pressure) {
        for (kind, stall) in [("some", stalls.some), ("full", stalls.full)] {
            write_stall(&mut point, resource, kind, stall);
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
