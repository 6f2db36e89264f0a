//! `[collectors.container.points]`: which points of containers are written, as Telegraf's `inputs.docker` has it.

use crate::config::{Key, KeyInfo, Section};

const PERDEVICE_INCLUDE: Key<Vec<String>> = Key::new(
    "perdevice_include",
    "[\"blkio\"]",
    "Points of containers for each device: `blkio` for each block device, `network` for each interface.",
);
const TOTAL_INCLUDE: Key<Vec<String>> = Key::new(
    "total_include",
    "[\"blkio\", \"cpu\", \"network\"]",
    "Points of containers with the sum over devices: `blkio`, `cpu` and `network`.",
);
const SOURCE_TAG: Key<bool> =
    Key::new("source_tag", "false", "The tag `source`: the first 12 characters of the container's ID.");

/// The settings, under the names of Telegraf's `inputs.docker`.
pub(super) const KEYS: &[KeyInfo] = &[PERDEVICE_INCLUDE.info(), TOTAL_INCLUDE.info(), SOURCE_TAG.info()];

/// Which points of containers to write.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PointSettings {
    pub(super) block_io_by_device: bool,
    pub(super) network_by_interface: bool,
    pub(super) block_io_total: bool,
    pub(super) cpu_total: bool,
    pub(super) network_total: bool,
    pub(super) has_source: bool,
}

impl PointSettings {
    pub(super) fn new(section: &mut Section<'_>) -> PointSettings {
        // Telegraf's default. The kernel counts no CPUs of a cgroup v2.
        let by_device = section.some_of(&PERDEVICE_INCLUDE, &["blkio", "cpu", "network"]);
        let total = section.some_of(&TOTAL_INCLUDE, &["blkio", "cpu", "network"]);
        let has = |classes: &[String], class: &str| classes.iter().any(|given| given == class);
        PointSettings {
            block_io_by_device: has(&by_device, "blkio"),
            network_by_interface: has(&by_device, "network"),
            block_io_total: has(&total, "blkio"),
            cpu_total: has(&total, "cpu"),
            network_total: has(&total, "network"),
            has_source: section.get(&SOURCE_TAG),
        }
    }
}
