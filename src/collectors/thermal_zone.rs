//! Temperatures and cooling as the kernel's thermal framework knows them.

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/thermal`: Documentation/driver-api/thermal/sysfs-api.rst.
pub(super) struct ThermalZone {
    devices: Devices,
}

impl Collector for ThermalZone {
    const ABOUT: About = About {
        name: "thermal_zone",
        summary: "temperatures of thermal zones, and the states of what cools them",
        reads: &["/sys/class/thermal/{thermal_zone,cooling_device}*"],
        families: &[TEMP.info(), COOLING[0].family.info(), COOLING[1].family.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        ThermalZone { devices: host.devices("class/thermal") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.devices.look(|_| true)? {
            let kind = device.string("type", cx.buffer).unwrap_or_default();
            if let Some(zone) = name.strip_prefix("thermal_zone") {
                let temp = Unit::Per(1000.0).read(cx, device, "temp");
                reading.put_some(&TEMP, [&kind, zone], temp);
            } else if let Some(number) = name.strip_prefix("cooling_device") {
                reading.put_attributes(cx, device, COOLING, [number, &kind]);
            }
        }
        Ok(())
    }
}

const TEMP: Family<2> =
    Family::gauge("node_thermal_zone_temp", "Temperature of the zone in degrees Celsius.", ["type", "zone"]);
const COOLING: &[Attribute<2>] = &[
    Attribute::gauge(
        "cur_state",
        "node_cooling_device_cur_state",
        "How much the device cools or throttles now.",
        ["name", "type"],
        Unit::Signed,
    ),
    Attribute::gauge(
        "max_state",
        "node_cooling_device_max_state",
        "How much the device can cool or throttle.",
        ["name", "type"],
        Unit::Plain,
    ),
];
