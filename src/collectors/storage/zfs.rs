//! ZFS kstats and pools.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Device, Devices, Host, HostFile, ReadError, Text};

/// `/proc/spl/kstat/zfs`: module/os/linux/spl/spl-kstat.c of OpenZFS.
pub(super) struct Zfs {
    stats: Vec<(HostFile, &'static str)>,
    pools: Devices,
}

/// Kstat files and the name prefixes of their families.
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
        summary: "ZFS: kstats, pools and datasets",
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
            match file.read(cx.buffer).and_then(|text| text.not_empty("a header")) {
                Ok(text) => put_named(cx.problems, text, |name, value| {
                    reading.put_keyed(&STAT, &format!("{prefix}_{name}"), [], value);
                }),
                Err(error) if error.is_absent() => {}
                Err(error) => cx.problem(error),
            }
        }
        Ok(())
    }
}

/// Calls `put` with the integers of a kstat, which has lines `name type data` after two header lines.
fn put_named(problems: &mut Vec<ReadError>, text: Text<'_>, mut put: impl FnMut(&str, i128)) {
    const HEADER_LINES: usize = 2;
    /// `KSTAT_DATA_CHAR` and `KSTAT_DATA_STRING`.
    const TEXTS: [&[u8]; 2] = [b"0", b"7"];
    for line in text.lines().skip(HEADER_LINES) {
        let mut fields = line.fields();
        let (Some(name), Some(kind)) = (fields.next(), fields.next()) else { continue };
        if TEXTS.contains(&kind) {
            continue;
        }
        match fields.number("a number") {
            Ok(number) => put(&String::from_utf8_lossy(name), number),
            Err(problem) => problems.push(problem),
        }
    }
}

fn read_pool(cx: &mut ReadContext<'_>, reading: &mut Gathered, pool: &str, device: &mut Device) {
    if let Some(state) = device.string("state", cx.buffer) {
        reading.put_states(&POOL_STATE, ["", pool], 0, &STATES, &state.to_ascii_lowercase());
    }
    if let Some(text) = device.text("io", cx.buffer) {
        // A line of names and a line of numbers after the header.
        let mut lines = text.lines().skip(1);
        if let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
            let mut fields = numbers.fields();
            for name in names.fields() {
                match fields.number::<i128>("a number for each name in the line above") {
                    Ok(number) => reading.put_keyed(&POOL, &String::from_utf8_lossy(name), [pool], number),
                    Err(problem) => cx.problems.push(problem),
                }
            }
        }
    }
    for file in device.names().into_iter().filter(|name| name.starts_with("objset-")) {
        let Some(text) = device.text(file, cx.buffer) else { continue };
        // Names of datasets may have spaces.
        let name = text.lines().find_map(|line| {
            let mut fields = line.fields();
            let is_name = fields.next() == Some(b"dataset_name") && fields.next().is_some();
            is_name.then(|| String::from_utf8_lossy(fields.remainder()).into_owned())
        });
        let name = name.ok_or_else(|| text.end().malformed("a dataset_name", b""));
        let Some(dataset) = cx.problems.part(name) else { continue };
        put_named(cx.problems, text, |name, value| {
            if DATASET_STATS.contains(&name) {
                reading.put_keyed(&DATASET, name, [&dataset, pool], value);
            }
        });
    }
}

const STATES: [&str; 7] = ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];
const DATASET_STATS: [&str; 6] = ["nread", "nunlinked", "nunlinks", "nwritten", "reads", "writes"];
const STAT: Family<0> = Family::untyped("node_zfs_KEY", "ZFS kstat", []);
const POOL: Family<1> = Family::untyped("node_zfs_zpool_KEY", "kstat of the ZFS pool", ["zpool"]);
const POOL_STATE: Family<2> =
    Family::gauge("node_zfs_zpool_state", "1 if the ZFS pool is in this state", ["state", "zpool"]);
const DATASET: Family<2> =
    Family::untyped("node_zfs_zpool_dataset_KEY", "kstat of the ZFS dataset", ["dataset", "zpool"]);
