//! `[spool]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::owners::plain_folder;
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};

/// Where and how much push sinks keep on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The folder, in which each sink has its own; none: points wait in memory alone.
    pub folder: Option<PathBuf>,
    /// How many bytes each sink may keep.
    pub size: usize,
    /// How long points may wait.
    pub age: Duration,
    /// Points of a backlog that are sent per second, at the most.
    pub rate: usize,
}

const FOLDER: Key<PathBuf> = Key::optional(
    "folder",
    "The folder in which points wait for their servers, also while Taffrail does not run. Where systemd gives a state directory, it is `spool` in that; without either, points wait in memory alone.",
);
const SIZE: Key<ByteSize> = Key::new(
    "size",
    "\"256MiB\"",
    "How much each sink may keep on disk. When it is full, the oldest points are dropped, and counted.",
);
const AGE: Key<Duration> =
    Key::new("age", "\"7d\"", "How long points may wait on disk before they are dropped, and counted.");
const RATE: Key<usize> = Key::new(
    "rate",
    "20000",
    "Points per second, at the most, that a sink sends of what waited through an outage, beside what is measured now.",
);

/// The settings of `[spool]`.
pub const KEYS: &[KeyInfo] = &[FOLDER.info(), SIZE.info(), AGE.info(), RATE.info()];

impl Settings {
    /// The settings in `[spool]`; `state` is the folder that the service manager gave.
    pub fn new(section: &mut Section<'_>, state: Option<&Path>) -> Self {
        let folder = section.optional(&FOLDER).filter(|folder| !folder.as_os_str().is_empty());
        let rate = section.get(&RATE);
        if rate == 0 {
            section.wrong("rate", "expected a number above 0, found 0");
        }
        Settings {
            folder: folder.or_else(|| state.map(|state| state.join("spool"))),
            size: section.get(&SIZE).0,
            age: section.above_zero(&AGE),
            rate,
        }
    }

    /// The folder that is called as the sink of this name.
    pub fn folder_of(&self, name: &str) -> Option<PathBuf> {
        Some(plain_folder(self.folder.as_ref()?, name))
    }
}
