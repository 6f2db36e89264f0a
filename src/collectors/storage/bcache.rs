//! bcache: block devices cached by faster ones.

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/fs/bcache`: Documentation/admin-guide/bcache.rst.
pub(super) struct Bcache {
    sets: Devices,
    has_priority_stats: bool,
}

const PRIORITY_STATS: Key<bool> =
    Key::new("priority_stats", "false", "Reads the unused and metadata percentages of each cache, which is expensive.");

impl Collector for Bcache {
    const ABOUT: About = About {
        name: "bcache",
        summary: "bcache sets, backing devices and cache devices",
        reads: &["/sys/fs/bcache/*"],
        needs: "the kernel module bcache",
        keys: &[PRIORITY_STATS.info()],
        families: &concat::<_, 28>(&[
            &infos!(SET_ATTRIBUTES.family),
            &infos!(BACKING_ATTRIBUTES.family),
            &infos!(RATES.1),
            &infos!(CACHE_ATTRIBUTES.family),
            &infos!(PRIORITIES.1),
        ]),
        may_be_absent: true,
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Bcache { sets: host.devices("fs/bcache"), has_priority_stats: section.get(&PRIORITY_STATS) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // The directories of sets are named by UUID. The other entries are files.
        for (uuid, set) in self.sets.look(|name| name.contains('-'))? {
            reading.put_attributes(cx, set, SET_ATTRIBUTES, [uuid]);
            for name in set.names() {
                let device = set.below(&name);
                if name.starts_with("bdev") {
                    reading.put_attributes(cx, device, BACKING_ATTRIBUTES, [&name, uuid]);
                    put_named(cx, reading, device, "writeback_rate_debug", RATES, [&name, uuid]);
                } else if name.starts_with("cache") && device.path().is_dir() {
                    reading.put_attributes(cx, device, CACHE_ATTRIBUTES, [&name, uuid]);
                    if self.has_priority_stats {
                        put_named(cx, reading, device, "priority_stats", PRIORITIES, [&name, uuid]);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Adds the known lines `name: size` of a file. A rate ends in `/sec`, a percentage in `%`.
fn put_named(
    cx: &mut ReadContext<'_>,
    reading: &mut Gathered,
    device: &mut Device,
    file: &'static str,
    families: &'static [(&'static str, Family<2>)],
    labels: [&str; 2],
) {
    let Some(text) = device.text(file, cx.buffer) else { return };
    for (key, rest) in text.lines().filter_map(|line| line.key_and_rest()) {
        let Some((_, family)) = families.iter().find(|(name, _)| name.as_bytes() == key) else { continue };
        let value = String::from_utf8_lossy(rest.bytes().trim_ascii());
        let number = value.trim_end_matches("/sec").trim_end_matches('%');
        match Unit::Size.parse(number.as_bytes()) {
            Some(number) => reading.put(family, labels, number),
            None => cx.problems.push(rest.malformed("a size", value.as_bytes())),
        }
    }
}

const fn set_attribute(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["uuid"], unit)
}

const MICROSECONDS: Unit = Unit::Per(1e6);
const SET_ATTRIBUTES: &[Attribute<1>] = &[
    set_attribute(
        "average_key_size",
        "node_bcache_average_key_size_sectors",
        "Average data per key in the btree, in sectors",
        Unit::Size,
    ),
    set_attribute(
        "btree_cache_size",
        "node_bcache_btree_cache_size_bytes",
        "Memory used by the btree cache in bytes",
        Unit::Size,
    ),
    set_attribute(
        "cache_available_percent",
        "node_bcache_cache_available_percent",
        "Percentage of the cache device without dirty data, usable for writeback",
        Unit::Plain,
    ),
    set_attribute("congested", "node_bcache_congested", "Congestion of the cache device", Unit::Size),
    set_attribute(
        "root_usage_percent",
        "node_bcache_root_usage_percent",
        "Percentage of the root btree node in use",
        Unit::Plain,
    ),
    set_attribute("tree_depth", "node_bcache_tree_depth", "Depth of the btree", Unit::Plain),
    set_attribute(
        "internal/active_journal_entries",
        "node_bcache_active_journal_entries",
        "Journal entries newer than the index",
        Unit::Plain,
    ),
    set_attribute("internal/btree_nodes", "node_bcache_btree_nodes", "Nodes in the btree", Unit::Plain),
    set_attribute(
        "internal/btree_read_average_duration_us",
        "node_bcache_btree_read_average_duration_seconds",
        "Average btree read duration",
        MICROSECONDS,
    ),
    Attribute::counter(
        "internal/cache_read_races",
        "node_bcache_cache_read_races_total",
        "Cache reads during which the bucket was reused and invalidated",
        ["uuid"],
        Unit::Plain,
    ),
];
const BACKING: [&str; 2] = ["backing_device", "uuid"];
const fn backing_attribute(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<2> {
    Attribute::counter(file, name, help, BACKING, unit)
}
const BACKING_ATTRIBUTES: &[Attribute<2>] = &[
    backing_attribute(
        "stats_total/bypassed",
        "node_bcache_bypassed_bytes_total",
        "I/O that bypassed the cache, in bytes",
        Unit::Size,
    ),
    backing_attribute(
        "stats_total/cache_bypass_hits",
        "node_bcache_cache_bypass_hits_total",
        "Cache hits of I/O intended to skip the cache",
        Unit::Plain,
    ),
    backing_attribute(
        "stats_total/cache_bypass_misses",
        "node_bcache_cache_bypass_misses_total",
        "Cache misses of I/O intended to skip the cache",
        Unit::Plain,
    ),
    backing_attribute("stats_total/cache_hits", "node_bcache_cache_hits_total", "Cache hits", Unit::Plain),
    backing_attribute("stats_total/cache_misses", "node_bcache_cache_misses_total", "Cache misses", Unit::Plain),
    backing_attribute(
        "stats_total/cache_miss_collisions",
        "node_bcache_cache_miss_collisions_total",
        "Cache miss insertions that raced with a write (data already present)",
        Unit::Plain,
    ),
    backing_attribute("stats_total/cache_readaheads", "node_bcache_cache_readaheads_total", "Readaheads", Unit::Plain),
    Attribute::gauge(
        "dirty_data",
        "node_bcache_dirty_data_bytes",
        "Dirty data of the backing device in the cache, in bytes",
        BACKING,
        Unit::Size,
    ),
];
const RATES: &[(&str, Family<2>)] = &[
    (
        "target",
        Family::gauge(
            "node_bcache_dirty_target_bytes",
            "Target amount of dirty data of the backing device, in bytes",
            BACKING,
        ),
    ),
    ("rate", Family::gauge("node_bcache_writeback_rate", "Writeback rate in bytes per second", BACKING)),
    (
        "proportional",
        Family::gauge(
            "node_bcache_writeback_rate_proportional_term",
            "Proportional term of the writeback rate",
            BACKING,
        ),
    ),
    (
        "integral",
        Family::gauge("node_bcache_writeback_rate_integral_term", "Integral term of the writeback rate", BACKING),
    ),
    ("change", Family::gauge("node_bcache_writeback_change", "Last change of the writeback rate", BACKING)),
];
const CACHE: [&str; 2] = ["cache_device", "uuid"];
const CACHE_ATTRIBUTES: &[Attribute<2>] = &[
    Attribute::gauge(
        "io_errors",
        "node_bcache_io_errors",
        "I/O errors of the cache device, decayed by io_error_halflife",
        CACHE,
        Unit::Plain,
    ),
    Attribute::counter(
        "metadata_written",
        "node_bcache_metadata_written_bytes_total",
        "Non-data writes to the cache device (btree and other metadata), in bytes",
        CACHE,
        Unit::Size,
    ),
    Attribute::counter(
        "written",
        "node_bcache_written_bytes_total",
        "Data written to the cache device, in bytes",
        CACHE,
        Unit::Size,
    ),
];
const PRIORITIES: &[(&str, Family<2>)] = &[
    (
        "Unused",
        Family::gauge(
            "node_bcache_priority_stats_unused_percent",
            "Percentage of the cache device without data",
            CACHE,
        ),
    ),
    (
        "Metadata",
        Family::gauge(
            "node_bcache_priority_stats_metadata_percent",
            "Percentage of the cache device used for metadata",
            CACHE,
        ),
    ),
];
