//! Sensor chips: their names and files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::host::{Device, file};

/// A chip with its labels and the attributes of its sensors.
pub(super) struct Chip {
    /// Inode of the directory. Distinguishes chips of the same name.
    pub(super) inode: u64,
    /// Bus and device, see [`label`]. Chips of one device share it.
    label: String,
    /// The name that the driver reports.
    pub(super) name: Option<String>,
    pub(super) attributes: Vec<Attribute>,
    /// Path of the parent device below `/sys/devices`, such as `platform/coretemp.0`. Empty without a device.
    path: PathBuf,
    /// Bus address as libsensors appends it to the chip name: `isa-0000`.
    pub(super) address: String,
}

pub(super) struct Attribute {
    pub(super) file: String,
    pub(super) sensor: String,
    pub(super) kind: &'static str,
    pub(super) property: String,
}

impl Chip {
    pub(super) fn find(name: &str, inode: u64, device: &mut Device, buffer: &mut Vec<u8>) -> Chip {
        let mut attributes: Vec<Attribute> = device.names().into_iter().filter_map(Attribute::parse).collect();
        // Old drivers create the files in the directory of the device.
        let in_device = file::list(&device.path().join("device")).unwrap_or_default();
        for mut attribute in in_device.into_iter().filter_map(Attribute::parse) {
            if !attributes.iter().any(|known| known.file == attribute.file) {
                attribute.file = format!("device/{}", attribute.file);
                attributes.push(attribute);
            }
        }
        attributes.sort_by(|a, b| a.file.cmp(&b.file));
        let chip_name = device.string("name", buffer).or_else(|| device.string("device/name", buffer));
        // The text of the link may be `../..`.
        let parent = std::fs::canonicalize(device.path().join("device")).unwrap_or_default();
        let path = device.path().ancestors().nth(3).and_then(|sys| below_devices(sys, &parent)).unwrap_or_default();
        Chip {
            inode,
            label: label(&path, chip_name.as_deref()).unwrap_or_else(|| name.to_owned()),
            name: chip_name,
            attributes,
            path,
            address: address(&parent),
        }
    }

    /// Name of the parent device, such as `coretemp.0`. Empty without a device.
    pub(super) fn device(&self) -> String {
        file_name(&self.path)
    }

    /// The label with the name of the chip. Without a device the label is the name.
    fn with_name(&self) -> String {
        joined(&self.label, self.name.as_deref().filter(|_| !self.path.as_os_str().is_empty()))
    }

    /// The whole path of the device with the name of the chip.
    fn with_path(&self) -> String {
        joined(&clean(&self.path.to_string_lossy()), self.name.as_deref())
    }
}

impl Attribute {
    /// Parses a file name such as `temp1_crit` into sensor and property. `None` if it is not a sensor file.
    fn parse(file: String) -> Option<Attribute> {
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
        // A sensor without a number gets number 0.
        let number = if digits == 0 { "0" } else { &rest[..digits] };
        let sensor = format!("{kind}{number}");
        let property = rest[digits..].trim_start_matches('_').to_owned();
        Some(Attribute { sensor, kind, property, file })
    }
}

/// Path of a device below `devices` of sysfs, which may be a recorded one.
fn below_devices(sys: &Path, device: &Path) -> Option<PathBuf> {
    let sys = std::fs::canonicalize(sys).ok()?;
    let path = device.strip_prefix(sys).ok()?;
    Some(path.strip_prefix("devices").unwrap_or(path).to_owned())
}

/// Bus address of a chip, from its device or the nearest ancestor on a bus: libsensors' lib/sysfs.c.
fn address(device: &Path) -> String {
    let address_of = |path: &Path| {
        let bus = std::fs::read_link(path.join("subsystem")).ok()?;
        bus_address(bus.file_name()?.to_str()?, path.file_name()?.to_str()?)
    };
    device.ancestors().find_map(address_of).unwrap_or_else(|| "virtual-0".to_owned())
}

/// Bus address of a device of this name.
fn bus_address(bus: &str, name: &str) -> Option<String> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    Some(match bus {
        "i2c" => {
            let (adapter, address) = name.split_once('-')?;
            format!("i2c-{adapter}-{:02x}", hex(address)?)
        }
        "spi" => {
            let (controller, line) = name.strip_prefix("spi")?.split_once('.')?;
            format!("spi-{controller}-{line}")
        }
        "pci" => {
            let mut parts = name.split([':', '.']).map(hex);
            let [domain, number, slot, function] = std::array::from_fn(|_| parts.next().flatten());
            format!("pci-{:04x}", (domain? << 16) + (number? << 8) + (slot? << 3) + function?)
        }
        "platform" | "of_platform" => {
            let address = name.rsplit_once('.').and_then(|(_, address)| address.parse::<u32>().ok());
            format!("isa-{:04x}", address.unwrap_or(0))
        }
        "acpi" => "acpi-0".to_owned(),
        "hid" => {
            let (bus, rest) = name.split_once(':')?;
            format!("hid-{}-{:x}", hex(bus)?, hex(rest.rsplit('.').next()?)?)
        }
        "scsi" => {
            let mut parts = name.split(':').map(|part| part.parse::<u32>().ok());
            let [host, channel, target, _lun] = std::array::from_fn(|_| parts.next().flatten());
            format!("scsi-{}-{:x}", host?, (channel? << 8) + target?)
        }
        _ => return None,
    })
}

/// Bus and device name, otherwise the name of the chip.
fn label(device: &Path, chip_name: Option<&str>) -> Option<String> {
    // A device right below `devices` has this for its bus.
    let parent = device.parent().map(file_name).filter(|name| !name.is_empty()).unwrap_or_else(|| "devices".to_owned());
    let own = clean(&file_name(device));
    if own.is_empty() {
        return chip_name.map(clean).filter(|name| !name.is_empty());
    }
    Some(joined(&clean(&parent), Some(&own)))
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn joined(first: &str, name: Option<&str>) -> String {
    let parts = [first.to_owned(), name.map(clean).unwrap_or_default()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// Values of the `chip` label by directory. Where several chips share bus and device, the name of the chip follows. Where
/// that is shared too, devices differ by their paths, and chips of one device by their order. The number of the directory
/// is in none of them, as it depends on the order of probing.
pub(super) fn unique_labels(chips: &BTreeMap<String, Chip>) -> BTreeMap<&str, String> {
    let mut labels: BTreeMap<&str, String> =
        chips.iter().map(|(directory, chip)| (directory.as_str(), chip.label.clone())).collect();
    for directory in shared(&labels) {
        labels.insert(directory, chips[directory].with_name());
    }
    let before = labels.clone();
    for directory in shared(&labels) {
        let differs = |(other, label): (&&str, &String)| {
            *label == before[directory] && chips[*other].path != chips[directory].path
        };
        if before.iter().any(differs) {
            labels.insert(directory, chips[directory].with_path());
        }
    }
    let mut rest = shared(&labels);
    let files = |chip: &Chip| chip.attributes.iter().map(|attribute| attribute.file.clone()).collect::<Vec<_>>();
    // A driver registers the chips of a device in one order.
    rest.sort_by_cached_key(|directory| {
        let chip = &chips[*directory];
        (chip.path.clone(), files(chip), directory.len(), *directory)
    });
    let mut taken: BTreeSet<String> = labels.values().cloned().collect();
    for directory in rest {
        let label = &labels[directory];
        let unique = (1..).map(|number: usize| format!("{label}_{number}")).find(|label| !taken.contains(label));
        taken.extend(unique.clone());
        labels.extend(unique.map(|label| (directory, label)));
    }
    labels
}

/// The directories whose labels are not unique.
fn shared<'a>(labels: &BTreeMap<&'a str, String>) -> Vec<&'a str> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for label in labels.values() {
        *counts.entry(label).or_default() += 1;
    }
    labels.iter().filter(|(_, label)| counts[label.as_str()] > 1).map(|(directory, _)| *directory).collect()
}

pub(super) fn clean(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let cleaned: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' }).collect();
    cleaned.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_sensor_and_property() {
        let parse =
            |file: &str| Attribute::parse(file.to_owned()).map(|found| (found.sensor, found.kind, found.property));
        let some = |sensor: &str, kind, property: &str| Some((sensor.to_owned(), kind, property.to_owned()));
        assert_eq!(parse("temp1_input"), some("temp1", "temp", "input"));
        assert_eq!(parse("pwm1"), some("pwm1", "pwm", ""));
        assert_eq!(parse("pwm2_auto_point1_temp"), some("pwm2", "pwm", "auto_point1_temp"));
        assert_eq!(parse("in0_label"), some("in0", "in", "label"));
        assert_eq!(parse("intrusion0_alarm"), some("intrusion0", "intrusion", "alarm"));
        assert_eq!(parse("update_interval"), some("update_interval0", "update_interval", ""));
        for other in ["name", "uevent", "power", "inverse", "subsystem"] {
            assert!(parse(other).is_none() || other == "power", "{other}");
        }
    }

    /// Labels of chips, each with directory, device and name.
    fn labels(chips: &[(&str, &str, &str)]) -> Vec<String> {
        let chip = |(directory, device, name): &(&str, &str, &str)| {
            let (path, name) = (PathBuf::from(device), Some((*name).to_owned()));
            let label = label(&path, name.as_deref()).unwrap_or_else(|| (*directory).to_owned());
            let chip = Chip { inode: 0, label, name, attributes: Vec::new(), path, address: String::new() };
            ((*directory).to_owned(), chip)
        };
        let known: BTreeMap<String, Chip> = chips.iter().map(chip).collect();
        let labels = unique_labels(&known);
        chips.iter().map(|(directory, ..)| labels[directory].clone()).collect()
    }

    #[test]
    fn labels_of_chips_do_not_depend_on_probing() {
        let alone = labels(&[("hwmon7", "platform/coretemp.0", "coretemp"), ("hwmon8", "", "acpitz")]);
        assert_eq!(alone, ["platform_coretemp_0", "acpitz"]);
        let names = labels(&[("hwmon1", "platform/asus", "asus"), ("hwmon2", "platform/asus", "fan curve")]);
        assert_eq!(names, ["platform_asus_asus", "platform_asus_fan_curve"]);
        for [first, second] in [["hwmon4", "hwmon5"], ["hwmon9", "hwmon10"]] {
            let parents = [(first, "a/pl/e.1", "x"), (second, "b/pl/e.1", "x")];
            assert_eq!(labels(&parents), ["a_pl_e_1_x", "b_pl_e_1_x"]);
            let parents = [(second, "a/pl/e.1", "x"), (first, "b/pl/e.1", "x")];
            assert_eq!(labels(&parents), ["a_pl_e_1_x", "b_pl_e_1_x"]);
            let clean_names = [(second, "pl/e.1", "x"), (first, "pl/e_1", "x")];
            assert_eq!(labels(&clean_names), ["pl_e_1_x_1", "pl_e_1_x_2"]);
            let one_device = [(first, "pl/e", "x"), (second, "pl/e", "x")];
            assert_eq!(labels(&one_device), ["pl_e_x_1", "pl_e_x_2"]);
            assert_eq!(labels(&[(first, "", "acpitz"), (second, "", "acpitz")]), ["acpitz_1", "acpitz_2"]);
        }
        // A label with a name may be the label of another device, and one with a number that of a third.
        let meeting = [("hwmon1", "pl/e", "x"), ("hwmon2", "pl/e", "y"), ("hwmon3", "pl/e_x", "z")];
        assert_eq!(labels(&meeting), ["pl_e_x", "pl_e_y", "pl_e_x_z"]);
        let meeting = [("hwmon1", "pl/e", "x"), ("hwmon2", "pl/e", "x"), ("hwmon3", "pl/e_x_1", "z")];
        assert_eq!(labels(&meeting), ["pl_e_x_2", "pl_e_x_3", "pl_e_x_1"]);
    }

    #[test]
    fn chips_are_where_their_devices_are() {
        let addresses = [
            bus_address("i2c", "1-0048"),
            bus_address("pci", "0000:00:18.3"),
            bus_address("platform", "coretemp.1"),
            bus_address("platform", "nct6775.656"),
            bus_address("platform", "thinkpad_hwmon"),
            bus_address("hid", "0003:1B1C:0C10.0004"),
            bus_address("scsi", "2:0:0:0"),
            bus_address("nvme", "nvme0"),
            bus_address("pci", "odd"),
        ];
        let found = addresses.each_ref().map(|address| address.as_deref().unwrap_or("-"));
        assert_eq!(
            found,
            ["i2c-1-48", "pci-00c3", "isa-0001", "isa-0290", "isa-0000", "hid-3-4", "scsi-2-0", "-", "-"]
        );
    }
}
