//! Cgroups as cAdvisor's families.

use super::labels::SERIES_LABELS;
use super::names::Health;
use super::reading::{ContainerReading, Measured};
use super::sets::Set;
use super::shown_limit;
use super::usage::Device;
use crate::encode::family::{FamilyInfo, Value};
use crate::encode::infos::{concat, infos};
use crate::encode::{Family, FamilyWriter};
use crate::host::links::Link;

/// A family with one sample for each cgroup that has the value.
struct Column {
    set: Set,
    family: Family<6>,
    value: fn(&Measured) -> Option<Value>,
}

/// A family with one sample for each `T` of a cgroup, told apart by one more label.
struct Table<T: ?Sized> {
    set: Set,
    family: Family<7>,
    value: fn(&T) -> Option<Value>,
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

fn from_nanoseconds(value: Option<u64>) -> Option<Value> {
    value.map(|nanoseconds| Value::Float(nanoseconds as f64 / 1e9))
}

fn from_microseconds(value: Option<u64>) -> Option<Value> {
    value.map(|microseconds| Value::Float(microseconds as f64 / 1e6))
}

fn limit(value: Option<u64>) -> Option<Value> {
    value.map(|value| Value::Unsigned(shown_limit(value)))
}

/// What throttling counts, where a quota is set.
fn throttled(measured: &Measured, value: Option<u64>) -> Option<u64> {
    value.filter(|_| measured.usage.cpu.has_quota())
}

/// Waiting for resource `index`: at least one task, or all of them.
fn some(measured: &Measured, index: usize) -> Option<Value> {
    from_microseconds(measured.usage.pressure[index].some.map(|stall| stall.total_microseconds))
}

fn full(measured: &Measured, index: usize) -> Option<Value> {
    from_microseconds(measured.usage.pressure[index].full.map(|stall| stall.total_microseconds))
}

const COLUMNS: [Column; 47] = [
    counter(
        Set::Cpu,
        "container_cpu_cfs_periods_total",
        "Periods that began in which the CPU quota could be used.",
        |m| count(throttled(m, m.usage.cpu.periods)),
    ),
    counter(
        Set::Cpu,
        "container_cpu_cfs_throttled_periods_total",
        "Periods in which the CPU quota was used up.",
        |m| count(throttled(m, m.usage.cpu.throttled_periods)),
    ),
    counter(
        Set::CpuDetails,
        "container_cpu_cfs_throttled_seconds_total",
        "Time that tasks stood still because the CPU quota was used up.",
        |m| from_nanoseconds(throttled(m, m.usage.cpu.throttled)),
    ),
    counter(
        Set::CpuDetails,
        "container_cpu_cfs_burst_periods_total",
        "Periods in which quota saved up was used.",
        |m| count(throttled(m, m.usage.cpu.bursts)),
    ),
    counter(
        Set::CpuDetails,
        "container_cpu_cfs_burst_seconds_total",
        "CPU time used beyond the quota, from what was saved up.",
        |m| from_nanoseconds(throttled(m, m.usage.cpu.burst)),
    ),
    counter(Set::CpuDetails, "container_cpu_system_seconds_total", "CPU time used in the kernel.", |m| {
        from_nanoseconds(m.usage.cpu.system)
    }),
    counter(Set::CpuDetails, "container_cpu_user_seconds_total", "CPU time used outside the kernel.", |m| {
        from_nanoseconds(m.usage.cpu.user)
    }),
    gauge(Set::Memory, "container_memory_cache", "Memory that holds file pages, in bytes.", |m| {
        count(m.usage.memory.file)
    }),
    counter(
        Set::Memory,
        "container_memory_events_high_total",
        "How often tasks were slowed down above memory.high.",
        |m| count(m.usage.memory.high_hits),
    ),
    counter(
        Set::Memory,
        "container_memory_events_max_total",
        "How often usage was about to go over memory.max.",
        |m| count(m.usage.memory.limit_hits).filter(|_| !m.usage.memory.is_v1),
    ),
    counter(Set::Memory, "container_memory_failcnt", "How often usage hit the limit.", |m| {
        count(m.usage.memory.limit_hits)
    }),
    gauge(Set::Memory, "container_memory_kernel_usage", "Memory of the kernel's that is charged, in bytes.", |m| {
        count(m.usage.memory.kernel)
    }),
    gauge(Set::Memory, "container_memory_max_usage_bytes", "The most memory that was used at once.", |m| {
        count(m.usage.memory.max_usage)
    }),
    gauge(Set::Memory, "container_memory_rss", "Anonymous memory in use, in bytes; without shared memory.", |m| {
        count(m.usage.memory.anon)
    }),
    gauge(Set::Memory, "container_memory_swap", "Swap in use, in bytes.", |m| count(m.usage.memory.swap)),
    gauge(Set::Memory, "container_memory_total_active_file_bytes", "File pages in use of late.", |m| {
        count(m.usage.memory.active_file)
    }),
    gauge(Set::Memory, "container_memory_total_inactive_file_bytes", "File pages not in use of late.", |m| {
        count(m.usage.memory.inactive_file)
    }),
    gauge(Set::Memory, "container_memory_usage_bytes", "Memory in use, file pages included.", |m| {
        count(m.usage.memory.usage)
    }),
    gauge(
        Set::Memory,
        "container_memory_working_set_bytes",
        "Memory in use, without file pages not in use of late; what an OOM kill is decided by.",
        |m| count(m.usage.memory.working_set()),
    ),
    gauge(Set::MemoryDetails, "container_memory_file_dirty_bytes", "File pages to be written.", |m| {
        count(m.usage.memory.dirty)
    }),
    gauge(Set::MemoryDetails, "container_memory_file_writeback_bytes", "File pages that are being written.", |m| {
        count(m.usage.memory.writeback)
    }),
    gauge(Set::MemoryDetails, "container_memory_mapped_file", "File pages that are mapped, in bytes.", |m| {
        count(m.usage.memory.mapped_file)
    }),
    counter(Set::MemoryDetails, "container_memory_pgscan_total", "Pages that reclaim looked at.", |m| {
        count(m.usage.memory.scanned)
    }),
    counter(Set::MemoryDetails, "container_memory_pgsteal_total", "Pages that reclaim took.", |m| {
        count(m.usage.memory.stolen)
    }),
    counter(
        Set::MemoryDetails,
        "container_memory_workingset_refault_anon_total",
        "Anonymous pages that were taken and soon needed again.",
        |m| count(m.usage.memory.refaulted_anon),
    ),
    counter(
        Set::MemoryDetails,
        "container_memory_workingset_refault_file_total",
        "File pages that were taken and soon needed again.",
        |m| count(m.usage.memory.refaulted_file),
    ),
    gauge(Set::Processes, "container_processes", "Processes.", |m| count(m.usage.processes)),
    gauge(Set::Processes, "container_threads", "Threads.", |m| count(m.usage.threads)),
    gauge(Set::Descriptors, "container_file_descriptors", "File descriptors that all processes have open.", |m| {
        m.open_files.map(|open| Value::Unsigned(open.descriptors))
    }),
    gauge(Set::Descriptors, "container_sockets", "Sockets that all processes have open.", |m| {
        m.open_files.map(|open| Value::Unsigned(open.sockets))
    }),
    counter(Set::Pressure, "container_pressure_cpu_stalled_seconds_total", "Time in which no task got a CPU.", |m| {
        full(m, 0)
    }),
    counter(
        Set::Pressure,
        "container_pressure_cpu_waiting_seconds_total",
        "Time in which a task waited for a CPU.",
        |m| some(m, 0),
    ),
    counter(
        Set::Pressure,
        "container_pressure_io_stalled_seconds_total",
        "Time in which no task could go on for waiting for I/O.",
        |m| full(m, 2),
    ),
    counter(
        Set::Pressure,
        "container_pressure_io_waiting_seconds_total",
        "Time in which a task waited for I/O.",
        |m| some(m, 2),
    ),
    counter(
        Set::Pressure,
        "container_pressure_memory_stalled_seconds_total",
        "Time in which no task could go on for waiting for memory.",
        |m| full(m, 1),
    ),
    counter(
        Set::Pressure,
        "container_pressure_memory_waiting_seconds_total",
        "Time in which a task waited for memory.",
        |m| some(m, 1),
    ),
    counter(Set::Oom, "container_oom_events_total", "Processes that were killed for want of memory.", |m| {
        count(m.usage.memory.oom_kills)
    }),
    gauge(Set::Spec, "container_spec_cpu_period", "The period of the CPU quota, in microseconds.", |m| {
        count(m.usage.cpu.period)
    }),
    gauge(Set::Spec, "container_spec_cpu_quota", "CPU time that each period may use, in microseconds.", |m| {
        count(m.usage.cpu.quota).filter(|_| m.usage.cpu.has_quota())
    }),
    gauge(
        Set::Spec,
        "container_spec_cpu_shares",
        "The share of CPU time beside others; on cgroup v2 made of the weight by the line that runtimes used until 2025.",
        |m| count(m.usage.cpu.shares),
    ),
    gauge(Set::Spec, "container_spec_cpu_weight", "The weight of CPU time beside others, of cgroup v2.", |m| {
        count(m.usage.cpu.weight)
    }),
    gauge(Set::Spec, "container_spec_memory_limit_bytes", "The limit of memory; 0 if there is none.", |m| {
        limit(m.usage.memory.limit)
    }),
    gauge(
        Set::Spec,
        "container_spec_memory_reservation_limit_bytes",
        "Memory that is kept from reclaim, or the soft limit of cgroup v1; 0 if there is none.",
        |m| limit(m.usage.memory.reservation),
    ),
    gauge(
        Set::Spec,
        "container_spec_memory_swap_limit_bytes",
        "The limit of swap, or of memory and swap together on cgroup v1; 0 if there is none.",
        |m| limit(m.usage.memory.swap_limit),
    ),
    gauge(Set::Spec, "container_threads_max", "The limit of threads; 0 if there is none.", |m| {
        limit(m.usage.threads_max)
    }),
    gauge(Set::Times, "container_start_time_seconds", "When it was started, in Unix time.", |m| {
        m.started.map(|started| Value::Float(started.seconds()))
    }),
    gauge(Set::Info, "container_health_state", "1 healthy, 0 starting or unhealthy, -1 without a health check.", |m| {
        let named = m.labels.named.as_deref().filter(|named| named.engine_host.is_some())?;
        Some(Value::Signed(match named.health {
            Some(Health::Healthy) => 1,
            Some(Health::Starting | Health::Unhealthy) => 0,
            None => -1,
        }))
    }),
];

const LAST_SEEN: Family<6> =
    Family::gauge("container_last_seen", "When it was seen last: now, in Unix time.", SERIES_LABELS);
const CPU_USAGE: Family<7> = Family::counter("container_cpu_usage_seconds_total", "CPU time used.", labels_and("cpu"));
const FAILURES: Family<8> = Family::counter(
    "container_memory_failures_total",
    "Page faults: all, and those that had to read.",
    ["container", "failure_type", "id", "image", "name", "namespace", "pod", "scope"],
);
const DEVICE_USAGE: Family<10> = Family::counter(
    "container_blkio_device_usage_total",
    "Bytes read, written and discarded.",
    ["container", "device", "id", "image", "major", "minor", "name", "namespace", "operation", "pod"],
);
const HUGE_PAGES: [Family<7>; 3] = [
    Family::gauge("container_hugetlb_usage_bytes", "Huge pages in use, in bytes.", labels_and("pagesize")),
    Family::gauge("container_hugetlb_max_usage_bytes", "The most huge pages in use at once.", labels_and("pagesize")),
    Family::counter("container_hugetlb_failcnt", "How often huge pages were refused.", labels_and("pagesize")),
];
const MAX_OPEN_FILES: Family<7> =
    Family::gauge("container_ulimits_soft", "A limit of the first process; -1 if there is none.", labels_and("ulimit"));
const INFO: Family<11> = Family::gauge(
    "container_info",
    "What a cgroup is, with the runtime's labels that are let through; always 1.",
    ["container", "container_id", "id", "image", "kind", "name", "namespace", "pod", "pod_uid", "qos", "runtime"],
);

const fn device(
    set: Set,
    name: &'static str,
    help: &'static str,
    value: fn(&Device) -> Option<Value>,
) -> Table<Device> {
    Table { set, family: Family::counter(name, help, labels_and("device")), value }
}

const DEVICES: [Table<Device>; 10] = [
    device(Set::Io, "container_fs_reads_bytes_total", "Bytes read.", |d| count(d.read_bytes)),
    device(Set::Io, "container_fs_reads_total", "Reads.", |d| count(d.reads)),
    device(Set::Io, "container_fs_writes_bytes_total", "Bytes written.", |d| count(d.written_bytes)),
    device(Set::Io, "container_fs_writes_total", "Writes.", |d| count(d.writes)),
    device(Set::IoDetails, "container_fs_discards_bytes_total", "Bytes discarded.", |d| count(d.discarded_bytes)),
    device(Set::IoDetails, "container_fs_discards_total", "Discards.", |d| count(d.discards)),
    device(Set::Io, "container_fs_io_cost_usage_seconds_total", "Device time used, by the model of io.cost.", |d| {
        from_microseconds(d.cost[0])
    }),
    device(Set::Io, "container_fs_io_cost_wait_seconds_total", "Time waited for device time, by io.cost.", |d| {
        from_microseconds(d.cost[1])
    }),
    device(Set::Io, "container_fs_io_cost_indebt_seconds_total", "Time in debt of device time, by io.cost.", |d| {
        from_microseconds(d.cost[2])
    }),
    device(Set::Io, "container_fs_io_cost_indelay_seconds_total", "Time slowed down for debt, by io.cost.", |d| {
        from_microseconds(d.cost[3])
    }),
];

const fn interface(name: &'static str, help: &'static str, value: fn(&Link) -> Option<Value>) -> Table<Link> {
    Table { set: Set::Network, family: Family::counter(name, help, labels_and("interface")), value }
}

const INTERFACES: [Table<Link>; 8] = [
    interface("container_network_receive_bytes_total", "Bytes received.", |l| count(Some(l.receive.bytes))),
    interface("container_network_receive_errors_total", "Errors in receiving.", |l| count(Some(l.receive.errs))),
    interface("container_network_receive_packets_dropped_total", "Received packets that were dropped.", |l| {
        count(Some(l.receive.drop))
    }),
    interface("container_network_receive_packets_total", "Packets received.", |l| count(Some(l.receive.packets))),
    interface("container_network_transmit_bytes_total", "Bytes transmitted.", |l| count(Some(l.transmit.bytes))),
    interface("container_network_transmit_errors_total", "Errors in transmitting.", |l| count(Some(l.transmit.errs))),
    interface("container_network_transmit_packets_dropped_total", "Packets to transmit that were dropped.", |l| {
        count(Some(l.transmit.drop))
    }),
    interface("container_network_transmit_packets_total", "Packets transmitted.", |l| count(Some(l.transmit.packets))),
];

const CGROUPS: Family<0> = Family::gauge("taffrail_cgroups", "Cgroups that there are, shown or not.", []);
const SHOWN: Family<0> = Family::gauge("taffrail_containers", "Cgroups that are shown: containers and the like.", []);
const LEFT_OUT: Family<0> =
    Family::gauge("taffrail_containers_left_out", "Cgroups that the limit on their number leaves out.", []);

const OTHERS: [FamilyInfo; 9] = [
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
const INTERFACE_INFOS: [FamilyInfo; INTERFACES.len()] = infos!(INTERFACES.family);
const HUGE_PAGE_INFOS: [FamilyInfo; HUGE_PAGES.len()] = infos!(HUGE_PAGES);

/// All families.
pub(super) const INFOS: [FamilyInfo;
    COLUMNS.len() + DEVICES.len() + INTERFACES.len() + HUGE_PAGES.len() + OTHERS.len()] =
    concat(&[&OTHERS, &COLUMN_INFOS, &DEVICE_INFOS, &INTERFACE_INFOS, &HUGE_PAGE_INFOS]);

pub(super) fn write(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let has = |set| reading.sets.has(set);
    for column in COLUMNS.iter().filter(|column| has(column.set)) {
        let mut samples = out.family(&column.family);
        for one in &reading.measured {
            if let Some(value) = (column.value)(one) {
                samples.sample(one.labels.series(), value);
            }
        }
    }
    if has(Set::Cpu) {
        write_cpu(reading, out);
    }
    write_failures(reading, out);
    write_devices(reading, out);
    for table in INTERFACES.iter().filter(|table| has(table.set)) {
        write_table(table, reading, |one| one.interfaces.iter().map(|link| (&*link.name, link)), out);
    }
    if has(Set::Hugetlb) {
        write_huge_pages(reading, out);
    }
    if has(Set::Spec) {
        let mut samples = out.family(&MAX_OPEN_FILES);
        for one in &reading.measured {
            if let Some(limit) = one.max_open_files {
                samples.sample(and(one, "max_open_files"), limit);
            }
        }
    }
    if has(Set::Times) {
        let mut samples = out.family(&LAST_SEEN);
        for one in &reading.measured {
            samples.sample(one.labels.series(), reading.now.seconds().floor());
        }
    }
    if has(Set::Info) {
        write_info(reading, out);
    }
    out.value(&CGROUPS, reading.cgroups);
    out.value(&SHOWN, reading.measured.len() as u64);
    out.value(&LEFT_OUT, reading.left_out);
}

fn and<'m>(one: &'m Measured, more: &'m str) -> [&'m str; 7] {
    let [a, b, c, d, e, f] = one.labels.series();
    [a, b, c, d, e, f, more]
}

fn write_cpu(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&CPU_USAGE);
    for one in &reading.measured {
        if let Some(usage) = from_nanoseconds(one.usage.cpu.usage) {
            samples.sample(and(one, "total"), usage);
        }
    }
}

/// The kernel counts faults with those below; cAdvisor gives that number both names.
fn write_failures(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let scopes = [(Set::Memory, "container"), (Set::MemoryDetails, "hierarchy")];
    let mut samples = out.family(&FAILURES);
    for one in &reading.measured {
        let memory = &one.usage.memory;
        let [container, id, image, name, namespace, pod] = one.labels.series();
        for (_, scope) in scopes.into_iter().filter(|(set, _)| reading.sets.has(*set)) {
            for (kind, faults) in [("pgfault", memory.page_faults), ("pgmajfault", memory.major_faults)] {
                if let Some(faults) = faults {
                    samples.sample([container, kind, id, image, name, namespace, pod, scope], faults);
                }
            }
        }
    }
}

fn write_devices(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    for table in DEVICES.iter().filter(|table| reading.sets.has(table.set)) {
        write_table(
            table,
            reading,
            |one| one.busy_devices().map(|device| (reading.device_name(device.number), device)),
            out,
        );
    }
    if !reading.sets.has(Set::IoDetails) {
        return;
    }
    let mut samples = out.family(&DEVICE_USAGE);
    for one in &reading.measured {
        let [container, id, image, name, namespace, pod] = one.labels.series();
        for device in one.busy_devices() {
            let (major, minor) = (device.number.0.to_string(), device.number.1.to_string());
            let path = reading.device_name(device.number);
            let operations =
                [("Read", device.read_bytes), ("Write", device.written_bytes), ("Discard", device.discarded_bytes)];
            for (operation, bytes) in operations {
                if let Some(bytes) = bytes {
                    let labels = [container, path, id, image, &major, &minor, name, namespace, operation, pod];
                    samples.sample(labels, bytes);
                }
            }
        }
    }
}

fn write_table<'r, T: 'r, I: Iterator<Item = (&'r str, &'r T)>>(
    table: &Table<T>,
    reading: &'r ContainerReading,
    items: impl Fn(&'r Measured) -> I,
    out: &mut FamilyWriter<'_>,
) {
    let mut samples = out.family(&table.family);
    for one in &reading.measured {
        for (name, item) in items(one) {
            if let Some(value) = (table.value)(item) {
                samples.sample(and(one, name), value);
            }
        }
    }
}

fn write_huge_pages(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    for (index, family) in HUGE_PAGES.iter().enumerate() {
        let mut samples = out.family(family);
        for one in &reading.measured {
            for pages in &one.usage.huge_pages {
                if let Some(value) = [pages.usage, pages.max_usage, pages.failures][index] {
                    samples.sample(and(one, &pages.size), value);
                }
            }
        }
    }
}

fn write_info(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&INFO);
    for one in &reading.measured {
        let identity = &one.labels.identity;
        let [container, id, image, name, namespace, pod] = one.labels.series();
        let values = [
            container,
            &identity.container_id,
            id,
            image,
            identity.kind.name(),
            name,
            namespace,
            pod,
            &identity.pod_uid,
            identity.qos,
            identity.runtime,
        ];
        samples.sample_and(values, &one.labels.info, 1u64);
    }
}
