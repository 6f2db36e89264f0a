//! I/O statistics of block devices.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use super::disk_tags::{self, Properties, TagSettings};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Key, KeyInfo, Section};
use crate::encode::family::FamilyInfo;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter, Value};
use crate::host::{Host, HostFile, Line, ReadError, Text, Watched, file, portable};

/// Sector size of `/proc/diskstats`, independent of the device.
const SECTOR_BYTES: u64 = 512;

pub(super) struct Diskstats {
    diskstats: HostFile,
    in_families: Filter,
    in_points: Filter,
    tags: Arc<TagSettings>,
    devices: HashMap<String, DeviceFiles>,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::new(
    "device_exclude",
    r"'^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$'",
    "Devices to leave out of the families; by default partitions, loop, RAM and floppy disks.",
);
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these devices in the families; instead of `device_exclude`.");
const DEVICES: Key<Vec<String>> =
    Key::new("devices", "[]", "Devices in the points, as glob patterns; by default all that have ever done I/O.");

/// Files of a device outside `/proc/diskstats`.
struct DeviceFiles {
    number: (u32, u32),
    rotational: HostFile,
    udev: Watched<Arc<Properties>>,
    wwid: String,
    seen: bool,
}

/// `/proc/diskstats`: Documentation/admin-guide/iostats.rst.
#[derive(Default)]
pub(super) struct DiskstatsReading {
    disks: Vec<Disk>,
    /// Settings of the tags, if they need udev's properties.
    tags: Option<Arc<TagSettings>>,
}

struct Disk {
    name: String,
    number: (u32, u32),
    wanted: Vocabularies,
    columns: Columns,
    rotational: bool,
    udev: Arc<Properties>,
    wwid: String,
}

/// Columns after the name. Kernels before 4.18 have 11, before 5.5 15.
#[derive(Clone, Copy, Default)]
struct Columns {
    values: [u64; COLUMNS],
    count: usize,
    /// Whether the source has bytes only.
    is_coarse: bool,
}

impl Columns {
    fn has(&self, column: usize) -> bool {
        if self.is_coarse { matches!(column, SECTORS_READ | SECTORS_WRITTEN) } else { column < self.count }
    }
}

const COLUMNS: usize = 17;
const READS: usize = 0;
const MERGED_READS: usize = 1;
const SECTORS_READ: usize = 2;
const READ_MS: usize = 3;
const WRITES: usize = 4;
const MERGED_WRITES: usize = 5;
const SECTORS_WRITTEN: usize = 6;
const WRITE_MS: usize = 7;
const IN_PROGRESS: usize = 8;
const IO_MS: usize = 9;
const WEIGHTED_IO_MS: usize = 10;

const POINT_KEYS: [KeyInfo; 1 + disk_tags::KEYS.len()] = concat(&[&[DEVICES.info()], &disk_tags::KEYS]);

impl Collector for Diskstats {
    const ABOUT: About = About {
        name: "diskstats",
        summary: "reads, writes, discards and flushes of block devices; pushed as `diskio`",
        reads: &["/proc/diskstats", "/sys/block/*/queue/rotational", "/sys/block/*/wwid", "/run/udev/data"],
        keys: &[DEVICE_EXCLUDE.info(), DEVICE_INCLUDE.info()],
        point_keys: &POINT_KEYS,
        families: &FAMILY_INFOS,
        measurements: &[DISKIO.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = DiskstatsReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let mut points = section.table("points");
        Diskstats {
            diskstats: host.proc("diskstats"),
            in_families: section.include_or_exclude(&DEVICE_INCLUDE, &DEVICE_EXCLUDE),
            in_points: points.globs(&DEVICES),
            tags: Arc::new(TagSettings::new(&mut points)),
            devices: HashMap::new(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut DiskstatsReading) -> Result<(), ReadError> {
        reading.disks.clear();
        reading.tags = Some(&self.tags).filter(|tags| tags.need_udev()).cloned();
        if let Some(portable) = cx.host.by_sysinfo() {
            self.fill(cx.wanted, reading, portable.disks(cx.host)?);
            return Ok(());
        }
        for line in self.diskstats.read(cx.buffer)?.lines() {
            match read_disk(line) {
                Ok(mut disk) => {
                    let used = disk.columns.values.iter().any(|value| *value != 0);
                    disk.wanted = Vocabularies {
                        families: self.in_families.wants(&disk.name),
                        points: used && self.in_points.wants(&disk.name),
                    }
                    .and(cx.wanted);
                    reading.disks.extend(disk.wanted.any().then_some(disk));
                }
                Err(error) => cx.problems.push(error),
            }
        }
        for disk in &mut reading.disks {
            self.read_device(cx, disk);
        }
        self.devices.retain(|_, files| std::mem::take(&mut files.seen));
        Ok(())
    }
}

impl Diskstats {
    /// Fills the reading from the disks of the portable backend.
    fn fill(&mut self, wanted: Vocabularies, reading: &mut DiskstatsReading, disks: Vec<portable::Disk>) {
        for disk in disks {
            let name = disk.name.strip_prefix("/dev/").unwrap_or(&disk.name).to_owned();
            let exported =
                Vocabularies { families: self.in_families.wants(&name), points: self.in_points.wants(&name) };
            let exported = exported.and(wanted);
            let is_known = reading.disks.iter().any(|disk| disk.name == name);
            if is_known || !exported.any() {
                continue;
            }
            let mut columns = Columns { is_coarse: true, ..Columns::default() };
            columns.values[SECTORS_READ] = disk.read_bytes / SECTOR_BYTES;
            columns.values[SECTORS_WRITTEN] = disk.written_bytes / SECTOR_BYTES;
            let (number, rotational, udev, wwid) = ((0, 0), false, Arc::default(), String::new());
            reading.disks.push(Disk { name, number, wanted: exported, columns, rotational, udev, wwid });
        }
    }

    fn read_device(&mut self, cx: &mut ReadContext<'_>, disk: &mut Disk) {
        let known = self.devices.get(&disk.name).is_some_and(|files| files.number == disk.number);
        if !known {
            self.devices.insert(disk.name.clone(), DeviceFiles::find(cx, disk));
        }
        let Some(files) = self.devices.get_mut(&disk.name) else { return };
        files.seen = true;
        disk.wwid.clone_from(&files.wwid);
        if disk.wanted.families {
            disk.rotational = files.rotational.read(cx.buffer).is_ok_and(|text| text.trimmed() == "1");
        }
        if (disk.wanted.families || self.tags.need_udev())
            && let Ok(properties) = files.udev.get(cx.buffer, |text| Arc::new(read_properties(text)))
        {
            disk.udev = properties.clone();
        }
    }
}

fn read_disk(line: Line<'_>) -> Result<Disk, ReadError> {
    let mut fields = line.fields();
    let number = (fields.number::<u64>("a major number")? as u32, fields.number::<u64>("a minor number")? as u32);
    let name = String::from_utf8_lossy(fields.required("a device name")?).into_owned();
    let mut columns = Columns::default();
    for value in &mut columns.values {
        let Some(column) = fields.optional("a count")? else { break };
        (*value, columns.count) = (column, columns.count + 1);
    }
    if columns.count <= WEIGHTED_IO_MS {
        return Err(line.malformed("at least 11 columns behind the name", b""));
    }
    let (wanted, rotational, udev, wwid) = (Vocabularies::NONE, false, Arc::default(), String::new());
    Ok(Disk { name, number, wanted, columns, rotational, udev, wwid })
}

impl DeviceFiles {
    fn find(cx: &mut ReadContext<'_>, disk: &Disk) -> Self {
        // sysfs replaces a slash in a device name with an exclamation mark.
        let sys = format!("block/{}", disk.name.replace('/', "!"));
        let wwid_file = cx.host.sys_path(format!("{sys}/wwid"));
        let wwid = file::read_once(&wwid_file, cx.buffer);
        DeviceFiles {
            number: disk.number,
            wwid: wwid.map(|text| text.trimmed().into_owned()).unwrap_or_default(),
            rotational: cx.host.sys(format!("{sys}/queue/rotational")),
            udev: Watched::new(cx.host.udev(format!("b{}:{}", disk.number.0, disk.number.1)).path().to_owned()),
            seen: true,
        }
    }
}

/// Properties in a file of the udev database: lines `E:NAME=VALUE`.
pub(super) fn read_properties(text: Text<'_>) -> Properties {
    let property = |line: Line<'_>| {
        let line = String::from_utf8_lossy(line.bytes().strip_prefix(b"E:")?).into_owned();
        line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(property).collect()
}

#[derive(Clone, Copy)]
enum Unit {
    Count,
    Sectors,
    Milliseconds,
}

const fn counter(name: &'static str, help: &'static str, unit: Unit) -> (Family<1>, Unit) {
    (Family::counter(name, help, ["device"]), unit)
}

/// One family per column, in the kernel's order.
const COLUMN_FAMILIES: [(Family<1>, Unit); COLUMNS] = [
    counter("node_disk_reads_completed_total", "Reads completed", Unit::Count),
    counter("node_disk_reads_merged_total", "Reads merged", Unit::Count),
    counter("node_disk_read_bytes_total", "Bytes read", Unit::Sectors),
    counter("node_disk_read_time_seconds_total", "Time spent reading, summed over all reads", Unit::Milliseconds),
    counter("node_disk_writes_completed_total", "Writes completed", Unit::Count),
    counter("node_disk_writes_merged_total", "Writes merged", Unit::Count),
    counter("node_disk_written_bytes_total", "Bytes written", Unit::Sectors),
    counter("node_disk_write_time_seconds_total", "Time spent writing, summed over all writes", Unit::Milliseconds),
    (Family::gauge("node_disk_io_now", "I/Os in progress", ["device"]), Unit::Count),
    counter("node_disk_io_time_seconds_total", "Time spent doing I/Os", Unit::Milliseconds),
    counter(
        "node_disk_io_time_weighted_seconds_total",
        "Weighted time spent doing I/Os (time multiplied by I/Os in progress)",
        Unit::Milliseconds,
    ),
    counter("node_disk_discards_completed_total", "Discards completed", Unit::Count),
    counter("node_disk_discards_merged_total", "Discards merged", Unit::Count),
    counter("node_disk_discarded_sectors_total", "Sectors discarded, in units of 512 bytes", Unit::Count),
    counter(
        "node_disk_discard_time_seconds_total",
        "Time spent discarding, summed over all discards",
        Unit::Milliseconds,
    ),
    counter("node_disk_flush_requests_total", "Flush requests completed", Unit::Count),
    counter(
        "node_disk_flush_requests_time_seconds_total",
        "Time spent flushing, summed over all flush requests",
        Unit::Milliseconds,
    ),
];
const INFO: Family<9> = Family::gauge(
    "node_disk_info",
    "Device properties from sysfs and udev, always 1",
    ["device", "major", "minor", "model", "path", "revision", "rotational", "serial", "wwn"],
);
const FILESYSTEM_INFO: Family<5> = Family::gauge(
    "node_disk_filesystem_info",
    "File system on the device, always 1",
    ["device", "type", "usage", "uuid", "version"],
);
const DEVICE_MAPPER_INFO: Family<6> = Family::gauge(
    "node_disk_device_mapper_info",
    "Device mapper device, always 1",
    ["device", "lv_layer", "lv_name", "name", "uuid", "vg_name"],
);
const ATA: [(Family<1>, &str); 3] = [
    (
        Family::gauge("node_disk_ata_write_cache", "1 if the ATA device has a write cache", ["device"]),
        "ID_ATA_WRITE_CACHE",
    ),
    (
        Family::gauge(
            "node_disk_ata_write_cache_enabled",
            "1 if the write cache of the ATA device is enabled",
            ["device"],
        ),
        "ID_ATA_WRITE_CACHE_ENABLED",
    ),
    (
        Family::gauge(
            "node_disk_ata_rotation_rate_rpm",
            "Rotation rate of the ATA device in RPM; 0 for an SSD",
            ["device"],
        ),
        "ID_ATA_ROTATION_RATE_RPM",
    ),
];
const FAMILY_INFOS: [FamilyInfo; COLUMNS + 6] = concat(&[
    &infos!(COLUMN_FAMILIES.0),
    &[INFO.info(), FILESYSTEM_INFO.info(), DEVICE_MAPPER_INFO.info()],
    &infos!(ATA.0),
]);

/// Columns exported unchanged but for their unit, with their fields.
const FIELDS: [(usize, u64, Field<u64>); COLUMN_FIELDS] = [
    (READS, 1, Field::new("reads", "reads completed")),
    (WRITES, 1, Field::new("writes", "writes completed")),
    (MERGED_READS, 1, Field::new("merged_reads", "reads merged")),
    (MERGED_WRITES, 1, Field::new("merged_writes", "writes merged")),
    (SECTORS_READ, SECTOR_BYTES, Field::new("read_bytes", "bytes read")),
    (SECTORS_WRITTEN, SECTOR_BYTES, Field::new("write_bytes", "bytes written")),
    (READ_MS, 1, Field::new("read_time", "time spent reading, in ms")),
    (WRITE_MS, 1, Field::new("write_time", "time spent writing, in ms")),
    (IO_MS, 1, Field::new("io_time", "time spent doing I/Os, in ms")),
    (WEIGHTED_IO_MS, 1, Field::new("weighted_io_time", "weighted time spent doing I/Os, in ms")),
    (IN_PROGRESS, 1, Field::new("iops_in_progress", "I/Os in progress")),
];
const COLUMN_FIELDS: usize = 11;
const IO_AWAIT: Field<f64> = Field::new("io_await", "average time per I/O, in ms");
const IO_SVCTM: Field<f64> = Field::new("io_svctm", "average device time per I/O, in ms");
const IO_UTIL: Field<f64> = Field::new("io_util", "% of the time spent doing I/Os");
const DISKIO: Measurement<3> = Measurement::new("diskio", ["name", "serial", "wwid"], &DISKIO_FIELDS);
const DISKIO_FIELDS: [FieldInfo; COLUMN_FIELDS + 3] =
    concat(&[&infos!(FIELDS.2), &[IO_AWAIT.info(), IO_SVCTM.info(), IO_UTIL.info()]]);

impl Reading for DiskstatsReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (column, (family, unit)) in COLUMN_FAMILIES.iter().enumerate() {
            let mut samples = out.family(family);
            for disk in self.in_families().filter(|disk| disk.columns.has(column)) {
                let value = disk.columns.values[column];
                let value = match unit {
                    Unit::Count => Value::Unsigned(value),
                    Unit::Sectors => Value::product(value, SECTOR_BYTES),
                    Unit::Milliseconds => Value::Float(value as f64 / 1000.0),
                };
                samples.sample([&disk.name], value);
            }
        }
        self.device_families(out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for (index, disk) in self.disks.iter().enumerate().filter(|(_, disk)| disk.wanted.points) {
            let values = &disk.columns.values;
            let mut point = match &self.tags {
                None => out.point(&DISKIO, [&disk.name, "", &disk.wwid]),
                Some(settings) => {
                    let tags = settings.of(&disk.name, &disk.wwid, &disk.udev);
                    let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
                    out.point_tagged(&DISKIO, &tags)
                }
            };
            for (column, factor, field) in FIELDS.iter().filter(|(column, ..)| disk.columns.has(*column)) {
                point.field(field, values[*column].saturating_mul(*factor));
            }
            let is_same = |last: &&Disk| last.name == disk.name && last.number == disk.number;
            let Some(since) = since.filter(|_| !disk.columns.is_coarse) else { continue };
            // The order of the devices seldom changes.
            let last =
                since.previous.disks.get(index).filter(is_same).or_else(|| since.previous.disks.iter().find(is_same));
            let Some(last) = last else { continue };
            if let Some(delta) = delta_since(values, &last.columns.values) {
                let requests = delta(READS) + delta(WRITES);
                if requests > 0.0 {
                    point.field(&IO_AWAIT, (delta(READ_MS) + delta(WRITE_MS)) / requests);
                    point.field(&IO_SVCTM, delta(IO_MS) / requests);
                }
                point.field(&IO_UTIL, 100.0 * delta(IO_MS) / (since.elapsed.as_secs_f64() * 1000.0));
            }
        }
    }
}

/// Increase of each column. `None` if a counter decreased: the device was replaced, or the counter wrapped.
fn delta_since<'a>(now: &'a [u64; COLUMNS], last: &'a [u64; COLUMNS]) -> Option<impl Fn(usize) -> f64 + use<'a>> {
    let counted = [READS, WRITES, READ_MS, WRITE_MS, IO_MS];
    let has_decreased = counted.iter().any(|column| now[*column] < last[*column]);
    (!has_decreased).then_some(|column: usize| (now[column] - last[column]) as f64)
}

impl DiskstatsReading {
    fn in_families(&self) -> impl Iterator<Item = &Disk> {
        self.disks.iter().filter(|disk| disk.wanted.families)
    }

    fn device_families(&self, out: &mut FamilyWriter<'_>) {
        let (mut major, mut minor) = (itoa::Buffer::new(), itoa::Buffer::new());
        let mut info = out.family(&INFO);
        for disk in self.in_families().filter(|disk| !disk.columns.is_coarse) {
            let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"].map(|name| disk.property(name));
            info.sample(
                [
                    &disk.name,
                    major.format(disk.number.0),
                    minor.format(disk.number.1),
                    disk.property("ID_MODEL"),
                    disk.property("ID_PATH"),
                    disk.property("ID_REVISION"),
                    if disk.rotational { "1" } else { "0" },
                    serial.into_iter().find(|serial| !serial.is_empty()).unwrap_or_default(),
                    disk.property("ID_WWN"),
                ],
                1u64,
            );
        }
        drop(info);
        let mut filesystem = out.family(&FILESYSTEM_INFO);
        for disk in self.in_families().filter(|disk| !disk.property("ID_FS_TYPE").is_empty()) {
            let [kind, usage, uuid, version] =
                ["ID_FS_TYPE", "ID_FS_USAGE", "ID_FS_UUID", "ID_FS_VERSION"].map(|name| disk.property(name));
            filesystem.sample([&disk.name, kind, usage, uuid, version], 1u64);
        }
        drop(filesystem);
        let mut mapper = out.family(&DEVICE_MAPPER_INFO);
        for disk in self.in_families().filter(|disk| !disk.property("DM_NAME").is_empty()) {
            let [layer, volume, name, uuid, group] =
                ["DM_LV_LAYER", "DM_LV_NAME", "DM_NAME", "DM_UUID", "DM_VG_NAME"].map(|name| disk.property(name));
            mapper.sample([&disk.name, layer, volume, name, uuid, group], 1u64);
        }
        drop(mapper);
        for (family, property) in &ATA {
            let mut samples = out.family(family);
            for disk in self.in_families().filter(|disk| disk.property("ID_ATA") == "1") {
                if let Ok(value) = disk.property(property).parse::<u64>() {
                    samples.sample([&disk.name], value);
                }
            }
        }
    }
}

impl Disk {
    fn property(&self, name: &str) -> &str {
        self.udev.get(name).map_or("", String::as_str)
    }
}
