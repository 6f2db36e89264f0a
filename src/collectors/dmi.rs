//! What the firmware says of the machine.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Device, Host, ReadError};

/// `/sys/class/dmi/id`: drivers/firmware/dmi-id.c. It does not change while the host runs, and is read once.
pub(super) struct Dmi {
    device: Device,
    values: Option<Vec<String>>,
}

impl Collector for Dmi {
    const ABOUT: About = About {
        name: "dmi",
        summary: "the machine, its board, its BIOS and its case, as the firmware names them",
        reads: &["/sys/class/dmi/id/*"],
        needs: "serial numbers and the UUID can be read by root alone",
        families: &[INFO.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Dmi { device: host.device("class/dmi/id"), values: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        if self.values.is_none() {
            let of = |file: &&'static str| self.device.string(*file, cx.buffer).unwrap_or_default();
            let values: Vec<String> = FILES.iter().map(of).collect();
            if values.iter().all(String::is_empty) {
                return Err(ReadError::Absent(self.device.path().to_owned()));
            }
            self.values = Some(values);
        }
        if let Some(values) = &self.values {
            reading.put_info(&INFO, std::array::from_fn(|index| values.get(index).map_or("", String::as_str)));
        }
        Ok(())
    }
}

/// Files and labels; one of them has another name as a label.
const FILES: [&str; 19] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
    "sys_vendor",
];
const LABELS: [&str; 19] = {
    let mut labels = FILES;
    labels[18] = "system_vendor";
    labels
};
const INFO: Family<19> = Family::gauge("node_dmi_info", "The machine as its firmware names it; 1.", LABELS);
