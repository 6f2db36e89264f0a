//! Taffrail beside Telegraf, which is built: this host, read by both.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::real::{Server, free_port, newest_peer};
use crate::harness::wait_until;

/// What both read.
const INPUTS: &str = "[agent]\ninterval = \"1s\"\nflush_interval = \"1s\"\n\
    [[inputs.conntrack]]\n[[inputs.cpu]]\npercpu = true\ntotalcpu = true\n\
    [[inputs.disk]]\nignore_fs = [\"tmpfs\", \"devtmpfs\", \"devfs\", \"iso9660\", \"overlay\", \"aufs\", \"squashfs\"]\n\
    [[inputs.diskio]]\n[[inputs.internal]]\n[[inputs.interrupts]]\n[[inputs.kernel]]\n[[inputs.kernel_vmstat]]\n\
    [[inputs.linux_sysctl_fs]]\n[[inputs.mem]]\n[[inputs.net]]\n[[inputs.netstat]]\n[[inputs.nstat]]\ndump_zeros = true\n\
    [[inputs.processes]]\n[[inputs.swap]]\n[[inputs.system]]\n";

fn taffrail(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_taffrail")).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The differences in a file that `taffrail migrate verify` does not expect, and the reasons of the expected ones.
fn verify(file: &Path, config: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    command.args(["migrate", "verify", "--report", "json", "--config"]).arg(config).arg(file);
    let output = command.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let (mut differences, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    for difference in report["differences"].as_array().unwrap() {
        let kind = difference["kind"].as_str().unwrap();
        if let Some(reason) = difference["expected"].as_str() {
            reasons.insert(reason.to_owned());
        } else if !["family_further", "field_further"].contains(&kind) {
            differences.insert(format!("{kind} {}", difference["name"].as_str().unwrap()));
        }
    }
    assert_eq!(output.status.code(), Some(if differences.is_empty() { 0 } else { 3 }), "{report:#}");
    (differences, reasons)
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn verify_with_golang_1_25_in_full_finds_that_telegraf_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (old, points, new) = (path("telegraf.conf"), path("points"), path("new"));
    let port = free_port();
    std::fs::write(&old, format!("{INPUTS}[[outputs.file]]\nfiles = [\"{}\"]\n", points.display())).unwrap();
    let (status, report) =
        taffrail(&["migrate", "telegraf", &old.display().to_string(), "--output", &new.display().to_string()]);
    assert_eq!(status, Some(0), "{report}");

    let listens = path("health.conf");
    std::fs::write(&listens, format!("[[outputs.health]]\nservice_address = \"http://127.0.0.1:{port}\"\n")).unwrap();
    let program = newest_peer("telegraf");
    let mut command = Command::new(&program);
    command.arg("--config").arg(&old).arg("--config").arg(&listens).arg("--non-strict-env-handling");
    let telegraf = Server::start_silent(command, port);
    wait_until("points of two ticks", || {
        let text = std::fs::read_to_string(&points).unwrap_or_default();
        (text.matches("\nsystem,").count() >= 6).then_some(())
    });
    // A value may move twice between two readings: one that differs does in each round.
    let (mut differences, reasons) = verify(&points, &new);
    for _ in 0..5 {
        differences = &differences & &verify(&points, &new).0;
    }
    assert_eq!(differences, BTreeSet::new());
    assert!(reasons.contains("of each program itself"), "{reasons:?}");
    telegraf.end();

    // At one moment, before Taffrail's: all but values.
    let output =
        Command::new(&program).arg("--config").arg(&old).args(["--test", "--non-strict-env-handling"]).output();
    let (test, text) = (path("test"), String::from_utf8(output.unwrap().stdout).unwrap());
    std::fs::write(&test, &text).unwrap();
    let differences = verify(&test, &new).0;
    assert!(differences.iter().all(|difference| difference.starts_with("value ")), "{differences:#?}");
    std::fs::write(&test, text.replace("> mem,", "> memory,").replace("boot_time=", "booted=")).unwrap();
    let differences = verify(&test, &new).0;
    for missing in ["family_missing memory", "field_missing kernel booted"] {
        assert!(differences.contains(missing), "{differences:#?}");
    }
    let (status, text) = taffrail(&["migrate", "verify", &path("none").display().to_string()]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("cannot be read"), "{text}");
}
