//! The Debian package: built, checked by lintian, and used as an administrator uses it, in a Debian that boots.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program to its end, and gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of these tests, kept from one run to the next.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What the package is built with, fetched once.
fn path_with_cargo_deb() -> String {
    const VERSION: &str = "3.8.0";
    let tools = folder().join("tools");
    if !tools.join("bin/cargo-deb").exists() {
        let mut cargo = Command::new("cargo");
        run(cargo.args(["install", "--quiet", "--locked", "cargo-deb", "--version", VERSION, "--root"]).arg(&tools));
    }
    format!("{}:{}", tools.join("bin").display(), std::env::var("PATH").unwrap())
}

/// The package, and another that is newer.
fn packages() -> (PathBuf, PathBuf) {
    let path = path_with_cargo_deb();
    let copied = |name: &str, built: &str| {
        let package = folder().join(name);
        std::fs::copy(built.lines().last().unwrap().trim(), &package).unwrap();
        package
    };
    let built = run(Command::new("packaging/deb/build").current_dir(root()).env("PATH", &path));
    let older = copied("older.deb", &built);
    let mut newer = Command::new("cargo");
    newer.args(["deb", "--locked", "--no-build", "--deb-version", "0.1.1-1"]);
    let newer = copied("newer.deb", &run(newer.current_dir(root()).env("PATH", &path)));
    (older, newer)
}

/// A repository of these packages, signed by a key that is made for it.
fn repository(packages: &[&PathBuf]) -> PathBuf {
    let repository = folder().join("repository");
    let _ = std::fs::remove_dir_all(&repository);
    let keys = tempfile::tempdir().unwrap();
    const KEY: &str = "Taffrail's tests <tests@example.org>";
    let mut gpg = Command::new("gpg");
    gpg.args(["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", KEY, "ed25519", "sign", "1d"]);
    run(gpg.env("GNUPGHOME", keys.path()));
    let mut make = Command::new(root().join("packaging/deb/repo"));
    let told = run(make.arg(&repository).arg(KEY).args(packages).env("GNUPGHOME", keys.path()));
    assert!(told.contains("has 2 packages"), "{told}");
    // gpg leaves an agent behind, which ends with its folder.
    run(Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", keys.path()));
    repository
}

#[test]
#[ignore = "needs Debian's packages systemd-container, debootstrap and lintian: tests/run"]
fn with_systemd_container_the_package_is_installed_edited_upgraded_and_purged() {
    let (older, newer) = packages();
    run(Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(&older));
    let repository = repository(&[&older, &newer]);
    play_scene("nspawn", &[&older, &newer, &repository]);
}

#[test]
#[ignore = "needs Debian's package qemu-system-x86, and TAFFRAIL_TESTS=all: tests/run"]
fn with_qemu_system_x86_in_full_the_package_is_installed_edited_upgraded_and_purged() {
    let (older, newer) = packages();
    let repository = repository(&[&older, &newer]);
    play_scene("qemu", &[&older, &newer, &repository]);
}

/// Boots a Debian in this way, where an administrator does what there is to do with these packages.
fn play_scene(way: &str, packages: &[&PathBuf]) {
    let booted = folder().join(way);
    run(Command::new(root().join("tests/deb/boot")).arg(way).arg(&booted).args(packages));
    let left = |name: &str| std::fs::read_to_string(booted.join("result").join(name)).unwrap();
    let result = left("result");
    let failed: Vec<&str> = result.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", left("journal"));
    let scene = std::fs::read_to_string(root().join("tests/deb/scene")).unwrap();
    // One of them only with a kernel of the guest's own.
    let is_step = |line: &&str| line.starts_with("step \"") || (way == "qemu" && line.contains("|| step \""));
    assert_eq!(result.lines().count(), scene.lines().filter(is_step).count());
}

#[test]
#[ignore = "needs Debian's packages systemd-container, debootstrap and lintian: tests/run"]
fn with_systemd_container_the_units_are_exposed_little() {
    for (unit, most) in [("taffrail", 2.0), ("taffrail-gateway", 1.5)] {
        let file = root().join("packaging/systemd").join(format!("{unit}.service"));
        let told = run(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(file));
        let level = told.split("exposure level for").nth(1).unwrap().split_whitespace().nth(1).unwrap();
        assert!(level.parse::<f64>().unwrap() <= most, "{unit}: {level}");
    }
}
