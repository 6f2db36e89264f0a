//! The tags of points of block devices, under the names of Telegraf's `inputs.diskio`.

use std::collections::HashMap;

use crate::config::{Key, KeyInfo, Section};

/// udev properties of a device by name.
pub(super) type Properties = HashMap<String, String>;

const DEVICE_TAGS: Key<Vec<String>> =
    Key::new("device_tags", "[]", "udev properties that are tags, such as `ID_FS_LABEL`.");
const NAME_TEMPLATES: Key<Vec<String>> = Key::new(
    "name_templates",
    "[]",
    "Templates of the tag `name`, such as `$DM_VG_NAME/$DM_LV_NAME`; the first whose udev properties all exist is used.",
);
const SKIP_SERIAL_NUMBER: Key<bool> =
    Key::new("skip_serial_number", "true", "Leaves out the tag `serial`, the udev property `ID_SERIAL`.");

/// The settings.
pub(super) const KEYS: [KeyInfo; 3] = [DEVICE_TAGS.info(), NAME_TEMPLATES.info(), SKIP_SERIAL_NUMBER.info()];

/// Which tags the points have.
#[derive(Debug)]
pub(super) struct TagSettings {
    device_tags: Vec<String>,
    name_templates: Vec<String>,
    has_serial: bool,
}

impl TagSettings {
    pub(super) fn new(section: &mut Section<'_>) -> TagSettings {
        TagSettings {
            device_tags: section.get(&DEVICE_TAGS),
            name_templates: section.get(&NAME_TEMPLATES),
            has_serial: !section.get(&SKIP_SERIAL_NUMBER),
        }
    }

    /// Whether udev's properties are needed.
    pub(super) fn need_udev(&self) -> bool {
        self.has_serial || !self.device_tags.is_empty() || !self.name_templates.is_empty()
    }

    /// The tags of a device. Sorted; a property does not override one of the others.
    pub(super) fn of(&self, name: &str, wwid: &str, udev: &Properties) -> Vec<(String, String)> {
        let named = self.name_templates.iter().find_map(|template| expanded(template, udev));
        let mut tags = vec![("name".to_owned(), named.unwrap_or_else(|| name.to_owned()))];
        tags.push(("wwid".to_owned(), wwid.to_owned()));
        if self.has_serial {
            let serial = udev.get("ID_SERIAL").map_or("unknown", String::as_str);
            tags.push(("serial".to_owned(), serial.to_owned()));
        }
        let property = |key: &String| Some((key.clone(), udev.get(key)?.clone()));
        tags.extend(self.device_tags.iter().filter_map(property));
        tags.sort_by(|(one, _), (other, _)| one.cmp(other));
        tags.dedup_by(|(one, _), (other, _)| one == other);
        tags
    }
}

/// The template with the properties in place of `$NAME`. `None` if one is missing. `${NAME}` is the environment's in a
/// configuration.
fn expanded(template: &str, udev: &Properties) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let (name, behind) = after.split_at(after.find(|c| !is_part(c)).unwrap_or(after.len()));
        text.push_str(if name.is_empty() { "$" } else { udev.get(name)? });
        rest = behind;
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(all: &[(&str, &str)]) -> Properties {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn templates_need_all_of_their_properties() {
        let udev = properties(&[("DM_VG_NAME", "vg"), ("DM_LV_NAME", "root")]);
        let name = |template: &str| expanded(template, &udev);
        assert_eq!(name("$DM_VG_NAME/$DM_LV_NAME-x").as_deref(), Some("vg/root-x"));
        assert_eq!(name("$ID_FS_LABEL"), None);
        assert_eq!(name("a$ b").as_deref(), Some("a$ b"));
    }

    #[test]
    fn tags_are_sorted_and_the_name_is_the_first_template_that_fits() {
        let settings = TagSettings {
            device_tags: vec!["name".into(), "ID_FS_LABEL".into(), "ABSENT".into()],
            name_templates: vec!["$ABSENT".into(), "$ID_FS_LABEL".into()],
            has_serial: true,
        };
        let of = |udev: &Properties| {
            settings.of("sda", "w", udev).into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        let udev = properties(&[("ID_SERIAL", "S1"), ("ID_FS_LABEL", "data"), ("name", "x")]);
        assert_eq!(of(&udev), ["ID_FS_LABEL=data", "name=data", "serial=S1", "wwid=w"]);
        assert_eq!(of(&Properties::new()), ["name=sda", "serial=unknown", "wwid=w"]);
    }
}
