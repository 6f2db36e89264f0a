//! The targets in `fuzz/` run for a while: everything that reads what others wrote.
//!
//! For longer, and to find what is new: `cargo fuzz run NAME`, see CONTRIBUTING.md.

use std::path::Path;
use std::process::Command;
use std::thread;

/// What a compiler needs to know for libFuzzer to see which way a program takes; `cargo fuzz` says the same.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=16";
const SECONDS_EACH: u32 = 8;
/// Inputs of each, at least.
const INPUTS: u64 = 501;

#[test]
#[ignore = "builds everything anew, and runs for a minute: tests/run"]
fn with_gxx_every_target_runs_for_a_while() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    // Naming the machine's own target keeps the flags from build scripts, which are not fuzzed.
    let reported = Command::new("rustc").arg("-vV").output().unwrap();
    let reported = String::from_utf8(reported.stdout).unwrap();
    let host = reported.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--target", host, "--target-dir"]).arg(&target).current_dir(&fuzz);
    assert!(build.env("RUSTFLAGS", COVERAGE).status().unwrap().success());
    let targets = std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap();
    let mut names: Vec<String> =
        targets.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    let at_once = thread::available_parallelism().map_or(2, usize::from);
    let built = target.join(host).join("release");
    for names in names.chunks(at_once) {
        thread::scope(|scope| {
            for name in names {
                let program = built.join(name);
                scope.spawn(move || runs_for_a_while(name, &program));
            }
        });
    }
}

fn runs_for_a_while(name: &str, program: &Path) {
    // On a busy machine, what reads a whole host for each input needs longer.
    let limits = [format!("-max_total_time={SECONDS_EACH}"), format!("-runs={INPUTS}")];
    assert!(limits.iter().any(|limit| inputs(name, program, limit) >= INPUTS), "{name}");
}

/// Runs a target until this limit. Returns the number of inputs.
fn inputs(name: &str, program: &Path, limit: &str) -> u64 {
    let scratch = tempfile::tempdir().unwrap();
    let mut run = Command::new(program);
    run.args([limit, "-rss_limit_mb=2048", "-timeout=20", "-print_final_stats=1"]);
    let output = run.env("TMPDIR", scratch.path()).current_dir(scratch.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let runs: u64 = runs.and_then(|runs| runs.trim().parse().ok()).unwrap_or(0);
    println!("{name}: {runs} inputs");
    runs
}
