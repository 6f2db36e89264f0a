//! `[collectors.statsd]`: what arrives by each transport, and the same packets at statsd_exporter.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;

use rustix::process::Signal;

use crate::harness::golden::assert_families;
use crate::harness::real::{Server, free_port, newest_peer};
use crate::harness::series::Exposition;
use crate::harness::{Taffrail, get, wait_until};

const ALONE: &str = "[collectors]\ndefault = false\n";

/// The address of a transport, from the log.
fn address(taffrail: &Taffrail, scheme: &str) -> String {
    let line = taffrail.wait_for_log(&format!("statsd: receiving on {scheme}"));
    let (_, rest) = line.split_once(scheme).unwrap();
    rest.split([' ', '"']).next().unwrap().to_owned()
}

fn send(taffrail: &Taffrail, packets: &[&str]) {
    let (socket, to) = (UdpSocket::bind("127.0.0.1:0").unwrap(), address(taffrail, "udp://"));
    for packet in packets {
        socket.send_to(packet.as_bytes(), &to).unwrap();
    }
}

/// Waits until a series has this value.
fn wait_for(taffrail: &Taffrail, series: &str, value: f64) {
    let mut last = None;
    wait_until(&format!("{series} {value}"), || {
        last = taffrail.get("/metrics").sample(series);
        (last == Some(value)).then_some(())
    });
}

#[test]
fn each_transport_leads_to_the_same_families() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let taffrail = Taffrail::start(&format!(
        "{ALONE}[collectors.statsd]\nmax_connections = 2\nmax_line_length = 100\n\
         listen = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\", \"unixgram://{0}\", \"unix://{1}\"]\n",
        path("d.sock"),
        path("s.sock")
    ));
    for scheme in ["udp://", "tcp://", "unixgram://", "unix://"] {
        address(&taffrail, scheme);
    }
    send(&taffrail, &["hits:1|c|#by:udp\nhits:1|c|#by:udp\n", "malformed"]);
    let mut tcp = TcpStream::connect(address(&taffrail, "tcp://")).unwrap();
    tcp.write_all(b"hits:1|c|#by:tcp\nhi").unwrap();
    wait_for(&taffrail, "hits{by=\"tcp\"}", 1.0);
    tcp.write_all(format!("ts:2|c|#by:tcp\r\n{}\nhits:1|c|#by:tcp", "x".repeat(200)).as_bytes()).unwrap();
    let datagrams = UnixDatagram::unbound().unwrap();
    datagrams.send_to(b"hits:5|c|#by:unixgram", path("d.sock")).unwrap();
    let mut unix = UnixStream::connect(path("s.sock")).unwrap();
    unix.write_all(b"hits:7|c|#by:unix\n").unwrap();
    for (by, value) in [("udp", 2.0), ("tcp", 3.0), ("unixgram", 5.0), ("unix", 7.0)] {
        wait_for(&taffrail, &format!("hits{{by=\"{by}\"}}"), value);
    }
    wait_for(&taffrail, "taffrail_statsd_connections", 2.0);
    let mut third = TcpStream::connect(address(&taffrail, "tcp://")).unwrap();
    wait_for(&taffrail, "taffrail_statsd_refused_total{setting=\"max_connections\"}", 1.0);
    taffrail.wait_for_log("statsd: max_connections is reached");
    let _ = third.write_all(b"hits:100|c|#by:tcp\n");
    drop((tcp, unix));
    // The last line of a connection needs no end.
    wait_for(&taffrail, "hits{by=\"tcp\"}", 4.0);
    wait_for(&taffrail, "taffrail_statsd_connections", 0.0);
    let page = taffrail.get("/metrics");
    for (series, value) in [
        ("statsd_exporter_udp_packets_total", 2.0),
        ("statsd_exporter_unixgram_packets_total", 1.0),
        ("statsd_exporter_tcp_connections_total", 2.0),
        ("statsd_exporter_tcp_too_long_lines_total", 1.0),
        ("statsd_exporter_sample_errors_total{reason=\"malformed_line\"}", 1.0),
        ("node_scrape_collector_success{collector=\"statsd\"}", 1.0),
    ] {
        assert_eq!(page.sample(series), Some(value), "{series}\n{}", page.text());
    }
    assert!(page.text().contains("# TYPE hits counter\n"), "{}", page.text());
    assert_families("statsd", page.text(), &["statsd_exporter_", "taffrail_statsd_"]);
    taffrail.wait_for_log("a sample is refused, malformed_line: \"malformed\"");
}

#[test]
fn a_socket_whose_file_is_removed_is_bound_again() {
    let folder = tempfile::tempdir().unwrap();
    let [d, s] = ["d.sock", "s.sock"].map(|name| folder.path().join(name));
    let listen = format!("[\"unixgram://{}\", \"unix://{}\"]", d.display(), s.display());
    let taffrail = Taffrail::start(&format!("{ALONE}[collectors.statsd]\nlisten = {listen}\n"));
    for scheme in ["unixgram://", "unix://"] {
        address(&taffrail, scheme);
    }
    let mut former = UnixStream::connect(&s).unwrap();
    former.write_all(b"hits:1|c|#by:former\n").unwrap();
    wait_for(&taffrail, "hits{by=\"former\"}", 1.0);
    for path in [&d, &s] {
        std::fs::remove_file(path).unwrap();
    }
    taffrail.wait_for_log("cannot listen: the file of the socket was removed");
    let datagrams = UnixDatagram::unbound().unwrap();
    wait_until("the socket of datagrams", || datagrams.send_to(b"hits:5|c|#by:d", &d).ok());
    wait_until("the socket of streams", || UnixStream::connect(&s).ok()?.write_all(b"hits:7|c|#by:s\n").ok());
    former.write_all(b"hits:1|c|#by:former\n").unwrap();
    for (by, value) in [("d", 5.0), ("s", 7.0), ("former", 2.0)] {
        wait_for(&taffrail, &format!("hits{{by=\"{by}\"}}"), value);
    }
    let success = "node_scrape_collector_success{collector=\"statsd\"}";
    wait_for(&taffrail, success, 1.0);
    // Another program takes the place of the file, and gives it back.
    let other = folder.path().join("other.sock");
    let in_use = UnixDatagram::bind(&other).unwrap();
    std::fs::rename(&other, &d).unwrap();
    wait_for(&taffrail, success, 0.0);
    drop(in_use);
    wait_for(&taffrail, success, 1.0);
    datagrams.send_to(b"hits:5|c|#by:d", &d).unwrap();
    wait_for(&taffrail, "hits{by=\"d\"}", 10.0);
}

#[test]
fn a_reload_keeps_connections() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let config = |more: &str| {
        let path = path.display();
        format!("{ALONE}{more}[collectors.statsd]\nlisten = [\"tcp://127.0.0.1:0\", \"unix://{path}\"]\n")
    };
    let taffrail = Taffrail::start(&config(""));
    address(&taffrail, "unix://");
    let mut tcp = TcpStream::connect(address(&taffrail, "tcp://")).unwrap();
    let mut unix = UnixStream::connect(&path).unwrap();
    tcp.write_all(b"hits:1|c|#by:tcp\nhi").unwrap();
    unix.write_all(b"hits:1|c|#by:unix\n").unwrap();
    wait_for(&taffrail, "hits{by=\"tcp\"}", 1.0);
    wait_for(&taffrail, "hits{by=\"unix\"}", 1.0);
    taffrail.reload(&config("enable = [\"loadavg\"]\n"));
    tcp.write_all(b"ts:2|c|#by:tcp\n").unwrap();
    unix.write_all(b"hits:2|c|#by:unix\n").unwrap();
    wait_for(&taffrail, "hits{by=\"tcp\"}", 3.0);
    wait_for(&taffrail, "hits{by=\"unix\"}", 3.0);
    wait_for(&taffrail, "taffrail_statsd_connections", 2.0);
    drop((tcp, unix));
    wait_for(&taffrail, "taffrail_statsd_connections", 0.0);
}

#[test]
fn a_reload_keeps_values_and_an_invalid_mapping_keeps_the_former() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("mapping.yml");
    std::fs::write(&mapping, "mappings: [{match: a.*, name: mapped, labels: {which: $1}}]\n").unwrap();
    let config = |more: &str| {
        let mapping = mapping.display();
        format!("{ALONE}[collectors.statsd]\nlisten = [\"udp://127.0.0.1:0\"]\nmapping_file = \"{mapping}\"\n{more}")
    };
    let taffrail = Taffrail::start(&config(""));
    send(&taffrail, &["a.b:3|c\ntime:100|ms"]);
    wait_for(&taffrail, "mapped{which=\"b\"}", 3.0);
    let before = address(&taffrail, "udp://");
    taffrail.reload(&config("max_tags = 3\n"));
    // The socket is the same, with the port that the kernel chose.
    send(&taffrail, &["a.b:1|c"]);
    wait_for(&taffrail, "mapped{which=\"b\"}", 4.0);
    wait_for(&taffrail, "time_sum", 0.1);
    assert_eq!(before, address(&taffrail, "udp://"));
    std::fs::write(&mapping, "mappings: [{match: a.*, name: other}]\n").unwrap();
    wait_until("the other mapping", || {
        send(&taffrail, &["a.b:1|c"]);
        taffrail.get("/metrics").sample("other")
    });
    std::fs::write(&mapping, "mappings: [{match: a.*}]\n").unwrap();
    wait_for(&taffrail, "statsd_exporter_config_reloads_total{outcome=\"failure\"}", 1.0);
    wait_for(&taffrail, "node_scrape_collector_success{collector=\"statsd\"}", 0.0);
    let line = taffrail.wait_for_log("the former mapping stays in use");
    assert!(line.contains("mappings[0].name: expected a name"), "{line}");
    let before = taffrail.get("/metrics").sample("other").unwrap();
    send(&taffrail, &["a.b:1|c"]);
    wait_for(&taffrail, "other", before + 1.0);
}

#[test]
fn sinks_get_each_interval_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points");
    let taffrail = Taffrail::start(&format!(
        "[agent]\ninterval = \"100ms\"\nflush_interval = \"100ms\"\nhostname = \"h\"\n{ALONE}\
         [collectors.statsd]\nlisten = [\"udp://127.0.0.1:0\"]\nflush_interval = \"200ms\"\npercentiles = [90]\n\
         [[sinks.file]]\npath = \"{}\"\n",
        path.display()
    ));
    send(&taffrail, &["a.b:3|c|#x:y\nt:5|ms\ng:2|g\nu:me|s"]);
    let lines = wait_until("points", || {
        let text = std::fs::read_to_string(&path).ok()?;
        let lines: Vec<String> = text.lines().filter(|line| line.contains("metric_type=")).map(str::to_owned).collect();
        (lines.len() >= 4).then_some(lines)
    });
    let mut points: Vec<&str> = lines.iter().filter_map(|line| line.rsplit_once(' ').map(|(point, _)| point)).collect();
    points.sort_unstable();
    assert_eq!(
        points,
        [
            "a_b,host=h,metric_type=counter,x=y value=3i",
            "g,host=h,metric_type=gauge value=2",
            "t,host=h,metric_type=timing mean=5,median=5,stddev=0,sum=5,upper=5,lower=5,90_percentile=5,count=1i",
            "u,host=h,metric_type=set value=1i",
        ]
    );
    send(&taffrail, &["last:1|c"]);
    wait_until("the next points", || {
        let text = std::fs::read_to_string(&path).ok()?;
        text.contains("last,").then(|| assert_eq!(text.matches("a_b,").count(), 1))
    });
}

#[test]
fn packets_that_the_kernel_drops_are_counted() {
    const PACKETS: usize = 20_000;
    let taffrail = Taffrail::start(&format!("{ALONE}[collectors.statsd]\nlisten = [\"udp://127.0.0.1:0\"]\n"));
    send(&taffrail, &["first:1|c"]);
    wait_for(&taffrail, "first", 1.0);
    taffrail.signal(Signal::STOP);
    let packets = vec!["many:1|c"; PACKETS];
    send(&taffrail, &packets);
    taffrail.signal(Signal::CONT);
    // The kernel reports drops with the packets that come after.
    let mut sent = 1 + PACKETS as u64;
    wait_until("all packets, received or dropped", || {
        send(&taffrail, &["last:1|c"]);
        sent += 1;
        let page = taffrail.get("/metrics");
        let received = page.sample("statsd_exporter_udp_packets_total")?;
        let dropped = page.sample("statsd_exporter_udp_packet_drops_total")?;
        (dropped > 0.0 && received + dropped >= (sent - 1) as f64).then(|| assert!(received + dropped <= sent as f64))
    });
}

#[test]
fn an_address_that_is_in_use_is_reported_and_tried_again() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let taffrail = Taffrail::start(&format!("{ALONE}[collectors.statsd]\nlisten = [\"udp://127.0.0.1:{port}\"]\n"));
    taffrail.wait_for_log(&format!("statsd: udp://127.0.0.1:{port}: cannot listen"));
    wait_for(&taffrail, "node_scrape_collector_success{collector=\"statsd\"}", 0.0);
    drop(taken);
    wait_for(&taffrail, "node_scrape_collector_success{collector=\"statsd\"}", 1.0);
}

#[test]
fn families_of_taffrail_are_not_replaced() {
    let taffrail = Taffrail::start(&format!("{ALONE}[collectors.statsd]\nlisten = [\"udp://127.0.0.1:0\"]\n"));
    send(&taffrail, &["taffrail_collectors_hung:5|g\nstatsd_exporter_lines_total:9|c\nother:1|c"]);
    wait_for(&taffrail, "other", 1.0);
    let page = taffrail.get("/metrics");
    assert_eq!(page.sample("taffrail_collectors_hung"), Some(0.0), "{}", page.text());
    assert_eq!(page.sample("statsd_exporter_lines_total"), Some(3.0), "{}", page.text());
    taffrail.wait_for_log("statsd: families of Taffrail's own are left out of samples");
}

const MAPPING: &str = r#"
defaults:
  summary_options: {quantiles: [{quantile: 0.5, error: 0.05}, {quantile: 0.95, error: 0.005}]}
mappings:
- match: "api.*.*.latency"
  name: "api_latency_seconds"
  observer_type: histogram
  histogram_options: {buckets: [0.01, 0.1, 1]}
  labels: {method: "$1", code: "${2}", job: "x_${1}_$1_y"}
  help: "Latency"
- match: '^disk\.([a-z]+)\.(read|write)$'
  match_type: regex
  name: "disk_${2}_bytes"
  labels: {device: "$1"}
  match_metric_type: gauge
- match: "*.ignored"
  name: "x"
  action: drop
- match: "scaled.*"
  name: "scaled_$1"
  scale: 0.5
- match: "honored.*"
  name: "honored"
  honor_labels: true
  labels: {env: "mapping"}
"#;

/// Packets on which both agree.
const PACKETS: [&str; 14] = [
    "requests.total:1|c\nrequests.total:3|c|@0.1\nrequests-total.x--y:2|c\n9lives:1|c",
    "temp:20.5|g\ntemp:+1.25|g\ntemp:-3|g\nlevel:-7|g",
    "t:320|ms\nt:100|ms\nt:50|ms|@0.3\nsizes:10|h\nsizes:20|d\nsizes:1:2:3|h|#x:y",
    "api.get.200.latency:5|ms\napi.get.200.latency:50|ms\napi.get.500.latency:5000|ms|#shard:a",
    "disk.sda.read:4096|g\ndisk.sda.write:1|c\nq.ignored:1|c\nscaled.a:10|g\nscaled.b:10|c|@0.5",
    "honored.a:1|c|#env:tag\nhonored.b:1|c",
    "tags:1|c|#a:1,b:x y,c:2:3\ntags,a=1:1|c\ntags#a=1:1|c\ntags[a=1].more:1|c\ntags:1|c|#flag,a:1",
    "multi:1|c:2|c:3|c",
    "conflict:1|c\nconflict:1|g\nsummary:1|ms\nsummary_count:1|c\nnegative:5|c\nnegative:-1|c",
    "container:1|c|#a:b|T1656581400",
    "bad\nbad:1\nbad:x|c\nbad:1|q\nbad:1|c|\n:1|c\nbad,a=1:1|c|#b:2\nbad:1:2|c",
    "\n\n\n",
    "many:1|g\nmany:2|g\nmany:3|g",
    "done:1|c",
];

/// What only one of them has, or counts in another way.
const KNOWN: [&str; 8] = [
    "statsd_exporter_build_info",
    "statsd_exporter_event_queue_flushed_total",
    "statsd_exporter_events_conflict_total",
    "statsd_exporter_loaded_mappings",
    "statsd_exporter_metrics_total",
    "statsd_exporter_config_reloads_total",
    "statsd_exporter_lines_total",
    "statsd_metric_mapper_cache",
];

/// The types of families, and the values of series, without those of the process and of Go.
fn read(url: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let page = get(url, &[]).unwrap().text().to_owned();
    let is_compared = |name: &str| {
        let others = ["go_", "process_", "promhttp_", "taffrail_", "node_", "net_conntrack", "scrape_"];
        !others.iter().chain(&KNOWN).any(|prefix| name.starts_with(prefix))
    };
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types = types.filter(|(name, _)| is_compared(name)).map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    let series =
        Exposition::parse(&page).0.into_iter().filter(|series| is_compared(&series.name) && series.value != 0.0);
    (types.collect(), series.map(|series| (series.key(), series.value)).collect())
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_go_statsd_exporter_has_the_same_families() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("mapping.yml");
    std::fs::write(&mapping, MAPPING).unwrap();
    let (web, udp) = (free_port(), free_port());
    let mut command = Command::new(newest_peer("statsd_exporter"));
    command.arg(format!("--web.listen-address=127.0.0.1:{web}")).arg(format!("--statsd.listen-udp=127.0.0.1:{udp}"));
    command.arg("--statsd.listen-tcp=").arg(format!("--statsd.mapping-config={}", mapping.display()));
    let theirs = Server::start(command, web, "/metrics");
    let ours = Taffrail::start(&format!(
        "{ALONE}[collectors.statsd]\nlisten = [\"udp://127.0.0.1:0\"]\nmapping_file = \"{}\"\n",
        mapping.display()
    ));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in PACKETS {
        socket.send_to(packet.as_bytes(), ("127.0.0.1", udp)).unwrap();
    }
    send(&ours, &PACKETS);
    let urls = [ours.url("/metrics"), format!("{}/metrics", theirs.url)];
    let [(mut our_types, our_series), (mut their_types, their_series)] = urls
        .map(|url| wait_until("all packets", || Some(read(&url)).filter(|(_, series)| series.contains_key("done{}"))));
    // Families of the exporter itself without a value are in one page only.
    let is_of_both = |name: &str, other: &BTreeMap<String, String>| {
        other.contains_key(name) || !name.starts_with("statsd_exporter_")
    };
    our_types.retain(|name, _| is_of_both(name, &their_types));
    their_types.retain(|name, _| is_of_both(name, &our_types));
    assert_eq!(our_types, their_types);
    let names: BTreeSet<&String> = our_series.keys().chain(their_series.keys()).collect();
    let differing: Vec<_> = names
        .into_iter()
        .map(|name| (name, our_series.get(name), their_series.get(name)))
        .filter(|(_, ours, theirs)| ours != theirs)
        .collect();
    assert!(differing.is_empty() && our_series.len() > 50, "{} series, {differing:#?}", our_series.len());
}
