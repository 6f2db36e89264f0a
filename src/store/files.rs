//! The files of a log: which there are, and what they hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{MAGIC, OpenError, Recovery, records};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Segment,
    Snapshot,
}

/// A file with its number.
#[derive(Debug)]
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
}

/// The log's files in `folder`, by number; others are passed over.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Numbered>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("log") => Kind::Segment,
            Some("snapshot") => Kind::Snapshot,
            _ => continue,
        };
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        found.extend(number.map(|number| Numbered { number, kind, path }));
    }
    found.sort_by_key(|file| (file.number, file.kind == Kind::Segment));
    Ok(found)
}

/// Hands the records of a file to `replay`, and says how many there were. `may_be_torn` holds of the segment that was
/// written last.
pub(super) fn replay(
    file: &Numbered,
    may_be_torn: bool,
    replay: &mut dyn FnMut(&[u8]),
    recovery: &mut Recovery,
) -> Result<usize, OpenError> {
    let failed = |reason| OpenError::Io { path: file.path.clone(), what: "cannot be read", reason };
    let bytes = fs::read(&file.path).map_err(failed)?;
    if bytes.len() < MAGIC.len() && may_be_torn && MAGIC.starts_with(&bytes) {
        recovery.torn += bytes.len() as u64;
        fs::write(&file.path, MAGIC).map_err(failed)?;
        return Ok(0);
    }
    let (same, version) = (MAGIC.len() - 1, bytes.get(MAGIC.len() - 1));
    if bytes.get(..same) == Some(&MAGIC[..same]) && version != Some(&MAGIC[same]) {
        return Err(OpenError::Version(file.path.clone()));
    }
    let mut at = MAGIC.len().min(bytes.len());
    let mut damage = if bytes.starts_with(MAGIC) { Vec::new() } else { vec![(0, at)] };
    let mut count = 0;
    while at < bytes.len() {
        if let Some((payload, length)) = records::first(&bytes[at..]) {
            // The empty one ends a snapshot.
            if !payload.is_empty() {
                replay(payload);
                count += 1;
            }
            at += length;
            continue;
        }
        match records::next(&bytes[at..]) {
            Some(skipped) => {
                damage.push((at, at + skipped));
                at += skipped;
            }
            None if may_be_torn => {
                recovery.torn += (bytes.len() - at) as u64;
                cut_off(&file.path, at as u64).map_err(failed)?;
                break;
            }
            None => {
                damage.push((at, bytes.len()));
                break;
            }
        }
    }
    tell_damage(file, &damage, recovery)?;
    Ok(count)
}

/// Takes a torn record away: soon the file will not be the last any more.
fn cut_off(path: &Path, length: u64) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}

fn tell_damage(file: &Numbered, damage: &[(usize, usize)], recovery: &mut Recovery) -> Result<(), OpenError> {
    if damage.is_empty() {
        return Ok(());
    }
    let aside = keep_aside(&file.path).map_err(|reason| OpenError::Io {
        path: file.path.clone(),
        what: "is damaged and cannot be copied aside",
        reason,
    })?;
    for (from, to) in damage {
        let (path, aside) = (file.path.display(), aside.display());
        recovery
            .damage
            .push(format!("{path}: damaged from byte {from} to {to}, which is passed over; kept as {aside}"));
    }
    Ok(())
}

/// Copies a file beside itself under a name that nobody has.
fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut number = now;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        let aside = PathBuf::from(name);
        if !aside.exists() {
            fs::copy(path, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}
