//! Python's packages, as their users have them: fetched once, into the folder that Cargo has for tests' files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// A client's sources in a folder where it may be built.
pub fn folder(name: &str) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    std::fs::create_dir_all(&folder).unwrap();
    run(Command::new("cp").arg("-rT").arg(sources).arg(folder.join(name)));
    folder.join(name)
}

/// Runs a program to its end, and gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Python with these packages, in the folder of a client.
pub fn python(name: &str, packages: &[&str]) -> impl Fn() -> Command + use<> {
    // Tests run side by side.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder(name);
    let installed = folder.join("packages");
    if !installed.exists() {
        // Moved into place when it is whole, so that one that was broken off is not taken for it.
        let unfinished = folder.join("unfinished");
        let _ = std::fs::remove_dir_all(&unfinished);
        let mut pip = Command::new("pip3");
        pip.args(["install", "--quiet", "--disable-pip-version-check", "--target"]).arg(&unfinished);
        run(pip.args(packages));
        std::fs::rename(&unfinished, &installed).unwrap();
    }
    move || {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", &installed).current_dir(&folder);
        python
    }
}
