//! Power supplies: batteries, mains, USB.

use regex::Regex;

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/power_supply`: Documentation/ABI/testing/sysfs-class-power.
pub(super) struct Powersupplyclass {
    supplies: Devices,
    wanted: Filter,
}

const IGNORED_SUPPLIES: Key<Regex> =
    Key::new("ignored_supplies", "'^$'", "Power supplies to leave out of the families.");

impl Collector for Powersupplyclass {
    const ABOUT: About = About {
        name: "powersupplyclass",
        summary: "power supplies: batteries, mains, USB",
        reads: &["/sys/class/power_supply/*/*"],
        keys: &[IGNORED_SUPPLIES.info()],
        families: &concat::<_, 48>(&[&infos!(ATTRIBUTES.family), &[INFO.info()]]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Powersupplyclass {
            supplies: host.devices("class/power_supply"),
            wanted: Filter::new(None, Some(section.get(&IGNORED_SUPPLIES))),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.supplies.look(|_| true)? {
            if !self.wanted.wants(name) {
                continue;
            }
            reading.put_attributes(cx, device, ATTRIBUTES, [name]);
            let mut labels = INFO_LABELS.map(|file| device.string(file, cx.buffer).unwrap_or_default());
            // Index of the label `power_supply` among the sorted labels.
            const POWER_SUPPLY: usize = 6;
            name.clone_into(&mut labels[POWER_SUPPLY]);
            reading.put_info(&INFO, labels.each_ref().map(String::as_str));
        }
        Ok(())
    }
}

const fn gauge(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["power_supply"], unit)
}

/// Microvolts, microamperes, microwatts, microampere-hours, microwatt-hours.
const MICRO: Unit = Unit::Per(1e6);
/// Tenths of a degree Celsius.
const TENTH: Unit = Unit::Per(10.0);

const ATTRIBUTES: &[Attribute<1>] = &[
    gauge("authentic", "node_power_supply_authentic", "1 if the battery is authentic", Unit::Plain),
    gauge("calibrate", "node_power_supply_calibrate", "1 if the battery is being calibrated", Unit::Plain),
    gauge("capacity", "node_power_supply_capacity", "Capacity in percent", Unit::Signed),
    gauge(
        "capacity_alert_max",
        "node_power_supply_capacity_alert_max",
        "Maximum capacity alert threshold in percent",
        Unit::Signed,
    ),
    gauge(
        "capacity_alert_min",
        "node_power_supply_capacity_alert_min",
        "Minimum capacity alert threshold in percent",
        Unit::Signed,
    ),
    gauge("cycle_count", "node_power_supply_cyclecount", "Charge cycles", Unit::Signed),
    gauge("online", "node_power_supply_online", "1 if the power supply is online", Unit::Signed),
    gauge("present", "node_power_supply_present", "1 if the power supply is present", Unit::Signed),
    gauge("time_to_empty_now", "node_power_supply_time_to_empty_seconds", "Estimated time to empty", Unit::Signed),
    gauge("time_to_full_now", "node_power_supply_time_to_full_seconds", "Estimated time to full", Unit::Signed),
    gauge("current_boot", "node_power_supply_current_boot", "Current at boot in amperes", MICRO),
    gauge("current_max", "node_power_supply_current_max", "Maximum current in amperes", MICRO),
    gauge("current_now", "node_power_supply_current_ampere", "Current in amperes", MICRO),
    gauge("energy_empty", "node_power_supply_energy_empty", "Energy when empty, in watt-hours", MICRO),
    gauge("energy_full", "node_power_supply_energy_full", "Energy when full, in watt-hours", MICRO),
    gauge(
        "energy_full_design",
        "node_power_supply_energy_full_design",
        "Design energy when full, in watt-hours",
        MICRO,
    ),
    gauge("energy_now", "node_power_supply_energy_watthour", "Energy in watt-hours", MICRO),
    gauge("voltage_boot", "node_power_supply_voltage_boot", "Voltage at boot in volts", MICRO),
    gauge("voltage_max", "node_power_supply_voltage_max", "Maximum voltage in volts", MICRO),
    gauge("voltage_max_design", "node_power_supply_voltage_max_design", "Maximum design voltage in volts", MICRO),
    gauge("voltage_min", "node_power_supply_voltage_min", "Minimum voltage in volts", MICRO),
    gauge("voltage_min_design", "node_power_supply_voltage_min_design", "Minimum design voltage in volts", MICRO),
    gauge("voltage_now", "node_power_supply_voltage_volt", "Voltage in volts", MICRO),
    gauge("voltage_ocv", "node_power_supply_voltage_ocv", "Open-circuit voltage in volts", MICRO),
    gauge("charge_control_limit", "node_power_supply_charge_control_limit", "Charge control limit", MICRO),
    gauge(
        "charge_control_limit_max",
        "node_power_supply_charge_control_limit_max",
        "Maximum charge control limit",
        MICRO,
    ),
    gauge("charge_counter", "node_power_supply_charge_counter", "Charge counter in ampere-hours", MICRO),
    gauge("charge_empty", "node_power_supply_charge_empty", "Charge when empty, in ampere-hours", MICRO),
    gauge("charge_full", "node_power_supply_charge_full", "Charge when full, in ampere-hours", MICRO),
    gauge(
        "charge_full_design",
        "node_power_supply_charge_full_design",
        "Design charge when full, in ampere-hours",
        MICRO,
    ),
    gauge("charge_now", "node_power_supply_charge_ampere", "Charge in ampere-hours", MICRO),
    gauge(
        "charge_term_current",
        "node_power_supply_charge_term_current",
        "Charge termination current in amperes",
        MICRO,
    ),
    gauge(
        "constant_charge_current",
        "node_power_supply_constant_charge_current",
        "Constant charge current in amperes",
        MICRO,
    ),
    gauge(
        "constant_charge_current_max",
        "node_power_supply_constant_charge_current_max",
        "Maximum constant charge current in amperes",
        MICRO,
    ),
    gauge(
        "constant_charge_voltage",
        "node_power_supply_constant_charge_voltage",
        "Constant charge voltage in volts",
        MICRO,
    ),
    gauge(
        "constant_charge_voltage_max",
        "node_power_supply_constant_charge_voltage_max",
        "Maximum constant charge voltage in volts",
        MICRO,
    ),
    gauge("precharge_current", "node_power_supply_precharge_current", "Precharge current in amperes", MICRO),
    gauge("input_current_limit", "node_power_supply_input_current_limit", "Input current limit in amperes", MICRO),
    gauge("power_now", "node_power_supply_power_watt", "Power in watts", MICRO),
    gauge("temp", "node_power_supply_temp_celsius", "Temperature in degrees Celsius", TENTH),
    gauge(
        "temp_alert_max",
        "node_power_supply_temp_alert_max_celsius",
        "Maximum temperature alert threshold in degrees Celsius",
        TENTH,
    ),
    gauge(
        "temp_alert_min",
        "node_power_supply_temp_alert_min_celsius",
        "Minimum temperature alert threshold in degrees Celsius",
        TENTH,
    ),
    gauge("temp_ambient", "node_power_supply_temp_ambient_celsius", "Ambient temperature in degrees Celsius", TENTH),
    gauge(
        "temp_ambient_max",
        "node_power_supply_temp_ambient_max_celsius",
        "Maximum ambient temperature alert threshold in degrees Celsius",
        TENTH,
    ),
    gauge(
        "temp_ambient_min",
        "node_power_supply_temp_ambient_min_celsius",
        "Minimum ambient temperature alert threshold in degrees Celsius",
        TENTH,
    ),
    gauge("temp_max", "node_power_supply_temp_max_celsius", "Maximum allowable temperature in degrees Celsius", TENTH),
    gauge("temp_min", "node_power_supply_temp_min_celsius", "Minimum allowable temperature in degrees Celsius", TENTH),
];
/// Names of both the files and the labels.
const INFO_LABELS: [&str; 13] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "notify_online",
    "power_supply",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];
const INFO: Family<13> = Family::gauge("node_power_supply_info", "Power supply, always 1", INFO_LABELS);
