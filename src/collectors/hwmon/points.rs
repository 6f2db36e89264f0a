//! What sensors say as points: `temp`, the temperatures alone, and `sensors`, all that lm-sensors would tell.

use super::chip::{Attribute, Chip};
use crate::config::{Key, KeyInfo, Section};
use crate::encode::point::FieldInfo;
use crate::encode::{Field, Measurement, PointWriter};

/// What of it is pushed, and how it is called.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PointSettings {
    temp: bool,
    sensors: bool,
    add_device_tag: bool,
    remove_numbers: bool,
}

const WITH_TEMP: Key<bool> = Key::new("temp", "true", "The measurement `temp`: temperatures.");
const WITH_SENSORS: Key<bool> = Key::new("sensors", "true", "The measurement `sensors`: all that sensors tell.");
const ADD_DEVICE_TAG: Key<bool> =
    Key::new("add_device_tag", "false", "The tag `device` of `temp`: the device that the sensor is of.");
const REMOVE_NUMBERS: Key<bool> = Key::new(
    "remove_numbers",
    "true",
    "Whether the fields of `sensors` are without numbers: temp_input, not temp1_input.",
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

/// What sensors said, chip by chip.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    settings: PointSettings,
    chips: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    name: String,
    device: String,
    place: String,
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

    /// What follows is told by this chip.
    pub(super) fn chip(&mut self, name: &str, chip: &Chip) {
        let (name, device, place) = (name.to_owned(), chip.device.clone(), chip.place.clone());
        self.chips.push(Told { name, device, place, labels: Vec::new(), values: Vec::new() });
    }

    /// A temperature of a sensor that is no chip's.
    pub(super) fn temperature(&mut self, name: &str, celsius: f64) {
        let (sensor, property, number) = ("temp1".to_owned(), "input".to_owned(), celsius * 1000.0);
        let values = vec![Value { sensor, kind: "temp", property, number }];
        let (name, place) = (lower(name), "virtual-0".to_owned());
        self.chips.push(Told { name, device: String::new(), place, labels: Vec::new(), values });
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
                chip.all(self.settings, out);
            }
        }
    }
}

impl Told {
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

    /// The values of each sensor as a point.
    fn all(&self, settings: PointSettings, out: &mut PointWriter<'_>) {
        let chip = format!("{}-{}", self.name, self.place);
        let of_sensor = |one: &Value, other: &Value| one.sensor == other.sensor;
        for values in self.values.chunk_by(of_sensor) {
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

/// From the kernel's units to those of lm-sensors; nothing for what it does not tell.
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

const DEGREES: Field<f64> = Field::new("temp", "degrees Celsius");
const TEMP_FIELDS: [FieldInfo; 1] = [DEGREES.info()];
/// Also what thermal zones tell, where no chip does.
pub(in crate::collectors) const TEMP: Measurement<2> = Measurement::new("temp", ["device", "sensor"], &TEMP_FIELDS);
/// The field of a temperature.
pub(in crate::collectors) const TEMPERATURE: &Field<f64> = &DEGREES;
const VALUE: Field<f64> = Field::new("KEY", "what the sensor tells under this name, in lm-sensors' units");
const SENSOR_FIELDS: [FieldInfo; 1] = [VALUE.info()];
pub(super) const SENSORS: Measurement<2> = Measurement::new("sensors", ["chip", "feature"], &SENSOR_FIELDS);
