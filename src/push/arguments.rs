//! Parses values of the command line and the environment. Invalid values are reported where they are used, so that
//! they never keep the job from running.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use taffrail::config::argument;

/// The value of an option, or why it is invalid.
pub(super) type Parsed<T> = Result<T, String>;

/// Accepts any value of `option`, and parses it with `read`.
pub(super) fn parse_with<T: Clone + Send + Sync + 'static>(
    option: &'static str,
    read: fn(&str) -> Parsed<T>,
) -> impl TypedValueParser<Value = Parsed<T>> {
    let read = move |value| read(&text(value)?);
    OsStringValueParser::new().map(move |value| read(value).map_err(|reason: String| format!("{option}: {reason}")))
}

/// A parser for durations.
pub(super) fn duration_value(option: &'static str) -> impl TypedValueParser<Value = Parsed<Duration>> {
    let read = move |value| {
        let text = text(value).map_err(|reason| format!("{option}: {reason}"))?;
        argument(&text).map_err(|expected| format!("{option} {text:?}: {expected}"))
    };
    OsStringValueParser::new().map(read)
}

/// A parser for any text.
pub(super) fn text_value(option: &'static str) -> impl TypedValueParser<Value = Parsed<String>> {
    parse_with(option, |text| Ok(text.to_owned()))
}

/// A parser for any path, even an empty one.
pub(super) fn path_value() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Rejects an empty path.
pub(super) fn not_empty<'p>(option: &str, path: &'p Path) -> Parsed<&'p Path> {
    match path.as_os_str().is_empty() {
        true => Err(format!("{option}: expected a path, found an empty one")),
        false => Ok(path),
    }
}

/// The value of an environment variable; `None` if it is not set.
pub(super) fn variable(name: &str) -> Parsed<Option<String>> {
    std::env::var_os(name).map(text).transpose().map_err(|reason| format!("{name}: {reason}"))
}

/// Converts to text. The value may be a secret, so errors do not contain it.
fn text(value: OsString) -> Parsed<String> {
    value.into_string().map_err(|_| "expected text in UTF-8, found other bytes".to_owned())
}
