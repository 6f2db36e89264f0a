//! Watchdog timers.

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/watchdog`: Documentation/ABI/testing/sysfs-class-watchdog.
pub(super) struct Watchdog {
    devices: Devices,
}

impl Collector for Watchdog {
    const ABOUT: About = About {
        name: "watchdog",
        summary: "watchdog timers",
        reads: &["/sys/class/watchdog/watchdog*/*"],
        needs: "CONFIG_WATCHDOG_SYSFS",
        families: &concat::<_, 8>(&[&infos!(ATTRIBUTES.family), &[INFO.info()]]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Watchdog { devices: host.devices("class/watchdog") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.devices.look(|_| true)? {
            reading.put_attributes(cx, device, ATTRIBUTES, [name]);
            let mut of = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let told = ["identity", "options", "pretimeout_governor", "state", "status"].map(&mut of);
            let [identity, options, governor, state, status] = told.each_ref().map(String::as_str);
            reading.put(&INFO, [identity, name, options, governor, state, status], 1u64);
        }
        Ok(())
    }
}

const fn gauge(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["name"], Unit::Signed)
}

const ATTRIBUTES: &[Attribute<1>] = &[
    gauge("access_cs0", "node_watchdog_access_cs0", "Which of two flash chips the host was started from."),
    gauge("bootstatus", "node_watchdog_bootstatus", "Flags of why the host was started."),
    gauge("fw_version", "node_watchdog_fw_version", "Version of the timer's firmware."),
    gauge("nowayout", "node_watchdog_nowayout", "Whether the timer cannot be stopped once it runs."),
    gauge("pretimeout", "node_watchdog_pretimeout_seconds", "Seconds before the end at which there is a warning."),
    gauge("timeleft", "node_watchdog_timeleft_seconds", "Seconds that are left."),
    gauge("timeout", "node_watchdog_timeout_seconds", "Seconds after which the host is started anew."),
];
const INFO: Family<6> = Family::gauge(
    "node_watchdog_info",
    "The timer; 1.",
    ["identity", "name", "options", "pretimeout_governor", "state", "status"],
);
