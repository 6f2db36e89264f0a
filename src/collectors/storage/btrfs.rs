//! Btrfs file systems: allocation, usage, devices and commits.

use std::sync::Arc;
use std::time::Duration;

use super::filesystem::MountsOfType;
use super::statfs::MountId;
use crate::blocking::{CallFn, CallOutcome};
use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::{Family, Value};
use crate::host::btrfs::{ERRORS, Volume, VolumeDevice};
use crate::host::errno::Errno;
use crate::host::{Device, Devices, Host, ReadError, file};

/// `/sys/fs/btrfs`: fs/btrfs/sysfs.c.
pub(super) struct Btrfs {
    file_systems: Devices,
    mounts: MountsOfType,
}

impl Collector for Btrfs {
    const ABOUT: About = About {
        name: "btrfs",
        summary: "Btrfs file systems: allocation, usage, devices, commits",
        reads: &["/sys/fs/btrfs/*", "/proc/1/mountinfo", "/proc/self/mountinfo", "ioctl(2) of file systems"],
        needs: "a mounted Btrfs file system; for device errors and unallocated space its mount point must be visible",
        families: &[
            INFO.info(),
            FILE_SYSTEM_ATTRIBUTES[0].family.info(),
            DEVICE_SIZE.info(),
            DEVICE_UNUSED.info(),
            DEVICE_ERRORS.info(),
            RESERVED.info(),
            USED.info(),
            SIZE.info(),
            RATIO.info(),
            COMMITS.info(),
            COMMIT_SECONDS.info(),
            LAST_COMMIT.info(),
            MAX_COMMIT.info(),
        ],
        may_be_absent: true,
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Btrfs { file_systems: host.devices("fs/btrfs"), mounts: MountsOfType::new("btrfs") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // The directories of file systems are named by UUID. Another lists features.
        let mut file_systems = self.file_systems.look(|name| name.contains('-'))?.peekable();
        let volumes = if file_systems.peek().is_some() { volumes(cx, &mut self.mounts) } else { Vec::new() };
        for (uuid, device) in file_systems {
            let label = device.string("label", cx.buffer).unwrap_or_default();
            reading.put(&INFO, [&label, uuid], 1u64);
            reading.put_attributes(cx, device, FILE_SYSTEM_ATTRIBUTES, [uuid]);
            let mut devices = file::list(&device.path().join("devices")).unwrap_or_default();
            devices.sort_unstable();
            match volumes.iter().find(|volume| volume.uuid == uuid) {
                Some(volume) => volume.devices.iter().for_each(|device| put_device(reading, device, uuid)),
                None => read_sizes(cx, reading, device, &devices, uuid),
            }
            for kind in ["data", "metadata", "system"] {
                read_kind(cx, reading, device, kind, uuid, devices.len());
            }
            read_commits(cx, reading, device, uuid);
        }
        Ok(())
    }
}

/// Devices of the mounted file systems by ioctl(2). Only mounts that Taffrail sees.
fn volumes(cx: &mut ReadContext<'_>, mounts: &mut MountsOfType) -> Vec<Volume> {
    /// Maximum number of hanging threads. A low limit suffices, as sysfs has sizes too.
    const MAX_THREADS: usize = 8;
    const TIMEOUT: Duration = Duration::from_millis(200);
    let mounts = mounts.refresh(cx).map(<[MountId]>::to_vec);
    let mounts = cx.part(mounts).unwrap_or_default();
    let kernel = cx.host.kernel.clone();
    let answerer: CallFn<MountId, Result<Volume, Errno>> = Arc::new(move |id: &MountId, _: &_| kernel.btrfs(&id.path));
    let mut volumes: Vec<Volume> = Vec::new();
    for outcome in cx.host.questions_to_mounts(MAX_THREADS).run_all(mounts, &answerer, TIMEOUT.into()) {
        // A file system has several mounts if subvolumes are mounted. After an error its sizes come from sysfs.
        let (CallOutcome::Completed(Ok(volume)) | CallOutcome::Late(Ok(volume))) = outcome else { continue };
        if volumes.iter().all(|known| known.uuid != volume.uuid) {
            volumes.push(volume);
        }
    }
    volumes
}

fn put_device(reading: &mut Gathered, device: &VolumeDevice, uuid: &str) {
    let VolumeDevice { uuid: device_uuid, path, size, allocated, errors } = device;
    let name = path.rsplit('/').next().unwrap_or_default();
    reading.put(&DEVICE_SIZE, [device_uuid, name, uuid], *size);
    reading.put(&DEVICE_UNUSED, [device_uuid, name, uuid], size.saturating_sub(*allocated));
    for (kind, count) in ERRORS.iter().zip(errors) {
        reading.put(&DEVICE_ERRORS, [device_uuid, name, kind, uuid], *count);
    }
}

fn read_sizes(cx: &mut ReadContext<'_>, reading: &mut Gathered, device: &mut Device, names: &[String], uuid: &str) {
    const SECTOR: u64 = 512;
    for name in names {
        let size = device.number::<u64>(format!("devices/{name}/size"), cx.buffer);
        let bytes = cx.part(size).flatten().map(|sectors| Value::product(sectors, SECTOR));
        reading.put_some(&DEVICE_SIZE, ["", name, uuid], bytes);
    }
}

fn read_kind(
    cx: &mut ReadContext<'_>,
    reading: &mut Gathered,
    device: &mut Device,
    kind: &str,
    uuid: &str,
    devices: usize,
) {
    let group = device.below(&format!("allocation/{kind}"));
    let reserved = group.number::<u64>("bytes_reserved", cx.buffer);
    reading.put_some(&RESERVED, [kind, uuid], cx.part(reserved).flatten());
    for mode in group.names() {
        let mut number = |file: &str| {
            let number = group.number::<u64>(format!("{mode}/{file}"), cx.buffer);
            cx.part(number).flatten()
        };
        // The directories are profiles. Files do not contain `used_bytes`.
        let Some(used) = number("used_bytes") else { continue };
        let size = number("total_bytes");
        reading.put(&USED, [kind, &mode, uuid], used);
        reading.put_some(&SIZE, [kind, &mode, uuid], size);
        reading.put_some(&RATIO, [kind, &mode, uuid], ratio(&mode, devices));
    }
}

/// Bytes on disk per byte of data.
fn ratio(mode: &str, devices: usize) -> Option<f64> {
    let with_parity = |parity: usize| (devices > parity).then(|| devices as f64 / (devices - parity) as f64);
    match mode {
        "single" | "raid0" => Some(1.0),
        "dup" | "raid1" | "raid10" => Some(2.0),
        "raid1c3" => Some(3.0),
        "raid1c4" => Some(4.0),
        "raid5" => with_parity(1),
        "raid6" => with_parity(2),
        _ => None,
    }
}

fn read_commits(cx: &mut ReadContext<'_>, reading: &mut Gathered, device: &mut Device, uuid: &str) {
    let Some(text) = device.text("commit_stats", cx.buffer) else { return };
    for line in text.lines() {
        let mut fields = line.fields();
        let family = match fields.next() {
            Some(b"commits") => &COMMITS,
            Some(b"last_commit_ms") => &LAST_COMMIT,
            Some(b"max_commit_ms") => &MAX_COMMIT,
            Some(b"total_commit_ms") => &COMMIT_SECONDS,
            _ => continue,
        };
        match fields.number::<u64>("a number") {
            Ok(number) if std::ptr::eq(family, &COMMITS) => reading.put(family, [uuid], number),
            Ok(milliseconds) => reading.put(family, [uuid], milliseconds as f64 / 1000.0),
            Err(problem) => cx.problems.push(problem),
        }
    }
}

const INFO: Family<2> = Family::gauge("node_btrfs_info", "Btrfs file system, always 1", ["label", "uuid"]);
const FILE_SYSTEM_ATTRIBUTES: &[Attribute<1>] = &[Attribute::gauge(
    "allocation/global_rsv_size",
    "node_btrfs_global_rsv_size_bytes",
    "Size of the global block reserve in bytes",
    ["uuid"],
    Unit::Plain,
)];
const DEVICE: [&str; 3] = ["btrfs_dev_uuid", "device", "uuid"];
const DEVICE_SIZE: Family<3> =
    Family::gauge("node_btrfs_device_size_bytes", "Size of a device of the file system in bytes", DEVICE);
const DEVICE_UNUSED: Family<3> =
    Family::gauge("node_btrfs_device_unused_bytes", "Unallocated space of the device in bytes", DEVICE);
const DEVICE_ERRORS: Family<4> = Family::counter(
    "node_btrfs_device_errors_total",
    "Device errors since the last reset of the statistics, by type",
    ["btrfs_dev_uuid", "device", "type", "uuid"],
);
const RESERVED: Family<2> =
    Family::gauge("node_btrfs_reserved_bytes", "Bytes reserved for pending writes", ["block_group_type", "uuid"]);
const GROUP: [&str; 3] = ["block_group_type", "mode", "uuid"];
const USED: Family<3> = Family::gauge("node_btrfs_used_bytes", "Used space by block group type in bytes", GROUP);
const SIZE: Family<3> = Family::gauge("node_btrfs_size_bytes", "Allocated space by block group type in bytes", GROUP);
const RATIO: Family<3> =
    Family::gauge("node_btrfs_allocation_ratio", "Allocation ratio: bytes on disk per byte of data", GROUP);
const COMMITS: Family<1> = Family::counter("node_btrfs_commits_total", "Commits", ["uuid"]);
const COMMIT_SECONDS: Family<1> =
    Family::counter("node_btrfs_commit_seconds_total", "Total duration of commits", ["uuid"]);
const LAST_COMMIT: Family<1> = Family::gauge("node_btrfs_last_commit_seconds", "Duration of the last commit", ["uuid"]);
const MAX_COMMIT: Family<1> =
    Family::gauge("node_btrfs_max_commit_seconds", "Duration of the longest commit", ["uuid"]);
