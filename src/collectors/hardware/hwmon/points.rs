//! Sensor values as points: `temp` (temperatures) and `sensors` (all values that lm-sensors reports).

use super::chip::{Attribute, Chip};
use crate::config::{Key, KeyInfo, Section};
use crate::encode::point::FieldInfo;
use crate::encode::{Field, Measurement, PointWriter};

/// Settings of the points.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PointSettings {
    temp: bool,
    sensors: bool,
    add_device_tag: bool,
    remove_numbers: bool,
}

const WITH_TEMP: Key<bool> = Key::new("temp", "true", "The measurement `temp`: temperatures.");
const WITH_SENSORS: Key<bool> = Key::new("sensors", "true", "The measurement `sensors`: all sensor values.");
const ADD_DEVICE_TAG: Key<bool> =
    Key::new("add_device_tag", "false", "The tag `device` of `temp`: the parent device of the chip.");
const REMOVE_NUMBERS: Key<bool> = Key::new(
    "remove_numbers",
    "true",
    "Removes the numbers from the field names of `sensors`: temp_input, not temp1_input.",
);
pub(super) const KEYS: [KeyInfo; 4] =
    [WITH_TEMP.info(), WITH_SENSORS.info(), ADD_DEVICE_TAG.info(), REMOVE_NUMBERS.info()];

impl PointSettings {
    pub(super) fn new(section: &mut Section<'_>) -> Self {
        PointSettings {
            temp: section.get(&WITH_TEMP),
            sensors: section.get(&WITH_SENSORS),
            add_device_tag: section.get(&ADD_DEVICE_TAG),
            remove_numbers: section.get(&REMOVE_NUMBERS),
        }
    }
}

/// Sensor values by chip.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    settings: PointSettings,
    chips: Vec<ChipValues>,
}

#[derive(Debug)]
struct ChipValues {
    name: String,
    device: String,
    address: String,
    /// By sensor, such as `temp1`.
    labels: Vec<(String, String)>,
    values: Vec<Value>,
}

#[derive(Debug)]
struct Value {
    sensor: String,
    kind: &'static str,
    property: String,
    number: f64,
}

impl Sensors {
    pub(super) fn new(settings: PointSettings) -> Self {
        Sensors { settings, chips: Vec::new() }
    }

    /// Starts a chip. The following values belong to it.
    pub(super) fn chip(&mut self, name: &str, chip: &Chip) {
        let (name, device, address) = (name.to_owned(), chip.device(), chip.address.clone());
        self.chips.push(ChipValues { name, device, address, labels: Vec::new(), values: Vec::new() });
    }

    /// Adds a temperature of a sensor without a chip.
    pub(super) fn temperature(&mut self, name: &str, celsius: f64) {
        let (sensor, property, number) = ("temp1".to_owned(), "input".to_owned(), celsius * 1000.0);
        let values = vec![Value { sensor, kind: "temp", property, number }];
        let (name, address) = (lower(name), "virtual-0".to_owned());
        self.chips.push(ChipValues { name, device: String::new(), address, labels: Vec::new(), values });
    }

    pub(super) fn label(&mut self, sensor: &str, label: &str) {
        if let Some(chip) = self.chips.last_mut() {
            chip.labels.push((sensor.to_owned(), label.to_owned()));
        }
    }

    pub(super) fn value(&mut self, attribute: &Attribute, number: f64) {
        if let Some(chip) = self.chips.last_mut() {
            let Attribute { sensor, kind, property, .. } = attribute;
            chip.values.push(Value { sensor: sensor.clone(), kind, property: property.clone(), number });
        }
    }

    pub(super) fn points(&self, out: &mut PointWriter<'_>) {
        for chip in &self.chips {
            if self.settings.temp {
                chip.temperatures(self.settings, out);
            }
            if self.settings.sensors {
                chip.sensors(self.settings, out);
            }
        }
    }
}

impl ChipValues {
    fn label(&self, sensor: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == sensor).map(|(_, label)| label.as_str())
    }

    fn temperatures(&self, settings: PointSettings, out: &mut PointWriter<'_>) {
        for Value { sensor, number, .. } in
            self.values.iter().filter(|value| value.kind == "temp" && value.property == "input")
        {
            let label = self.label(sensor).map(|label| format!("_{}", lower(label))).unwrap_or_default();
            let device = if settings.add_device_tag { self.device.as_str() } else { "" };
            out.point(&TEMP, [device, &format!("{}{label}", self.name)]).field(&DEGREES, number / 1000.0);
        }
    }

    /// Writes a point per sensor with all its values.
    fn sensors(&self, settings: PointSettings, out: &mut PointWriter<'_>) {
        let chip = format!("{}-{}", self.name, self.address);
        let is_same_sensor = |a: &Value, b: &Value| a.sensor == b.sensor;
        for values in self.values.chunk_by(is_same_sensor) {
            let sensor = &values[0].sensor;
            let feature = lower(self.label(sensor).unwrap_or(sensor));
            let mut point = out.point(&SENSORS, [&chip, &feature]);
            for Value { kind, property, number, .. } in values {
                let Some(divisor) = divisor(kind, property) else { continue };
                let name = if settings.remove_numbers { kind } else { sensor.as_str() };
                point.free_field::<f64>(&[name, "_", property], number / divisor);
            }
        }
    }
}

fn lower(label: &str) -> String {
    label.trim().to_lowercase().replace(' ', "_")
}

/// Divisor from the kernel's units to those of lm-sensors. `None` for a property that lm-sensors does not report.
fn divisor(kind: &str, property: &str) -> Option<f64> {
    let is_plain =
        ["alarm", "fault", "beep", "type", "enable", "pulses", "div"].iter().any(|end| property.ends_with(end));
    match kind {
        "pwm" | "freq" | "update_interval" | "beep_enable" | "vrm" => None,
        _ if property.is_empty() => None,
        _ if is_plain => Some(1.0),
        "temp" | "in" | "cpu" | "curr" | "humidity" => Some(1000.0),
        "power" if property.ends_with("interval") => Some(1000.0),
        "power" | "energy" => Some(1_000_000.0),
        _ => Some(1.0),
    }
}

const DEGREES: Field<f64> = Field::new("temp", "temperature in degrees Celsius");
const TEMP_FIELDS: [FieldInfo; 1] = [DEGREES.info()];
/// Also written for thermal zones if no chip has a temperature.
pub(in crate::collectors) const TEMP: Measurement<2> = Measurement::new("temp", ["device", "sensor"], &TEMP_FIELDS);
/// The field of a temperature.
pub(in crate::collectors) const TEMPERATURE: &Field<f64> = &DEGREES;
const VALUE: Field<f64> = Field::new("KEY", "sensor value under this name, in lm-sensors' units");
const SENSOR_FIELDS: [FieldInfo; 1] = [VALUE.info()];
pub(super) const SENSORS: Measurement<2> = Measurement::new("sensors", ["chip", "feature"], &SENSOR_FIELDS);
