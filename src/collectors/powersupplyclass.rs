//! Batteries, mains and other supplies of power.

use regex::Regex;

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/power_supply`: Documentation/ABI/testing/sysfs-class-power.
pub(super) struct Powersupplyclass {
    supplies: Devices,
    wanted: Filter,
}

const IGNORED_SUPPLIES: Key<Regex> = Key::new("ignored_supplies", "'^$'", "Supplies without families.");

impl Collector for Powersupplyclass {
    const ABOUT: About = About {
        name: "powersupplyclass",
        summary: "batteries, mains and other supplies of power",
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
            let mut told = TOLD.map(|file| device.string(file, cx.buffer).unwrap_or_default());
            // The label that stands between the others by its name.
            const POWER_SUPPLY: usize = 6;
            name.clone_into(&mut told[POWER_SUPPLY]);
            reading.put_info(&INFO, told.each_ref().map(String::as_str));
        }
        Ok(())
    }
}

const fn gauge(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["power_supply"], unit)
}

/// Microvolts, microamperes, microwatts and their hours.
const MICRO: Unit = Unit::Per(1e6);
/// Tenths of degrees.
const TENTH: Unit = Unit::Per(10.0);

const ATTRIBUTES: &[Attribute<1>] = &[
    gauge("authentic", "node_power_supply_authentic", "Whether the battery is an original one.", Unit::Plain),
    gauge("calibrate", "node_power_supply_calibrate", "Whether it is being calibrated.", Unit::Plain),
    gauge("capacity", "node_power_supply_capacity", "Charge in percent.", Unit::Signed),
    gauge(
        "capacity_alert_max",
        "node_power_supply_capacity_alert_max",
        "Charge in percent above which there is an alert.",
        Unit::Signed,
    ),
    gauge(
        "capacity_alert_min",
        "node_power_supply_capacity_alert_min",
        "Charge in percent below which there is an alert.",
        Unit::Signed,
    ),
    gauge("cycle_count", "node_power_supply_cyclecount", "Times that it was charged and discharged.", Unit::Signed),
    gauge("online", "node_power_supply_online", "Whether it supplies power.", Unit::Signed),
    gauge("present", "node_power_supply_present", "Whether it is there.", Unit::Signed),
    gauge("time_to_empty_now", "node_power_supply_time_to_empty_seconds", "Seconds until it is empty.", Unit::Signed),
    gauge("time_to_full_now", "node_power_supply_time_to_full_seconds", "Seconds until it is full.", Unit::Signed),
    gauge("current_boot", "node_power_supply_current_boot", "Current at the start, in amperes.", MICRO),
    gauge("current_max", "node_power_supply_current_max", "Highest current, in amperes.", MICRO),
    gauge("current_now", "node_power_supply_current_ampere", "Current in amperes.", MICRO),
    gauge("energy_empty", "node_power_supply_energy_empty", "Energy when it is empty, in watt-hours.", MICRO),
    gauge("energy_full", "node_power_supply_energy_full", "Energy when it is full, in watt-hours.", MICRO),
    gauge(
        "energy_full_design",
        "node_power_supply_energy_full_design",
        "Energy when it is full and new, in watt-hours.",
        MICRO,
    ),
    gauge("energy_now", "node_power_supply_energy_watthour", "Energy in watt-hours.", MICRO),
    gauge("voltage_boot", "node_power_supply_voltage_boot", "Voltage at the start.", MICRO),
    gauge("voltage_max", "node_power_supply_voltage_max", "Highest voltage.", MICRO),
    gauge("voltage_max_design", "node_power_supply_voltage_max_design", "Highest voltage that it is made for.", MICRO),
    gauge("voltage_min", "node_power_supply_voltage_min", "Lowest voltage.", MICRO),
    gauge("voltage_min_design", "node_power_supply_voltage_min_design", "Lowest voltage that it is made for.", MICRO),
    gauge("voltage_now", "node_power_supply_voltage_volt", "Voltage.", MICRO),
    gauge("voltage_ocv", "node_power_supply_voltage_ocv", "Voltage without load.", MICRO),
    gauge("charge_control_limit", "node_power_supply_charge_control_limit", "Limit of charging.", MICRO),
    gauge(
        "charge_control_limit_max",
        "node_power_supply_charge_control_limit_max",
        "Highest limit of charging.",
        MICRO,
    ),
    gauge(
        "charge_counter",
        "node_power_supply_charge_counter",
        "What the charge counter says, in ampere-hours.",
        MICRO,
    ),
    gauge("charge_empty", "node_power_supply_charge_empty", "Charge when it is empty, in ampere-hours.", MICRO),
    gauge("charge_full", "node_power_supply_charge_full", "Charge when it is full, in ampere-hours.", MICRO),
    gauge(
        "charge_full_design",
        "node_power_supply_charge_full_design",
        "Charge when it is full and new, in ampere-hours.",
        MICRO,
    ),
    gauge("charge_now", "node_power_supply_charge_ampere", "Charge in ampere-hours.", MICRO),
    gauge(
        "charge_term_current",
        "node_power_supply_charge_term_current",
        "Current at which charging ends, in amperes.",
        MICRO,
    ),
    gauge(
        "constant_charge_current",
        "node_power_supply_constant_charge_current",
        "Current that it is charged with, in amperes.",
        MICRO,
    ),
    gauge(
        "constant_charge_current_max",
        "node_power_supply_constant_charge_current_max",
        "Highest current that it is charged with, in amperes.",
        MICRO,
    ),
    gauge(
        "constant_charge_voltage",
        "node_power_supply_constant_charge_voltage",
        "Voltage that it is charged with.",
        MICRO,
    ),
    gauge(
        "constant_charge_voltage_max",
        "node_power_supply_constant_charge_voltage_max",
        "Highest voltage that it is charged with.",
        MICRO,
    ),
    gauge(
        "precharge_current",
        "node_power_supply_precharge_current",
        "Current at the start of charging, in amperes.",
        MICRO,
    ),
    gauge(
        "input_current_limit",
        "node_power_supply_input_current_limit",
        "Limit of the current that is taken, in amperes.",
        MICRO,
    ),
    gauge("power_now", "node_power_supply_power_watt", "Power in watts.", MICRO),
    gauge("temp", "node_power_supply_temp_celsius", "Temperature in degrees Celsius.", TENTH),
    gauge(
        "temp_alert_max",
        "node_power_supply_temp_alert_max_celsius",
        "Temperature above which there is an alert, in degrees Celsius.",
        TENTH,
    ),
    gauge(
        "temp_alert_min",
        "node_power_supply_temp_alert_min_celsius",
        "Temperature below which there is an alert, in degrees Celsius.",
        TENTH,
    ),
    gauge(
        "temp_ambient",
        "node_power_supply_temp_ambient_celsius",
        "Temperature around it, in degrees Celsius.",
        TENTH,
    ),
    gauge(
        "temp_ambient_max",
        "node_power_supply_temp_ambient_max_celsius",
        "Highest temperature around it, in degrees Celsius.",
        TENTH,
    ),
    gauge(
        "temp_ambient_min",
        "node_power_supply_temp_ambient_min_celsius",
        "Lowest temperature around it, in degrees Celsius.",
        TENTH,
    ),
    gauge("temp_max", "node_power_supply_temp_max_celsius", "Highest temperature, in degrees Celsius.", TENTH),
    gauge("temp_min", "node_power_supply_temp_min_celsius", "Lowest temperature, in degrees Celsius.", TENTH),
];
/// Files and labels alike.
const TOLD: [&str; 13] = [
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
const INFO: Family<13> = Family::gauge("node_power_supply_info", "The supply; 1.", TOLD);
