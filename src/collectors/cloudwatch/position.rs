//! The time up to which everything has been fetched, in a file: after a restart, what a stop missed is fetched.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::id::Seconds;
use crate::percent;
use crate::system::{PrivateFolder, Use, read_up_to, write_all_at};

/// Size of the file in bytes: a Unix time with leading zeros, and a line feed.
const SIZE: usize = 20;
/// Sinks read and send within this time, unless they persist points on their own.
const SENT_AFTER: Duration = Duration::from_secs(15);
/// The limit of most file systems.
const MAX_NAME_BYTES: usize = 255;

/// The file of one job and target.
#[derive(Debug)]
pub(super) struct PositionFile {
    folder: PathBuf,
    name: String,
    /// Positions of the last seconds, oldest first. Sinks may not have sent their data yet.
    recent: VecDeque<(Instant, Seconds)>,
}

impl PositionFile {
    /// The file in `folder` for the target that `parts` identify.
    pub(super) fn new(folder: &Path, parts: [&str; 3]) -> Self {
        let mut name = String::new();
        for part in parts {
            percent::encode(part, &mut name);
            name.push('+');
        }
        name.truncate(MAX_NAME_BYTES);
        PositionFile { folder: folder.to_owned(), name, recent: VecDeque::new() }
    }

    /// The persisted position; `None` if there is none, or it is malformed.
    ///
    /// # Errors
    /// The folder or the file cannot be read.
    pub(super) fn read(&self) -> io::Result<Option<Seconds>> {
        let file = PrivateFolder::open(&self.folder)?.file(&self.name, Use::Write)?;
        let mut bytes = [0; SIZE];
        let read = read_up_to(&file, &mut bytes, 0)?;
        let text = std::str::from_utf8(&bytes[..read]).ok();
        Ok(text.filter(|_| read == SIZE).and_then(|text| text.trim_end().parse().ok()))
    }

    /// Records the position at `now`, and persists one that sinks have sent the data of.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&mut self, position: Option<Seconds>, now: Instant) -> io::Result<()> {
        self.recent.extend(position.map(|position| (now, position)));
        let old = self.recent.partition_point(|(at, _)| now.saturating_duration_since(*at) >= SENT_AFTER);
        let Some((_, previous)) = self.recent.drain(..old).next_back() else { return Ok(()) };
        let file = PrivateFolder::open(&self.folder)?.file(&self.name, Use::Write)?;
        write_all_at(&file, format!("{previous:019}\n").as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_persisted_once_its_data_are_sent() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("cloudwatch");
        let open = || PositionFile::new(&folder, ["AWS/EC2", "", "eu-west-1"]);
        let mut file = open();
        assert_eq!(file.read().unwrap(), None);
        let (start, seconds) = (Instant::now(), Duration::from_secs);
        for second in 0..20 {
            file.write(Some(1_700_000_000 + second as Seconds), start + seconds(second)).unwrap();
            let expected = second.checked_sub(15).map(|second| 1_700_000_000 + second as Seconds);
            assert_eq!(open().read().unwrap(), expected);
        }
        file.write(None, start + seconds(300)).unwrap();
        assert_eq!(open().read().unwrap(), Some(1_700_000_019));
        assert_eq!(PositionFile::new(&folder, ["AWS/EC2", "", "eu-west-2"]).read().unwrap(), None);
        std::fs::write(folder.join(&file.name), "torn").unwrap();
        assert_eq!(open().read().unwrap(), None);
    }
}
