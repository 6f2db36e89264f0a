//! `[[sinks.file]]`.

use std::path::PathBuf;
use std::time::Duration;

use super::format::{Format, Json};
use super::rotation::Rotation;
use crate::config::setting::ByteSize;
use crate::config::{Key, Section};
use crate::sinks::kind::{Kind, KindInfo};
use crate::sinks::schedule::Schedule;

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to write; none for standard output.
    pub path: Option<PathBuf>,
    /// The format.
    pub(super) format: Format,
    /// When the file is rotated.
    pub(super) rotation: Rotation,
}

const PATH: Key<String> =
    Key::optional("path", "Regular file to append to; `stdout`, or nothing, means standard output.");
const DATA_FORMAT: Key<String> = Key::new(
    "data_format",
    "\"influx\"",
    "`influx` for line protocol, `prometheus` for text exposition with timestamps, `json` for one JSON object per line.",
);
const JSON_TIMESTAMP_UNITS: Key<Duration> =
    Key::new("json_timestamp_units", "\"1s\"", "The unit of timestamps in JSON: 1s, 1ms, 1us or 1ns.");
const ROTATION_INTERVAL: Key<Duration> = Key::optional(
    "rotation_interval",
    "Starts a new file when the current one reaches this age. The names of earlier files end with the time of rotation.",
);
const ROTATION_MAX_SIZE: Key<ByteSize> =
    Key::optional("rotation_max_size", "Starts a new file before the current one exceeds this size.");
const ROTATION_MAX_ARCHIVES: Key<i64> =
    Key::new("rotation_max_archives", "5", "Number of rotated files to keep; -1 keeps all.");

impl Kind for Settings {
    const INFO: KindInfo = KindInfo {
        name: "file",
        about: "Writes metrics to a file or to standard output.",
        keys: &[
            PATH.info(),
            DATA_FORMAT.info(),
            JSON_TIMESTAMP_UNITS.info(),
            ROTATION_INTERVAL.info(),
            ROTATION_MAX_SIZE.info(),
            ROTATION_MAX_ARCHIVES.info(),
        ],
        tables: &[],
        is_http: false,
    };

    fn new(section: &mut Section<'_>) -> (Settings, String) {
        let text = section.optional(&PATH).unwrap_or_else(|| "stdout".to_owned());
        let path = (text != "stdout").then(|| PathBuf::from(&text));
        let unit = section.get(&JSON_TIMESTAMP_UNITS);
        if ![1, 1_000, 1_000_000, 1_000_000_000].contains(&unit.as_nanos()) {
            section.wrong("json_timestamp_units", "expected 1s, 1ms, 1us or 1ns");
        }
        let format = match section.get(&DATA_FORMAT).as_str() {
            "influx" => Format::LineProtocol,
            "prometheus" => Format::Exposition,
            "json" => Format::Json(Json { nanoseconds: unit.as_nanos().max(1) as i64 }),
            other => {
                section.wrong("data_format", format!("expected influx, prometheus or json, found {other:?}"));
                Format::LineProtocol
            }
        };
        let rotation = Rotation {
            interval: section.optional(&ROTATION_INTERVAL).filter(|interval| !interval.is_zero()),
            size: section.optional(&ROTATION_MAX_SIZE).map(|size| size.0 as u64),
            archives: usize::try_from(section.get(&ROTATION_MAX_ARCHIVES)).ok(),
        };
        let settings = Settings { path, format, rotation };
        if settings.stream().is_some() && (rotation.interval.is_some() || rotation.size.is_some()) {
            section.wrong("path", format!("expected a file to rotate, found {text}"));
        }
        (settings, format!("file:{text}"))
    }

    fn schedule(agent: &Schedule) -> Schedule {
        agent.clone()
    }
}

/// A stream of the process itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

impl Settings {
    /// The stream that it writes to; none for a file. A stream may be a pipe or a terminal, and is open already.
    pub(super) fn stream(&self) -> Option<Stream> {
        let Some(path) = &self.path else { return Some(Stream::Out) };
        match path.to_str()? {
            "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(Stream::Out),
            "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(Stream::Err),
            _ => None,
        }
    }
}
