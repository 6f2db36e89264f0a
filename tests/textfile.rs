//! Files of metrics that others wrote, in a Taffrail that runs.

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use harness::{Taffrail, wait_until};
use rustix::fs::{CWD, Mode, mkfifoat};
use taffrail::encode::parse::{Format, Limits, parse};

fn start(folder: &Path) -> Taffrail {
    let config = format!(
        "[collectors]\ndefault = false\nenable = [\"loadavg\", \"textfile\"]\n[collectors.textfile]\ndirectory = [\"{}\"]\n",
        folder.display()
    );
    Taffrail::start(&config)
}

#[test]
fn what_is_no_regular_file_costs_itself_alone_and_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("good.prom"), "# TYPE backup_size gauge\nbackup_size 7\n").unwrap();
    mkfifoat(CWD, at("fifo.prom"), Mode::RUSR | Mode::WUSR).unwrap();
    symlink("/dev/zero", at("zero.prom")).unwrap();
    let _socket = UnixListener::bind(at("socket.prom")).unwrap();
    fs::create_dir(at("folder.prom")).unwrap();
    fs::File::create(at("sparse.prom")).unwrap().set_len(1 << 40).unwrap();
    symlink("/none/such", at("nowhere.prom")).unwrap();
    let taffrail = start(folder.path());
    for _ in 0..5 {
        let answer = taffrail.get("/metrics");
        assert_eq!(answer.sample("backup_size"), Some(7.0));
        assert_eq!(answer.sample("node_textfile_scrape_error"), Some(1.0));
        assert!(answer.sample("node_load1").is_some());
    }
    let log = taffrail.log().join("\n");
    for bad in ["fifo.prom", "zero.prom", "socket.prom", "sparse.prom"] {
        assert_eq!(log.matches(bad).count(), 1, "{bad}: {log}");
    }
    // It is well again when they are gone.
    for bad in ["fifo.prom", "zero.prom", "socket.prom", "sparse.prom", "nowhere.prom"] {
        fs::remove_file(at(bad)).unwrap();
    }
    fs::remove_dir(at("folder.prom")).unwrap();
    wait_until("the end of the error", || {
        taffrail.get("/metrics").sample("node_textfile_scrape_error").filter(|error| *error == 0.0)
    });
}

#[test]
fn a_family_of_our_own_is_not_displaced_and_the_file_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("own.prom"), "node_load1 99\nmine 1\n").unwrap();
    let taffrail = start(folder.path());
    for _ in 0..3 {
        let answer = taffrail.get("/metrics");
        assert_eq!(answer.text().matches("\nnode_load1 ").count(), 1);
        assert_ne!(answer.sample("node_load1"), Some(99.0));
        assert_eq!(answer.sample("mine"), Some(1.0));
    }
    assert_eq!(taffrail.get("/metrics").sample("node_textfile_scrape_error"), Some(1.0));
    let lines: Vec<String> = taffrail.log().into_iter().filter(|line| line.contains("own.prom")).collect();
    assert!(lines.len() == 1 && lines[0].contains("node_load1"), "{lines:?}");
}

#[test]
fn names_in_utf8_can_be_read_in_every_format_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# TYPE \"température.salle\" gauge\n{\"température.salle\",\"étage\"=\"2\"} 21.5\n\
                # TYPE plain gauge\nplain{\"a.b\"=\"x\"} 1\nplain{a_b=\"y\"} 2\n";
    fs::write(folder.path().join("utf8.prom"), text).unwrap();
    let taffrail = start(folder.path());
    let messages = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    for format in
        ["text/plain;version=0.0.4", "text/plain;version=1.0.0", "application/openmetrics-text;version=1.0.0", messages]
    {
        for escaping in ["", ";escaping=allow-utf-8", ";escaping=underscores", ";escaping=dots", ";escaping=values"] {
            let answer = taffrail.get_with("/metrics", &[("Accept", &format!("{format}{escaping}"))]);
            let read = parse(Format::from_content_type(&answer.content_type), &answer.body, &Limits::default());
            let read = read.unwrap_or_else(|error| panic!("{format}{escaping}: {error}"));
            let values =
                read.families.iter().flat_map(|family| &family.metrics).map(|metric| format!("{:?}", metric.measure));
            assert!(values.into_iter().any(|value| value == "Number(21.5)"), "{format}{escaping}");
            let plain = read.families.iter().find(|family| family.name == "plain").unwrap();
            assert_eq!(plain.metrics.len(), 2, "{format}{escaping}: {plain:?}");
            if escaping == ";escaping=allow-utf-8" && format != "text/plain;version=0.0.4" {
                assert!(read.families.iter().any(|family| family.name == "température.salle"), "{format}{escaping}");
            }
        }
    }
}
