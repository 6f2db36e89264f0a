//! Thermal zones and cooling devices.

use std::path::PathBuf;

use super::hwmon::{TEMP as TEMP_POINTS, TEMPERATURE};
use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::{Key, Section};
use crate::encode::{Family, FamilyWriter, PointWriter};
use crate::host::{Devices, Host, ReadError, file};

/// `/sys/class/thermal`: Documentation/driver-api/thermal/sysfs-api.rst.
pub(super) struct ThermalZone {
    devices: Devices,
    chips: PathBuf,
    always_gather_zones: bool,
}

/// Families as read, and the temperatures of the points.
#[derive(Default)]
pub(super) struct ThermalReading {
    families: Gathered,
    /// Temperatures of zones, for points.
    zones: Vec<(String, f64)>,
}

const ALWAYS_GATHER_ZONES: Key<bool> =
    Key::new("always_gather_zones", "false", "Push zone temperatures even if sensor chips report temperatures.");

impl Collector for ThermalZone {
    const ABOUT: About = About {
        name: "thermal_zone",
        summary: "temperatures of thermal zones, and states of cooling devices",
        reads: &["/sys/class/thermal/{thermal_zone,cooling_device}*"],
        point_keys: &[ALWAYS_GATHER_ZONES.info()],
        families: &[TEMP.info(), COOLING[0].family.info(), COOLING[1].family.info()],
        may_be_absent: true,
        ..About::PULLED
    };
    type Reading = ThermalReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        ThermalZone {
            devices: host.devices("class/thermal"),
            chips: host.sys_path("class/hwmon"),
            always_gather_zones: section.table("points").get(&ALWAYS_GATHER_ZONES),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut ThermalReading) -> Result<(), ReadError> {
        reading.families.clear();
        reading.zones.clear();
        let is_pushed = cx.wanted.points && (self.always_gather_zones || !have_temperatures(&self.chips));
        for (name, device) in self.devices.look(|_| true)? {
            let kind = device.string("type", cx.buffer).unwrap_or_default();
            if let Some(zone) = name.strip_prefix("thermal_zone") {
                let temp = Unit::Per(1000.0).read(cx, device, "temp");
                reading.families.put_some(&TEMP, [&kind, zone], temp);
                reading.zones.extend(temp.filter(|_| is_pushed).map(|temp| (kind, temp.as_f64())));
            } else if let Some(number) = name.strip_prefix("cooling_device") {
                reading.families.put_attributes(cx, device, COOLING, [number, &kind]);
            }
        }
        Ok(())
    }
}

/// Whether any sensor chip has a temperature.
fn have_temperatures(chips: &std::path::Path) -> bool {
    let has_temperature = |chip: String| {
        let files = file::list(&chips.join(chip)).unwrap_or_default();
        files.iter().any(|file| file.starts_with("temp") && file.ends_with("_input"))
    };
    file::list(chips).unwrap_or_default().into_iter().any(has_temperature)
}

impl Reading for ThermalReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.families.families(out);
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for (zone, degrees) in &self.zones {
            out.point(&TEMP_POINTS, ["", zone]).field(TEMPERATURE, *degrees);
        }
    }
}

const TEMP: Family<2> =
    Family::gauge("node_thermal_zone_temp", "Zone temperature in degrees Celsius", ["type", "zone"]);
const COOLING: &[Attribute<2>] = &[
    Attribute::gauge(
        "cur_state",
        "node_cooling_device_cur_state",
        "Current throttle state of the cooling device",
        ["name", "type"],
        Unit::Signed,
    ),
    Attribute::gauge(
        "max_state",
        "node_cooling_device_max_state",
        "Maximum throttle state of the cooling device",
        ["name", "type"],
        Unit::Plain,
    ),
];
