//! A scrape of a recorded host takes no more instructions than it did: `benches/instructions`.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "builds for release, and needs Debian's package valgrind: tests/run"]
fn with_valgrind_a_scrape_takes_no_more_instructions_than_expected() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    // CloudWatch is far from what is measured, and costs half of the build.
    let scrape_host = ["--profile", "dist", "--no-default-features", "--example", "scrape_host"];
    for what in [&["--example", "host_tree"][..], &scrape_host] {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--quiet"]).args(what);
        assert!(build.current_dir(project).status().unwrap().success());
    }
    let mut check = Command::new("benches/instructions");
    let output = check.arg("--check").current_dir(project).output().unwrap();
    let (reported, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{reported}");
    assert!(output.status.success(), "{reported}{problem}");
}
