//! Mounted file systems: size, usage and inodes.

mod devices;
mod mounts;
mod settings;

use std::collections::HashSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

pub(in crate::collectors) use self::devices::{DeviceSize, DeviceSizes};
pub(super) use self::mounts::MountsOfType;
use self::mounts::{Mount, RemoteMounts, open_mountinfo, read_mount};
use self::settings::{
    FS_TYPES_EXCLUDE, FS_TYPES_INCLUDE, IGNORE_FS, IGNORE_MOUNT_OPTS, MOUNT_POINTS, MOUNT_POINTS_EXCLUDE,
    MOUNT_POINTS_INCLUDE, MOUNT_TIMEOUT, PointSettings,
};
use super::statfs::{MountId, SizeReader, SizeResult};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies, percent};
use crate::config::{Filter, Section};
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter, Value};
use crate::host::{FsStat, Host, HostFile, ReadError, file, portable};

pub(super) struct Filesystem {
    mounts: Option<MountTable>,
    mount_points: Filter,
    types: Filter,
    points: PointSettings,
    sizes: SizeReader,
}

/// `/proc/1/mountinfo`, proc_pid_mountinfo(5), and statfs(2) of each mount.
#[derive(Default)]
pub(super) struct FilesystemReading {
    mounts: Vec<MountState>,
    /// Whether the source lacks inodes, device numbers and the space reserved for root.
    is_coarse: bool,
}

/// The mounts. Read again when the kernel reports a change.
struct MountTable {
    file: HostFile,
    mounts: Vec<Arc<Mount>>,
    /// Readings since the table was read.
    readings: u32,
}

impl MountTable {
    fn new(cx: &mut ReadContext<'_>) -> MountTable {
        MountTable { file: open_mountinfo(cx), mounts: Vec::new(), readings: 0 }
    }
}

/// A mount with its size.
struct MountState {
    mount: Arc<Mount>,
    /// The vocabularies that export it in this reading.
    wanted: Vocabularies,
    size: SizeResult,
    /// For points: device name without `/dev/`, and the label from udev or the device mapper.
    device_name: String,
    label: String,
}

impl Deref for MountState {
    type Target = Mount;

    fn deref(&self) -> &Mount {
        &self.mount
    }
}

impl Collector for Filesystem {
    const ABOUT: About = About {
        name: "filesystem",
        summary: "size, usage and inodes of mounted file systems; pushed as `disk`",
        reads: &[
            "/proc/1/mountinfo",
            "/proc/self/mountinfo",
            "statfs(2)",
            "/sys/dev/block",
            "/sys/block/*/dm/name",
            "/run/udev/data",
        ],
        keys: &[
            MOUNT_POINTS_EXCLUDE.info(),
            MOUNT_POINTS_INCLUDE.info(),
            FS_TYPES_EXCLUDE.info(),
            FS_TYPES_INCLUDE.info(),
            MOUNT_TIMEOUT.info(),
        ],
        point_keys: &[MOUNT_POINTS.info(), IGNORE_FS.info(), IGNORE_MOUNT_OPTS.info()],
        families: &[
            AVAIL_BYTES.info(),
            DEVICE_ERROR.info(),
            FILES.info(),
            FILES_FREE.info(),
            FREE_BYTES.info(),
            MOUNT_INFO.info(),
            READONLY.info(),
            SIZE_BYTES.info(),
        ],
        measurements: &[DISK.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = FilesystemReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let mut points = section.table("points");
        Filesystem {
            mounts: None,
            mount_points: section.include_or_exclude(&MOUNT_POINTS_INCLUDE, &MOUNT_POINTS_EXCLUDE),
            types: section.include_or_exclude(&FS_TYPES_INCLUDE, &FS_TYPES_EXCLUDE),
            points: PointSettings {
                mount_points: points.get(&MOUNT_POINTS),
                ignore_fs: points.get(&IGNORE_FS),
                ignore_mount_opts: points.get(&IGNORE_MOUNT_OPTS),
            },
            sizes: SizeReader::new(host, section.get(&MOUNT_TIMEOUT)),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut FilesystemReading) -> Result<(), ReadError> {
        reading.mounts.clear();
        if let Some(portable) = cx.host.by_sysinfo() {
            self.fill(cx.wanted, reading, portable.disks(cx.host)?);
            return Ok(());
        }
        self.read_mounts(cx)?;
        for mount in self.mounts.iter().flat_map(|mounts| &mounts.mounts) {
            let wanted = mount.vocabularies.and(cx.wanted);
            if wanted.any() {
                let (size, mount) = (Ok(FsStat::default()), mount.clone());
                reading.mounts.push(MountState {
                    mount,
                    wanted,
                    size,
                    device_name: String::new(),
                    label: String::new(),
                });
            }
        }
        let sizes = self.sizes.read(reading.mounts.iter().map(|state| (&state.mount.id, state.mount.may_hang)));
        for (state, size) in reading.mounts.iter_mut().zip(sizes) {
            state.size = size;
            if state.wanted.points {
                state.name_device(cx);
            }
        }
        Ok(())
    }
}

impl Filesystem {
    /// Fills the reading from the disks of the portable backend.
    fn fill(&mut self, wanted: Vocabularies, reading: &mut FilesystemReading, disks: Vec<portable::Disk>) {
        for disk in disks {
            let mut mount = Mount {
                id: MountId { path: disk.mount_point.as_path().into(), number: (0, 0) },
                may_hang: false,
                root: "/".to_owned(),
                mount_point: disk.mount_point.to_string_lossy().into_owned(),
                options: if disk.size.read_only { "ro" } else { "rw" }.to_owned(),
                file_system: disk.file_system,
                device: disk.name,
                read_only: disk.size.read_only,
                vocabularies: Vocabularies::NONE,
            };
            mount.vocabularies = self.vocabularies(&mount);
            let (exported, device_name) = (mount.vocabularies.and(wanted), mount.device.clone());
            if exported.any() {
                let (size, label) = (Ok(disk.size), String::new());
                reading.is_coarse = true;
                reading.mounts.push(MountState { mount: Arc::new(mount), wanted: exported, size, device_name, label });
            }
        }
    }

    /// The vocabularies that export a mount, if both are wanted.
    fn vocabularies(&mut self, mount: &Mount) -> Vocabularies {
        Vocabularies {
            families: self.types.wants(&mount.file_system) && self.mount_points.wants(&mount.mount_point),
            points: self.points.wants(mount),
        }
    }

    /// Reads the mount table again if it may have changed.
    fn read_mounts(&mut self, cx: &mut ReadContext<'_>) -> Result<(), ReadError> {
        let mut table = self.mounts.take().unwrap_or_else(|| MountTable::new(cx));
        // After an error the next reading selects the file again.
        self.read_table(cx, &mut table)?;
        self.mounts = Some(table);
        Ok(())
    }

    fn read_table(&mut self, cx: &mut ReadContext<'_>, table: &mut MountTable) -> Result<(), ReadError> {
        /// A file system that becomes read-only after an error causes no event.
        const READINGS_PER_TABLE: u32 = 8;
        table.readings += 1;
        if table.readings < READINGS_PER_TABLE && !table.mounts.is_empty() && !table.file.may_have_changed() {
            return Ok(());
        }
        table.readings = 0;
        table.mounts.clear();
        let mut seen = HashSet::new();
        let mut remote = RemoteMounts::default();
        for line in table.file.read(cx.buffer)?.lines() {
            match read_mount(line) {
                Ok(mut mount) => {
                    mount.resolve(cx.host);
                    mount.may_hang = remote.may_hang(&mount);
                    mount.vocabularies = self.vocabularies(&mount);
                    if mount.vocabularies.any()
                        && seen.insert((mount.device.clone(), mount.mount_point.clone(), mount.file_system.clone()))
                    {
                        table.mounts.push(Arc::new(mount));
                    }
                }
                Err(error) => cx.problems.push(error),
            }
        }
        // A malformed line is reported at each reading.
        if !cx.problems.is_empty() {
            table.readings = READINGS_PER_TABLE;
        }
        Ok(())
    }
}

impl MountState {
    /// Device names as in Telegraf: without `/dev/`, the underlying device of a device mapper name, otherwise the type.
    fn name_device(&mut self, cx: &mut ReadContext<'_>) {
        let (major, minor) = self.id.number;
        let mut name = self.device.strip_prefix("/dev/").unwrap_or(&self.device).to_owned();
        if name.starts_with("mapper/") || name == "root" {
            let link = std::fs::read_link(cx.host.sys_path(format!("dev/block/{major}:{minor}")));
            let target = link.ok().and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()));
            name = target.unwrap_or(name);
        }
        if major != 0 {
            let mapper = cx.host.sys_path(Path::new("block").join(&name).join("dm/name"));
            self.label = match file::read_once(&mapper, cx.buffer) {
                Ok(text) => text.trimmed().into_owned(),
                Err(_) => {
                    let mut udev = cx.host.udev(format!("b{major}:{minor}"));
                    let properties = udev.read(cx.buffer).map(super::diskstats::read_properties);
                    properties.ok().and_then(|mut all| all.remove("ID_FS_LABEL")).unwrap_or_default()
                }
            };
        }
        self.device_name = if name.is_empty() || name == "none" { self.file_system.clone() } else { name };
    }

    fn read_only(&self) -> bool {
        self.mount.read_only || self.size.as_ref().is_ok_and(|size| size.read_only)
    }
}

/// Labels of most families. `device_error` is the error of statfs(2).
const LABELS: [&str; 4] = ["device", "device_error", "fstype", "mountpoint"];
const AVAIL_BYTES: Family<4> =
    Family::gauge("node_filesystem_avail_bytes", "Space available to non-root users in bytes", LABELS);
const DEVICE_ERROR: Family<4> = Family::gauge("node_filesystem_device_error", "1 if statfs(2) failed", LABELS);
const FILES: Family<4> = Family::gauge("node_filesystem_files", "Total inodes", LABELS);
const FILES_FREE: Family<4> = Family::gauge("node_filesystem_files_free", "Free inodes", LABELS);
const FREE_BYTES: Family<4> =
    Family::gauge("node_filesystem_free_bytes", "Free space in bytes, including the space reserved for root", LABELS);
const MOUNT_INFO: Family<4> = Family::gauge(
    "node_filesystem_mount_info",
    "Device number of the mount, always 1",
    ["device", "major", "minor", "mountpoint"],
);
const READONLY: Family<4> =
    Family::gauge("node_filesystem_readonly", "1 if the file system is mounted read-only", LABELS);
const SIZE_BYTES: Family<4> = Family::gauge("node_filesystem_size_bytes", "Size of the file system in bytes", LABELS);

const TOTAL: Field<u64> = Field::new("total", "bytes");
const FREE: Field<u64> = Field::new("free", "bytes available to non-root users");
const USED: Field<u64> = Field::new("used", "used bytes");
const USED_PERCENT: Field<f64> = Field::new("used_percent", "used in % of used plus available, as in df");
const INODES_TOTAL: Field<u64> = Field::new("inodes_total", "inodes");
const INODES_FREE: Field<u64> = Field::new("inodes_free", "free inodes");
const INODES_USED: Field<u64> = Field::new("inodes_used", "used inodes");
const INODES_USED_PERCENT: Field<f64> = Field::new("inodes_used_percent", "used inodes in % of total");
const DISK: Measurement<5> = Measurement::new(
    "disk",
    ["device", "fstype", "label", "mode", "path"],
    &[
        TOTAL.info(),
        FREE.info(),
        USED.info(),
        USED_PERCENT.info(),
        INODES_TOTAL.info(),
        INODES_FREE.info(),
        INODES_USED.info(),
        INODES_USED_PERCENT.info(),
    ],
);

/// Reads a value from its source.
type Getter<From, Value> = fn(&From) -> Value;

impl Reading for FilesystemReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let sizes: [(&Family<4>, Getter<FsStat, Value>); 5] = [
            (&AVAIL_BYTES, |fs| Value::product(fs.blocks_available, fs.block_size)),
            (&FILES, |fs| fs.files.into()),
            (&FILES_FREE, |fs| fs.files_free.into()),
            (&FREE_BYTES, |fs| Value::product(fs.blocks_free, fs.block_size)),
            (&SIZE_BYTES, |fs| Value::product(fs.blocks, fs.block_size)),
        ];
        let mounts = || self.mounts.iter().filter(|mount| mount.wanted.families);
        let is_available =
            |family: &Family<4>| !self.is_coarse || [AVAIL_BYTES.name(), SIZE_BYTES.name()].contains(&family.name());
        for (family, value) in sizes.into_iter().filter(|(family, _)| is_available(family)) {
            let mut samples = out.family(family);
            for mount in mounts() {
                if let Ok(size) = &mount.size {
                    samples.sample([&mount.device, "", &mount.file_system, &mount.mount_point], value(size));
                }
            }
        }
        let states: [(&Family<4>, Getter<MountState, bool>); 2] =
            [(&DEVICE_ERROR, |mount| mount.size.is_err()), (&READONLY, MountState::read_only)];
        for (family, state) in states {
            let mut samples = out.family(family);
            for mount in mounts() {
                let error = mount.size.as_ref().err().map_or("", String::as_str);
                samples.sample([&mount.device, error, &mount.file_system, &mount.mount_point], state(mount));
            }
        }
        let mut info = out.family(&MOUNT_INFO);
        let (mut major, mut minor) = (itoa::Buffer::new(), itoa::Buffer::new());
        for mount in mounts().filter(|_| !self.is_coarse) {
            let (major, minor) = (major.format(mount.id.number.0), minor.format(mount.id.number.1));
            info.sample([&mount.device, major, minor, &mount.mount_point], 1u64);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for mount in self.mounts.iter().filter(|mount| mount.wanted.points) {
            let Ok(size) = &mount.size else { continue };
            if size.blocks == 0 {
                continue;
            }
            let bytes = |blocks: u64| blocks.saturating_mul(size.block_size);
            let used = size.blocks.saturating_sub(size.blocks_free);
            let inodes_used = size.files.saturating_sub(size.files_free);
            let tags = [&mount.device_name, &mount.file_system, &mount.label, mount.mode(), &mount.mount_point];
            let mut point = out.point(&DISK, tags);
            point.field(&TOTAL, bytes(size.blocks));
            point.field(&FREE, bytes(size.blocks_available));
            point.field(&USED, bytes(used));
            point.field(&USED_PERCENT, percent(used, used.saturating_add(size.blocks_available)));
            if self.is_coarse {
                continue;
            }
            point.field(&INODES_TOTAL, size.files);
            point.field(&INODES_FREE, size.files_free);
            point.field(&INODES_USED, inodes_used);
            point.field(&INODES_USED_PERCENT, percent(inodes_used, size.files));
        }
    }
}
