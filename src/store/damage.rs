//! What is to be done to damaged files: nothing is removed before a copy of it is kept.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Recovery;

/// What is to be done to a file before anything else is written. On a disk that takes nothing it waits until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// It was begun, and holds nothing.
    Remove(PathBuf),
    /// What is behind this many bytes is a record that was cut off: soon the file will not be the last any more.
    CutOff(PathBuf, u64),
    /// It is damaged: it is copied first.
    KeepAside { path: PathBuf, aside: PathBuf, then: Option<Box<Repair>> },
}

impl Repair {
    /// Does it.
    pub(super) fn make(&self) -> io::Result<()> {
        match self {
            Repair::Remove(path) => fs::remove_file(path),
            Repair::CutOff(path, length) => {
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(*length)?;
                file.sync_all()
            }
            Repair::KeepAside { path, aside, then } => {
                let copied = fs::copy(path, aside);
                if copied.is_err() {
                    // What is there of it would be taken for all.
                    let _ = fs::remove_file(aside);
                }
                copied.and_then(|_| then.as_ref().map_or(Ok(()), |then| then.make()))
            }
        }
    }
}

/// Says what of a file could not be read, and under which name it is to be kept.
pub(super) fn tell(path: &Path, damage: &[(usize, usize)], recovery: &mut Recovery) -> PathBuf {
    let aside = name_aside(path);
    for (from, to) in damage {
        let (path, aside) = (path.display(), aside.display());
        recovery
            .damage
            .push(format!("{path}: damaged from byte {from} to {to}, which is passed over; kept as {aside}"));
    }
    aside
}

/// A name beside a file that nobody has.
fn name_aside(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut names = (now..).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    });
    names.find(|name| !name.exists()).unwrap_or_default()
}
