//! JSON that other programs wrote, as structs in which a malformed field costs only itself.
//!
//! A struct derives `Deserialize` with `#[serde(default)]` and has [`Lenient`] fields. Fields that it does not name are
//! skipped without being stored.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The value, or the default if it has another form.
pub(crate) fn value<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

/// A field that is the default if it has another form, such as a text for a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lenient<T>(pub(crate) T);

impl<'de, T: DeserializeOwned + Default> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Lenient(value(<&RawValue>::deserialize(deserializer)?.get())))
    }
}

impl<T> Deref for Lenient<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_field_costs_only_itself() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct Outer {
            text: Lenient<String>,
            number: Lenient<Option<i64>>,
            inner: Lenient<Inner>,
        }
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        struct Inner {
            list: Lenient<Vec<Lenient<Option<bool>>>>,
        }
        let of = |text: &str| {
            let Outer { text, number, inner } = value(text);
            (text.0, number.0, inner.list.iter().map(|entry| entry.0).collect::<Vec<_>>())
        };
        let sound = ("a".to_owned(), Some(7), vec![Some(true), None, None]);
        assert_eq!(of(r#"{"x": [{}], "text": "a", "number": 7, "inner": {"list": [true, 1, null]}}"#), sound);
        assert_eq!(of(r#"{"text": 1, "number": 7, "inner": []}"#), (String::new(), Some(7), vec![]));
        assert_eq!(of(r#"{"text": "\ud800", "number": 7.5, "inner": {"list": {}}}"#), (String::new(), None, vec![]));
        assert_eq!(of(r#"{"text": "a", "number": 9223372036854775808}"#), ("a".to_owned(), None, vec![]));
        for text in ["", "{", "7", "null", r#"{"text": "a""#] {
            assert_eq!(of(text), (String::new(), None, vec![]), "{text}");
        }
    }
}
