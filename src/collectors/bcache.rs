//! Block devices that are cached by others: bcache.

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/fs/bcache`: Documentation/admin-guide/bcache.rst.
pub(super) struct Bcache {
    sets: Devices,
    has_priority_stats: bool,
}

const PRIORITY_STATS: Key<bool> = Key::new(
    "priority_stats",
    "false",
    "How much of each cache is unused and holds metadata, which is dear to find out.",
);

impl Collector for Bcache {
    const ABOUT: About = About {
        name: "bcache",
        summary: "bcache: its sets, its backing devices and its caches",
        reads: &["/sys/fs/bcache/*"],
        needs: "the kernel module bcache",
        keys: &[PRIORITY_STATS.info()],
        families: &concat::<_, 28>(&[
            &infos!(OF_SET.family),
            &infos!(OF_BACKING.family),
            &infos!(RATES.1),
            &infos!(OF_CACHE.family),
            &infos!(PRIORITIES.1),
        ]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Bcache { sets: host.devices("fs/bcache"), has_priority_stats: section.get(&PRIORITY_STATS) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // Sets are called by their UUIDs; beside them there are files.
        for (uuid, set) in self.sets.look(|name| name.contains('-'))? {
            reading.put_attributes(cx, set, OF_SET, [uuid]);
            for name in set.names() {
                let device = set.below(&name);
                if name.starts_with("bdev") {
                    reading.put_attributes(cx, device, OF_BACKING, [&name, uuid]);
                    put_named(cx, reading, device, "writeback_rate_debug", RATES, [&name, uuid]);
                } else if name.starts_with("cache") && device.path().is_dir() {
                    reading.put_attributes(cx, device, OF_CACHE, [&name, uuid]);
                    if self.has_priority_stats {
                        put_named(cx, reading, device, "priority_stats", PRIORITIES, [&name, uuid]);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The lines of a file, `name: size`, that are known; a rate ends in `/sec`, a share in `%`.
fn put_named(
    cx: &mut ReadContext<'_>,
    reading: &mut Gathered,
    device: &mut Device,
    file: &'static str,
    known: &'static [(&'static str, Family<2>)],
    labels: [&str; 2],
) {
    let Some(text) = device.text(file, cx.buffer) else { return };
    for (key, rest) in text.lines().filter_map(|line| line.key_and_rest()) {
        let Some((_, family)) = known.iter().find(|(name, _)| name.as_bytes() == key) else { continue };
        let value = String::from_utf8_lossy(rest.bytes().trim_ascii()).into_owned();
        let value = value.trim_end_matches("/sec").trim_end_matches('%');
        reading.put_some(family, labels, Unit::Size.parse(value.as_bytes()));
    }
}

const fn of_set(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["uuid"], unit)
}

const MICROSECONDS: Unit = Unit::Per(1e6);
const OF_SET: &[Attribute<1>] = &[
    of_set(
        "average_key_size",
        "node_bcache_average_key_size_sectors",
        "Average size of what a key stands for.",
        Unit::Size,
    ),
    of_set("btree_cache_size", "node_bcache_btree_cache_size_bytes", "Bytes of the tree in memory.", Unit::Size),
    of_set(
        "cache_available_percent",
        "node_bcache_cache_available_percent",
        "Share of the cache without dirty data.",
        Unit::Plain,
    ),
    of_set("congested", "node_bcache_congested", "How congested the cache is.", Unit::Size),
    of_set(
        "root_usage_percent",
        "node_bcache_root_usage_percent",
        "Share of the tree's root that is used.",
        Unit::Plain,
    ),
    of_set("tree_depth", "node_bcache_tree_depth", "Depth of the tree.", Unit::Plain),
    of_set(
        "internal/active_journal_entries",
        "node_bcache_active_journal_entries",
        "Entries of the journal that are newer than the tree.",
        Unit::Plain,
    ),
    of_set("internal/btree_nodes", "node_bcache_btree_nodes", "Nodes of the tree.", Unit::Plain),
    of_set(
        "internal/btree_read_average_duration_us",
        "node_bcache_btree_read_average_duration_seconds",
        "How long it takes to read a node of the tree.",
        MICROSECONDS,
    ),
    Attribute::counter(
        "internal/cache_read_races",
        "node_bcache_cache_read_races_total",
        "Reads during which the bucket was used again.",
        ["uuid"],
        Unit::Plain,
    ),
];
const BACKING: [&str; 2] = ["backing_device", "uuid"];
const fn of_backing(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<2> {
    Attribute::counter(file, name, help, BACKING, unit)
}
const OF_BACKING: &[Attribute<2>] = &[
    of_backing(
        "stats_total/bypassed",
        "node_bcache_bypassed_bytes_total",
        "Bytes that went past the cache.",
        Unit::Size,
    ),
    of_backing(
        "stats_total/cache_bypass_hits",
        "node_bcache_cache_bypass_hits_total",
        "Requests past the cache that it held.",
        Unit::Plain,
    ),
    of_backing(
        "stats_total/cache_bypass_misses",
        "node_bcache_cache_bypass_misses_total",
        "Requests past the cache that it did not hold.",
        Unit::Plain,
    ),
    of_backing("stats_total/cache_hits", "node_bcache_cache_hits_total", "Requests that the cache held.", Unit::Plain),
    of_backing(
        "stats_total/cache_misses",
        "node_bcache_cache_misses_total",
        "Requests that the cache did not hold.",
        Unit::Plain,
    ),
    of_backing(
        "stats_total/cache_miss_collisions",
        "node_bcache_cache_miss_collisions_total",
        "Data that was there already when it was to be cached.",
        Unit::Plain,
    ),
    of_backing("stats_total/cache_readaheads", "node_bcache_cache_readaheads_total", "Reads ahead.", Unit::Plain),
    Attribute::gauge(
        "dirty_data",
        "node_bcache_dirty_data_bytes",
        "Bytes that are in the cache alone.",
        BACKING,
        Unit::Size,
    ),
];
const RATES: &[(&str, Family<2>)] = &[
    ("target", Family::gauge("node_bcache_dirty_target_bytes", "Bytes that may be in the cache alone.", BACKING)),
    ("rate", Family::gauge("node_bcache_writeback_rate", "Bytes a second that are written back.", BACKING)),
    (
        "proportional",
        Family::gauge("node_bcache_writeback_rate_proportional_term", "The proportional part of that rate.", BACKING),
    ),
    ("integral", Family::gauge("node_bcache_writeback_rate_integral_term", "The integral part of that rate.", BACKING)),
    ("change", Family::gauge("node_bcache_writeback_change", "How the rate changed last.", BACKING)),
];
const CACHE: [&str; 2] = ["cache_device", "uuid"];
const OF_CACHE: &[Attribute<2>] = &[
    Attribute::gauge("io_errors", "node_bcache_io_errors", "Errors of the device, which fade.", CACHE, Unit::Plain),
    Attribute::counter(
        "metadata_written",
        "node_bcache_metadata_written_bytes_total",
        "Bytes of metadata that were written.",
        CACHE,
        Unit::Size,
    ),
    Attribute::counter("written", "node_bcache_written_bytes_total", "Bytes that were written.", CACHE, Unit::Size),
];
const PRIORITIES: &[(&str, Family<2>)] = &[
    ("Unused", Family::gauge("node_bcache_priority_stats_unused_percent", "Share of the cache that is unused.", CACHE)),
    (
        "Metadata",
        Family::gauge("node_bcache_priority_stats_metadata_percent", "Share of the cache that holds metadata.", CACHE),
    ),
];
