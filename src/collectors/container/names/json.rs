//! JSON from somebody else: what is readable is taken, and one bad entry costs itself.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::source::Failure;
use crate::host::Timestamp;

/// How many bytes of a text are taken.
pub(super) const MAX_TEXT: usize = 1024;

/// The entries of a list, yet to be read each for itself.
///
/// # Errors
/// If it is no list.
pub(super) fn list(text: &str) -> Result<Vec<&RawValue>, Failure> {
    // What has none for lists says null.
    let list: Option<Vec<&RawValue>> =
        serde_json::from_str(text).map_err(|error| Failure::other(format!("expected a JSON list: {error}")))?;
    Ok(list.unwrap_or_default())
}

/// The fields of an object, yet to be read each for itself.
///
/// # Errors
/// If it is no object.
pub(super) fn object(text: &str) -> Result<BTreeMap<String, &RawValue>, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::other(format!("expected a JSON object: {error}")))
}

/// The value, or null if it is not sound.
pub(super) fn value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// The string at `pointer` (RFC 6901), shortened; empty where there is none.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    shortened(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

/// The whole number at `pointer`.
pub(super) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The truth at `pointer`.
pub(super) fn truth(value: &Value, pointer: &str) -> Option<bool> {
    value.pointer(pointer).and_then(Value::as_bool)
}

/// The moment at `pointer`, as RFC 3339 writes it; none before 1970, which is how Go writes that there is none.
pub(super) fn moment(value: &Value, pointer: &str) -> Option<Timestamp> {
    timestamp(value.pointer(pointer).and_then(Value::as_str)?)
}

fn timestamp(text: &str) -> Option<Timestamp> {
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
    let moment = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let Timestamp(nanoseconds) = moment.into();
    let moment = nanoseconds.checked_sub(offset_seconds.checked_mul(NANOSECONDS)?)?;
    (moment > 0).then_some(Timestamp(moment))
}

/// At most [`MAX_TEXT`] bytes of the text, and no character in part.
pub(super) fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
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
        let numbers: Vec<_> = entries.into_iter().map(|raw| number(&value(raw), "/a")).collect();
        assert_eq!(numbers, [Some(1), None, None, None, Some(2)]);
        assert!(list("null").unwrap().is_empty());
        for odd in ["", "{}", "[", "[{]", "\"\""] {
            assert!(list(odd).is_err(), "{odd}");
        }
        assert!(object("[]").is_err());
    }
}
