//! Client libraries, as their users have them: each pushes, adds and deletes.
//!
//! What they need is fetched once, into the folder that Cargo has for tests' files.

use std::process::Command;

use crate::harness::gateway::{Gateway, Own};
use crate::harness::python::{folder, python, run};

/// What a client that can do everything leaves behind after each step.
fn pushes_adds_and_deletes(client: impl Fn() -> Command) {
    let gateway = Own::start("");
    let step = |verb: &str| run(client().arg(verb).arg(gateway.address()));
    let group = "instance=\"\",job=\"backup\",path=\"/var/tmp\"";
    step("push");
    let last_success = format!("last_success{{{group}}}");
    let shown = |series: &str| gateway.sample(&series.replace("GROUP", group));
    assert_eq!(gateway.sample(&last_success), Some(1.5e9));
    assert_eq!(shown("files_total{instance=\"\",job=\"backup\",kind=\"a b\",path=\"/var/tmp\"}"), Some(3.0));
    assert_eq!(shown("copy_seconds_count{GROUP}"), Some(1.0));
    assert_eq!(shown("copy_seconds_bucket{GROUP,le=\"0.1\"}"), Some(0.0));
    assert_eq!(shown("size_sum{GROUP}"), Some(7.0));
    step("add");
    assert_eq!(gateway.sample(&last_success), Some(1.6e9));
    assert_eq!(shown("size_sum{GROUP}"), Some(7.0));
    step("delete");
    assert!(!gateway.exposition().contains("backup"), "{}", gateway.exposition());
}

/// A Python client with these packages.
fn client_in_python(name: &str, packages: &[&str]) -> impl Fn() -> Command {
    let python = python(name, packages);
    move || {
        let mut python = python();
        python.arg("client.py");
        python
    }
}

#[test]
#[ignore = "needs pip3: tests/run"]
fn with_python3_pip_and_prometheus_client() {
    pushes_adds_and_deletes(client_in_python("python", &["prometheus-client==0.26.0"]));
}

#[test]
#[ignore = "needs pip3: tests/run"]
fn with_python3_pip_and_influxdbs_clients() {
    let gateway = Own::start("");
    let (host, port) = gateway.address().split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
    let client = client_in_python("influx", &["influxdb-client==1.49.0", "influxdb==5.3.2"]);
    run(client().arg(host).arg(port));
    assert_eq!(gateway.sample("second{host=\"a\"}"), Some(1.5));
    assert_eq!(gateway.sample("second_n{host=\"a\"}"), Some(3.0));
    assert_eq!(gateway.sample("first{host=\"a b\"}"), Some(2.5));
    assert_eq!(gateway.sample("first_ok{host=\"a b\"}"), Some(1.0));
}

#[test]
#[ignore = "needs npm: tests/run"]
fn with_npm_and_prom_client() {
    let folder = folder("node");
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg("prom-client@15.1.3");
    run(&mut npm);
    pushes_adds_and_deletes(|| {
        let mut node = Command::new("node");
        node.arg(folder.join("client.js"));
        node
    });
}

#[test]
#[ignore = "needs Go: tests/run"]
fn with_golang_go_and_client_golang() {
    let folder = folder("go");
    run(Command::new("go").args(["mod", "tidy"]).current_dir(&folder));
    run(Command::new("go").args(["build", "-o", "client", "."]).current_dir(&folder));
    pushes_adds_and_deletes(|| Command::new(folder.join("client")));
}

#[test]
#[ignore = "needs Maven: tests/run"]
fn with_maven_and_client_java() {
    let folder = folder("java");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "compile", "dependency:copy-dependencies"]).current_dir(&folder);
    run(&mut maven);
    pushes_adds_and_deletes(|| {
        let mut java = Command::new("java");
        java.args(["-cp", "target/classes:target/dependency/*", "Client"]).current_dir(&folder);
        java
    });
}

#[test]
#[ignore = "builds a client library: tests/run"]
fn with_cargo_and_the_crate_prometheus() {
    let folder = folder("rust");
    run(Command::new("cargo").args(["build", "--quiet", "--target-dir", "target"]).current_dir(&folder));
    let gateway = Own::start("");
    let step = |verb: &str| run(Command::new(folder.join("target/debug/client")).arg(verb).arg(gateway.address()));
    let shown = |name: &str| gateway.sample(&format!("{name}{{instance=\"\",job=\"backup\",path=\"tmp\"}}"));
    step("push");
    assert_eq!((shown("last_success"), shown("copy_seconds_count")), (Some(1.5e9), Some(1.0)));
    step("add");
    assert_eq!((shown("last_success"), shown("copy_seconds_count")), (Some(1.6e9), Some(1.0)));
}

#[test]
#[ignore = "needs curl: tests/run"]
fn with_curl_as_people_type_it() {
    let gateway = Own::start("");
    let url = format!("http://{}/metrics/job/some_job", gateway.address());
    let curl = |arguments: &[&str]| run(Command::new("curl").args(["-sSf"]).args(arguments).arg(&url));
    curl(&["--data-binary", "some_metric 2.71\n"]);
    assert_eq!(gateway.sample("some_metric{instance=\"\",job=\"some_job\"}"), Some(2.71));
    curl(&["-X", "DELETE"]);
    assert!(!gateway.exposition().contains("some_job"));
}
