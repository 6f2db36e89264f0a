//! What it costs to encode points: encode_points [ROUNDS].
//!
//! Points like those of a host with 16 CPUs and its disks, interfaces and memory, with two common tags. Prints fields,
//! bytes, and nanoseconds a field, of the fastest of ten runs.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use taffrail::encode::Timestamp;
use taffrail::encode::line::LineEncoder;
use taffrail::encode::lines::Lines;
use taffrail::encode::tags::CommonTags;
use taffrail::encode::{Field, Measurement, PointWriter};

const IDLE: Field<f64> = Field::new("usage_idle", "");
const USER: Field<f64> = Field::new("usage_user", "");
const SYSTEM: Field<f64> = Field::new("usage_system", "");
const IOWAIT: Field<f64> = Field::new("usage_iowait", "");
const CPU: Measurement<1> = Measurement::new("cpu", ["cpu"], &[IDLE.info(), USER.info(), SYSTEM.info(), IOWAIT.info()]);
const READS: Field<u64> = Field::new("reads", "");
const WRITES: Field<u64> = Field::new("writes", "");
const READ_BYTES: Field<u64> = Field::new("read_bytes", "");
const WRITE_BYTES: Field<u64> = Field::new("write_bytes", "");
const IO_TIME: Field<u64> = Field::new("io_time", "");
const USED_PERCENT: Field<f64> = Field::new("used_percent", "");
const DISK: Measurement<2> = Measurement::new(
    "diskio",
    ["fstype", "name"],
    &[READS.info(), WRITES.info(), READ_BYTES.info(), WRITE_BYTES.info(), IO_TIME.info(), USED_PERCENT.info()],
);

const CPUS: u64 = 16;
const DISKS: u64 = 40;

/// Writes one tick, and says how many fields it has.
fn tick(out: &mut PointWriter<'_>, names: &[String], round: u64) -> u64 {
    for (number, name) in names.iter().take(CPUS as usize).enumerate() {
        let share = (round * 7919 + number as u64 * 104_729) % 100_000;
        let percent = |part: u64| (share * part % 100_003) as f64 / 1000.3;
        let mut point = out.point(&CPU, [name]);
        point.field(&IDLE, percent(1)).field(&USER, percent(3)).field(&SYSTEM, percent(5)).field(&IOWAIT, 0.0);
    }
    for (number, name) in names.iter().take(DISKS as usize).enumerate() {
        let base = round * 4096 + number as u64 * 1_234_567;
        let mut point = out.point(&DISK, ["ext4", name]);
        point.field(&READS, base).field(&WRITES, base * 3).field(&READ_BYTES, base * 512);
        point.field(&WRITE_BYTES, base * 4096).field(&IO_TIME, base / 7);
        point.field(&USED_PERCENT, base as f64 / 1e7);
    }
    CPUS * 4 + DISKS * 6
}

fn main() {
    let rounds: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2000);
    let pairs = [("host", "web-1.example.org"), ("room", "12")];
    let tags = CommonTags::new(&BTreeMap::from(pairs.map(|(key, value)| (key.to_owned(), value.to_owned()))));
    let names: Vec<String> = (0..DISKS).map(|number| format!("name{number}")).collect();
    let mut fastest = f64::INFINITY;
    let (mut fields, mut bytes) = (0, 0);
    for _ in 0..10 {
        let begun = Instant::now();
        (fields, bytes) = (0, 0);
        for round in 0..rounds {
            let mut lines = Lines::default();
            let time = Timestamp(1_700_000_000_000_000_000 + round as i64 * 10_000_000_000);
            fields += tick(&mut PointWriter::new(&mut LineEncoder::new(&mut lines), &tags, time), &names, round);
            bytes += black_box(lines.bytes()).len();
        }
        fastest = fastest.min(begun.elapsed().as_nanos() as f64 / fields as f64);
    }
    println!("{fields} fields, {bytes} bytes: {fastest:.1} ns a field");
}
