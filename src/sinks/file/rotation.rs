//! Rotation: a full or old file is renamed after the time of its end, and the oldest archives are removed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The limits of a file and of its archives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rotation {
    /// The age at which a file is rotated.
    pub(super) interval: Option<Duration>,
    /// The largest size of a file, in bytes.
    pub(super) size: Option<u64>,
    /// The number of archives to retain; none retains all.
    pub(super) archives: Option<usize>,
}

impl Rotation {
    /// Whether a file of this size and age is rotated before `more` bytes are appended.
    pub(super) fn is_due(&self, size: u64, created: SystemTime, now: SystemTime, more: u64) -> bool {
        let age = now.duration_since(created).unwrap_or_default();
        size > 0 && (self.size.is_some_and(|max| size + more > max) || self.interval.is_some_and(|max| age >= max))
    }

    /// Renames the file, and removes archives in excess of the limit.
    pub(super) fn rotate(&self, path: &Path, now: SystemTime) -> io::Result<()> {
        let time = humantime::format_rfc3339_nanos(now).to_string().replace(':', "-");
        std::fs::rename(path, archive(path, &time))?;
        let Some(max) = self.archives else { return Ok(()) };
        let mut archives = archives_of(path)?;
        archives.sort();
        let too_many = archives.len().saturating_sub(max);
        archives.into_iter().take(too_many).try_for_each(std::fs::remove_file)
    }
}

fn archive(path: &Path, time: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(time);
    PathBuf::from(name)
}

/// The archives of the file; similar names are left alone.
fn archives_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let is_time = |text: &str| {
        text.len() == "2026-01-01T00-00-00.000000000Z".len()
            && text.bytes().all(|byte| byte.is_ascii_digit() || b"-.TZ".contains(&byte))
    };
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.file_name();
        let time = found.to_str().and_then(|found| found.strip_prefix(name)).and_then(|rest| rest.strip_prefix('.'));
        if time.is_some_and(is_time) {
            archives.push(entry.path());
        }
    }
    Ok(archives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_done_with_by_size_and_by_age() {
        let now = SystemTime::now();
        let by_size = Rotation { size: Some(10), ..Rotation::default() };
        assert!(by_size.is_due(6, now, now, 5) && !by_size.is_due(5, now, now, 5) && !by_size.is_due(0, now, now, 50));
        let by_age = Rotation { interval: Some(Duration::from_secs(60)), ..Rotation::default() };
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(by_age.is_due(1, now, after(60), 1) && !by_age.is_due(1, now, after(59), 1));
        // A clock that was set back.
        assert!(!by_age.is_due(1, after(60), now, 1));
        assert!(!Rotation::default().is_due(u64::MAX / 2, now, after(1 << 30), 1));
    }

    #[test]
    fn the_oldest_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.out");
        let rotation = Rotation { archives: Some(2), ..Rotation::default() };
        std::fs::write(folder.path().join("m.out.backup"), "").unwrap();
        for number in 0..4u64 {
            std::fs::write(&path, number.to_string()).unwrap();
            rotation.rotate(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(number)).unwrap();
        }
        let mut left: Vec<PathBuf> = archives_of(&path).unwrap();
        left.sort();
        let texts: Vec<String> = left.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert_eq!(texts, ["2", "3"]);
        assert!(folder.path().join("m.out.backup").exists());
    }
}
