//! Memory errors detected by EDAC.

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
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
        summary: "correctable and uncorrectable memory errors by controller, csrow and channel",
        reads: &["/sys/devices/system/edac/mc/mc*"],
        needs: "ECC memory and its EDAC driver",
        families: &concat::<_, 6>(&[
            &infos!(CONTROLLER_ATTRIBUTES.family),
            &infos!(ROW_ATTRIBUTES.family),
            &CHANNEL_INFOS,
        ]),
        may_be_absent: true,
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
            reading.put_attributes(cx, device, CONTROLLER_ATTRIBUTES, [controller]);
            // Errors that the controller cannot attribute to a csrow.
            reading.put_attributes(cx, device, UNATTRIBUTED, [controller, "unknown"]);
            for row in device.names().iter().filter(|name| name.starts_with("csrow")) {
                let number = &row["csrow".len()..];
                let row = device.below(row);
                reading.put_attributes(cx, row, ROW_ATTRIBUTES, [controller, number]);
                read_channels(cx, reading, row, controller, number);
            }
        }
        Ok(())
    }
}

fn read_channels(cx: &mut ReadContext<'_>, reading: &mut Gathered, row: &mut Device, controller: &str, number: &str) {
    for file in row.names() {
        let Some(channel) = file.strip_prefix("ch").and_then(|rest| rest.strip_suffix("_ce_count")) else { continue };
        let label = row.text(format!("ch{channel}_dimm_label"), cx.buffer);
        let label = label.map_or_else(|| "unknown".to_owned(), |text| dimm_label(&text.trimmed()));
        for (kind, family) in [("ce", &CHANNEL_CORRECTABLE), ("ue", &CHANNEL_UNCORRECTABLE)] {
            let count = row.number::<u64>(format!("ch{channel}_{kind}_count"), cx.buffer);
            let count = cx.part(count).flatten();
            reading.put_some(family, [channel, controller, number, &label], count);
        }
    }
}

/// The label of a DIMM, with the kernel's `mc#0csrow#0channel#0` as `mc0_csrow0_channel0`.
fn dimm_label(text: &str) -> String {
    text.replace('#', "").replace("csrow", "_csrow").replace("channel", "_channel")
}

const CORRECTABLE: &str = "Correctable memory errors";
const UNCORRECTABLE: &str = "Uncorrectable memory errors";
const CONTROLLER_ATTRIBUTES: &[Attribute<1>] = &[
    Attribute::counter("ce_count", "node_edac_correctable_errors_total", CORRECTABLE, ["controller"], Unit::Plain),
    Attribute::counter("ue_count", "node_edac_uncorrectable_errors_total", UNCORRECTABLE, ["controller"], Unit::Plain),
];
const ROW: [&str; 2] = ["controller", "csrow"];
const UNATTRIBUTED: &[Attribute<2>] = &[
    Attribute::counter("ce_noinfo_count", "node_edac_csrow_correctable_errors_total", CORRECTABLE, ROW, Unit::Plain),
    Attribute::counter(
        "ue_noinfo_count",
        "node_edac_csrow_uncorrectable_errors_total",
        UNCORRECTABLE,
        ROW,
        Unit::Plain,
    ),
];
const ROW_ATTRIBUTES: &[Attribute<2>] = &[
    Attribute::counter("ce_count", "node_edac_csrow_correctable_errors_total", CORRECTABLE, ROW, Unit::Plain),
    Attribute::counter("ue_count", "node_edac_csrow_uncorrectable_errors_total", UNCORRECTABLE, ROW, Unit::Plain),
];
const CHANNEL: [&str; 4] = ["channel", "controller", "csrow", "dimm_label"];
const CHANNEL_CORRECTABLE: Family<4> =
    Family::counter("node_edac_channel_correctable_errors_total", CORRECTABLE, CHANNEL);
const CHANNEL_UNCORRECTABLE: Family<4> =
    Family::counter("node_edac_channel_uncorrectable_errors_total", UNCORRECTABLE, CHANNEL);
const CHANNEL_INFOS: [crate::encode::family::FamilyInfo; 2] =
    [CHANNEL_CORRECTABLE.info(), CHANNEL_UNCORRECTABLE.info()];
