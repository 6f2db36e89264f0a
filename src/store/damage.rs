//! Repairs of damaged files. Nothing is removed before a copy is saved.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Recovery;
use crate::system::{self, Use};

/// A repair that must precede all writes. While the disk accepts no writes, it is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// The file was started and holds nothing.
    Remove(PathBuf),
    /// The data after this many bytes is an incomplete record: the file will soon not be the last one.
    CutOff(PathBuf, u64),
    /// The file is damaged: copy it first.
    Quarantine { path: PathBuf, quarantine: PathBuf, then: Option<Box<Repair>> },
}

impl Repair {
    /// Applies the repair.
    pub(super) fn apply(&self) -> io::Result<()> {
        match self {
            Repair::Remove(path) => fs::remove_file(path),
            Repair::CutOff(path, length) => {
                let file = system::open_regular(path, Use::Change)?;
                file.set_len(*length)?;
                file.sync_all()
            }
            Repair::Quarantine { path, quarantine, then } => {
                let copied = fs::copy(path, quarantine);
                if copied.is_err() {
                    // A partial copy would pass for a full one.
                    let _ = fs::remove_file(quarantine);
                }
                copied.and_then(|_| then.as_ref().map_or(Ok(()), |then| then.apply()))
            }
        }
    }
}

/// Describes damaged ranges in `recovery`, and returns the path of the copy to make.
pub(super) fn describe(path: &Path, damage: &[(usize, usize)], recovery: &mut Recovery) -> PathBuf {
    let quarantine = quarantine_name(path);
    for (from, to) in damage {
        let (path, quarantine) = (path.display(), quarantine.display());
        let what = match from == to {
            true => format!("cut off at byte {from}"),
            false => format!("damaged from byte {from} to {to}, which is passed over"),
        };
        recovery.damage.push(format!("{path}: {what}; kept as {quarantine}"));
    }
    quarantine
}

/// An unused name next to `path`.
fn quarantine_name(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut names = (now..).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    });
    // A dangling link also takes a name.
    names.find(|name| name.symlink_metadata().is_err()).unwrap_or_default()
}
