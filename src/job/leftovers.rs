//! Removes unfinished files of killed runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Extension of a file that is not complete yet.
pub(super) const EXTENSION: &str = "new";
/// Writing one takes moments: an older file was abandoned.
const OLD: Duration = Duration::from_secs(3600);

/// Removes old ones from a folder. Files with other names are left alone.
pub(super) fn remove(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_leftover(path)) {
        let changed =
            path.symlink_metadata().ok().filter(|found| found.is_file()).and_then(|found| found.modified().ok());
        if changed.is_some_and(|at| at.elapsed().is_ok_and(|age| age > OLD)) {
            // If this fails, the next run retries.
            let _ = fs::remove_file(path);
        }
    }
}

/// Matches `NUMBER-KEY.new`; the number has 24 decimal or hexadecimal digits.
fn is_leftover(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
    let number = name.and_then(|name| name.split_once('-')).map(|(number, _)| number);
    number.is_some_and(|number| number.len() == 24 && number.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::job::runs::Runs;
    use crate::job::spool::{PushRequest, Spool};

    #[test]
    fn what_a_killed_run_has_left_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let (kept, _) = spool.store(&PushRequest::new("POST", b"x 1\n".to_vec()), "http://a/metrics/job/b").unwrap();
        let put = |name: &str, age: u64| {
            let path = folder.path().join(name);
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            path
        };
        let left = [
            put("000001700000000000000000-0123abcd.new", 4000),
            put("0123456789abcdef01234567-0123456789abcdef.new", 4000),
        ];
        let others = [
            kept,
            // It may be in progress.
            put("000001700000000000000001-0123abcd.new", 60),
            put("report.new", 4000),
            put("a-b.new", 4000),
            put("000001700000000000000000-0123abcd.push", 4000),
        ];
        Spool::open(folder.path()).unwrap();
        assert!(left.iter().all(|path| !path.exists()) && others.iter().all(|path| path.exists()));
        put("0123456789abcdef01234567-0123456789abcdef.new", 4000);
        let runs = Runs::within(folder.path(), "http://a/metrics/job/b").unwrap();
        assert!(!left[1].exists());
        assert_eq!(runs.count(), 0);
    }
}
