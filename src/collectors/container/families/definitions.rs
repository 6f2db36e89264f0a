//! The families, each with the value that it takes from a cgroup.

use super::super::exported_limit;
use super::super::labels::SERIES_LABELS;
use super::super::lifecycle;
use super::super::names::Health;
use super::super::reading::{FileSystem, Measured};
use super::super::sets::Set;
use super::super::usage::Device;
use crate::encode::Family;
use crate::encode::family::{FamilyInfo, Value};
use crate::encode::infos::{concat, infos};
use crate::host::links::Link;

/// A family with one sample per cgroup that has the value.
pub(super) struct Column {
    pub(super) set: Set,
    pub(super) family: Family<6>,
    pub(super) value: fn(&Measured) -> Option<Value>,
}

/// A family with one sample per `T` of a cgroup, and one more label.
pub(super) struct ItemFamily<T: ?Sized> {
    pub(super) set: Set,
    pub(super) family: Family<7>,
    pub(super) value: fn(&T) -> Option<Value>,
}

const fn labels_and(more: &'static str) -> [&'static str; 7] {
    let [a, b, c, d, e, f] = SERIES_LABELS;
    [a, b, c, d, e, f, more]
}

const fn counter(set: Set, name: &'static str, help: &'static str, value: fn(&Measured) -> Option<Value>) -> Column {
    Column { set, family: Family::counter(name, help, SERIES_LABELS), value }
}

const fn gauge(set: Set, name: &'static str, help: &'static str, value: fn(&Measured) -> Option<Value>) -> Column {
    Column { set, family: Family::gauge(name, help, SERIES_LABELS), value }
}

fn count(value: Option<u64>) -> Option<Value> {
    value.map(Value::Unsigned)
}

pub(super) fn from_nanoseconds(value: Option<u64>) -> Option<Value> {
    value.map(|nanoseconds| Value::Float(nanoseconds as f64 / 1e9))
}

fn from_microseconds(value: Option<u64>) -> Option<Value> {
    value.map(|microseconds| Value::Float(microseconds as f64 / 1e6))
}

fn limit(value: Option<u64>) -> Option<Value> {
    value.map(|value| Value::Unsigned(exported_limit(value)))
}

/// A throttling counter, exported if a quota is set.
fn throttled(measured: &Measured, value: Option<u64>) -> Option<u64> {
    value.filter(|_| measured.usage.cpu.has_quota())
}

/// Stall times of resource `index`: of some tasks, or of all (full).
fn some(measured: &Measured, index: usize) -> Option<Value> {
    from_microseconds(measured.usage.pressure[index].some.map(|stall| stall.total_microseconds))
}

fn full(measured: &Measured, index: usize) -> Option<Value> {
    from_microseconds(measured.usage.pressure[index].full.map(|stall| stall.total_microseconds))
}

pub(super) const COLUMNS: [Column; 47] = [
    counter(Set::Cpu, "container_cpu_cfs_periods_total", "Elapsed CFS enforcement periods", |m| {
        count(throttled(m, m.usage.cpu.periods))
    }),
    counter(Set::Cpu, "container_cpu_cfs_throttled_periods_total", "Throttled CFS enforcement periods", |m| {
        count(throttled(m, m.usage.cpu.throttled_periods))
    }),
    counter(
        Set::Cpu,
        "container_cpu_cfs_throttled_seconds_total",
        "Time that tasks were throttled by the CPU quota",
        |m| from_nanoseconds(throttled(m, m.usage.cpu.throttled)),
    ),
    counter(Set::CpuDetails, "container_cpu_cfs_burst_periods_total", "CFS enforcement periods with bursts", |m| {
        count(throttled(m, m.usage.cpu.bursts))
    }),
    counter(Set::CpuDetails, "container_cpu_cfs_burst_seconds_total", "CPU time used above the quota in bursts", |m| {
        from_nanoseconds(throttled(m, m.usage.cpu.burst))
    }),
    counter(Set::CpuDetails, "container_cpu_system_seconds_total", "System CPU time", |m| {
        from_nanoseconds(m.usage.cpu.system)
    }),
    counter(Set::CpuDetails, "container_cpu_user_seconds_total", "User CPU time", |m| {
        from_nanoseconds(m.usage.cpu.user)
    }),
    gauge(Set::Memory, "container_memory_cache", "Page cache memory in bytes", |m| count(m.usage.memory.file)),
    counter(Set::Memory, "container_memory_events_high_total", "Times tasks were throttled above memory.high", |m| {
        count(m.usage.memory.high_hits)
    }),
    counter(Set::Memory, "container_memory_events_max_total", "Times usage was about to exceed memory.max", |m| {
        count(m.usage.memory.limit_hits).filter(|_| !m.usage.memory.is_v1)
    }),
    counter(Set::Memory, "container_memory_failcnt", "Times usage hit the memory limit", |m| {
        count(m.usage.memory.limit_hits)
    }),
    gauge(Set::Memory, "container_memory_kernel_usage", "Kernel memory in bytes", |m| count(m.usage.memory.kernel)),
    gauge(Set::Memory, "container_memory_max_usage_bytes", "Maximum memory usage recorded, in bytes", |m| {
        count(m.usage.memory.max_usage)
    }),
    gauge(Set::Memory, "container_memory_rss", "Anonymous memory in bytes, without shared memory", |m| {
        count(m.usage.memory.anon)
    }),
    gauge(Set::Memory, "container_memory_swap", "Swap usage in bytes", |m| count(m.usage.memory.swap)),
    gauge(
        Set::Memory,
        "container_memory_total_active_file_bytes",
        "File pages on the active LRU list, in bytes",
        |m| count(m.usage.memory.active_file),
    ),
    gauge(
        Set::Memory,
        "container_memory_total_inactive_file_bytes",
        "File pages on the inactive LRU list, in bytes",
        |m| count(m.usage.memory.inactive_file),
    ),
    gauge(Set::Memory, "container_memory_usage_bytes", "Memory usage in bytes, including page cache", |m| {
        count(m.usage.memory.usage)
    }),
    gauge(
        Set::Memory,
        "container_memory_working_set_bytes",
        "Memory usage in bytes, excluding inactive file pages",
        |m| count(m.usage.memory.working_set()),
    ),
    gauge(Set::MemoryDetails, "container_memory_file_dirty_bytes", "Dirty file pages in bytes", |m| {
        count(m.usage.memory.dirty)
    }),
    gauge(Set::MemoryDetails, "container_memory_file_writeback_bytes", "File pages under writeback in bytes", |m| {
        count(m.usage.memory.writeback)
    }),
    gauge(Set::MemoryDetails, "container_memory_mapped_file", "Mapped file pages in bytes", |m| {
        count(m.usage.memory.mapped_file)
    }),
    counter(Set::MemoryDetails, "container_memory_pgscan_total", "Pages scanned by reclaim", |m| {
        count(m.usage.memory.scanned)
    }),
    counter(Set::MemoryDetails, "container_memory_pgsteal_total", "Pages reclaimed", |m| count(m.usage.memory.stolen)),
    counter(
        Set::MemoryDetails,
        "container_memory_workingset_refault_anon_total",
        "Refaults of previously evicted anonymous pages",
        |m| count(m.usage.memory.refaulted_anon),
    ),
    counter(
        Set::MemoryDetails,
        "container_memory_workingset_refault_file_total",
        "Refaults of previously evicted file pages",
        |m| count(m.usage.memory.refaulted_file),
    ),
    gauge(Set::Processes, "container_processes", "Processes", |m| count(m.usage.processes)),
    gauge(Set::Processes, "container_threads", "Threads", |m| count(m.usage.threads)),
    gauge(Set::Descriptors, "container_file_descriptors", "Open file descriptors of all processes", |m| {
        m.open_files.map(|open| Value::Unsigned(open.descriptors))
    }),
    gauge(Set::Descriptors, "container_sockets", "Open sockets of all processes", |m| {
        m.open_files.map(|open| Value::Unsigned(open.sockets))
    }),
    counter(
        Set::Pressure,
        "container_pressure_cpu_stalled_seconds_total",
        "Time in which all non-idle tasks were stalled on CPU",
        |m| full(m, 0),
    ),
    counter(
        Set::Pressure,
        "container_pressure_cpu_waiting_seconds_total",
        "Time in which at least one task waited for a CPU",
        |m| some(m, 0),
    ),
    counter(
        Set::Pressure,
        "container_pressure_io_stalled_seconds_total",
        "Time in which all non-idle tasks were stalled on I/O",
        |m| full(m, 2),
    ),
    counter(
        Set::Pressure,
        "container_pressure_io_waiting_seconds_total",
        "Time in which at least one task was stalled on I/O",
        |m| some(m, 2),
    ),
    counter(
        Set::Pressure,
        "container_pressure_memory_stalled_seconds_total",
        "Time in which all non-idle tasks were stalled on memory",
        |m| full(m, 1),
    ),
    counter(
        Set::Pressure,
        "container_pressure_memory_waiting_seconds_total",
        "Time in which at least one task was stalled on memory",
        |m| some(m, 1),
    ),
    counter(Set::Oom, "container_oom_events_total", "Out-of-memory kills", |m| count(m.usage.memory.oom_kills)),
    gauge(Set::Spec, "container_spec_cpu_period", "CPU period in microseconds", |m| count(m.usage.cpu.period)),
    gauge(Set::Spec, "container_spec_cpu_quota", "CPU quota per period in microseconds", |m| {
        count(m.usage.cpu.quota).filter(|_| m.usage.cpu.has_quota())
    }),
    gauge(
        Set::Spec,
        "container_spec_cpu_shares",
        "CPU shares; on cgroup v2 converted from the weight with the formula that runtimes used until 2025",
        |m| count(m.usage.cpu.shares),
    ),
    gauge(Set::Spec, "container_spec_cpu_weight", "CPU weight of cgroup v2", |m| count(m.usage.cpu.weight)),
    gauge(Set::Spec, "container_spec_memory_limit_bytes", "Memory limit in bytes; 0 without a limit", |m| {
        limit(m.usage.memory.limit)
    }),
    gauge(
        Set::Spec,
        "container_spec_memory_reservation_limit_bytes",
        "Memory protection (memory.min), or soft limit of cgroup v1, in bytes; 0 if unset",
        |m| limit(m.usage.memory.reservation),
    ),
    gauge(
        Set::Spec,
        "container_spec_memory_swap_limit_bytes",
        "Swap limit, or memory and swap limit of cgroup v1, in bytes; 0 without a limit",
        |m| limit(m.usage.memory.swap_limit),
    ),
    gauge(Set::Spec, "container_threads_max", "Maximum number of threads; 0 without a limit", |m| {
        limit(m.usage.threads_max)
    }),
    gauge(Set::Times, "container_start_time_seconds", "Start time in Unix time", |m| {
        m.started.map(|started| Value::Float(started.seconds()))
    }),
    gauge(
        Set::Info,
        "container_health_state",
        "Health state: 1 healthy, 0 starting or unhealthy, -1 without a health check",
        |m| {
            let named = m.labels.named.as_deref().filter(|named| named.engine_host.is_some())?;
            Some(Value::Signed(match named.health {
                Some(Health::Healthy) => 1,
                Some(Health::Starting | Health::Unhealthy) => 0,
                None => -1,
            }))
        },
    ),
];

pub(super) const LAST_SEEN: Family<6> =
    Family::gauge("container_last_seen", "Time of the last reading in Unix time", SERIES_LABELS);
pub(super) const CPU_USAGE: Family<7> =
    Family::counter("container_cpu_usage_seconds_total", "CPU time", labels_and("cpu"));
pub(super) const FAILURES: Family<8> = Family::counter(
    "container_memory_failures_total",
    "Page faults and major page faults",
    ["container", "failure_type", "id", "image", "name", "namespace", "pod", "scope"],
);
pub(super) const DEVICE_USAGE: Family<10> = Family::counter(
    "container_blkio_device_usage_total",
    "Bytes read, written and discarded by device",
    ["container", "device", "id", "image", "major", "minor", "name", "namespace", "operation", "pod"],
);
pub(super) const HUGE_PAGES: [Family<7>; 3] = [
    Family::gauge("container_hugetlb_usage_bytes", "Huge page usage in bytes", labels_and("pagesize")),
    Family::gauge(
        "container_hugetlb_max_usage_bytes",
        "Maximum huge page usage recorded, in bytes",
        labels_and("pagesize"),
    ),
    Family::counter(
        "container_hugetlb_failcnt",
        "Huge page allocation failures due to the limit",
        labels_and("pagesize"),
    ),
];
pub(super) const MAX_OPEN_FILES: Family<7> =
    Family::gauge("container_ulimits_soft", "Soft limit of the first process; -1 if unlimited", labels_and("ulimit"));
pub(super) const INFO: Family<11> = Family::gauge(
    "container_info",
    "Cgroup with its identity and the selected runtime labels, always 1",
    ["container", "container_id", "id", "image", "kind", "name", "namespace", "pod", "pod_uid", "qos", "runtime"],
);

const fn device(
    set: Set,
    name: &'static str,
    help: &'static str,
    value: fn(&Device) -> Option<Value>,
) -> ItemFamily<Device> {
    ItemFamily { set, family: Family::counter(name, help, labels_and("device")), value }
}

pub(super) const DEVICES: [ItemFamily<Device>; 10] = [
    device(Set::Io, "container_fs_reads_bytes_total", "Bytes read", |d| count(d.read_bytes)),
    device(Set::Io, "container_fs_reads_total", "Reads completed", |d| count(d.reads)),
    device(Set::Io, "container_fs_writes_bytes_total", "Bytes written", |d| count(d.written_bytes)),
    device(Set::Io, "container_fs_writes_total", "Writes completed", |d| count(d.writes)),
    device(Set::IoDetails, "container_fs_discards_bytes_total", "Bytes discarded", |d| count(d.discarded_bytes)),
    device(Set::IoDetails, "container_fs_discards_total", "Discards completed", |d| count(d.discards)),
    device(Set::Io, "container_fs_io_cost_usage_seconds_total", "Device time used (io.cost)", |d| {
        from_microseconds(d.cost[0])
    }),
    device(Set::Io, "container_fs_io_cost_wait_seconds_total", "Time I/Os waited for device time (io.cost)", |d| {
        from_microseconds(d.cost[1])
    }),
    device(Set::Io, "container_fs_io_cost_indebt_seconds_total", "Time in debt of device time (io.cost)", |d| {
        from_microseconds(d.cost[2])
    }),
    device(Set::Io, "container_fs_io_cost_indelay_seconds_total", "Time throttled because of debt (io.cost)", |d| {
        from_microseconds(d.cost[3])
    }),
];

const fn file_system(
    name: &'static str,
    help: &'static str,
    value: fn(&FileSystem) -> Option<Value>,
) -> ItemFamily<FileSystem> {
    ItemFamily { set: Set::Disk, family: Family::gauge(name, help, labels_and("device")), value }
}

pub(super) const FILE_SYSTEMS: [ItemFamily<FileSystem>; 4] = [
    file_system("container_fs_inodes_free", "Free inodes of the file system", |f| count(f.inodes_free)),
    file_system("container_fs_inodes_total", "Inodes of the file system", |f| count(f.inodes)),
    file_system("container_fs_limit_bytes", "Size of the file system in bytes", |f| count(f.limit)),
    file_system(
        "container_fs_usage_bytes",
        "Used bytes: of each device for the host; layer (Docker), or layer and logs (kubelet), of a container; ephemeral storage (kubelet) of a pod",
        |f| count(f.usage),
    ),
];

const fn interface(name: &'static str, help: &'static str, value: fn(&Link) -> Option<Value>) -> ItemFamily<Link> {
    ItemFamily { set: Set::Network, family: Family::counter(name, help, labels_and("interface")), value }
}

pub(super) const INTERFACES: [ItemFamily<Link>; 8] = [
    interface("container_network_receive_bytes_total", "Bytes received", |l| count(Some(l.receive.bytes))),
    interface("container_network_receive_errors_total", "Receive errors", |l| count(Some(l.receive.errs))),
    interface("container_network_receive_packets_dropped_total", "Packets dropped on receive", |l| {
        count(Some(l.receive.drop))
    }),
    interface("container_network_receive_packets_total", "Packets received", |l| count(Some(l.receive.packets))),
    interface("container_network_transmit_bytes_total", "Bytes transmitted", |l| count(Some(l.transmit.bytes))),
    interface("container_network_transmit_errors_total", "Transmit errors", |l| count(Some(l.transmit.errs))),
    interface("container_network_transmit_packets_dropped_total", "Packets dropped on transmit", |l| {
        count(Some(l.transmit.drop))
    }),
    interface("container_network_transmit_packets_total", "Packets transmitted", |l| count(Some(l.transmit.packets))),
];

pub(super) const RESTARTS: Family<5> = Family::counter(
    "taffrail_container_restarts_total",
    "Restarts of a container, counted since Taffrail started",
    lifecycle::LABELS,
);
pub(super) const OOM_KILLS: Family<5> = Family::counter(
    "taffrail_container_oom_events_total",
    "Out-of-memory kills in a container, counted since Taffrail started",
    lifecycle::LABELS,
);
pub(super) const CGROUPS: Family<0> = Family::gauge("taffrail_cgroups", "Cgroups on the host", []);
pub(super) const SHOWN: Family<0> = Family::gauge("taffrail_containers", "Exported cgroups", []);
pub(super) const LEFT_OUT: Family<0> =
    Family::gauge("taffrail_containers_left_out", "Cgroups not exported because of the limit", []);

const OTHERS: [FamilyInfo; 11] = [
    RESTARTS.info(),
    OOM_KILLS.info(),
    LAST_SEEN.info(),
    CPU_USAGE.info(),
    FAILURES.info(),
    DEVICE_USAGE.info(),
    MAX_OPEN_FILES.info(),
    INFO.info(),
    CGROUPS.info(),
    SHOWN.info(),
    LEFT_OUT.info(),
];
const COLUMN_INFOS: [FamilyInfo; COLUMNS.len()] = infos!(COLUMNS.family);
const DEVICE_INFOS: [FamilyInfo; DEVICES.len()] = infos!(DEVICES.family);
const FILE_SYSTEM_INFOS: [FamilyInfo; FILE_SYSTEMS.len()] = infos!(FILE_SYSTEMS.family);
const INTERFACE_INFOS: [FamilyInfo; INTERFACES.len()] = infos!(INTERFACES.family);
const HUGE_PAGE_INFOS: [FamilyInfo; HUGE_PAGES.len()] = infos!(HUGE_PAGES);

/// All families.
pub(in super::super) const INFOS: [FamilyInfo;
    COLUMNS.len() + DEVICES.len() + FILE_SYSTEMS.len() + INTERFACES.len() + HUGE_PAGES.len() + OTHERS.len()] =
    concat(&[&OTHERS, &COLUMN_INFOS, &DEVICE_INFOS, &FILE_SYSTEM_INFOS, &INTERFACE_INFOS, &HUGE_PAGE_INFOS]);
