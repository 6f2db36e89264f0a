//! The recorded hosts in `tests/hosts`, their archives unpacked once for all tests. The README there says what a host has.

#[path = "archive.rs"]
pub mod archive;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use archive::Tree;

/// The archive in the folder of a host.
pub const ARCHIVE: &str = "host.tree";

/// The archive of what is expected of a host.
pub const EXPECTED: &str = "expected.tree";

/// What is expected of one of [`hosts`]: its exposition, `prom`, or its points, `influx`.
pub fn expected(host: &Path, file: &str) -> String {
    let path = host.join(EXPECTED);
    let tree = Tree::read(&path).unwrap_or_else(|error| panic!("{error}"));
    tree.text(file).unwrap_or_else(|| panic!("{}: no {file}", path.display())).to_owned()
}

/// The folders of all recorded hosts, with their archives and what is expected, in the order of their names.
pub fn hosts() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// The folder with the trees `after` and, where it was recorded, `before` of the host called `name`. Other tests read them
/// too: a test that changes something makes a copy first.
pub fn host(name: &str) -> PathBuf {
    unpacked(&folder().join(name))
}

/// As [`host`], for one of [`hosts`].
pub fn unpacked(host: &Path) -> PathBuf {
    unpacked_in(&cache(), host)
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("hosts")
}

/// The folder of the small hosts, a folder for each with `after`, its configuration and what is expected.
pub fn small_hosts() -> PathBuf {
    unpacked_archive(&cache(), "small", &small_archive())
}

/// The archive of all small hosts.
pub fn small_archive() -> PathBuf {
    folder().join("small.tree")
}

/// As [`unpacked`], in the folder `cache`.
pub fn unpacked_in(cache: &Path, host: &Path) -> PathBuf {
    unpacked_archive(cache, &host.file_name().unwrap().to_string_lossy(), &host.join(ARCHIVE))
}

/// A tree that is there is complete: it gets its name, which depends on the content of the archive, when all of it is
/// unpacked.
fn unpacked_archive(cache: &Path, name: &str, archive: &Path) -> PathBuf {
    let text = fs::read_to_string(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let whole = cache.join(format!("{name}-{:016x}", hasher.finish()));
    if whole.is_dir() {
        return whole;
    }
    fs::create_dir_all(cache).unwrap();
    let part = tempfile::tempdir_in(cache).unwrap();
    let trees = part.path().join("trees");
    let tree = Tree::parse(&text).unwrap_or_else(|problem| panic!("{}: {problem}", archive.display()));
    tree.unpack(&trees).unwrap();
    if let Err(error) = fs::rename(&trees, &whole) {
        // Another was faster.
        assert!(whole.is_dir(), "{}: {error}", whole.display());
    }
    whole
}

/// Where the hosts are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts")
}
