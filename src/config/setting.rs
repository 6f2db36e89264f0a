//! The types that settings have.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

use super::value::{Node, Position, Value};

/// A type that a setting can have.
pub trait Setting: Sized {
    /// The expected value, for errors and the documentation.
    const EXPECTED: &'static str;
    /// A list of such values, likewise.
    const EXPECTED_LIST: &'static str = "a list";
    /// Whether the value is hidden in messages.
    const SECRET: bool = false;

    /// Converts a value.
    ///
    /// # Errors
    /// The reason, in addition to not being [`Setting::EXPECTED`]; empty for a value of another type.
    fn from_value(value: &Value) -> Result<Self, String>;

    /// What the user probably means by an invalid value, as TOML, such as `":9100"` for the number 9100. By default, the
    /// value in lower case if that is valid.
    fn suggestion(value: &Value) -> Option<String> {
        let lower = String::from_value(value).ok()?.to_lowercase();
        let is_valid = !Self::SECRET && Self::from_value(&Value::String(lower.clone())).is_ok();
        is_valid.then(|| format!("{lower:?}"))
    }

    /// Converts a value. A list reports each of its elements that is invalid.
    ///
    /// # Errors
    /// What is invalid, and where.
    fn from_node(node: &Node) -> Result<Self, Vec<Mismatch>> {
        Self::from_value(&node.value).map_err(|reason| vec![Mismatch::new::<Self>(node, &reason)])
    }
}

/// A value that is not what its setting expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The element of the setting, such as `[0]`; empty for the setting itself.
    pub element: String,
    /// Where it is.
    pub position: Position,
    /// Expected and found.
    pub message: String,
}

impl Mismatch {
    /// A value that is not what `T` expects, and the reason if there is one.
    pub(super) fn new<T: Setting>(node: &Node, reason: &str) -> Self {
        let because = because::<T>(&node.value, reason);
        let found = if T::SECRET { "something else".to_owned() } else { node.value.describe() };
        let message = format!("expected {}, found {found}{because}", T::EXPECTED);
        Mismatch { element: String::new(), position: node.position.clone(), message }
    }

    /// The same, in the element `index` of a list.
    fn within(self, index: usize) -> Self {
        Mismatch { element: format!("[{index}]{}", self.element), ..self }
    }
}

/// Parses an argument of the command line as a setting.
///
/// # Errors
/// What was expected, and the reason or a suggestion.
pub fn argument<T: Setting>(text: &str) -> Result<T, String> {
    let value = Value::String(text.to_owned());
    T::from_value(&value).map_err(|reason| format!("expected {}{}", T::EXPECTED, because::<T>(&value, &reason)))
}

/// The suggestion for an invalid value, or else the reason; in parentheses, if there is one.
fn because<T: Setting>(value: &Value, reason: &str) -> String {
    match T::suggestion(value) {
        Some(suggestion) => format!(" (write {suggestion})"),
        None if reason.is_empty() => String::new(),
        None => format!(" ({reason})"),
    }
}

/// The number in a string, if it is valid without the quotes.
fn without_quotes<T: Setting>(value: &Value) -> Option<String> {
    let number: i64 = String::from_value(value).ok()?.parse().ok()?;
    T::from_value(&Value::Integer(number)).ok().map(|_| number.to_string())
}

fn wrong_kind<T>() -> Result<T, String> {
    Err(String::new())
}

impl Setting for String {
    const EXPECTED: &'static str = "a string";
    const EXPECTED_LIST: &'static str = "a list of strings";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(text.clone()),
            _ => wrong_kind(),
        }
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_value(value: &Value) -> Result<Self, String> {
        match String::from_value(value)? {
            text if text.contains('\n') => Err("it has several lines, as the text of a file has".to_owned()),
            path => Ok(PathBuf::from(path)),
        }
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Boolean(flag) => Ok(*flag),
            _ => wrong_kind(),
        }
    }

    fn suggestion(value: &Value) -> Option<String> {
        match String::from_value(value).ok()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some("true".to_owned()),
            "false" | "no" | "off" => Some("false".to_owned()),
            _ => None,
        }
    }
}

/// A count, at least 1.
impl Setting for usize {
    const EXPECTED: &'static str = "a positive integer";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) if *number > 0 => usize::try_from(*number).map_err(|_| String::new()),
            _ => wrong_kind(),
        }
    }

    fn suggestion(value: &Value) -> Option<String> {
        without_quotes::<Self>(value)
    }
}

/// Any integer.
impl Setting for i64 {
    const EXPECTED: &'static str = "an integer";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => Ok(*number),
            _ => wrong_kind(),
        }
    }

    fn suggestion(value: &Value) -> Option<String> {
        without_quotes::<Self>(value)
    }
}

/// A count that may be 0.
impl Setting for u32 {
    const EXPECTED: &'static str = "an integer of at least 0";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => u32::try_from(*number).map_err(|_| match number {
                ..0 => String::new(),
                _ => format!("it is at most {}", u32::MAX),
            }),
            _ => wrong_kind(),
        }
    }

    fn suggestion(value: &Value) -> Option<String> {
        without_quotes::<Self>(value)
    }
}

/// An amount above zero.
impl Setting for f64 {
    const EXPECTED: &'static str = "a positive number";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) if *number > 0 => Ok(*number as f64),
            Value::Float(number) if *number > 0.0 && number.is_finite() => Ok(*number),
            _ => wrong_kind(),
        }
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as \"10s\" or \"1m 30s\"";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => duration(text),
            Value::Integer(number @ 0..) => Err(without_unit(number)),
            _ => wrong_kind(),
        }
    }
}

/// Parses a duration such as `1m 30s`, of at most 100 years, so that adding it to a time does not overflow.
///
/// # Errors
/// Why it is invalid, or empty.
pub fn duration(text: &str) -> Result<Duration, String> {
    use humantime::DurationError;
    const MAX: Duration = Duration::from_secs(100 * 31_557_600);
    const TOO_LONG: &str = "it is longer than 100 years";
    match humantime::parse_duration(text) {
        Ok(duration) if duration > MAX => Err(TOO_LONG.to_owned()),
        Ok(duration) => Ok(duration),
        Err(DurationError::UnknownUnit { unit, value, .. }) if unit.is_empty() => Err(without_unit(&value)),
        Err(DurationError::UnknownUnit { unit, .. }) => {
            Err(format!("{unit:?} is not a unit; units are ms, s, m, h, d and w"))
        }
        Err(DurationError::NumberOverflow) => Err(TOO_LONG.to_owned()),
        Err(_) => Err(String::new()),
    }
}

fn without_unit(number: &impl fmt::Display) -> String {
    format!("without a unit: \"{number}s\", \"{number}m\", \"{number}h\" or \"{number}d\"")
}

/// Permissions of a file, such as 0o640.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Setting for FileMode {
    const EXPECTED: &'static str = "permissions in octal, such as \"0660\"";

    fn from_value(value: &Value) -> Result<Self, String> {
        const MAX: u32 = 0o777;
        let mode = u32::from_str_radix(&String::from_value(value)?, 8).map_err(|_| String::new())?;
        if mode > MAX { Err("at most 0777".to_owned()) } else { Ok(FileMode(mode)) }
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

impl Setting for ByteSize {
    const EXPECTED: &'static str = "a size such as \"512KiB\" or \"8MiB\"";

    fn from_value(value: &Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let factor: usize = match text[digits..].trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            _ => return wrong_kind(),
        };
        let number: usize = text[..digits].parse().map_err(|_| String::new())?;
        number.checked_mul(factor).filter(|size| *size > 0).map(ByteSize).ok_or_else(String::new)
    }

    /// For units in another case or of one letter, and for bytes as a number.
    fn suggestion(value: &Value) -> Option<String> {
        let (number, unit) = match value {
            Value::Integer(bytes @ 1..) => (bytes.to_string(), "B"),
            Value::String(text) => {
                let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
                    "b" => "B",
                    "kb" => "kB",
                    "k" | "kib" => "KiB",
                    "mb" => "MB",
                    "m" | "mib" => "MiB",
                    "gb" => "GB",
                    "g" | "gib" => "GiB",
                    _ => return None,
                };
                (text[..digits].to_owned(), unit)
            }
            _ => return None,
        };
        let size = format!("{number}{unit}");
        ByteSize::from_value(&Value::String(size.clone())).ok().map(|_| format!("{size:?}"))
    }
}

impl Setting for Regex {
    const EXPECTED: &'static str = "a regular expression";

    fn from_value(value: &Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        Regex::new(&text).map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())
    }
}

impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = T::EXPECTED_LIST;
    const SECRET: bool = T::SECRET;

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(items) => items.iter().map(|item| T::from_value(&item.value)).collect(),
            Value::String(_) if !T::SECRET => Err(T::from_value(value).err().unwrap_or_default()),
            _ => wrong_kind(),
        }
    }

    fn suggestion(value: &Value) -> Option<String> {
        let element = match value {
            Value::String(text) if !T::SECRET && T::from_value(value).is_ok() => Some(format!("{text:?}")),
            _ => T::suggestion(value),
        };
        element.map(|element| format!("[{element}]"))
    }

    fn from_node(node: &Node) -> Result<Self, Vec<Mismatch>> {
        let Value::Array(items) = &node.value else {
            return Self::from_value(&node.value).map_err(|reason| vec![Mismatch::new::<Self>(node, &reason)]);
        };
        let (mut list, mut mismatches) = (Vec::with_capacity(items.len()), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match T::from_node(item) {
                Ok(element) => list.push(element),
                Err(found) => mismatches.extend(found.into_iter().map(|mismatch| mismatch.within(index))),
            }
        }
        if mismatches.is_empty() { Ok(list) } else { Err(mismatches) }
    }
}

/// A password or token; never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Secret(secret.into())
    }

    /// A secret of one line, as headers require.
    ///
    /// # Errors
    /// If it has control characters. The message omits the secret.
    pub fn of_one_line(secret: impl Into<String>) -> Result<Self, &'static str> {
        let secret = secret.into();
        match secret.contains(|c: char| c.is_control() && c != '\t') {
            true => Err("a secret is one line, and this has a line break or another control character inside"),
            false => Ok(Secret(secret)),
        }
    }

    /// The plain text, for the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "a string";
    const SECRET: bool = true;

    fn from_value(value: &Value) -> Result<Self, String> {
        Secret::of_one_line(String::from_value(value)?).map_err(str::to_owned)
    }
}

/// A secret of several lines, such as a PEM key; never shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretText(Secret);

impl SecretText {
    /// The plain text.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl Setting for SecretText {
    const EXPECTED: &'static str = Secret::EXPECTED;
    const SECRET: bool = true;

    fn from_value(value: &Value) -> Result<Self, String> {
        String::from_value(value).map(|text| SecretText(Secret(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from<T: Setting>(text: &str) -> Result<T, String> {
        T::from_value(&Value::String(text.to_owned()))
    }

    #[test]
    fn sizes_and_durations_are_read_as_people_write_them() {
        assert_eq!(from::<ByteSize>("8MiB"), Ok(ByteSize(8 << 20)));
        assert_eq!(from::<ByteSize>("10 kB"), Ok(ByteSize(10_000)));
        for wrong in ["", "MiB", "1XB", "-1", "0", "99999999999999999999GiB"] {
            assert!(from::<ByteSize>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(from::<Duration>("1m 30s"), Ok(Duration::from_secs(90)));
        for (wrong, reason) in [
            ("10", " (without a unit: \"10s\", \"10m\", \"10h\" or \"10d\")"),
            ("7D", " (write \"7d\")"),
            ("1H 30M", " (write \"1h 30m\")"),
            ("7 fortnights", " (\"fortnights\" is not a unit; units are ms, s, m, h, d and w)"),
            ("200y", " (it is longer than 100 years)"),
            ("99999999999999999999s", " (it is longer than 100 years)"),
            ("weekly", ""),
            ("-1s", ""),
            ("", ""),
        ] {
            let message = argument::<Duration>(wrong).unwrap_err();
            assert_eq!(message, format!("expected a duration such as \"10s\" or \"1m 30s\"{reason}"), "{wrong}");
        }
        assert!(Duration::from_value(&Value::Integer(10)).unwrap_err().contains("\"10m\""));
    }

    #[test]
    fn values_in_another_notation_lead_to_the_right_one() {
        for (text, suggestion) in [
            ("8mb", Some("\"8MB\"")),
            ("8 mib", Some("\"8MiB\"")),
            ("512k", Some("\"512KiB\"")),
            ("8 apples", None),
            ("mb", None),
            ("0k", None),
        ] {
            assert_eq!(ByteSize::suggestion(&Value::String(text.to_owned())).as_deref(), suggestion, "{text}");
        }
        assert_eq!(ByteSize::suggestion(&Value::Integer(1024)).as_deref(), Some("\"1024B\""));
        let text = |text: &str| Value::String(text.to_owned());
        assert_eq!(bool::suggestion(&text("Yes")).as_deref(), Some("true"));
        assert_eq!(bool::suggestion(&text("off")).as_deref(), Some("false"));
        assert_eq!((bool::suggestion(&text("maybe")), bool::suggestion(&Value::Integer(1))), (None, None));
        assert_eq!(usize::suggestion(&text("10")).as_deref(), Some("10"));
        assert_eq!((usize::suggestion(&text("0")), usize::suggestion(&text("ten"))), (None, None));
        assert_eq!(
            (u32::suggestion(&text("0")).as_deref(), i64::suggestion(&text("-1")).as_deref()),
            (Some("0"), Some("-1"))
        );
        assert_eq!(
            argument::<crate::log::Format>("JSON").unwrap_err(),
            "expected text, logfmt or json (write \"json\")"
        );
        assert_eq!(Secret::suggestion(&text("X\n")), None);
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(from::<FileMode>("0660"), Ok(FileMode(0o660)));
        for wrong in ["", "0888", "1777", "rw"] {
            assert!(from::<FileMode>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_one_line() {
        for sound in ["hunter2", "", "a b", "ü\t"] {
            assert_eq!(from::<Secret>(sound), Ok(Secret::new(sound)));
        }
        for wrong in ["two\nlines", "two\r\nlines", "nul\0", "escape\u{1b}[0m"] {
            let reason = from::<Secret>(wrong).unwrap_err();
            assert!(reason.contains("line break") && !reason.contains("two"), "{reason}");
        }
        assert_eq!(from::<SecretText>("two\nlines").unwrap().reveal(), "two\nlines");
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
