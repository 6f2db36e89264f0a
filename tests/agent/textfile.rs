//! Files of metrics that others wrote, in a Taffrail that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::mpsc::channel;

use crate::harness::server::{FakeInflux, reply_of};
use crate::harness::wire::{Incoming, fields};
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

/// Files, programs, samples and a page with one family `x_a`, one histogram `h`, and `k`, which is a histogram in the text
/// file only. The text file repeats a series and a histogram of `exec`.
struct Namesakes {
    folder: tempfile::TempDir,
    exporter: FakeInflux,
}

impl Namesakes {
    fn new() -> Namesakes {
        let folder = tempfile::tempdir().unwrap();
        let histogram = |labels: &str, bound: &str| {
            let bucket = |le: &str| format!("h_bucket{{le=\"{le}\",p=\"{labels}\"}} 1\n");
            let sum = format!("h_sum{{p=\"{labels}\"}} 1\nh_count{{p=\"{labels}\"}} 1\n");
            format!("{}{}{sum}", bucket(bound), bucket("+Inf"))
        };
        let of = |source: &str| format!("# TYPE h histogram\n{}", histogram(source, "2"));
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("lines", "x,p=file a=3\n");
        put("program", &format!("{}k{{p=\"exec\"}} 1\n", of("exec")));
        put(
            "t.prom",
            &format!(
                "x_a{{p=\"textfile\"}} 5\nx_a{{p=\"exec\"}} 9\n{}{}up{{p=\"textfile\"}} 1\n\
                 # TYPE k histogram\nk_bucket{{le=\"+Inf\"}} 1\nk_sum 1\nk_count 1\n",
                of("textfile"),
                histogram("exec", "3")
            ),
        );
        let page = format!("x_a{{p=\"page\"}} 6\ntaffrail_collector_series_left_out 7\n{}", of("page"));
        let exporter = FakeInflux::start(move |_| reply_of(200, "text/plain; version=0.0.4", &page));
        Namesakes { folder, exporter }
    }

    fn start(&self, more: &str) -> Taffrail {
        let at = self.folder.path().display();
        let taffrail = Taffrail::start(&format!(
            "[agent]\ninterval = \"300ms\"\nflush_interval = \"100ms\"\n[collectors]\ndefault = false\n\
             [[collectors.exec]]\ncommands = [[\"/bin/echo\", \"x,p=exec a=1\"]]\ndata_format = \"influx\"\n\
             [[collectors.exec]]\ncommands = [[\"/bin/cat\", \"{at}/program\"]]\ndata_format = \"prometheus\"\ninterval = \"1s\"\n\
             [[collectors.execd]]\ncommand = [\"/bin/sh\", \"-c\", \"echo x,p=execd a=2; cat\"]\n\
             [[collectors.file]]\nfiles = [\"{at}/lines\"]\n\
             [[collectors.prometheus]]\nname = \"j\"\ntargets = [\"{}\"]\ninterval = \"1s\"\n\
             [collectors.statsd]\nlisten = [\"unixgram://{at}/s.sock\"]\n\
             [collectors.textfile]\nenabled = true\ndirectory = [\"{at}\"]\n{more}",
            self.exporter.address
        ));
        taffrail.wait_for_log("statsd: receiving on unixgram");
        let socket = UnixDatagram::unbound().unwrap();
        socket.send_to(b"x_a:4|g|#p:statsd", self.folder.path().join("s.sock")).unwrap();
        taffrail
    }

    /// The series of `x_a`, without the labels of the target.
    const SERIES: [(&str, f64); 6] =
        [("exec", 1.0), ("execd", 2.0), ("file", 3.0), ("page", 6.0), ("statsd", 4.0), ("textfile", 5.0)];
}

#[test]
fn collectors_share_the_families_that_others_name() {
    let namesakes = Namesakes::new();
    let taffrail = namesakes.start("");
    let of_target = format!("instance=\"{}\",job=\"j\"", namesakes.exporter.address);
    let mut expected = vec![format!("up{{{of_target}}} 1"), "up{p=\"textfile\"} 1".to_owned()];
    expected.push(format!("taffrail_collector_series_left_out{{{of_target}}} 7"));
    for (source, value) in Namesakes::SERIES {
        let more = if source == "page" { format!("{of_target},") } else { String::new() };
        expected.push(format!("x_a{{{more}p=\"{source}\"}} {value}"));
    }
    for source in ["exec", "textfile"] {
        expected.extend([
            format!("h_bucket{{le=\"2\",p=\"{source}\"}} 1"),
            format!("h_bucket{{le=\"+Inf\",p=\"{source}\"}} 1"),
            format!("h_count{{p=\"{source}\"}} 1"),
        ]);
    }
    expected.extend([format!("h_bucket{{{of_target},le=\"2\",p=\"page\"}} 1"), "k{p=\"exec\"} 1".to_owned()]);
    let page = || taffrail.get("/metrics").text().to_owned();
    for line in &expected {
        wait_until(line, || page().lines().any(|shown| shown == line).then_some(()));
    }
    let text = page();
    let not_there = |line: &str| line == "x_a{p=\"exec\"} 9" || line.contains("le=\"3\"") || line.starts_with("k_");
    assert!(!text.lines().any(not_there), "{text}");
    let messages = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    for format in ["text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0", messages] {
        let answer = taffrail.get_with("/metrics", &[("Accept", format)]);
        let read = parse(Format::from_content_type(&answer.content_type), &answer.body, &Limits::default()).unwrap();
        for (name, count) in [("x_a", 6), ("h", 3), ("k", 1), ("up", 2)] {
            let found: Vec<usize> =
                read.families.iter().filter(|family| family.name == name).map(|family| family.metrics.len()).collect();
            assert_eq!(found, [count], "{format}: {name}");
        }
    }
    let at = namesakes.folder.path().display();
    taffrail.wait_for_log(&format!(
        "textfile: families that collide with another collector's are left out of files: {at}/t.prom: \"k\" (exec has it)"
    ));
    assert_eq!(taffrail.logged("Taffrail's own"), 0, "{:#?}", taffrail.log());
    assert_eq!(taffrail.get("/metrics").sample("node_textfile_scrape_error"), Some(1.0));
    // One series and the four samples of a histogram are left out of each page.
    let refused = || taffrail.get("/metrics").sample("taffrail_refused_samples_total").unwrap();
    let before = refused();
    assert_eq!(refused() - before, 5.0);
    // The collision ends with the family of the program.
    fs::write(namesakes.folder.path().join("program"), "other 1\n").unwrap();
    wait_until("the histogram of the text file", || page().lines().any(|line| line == "k_count 1").then_some(()));
    taffrail.wait_for_log("textfile: no family of files collides with another collector's any more");
}

#[test]
fn remote_write_gets_the_series_of_all_collectors_with_one_name() {
    let namesakes = Namesakes::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            while let Some(request) = Incoming::read(&mut reader) {
                reader.get_mut().write_all(b"HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n").unwrap();
                if sender.send(request.body).is_err() {
                    return;
                }
            }
        }
    });
    let _taffrail = namesakes.start(&format!("[[sinks.remote_write]]\nurl = \"{url}\"\nversion = \"1.0\"\n"));
    let expected = BTreeMap::from(Namesakes::SERIES.map(|(source, value)| (source.to_owned(), value)));
    let (mut found, mut times) = (BTreeMap::new(), BTreeSet::new());
    wait_until("the series of all collectors", || {
        let body = snap::raw::Decoder::new().decompress_vec(&requests.recv().unwrap()).unwrap();
        for series in fields(&body).into_iter().filter(|(number, _)| *number == 1).map(|(_, series)| fields(series)) {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let labels = series.iter().filter(|(number, _)| *number == 1).map(|(_, label)| fields(label));
            let labels: BTreeMap<String, String> = labels.map(|label| (text(label[0].1), text(label[1].1))).collect();
            if labels["__name__"] == "x_a" {
                let (_, sample) = series.iter().find(|(number, _)| *number == 2).unwrap();
                let (value, time) = (fields(sample)[0].1, fields(sample)[1].1.to_vec());
                let source = labels["p"].clone();
                assert!(times.insert((source.clone(), time)), "{source} is sent twice");
                found.insert(source, f64::from_le_bytes(value.try_into().unwrap()));
            }
        }
        // The program may have had no result at the first tick.
        (found == expected).then_some(())
    });
}
