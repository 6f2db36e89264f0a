//! Paths with wildcards.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Globs;

/// Paths that a pattern may match. More are left out, which is an error.
pub(in crate::collectors) const MAX_MATCHES: usize = 1000;

/// Whether a path has wildcards.
pub(in crate::collectors) fn has_wildcard(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// Checks a pattern.
///
/// # Errors
/// It is malformed, or has `**`.
pub(in crate::collectors) fn check(pattern: &str) -> Result<(), String> {
    if pattern.contains("**") {
        return Err("** is not supported: write a * for each level of folders".to_owned());
    }
    Globs::new(pattern.split('/').map(str::to_owned).collect()).map(drop)
}

/// The paths that match `pattern`, sorted. A path without wildcards matches itself if it exists.
pub(in crate::collectors) fn matches(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    let mut is_exact = true;
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy();
        if !has_wildcard(&text) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        is_exact = false;
        let Ok(globs) = Globs::new(vec![text.to_string()]) else { return Vec::new() };
        let is_hidden = |name: &str| name.starts_with('.') && !text.starts_with('.');
        let mut below = Vec::new();
        for folder in &found {
            let entries = fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
            let names =
                entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
            let names = names.filter(|name| globs.matches(name) && !is_hidden(name));
            below.extend(names.map(|name| folder.join(name)).take((MAX_MATCHES + 1).saturating_sub(below.len())));
        }
        found = below;
    }
    found.retain(|path| path.exists() || is_exact && path.symlink_metadata().is_ok());
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/x.txt", "a/y.txt", "b/x.txt", "b/.h.txt"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| {
            let found = matches(&folder.path().join(pattern));
            let name = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
            found.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(found("*/x.txt"), ["a/x.txt", "b/x.txt"]);
        assert_eq!(found("[ab]/?.txt"), ["a/x.txt", "a/y.txt", "b/x.txt"]);
        assert_eq!(found("a/x.txt"), ["a/x.txt"]);
        assert_eq!(found("a/z.txt"), [] as [&str; 0]);
        assert!(check("/a/**/b").is_err() && check("/a/[").is_err() && check("/a/*").is_ok());
    }
}
