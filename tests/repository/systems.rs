//! Taffrail builds for systems other than Linux. `cargo check` needs their standard library and no more: nothing is linked,
//! so that what C compilers would make may be empty.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
#[ignore = "needs the standard libraries of other systems, from rustup: tests/run"]
fn with_rust_std_of_macos_taffrail_builds() {
    builds_for("x86_64-apple-darwin");
}

#[test]
#[ignore = "needs the standard libraries of other systems, from rustup: tests/run"]
fn with_rust_std_of_freebsd_taffrail_builds() {
    builds_for("x86_64-unknown-freebsd");
}

#[test]
#[ignore = "needs the standard libraries of other systems, from rustup: tests/run"]
fn with_rust_std_of_windows_taffrail_builds() {
    builds_for("x86_64-pc-windows-gnu");
}

fn builds_for(target: &str) {
    let tools = tempfile::tempdir().unwrap();
    let compiler = tool(tools.path(), "cc", EMPTY_OUTPUT);
    let archiver = tool(tools.path(), "ar", "#!/bin/sh\n");
    let variable = |name: &str| format!("{name}_{}", target.replace('-', "_"));
    let mut check = Command::new(env!("CARGO"));
    check.args(["check", "--locked", "--quiet", "--lib", "--bins", "--target", target]);
    check.args(["--target-dir", concat!(env!("CARGO_TARGET_TMPDIR"), "/systems")]);
    check.env(variable("CC"), compiler).env(variable("AR"), archiver).env("RUSTFLAGS", "-D warnings");
    let output = check.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes the file that is asked for by `-o`.
const EMPTY_OUTPUT: &str = "#!/bin/sh
while [ $# -gt 1 ]; do
    [ \"$1\" = -o ] && : >\"$2\"
    shift
done
";

fn tool(folder: &Path, name: &str, script: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
