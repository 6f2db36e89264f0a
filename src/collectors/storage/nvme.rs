//! NVMe controllers and their namespaces.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::{Family, Value};
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/class/nvme`: drivers/nvme/host/sysfs.c.
pub(super) struct Nvme {
    controllers: Devices,
}

impl Collector for Nvme {
    const ABOUT: About = About {
        name: "nvme",
        summary: "NVMe controllers and namespaces",
        reads: &["/sys/class/nvme/nvme*"],
        families: &[
            INFO.info(),
            NAMESPACE_INFO.info(),
            CAPACITY.info(),
            SIZE.info(),
            USED.info(),
            LOGICAL_BLOCK_SIZE.info(),
        ],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Nvme { controllers: host.devices("class/nvme") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.controllers.look(|name| name.starts_with("nvme"))? {
            let mut attribute = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [cntlid, firmware, model, serial, state] =
                ["cntlid", "firmware_rev", "model", "serial", "state"].map(&mut attribute);
            reading.put(&INFO, [&cntlid, name, &firmware, &model, &serial, &state], 1u64);
            for namespace in device.names() {
                // nvme0n1, or with native multipath nvme0c1n1.
                let number =
                    namespace.strip_prefix(name).and_then(|rest| rest.rsplit_once('n')).map(|(_, number)| number);
                if let Some(number) = number.filter(|number| number.parse::<u32>().is_ok()) {
                    read_namespace(cx, reading, device.below(&namespace), [name, number]);
                }
            }
        }
        Ok(())
    }
}

fn read_namespace(cx: &mut ReadContext<'_>, reading: &mut Gathered, namespace: &mut Device, labels: [&str; 2]) {
    /// Unit of `size`, independent of the block size of the namespace.
    const SECTOR: u64 = 512;
    let state = namespace.string("ana_state", cx.buffer).unwrap_or_else(|| "unknown".to_owned());
    reading.put(&NAMESPACE_INFO, [&state, labels[0], labels[1]], 1u64);
    let mut number = |file: &'static str| {
        let number = namespace.number::<u64>(file, cx.buffer);
        cx.part(number).flatten()
    };
    let (size, used, block) = (number("size"), number("nuse"), number("queue/logical_block_size"));
    let bytes = size.map(|sectors| Value::product(sectors, SECTOR));
    reading.put_some(&CAPACITY, labels, bytes);
    reading.put_some(&SIZE, labels, bytes);
    reading.put_some(&USED, labels, used.zip(block).map(|(blocks, bytes)| Value::product(blocks, bytes)));
    reading.put_some(&LOGICAL_BLOCK_SIZE, labels, block);
}

const INFO: Family<6> = Family::gauge(
    "node_nvme_info",
    "NVMe controller, always 1",
    ["cntlid", "device", "firmware_revision", "model", "serial", "state"],
);
const NAMESPACE_INFO: Family<3> =
    Family::gauge("node_nvme_namespace_info", "NVMe namespace, always 1", ["ana_state", "device", "nsid"]);
const NAMESPACE: [&str; 2] = ["device", "nsid"];
const CAPACITY: Family<2> =
    Family::gauge("node_nvme_namespace_capacity_bytes", "Capacity of the namespace in bytes", NAMESPACE);
const SIZE: Family<2> = Family::gauge("node_nvme_namespace_size_bytes", "Size of the namespace in bytes", NAMESPACE);
const USED: Family<2> =
    Family::gauge("node_nvme_namespace_used_bytes", "Used capacity of the namespace in bytes", NAMESPACE);
const LOGICAL_BLOCK_SIZE: Family<2> = Family::gauge(
    "node_nvme_namespace_logical_block_size_bytes",
    "Logical block size of the namespace in bytes",
    NAMESPACE,
);
