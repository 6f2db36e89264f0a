//! Whatever a file of the host holds, the collectors that read it do not panic, and what they report can be parsed.
//!
//! An input is a number that chooses a file of the recorded hosts, and what the file holds instead.
#![no_main]

#[path = "../collect.rs"]
mod collect;

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use collect::{Collectors, copy, unpack};
use libfuzzer_sys::fuzz_target;
use taffrail::collectors::list::COLLECTORS;
use taffrail::host::{Host, Roots};

struct Tree {
    collectors: Mutex<Collectors>,
    /// Each with what it holds, and the collectors that say that they read it.
    files: Vec<(PathBuf, Vec<u8>, Vec<&'static str>)>,
}

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("taffrail-fuzz-{}", std::process::id()));
    for host in ["debian-12-containers", "debian-12-vm", "raid-and-bonds", "every-device"] {
        let recorded = folder.with_extension(host);
        unpack(host, &recorded);
        copy(&recorded, &folder);
        std::fs::remove_dir_all(recorded).unwrap();
    }
    let mut files = Vec::new();
    find(&folder, &folder, &mut files);
    let roots = Roots {
        proc: folder.join("proc"),
        sys: folder.join("sys"),
        root: folder.join("root"),
        udev: folder.join("udev/data"),
    };
    // The others query servers.
    let is_of_files = |name: &&str| !["ntp", "supervisord"].contains(name);
    let names: Vec<&str> = taffrail::collectors::list::names().filter(is_of_files).collect();
    Tree { collectors: Mutex::new(Collectors::new(Host::live(roots), &names)), files }
});

fn find(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>, Vec<&'static str>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            find(root, &path, files);
        } else if kind.is_file() {
            let below = path.strip_prefix(root).unwrap();
            let name = Path::new("/").join(below.strip_prefix("root").unwrap_or(below)).display().to_string();
            // Up to where a pattern begins.
            let is_read = |pattern: &&str| {
                let fixed = pattern.split(['*', '{']).next().unwrap_or_default();
                fixed.len() > 1 && name.starts_with(fixed)
            };
            let readers = COLLECTORS.iter().filter(|entry| entry.about.reads.iter().any(|reads| is_read(&reads)));
            let readers: Vec<&str> = readers.map(|entry| entry.about.name).collect();
            if !readers.is_empty() {
                files.push((path.clone(), std::fs::read(&path).unwrap_or_default(), readers));
            }
        }
    }
}

fuzz_target!(|input: (u16, &[u8])| {
    let (number, content) = input;
    let Tree { collectors, files } = &*TREE;
    let (path, original, readers) = &files[usize::from(number) % files.len()];
    std::fs::write(path, content).unwrap();
    let mut collectors = collectors.lock().unwrap();
    readers.iter().for_each(|name| collectors.collect(name));
    std::fs::write(path, original).unwrap();
});
