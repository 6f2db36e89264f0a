//! The names that a running Taffrail shows, kept in files: tests/agent/docs.rs wants every documented name to be in one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn path(folder: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(folder).join(file)
}

/// That the families of an exposition whose names begin so, and their types, are those of the golden in `folder`.
/// `TAFFRAIL_BLESS=1` writes it anew.
pub fn assert_families(folder: &str, exposition: &str, prefixes: &[&str]) {
    let is_wanted = |line: &&str| {
        line.strip_prefix("# TYPE ").is_some_and(|rest| prefixes.iter().any(|prefix| rest.starts_with(prefix)))
    };
    let types: BTreeSet<&str> = exposition.lines().filter(is_wanted).collect();
    assert_lines(&path(folder, "expected.prom"), types);
}

/// The same of points, whose measurements begin so; their values count too.
pub fn assert_points(folder: &str, lines: &str, prefixes: &[&str]) {
    let is_wanted = |line: &&str| prefixes.iter().any(|prefix| line.starts_with(prefix));
    assert_lines(&path(folder, "expected.influx"), lines.lines().filter(is_wanted).collect());
}

fn assert_lines(path: &Path, lines: BTreeSet<&str>) {
    let actual: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("TAFFRAIL_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(actual, expected, "{}: if it is right so, TAFFRAIL_BLESS=1", path.display());
}
