//! Btrfs file systems: how much of each kind is allocated and used.

use std::sync::Arc;
use std::time::Duration;

use super::filesystem::MountsOfType;
use super::gathered::{Attribute, Gathered, Unit};
use super::statfs::Place;
use super::{About, Collector, ReadContext};
use crate::ask::{Answerer, Asked};
use crate::config::Section;
use crate::encode::Family;
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
        summary: "Btrfs file systems: what is allocated and used, devices, commits",
        reads: &["/sys/fs/btrfs/*", "/proc/1/mountinfo", "/proc/self/mountinfo", "ioctl(2) of file systems"],
        needs: "a file system of Btrfs that is mounted, and to see its mount for errors and what is free of devices",
        families: &[
            INFO.info(),
            OF_FILE_SYSTEM[0].family.info(),
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
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Btrfs { file_systems: host.devices("fs/btrfs"), mounts: MountsOfType::new("btrfs") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // File systems are called by their UUIDs; beside them is what the module can do.
        let mut file_systems = self.file_systems.look(|name| name.contains('-'))?.peekable();
        let volumes = if file_systems.peek().is_some() { volumes(cx, &mut self.mounts) } else { Vec::new() };
        for (uuid, device) in file_systems {
            let label = device.string("label", cx.buffer).unwrap_or_default();
            reading.put(&INFO, [&label, uuid], 1u64);
            reading.put_attributes(cx, device, OF_FILE_SYSTEM, [uuid]);
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

/// What file systems tell of their devices, as far as they are mounted where Taffrail sees them.
fn volumes(cx: &mut ReadContext<'_>, mounts: &mut MountsOfType) -> Vec<Volume> {
    /// Some that hang are enough: sizes are in files as well.
    const MOST: usize = 8;
    const PATIENCE: Duration = Duration::from_millis(200);
    let places = mounts.look(cx).map(<[Place]>::to_vec);
    let places = cx.part(places).unwrap_or_default();
    let kernel = cx.host.kernel.clone();
    let answerer: Answerer<Place, Result<Volume, Errno>> =
        Arc::new(move |place: &Place, _: &_| kernel.btrfs(&place.path));
    let mut volumes: Vec<Volume> = Vec::new();
    for asked in cx.host.questions(MOST).ask(places, &answerer, PATIENCE.into()) {
        // Subvolumes are mounted as well; and what cannot be asked has sizes in files.
        let (Asked::Now(Ok(volume)) | Asked::Late(Ok(volume))) = asked else { continue };
        if volumes.iter().all(|known| known.uuid != volume.uuid) {
            volumes.push(volume);
        }
    }
    volumes
}

fn put_device(reading: &mut Gathered, device: &VolumeDevice, uuid: &str) {
    let VolumeDevice { uuid: own, path, size, allocated, errors } = device;
    let name = path.rsplit('/').next().unwrap_or_default();
    reading.put(&DEVICE_SIZE, [own, name, uuid], *size);
    reading.put(&DEVICE_UNUSED, [own, name, uuid], size.saturating_sub(*allocated));
    for (kind, count) in ERRORS.iter().zip(errors) {
        reading.put(&DEVICE_ERRORS, [own, name, kind, uuid], *count);
    }
}

fn read_sizes(cx: &mut ReadContext<'_>, reading: &mut Gathered, device: &mut Device, names: &[String], uuid: &str) {
    const SECTOR: u64 = 512;
    for name in names {
        let size = device.number::<u64>(format!("devices/{name}/size"), cx.buffer);
        let bytes = cx.part(size).flatten().map(|sectors| sectors.saturating_mul(SECTOR));
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
        // Directories are modes; of files there is no such file in them.
        let Some(used) = number("used_bytes") else { continue };
        let size = number("total_bytes");
        reading.put(&USED, [kind, &mode, uuid], used);
        reading.put_some(&SIZE, [kind, &mode, uuid], size);
        reading.put_some(&RATIO, [kind, &mode, uuid], ratio(&mode, devices));
    }
}

/// How many bytes of disks a byte of the file system takes.
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
        let (Some(key), Ok(number)) = (fields.next(), fields.number::<u64>("a number")) else { continue };
        let seconds = number as f64 / 1000.0;
        match key {
            b"commits" => reading.put(&COMMITS, [uuid], number),
            b"last_commit_ms" => reading.put(&LAST_COMMIT, [uuid], seconds),
            b"max_commit_ms" => reading.put(&MAX_COMMIT, [uuid], seconds),
            b"total_commit_ms" => reading.put(&COMMIT_SECONDS, [uuid], seconds),
            _ => {}
        }
    }
}

const INFO: Family<2> = Family::gauge("node_btrfs_info", "The file system; 1.", ["label", "uuid"]);
const OF_FILE_SYSTEM: &[Attribute<1>] = &[Attribute::gauge(
    "allocation/global_rsv_size",
    "node_btrfs_global_rsv_size_bytes",
    "Bytes that are kept for the file system itself.",
    ["uuid"],
    Unit::Plain,
)];
const DEVICE: [&str; 3] = ["btrfs_dev_uuid", "device", "uuid"];
const DEVICE_SIZE: Family<3> =
    Family::gauge("node_btrfs_device_size_bytes", "Size of a device of the file system in bytes.", DEVICE);
const DEVICE_UNUSED: Family<3> =
    Family::gauge("node_btrfs_device_unused_bytes", "Bytes of the device that are not allocated.", DEVICE);
const DEVICE_ERRORS: Family<4> = Family::counter(
    "node_btrfs_device_errors_total",
    "Errors of the device since they were reset.",
    ["btrfs_dev_uuid", "device", "type", "uuid"],
);
const RESERVED: Family<2> =
    Family::gauge("node_btrfs_reserved_bytes", "Bytes that are set aside for writes.", ["block_group_type", "uuid"]);
const GROUP: [&str; 3] = ["block_group_type", "mode", "uuid"];
const USED: Family<3> = Family::gauge("node_btrfs_used_bytes", "Bytes that are used of this kind.", GROUP);
const SIZE: Family<3> = Family::gauge("node_btrfs_size_bytes", "Bytes that are allocated to this kind.", GROUP);
const RATIO: Family<3> =
    Family::gauge("node_btrfs_allocation_ratio", "Bytes of disks that a byte of this kind takes.", GROUP);
const COMMITS: Family<1> = Family::counter("node_btrfs_commits_total", "Commits.", ["uuid"]);
const COMMIT_SECONDS: Family<1> =
    Family::counter("node_btrfs_commit_seconds_total", "Seconds that commits took.", ["uuid"]);
const LAST_COMMIT: Family<1> =
    Family::gauge("node_btrfs_last_commit_seconds", "Seconds that the last commit took.", ["uuid"]);
const MAX_COMMIT: Family<1> =
    Family::gauge("node_btrfs_max_commit_seconds", "Seconds that the longest commit took.", ["uuid"]);
