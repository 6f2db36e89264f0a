//! What is in the repository, and what of it is in the crate: files that every system and `cargo package` take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a program prints, run at the root of the repository.
fn reported(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Why Windows cannot have a file of this path, if it cannot.
///
/// <https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file>
fn refused(path: &str) -> Option<&'static str> {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    path.split('/').find_map(|name| {
        let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
        if name.contains(|c: char| c.is_control() || "<>:\"\\|?*".contains(c)) {
            Some("a character that is not for names")
        } else if name.ends_with(['.', ' ']) {
            Some("a dot or a space at the end of a name")
        } else if DEVICES.contains(&&*stem) || numbered.is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']))
        {
            Some("the name of a device")
        } else {
            None
        }
    })
}

#[test]
fn names_that_windows_refuses_are_known() {
    for name in ["a:b", "sys/a\\x2db", "what?", "a.", "b ", "aux", "sys/nul.txt", "COM1", "lpt9.d/x", "a\nb"] {
        assert!(refused(name).is_some(), "{name}");
    }
    for name in ["src/main.rs", ".ci/run", "tests/hosts/odd-names/host.tree", "com10", "console", "auxiliary.rs"] {
        assert_eq!(refused(name), None, "{name}");
    }
}

#[test]
fn files_are_few_and_every_system_can_have_them() {
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join(".git").exists() {
        println!("this is no clone: Git knows no files");
        return;
    }
    let files = reported("git", &["ls-files", "-z"]);
    let files: Vec<&str> = files.split_terminator('\0').collect();
    // Each recorded host is one archive: tests/hosts/README.md. A feature adds sources, not fixtures.
    let fixtures = files.iter().filter(|file| file.starts_with("tests/") && !file.ends_with(".rs")).count();
    assert!((50..120).contains(&fixtures), "{fixtures} fixtures");
    assert!((300..1400).contains(&files.len()), "{} files", files.len());
    let refused: Vec<_> = files.iter().filter_map(|file| Some((file, refused(file)?))).collect();
    assert!(refused.is_empty(), "Windows refuses {refused:#?}");
    let mut folded: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    files.iter().for_each(|file| folded.entry(file.to_lowercase()).or_default().push(file));
    let same: Vec<_> = folded.values().filter(|files| files.len() > 1).collect();
    assert!(same.is_empty(), "the same to Windows and macOS: {same:#?}");
}

#[test]
fn the_crate_has_the_program_and_its_documentation() {
    let list = reported(env!("CARGO"), &["package", "--list", "--locked", "--allow-dirty", "--offline", "--quiet"]);
    let files: Vec<&str> = list.lines().map(|line| line.trim_end()).collect();
    for needed in ["src/main.rs", "src/lib.rs", "conf/taffrail.toml", "README.md", "docs/install.md", "LICENSE-MIT"] {
        assert!(files.contains(&needed), "{needed} is not in {files:#?}");
    }
    let others: Vec<_> = files
        .iter()
        .filter(|file| ["tests/", "fuzz/", "benches/", "examples/", "target/"].iter().any(|of| file.starts_with(of)))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(files.len() < 1100, "{} files", files.len());
}

/// Those who test the crate as it was published have `src` alone.
#[test]
fn unit_tests_read_no_files_of_the_repository() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 100);
    for source in sources {
        let reads = std::fs::read_to_string(&source).unwrap().contains("CARGO_MANIFEST_DIR");
        assert!(!reads, "{}: such a test belongs to tests/", source.display());
    }
}

/// It is also what lists of Debian's and RPM's packages say in a line: Debian's Policy, 3.4.1, wants less than 80 characters.
#[test]
fn the_description_fits_on_a_line() {
    let reported = reported(env!("CARGO"), &["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: serde_json::Value = serde_json::from_str(&reported).unwrap();
    let package = &metadata["packages"][0];
    let description = package["description"].as_str().unwrap();
    assert!(description.len() < 80 && !description.ends_with('.'), "{description}");
    assert_eq!(package["metadata"]["generate-rpm"]["summary"], description);
}
