//! The stack of deploy/docker/compose.yaml, as far as it is files: its images cannot be had everywhere.

use std::path::Path;
use std::process::Command;

use super::harness::python::run;
use super::kubernetes::{deploy, tool};

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_whose_compose_knows_the_stack() {
    let told = tool(&["compose", deploy().join("docker/compose.yaml").to_str().unwrap()], "").unwrap();
    let of = |kind: &str| told.lines().filter_map(|line| line.strip_prefix(kind)).collect::<Vec<_>>();
    let images = of("image ");
    assert_eq!(images.len(), 4, "{told}");
    for image in images {
        let (_, tag) = image.split_once(':').unwrap_or_else(|| panic!("{image} is not pinned"));
        assert!(tag.starts_with(|c: char| c.is_ascii_digit() || c == 'v'), "{image} is not pinned");
    }
    for file in of("file ") {
        assert!(Path::new(file).exists(), "{file}");
    }
}

#[test]
fn the_stacks_configuration_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["taffrail.toml", "stack.toml"] {
        std::fs::copy(deploy().join("docker").join(name), folder.path().join(name)).unwrap();
    }
    let mut check = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    let told = run(check.args(["check", "--config"]).arg(folder.path()).env("TAFFRAIL_HOST", "/host"));
    assert!(told.contains("pushes to   influxdb"), "{told}");
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_whose_promtool_takes_the_stacks_configuration() {
    let folder = tempfile::tempdir().unwrap();
    // Where the rules are in the container.
    let text = std::fs::read_to_string(deploy().join("docker/prometheus.yml")).unwrap();
    let rules = deploy().join("prometheus/rules");
    std::fs::write(
        folder.path().join("prometheus.yml"),
        text.replace("/etc/prometheus/rules", rules.to_str().unwrap()),
    )
    .unwrap();
    let told = run(Command::new("promtool").args(["check", "config"]).arg(folder.path().join("prometheus.yml")));
    assert!(told.contains("5 rule files found"), "{told}");
}
