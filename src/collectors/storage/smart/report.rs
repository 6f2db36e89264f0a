//! What `smartctl --json` writes about a device (smartctl(8), smartmontools 7.0 and later).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::*;
use crate::encode::Timestamp;
use crate::json::Lenient;

/// Entries of one table, and of one object with names as keys, that are used; a disk has about 30.
pub(super) const MAX_ENTRIES: usize = 1024;

/// The output of smartctl. What a device lacks is absent or 0, and a field of another form is as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    pub(super) json_format_version: Lenient<Vec<u32>>,
    pub(super) smartctl: Lenient<Smartctl>,
    local_time: Lenient<LocalTime>,
    pub(super) device: Lenient<Device>,
    pub(super) vendor: Text,
    pub(super) model_family: Text,
    model_name: Text,
    pub(super) serial_number: Text,
    wwn: Lenient<Wwn>,
    pub(super) firmware_version: Text,
    pub(super) ata_additional_product_id: Text,
    pub(super) ata_version: Lenient<Named>,
    pub(super) sata_version: Lenient<Named>,
    pub(super) form_factor: Lenient<Named>,
    pub(super) scsi_vendor: Text,
    pub(super) scsi_product: Text,
    pub(super) scsi_model_name: Text,
    pub(super) scsi_revision: Text,
    pub(super) scsi_version: Text,
    pub(super) scsi_transport_protocol: Lenient<Named>,
    pub(super) scsi_protection_type: Number,
    pub(super) scsi_protection_interval_bytes_per_lb: Number,
    pub(super) scsi_grown_defect_list: Number,
    pub(super) scsi_start_stop_cycle_counter: Lenient<StartStop>,
    pub(super) scsi_error_counter_log: Lenient<ErrorCounters>,
    pub(super) user_capacity: Lenient<Capacity>,
    pub(super) nvme_total_capacity: Number,
    pub(super) logical_block_size: Number,
    pub(super) physical_block_size: Number,
    pub(super) rotation_rate: Number,
    pub(super) interface_speed: Lenient<Speeds>,
    pub(super) smart_support: Lenient<Support>,
    pub(super) smart_status: Lenient<Status>,
    pub(super) temperature: Lenient<BTreeMap<String, Number>>,
    pub(super) power_on_time: Lenient<PowerOn>,
    pub(super) power_cycle_count: Number,
    power_mode: Lenient<Named>,
    ata_smart_attributes: Lenient<Attributes>,
    ata_device_statistics: Lenient<Pages>,
    sata_phy_event_counters: Lenient<Statistics>,
    pub(super) ata_sct_status: Lenient<SctStatus>,
    pub(super) ata_sct_erc: Lenient<BTreeMap<String, Lenient<Erc>>>,
    pub(super) ata_smart_error_log: Lenient<BTreeMap<String, Lenient<Log>>>,
    pub(super) ata_smart_self_test_log: Lenient<BTreeMap<String, Lenient<Log>>>,
    pub(super) nvme_smart_health_information_log: Lenient<Option<NvmeLog>>,
}

/// Why the exit status says that there are no data: bit 0 is an error of the command line, bit 1 a device that was not
/// opened. All other bits are about the device.
const NO_DATA: i64 = 0b11;

/// What a device said.
#[derive(Debug)]
pub(super) enum Reply {
    Data(Box<Report>),
    /// It is in this power mode, such as `STANDBY`, and was left alone.
    Asleep(Box<Report>, String),
}

impl Reply {
    /// Reads the output of smartctl, or the file that has it.
    ///
    /// # Errors
    /// It is no such output, or smartctl could not read the device.
    pub(super) fn parse(output: &[u8]) -> Result<Reply, String> {
        let report: Report = serde_json::from_slice(cleaned(output)).map_err(|error| malformed(output, &error))?;
        if let Some(mode) = report.power_mode().filter(|_| report.has_no_data()) {
            return Ok(Reply::Asleep(Box::new(report), mode));
        }
        if report.has_no_data() {
            return Err(report.smartctl.errors());
        }
        if report.device.name.is_empty() {
            return Err("expected JSON of smartctl, found no device.name".to_owned());
        }
        Ok(Reply::Data(Box::new(report)))
    }
}

/// What is wrong with an output that is no JSON: that of an earlier smartctl has text.
fn malformed(output: &[u8], error: &serde_json::Error) -> String {
    let text = String::from_utf8_lossy(&output[..output.len().min(400)]);
    match text.trim_start().lines().next() {
        Some(line) if !line.starts_with(['{', '[']) => {
            let line: String = line.escape_debug().take(100).collect();
            format!("expected JSON of smartctl 7.0 or later, found \"{line}\"")
        }
        _ => format!("expected JSON of smartctl: {error}"),
    }
}

/// The devices of `smartctl --scan --json`.
///
/// # Errors
/// It is no such output, or smartctl failed.
pub(super) fn scanned(output: &[u8]) -> Result<Vec<Device>, String> {
    let scan: Scan = serde_json::from_slice(output).map_err(|error| malformed(output, &error))?;
    // Bit 1 is a device that is asleep.
    if scan.smartctl.exit_status.integer().unwrap_or(0) & 1 != 0 {
        return Err(scan.smartctl.errors());
    }
    let Lenient(devices) = scan.devices;
    Ok(devices.into_iter().map(|Lenient(device)| device).filter(|device| !device.name.is_empty()).collect())
}

/// The JSON without a line that smartctl before 7.3 writes in front of it.
fn cleaned(output: &[u8]) -> &[u8] {
    let start = output.iter().position(|byte| *byte == b'{').unwrap_or(0);
    output.get(start..).unwrap_or_default()
}

impl Smartctl {
    /// The messages about errors.
    fn errors(&self) -> String {
        let errors = self.messages.iter().filter(|message| &*message.severity != "information");
        let texts: Vec<&str> = errors.map(|message| &*message.string).take(4).collect();
        match texts.is_empty() {
            true => format!("exit status {} of smartctl", self.exit_status.integer().unwrap_or(0)),
            false => texts.join("; "),
        }
    }
}

impl Report {
    fn has_no_data(&self) -> bool {
        self.smartctl.exit_status.integer().unwrap_or(0) & NO_DATA != 0
    }

    /// The power mode, if it was reported: `Device is in STANDBY mode, exit(2)`.
    pub(super) fn power_mode(&self) -> Option<String> {
        if !self.power_mode.string.is_empty() {
            return Some(self.power_mode.string.0.clone());
        }
        self.smartctl.messages.iter().find_map(|message| {
            let mode = message.string.strip_prefix("Device is in ")?.split_once(" mode")?.0;
            Some(mode.split(' ').next().unwrap_or(mode).to_owned())
        })
    }

    /// When smartctl ran.
    pub(super) fn time(&self) -> Option<Timestamp> {
        Timestamp::from_seconds(self.local_time.time_t.above_zero()?)
    }

    /// The label `device`, as smartctl_exporter has it.
    pub(super) fn label(&self) -> String {
        label(&self.device.name, &self.device.r#type)
    }

    pub(super) fn model(&self) -> &str {
        if self.model_name.is_empty() { &self.scsi_model_name } else { &self.model_name }
    }

    /// The world wide name in hexadecimal digits; empty if there is none.
    pub(super) fn wwn(&self) -> String {
        let part = |number: Number| number.above_zero();
        match (part(self.wwn.naa), part(self.wwn.oui), part(self.wwn.id)) {
            (Some(naa), Some(oui), Some(id)) => format!("{naa:01x}{oui:06x}{id:09x}"),
            _ => String::new(),
        }
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.ata_smart_attributes.table.iter().map(|attribute| &**attribute).take(MAX_ENTRIES)
    }

    /// All statistics, with their tables.
    pub(super) fn statistics(&self) -> impl Iterator<Item = (&str, &Statistic)> {
        let pages = self.ata_device_statistics.pages.iter();
        // The names in vendors' pages are not unique.
        let pages = pages.filter(|page| &*page.name != "Vendor Specific Statistics");
        let of_pages = pages.flat_map(|page| page.table.iter().map(|statistic| (&*page.name, &**statistic)));
        let of_phy = self.sata_phy_event_counters.table.iter();
        of_pages.chain(of_phy.map(|statistic| ("SATA PHY Event Counters", &**statistic))).take(MAX_ENTRIES)
    }
}

impl Attribute {
    /// The raw value as smartctl prints it: `34 (Min/Max 20/45)` is 34, `7/1200` 7, and `182h+39m+24.879s` seconds.
    pub(super) fn raw(&self) -> Option<i64> {
        let text = self.raw.string.split([' ', '/']).next().unwrap_or_default();
        text.parse().ok().or_else(|| seconds(text)).or_else(|| self.raw.value.integer())
    }
}

/// The seconds of a duration such as `182h+39m+24.879s`.
fn seconds(text: &str) -> Option<i64> {
    let parts = text.split('+').map(|part| {
        let (unit, number) = (part.chars().last()?, part.get(..part.len().checked_sub(1)?)?);
        let number: i64 = number.split('.').next()?.parse().ok()?;
        number.checked_mul(match unit {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        })
    });
    parts.sum()
}

impl Flags {
    /// The names of the flags of an attribute that are set.
    pub(super) fn of_attribute(&self) -> String {
        joined(&[
            ("prefailure", *self.prefailure),
            ("updated_online", *self.updated_online),
            ("performance", *self.performance),
            ("error_rate", *self.error_rate),
            ("event_count", *self.event_count),
            ("auto_keep", *self.auto_keep),
        ])
    }

    /// The names of the flags of a statistic that are set.
    pub(super) fn of_statistic(&self) -> String {
        joined(&[
            ("valid", *self.valid),
            ("normalized", *self.normalized),
            ("supports_dsn", *self.supports_dsn),
            ("monitored_condition_met", *self.monitored_condition_met),
        ])
    }
}

fn joined(flags: &[(&str, bool)]) -> String {
    let set: Vec<&str> = flags.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect();
    set.join(",")
}

/// The label of a device: its name without the folder, and its type if that selects one of several disks.
pub(super) fn label(name: &str, of_type: &str) -> String {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let name = ["disk/by-id/", "disk/by-path/"].iter().find_map(|folder| name.strip_prefix(folder)).unwrap_or(name);
    let name = name.replace('/', "_");
    if of_type.contains(',') { format!("{name}_{}", of_type.replace(',', "_")) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> Report {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn devices_have_the_labels_of_smartctl_exporter() {
        for (name, of_type, expected) in [
            ("/dev/sda", "sat", "sda"),
            ("/dev/bus/0", "megaraid,1", "bus_0_megaraid_1"),
            ("/dev/bus/0", "sat+megaraid,1", "bus_0_sat+megaraid_1"),
            ("/dev/disk/by-id/wwn-0x5", "sat", "wwn-0x5"),
            ("/dev/nvme0", "nvme", "nvme0"),
        ] {
            assert_eq!(label(name, of_type), expected);
        }
    }

    #[test]
    fn raw_values_are_integers_of_one_meaning() {
        let raw = |text: &str| {
            let json =
                format!(r#"{{"ata_smart_attributes":{{"table":[{{"raw":{{"value":99,"string":"{text}"}}}}]}}}}"#);
            let report = report(&json);
            report.attributes().next().unwrap().raw()
        };
        for (text, expected) in [
            ("34 (Min/Max 20/45)", 34),
            ("7/1200", 7),
            ("182h+39m+24.879s", 657_564),
            ("5h", 18_000),
            ("odd", 99),
            ("", 99),
        ] {
            assert_eq!(raw(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn only_two_bits_of_the_exit_status_are_failures() {
        let reply = |status: u32, more: &str| {
            let text = format!(r#"{{"smartctl":{{"exit_status":{status}{more}}},"device":{{"name":"/dev/sda"}}}}"#);
            Reply::parse(text.as_bytes())
        };
        for status in [0, 4, 8, 16, 32, 64, 128, 252] {
            assert!(matches!(reply(status, ""), Ok(Reply::Data(_))), "{status}");
        }
        let open =
            r#","messages":[{"string":"Smartctl open device: /dev/sda failed: Permission denied","severity":"error"}]"#;
        assert_eq!(reply(2, open).unwrap_err(), "Smartctl open device: /dev/sda failed: Permission denied");
        assert_eq!(reply(1, "").unwrap_err(), "exit status 1 of smartctl");
        let asleep = r#","messages":[{"string":"Device is in STANDBY (OS) mode, exit(2)","severity":"information"}]"#;
        assert!(matches!(reply(2, asleep), Ok(Reply::Asleep(_, mode)) if mode == "STANDBY"));
        for text in ["", "{", "[]", "smartctl 5.41", "{}"] {
            assert!(Reply::parse(text.as_bytes()).unwrap_err().starts_with("expected JSON of smartctl"), "{text}");
        }
        let error = scanned(b"smartctl 6.6 2017-11-05 r4594\n\nERROR: smartctl requires").unwrap_err();
        assert_eq!(error, "expected JSON of smartctl 7.0 or later, found \"smartctl 6.6 2017-11-05 r4594\"");
    }

    #[test]
    fn what_is_odd_costs_itself() {
        let text = r#"{"smartctl":{"exit_status":0,"messages":7},"device":{"name":"/dev/sda","type":1},
            "temperature":{"current":"hot","drive_trip":65},"wwn":{"naa":5,"oui":3152,"id":"x"},"user_capacity":[],
            "ata_smart_attributes":{"table":[7,{"id":5,"name":"Reallocated_Sector_Ct","raw":[]}]}}"#;
        let Ok(Reply::Data(report)) = Reply::parse(text.as_bytes()) else { panic!() };
        assert_eq!((report.temperature["drive_trip"].integer(), report.temperature["current"].0), (Some(65), None));
        assert_eq!((report.wwn(), report.attributes().count()), (String::new(), 2));
    }

    #[test]
    fn a_scan_lists_devices() {
        let text = r#"{"smartctl":{"exit_status":2},"devices":[{"name":"/dev/sda","type":"scsi"},{},
            {"name":"/dev/bus/0","type":"megaraid,1","protocol":"SCSI"}]}"#;
        let found = scanned(text.as_bytes()).unwrap();
        assert_eq!(found.iter().map(|device| device.name.0.as_str()).collect::<Vec<_>>(), ["/dev/sda", "/dev/bus/0"]);
        assert!(scanned(br#"{"smartctl":{"exit_status":1}}"#).is_err());
    }
}
