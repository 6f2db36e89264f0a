//! Device mapper multipath devices.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::{Family, Value};
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/block/dm-*`: Documentation/ABI/testing/sysfs-block-dm.
pub(super) struct Dmmultipath {
    blocks: Devices,
}

impl Collector for Dmmultipath {
    const ABOUT: About = About {
        name: "dmmultipath",
        summary: "device mapper multipath devices, and the states of their paths",
        reads: &["/sys/block/dm-*/{dm/*,size,slaves/*/device/state}"],
        families: &[
            DEVICE_INFO.info(),
            ACTIVE.info(),
            SIZE.info(),
            PATHS.info(),
            PATHS_ACTIVE.info(),
            PATHS_FAILED.info(),
            PATH_STATE.info(),
        ],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Dmmultipath { blocks: host.devices("block") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (sysfs_name, device) in self.blocks.look(|name| name.starts_with("dm-"))? {
            let Some(uuid) = device.string("dm/uuid", cx.buffer).filter(|uuid| uuid.starts_with("mpath-")) else {
                continue;
            };
            let name = device.string("dm/name", cx.buffer).unwrap_or_default();
            reading.put(&DEVICE_INFO, [&name, sysfs_name, &uuid], 1u64);
            let labels = [name.as_str(), sysfs_name];
            let suspended = device.number::<u64>("dm/suspended", cx.buffer);
            reading.put_some(&ACTIVE, labels, cx.part(suspended).flatten().map(|suspended| suspended == 0));
            const SECTOR: u64 = 512;
            let sectors = device.number::<u64>("size", cx.buffer);
            reading.put_some(&SIZE, labels, cx.part(sectors).flatten().map(|sectors| Value::product(sectors, SECTOR)));
            read_paths(cx, reading, device, labels);
        }
        Ok(())
    }
}

fn read_paths(cx: &mut ReadContext<'_>, reading: &mut Gathered, device: &mut Device, labels: [&str; 2]) {
    let slaves = device.below("slaves");
    let paths = slaves.names();
    let (mut active, mut failed) = (0u64, 0u64);
    for path in &paths {
        let state = slaves.below(path).string("device/state", cx.buffer).unwrap_or_else(|| "unknown".to_owned());
        // SCSI reports running, NVMe live.
        match state.as_str() {
            "running" | "live" => active += 1,
            _ => failed += 1,
        }
        reading.put(&PATH_STATE, [labels[0], path, &state], 1u64);
    }
    reading.put(&PATHS, labels, paths.len() as u64);
    reading.put(&PATHS_ACTIVE, labels, active);
    reading.put(&PATHS_FAILED, labels, failed);
}

const DEVICE: [&str; 2] = ["device", "sysfs_name"];
const DEVICE_INFO: Family<3> =
    Family::gauge("node_dmmultipath_device_info", "Multipath device, always 1", ["device", "sysfs_name", "uuid"]);
const ACTIVE: Family<2> =
    Family::gauge("node_dmmultipath_device_active", "1 if the multipath device is active, not suspended", DEVICE);
const SIZE: Family<2> =
    Family::gauge("node_dmmultipath_device_size_bytes", "Size of the multipath device in bytes", DEVICE);
const PATHS: Family<2> = Family::gauge("node_dmmultipath_device_paths", "Paths of the multipath device", DEVICE);
const PATHS_ACTIVE: Family<2> =
    Family::gauge("node_dmmultipath_device_paths_active", "Active paths of the multipath device", DEVICE);
const PATHS_FAILED: Family<2> =
    Family::gauge("node_dmmultipath_device_paths_failed", "Failed paths of the multipath device", DEVICE);
const PATH_STATE: Family<3> =
    Family::gauge("node_dmmultipath_path_state", "State of the path, always 1", ["device", "path", "state"]);
