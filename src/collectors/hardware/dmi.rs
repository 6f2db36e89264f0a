//! DMI (SMBIOS) identification.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Device, Host, ReadError};

/// `/sys/class/dmi/id`: drivers/firmware/dmi-id.c. Read once, as it does not change while the host runs.
pub(super) struct Dmi {
    device: Device,
    values: Option<Vec<String>>,
}

impl Collector for Dmi {
    const ABOUT: About = About {
        name: "dmi",
        summary: "DMI (SMBIOS) identification of system, board, BIOS and chassis",
        reads: &["/sys/class/dmi/id/*"],
        needs: "root for serial numbers and the UUID",
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
            let attribute = |file: &&'static str| self.device.string(*file, cx.buffer).unwrap_or_default();
            let values: Vec<String> = FILES.iter().map(attribute).collect();
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

/// File names, which are also the labels, with one exception.
const FILES: [&str; 20] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
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
const LABELS: [&str; 20] = {
    let mut labels = FILES;
    labels[19] = "system_vendor";
    labels
};
const INFO: Family<20> = Family::gauge("node_dmi_info", "DMI (SMBIOS) identification of the system, always 1", LABELS);
