//! `[spool]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::folders::plain_folder;
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};

/// Where push sinks persist points, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The folder, with a subfolder for each sink; `None`: points wait in memory only.
    pub folder: Option<PathBuf>,
    /// Bytes on disk for each sink.
    pub size: usize,
    /// Maximum age of points.
    pub age: Duration,
    /// Points of a backlog sent per second, at most.
    pub rate: usize,
}

const FOLDER: Key<PathBuf> = Key::optional(
    "folder",
    "Directory in which points wait for their servers, also while Taffrail is not running. The default is `spool` in the state directory that systemd provides; without either, points wait in memory only.",
);
const SIZE: Key<ByteSize> = Key::new(
    "size",
    "\"256MiB\"",
    "Maximum disk space of each sink. When it is full, the oldest points are dropped and counted.",
);
const AGE: Key<Duration> =
    Key::new("age", "\"7d\"", "How long points may wait on disk before they are dropped and counted.");
const RATE: Key<usize> = Key::new(
    "rate",
    "20000",
    "Maximum number of backlog points per second that a sink sends after an outage, in addition to current points.",
);

/// The settings of `[spool]`.
pub const KEYS: &[KeyInfo] = &[FOLDER.info(), SIZE.info(), AGE.info(), RATE.info()];

impl Settings {
    /// Reads `[spool]`; `state` is the state directory of the service manager.
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

    /// The folder of the sink of this name.
    pub fn folder_of(&self, name: &str) -> Option<PathBuf> {
        Some(plain_folder(self.folder.as_ref()?, name))
    }
}
