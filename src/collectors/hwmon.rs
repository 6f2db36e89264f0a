//! What hardware sensors measure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;

use super::gathered::Gathered;
use super::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::encode::family::Value;
use crate::host::{Device, Devices, Host, ReadError, file};

/// `/sys/class/hwmon`: Documentation/hwmon/sysfs-interface.rst.
pub(super) struct Hwmon {
    chips: Devices,
    wanted_chips: Filter,
    wanted_sensors: Filter,
    /// What is known of chips by their directories.
    known: BTreeMap<String, Chip>,
}

/// A chip: its labels, and the attributes of its sensors.
struct Chip {
    /// The directory's number, by which another chip of the same name is told apart.
    inode: u64,
    label: String,
    attributes: Vec<Attribute>,
}

struct Attribute {
    file: String,
    sensor: String,
    kind: &'static str,
    property: String,
}

const CHIP_EXCLUDE: Key<Regex> = Key::optional("chip_exclude", "Chips without families.");
const CHIP_INCLUDE: Key<Regex> = Key::optional("chip_include", "Only these chips; instead of `chip_exclude`.");
const SENSOR_EXCLUDE: Key<Regex> = Key::optional("sensor_exclude", "Sensors without families, as `chip;sensor`.");
const SENSOR_INCLUDE: Key<Regex> =
    Key::optional("sensor_include", "Only these sensors, as `chip;sensor`; instead of `sensor_exclude`.");

impl Collector for Hwmon {
    const ABOUT: About = About {
        name: "hwmon",
        summary: "temperatures, fans, voltages and whatever else hardware sensors measure",
        reads: &["/sys/class/hwmon/hwmon*/*"],
        needs: "drivers of the sensors; seldom in virtual machines",
        keys: &[CHIP_EXCLUDE.info(), CHIP_INCLUDE.info(), SENSOR_EXCLUDE.info(), SENSOR_INCLUDE.info()],
        families: &[CHIP_NAMES.info(), SENSOR_LABEL.info(), SENSOR.info(), ENERGY.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Hwmon {
            chips: host.devices("class/hwmon"),
            wanted_chips: section.optional_include_or_exclude(&CHIP_INCLUDE, &CHIP_EXCLUDE),
            wanted_sensors: section.optional_include_or_exclude(&SENSOR_INCLUDE, &SENSOR_EXCLUDE),
            known: BTreeMap::new(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let mut before = std::mem::take(&mut self.known);
        let mut labels: BTreeSet<String> = BTreeSet::new();
        for (name, device) in self.chips.look(|_| true)? {
            let inode = file::inode(device.path()).unwrap_or_default();
            let chip = before.remove(name).filter(|chip| chip.inode == inode);
            let mut chip = chip.unwrap_or_else(|| Chip::find(name, inode, device, cx.buffer));
            if !self.wanted_chips.wants(&chip.label) {
                self.known.insert(name.to_owned(), chip);
                continue;
            }
            // Two devices of one name would be one chip, with every sensor twice.
            if labels.contains(&chip.label) {
                chip.label = format!("{}_{name}", chip.label);
            }
            labels.insert(chip.label.clone());
            chip.read(cx, device, &mut self.wanted_sensors, reading);
            self.known.insert(name.to_owned(), chip);
        }
        Ok(())
    }
}

impl Chip {
    fn find(name: &str, inode: u64, device: &mut Device, buffer: &mut Vec<u8>) -> Chip {
        let mut attributes: Vec<Attribute> = device.names().into_iter().filter_map(Attribute::of).collect();
        // Old drivers have the files in the device's own directory.
        let own = file::list(&device.path().join("device")).unwrap_or_default();
        for mut attribute in own.into_iter().filter_map(Attribute::of) {
            if !attributes.iter().any(|known| known.file == attribute.file) {
                attribute.file = format!("device/{}", attribute.file);
                attributes.push(attribute);
            }
        }
        attributes.sort_by(|one, other| one.file.cmp(&other.file));
        Chip { inode, label: label(name, device, buffer), attributes }
    }

    fn read(&self, cx: &mut ReadContext<'_>, device: &mut Device, sensors: &mut Filter, reading: &mut Gathered) {
        let chip_name = device.string("name", cx.buffer).or_else(|| device.string("device/name", cx.buffer));
        if let Some(chip_name) = chip_name {
            reading.put(&CHIP_NAMES, [&self.label, &clean(&chip_name)], 1u64);
        }
        for attribute in &self.attributes {
            let Attribute { file, sensor, kind, property } = attribute;
            if !sensors.wants(&format!("{};{sensor}", self.label)) {
                continue;
            }
            let Some(text) = device.string(file.clone(), cx.buffer) else { continue };
            if property == "label" {
                reading.put(&SENSOR_LABEL, [&self.label, &text, sensor], 1u64);
                continue;
            }
            // Some attributes are words: whether a PWM is on by itself, what an alarm is called.
            let Ok(number) = text.parse::<f64>() else { continue };
            let frequency_label = match (*kind, property.as_str()) {
                ("freq", "input") => device.string(format!("{sensor}_label"), cx.buffer).map(|label| clean(&label)),
                _ => None,
            };
            let sensor = frequency_label.as_deref().unwrap_or(sensor);
            put(reading, [&self.label, sensor], kind, property, number);
        }
    }
}

/// Puts a number under the name that its kind and property make.
fn put(reading: &mut Gathered, labels: [&str; 2], kind: &str, property: &str, number: f64) {
    let middle = match property {
        "" | "input" => String::new(),
        "beep" => return reading.put_keyed(&SENSOR, &format!("{kind}_beep_enabled"), labels, Value::Float(number)),
        property => format!("_{property}"),
    };
    let is_flag = property.ends_with("alarm") || property.ends_with("fault");
    let (key, value) = match kind {
        _ if is_flag && kind != "temp" => (format!("{kind}{middle}"), number),
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

impl Attribute {
    /// The sensor and the property in a file's name: `temp1_crit`; nothing for what is not a sensor's.
    fn of(file: String) -> Option<Attribute> {
        const KINDS: [&str; 13] = [
            "beep_enable",
            "cpu",
            "curr",
            "energy",
            "fan",
            "freq",
            "humidity",
            "in",
            "intrusion",
            "power",
            "pwm",
            "temp",
            "vrm",
        ];
        if file == "update_interval" {
            let sensor = "update_interval0".to_owned();
            return Some(Attribute { file, sensor, kind: "update_interval", property: String::new() });
        }
        let kind = KINDS.into_iter().find(|kind| {
            let rest = file.strip_prefix(kind);
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(|first: char| first.is_ascii_digit() || first == '_')
            })
        })?;
        let rest = &file[kind.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        // What a chip has one of is numbered too.
        let number = if digits == 0 { "0" } else { &rest[..digits] };
        let sensor = format!("{kind}{number}");
        let property = rest[digits..].trim_start_matches('_').to_owned();
        Some(Attribute { sensor, kind, property, file })
    }
}

/// What a chip is called: by the bus and the device that it is, else by its own name.
fn label(name: &str, device: &mut Device, buffer: &mut Vec<u8>) -> String {
    let target = std::fs::read_link(device.path().join("device")).ok();
    let file_name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    if let Some(target) = target {
        let own = file_name(&target).unwrap_or_default();
        let real = std::fs::canonicalize(device.path().join("device")).unwrap_or(target);
        let parent = real.parent().and_then(file_name).unwrap_or_default();
        let parts = [clean(&parent), clean(&own)];
        if parts.iter().all(|part| !part.is_empty()) {
            return parts.join("_");
        }
    }
    let own = device.string("name", buffer).map(|name| clean(&name)).filter(|name| !name.is_empty());
    own.unwrap_or_else(|| name.to_owned())
}

fn clean(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let cleaned: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' }).collect();
    cleaned.trim_matches('_').to_owned()
}

const CHIP_NAMES: Family<2> =
    Family::gauge("node_hwmon_chip_names", "What the driver calls the chip; 1.", ["chip", "chip_name"]);
const SENSOR_LABEL: Family<3> =
    Family::gauge("node_hwmon_sensor_label", "What the sensor is labelled; 1.", ["chip", "label", "sensor"]);
const SENSOR: Family<2> = Family::gauge(
    "node_hwmon_KEY",
    "What the sensor tells: Documentation/hwmon/sysfs-interface.rst.",
    ["chip", "sensor"],
);
const ENERGY: Family<2> =
    Family::counter("node_hwmon_KEY_joule_total", "Energy that the sensor has counted, in joules.", ["chip", "sensor"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_sensor_and_property() {
        let of = |file: &str| Attribute::of(file.to_owned()).map(|found| (found.sensor, found.kind, found.property));
        let some = |sensor: &str, kind, property: &str| Some((sensor.to_owned(), kind, property.to_owned()));
        assert_eq!(of("temp1_input"), some("temp1", "temp", "input"));
        assert_eq!(of("pwm1"), some("pwm1", "pwm", ""));
        assert_eq!(of("pwm2_auto_point1_temp"), some("pwm2", "pwm", "auto_point1_temp"));
        assert_eq!(of("in0_label"), some("in0", "in", "label"));
        assert_eq!(of("intrusion0_alarm"), some("intrusion0", "intrusion", "alarm"));
        assert_eq!(of("update_interval"), some("update_interval0", "update_interval", ""));
        for other in ["name", "uevent", "power", "inverse", "subsystem"] {
            assert!(of(other).is_none() || other == "power", "{other}");
        }
    }
}
