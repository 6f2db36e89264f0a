//! The types that settings have.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

use super::document::Value;

/// A type that a setting can have.
pub trait Setting: Sized {
    /// What the setting takes, for errors and the documentation.
    const EXPECTED: &'static str;
    /// What a list of them is called.
    const EXPECTED_LIST: &'static str = "a list";
    /// Whether what is configured must not be shown.
    const SECRET: bool = false;

    /// The setting that `value` says, or why it says none beyond its not being [`Setting::EXPECTED`].
    ///
    /// # Errors
    /// An empty reason where the value is of the wrong kind.
    fn from_value(value: &Value) -> Result<Self, String>;
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
}

/// A count of something, at least one.
impl Setting for usize {
    const EXPECTED: &'static str = "a whole number above zero";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) if *number > 0 => usize::try_from(*number).map_err(|_| String::new()),
            _ => wrong_kind(),
        }
    }
}

/// Any whole number.
impl Setting for i64 {
    const EXPECTED: &'static str = "a whole number";

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(number) => Ok(*number),
            _ => wrong_kind(),
        }
    }
}

/// An amount of something, above zero.
impl Setting for f64 {
    const EXPECTED: &'static str = "a number above zero";

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
            Value::String(text) => humantime::parse_duration(text).map_err(|error| error.to_string().to_lowercase()),
            _ => wrong_kind(),
        }
    }
}

impl Setting for SocketAddr {
    const EXPECTED: &'static str = "an address with a port, such as \"0.0.0.0:9100\", \"[::1]:9100\" or \":9100\"";
    const EXPECTED_LIST: &'static str = "a list of addresses such as [\"0.0.0.0:9100\"]";

    fn from_value(value: &Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        let text = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text };
        text.parse().map_err(|_| String::new())
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

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(items) => items.iter().map(|item| T::from_value(&item.value)).collect(),
            _ => wrong_kind(),
        }
    }
}

/// A password or token: never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Secret(secret.into())
    }

    /// The secret itself, for the wire.
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
        String::from_value(value).map(Secret)
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
        assert!(from::<Duration>("10").is_err());
    }

    #[test]
    fn an_address_may_leave_the_host_out() {
        assert_eq!(from::<SocketAddr>(":9100").unwrap().to_string(), "0.0.0.0:9100");
        assert!(from::<SocketAddr>("9100").is_err());
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
