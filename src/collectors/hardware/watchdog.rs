//! Watchdog timers.

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
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
            let mut attribute = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let values = ["identity", "options", "pretimeout_governor", "state", "status"].map(&mut attribute);
            let [identity, options, governor, state, status] = values.each_ref().map(String::as_str);
            reading.put(&INFO, [identity, name, options, governor, state, status], 1u64);
        }
        Ok(())
    }
}

const fn gauge(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["name"], Unit::Signed)
}

const ATTRIBUTES: &[Attribute<1>] = &[
    gauge("access_cs0", "node_watchdog_access_cs0", "1 if the host booted from the alternate flash chip (access_cs0)"),
    gauge("bootstatus", "node_watchdog_bootstatus", "Boot status flags of the watchdog"),
    gauge("fw_version", "node_watchdog_fw_version", "Firmware version of the watchdog"),
    gauge("nowayout", "node_watchdog_nowayout", "1 if the watchdog cannot be stopped once started (nowayout)"),
    gauge("pretimeout", "node_watchdog_pretimeout_seconds", "Pretimeout in seconds"),
    gauge("timeleft", "node_watchdog_timeleft_seconds", "Time left before a reset, in seconds"),
    gauge("timeout", "node_watchdog_timeout_seconds", "Timeout in seconds"),
];
const INFO: Family<6> = Family::gauge(
    "node_watchdog_info",
    "Watchdog, always 1",
    ["identity", "name", "options", "pretimeout_governor", "state", "status"],
);
