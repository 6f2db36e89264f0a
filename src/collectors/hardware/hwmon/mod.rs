//! Hardware sensors.

mod chip;
mod points;

use std::collections::BTreeMap;

use regex::Regex;

use self::chip::{Attribute, Chip, clean, unique_labels};
use self::points::{PointSettings, SENSORS, Sensors};
pub(super) use self::points::{TEMP, TEMPERATURE};
use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::family::Value;
use crate::encode::{Family, FamilyWriter, PointWriter};
use crate::host::portable::Sensor;
use crate::host::{Device, Devices, Host, ReadError, file};

/// `/sys/class/hwmon`: Documentation/hwmon/sysfs-interface.rst.
pub(super) struct Hwmon {
    chips: Devices,
    wanted_chips: Filter,
    wanted_sensors: Filter,
    /// Chips by directory.
    known: BTreeMap<String, Chip>,
    points: PointSettings,
}

/// Sensor values: families as read, and the input of the points.
#[derive(Default)]
pub(super) struct HwmonReading {
    families: Gathered,
    sensors: Sensors,
}

const CHIP_EXCLUDE: Key<Regex> = Key::optional("chip_exclude", "Chips to leave out of the families.");
const CHIP_INCLUDE: Key<Regex> = Key::optional("chip_include", "Only these chips; instead of `chip_exclude`.");
const SENSOR_EXCLUDE: Key<Regex> =
    Key::optional("sensor_exclude", "Sensors to leave out of the families, as `chip;sensor`.");
const SENSOR_INCLUDE: Key<Regex> =
    Key::optional("sensor_include", "Only these sensors, as `chip;sensor`; instead of `sensor_exclude`.");

impl Collector for Hwmon {
    const ABOUT: About = About {
        name: "hwmon",
        summary: "hardware sensors: temperatures, fans, voltages, currents, power",
        reads: &["/sys/class/hwmon/hwmon*/*"],
        needs: "sensor drivers; rarely available in virtual machines",
        keys: &[CHIP_EXCLUDE.info(), CHIP_INCLUDE.info(), SENSOR_EXCLUDE.info(), SENSOR_INCLUDE.info()],
        point_keys: &points::KEYS,
        families: &[CHIP_NAMES.info(), SENSOR_LABEL.info(), SENSOR.info(), ENERGY.info()],
        measurements: &[TEMP.info(), SENSORS.info()],
        is_portable: true,
        ..About::PULLED
    };
    type Reading = HwmonReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Hwmon {
            chips: host.devices("class/hwmon"),
            wanted_chips: section.optional_include_or_exclude(&CHIP_INCLUDE, &CHIP_EXCLUDE),
            wanted_sensors: section.optional_include_or_exclude(&SENSOR_INCLUDE, &SENSOR_EXCLUDE),
            known: BTreeMap::new(),
            points: PointSettings::new(&mut section.table("points")),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut HwmonReading) -> Result<(), ReadError> {
        reading.families.clear();
        reading.sensors = Sensors::new(self.points);
        if let Some(portable) = cx.host.by_sysinfo() {
            self.fill(cx.wanted, reading, &portable.sensors());
            return Ok(());
        }
        let mut before = std::mem::take(&mut self.known);
        for (name, device) in self.chips.look(|_| true)? {
            let inode = file::inode(device.path()).unwrap_or_default();
            let chip = before.remove(name).filter(|chip| chip.inode == inode);
            let chip = chip.unwrap_or_else(|| Chip::find(name, inode, device, cx.buffer));
            self.known.insert(name.to_owned(), chip);
        }
        let labels = unique_labels(&self.known);
        for (name, device) in self.chips.look(|_| true)? {
            let (Some(chip), Some(label)) = (self.known.get(name), labels.get(name)) else { continue };
            if self.wanted_chips.wants(label) {
                chip.read(cx, device, label, &mut self.wanted_sensors, reading);
            }
        }
        Ok(())
    }
}

impl Hwmon {
    /// Fills the reading from temperatures without a chip.
    fn fill(&mut self, wanted: Vocabularies, reading: &mut HwmonReading, values: &[Sensor]) {
        const CHIP: &str = "portable";
        if !self.wanted_chips.wants(CHIP) {
            return;
        }
        for (index, Sensor { label, celsius, critical }) in values.iter().enumerate() {
            let sensor = format!("temp{}", index + 1);
            if !self.wanted_sensors.wants(&format!("{CHIP};{sensor}")) {
                continue;
            }
            let HwmonReading { families, sensors } = reading;
            families.put(&SENSOR_LABEL, [CHIP, label, &sensor], 1u64);
            for (property, degrees) in [("input", celsius), ("crit", critical)] {
                if let Some(degrees) = degrees {
                    put(families, [CHIP, &sensor], "temp", property, degrees * 1000.0);
                }
            }
            if let Some(celsius) = celsius.filter(|_| wanted.points) {
                sensors.temperature(label, celsius);
            }
        }
    }
}

impl Chip {
    fn read(
        &self,
        cx: &mut ReadContext<'_>,
        device: &mut Device,
        label: &str,
        sensors: &mut Filter,
        reading: &mut HwmonReading,
    ) {
        let HwmonReading { families: reading, sensors: values } = reading;
        let chip_name = self.name.as_deref();
        if let Some(chip_name) = chip_name {
            reading.put(&CHIP_NAMES, [label, &clean(chip_name)], 1u64);
        }
        if cx.wanted.points {
            values.chip(chip_name.unwrap_or(&self.device()), self);
        }
        for attribute in &self.attributes {
            let Attribute { file, sensor, kind, property } = attribute;
            if !sensors.wants(&format!("{label};{sensor}")) {
                continue;
            }
            let Some(text) = device.string(file.clone(), cx.buffer) else { continue };
            if property == "label" {
                reading.put(&SENSOR_LABEL, [label, &text, sensor], 1u64);
                values.label(sensor, &text);
                continue;
            }
            // Some attributes are text, such as the name of an alarm.
            let Ok(number) = text.parse::<f64>() else { continue };
            values.value(attribute, number);
            let frequency_label = match (*kind, property.as_str()) {
                ("freq", "input") => device.string(format!("{sensor}_label"), cx.buffer).map(|label| clean(&label)),
                _ => None,
            };
            let sensor = frequency_label.as_deref().unwrap_or(sensor);
            put(reading, [label, sensor], kind, property, number);
        }
    }
}

/// Adds a sample to the family of this kind and property.
fn put(reading: &mut Gathered, labels: [&str; 2], kind: &str, property: &str, number: f64) {
    let middle = match property {
        "" | "input" => String::new(),
        "beep" => return reading.put_keyed(&SENSOR, &format!("{kind}_beep_enabled"), labels, Value::Float(number)),
        property => format!("_{property}"),
    };
    // Others, such as `crit_alarm`, are values of their kind, as in node_exporter.
    let is_flag = ["alarm", "fault"].contains(&property);
    let (key, value) = match kind {
        _ if is_flag => (format!("{kind}{middle}"), number),
        "in" | "cpu" => (format!("{kind}{middle}_volts"), number / 1000.0),
        "temp" if property != "type" => (format!("{kind}{middle}_celsius"), number / 1000.0),
        "curr" => (format!("{kind}{middle}_amps"), number / 1000.0),
        "energy" => {
            return reading.put_keyed(&ENERGY, &format!("{kind}{middle}"), labels, number / 1e6);
        }
        "power" if property == "accuracy" => (format!("{kind}{middle}"), number / 1e6),
        "power" if property.starts_with("average_interval") => (format!("{kind}{middle}_seconds"), number / 1000.0),
        "power" => (format!("{kind}{middle}_watt"), number / 1e6),
        "humidity" => (format!("{kind}{middle}"), number / 1e6),
        "fan" if ["", "input", "min", "max", "target"].contains(&property) => (format!("{kind}{middle}_rpm"), number),
        "freq" if property == "input" => ("freq_freq_mhz".to_owned(), number / 1e6),
        "update_interval" => ("update_interval_seconds".to_owned(), number / 1000.0),
        "vrm" => ("voltage_regulator_version".to_owned(), number),
        "beep_enable" => ("beep_enabled".to_owned(), number),
        _ => (format!("{kind}{middle}"), number),
    };
    reading.put_keyed(&SENSOR, &key, labels, value);
}

const CHIP_NAMES: Family<2> =
    Family::gauge("node_hwmon_chip_names", "Name of the chip reported by its driver, always 1", ["chip", "chip_name"]);
const SENSOR_LABEL: Family<3> =
    Family::gauge("node_hwmon_sensor_label", "Label of the sensor, always 1", ["chip", "label", "sensor"]);
const SENSOR: Family<2> =
    Family::gauge("node_hwmon_KEY", "Sensor value (Documentation/hwmon/sysfs-interface.rst)", ["chip", "sensor"]);
const ENERGY: Family<2> =
    Family::counter("node_hwmon_KEY_joule_total", "Cumulative energy use in joules", ["chip", "sensor"]);

impl Reading for HwmonReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.families.families(out);
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        self.sensors.points(out);
    }
}
