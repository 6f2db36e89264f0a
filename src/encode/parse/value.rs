//! Parses output that is a single value into Telegraf's points.

use std::borrow::Cow;

use super::line::{FieldValue, Point};

/// The type of a value. It is fixed, so that a field has one type for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueType {
    /// A 64-bit integer.
    #[default]
    Integer,
    /// A number.
    Float,
    /// The whole output without surrounding white space.
    String,
    /// `true`, `false`, `t`, `f`, `1` or `0`, as Go reads them.
    Boolean,
    /// The whole output, as base64.
    Base64,
}

impl ValueType {
    /// The type of Telegraf's name.
    pub fn named(name: &str) -> Option<ValueType> {
        match name {
            "" | "int" | "integer" => Some(ValueType::Integer),
            "float" | "long" => Some(ValueType::Float),
            "str" | "string" => Some(ValueType::String),
            "bool" | "boolean" => Some(ValueType::Boolean),
            "base64" => Some(ValueType::Base64),
            _ => None,
        }
    }
}

/// The point of an output, with the last word as the value of `field`; `None` without a word.
///
/// # Errors
/// The word is not of the type.
pub fn point(output: &[u8], of: ValueType, field: &str) -> Result<Option<Point<'static>>, String> {
    let text = String::from_utf8_lossy(output);
    let text = text.trim_matches('\0').trim();
    let word = text.split_whitespace().next_back();
    let value = match (of, word) {
        (_, None) => return Ok(None),
        (ValueType::Base64, _) => {
            FieldValue::Text(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, output).into())
        }
        (ValueType::String, _) => FieldValue::Text(Cow::Owned(text.to_owned())),
        (ValueType::Integer, Some(word)) => {
            FieldValue::Integer(word.parse().map_err(|_| expected("an integer", word))?)
        }
        (ValueType::Float, Some(word)) => {
            let number = word.parse().ok().filter(|number: &f64| number.is_finite());
            FieldValue::Float(number.ok_or_else(|| expected("a number", word))?)
        }
        (ValueType::Boolean, Some(word)) => FieldValue::Boolean(match word {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => return Err(expected("true or false", word)),
        }),
    };
    let fields = vec![(Cow::Owned(field.to_owned()), value)];
    Ok(Some(Point { measurement: Cow::Borrowed(""), tags: Vec::new(), fields, time: None }))
}

fn expected(what: &str, word: &str) -> String {
    let end = word.char_indices().nth(64).map_or(word.len(), |(end, _)| end);
    format!("expected {what}, found {:?}", &word[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(output: &str, of: &str) -> Result<Option<FieldValue<'static>>, String> {
        let point = point(output.as_bytes(), ValueType::named(of).unwrap(), "value")?;
        Ok(point.map(|mut point| point.fields.remove(0).1))
    }

    #[test]
    fn the_last_word_is_a_value_of_the_type() {
        let text = |text: &'static str| FieldValue::Text(text.into());
        for (output, of, value) in [
            ("x 42\n", "", FieldValue::Integer(42)),
            (" -7 \0", "integer", FieldValue::Integer(-7)),
            ("load: 1.50", "float", FieldValue::Float(1.5)),
            ("+3", "long", FieldValue::Float(3.0)),
            (" two words\n", "string", text("two words")),
            ("T", "bool", FieldValue::Boolean(true)),
            ("is 0", "boolean", FieldValue::Boolean(false)),
            ("ab\n", "base64", text("YWIK")),
        ] {
            assert_eq!(read(output, of), Ok(Some(value)), "{output:?} {of}");
        }
        for of in ["", "float", "string", "bool", "base64"] {
            assert_eq!(read(" \n\0", of), Ok(None), "{of}");
        }
    }

    #[test]
    fn another_type_is_an_error_and_never_another_field_type() {
        for (output, of, what) in [
            ("4.0", "integer", "expected an integer, found \"4.0\""),
            ("NaN", "float", "expected a number, found \"NaN\""),
            ("yes", "bool", "expected true or false, found \"yes\""),
        ] {
            assert_eq!(read(output, of), Err(what.to_owned()));
        }
        assert_eq!(ValueType::named("auto_integer"), None);
    }
}
