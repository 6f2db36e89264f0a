//! What ZFS counts of its caches, and its pools.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::family::Value;
use crate::host::{Device, Devices, Host, HostFile, ReadError, Text};

/// `/proc/spl/kstat/zfs`: module/os/linux/spl/spl-kstat.c of OpenZFS.
pub(super) struct Zfs {
    stats: Vec<(HostFile, &'static str)>,
    pools: Devices,
}

/// Files, and what their names begin with.
const STATS: [(&str, &str); 11] = [
    ("abdstats", "abd"),
    ("arcstats", "arc"),
    ("dbufstats", "dbuf"),
    ("dmu_tx", "dmu_tx"),
    ("dnodestats", "dnode"),
    ("fm", "fm"),
    ("vdev_cache_stats", "vdev_cache"),
    ("vdev_mirror_stats", "vdev_mirror"),
    ("xuio_stats", "xuio"),
    ("zfetchstats", "zfetch"),
    ("zil", "zil"),
];

impl Collector for Zfs {
    const ABOUT: About = About {
        name: "zfs",
        summary: "ZFS: its caches, its pools and their datasets",
        reads: &["/proc/spl/kstat/zfs/*"],
        needs: "the kernel module zfs",
        families: &[STAT.info(), POOL.info(), POOL_STATE.info(), DATASET.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        let file = |(file, prefix): (&str, &'static str)| (host.proc(format!("spl/kstat/zfs/{file}")), prefix);
        Zfs { stats: STATS.map(file).into(), pools: host.proc_devices("spl/kstat/zfs") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let is_stat = |name: &str| STATS.iter().any(|(file, _)| *file == name);
        for (pool, device) in self.pools.look(|name| !is_stat(name))? {
            read_pool(cx, reading, pool, device);
        }
        for (file, prefix) in &mut self.stats {
            let Ok(text) = file.read(cx.buffer) else { continue };
            for (name, value) in named(text) {
                reading.put_keyed(&STAT, &format!("{prefix}_{name}"), [], value);
            }
        }
        Ok(())
    }
}

/// The numbers of a file of lines `name type data`, below two lines of heads.
fn named<'t>(text: Text<'t>) -> impl Iterator<Item = (String, Value)> + 't {
    const HEAD_LINES: usize = 2;
    text.lines().skip(HEAD_LINES).filter_map(|line| {
        let mut fields = line.fields();
        let (name, _, data) = (fields.next()?, fields.next()?, fields.next()?);
        let data = std::str::from_utf8(data).ok()?;
        let value = data.parse().map(Value::Unsigned).or_else(|_| data.parse().map(Value::Signed)).ok()?;
        Some((String::from_utf8_lossy(name).into_owned(), value))
    })
}

fn read_pool(cx: &mut ReadContext<'_>, reading: &mut Gathered, pool: &str, device: &mut Device) {
    if let Some(state) = device.string("state", cx.buffer) {
        for known in STATES {
            reading.put(&POOL_STATE, [known, pool], state.eq_ignore_ascii_case(known));
        }
    }
    if let Some(text) = device.text("io", cx.buffer) {
        // A line of names and one of numbers, below the head.
        let mut lines = text.lines().skip(1);
        if let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
            for (name, number) in names.fields().zip(numbers.fields()) {
                let number = std::str::from_utf8(number).ok().and_then(|digits| digits.parse::<u64>().ok());
                if let Some(number) = number {
                    reading.put_keyed(&POOL, &String::from_utf8_lossy(name), [pool], number);
                }
            }
        }
    }
    for file in device.names().into_iter().filter(|name| name.starts_with("objset-")) {
        let Some(text) = device.text(file, cx.buffer) else { continue };
        let name = text.lines().find_map(|line| {
            let mut fields = line.fields();
            (fields.next() == Some(b"dataset_name")).then(|| fields.nth(1).map(String::from_utf8_lossy))?
        });
        let Some(dataset) = name.map(std::borrow::Cow::into_owned) else { continue };
        for (name, value) in named(text) {
            if DATASET_STATS.contains(&name.as_str()) {
                reading.put_keyed(&DATASET, &name, [&dataset, pool], value);
            }
        }
    }
}

const STATES: [&str; 7] = ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];
const DATASET_STATS: [&str; 6] = ["nread", "nunlinked", "nunlinks", "nwritten", "reads", "writes"];
const STAT: Family<0> = Family::untyped("node_zfs_KEY", "What ZFS counts under this name.", []);
const POOL: Family<1> =
    Family::untyped("node_zfs_zpool_KEY", "What ZFS counts of the pool under this name.", ["zpool"]);
const POOL_STATE: Family<2> =
    Family::gauge("node_zfs_zpool_state", "Whether the pool is in this state.", ["state", "zpool"]);
const DATASET: Family<2> = Family::untyped(
    "node_zfs_zpool_dataset_KEY",
    "What ZFS counts of the dataset under this name.",
    ["dataset", "zpool"],
);
