//! `[[sinks.file]]`.

use std::path::PathBuf;
use std::time::Duration;

use super::format::Format;
use super::rotation::Rotation;
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::sinks::settings::{KindInfo, Table};
use crate::sinks::{delivery, filter};

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to write; nothing for standard output.
    pub path: Option<PathBuf>,
    /// In which format.
    pub(super) format: Format,
    /// When another file is begun.
    pub(super) rotation: Rotation,
}

const PATH: Key<String> = Key::optional("path", "The file to append to; `stdout`, or nothing, is standard output.");
const DATA_FORMAT: Key<String> = Key::new(
    "data_format",
    "\"influx\"",
    "`influx` for line protocol, `prometheus` for exposition with timestamps, `json` for a JSON object a line.",
);
const JSON_TIMESTAMP_UNITS: Key<Duration> =
    Key::new("json_timestamp_units", "\"1s\"", "The unit of timestamps in JSON: 1s, 1ms, 1us or 1ns.");
const ROTATION_INTERVAL: Key<Duration> = Key::optional(
    "rotation_interval",
    "Begin another file when one is this old; the earlier ones have their end's time in their name.",
);
const ROTATION_MAX_SIZE: Key<ByteSize> =
    Key::optional("rotation_max_size", "Begin another file before one gets larger than this.");
const ROTATION_MAX_ARCHIVES: Key<i64> =
    Key::new("rotation_max_archives", "5", "How many earlier files are kept; -1 keeps all.");

/// What documents this kind of sink.
pub const INFO: KindInfo = KindInfo {
    name: "file",
    about: "A file, or standard output, that what is measured is written to.",
    keys: &concat::<KeyInfo, 23>(&[
        &[
            delivery::NAME.info(),
            PATH.info(),
            DATA_FORMAT.info(),
            JSON_TIMESTAMP_UNITS.info(),
            ROTATION_INTERVAL.info(),
            ROTATION_MAX_SIZE.info(),
            ROTATION_MAX_ARCHIVES.info(),
        ],
        &delivery::KEYS,
        &filter::KEYS,
    ]),
    tables: &concat::<Table, 5>(&[
        &[("tags", "Tags of every point that this sink writes, or labels of every series, besides `[tags]`.", &[])],
        &filter::TABLES,
    ]),
};

impl Settings {
    /// The settings in `section`, and what a sink with them is called unless it has a name.
    pub(crate) fn new(section: &mut Section<'_>) -> (Settings, String) {
        let text = section.optional(&PATH).unwrap_or_else(|| "stdout".to_owned());
        let path = (text != "stdout").then(|| PathBuf::from(&text));
        let unit = section.get(&JSON_TIMESTAMP_UNITS);
        if ![1, 1_000, 1_000_000, 1_000_000_000].contains(&unit.as_nanos()) {
            section.wrong("json_timestamp_units", "expected 1s, 1ms, 1us or 1ns");
        }
        let format = match section.get(&DATA_FORMAT).as_str() {
            "influx" => Format::LineProtocol,
            "prometheus" => Format::Exposition,
            "json" => Format::Json { nanoseconds: unit.as_nanos().max(1) as i64 },
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
        if format == Format::Exposition {
            filter::refuse_fields(section);
        }
        if path.is_none() && (rotation.interval.is_some() || rotation.size.is_some()) {
            section.wrong("path", "expected a file to rotate, found stdout");
        }
        (Settings { path, format, rotation }, format!("file:{text}"))
    }

    /// Whether it takes series, and not points.
    pub fn takes_series(&self) -> bool {
        self.format == Format::Exposition
    }
}
