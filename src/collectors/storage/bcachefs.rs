//! bcachefs file systems.

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::family::Value;
use crate::host::{Device, Devices, Host, Line, ReadError};

/// `/sys/fs/bcachefs`: fs/bcachefs/sysfs.c.
pub(super) struct Bcachefs {
    file_systems: Devices,
}

impl Collector for Bcachefs {
    const ABOUT: About = About {
        name: "bcachefs",
        summary: "bcachefs file systems: counters, compression, errors, devices",
        reads: &["/sys/fs/bcachefs/*"],
        needs: "a mounted bcachefs file system",
        families: &[
            INFO.info(),
            FILE_SYSTEM_ATTRIBUTES[0].family.info(),
            COMPRESSED.info(),
            UNCOMPRESSED.info(),
            ERRORS.info(),
            WRITES.info(),
            WRITE_SIZE.info(),
            COUNTER.info(),
            DEVICE_INFO.info(),
            DEVICE_ATTRIBUTES[0].family.info(),
            DEVICE_ATTRIBUTES[1].family.info(),
            DEVICE_ATTRIBUTES[2].family.info(),
            IO_DONE.info(),
            IO_ERRORS.info(),
        ],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Bcachefs { file_systems: host.devices("fs/bcachefs") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (uuid, device) in self.file_systems.look(|name| name.contains('-'))? {
            reading.put(&INFO, [uuid], 1u64);
            reading.put_attributes(cx, device, FILE_SYSTEM_ATTRIBUTES, [uuid]);
            read_tables(cx, reading, device, uuid);
            let counters = device.below("counters");
            for name in counters.names() {
                let Some(text) = counters.text(name.clone(), cx.buffer) else { continue };
                match since_creation(text.lines()) {
                    Some(count) => reading.put_keyed(&COUNTER, &name, [uuid], count),
                    None => cx.problems.push(text.first_line().malformed("a count since the creation", text.bytes())),
                }
            }
            for folder in device.names() {
                if let Some(name) = folder.strip_prefix("dev-") {
                    read_device(cx, reading, device.below(&folder), name, uuid);
                }
            }
        }
        if reading.is_empty() { Err(ReadError::Absent("bcachefs".into())) } else { Ok(()) }
    }
}

/// Reads the tables: a name and columns of numbers per line.
fn read_tables(cx: &mut ReadContext<'_>, reading: &mut Gathered, device: &mut Device, uuid: &str) {
    let columns = |line: Line<'_>| -> Option<(String, Vec<Value>)> {
        let text = String::from_utf8_lossy(line.bytes()).into_owned();
        let mut words = text.split_whitespace();
        let name = words.next()?.trim_end_matches(':').to_owned();
        let joined = words.collect::<Vec<_>>().join(" ").replace(" KiB", "k").replace(" MiB", "M");
        let joined = joined.replace(" GiB", "G").replace(" TiB", "T").replace(" B", "");
        let numbers = joined.split(' ').map_while(|word| Unit::Size.parse(word.as_bytes())).collect();
        Some((name, numbers))
    };
    let mut for_each_row = |file: &'static str, each: &mut dyn FnMut(&mut Gathered, &str, &[Value])| {
        let Some(text) = device.text(file, cx.buffer) else { return };
        for (name, numbers) in text.lines().filter_map(columns).filter(|(_, numbers)| !numbers.is_empty()) {
            each(reading, &name, &numbers);
        }
    };
    for_each_row("compression_stats", &mut |reading, algorithm, numbers| {
        reading.put_some(&COMPRESSED, [algorithm, uuid], numbers.first().copied());
        reading.put_some(&UNCOMPRESSED, [algorithm, uuid], numbers.get(1).copied());
    });
    for_each_row("errors", &mut |reading, error, numbers| {
        reading.put_some(&ERRORS, [error, uuid], numbers.first().copied());
    });
    for_each_row("btree_write_stats", &mut |reading, kind, numbers| {
        reading.put_some(&WRITES, [kind, uuid], numbers.first().copied());
        reading.put_some(&WRITE_SIZE, [kind, uuid], numbers.get(1).copied());
    });
}

fn read_device(cx: &mut ReadContext<'_>, reading: &mut Gathered, device: &mut Device, name: &str, uuid: &str) {
    let mut attribute = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
    let [label, state] = ["label", "state"].map(&mut attribute);
    reading.put(&DEVICE_INFO, [name, &label, &state, uuid], 1u64);
    reading.put_attributes(cx, device, DEVICE_ATTRIBUTES, [name, uuid]);
    if let Some(text) = device.text("io_done", cx.buffer) {
        let mut operation = String::new();
        for (key, rest) in text.lines().filter_map(|line| line.key_and_rest()) {
            let key = String::from_utf8_lossy(key).into_owned();
            match Unit::Plain.parse(rest.bytes().trim_ascii()) {
                Some(bytes) => reading.put(&IO_DONE, [&key, name, &operation, uuid], bytes),
                None => operation = key,
            }
        }
    }
    if let Some(text) = device.text("io_errors", cx.buffer) {
        // Counts since the file system was created. A second section counts since the last reset.
        for (key, rest) in text.lines().skip(1).map_while(|line| line.key_and_rest()) {
            let kind = String::from_utf8_lossy(key).into_owned();
            match Unit::Plain.parse(rest.bytes().trim_ascii()) {
                Some(count) => reading.put(&IO_ERRORS, [name, &kind, uuid], count),
                None => cx.problems.push(rest.malformed("a count of errors", rest.bytes())),
            }
        }
    }
}

/// The number in `since filesystem creation: N`, which follows the count since the mount.
fn since_creation<'l>(lines: impl Iterator<Item = Line<'l>>) -> Option<Value> {
    let last = lines.filter_map(|line| line.key_and_rest()).filter(|(key, _)| key.ends_with(b"creation")).last()?;
    Unit::Size.parse(last.1.bytes().trim_ascii())
}

const INFO: Family<1> = Family::gauge("node_bcachefs_info", "bcachefs file system, always 1", ["uuid"]);
const FILE_SYSTEM_ATTRIBUTES: &[Attribute<1>] = &[Attribute::gauge(
    "btree_cache_size",
    "node_bcachefs_btree_cache_size_bytes",
    "Memory used by the btree cache in bytes",
    ["uuid"],
    Unit::Size,
)];
const COMPRESSED: Family<2> = Family::gauge(
    "node_bcachefs_compression_compressed_bytes",
    "Compressed size by compression algorithm, in bytes",
    ["algorithm", "uuid"],
);
const UNCOMPRESSED: Family<2> = Family::gauge(
    "node_bcachefs_compression_uncompressed_bytes",
    "Uncompressed size by compression algorithm, in bytes",
    ["algorithm", "uuid"],
);
const ERRORS: Family<2> =
    Family::counter("node_bcachefs_errors_total", "File system errors by type", ["error_type", "uuid"]);
const WRITES: Family<2> = Family::counter("node_bcachefs_btree_writes_total", "Btree writes by type", ["type", "uuid"]);
const WRITE_SIZE: Family<2> = Family::gauge(
    "node_bcachefs_btree_write_average_size_bytes",
    "Average size of btree writes by type, in bytes",
    ["type", "uuid"],
);
const COUNTER: Family<1> =
    Family::counter("node_bcachefs_KEY_total", "bcachefs counter since the file system was created", ["uuid"]);
const DEVICE_INFO: Family<4> = Family::gauge(
    "node_bcachefs_device_info",
    "Device of the bcachefs file system, always 1",
    ["device", "label", "state", "uuid"],
);
const DEVICE: [&str; 2] = ["device", "uuid"];
const DEVICE_ATTRIBUTES: &[Attribute<2>] = &[
    Attribute::gauge(
        "bucket_size",
        "node_bcachefs_device_bucket_size_bytes",
        "Bucket size of the device in bytes",
        DEVICE,
        Unit::Size,
    ),
    Attribute::gauge("nbuckets", "node_bcachefs_device_buckets", "Buckets of the device", DEVICE, Unit::Plain),
    Attribute::gauge(
        "durability",
        "node_bcachefs_device_durability",
        "Durability of the device in replicas",
        DEVICE,
        Unit::Plain,
    ),
];
const IO_DONE: Family<4> = Family::counter(
    "node_bcachefs_device_io_done_bytes_total",
    "Bytes read and written by the device, by data type",
    ["data_type", "device", "operation", "uuid"],
);
const IO_ERRORS: Family<3> = Family::counter(
    "node_bcachefs_device_io_errors_total",
    "I/O errors of the device since the file system was created, by type",
    ["device", "type", "uuid"],
);
