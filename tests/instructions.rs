//! A scrape of a recorded host takes no more instructions than it did: `benches/instructions`.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "builds a release, and needs Debian's package valgrind: tests/run"]
fn with_valgrind_a_scrape_takes_no_more_instructions_than_expected() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--quiet", "--example", "scrape_host"]).current_dir(project);
    assert!(build.status().unwrap().success());
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../release/examples/scrape_host");
    let mut check = Command::new("benches/instructions");
    let output = check.arg("--check").env("SCRAPE_HOST", built).current_dir(project).output().unwrap();
    let (told, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{told}");
    assert!(output.status.success(), "{told}{problem}");
}
