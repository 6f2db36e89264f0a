//! JSON from runtimes and Kubernetes. A malformed entry or field is skipped, the others are read.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::query::Failure;
use crate::encode::Timestamp;
pub(in super::super) use crate::json::{Lenient, value};

/// Maximum length of a text in bytes.
pub(in super::super) const MAX_TEXT: usize = 1024;

/// Entries of a list, unparsed.
///
/// # Errors
/// The text is not a list.
pub(in super::super) fn list(text: &str) -> Result<Vec<&RawValue>, Failure> {
    // Some servers return null for an empty list.
    let list: Option<Vec<&RawValue>> =
        serde_json::from_str(text).map_err(|error| Failure::other(format!("expected a JSON list: {error}")))?;
    Ok(list.unwrap_or_default())
}

/// Fields of an object, unparsed.
///
/// # Errors
/// The text is not an object.
pub(in super::super) fn object(text: &str) -> Result<BTreeMap<String, &RawValue>, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::other(format!("expected a JSON object: {error}")))
}

impl Lenient<String> {
    /// The text, truncated to [`MAX_TEXT`].
    pub(in super::super) fn text(&self) -> String {
        truncated(&self.0)
    }

    /// The timestamp, as parsed by [`timestamp`].
    pub(in super::super) fn timestamp(&self) -> Option<Timestamp> {
        timestamp(&self.0)
    }
}

/// Texts by name. Values of another type are empty.
pub(in super::super) type Texts = Lenient<BTreeMap<String, Lenient<Option<String>>>>;

impl Texts {
    /// The text of this name. Empty if absent.
    pub(in super::super) fn of(&self, name: &str) -> &str {
        self.get(name).and_then(|text| text.as_deref()).unwrap_or_default()
    }
}

/// Parses an RFC 3339 timestamp. `None` before 1970, as Go's zero time.
pub(in super::super) fn timestamp(text: &str) -> Option<Timestamp> {
    const NANOSECONDS: i64 = 1_000_000_000;
    let (local, offset_seconds) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let seconds = i64::from(hours.parse::<u8>().ok()?) * 3600 + i64::from(minutes.parse::<u8>().ok()?) * 60;
            (local, if offset.starts_with('-') { -seconds } else { seconds })
        }
    };
    let timestamp = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let Timestamp(nanoseconds) = timestamp.into();
    let timestamp = nanoseconds.checked_sub(offset_seconds.checked_mul(NANOSECONDS)?)?;
    (timestamp > 0).then_some(Timestamp(timestamp))
}

/// Truncates the text to [`MAX_TEXT`] bytes at a character boundary.
pub(in super::super) fn truncated(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn moments_are_read_with_any_offset() {
        let nanoseconds = |text| timestamp(text).map(|Timestamp(nanoseconds)| nanoseconds);
        assert_eq!(nanoseconds("1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(nanoseconds("2024-05-06T07:08:09.123456789Z"), Some(1_714_979_289_123_456_789));
        assert_eq!(nanoseconds("2024-05-06T09:08:09.123456789+02:00"), Some(1_714_979_289_123_456_789));
        assert_eq!(nanoseconds("2024-05-06T03:38:09-03:30"), Some(1_714_979_289_000_000_000));
        for none in ["0001-01-01T00:00:00Z", "", "+02:00", "2024", "2024-05-06T07:08:09+99999:00", "ü2024+ü"] {
            assert_eq!(nanoseconds(none), None, "{none}");
        }
    }

    #[test]
    fn a_bad_entry_costs_itself() {
        let entries = list(r#"[{"a": 1}, {"a": "\ud800"}, 7, null, {"a": 2}]"#).unwrap();
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Entry {
            a: Lenient<Option<i64>>,
        }
        let numbers: Vec<_> = entries.into_iter().map(|raw| *value::<Entry>(raw.get()).a).collect();
        assert_eq!(numbers, [Some(1), None, None, None, Some(2)]);
        assert!(list("null").unwrap().is_empty());
        for odd in ["", "{}", "[", "[{]", "\"\""] {
            assert!(list(odd).is_err(), "{odd}");
        }
        assert!(object("[]").is_err());
    }
}
