//! PCI devices.

use std::path::Path;

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/bus/pci/devices`: Documentation/ABI/testing/sysfs-bus-pci.
pub(super) struct Pcidevice {
    devices: Devices,
}

impl Collector for Pcidevice {
    const ABOUT: About = About {
        name: "pcidevice",
        summary: "PCI devices: identification, link, power state",
        reads: &["/sys/bus/pci/devices/*", "/sys/devices/pci*"],
        on_by_default: Vocabularies::NONE,
        families: &concat::<_, 12>(&[
            &infos!(ATTRIBUTES.family),
            &infos!(SPEEDS.1),
            &[INFO.info(), POWER_STATE.info()],
            &infos!(WIDTHS.family),
        ]),
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Pcidevice { devices: host.devices("bus/pci/devices") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.devices.look(|name| parse_address(name).is_some())? {
            let Some([segment, bus, slot, function]) = parse_address(name) else { continue };
            let labels = [bus, slot, function, segment];
            read_info(cx, reading, device, [segment, bus, slot, function]);
            reading.put_attributes(cx, device, WIDTHS, labels);
            for (file, family) in SPEEDS {
                // "8.0 GT/s PCIe"
                let text = device.text(*file, cx.buffer).filter(|text| !text.bytes().starts_with(b"Unknown"));
                let gigatransfers = text.map(|text| text.first_line().fields().optional::<f64>("GT/s")).transpose();
                reading.put_some(family, labels, cx.part(gigatransfers).flatten().flatten().map(|number| number * 1e9));
            }
            if let Some(state) = device.string("power_state", cx.buffer) {
                reading.put_states(&POWER_STATE, [bus, slot, function, segment, ""], 4, &POWER_STATES, &state);
            }
            reading.put_attributes(cx, device, ATTRIBUTES, labels);
        }
        Ok(())
    }
}

fn read_info(cx: &mut ReadContext<'_>, reading: &mut Gathered, device: &mut Device, address: [&str; 4]) {
    let mut attribute = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
    let [class, kind, revision, subsystem, subsystem_vendor, vendor] =
        ["class", "device", "revision", "subsystem_device", "subsystem_vendor", "vendor"].map(&mut attribute);
    let real = std::fs::canonicalize(device.path()).unwrap_or_default();
    let parent =
        real.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // A device on a root bus has no parent.
    let [parent_segment, parent_bus, parent_slot, parent_function] = parse_address(&parent).unwrap_or(["*"; 4]);
    let [segment, bus, slot, function] = address;
    reading.put(
        &INFO,
        [
            bus,
            &class,
            slot,
            &kind,
            function,
            parent_bus,
            parent_slot,
            parent_function,
            parent_segment,
            &revision,
            segment,
            &subsystem,
            &subsystem_vendor,
            &vendor,
        ],
        1u64,
    );
}

/// Parses segment, bus, device and function: `0000:00:02.1`.
fn parse_address(name: &str) -> Option<[&str; 4]> {
    let (rest, function) = name.rsplit_once('.')?;
    let mut parts = rest.split(':');
    let address = [parts.next()?, parts.next()?, parts.next()?, function];
    let is_hex = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    (parts.next().is_none() && address.iter().all(is_hex)).then_some(address)
}

const DEVICE: [&str; 4] = ["bus", "device", "function", "segment"];

const fn gauge(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<4> {
    Attribute::gauge(file, name, help, DEVICE, unit)
}

const WIDTHS: &[Attribute<4>] = &[
    gauge("max_link_width", "node_pcidevice_max_link_width", "Maximum PCIe link width in lanes", Unit::Plain),
    gauge("current_link_width", "node_pcidevice_current_link_width", "Current PCIe link width in lanes", Unit::Plain),
];
const SPEEDS: &[(&str, Family<4>)] = &[
    (
        "max_link_speed",
        Family::gauge(
            "node_pcidevice_max_link_transfers_per_second",
            "Maximum PCIe link speed in transfers per second",
            DEVICE,
        ),
    ),
    (
        "current_link_speed",
        Family::gauge(
            "node_pcidevice_current_link_transfers_per_second",
            "Current PCIe link speed in transfers per second",
            DEVICE,
        ),
    ),
];
const ATTRIBUTES: &[Attribute<4>] = &[
    gauge(
        "d3cold_allowed",
        "node_pcidevice_d3cold_allowed",
        "1 if the device may enter the D3cold power state",
        Unit::Plain,
    ),
    gauge("numa_node", "node_pcidevice_numa_node", "NUMA node of the device; -1 without one", Unit::Signed),
    gauge(
        "sriov_drivers_autoprobe",
        "node_pcidevice_sriov_drivers_autoprobe",
        "1 if drivers are probed automatically for SR-IOV virtual functions",
        Unit::Plain,
    ),
    gauge("sriov_numvfs", "node_pcidevice_sriov_numvfs", "Enabled SR-IOV virtual functions", Unit::Plain),
    gauge("sriov_totalvfs", "node_pcidevice_sriov_totalvfs", "Maximum number of SR-IOV virtual functions", Unit::Plain),
    gauge(
        "sriov_vf_total_msix",
        "node_pcidevice_sriov_vf_total_msix",
        "MSI-X vectors available to SR-IOV virtual functions",
        Unit::Plain,
    ),
];
const POWER_STATES: [&str; 7] = ["D0", "D1", "D2", "D3hot", "D3cold", "unknown", "error"];
const POWER_STATE: Family<5> = Family::gauge(
    "node_pcidevice_power_state",
    "1 if the device is in this power state",
    ["bus", "device", "function", "segment", "state"],
);
const INFO: Family<14> = Family::gauge(
    "node_pcidevice_info",
    "PCI device, always 1",
    [
        "bus",
        "class_id",
        "device",
        "device_id",
        "function",
        "parent_bus",
        "parent_device",
        "parent_function",
        "parent_segment",
        "revision",
        "segment",
        "subsystem_device_id",
        "subsystem_vendor_id",
        "vendor_id",
    ],
);
