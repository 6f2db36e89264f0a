//! Files of metrics that others wrote, in a Taffrail that runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::harness::{Taffrail, wait_until};
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
    symlink("loop.prom", at("loop.prom")).unwrap();
    let taffrail = start(folder.path());
    for _ in 0..5 {
        let answer = taffrail.get("/metrics");
        assert_eq!(answer.sample("backup_size"), Some(7.0));
        assert_eq!(answer.sample("node_textfile_scrape_error"), Some(1.0));
        assert!(answer.sample("node_load1").is_some());
    }
    let log = taffrail.log().join("\n");
    const BAD: [&str; 6] = ["fifo.prom", "zero.prom", "socket.prom", "sparse.prom", "nowhere.prom", "loop.prom"];
    for bad in BAD {
        assert_eq!(log.matches(bad).count(), 1, "{bad}: {log}");
    }
    // It is well again when they are gone.
    for bad in BAD {
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
fn default_folders_are_read_where_they_exist_and_configured_ones_must_exist() {
    let root = tempfile::tempdir().unwrap();
    let start = |more: &str| {
        let config = "[collectors]\ndefault = false\nenable = [\"textfile\"]\n";
        Taffrail::start(&format!("[host]\nroot = {:?}\n{config}{more}", root.path()))
    };
    let neither = start("");
    assert_eq!(neither.get("/metrics").sample("node_textfile_scrape_error"), Some(0.0));
    for (folder, metric) in [("taffrail/textfile", "ours"), ("prometheus/node-exporter", "debians")] {
        let folder = root.path().join("var/lib").join(folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.prom"), format!("{metric} 1\n")).unwrap();
        assert_eq!(neither.get("/metrics").sample(metric), Some(1.0));
    }
    assert_eq!(neither.get("/metrics").sample("node_textfile_scrape_error"), Some(0.0));
    assert_eq!(start("[collectors.textfile]\ndirectory = []\n").get("/metrics").sample("ours"), None);
    let other = start("[collectors.textfile]\ndirectory = [\"/none\"]\n");
    assert_eq!(other.get("/metrics").sample("node_textfile_scrape_error"), Some(1.0));
    assert!(other.wait_for_log("no such file or directory").contains("/none"));
}

/// The lines of the log that report a file.
fn reported(taffrail: &Taffrail) -> Vec<String> {
    taffrail.log().into_iter().filter(|line| line.contains(".prom") || line.contains("textfile")).collect()
}

#[test]
fn a_copy_of_our_own_exposition_is_one_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let taffrail = start(folder.path());
    let own = taffrail.get("/metrics").text().to_owned();
    fs::write(folder.path().join("copy.prom"), &own).unwrap();
    for _ in 0..5 {
        assert_eq!(taffrail.get("/metrics").text().matches("\nnode_load1 ").count(), 1);
    }
    let lines = reported(&taffrail);
    assert!(lines.len() == 1 && lines[0].contains("copy.prom") && lines[0].contains("more"), "{lines:#?}");
    fs::remove_file(folder.path().join("copy.prom")).unwrap();
    let _ = taffrail.get("/metrics");
    taffrail.wait_for_log("no file repeats a family");
}

#[test]
fn many_files_with_one_fault_are_few_lines_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..300 {
        let text = format!("node_load1 {number}\nshared 1\nbroken{number} nonsense{number}\n");
        fs::write(folder.path().join(format!("job-{number}.prom")), text).unwrap();
    }
    let taffrail = start(folder.path());
    for _ in 0..5 {
        assert_eq!(taffrail.get("/metrics").sample("node_textfile_scrape_error"), Some(1.0));
    }
    let lines = reported(&taffrail);
    assert!(lines.len() <= 2 && lines.iter().all(|line| line.len() < 2_000), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("299 more like this")), "{lines:#?}");
}

#[test]
fn names_and_lines_that_change_are_no_news_and_what_flaps_is_damped() {
    let folder = tempfile::tempdir().unwrap();
    let taffrail = start(folder.path());
    let at = |name: &str| folder.path().join(name);
    for number in 0..40_usize {
        fs::write(at("lines.prom"), format!("{}a nonsense{number}\n", "# a\n".repeat(number))).unwrap();
        fs::write(at(&format!("run-{number}.prom")), "node_load1 1\nb nonsense\n").unwrap();
        let _ = fs::remove_file(at(&format!("run-{}.prom", number.wrapping_sub(1))));
        let _ = taffrail.get("/metrics");
    }
    let lines = reported(&taffrail);
    assert!((1..=3).contains(&lines.len()), "{lines:#?}");
    let _ = fs::remove_file(at("lines.prom"));
    for number in 0..60 {
        match number % 2 {
            0 => fs::write(at("flaps.prom"), "c nonsense\n").unwrap(),
            _ => fs::remove_file(at("flaps.prom")).unwrap(),
        }
        let _ = taffrail.get("/metrics");
    }
    // Six at once, each perhaps with its end, and one a minute.
    assert!(reported(&taffrail).len() <= lines.len() + 16, "{:#?}", reported(&taffrail));
}

#[test]
fn a_link_to_a_secret_shows_nothing_of_it() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = elsewhere.path().join("shadow");
    fs::write(&secret, "root:$6$Zq7hunterXv9:19000:0:99999:7:::\nZq7hunterXv9\nkey = \"Zq7hunterXv9\"\n").unwrap();
    symlink(&secret, folder.path().join("linked.prom")).unwrap();
    let taffrail = start(folder.path());
    let answer = taffrail.get("/metrics");
    let line = taffrail.wait_for_log("linked.prom");
    assert!(!line.contains("hunter") && !answer.text().contains("hunter"), "{line}");
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
