//! Cgroups as cAdvisor's families.

mod definitions;

pub(super) use self::definitions::INFOS;
use self::definitions::{
    CGROUPS, COLUMNS, CPU_USAGE, DEVICE_USAGE, DEVICES, FAILURES, FILE_SYSTEMS, HUGE_PAGES, INFO, INTERFACES,
    ItemFamily, LAST_SEEN, LEFT_OUT, MAX_OPEN_FILES, OOM_KILLS, RESTARTS, SHOWN, from_nanoseconds,
};
use super::reading::{ContainerReading, Measured};
use super::sets::Set;
use crate::encode::FamilyWriter;

pub(super) fn write(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let has = |set| reading.sets.has(set);
    for column in COLUMNS.iter().filter(|column| has(column.set)) {
        let mut samples = out.family(&column.family);
        for cgroup in &reading.measured {
            if let Some(value) = (column.value)(cgroup) {
                samples.sample(cgroup.labels.series(), value);
            }
        }
    }
    if has(Set::Cpu) {
        write_cpu(reading, out);
    }
    write_failures(reading, out);
    write_devices(reading, out);
    for item_family in FILE_SYSTEMS.iter().filter(|item_family| has(item_family.set)) {
        write_items(item_family, reading, |cgroup| cgroup.file_systems.iter().map(|used| (&*used.device, used)), out);
    }
    for item_family in INTERFACES.iter().filter(|item_family| has(item_family.set)) {
        write_items(item_family, reading, |cgroup| cgroup.interfaces.iter().map(|link| (&*link.name, link)), out);
    }
    if has(Set::Hugetlb) {
        write_huge_pages(reading, out);
    }
    if has(Set::Spec) {
        let mut samples = out.family(&MAX_OPEN_FILES);
        for cgroup in &reading.measured {
            if let Some(limit) = cgroup.max_open_files {
                samples.sample(and(cgroup, "max_open_files"), limit);
            }
        }
    }
    if has(Set::Times) {
        let mut samples = out.family(&LAST_SEEN);
        for cgroup in &reading.measured {
            samples.sample(cgroup.labels.series(), reading.now.seconds().floor());
        }
    }
    if has(Set::Info) {
        write_info(reading, out);
    }
    write_counted(reading, out);
    out.value(&CGROUPS, reading.cgroups);
    out.value(&SHOWN, reading.measured.len() as u64);
    out.value(&LEFT_OUT, reading.left_out);
}

fn write_counted(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&RESTARTS);
    for counted in &reading.counted {
        samples.sample(counted.subject.series(), counted.restarts);
    }
    drop(samples);
    let mut samples = out.family(&OOM_KILLS);
    for counted in &reading.counted {
        samples.sample(counted.subject.series(), counted.oom_kills);
    }
}

fn and<'m>(cgroup: &'m Measured, more: &'m str) -> [&'m str; 7] {
    let [a, b, c, d, e, f] = cgroup.labels.series();
    [a, b, c, d, e, f, more]
}

fn write_cpu(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&CPU_USAGE);
    for cgroup in &reading.measured {
        if let Some(usage) = from_nanoseconds(cgroup.usage.cpu.usage) {
            samples.sample(and(cgroup, "total"), usage);
        }
    }
}

/// The scope `container` is the cgroup without those below. cgroup v2 only counts both together; like cAdvisor, it then
/// has the same value.
fn write_failures(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let has = |set| reading.sets.has(set);
    let mut samples = out.family(&FAILURES);
    for cgroup in &reading.measured {
        let memory = &cgroup.usage.memory;
        let [container, id, image, name, namespace, pod] = cgroup.labels.series();
        let own = (memory.own_page_faults.or(memory.page_faults), memory.own_major_faults.or(memory.major_faults));
        let with_below = (memory.page_faults, memory.major_faults);
        let scopes = [(Set::Memory, "container", own), (Set::MemoryDetails, "hierarchy", with_below)];
        for (_, scope, (minor, major)) in scopes.into_iter().filter(|(set, ..)| has(*set)) {
            for (kind, faults) in [("pgfault", minor), ("pgmajfault", major)] {
                if let Some(faults) = faults {
                    samples.sample([container, kind, id, image, name, namespace, pod, scope], faults);
                }
            }
        }
    }
}

fn write_devices(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    for item_family in DEVICES.iter().filter(|item_family| reading.sets.has(item_family.set)) {
        write_items(
            item_family,
            reading,
            |cgroup| cgroup.busy_devices().map(|device| (reading.device_name(device.number), device)),
            out,
        );
    }
    if !reading.sets.has(Set::IoDetails) {
        return;
    }
    let mut samples = out.family(&DEVICE_USAGE);
    for cgroup in &reading.measured {
        let [container, id, image, name, namespace, pod] = cgroup.labels.series();
        for device in cgroup.busy_devices() {
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

fn write_items<'r, T: 'r, I: Iterator<Item = (&'r str, &'r T)>>(
    item_family: &ItemFamily<T>,
    reading: &'r ContainerReading,
    items: impl Fn(&'r Measured) -> I,
    out: &mut FamilyWriter<'_>,
) {
    let mut samples = out.family(&item_family.family);
    for cgroup in &reading.measured {
        for (name, item) in items(cgroup) {
            if let Some(value) = (item_family.value)(item) {
                samples.sample(and(cgroup, name), value);
            }
        }
    }
}

fn write_huge_pages(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    for (index, family) in HUGE_PAGES.iter().enumerate() {
        let mut samples = out.family(family);
        for cgroup in &reading.measured {
            for pages in &cgroup.usage.huge_pages {
                if let Some(value) = [pages.usage, pages.max_usage, pages.failures][index] {
                    samples.sample(and(cgroup, &pages.size), value);
                }
            }
        }
    }
}

fn write_info(reading: &ContainerReading, out: &mut FamilyWriter<'_>) {
    let mut samples = out.family(&INFO);
    for cgroup in &reading.measured {
        let identity = &cgroup.labels.identity;
        let [container, id, image, name, namespace, pod] = cgroup.labels.series();
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
        samples.sample_and(values, &cgroup.labels.info, 1u64);
    }
}
