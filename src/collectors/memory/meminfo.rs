//! Memory and swap usage.

use std::sync::Arc;

use crate::collectors::framework::keys::{Keys, Known};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, percent};
use crate::config::Section;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{FamilyWriter, Field, Kind, Measurement, Pattern, PointWriter, Value};
use crate::host::{Host, HostFile, ReadError, SharedFile, portable};

pub(super) struct Meminfo {
    meminfo: HostFile,
    vmstat: SharedFile,
    keys: Keys<Unit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Count,
}

/// `/proc/meminfo` in bytes, and the pages swapped in and out from `/proc/vmstat`.
#[derive(Default)]
pub(super) struct MeminfoReading {
    values: Vec<(Arc<Known<Unit>>, Value)>,
    swapped_in_bytes: Option<u64>,
    swapped_out_bytes: Option<u64>,
    /// Whether the source has only some of the keys.
    is_coarse: bool,
}

impl Collector for Meminfo {
    const ABOUT: About = About {
        name: "meminfo",
        summary: "memory and swap usage",
        reads: &["/proc/meminfo", "/proc/vmstat"],
        families: &[MEMORY_BYTES.info(), MEMORY_COUNT.info()],
        measurements: &[MEM.info(), SWAP.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = MeminfoReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Meminfo {
            meminfo: host.proc("meminfo").one_record(),
            vmstat: host.shared_proc("vmstat"),
            keys: Keys::default(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut MeminfoReading) -> Result<(), ReadError> {
        reading.values.clear();
        (reading.swapped_in_bytes, reading.swapped_out_bytes) = (None, None);
        if let Some(portable) = cx.host.by_sysinfo() {
            self.fill(reading, portable.memory());
            return Ok(());
        }
        if cx.wanted.points {
            let swapped = self.read_swapped(cx, reading);
            cx.part(swapped);
        }
        let text = self.meminfo.read(cx.buffer)?.not_empty("keys with amounts of memory")?;
        for (index, line) in text.lines().enumerate() {
            let Some((key, rest)) = line.key_and_rest() else {
                cx.problems.push(line.malformed("a key with a colon", line.bytes()));
                continue;
            };
            let mut fields = rest.fields();
            match fields.number::<u64>("an amount of memory") {
                Ok(value) => {
                    let unit = if fields.next() == Some(b"kB") { Unit::Bytes } else { Unit::Count };
                    let known = self.keys.at(index, &[key], |_| unit).clone();
                    let factor = if unit == Unit::Bytes { 1024 } else { 1 };
                    reading.values.push((known, Value::product(value, factor)));
                }
                Err(error) => cx.problems.push(error),
            }
        }
        Ok(())
    }
}

impl Meminfo {
    /// Fills the reading from totals of memory and swap.
    fn fill(&mut self, reading: &mut MeminfoReading, memory: portable::Memory) {
        reading.is_coarse = true;
        let totals = [
            ("MemTotal", memory.total),
            ("MemFree", memory.free),
            ("MemAvailable", memory.available),
            ("SwapTotal", memory.swap_total),
            ("SwapFree", memory.swap_free),
        ];
        for (index, (key, bytes)) in totals.into_iter().enumerate() {
            let known = self.keys.at(index, &[key.as_bytes()], |_| Unit::Bytes).clone();
            reading.values.push((known, bytes.into()));
        }
    }

    fn read_swapped(&mut self, cx: &mut ReadContext<'_>, reading: &mut MeminfoReading) -> Result<(), ReadError> {
        let page = cx.host.kernel.page_size();
        for line in self.vmstat.read(cx.round, cx.buffer)?.lines() {
            let mut fields = line.fields();
            let swapped = match fields.next() {
                Some(b"pswpin") => &mut reading.swapped_in_bytes,
                Some(b"pswpout") => &mut reading.swapped_out_bytes,
                _ => continue,
            };
            *swapped = Some(fields.number::<u64>("a number of pages")?.saturating_mul(page));
        }
        Ok(())
    }
}

impl MeminfoReading {
    fn get(&self, key: &str) -> Option<u64> {
        let value = self.values.iter().find(|(known, _)| known.key == key).map(|(_, value)| *value)?;
        // Points have integers, at most the largest.
        Some(if let Value::Unsigned(bytes) = value { bytes } else { u64::MAX })
    }
}

const MEMORY_BYTES: Pattern =
    Pattern::new("node_memory_", "_bytes", Kind::Gauge, "node_memory_KEY_bytes").help(" of /proc/meminfo, in bytes");
const MEMORY_COUNT: Pattern =
    Pattern::new("node_memory_", "", Kind::Gauge, "node_memory_KEY").help(" of /proc/meminfo, in pages");

/// Fields with their keys in `/proc/meminfo`. A key that the kernel lacks counts as 0, as in Telegraf.
const FROM_KEYS: [(Field<u64>, &str); 27] = [
    (Field::new("total", "MemTotal in bytes"), "MemTotal"),
    (Field::new("free", "MemFree in bytes"), "MemFree"),
    (Field::new("buffered", "Buffers in bytes"), "Buffers"),
    (Field::new("active", "Active in bytes"), "Active"),
    (Field::new("inactive", "Inactive in bytes"), "Inactive"),
    (Field::new("slab", "Slab in bytes"), "Slab"),
    (Field::new("sreclaimable", "SReclaimable in bytes"), "SReclaimable"),
    (Field::new("sunreclaim", "SUnreclaim in bytes"), "SUnreclaim"),
    (Field::new("dirty", "Dirty in bytes"), "Dirty"),
    (Field::new("write_back", "Writeback in bytes"), "Writeback"),
    (Field::new("write_back_tmp", "WritebackTmp in bytes"), "WritebackTmp"),
    (Field::new("shared", "Shmem in bytes"), "Shmem"),
    (Field::new("mapped", "Mapped in bytes"), "Mapped"),
    (Field::new("page_tables", "PageTables in bytes"), "PageTables"),
    (Field::new("commit_limit", "CommitLimit in bytes"), "CommitLimit"),
    (Field::new("committed_as", "Committed_AS in bytes"), "Committed_AS"),
    (Field::new("swap_total", "SwapTotal in bytes"), "SwapTotal"),
    (Field::new("swap_free", "SwapFree in bytes"), "SwapFree"),
    (Field::new("swap_cached", "SwapCached in bytes"), "SwapCached"),
    (Field::new("vmalloc_total", "VmallocTotal in bytes"), "VmallocTotal"),
    (Field::new("vmalloc_used", "VmallocUsed in bytes"), "VmallocUsed"),
    (Field::new("vmalloc_chunk", "VmallocChunk in bytes"), "VmallocChunk"),
    (Field::new("high_total", "HighTotal in bytes"), "HighTotal"),
    (Field::new("high_free", "HighFree in bytes"), "HighFree"),
    (Field::new("low_total", "LowTotal in bytes"), "LowTotal"),
    (Field::new("low_free", "LowFree in bytes"), "LowFree"),
    (Field::new("huge_page_size", "Hugepagesize in bytes"), "Hugepagesize"),
];
const HUGE_PAGES_TOTAL: Field<u64> = Field::new("huge_pages_total", "HugePages_Total, in pages");
const HUGE_PAGES_FREE: Field<u64> = Field::new("huge_pages_free", "HugePages_Free, in pages");
const AVAILABLE: Field<u64> = Field::new("available", "MemAvailable in bytes; before Linux 3.14, free plus cached");
const CACHED: Field<u64> = Field::new("cached", "Cached plus SReclaimable, in bytes");
const USED: Field<u64> = Field::new("used", "total minus available, in bytes");
const USED_PERCENT: Field<f64> = Field::new("used_percent", "used in % of total");
const AVAILABLE_PERCENT: Field<f64> = Field::new("available_percent", "available in % of total");

const MEM: Measurement<0> = Measurement::new("mem", [], &MEM_FIELDS);
const DERIVED: [FieldInfo; 7] = [
    AVAILABLE.info(),
    CACHED.info(),
    USED.info(),
    USED_PERCENT.info(),
    AVAILABLE_PERCENT.info(),
    HUGE_PAGES_TOTAL.info(),
    HUGE_PAGES_FREE.info(),
];
const MEM_FIELDS: [FieldInfo; FROM_KEYS.len() + DERIVED.len()] = concat(&[&infos!(FROM_KEYS.0), &DERIVED]);

const SWAP_TOTAL: Field<u64> = Field::new("total", "bytes");
const SWAP_USED: Field<u64> = Field::new("used", "bytes");
const SWAP_FREE: Field<u64> = Field::new("free", "bytes");
const SWAP_USED_PERCENT: Field<f64> = Field::new("used_percent", "used in % of total; 0 without swap");
const SWAP_IN: Field<u64> = Field::new("in", "bytes swapped in since boot");
const SWAP_OUT: Field<u64> = Field::new("out", "bytes swapped out since boot");
const SWAP: Measurement<0> = Measurement::new(
    "swap",
    [],
    &[SWAP_TOTAL.info(), SWAP_USED.info(), SWAP_FREE.info(), SWAP_USED_PERCENT.info(), SWAP_IN.info(), SWAP_OUT.info()],
);

impl Reading for MeminfoReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut name = String::new();
        for (known, value) in &self.values {
            // `Active(anon)` becomes `Active_anon`.
            name.clear();
            name.extend(known.key.chars().filter(|c| *c != ')').map(|c| if c == '(' { '_' } else { c }));
            let pattern = if known.made == Unit::Bytes { &MEMORY_BYTES } else { &MEMORY_COUNT };
            out.keyed(pattern, &name, *value);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let Some(total) = self.get("MemTotal") else { return };
        let bytes = |key| self.get(key).unwrap_or(0);
        let cached = bytes("Cached").saturating_add(bytes("SReclaimable"));
        let available = self.get("MemAvailable").unwrap_or(bytes("MemFree").saturating_add(cached));
        let used = total.saturating_sub(available);
        let mut point = out.point(&MEM, []);
        for (field, key) in FROM_KEYS.iter().filter(|(_, key)| !self.is_coarse || self.get(key).is_some()) {
            point.field(field, bytes(key));
        }
        point.field(&AVAILABLE, available).some(&CACHED, (!self.is_coarse).then_some(cached)).field(&USED, used);
        point.field(&USED_PERCENT, percent(used, total));
        point.field(&AVAILABLE_PERCENT, percent(available, total));
        if !self.is_coarse {
            point.field(&HUGE_PAGES_TOTAL, bytes("HugePages_Total"));
            point.field(&HUGE_PAGES_FREE, bytes("HugePages_Free"));
        }
        drop(point);

        let (swap_total, swap_free) = (bytes("SwapTotal"), bytes("SwapFree"));
        let swap_used = swap_total.saturating_sub(swap_free);
        let mut point = out.point(&SWAP, []);
        point.field(&SWAP_TOTAL, swap_total).field(&SWAP_USED, swap_used).field(&SWAP_FREE, swap_free);
        point.field(&SWAP_USED_PERCENT, percent(swap_used, swap_total));
        point.some(&SWAP_IN, self.swapped_in_bytes).some(&SWAP_OUT, self.swapped_out_bytes);
    }
}
