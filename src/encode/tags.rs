//! Tags that every point carries.

use std::collections::BTreeMap;

use super::name::Name;

/// The name that InfluxDB reserves for the timestamp. It rejects every point with a tag of this name.
pub const RESERVED_TAG: &str = "time";

/// The tags that every point carries: `host`, the configured ones, and those of the sink. A point's own tags override
/// them.
#[derive(Clone, Debug, Default)]
pub struct CommonTags {
    sorted: Vec<CommonTag>,
}

/// A tag in encoded form, shared by many points.
#[derive(Clone, Debug)]
pub struct CommonTag {
    key: String,
    value: String,
    /// `,key=value` in line protocol.
    line: Vec<u8>,
}

impl CommonTags {
    /// Common tags without those whose key or value is empty, or is empty after normalization.
    pub fn new(tags: &BTreeMap<String, String>) -> Self {
        let mut sorted: Vec<CommonTag> = tags.iter().filter_map(|(key, value)| CommonTag::new(key, value)).collect();
        sorted.sort_by(|one, other| one.key.cmp(&other.key));
        CommonTags { sorted }
    }

    /// These tags and `others`, which override them.
    pub fn and(&self, others: &BTreeMap<String, String>) -> CommonTags {
        let CommonTags { mut sorted } = CommonTags::new(others);
        let is_overridden = |tag: &CommonTag| sorted.iter().any(|other| other.key == tag.key);
        let remaining: Vec<CommonTag> = self.sorted.iter().filter(|tag| !is_overridden(tag)).cloned().collect();
        sorted.extend(remaining);
        sorted.sort_by(|one, other| one.key.cmp(&other.key));
        CommonTags { sorted }
    }

    /// The tags, by key.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, CommonTag> {
        self.sorted.iter()
    }
}

impl CommonTag {
    fn new(key: &str, value: &str) -> Option<CommonTag> {
        let (mut changed_key, mut changed_value) = (String::new(), String::new());
        let (key, value) = (Name::key(key, &mut changed_key), Name::key(value, &mut changed_value));
        let mut line = Vec::new();
        line.push(b',');
        key.push_key(&mut line);
        line.push(b'=');
        value.push_key(&mut line);
        let is_tag = !key.text().is_empty() && !value.text().is_empty();
        is_tag.then(|| CommonTag { key: key.text().to_owned(), value: value.text().to_owned(), line })
    }

    /// The key.
    pub fn key(&self) -> Name<'_> {
        Name::unchanged(&self.key)
    }

    pub(super) fn key_text(&self) -> &str {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> Name<'_> {
        Name::unchanged(&self.value)
    }

    /// `,key=value` in line protocol.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }
}
