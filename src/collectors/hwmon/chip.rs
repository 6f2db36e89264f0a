//! A chip of sensors: what it is called, and which files it has.

use std::path::Path;

use crate::host::{Device, file};

/// A chip: its labels, and the attributes of its sensors.
pub(super) struct Chip {
    /// The directory's number, by which another chip of the same name is told apart.
    pub(super) inode: u64,
    pub(super) label: String,
    pub(super) attributes: Vec<Attribute>,
    /// The device's own name, such as `coretemp.0`; empty if it is of none.
    pub(super) device: String,
    /// Where it is, as libsensors writes it behind a chip's name: `isa-0000`.
    pub(super) place: String,
}

pub(super) struct Attribute {
    pub(super) file: String,
    pub(super) sensor: String,
    pub(super) kind: &'static str,
    pub(super) property: String,
}

impl Chip {
    pub(super) fn find(name: &str, inode: u64, device: &mut Device, buffer: &mut Vec<u8>) -> Chip {
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
        let (own, place) = (own_name(device.path()), place(device.path()));
        Chip { inode, label: label(name, device, buffer), attributes, device: own, place }
    }
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

/// The name of the device that a chip is of.
fn own_name(chip: &Path) -> String {
    let target = std::fs::read_link(chip.join("device")).unwrap_or_default();
    target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Where a chip is, by the bus of the device that it is of, or else of the next above: libsensors' lib/sysfs.c.
fn place(chip: &Path) -> String {
    let device = std::fs::canonicalize(chip.join("device")).unwrap_or_default();
    let place_of = |path: &Path| {
        let bus = std::fs::read_link(path.join("subsystem")).ok()?;
        place_on(bus.file_name()?.to_str()?, path.file_name()?.to_str()?)
    };
    device.ancestors().find_map(place_of).unwrap_or_else(|| "virtual-0".to_owned())
}

/// The place of a device of this name on a bus.
fn place_on(bus: &str, name: &str) -> Option<String> {
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

    #[test]
    fn chips_are_where_their_devices_are() {
        let places = [
            place_on("i2c", "1-0048"),
            place_on("pci", "0000:00:18.3"),
            place_on("platform", "coretemp.1"),
            place_on("platform", "nct6775.656"),
            place_on("platform", "thinkpad_hwmon"),
            place_on("hid", "0003:1B1C:0C10.0004"),
            place_on("scsi", "2:0:0:0"),
            place_on("nvme", "nvme0"),
            place_on("pci", "odd"),
        ];
        let told = places.each_ref().map(|place| place.as_deref().unwrap_or("-"));
        assert_eq!(told, ["i2c-1-48", "pci-00c3", "isa-0001", "isa-0290", "isa-0000", "hid-3-4", "scsi-2-0", "-", "-"]);
    }
}
