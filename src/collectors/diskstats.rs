//! Reads, writes, discards and flushes of block devices.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use super::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::family::FamilyInfo;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter, Value};
use crate::host::{Host, HostFile, Line, ReadError, Text, Watched, file, portable};

/// The unit of `/proc/diskstats`, whatever the device's own sector size.
const SECTOR_BYTES: u64 = 512;

pub(super) struct Diskstats {
    diskstats: HostFile,
    in_families: Filter,
    in_points: Filter,
    devices: HashMap<String, DeviceFiles>,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::new(
    "device_exclude",
    r"'^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$'",
    "Devices without families: partitions and memory, by default.",
);
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these devices have families; instead of `device_exclude`.");
const DEVICES: Key<Vec<String>> =
    Key::new("devices", "[]", "Devices that have points, as glob patterns; all that were ever used, by default.");

/// What of a device stands outside `/proc/diskstats`.
struct DeviceFiles {
    number: (u32, u32),
    rotational: HostFile,
    udev: Watched<Arc<Properties>>,
    wwid: String,
    seen: bool,
}

/// The properties that udev knows of a device, by name.
type Properties = HashMap<String, String>;

/// `/proc/diskstats`: Documentation/admin-guide/iostats.rst.
#[derive(Default)]
pub(super) struct DiskstatsReading {
    disks: Vec<Disk>,
}

struct Disk {
    name: String,
    number: (u32, u32),
    shown: Vocabularies,
    columns: Columns,
    rotational: bool,
    udev: Arc<Properties>,
    wwid: String,
}

/// The columns behind the name; kernels before 4.18 have 11, before 5.5 15.
#[derive(Clone, Copy, Default)]
struct Columns {
    values: [u64; COLUMNS],
    known: usize,
    /// Whether only bytes are told.
    is_coarse: bool,
}

impl Columns {
    fn tell(&self, column: usize) -> bool {
        if self.is_coarse { matches!(column, SECTORS_READ | SECTORS_WRITTEN) } else { column < self.known }
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

impl Collector for Diskstats {
    const ABOUT: About = About {
        name: "diskstats",
        summary: "reads, writes, discards and flushes of block devices; pushed as `diskio`",
        reads: &["/proc/diskstats", "/sys/block/*/queue/rotational", "/sys/block/*/wwid", "/run/udev/data"],
        keys: &[DEVICE_EXCLUDE.info(), DEVICE_INCLUDE.info()],
        point_keys: &[DEVICES.info()],
        families: &FAMILY_INFOS,
        measurements: &[DISKIO.info()],
        ..About::PLAIN
    };
    type Reading = DiskstatsReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Diskstats {
            diskstats: host.proc("diskstats"),
            in_families: section.include_or_exclude(&DEVICE_INCLUDE, &DEVICE_EXCLUDE),
            in_points: section.table("points").globs(&DEVICES),
            devices: HashMap::new(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut DiskstatsReading) -> Result<(), ReadError> {
        reading.disks.clear();
        if let Some(portable) = cx.host.by_sysinfo() {
            self.fill(cx.wanted, reading, portable.disks(cx.host)?);
            return Ok(());
        }
        for line in self.diskstats.read(cx.buffer)?.lines() {
            match read_disk(line) {
                Ok(mut disk) => {
                    let used = disk.columns.values.iter().any(|value| *value != 0);
                    disk.shown = Vocabularies {
                        families: self.in_families.wants(&disk.name),
                        points: used && self.in_points.wants(&disk.name),
                    }
                    .and(cx.wanted);
                    reading.disks.extend(disk.shown.any().then_some(disk));
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
    /// Takes over what is told of the disks that file systems are on.
    fn fill(&mut self, wanted: Vocabularies, reading: &mut DiskstatsReading, told: Vec<portable::Disk>) {
        for told in told {
            let name = told.name.strip_prefix("/dev/").unwrap_or(&told.name).to_owned();
            let shown = Vocabularies { families: self.in_families.wants(&name), points: self.in_points.wants(&name) };
            let shown = shown.and(wanted);
            let is_known = reading.disks.iter().any(|disk| disk.name == name);
            if is_known || !shown.any() {
                continue;
            }
            let mut columns = Columns { is_coarse: true, ..Columns::default() };
            columns.values[SECTORS_READ] = told.read_bytes / SECTOR_BYTES;
            columns.values[SECTORS_WRITTEN] = told.written_bytes / SECTOR_BYTES;
            let (number, rotational, udev, wwid) = ((0, 0), false, Arc::default(), String::new());
            reading.disks.push(Disk { name, number, shown, columns, rotational, udev, wwid });
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
        if disk.shown.families {
            disk.rotational = files.rotational.read(cx.buffer).is_ok_and(|text| text.trimmed() == "1");
            if let Ok(properties) = files.udev.get(cx.buffer, |text| Arc::new(read_properties(text))) {
                disk.udev = properties.clone();
            }
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
        (*value, columns.known) = (column, columns.known + 1);
    }
    if columns.known <= WEIGHTED_IO_MS {
        return Err(line.malformed("at least 11 columns behind the name", b""));
    }
    let (shown, rotational, udev, wwid) = (Vocabularies::NONE, false, Arc::default(), String::new());
    Ok(Disk { name, number, shown, columns, rotational, udev, wwid })
}

impl DeviceFiles {
    fn find(cx: &mut ReadContext<'_>, disk: &Disk) -> Self {
        // In sysfs, a slash in a device's name is an exclamation mark.
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

/// The properties in a file of udev's database: its lines `E:NAME=VALUE`.
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

/// A family for each column, in the kernel's order.
const COLUMN_FAMILIES: [(Family<1>, Unit); COLUMNS] = [
    counter("node_disk_reads_completed_total", "Reads completed.", Unit::Count),
    counter("node_disk_reads_merged_total", "Reads merged with others next to them.", Unit::Count),
    counter("node_disk_read_bytes_total", "Bytes read.", Unit::Sectors),
    counter("node_disk_read_time_seconds_total", "Time that all reads took together.", Unit::Milliseconds),
    counter("node_disk_writes_completed_total", "Writes completed.", Unit::Count),
    counter("node_disk_writes_merged_total", "Writes merged with others next to them.", Unit::Count),
    counter("node_disk_written_bytes_total", "Bytes written.", Unit::Sectors),
    counter("node_disk_write_time_seconds_total", "Time that all writes took together.", Unit::Milliseconds),
    (Family::gauge("node_disk_io_now", "Requests under way.", ["device"]), Unit::Count),
    counter("node_disk_io_time_seconds_total", "Time in which any request was under way.", Unit::Milliseconds),
    counter(
        "node_disk_io_time_weighted_seconds_total",
        "Time in which requests were under way, times their number.",
        Unit::Milliseconds,
    ),
    counter("node_disk_discards_completed_total", "Discards completed.", Unit::Count),
    counter("node_disk_discards_merged_total", "Discards merged with others next to them.", Unit::Count),
    counter("node_disk_discarded_sectors_total", "Sectors of 512 bytes discarded.", Unit::Count),
    counter("node_disk_discard_time_seconds_total", "Time that all discards took together.", Unit::Milliseconds),
    counter("node_disk_flush_requests_total", "Flushes completed.", Unit::Count),
    counter("node_disk_flush_requests_time_seconds_total", "Time that all flushes took together.", Unit::Milliseconds),
];
const INFO: Family<9> = Family::gauge(
    "node_disk_info",
    "What the kernel and udev know of the device; always 1.",
    ["device", "major", "minor", "model", "path", "revision", "rotational", "serial", "wwn"],
);
const FILESYSTEM_INFO: Family<5> = Family::gauge(
    "node_disk_filesystem_info",
    "The file system on the device; always 1.",
    ["device", "type", "usage", "uuid", "version"],
);
const DEVICE_MAPPER_INFO: Family<6> = Family::gauge(
    "node_disk_device_mapper_info",
    "What a device-mapper device stands for; always 1.",
    ["device", "lv_layer", "lv_name", "name", "uuid", "vg_name"],
);
const ATA: [(Family<1>, &str); 3] = [
    (
        Family::gauge("node_disk_ata_write_cache", "Whether the ATA device has a write cache.", ["device"]),
        "ID_ATA_WRITE_CACHE",
    ),
    (
        Family::gauge("node_disk_ata_write_cache_enabled", "Whether the ATA device's write cache is on.", ["device"]),
        "ID_ATA_WRITE_CACHE_ENABLED",
    ),
    (
        Family::gauge(
            "node_disk_ata_rotation_rate_rpm",
            "The ATA device's rotations per minute; 0 for none.",
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

/// Columns that are fields as they are, and what they are called.
const FIELDS: [(usize, u64, Field<u64>); COLUMN_FIELDS] = [
    (READS, 1, Field::new("reads", "reads completed")),
    (WRITES, 1, Field::new("writes", "writes completed")),
    (MERGED_READS, 1, Field::new("merged_reads", "reads merged with others next to them")),
    (MERGED_WRITES, 1, Field::new("merged_writes", "writes merged with others next to them")),
    (SECTORS_READ, SECTOR_BYTES, Field::new("read_bytes", "bytes read")),
    (SECTORS_WRITTEN, SECTOR_BYTES, Field::new("write_bytes", "bytes written")),
    (READ_MS, 1, Field::new("read_time", "milliseconds that all reads took together")),
    (WRITE_MS, 1, Field::new("write_time", "milliseconds that all writes took together")),
    (IO_MS, 1, Field::new("io_time", "milliseconds in which any request was under way")),
    (WEIGHTED_IO_MS, 1, Field::new("weighted_io_time", "the same times the number of requests")),
    (IN_PROGRESS, 1, Field::new("iops_in_progress", "requests under way")),
];
const COLUMN_FIELDS: usize = 11;
const IO_AWAIT: Field<f64> = Field::new("io_await", "milliseconds that a request took, on average");
const IO_SVCTM: Field<f64> = Field::new("io_svctm", "milliseconds that the device was busy for a request, on average");
const IO_UTIL: Field<f64> = Field::new("io_util", "% of the time in which any request was under way");
const DISKIO: Measurement<2> = Measurement::new("diskio", ["name", "wwid"], &DISKIO_FIELDS);
const DISKIO_FIELDS: [FieldInfo; COLUMN_FIELDS + 3] =
    concat(&[&infos!(FIELDS.2), &[IO_AWAIT.info(), IO_SVCTM.info(), IO_UTIL.info()]]);

impl Reading for DiskstatsReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (column, (family, unit)) in COLUMN_FAMILIES.iter().enumerate() {
            let mut samples = out.family(family);
            for disk in self.in_families().filter(|disk| disk.columns.tell(column)) {
                let value = disk.columns.values[column];
                let value = match unit {
                    Unit::Count => Value::Unsigned(value),
                    Unit::Sectors => Value::Unsigned(value.saturating_mul(SECTOR_BYTES)),
                    Unit::Milliseconds => Value::Float(value as f64 / 1000.0),
                };
                samples.sample([&disk.name], value);
            }
        }
        self.device_families(out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for (place, disk) in self.disks.iter().enumerate().filter(|(_, disk)| disk.shown.points) {
            let values = &disk.columns.values;
            let mut point = out.point(&DISKIO, [&disk.name, &disk.wwid]);
            for (column, factor, field) in FIELDS.iter().filter(|(column, ..)| disk.columns.tell(*column)) {
                point.field(field, values[*column].saturating_mul(*factor));
            }
            let same = |last: &&Disk| last.name == disk.name && last.number == disk.number;
            let Some(since) = since.filter(|_| !disk.columns.is_coarse) else { continue };
            // Nearly always it stands where it stood.
            let last = since.previous.disks.get(place).filter(same).or_else(|| since.previous.disks.iter().find(same));
            let Some(last) = last else { continue };
            if let Some(grown) = grown_since(values, &last.columns.values) {
                let requests = grown(READS) + grown(WRITES);
                if requests > 0.0 {
                    point.field(&IO_AWAIT, (grown(READ_MS) + grown(WRITE_MS)) / requests);
                    point.field(&IO_SVCTM, grown(IO_MS) / requests);
                }
                point.field(&IO_UTIL, 100.0 * grown(IO_MS) / (since.elapsed.as_secs_f64() * 1000.0));
            }
        }
    }
}

/// By how much each column has grown; nothing if one that counts went back: the device came anew, or it wrapped.
fn grown_since<'a>(now: &'a [u64; COLUMNS], last: &'a [u64; COLUMNS]) -> Option<impl Fn(usize) -> f64 + use<'a>> {
    let counted = [READS, WRITES, READ_MS, WRITE_MS, IO_MS];
    let went_back = counted.iter().any(|column| now[*column] < last[*column]);
    (!went_back).then_some(|column: usize| (now[column] - last[column]) as f64)
}

impl DiskstatsReading {
    fn in_families(&self) -> impl Iterator<Item = &Disk> {
        self.disks.iter().filter(|disk| disk.shown.families)
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
