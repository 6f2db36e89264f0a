//! Errors of memory that were corrected, and that were not.

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/devices/system/edac/mc`: Documentation/driver-api/edac.rst.
pub(super) struct Edac {
    controllers: Devices,
}

impl Collector for Edac {
    const ABOUT: About = About {
        name: "edac",
        summary: "memory errors that were corrected or not, by controller, row and channel",
        reads: &["/sys/devices/system/edac/mc/mc*"],
        needs: "memory with ECC and its EDAC driver",
        families: &concat::<_, 6>(&[&infos!(OF_CONTROLLER.family), &infos!(OF_ROW.family), &CHANNEL_INFOS]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Edac { controllers: host.devices("devices/system/edac/mc") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.controllers.look(|name| name.starts_with("mc") && name != "mc")? {
            let controller = &name["mc".len()..];
            reading.put_attributes(cx, device, OF_CONTROLLER, [controller]);
            // What cannot be ascribed to a row counts for one that is unknown.
            reading.put_attributes(cx, device, NOT_OF_A_ROW, [controller, "unknown"]);
            for row in device.names().iter().filter(|name| name.starts_with("csrow")) {
                let number = &row["csrow".len()..];
                let row = device.below(row);
                reading.put_attributes(cx, row, OF_ROW, [controller, number]);
                read_channels(cx, reading, row, controller, number);
            }
        }
        Ok(())
    }
}

fn read_channels(cx: &mut ReadContext<'_>, reading: &mut Gathered, row: &mut Device, controller: &str, number: &str) {
    for file in row.names() {
        let Some(channel) = file.strip_prefix("ch").and_then(|rest| rest.strip_suffix("_ce_count")) else { continue };
        let label = row.string(format!("ch{channel}_dimm_label"), cx.buffer).unwrap_or_default();
        for (kind, family) in [("ce", &CORRECTABLE_OF_CHANNEL), ("ue", &UNCORRECTABLE_OF_CHANNEL)] {
            let count = row.number::<u64>(format!("ch{channel}_{kind}_count"), cx.buffer);
            let count = cx.part(count).flatten();
            reading.put_some(family, [channel, controller, number, &label], count);
        }
    }
}

const CORRECTABLE: &str = "Memory errors that were corrected.";
const UNCORRECTABLE: &str = "Memory errors that could not be corrected.";
const OF_CONTROLLER: &[Attribute<1>] = &[
    Attribute::counter("ce_count", "node_edac_correctable_errors_total", CORRECTABLE, ["controller"], Unit::Plain),
    Attribute::counter("ue_count", "node_edac_uncorrectable_errors_total", UNCORRECTABLE, ["controller"], Unit::Plain),
];
const ROW: [&str; 2] = ["controller", "csrow"];
const NOT_OF_A_ROW: &[Attribute<2>] = &[
    Attribute::counter("ce_noinfo_count", "node_edac_csrow_correctable_errors_total", CORRECTABLE, ROW, Unit::Plain),
    Attribute::counter(
        "ue_noinfo_count",
        "node_edac_csrow_uncorrectable_errors_total",
        UNCORRECTABLE,
        ROW,
        Unit::Plain,
    ),
];
const OF_ROW: &[Attribute<2>] = &[
    Attribute::counter("ce_count", "node_edac_csrow_correctable_errors_total", CORRECTABLE, ROW, Unit::Plain),
    Attribute::counter("ue_count", "node_edac_csrow_uncorrectable_errors_total", UNCORRECTABLE, ROW, Unit::Plain),
];
const CHANNEL: [&str; 4] = ["channel", "controller", "csrow", "dimm_label"];
const CORRECTABLE_OF_CHANNEL: Family<4> =
    Family::counter("node_edac_channel_correctable_errors_total", CORRECTABLE, CHANNEL);
const UNCORRECTABLE_OF_CHANNEL: Family<4> =
    Family::counter("node_edac_channel_uncorrectable_errors_total", UNCORRECTABLE, CHANNEL);
const CHANNEL_INFOS: [crate::encode::family::FamilyInfo; 2] =
    [CORRECTABLE_OF_CHANNEL.info(), UNCORRECTABLE_OF_CHANNEL.info()];
